"""The gateway's end of the link: a matching core that is another process. Pure.

A hand-over is one entry of the command stream. It is recorded before it is sent, so that a later process can hand over
again what is not answered; the core drops what it has executed. Answers and events come through the gateway's own
stream, whose entries have the ids of the hand-overs that caused them: what comes under an id answers it.

    submit -> record -> commit of the turn -> XADD commands      (id 17-0)
    XREAD node:g1 -> entry 17-0: events -> sink; the window has room again

Before editing: the ids of both streams rise together, so "the latest entry delivered is 17-0" says that everything up
to 17-0 is answered, whether or not the reply to its XADD has come.

More than 400 lines, because both sides, the order path's and the store's, act on one state.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from gateway.core.matching import EventSink
from gateway.remote.host import Welcome
from gateway.remote.keys import BEFORE_ALL, EntryId, entry_id, id_text
from gateway.remote.wire import (
    FIELDS,
    Encoding,
    NotUnderstood,
    decode_commands,
    decode_events,
    encode_commands,
    payload,
)
from protocols.errors import LocalProtocolError
from protocols.messages import (
    AnyCommand,
    AnyEvent,
    ExecType,
    Lane,
    OrderEvent,
    OrdStatus,
    is_numbered,
    pack_cmd_id,
    session_of,
)
from protocols.runs import HandOver, HandOverEvents, NewOrders, RunEvents

_N_SPAN = pack_cmd_id(0, Lane.CANCEL, 0)


class Handed(msgspec.Struct, eq=False):
    """One hand-over that is not answered. number: of its record. entry: its id in the stream, None = not known yet.

    sessions: whose commands it has.
    """

    number: int
    data: bytes
    count: int
    is_sent: bool = False
    entry: EntryId | None = None
    sessions: frozenset[int] = frozenset()


class LinkRecord(Protocol):
    """What remembers hand-overs after the process has ended."""

    def record_handed(self, number: int, data: bytes) -> None:
        """This is about to be handed over."""

    def record_delivered(
        self, delivered: EntryId, answered: int, reported: Mapping[int, int], epoch: str = "", /
    ) -> None:
        """Entries up to this one are delivered, and so are events up to these numbers, by account; hand-overs up to
        `answered` are answered. epoch: in which that is, "" = the same as before.
        """


class RemoteCore:
    """A `MatchingCore` behind a command stream and a stream of answers."""

    def __init__(self, window: int, record: LinkRecord, wake: Callable[[], None]) -> None:
        """wake: asks for a turn: its commit makes records safe, and then `unsent` is sent."""
        self._wake = wake
        self._window = window
        self._record = record
        self._sink: EventSink | None = None
        self._handed: deque[Handed] = deque()  # in order, the first unanswered one first
        self._unanswered = 0  # commands of these
        self._runs: dict[int, int] = {}  # orders in each run that was handed over, by its first cmd_id
        self._numbers = 0
        self._is_reporting = False
        self._latest: dict[int, int] = {}  # by account
        self._open: dict[int, dict[int, OrderEvent]] = {}  # by account and order id, as last reported
        self._names: dict[int, dict[str, int]] = {}  # order ids of these by account and client order id
        self._highest: dict[int, int] = {}  # by session and lane
        self._joining: dict[EntryId, Callable[[int], None]] = {}  # what waits for the answer to a `join`
        self._left: set[int] = set()  # accounts whose last events may still be on their way here
        self._early: dict[EntryId, None] = {}  # answers that came before it was known who waits for them
        self.is_open = False  # the core has welcomed this gateway, and the store can be reached
        self.epoch = ""
        self.last_session = 0  # the highest id of a session that the core had seen when this gateway began
        self.encoding: Encoding = "msgpack"  # that the core wants
        self.delivered = BEFORE_ALL

    # -- the order path's side -----------------------------------------------------------------------------------------

    @property
    def credit(self) -> int:
        """The rest of the window; 0 from inside the sink, and while nothing can be handed over."""
        return max(self._window - self._unanswered, 0) if self.is_open and not self._is_reporting else 0

    def submit(self, commands: Sequence[AnyCommand], now_ns: int) -> None:
        """Hand over one turn's commands; they are sent when their record is safe.

        Raises:
            LocalProtocolError: more commands than `credit`; nothing was handed over.
        """
        if len(commands) > self.credit:
            raise LocalProtocolError(f"{len(commands)} commands with a credit of {self.credit}")
        sessions: set[int] = set()
        for part in commands.parts if isinstance(commands, HandOver) else (commands,):
            if isinstance(part, NewOrders):
                self._runs[part.cmd_id] = len(part)
                sessions.add(session_of(part.cmd_id))
            else:
                sessions.update([session_of(command.cmd_id) for command in part])
        self._numbers += 1
        data = encode_commands(commands, "msgpack")
        handed = Handed(self._numbers, data, len(commands), sessions=frozenset(sessions))
        self._record.record_handed(handed.number, handed.data)
        self._add(handed)
        self._wake()

    def hand_over_again(self, commands: Sequence[AnyCommand]) -> None:
        """What an earlier owner of a session had accepted, and had not handed over; whatever the credit is."""
        self._numbers += 1
        data = encode_commands(commands, "msgpack")
        sessions = frozenset(session_of(command.cmd_id) for command in commands)
        self._record.record_handed(self._numbers, data)
        self._add(Handed(self._numbers, data, len(commands), sessions=sessions))
        for command in commands:  # the session numbers its next ones above these
            self._note(command.cmd_id)
        self._wake()

    def subscribe(self, sink: EventSink) -> None:
        self._sink = sink

    def latest_seq(self, account: int) -> int:
        return self._latest.get(account, 0)

    def order_state(self, account: int, order_id: int, cl_ord_id: str) -> OrderEvent | OrdStatus:
        """An open order as it was last reported; PENDING_NEW for any other: only the core knows."""
        named = self._names.get(account, {}).get(cl_ord_id, order_id)
        return self._open.get(account, {}).get(named, OrdStatus.PENDING_NEW)

    # -- what a start needs to know ------------------------------------------------------------------------------------

    def highest(self, session: int, lane: Lane) -> int:
        """See `Engine.highest`; as of the start."""
        return self._highest.get(pack_cmd_id(session, lane, 0) // _N_SPAN, 0)

    def open_orders(self, account: int) -> list[OrderEvent]:
        """The account's open orders."""
        return list(self._open.get(account, {}).values())

    def forget(self, session: int) -> None:
        """A session has ended for good."""
        for lane in Lane:
            self._highest.pop(pack_cmd_id(session, lane, 0) // _N_SPAN, None)

    def restore(
        self,
        delivered: EntryId,
        reported: Mapping[int, int],
        handed: Sequence[tuple[int, bytes]],
        epoch: str = "",
    ) -> None:
        """What an earlier process recorded: how far it had read, and what it did not see answered, which is handed over
        again before anything else.
        """
        self.delivered, self.epoch = delivered, epoch
        self._latest.update(reported)
        for number, data in handed:
            commands = decode_commands(data, "msgpack")
            self._numbers = max(self._numbers, number)
            self._add(Handed(number, data, len(commands)))
            for command in commands:
                self._note(command.cmd_id)

    def begin_epoch(self) -> None:
        """Streams have begun anew, without some of what was delivered; what is not answered is still handed over."""
        self.delivered, self.epoch = BEFORE_ALL, ""
        self._latest.clear()

    def welcome(self, entry: EntryId, fields: Mapping[bytes, bytes]) -> None:
        """The core knows this gateway from this entry on, and says where it stands.

        Raises:
            NotUnderstood: the core does not keep to the contract. EpochBegan: it is not the epoch that was recorded.
        """
        is_known = bool(self.epoch)
        welcome = self._told(entry, fields, b"welcome")
        self.last_session = welcome.last_session
        self._open.clear()
        self._names.clear()
        self._keep_all(fields)
        if self.delivered == BEFORE_ALL:  # nothing is recorded: what was before is no one's here
            self.delivered = entry
            self._latest.update({int(account): seq for account, seq in welcome.latest.items()})
            self._record.record_delivered(entry, 0, self._latest, self.epoch)
        elif not is_known:
            self._record.record_delivered(self.delivered, 0, {}, self.epoch)

    def _joined(self, entry: EntryId, fields: Mapping[bytes, bytes], now_ns: int) -> None:
        """The core has taken a `join`: what it delivers from here on has the events of the accounts."""
        welcome = self._told(entry, fields, b"joined")
        self._keep_all(fields)
        for account, seq in welcome.latest.items():
            self._latest[int(account)] = seq
            self._left.discard(int(account))
        self.delivered = entry
        if (then := self._joining.pop(entry, None)) is not None:
            then(now_ns)
        else:
            self._early[entry] = None

    def left(self, account: int) -> None:
        """Its events are not wanted here, until a `join` names it again."""
        self._left.add(account)
        for known in (self._latest, self._open, self._names):
            known.pop(account, None)

    def when_joined(self, entry: EntryId, then: Callable[[int], None], now_ns: int) -> None:
        """Call `then`, with the time, when the `join` that has this entry is answered: perhaps now."""
        if entry in self._early:
            del self._early[entry]
            then(now_ns)
        else:
            self._joining[entry] = then

    def _told(self, entry: EntryId, fields: Mapping[bytes, bytes], field: bytes) -> Welcome:
        """What the core answers to a `hello` or a `join`.

        Raises:
            NotUnderstood: the core does not keep to the contract. EpochBegan: it is not the epoch that was known.
        """
        try:
            welcome = msgspec.json.decode(fields[field], type=Welcome)
        except (KeyError, msgspec.DecodeError) as error:
            raise NotUnderstood(f"entry {entry} is no {field.decode()}: {error}") from error
        if self.epoch not in ("", welcome.epoch):
            raise EpochBegan(welcome.epoch)
        self.epoch = welcome.epoch
        for session, numbers in welcome.highest.items():
            for lane in Lane:
                self._note(pack_cmd_id(int(session), lane, numbers[lane]))
        return welcome

    def _keep_all(self, fields: Mapping[bytes, bytes]) -> None:
        for order in events_of(fields):
            if isinstance(order, OrderEvent):
                self._keep(order)

    def _note(self, cmd_id: int) -> None:
        lane, n = divmod(cmd_id, _N_SPAN)
        self._highest[lane] = max(self._highest.get(lane, 0), n)

    # -- the store's side ----------------------------------------------------------------------------------------------

    @property
    def unsent(self) -> list[Handed]:
        """What is to be sent now, in order."""
        return [each for each in self._handed if not each.is_sent]

    @property
    def field(self) -> str:
        """Which field of an entry has the commands."""
        return FIELDS[self.encoding]

    def wire(self, handed: Handed) -> bytes:
        """A hand-over as the core reads it; the record of it is always msgpack."""
        if self.encoding == "msgpack":
            return handed.data
        return encode_commands(decode_commands(handed.data, "msgpack"), self.encoding)

    def appended(self, handed: Handed, entry: EntryId) -> None:
        """A hand-over is in the stream; its answer may have come before this was known."""
        handed.entry = entry
        if answered := self._settle():
            self._record.record_delivered(self.delivered, answered, {})
            self._wake()

    def lost(self) -> None:
        """The connection is lost: whether what has no id is in the stream is unknown, so it is sent again, in order."""
        self.is_open = False
        for each in self._handed:
            if each.entry is None:
                each.is_sent = False

    def send_all_again(self) -> None:
        """The store may have lost its latest entries."""
        for each in self._handed:
            each.is_sent, each.entry = False, None

    def deliver(self, entries: Sequence[tuple[EntryId, Mapping[bytes, bytes]]], now_ns: int) -> None:
        """Entries of this gateway's stream.

        Raises:
            NotUnderstood: the core does not keep to the contract. Missed: an entry is missing before these.
            EpochBegan: what comes after them is of a new epoch.
        """
        batches: list[list[AnyEvent]] = []
        for entry, fields in entries:
            if entry <= self.delivered:
                continue
            before = entry_id(fields.get(b"prev", b"0-0"))
            if before > self.delivered:
                raise Missed(f"an entry between {id_text(self.delivered)} and {id_text(entry)} is missing")
            if b"welcome" in fields:
                self.welcome(entry, fields)
                self.delivered = entry
                continue
            if b"joined" in fields:
                self._report(batches, now_ns)
                batches = []
                self._joined(entry, fields, now_ns)
                continue
            if b"epoch" in fields:
                raise EpochBegan(fields[b"epoch"].decode("utf-8", "replace"))
            if b"error" in fields:
                raise NotUnderstood(f"the core does not understand: {fields[b'error'].decode('utf-8', 'replace')}")
            batches.append(events_of(fields))
            self.delivered = entry
        self._report(batches, now_ns)

    def _report(self, batches: list[list[AnyEvent]], now_ns: int) -> None:
        reported: dict[int, int] = {}
        parts: list[RunEvents | list[AnyEvent]] = []
        for batch in batches:
            fresh: list[AnyEvent] = []
            for event in batch:
                if is_numbered(event):
                    if event.seq <= self._latest.get(event.account, 0) or event.account in self._left:
                        continue
                    self._latest[event.account] = reported[event.account] = event.seq
                    if isinstance(event, OrderEvent):
                        self._keep(event)
                fresh.append(event)
            parts += self._runs_in(fresh) if len(fresh) == len(batch) else [fresh]
        if any(parts) and self._sink is not None:
            self._is_reporting = True
            self._sink(parts[0] if len(parts) == 1 else HandOverEvents(parts), now_ns)
            self._is_reporting = False
        answered = self._settle()
        if answered or reported:
            self._record.record_delivered(self.delivered, answered, reported)
            self._wake()

    def _runs_in(self, batch: list[AnyEvent]) -> list[RunEvents | list[AnyEvent]]:
        """The events of one entry, those of each run that was handed over together."""
        parts: list[RunEvents | list[AnyEvent]] = []
        counts: dict[int, int] = {}
        first = end = 0
        for event in batch:
            cmd_id = event.cmd_id
            if cmd_id in self._runs:
                counts[cmd_id] = self._runs.pop(cmd_id)
                first, end = cmd_id, cmd_id + counts[cmd_id]
                parts.append(RunEvents(first))
            elif not parts or (cmd_id and not first <= cmd_id < end and isinstance(parts[-1], RunEvents)):
                parts.append([])
            parts[-1].append(event)  # type: ignore[arg-type]  # a new order causes order events alone
        for part in parts:
            if isinstance(part, RunEvents):
                are_new = all(event.exec_type is ExecType.NEW and event.cmd_id for event in part)
                part.all_rest = are_new and len(part) == counts[part.cmd_id]
        return parts

    def _keep(self, event: OrderEvent) -> None:
        if event.exec_type is ExecType.REJECTED:
            return  # of a used id: the order that it names is another one
        known, names = self._open.setdefault(event.account, {}), self._names.setdefault(event.account, {})
        if event.leaves_qty:
            known[event.order_id], names[event.cl_ord_id] = event, event.order_id
            if event.exec_type is ExecType.REPLACED:
                names.pop(event.orig_cl_ord_id, None)
        elif known.pop(event.order_id, None) is not None:
            names.pop(event.cl_ord_id, None)

    def _add(self, handed: Handed) -> None:
        self._handed.append(handed)
        self._unanswered += handed.count

    def _settle(self) -> int:
        """Hand-overs that are answered leave; the number of the last one that did, 0 = none."""
        handed, answered = self._handed, 0
        while handed and (entry := handed[0].entry) is not None and entry <= self.delivered:
            self._unanswered -= handed[0].count
            answered = handed.popleft().number
        return answered


class EpochBegan(Exception):
    """History was lost, and streams begin anew: a gateway does so, too, when it is started again."""


class Missed(Exception):
    """An entry was trimmed before it was read: the accounts' streams must be read instead."""


def events_of(fields: Mapping[bytes, bytes]) -> list[AnyEvent]:
    """The events in an entry of any stream of the core.

    Raises:
        NotUnderstood: they cannot be read.
    """
    found = payload(fields)
    return decode_events(*found) if found is not None else []
