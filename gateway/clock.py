"""The clock of the process: own time that only passes, and what it lacks to the time of day (`protocols.wall`).

Own time counts on the clock of the machine's uptime, which nobody puts right. It is the one that runs on while the
machine is suspended (CLOCK_BOOTTIME, where there is one): a lease or a window that ended in its sleep has ended. The
time of day follows the system's clock: at once where that was stepped, and unnoticeably where it drifts.
"""

import time
from typing import Protocol

from protocols.units import NS_PER_MS
from protocols.wall import STEP_NS, WallClock

_LEAN_NS = NS_PER_MS  # a look
_STEADY_NS = NS_PER_MS  # both clocks are read within this time, or a pause between them would look like a step
_ATTEMPTS = 3
_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(WallClock):
    """`now_ns()` is own time; `look()` at the system's clock about once a second, and in doubt."""

    def __init__(self) -> None:
        super().__init__()
        self._base = time.time_ns() - time.clock_gettime_ns(_UPTIME)
        self._untold_ns = 0
        self.steps = 0

    def now_ns(self) -> int:
        """Own time in ns: UTC as it was believed to be at the start, and what has passed since."""
        return time.clock_gettime_ns(_UPTIME) + self._base

    def look(self) -> None:
        """Follow the system's clock: a step at once, a small difference by a millisecond."""
        for _ in range(_ATTEMPTS):
            before_ns = self.now_ns()
            utc_ns = time.time_ns()
            if self.now_ns() - before_ns < _STEADY_NS:
                break
        else:
            return  # we are held up: next time
        off_ns = utc_ns - before_ns - self.offset_ns
        if abs(off_ns) >= STEP_NS:
            self.offset_ns += off_ns
            self._untold_ns += off_ns
            self.steps += 1
        elif abs(off_ns) > _STEADY_NS:
            self.offset_ns += max(-_LEAN_NS, min(_LEAN_NS, off_ns))

    def take_step_ns(self) -> int:
        """What the time of day was stepped by since this was last asked, 0 = not at all."""
        untold_ns, self._untold_ns = self._untold_ns, 0
        return untold_ns


class Timed(Protocol):
    """Something with deadlines of its own: the orders, the guards."""

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` is next wanted."""
        ...

    def tick(self, now_ns: int) -> None:
        """Do what time asks for."""
        ...
