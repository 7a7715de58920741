"""Which orders are sent."""

from collections import Counter
from decimal import Decimal

import pytest

from gateway.bench.flow import Flow, Market


@pytest.mark.parametrize("percent", [0, 1, 30, 50, 99, 100])
def test_so_many_of_a_hundred_pairs_meet_at_one_price(percent: int) -> None:
    quotes = Flow(Market(), percent, prices=7).quotes
    pairs = list(zip(quotes[::2], quotes[1::2], strict=True))
    assert all(buy.is_buy and not sell.is_buy for buy, sell in pairs)
    assert sum(buy.price == sell.price for buy, sell in pairs) * 100 == percent * len(pairs)


def test_what_rests_never_meets_anything() -> None:
    market = Market()
    quotes = Flow(market, 50, prices=3).quotes
    middle = market.price.encode()
    prices = Counter((quote.is_buy, quote.price) for quote in quotes if quote.price != middle)
    assert len(prices) == 6, "three prices on each side"
    assert all((Decimal(price.decode()) < Decimal(market.price)) is is_buy for is_buy, price in prices)


def test_a_price_is_written_without_an_exponent() -> None:
    (buy, _) = Flow(Market(price="0.0000002", tick="0.0000001"), 0, prices=1).quotes
    assert buy.price == b"0.0000001"
