"""The simulated market that the demo's traders share: pairs of realistic sizes, with a random walk of the mid price.

Prices and quantities are whole ticks and lots, as in the gateway. All randomness comes from one seeded generator, so a
run can be repeated. The walk is pulled back to its start, so that it never leaves the venue's price bands.
"""

import random

import msgspec

from protocols.instruments import render


class Pair(msgspec.Struct, frozen=True):
    """One instrument as its traders see it; prices in 10^-px_exp, quantities in 10^-qty_exp."""

    symbol: str
    px_exp: int
    qty_exp: int
    mid: int
    step: int  # the mid moves by this much at most in one step
    half_spread: int
    gap: int  # between two levels of a quote
    quote_qty: tuple[int, int]  # smallest and largest size of a quote
    take_qty: tuple[int, int]

    def price(self, value: int) -> str:
        """`value` as the wire writes it."""
        return render(value, self.px_exp)

    def qty(self, value: int) -> str:
        """`value` as the wire writes it."""
        return render(value, self.qty_exp)


PAIRS = (
    Pair("BTC-USDT", 2, 5, 6_425_000, 250, 400, 300, (5_000, 50_000), (100, 4_000)),
    Pair("ETH-USDT", 2, 4, 310_000, 15, 25, 20, (10_000, 80_000), (100, 6_000)),
)


class Market:
    """The mid prices of all pairs; `walk` moves them."""

    def __init__(self, pairs: tuple[Pair, ...], chance: random.Random) -> None:
        self.pairs = pairs
        self.chance = chance
        self.mids = {pair.symbol: pair.mid for pair in pairs}

    def walk(self) -> None:
        """Move every mid by one step."""
        for pair in self.pairs:
            mid = self.mids[pair.symbol]
            pull = (pair.mid - mid) // 500
            self.mids[pair.symbol] = mid + pull + self.chance.randint(-pair.step, pair.step)
