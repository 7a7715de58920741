"""Where a session keeps its numbers and what it has sent. The machine asks; who answers may be memory or a journal.

Calls are synchronous and cheap: a durable store buffers them and writes once a tick, before the bytes leave.
"""

from collections.abc import Iterator
from typing import Protocol


class MessageStore(Protocol):
    """Both sequence numbers of one session, and its outbound messages by number."""

    next_in: int
    next_out: int

    @property
    def processed(self) -> int:
        """The inbound number up to which every message was dealt with: what LastMsgSeqNumProcessed(369) tells."""
        ...

    def begin_wait(self, key: int, seq_num: int) -> None:
        """Inbound message `seq_num`, which was taken, waits in memory for what it needs; messages of later numbers may
        be dealt with meanwhile. Without that memory, after a crash, it is the next one expected; none of the others is
        taken twice. Called in the order of the numbers. key: tells it from a message of that number before a reset.
        """
        ...

    def end_wait(self, key: int) -> None:
        """It goes on, or is refused; no effect after a reset."""
        ...

    def put(self, seq_num: int, message: bytes) -> None:
        """Keep the outbound message `seq_num`, whole as sent: an application message or a Reject(3). The other session
        messages are numbered, not kept.
        """
        ...

    def read(self, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        """The kept messages with begin <= number <= end, rising; numbers that were not kept are left out."""
        ...

    def reset(self) -> None:
        """Both numbers back to 1 and nothing kept."""
        ...


class MemoryStore:
    """A store that lives as long as the process. At most `max_messages`: the oldest go first, and are gap-filled."""

    def __init__(self, max_messages: int = 100_000) -> None:
        self.next_in = 1
        self.next_out = 1
        self._max_messages = max_messages
        self._messages: dict[int, bytes] = {}
        self._waiting: dict[int, int] = {}  # by key: the number, rising

    @property
    def processed(self) -> int:
        """Every inbound message up to here was dealt with."""
        return next(iter(self._waiting.values()), self.next_in) - 1

    def begin_wait(self, key: int, seq_num: int) -> None:
        """Inbound message `seq_num` waits."""
        self._waiting[key] = seq_num

    def end_wait(self, key: int) -> None:
        """It waits no more."""
        self._waiting.pop(key, None)

    def put(self, seq_num: int, message: bytes) -> None:
        """Keep one message; the oldest goes when the bound is reached."""
        messages = self._messages
        messages[seq_num] = message
        if len(messages) > self._max_messages:
            del messages[next(iter(messages))]

    def read(self, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        """The kept messages of the range, rising."""
        messages = self._messages
        if not messages:
            return
        first = max(begin, next(iter(messages)))
        for seq_num in range(first, min(end, self.next_out - 1) + 1):
            message = messages.get(seq_num)
            if message is not None:
                yield seq_num, message

    def reset(self) -> None:
        """Both numbers back to 1 and nothing kept."""
        self.next_in = 1
        self.next_out = 1
        self._messages.clear()
        self._waiting.clear()
