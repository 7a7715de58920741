"""What survives the process: recorded while the gateway runs, restored at the next start.

Open `keeper.py` first. The bytes on disk belong to `gateway.journal`, which knows nothing of what they mean; here is
what a record means, in which order records count, and when older ones are no longer needed.
"""
