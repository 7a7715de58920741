"""The bounded queue between road and core, and the stages by which its fill is felt at the doors.

While the core has credit for everything that waits, requests leave in the order they came. Only when something must
wait do classes act (control > cancel > order > query, turn by turn between accounts), and then a cancel that overtakes
takes its target along: **priority never reorders effects**. Pure: the simulation runs it on a virtual clock.
"""

from collections import deque
from collections.abc import Iterator
from enum import IntEnum

from gateway import config
from gateway.request import Class, Request
from protocols.messages import CancelOrder, MassCancel, NewOrder, ReplaceOrder


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


class _Lane:
    """Requests of one class: first in, first out within an account, turn by turn between accounts."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[Request]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[Request]:
        for queue in self._queues.values():
            yield from queue

    def put(self, request: Request) -> None:
        self._queues.setdefault(request.command.account, deque()).append(request)

    def take(self, count: int) -> list[Request]:
        taken: list[Request] = []
        queues = self._queues
        while queues and len(taken) < count:
            account = next(iter(queues))
            queue = queues.pop(account)
            taken.append(queue.popleft())
            if queue:
                queues[account] = queue  # to the end of the round
        return taken

    def remove(self, request: Request) -> None:
        account = request.command.account
        queue = self._queues[account]
        queue.remove(request)
        if not queue:
            del self._queues[account]


class Ingress:
    """What waits for the core. `commands` and `size_bytes` count it; `stage` is how it is felt."""

    def __init__(self, settings: config.Ingress) -> None:
        self._settings = settings
        self._arrived: deque[Request] = deque()  # in order of arrival, while nothing has to wait
        self._lanes = tuple(_Lane() for _ in Class)
        self._by_id: dict[tuple[int, str], list[Request]] = {}  # waiting New and Replace by every id that names them
        self._waiting = 0  # in lanes
        self.commands = 0
        self.size_bytes = 0
        self.stage = Stage.OPEN
        # Below half of either bound the stage is OPEN whatever it was: nothing to work out on the hot path.
        self._calm_commands = settings.max_commands // 2
        self._calm_bytes = settings.max_bytes // 2

    @property
    def fill_percent(self) -> int:
        """The fuller of commands and bytes, 100 = full."""
        settings = self._settings
        return max(100 * self.commands // settings.max_commands, 100 * self.size_bytes // settings.max_bytes)

    def put(self, request: Request) -> None:
        """Take one request. The road has asked `stage` before; the queue itself never refuses."""
        self._arrived.append(request)
        self.commands += 1
        self.size_bytes += request.size_bytes
        if self.commands >= self._calm_commands or self.size_bytes >= self._calm_bytes:
            self._restage()

    def take(self, credit: int) -> tuple[list[Request], list[Request]]:
        """What may be handed over now, in order, and the requests withdrawn because a cancel overtook them.

        A cancel whose target was withdrawn before it reached the core is withdrawn too: its target is gone.
        """
        orders = credit - CANCEL_CREDIT - CONTROL_CREDIT
        if not self._waiting and len(self._arrived) <= orders:
            taken = list(self._arrived)
            self._arrived.clear()
            self.commands = self.size_bytes = 0
            self.stage = Stage.OPEN
            return taken, []
        withdrawn = self._sort_arrivals()
        taken = self._lanes[Class.CONTROL].take(credit)
        taken += self._lanes[Class.CANCEL].take(credit - CONTROL_CREDIT - len(taken))
        for lane in (Class.ORDER, Class.QUERY):
            taken += self._lanes[lane].take(orders - len(taken))
        self._waiting -= len(taken)
        for request in taken:
            self._forget(request)
            self._uncount(request)
        return taken, withdrawn

    def heavy_sessions(self) -> set[int]:
        """Sessions with more than their even share of what waits: those whose reading pauses first."""
        counts: dict[int, int] = {}
        for request in self._requests():
            counts[request.command.session] = counts.get(request.command.session, 0) + 1
        share = self.commands / len(counts) if counts else 0
        return {session for session, count in counts.items() if count >= share}

    def _requests(self) -> Iterator[Request]:
        yield from self._arrived
        for lane in self._lanes:
            yield from lane

    def _uncount(self, request: Request) -> None:
        self.commands -= 1
        self.size_bytes -= request.size_bytes
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
        while self._arrived:
            request = self._arrived.popleft()
            command = request.command
            if isinstance(command, CancelOrder):
                gone = self._withdraw_target(command)
                withdrawn += gone
                if gone and isinstance(gone[-1].command, NewOrder):
                    withdrawn.append(request)
                    self._uncount(request)
                    continue
            elif isinstance(command, MassCancel):
                withdrawn += self._withdraw_scope(command)
            self._waiting += 1
            self._lanes[request.queue_class].put(request)
            for name in _names(command):
                self._by_id.setdefault((command.account, name), []).append(request)
        return withdrawn

    def _withdraw_target(self, cancel: CancelOrder) -> list[Request]:
        """Withdraw the waiting Replaces of the order a cancel names, and then its New, if that waits too."""
        gone: list[Request] = []
        names = [name for name in (cancel.orig_cl_ord_id, _order_name(cancel.order_id)) if name]
        while names:
            for request in reversed(self._by_id.get((cancel.account, names.pop()), [])[:]):
                if request not in gone:
                    self._withdraw(request)
                    gone.append(request)
                    names.extend(_names(request.command))
        gone.sort(key=lambda request: isinstance(request.command, NewOrder))
        return gone

    def _withdraw_scope(self, cancel: MassCancel) -> list[Request]:
        gone = [request for request in self._lanes[Class.ORDER] if _in_scope(cancel, request)]
        for request in gone:
            self._withdraw(request)
        return gone

    def _withdraw(self, request: Request) -> None:
        self._lanes[Class.ORDER].remove(request)
        self._waiting -= 1
        self._forget(request)
        self._uncount(request)

    def _forget(self, request: Request) -> None:
        for name in _names(request.command):
            key = (request.command.account, name)
            rows = self._by_id[key]
            rows.remove(request)
            if not rows:
                del self._by_id[key]


def _order_name(order_id: int) -> str:
    return f"#{order_id}" if order_id else ""  # '#' is not allowed in a ClOrdID(11)


def _names(command: object) -> tuple[str, ...]:
    """Every id by which a later cancel may mean this waiting command."""
    if isinstance(command, NewOrder):
        return (command.cl_ord_id,)
    if isinstance(command, ReplaceOrder):
        names = (command.cl_ord_id, command.orig_cl_ord_id, _order_name(command.order_id))
        return tuple(name for name in names if name)
    return ()


def _in_scope(cancel: MassCancel, request: Request) -> bool:
    """Whether a waiting New or Replace falls under a mass cancel; what a Replace leaves open is matched widely."""
    command = request.command
    if command.account != cancel.account or (cancel.only_session and command.session != cancel.session):
        return False
    if cancel.instrument and getattr(command, "instrument", 0) != cancel.instrument:
        return False
    if isinstance(command, ReplaceOrder):
        return not (cancel.side and command.side and command.side != cancel.side)
    if isinstance(command, NewOrder):
        exempt = cancel.keep_exempt and command.flags & 4
        return not (
            exempt or (cancel.side and command.side != cancel.side) or (cancel.tag and command.tag != cancel.tag)
        )
    return False
