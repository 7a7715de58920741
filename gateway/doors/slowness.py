"""Decides when a peer reads too slowly: it takes no bytes for a while, or does not catch up with its events.

The amount that waits says nothing by itself: with 10,000 open orders, one OrderMassStatusRequest(AF) brings 10,000
reports, some 3 MB, and a fast reader soon has them. So a reader is judged by its progress, in periods of
`out.max_age_ms` (10 s by default). In each it must take at least one byte of a full transport, and the number of events
it is behind must reach a new minimum. Memory has a separate bound, over all slow readers. Pure.
"""

from typing import Protocol


class Reader(Protocol):
    """A connection whose peer is behind."""

    def cut(self, now_ns: int) -> None:
        """Disconnect it for slow reading."""


class UnreadOutput:
    """Unread output of the slow readers of all doors, under one bound. Readers that keep up are not counted."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._behind: dict[Reader, int] = {}
        self.total_bytes = 0

    def note(self, reader: Reader, pending_bytes: int, now_ns: int) -> None:
        """This reader's unread output now, 0 = it keeps up. Above the bound, the reader with most is disconnected."""
        self.total_bytes += pending_bytes - self._behind.pop(reader, 0)
        if pending_bytes:
            self._behind[reader] = pending_bytes
        while self.total_bytes > self._most_bytes:
            longest = max(self._behind, key=self._behind.__getitem__)
            self.total_bytes -= self._behind.pop(longest)
            longest.cut(now_ns)


class Slowness:
    """One peer's progress in reading. Times are in ns."""

    __slots__ = ("_nearer_ns", "_patience_ns", "_untaken_bytes", "nearest", "until_ns")

    def __init__(self, patience_ns: int) -> None:
        """patience_ns: the period in which a peer must make progress."""
        self._patience_ns = patience_ns
        self._untaken_bytes = 0  # at the last look
        self._nearer_ns = 0
        self.until_ns = 0
        """When `is_over` is due, because the transport is full; 0 = it is not full."""
        self.nearest = 0
        """The smallest number of events it has been behind since it fell behind; 0 = it is not behind."""

    def blocked(self, untaken_bytes: int, now_ns: int) -> None:
        """The transport is full now: a period begins."""
        self.until_ns = now_ns + self._patience_ns
        self._untaken_bytes = untaken_bytes

    def is_over(self, untaken_bytes: int, behind: int, now_ns: int) -> bool:
        """Whether the peer is too slow, at the end of a period with a full transport. If not, another period begins."""
        has_taken = untaken_bytes < self._untaken_bytes
        self.blocked(untaken_bytes, now_ns)
        return not has_taken or self.left_behind_ns(behind, now_ns) > 0

    def left_behind_ns(self, behind: int, now_ns: int) -> int:
        """Since when it is too slow because it does not catch up; 0 = it is not. behind: events that wait now."""
        if not behind or not self.nearest or behind < self.nearest:
            self.nearest, self._nearer_ns = behind, now_ns
        due_ns = self._nearer_ns + self._patience_ns
        return due_ns if now_ns >= due_ns else 0
