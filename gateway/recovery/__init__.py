"""Durable gateway state: recorded while running, restored at the next start.

Open `recorder.py` for what is written, `restore.py` for what a start does. Here is what a record means, in which order
records count, and when old ones may go. The bytes on disk belong to `gateway.journal`, which does not know their
meaning.
"""
