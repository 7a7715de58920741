"""The slow twin of book and matcher: one list of resting orders, searched from end to end for every trade.

Written from the rules, not from the engine, so that the two can be held against each other. Knows no ids beyond a
number per order, no streams and no refusals.
"""

from dataclasses import dataclass

from protocols.messages import Side, Stp, Tif


@dataclass
class NaiveOrder:
    """price None = market; rank: the turn among orders of one price."""

    number: int
    account: int
    side: Side
    price: int | None
    leaves: int
    tif: Tif
    stp: Stp
    rank: int = 0


class NaiveVenue:
    """One instrument. `fills`: (taker, maker, quantity, price); `gone`: orders ended without being filled, in order."""

    def __init__(self) -> None:
        self.resting: list[NaiveOrder] = []
        self.fills: list[tuple[int, int, int, int]] = []
        self.gone: list[int] = []
        self._rank = 0

    def would_take(self, side: Side, price: int) -> bool:
        """Whether a limit order would trade at once."""
        return any(_crosses(side, price, maker) for maker in self.resting)

    def place(self, order: NaiveOrder) -> None:
        """Trade, then rest or end."""
        may_trade, survives = order.tif != Tif.FOK or self._whole(order), True
        while may_trade and survives and order.leaves:
            makers = sorted((maker for maker in self.resting if _crosses(order.side, order.price, maker)), key=_turn)
            if not makers:
                break
            survives = self._meet(order, makers[0])
        if order.leaves and survives and order.price is not None and order.tif == Tif.GTC:
            self._rank += 1
            order.rank = self._rank
            self.resting.append(order)
        elif order.leaves:
            self.gone.append(order.number)

    def cancel(self, number: int) -> None:
        """Take out a resting order."""
        self.resting = [order for order in self.resting if order.number != number]
        self.gone.append(number)

    def change(self, number: int, leaves: int, price: int) -> None:
        """Replace: the turn is kept only when the price stays and the quantity falls."""
        order = next(order for order in self.resting if order.number == number)
        if price == order.price and leaves < order.leaves:
            order.leaves = leaves
            return
        self.resting.remove(order)
        order.price, order.leaves = price, leaves
        self.place(order)

    def sides(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(number, leaves) of bids and asks in the order in which they would trade."""
        turns = sorted(self.resting, key=_turn)
        bids, asks = ([order for order in turns if order.side == side] for side in (Side.BUY, Side.SELL))
        return [(order.number, order.leaves) for order in bids], [(order.number, order.leaves) for order in asks]

    def _meet(self, taker: NaiveOrder, maker: NaiveOrder) -> bool:
        if maker.account == taker.account and taker.stp in (Stp.EXPIRE_TAKER, Stp.EXPIRE_MAKER, Stp.EXPIRE_BOTH):
            if taker.stp in (Stp.EXPIRE_MAKER, Stp.EXPIRE_BOTH):
                self.cancel(maker.number)
            return taker.stp == Stp.EXPIRE_MAKER
        qty = min(taker.leaves, maker.leaves)
        assert maker.price is not None
        self.fills.append((taker.number, maker.number, qty, maker.price))
        taker.leaves -= qty
        maker.leaves -= qty
        if not maker.leaves:
            self.resting.remove(maker)
        return True

    def _whole(self, taker: NaiveOrder) -> bool:
        found = 0
        for maker in sorted(self.resting, key=_turn):
            if not _crosses(taker.side, taker.price, maker):
                continue
            if maker.account == taker.account and taker.stp > Stp.NONE:
                if taker.stp != Stp.EXPIRE_MAKER and found < taker.leaves:
                    return False
                continue
            found += maker.leaves
        return found >= taker.leaves


def _crosses(side: Side, price: int | None, maker: NaiveOrder) -> bool:
    if maker.side == side:
        return False
    assert maker.price is not None
    return price is None or (maker.price <= price if side == Side.BUY else maker.price >= price)


def _turn(order: NaiveOrder) -> tuple[int, int]:
    assert order.price is not None
    return (-order.price if order.side == Side.BUY else order.price), order.rank
