"""What must survive the process: sequence numbers, messages and the owner's own records, in append-only segments.

There is one write per turn, for all sessions; after a crash a commit is there as a whole, or not at all. Before
editing: nothing may leave the process before `durable` has reached the position that the turn's `commit` returned. The
journal knows no event loop: it reports through `notify`. Open `writer.py` for writing, `scan.py` for reading back.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from gateway.journal.index import SessionIndex
from gateway.journal.record import FIRST_OWNER_KIND, MAX_BODY_BYTES, MAX_SESSION, JournalFailed
from gateway.journal.scan import ScanReport, SegmentScan, SeqNums, Sink
from gateway.journal.segment import DirectoryLock, sync_directory
from gateway.journal.settings import JournalSettings
from gateway.journal.store import JournalStore
from gateway.journal.writer import JournalHooks, JournalState, Writer
from protocols.errors import LocalProtocolError
from protocols.fix.session.store import MemoryStore, MessageStore


class Journal:
    """A journal on disk. Opening it reads it back: see `recovery`. One thread uses it; `notify` runs in another."""

    keeps_records = True
    """Whether anything will read what is appended: if not, no one need encode it."""

    def __init__(
        self,
        directory: Path,
        settings: JournalSettings,
        notify: Callable[[int], None] = lambda _: None,
        sink: Sink | None = None,
    ) -> None:
        """notify: called in the sync thread (durability "disk") when `durable` has moved or `state` became "failed". It
        must not block: use `loop.call_soon_threadsafe`. sink: gets the owner's records during the start, in order.

        Raises:
            JournalInUse: another process has the directory.
            JournalCorrupt: the records cannot be read back; nothing was changed.
            JournalFailed: there is no room for a segment.
            OSError: the directory cannot be created or locked.
        """
        self._settings = settings
        if not directory.exists():
            directory.mkdir(mode=0o750, parents=True)
            sync_directory(directory.parent)
        self._lock = DirectoryLock(directory)
        self._dirty: list[JournalStore] = []
        self._stores: dict[int, JournalStore] = {}
        self.keep_from: int | None = None
        """Position from which the owner needs its records; at first, that of the first record. The owner may set it to
        a record just appended: until that is durable, the earlier value counts."""
        self.dropped_early = 0
        """Segments dropped because of `max_bytes` while a session still needed them."""
        hooks = JournalHooks(self._checkpoint, self.drop_old_segments, notify)
        self._writer = Writer(directory, settings.segment_bytes, settings.durability == "disk", hooks)
        try:
            run = SegmentScan(directory, sink)
            self.recovery: ScanReport = run.report
            self.keep_from = self._kept_from = run.first_owned
            for session, numbers in run.numbers.items():
                self._stores[session] = JournalStore(session, self._writer, self._dirty, numbers, run.indexes[session])
            self._writer.start(run.segments, run.next_number, run.end_position)
        except BaseException:
            self._lock.release()
            raise

    @property
    def state(self) -> JournalState:
        """ok; full = the disk has no room for another segment; failed = nothing is recorded any more."""
        return self._writer.state

    @property
    def trouble(self) -> str:
        """What is wrong, and why, for people; empty if nothing is."""
        if self.state == "full":
            return f"no room for another journal segment ({self._writer.why_full or 'the disk is full'}): cancel only"
        return "" if self.state == "ok" else "the journal failed: nothing more is sent"

    @property
    def may_accept_orders(self) -> bool:
        """Whether there is room for more than cancels and their results: `state` is ok."""
        return self._writer.state == "ok"

    @property
    def durable(self) -> int:
        """The position below which everything is as safe as the durability setting demands."""
        return self._writer.durable

    @property
    def position(self) -> int:
        return self._writer.position

    @property
    def size_bytes(self) -> int:
        """Of all segments, as allocated."""
        return sum(segment.size_bytes for segment in self._writer.segments.values())

    @property
    def open_files(self) -> int:
        """How many descriptors it uses: its segments and the spare one, the lock, and the end file."""
        return len(self._writer.segments) + 3

    def place_of(self, position: int) -> str:
        """The file and offset of the record at this position, for people."""
        segments = self._writer.segments.values()
        found = max((each for each in segments if each.first_position <= position), key=lambda each: each.number)
        return f"{found.path}: offset {position - found.first_position}"

    def store(self, session: int) -> JournalStore:
        """The one store of this session, with what was read back."""
        if session not in self._stores:
            if not 0 <= session <= MAX_SESSION:
                raise LocalProtocolError(f"session {session}")
            self._stores[session] = JournalStore(session, self._writer, self._dirty, SeqNums(), SessionIndex())
        return self._stores[session]

    def append(self, kind: int, session: int, body: bytes) -> int:
        """Add a record of the owner's; its position. After a crash its whole commit is there, or nothing of it.

        Raises:
            LocalProtocolError: a kind below `FIRST_OWNER_KIND`, or too long; nothing is recorded.
        """
        if not FIRST_OWNER_KIND <= kind <= 255 or not 0 <= session <= MAX_SESSION or len(body) > MAX_BODY_BYTES:
            raise LocalProtocolError(f"a record of kind {kind}, session {session}, {len(body)} bytes")
        offset = self._writer.append(kind, session, body)
        position = self._writer.segment.first_position + offset
        if self.keep_from is None:
            self.keep_from = self._kept_from = position
        return position

    def commit(self, now_ns: int) -> int:
        """Write everything since the last commit; the position that `durable` must reach before a byte of it may leave.

        Call it every turn, and at least once a second while `state` is "full", because it also checks whether there is
        room again. If the filesystem takes back room that it had allocated, `durable` stands still until there is some.

        Raises:
            JournalFailed: the disk failed, or the reserve is full, too. This is final: send nothing more, and exit.
        """
        if self._dirty:
            for store in self._dirty:
                store.record()
            self._dirty.clear()
        return self._writer.commit(now_ns)

    def give_up(self, error: Exception) -> None:
        """Record nothing more: what has no commit yet never happened. `state` becomes "failed"."""
        self._writer.give_up(error)

    def close(self) -> None:
        """Record and sync everything, unless the journal has failed. It cannot be used afterwards.

        Raises:
            JournalFailed: not all of it could be made durable.
        """
        try:
            if self.state != "failed":
                for store in self._dirty:
                    store.record()
                self._writer.close()
        finally:
            self._writer.release()
            self._lock.release()

    def _checkpoint(self) -> Iterator[tuple[int, int, bytes]]:
        return (store.checkpoint() for store in self._stores.values())

    def drop_old_segments(self) -> None:
        """Drop the oldest segments that are not needed; above `max_bytes`, drop needed ones, too.

        This happens whenever a segment begins. A segment stays until the checkpoint at the start of the next one is
        durable, which repeats the sequence numbers that it held.
        """
        writer, settings = self._writer, self._settings
        size_bytes, durable = self.size_bytes, writer.durable
        # Only a durable record counts: a crash could lose the one that it points to, when the older ones are gone.
        if self.keep_from is not None and self.keep_from < durable:
            self._kept_from = self.keep_from
        for oldest, following in pairwise(list(writer.segments.values())):
            if durable <= following.first_position:
                return
            if self._kept_from is not None and self._kept_from < following.first_position:
                return
            bounds = settings.retain_messages, settings.retain_bytes
            is_needed = any(store.index.needs(oldest.number, *bounds) for store in self._stores.values())
            if is_needed and size_bytes <= settings.max_bytes:
                return
            self.dropped_early += is_needed
            for store in self._stores.values():
                store.index.drop(oldest.number)
            writer.drop_oldest()
            size_bytes -= oldest.size_bytes


class MemoryJournal:
    """The journal of durability "memory": nothing outlives the process, and everything counts as durable at once.

    Most methods do nothing. After `give_up` every commit fails.
    """

    keeps_records = False
    state: JournalState = "ok"
    trouble = ""
    may_accept_orders = True
    durable = 0
    position = 0
    size_bytes = 0
    open_files = 0
    dropped_early = 0
    keep_from: int | None = None

    def __init__(self, settings: JournalSettings) -> None:
        self.recovery = ScanReport({})
        self._max_messages = settings.retain_messages
        self._stores: dict[int, MemoryStore] = {}

    def place_of(self, _position: int) -> str:
        return "memory"

    def store(self, session: int) -> MemoryStore:
        return self._stores.setdefault(session, MemoryStore(self._max_messages))

    def append(self, _kind: int, _session: int, _body: bytes) -> int:
        return 0

    def commit(self, _now_ns: int) -> int:
        if self.state == "failed":
            raise JournalFailed("given up")
        return 0

    def give_up(self, _error: Exception) -> None:
        self.state = "failed"

    def drop_old_segments(self) -> None:
        pass

    def close(self) -> None:
        pass


class AnyJournal(Protocol):
    """Where a gateway records what its turns change: a disk, memory, or the Redis that it shares with others."""

    recovery: ScanReport
    keep_from: int | None

    @property
    def keeps_records(self) -> bool: ...
    @property
    def state(self) -> JournalState: ...
    @property
    def trouble(self) -> str: ...
    @property
    def may_accept_orders(self) -> bool: ...
    @property
    def durable(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def open_files(self) -> int: ...
    @property
    def dropped_early(self) -> int: ...
    def place_of(self, position: int, /) -> str: ...
    def store(self, session: int) -> MessageStore: ...
    def append(self, kind: int, session: int, body: bytes, /) -> int: ...
    def commit(self, now_ns: int, /) -> int: ...
    def give_up(self, error: Exception, /) -> None: ...
    def drop_old_segments(self) -> None: ...
    def close(self) -> None: ...


def open_journal(
    directory: Path, settings: JournalSettings, notify: Callable[[int], None], sink: Sink | None = None
) -> Journal | MemoryJournal:
    """The journal that the settings ask for; see `Journal`."""
    if settings.durability == "memory":
        return MemoryJournal(settings)
    return Journal(directory, settings, notify, sink)
