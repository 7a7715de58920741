"""When a WebSocket connection must ping, or has been silent for too long. Nanoseconds of own time, as arguments.

Silence counts only while we read: a door that stopped reading for reasons of its own must not blame the peer for it.
"""


class Heartbeat:
    """The clock work of one connection that is logged on. Its owner sets `last_in_ns` itself, at each read."""

    __slots__ = ("interval_ns", "last_in_ns", "paused_at_ns", "pinged_at_ns")

    def __init__(self, interval_ns: int, now_ns: int) -> None:
        self.interval_ns = interval_ns
        self.last_in_ns = now_ns
        self.paused_at_ns: int | None = None
        self.pinged_at_ns: int | None = None  # a Ping of ours waits for any sign of life

    def next_ns(self, last_sent_ns: int) -> int:
        """When a Ping or the end is due."""
        if self.paused_at_ns is not None:
            return last_sent_ns + self.interval_ns
        if self.pinged_at_ns is None:
            return self.last_in_ns + self.interval_ns
        # A ping that went out late, since we stood still, moves the end along: the peer always has its time to answer.
        return max(self.last_in_ns + 2 * self.interval_ns, self.pinged_at_ns + self.interval_ns)

    @property
    def awaits_answer(self) -> bool:
        """Whether a Ping is out and we read: when `next_ns` comes, the peer is lost."""
        return self.paused_at_ns is None and self.pinged_at_ns is not None

    def pause(self, now_ns: int) -> None:
        """Stop counting silence. A second pause changes nothing."""
        if self.paused_at_ns is None:
            self.paused_at_ns = now_ns

    def resume(self, now_ns: int) -> int:
        """Count on from where silence stood. Returns how long nothing was read, in ns."""
        if self.paused_at_ns is None:
            return 0
        paused_ns = now_ns - self.paused_at_ns
        self.paused_at_ns = self.pinged_at_ns = None
        self.last_in_ns += paused_ns
        return paused_ns
