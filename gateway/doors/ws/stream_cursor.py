"""The position of one WebSocket connection in its account's stream, and what it writes next.

A subscribed connection is sent every event of its account. An event is either written at once, or waits in the stream
until the task before it is done: a replay, a snapshot or a long list. So no event is written twice or out of order, and
a long replay costs no memory: it is read from the stream as the socket drains.

Why tasks go before live events, for a client that resumes at 100 while the account is at 5,000:

| Now | Task | Live events from | Written |
| --- | --- | --- | --- |
| the logon is accepted | replay 101 to 5,000 | 5,001 | slices of 32 |
| the core reports 5,001 | the same, at 2,000 | 5,001 | nothing new: 5,001 waits in the stream |
| the replay ends | none | 5,001 | `resumed`, then 5,001 as a late event |
| all is written | none | written at once | 5,002 when it happens |

Written at once, 5,001 would come before 2,001, and a client that tracks `seq` would see a gap. Pure.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Literal

import msgspec

from gateway.sessions.registry import Sessions
from gateway.sessions.session import AccountStream
from protocols import errors
from protocols.errors import Refusal
from protocols.instruments import Instruments
from protocols.messages import AnyEvent, EngineState, OrderEvent, OrderList
from protocols.ws import report
from protocols.ws.codec import JSON, Codec
from protocols.ws.event_text import OrderEventText

READY_BYTES = 65_536
"""With this much output ready, further events wait in the stream."""
_EVENTS = 32  # per slice: half a millisecond
_SNAPSHOT_ROWS = 100  # orders per slice
_LIST_ROWS = 100  # per slice, so that a long list delays no other connection
_LATE_EVENTS = 4_096  # kept encoded: about 1.5 MB
_MIN_ROW_BYTES = 100  # no order takes less


class StreamSlice(msgspec.Struct, frozen=True):
    """What to write next: live or replayed events, or orders of a snapshot. `is_last` ends a task.

    begin, end: numbers of the first and last event of the whole replay; a snapshot is valid at `end`.
    """

    kind: Literal["live", "replay", "snapshot"]
    rows: Sequence[AnyEvent]
    is_last: bool = False
    begin: int = 0
    end: int = 0


class _Task(Enum):
    """What goes before live events."""

    NONE = "none"
    REPLAY = "replay"
    AWAIT = "await"  # a snapshot was requested
    SNAPSHOT = "snapshot"  # a snapshot is being written
    LIST = "list"


_NONE = _Task.NONE  # a lookup in the Enum costs a Python call, and every flush compares it


class StreamCursor:
    """What one connection was sent, and what comes next.

    One task at a time goes before live events: `replay`, `await_snapshot` then `give_snapshot`, or `hold` to `release`.
    Beside any of them `keep_back` keeps live events for later, until `let_go`. Subscribing and unsubscribing change
    what is written live and never touch a task.
    """

    __slots__ = ("_account", "_at", "_begin", "_end", "_is_subscribed", "_kept_back", "_next", "_snapshot", "_task")

    def __init__(self, account: AccountStream) -> None:
        self._account = account
        self._is_subscribed = False
        self._next = 0  # first event that waits to be written; 0 = none, the next event is written at once
        self._task = _NONE
        self._kept_back = 0  # answers to write before the next live event
        self._begin = self._at = self._end = 0  # of the replay
        self._snapshot: OrderList | None = None  # rows from `_at` on are unwritten

    @property
    def is_settled(self) -> bool:
        """Whether no task is in progress and no event waits."""
        return self._task is _NONE and not self._next

    @property
    def awaits_snapshot(self) -> bool:
        """Whether a snapshot was requested and has not come yet."""
        return self._task is _Task.AWAIT

    @property
    def has_slice(self) -> bool:
        """Whether `take` has something."""
        if self._task is _NONE:
            return 0 < self._next <= self._account.latest_seq and not self._kept_back
        return self._task in (_Task.REPLAY, _Task.SNAPSHOT)

    @property
    def is_live(self) -> bool:
        """Whether the event reported now is to be written at once; otherwise it waits, or is not wanted."""
        return self._is_subscribed and not self._next

    @property
    def behind(self) -> int:
        """How many live events wait although no task goes before them."""
        return self._account.latest_seq - self._next + 1 if self._task is _NONE and self._next else 0

    def fall_behind(self, seq: int) -> None:
        """Leave the event with this number, which is reported now, in the stream, and those after it, until they are
        written.
        """
        self._next = seq

    # -- requests of the client ----------------------------------------------------------------------------------

    def subscribe(self) -> None:
        """Write live events, from the next one on; no effect when subscribed already."""
        if not self._is_subscribed:
            self._is_subscribed = True
            if self._task is not _NONE or self._kept_back:
                self._next = self._account.reported_seq + 1

    def unsubscribe(self) -> None:
        """Write no more live events. A task in progress continues."""
        self._is_subscribed = False
        self._next = 0

    def replay(self, begin: int, end: int) -> None:
        """Write begin..end again, all of which the stream has; only when settled."""
        self._start(_Task.REPLAY)
        self._begin, self._at, self._end = begin, begin, end

    def await_snapshot(self) -> None:
        """Write nothing until `give_snapshot`; only when settled."""
        self._start(_Task.AWAIT)

    def give_snapshot(self, snapshot: OrderList) -> None:
        """The open orders as of the snapshot's number: write them in slices, then the events after that number."""
        self._task, self._snapshot, self._at = _Task.SNAPSHOT, snapshot, 0
        if self._is_subscribed:
            self._next = snapshot.seq + 1

    def hold(self) -> bool:
        """Keep live events back until `release`; False when a task is in progress, which continues."""
        if not self.is_settled:
            return False
        self._start(_Task.LIST)
        return True

    def release(self) -> None:
        """Continue with live events."""
        if self._task is _Task.LIST:
            self._end_task()

    def keep_back(self) -> None:
        """Write no live event before `let_go`, because an answer goes before them. Calls are counted."""
        self._kept_back += 1
        self._wait_for_turn()

    def let_go(self) -> None:
        """The answer is written."""
        self._kept_back -= 1
        if self._task is _NONE:
            self._catch_up()

    # -- what is written -----------------------------------------------------------------------------------------

    def take(self) -> StreamSlice | None:
        """The next slice; None when the stream no longer keeps it: the reader was too slow."""
        if self._task is _Task.SNAPSHOT:
            return self._take_rows()
        is_replay = self._task is _Task.REPLAY
        first, last = (self._at, self._end) if is_replay else (self._next, self._account.latest_seq)
        upto = min(first + _EVENTS - 1, last)
        events, is_last = self._account.replay(first, upto), upto == last
        if len(events) <= upto - first:
            return None
        if not is_replay:
            self._next = upto + 1
            self._catch_up()
            return StreamSlice("live", events, is_last)
        self._at = upto + 1
        if is_last:
            self._end_task()
        return StreamSlice("replay", events, is_last, self._begin, self._end)

    def _take_rows(self) -> StreamSlice:
        assert self._snapshot is not None
        orders, seq, start = self._snapshot.orders, self._snapshot.seq, self._at
        self._at += _SNAPSHOT_ROWS
        is_last = self._at >= len(orders)
        if is_last:
            self._snapshot = None
            self._end_task()
        return StreamSlice("snapshot", orders[start : start + _SNAPSHOT_ROWS], is_last, end=seq)

    def _start(self, task: _Task) -> None:
        self._task = task
        self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        """Do not write the next event at once."""
        if self._is_subscribed and not self._next:
            self._next = self._account.reported_seq + 1

    def _end_task(self) -> None:
        self._task = _NONE
        self._catch_up()

    def _catch_up(self) -> None:
        """Go live when nothing waits. Never during dispatch, which stores several events and then reports them."""
        if self._next > self._account.latest_seq and not self._kept_back:
            self._next = 0


