"""The one clock of the process: nanoseconds UTC that never go back and never jump.

Sessions, windows and timers all use it, so a stepped system clock must not time out every session at once. It runs on
the monotonic clock and leans towards the system's by at most 5 % of the time that passed; `offset_ns` is what is left.
"""

import time

_LEAN = 20  # at most one part in so many


class Clock:
    """`now_ns()` is UTC as this process sees it; call `lean()` about once a second."""

    def __init__(self) -> None:
        self._base = time.time_ns() - time.monotonic_ns()
        self._leaned_at = time.monotonic_ns()
        self._told = 0
        self.offset_ns = 0

    def now_ns(self) -> int:
        """Nanoseconds UTC, never less than before: while it leans back it stands still for a moment."""
        self._told = max(time.monotonic_ns() + self._base, self._told)
        return self._told

    def lean(self) -> int:
        """Move towards the system clock by a bounded step; returns how far off it still is, in ns."""
        monotonic = time.monotonic_ns()
        most = (monotonic - self._leaned_at) // _LEAN
        self._leaned_at = monotonic
        wanted = time.time_ns() - monotonic - self._base
        step = max(-most, min(most, wanted))
        self._base += step
        self.offset_ns = wanted - step
        return self.offset_ns
