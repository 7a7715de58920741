"""When a WebSocket connection must ping, and when the peer has been silent for too long. Time is an argument.

Silence counts only while the gateway reads: a pause of its own is not the peer's fault.
"""


class Heartbeat:
    """The timers of one connection that is logged on. The session sets `last_in_ns` at each read."""

    __slots__ = ("interval_ns", "last_in_ns", "paused_at_ns", "pinged_at_ns")

    def __init__(self, interval_ns: int, now_ns: int) -> None:
        self.interval_ns = interval_ns
        self.last_in_ns = now_ns
        self.paused_at_ns: int | None = None
        self.pinged_at_ns: int | None = None  # when our Ping went out that no byte has answered

    def next_ns(self, last_sent_ns: int) -> int:
        """When a Ping or the end is due."""
        if self.paused_at_ns is not None:
            return last_sent_ns + self.interval_ns
        if self.pinged_at_ns is None:
            return self.last_in_ns + self.interval_ns
        # A ping may go out late, after a stall of ours. The peer still gets a whole interval to answer it: with 15 s,
        # a ping at 20 s ends the connection at 35 s, not at 30 s.
        return max(self.last_in_ns + 2 * self.interval_ns, self.pinged_at_ns + self.interval_ns)

    @property
    def awaits_answer(self) -> bool:
        """Whether a Ping is unanswered while we read: at `next_ns` the peer is lost."""
        return self.paused_at_ns is None and self.pinged_at_ns is not None

    def pause(self, now_ns: int) -> None:
        """Stop counting silence. A second pause changes nothing."""
        if self.paused_at_ns is None:
            self.paused_at_ns = now_ns

    def resume(self, now_ns: int) -> int:
        """Continue to count silence. Returns how long nothing was read, in ns."""
        if self.paused_at_ns is None:
            return 0
        paused_ns = now_ns - self.paused_at_ns
        self.paused_at_ns = self.pinged_at_ns = None
        self.last_in_ns += paused_ns
        return paused_ns
