"""Makes OpenTelemetry spans of finished order traces, with the times recorded on the way.

One `order` span holds `door`, `limit`, `queue`, `core` and `report`; a step that the order did not reach has no span.
The library sends spans in batches on its own thread: an absent collector costs spans, never an order's time.
"""

from importlib import import_module

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway.config import schema
from gateway.telemetry.tracing import OrderTrace
from protocols.wall import WallClock

_OTLP = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_OTLP_PACKAGE = "opentelemetry-exporter-otlp-proto-http"
_FLUSH_MS = 2_000


class OtlpMissing(Exception):
    """tracing.otlp_endpoint is set, and the extra that it needs is not installed."""


class Spans:
    """Writes traces to an exporter; without one, spans are made and dropped."""

    def __init__(self, exporter: SpanExporter | None, wall: WallClock) -> None:
        # Every trace that comes here was sampled already: the library must not sample again.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=Resource({SERVICE_NAME: "penstock"}), shutdown_on_exit=False
        )
        if exporter is not None:
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("penstock")
        self._utc_ns = wall.utc_ns

    def write(self, trace: OrderTrace) -> None:
        """Write one order's spans. Each step ends where the next begins, so together they cover the whole time."""
        order = self._tracer.start_span(
            "order",
            context=_context(trace),
            kind=SpanKind.SERVER,
            attributes={"door": trace.door, "session": trace.session, **trace.attributes},
            start_time=self._utc_ns(trace.t_recv),
        )
        inside = otel.set_span_in_context(order)
        steps = _steps(trace)
        for name, begin_ns, end_ns in steps:
            self._tracer.start_span(name, context=inside, start_time=self._utc_ns(begin_ns)).end(self._utc_ns(end_ns))
        if code := trace.attributes.get("error_code"):
            order.set_status(Status(StatusCode.ERROR, str(code)))
        order.end(self._utc_ns(max(trace.t_out, steps[-1][2] if steps else trace.t_recv)))

    def close(self) -> None:
        """Send the remaining spans, for 2 s at most, and stop the thread."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()


def open_spans(settings: schema.Tracing, wall: WallClock) -> Spans | None:
    """The writer of traces for these settings; None if tracing is off.

    Raises:
        OtlpMissing: an endpoint is set without the extra; nothing was started.
    """
    if not settings.sample_one_in:
        return None
    return Spans(_otlp(settings.otlp_endpoint) if settings.otlp_endpoint else None, wall)


def _otlp(endpoint: str) -> SpanExporter:
    try:
        module = import_module(_OTLP)
    except ImportError as error:
        text = f"tracing.otlp_endpoint needs {_OTLP_PACKAGE}: in a checkout, make setup EXTRAS=otlp; the image has it"
        raise OtlpMissing(text) from error
    exporter: SpanExporter = module.OTLPSpanExporter(endpoint=endpoint)
    return exporter


def _context(trace: OrderTrace) -> Context | None:
    """The client's span as the parent of ours, if the client gave one."""
    if (theirs := trace.parent) is None:
        return None
    parent = SpanContext(theirs.trace_id, theirs.span_id, is_remote=True, trace_flags=TraceFlags(theirs.sampled))
    return otel.set_span_in_context(NonRecordingSpan(parent))


def _steps(trace: OrderTrace) -> list[tuple[str, int, int]]:
    """(name, begin, end) of each step that the order reached, in order."""
    ends = (
        ("limit", trace.t_limited),
        ("queue", trace.t_core_start or trace.t_queued),
        ("core", trace.t_core_end),
        ("report", trace.t_out),
    )
    steps, begin_ns = [], trace.t_recv
    for name, end_ns in ends:
        if end_ns >= begin_ns:
            steps.append((name, begin_ns, end_ns))
            begin_ns = end_ns
    return steps
