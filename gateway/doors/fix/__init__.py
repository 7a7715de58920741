"""The FIX door. Open `acceptor.py` for a connection's way in, `endpoint.py` for one session's business.

The session layer itself (sequence numbers, resends, Logon rules) is `protocols.fix.session`, which knows no gateway.
"""
