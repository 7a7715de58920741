"""The time of day (UTC) beside the time that this program counts in. Pure.

Every `now_ns` is the program's own time: it began as UTC at the start, and then only ever passes, one second a second,
whatever is done to the system's clock. Durations and time-outs live in it. What is told to a peer, or was told by one,
is UTC, and the difference between the two may step when somebody puts the system's clock right.
"""

from protocols.units import NS_PER_MS, NS_PER_S

MAX_AHEAD_NS = NS_PER_S
"""How far a client's clock may be before ours where its time proves or bounds something: a signature, a window."""
STEP_NS = 100 * NS_PER_MS
"""A difference as large as this is a step; less is drift."""
DOUBT_NS = MAX_AHEAD_NS
"""A peer whose time differs by more than this makes us look at the clock again: ours may just have been put right."""


class WallClock:
    """`offset_ns` is UTC less own time. This one never steps; the process has `gateway.clock`, which does."""

    def __init__(self, offset_ns: int = 0) -> None:
        self.offset_ns = offset_ns

    def utc_ns(self, now_ns: int) -> int:
        """UTC at this moment of own time."""
        return now_ns + self.offset_ns

    def own_ns(self, utc_ns: int) -> int:
        """The moment of own time at which it is, or was, this time of day."""
        return utc_ns - self.offset_ns

    def ahead_ns(self, peer_ns: int, now_ns: int) -> int:
        """How far a time of day that a peer told lies ahead of ours, negative = behind. In doubt we look again."""
        ahead_ns = peer_ns - now_ns - self.offset_ns
        if -DOUBT_NS < ahead_ns < DOUBT_NS:
            return ahead_ns
        self.look()
        return peer_ns - now_ns - self.offset_ns

    def look(self) -> None:
        """See whether the system's clock was put right, and follow it."""
