"""Reads a journal back at start: the numbers and messages of every session, and where to go on.

What the end of the last segment looks like after a crash is judged here. A tail without a whole record behind it was
being written and is cut. A hole with whole records behind it is damage and stops the start, with one exception: under
durability "disk" pages that were never synced may be lost in any order when the power goes; a MARK behind the hole
tells whether the hole had been synced.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway.journal_index import SessionIndex
from gateway.journal_record import (
    FIRST_OWNER_KIND,
    HEAD_BYTES,
    MARK,
    OUT,
    RESET,
    SEGMENT_HEADER_BYTES,
    STATE,
    TICK,
    TWO_U64,
    U64,
    SegmentHeader,
    scan,
    scan_strays,
    written_bytes,
)
from gateway.journal_segment import Segment, damaged, segment_paths
from protocols.errors import LocalProtocolError

Sink = Callable[[int, int, int, bytes], None]
"""Told of each record of the owner's kinds: kind, session, position, body."""


class Numbers(msgspec.Struct):
    """Both sequence numbers of a session, as the records tell them."""

    next_in: int = 1
    next_out: int = 1


class Recovery(msgspec.Struct):
    """What a start found. `cut_bytes`: of a torn tail at the end of `cut_file`; no promise had been made on them."""

    sessions: dict[int, Numbers]
    records: int = 0
    segments: int = 0
    cut_bytes: int = 0
    cut_file: str = ""


class Run:
    """The segments of a directory, oldest first, and all that they tell."""

    def __init__(self, directory: Path, sink: Sink | None) -> None:
        """Read it all.

        Raises:
            JournalCorrupt: something that was recorded cannot be read; nothing is changed.
        """
        self.numbers: dict[int, Numbers] = {}
        self.indexes: dict[int, SessionIndex] = {}
        self.segments: list[Segment] = []
        self.end_position = 0
        self.first_owned: int | None = None  # position of the first record of the owner's
        self.next_number = 1
        self.report = Recovery(self.numbers)
        self._sink = sink
        paths = segment_paths(directory)
        never_written = paths.pop() if paths and _is_blank(paths[-1]) else None
        try:
            for path in paths:
                self._read(path, is_last=path is paths[-1])
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
            header = SegmentHeader.unpack(data)
            if header.number != int(path.stem):
                raise ValueError(f"this is segment {header.number}")
        except ValueError as error:
            os.close(fd)
            raise damaged(path, 0, str(error)) from None
        segment = Segment(fd, path, header, len(data))
        self.segments.append(segment)
        if len(self.segments) > 1 and header.first_position != self.end_position:
            before = self.segments[-2]
            raise damaged(before.path, self.end_position - before.first_position, "a bad record, with good ones behind")
        end = _last_whole_commit(data, segment.salt) if is_last else len(data)
        end = self._take_records(segment, data, end)
        if is_last:
            self._end_at(segment, header, data, end)
        if is_last or not header.synced:
            os.fsync(fd)  # what is told from here on rests on it
        self.end_position = header.first_position + end
        self.next_number = header.number + 1

    def _take_records(self, segment: Segment, data: bytes, limit: int) -> int:
        """Take in the records of one segment, up to the offset `limit`; the offset at which they end."""
        number, indexes, seq_num_at = segment.number, self.indexes, U64.unpack_from
        end, records = SEGMENT_HEADER_BYTES, 0
        try:
            for kind, session, offset, record_end in scan(data, end, segment.salt):
                if record_end > limit:
                    break
                records += 1
                body = offset + HEAD_BYTES
                if kind == OUT:
                    if session not in indexes:
                        self._take_state(session, 1, 1)
                    indexes[session].add(seq_num_at(data, body)[0], number, offset, record_end - body - U64.size)
                elif kind == STATE:
                    next_in, next_out = TWO_U64.unpack_from(data, body)
                    self._take_state(session, next_in, next_out)
                elif kind == RESET:
                    self._take_state(session, 1, 1)
                    self.indexes[session].clear()
                elif kind >= FIRST_OWNER_KIND:
                    self._take_owned(kind, session, segment.first_position + offset, data[body:record_end])
                end = record_end
        except LocalProtocolError as error:
            raise damaged(segment.path, end, str(error)) from None
        self.report.records += records
        return end

    def _take_owned(self, kind: int, session: int, position: int, body: bytes) -> None:
        if self.first_owned is None:
            self.first_owned = position
        if self._sink is not None:
            self._sink(kind, session, position, body)

    def _take_state(self, session: int, next_in: int, next_out: int) -> None:
        numbers = self.numbers.get(session)
        if numbers is None:
            self.numbers[session] = Numbers(next_in, next_out)
            self.indexes[session] = SessionIndex()
        else:
            numbers.next_in, numbers.next_out = next_in, next_out

    def _end_at(self, segment: Segment, header: SegmentHeader, data: bytes, end: int) -> None:
        """Cut the last segment where its records end, if that is what a crash may have left.

        Raises:
            JournalCorrupt: something behind the end was recorded.
        """
        lost = written_bytes(data) - end
        if lost > 0:
            bad = end
            for *_, bad in scan(data, end, header.salt):  # whole records of a commit that is not
                pass
            position = header.first_position + bad
            for kind, _, offset, _ in scan_strays(data, bad, header.salt):
                had_been_synced = kind == MARK and U64.unpack_from(data, offset + HEAD_BYTES)[0] > position
                if had_been_synced or not header.synced:
                    raise damaged(segment.path, bad, f"a bad record, with a good one behind it at offset {offset}")
            self.report.cut_bytes, self.report.cut_file = lost, segment.path.name
        os.ftruncate(segment.fd, end)
        segment.size_bytes = end


def _last_whole_commit(data: bytes, salt: int) -> int:
    """The offset behind the last commit that is there as a whole: nothing of a later one may have left the process."""
    end = SEGMENT_HEADER_BYTES
    for kind, _, _, record_end in scan(data, end, salt):
        if kind == TICK:
            end = record_end
    return end


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
