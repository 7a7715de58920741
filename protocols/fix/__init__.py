"""The FIX wire: bytes to checked messages, the session layer, and the translation to commands and from events. Pure.

Open `session/machine.py` for a session, `translate.py` for the way between a message and a command.
"""
