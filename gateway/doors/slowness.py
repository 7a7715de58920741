"""When a peer reads too slowly: it takes nothing for a while, or comes no nearer to what happens.

How much waits says nothing by itself: one request may bring about more than any transport takes, and a quick reader has
it soon. So readers are judged by what they take. Memory has a bound of its own, over all of them. Pure.
"""

from typing import Protocol


class Reader(Protocol):
    """A connection whose peer is behind."""

    def cut(self, now_ns: int) -> None:
        """End it for its slowness."""
        ...


class UnreadOutput:
    """What slow readers of all doors have not taken yet, under one bound. Only readers that are behind are counted."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._behind: dict[Reader, int] = {}
        self.total_bytes = 0

    def note(self, reader: Reader, pending_bytes: int, now_ns: int) -> None:
        """This reader is so far behind now, 0 = no longer. Above the bound the longest backlog is cut, and resumes."""
        self.total_bytes += pending_bytes - self._behind.pop(reader, 0)
        if pending_bytes:
            self._behind[reader] = pending_bytes
        while self.total_bytes > self._most_bytes:
            longest = max(self._behind, key=self._behind.__getitem__)
            self.total_bytes -= self._behind.pop(longest)
            longest.cut(now_ns)


class Slowness:
    """What is known of one peer's pace. Times are ns."""

    __slots__ = ("_nearer_ns", "_patience_ns", "_untaken_bytes", "nearest", "until_ns")

    def __init__(self, patience_ns: int) -> None:
        """patience_ns: how long a peer may take to take anything, or to come nearer."""
        self._patience_ns = patience_ns
        self._untaken_bytes = 0  # at the last look
        self._nearer_ns = 0
        self.until_ns = 0
        """The transport is full, and at this time `is_over` is asked; 0 = it is not full."""
        self.nearest = 0
        """How many events it was behind at the best since it fell behind; 0 = it is not behind."""

    def blocked(self, untaken_bytes: int, now_ns: int) -> None:
        """The transport is full from now on."""
        self.until_ns = now_ns + self._patience_ns
        self._untaken_bytes = untaken_bytes

    def is_over(self, untaken_bytes: int, behind: int, now_ns: int) -> bool:
        """The transport was full all of the time: whether the peer is too slow. If not, it has as much time again."""
        has_taken = untaken_bytes < self._untaken_bytes
        self.blocked(untaken_bytes, now_ns)
        return not has_taken or self.left_behind_ns(behind, now_ns) > 0

    def left_behind_ns(self, behind: int, now_ns: int) -> int:
        """Since when it is too slow because it came no nearer to what happens; 0 = it is not. behind: so many events
        wait for it now.
        """
        if not behind or not self.nearest or behind < self.nearest:
            self.nearest, self._nearer_ns = behind, now_ns
        due_ns = self._nearer_ns + self._patience_ns
        return due_ns if now_ns >= due_ns else 0
