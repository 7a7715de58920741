"""Reads the gateway's own records back at start, and gives the state that the last process had.

The engine's state needs only the latest snapshot and the commands after it. A client may also resume from events that
are older, so commands are executed from as far back as it takes to have `max_events` events again:

    SNAPSHOT  commands  SNAPSHOT  commands  SNAPSHOT  commands
    |------ span -----| |------ span -----| |------ span -----|
    ^ reserve           ^ execution starts here: two spans hold enough events

Before editing: the next snapshot is made of what `JournalReplay` holds, so a running gateway feeds it each record, too.
"""

from collections import defaultdict, deque
from functools import partial

import msgspec

from gateway.core.engine import Engine
from gateway.core.matching import CoreState
from gateway.journal.record import JournalCorrupt
from gateway.recovery import records
from gateway.recovery.known_ids import KnownIds
from gateway.recovery.link_state import LinkStanding
from gateway.recovery.records import CommandBatch, Snapshot, SnapshotChunk
from gateway.safety.cancel_on_disconnect import LinkState
from gateway.sessions.former_names import FormerNames, WsSessionRecord, name_of_unnamed
from gateway.sessions.registry import FIRST_WS_SESSION
from protocols.messages import AnyEvent, Lane, is_numbered

_MAX_SPANS = 1_000  # snapshots held while a journal is read: each start makes one
_MAX_SPAN_BYTES = 256 << 20  # and they may be large


class NoSoundSnapshot(Exception):
    """No snapshot in the journal is usable. places: the position of each, and what is wrong with it."""

    def __init__(self, places: list[tuple[int, str]]) -> None:
        super().__init__(str(places))
        self.places = places


class _Span(msgspec.Struct, eq=False):
    """A snapshot of the engine that was begun at a position, and what was executed from there to the next one."""

    position: int
    engine: list[bytes]
    batches: list[CommandBatch | int] = []  # int: the id of a session that ended
    count: int = 0

    def add(self, batch: CommandBatch | int) -> None:
        self.batches.append(batch)
        self.count += len(batch.commands) if isinstance(batch, CommandBatch) else 0

    def end_before(self, following: "_Span") -> None:
        """Drop what was executed while the snapshot of `following` was being recorded: both spans were given it."""
        if following.batches:
            del self.batches[-len(following.batches) :]
            self.count -= following.count

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.engine))


