"""The doors: sockets, TLS, connections, and the endpoint that each session speaks through.

Open `connection.py` for one link and `batch.py` for the unit of work. `fix/` and `ws/` hold what is special to a door.
Endpoints are pure: they see bytes and time, never a socket. What becomes of an order is decided in `gateway.orders`.
"""
