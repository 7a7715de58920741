"""How far this gateway's time of day is from that of the Redis that all gateways share. Pure.

    here      asked 10.000      heard 10.004
    Redis            says 10.032               so we are behind it by 28 to 32 ms

Each question gives such a range, as wide as its way to Redis and back took. The latest ranges overlap where the truth
is. Ranges that do not overlap say that a clock was set: then the older ones are forgotten.

Before editing: an alarm is given when the whole range is beyond the bound, never because an answer was slow.
"""

from collections import deque
from collections.abc import Callable

from protocols.units import NS_PER_MS, NS_PER_S

_RANGES = 16  # about as many seconds: clocks drift by less than a millisecond meanwhile
_SAY_AGAIN_NS = 60 * NS_PER_S
_TICK_NS = 1_000  # Redis tells whole microseconds


class ClockWatch:
    """Whether this gateway's clock is within a bound of Redis'."""

    def __init__(self, bound_ms: int, utc_ns: Callable[[int], int], log: Callable[..., None]) -> None:
        """utc_ns: the time of day at a time of the process' own, as orders get it on arrival."""
        self._bound_ns = bound_ms * NS_PER_MS
        self._utc_ns = utc_ns
        self._log = log
        self._ranges: deque[tuple[int, int]] = deque(maxlen=_RANGES)
        self._low_ns = self._high_ns = 0
        self._say_at_ns = 0
        self.is_beyond = False

    @property
    def ahead_ns(self) -> int:
        """By how much we are ahead of Redis, below 0 = behind; give or take `error_ns`."""
        return (self._low_ns + self._high_ns) // 2

    @property
    def error_ns(self) -> int:
        """How far the truth may be from `ahead_ns`."""
        return (self._high_ns - self._low_ns + 1) // 2

    def forget(self) -> None:
        """It may be another Redis from now on."""
        self._ranges.clear()

    def heard(self, asked_ns: int, heard_ns: int, redis_us: int) -> None:
        """Redis was asked for its time, and has answered; own times, and what it said."""
        redis_ns = redis_us * 1_000
        found = self._utc_ns(asked_ns) - redis_ns - _TICK_NS, self._utc_ns(heard_ns) - redis_ns
        self._ranges.append(found)
        lows, highs = zip(*self._ranges, strict=True)
        self._low_ns, self._high_ns = max(lows), min(highs)
        if self._low_ns > self._high_ns:  # a clock was set, or has drifted far
            self._ranges.clear()
            self._ranges.append(found)
            self._low_ns, self._high_ns = found
        self._judge(heard_ns)

    def _judge(self, now_ns: int) -> None:
        if self._low_ns > self._bound_ns or self._high_ns < -self._bound_ns:
            if not self.is_beyond or now_ns >= self._say_at_ns:
                self._say_at_ns = now_ns + _SAY_AGAIN_NS
                self._log("cluster.clock_skewed", **self.status())
            self.is_beyond = True
        elif self.is_beyond and self._low_ns >= -self._bound_ns and self._high_ns <= self._bound_ns:
            self.is_beyond = False
            self._log("cluster.clock_well", **self.status())

    def status(self) -> dict[str, object]:
        """A summary for operators, in milliseconds."""
        return {
            "ahead_ms": round(self.ahead_ns / NS_PER_MS, 1),
            "error_ms": round(self.error_ns / NS_PER_MS, 1),
            "bound_ms": self._bound_ns // NS_PER_MS,
        }
