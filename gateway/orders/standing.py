"""The state of an order, for answers that the gateway gives itself: what it says of an order must be true. Pure.

The core is asked first. An order that the core does not know may be on its way to it: then it is pending, never
unknown. Used on refusals and logouts only; no order that is accepted comes through here.
"""

from collections.abc import Callable, Iterable
from itertools import chain

import msgspec

from gateway.core.matching import MatchingCore
from gateway.orders.queue import OrderQueue
from gateway.orders.token_wait import TokenWait
from gateway.sessions.request import Request, is_retry
from gateway.sessions.session import Session
from protocols.errors import ENGINE_TIMEOUT, Refusal
from protocols.messages import (
    DUPLICATE,
    AnyCommand,
    AnyEvent,
    NewOrder,
    OrderEvent,
    OrderList,
    OrdStatus,
    QueryOrders,
    ReplaceOrder,
)


class Standing:
    """Looks at the core, and at what waits before it or was not answered by it yet."""

    def __init__(
        self, core: MatchingCore, queue: OrderQueue, token_wait: TokenWait, unanswered: Callable[[], Iterable[Request]]
    ) -> None:
        """unanswered: what was handed over."""
        self._core = core
        self._queue = queue
        self._token_wait = token_wait
        self._unanswered = unanswered

    def find(self, account: int, order_id: int, cl_ord_id: str) -> OrderEvent | OrdStatus:
        """The state of the order that either id names. REJECTED: there is none. PENDING_NEW: it may be on its way.

        PENDING_NEW, too, when no order is named: then none may be called rejected.
        """
        if not (order_id or cl_ord_id):
            return OrdStatus.PENDING_NEW
        changes: set[int] = set()  # Replaces on their way: the order is the one that they would give the name to
        while (state := self._core.order_state(account, order_id, cl_ord_id)) is OrdStatus.REJECTED:
            command = self._on_its_way(account, cl_ord_id) if cl_ord_id else None
            if isinstance(command, NewOrder):
                return OrdStatus.PENDING_NEW
            if command is None or command.cmd_id in changes:
                return state
            changes.add(command.cmd_id)
            order_id, cl_ord_id = command.order_id, command.orig_cl_ord_id
        return state

    def now(self, order: OrderEvent) -> OrderEvent:
        """An order that was listed, as it is by now; as it was listed if the core has forgotten it since."""
        state = self._core.order_state(order.account, order.order_id, "")
        return order if isinstance(state, OrdStatus) else state

    def pending(self, command: AnyCommand, event: AnyEvent) -> Refusal | None:
        """When the core knows no such order because it is on its way: the answer says so, never that it is unknown."""
        if not (isinstance(event, OrderList) and isinstance(command, QueryOrders) and command.cl_ord_id):
            return None
        if event.orders or self.find(command.account, command.order_id, command.cl_ord_id) is OrdStatus.REJECTED:
            return None
        return Refusal(ENGINE_TIMEOUT, "on its way to the engine, outcome unknown")

    def first_of(self, command: AnyCommand) -> OrderEvent | None:
        """For a retry: the order that the first attempt made, if the core has it."""
        if not (is_retry(command) and isinstance(command, NewOrder | ReplaceOrder)):
            return None
        state = self._core.order_state(command.account, 0, command.cl_ord_id)
        if isinstance(state, OrdStatus):
            return None
        return msgspec.structs.replace(state, cmd_id=command.cmd_id, flags=state.flags | DUPLICATE)

    def is_first_on_its_way(self, command: AnyCommand) -> bool:
        """For a retry: whether another command that gives an order its name has not been answered by the core."""
        return is_retry(command) and self._on_its_way(command.account, command.cl_ord_id, command) is not None

    def unanswered_of(self, session: Session) -> list[Request]:
        """The requests of the session that are not settled, wherever they wait."""
        waiting = chain(self._unanswered(), self._queue, self._token_wait.requests())
        found = chain.from_iterable((each, *each.joined) for each in waiting)
        return [each for each in found if each.session is session and each.source is not None and not each.is_settled]

    def _on_its_way(
        self, account: int, cl_ord_id: str, but: AnyCommand | None = None
    ) -> NewOrder | ReplaceOrder | None:
        """The command, another than `but`, that would give an order this name."""
        waiting = chain(self._unanswered(), self._queue.waiting(account, cl_ord_id), self._token_wait.requests())
        for request in waiting:
            command = request.command
            if command is but or not isinstance(command, NewOrder | ReplaceOrder):
                continue
            if command.account == account and command.cl_ord_id == cl_ord_id:
                return command
        return None
