"""The WebSocket door. Open `acceptor.py` for a connection's way in, `endpoint.py` for its business after the upgrade.

Frames, schemas and translations are in `protocols.ws`, which knows no gateway.
"""
