"""Our engine as the core of a venue: entries of the command stream in, what is to be written out. Pure.

Everything that can change a result is in the stream, and time is that of its entries. So two hosts that read the same
stream write the same, and a host that starts from a snapshot writes again what was written before: Redis refuses what
it has. Before editing: nothing here may depend on which process runs it, or when.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.core.engine import Engine
from gateway.remote.keys import BEFORE_ALL, EntryId, Keys, id_text
from gateway.remote.snapshot import Head, Snapshot, SnapshotInProgress
from gateway.remote.sweeps import Sweeps
from gateway.remote.together import Together
from gateway.remote.wire import FIELDS, Encoding, NotUnderstood, decode_commands, encode_events, payload
from protocols.messages import AnyCommand, AnyEvent, Lane, is_numbered
from protocols.units import NS_PER_MS

_NODE_ENTRIES = 100_000
"""What a node that is away may miss before it has to read its accounts' streams again."""


class Hello(msgspec.Struct, frozen=True):
    """A gateway begins: it hosts these accounts, and will number commands of these sessions."""

    accounts: tuple[int, ...]
    sessions: tuple[int, ...]


class Join(msgspec.Struct, frozen=True, omit_defaults=True):
    """A gateway hosts these accounts, too, and will number commands of these sessions."""

    accounts: tuple[int, ...] = ()
    sessions: tuple[int, ...] = ()


class Welcome(msgspec.Struct, frozen=True):
    """The answer to `Hello` and `Join`; the open orders of the accounts are the events of the same entry.

    highest: by session the last number executed of orders, cancels, mass cancels and queries, without zeros. latest: by
    account the number of its latest event, in a `welcome` without zeros. last_session: the highest id of a session that
    was ever seen.
    """

    epoch: str
    last_session: int
    highest: dict[str, tuple[int, int, int, int]]
    latest: dict[str, int]


class Configure(msgspec.Struct, frozen=True):
    """What trades from here on, and how many used ids are remembered of an account."""

    instruments: tuple[int, ...]
    dedupe_ids: int


class Row(NamedTuple):
    """An entry to be written. keeps: how many entries its stream keeps, about."""

    key: str
    id: str
    keeps: int
    fields: tuple[tuple[str, bytes], ...]


class NodeState(msgspec.Struct, array_like=True):
    """A gateway, as the core knows it. latest: the last entry that was written for it."""

    accounts: set[int]
    latest: EntryId = BEFORE_ALL


