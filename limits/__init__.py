"""Who may do how much: policies from a file, token buckets, and the limiter of one process or of several.

Open `limiter.py` for what the gateway asks, `bucket.py` for how a bucket counts, and `shared.py` for the limiter over
a store. The package does not know what an order is: it maps a path of names, a bucket and a cost to a decision.
"""
