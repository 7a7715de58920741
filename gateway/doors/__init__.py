"""The doors: sockets, TLS, connections, and the endpoint that each session speaks through.

Open `connection.py` for one link and `batch.py` for the unit of work. `fix/` and `ws/` hold what only one door has.
Endpoints are pure: they see bytes and time, never a socket. Decisions about an order belong in `gateway.orders`.
"""