class EncodedEvents:
    """Encodes each event once per encoding, however many connections are sent it: dispatch calls one after the other.

    Connections that are behind read it later, most of them at about the same time, so the latest of these are kept.
    """

    def __init__(self, instruments: Instruments, sessions: Sessions) -> None:
        self._instruments = instruments
        self._sessions = sessions
        self._text = OrderEventText(instruments, sessions.name_of, self._general_text)
        self._latest: dict[Codec, tuple[AnyEvent, bytes]] = {}
        self._run: dict[tuple[int, int], bytes] = {}  # events of the latest run, in JSON
        self._late: dict[tuple[Codec, int, int], bytes] = {}

    def live_run(self, events: Sequence[OrderEvent]) -> list[bytes]:
        """The events of a run, in JSON. Kept for the connections that are sent them after this one."""
        made = self._text.write(events)
        self._run = {(event.account, event.seq): text for event, text in zip(events, made, strict=True)}
        return made

    def live(self, event: AnyEvent, codec: Codec) -> bytes:
        """The event as every connection with this encoding is sent it."""
        if type(event) is OrderEvent and not codec.binary and (event.account, event.seq) in self._run:
            return self._run[event.account, event.seq]
        latest = self._latest.get(codec)
        if latest is not None and latest[0] is event:
            return latest[1]
        made = self.encode(event, codec, is_replay=False)
        self._latest[codec] = event, made
        return made

    def late(self, event: AnyEvent, codec: Codec) -> bytes:
        """The same for a connection that was behind when it happened."""
        late, key = self._late, (codec, event.account, event.seq)
        made = late.get(key)
        if made is None:
            made = late[key] = self.encode(event, codec, is_replay=False)
            if len(late) > _LATE_EVENTS:
                del late[next(iter(late))]
        return made

    def encode(self, event: AnyEvent, codec: Codec, is_replay: bool) -> bytes:
        """The event, with the name of the session that owns the order."""
        if not (codec.binary or is_replay) and type(event) is OrderEvent:
            return self._text.write((event,))[0]
        name = self._sessions.name_of(event.session) if not isinstance(event, EngineState) else ""
        return codec.encode(report.event_wire(event, self._instruments, name, is_replay))

    def _general_text(self, event: OrderEvent) -> bytes:
        name = self._sessions.name_of(event.session)
        return JSON.encode(report.event_wire(event, self._instruments, name))


