"""Several gateways in front of one core: who owns a session, and what it needs to go on elsewhere.

A session has one owner, a gateway, and a row in Redis with a token that rises with each move. All that a turn changes
of its sessions, and the commands that it hands over, are written by one script, which refuses an old token. So a
gateway that has lost a session, and does not know it yet, can neither number a message nor place an order for it.

Open `node.py` for the parts, `journal.py` for what a gateway writes, `commit.lua` for how it is judged, `ownership.py`
for how a session moves.
"""

from gateway.cluster.node import Cluster, Unrecorded

__all__ = ["Cluster", "Unrecorded"]
