"""The writing end of the journal: buffers records, writes them with one call, and moves from segment to segment.

Before editing: an offset that was returned is final. A record gets its place when it is added, so everything that may
fail for lack of room is done in advance: a spare segment is always allocated, and is also the reserve.

    ok      the spare is there
    full    there was no room for a new spare: cancels and their answers use the rest of the current segment
    failed  the current segment is full, too, or the disk refused: nothing more is recorded

A commit may begin in one segment and end in a later one; it counts from its COMMIT record on.
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
from gateway.journal.record import COMMIT, CRC, HEAD_BYTES, HEAD_TAIL, U64, U64_HEAD_TAIL, JournalFailed, SegmentHeader
from gateway.journal.segment import NO_SPACE, Segment, allocate, segment_path, spare_path, sync_directory, write_at
from gateway.journal.sync import Syncer
from protocols.units import NS_PER_S

JournalState = Literal["ok", "full", "failed"]
_pack_crc = CRC.pack
_RETRY_NS = NS_PER_S
_pack_commit = U64_HEAD_TAIL.pack
_COMMIT_BYTES = HEAD_BYTES + U64.size
_FREE_BYTES = 2 * _COMMIT_BYTES
"""Kept free in each segment: for the COMMIT of its records, and for the one of `close`."""


class JournalHooks(msgspec.Struct, frozen=True):
    """What the writer needs from the journal.

    checkpoint: the (kind, session, body) records that a segment begins with. drop_old_segments: called when a segment
    has begun. notify: called in another thread with each new durable position, see `Syncer`.
    """

    checkpoint: Callable[[], Iterable[tuple[int, int, bytes]]]
    drop_old_segments: Callable[[], None]
    notify: Callable[[int], None]


class Writer:
    """Appends to the last of `segments`, which are ordered by number."""

    def __init__(self, directory: Path, segment_bytes: int, synced: bool, hooks: JournalHooks) -> None:
        self.segments: dict[int, Segment] = {}
        self.segment: Segment  # the current one
        self.offset = 0  # in it, of the next record
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._hooks = hooks
        self._synced = synced
        self._syncer: Syncer | None = None
        self._buffer: list[bytes] = []
        self._written = 0  # bytes of the current segment
        self._capacity = 0  # where a record must end, so that `_FREE_BYTES` are free after it
        self._salt = 0
        self._next_number = 1
        self._spare: int | None = None  # descriptor of the next segment
        self.why_full = ""  # why there was no room for a spare
        self._retry_ns = 0
        self._end = EndFile(directory, synced)
        self._end_ns = 0  # when the end file may be written next, under durability "process"
        self._unsettled = sys.maxsize  # below this, what the start found: only the owner's first commit settles it
        self._is_stuck = False  # the disk took back room that it had allocated
        self._failure: JournalFailed | None = None
        self._committed = 0  # position after the last COMMIT
        self._written_whole = 0  # the same, of the commits that are written

    def start(self, recovered: list[Segment], next_number: int, position: int) -> None:
        """Continue at `position`, after what was read back, with a new segment.

        Raises:
            JournalFailed: there is no room for it.
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
        if self._failure is not None or (self._syncer is not None and self._syncer.failure is not None):
            return "failed"
        return "full" if self._spare is None or self._is_stuck else "ok"

    @property
    def durable(self) -> int:
        return self._syncer.durable if self._syncer is not None else self._written_whole

    @property
    def position(self) -> int:
        return self.segment.first_position + self.offset

    def append(self, kind: int, session: int, body: bytes) -> int:
        """Add one record; its offset in `segment`, which may be a new one."""
        return self.add(HEAD_TAIL.pack(len(body), kind, session), body)

    def add(self, head: bytes, body: bytes) -> int:
        """Add one record. `head`: length, kind, session, and the part of the body that is packed with them."""
        size = 4 + len(head) + len(body)
        if self.offset + size > self._capacity:
            self._next_segment(size)
        offset = self.offset
        self._buffer += (_pack_crc(crc32(body, crc32(head, self._salt + offset))), head, body)
        self.offset = offset + size
        return offset

    def commit(self, now_ns: int) -> int:
        syncer = self._syncer
        if self._failure is not None or (syncer is not None and syncer.failure is not None):
            self._raise_failure()
        if self.segment.first_position + self.offset != self._committed:
            self._end_commit()
        if self._spare is None or self._is_stuck:
            self._look_for_room(now_ns)
        if not self._is_stuck:
            self.flush()
        self._settle()
        if syncer is None and now_ns >= self._end_ns and self._written_whole > self._unsettled:
            self._end_ns = now_ns + _RETRY_NS
            self._in_order(partial(self._write_end, self._written_whole))
        return self._committed

    def flush(self) -> None:
        """Write what was added as far as the disk has room; the rest waits.

        Raises:
            JournalFailed: the disk refused for another reason.
        """
        if not self._buffer:
            return
        if self._failure is not None:
            raise self._failure
        data = b"".join(self._buffer)
        try:
            done = write_at(self.segment.fd, data, self._written)
        except OSError as error:
            self._fail("a write failed", error)
        self._written += done
        # Only if posix_fallocate promised room that the filesystem does not have (compressed, copy on write):
        self._is_stuck = done < len(data)
        self._buffer = [data[done:]] if self._is_stuck else []

    def read(self, number: int, offsets: Iterable[int]) -> Iterator[tuple[int, int, bytes]]:
        """Kind, session and body of the records at these offsets of a segment; nothing if it was dropped.

        Raises:
            JournalFailed: a part could not be written yet because there is no room.
            JournalCorrupt: a record is not as it was written.
        """
        self.flush()
        if self._is_stuck:
            raise JournalFailed(f"{self._directory}: the disk is full: what is not written yet cannot be read")
        segment = self.segments.get(number)
        return iter(()) if segment is None else segment.read(offsets)

    def drop_oldest(self) -> None:
        """Remove the oldest segment after everything requested before is done."""
        segment = self.segments.pop(next(iter(self.segments)))
        segment.is_dropped = True
        self._in_order(partial(_remove, segment, self._synced))

    def give_up(self, error: Exception) -> None:
        """Write nothing more, for a reason other than the disk."""
        if self._failure is None:
            self._failure = JournalFailed(f"{self._directory}: given up: {error!r}")
            self._buffer.clear()

    def close(self) -> None:
        """Write and sync everything, and give back unused room.

        Raises:
            JournalFailed: not all could be made durable. Every file is closed all the same.
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
                self._end_commit()  # it says that all before it is durable: from now on any hole is damage
                self.flush()
            os.ftruncate(self.segment.fd, self._written)
            os.fsync(self.segment.fd)
            self._write_end(self._committed, is_last=True)
        except OSError as error:
            self._fail("the last sync failed", error)
        finally:
            self.release()

    def release(self) -> None:
        """Close every file without writing anything more."""
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

    def _next_segment(self, size_bytes: int) -> None:
        """Begin the next segment, with room for a record of `size_bytes`.

        A failure is raised by the next commit: the caller that adds a record is in the middle of something else.
        """
        try:
            self.flush()
            if self._is_stuck:
                self._fail("the disk is full, and so is the segment")
            self._begin(self.position, size_bytes)
        except JournalFailed:
            self._capacity = sys.maxsize

    def _begin(self, position: int, size_bytes: int) -> None:
        """Make the spare the current segment, with a header and a checkpoint; then allocate the next spare.

        The checkpoint is part of the next commit: until that is durable, the segments before this one are needed.
        """
        if self._spare is None:
            self._make_spare()
        if self._spare is None:
            self._fail(f"the disk is full, and so is the reserve of {self._segment_bytes} bytes: free disk space")
        # The checkpoint repeats every session's numbers, so that a start needs no older segment for them. With many
        # sessions it may be longer than a segment, which then gets longer, too.
        fd, number, self._spare = self._spare, self._next_number, None
        self._next_number += 1
        checkpoint = list(self._hooks.checkpoint())
        header = SegmentHeader(number, position, int.from_bytes(os.urandom(4)), self._synced)
        packed = header.pack()
        needed = len(packed) + sum(HEAD_BYTES + len(body) for _, _, body in checkpoint) + size_bytes
        capacity = max(needed + _FREE_BYTES, self._segment_bytes)
        old = self.segments.get(number - 1)
        new = Segment(fd, segment_path(self._directory, number), header, capacity)
        self.segments[number] = self.segment = new
        if capacity > self._segment_bytes:  # for a record longer than a segment
            try:
                os.posix_fallocate(fd, 0, capacity)
            except OSError as error:
                self._fail(f"no room for a record of {size_bytes} bytes", error)
        self._salt, self._capacity, self._written = header.salt, capacity - _FREE_BYTES, 0
        self._buffer, self.offset = [packed], len(packed)
        for kind, session, body in checkpoint:
            self.append(kind, session, body)
        self.flush()
        self._in_order(partial(_publish, old, new, spare_path(self._directory, number), self._synced))
        self._hooks.drop_old_segments()
        self._make_spare()
        self._retry_ns = 0

    def _make_spare(self) -> None:
        try:
            self._spare = allocate(spare_path(self._directory, self._next_number), self._segment_bytes)
        except OSError as error:
            if error.errno not in NO_SPACE:
                self._fail("a segment could not be created", error)
            self.why_full = os.strerror(error.errno)

    def _look_for_room(self, now_ns: int) -> None:
        """Try again, at most once a second, what the disk had no room for."""
        if now_ns >= self._retry_ns:
            self._retry_ns = now_ns + _RETRY_NS
            self.flush()
            if self._spare is None:
                self._make_spare()

    # -- the end of a commit, and what follows it ------------------------------------------------------------------

    def _end_commit(self) -> None:
        head, offset = _pack_commit(U64.size, COMMIT, 0, self.durable), self.offset
        self._buffer += (_pack_crc(crc32(head, self._salt + offset)), head)
        self.offset = offset + _COMMIT_BYTES  # its room was kept free
        self._committed = self.position

    def _settle(self) -> None:
        """Let a completely written commit become durable; half of one never counts."""
        if self._is_stuck or self._written_whole == self._committed:
            return
        self._written_whole = self._committed
        if self._syncer is not None:
            self._syncer.advance(self.segment.fd, self._committed)

    def _on_synced(self, durable: int) -> None:
        """Runs in the sync thread after each sync."""
        self._hooks.notify(durable)
        self._write_end(durable)

    def _write_end(self, safe: int, is_last: bool = False) -> None:
        if safe > self._unsettled:
            self._end.write(safe, is_last)

    def _in_order(self, step: Callable[[], None]) -> None:
        """Run a step in its order among the syncs, if there are any."""
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
        reason = f": {error}" if error is not None else ""
        self._failure = JournalFailed(f"{self._directory}: {what}{reason}")
        raise self._failure from error


def _publish(old: Segment | None, new: Segment, spare: Path, synced: bool) -> None:
    """Give the new segment its name after everything before it is safe: a named segment vouches for those before."""
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
