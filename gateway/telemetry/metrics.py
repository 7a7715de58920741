"""Every metric, declared once, and the plain numbers behind them: ints, dicts of ints and array histograms.

The hot path only adds to an int; Prometheus reads on scrape (`gateway.admin.scrape`), so this module stays pure and the
order path may import it. Numbers that other parts count are registered as callables. Label values are our own coded
words and numbers, never a client's text; each dict is bounded all the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from protocols.messages import AnyEvent, CancelRejected, ExecType, OrderEvent, Origin

Number = int | float
Reading: TypeAlias = "Number | Mapping[str, Number] | Mapping[int, Number] | Histogram"
MAX_WORDS = 256  # label values per metric and door; further ones count as "other"

_HALF = 1_024  # ns; below it buckets are 64 ns wide, above it each octave has eight
_TOP_NS = (1 << 34) - 1  # 17 s; longer is counted here
_BUCKETS = 208


class Metric(msgspec.Struct, frozen=True):
    """One declared metric. `name` is without the prefix `penstock_` and the suffix `_total` that a scrape adds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


_LIST = (
    Metric("build_info", "gauge", "Always 1; the label is the version that runs", ("version",)),
    Metric("connections", "gauge", "Open connections, logged on or not", ("door",)),
    Metric("connections_unproven", "gauge", "Open connections that have not logged on", ("door",)),
    Metric(
        "connections_bound",
        "gauge",
        "Most open connections allowed: max_connections, or what the limit of open files allows",
        ("door",),
    ),
    Metric("sessions_logged_on", "gauge", "Sessions that are logged on", ("door",)),
    Metric("messages_in", "counter", "Requests received: orders, cancels, queries", ("door",)),
    Metric("messages_out", "counter", "Answers and events sent", ("door",)),
    Metric("bytes_in", "counter", "Bytes received", ("door",)),
    Metric("bytes_out", "counter", "Bytes handed to the transports", ("door",)),
    Metric("output_pending_bytes", "gauge", "Bytes that slow readers have not taken yet", ("door",)),
    Metric("output_behind_bytes", "gauge", "Unread output of slow readers, held against one bound"),
    Metric("memory_bound_bytes", "gauge", "Upper bound on memory for this configuration, computed at start"),
    Metric("orders_accepted", "counter", "Orders that the core accepted", ("door",)),
    Metric("refusals", "counter", "Refusals that the gateway gave, by error code", ("door", "code")),
    Metric("core_refusals", "counter", "Refusals that the core gave, by error code", ("code",)),
    Metric("fills", "counter", "Trades, counted once per side"),
    Metric("answer_seconds", "histogram", "From the bytes of a command to its first answer", ("door",)),
    Metric("failed_logons", "counter", "Logons refused; the peer never learns the cause", ("door", "cause")),
    Metric("disconnects", "counter", "Connections that ended, by coded reason", ("door", "reason")),
    Metric("fix_garbled", "counter", "Stretches of bytes skipped because they are not a FIX message"),
    Metric("fix_rejects", "counter", "Reject(3) and BusinessMessageReject(j) sent by the session layer"),
    Metric("queue_commands", "gauge", "Commands waiting for the core"),
    Metric("queue_bytes", "gauge", "Their wire bytes"),
    Metric("queue_fill", "gauge", "Fill of the queue, 0 to 1: the fuller of commands and bytes"),
    Metric("queue_stage", "gauge", "0 open, 1 pausing readers, 2 shedding orders, 3 no new connections, 4 all paused"),
    Metric("core_unanswered", "gauge", "Commands handed to the core and not yet answered"),
    Metric(
        "modes",
        "gauge",
        "Modes in force that bar new orders (of the venue, accounts, sessions, instruments)",
        ("mode",),
    ),
    Metric("limiter_admitted", "counter", "Requests admitted by the limiter", ("bucket",)),
    Metric("limiter_refused", "counter", "Requests refused by the limiter", ("bucket",)),
    Metric("limiter_shadow_refused", "counter", "Requests that a shadow limit would have refused", ("bucket",)),
    Metric(
        "limiter_degraded",
        "counter",
        "Decisions taken without the store of limits, because it was away or failed for a bucket",
    ),
    Metric("limit_store_away", "gauge", "1 while the shared store of limits does not answer"),
    Metric("limit_store_outages", "counter", "Times the store of limits went away, by the first reason", ("reason",)),
    Metric("limit_store_timeouts", "counter", "Calls to the store of limits that took too long"),
    Metric("limit_store_calls", "counter", "Calls to the store of limits"),
    Metric("limit_store_failures", "counter", "Calls to the store of limits that failed, or whose result is unknown"),
    Metric("limit_buckets_in_trouble", "gauge", "Buckets that the store of limits cannot decide although it answers"),
    Metric(
        "limit_buckets_pulled_back",
        "counter",
        "Buckets whose times were far in the future because the store's clock was corrected",
    ),
    Metric(
        "limit_overrides", "gauge", "Limits that operators have set for a time, including those that have just ended"
    ),
    Metric("journal_bytes", "gauge", "Size of all segments of the journal"),
    Metric(
        "journal_dropped_early", "counter", "Segments dropped to keep journal.max_bytes, of which a session had need"
    ),
    Metric("journal_state", "gauge", "0 recording, 1 no room except for cancels, 2 failed: the process ends"),
    Metric("journal_held_seconds", "gauge", "How long the oldest answer has waited for its records to be safe"),
    Metric("parked", "gauge", "Commands whose session waits while tokens are fetched"),
    Metric("policy_version", "gauge", "Version of the limits in force"),
    Metric("policy_reload_failures", "counter", "Limits files refused while the old limits stayed in force"),
    Metric("loop_lag_seconds", "histogram", "How late the event loop ran a timer"),
    Metric("clock_offset_seconds", "gauge", "By how much the system's clock was corrected since the start"),
    Metric("clock_steps", "counter", "How often the system's clock was corrected by 0.1 s or more"),
    Metric("traces_sampled", "counter", "Orders that were traced"),
    Metric("log_lines_dropped", "counter", "Log lines lost because standard error was stuck"),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _LIST}


