"""Price, then time; and a level's quantity follows from its orders."""

import pytest

from gateway.core.book import ANY_PRICE, Book, BookSide
from gateway.core.orders import Order
from protocols.messages import OrdType, Origin, Side, Stp, Tif
from tests.support.venue import levels


def order(order_id: int, price: int, qty: int = 5, side: Side = Side.BUY) -> Order:
    words = (1, side, OrdType.LIMIT, Tif.GTC, qty, price, 0, Stp.NONE, "", "", 0, 0)
    return Order(order_id, 1, 1, Origin.FIX, f"o{order_id}", *words, qty)


def filled(side: Side, *prices: int) -> BookSide:
    book_side = BookSide(side)
    for order_id, price in enumerate(prices, 1):
        book_side.add(order(order_id, price, side=side))
    return book_side


@pytest.mark.parametrize(
    ("side", "turns"), [(Side.BUY, [4, 2, 5, 1, 3]), (Side.SELL, [3, 1, 2, 5, 4])], ids=["bids", "asks"]
)
def test_the_best_price_comes_first_and_the_oldest_within_it(side: Side, turns: list[int]) -> None:
    book_side = filled(side, 100, 101, 99, 102, 101)
    assert [resting.order_id for resting in book_side.orders()] == turns
    while (best := book_side.best()) is not None:
        assert best.order_id == turns.pop(0)
        book_side.remove(best)
    assert turns == []
    assert book_side.best_price() is None


def test_only_what_is_within_reach_is_offered() -> None:
    asks = filled(Side.SELL, 100, 101)
    assert asks.best(asks.reach(99)) is None
    assert not asks.is_reached(asks.reach(99))
    assert [resting.price for resting in asks.orders(asks.reach(100))] == [100]
    assert asks.is_reached(asks.reach(100))
    assert [resting.price for resting in asks.orders(ANY_PRICE)] == [100, 101]


def test_a_quote_is_what_taking_would_give() -> None:
    asks = filled(Side.SELL, 100, 101, 101, 105)
    assert asks.quote(asks.reach(101), 7) == (7, 5 * 100 + 2 * 101)
    assert asks.quote(asks.reach(101), 99) == (15, 5 * 100 + 10 * 101)
    assert asks.quote(ANY_PRICE, 16) == (16, 5 * 100 + 10 * 101 + 105)
    assert asks.quote(asks.reach(99), 1) == (0, 0)


def test_a_reduced_order_keeps_its_turn_and_its_level_shrinks() -> None:
    bids = filled(Side.BUY, 100, 100)
    first = bids.best()
    assert first is not None
    bids.reduce(first, 3)
    assert bids.best() is first
    assert levels(bids, 9) == [(100, 7, 2)]


def test_a_level_goes_with_its_last_order() -> None:
    bids = BookSide(Side.BUY)
    middle = order(2, 100)
    for resting in (order(1, 101), middle, order(3, 99)):
        bids.add(resting)
    bids.remove(middle)
    assert levels(bids, 9) == [(101, 5, 1), (99, 5, 1)]
    assert levels(bids, 1) == [(101, 5, 1)]
    with pytest.raises(KeyError):
        bids.remove(middle)
    assert levels(bids, 9) == [(101, 5, 1), (99, 5, 1)]


def test_each_side_rests_where_the_other_one_takes() -> None:
    book = Book()
    assert book.own(Side.BUY) is book.opposite(Side.SELL) is book.bids
    assert book.own(Side.SELL) is book.opposite(Side.BUY) is book.asks
