"""Latencies of millions of orders in a few kilobytes: counts in buckets at most 1.6 % wide.

Below 128 ns a bucket is one ns wide; above, each octave has 64 of them. A quantile is the middle of its bucket, so it
is exact within 0.8 %. The largest value is kept as it is.
"""

from collections.abc import Iterator

_OCTAVE_BITS = 6
_LINEAR_NS = 2 << _OCTAVE_BITS
_TOP_NS = (1 << 40) - 1  # 18 minutes; longer is counted here
_BUCKETS = (40 - _OCTAVE_BITS << _OCTAVE_BITS) + (1 << _OCTAVE_BITS)


class Latencies:
    """Counts of durations in ns. `record` costs 0.2 us and keeps nothing but a number."""

    __slots__ = ("_counts", "max_ns", "total")

    def __init__(self) -> None:
        self.total = 0
        self.max_ns = 0
        self._counts = [0] * _BUCKETS

    def record(self, ns: int) -> None:
        """Count one duration; a negative one counts as 0."""
        self.max_ns = max(self.max_ns, ns)
        self.total += 1
        self._counts[_index(ns)] += 1

    def quantile_us(self, share: float) -> float:
        """The duration in us that this share of all does not exceed (0.99 = p99); 0.0 if there are none."""
        rank, seen = max(1, -int(-share * self.total // 1)), 0
        for middle_ns, count in self._filled():
            seen += count
            if seen >= rank:
                return min(middle_ns, self.max_ns) / 1_000
        return 0.0

    def buckets_us(self) -> list[tuple[float, int]]:
        """(middle of the bucket in us, count) of every bucket that has any, from the shortest."""
        return [(middle_ns / 1_000, count) for middle_ns, count in self._filled()]

    def _filled(self) -> Iterator[tuple[int, int]]:
        return ((_middle_ns(index), count) for index, count in enumerate(self._counts) if count)


def _index(ns: int) -> int:
    if ns < _LINEAR_NS:
        return max(ns, 0)
    ns = min(ns, _TOP_NS)
    octave = ns.bit_length() - _OCTAVE_BITS - 1
    return (octave << _OCTAVE_BITS) + (ns >> octave)


def _middle_ns(index: int) -> int:
    if index < _LINEAR_NS:
        return index
    octave = (index >> _OCTAVE_BITS) - 1
    low = ((index & (1 << _OCTAVE_BITS) - 1) + (1 << _OCTAVE_BITS)) << octave
    return low + (1 << octave >> 1)
