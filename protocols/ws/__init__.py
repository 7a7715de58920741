"""The WebSocket wire: frames, the session of one connection, schemas, and the translation to commands and events. Pure.

Open `session.py` for a connection, `schema.py` for the requests and `results.py` for what is answered.
"""
