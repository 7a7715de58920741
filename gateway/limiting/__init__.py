"""The limits in force: the limits file and operators' overrides, for the limiter of this process or a shared one.

Open `service.py` first. `redis_service.py` is imported only when a shared store is configured. The buckets themselves
are in the package `limits`, which does not know what an order is.
"""
