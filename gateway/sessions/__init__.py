"""Who is logged on, who owns which order, and the replayable event stream of each account. Pure.

Open `registry.py` first. A session outlives its connections; what a connection sends and receives belongs to the doors.
"""
