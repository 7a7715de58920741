"""The time of day (UTC) beside own time, in which the gateway counts. Pure.

Every `now_ns` is own time: it starts as UTC and then only moves forward, one second per second, whatever happens to the
system's clock. Durations and time-outs use it. Times sent to a peer, or received from one, are UTC. The difference
between the two steps when the system's clock is corrected.
"""

from protocols.units import NS_PER_MS, NS_PER_S

MAX_AHEAD_NS = NS_PER_S
"""How far a client's clock may be ahead of ours where its time counts: a signature, a validity window."""
STEP_NS = 100 * NS_PER_MS
"""A difference of this much or more is a step; less is drift."""
DOUBT_NS = MAX_AHEAD_NS
"""If a peer's time differs by more than this, the system's clock is read again: ours may have just been corrected."""


class WallClock:
    """`offset_ns` is UTC minus own time. It never steps here; the process uses `gateway.clock`, where it does."""

    def __init__(self, offset_ns: int = 0) -> None:
        self.offset_ns = offset_ns

    def utc_ns(self, now_ns: int) -> int:
        """UTC at this own time."""
        return now_ns + self.offset_ns

    def own_ns(self, utc_ns: int) -> int:
        """Own time at this UTC."""
        return utc_ns - self.offset_ns

    def ahead_ns(self, peer_ns: int, now_ns: int) -> int:
        """How far the peer's UTC is ahead of ours, negative = behind. In doubt the clock is read again."""
        ahead_ns = peer_ns - now_ns - self.offset_ns
        if -DOUBT_NS < ahead_ns < DOUBT_NS:
            return ahead_ns
        self.look()
        return peer_ns - now_ns - self.offset_ns

    def look(self) -> None:
        """Check whether the system's clock was corrected, and follow it."""
