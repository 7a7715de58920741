"""The writing end of the journal: buffers records, writes them with one call, moves on from segment to segment.

Before editing: an offset given out is final. A record is placed in its segment when it is added, so whatever may fail
for want of room (the next segment) is done in advance: a spare is always allocated, and it is also the reserve.
Without one the journal is "full": what still comes (cancels, their answers) has the rest of the current segment.
A commit may begin in one segment and end in a later one; it counts from its COMMIT record on, wherever that lies.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, NoReturn
from zlib import crc32

import msgspec

from gateway.journal.end import EndFile
from gateway.journal.record import (
    COMMIT,
    CRC,
    HEAD_BYTES,
    HEAD_TAIL,
    SEGMENT_HEADER_BYTES,
    U64,
    JournalFailed,
    SegmentHeader,
)
from gateway.journal.segment import NO_SPACE, Segment, allocate, segment_path, spare_path, sync_directory, write_at
from gateway.journal.sync import Syncer
from protocols.units import NS_PER_S

JournalState = Literal["ok", "full", "failed"]
_pack_crc = CRC.pack
_RETRY_NS = NS_PER_S
_KEPT_BYTES = 2 * (HEAD_BYTES + U64.size)  # for the COMMIT of what a segment holds, and for that of `close`


class JournalHooks(msgspec.Struct, frozen=True):
    """What the writer asks back.

    checkpoint: the (kind, session, body) records that a segment begins with. drop_old_segments: called when a segment
    has begun. notify: called in another thread with each new durable position, see `Syncer`.
    """

    checkpoint: Callable[[], Iterable[tuple[int, int, bytes]]]
    drop_old_segments: Callable[[], None]
    notify: Callable[[int], None]


class Writer:
    """Appends to the last of `segments`, which are kept by number, oldest first."""

    def __init__(self, directory: Path, segment_bytes: int, synced: bool, owner: JournalHooks) -> None:
        self.segments: dict[int, Segment] = {}
        self.segment: Segment  # the current one
        self.offset = 0  # in it, of the next record
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._owner = owner
        self._synced = synced
        self._syncer: Syncer | None = None
        self._pieces: list[bytes] = []
        self._written = 0  # bytes of the current segment
        self._capacity = 0  # where a record must end, with `_KEPT_BYTES` behind it
        self._salt = 0
        self._next_number = 1
        self._spare: int | None = None  # descriptor of the next segment
        self.lacks = ""  # why there was no room for one, when there was not
        self._retry_ns = 0
        self._end = EndFile(directory, synced)
        self._end_ns = 0  # when it may be written next, where nothing is synced
        self._unsettled = sys.maxsize  # what the start found is not settled before the owner's first commit is safe
        self._is_stuck = False
        self._failure: JournalFailed | None = None
        self._committed = 0  # position behind the last COMMIT
        self._written_whole = 0  # the same, of those that are written

    def start(self, recovered: list[Segment], next_number: int, position: int) -> None:
        """Go on at `position`, behind what was recovered, with a segment of our own.

        Raises:
            JournalFailed: there is no room for one.
        """
        for leftover in self._directory.glob("*.tmp"):
            leftover.unlink()
        self.segments = {segment.number: segment for segment in recovered}
        self._next_number = next_number
        self._committed = self._written_whole = position
        if self._synced:
            self._syncer = Syncer(position, self._on_synced)
        try:
            self._begin(position, 0)
            self._end_commit()
            self.flush()
        except BaseException:
            self.release()
            raise
        self._unsettled = self._committed

    @property
    def state(self) -> JournalState:
        """See `Journal.state`."""
        if self._failure is not None or (self._syncer is not None and self._syncer.failure is not None):
            return "failed"
        return "full" if self._spare is None or self._is_stuck else "ok"

    @property
    def durable(self) -> int:
        """See `Journal.durable`."""
        return self._syncer.durable if self._syncer is not None else self._written_whole

    @property
    def position(self) -> int:
        """Of the next record, if no new segment is begun for it."""
        return self.segment.first_position + self.offset

    def append(self, kind: int, session: int, body: bytes) -> int:
        """Add one record; its offset in `segment`, which may have become another one."""
        return self.add(HEAD_TAIL.pack(len(body), kind, session), body)

    def add(self, head: bytes, body: bytes) -> int:
        """Add one record. `head`: length, kind, session and whatever of the body is packed with them already."""
        size = 4 + len(head) + len(body)
        if self.offset + size > self._capacity:
            self._turn(size)
        offset = self.offset
        self._pieces += (_pack_crc(crc32(body, crc32(head, self._salt + offset))), head, body)
        self.offset = offset + size
        return offset

    def commit(self, now_ns: int) -> int:
        """Write what was added. See `Journal.commit`."""
        if self.state == "failed":
            self._raise_failure()
        if self.position != self._committed:
            self._end_commit()
        if self._spare is None or self._is_stuck:
            self._look_for_room(now_ns)
        if not self._is_stuck:
            self.flush()
        self._settle()
        if self._syncer is None and now_ns >= self._end_ns and self._written_whole > self._unsettled:
            self._end_ns = now_ns + _RETRY_NS
            self._do(partial(self._say_end, self._written_whole))
        return self._committed

    def flush(self) -> None:
        """Write what was added, as far as the disk has room; the rest waits.

        Raises:
            JournalFailed: the disk refused for another reason.
        """
        if not self._pieces:
            return
        if self._failure is not None:
            raise self._failure
        data = b"".join(self._pieces)
        try:
            done = write_at(self.segment.fd, data, self._written)
        except OSError as error:
            self._fail("a write failed", error)
        self._written += done
        # Only where posix_fallocate promised room that the filesystem does not have (compressed, copy on write):
        self._is_stuck = done < len(data)
        self._pieces = [data[done:]] if self._is_stuck else []

    def read(self, number: int, offsets: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Session and body of the records at these offsets of a segment; nothing when it was dropped.

        Raises:
            JournalFailed: some of it could not be written yet for want of room.
            JournalCorrupt: what lies there is not what was written.
        """
        self.flush()
        if self._is_stuck:
            raise JournalFailed(f"{self._directory}: the disk is full, and what was not written cannot be read")
        segment = self.segments.get(number)
        return iter(()) if segment is None else segment.read(offsets)

    def drop_oldest(self) -> None:
        """Remove the oldest segment, once all that was asked for before is done."""
        segment = self.segments.pop(next(iter(self.segments)))
        segment.is_dropped = True
        self._do(partial(_remove, segment, self._synced))

    def give_up(self, error: Exception) -> None:
        """Write nothing any more, for a reason that is not the disk's."""
        if self._failure is None:
            self._failure = JournalFailed(f"{self._directory}: given up: {error!r}")
            self._pieces.clear()

    def close(self) -> None:
        """Write and sync all, and leave nothing allocated that is not used.

        Raises:
            JournalFailed: not all could be made durable. Everything is let go of all the same.
        """
        try:
            if self.position != self._committed:
                self._end_commit()
            self.flush()
            if self._is_stuck:
                self._fail("the disk is full, and not all could be written")
            self._settle()
            if self._syncer is not None:
                self._syncer.close()
                if self.state == "failed":
                    self._raise_failure()
                self._end_commit()  # it knows all before it durable: from now on a hole anywhere is damage
                self.flush()
            os.ftruncate(self.segment.fd, self._written)
            os.fsync(self.segment.fd)
            self._say_end(self._committed, is_last=True)
        except OSError as error:
            self._fail("the last sync failed", error)
        finally:
            self.release()

    def release(self) -> None:
        """Let go of every file without writing anything more."""
        if self._syncer is not None:
            self._syncer.close()
        self._end.close()
        if self._spare is not None:
            os.close(self._spare)
            with suppress(OSError):  # the next start removes it
                spare_path(self._directory, self._next_number).unlink()
            self._spare = None
        for segment in self.segments.values():
            segment.close()
        self.segments = {}

    # -- from segment to segment ---------------------------------------------------------------------------------

    def _turn(self, size_bytes: int) -> None:
        """Begin the next segment, with room for a record of `size_bytes`.

        What fails here is raised by the commit to come: who adds a record is in the middle of something else.
        """
        try:
            self.flush()
            if self._is_stuck:
                self._fail("the disk is full, and so is the segment")
            self._begin(self.position, size_bytes)
        except JournalFailed:
            self._capacity = sys.maxsize

    def _begin(self, position: int, size_bytes: int) -> None:
        """Make the spare the current segment, with a header and a checkpoint; then get the next spare.

        The checkpoint is part of the commit to come: until that is durable, the segments before this one are needed.
        """
        if self._spare is None:
            self._make_spare()
        if self._spare is None:
            self._fail(f"the disk is full, and so is the reserve of {self._segment_bytes} bytes: free some room")
        fd, number, self._spare = self._spare, self._next_number, None
        self._next_number += 1
        checkpoint = list(self._owner.checkpoint())
        needed = SEGMENT_HEADER_BYTES + sum(HEAD_BYTES + len(body) for _, _, body in checkpoint) + size_bytes
        capacity = max(needed + _KEPT_BYTES, self._segment_bytes)
        header = SegmentHeader(number, position, int.from_bytes(os.urandom(4)), self._synced)
        old = self.segments.get(number - 1)
        new = self.segments[number] = self.segment = Segment(
            fd, segment_path(self._directory, number), header, capacity
        )
        if capacity > self._segment_bytes:  # for a record longer than a segment
            try:
                os.posix_fallocate(fd, 0, capacity)
            except OSError as error:
                self._fail(f"no room for a record of {size_bytes} bytes", error)
        self._salt, self._capacity, self._written = header.salt, capacity - _KEPT_BYTES, 0
        self._pieces = [header.pack()]
        self.offset = SEGMENT_HEADER_BYTES
        for kind, session, body in checkpoint:
            self.append(kind, session, body)
        self.flush()
        self._do(partial(_publish, old, new, spare_path(self._directory, number), self._synced))
        self._owner.drop_old_segments()
        self._make_spare()
        self._retry_ns = 0

    def _make_spare(self) -> None:
        try:
            self._spare = allocate(spare_path(self._directory, self._next_number), self._segment_bytes)
        except OSError as error:
            if error.errno not in NO_SPACE:
                self._fail("a segment could not be created", error)
            self.lacks = os.strerror(error.errno)

    def _look_for_room(self, now_ns: int) -> None:
        """Try again what the disk had no room for, at most once a second."""
        if now_ns >= self._retry_ns:
            self._retry_ns = now_ns + _RETRY_NS
            self.flush()
            if self._spare is None:
                self._make_spare()

    # -- the end of a commit, and what is done behind it -----------------------------------------------------------

    def _end_commit(self) -> None:
        """Say that all of this commit is there."""
        capacity, self._capacity = self._capacity, sys.maxsize  # its room was kept
        self.append(COMMIT, 0, U64.pack(self.durable))
        self._capacity = capacity
        self._committed = self.position

    def _settle(self) -> None:
        """What is written to the end of a commit may become durable; half of one never counts."""
        if self._is_stuck or self._written_whole == self._committed:
            return
        self._written_whole = self._committed
        if self._syncer is not None:
            self._syncer.advance(self.segment.fd, self._committed)

    def _on_synced(self, durable: int) -> None:
        """In the sync thread, behind each sync."""
        self._owner.notify(durable)
        self._say_end(durable)

    def _say_end(self, safe: int, is_last: bool = False) -> None:
        if safe > self._unsettled:
            self._end.write(safe, is_last)

    def _do(self, step: Callable[[], None]) -> None:
        """Take a step in order with the syncs, if there are any."""
        if self._syncer is not None:
            self._syncer.add_step(step)
            return
        try:
            step()
        except OSError as error:
            self._fail("a file could not be renamed or removed", error)

    def _raise_failure(self) -> NoReturn:
        if self._failure is None:
            self._fail("a sync failed", None if self._syncer is None else self._syncer.failure)
        raise self._failure

    def _fail(self, what: str, error: Exception | None = None) -> NoReturn:
        """Nothing is written any more."""
        reason = f": {error}" if error is not None else ""
        self._failure = JournalFailed(f"{self._directory}: {what}{reason}")
        raise self._failure from error


def _publish(old: Segment | None, new: Segment, spare: Path, synced: bool) -> None:
    """Give the new segment its name, after all that came before it: so a named segment vouches for those below it."""
    if synced:
        if old is not None:
            os.fdatasync(old.fd)
        os.fdatasync(new.fd)
    os.rename(spare, new.path)
    if synced:
        sync_directory(new.path.parent)


def _remove(segment: Segment, synced: bool) -> None:
    """Oldest first and each by itself, so that no crash leaves a gap in the run."""
    segment.path.unlink()
    if synced:
        sync_directory(segment.path.parent)
    segment.close()
