"""Which orders are traced, and the resulting spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.config import schema
from gateway.telemetry import spans
from gateway.telemetry.spans import OtlpMissing, Spans, open_spans
from gateway.telemetry.tracing import FORCED_PER_S, OrderTrace, OrderTracer, TraceParent, parse_traceparent
from protocols.wall import WallClock

S = 1_000_000_000
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def tracing(one_in: int) -> OrderTracer:
    return OrderTracer(schema.Tracing(sample_one_in=one_in))


def written(trace: OrderTrace) -> dict[str, ReadableSpan]:
    exporter = InMemorySpanExporter()
    target = Spans(exporter, WallClock())
    target.write(trace)
    target.close()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_one_order_in_so_many_is_chosen() -> None:
    chooser = tracing(4)
    assert [chooser.sample() for _ in range(9)] == [False, False, False, True] * 2 + [False]
    assert all(tracing(1).sample() for _ in range(3))


@given(st.integers(2, 12), st.lists(st.integers(1, 11), max_size=20))
def test_of_a_run_the_order_is_chosen_that_would_be_chosen_one_by_one(one_in: int, counts: list[int]) -> None:
    by_run, one_by_one = tracing(one_in), tracing(one_in)
    for count in counts:
        if count < one_in:  # a longer run is not traced as one
            chosen = [at for at in range(count) if one_by_one.sample()]
            assert by_run.sample_run(count) == (chosen[0] if chosen else None)


def test_zero_chooses_none_not_even_when_a_client_asks() -> None:
    chooser = tracing(0)
    assert not any(chooser.sample() for _ in range(5))
    assert not chooser.asked_for(PARENT, 0)


def test_a_clients_sampled_flag_chooses_its_order_but_not_more_than_so_many_a_second() -> None:
    chooser = tracing(1_000_000)
    assert sum(chooser.asked_for(PARENT, S + n) for n in range(FORCED_PER_S + 50)) == FORCED_PER_S
    assert chooser.asked_for(PARENT, 2 * S)
    assert not chooser.asked_for(PARENT[:-1] + "0", 2 * S)
    assert not chooser.asked_for("", 2 * S)


@pytest.mark.parametrize(
    ("text", "sampled"),
    [(PARENT, True), (PARENT[:-2] + "00", False), (PARENT[:-2] + "ff", True), ("cc" + PARENT[2:] + "-more", True)],
)
def test_a_well_formed_traceparent_is_read(text: str, sampled: bool) -> None:
    assert parse_traceparent(text) == TraceParent(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        PARENT.upper(),
        PARENT[:-1],
        PARENT + "-more",  # version 00 ends at the flags
        PARENT + "\n",
        " " + PARENT,
        "ff" + PARENT[2:],
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        PARENT.replace("-", "_"),
        "cc" + PARENT[2:] + "-" + "x" * 1_000,
        "٠٠" + PARENT[2:],
    ],
)
def test_a_traceparent_that_is_not_well_formed_is_as_good_as_none(text: str) -> None:
    assert parse_traceparent(text) is None


@given(st.text(max_size=80))
def test_any_text_is_a_parent_or_none(text: str) -> None:
    assert parse_traceparent(text) is None or text[2] == "-"


def test_a_finished_trace_is_counted_and_handed_on() -> None:
    out: list[OrderTrace] = []
    chooser = OrderTracer(schema.Tracing(), out.append)
    trace = chooser.begin(5, "ws", "mm", PARENT)
    chooser.record(trace)
    assert (out, chooser.sampled) == ([trace], 1)
    assert trace.parent == TraceParent(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True)
    assert chooser.begin(5, "fix", "s").attributes is not chooser.begin(5, "fix", "s").attributes


def test_an_orders_spans_cover_its_whole_way_without_gap() -> None:
    trace = OrderTrace(100, "fix", "MM1", 120, 150, 160, 200, 210, attributes={"symbol": "BTC-USDT"})
    made = written(trace)
    times = {name: (span.start_time, span.end_time) for name, span in made.items()}
    assert times == {
        "order": (100, 210),
        "limit": (100, 120),
        "queue": (120, 160),
        "core": (160, 200),
        "report": (200, 210),
    }
    root = made["order"]
    assert root.parent is None
    assert dict(root.attributes or {}) == {"door": "fix", "session": "MM1", "symbol": "BTC-USDT"}
    assert all(span.parent == root.context for name, span in made.items() if name != "order")


def test_a_refused_order_has_no_spans_for_where_it_did_not_get() -> None:
    made = written(OrderTrace(100, "ws", "mm", 120, t_out=130, attributes={"error_code": 3001}))
    assert sorted(made) == ["limit", "order", "report"]
    assert (made["report"].start_time, made["report"].end_time) == (120, 130)
    assert made["order"].status.description == "3001"


def test_a_client_span_becomes_the_parent_of_ours() -> None:
    made = written(OrderTrace(1, "ws", "mm", t_out=2, parent=parse_traceparent(PARENT)))
    parent = made["order"].parent
    assert parent is not None
    assert parent.is_remote
    assert f"{parent.trace_id:032x}-{parent.span_id:016x}" == PARENT[3:52]
    assert {span.context.trace_id for span in made.values() if span.context} == {parent.trace_id}


def test_nothing_is_set_up_when_nothing_is_sampled() -> None:
    assert open_spans(schema.Tracing(sample_one_in=0, otlp_endpoint="http://collector/v1/traces"), WallClock()) is None


def test_an_endpoint_without_the_extra_is_said_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(spans, "import_module", missing)
    with pytest.raises(OtlpMissing, match=r"make setup EXTRAS=otlp"):
        open_spans(schema.Tracing(otlp_endpoint="http://collector/v1/traces"), WallClock())


def test_without_an_exporter_spans_are_made_and_dropped() -> None:
    target = open_spans(schema.Tracing(), WallClock())
    assert target is not None
    target.write(OrderTrace(1, "fix", "s", t_out=2))
    target.close()
