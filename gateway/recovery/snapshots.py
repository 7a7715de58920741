"""Snapshots of a running gateway, recorded in chunks of about 1 ms so that no order waits for one.

A start executes again what was recorded since the latest complete snapshot was begun, so a new one is begun when that
has become long. The journal keeps as much as the next start needs for the events that clients may ask for. Pure.
"""

from collections import deque
from collections.abc import Iterator
from typing import Protocol

import msgspec

from gateway.config import schema
from gateway.recovery.known_ids import KnownIds
from gateway.recovery.records import CHUNK, SNAPSHOT, Snapshot, SnapshotChunk, body
from gateway.recovery.replay import JournalReplay
from protocols.units import NS_PER_S

_SEGMENTS = 4  # a start executes about this many segments of commands at most
_CHUNK_NS = 10_000_000  # from one chunk to the next: a tenth of the time is spent on them


class SnapshotJournal(Protocol):
    """What a snapshot needs of `gateway.journal.Journal`."""

    keep_from: int | None

    @property
    def may_accept_orders(self) -> bool: ...

    @property
    def position(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def durable(self) -> int: ...

    def append(self, kind: int, session: int, data: bytes, /) -> int: ...

    def drop_old_segments(self) -> None: ...


class _Mark(msgspec.Struct, frozen=True):
    """A snapshot that a start can use. begun, ended: positions. count: commands recorded before it was begun."""

    begun: int
    ended: int
    count: int


class Snapshotter:
    """Takes snapshots of the engine and of everything else that `replay` holds, and says what the journal must keep."""

    def __init__(
        self, replay: JournalReplay, journal: SnapshotJournal, settings: schema.Config, known_ids: KnownIds
    ) -> None:
        """Of `settings`: when a snapshot is due, and for how many commands back a start has the events."""
        self._replay = replay
        self._journal = journal
        self._long_bytes = _SEGMENTS * settings.journal.segment_bytes
        self._max_bytes = settings.journal.max_bytes
        self._retain_events = settings.stream.retain_events
        self._known_ids = known_ids
        self._marks: deque[_Mark] = deque()  # oldest first
        self._count = 0
        self._since = 0  # position at which the latest snapshot ended
        self._chunks: Iterator[bytes] | None = None  # of the snapshot being recorded
        self._number = self._begun = self._begun_count = 0
        self._next_ns = 0
        self._ended: _Mark | None = None  # completely recorded, and not durable yet

    def recorded(self, commands: int) -> None:
        """That many commands were recorded; a start may have to execute them."""
        self._count += commands

    def start(self) -> None:
        """Record one whole snapshot at the end of a start, so that the next start need not do the same work again."""
        replay = self._replay
        if replay.first is not None:
            self._marks.append(_Mark(replay.first, replay.first, -replay.count))
        position = self._journal.append(SNAPSHOT, 0, body(self._snapshot(replay.engine.snapshot(), 0)))
        self._end(_Mark(position, position, 0))

    def look(self, now_ns: int) -> None:
        """Once a second: begin a snapshot when one is due, and drop what is no longer needed."""
        ended = self._ended
        if ended is not None and ended.ended < self._journal.durable:
            self._ended = None
            self._keep(ended)
        journal = self._journal
        is_long = journal.position - self._since > self._long_bytes
        if is_long and self._chunks is None and self._ended is None and journal.may_accept_orders:
            self._chunks = self._replay.engine.begin_snapshot()
            self._number, self._begun_count = 0, self._count
            self.tick(now_ns)

    @property
    def next_deadline_ns(self) -> int | None:
        return self._next_ns if self._chunks is not None else None

    def tick(self, now_ns: int) -> None:
        """Record the next chunk when it is due."""
        if self._chunks is None or (now_ns < self._next_ns and self._number):
            return
        if not self._journal.may_accept_orders:  # the room that is left is for cancels
            self._next_ns = now_ns + NS_PER_S
            return
        chunk = next(self._chunks, None)
        if chunk is None:
            self._chunks = None
            ended = self._journal.append(SNAPSHOT, 0, body(self._snapshot(b"", self._number)))
            self._end(_Mark(self._begun, ended, self._begun_count))
            return
        position = self._journal.append(CHUNK, 0, body(SnapshotChunk(self._number, chunk)))
        if self._number == 0:
            self._begun = position
        self._number += 1
        self._next_ns = now_ns + _CHUNK_NS

    def _snapshot(self, engine: bytes, chunks: int) -> Snapshot:
        replay = self._replay
        names, links = tuple(replay.names.values()), tuple(replay.links.values())
        next_id, resets, former = replay.next_ws_session, dict(replay.resets), replay.former.rows()
        return Snapshot(engine, names, links, next_id, chunks, self._known_ids, resets, former, replay.link.image())

    def _end(self, mark: _Mark) -> None:
        self._ended = mark
        self._since = self._journal.position

    def _keep(self, mark: _Mark) -> None:
        """Add a usable snapshot, and let the journal drop what is before the oldest one that is needed.

        With retain_events = 100,000: the oldest goes once 100,000 commands were recorded since the second oldest.
        """
        marks, journal = self._marks, self._journal
        marks.append(mark)
        while True:
            journal.keep_from = marks[0].begun
            journal.drop_old_segments()
            if len(marks) == 1:
                break
            has_events = self._count - marks[1].count >= self._retain_events
            if not has_events and journal.size_bytes <= self._max_bytes:
                break
            marks.popleft()
