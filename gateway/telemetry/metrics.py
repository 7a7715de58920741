"""Every metric, declared once, and the plain numbers behind them: ints, dicts of ints and array histograms.

The hot path only adds to an int; Prometheus reads on scrape (`gateway.admin.scrape`), so this module stays pure and the
order path may import it. Numbers that other parts count are registered as callables. Label values are our own coded
words and numbers, never a client's text; each dict is bounded all the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, TypeAlias

import msgspec

from protocols.messages import AnyEvent, CancelRejected, ExecType, OrderEvent, Origin

Number = int | float
Reading: TypeAlias = "Number | Mapping[str, Number] | Mapping[int, Number] | Histogram"
_NEW, _TRADE, _REJECTED = ExecType.NEW, ExecType.TRADE, ExecType.REJECTED  # a member of an Enum is looked up dearly
MAX_WORDS = 256  # label values per metric and door; further ones count as "other"

_HALF = 1_024  # ns; below it buckets are 64 ns wide, above it each octave has eight
_TOP_NS = (1 << 34) - 1  # 17 s; longer is counted here
_BUCKETS = 208


class Metric(msgspec.Struct, frozen=True):
    """One declared metric. `name` is without the prefix `penstock_` and the suffix `_total` that a scrape adds."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    labels: tuple[str, ...] = ()


