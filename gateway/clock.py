"""The clock of the process: own time, which only moves forward, and its offset from the time of day (`protocols.wall`).

Own time runs on the machine's uptime, which no one can set. It includes time in suspend (CLOCK_BOOTTIME, where there is
one): a lease or a window that ended while the machine slept has ended. The time of day follows the system's clock, at
once after a step and by at most 1 ms per look when it drifts.
"""

import time
from typing import Protocol

from protocols.units import NS_PER_MS
from protocols.wall import STEP_NS, WallClock

_LEAN_NS = NS_PER_MS  # correction per look
_STEADY_NS = NS_PER_MS  # both clocks must be read within this time: a pause between the reads would look like a step
_ATTEMPTS = 3
_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(WallClock):
    """`now_ns()` is own time. Call `look()` about once a second, and when a time looks wrong."""

    def __init__(self) -> None:
        super().__init__()
        self._base = time.time_ns() - time.clock_gettime_ns(_UPTIME)
        self._step_ns = 0
        self.steps = 0

    def now_ns(self) -> int:
        """Own time in ns: UTC as the system's clock had it at the start, plus the time that has passed since."""
        return time.clock_gettime_ns(_UPTIME) + self._base

    def look(self) -> None:
        """Follow the system's clock: a step at once, a small difference by 1 ms."""
        for _ in range(_ATTEMPTS):
            before_ns = self.now_ns()
            utc_ns = time.time_ns()
            if self.now_ns() - before_ns < _STEADY_NS:
                break
        else:
            return  # the process is being paused: try next time
        off_ns = utc_ns - before_ns - self.offset_ns
        if abs(off_ns) >= STEP_NS:
            self.offset_ns += off_ns
            self._step_ns += off_ns
            self.steps += 1
        elif abs(off_ns) > _STEADY_NS:
            self.offset_ns += max(-_LEAN_NS, min(_LEAN_NS, off_ns))

    def take_step_ns(self) -> int:
        """By how much the time of day was stepped since the last call, 0 = not at all."""
        step_ns, self._step_ns = self._step_ns, 0
        return step_ns


class Timed(Protocol):
    """A part with deadlines of its own, such as the order path."""

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` must be called next; None = not by time."""

    def tick(self, now_ns: int) -> None:
        """Do what is due."""
