"""The inbound gap of one session: messages that came too early, and what has been asked for again.

Early messages are held until the numbers before them have come, so that the owner sees all of them in order. A gap is
asked for once; the bound on what is held is the peer's to hit, so whatever does not fit is simply asked for later.
"""

import msgspec

from protocols.fix.decoder import Message


class Early(msgspec.Struct, frozen=True, gc=False):
    """One message ahead of its turn. message None: it was already acted on, only its number waits."""

    message: Message | None
    size_bytes: int
    sending_time_ns: int


class Gap:
    """What stands between NextIn and the highest number seen. All zero and empty when nothing is missing."""

    __slots__ = (
        "_bytes",
        "_held",
        "_max_bytes",
        "_max_messages",
        "asked_all",
        "asked_end",
        "highest",
        "trusted_until_ns",
    )

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._held: dict[int, Early] = {}
        self._bytes = 0
        self.highest = 0  # the highest number seen ahead of its turn
        self.asked_end = 0  # the last missing number that a request of ours covers
        self.asked_all = False  # it asked without an end
        self.trusted_until_ns = 0  # our Logon's NextExpectedMsgSeqNum(789) asked; a peer that ignores it has until then

    def clear(self) -> None:
        """Nothing is missing, or the link is gone and the next Logon(A) will tell anew."""
        self._held.clear()
        self._bytes = self.highest = self.asked_end = self.trusted_until_ns = 0
        self.asked_all = False

    @property
    def held_bytes(self) -> int:
        """Wire bytes of the messages held."""
        return self._bytes

    @property
    def held_messages(self) -> int:
        """How many messages are held."""
        return len(self._held)

    def hold(self, seq_num: int, early: Early) -> None:
        """Keep a message for its turn, if there is room; a number already held stays as it came first."""
        self.highest = max(self.highest, seq_num)
        fits = len(self._held) < self._max_messages and self._bytes + early.size_bytes <= self._max_bytes
        if fits and seq_num not in self._held:
            self._held[seq_num] = early
            self._bytes += early.size_bytes

    def pop(self, seq_num: int) -> Early | None:
        """The message held under this number, whose turn it is."""
        early = self._held.pop(seq_num, None)
        if early is not None:
            self._bytes -= early.size_bytes
        return early

    def pop_below(self, seq_num: int) -> list[Early]:
        """Let go of what is held below this number, in order: the peer has filled the gap over it."""
        return [early for number in sorted(self._held) if number < seq_num and (early := self.pop(number))]

    def is_asked(self, next_in: int, now_ns: int) -> bool:
        """Whether the number `next_in` was asked for and may still come."""
        return self.asked_end >= next_in and not (self.trusted_until_ns and now_ns >= self.trusted_until_ns)

    def trust(self, until_ns: int) -> None:
        """The peer was told by NextExpectedMsgSeqNum(789) what is missing, and sends it by itself."""
        self.asked_end, self.asked_all, self.trusted_until_ns = self.highest - 1, True, until_ns

    def ask(self, next_in: int, max_messages: int) -> int:
        """Note that the missing numbers from `next_in` on are being asked for. Returns EndSeqNo(16): 0 = to the latest.

        What fits into one request is asked for without an end, which is what the peers do and expect; else the first
        `max_messages` numbers are asked for. max_messages 0: everything fits.
        """
        missing_end = min(self._held, default=self.highest + 1) - 1
        chunk_end = next_in + max_messages - 1
        self.asked_all = not max_messages or missing_end <= chunk_end
        self.asked_end = missing_end if self.asked_all else chunk_end
        self.trusted_until_ns = 0
        return 0 if self.asked_all else chunk_end
