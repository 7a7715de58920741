"""The inbound gap of one session: early messages, and the missing numbers that were requested.

Early messages are held until the numbers before them have come, so that the owner sees all of them in order:

    NextIn 5, then 8 and 9 come:   8 and 9 held, 5..7 requested
    5, 6 and 7 come:               5 to 9 handed out, nothing missing

A gap is requested once, and again if nothing of it comes for a while, `REQUESTS_MAX` times at most. What does not fit
into the bound on held messages is dropped and requested later.
"""

import msgspec

from protocols.fix.decoder import DecodedMessage

REQUESTS_MAX = 3
"""After this many requests for the same number the session is ended."""


class Early(msgspec.Struct, frozen=True, gc=False):
    """One early message. message None: it was handled before, and only its number waits."""

    message: DecodedMessage | None
    size_bytes: int
    sending_time_ns: int


class Gap:
    """What is between NextIn and the highest number seen. All zero and empty if nothing is missing."""

    __slots__ = (
        "_bytes", "_held", "_max_bytes", "_max_messages", "deadline_ns", "highest", "reached", "requested_all",
        "requested_end", "requests",
    )  # fmt: skip

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._held: dict[int, Early] = {}
        self._bytes = 0
        self.highest = 0  # the highest early number seen
        self.requested_end = 0  # the last missing number that our request covers
        self.requested_all = False  # the request had no end
        self.requests = 0  # requests since the last missing number came
        self.reached = 0  # NextIn at that time
        self.deadline_ns = 0  # for the next missing number; 0 = none is missing

    def clear(self) -> None:
        """Nothing is missing, or the connection is gone and the next Logon(A) will show the gap again."""
        self._held.clear()
        self._bytes = self.highest = self.requested_end = self.requests = self.reached = self.deadline_ns = 0
        self.requested_all = False

    def hold(self, seq_num: int, early: Early) -> bool:
        """Keep an early message, if there is room and none of this number is held. Returns whether it was kept."""
        self.highest = max(self.highest, seq_num)
        fits = len(self._held) < self._max_messages and self._bytes + early.size_bytes <= self._max_bytes
        if not fits or seq_num in self._held:
            return False
        self._held[seq_num] = early
        self._bytes += early.size_bytes
        return True

    def pop(self, seq_num: int) -> Early | None:
        """Remove and return the message held under this number, whose turn it is."""
        early = self._held.pop(seq_num, None)
        if early is not None:
            self._bytes -= early.size_bytes
        return early

    def mark_done(self, seq_num: int) -> None:
        """The message held under this number was handled early: from now on only the number waits."""
        early = self.pop(seq_num)
        if early is not None:
            self._held[seq_num] = Early(None, 0, 0)

    def pop_below(self, seq_num: int) -> list[tuple[int, Early]]:
        """Remove and return what is held below this number, in order: the peer has gap-filled over it."""
        return [(number, early) for number in sorted(self._held) if number < seq_num and (early := self.pop(number))]

    def held(self) -> list[tuple[int, Early]]:
        """What is held, in order; it stays held."""
        return sorted(self._held.items(), key=lambda row: row[0])

    def missing_end(self) -> int:
        """The last number before the first one held."""
        return min(self._held, default=self.highest + 1) - 1

    def is_requested(self, next_in: int) -> bool:
        """Whether the number `next_in` was requested and may still come."""
        return self.requested_end >= next_in

    def expect_unrequested(self, next_in: int, until_ns: int) -> None:
        """Our Logon's NextExpectedMsgSeqNum(789) shows the peer what is missing, and it sends that without a request.
        If nothing has come by `until_ns`, it gets one.
        """
        self.requested_end, self.requested_all = self.highest - 1, True
        self.reached, self.deadline_ns = next_in, until_ns

    def extend_deadline(self, next_in: int, until_ns: int) -> None:
        """Some of the requested numbers have come; the rest gets a new deadline."""
        self.requests, self.reached, self.deadline_ns = min(self.requests, 1), next_in, until_ns

    def request(self, next_in: int, max_messages: int, until_ns: int) -> int:
        """Record that the missing numbers from `next_in` on are requested. Returns EndSeqNo(16): 0 = to the latest.

        A gap of at most `max_messages` is requested without an end, as other engines do and expect; of a larger one the
        first `max_messages` numbers. max_messages 0: no limit.
        """
        missing_end = self.missing_end()
        chunk_end = next_in + max_messages - 1
        self.requested_all = not max_messages or missing_end <= chunk_end
        self.requested_end = missing_end if self.requested_all else chunk_end
        self.requests = self.requests + 1 if next_in == self.reached else 1
        self.reached, self.deadline_ns = next_in, until_ns
        return 0 if self.requested_all else chunk_end
