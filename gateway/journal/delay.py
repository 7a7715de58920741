"""How long answers wait for the disk: which commits are not durable yet, and since when. Pure."""

from collections import deque
from typing import Protocol

_ALARM_NS = 100_000_000  # answers that wait for so long: new orders are shed as if the core were slow


class Durable(Protocol):
    """What is watched of the journal."""

    @property
    def durable(self) -> int: ...

    @property
    def may_accept_orders(self) -> bool: ...


class RecordDelay:
    """Commits that are not durable yet, oldest first."""

    def __init__(self, journal: Durable) -> None:
        self._journal = journal
        self._late: deque[tuple[int, int]] = deque()  # position, when it was committed

    @property
    def may_accept_orders(self) -> bool:
        return self._journal.may_accept_orders

    def add(self, position: int, now_ns: int) -> None:
        """A commit up to here is not durable yet."""
        if not self._late or self._late[-1][0] != position:
            self._late.append((position, now_ns))

    def settle(self, durable: int, now_ns: int) -> int:
        """The journal is durable up to here: since when the oldest of what waited has waited."""
        since_ns = self._late[0][1] if self._late else now_ns
        while self._late and self._late[0][0] <= durable:
            self._late.popleft()
        return since_ns

    def held_ns(self, now_ns: int) -> int:
        """How long the oldest bytes have waited for the journal; what it has finished by now waits for us alone."""
        if not self._late:
            return 0
        durable = self._journal.durable
        return next((now_ns - since_ns for position, since_ns in self._late if position > durable), 0)

    def is_late(self, now_ns: int) -> bool:
        return bool(self._late) and self.held_ns(now_ns) > _ALARM_NS
