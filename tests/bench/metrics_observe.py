"""What the counters of the hot path cost: `python tests/bench/metrics_observe.py`. CPU time, best of nine runs.

The figures quoted in `gateway/telemetry/metrics.py` come from here. The loop itself is measured and taken off.
"""

from collections.abc import Callable
from time import process_time_ns

from gateway.config import schema
from gateway.telemetry.metrics import Histogram, Metrics
from gateway.telemetry.tracing import OrderTracer
from protocols.messages import Origin

_CALLS = 300_000


def _per_call(call: Callable[[int], object]) -> float:
    best = 1 << 62
    for _ in range(9):
        begin = process_time_ns()
        for n in range(_CALLS):
            call(n)
        best = min(best, process_time_ns() - begin)
    return best / _CALLS / 1_000


def main() -> None:
    """Print one line per measurement, in us."""
    metrics, tracing = Metrics(), OrderTracer(schema.Tracing())
    nothing = _per_call(lambda n: None)
    rows: tuple[tuple[str, Callable[[int], object]], ...] = (
        ("Histogram.observe", Histogram().observe),
        ("Metrics.observe_answer", lambda n: metrics.observe_answer(Origin.FIX, n)),
        ("Metrics.count_refusal", lambda n: metrics.count_refusal(Origin.FIX, 3001)),
        ("OrderTracer.sample", lambda n: tracing.sample()),
    )
    for name, call in rows:
        print(f"{name:24} {max(_per_call(call) - nothing, 0):6.3f} us")


if __name__ == "__main__":
    main()