class CoreHost:
    """Executes a venue's command stream.

    position: the last entry that was executed. stopped_by: why all cores shall stop, as one of them said.
    """

    def __init__(self, engine: Engine, keys: Keys, retain_events: int) -> None:
        self.engine = engine
        self.position = BEFORE_ALL
        self.stopped_by = ""
        self.nodes: dict[str, NodeState] = {}
        self.epochs = 0  # that the venue had before this one
        self._last_session = 0
        self._sweeps = Sweeps()
        self._together = Together()
        self._keys = keys
        self._retain_events = retain_events

    def begin_snapshot(self) -> SnapshotInProgress:
        """The whole state as of now, to be made while entries are taken."""
        nodes = {name: (tuple(sorted(node.accounts)), node.latest) for name, node in self.nodes.items()}
        head = Head(
            self.position,
            nodes,
            self._last_session,
            sweeps=self._sweeps.rows(),
            epoch=self.engine.epoch,
            epochs=self.epochs,
        )
        return SnapshotInProgress(head, self.engine.begin_snapshot())

    def restore(self, snapshot: Snapshot) -> None:
        """Become the host that made this snapshot.

        Raises:
            ValueError: it is unusable; nothing is changed.
        """
        self.engine.restore(*snapshot.chunks)
        self.position, self._last_session = snapshot.head.position, snapshot.head.last_session
        self._sweeps = Sweeps(snapshot.head.sweeps)
        self.epochs = snapshot.head.epochs
        self.nodes = {
            name: NodeState(set(accounts), latest) for name, (accounts, latest) in snapshot.head.nodes.items()
        }

    def take(self, entry: EntryId, fields: Mapping[bytes, bytes]) -> list[Row]:
        """Execute one entry; what is to be written of it, together."""
        self.position = entry
        name = fields.get(b"node", b"").decode("utf-8", "replace")
        try:
            if b"hello" in fields:
                hello = msgspec.json.decode(fields[b"hello"], type=Hello)
                self.nodes.setdefault(name, NodeState(set())).accounts = set(hello.accounts)
                return [self._welcome(entry, name, hello)]
            if b"join" in fields:
                join = msgspec.json.decode(fields[b"join"], type=Join)
                self.nodes.setdefault(name, NodeState(set())).accounts.update(join.accounts)
                return [self._welcome(entry, name, join)]
            if b"leave" in fields:
                self._leave(name, msgspec.json.decode(fields[b"leave"], type=tuple[int, ...]))
                return []
            if b"configure" in fields:
                self._configure(entry, msgspec.json.decode(fields[b"configure"], type=Configure))
                return []
            if b"epoch" in fields:
                return self._begin_epoch(entry)
            if b"stop" in fields:
                self.stopped_by = fields[b"stop"].decode("utf-8", "replace")
                return []
            if b"bye" in fields:
                self.nodes.pop(name, None)
                return []
            if (found := payload(fields)) is None:
                raise NotUnderstood("an entry without commands")
            return self._rows(entry, name, self._execute(entry, name, decode_commands(*found)), found[1])
        except (NotUnderstood, msgspec.ValidationError, msgspec.DecodeError, ValueError) as error:
            return [self._told(entry, name, ("error", str(error).encode()))] if name in self.nodes else []

    def _execute(self, entry: EntryId, node: str, commands: Sequence[AnyCommand]) -> Sequence[AnyEvent]:
        for command in commands:
            self._last_session = max(self._last_session, command.session)
        commands = self._sweeps.judge(node, commands, entry[0])
        return self.engine.execute_all(self._together.of(commands), entry[0] * NS_PER_MS)

    def _configure(self, entry: EntryId, wanted: Configure) -> None:
        """An instrument with open orders stays, whoever wants it gone."""
        self.engine.configure(wanted.instruments, wanted.dedupe_ids)
        if not self.engine.epoch:
            self.engine.epoch = f"e-{entry[0]}"

    def _begin_epoch(self, entry: EntryId) -> list[Row]:
        """The latest history was lost, and an operator goes on without it. All gateways are told, and end."""
        accounts = {account for known in self.nodes.values() for account in known.accounts}
        self.engine.begin_epoch(f"e-{entry[0]}", accounts, entry[0] * NS_PER_MS)
        self.epochs += 1
        return [self._told(entry, node, ("epoch", self.engine.epoch.encode())) for node in self.nodes]

    def _leave(self, name: str, accounts: tuple[int, ...]) -> None:
        """A gateway hosts these accounts no longer."""
        if (known := self.nodes.get(name)) is not None:
            known.accounts.difference_update(accounts)

    def _welcome(self, entry: EntryId, name: str, hello: Hello | Join) -> Row:
        highest: dict[str, tuple[int, int, int, int]] = {}
        for session in hello.sessions:
            order, cancel, control, query = (self.engine.highest(session, lane) for lane in Lane)
            if order or cancel or control or query:
                highest[str(session)] = order, cancel, control, query
        is_join = isinstance(hello, Join)
        latest = {str(each): seq for each in hello.accounts if (seq := self.engine.latest_seq(each)) or is_join}
        orders = [order for account in hello.accounts for order in self.engine.open_orders(account)]
        told = msgspec.json.encode(Welcome(self.engine.epoch, self._last_session, highest, latest))
        field = "joined" if is_join else "welcome"
        return self._told(entry, name, (field, told), ("m", encode_events(orders, "msgpack")))

    def _rows(self, entry: EntryId, name: str, events: Sequence[AnyEvent], encoding: Encoding) -> list[Row]:
        """Each account's numbered events go to its stream, and to all gateways that host it; answers to whoever asked.

        The gateway that gave the commands always gets an entry: it is the acknowledgement.
        """
        field = FIELDS[encoding]
        by_account: dict[int, list[AnyEvent]] = {}
        for event in events:
            if is_numbered(event):
                by_account.setdefault(event.account, []).append(event)
        rows = [
            Row(
                self._keys.events(account, self.epochs),
                f"{own[-1].seq}-0",
                self._retain_events,
                ((field, encode_events(own, encoding)),),
            )
            for account, own in by_account.items()
        ]
        for node, known in self.nodes.items():
            if node == name:
                told = [each for each in events if not is_numbered(each) or each.account in known.accounts]
            elif known.accounts.isdisjoint(by_account):
                continue
            else:
                told = [each for each in events if is_numbered(each) and each.account in known.accounts]
            rows.append(self._told(entry, node, (field, encode_events(told, encoding))))
        return rows

    def _told(self, entry: EntryId, name: str, *fields: tuple[str, bytes]) -> Row:
        """An entry for a gateway. It names the one before, so that what was trimmed is missed."""
        known = self.nodes[name]
        before, known.latest = known.latest, entry
        chained = (*fields, ("prev", id_text(before).encode()))
        return Row(self._keys.node(name), id_text(entry), _NODE_ENTRIES, chained)
