"""Decimal text and whole numbers: the quick ways give what the rules say, and refuse what they refuse."""

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import instruments
from protocols.instruments import Averages, Inexact, Instrument, Rendered, parse, render
from protocols.known_numbers import KnownNumbers

_ODD = (
    *("", ".", "5.", ".5", "-0", "-5", "+5", "+0.5", "1e2", "1E2", "1_000", "1_0.5", " 5", "5 ", "5\n", "0x10", "nan"),
    *("1.2.3", "1..2", "1,5", "\u0661", "5.\u0665", "\uff15", "\u00b2", "5.\u00b2", "\x005", "00005", "0005.5000", "0"),
    *("0.0", "0" * 63 + "5", "0" * 64 + "5", "9" * 18, "9" * 19, "1" + "0" * 20, "0." + "0" * 62 + "5", "1" * 5000),
    *("5." + "0" * 62, "5." + "0" * 63, "5." + "0" * 64, "0.000000000001", "9223372036854775807", "9223372.5"),
    *("922337203685477580800", "9223372036854775808", "92233720368547758"),
)
_PLAIN = st.builds(
    lambda whole, fraction, zeros: f"{'0' * zeros}{whole}.{fraction}",
    st.integers(0, 10**19),
    st.text("0123456789", max_size=14),
    st.integers(0, 3),
)
_TEXTS = st.sampled_from(_ODD) | _PLAIN | st.text("0123456789.", max_size=24) | st.text("0159.+-_eE \u0665\uff15")
_EXPS = st.integers(0, 12)


def ruled(text: str, exp: int) -> int | None:
    """What the rules say, in other words; None = refused."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        return None
    digits = text.replace(".", "")
    if len(digits) > 64 or len(digits.strip("0")) > 18:
        return None
    value = Fraction(text + "0" if text.endswith(".") else text) * 10**exp
    return int(value) if value.denominator == 1 and value < 1 << 63 else None


def parsed(text: str, exp: int) -> int | None:
    try:
        return parse(text, exp)
    except ValueError:
        return None


@settings(max_examples=2_000, deadline=None)
@given(_TEXTS, _EXPS)
def test_a_text_is_the_number_that_the_rules_say_or_refused(text: str, exp: int) -> None:
    assert parsed(text, exp) == ruled(text, exp)


@pytest.mark.parametrize("text", _ODD)
def test_an_odd_text_is_what_the_rules_say(text: str) -> None:
    assert [parsed(text, exp) for exp in range(13)] == [ruled(text, exp) for exp in range(13)]


@pytest.mark.parametrize("text", ["5.001", "0.0000000000000000001", "5." + "0" * 30 + "1"])
def test_too_many_decimals_are_told_from_what_is_no_number(text: str) -> None:
    with pytest.raises(Inexact if len(text.strip("0.")) < 18 else ValueError):
        parse(text, 2)


@settings(max_examples=1_000, deadline=None)
@given(_TEXTS, _EXPS, st.integers(1, 50))
def test_a_run_knows_the_numbers_that_the_general_road_allows(text: str, exp: int, tick: int) -> None:
    instrument = Instrument(
        1, "A", "B", "C", px_exp=exp, qty_exp=12 - exp, tick=tick, lot=tick, band_high=10**9, max_qty=10**9
    )
    prices, quantities = KnownNumbers().of(instrument)
    price, quantity = instrument.parse_price(text), instrument.parse_qty(text)
    is_price = isinstance(price, int) and instrument.check_price(price) is None
    is_quantity = isinstance(quantity, int) and instrument.check_qty(quantity) is None
    for _ in ("learned", "known"):
        assert prices[text] == (price if is_price else 0)
        assert quantities[text] == (quantity if is_quantity else 0)


_VALUES = st.integers(-(10**26), 10**26) | st.integers(-200, 200)


@settings(max_examples=1_000, deadline=None)
@given(_VALUES, st.integers(0, 24))
def test_a_number_is_written_with_all_its_decimals_at_both_places(value: int, exp: int) -> None:
    assert Rendered(exp)[value] == render(value, exp) == f"{Decimal(value).scaleb(-exp):.{exp}f}"


@settings(max_examples=1_000, deadline=None)
@given(st.integers(1, 10**18), st.integers(1, 10**18), _EXPS)
def test_the_average_of_one_price_is_that_price(price: int, qty: int, px_exp: int) -> None:
    instrument = Instrument(1, "A", "B", "C", px_exp=px_exp, qty_exp=0)
    assert Averages(px_exp)[price] == instrument.avg_px_text(price * qty, qty)


def test_what_is_remembered_of_written_numbers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "MAX_RENDERED", 3)
    for written in (Rendered(2), Averages(2)):
        for value in range(10):
            assert written[value]
            assert len(written) <= 3