class _Orders(msgspec.Struct, frozen=True):
    """`results.OrderListResult` with encoded rows."""

    seq: int
    orders: list[msgspec.Raw]


class ListCursor:
    """The one answer to an `order.list` with many orders, made slice by slice; bounded in bytes."""

    def __init__(self, event: OrderList, max_bytes: int) -> None:
        self._event = event
        self._left_bytes = max_bytes
        self._rows: list[msgspec.Raw] = []
        self._is_too_long = len(event.orders) * _MIN_ROW_BYTES > max_bytes

    @staticmethod
    def is_long(event: OrderList) -> bool:
        """Whether it is more than one slice."""
        return len(event.orders) > _LIST_ROWS

    def advance(self, codec: Codec, instruments: Instruments) -> tuple[int, object]:
        """Encode the next slice: how many orders it had, and the result or a Refusal, None until it is complete."""
        orders = () if self._is_too_long else self._event.orders[len(self._rows) : len(self._rows) + _LIST_ROWS]
        for order in orders:
            row = codec.encode(report.order_row(order, instruments.by_id[order.instrument]))
            self._left_bytes -= len(row)
            self._rows.append(msgspec.Raw(row))
        if self._is_too_long or self._left_bytes < 0:
            text = f"{len(self._event.orders)} open orders are too many for one answer, ask by symbol"
            return len(orders), Refusal(errors.TOO_MANY_OPEN_ORDERS, text)
        is_whole = len(self._rows) == len(self._event.orders)
        return len(orders), _Orders(self._event.seq, self._rows) if is_whole else None
