"""The wires: FIX and WebSocket sessions, messages and their translation. Pure; it knows no gateway and no limits.

Open `messages.py` first: every command and event, which both wires are translated to and from. `errors.py` is the one
list of codes.
"""
