"""Latencies in buckets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.histogram import Latencies


def latencies(*values_ns: int) -> Latencies:
    found = Latencies()
    for value in values_ns:
        found.record(value)
    return found


@given(st.lists(st.integers(0, (1 << 40) - 1), min_size=1), st.sampled_from((0.5, 0.9, 0.99, 0.999, 1.0)))
def test_a_quantile_is_within_a_hundredth_of_the_value_of_that_rank(values: list[int], share: float) -> None:
    exact_ns = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    assert latencies(*values).quantile_us(share) == pytest.approx(exact_ns / 1_000, rel=0.01, abs=0.001)


@given(st.lists(st.integers(-5, 1 << 50), max_size=50))
def test_every_value_is_counted_once_and_the_largest_is_kept(values: list[int]) -> None:
    found = latencies(*values)
    assert sum(count for _, count in found.buckets_us()) == found.total == len(values)
    assert found.max_ns == max([0, *values])


def test_buckets_come_from_the_shortest() -> None:
    middles = [middle for middle, _ in latencies(*(3**n for n in range(20))).buckets_us()]
    assert middles == sorted(set(middles))
    assert len(middles) == 20


def test_nothing_recorded_is_zero() -> None:
    assert latencies().quantile_us(0.99) == 0.0
