"""Reads a journal back at start: the numbers and messages of every session, and where to continue.

What a crash left of the last commit is judged here:

    records, no COMMIT after them         cut, in however many segments: nothing of them had left the process
    a bad record, nothing valid after it  cut, like the above
    a bad record, valid ones after it     damage: the start fails

The last case has one exception. Under durability "disk" a loss of power may lose unsynced pages in any order, so valid
records may follow a hole that was never synced. A COMMIT after the hole says how far the disk was known to be synced.
"""

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.journal import record
from gateway.journal.end import end_path, read_end
from gateway.journal.index import SessionIndex
from gateway.journal.record import SEGMENT_HEADER_BYTES, TWO_U64, U64, JournalCorrupt, SegmentHeader
from gateway.journal.segment import Segment, damaged, segment_paths, sync_directory
from protocols.errors import LocalProtocolError
from protocols.fix.session.store import Ranges

Sink = Callable[[int, int, int, bytes], None]
"""Gets each record of the owner's kinds: kind, session, position, body."""

_Record = tuple[int, int, int, int]
"""As `scan` yields it: kind, session, offset, offset of its end."""


class SeqNums(msgspec.Struct):
    """Both sequence numbers of a session, as in the body of STATE.

    done: inbound numbers above next_in that were processed early, as rising (first, end); they are not taken again.
    """

    next_in: int = 1
    next_out: int = 1
    done: Ranges = ()

    def pack(self) -> bytes:
        return TWO_U64.pack(self.next_in, self.next_out) + b"".join(TWO_U64.pack(*each) for each in self.done)

    @classmethod
    def unpack(cls, body: bytes) -> "SeqNums":
        (next_in, next_out), *done = TWO_U64.iter_unpack(body)
        return cls(next_in, next_out, tuple(done))


class ScanReport(msgspec.Struct):
    """What a start found. `records`: those of complete commits. `cut_bytes`: removed from the end of `cut_file`, of a
    commit that was not complete; nothing had been promised on it. `is_proven`: it is known that no end is missing.
    """

    sessions: dict[int, SeqNums]
    is_proven: bool = True
    records: int = 0
    segments: int = 0
    cut_bytes: int = 0
    cut_file: str = ""


