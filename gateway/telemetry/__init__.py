"""What operators see: metrics, log events, traces. Each is declared once, here, and used everywhere.

Open `metrics.py` to add a number, `logs.py` to add an event. Nothing here is called per message for the sake of a
scrape: the order path counts in plain attributes, which are read when Prometheus asks.
"""
