"""`penstock bench`: load on a gateway's doors, and what the answers took; nothing here runs inside a gateway.

Open `run.py` first. `wires.py` has what differs between the doors.
"""
