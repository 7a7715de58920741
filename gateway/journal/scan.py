"""Reads a journal back at start: the numbers and messages of every session, and where to go on.

What a crash has left of the last commit is judged here. Records without a COMMIT behind them are cut, in however many
segments they lie: nothing of them had left the process. A hole with whole records behind it is damage and stops the
start, with one exception: under durability "disk" pages that were never synced may be lost in any order when the power
goes; a COMMIT behind the hole tells whether the hole had been synced.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.journal.end import end_path, read_end
from gateway.journal.index import SessionIndex
from gateway.journal.record import (
    COMMIT,
    FIRST_OWNER_KIND,
    HEAD_BYTES,
    OUT,
    RESET,
    SEGMENT_HEADER_BYTES,
    STATE,
    TWO_U64,
    U64,
    JournalCorrupt,
    SegmentHeader,
    scan,
    scan_strays,
    written_bytes,
)
from gateway.journal.segment import Segment, damaged, segment_paths, sync_directory
from protocols.errors import LocalProtocolError
from protocols.fix.session.store import Ranges

Sink = Callable[[int, int, int, bytes], None]
"""Told of each record of the owner's kinds: kind, session, position, body."""


_Record = tuple[int, int, int, int]
"""As `scan` gives it: kind, session, offset, offset of its end."""


class SeqNums(msgspec.Struct):
    """Both sequence numbers of a session, as the records tell them: the body of STATE.

    done: inbound numbers from next_in on that were dealt with before it, as rising (first, end); not taken again.
    """

    next_in: int = 1
    next_out: int = 1
    done: Ranges = ()

    def pack(self) -> bytes:
        """As recorded."""
        return TWO_U64.pack(self.next_in, self.next_out) + b"".join(TWO_U64.pack(*each) for each in self.done)

    @classmethod
    def unpack(cls, body: bytes) -> "SeqNums":
        """As `pack` made it."""
        (next_in, next_out), *done = TWO_U64.iter_unpack(body)
        return cls(next_in, next_out, tuple(done))


class ScanReport(msgspec.Struct):
    """What a start found. `records`: those of whole commits. `cut_bytes`: of a commit that was not whole, behind what
    is left of `cut_file`; no promise had been made on them. `is_proven`: that nothing is missing at the end is known.
    """

    sessions: dict[int, SeqNums]
    is_proven: bool = True
    records: int = 0
    segments: int = 0
    cut_bytes: int = 0
    cut_file: str = ""


