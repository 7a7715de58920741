"""Plain orders of a run: limit orders, good till cancel, that the engine has nothing to ask about.

`Engine.execute` is the reference. With a plain order the two give the same events and the same state
(`tests/gateway/core/test_plain_orders.py`), and this costs a fifth (`tests/bench/engine_execute.py`). Before editing:
an order that is not plain goes to the reference, so every question about it comes before the first change.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gateway.core.acceptance import MAX_AMOUNT
from gateway.core.book import Book, BookSide
from gateway.core.counters import Counters
from gateway.core.events import EventBuilder
from gateway.core.matcher import Matcher
from gateway.core.orders import AccountOrders, Order
from protocols.messages import (
    ACCOUNT_GIVEN,
    COD_EXEMPT,
    N_BITS,
    N_MASK,
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
from protocols.runs import NewOrders, OrderTerms, RunEvents

_SPECIAL_FLAGS = ~(COD_EXEMPT | ACCOUNT_GIVEN)
MAX_TERMS = 4_096  # that are known; then all are looked at anew, each with its next order

# Constants, because an enum's class finds its members by a call.
_LIMIT, _GTC = OrdType.LIMIT, Tif.GTC
_NEW, _IS_NEW = ExecType.NEW, OrdStatus.NEW


class _Terms(NamedTuple):
    """What an order of certain terms meets. sign: of its own side's keys."""

    is_plain: bool
    own: BookSide
    other: BookSide
    sign: int
    instrument: int
    side: Side
    flags: int
    stp: Stp
    stp_group: str
    tag: str


class PlainOrders:
    """Executes runs with the parts of an engine."""

    __slots__ = ("_books", "_counters", "_events", "_highest", "_known", "_ledger", "_matcher")

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
        self._known: dict[OrderTerms, _Terms] = {}

    def may_execute(self, run: NewOrders) -> bool:
        """Whether none of the orders was executed before, and all are numbered in one lane."""
        cmd_id = run.cmd_id
        n = cmd_id & N_MASK
        return n > self._highest.get(cmd_id >> N_BITS, 0) and n + len(run.rows) - 1 <= N_MASK

    def execute(self, run: NewOrders, now_ns: int, by_itself: Callable[[NewOrder, int], list[AnyEvent]]) -> RunEvents:
        """Execute a run that `may_execute`; its events.

        now_ns: see `Engine.execute`. by_itself: executes what is not plain, and is `Engine.execute`.
        """
        ledger, counters, matcher, known = self._ledger, self._counters, self._matcher, self._known
        account_id, session, origin, first = run.account, run.session, run.origin, run.cmd_id
        account = ledger.account(account_id)
        ledger.before_change(account_id)
        counters.now_ns = t_core = max(counters.now_ns, now_ns)
        by_cl_ord_id, by_order_id, opened = account.by_cl_ord_id, account.by_order_id, account.open
        report, latest = RunEvents(first), None
        add = report.append
        for cmd_id, (cl_ord_id, terms, qty, price, deadline, sent_at) in enumerate(run.rows, first):
            if terms is not latest:
                latest = terms
                is_plain, own, other, sign, instrument, side, flags, stp, stp_group, tag = known.get(
                    terms
                ) or self._learn(terms)
            if (
                not (is_plain and cl_ord_id and qty > 0 and 0 < price * qty <= MAX_AMOUNT)
                or cl_ord_id in by_cl_ord_id
                or (deadline and (deadline < 0 or now_ns > deadline))
            ):
                report.all_rest = False
                report += by_itself(run[cmd_id - first], now_ns)  # type: ignore[arg-type]  # a new order causes no others
                continue
            counters.order_id = order_id = counters.order_id + 1
            counters.exec_id = exec_id = counters.exec_id + 1
            account.seq = seq = account.seq + 1
            order = Order(
                order_id, account_id, session, origin, cl_ord_id, instrument, side, _LIMIT, _GTC, qty, price,
                flags, stp, stp_group, tag, sent_at, t_core, qty,
            )  # fmt: skip
            opened[order_id] = by_order_id[order_id] = by_cl_ord_id[cl_ord_id] = order
            event = OrderEvent(
                account_id, seq, cmd_id, t_core, exec_id, _NEW, _IS_NEW, order_id, cl_ord_id, instrument, side,
                _LIMIT, _GTC, qty, 0, qty, 0, price, tag, flags, session, origin, t_core,
            )  # fmt: skip
            add(event)
            key, keys = price * sign, other.keys
            if keys and keys[-1] >= -key:
                report.all_rest = False
                self._events.open(account, cmd_id, origin, report)  # type: ignore[arg-type]
                if code := matcher.take(order, other, -key):
                    matcher.stop(order, code)
                elif order.leaves_qty:
                    own.add(order)
            elif (level := own.levels.get(key)) is not None:
                level.orders[order_id] = order
                level.qty += qty
            else:
                own.add(order)
        self._highest[first >> N_BITS] = (first & N_MASK) + len(run.rows) - 1
        return report

    def _learn(self, terms: OrderTerms) -> _Terms:
        if len(self._known) >= MAX_TERMS:
            self._known.clear()
        book, is_buy = self._books.get(terms.instrument_id), terms.side == Side.BUY
        is_plain = terms.ord_type == OrdType.LIMIT and terms.tif == Tif.GTC and terms.stp != Stp.DECREMENT
        is_plain = is_plain and book is not None and not terms.flags & _SPECIAL_FLAGS
        book = book or Book()
        own, other = (book.bids, book.asks) if is_buy else (book.asks, book.bids)
        met = _Terms(
            is_plain, own, other, 1 if is_buy else -1, terms.instrument_id, terms.side, terms.flags, terms.stp,
            terms.stp_group, terms.tag,
        )  # fmt: skip
        self._known[terms] = met
        return met
