"""The limit order book of one instrument: two sides of price levels, each level first in, first out.

Whole numbers only. The book knows prices, quantities and time priority; accounts, ids and events belong to `engine`.
Both sides are ordered by a *key*, the price of a bid and the negative price of an ask, so a higher key is always the
better price and the same code serves both:

    bids 99, 100   keys 99, 100, best 100        asks 101, 102   keys -102, -101, best -101

Before editing: `PriceLevel.qty` must follow every change of an order's `leaves_qty`, so change that only through `add`,
`remove` and `reduce`; `plain_orders` does what `add` does.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain

from gateway.core.orders import Order
from protocols.messages import Side

ANY_PRICE = -(1 << 64)  # a reach below every key: that of a market order


class PriceLevel:
    """One price: its orders in order of arrival, and the sum of their leaves."""

    __slots__ = ("orders", "qty")

    def __init__(self) -> None:
        # An OrderedDict: the first key of a plain dict is found by walking over all deleted ones before it, so taking
        # a long level from the front would be quadratic.
        self.orders: OrderedDict[int, Order] = OrderedDict()
        self.qty = 0


class BookSide:
    """The resting orders of one side. Best price and cancel are O(1), a new price O(log n) and a short memory move.

    keys: of all levels, rising: the best is the last. levels: by key. Others only look at them, and add to a level.
    """

    __slots__ = ("_sign", "keys", "levels")

    def __init__(self, side: Side) -> None:
        self._sign = 1 if side == Side.BUY else -1
        self.keys: list[int] = []
        self.levels: dict[int, PriceLevel] = {}

    def add(self, order: Order) -> None:
        """Put an order after all others of its price."""
        key = order.price * self._sign
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = PriceLevel()
            keys = self.keys
            if keys and key < keys[-1]:
                keys.insert(bisect_left(keys, key), key)
            else:
                keys.append(key)
        level.orders[order.order_id] = order
        level.qty += order.leaves_qty

    def remove(self, order: Order) -> None:
        """Take out a resting order; it loses its time priority.

        Raises:
            KeyError: it does not rest here, which is a bug of the caller; nothing is changed.
        """
        key = order.price * self._sign
        level = self.levels[key]
        del level.orders[order.order_id]
        level.qty -= order.leaves_qty
        if not level.orders:
            del self.levels[key]
            keys = self.keys
            if keys[-1] == key:
                keys.pop()
            else:
                del keys[bisect_left(keys, key)]

    def reduce(self, order: Order, qty: int) -> None:
        """Lower a resting order's leaves by `qty`, less than all of it; it keeps its time priority."""
        order.leaves_qty -= qty
        self.levels[order.price * self._sign].qty -= qty

    def best(self, reach: int = ANY_PRICE) -> Order | None:
        """The order that trades next, the oldest at the best price; None if nothing is within `reach`."""
        keys = self.keys
        if keys and keys[-1] >= reach:
            for order in self.levels[keys[-1]].orders.values():
                return order
        return None

    def best_price(self) -> int | None:
        return self.keys[-1] * self._sign if self.keys else None

    def reach(self, price: int) -> int:
        """The lowest key here that an order of the other side, limited at `price`, may trade with."""
        return price * self._sign

    def is_reached(self, reach: int) -> bool:
        """Whether the best order here is within `reach`, so that an order with this reach would trade."""
        keys = self.keys
        return bool(keys) and keys[-1] >= reach

    def quote(self, reach: int, qty: int) -> tuple[int, int]:
        """What trading up to `qty` within `reach` would give: (quantity, price x quantity). Looks at levels only."""
        left, amount = qty, 0
        for key in reversed(self.keys):
            if not left or key < reach:
                break
            taken = min(left, self.levels[key].qty)
            amount += taken * key * self._sign
            left -= taken
        return qty - left, amount

    def orders(self, reach: int = ANY_PRICE) -> Iterator[Order]:
        """The resting orders within `reach`, in the order in which they would trade. Do not change them meanwhile."""
        for key in reversed(self.keys):
            if key < reach:
                return
            yield from self.levels[key].orders.values()

    def order_ids(self) -> list[int]:
        return list(chain.from_iterable(self.levels[key].orders for key in reversed(self.keys)))


class Book:
    """Both sides of one instrument."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide(Side.BUY)
        self.asks = BookSide(Side.SELL)

    @property
    def is_empty(self) -> bool:
        return self.bids.best_price() is None and self.asks.best_price() is None

    def own(self, side: int) -> BookSide:
        """Where an order of `side` rests."""
        return self.bids if side == Side.BUY else self.asks

    def opposite(self, side: int) -> BookSide:
        """Where an order of `side` finds its counterparties."""
        return self.asks if side == Side.BUY else self.bids
