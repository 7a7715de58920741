"""Numbers as clients wrote them: exact, bounded, and nobody's flood of new ones takes away what others repeat."""

import pytest

from protocols import known_numbers
from protocols.instruments import Instrument
from protocols.known_numbers import KnownNumbers

BTC = Instrument(
    1, "BTC-USDT", "BTC", "USDT", px_exp=2, qty_exp=4, tick=5, lot=100, max_qty=1_000_000, band_high=99_999
)
ETH = Instrument(2, "ETH-USDT", "ETH", "USDT", px_exp=2, qty_exp=4)


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(known_numbers, "MAX_EACH", 10)
    monkeypatch.setattr(known_numbers, "MAX_NUMBERS", 25)
    return KnownNumbers()


def learn_prices(known, instrument, count, begin=1):
    prices, _ = known.of(instrument)
    for cents in range(begin, begin + count):
        assert prices[f"{cents * 5 / 100:.2f}"] == cents * 5


def test_what_an_instrument_does_not_allow_is_nothing_and_not_kept(known):
    prices, quantities = known.of(BTC)
    for text in ("0.01", "1000", "0", "-5", "x", "", "5.001"):
        assert prices[text] == 0
    for text in ("0.001", "101", "0", "1e2"):
        assert quantities[text] == 0
    assert not prices
    assert not quantities


def test_a_number_is_known_by_its_text(known):
    prices, quantities = known.of(BTC)
    assert prices["0.50"] == prices["00.5"] == 50
    assert quantities["1.5"] == 15_000
    assert prices == {"0.50": 50, "00.5": 50}
    assert quantities == {"1.5": 15_000}


def test_a_long_text_is_read_and_not_kept(known):
    prices, _ = known.of(BTC)
    assert prices["0" * 30 + "0.50"] == 50
    assert not prices


def test_new_prices_of_one_instrument_take_no_place_from_another(known):
    prices, _ = known.of(ETH)
    learn_prices(known, ETH, 5)
    known.of(BTC)
    learn_prices(known, BTC, 500)
    assert len(prices) == 5


def test_when_all_is_full_the_most_numbers_of_one_kind_go(known):
    for instrument in (BTC, ETH):
        known.of(instrument)
    learn_prices(known, BTC, 9)
    for lots in range(1, 9):
        assert known.of(BTC)[1][f"{lots}"]
    learn_prices(known, ETH, 8)
    assert known.count == 25
    learn_prices(known, ETH, 1, begin=100)
    assert [len(numbers) for numbers in (*known.of(BTC), *known.of(ETH))] == [0, 8, 9, 0]


def test_never_more_are_known_than_the_bound(known):
    rows = [Instrument(number, f"I{number}", "A", "B", px_exp=2, qty_exp=4) for number in range(1, 9)]
    for instrument in rows * 3:
        known.of(instrument)
        learn_prices(known, instrument, 7, begin=instrument.id)
        assert known.of(instrument)[1]["1"] == 10_000
        held = sum(len(numbers) for row in rows for numbers in known.of(row))
        assert held == known.count <= 25
