"""Where the messages of one session are in the journal, by MsgSeqNum(34): four bytes each. Pure.

Messages that are in one record, which holds consecutive numbers, have its offset in common.

There is one range of numbers per segment, and another after a long jump. So dropping a segment drops whole ranges, and
a jump of a billion numbers costs nothing. Inside a range, offset 0 means a number whose message was not kept (a session
message).
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter

from protocols.errors import LocalProtocolError

_PAD_MAX_NUMBERS = 1_024
"""A longer jump in the numbers begins a new range instead of adding zeros."""
_SLICE_NUMBERS = 256
"""Numbers looked up at a time: a reader holds a slice while the index may change."""


class _NumberRange:
    """Numbers first, first + 1, ...: the offset of each in one segment, 0 = not kept."""

    __slots__ = ("end", "first", "offsets", "segment", "size_bytes")

    def __init__(self, segment: int, first: int) -> None:
        self.segment = segment
        self.first = first
        self.end = first
        self.offsets = array("I")
        self.size_bytes = 0


class SessionIndex:
    """The kept messages of one session, rising by number. `end`: one past the highest number ever kept, or 0."""

    __slots__ = ("_before_bytes", "_before_numbers", "_run", "_runs", "end")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._runs: list[_NumberRange] = []
        self._run = _NumberRange(-1, 0)  # the last of them
        self._before_numbers = 0  # in all others
        self._before_bytes = 0
        self.end = 0

    def add(self, seq_num: int, segment: int, offset: int, size_bytes: int) -> None:
        """Message `seq_num` is at `offset` of `segment`.

        Raises:
            LocalProtocolError: the number, or a higher one, is kept already; nothing is changed.
        """
        run = self._run
        if seq_num != run.end or segment != run.segment:
            run = self._run_for(seq_num, segment)
        run.offsets.append(offset)
        run.size_bytes += size_bytes
        run.end = self.end = seq_num + 1

    def add_run(self, first: int, count: int, segment: int, offset: int, size_bytes: int) -> None:
        """The messages first, first + 1, ... are in one record at `offset` of `segment`; size_bytes: of all of them.

        Raises:
            LocalProtocolError: a number, or a higher one, is kept already; nothing is changed.
        """
        run = self._run
        if first != run.end or segment != run.segment:
            run = self._run_for(first, segment)
        run.offsets.extend(array("I", (offset,)) * count)
        run.size_bytes += size_bytes
        run.end = self.end = first + count

    def kept_already(self, seq_num: int) -> LocalProtocolError:
        """The error to raise for a number that is below `end`."""
        return LocalProtocolError(f"message {seq_num} after {self.end - 1}: a number keeps its content forever")

    def slices(self, begin: int, end: int) -> Iterator[tuple[int, int, "array[int]"]]:
        """The kept messages of begin..end as (segment, first number, offsets), each looked up when it is requested."""
        while begin <= end:  # ranges are searched again for each slice: the oldest may have been dropped meanwhile
            runs = self._runs
            at = max(bisect_right(runs, begin, key=attrgetter("first")) - 1, 0)
            if at < len(runs) and runs[at].end <= begin:
                at += 1
            if at >= len(runs):
                return
            run = runs[at]
            begin = max(begin, run.first)
            stop = min(end + 1, run.end, begin + _SLICE_NUMBERS)
            if begin < stop:
                yield run.segment, begin, run.offsets[begin - run.first : stop - run.first]
            begin = max(stop, begin)

    def needs(self, segment: int, min_numbers: int, min_bytes: int) -> bool:
        """Whether dropping `segment`, the oldest, would leave fewer than `min_numbers` and less than `min_bytes`."""
        last = self._run
        numbers, size_bytes = self._before_numbers + len(last.offsets), self._before_bytes + last.size_bytes
        holds_any = False
        for run in self._runs:
            if run.segment > segment:
                break
            holds_any = True
            numbers -= len(run.offsets)
            size_bytes -= run.size_bytes
        return holds_any and numbers < min_numbers and size_bytes < min_bytes

    def drop(self, segment: int) -> None:
        """Forget the messages in `segment` and before it. Never called for the segment being written."""
        runs = self._runs
        while runs and runs[0].segment <= segment:
            run = runs.pop(0)
            if run is self._run:
                self._run = _NumberRange(-1, 0)
            else:
                self._before_numbers -= len(run.offsets)
                self._before_bytes -= run.size_bytes

    def _run_for(self, seq_num: int, segment: int) -> _NumberRange:
        """The range that `seq_num` is appended to next."""
        if seq_num < self.end:
            raise self.kept_already(seq_num)
        run = self._run
        if segment == run.segment and seq_num - run.end <= _PAD_MAX_NUMBERS:
            run.offsets.extend([0] * (seq_num - run.end))
            return run
        self._before_numbers += len(run.offsets)
        self._before_bytes += run.size_bytes
        self._run = run = _NumberRange(segment, seq_num)
        self._runs.append(run)
        return run