class Histogram:
    """Counts of durations in ns, 1 us to 17 s, in buckets at most 12.5 % wide; `quantile` is exact within half of that.

    `observe` costs about 0.15 us (tests/bench/metrics_observe.py) and allocates nothing that stays.
    """

    __slots__ = ("counts", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        self.sum_ns = 0

    def observe(self, ns: int) -> None:
        """Count one duration; a negative one counts as 0, one beyond 17 s as 17 s."""
        if not 0 <= ns <= _TOP_NS:
            ns = 0 if ns < 0 else _TOP_NS
        octave = (ns >> 10).bit_length()
        self.counts[(octave << 3) + (ns >> octave + 6)] += 1
        self.sum_ns += ns

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    def quantile(self, q: float) -> int:
        """The duration in ns that a share `q` (0 to 1) of all did not exceed: the middle of a bucket; 0 if empty."""
        wanted, seen = q * self.count, 0
        for index, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                low, width = _bounds(index)
                return low + width // 2
        return 0

    def merge(self, other: "Histogram") -> None:
        """Add the counts of `other`."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum_ns += other.sum_ns

    def snapshot(self) -> "Histogram":
        """A copy that does not change any more."""
        copy = Histogram()
        copy.merge(self)
        return copy

    def octaves(self) -> Iterator[tuple[int, int]]:
        """(upper bound in ns, how many were below it), for 1,024 ns and each doubling: the buckets of Prometheus."""
        seen, start = 0, 0
        for octave in range(_BUCKETS // 8 - 1):
            end = 16 + 8 * octave
            seen += sum(self.counts[start:end])
            start = end
            yield _HALF << octave, seen


def _bounds(index: int) -> tuple[int, int]:
    """Lowest value and width in ns of one bucket."""
    if index < 16:
        return index << 6, 64
    octave = (index >> 3) - 1
    return (index - (octave << 3)) << (octave + 6), 1 << (octave + 6)


_COUNTED = ("messages_in", "messages_out", "orders_accepted", "refusals", "disconnects", "failed_logons")


class DoorCounters:
    """Counts of one door since the start. Plain attributes: add to them."""

    __slots__ = (*_COUNTED, "answer_ns")

    def __init__(self) -> None:
        self.messages_in = 0
        self.messages_out = 0
        self.orders_accepted = 0
        self.refusals: dict[int, int] = {}  # by error code
        self.disconnects: dict[str, int] = {}  # by coded reason
        self.failed_logons: dict[str, int] = {}  # by cause
        self.answer_ns = Histogram()  # from the bytes of a command to its first answer


class Metrics:
    """All numbers of one process: its own counters, and readers for the numbers that other parts keep."""

    def __init__(self, version: str = "") -> None:
        self.fix, self.ws, self.house = DoorCounters(), DoorCounters(), DoorCounters()
        self.doors = {"fix": self.fix, "ws": self.ws, "house": self.house}
        self.admin_disconnects: dict[str, int] = {}  # of the operators' port, which counts nothing else
        self._by_origin = {
            origin: {Origin.FIX: self.fix, Origin.WS: self.ws}.get(origin, self.house) for origin in Origin
        }
        self.fills = 0
        self.fix_garbled = 0
        self.fix_rejects = 0
        self.core_refusals: dict[int, int] = {}
        self.loop_lag_ns = Histogram()
        self._readers: dict[tuple[str, tuple[str, ...]], Callable[[], Reading]] = {}
        self._read_own(version)

    def _read_own(self, version: str) -> None:
        for name, door in self.doors.items():
            for attribute in _COUNTED:
                self.counter(attribute, _attribute(door, attribute), name)
            self._register("answer_seconds", "histogram", _attribute(door, "answer_ns"), (name,))
        self.counter("disconnects", _attribute(self, "admin_disconnects"), "admin")
        for attribute in ("fills", "fix_garbled", "fix_rejects", "core_refusals"):
            self.counter(attribute, _attribute(self, attribute))
        self._register("loop_lag_seconds", "histogram", lambda: self.loop_lag_ns, ())
        if version:
            self.gauge("build_info", lambda: 1, version)

    # -- what the doors and the order path count ------------------------------------------------------------------

    def count_refusal(self, origin: Origin, code: int) -> None:
        """Count a refusal by the gateway itself."""
        refusals = self._by_origin[origin].refusals
        refusals[code] = refusals.get(code, 0) + 1

    def count_failed_logon(self, door: str, cause: str) -> None:
        """Count a refused logon; `cause` is a coded word."""
        _add(self.doors[door].failed_logons, cause)

    def count_disconnect(self, door: str, reason: str) -> None:
        """Count a connection that ended; `reason` is a coded word."""
        _add(self.admin_disconnects if door == "admin" else self.doors[door].disconnects, reason)

    def observe_answer(self, origin: Origin, ns: int) -> None:
        """Count the first answer to a command, `ns` after its bytes were received."""
        self._by_origin[origin].answer_ns.observe(ns)

    def count_events(self, events: Sequence[AnyEvent]) -> None:
        """Count the core's events: acceptances by door, fills, rejections by code."""
        for event in events:
            if type(event) is OrderEvent:
                kind = event.exec_type
                if kind is ExecType.TRADE:
                    self.fills += 1
                elif kind is ExecType.NEW:
                    self._by_origin[event.origin].orders_accepted += 1
                elif kind is ExecType.REJECTED:
                    self.core_refusals[event.code] = self.core_refusals.get(event.code, 0) + 1
            elif type(event) is CancelRejected:
                self.core_refusals[event.code] = self.core_refusals.get(event.code, 0) + 1

    # -- numbers of other parts ----------------------------------------------------------------------------------

    def gauge(self, name: str, read: Callable[[], Reading], *labels: str) -> None:
        """Read this gauge on scrape. `labels` are the values of its labels; a mapping returned holds the last one.

        Raises:
            KeyError, ValueError: it is not declared above, or differently; a bug of the caller.
        """
        self._register(name, "gauge", read, labels)

    def counter(self, name: str, read: Callable[[], Reading], *labels: str) -> None:
        """Read this counter on scrape; it must never fall. Otherwise like `gauge`."""
        self._register(name, "counter", read, labels)

    def _register(self, name: str, kind: str, read: Callable[[], Reading], labels: tuple[str, ...]) -> None:
        metric = METRICS[name]
        if metric.kind != kind or not len(metric.labels) - 1 <= len(labels) <= len(metric.labels):
            raise ValueError(f"{name} is declared as {metric.kind} with labels {metric.labels}")
        self._readers[name, labels] = read

    def samples(self) -> Iterator[tuple[Metric, tuple[str, ...], Number | Histogram]]:
        """(metric, label values, value) of everything that has a reader; the values of one metric follow each other."""
        for (name, labels), read in sorted(self._readers.items(), key=lambda item: item[0]):
            reading = read()
            if isinstance(reading, Mapping):
                for word, value in sorted(reading.items(), key=lambda item: str(item[0])):
                    yield METRICS[name], (*labels, str(word)), value
            else:
                yield METRICS[name], labels, reading


def _attribute(owner: object, name: str) -> Callable[[], Reading]:
    return lambda: getattr(owner, name)


def _add(counts: dict[str, int], word: str) -> None:
    if word not in counts and len(counts) >= MAX_WORDS:
        word = "other"
    counts[word] = counts.get(word, 0) + 1
