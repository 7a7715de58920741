"""The limits in force: the limits file and operators' overrides, for the limiter of this process or a shared one.

Open `service.py` first. `redis_service.py` is imported only where a shared store is configured. How a bucket counts
is in the package `limits`, which knows neither orders nor sessions.
"""
