"""Plain orders, many at a time: new limit orders that the engine has nothing to ask about.

`Engine.execute` is the reference. With a plain order the two give the same events and the same state
(`tests/gateway/core/test_plain_orders.py`), and this costs a fifth (`tests/bench/engine_execute.py`). Before editing:
an order that is not plain is left alone, so every question about it comes before the first change.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import astuple

from gateway.core.acceptance import MAX_AMOUNT
from gateway.core.book import Book
from gateway.core.counters import Counters
from gateway.core.events import EventBuilder
from gateway.core.matcher import Matcher
from gateway.core.orders import AccountOrders, Order
from protocols.messages import (
    ACCOUNT_GIVEN,
    COD_EXEMPT,
    N_BITS,
    AnyCommand,
    AnyEvent,
    ExecType,
    NewOrder,
    OrderEvent,
    OrdStatus,
    OrdType,
    Side,
    Stp,
    Tif,
)

_N_MASK = (1 << N_BITS) - 1
_SPECIAL_FLAGS = ~(COD_EXEMPT | ACCOUNT_GIVEN)

# Constants, because an enum's class finds its members by a call.
_LIMIT, _GTC, _DECREMENT, _BUY = OrdType.LIMIT, Tif.GTC, Stp.DECREMENT, Side.BUY
_NEW, _IS_NEW = ExecType.NEW, OrdStatus.NEW


class PlainOrders:
    """Executes plain orders with the parts of an engine."""

    __slots__ = ("_books", "_counters", "_events", "_highest", "_ledger", "_matcher")

    def __init__(
        self,
        books: Mapping[int, Book],
        highest: dict[int, int],
        ledger: AccountOrders,
        counters: Counters,
        events: EventBuilder,
        matcher: Matcher,
    ) -> None:
        """All of them belong to the engine; see there."""
        self._books = books
        self._highest = highest
        self._ledger = ledger
        self._counters = counters
        self._events = events
        self._matcher = matcher

    def execute(self, commands: Sequence[AnyCommand], begin: int, now_ns: int, report: list[AnyEvent]) -> int:
        """Execute commands[begin] and those that follow, as long as they are plain; the index of the first other one.

        now_ns: see `Engine.execute`. report: gets the events, in order.
        """
        accounts, books, highest, counters = self._ledger.accounts, self._books, self._highest, self._counters
        before_change, add = self._ledger.before_change, report.append
        t_core = max(counters.now_ns, now_ns)
        for at in range(begin, len(commands)):
            command = commands[at]
            if type(command) is not NewOrder:
                return at
            (
                cmd_id, account_id, session, origin, _, deadline, cl_ord_id, instrument, side, ord_type, tif, qty,
                price, stop_px, quote_qty, display_qty, min_qty, expire_at, flags, stp, stp_group, tag, sent_at,
            ) = astuple(command)  # fmt: skip
            if ord_type is not _LIMIT or tif is not _GTC or flags & _SPECIAL_FLAGS or stp is _DECREMENT:
                return at
            if stop_px or quote_qty or display_qty or min_qty or expire_at:
                return at
            if deadline and (deadline < 0 or now_ns > deadline):
                return at
            if qty <= 0 or price <= 0 or price * qty > MAX_AMOUNT or not cl_ord_id:
                return at
            account, book, n = accounts.get(account_id), books.get(instrument), cmd_id & _N_MASK
            lane = cmd_id >> N_BITS
            if account is None or book is None or n <= highest.get(lane, 0) or cl_ord_id in account.by_cl_ord_id:
                return at
            before_change(account_id)
            highest[lane] = n
            counters.now_ns = t_core
            counters.order_id = order_id = counters.order_id + 1
            counters.exec_id = exec_id = counters.exec_id + 1
            account.seq = seq = account.seq + 1
            order = Order(
                order_id, account_id, session, origin, cl_ord_id, instrument, side, ord_type, tif, qty, price,
                flags, stp, stp_group, tag, sent_at, t_core, qty,
            )  # fmt: skip
            account.open[order_id] = account.by_order_id[order_id] = account.by_cl_ord_id[cl_ord_id] = order
            event = OrderEvent(
                account_id, seq, cmd_id, t_core, exec_id, _NEW, _IS_NEW, order_id, cl_ord_id, instrument, side,
                ord_type, tif, qty, 0, qty, 0, price, tag, flags, session, origin, t_core,
            )  # fmt: skip
            add(event)
            own, other, reach = (book.bids, book.asks, -price) if side == _BUY else (book.asks, book.bids, price)
            if other.is_reached(reach):
                self._events.begin(command, now_ns)
                self._matcher.match(order, book)
                report += self._events.take()
            else:
                own.add(order)
        return len(commands)
