"""Where a session keeps its sequence numbers and the messages it has sent: in memory, or in a journal.

Calls are synchronous and cheap: a durable store buffers them and writes once per turn, before the bytes leave.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Protocol

from protocols.errors import LocalProtocolError

Ranges = tuple[tuple[int, int], ...]

_DONE_MAX = 1_024  # ranges of numbers that were handled early


class MessageStore(Protocol):
    """Both sequence numbers of one session, and its outbound messages by number."""

    next_in: int
    next_out: int

    @property
    def intake(self) -> "Intake":
        """The inbound numbers: `next_in`, and what is known of the numbers around it."""
        ...

    def begin_wait(self, key: int, seq_num: int) -> None:
        """Inbound message `seq_num`, which was handed out, waits in memory (for tokens); later ones overtake it.

        After a crash that memory is gone: then this number is expected again, and those that overtook it are not taken
        twice. key: tells it from a message with the same number before a reset.
        """
        ...

    def end_wait(self, key: int) -> None:
        """It continues, or is refused. No effect after a reset."""
        ...

    def record_done(self, seq_num: int) -> None:
        """Inbound message `seq_num` was handled early: `next_in` will skip it."""
        ...

    def put(self, seq_num: int, message: bytes) -> None:
        """Store the outbound message `seq_num` as sent: an application message or a Reject(3). Other session messages
        have numbers but are not stored.

        Raises:
            LocalProtocolError: the number, or a higher one, has a message already; nothing is changed.
        """
        ...

    def put_run(self, first: int, messages: Sequence[bytes]) -> None:
        """Store the outbound messages first, first + 1, ... as `put` would, in one step.

        Raises:
            LocalProtocolError: as `put`.
        """
        ...

    def read(self, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        """The stored messages with begin <= number <= end, ascending; other numbers are left out."""
        ...

    def reset(self) -> None:
        """Both numbers back to 1 and nothing kept."""
        ...


class Intake:
    """The inbound numbers of one session: the next one expected, those that wait in memory, those handled early.

    done: numbers handled early, as ascending (first, end); `next_in` may have passed the first range. unserved: the
    first handed-out message that the owner has not handled yet; 0 = none.
    """

    __slots__ = ("_waiting", "done", "next_in", "unserved")

    def __init__(self, next_in: int = 1, done: Ranges = ()) -> None:
        self.next_in = next_in
        self.done = done
        self.unserved = 0
        self._waiting: dict[int, int] = {}  # by key: a number

    def expect(self, seq_num: int) -> None:
        """All below `seq_num` was taken; skip what was handled early from there on.

        A range that ends exactly here is kept for now: a gap fill sets the number before it a second time.
        """
        if not self.done:  # as for nearly every message
            self.next_in = seq_num
            return
        for first, end in self.done:
            if first <= seq_num < end:
                seq_num = end
        self.next_in = seq_num
        if self.done and self.done[0][1] < seq_num:
            self.done = tuple(each for each in self.done if each[1] >= seq_num)

    def begin_wait(self, key: int, seq_num: int) -> None:
        """See `MessageStore`."""
        self._waiting[key] = seq_num

    def end_wait(self, key: int) -> bool:
        """Returns whether it waited."""
        return self._waiting.pop(key, None) is not None

    def record_done(self, seq_num: int) -> None:
        """See `MessageStore`. Bounded: a peer may never close its gap."""
        done = self.done
        if self.is_done(seq_num) or len(done) >= _DONE_MAX:
            return
        if done and done[-1][1] == seq_num:
            self.done = (*done[:-1], (done[-1][0], seq_num + 1))
        else:
            self.done = tuple(sorted((*done, (seq_num, seq_num + 1))))

    def is_done(self, seq_num: int) -> bool:
        """Whether the message was handled, early or in its turn."""
        return seq_num < self.next_in or any(first <= seq_num < end for first, end in self.done)

    @property
    def processed(self) -> int:
        """The number up to which every message was handled: LastMsgSeqNumProcessed(369)."""
        next_in = self.next_in
        return min(min(self._waiting.values(), default=next_in), next_in, self.unserved or next_in) - 1

    def without_memory(self) -> tuple[int, Ranges]:
        """`next_in` and `done` as they are after a crash, which loses the messages that wait here.

        With `next_in` 9 and 6 waiting: (6, ((7, 9),)). Number 6 is expected again, 7 and 8 are not.
        """
        if not self.done and not self._waiting:  # as for nearly every message
            return self.next_in, ()
        done = tuple(each for each in self.done if each[1] > self.next_in)
        waiting = sorted(self._waiting.values())
        if not waiting:
            return self.next_in, done
        begin = min(waiting[0], self.next_in)
        left: list[tuple[int, int]] = []
        for first, end in ((begin, self.next_in), *done):
            begins = [first, *(number + 1 for number in waiting if first <= number < end)]
            ends = [*(number for number in waiting if first <= number < end), end]
            left += [each for each in zip(begins, ends, strict=True) if each[0] < each[1]]
        return begin, tuple(left)

    def reset(self) -> None:
        """The next number is 1, and all others are forgotten."""
        self._waiting.clear()
        self.next_in, self.done, self.unserved = 1, (), 0


class MemoryStore:
    """A store in memory. Of more than `max_messages` the oldest are dropped, and gap-filled in a resend.

    What was stored together is dropped together, when all after it are `max_messages`: a dict of single numbers would
    search longer for its oldest entry the more it has dropped.
    """

    def __init__(self, max_messages: int = 100_000) -> None:
        self.intake = Intake()
        self.next_out = 1
        self._max_messages = max_messages
        self._forget_messages()

    def _forget_messages(self) -> None:
        self._firsts = array("Q")  # by run: the number of its first message
        self._runs: list[Sequence[bytes]] = []
        self._oldest = 0  # index of the oldest run; those before it were dropped
        self._count = 0
        self._end = 0  # one past the highest number stored

    @property
    def next_in(self) -> int:
        """Next MsgSeqNum(34) expected."""
        return self.intake.next_in

    @next_in.setter
    def next_in(self, seq_num: int) -> None:
        self.intake.expect(seq_num)

    def begin_wait(self, key: int, seq_num: int) -> None:
        self.intake.begin_wait(key, seq_num)

    def end_wait(self, key: int) -> None:
        self.intake.end_wait(key)

    def record_done(self, seq_num: int) -> None:
        self.intake.record_done(seq_num)

    def put(self, seq_num: int, message: bytes) -> None:
        self.put_run(seq_num, (message,))

    def put_run(self, first: int, messages: Sequence[bytes]) -> None:
        if not messages:
            return
        if first < self._end:
            raise LocalProtocolError(f"message {first} after {self._end - 1}: a number keeps its content forever")
        self._firsts.append(first)
        self._runs.append(tuple(messages))  # the garbage collector leaves a tuple of bytes alone
        self._end = first + len(messages)
        self._count += len(messages)
        while self._count - len(self._runs[self._oldest]) >= self._max_messages:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._count -= len(self._runs[self._oldest])
        self._runs[self._oldest] = ()
        self._oldest += 1
        if 8 * self._oldest > len(self._runs):  # rare enough to cost nothing a message
            del self._firsts[: self._oldest], self._runs[: self._oldest]
            self._oldest = 0

    def read(self, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        while begin <= end:  # runs are searched again for each: the oldest may have been dropped meanwhile
            firsts = self._firsts
            at = max(bisect_right(firsts, begin, self._oldest) - 1, self._oldest)
            if at < len(firsts) and firsts[at] + len(self._runs[at]) <= begin:
                at += 1
            if at >= len(firsts):
                return
            first, run = firsts[at], self._runs[at]
            begin = max(begin, first)
            yield from enumerate(run[begin - first : max(end + 1 - first, 0)], begin)
            begin = first + len(run)

    def reset(self) -> None:
        self.intake.reset()
        self.next_out = 1
        self._forget_messages()
