"""The arithmetic against a token bucket of exact fractions, and against the bound it exists for."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limits.bucket import MAX_UNITS, MILLI, NEVER, Bucket, Rate, parse_rate

RATES = ["5000/s", "50/s", "7/s", "1/s", "10/min", "1/2s", "3/7s", "1/h", "1/day", "999999999/s"]
START_US = 1_795_348_800_000_000


class ExactBucket:
    """A token bucket as the textbook has it: tokens and seconds are fractions. Time that runs back stands still."""

    def __init__(self, text: str, burst: int) -> None:
        amount, _, period = text.partition("/")
        count = period.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit_us = {"s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "day": 86400 * 10**6}[period[len(count) :]]
        self.per_us = Fraction(int(amount), int(count or 1) * unit_us)
        self.burst = self.tokens = Fraction(burst)
        self.as_of_us = 0

    def refill(self, now_us: int) -> None:
        elapsed = max(now_us - self.as_of_us, 0)
        self.tokens = min(self.burst, self.tokens + elapsed * self.per_us)
        self.as_of_us += elapsed

    def take(self, cost: Fraction, now_us: int) -> int:
        """0 when taken, else the exact wait in whole microseconds."""
        self.refill(now_us)
        if cost <= self.tokens:
            self.tokens -= cost
            return 0
        if cost > self.burst:
            return NEVER
        return self.as_of_us - now_us - (self.tokens - cost) // self.per_us


steps = st.lists(
    st.tuples(
        st.one_of(st.integers(-2_000_000, 5_000_000), st.integers(0, 200), st.integers(0, 2 * 86_400_000_000)),
        st.one_of(st.just(MILLI), st.integers(0, 12 * MILLI)),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(rate=st.sampled_from(RATES), burst=st.integers(1, 10), steps=steps)
def test_a_bucket_decides_and_waits_exactly_like_one_of_fractions(rate, burst, steps):
    bucket, exact, now_us = Bucket(parse_rate(rate), burst), ExactBucket(rate, burst), START_US
    for elapsed_us, cost_milli, give_back in steps:
        now_us += elapsed_us
        wait_us = bucket.wait_us(cost_milli, now_us)
        assert wait_us == exact.take(Fraction(cost_milli, MILLI), now_us)
        if wait_us == 0:
            bucket.debit(cost_milli)
        if give_back:
            bucket.give_back(cost_milli)
            exact.tokens = min(exact.burst, exact.tokens + Fraction(cost_milli, MILLI))
        assert Fraction(bucket.level, bucket.period_us) == exact.tokens
        assert 0 <= bucket.level <= bucket.capacity < MAX_UNITS


@settings(max_examples=200)
@given(rate=st.sampled_from(RATES), burst=st.integers(1, 10), steps=steps)
def test_the_wait_is_the_first_microsecond_at_which_it_fits(rate, burst, steps):
    bucket, now_us = Bucket(parse_rate(rate), burst), START_US
    for elapsed_us, cost_milli, _ in steps:
        now_us += elapsed_us
        wait_us = bucket.wait_us(cost_milli, now_us)
        if wait_us > 0:
            assert not bucket.fits(cost_milli, now_us + wait_us - 1)
            now_us += wait_us
        if wait_us != NEVER:
            assert bucket.fits(cost_milli, now_us)
            bucket.debit(cost_milli)
        full_us = bucket.full_in_us(now_us)
        if full_us > 0:
            bucket.fits(0, now_us + full_us - 1)
            assert bucket.level < bucket.capacity
        bucket.fits(0, now_us + full_us)
        assert bucket.level == bucket.capacity
        now_us += full_us


@settings(max_examples=200)
@given(rate=st.sampled_from(RATES), burst=st.integers(1, 10), steps=steps)
def test_no_window_admits_more_than_the_burst_and_what_came_in_it(rate, burst, steps):
    bucket, per_us, now_us = Bucket(parse_rate(rate), burst), ExactBucket(rate, burst).per_us, START_US
    net: list[tuple[int, int]] = []  # (time as the bucket has lived it, thousandths admitted or given back)
    for elapsed_us, cost_milli, give_back in steps:
        now_us += elapsed_us
        if bucket.fits(cost_milli, now_us):
            bucket.debit(cost_milli)
            net.append((bucket.as_of_us, cost_milli))
            if give_back:
                bucket.give_back(cost_milli)
                net.append((bucket.as_of_us, -cost_milli))
    for first, (begin_us, _) in enumerate(net):
        admitted = 0
        for at_us, milli in net[first:]:
            admitted += milli
            assert Fraction(admitted, MILLI) <= burst + per_us * (at_us - begin_us)


@pytest.mark.parametrize("burst", [1, 2, 5, 100, 5_000])
@pytest.mark.parametrize("rate", RATES)
def test_a_greedy_client_gets_exactly_the_burst_and_then_the_rate(rate, burst):
    """The whole matrix, with burst/rate far under half a second and with one token a day in it."""
    bucket, per_us = Bucket(parse_rate(rate), burst), ExactBucket(rate, burst).per_us
    now_us, admitted = START_US, 0
    while admitted < burst + 500:
        wait_us = bucket.wait_us(MILLI, now_us)
        if wait_us:
            now_us += wait_us
            continue
        bucket.debit(MILLI)
        admitted += 1
    came = burst + (now_us - START_US) * per_us
    left = Fraction(bucket.level, bucket.period_us)
    assert (
        came - admitted * per_us <= admitted + left <= came
    )  # a wait is whole microseconds: up to one runs over the brim
    if burst > 1 and per_us < 1:
        assert admitted + left == came


def test_a_step_back_freezes_the_bucket_and_the_same_time_never_refills_twice():
    bucket = Bucket(parse_rate("1/s"), 10)
    assert bucket.fits(10 * MILLI, START_US)
    bucket.debit(10 * MILLI)
    for _ in range(3):
        assert not bucket.fits(1, START_US - 3_600_000_000)
        assert not bucket.fits(1, START_US)
    assert bucket.wait_us(MILLI, START_US - 5_000_000) == 6_000_000
    assert bucket.full_in_us(START_US - 5_000_000) == 15_000_000
    assert bucket.fits(MILLI, START_US + 1_000_000)
    assert not bucket.fits(MILLI + 1, START_US + 1_000_000)


def test_what_costs_more_than_the_burst_never_fits():
    bucket = Bucket(parse_rate("1/s"), 2)
    assert bucket.wait_us(2 * MILLI, START_US) == 0
    assert bucket.wait_us(2 * MILLI + 1, START_US) == NEVER


def test_giving_back_never_fills_beyond_the_burst():
    bucket = Bucket(parse_rate("10/min"), 3)
    bucket.fits(MILLI, START_US)
    bucket.debit(MILLI)
    bucket.give_back(50 * MILLI)
    assert bucket.level == bucket.capacity


@given(st.lists(st.tuples(st.sampled_from(RATES), st.integers(1, 9)), min_size=100, max_size=100))
@settings(max_examples=30)
def test_a_hundred_changes_of_plan_mint_no_token(plans):
    bucket = Bucket(parse_rate("7/s"), 9)
    bucket.fits(0, START_US)
    bucket.debit(4_500)
    tokens = Fraction(bucket.level, bucket.period_us)
    for rate, burst in plans:
        bucket.retune(parse_rate(rate), burst, START_US)
        now = Fraction(bucket.level, bucket.period_us)
        assert now <= min(tokens, burst)
        assert now > min(tokens, Fraction(burst)) - Fraction(1, bucket.period_us)  # rounded down by less than one unit
        tokens = now


def test_what_came_before_a_change_of_plan_came_at_the_old_rate():
    bucket = Bucket(parse_rate("1/s"), 1_000)
    bucket.fits(1_000 * MILLI, START_US)
    bucket.debit(1_000 * MILLI)
    bucket.retune(parse_rate("100/s"), 1_000, START_US + 2_000_000)
    bucket.fits(0, START_US + 3_000_000)
    assert bucket.level == 102 * bucket.period_us


@pytest.mark.parametrize(
    ("text", "per_second"),
    [
        ("50/s", 50),
        ("10/min", 1 / 6),
        ("1/day", 1 / 86_400),
        ("1/2s", 0.5),
        ("36/h", 0.01),
        ("999999999/s", 999_999_999),
    ],
)
def test_a_rate_is_tokens_per_period(text, per_second):
    rate = parse_rate(text)
    assert rate.per_second == pytest.approx(per_second)
    assert rate.period_us % 1_000 == 0
    assert rate.text == text


def test_rates_that_mean_the_same_fill_the_same():
    assert {(rate.amount, rate.period_us) for rate in map(parse_rate, ("50/s", "100/2s", "3000/min"))} == {(1, 20_000)}


_NO_RATES = [
    "50",
    "50/",
    "/s",
    "0/s",
    "1/0s",
    "-1/s",
    "+1/s",
    "0.5/s",
    "1e3/s",
    "50/S",
    "50/sec",
    "٥/s",
    "1_000/s",
    "9999999999/s",
    "1/999999s",
    "1/2",
    "1/week",
]


@pytest.mark.parametrize("text", [*_NO_RATES, "", "50 /s", " 50/s", "50/s\n"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


@given(st.text(max_size=30))
def test_any_text_is_a_rate_or_a_value_error(text):
    with suppress(ValueError):
        assert isinstance(parse_rate(text), Rate)
