"""What the house itself records in the journal, and how a start reads it back: commands, sessions, links, snapshots.

The embedded core is durable by its input: the commands of a tick are recorded before anything they caused may leave,
and a start carries them out again with the times they had, which gives the same book, the same numbers and the same
events. A snapshot stands for all that came before it, so the journal need not be kept for ever. A stored format: a
field may only be added at the end, with a default.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from gateway.core.engine import Engine
from protocols.messages import AnyCommand, AnyEvent, QueryOrders

COMMANDS = 16  # one hand-over to the core
SNAPSHOT = 17  # the engine and everything else below, as of here
NAME = 18  # a WebSocket session got its id
LINK = 19  # what guards a session's orders changed
CLEAN = 20  # the process ended in good order

_MAX_SPANS = 16  # snapshots held while a journal is read: each start makes one, and they may be large


class Commands(msgspec.Struct, frozen=True, array_like=True):
    """Commands that the core carried out together, at one core time."""

    now_ns: int
    commands: tuple[AnyCommand, ...]


class Name(msgspec.Struct, frozen=True, array_like=True):
    """A WebSocket session: whose it is, and the id it has in every command. name `ws-ID` = the client gave none."""

    session: int
    key_id: str
    name: str

    @property
    def is_given(self) -> bool:
        """Whether the client gave it, and so may come back for the session."""
        return self.name != f"ws-{self.session}"


class LinkState(msgspec.Struct, frozen=True, array_like=True):
    """What guards a session's orders: whether it is connected, what its disconnect cancels, its dead-man's switch.

    scope: off | session | account. dead_man_ns: when the switch fires, 0 = not armed.
    """

    session: int
    account: int
    connected: bool
    scope: str
    grace_ms: int
    dead_man_ns: int

    @property
    def is_guarding(self) -> bool:
        """Whether a start has to cancel orders for the session, unless it is back in time."""
        return self.dead_man_ns > 0 or (self.connected and self.scope != "off")


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The whole house but for its FIX sessions, which the journal keeps itself."""

    engine: bytes
    names: tuple[Name, ...]
    links: tuple[LinkState, ...]
    next_ws_session: int


_encode = msgspec.msgpack.Encoder().encode
_commands = msgspec.msgpack.Decoder(Commands).decode
_name = msgspec.msgpack.Decoder(Name).decode
_link = msgspec.msgpack.Decoder(LinkState).decode
_snapshot = msgspec.msgpack.Decoder(Snapshot).decode


def commands_body(commands: Sequence[AnyCommand], now_ns: int) -> bytes:
    """The record of one hand-over; questions change nothing and are left out. Empty when nothing is left."""
    kept = tuple(command for command in commands if not isinstance(command, QueryOrders))
    return _encode(Commands(now_ns, kept)) if kept else b""


def body(record: Name | LinkState | Snapshot) -> bytes:
    """The record of anything else."""
    return _encode(record)


class _Span(msgspec.Struct, eq=False):
    """A snapshot of the engine, and what came after it up to the next one."""

    engine: bytes
    batches: list[Commands]
    count: int = 0


class Replay:
    """Takes the house's records in order at start, and has in the end what the last process had.

    The latest snapshot would do for the state. Commands before it are carried out only for their events, so that a
    client may resume from before it, and only from so far back that there are max_events of them: the time of a start
    does not grow with the journal. was_clean: the last process ended in good order, or there was none. count: commands
    carried out again.
    """

    def __init__(self, engine: Engine, max_events: int) -> None:
        self.engine = engine
        self.events: deque[AnyEvent] = deque(maxlen=max_events)
        self._max_events = max_events
        self._spans: deque[_Span] = deque()  # oldest first; commands before the first have no state to start from
        self.names: dict[int, Name] = {}
        self.links: dict[int, LinkState] = {}
        self.next_ws_session = 0
        self.count = 0
        self.was_clean = True
        self.position: int | None = None  # of the snapshot that a start needs, else of the first record

    def take(self, kind: int, session: int, position: int, data: bytes) -> None:
        """One record.

        Raises:
            ValueError: its body is not what its kind says: another program's journal, or a newer one's.
        """
        if self.position is None or kind == SNAPSHOT:
            self.position = position
        self.was_clean = kind == CLEAN
        if kind == COMMANDS and self._spans:
            batch = _commands(data)
            self._spans[-1].batches.append(batch)
            self._spans[-1].count += len(batch.commands)
        elif kind == SNAPSHOT:
            self._restore(_snapshot(data))
        elif kind == NAME:
            self._name(_name(data))
        elif kind == LINK:
            self._link(_link(data))

    def forget(self, session: int) -> None:
        """A session is over that nobody can come back for: a start needs it only while it guards orders."""
        link = self.links.get(session)
        if link is None or not link.is_guarding:
            self.names.pop(session, None)
            self.links.pop(session, None)

    def forget_ended(self) -> None:
        """The same for all whose end the last process did not record, or recorded as a change of the link only."""
        for row in list(self.names.values()):
            if not row.is_given:
                self.forget(row.session)

    def carry_out(self) -> None:
        """All records are read: bring the engine to where the last process had it.

        Raises:
            ValueError: a snapshot does not fit this configuration.
        """
        execute = self.engine.execute
        while self._spans:
            span = self._spans.popleft()
            self.engine.restore(span.engine)  # whatever a changed configuration made of the commands before it
            for batch in span.batches:
                for command in batch.commands:
                    self.events += execute(command, batch.now_ns)
            self.count += span.count

    def _restore(self, snapshot: Snapshot) -> None:
        spans = self._spans
        spans.append(_Span(snapshot.engine, []))
        later = sum(span.count for span in spans) - spans[0].count
        while len(spans) > _MAX_SPANS or (len(spans) > 1 and later >= self._max_events):
            spans.popleft()
            later -= spans[0].count
        self.names = {row.session: row for row in snapshot.names}
        self.links = {row.session: row for row in snapshot.links}
        self.next_ws_session = snapshot.next_ws_session

    def _name(self, row: Name) -> None:
        self.names[row.session] = row
        self.next_ws_session = max(self.next_ws_session, row.session + 1)

    def _link(self, row: LinkState) -> None:
        if row.connected or row.scope != "off" or row.dead_man_ns:
            self.links[row.session] = row
        else:
            self.links.pop(row.session, None)
