"""The bounded queue before the core, and the stages by which the doors feel how full it is.

While the core has credit for everything that waits, requests leave in the order of their arrival. Only when something
must wait do classes act: control before cancel before order before query, with turns by bytes between accounts. A
cancel that overtakes the order that it names takes it out of the queue: **priority never reorders effects**.

    waiting, oldest first:   New a    New b    Cancel a    Replace b -> c    MassCancel (all)
    handed over:             MassCancel, Cancel a
    withdrawn:               New a (by Cancel a); New b and Replace b -> c (by MassCancel)

Pure: the simulation runs it on a virtual clock.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import chain
from typing import Protocol

import msgspec

from gateway.config import schema
from gateway.orders.lanes import Lane, QueueDeadlines
from gateway.orders.pace import Pace
from gateway.sessions.request import Class, Request, RequestRun, is_retry
from gateway.sessions.session import Session
from protocols.errors import WITHDRAWN
from protocols.messages import COD_EXEMPT, CancelOrder, MassCancel, NewOrder, ReplaceOrder


class Stage(IntEnum):
    """How full the queue is, as the doors must feel it. Each stage is left 10 points below where it is entered."""

    OPEN = 0
    PAUSING = 1  # 60 %: the reading of heavy sessions pauses, for max_wait_ms at most
    SHEDDING = 2  # 80 %: New and Replace are refused at once; cancels keep the top fifth
    FULL = 3  # 95 %: no new connections
    BRIM = 4  # 100 %: reading stops until it drains


_ENTER_PERCENT = {Stage.PAUSING: 60, Stage.SHEDDING: 80, Stage.FULL: 95, Stage.BRIM: 100}
_LEAVE_POINTS = 10

CANCEL_CREDIT = 32  # of the link's window, kept for cancels
CONTROL_CREDIT = 8  # of the link's window, kept for control
KEPT_CREDIT = CANCEL_CREDIT + CONTROL_CREDIT

_Scope = tuple[object, ...]


class WaitRecord(Protocol):
    """What remembers requests that wait for the core after the process has ended."""

    def begins_wait(self, request: Request) -> None:
        """This one is still in the queue when its turn ends."""

    def ends_wait(self, request: Request) -> None:
        """It has left the queue: it is handed over, or has another answer."""


class OrderQueue:
    """What waits for the core. `commands` and `size_bytes` count it; `stage` is how it is felt."""

    def __init__(self, settings: schema.Ingress, hold_ns: int, record: WaitRecord | None = None) -> None:
        """hold_ns: how long anything but control may wait. record: of what waits beyond its turn; None = nothing does
        that a crash could lose, as with a core in this process.
        """
        self._settings = settings
        self._record = record
        self._arrived: deque[Request | RequestRun] = deque()  # in order of arrival, while nothing has to wait
        self._arriving = 0  # commands of these
        self._lanes = tuple(Lane() for _ in Class)
        self._by_id: dict[tuple[int, str], dict[int, Request]] = {}  # waiting New, Replace by every name
        self._sweeps: dict[int, dict[_Scope, Request]] = {}  # each scope's mass cancel without an answer, by account
        self._waits = QueueDeadlines(hold_ns)
        self._pace = Pace()
        self._sweeping = 0  # mass cancels that the core has
        self._waiting = 0  # in lanes
        self.commands = 0
        self.size_bytes = 0
        self.since_ns = 0  # when it was empty last
        self.stage = Stage.OPEN
        # Below half of either bound the stage is OPEN whatever it was: nothing to work out on the hot path.
        self._calm_commands = settings.max_commands // 2
        self._calm_bytes = settings.max_bytes // 2

    @property
    def is_calm(self) -> bool:
        """Whether nothing has to wait for the core."""
        return not (self._waiting or self.stage)

    @property
    def accepts_connections(self) -> bool:
        """Whether new connections are accepted: at 95 % clients with work in progress come first."""
        return self.stage < Stage.FULL

    @property
    def fill_percent(self) -> int:
        """The fuller of commands and bytes, 100 = full."""
        settings = self._settings
        return max(100 * self.commands // settings.max_commands, 100 * self.size_bytes // settings.max_bytes)

    def put(self, request: Request) -> bool:
        """Take one request. False: a mass cancel that joined the one of its scope, here or at the core, and is answered
        with it.

        `Admission` has looked at `stage` before; the queue itself never refuses.
        """
        if isinstance(request.command, MassCancel):
            if self._join(request, request.command):
                return False
        elif self._sweeps and isinstance(request.command, NewOrder | ReplaceOrder):
            # A mass cancel that arrives after this must not join one that arrived before it.
            for sweep in self._sweeps.get(request.command.account, {}).values():
                sweep.is_followed = True
        if not self.commands:
            self.since_ns = request.arrived_ns
            self._pace.rest(self.since_ns)
        self._arrived.append(request)
        self._arriving += 1
        self.commands += 1
        self.size_bytes += request.size_bytes
        if self.commands >= self._calm_commands or self.size_bytes >= self._calm_bytes:
            self._restage()
        return True

    def has_room(self, count: int, size_bytes: int) -> bool:
        """Whether so much more leaves everything as calm as it is."""
        commands, size = self.commands + count, self.size_bytes + size_bytes
        return not (self._waiting or self.stage) and commands < self._calm_commands and size < self._calm_bytes

    def put_run(self, run: RequestRun) -> None:
        """Take a run, for which there is room."""
        if self._sweeps:
            for sweep in self._sweeps.get(run.session.client.account_id, {}).values():
                sweep.is_followed = True
        if not self.commands:
            self.since_ns = run.arrived_ns
            self._pace.rest(self.since_ns)
        count = len(run.commands.rows)
        self._arrived.append(run)
        self._arriving += count
        self.commands += count
        self.size_bytes += run.size_bytes

    def take(self, credit: int, now_ns: int) -> tuple[Sequence[Request | RequestRun], list[Request]]:
        """What may be handed over now, in order, and the requests withdrawn because a cancel overtook them."""
        orders = credit - KEPT_CREDIT
        if not self._waiting and self._arriving <= orders:
            arrived = list(self._arrived)
            self._arrived.clear()
            if self._sweeps:
                self._sweeping += sum(type(row) is Request and row.queue_class is Class.CONTROL for row in arrived)
            self.commands = self.size_bytes = self._arriving = 0
            if self.stage:
                self.stage = Stage.OPEN
            return arrived, []
        withdrawn = self._sort_arrivals()
        kept = max(CONTROL_CREDIT - self._sweeping, 0)  # beyond its own part, control does not use up that of cancels
        taken = self._lanes[Class.CONTROL].take(min(max(orders, 0) + kept, credit))
        taken += self._lanes[Class.CANCEL].take(credit - max(kept, len(taken)))
        self._sweeping += sum(row.queue_class is Class.CONTROL for row in taken)
        before = len(taken)
        taken += self._lanes[Class.ORDER].take(orders - before)
        self._pace.took(len(taken) - before, now_ns)
        taken += self._lanes[Class.QUERY].take(orders - len(taken))
        for request in taken:
            self._leave(request)
        return taken, withdrawn

    def keep_waiting(self) -> list[Request]:
        """The turn ends: what is left in the queue is put on record. Returns what cancels withdrew."""
        return self._sort_arrivals() if self._record is not None and self._arriving else []

    def expire(self, now_ns: int, is_away: bool) -> tuple[list[Request], list[Request]]:
        """Take out what has waited too long, and what was withdrawn: orders when their window is over, all but control
        after hold_ns. Cancels only when the core is away: one that is slow will take them."""
        withdrawn = self._sort_arrivals()
        late = [row for row in self._waits.over(now_ns) if is_away or row.queue_class is not Class.CANCEL]
        for request in late:
            self._withdraw(request)
        return late, withdrawn

    def forget(self, session: Session) -> tuple[list[Request], list[Request]]:
        """Take out what waits of a session that another gateway has; and what cancels withdrew, of any session."""
        withdrawn = self._sort_arrivals()
        gone = [request for lane in self._lanes for request in lane if request.session is session]
        for request in gone:
            self._withdraw(request)
        return gone, withdrawn

    def __iter__(self) -> Iterator[Request]:
        """Whatever waits, but for mass cancels that joined another."""
        return chain(self._arrivals(), *self._lanes)

    def heavy_sessions(self) -> set[int]:
        """Sessions with at least their even share of what waits: those whose reading pauses first."""
        counts = Counter(request.command.session for request in self)
        share = self.commands / len(counts) if counts else 0
        return {session for session, count in counts.items() if count >= share}

    def wait_ns(self, account: int, now_ns: int) -> int:
        """How long a new New or Replace of this account will wait, at the pace of the core; 0 = not at all."""
        ahead = self._lanes[Class.ORDER].ahead(account)
        return ahead * self._pace.interval_ns(now_ns) if ahead else 0

    def waiting(self, account: int, name: str) -> Iterator[Request]:
        """The News and Replaces of the account that wait under this client order id, and others that have just come."""
        yield from self._by_id.get((account, name), {}).values()
        yield from self._arrivals()

    def _arrivals(self) -> Iterator[Request]:
        """What has just come, one by one: whoever looks at single requests ends the runs among them."""
        if any(type(each) is RequestRun for each in self._arrived):
            self._arrived = deque(
                chain.from_iterable(each.split() if type(each) is RequestRun else (each,) for each in self._arrived)
            )
        return iter(self._arrived)  # type: ignore[arg-type]

    def _join(self, request: Request, command: MassCancel) -> bool:
        """Join a mass cancel of the same scope, unless an order of the account arrived in between."""
        sweeps, scope = self._sweeps.setdefault(command.account, {}), _scope(command)
        first = sweeps.get(scope)
        if first is None or first.is_followed or first.is_reported:
            sweeps[scope] = request
            return False
        first.joined.append(request)
        if not first.handed_ns:  # it waits, and so does this
            self.commands += 1
            self.size_bytes += request.size_bytes
            self._restage()
        return True

    def settle(self, request: Request) -> None:
        """The core has answered a mass cancel, or the gateway has refused it: no repeat joins it any more."""
        command = request.command
        assert isinstance(command, MassCancel)
        self._sweeping -= request.handed_ns > 0
        sweeps, scope = self._sweeps.get(command.account, {}), _scope(command)
        if sweeps.get(scope) is request:
            del sweeps[scope]
        if not sweeps:
            self._sweeps.pop(command.account, None)

    def _leave(self, request: Request) -> None:
        self._waiting -= 1
        if self._record is not None:
            self._record.ends_wait(request)
        command = request.command
        self._waits.discard(request)
        for name in _names(command):
            rows = self._by_id[command.account, name]
            del rows[id(request)]
            if not rows:
                del self._by_id[command.account, name]
        self.commands -= 1 + len(request.joined)
        self.size_bytes -= request.size_bytes + sum(joined.size_bytes for joined in request.joined)
        self._restage()

    def _restage(self) -> None:
        fill, stage = self.fill_percent, self.stage
        while stage < Stage.BRIM and fill >= _ENTER_PERCENT[Stage(stage + 1)]:
            stage = Stage(stage + 1)
        while stage and fill < _ENTER_PERCENT[stage] - _LEAVE_POINTS:
            stage = Stage(stage - 1)
        self.stage = stage

    def _sort_arrivals(self) -> list[Request]:
        """Move arrivals into their lanes, in order; returns what cancels withdrew on the way."""
        withdrawn: list[Request] = []
        arrived = list(self._arrivals())
        self._arrived.clear()
        self._arriving = 0
        for request in arrived:
            command = request.command
            if isinstance(command, CancelOrder):
                overtaken = self._withdraw_target(command)
                request.has_overtaken = any(isinstance(each.command, NewOrder) for each in overtaken)
                request.command = _aimed(command, overtaken)
                withdrawn += [each for each in overtaken if not each.is_waiting]
            elif isinstance(command, MassCancel):
                withdrawn += self._withdraw_scope(command)
            self._waiting += 1
            self._lanes[request.queue_class].put(request)
            self._waits.add(request)
            if self._record is not None:
                self._record.begins_wait(request)
            for name in _names(command):
                self._by_id.setdefault((command.account, name), {})[id(request)] = request
        return withdrawn

    def _withdraw_target(self, cancel: CancelOrder) -> list[Request]:
        """Withdraw the waiting Replaces of the order a cancel names, and its New, if that waits too.

        The cancel itself goes on to the core all the same: an older order may live under the name.
        """
        overtaken: list[Request] = []
        names = [_order_name(cancel.order_id) or cancel.orig_cl_ord_id]
        while names:
            for request in list(self._by_id.get((cancel.account, names.pop()), {}).values()):
                command = request.command
                is_meant = isinstance(command, NewOrder | ReplaceOrder) and command.instrument == cancel.instrument
                if is_meant and request not in overtaken:
                    self._withdraw_order(request)
                    overtaken.append(request)
                    names.extend(_names(command))
        return overtaken

    def _withdraw_scope(self, cancel: MassCancel) -> list[Request]:
        gone = [request for request in self._lanes[Class.ORDER].of(cancel.account) if in_scope(cancel, request)]
        for request in gone:
            self._withdraw_order(request)
        return [request for request in gone if not request.is_waiting]

    def _withdraw_order(self, request: Request) -> None:
        """Take out a New or Replace; a retry stays as a question, for its first attempt may be in the book."""
        if is_retry(request.command):
            request.asks_with = WITHDRAWN
        else:
            self._withdraw(request)

    def _withdraw(self, request: Request) -> None:
        self._lanes[request.queue_class].drop(request)
        self._leave(request)


def _scope(cancel: MassCancel) -> _Scope:
    """What a mass cancel of the account is about."""
    session = cancel.session if cancel.only_session else 0
    return cancel.instrument, cancel.side, cancel.tag, session, cancel.keep_exempt, cancel.origin


def _aimed(cancel: CancelOrder, gone: list[Request]) -> CancelOrder:
    """The cancel, meant for the order that the withdrawn Replaces would have changed: it never gets their names."""
    changes = {row.command.cl_ord_id: row.command for row in gone if isinstance(row.command, ReplaceOrder)}
    while not cancel.order_id and (change := changes.pop(cancel.orig_cl_ord_id, None)) is not None:
        cancel = msgspec.structs.replace(
            cancel, order_id=change.order_id, orig_cl_ord_id=change.orig_cl_ord_id or cancel.orig_cl_ord_id
        )
    return cancel


def _order_name(order_id: int) -> str:
    return f"#{order_id}" if order_id else ""  # '#' is not allowed in a ClOrdID(11)


def _names(command: object) -> tuple[str, ...]:
    """Every id by which a later cancel may mean this waiting command."""
    if isinstance(command, NewOrder):
        return (command.cl_ord_id,)
    if isinstance(command, ReplaceOrder):
        names = (command.cl_ord_id, command.orig_cl_ord_id, _order_name(command.order_id))
        return tuple({name for name in names if name})
    return ()


def in_scope(cancel: MassCancel, request: Request) -> bool:
    """Whether a waiting New or Replace falls under a mass cancel; what a Replace leaves open is matched widely."""
    command = request.command
    if command.account != cancel.account or (cancel.only_session and command.session != cancel.session):
        return False
    if cancel.instrument and getattr(command, "instrument", 0) != cancel.instrument:
        return False
    if isinstance(command, ReplaceOrder):
        return not (cancel.side and command.side and command.side != cancel.side)
    if isinstance(command, NewOrder):
        exempt = cancel.keep_exempt and command.flags & COD_EXEMPT
        return not (
            exempt or (cancel.side and command.side != cancel.side) or (cancel.tag and command.tag != cancel.tag)
        )
    return False
