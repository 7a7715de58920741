"""The lanes where requests wait for the core: one a class, round robin between accounts, with deadlines. Pure."""

from collections import deque
from collections.abc import Iterator
from itertools import chain

from gateway.sessions.request import Class, Request, RequestState
from protocols.messages import NewOrder, ReplaceOrder

_QUANTUM_BYTES = 200  # about an order: a turn is short, so few wait long
_LEAST_BYTES = 64  # what a request counts at least: a flood of tiny ones is a flood too
_MANY = 64  # withdrawn requests are not worth a look below this
_SLOT_NS = 10_000_000  # as often as the queue is searched for overdue requests


class _Queue(deque[Request]):
    """What waits of one account in one lane, and the bytes it may still hand over in its turn."""

    credit_bytes = 0


class Lane:
    """Requests of one class: first in, first out within an account, deficit round robin by bytes between accounts.

    Each turn adds a quantum to what an account may hand over, and an empty queue keeps nothing. So neither many
    requests nor large ones get an account more than its share, within a quantum and one request. Example with a quantum
    of 200 bytes: A has waiting 200 200 200, B has 400 100. Handed over: A 200, B 400, A 200, A 200, B 100, because B
    pays with its next turn for the 200 bytes that it took too many.

    A withdrawn request stays where it is and is skipped when its turn comes, so nothing is searched for; when half of
    the lane is withdrawn, it is compacted. The gateway's own commands are one queue, whatever their account, because
    they share one counter.
    """

    def __init__(self) -> None:
        self._queues: dict[int, _Queue] = {}  # by account, the one whose turn it is first
        self._size = self._gone = 0  # all that lie here, and those of them that were withdrawn

    def __iter__(self) -> Iterator[Request]:
        for account in self._queues:
            yield from self.of(account)

    def of(self, account: int) -> Iterator[Request]:
        """What waits of one account, in order."""
        return (request for request in self._queues.get(account, ()) if request.is_waiting)

    def ahead(self, account: int) -> int:
        """How many go before a new request of this account: by turns, at most as many of each account as of its own."""
        return min(len(self._queues.get(account, ())) * len(self._queues), self._size)

    def put(self, request: Request) -> None:
        account = request.command.account if request.session.id else 0
        queue = self._queues.get(account)
        if queue is None:
            queue = self._queues[account] = _Queue()
        queue.append(request)
        self._size += 1

    def drop(self, request: Request) -> None:
        """It is withdrawn. It must not stay in memory for long: a core may be away for hours."""
        request.move_to(RequestState.WITHDRAWN)
        self._gone += 1
        if self._gone < _MANY or 2 * self._gone < self._size:
            return
        for account, queue in list(self._queues.items()):
            left = [row for row in queue if row.is_waiting]
            queue.clear()
            queue.extend(left)
            if not left:
                del self._queues[account]
        self._size, self._gone = self._size - self._gone, 0

    def take(self, count: int) -> list[Request]:
        taken: list[Request] = []
        queues = self._queues
        while queues and len(taken) < count:
            account, queue = next(iter(queues.items()))
            if queue.credit_bytes <= 0:
                queue.credit_bytes += _QUANTUM_BYTES
            while queue and queue.credit_bytes > 0 and len(taken) < count:
                request = queue.popleft()
                self._size -= 1
                if not request.is_waiting:
                    self._gone -= 1
                else:
                    queue.credit_bytes -= max(request.size_bytes, _LEAST_BYTES)
                    taken.append(request)
            if not queue:
                del queues[account]
            elif queue.credit_bytes <= 0:
                del queues[account]
                queues[account] = queue  # to the end of the round
        return taken


class QueueDeadlines:
    """When each request has waited for too long. A lane is long and much of it young: it is never searched."""

    def __init__(self, hold_ns: int) -> None:
        self._hold_ns = hold_ns
        self._slots: dict[int, dict[int, Request]] = {}  # by hundredths of a second

    def add(self, request: Request) -> None:
        if request.queue_class is not Class.CONTROL and not request.is_reported:
            self._slots.setdefault(self._end_ns(request) // _SLOT_NS, {})[id(request)] = request

    def discard(self, request: Request) -> None:
        number = self._end_ns(request) // _SLOT_NS
        slot = self._slots.get(number, {})
        slot.pop(id(request), None)
        if not slot:
            self._slots.pop(number, None)

    def over(self, now_ns: int) -> list[Request]:
        """Whose wait is over, the longest first."""
        numbers = sorted(number for number in self._slots if number <= now_ns // _SLOT_NS)
        waiting = chain.from_iterable(self._slots[number].values() for number in numbers)
        return [request for request in waiting if self._end_ns(request) <= now_ns]

    def _end_ns(self, request: Request) -> int:
        end_ns = request.arrived_ns + self._hold_ns
        if request.expires_ns and isinstance(request.command, NewOrder | ReplaceOrder):
            return min(end_ns, request.expires_ns + 1)
        return end_ns
