"""Numbers that are still to be written from the store: for the first time, or again because the peer asked for them.

However many ResendRequest(2)s come, and whatever they ask for, there is one `Replay` and it is bounded: ranges that
touch become one, and beyond `MAX_RANGES` the two that lie nearest become one with what is between them, which a peer
that has it drops by its PossDupFlag(43). So all that was asked for is sent, and nobody is sent away for asking.
"""

from bisect import bisect_left, bisect_right
from collections import deque

MAX_RANGES = 64
"""Ranges kept apart in one round."""

Ranges = list[tuple[int, int]]
"""First and last number of each range: rising, with at least one number between two of them."""


class Unsent:
    """Numbers next..end to be written for the first time: stored while something else was being written.

    reserved: numbers in it that were given to no message, so that a Logout(5) may have one of them: the session can end
    there, with no gap before it, and what is behind stays to be asked for. As it is written, they are gap-filled.
    """

    __slots__ = ("begin", "end", "next", "reserved")
    again = False

    def __init__(self, begin: int, end: int) -> None:
        self.begin = begin
        self.next = begin
        self.end = end
        self.reserved: deque[int] = deque()

    def next_reserved(self) -> int:
        """The first hole that is not written, 0 = there is none."""
        reserved = self.reserved
        while reserved and reserved[0] < self.next:
            reserved.popleft()
        return reserved[0] if reserved else 0


class Replay:
    """Numbers to be written again. The range being written is next..end.

    What is asked for ahead of it joins the round under way, in order; what lies behind it waits for the next round: a
    peer that asks again before it has read on is served from end to end all the same. below: the first number whose
    first sending waits behind the replay, which is soon enough for whoever asked for it; 0 = none does.
    """

    __slots__ = ("_ahead", "_behind", "below", "end", "is_begun", "next")
    again = True

    def __init__(self, begin: int, end: int) -> None:
        self.next = begin
        self.end = end
        self.below = 0
        self.is_begun = False
        self._ahead: Ranges = []
        self._behind: Ranges = []

    def add(self, begin: int, end: int) -> None:
        """The peer asks for begin..end too."""
        if self.below:
            end = min(end, self.below - 1)
        written_below = self.next if self.is_begun else 0
        if begin <= end and end >= written_below:
            ahead = [(self.next, self.end), *self._ahead]
            _join(ahead, max(begin, written_below), end)
            (self.next, self.end), *self._ahead = ahead
        if begin < written_below:
            _join(self._behind, begin, min(end, written_below - 1))

    def next_range(self) -> bool:
        """Begin the next range, when the last one is written; False when there is none."""
        if not self._ahead:
            self._ahead, self._behind = self._behind, []
        if not self._ahead:
            return False
        self.next, self.end = self._ahead.pop(0)
        return True


def _join(ranges: Ranges, begin: int, end: int) -> None:
    """Put a range among the others, as one with those that it meets."""
    first = bisect_left(ranges, begin - 1, key=_end)
    behind = bisect_right(ranges, end + 1, key=_begin)
    met = ranges[first:behind]
    if met:
        begin, end = min(begin, met[0][0]), max(end, met[-1][1])
    ranges[first:behind] = [(begin, end)]
    if len(ranges) > MAX_RANGES:
        nearest = min(range(1, len(ranges)), key=lambda i: ranges[i][0] - ranges[i - 1][1])
        ranges[nearest - 1 : nearest + 1] = [(ranges[nearest - 1][0], ranges[nearest][1])]


def _begin(row: tuple[int, int]) -> int:
    return row[0]


def _end(row: tuple[int, int]) -> int:
    return row[1]
