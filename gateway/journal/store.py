"""The durable `MessageStore`: one session's numbers and messages, in the journal that all sessions share.

Setting a number only marks the session; `record` writes both numbers once per commit, and only if they do not follow
from earlier records. Messages stay in the segments; memory holds where they are. Before editing: an inbound message
that waits in memory has no record, so no record may move NextIn past it, nor let a message that overtook it be taken
twice.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from gateway.journal.index import SessionIndex
from gateway.journal.record import (
    HEAD_TAIL,
    OUT,
    OUT_RUN,
    OUT_RUN_HEAD_TAIL,
    RESET,
    STATE,
    STATE_HEAD_TAIL,
    U64,
    U64_HEAD_TAIL,
    JournalCorrupt,
    pack_sizes,
    run_bytes,
    unpack_run,
)
from gateway.journal.scan import SeqNums
from gateway.journal.writer import Writer
from protocols.fix.session.store import Intake

_pack_head = U64_HEAD_TAIL.pack
_pack_run_head = OUT_RUN_HEAD_TAIL.pack
_pack_state_head = STATE_HEAD_TAIL.pack
_STATE_BYTES = STATE_HEAD_TAIL.size - HEAD_TAIL.size  # of the body: both numbers
_OUT_PREFIX_BYTES = U64_HEAD_TAIL.size - HEAD_TAIL.size  # of the body: its seq_num
_RUN_MAX_BYTES = 65_536
"""Of the body of one OUT_RUN. To read one message back, the whole record is read and checked."""


class JournalStore:
    """A `MessageStore`; the next commit records what was set and put."""

    __slots__ = ("_dirty", "_is_dirty", "_last", "_next_out", "_writer", "index", "intake", "session")

    def __init__(
        self, session: int, writer: Writer, dirty: "list[JournalStore]", numbers: SeqNums, index: SessionIndex
    ) -> None:
        """dirty: the store adds itself here when a number was set. numbers, index: what was read back."""
        self.session = session
        self._writer = writer
        self._dirty = dirty
        self._is_dirty = False
        self.intake = Intake(numbers.next_in, numbers.done)
        self._next_out = numbers.next_out
        self._last = SeqNums(numbers.next_in, numbers.next_out, numbers.done)  # last STATE or RESET
        self.index = index

    @property
    def next_in(self) -> int:
        return self.intake.next_in

    @next_in.setter
    def next_in(self, seq_num: int) -> None:
        self.intake.expect(seq_num)
        if not self._is_dirty:
            self._mark_dirty()

    def begin_wait(self, key: int, seq_num: int) -> None:
        self.intake.begin_wait(key, seq_num)
        self._mark_dirty()

    def end_wait(self, key: int) -> None:
        if self.intake.end_wait(key):
            self._mark_dirty()

    def record_done(self, seq_num: int) -> None:
        self.intake.record_done(seq_num)
        self._mark_dirty()

    @property
    def next_out(self) -> int:
        return self._next_out

    @next_out.setter
    def next_out(self, seq_num: int) -> None:
        self._next_out = seq_num
        if not self._is_dirty:
            self._mark_dirty()

    def put(self, seq_num: int, message: bytes) -> None:
        """Keep the outbound message `seq_num`, exactly as sent.

        Raises:
            LocalProtocolError: the number, or a higher one, has a message already; nothing is changed.
        """
        index, writer, size = self.index, self._writer, len(message)
        if seq_num < index.end:
            raise index.kept_already(seq_num)
        offset = writer.add(_pack_head(_OUT_PREFIX_BYTES + size, OUT, self.session, seq_num), message)
        index.add(seq_num, writer.segment.number, offset, size)

    def put_run(self, first: int, messages: Sequence[bytes]) -> None:
        """Keep the outbound messages first, first + 1, ... in one record, or in several if they are long.

        Raises:
            LocalProtocolError: a number, or a higher one, has a message already; nothing is changed.
        """
        count = len(messages)
        if count < 2:
            for message in messages:
                self.put(first, message)
            return
        data = b"".join(messages)
        size = run_bytes(count, len(data))
        if size > _RUN_MAX_BYTES:
            half = count // 2
            self.put_run(first, messages[:half])
            self.put_run(first + half, messages[half:])
            return
        index, writer = self.index, self._writer
        if first < index.end:
            raise index.kept_already(first)
        head = _pack_run_head(size, OUT_RUN, self.session, first, count) + pack_sizes(messages)
        offset = writer.add(head, data)
        index.add_run(first, count, writer.segment.number, offset, len(data))

    def read(self, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        """The kept messages with begin <= number <= end, rising, without those that retention has dropped.

        Lazy: one slice of the range is in memory at a time.

        Raises:
            JournalCorrupt: a message is not as it was written.
            JournalFailed: the disk failed, or a message could not be written yet because there is no room.
        """
        for segment, first, offsets in self.index.slices(begin, end):
            places = [(offset, len(list(same))) for offset, same in groupby(offsets)]
            records = self._writer.read(segment, (offset for offset, _ in places if offset))
            at = first
            for offset, count in places:
                if offset:
                    found = next(records, None)
                    if found is None:  # the segment was dropped
                        break
                    yield from enumerate(self._messages(segment, at, count, *found), at)
                at += count

    def _messages(self, segment: int, first: int, count: int, kind: int, session: int, body: bytes) -> list[bytes]:
        """The messages of `count` numbers from `first` on, of one record.

        Raises:
            JournalCorrupt: they are not in it.
        """
        found: list[bytes] = []
        if session == self.session and kind == OUT_RUN:
            begin, messages = unpack_run(body)
            found = messages[first - begin : first - begin + count] if first >= begin else []
        elif session == self.session and kind == OUT and U64.unpack_from(body)[0] == first:
            found = [body[_OUT_PREFIX_BYTES:]]
        if len(found) != count:
            raise JournalCorrupt(f"segment {segment}: message {first} of session {self.session} is not there")
        return found

    def reset(self) -> None:
        self._writer.append(RESET, self.session, b"")
        self.index.clear()
        self.intake.reset()
        self._next_out = 1
        self._last = SeqNums()

    def record(self) -> None:
        """Record both numbers, unless they follow from earlier records."""
        self._is_dirty = False
        next_in, done = self.intake.without_memory()
        last, next_out = self._last, self._next_out
        if next_in == last.next_in and done == last.done and next_out == max(last.next_out, self.index.end):
            return
        if done:
            self._writer.append(STATE, self.session, SeqNums(next_in, next_out, done).pack())
        else:  # as in nearly every commit
            self._writer.add(_pack_state_head(_STATE_BYTES, STATE, self.session, next_in, next_out), b"")
        last.next_in, last.next_out, last.done = next_in, next_out, done

    def checkpoint(self) -> tuple[int, int, bytes]:
        """A STATE that repeats what the records so far say, without the numbers of a turn that is not committed."""
        return STATE, self.session, self._recorded().pack()

    def _mark_dirty(self) -> None:
        if not self._is_dirty:
            self._is_dirty = True
            self._dirty.append(self)

    def _recorded(self) -> SeqNums:
        last = self._last
        return SeqNums(last.next_in, max(last.next_out, self.index.end), last.done)