class JournalReplay:
    """Takes the gateway's records in order at start, and ends with the state of the last process.

    The time of a start does not grow with the journal: it executes as many spans as `max_events` need. One more is held
    in reserve, where it fits in memory, in case a snapshot is unusable.

    events: by account, up to max_events of each. was_clean: the last process ended in good order, or there was none.
    count: commands executed again. first: position of the first record that was needed; None = the journal was empty.
    known_ids: those of the last process. unsound: position of each unusable snapshot, and why; another one replaced it.
    """

    def __init__(self, engine: Engine, max_events: int) -> None:
        self.engine = engine
        self.state: CoreState = engine  # of the core that the gateway has
        self.link = LinkStanding()
        self.events: defaultdict[int, deque[AnyEvent]] = defaultdict(partial(deque, maxlen=max_events))
        self.known_ids: KnownIds | None = None
        self._max_events = max_events
        self.unsound: list[tuple[int, str]] = []
        self._spans: deque[_Span] = deque()  # oldest first; commands before the first have no state to start from
        self._has_reserve = False  # the first span is used only if a later snapshot is unusable
        self._coming: _Span | None = None  # its snapshot is not complete yet
        self._is_stateless = False  # there are commands without a snapshot before them
        self.names: dict[int, WsSessionRecord] = {}
        self.former = FormerNames()
        self.links: dict[int, LinkState] = {}
        self.resets: dict[int, int] = {}  # by session, see `Reset`
        self.next_ws_session = FIRST_WS_SESSION
        self.count = 0
        self.was_clean = True
        self.first: int | None = None

    def take(self, kind: int, session: int, position: int, data: bytes) -> None:
        """One record.

        Raises:
            ValueError: its body does not fit its kind: another program wrote the journal, or a newer version did.
        """
        if self.first is None:
            self.first = position
        self.was_clean = kind == records.CLEAN
        if kind == records.COMMANDS:
            self._add_commands(data)
        elif kind == records.CHUNK:
            self._add_chunk(records.decode_chunk(data), position)
        elif kind == records.SNAPSHOT:
            self._add_snapshot(records.decode_snapshot(data), position)
        elif kind == records.WS_SESSION:
            self._name(records.decode_session(data))
        elif kind == records.LINK:
            self._link(records.decode_link(data))
        elif kind == records.HANDED:
            self.link.handed_over(records.decode_handed(data))
        elif kind == records.WAITS:
            command = records.decode_waiting(data)
            self.link.waiting[command.cmd_id] = command
        elif kind == records.LEFT:
            self.link.waiting.pop(int.from_bytes(data, "big"), None)
        elif kind == records.DELIVERED:
            self.link.was_delivered(records.decode_delivered(data))
        elif kind == records.WS_ENDED:
            for span in self._current():
                span.add(session)
            self._drop(session)
        elif kind == records.RESET:
            reset = records.decode_reset(data)
            self.resets[reset.session] = reset.at_ns

    def forget(self, session: int) -> None:
        """Forget a session that ended and cannot be resumed, unless it still protects orders."""
        has_events = any(self.state.highest(session, lane) for lane in Lane if lane is not Lane.QUERY)
        if self._drop(session, has_events):
            self.state.forget(session)

    def _drop(self, session: int, has_events: bool = True) -> bool:
        """Whether it could go. has_events: they may be replayed, so its name is kept."""
        link = self.links.get(session)
        if link is not None and link.is_guarding:
            return False
        row = self.names.pop(session, None)
        if row is not None and row.is_given and has_events:
            self.former.add(row)
        self.links.pop(session, None)
        return True

    def name_of(self, session: int) -> str:
        """The name that a WebSocket session has, or had."""
        row = self.names.get(session) or self.former.get(session)
        return row.name if row is not None else name_of_unnamed(session)

    def forget_ended(self) -> None:
        """Forget the unnamed sessions whose end the last process did not record: no one can resume them."""
        for row in list(self.names.values()):
            if not row.is_given:
                self.forget(row.session)

    def restore_engine(self) -> None:
        """Bring the engine to where the last process had it. Call it when all records are read.

        Each command is executed under the configuration that it was first executed under; only then does the engine get
        its present one. Otherwise an event that was sent could come out different, or a used id could be forgotten.

        Raises:
            ValueError: there are open orders in an instrument that is not configured.
            JournalCorrupt: there are commands, and no snapshot to start from.
            NoSoundSnapshot: no snapshot is usable.
        """
        if self._is_stateless and not self._spans:
            raise JournalCorrupt(
                "the journal has commands and no snapshot to start from: a segment is missing. Restore the directory"
                " from a copy"
            )
        configured = self.engine.configuration
        if self._spans:
            self._restore_first()
            self.first = self._spans[0].position
            self._execute(self._spans.popleft())
        while self._spans:
            span = self._spans.popleft()
            self._is_restored(span)  # if it is unusable, the commands executed so far have led to the same state
            self._execute(span)
        self.engine.configure(*configured)

    def _restore_first(self) -> None:
        """Restore the first wanted snapshot or, if it is unusable, the reserve or a later one; drop those before."""
        spans = self._spans
        reserve = spans.popleft() if self._has_reserve else None
        while spans:
            if self._is_restored(spans[0]):
                return
            if reserve is not None and self._is_restored(reserve):
                spans.appendleft(reserve)
                return
            spans.popleft()
        raise NoSoundSnapshot(self.unsound)

    def _is_restored(self, span: _Span) -> bool:
        try:
            self.engine.restore(*span.engine)
        except ValueError as error:
            self.unsound.append((span.position, str(error)))
            return False
        return True

    def _execute(self, span: _Span) -> None:
        for batch in span.batches:
            if isinstance(batch, int):
                self.engine.forget(batch)
                continue
            for event in self.engine.execute_all(batch.commands, batch.now_ns):
                if is_numbered(event):
                    self.events[event.account].append(event)
        self.count += span.count

    def _current(self) -> list[_Span]:
        """The spans that a command now belongs to: the latest complete one, and the one being recorded."""
        return [span for span in (self._spans[-1] if self._spans else None, self._coming) if span is not None]

    def _add_commands(self, data: bytes) -> None:
        current = self._current()
        if not current:
            self._is_stateless = True  # no harm if a snapshot follows: it contains them
            return
        batch = records.decode_commands(data)
        for span in current:
            span.add(batch)

    def _add_chunk(self, chunk: SnapshotChunk, position: int) -> None:
        if chunk.number == 0:
            self._coming = _Span(position, [])
        coming = self._coming
        if coming is not None:  # None: the first chunks were in a segment that has been dropped
            coming.engine.append(chunk.engine)

    def _add_snapshot(self, snapshot: Snapshot, position: int) -> None:
        coming = self._coming if snapshot.chunks else _Span(position, [snapshot.engine])
        self._coming = None
        if coming is not None and snapshot.chunks not in (0, len(coming.engine)):
            self.unsound.append((position, f"{len(coming.engine)} of {snapshot.chunks} chunks"))
        elif coming is not None:
            self._begin(coming)
        self.names = {row.session: row for row in snapshot.names}
        self.former = FormerNames(snapshot.former)
        self.links = {row.session: row for row in snapshot.links}
        self.next_ws_session = snapshot.next_ws_session or FIRST_WS_SESSION
        self.known_ids = snapshot.known_ids or self.known_ids
        self.resets = snapshot.resets
        self.link.restore(snapshot.link)

    def _begin(self, coming: _Span) -> None:
        """A snapshot is complete: its span is the latest one; drop spans at the front that are not needed any more."""
        spans = self._spans
        if spans:
            spans[-1].end_before(coming)
        spans.append(coming)
        while self._has_spare():
            if self._has_reserve:
                spans.popleft()
            self._has_reserve = True
        if self._has_reserve and sum(span.size_bytes for span in spans) > _MAX_SPAN_BYTES:
            spans.popleft()
            self._has_reserve = False
        self.first = spans[self._has_reserve].position

    def _has_spare(self) -> bool:
        """Whether the first wanted span can become the reserve: the others have enough events, or memory is short."""
        wanted = list(self._spans)[self._has_reserve :]
        size_bytes = sum(span.size_bytes for span in wanted)
        is_too_much = len(wanted) > _MAX_SPANS or size_bytes > _MAX_SPAN_BYTES
        return len(wanted) > 1 and (is_too_much or sum(span.count for span in wanted[1:]) >= self._max_events)

    def _name(self, row: WsSessionRecord) -> None:
        self.names[row.session] = row
        self.former.discard(row.session)
        self.next_ws_session = row.session + 1

    def _link(self, row: LinkState) -> None:
        if row.connected or row.scope != "off" or row.dead_man_ns or row.response_mode:
            self.links[row.session] = row
        else:
            self.links.pop(row.session, None)
