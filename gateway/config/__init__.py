"""The configuration: every setting, and how a file becomes a checked `Config` or a list of mistakes with their lines.

Open `schema.py` first: each setting has its unit in its name, and its default and purpose beside it. Nothing here knows
a running part of the gateway; what a part derives from a setting belongs to that part.
"""
