"""Converts the gateway's plain numbers for Prometheus, only when it scrapes.

Names get the prefix `penstock_`, counters the suffix `_total`; durations are kept in ns and exported in seconds. The
metrics and their help texts are declared in `gateway.telemetry.metrics`.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from gateway.telemetry.metrics import Histogram, Metrics, Number
from protocols.units import NS_PER_S

_FAMILIES: dict[str, Callable[..., Family]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class MetricsCollector(Collector):
    """Reads `metrics` on each scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Family]:
        """One family per declared metric that has values."""
        families: dict[str, Family] = {}
        for metric, labels, value in self._metrics.samples():
            if metric.name not in families:
                family = _FAMILIES[metric.kind]
                families[metric.name] = family(f"penstock_{metric.name}", metric.help, labels=metric.labels)
            _add(families[metric.name], labels, value)
        return families.values()

    def describe(self) -> Iterable[Family]:
        """Nothing: registration must not read gauges of parts that have not started."""
        return ()


def build_registry(metrics: Metrics) -> CollectorRegistry:
    """A registry for one gateway: several may be in one process, as in tests."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MetricsCollector(metrics))
    return registry


def _add(family: Family, labels: tuple[str, ...], value: Number | Histogram) -> None:
    if isinstance(family, HistogramMetricFamily) and isinstance(value, Histogram):
        # Our counts are below a bound, theirs at or below it: a difference of 1 ns, finer than any clock.
        buckets = [(repr(bound_ns / NS_PER_S), float(below)) for bound_ns, below in value.octaves()]
        family.add_metric(labels, [*buckets, ("+Inf", float(value.count))], value.sum_ns / NS_PER_S)
    elif isinstance(family, CounterMetricFamily | GaugeMetricFamily) and not isinstance(value, Histogram):
        family.add_metric(labels, value)
