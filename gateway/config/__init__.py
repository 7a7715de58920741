"""The configuration: every knob, how a file becomes a checked `Config`, and every mistake in it with its line and mend.

Open `schema.py` first: each knob has its unit in its name and its default and reason beside it. Nothing here knows a
running part of the gateway; what a running part derives from a knob belongs to that part.
"""