class SegmentScan:
    """The segments of a directory, oldest first, and what the complete commits in them hold."""

    def __init__(self, directory: Path, sink: Sink | None) -> None:
        """Read everything, and cut an incomplete commit.

        Raises:
            JournalCorrupt: a record cannot be read, or is missing; nothing is changed.
        """
        self.numbers: defaultdict[int, SeqNums] = defaultdict(SeqNums)
        self.indexes: defaultdict[int, SessionIndex] = defaultdict(SessionIndex)
        self.segments: list[Segment] = []
        self.end_position = 0  # after the last COMMIT
        self.first_owned: int | None = None  # position of the first record of the owner's
        self.next_number = 1
        self.report = ScanReport(self.numbers)
        self._sink = sink
        self._records_end = 0  # position after the last valid record
        self._open: list[tuple[Segment, bytes, list[_Record]]] = []  # parts of the commit whose end is not read yet
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
        for session, index in self.indexes.items():
            self.numbers[session].next_out = max(self.numbers[session].next_out, index.end)
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
            raise damaged(before.path, self._records_end - before.first_position, "a bad record, with good ones after")
        end = self._take_commits(segment, data)
        self._records_end = header.first_position + end
        if is_last:
            _check_tail(segment, header, data, end)
            lost = header.first_position + record.written_bytes(data) - self.end_position
            self.report.cut_bytes = max(lost, 0)  # the zeros that a COMMIT ends with do not count as written
        if not header.synced:
            os.fsync(fd)  # everything sent from now on depends on it
        self.next_number = header.number + 1

    def _take_commits(self, segment: Segment, data: bytes) -> int:
        """Take in the commits that end in this segment, and keep the open part; the offset where the records end."""
        end, records = SEGMENT_HEADER_BYTES, list[_Record]()
        for each in record.scan(data, end, segment.salt):
            records.append(each)
            if each[0] != record.COMMIT:
                continue
            for part in (*self._open, (segment, data, records)):
                self._take(*part)
            self._open.clear()
            self.end_position = segment.first_position + each[3]
            end, records = each[3], []
        if records:
            self._open.append((segment, data, records))
            end = records[-1][3]
        return end

    def _take(self, segment: Segment, data: bytes, records: list[_Record]) -> None:
        """Take in the part of a complete commit that is in one segment."""
        number, indexes, seq_num_at = segment.number, self.indexes, U64.unpack_from
        for kind, session, offset, end in records:
            body = offset + record.HEAD_BYTES
            if kind == record.OUT:
                try:
                    indexes[session].add(seq_num_at(data, body)[0], number, offset, end - body - U64.size)
                except LocalProtocolError as error:
                    raise damaged(segment.path, offset, str(error)) from None
            elif kind == record.OUT_RUN:
                first, count = record.OUT_RUN_PREFIX.unpack_from(data, body)
                size_bytes = end - body - record.run_bytes(count, 0)
                try:
                    indexes[session].add_run(first, count, number, offset, size_bytes)
                except LocalProtocolError as error:
                    raise damaged(segment.path, offset, str(error)) from None
            elif kind == record.STATE:
                self.numbers[session] = SeqNums.unpack(data[body:end])
            elif kind == record.RESET:
                self.numbers[session] = SeqNums()
                indexes[session].clear()
            elif kind >= record.FIRST_OWNER_KIND:
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
            what = f"not a record that this program can read: {error}"
            raise JournalCorrupt(f"{segment.path}: offset {offset}: {what}. Nothing was changed.") from error

    def _check_end(self, directory: Path, known: int | None) -> None:
        """Check that everything is there that the end file says was safe."""
        self.report.is_proven = known is not None or not self.segments
        missing = (known or 0) - self.end_position
        if missing <= 0:
            return
        place = f"{directory}: no segment is there"
        if self.segments:
            place = f"{self.segments[-1].path}: offset {self.end_position - self.segments[-1].first_position}"
        raise JournalCorrupt(
            f"{place}: the journal ends here, and {missing} bytes more were safe when `end` was written: orders, events"
            " and numbers that clients have seen. Nothing was changed. Restore the whole directory from a copy. Or, to"
            f" continue without them (under a new epoch, and no number is used twice), remove {end_path(directory)}"
        )

    def _cut(self) -> None:
        """Make the end of the last complete commit the end of the journal.

        Newest first: a crash in the middle leaves an open commit again, and no gap.
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
        os.fsync(last.fd)  # everything sent from now on depends on it
        if self.report.cut_bytes:
            self.report.cut_file = last.path.name


def _header(path: Path, data: bytes) -> SegmentHeader:
    """The header of the segment at `path`.

    Raises:
        JournalCorrupt: it has none, or one that does not fit the file's name.
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
    """Check that the last segment, whose records end at the offset `end`, is as a crash may leave it.

    Raises:
        JournalCorrupt: a record after the end had been promised.
    """
    if record.written_bytes(data) <= end:
        return
    position = header.first_position + end
    for kind, _, offset, _ in record.scan_strays(data, end, header.salt):
        had_been_synced = kind == record.COMMIT and U64.unpack_from(data, offset + record.HEAD_BYTES)[0] > position
        if had_been_synced or not header.synced:
            raise damaged(segment.path, end, f"a bad record, with a good one after it at offset {offset}")


def _is_blank(path: Path) -> bool:
    """Whether the power was lost after a segment got its name and before it got its first bytes."""
    with path.open("rb") as file:
        return not any(file.read(SEGMENT_HEADER_BYTES)) and not any(map(any, iter(lambda: file.read(1 << 20), b"")))


def _read_whole(fd: int) -> bytes:
    """All of the file. A start holds one segment at a time in memory."""
    size = os.fstat(fd).st_size
    parts = [os.pread(fd, size, 0)]
    while parts[-1] and (done := sum(map(len, parts))) < size:
        parts.append(os.pread(fd, size - done, done))
    return parts[0] if len(parts) == 1 else b"".join(parts)
