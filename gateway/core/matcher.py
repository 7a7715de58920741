"""How an incoming order trades: price, then time, within its limit; and what happens to the part that did not trade.

Events per trade: the taker's, then the maker's. Self-match prevention follows the taker's setting and looks only at
orders of the taker's own account (with a group: at those of the same group). A group never reaches into another
account: the client chooses its name, and a guessed name must not cancel another client's orders.
"""

from gateway.core.acceptance import MAX_AMOUNT
from gateway.core.book import ANY_PRICE, Book, BookSide
from gateway.core.counters import Counters
from gateway.core.events import EventBuilder
from gateway.core.orders import AccountOrders, Order
from protocols.errors import BAD_NOTIONAL, NO_LIQUIDITY, SELF_MATCH
from protocols.messages import ExecType, OrdStatus, OrdType, Stp, Tif

_TEXTS = {
    NO_LIQUIDITY: "no liquidity within the order's limit",
    SELF_MATCH: "self-match prevention",
    BAD_NOTIONAL: "the traded amount would be too large",
}
_EXPIRES_MAKER = frozenset((Stp.EXPIRE_MAKER, Stp.EXPIRE_BOTH))

# Constants, because an enum's class finds its members by a call.
_LIMIT, _GTC, _FOK, _NO_STP = OrdType.LIMIT, Tif.GTC, Tif.FOK, Stp.NONE
_PARTIALLY_FILLED, _FILLED = OrdStatus.PARTIALLY_FILLED, OrdStatus.FILLED


class Matcher:
    """Matches orders against books."""

    __slots__ = ("_counters", "_events", "_ledger")

    def __init__(self, ledger: AccountOrders, events: EventBuilder, counters: Counters) -> None:
        self._counters = counters
        self._ledger = ledger
        self._events = events

    def match(self, order: Order, book: Book) -> None:
        """Trade an open order that does not rest with the other side; let the remainder rest, or cancel it."""
        side = book.opposite(order.side)
        is_limit = order.ord_type == _LIMIT
        reach = side.reach(order.price) if is_limit else ANY_PRICE
        code = 0
        # A fill-or-kill order is checked before its first trade, because a trade cannot be undone.
        if side.is_reached(reach) and (order.tif != _FOK or _fills_whole(order, side, reach)):
            code = self.take(order, side, reach)
        if not order.leaves_qty:
            return
        if code == 0 and is_limit and order.tif == _GTC:
            book.own(order.side).add(order)
        else:
            self.stop(order, code or NO_LIQUIDITY)

    def take(self, taker: Order, side: BookSide, reach: int) -> int:
        """Trade with `side` down to `reach`; 0, or the code of the reason why the taker must stop."""
        ledger, counters, events = self._ledger, self._counters, self._events
        prevents = taker.stp > _NO_STP
        left = taker.leaves_qty
        while left and (maker := side.best(reach)) is not None:
            if prevents and _is_self(taker, maker):
                if taker.stp in _EXPIRES_MAKER:
                    self._expire(maker, side)
                if taker.stp != Stp.EXPIRE_MAKER:
                    return SELF_MATCH
                continue
            price, resting = maker.price, maker.leaves_qty
            qty = left if left < resting else resting
            amount = qty * price
            # Checked per trade, too: a market order has no price, and a seller may get a better one than its limit.
            if taker.cum_quote + amount > MAX_AMOUNT:
                return BAD_NOTIONAL
            ledger.before_change(maker.account)
            counters.trade_id += 1
            taker.cum_qty += qty
            taker.cum_quote += amount
            left -= qty
            if left:
                taker.leaves_qty, taker.status = left, _PARTIALLY_FILLED
            else:
                ledger.finish(taker, _FILLED, counters.now_ns)
            events.trade(taker, qty, price, False)
            maker.cum_qty += qty
            maker.cum_quote += amount
            if qty == resting:
                side.remove(maker)
                ledger.finish(maker, _FILLED, counters.now_ns)
            else:
                side.reduce(maker, qty)
                maker.status = _PARTIALLY_FILLED
            events.trade(maker, qty, price, True)
        return 0

    def stop(self, order: Order, code: int) -> None:
        """Cancel what is left of an order that does not rest."""
        self._ledger.finish(order, OrdStatus.CANCELED, self._counters.now_ns)
        self._events.change(order, ExecType.CANCELED, code=code, text=_TEXTS[code])

    def _expire(self, maker: Order, side: BookSide) -> None:
        side.remove(maker)
        self._ledger.finish(maker, OrdStatus.CANCELED, self._counters.now_ns)
        text = _TEXTS[SELF_MATCH]
        self._events.change(maker, ExecType.CANCELED, code=SELF_MATCH, text=text, is_maker=True)


def _is_self(taker: Order, maker: Order) -> bool:
    return maker.account == taker.account and (not taker.stp_group or taker.stp_group == maker.stp_group)


def _fills_whole(taker: Order, side: BookSide, reach: int) -> bool:
    """Whether a fill-or-kill order would fill completely, with self-match prevention taken into account."""
    wanted = taker.leaves_qty
    if taker.stp <= Stp.NONE:
        qty, amount = side.quote(reach, wanted)
        return qty == wanted and amount <= MAX_AMOUNT
    left, amount = wanted, 0
    for maker in side.orders(reach):
        if _is_self(taker, maker):
            if taker.stp != Stp.EXPIRE_MAKER:
                return False
            continue
        qty = min(left, maker.leaves_qty)
        amount += qty * maker.price
        left -= qty
        if not left:
            break
    return not left and amount <= MAX_AMOUNT
