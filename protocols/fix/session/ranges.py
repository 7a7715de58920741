"""Numbers to be written from the store: for the first time, or again because the peer requested them.

However many ResendRequest(2)s come, there is one `Replay`, and it is bounded. Ranges that touch are joined; beyond
`MAX_RANGES` the two nearest are joined, with the numbers between them, which the peer drops by their PossDupFlag(43).
So everything requested is sent, and no peer is disconnected for its requests.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from operator import itemgetter

MAX_RANGES = 64
"""Separate ranges in one round."""

Ranges = list[tuple[int, int]]
"""First and last number of each range: ascending, with at least one number between two ranges."""


class Unsent:
    """Numbers next..end to be written for the first time: stored while something else was being written.

    reserved: numbers in it that have no message, so that a Logout(5) can get one: the session can end there without a
    gap before the Logout, and the peer can request the rest later. If they are written, they are gap-filled.
    """

    __slots__ = ("begin", "end", "next", "reserved")
    again = False

    def __init__(self, begin: int, end: int) -> None:
        self.begin = begin
        self.next = begin
        self.end = end
        self.reserved: deque[int] = deque()

    def next_reserved(self) -> int:
        """The first reserved number that is not written, 0 = there is none."""
        reserved = self.reserved
        while reserved and reserved[0] < self.next:
            reserved.popleft()
        return reserved[0] if reserved else 0


class Replay:
    """Numbers to be written again. The range being written is next..end.

    Numbers requested ahead of `next` join the current round, in order; those before it wait for the next round. So a
    peer that repeats its request while it reads is served completely each time. below: the first number whose first
    sending waits after the replay, which also serves a request for it; 0 = none.
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
        """The peer also requests begin..end."""
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
        """Begin the next range after the current one is written; False if there is none."""
        if not self._ahead:
            self._ahead, self._behind = self._behind, []
        if not self._ahead:
            return False
        self.next, self.end = self._ahead.pop(0)
        return True


def _join(ranges: Ranges, begin: int, end: int) -> None:
    """Add a range, joined with those that it touches."""
    first = bisect_left(ranges, begin - 1, key=itemgetter(1))
    behind = bisect_right(ranges, end + 1, key=itemgetter(0))
    met = ranges[first:behind]
    if met:
        begin, end = min(begin, met[0][0]), max(end, met[-1][1])
    ranges[first:behind] = [(begin, end)]
    if len(ranges) > MAX_RANGES:
        nearest = min(range(1, len(ranges)), key=lambda i: ranges[i][0] - ranges[i - 1][1])
        ranges[nearest - 1 : nearest + 1] = [(ranges[nearest - 1][0], ranges[nearest][1])]