_gauge, _counter, _histogram = partial(Metric, "gauge"), partial(Metric, "counter"), partial(Metric, "histogram")
_LIST = (
    _gauge("build_info", "Always 1; the label is the version that runs", ("version",)),
    _gauge("connections", "Open connections, logged on or not", ("door",)),
    _gauge("connections_unproven", "Open connections that have not logged on", ("door",)),
    _gauge(
        "connections_bound",
        "Most open connections allowed: max_connections, or what the limit of open files allows",
        ("door",),
    ),
    _gauge("sessions_logged_on", "Sessions that are logged on", ("door",)),
    _counter("messages_in", "Requests received: orders, cancels, queries", ("door",)),
    _counter("messages_out", "Answers and events sent", ("door",)),
    _counter("bytes_in", "Bytes received", ("door",)),
    _counter("bytes_out", "Bytes handed to the transports", ("door",)),
    _gauge("output_pending_bytes", "Bytes that slow readers have not taken yet", ("door",)),
    _gauge("output_behind_bytes", "Unread output of slow readers, held against one bound"),
    _gauge("memory_bound_bytes", "Upper bound on memory for this configuration, computed at start"),
    _counter("orders_accepted", "Orders that the core accepted", ("door",)),
    _counter("refusals", "Refusals that the gateway gave, by error code", ("door", "code")),
    _counter("core_refusals", "Refusals that the core gave, by error code", ("code",)),
    _counter("fills", "Trades, counted once per side"),
    _histogram("answer_seconds", "From the bytes of a command to its first answer", ("door",)),
    _counter("failed_logons", "Logons refused; the peer never learns the cause", ("door", "cause")),
    _counter("disconnects", "Connections that ended, by coded reason", ("door", "reason")),
    _counter("fix_garbled", "Stretches of bytes skipped because they are not a FIX message"),
    _counter("fix_rejects", "Reject(3) and BusinessMessageReject(j) sent by the session layer"),
    _gauge("queue_commands", "Commands waiting for the core"),
    _gauge("queue_bytes", "Their wire bytes"),
    _gauge("queue_fill", "Fill of the queue, 0 to 1: the fuller of commands and bytes"),
    _gauge("queue_stage", "0 open, 1 pausing readers, 2 shedding orders, 3 no new connections, 4 all paused"),
    _gauge("core_unanswered", "Commands handed to the core and not yet answered"),
    _gauge("core_away", "1 while the core behind a link cannot be reached"),
    _gauge("cluster_away", "1 while the Redis where several gateways keep their sessions cannot be reached"),
    _gauge("cluster_sessions", "Sessions that this one of several gateways owns"),
    _gauge("cluster_commits_waiting", "Commits that Redis has not answered: output waits for them"),
    _gauge("cluster_waiting_bytes", "Their size: above cluster.max_waiting_bytes no client is read"),
    _counter("cluster_clients_cut", "Clients that were sent away because Redis could not be reached"),
    _gauge("cluster_clock_skew_seconds", "How far this gateway's clock is ahead of Redis', below 0 = behind"),
    _gauge("cluster_clock_error_seconds", "How far the truth may be from that: half of the way to Redis and back"),
    _counter("cluster_sessions_came", "Sessions that came to this gateway, from another one or for the first time"),
    _counter("cluster_sessions_lost", "Sessions that another gateway has taken over"),
    _gauge("core_replicas_missing", "1 while too few replicas of its Redis have what the core wrote: it is not told"),
    _gauge("core_held_entries", "Entries that the core wrote and that wait for replicas"),
    _gauge("modes", "Modes in force that bar new orders (of the venue, accounts, sessions, instruments)", ("mode",)),
    _counter("limiter_admitted", "Requests admitted by the limiter", ("bucket",)),
    _counter("limiter_refused", "Requests refused by the limiter", ("bucket",)),
    _counter("limiter_shadow_refused", "Requests that a shadow limit would have refused", ("bucket",)),
    _counter(
        "limiter_degraded", "Decisions taken without the store of limits, because it was away or failed for a bucket"
    ),
    _gauge("limit_store_away", "1 while the shared store of limits does not answer"),
    _counter("limit_store_outages", "Times the store of limits went away, by the first reason", ("reason",)),
    _counter("limit_store_timeouts", "Calls to the store of limits that took too long"),
    _counter("limit_store_calls", "Calls to the store of limits"),
    _counter("limit_store_failures", "Calls to the store of limits that failed, or whose result is unknown"),
    _gauge("limit_buckets_in_trouble", "Buckets that the store of limits cannot decide although it answers"),
    _counter(
        "limit_buckets_pulled_back",
        "Buckets whose times were far in the future because the store's clock was corrected",
    ),
    _gauge("limit_overrides", "Limits that operators have set for a time, including those that have just ended"),
    _gauge("journal_bytes", "Size of all segments of the journal"),
    _counter("journal_dropped_early", "Segments dropped to keep journal.max_bytes, of which a session had need"),
    _gauge("journal_state", "0 recording, 1 no room except for cancels, 2 failed: the process ends"),
    _gauge("journal_held_seconds", "How long the oldest answer has waited for its records to be safe"),
    _gauge("parked", "Commands whose session waits while tokens are fetched"),
    _gauge("policy_version", "Version of the limits in force"),
    _counter("policy_reload_failures", "Limits files refused while the old limits stayed in force"),
    _histogram("loop_lag_seconds", "How late the event loop ran a timer"),
    _gauge("clock_offset_seconds", "By how much the system's clock was corrected since the start"),
    _counter("clock_steps", "How often the system's clock was corrected by 0.1 s or more"),
    _counter("traces_sampled", "Orders that were traced"),
    _counter("log_lines_dropped", "Log lines lost because standard error was stuck"),
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

    def observe(self, ns: int, count: int = 1) -> None:
        """Count a duration, once or more often; a negative one counts as 0, one beyond 17 s as 17 s."""
        if not 0 <= ns <= _TOP_NS:
            ns = 0 if ns < 0 else _TOP_NS
        octave = (ns >> 10).bit_length()
        self.counts[(octave << 3) + (ns >> octave + 6)] += count
        self.sum_ns += ns * count

    @property
    def count(self) -> int:
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
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum_ns += other.sum_ns

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
        self._by_origin = dict.fromkeys(Origin, self.house) | {Origin.FIX: self.fix, Origin.WS: self.ws}
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

    def count_refusal(self, origin: Origin, code: int, count: int = 1) -> None:
        """Count a refusal by the gateway itself, or several alike."""
        refusals = self._by_origin[origin].refusals
        refusals[code] = refusals.get(code, 0) + count

    def count_failed_logon(self, door: str, cause: str) -> None:
        _add(self.doors[door].failed_logons, cause)

    def count_disconnect(self, door: str, reason: str) -> None:
        _add(self.admin_disconnects if door == "admin" else self.doors[door].disconnects, reason)

    def observe_answer(self, origin: Origin, ns: int) -> None:
        """Count the first answer to a command, `ns` after its bytes were received."""
        self._by_origin[origin].answer_ns.observe(ns)

    def observe_answers(self, origin: Origin, ns: int, count: int) -> None:
        """The same for `count` commands that were received and answered together."""
        self._by_origin[origin].answer_ns.observe(ns, count)

    def count_accepted(self, origin: Origin, count: int) -> None:
        """So many orders were accepted, and nothing else has happened."""
        self._by_origin[origin].orders_accepted += count

    def count_events(self, events: Sequence[AnyEvent]) -> None:
        """Count the core's events: acceptances by door, fills, rejections by code."""
        for event in events:
            if type(event) is OrderEvent:
                kind = event.exec_type
                if kind is _NEW:
                    self._by_origin[event.origin].orders_accepted += 1
                elif kind is _TRADE:
                    self.fills += 1
                elif kind is _REJECTED:
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
