"""The one exception of a measurement, for every module of `gateway.bench`."""


class BenchFailed(Exception):
    """There is no result. The text says what is wrong, where, and what to do about it."""