class SegmentScan:
    """The segments of a directory, oldest first, and all that the whole commits in them tell."""

    def __init__(self, directory: Path, sink: Sink | None) -> None:
        """Read it all, and cut what is no whole commit.

        Raises:
            JournalCorrupt: something that was recorded cannot be read, or is gone; nothing is changed.
        """
        self.numbers: dict[int, SeqNums] = {}
        self.indexes: dict[int, SessionIndex] = {}
        self.segments: list[Segment] = []
        self.end_position = 0  # behind the last COMMIT
        self.first_owned: int | None = None  # position of the first record of the owner's
        self.next_number = 1
        self.report = ScanReport(self.numbers)
        self._sink = sink
        self._records_end = 0  # position behind the last whole record
        self._open: list[tuple[Segment, bytes, list[_Record]]] = []  # of the commit whose end is not read yet
        paths = segment_paths(directory)
        never_written = paths.pop() if paths and _is_blank(paths[-1]) else None
        try:
            for path in paths:
                self._read(path, is_last=path is paths[-1])
            self._check_end(directory, read_end(directory))
            self._cut()
        except BaseException:
            for segment in self.segments:
                segment.close()
            raise
        for session, numbers in self.numbers.items():
            numbers.next_out = max(numbers.next_out, self.indexes[session].end)
        if never_written is not None:
            never_written.unlink()
        self.report.segments = len(self.segments)

    def _read(self, path: Path, is_last: bool) -> None:
        fd = os.open(path, os.O_RDWR)
        data = _read_whole(fd)
        try:
            header = _header(path, data)
        except JournalCorrupt:
            os.close(fd)
            raise
        segment = Segment(fd, path, header, len(data))
        self.segments.append(segment)
        if len(self.segments) == 1:
            self.end_position = header.first_position + SEGMENT_HEADER_BYTES
        elif header.first_position != self._records_end:
            before = self.segments[-2]
            raise damaged(before.path, self._records_end - before.first_position, "a bad record, with good ones behind")
        end = self._take_commits(segment, data)
        self._records_end = header.first_position + end
        if is_last:
            _check_tail(segment, header, data, end)
            lost = header.first_position + written_bytes(data) - self.end_position
            self.report.cut_bytes = max(lost, 0)  # the zeros that a COMMIT ends with do not count as written
        if not header.synced:
            os.fsync(fd)  # what is told from here on rests on it
        self.next_number = header.number + 1

    def _take_commits(self, segment: Segment, data: bytes) -> int:
        """Take in the commits that end in this segment, and keep what is open; the offset at which the records end."""
        end, records = SEGMENT_HEADER_BYTES, list[_Record]()
        for record in scan(data, end, segment.salt):
            records.append(record)
            if record[0] != COMMIT:
                continue
            for part in (*self._open, (segment, data, records)):
                self._take(*part)
            self._open.clear()
            self.end_position = segment.first_position + record[3]
            end, records = record[3], []
        if records:
            self._open.append((segment, data, records))
            end = records[-1][3]
        return end

    def _take(self, segment: Segment, data: bytes, records: list[_Record]) -> None:
        """Take in what one segment holds of a whole commit."""
        number, indexes, seq_num_at = segment.number, self.indexes, U64.unpack_from
        for kind, session, offset, end in records:
            body = offset + HEAD_BYTES
            if kind == OUT:
                if session not in indexes:
                    self._take_state(session, SeqNums())
                try:
                    indexes[session].add(seq_num_at(data, body)[0], number, offset, end - body - U64.size)
                except LocalProtocolError as error:
                    raise damaged(segment.path, offset, str(error)) from None
            elif kind == STATE:
                self._take_state(session, SeqNums.unpack(data[body:end]))
            elif kind == RESET:
                self._take_state(session, SeqNums())
                indexes[session].clear()
            elif kind >= FIRST_OWNER_KIND:
                self._take_owned(kind, session, segment, offset, data[body:end])
        self.report.records += len(records)

    def _take_owned(self, kind: int, session: int, segment: Segment, offset: int, body: bytes) -> None:
        position = segment.first_position + offset
        if self.first_owned is None:
            self.first_owned = position
        if self._sink is None:
            return
        try:
            self._sink(kind, session, position, body)
        except ValueError as error:
            what = f"no record that this program can read: {error}"
            raise JournalCorrupt(f"{segment.path}: offset {offset}: {what}. Nothing was changed") from error

    def _take_state(self, session: int, numbers: SeqNums) -> None:
        self.numbers[session] = numbers
        if session not in self.indexes:
            self.indexes[session] = SessionIndex()

    def _check_end(self, directory: Path, known: int | None) -> None:
        """Whether all is there that was said to be safe."""
        self.report.is_proven = known is not None or not self.segments
        missing = (known or 0) - self.end_position
        if missing <= 0:
            return
        segment = self.segments[-1] if self.segments else None
        offset = self.end_position - segment.first_position if segment is not None else 0
        place = f"{segment.path}: offset {offset}" if segment is not None else f"{directory}: no segment is there"
        raise JournalCorrupt(
            f"{place}: the journal ends here, and {missing} bytes more were safe when `end` was written: orders, events"
            " and numbers that clients were told. Nothing was changed. Restore the whole directory from a copy; or, to"
            f" go on without it (under a new epoch, and no number is given twice), remove {end_path(directory)}"
        )

    def _cut(self) -> None:
        """Make the end of the last whole commit the end of the run.

        Newest first: a crash in the middle of it leaves an open commit again, and no gap.
        """
        if not self.segments:
            return
        while (last := self.segments[-1]).first_position >= self.end_position:
            last.path.unlink()
            sync_directory(last.path.parent)
            self.segments.pop().close()
            self.next_number = last.number
        last.size_bytes = self.end_position - last.first_position
        os.ftruncate(last.fd, last.size_bytes)
        os.fsync(last.fd)  # what is told from here on rests on it
        if self.report.cut_bytes:
            self.report.cut_file = last.path.name


def _header(path: Path, data: bytes) -> SegmentHeader:
    """The header of the segment at `path`.

    Raises:
        JournalCorrupt: it has none that fits.
    """
    try:
        header = SegmentHeader.unpack(data)
    except ValueError as error:
        raise damaged(path, 0, str(error)) from None
    except JournalCorrupt as error:
        raise JournalCorrupt(f"{path}: {error}") from None
    if header.number != int(path.stem):
        raise damaged(path, 0, f"this is segment {header.number}")
    return header


def _check_tail(segment: Segment, header: SegmentHeader, data: bytes, end: int) -> None:
    """Whether the last segment, whose records end at the offset `end`, is as a crash may leave it.

    Raises:
        JournalCorrupt: something behind the end was recorded.
    """
    if written_bytes(data) <= end:
        return
    position = header.first_position + end
    for kind, _, offset, _ in scan_strays(data, end, header.salt):
        had_been_synced = kind == COMMIT and U64.unpack_from(data, offset + HEAD_BYTES)[0] > position
        if had_been_synced or not header.synced:
            raise damaged(segment.path, end, f"a bad record, with a good one behind it at offset {offset}")


def _is_blank(path: Path) -> bool:
    """Whether the power was lost between the name of a segment and its first bytes."""
    with path.open("rb") as file:
        return not any(file.read(SEGMENT_HEADER_BYTES)) and not any(map(any, iter(lambda: file.read(1 << 20), b"")))


def _read_whole(fd: int) -> bytes:
    """All of the file: one segment at a time is held while it is read, and no more."""
    size = os.fstat(fd).st_size
    parts: list[bytes] = []
    done = 0
    while done < size:
        parts.append(os.pread(fd, size - done, done))
        if not parts[-1]:
            break
        done += len(parts[-1])
    return parts[0] if len(parts) == 1 else b"".join(parts)
