"""Who may do how much: policies from a file, token buckets, and the limiter of one process or of many.

Open `limiter.py` for what the gateway asks, `bucket.py` for how a bucket counts, `shared.py` for the limiter over a
store. It has no idea what an order is: a path of names, a bucket and a cost come in, a decision goes out.
"""
