"""A wall clock that the test puts right: the gateway's own time goes on, the time of day steps when it is looked at."""

from protocols.wall import WallClock


class HandClock(WallClock):
    """`system_ns`: by how much the system's clock has been put right; it counts from the next look on."""

    steps = 0

    def __init__(self, now_ns: int = 0) -> None:
        super().__init__()
        self.own_now_ns = now_ns
        self.system_ns = 0
        self.looks = 0
        self._told_ns = 0

    def now_ns(self) -> int:
        """Own time, where a server asks for it."""
        return self.own_now_ns

    def look(self) -> None:
        """Follow it."""
        self.looks += 1
        self.offset_ns = self.system_ns

    def take_step_ns(self) -> int:
        """What it was put right by since this was last asked."""
        step_ns, self._told_ns = self.offset_ns - self._told_ns, self.offset_ns
        return step_ns
