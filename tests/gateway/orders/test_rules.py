"""What an instrument allows (gateway.orders.rules): each rule at its bounds, for New and Replace."""

import msgspec
import pytest

from gateway.orders import rules
from protocols import errors
from protocols.instruments import Instrument, Instruments
from protocols.messages import AnyCommand, CancelOrder, NewOrder, OrdType, Origin, ReplaceOrder, Side, Tif

NOW = 1_000
# Ticks of 5, lots of 10; 10 to 500 lots; a price of 1,000 to 2,000; what they come to together lies in 20,000..900,000.
RULED = Instrument(
    7, "X-Y", "X", "Y", 2, 4, 5, 10, min_qty=10, max_qty=500, min_notional=20_000, max_notional=900_000,
    band_low=1_000, band_high=2_000,
)  # fmt: skip
FREE = Instrument(8, "F-Y", "F", "Y", 2, 4)
INSTRUMENTS = Instruments((RULED, FREE))


def new(**other: object) -> NewOrder:
    order = NewOrder(1, 1, 1, Origin.FIX, NOW, 0, "a", 7, Side.BUY, OrdType.LIMIT, Tif.GTC, 100, 1_500)
    return msgspec.structs.replace(order, **other)


def replace(**other: object) -> ReplaceOrder:
    order = ReplaceOrder(1, 1, 1, Origin.FIX, NOW, 0, "b", 7, 100, 1_500, orig_cl_ord_id="a")
    return msgspec.structs.replace(order, **other)


def code(command: AnyCommand) -> int:
    """Of the rule that it breaks, 0 = none."""
    refusal = rules.check(command, INSTRUMENTS, NOW)
    return refusal.code if refusal is not None else 0


@pytest.mark.parametrize("make", [new, replace])
@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({}, 0),
        ({"price": 1_000}, 0),
        ({"price": 995}, errors.PRICE_OUT_OF_BAND),
        ({"price": 2_000}, 0),
        ({"price": 2_005}, errors.PRICE_OUT_OF_BAND),
        ({"price": 1_501}, errors.BAD_TICK),
        ({"price": -5}, errors.BAD_TICK),
        ({"qty": 500}, 0),
        ({"qty": 510}, errors.BAD_QUANTITY),
        ({"qty": 15}, errors.BAD_QUANTITY),
        ({"qty": 0}, errors.BAD_QUANTITY),
        ({"qty": -10}, errors.BAD_QUANTITY),
        ({"qty": 10, "price": 2_000}, 0),
        ({"qty": 10, "price": 1_995}, errors.BAD_NOTIONAL),
        ({"qty": 450, "price": 2_000}, 0),
        ({"qty": 460, "price": 2_000}, errors.BAD_NOTIONAL),
        ({"stop_px": 2_000}, 0),
        ({"stop_px": 2_005}, errors.PRICE_OUT_OF_BAND),
        ({"stop_px": 1_501}, errors.BAD_TICK),
        ({"stop_px": 1_501, "price": 995}, errors.PRICE_OUT_OF_BAND),
        ({"deadline": NOW}, 0),
        ({"deadline": NOW - 1}, errors.EXPIRED_ON_ARRIVAL),
        ({"instrument": 9}, errors.UNKNOWN_SYMBOL),
        ({"instrument": 8, "qty": 1, "price": 1}, 0),
        ({"instrument": 8, "qty": 1 << 40, "price": 1 << 40}, 0),
    ],
)
def test_each_rule_holds_at_its_bounds_for_a_new_order_and_for_a_replace(make, fields, broken):
    assert code(make(**fields)) == broken


def test_the_least_quantity_is_a_bound_of_its_own():
    instruments = Instruments((msgspec.structs.replace(RULED, min_qty=20, min_notional=0),))
    for qty, is_right in ((20, True), (10, False)):
        assert (rules.check(new(qty=qty), instruments, NOW) is None) == is_right


def test_a_replace_without_a_price_keeps_the_one_there_is_and_a_market_order_has_none():
    assert code(replace(price=0)) == 0
    assert code(new(price=0, ord_type=OrdType.MARKET)) == 0
    assert code(new(price=0, ord_type=OrdType.STOP, stop_px=1_500)) == 0
    assert code(new(price=0, ord_type=OrdType.STOP, stop_px=995)) == errors.PRICE_OUT_OF_BAND
    assert code(new(price=0)) == code(new(price=0, ord_type=OrdType.STOP_LIMIT)) == errors.BAD_TICK


def test_an_order_for_an_amount_of_money_is_judged_by_that_alone():
    for amount, broken in ((20_000, 0), (19_999, errors.BAD_NOTIONAL), (900_001, errors.BAD_NOTIONAL)):
        assert code(new(price=0, qty=0, quote_qty=amount, ord_type=OrdType.MARKET)) == broken


def test_a_cancel_is_never_refused_for_what_an_instrument_allows():
    assert code(CancelOrder(1, 1, 1, Origin.FIX, NOW, NOW - 1, "c", 99, orig_cl_ord_id="a")) == 0
