"""Which orders a session sends: side and price by the order's number, the same for every door.

Orders come in pairs, a buy and a sell. A pair that crosses has one price: the buy rests and the sell takes it, two
reports an order, and the book is as before. A pair that does not cross rests below and above that price for good.
"""

from decimal import Decimal
from math import lcm

import msgspec

_PERCENT = 100


class Market(msgspec.Struct, frozen=True):
    """What is traded. price: where pairs cross; tick: the distance between resting prices; all as on the wire."""

    symbol: str = "BTC-USDT"
    price: str = "64250.50"
    tick: str = "0.01"
    qty: str = "0.01250000"


class Quote(msgspec.Struct, frozen=True):
    """Side and price of an order. is_buy; price: as on the wire."""

    is_buy: bool
    price: bytes


class Flow:
    """The quotes of a session's orders, repeated from the start when they end."""

    def __init__(self, market: Market, crossing_percent: int = 0, prices: int = 20) -> None:
        """crossing_percent: how many of 100 pairs cross; prices: different prices on each side of the resting ones."""
        self.market = market
        middle, tick = Decimal(market.price), Decimal(market.tick)
        meeting = [Quote(is_buy, _text(middle)) for is_buy in (True, False)]
        resting = [
            [Quote(True, _text(middle - tick * level)), Quote(False, _text(middle + tick * level))]
            for level in range(1, prices + 1)
        ]
        self.quotes: list[Quote] = []
        period = prices if crossing_percent in (0, _PERCENT) else lcm(prices, _PERCENT)
        for pair in range(period):
            crosses = (pair + 1) * crossing_percent // _PERCENT > pair * crossing_percent // _PERCENT
            self.quotes += meeting if crosses else resting[pair % prices]


def _text(price: Decimal) -> bytes:
    return f"{price:f}".encode()
