"""The FIX session layer: logon, sequence numbers, gaps, replay, heartbeats, logout. Start at `machine`.

Orders do not belong here: an application message is numbered and passed on, for `protocols.fix.translate` to read.
"""
