"""The order path: from a decoded command to the matching core, and from its events back to sessions. Pure.

Open `pipeline.py` first. Nothing here knows a socket, a wire format or a clock: time is an argument, and a session is
reached through its endpoint. What waits is bounded, and each request has exactly one final answer.
"""
