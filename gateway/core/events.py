"""Builds the events of the engine: numbers those of one command and collects them in order.

`begin` opens a command, `take` gives its events. OrderEvent, CancelRejected and MassCancelDone take the next number of
their account's stream. Answers to queries (ORDER_STATUS, OrderList) take none and have exec_id 0, as FIX 4.4 wants for
ExecID(17) with ExecType(150)=I. Before editing: `change` and `trade` are hot, so they build their Struct by position
(tests/bench/engine_execute.py): its arguments are in the order of `protocols.messages`.
"""

from gateway.core.acceptance import Rejection
from gateway.core.counters import Counters
from gateway.core.orders import AccountOrders, AccountState, Order
from protocols.messages import (
    DUPLICATE,
    POSS_RESEND,
    AnyCommand,
    AnyEvent,
    CancelOrder,
    CancelRejected,
    ExecType,
    MassCancel,
    MassCancelDone,
    NewOrder,
    OrderEvent,
    OrderList,
    OrdStatus,
    Origin,
    QueryOrders,
    ReplaceOrder,
)

_TRADE = ExecType.TRADE


class EventBuilder:
    """The events of the current command."""

    __slots__ = ("_account", "_cmd_id", "_counters", "_events", "_ledger", "_origin")

    def __init__(self, ledger: AccountOrders, counters: Counters) -> None:
        self._ledger = ledger
        self._counters = counters
        self._events: list[AnyEvent] = []
        self._account = AccountState(0)
        self._cmd_id = 0
        self._origin = Origin.OPERATOR

    def begin(self, command: AnyCommand, now_ns: int) -> AccountState:
        """Open a command, which causes all events that follow; its account. Time never goes back."""
        counters = self._counters
        counters.now_ns = max(counters.now_ns, now_ns)
        account = self._ledger.account(command.account)
        self._ledger.before_change(command.account)
        self.open(account, command.cmd_id, command.origin, [])
        return account

    def open(self, account: AccountState, cmd_id: int, origin: Origin, events: list[AnyEvent]) -> None:
        """The same for a command that has begun: what follows is added to these events."""
        self._account = account
        self._cmd_id = cmd_id
        self._origin = origin
        self._events = events

    def take(self) -> list[AnyEvent]:
        """The events of the command, in order; the list is the caller's."""
        return self._events

    def change(
        self,
        order: Order,
        exec_type: ExecType,
        cl_ord_id: str = "",
        orig_cl_ord_id: str = "",
        code: int = 0,
        text: str = "",
        is_maker: bool = False,
    ) -> None:
        """A change of an order that is not a trade.

        is_maker: it rests, and another command changed it: cmd_id 0, its own account and origin.
        """
        account, cmd_id, origin, counters = self._account, self._cmd_id, self._origin, self._counters
        if is_maker:
            account, cmd_id, origin = self._ledger.accounts[order.account], 0, order.origin
        account.seq += 1
        counters.exec_id += 1
        event = OrderEvent(
            account.id, account.seq, cmd_id, counters.now_ns, counters.exec_id, exec_type, order.status,
            order.order_id, cl_ord_id or order.cl_ord_id, order.instrument, order.side, order.ord_type, order.tif,
            order.qty, order.cum_qty, order.leaves_qty, order.cum_quote, order.price, order.tag, order.flags,
            order.session, origin, order.created_at, 0, 0, 0, False, orig_cl_ord_id, code, text,
        )  # fmt: skip
        self._events.append(event)

    def trade(self, order: Order, qty: int, price: int, is_maker: bool) -> None:
        """The latest trade, as one of its two orders has it. is_maker: see `change`."""
        account, cmd_id, origin, counters = self._account, self._cmd_id, self._origin, self._counters
        if is_maker:
            account, cmd_id, origin = self._ledger.accounts[order.account], 0, order.origin
        account.seq = seq = account.seq + 1
        counters.exec_id = exec_id = counters.exec_id + 1
        event = OrderEvent(
            account.id, seq, cmd_id, counters.now_ns, exec_id, _TRADE, order.status,
            order.order_id, order.cl_ord_id, order.instrument, order.side, order.ord_type, order.tif,
            order.qty, order.cum_qty, order.leaves_qty, order.cum_quote, order.price, order.tag, order.flags,
            order.session, origin, order.created_at, qty, price, counters.trade_id, is_maker,
        )  # fmt: skip
        self._events.append(event)

    def reject(self, command: NewOrder, rejection: Rejection, first_order_id: int) -> None:
        """The rejection of a new order. first_order_id: the order that already has its id, 0 = none."""
        account, counters = self._account, self._counters
        account.seq += 1
        counters.exec_id += 1
        head = (account.id, account.seq, command.cmd_id, counters.now_ns, counters.exec_id)
        terms = (command.cl_ord_id, command.instrument, command.side, command.ord_type, command.tif, command.qty)
        event = OrderEvent(
            *(*head, ExecType.REJECTED, OrdStatus.REJECTED, first_order_id, *terms, 0, 0),
            price=command.price,
            stop_px=command.stop_px,
            code=rejection[0],
            text=rejection[1],
            tag=command.tag,
            flags=command.flags & ~POSS_RESEND,
            session=command.session,
            origin=command.origin,
        )
        self._events.append(event)

    def reject_cancel(
        self, command: CancelOrder | ReplaceOrder, order: Order | None, rejection: Rejection, response_to: str
    ) -> None:
        """The rejection of a cancel (`response_to` "1") or replace ("2"); order None = unknown."""
        account = self._account
        account.seq += 1
        name, order_id, status = "", 0, OrdStatus.REJECTED
        if order is not None:
            name, order_id, status = order.cl_ord_id, order.order_id, order.status
        head = (account.id, account.seq, command.cmd_id, self._counters.now_ns)
        names = (command.cl_ord_id, command.orig_cl_ord_id or name)
        self._events.append(CancelRejected(*head, *names, order_id, status, response_to, *rejection, command.session))

    def mass_cancel_done(self, command: MassCancel, affected: int) -> None:
        account = self._account
        account.seq += 1
        head = (account.id, account.seq, command.cmd_id, self._counters.now_ns)
        self._events.append(MassCancelDone(*head, command.cl_ord_id, affected, 0, command.session))

    def duplicate(self, order: Order, asked: str) -> None:
        """The answer to a retry of a known id: the order as it is now. It takes no number; seq is the latest one."""
        self._events.append(status_of(order, self._account.seq, self._cmd_id, self._counters.now_ns, asked, DUPLICATE))

    def listing(self, command: QueryOrders, account: AccountState, orders: list[Order], now_ns: int) -> OrderList:
        cmd_id, now_ns = command.cmd_id, max(self._counters.now_ns, now_ns)
        rows = tuple([status_of(order, 0, cmd_id, now_ns, command.cl_ord_id) for order in orders])
        return OrderList(account.id, account.seq, cmd_id, now_ns, command.req_id, rows, command.session)


def status_of(order: Order, seq: int, cmd_id: int, now_ns: int, asked: str = "", more_flags: int = 0) -> OrderEvent:
    """The state of an order as an ORDER_STATUS event: nothing happened, so no exec_id.

    asked: the client order id in the query; the order may have another one by now.
    """
    head = (order.account, seq, cmd_id, now_ns, 0, ExecType.ORDER_STATUS, order.status, order.order_id)
    terms = (order.cl_ord_id, order.instrument, order.side, order.ord_type, order.tif, order.qty)
    return OrderEvent(
        *(*head, *terms, order.cum_qty, order.leaves_qty, order.cum_quote, order.price),
        orig_cl_ord_id=asked if asked != order.cl_ord_id else "",
        tag=order.tag,
        flags=order.flags | more_flags,
        session=order.session,
        origin=order.origin,
        created_at=order.created_at,
    )
