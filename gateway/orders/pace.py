"""How fast the core takes orders while some wait, and so how long a new one will wait. Pure.

Measured over spells of a tenth of a second. A core that takes nothing is not slow but silent: then it is the silence so
far that counts, and what was measured before it is what holds again after it.
"""

_SPELL_NS = 100_000_000
_SILENCE_NS = 400_000_000


class Pace:
    """Measured at each hand-over while orders wait, and reset when none does."""

    def __init__(self) -> None:
        self._interval_ns = 0
        self._since_ns = 0
        self._taken = 0

    def rest(self, now_ns: int) -> None:
        """Nothing waits."""
        self._since_ns, self._taken = now_ns, 0

    def took(self, orders: int, now_ns: int) -> None:
        """The core has taken so many orders, and others may wait on."""
        passed_ns = now_ns - self._since_ns
        self._taken += orders
        if passed_ns > _SILENCE_NS:
            self.rest(now_ns)
        elif passed_ns >= _SPELL_NS and self._taken:
            self._interval_ns = passed_ns // self._taken
            self.rest(now_ns)

    def interval_ns(self, now_ns: int) -> int:
        """The time that the core takes for one order."""
        return max(self._interval_ns, (now_ns - self._since_ns) // (self._taken + 1))
