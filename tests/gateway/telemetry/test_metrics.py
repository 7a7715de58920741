"""Plain numbers in, Prometheus text out; and a histogram that is right within its bucket."""

import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.admin.scrape import build_registry
from gateway.telemetry.metrics import MAX_WORDS, METRICS, Histogram, Metrics
from protocols.messages import (
    CancelRejected,
    EngineState,
    ExecType,
    MassCancelDone,
    OrderEvent,
    OrderList,
    OrdStatus,
    OrdType,
    Origin,
    Side,
    Tif,
)

TOP_NS = (1 << 34) - 1
durations = st.lists(st.integers(0, 20_000_000_000), min_size=1, max_size=60)


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    return histogram


def scrape(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = generate_latest(build_registry(metrics)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def order(kind: ExecType, origin: Origin = Origin.FIX, code: int = 0) -> OrderEvent:
    return OrderEvent(
        1,
        1,
        1,
        1,
        1,
        kind,
        OrdStatus.NEW,
        1,
        "c",
        1,
        Side.BUY,
        OrdType.LIMIT,
        Tif.GTC,
        1,
        0,
        1,
        origin=origin,
        code=code,
    )


@given(values=durations, q=st.floats(0, 1))
def test_a_quantile_is_within_half_a_bucket_of_the_true_one(values: list[int], q: float) -> None:
    rank = max(math.ceil(q * len(values)), 1)
    true = min(sorted(values)[rank - 1], TOP_NS)
    assert abs(histogram_of(values).quantile(q) - true) <= max(true / 16, 32)


@given(left=durations, right=durations)
def test_merged_histograms_are_the_histogram_of_all(left: list[int], right: list[int]) -> None:
    merged = histogram_of(left)
    before = copy.copy(merged)
    merged.merge(histogram_of(right))
    both = histogram_of(left + right)
    assert (merged.counts, merged.sum_ns, merged.count) == (both.counts, both.sum_ns, len(left) + len(right))
    assert before.counts == histogram_of(left).counts


@given(values=durations)
def test_octaves_count_what_is_below_their_bound(values: list[int]) -> None:
    clamped = [min(value, TOP_NS) for value in values]
    for bound_ns, below in histogram_of(values).octaves():
        assert below == sum(value < bound_ns for value in clamped)


@pytest.mark.parametrize(("ns", "counted_as"), [(-5, 0), (0, 0), (1 << 40, TOP_NS)])
def test_durations_beyond_either_end_are_counted_at_the_end(ns: int, counted_as: int) -> None:
    histogram = histogram_of([ns])
    assert histogram.sum_ns == counted_as
    assert histogram.counts == histogram_of([counted_as]).counts


def test_an_empty_histogram_has_the_quantile_0() -> None:
    assert Histogram().quantile(0.99) == 0


def test_what_the_doors_and_the_order_path_count_appears_on_a_scrape() -> None:
    metrics = Metrics("1.2.3")
    metrics.fix.messages_in += 3
    metrics.count_refusal(Origin.FIX, 3001)
    metrics.count_refusal(Origin.FIX, 3001)
    metrics.count_refusal(Origin.COD, 5001)
    metrics.count_failed_logon("ws", "signature")
    metrics.count_disconnect("fix", "too_slow")
    metrics.fix_garbled += 1
    metrics.observe_answer(Origin.WS, 1_500_000)
    seen = scrape(metrics)
    assert seen["penstock_build_info", (("version", "1.2.3"),)] == 1
    assert seen["penstock_messages_in_total", (("door", "fix"),)] == 3
    assert seen["penstock_refusals_total", (("code", "3001"), ("door", "fix"))] == 2
    assert seen["penstock_refusals_total", (("code", "5001"), ("door", "house"))] == 1
    assert seen["penstock_failed_logons_total", (("cause", "signature"), ("door", "ws"))] == 1
    assert seen["penstock_disconnects_total", (("door", "fix"), ("reason", "too_slow"))] == 1
    assert seen["penstock_fix_garbled_total", ()] == 1
    assert seen["penstock_answer_seconds_count", (("door", "ws"),)] == 1
    assert seen["penstock_answer_seconds_sum", (("door", "ws"),)] == pytest.approx(0.0015)
    assert seen["penstock_answer_seconds_bucket", (("door", "ws"), ("le", "0.001048576"))] == 0
    assert seen["penstock_answer_seconds_bucket", (("door", "ws"), ("le", "0.002097152"))] == 1


def test_what_the_core_reports_is_counted_once_and_by_the_door_of_the_order() -> None:
    metrics = Metrics()
    metrics.count_events(
        [
            order(ExecType.NEW, Origin.WS),
            order(ExecType.TRADE),
            order(ExecType.TRADE),
            order(ExecType.REJECTED, code=4003),
            order(ExecType.CANCELED, code=6001),
            CancelRejected(1, 2, 3, 4, "c", "o", 0, OrdStatus.REJECTED, "1", 4003),
            MassCancelDone(1, 2, 3, 4, "m", 0),
            OrderList(1, 2, 3, 4, "q", (order(ExecType.NEW),)),
            EngineState(1, 2, 3, 4, "halted"),
        ]
    )
    assert (metrics.ws.orders_accepted, metrics.fix.orders_accepted, metrics.fills) == (1, 0, 2)
    assert metrics.core_refusals == {4003: 2}


def test_numbers_that_others_keep_are_read_at_the_scrape_and_not_before() -> None:
    metrics, reads = Metrics(), [0]

    def read() -> int:
        reads[0] += 1
        return reads[0]

    metrics.gauge("queue_commands", read)
    metrics.counter("limiter_admitted", lambda: {"orders": 5, "cancels": 1})
    metrics.gauge("connections", lambda: 2, "fix")
    build_registry(metrics)
    assert reads == [0]
    seen = scrape(metrics)
    assert seen["penstock_queue_commands", ()] == 1
    assert seen["penstock_limiter_admitted_total", (("bucket", "orders"),)] == 5
    assert seen["penstock_connections", (("door", "fix"),)] == 2


def test_a_number_that_is_not_declared_or_not_so_cannot_be_registered() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.gauge("queue_comands", lambda: 1)
    with pytest.raises(ValueError, match="declared as gauge"):
        metrics.counter("queue_commands", lambda: 1)
    with pytest.raises(ValueError, match="labels"):
        metrics.gauge("queue_commands", lambda: 1, "fix")


def test_words_beyond_the_bound_are_counted_together() -> None:
    metrics = Metrics()
    for n in range(MAX_WORDS + 10):
        metrics.count_failed_logon("fix", f"word-{n}")
    assert len(metrics.fix.failed_logons) == MAX_WORDS + 1
    assert metrics.fix.failed_logons["other"] == 10


def test_every_metric_is_named_and_explained_in_one_way() -> None:
    for name, metric in METRICS.items():
        assert name.isidentifier()
        assert name == name.lower()
        assert metric.help[0].isupper() or metric.help[0].isdigit()
        assert not metric.help.endswith(".")
        assert not name.endswith("_total")
