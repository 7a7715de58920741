"""UTCTimestamp text and nanoseconds: exact in both directions, and only what FIX allows."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fix.times import format_ns, parse_ns
from protocols.units import NS_PER_S

NOON = 1_795_348_800 * NS_PER_S
ANY_NS = st.integers(0, (1 << 63) - 1)


@pytest.mark.parametrize(
    ("digits", "text"),
    [
        (3, "20261122-12:00:00.123"),
        (6, "20261122-12:00:00.123456"),
        (9, "20261122-12:00:00.123456789"),
    ],
)
def test_a_time_is_written_with_the_requested_decimals_and_the_rest_is_cut(digits: int, text: str) -> None:
    assert format_ns(NOON + 123_456_789, digits) == text


def test_six_decimals_are_the_default() -> None:
    assert format_ns(NOON + 100_999) == "20261122-12:00:00.000100"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("20261122-12:00:00", 0),
        ("20261122-12:00:00.001", 1_000_000),
        ("20261122-12:00:00.000001", 1_000),
        ("20261122-12:00:00.000000001", 1),
    ],
)
def test_seconds_milli_micro_and_nanoseconds_are_read(text: str, ns: int) -> None:
    assert parse_ns(text) == NOON + ns


def test_a_leap_second_is_the_first_second_of_the_next_minute() -> None:
    assert parse_ns("20161231-23:59:60.5".ljust(21, "0")) == parse_ns("20170101-00:00:00.500")


def test_leap_years_are_known() -> None:
    assert format_ns(parse_ns("20280229-00:00:00"), 3) == "20280229-00:00:00.000"
    with pytest.raises(ValueError):
        parse_ns("21000229-00:00:00")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20261122",
        "20261122-12:00",
        "20261122 12:00:00",
        "20261122-12:00:00.",
        "20261122-12:00:00.1",
        "20261122-12:00:00.12",
        "20261122-12:00:00.1234567890",
        "20261122-12:00:00.00_",
        "20261122-12:00:00.+12",
        "20261122-12:00:00.00²",
        "20261122-12:00:00.00000²",
        "20261122-12:00:00.000+12",
        "20261122-12:00:00,000000",
        "20261122-12:00:61.000000",
        "20261122-12:00:00Z",
        "2026112²-12:00:00",
        "20261322-12:00:00",
        "20260230-12:00:00",
        "20261122-24:00:00",
        "20261122-12:60:00",
        "20261122-12:00:61",
        "19691231-23:59:59",
        "22620411-23:47:16.854776",
        "22630101-00:00:00",
        "99991231-23:59:59.999999999",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ns(text)


@given(ANY_NS)
def test_nine_decimals_round_trip_every_nanosecond_to_the_year_2262(ns: int) -> None:
    assert parse_ns(format_ns(ns, 9)) == ns


@given(ANY_NS, st.sampled_from([3, 6]))
def test_fewer_decimals_never_lie_in_the_future(ns: int, digits: int) -> None:
    assert 0 <= ns - parse_ns(format_ns(ns, digits)) < 10 ** (9 - digits)


@given(ANY_NS)
def test_the_text_is_what_the_calendar_says(ns: int) -> None:
    stamp = datetime.fromtimestamp(ns // NS_PER_S, UTC)
    assert format_ns(ns, 3).startswith(stamp.strftime("%Y%m%d-%H:%M:%S."))


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert 0 <= parse_ns(text) < 1 << 63
