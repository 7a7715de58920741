"""Limits the rate of log lines that a stranger can cause as often as it likes. Pure."""

from collections.abc import Hashable

from protocols.units import NS_PER_S

_MOST = 256


class LogPace:
    """Of each kind `burst` lines at once, then one per second; the next line says how many were kept back."""

    def __init__(self, burst: int = 20) -> None:
        self._burst = burst
        self._kinds: dict[Hashable, _Kind] = {}

    def take(self, kind: Hashable, now_ns: int) -> int | None:
        """How many lines of the kind were kept back since the last one written; None = do not write this one."""
        found = self._kinds.get(kind)
        if found is None:
            if len(self._kinds) >= _MOST:
                self._kinds.clear()  # kinds are coded words, so there are never that many
            found = self._kinds[kind] = _Kind(self._burst, now_ns)
        return found.take(self._burst, now_ns)


class _Kind:
    __slots__ = ("kept_back", "left", "since_ns")

    def __init__(self, burst: int, now_ns: int) -> None:
        self.left, self.since_ns, self.kept_back = burst, now_ns, 0

    def take(self, burst: int, now_ns: int) -> int | None:
        seconds = max(now_ns - self.since_ns, 0) // NS_PER_S
        if seconds or now_ns < self.since_ns:
            self.since_ns = now_ns
            self.left = min(self.left + seconds, burst)
        if not self.left:
            self.kept_back += 1
            return None
        self.left -= 1
        kept_back, self.kept_back = self.kept_back, 0
        return kept_back
