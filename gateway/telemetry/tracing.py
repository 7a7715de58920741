"""Which orders are traced, and the times recorded on their way. The tracing library is not used here.

The choice costs one addition per order, so it is made first. A sampled order carries an `OrderTrace` of plain numbers;
`gateway.telemetry.spans` makes spans of it after the answer was sent. Pure: the order path may import it.
"""

from collections.abc import Callable
from re import compile as pattern

import msgspec

from gateway.config import schema
from protocols.units import NS_PER_S

FORCED_PER_S = 100  # traces per second that the flags of all clients together may request; more are ignored

# W3C Trace Context, 3.2: lower case only; a later version may have more after the flags.
_TRACEPARENT = pattern(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class TraceParent(msgspec.Struct, frozen=True):
    """The client's own span that an order belongs to, and whether the client records it."""

    trace_id: int
    span_id: int
    sampled: bool


class OrderTrace(msgspec.Struct):
    """When one order passed each point, in own time; 0 = it did not get there.

    t_recv: its bytes were read. t_queued: it went from the queue to the core. t_out: its answer was given.
    """

    t_recv: int
    door: str
    session: str
    t_limited: int = 0
    t_queued: int = 0
    t_core_start: int = 0
    t_core_end: int = 0
    t_out: int = 0
    parent: TraceParent | None = None
    attributes: dict[str, str | int] = {}


class OrderTracer:
    """Samples one order in `sample_one_in`, and those that a client requests; gives finished traces to `sink`."""

    def __init__(self, settings: schema.Tracing, sink: Callable[[OrderTrace], None] | None = None) -> None:
        self.one_in = settings.sample_one_in  # 0 = none
        self._left = settings.sample_one_in
        self._sink = sink
        self._forced_second = 0
        self._forced_left = 0
        self.sampled = 0

    def sample(self) -> bool:
        """Whether to trace this order."""
        if not self.one_in:
            return False
        self._left -= 1
        if self._left:
            return False
        self._left = self.one_in
        return True

    def sample_run(self, count: int) -> int | None:
        """The index of the order to trace among `count`, which are fewer than `one_in`; None = none of them.

        As `sample` would choose, asked for one after the other.
        """
        if not self.one_in:
            return None
        self._left -= count
        if self._left > 0:
            return None
        index = count - 1 + self._left
        self._left += self.one_in
        return index

    def asked_for(self, traceparent: str, now_ns: int) -> bool:
        """Whether the client's `traceparent` requests a trace: sampled, well formed, and not too often."""
        parent = parse_traceparent(traceparent) if self.one_in and traceparent else None
        if parent is None or not parent.sampled:
            return False
        second = now_ns // NS_PER_S
        if second != self._forced_second:
            self._forced_second, self._forced_left = second, FORCED_PER_S
        if not self._forced_left:
            return False
        self._forced_left -= 1
        return True

    def begin(self, t_recv: int, door: str, session: str, traceparent: str = "") -> OrderTrace:
        """The trace of one sampled order; a malformed `traceparent` counts as none."""
        return OrderTrace(t_recv, door, session, parent=parse_traceparent(traceparent) if traceparent else None)

    def record(self, trace: OrderTrace) -> None:
        """The order has its answer: count the trace and pass it on. Call it once per trace."""
        self.sampled += 1
        if self._sink is not None:
            self._sink(trace)


def parse_traceparent(text: str) -> TraceParent | None:
    """The parent in a W3C `traceparent`; None if it is malformed.

    Source: W3C Trace Context, 3.2 and 4: version ff and ids of zeros are invalid; 00 has nothing after the flags.
    """
    found = _TRACEPARENT.fullmatch(text) if len(text) <= 256 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceParent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED))
