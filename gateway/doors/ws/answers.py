"""Answers WebSocket requests, each once: at once, or when the order path has the outcome.

Each request has one `Source`, which its answer refers to and which stays open until then. The legs of a batch share one
`BatchAnswer`, which is sent with its last leg.
"""

from typing import TypeGuard

import msgspec

from gateway.doors.services import Services
from gateway.doors.ws.stream_cursor import StreamCursor
from gateway.sessions.reply import Reply
from gateway.sessions.session import Session
from limits.limiter import BucketView
from protocols.errors import CODES, DUPLICATE_ID, Refusal
from protocols.messages import AnyEvent, ExecType, OrderEvent
from protocols.ws import report, results
from protocols.ws.events import RequestKey
from protocols.ws.order_run import PlaceRun
from protocols.ws.session import WsSession

PLACE = "order.place"
_HANDED_OVER = 202
_QUERIES = frozenset({"order.status", "order.list"})
# By the bucket that refused: the buckets to show. A client whose order is refused sees what is left for cancels.
_SHOWN_WITH_REFUSAL = {"orders": ("orders", "cancels", "msgs"), "cancels": ("cancels",), "queries": ("queries", "msgs")}


class BatchAnswer:
    """The legs of one `order.batch`, in their order, as their answers come in."""

    def __init__(self, size: int) -> None:
        self._legs: list[results.LegResult | None] = [None] * size
        self._open = size
        self.buckets: tuple[str, ...] = ()  # that its legs touched
        self.keeps_back = False  # the events of its legs wait until it is answered

    @property
    def is_open(self) -> bool:
        """Whether a leg has no outcome yet."""
        return self._open > 0

    def complete(self, leg: int, outcome: object) -> results.BatchResult | None:
        """Record one leg's outcome; returns the whole result with the last one."""
        self._open -= 1
        row = report.leg_result(outcome)
        if isinstance(outcome, results.QueuedResult):
            row = msgspec.structs.replace(row, status=_HANDED_OVER)
        self._legs[leg] = row
        return None if self._open else report.batch_result([row for row in self._legs if row is not None])

    def revise(self, leg: int, outcome: object) -> bool:
        """Replace the outcome of a leg that was only handed over; False when the batch was answered before."""
        if self._open:
            self._legs[leg] = report.leg_result(outcome)
        return self._open > 0


class Source(msgspec.Struct, frozen=True, eq=False):
    """The request that an answer belongs to. resp: when the client wants the answer.

    is_retry: the answer may be the state of an existing order, which no event reports.
    """

    request_id: RequestKey
    method: str
    t_in_ns: int
    resp: str = "accepted"
    batch: BatchAnswer | None = None
    leg: int = 0
    is_retry: bool = False


class RunSources:
    """The requests of a run, as long as they are answered together; each a `Source` when it has to go its own way."""

    def __init__(self, run: PlaceRun, open_requests: "OpenRequests") -> None:
        self.run = run
        self._open = open_requests
        self._apart: list[Source] = []

    def source(self, index: int) -> Source:
        """The request of one order. From the first call on the run's requests are open one by one."""
        if not self._apart:
            self._apart = [self.make(each) for each in range(len(self.run.orders))]
            if self._open.close_run(self):
                for source in self._apart:
                    self._open.add(source)
        return self._apart[index]

    def make(self, index: int) -> Source:
        """The same, of a run that has been answered."""
        return Source(self.run.orders[index][0], PLACE, self.run.t_in_ns, self.run.resp)

    def size_bytes(self, index: int) -> int:
        """Of one message."""
        return len(self.run.messages[index])


class OpenRequests:
    """The requests of one connection that the order path has not answered yet."""

    __slots__ = ("_open", "_runs", "_unknown")

    def __init__(self) -> None:
        # Sets, as dicts, because most connections have no open request, and an empty dict takes a third of the memory.
        self._open: dict[Source, None] = {}
        self._runs: dict[RunSources, None] = {}
        self._unknown: dict[Source, None] = {}  # queries sent "outcome unknown", which is not final

    def __len__(self) -> int:
        return len(self._open) + len(self._runs)

    def add(self, source: Source) -> None:
        """The order path has it."""
        self._open[source] = None

    def add_run(self, sources: RunSources) -> None:
        """The order path has all of them."""
        self._runs[sources] = None

    def close_run(self, sources: RunSources) -> bool:
        """It is answered now, or goes on as single requests: True when its answers are still wanted."""
        if sources not in self._runs:
            return False
        del self._runs[sources]
        return True

    def close(self, source: Source, is_unknown: bool = False) -> bool:
        """It is answered now: True when the answer is still wanted, False when the client already had it.

        is_unknown: the answer is only "no answer in time". A query still gets its real answer later; the outcome of an
        order is reported by its events.
        """
        wanted = self._open if source in self._open else self._unknown
        if source not in wanted:
            return False
        del wanted[source]
        if is_unknown and (source.method in _QUERIES or source.is_retry):
            self._unknown[source] = None
        return True

    def clear(self) -> None:
        self._open.clear()
        self._runs.clear()


class Answers:
    """Writes one connection's answers, with the limits that the client wants in them."""

    __slots__ = ("_machine", "_services", "cursor", "limits_mode", "open", "session")

    def __init__(self, services: Services, machine: WsSession) -> None:
        self._services = services
        self._machine = machine
        self.open = OpenRequests()
        self.limits_mode = "near"
        self.session: Session | None = None  # whose limits are shown
        self.cursor: StreamCursor  # of the connection's stream, from the logon on

    def handed_over(self, source: Source, reply: Reply, now_ns: int) -> bool:
        """Answer `resp:"queued"` at hand-over; later only `_answer_known` may follow. Whether it was answered now."""
        if source.resp != "queued" or not self.open.close(source):
            return False
        result = results.QueuedResult(getattr(reply.command, "cl_ord_id", ""))
        self.conclude(source, result, now_ns, touched(reply))
        if source.batch is not None:
            self._keep_back(source.batch)
        return True

    def answer(self, source: Source, reply: Reply, event: AnyEvent, now_ns: int) -> None:
        """Answer with the core's outcome, unless it was answered before."""
        if self.open.close(source):
            if isinstance(event, OrderEvent) and event.code != DUPLICATE_ID:
                outcome = report.answer(source.method, event, self._services.instruments)
            else:
                outcome = self._outcome(source, reply, event)
            self.conclude(source, outcome, now_ns, touched(reply))
            if source.batch is not None:
                self._keep_back(source.batch)
        elif source.resp == "queued" and isinstance(event, OrderEvent) and event.exec_type is ExecType.ORDER_STATUS:
            self._answer_known(source, reply, event, now_ns)

    def _keep_back(self, batch: BatchAnswer) -> None:
        """The events of this leg come next; the answer of the batch goes before them."""
        if batch.is_open and not batch.keeps_back:
            batch.keeps_back = True
            self.cursor.keep_back()

    def _outcome(self, source: Source, reply: Reply, event: AnyEvent) -> object:
        """A used id is refused with the current state of its order; a queued order is pending, not unknown."""
        services = self._services
        if source.method == "order.status" and (pending := services.orders.standing.pending(reply.command, event)):
            return pending
        if isinstance(event, OrderEvent) and event.code == DUPLICATE_ID:
            first = services.orders.standing.find(event.account, event.order_id, event.cl_ord_id)
            if isinstance(first, OrderEvent):
                return report.refused(event, services.instruments.by_id[first.instrument], first)
        return report.answer(source.method, event, services.instruments)

    def _answer_known(self, source: Source, reply: Reply, event: OrderEvent, now_ns: int) -> None:
        """Answer a retry of a known id a second time, after its 202: no event will report the state of the order."""
        outcome = report.answer(source.method, event, self._services.instruments)
        if source.batch is None or not source.batch.revise(source.leg, outcome):
            alone = msgspec.structs.replace(source, resp="accepted", batch=None)
            self.conclude(alone, outcome, now_ns, touched(reply))

    def refuse(self, source: Source, refusal: Refusal, now_ns: int) -> bool:
        """Send the gateway's refusal, unless it was answered before; whether it was sent."""
        wanted = self.open.close(source, CODES[refusal.code].unknown_outcome)
        if wanted:
            self.conclude(source, refusal, now_ns, ())
        return wanted

    def conclude(self, source: Source, outcome: object, now_ns: int, buckets: tuple[str, ...]) -> None:
        """Write one answer, a result or a Refusal, or keep it until its batch is complete. buckets: those charged."""
        batch = source.batch
        if batch is not None:
            touched = _shown_with(outcome) if _is_limited(outcome) else buckets
            batch.buckets = buckets = tuple(dict.fromkeys((*batch.buckets, *touched)))
            whole = batch.complete(source.leg, outcome)
            if whole is None:
                return
            outcome = whole
            if batch.keeps_back:
                self.cursor.let_go()  # writes no event before the answer below
        self._services.metrics.ws.messages_out += 1
        machine = self._machine
        if isinstance(outcome, Refusal):
            blocks = self.limits(buckets, outcome, now_ns)
            machine.output.fail(source.request_id, outcome, now_ns, source.t_in_ns, blocks)
        elif source.resp != "none" or _is_always_sent(outcome):
            blocks = self.limits(buckets, outcome, now_ns)
            status = _HANDED_OVER if source.resp == "queued" else 200
            machine.output.respond(source.request_id, outcome, now_ns, source.t_in_ns, blocks, status)

    def limits(self, buckets: tuple[str, ...], outcome: object, now_ns: int) -> tuple[results.LimitBlock, ...] | None:
        """The blocks to show with an answer, of the buckets that its request was charged to; None when none."""
        mode, session, limiter = self.limits_mode, self.session, self._services.limiter
        if _is_limited(outcome):
            mode, buckets = "always" if mode == "near" else mode, _shown_with(outcome)
        if mode == "never" or session is None or not buckets:
            return None
        if mode == "near" and not limiter.is_low(session.path, now_ns, buckets):
            return None
        return limit_blocks(limiter.view(session.path, now_ns, buckets)) or None

    def all_limits(self, now_ns: int) -> tuple[results.LimitBlock, ...]:
        assert self.session is not None
        return limit_blocks(self._services.orders.limit_notices.look(self.session, now_ns))


def touched(reply: Reply) -> tuple[str, ...]:
    """The buckets that were charged for it, its class before `msgs`."""
    if not reply.is_counted:
        return (reply.bucket,) if reply.bucket else ()
    return (reply.bucket, "msgs") if reply.bucket else ("msgs",)


def _is_limited(outcome: object) -> TypeGuard[Refusal]:
    return isinstance(outcome, Refusal) and 3000 <= outcome.code < 4000


def _shown_with(refusal: Refusal) -> tuple[str, ...]:
    """The buckets to show with a refusal by limit: the one that refused, and those charged before it."""
    return _SHOWN_WITH_REFUSAL.get(str((refusal.data or {}).get("limit")), ("msgs",))


def _is_always_sent(outcome: object) -> bool:
    """Whether even `resp:"none"` is sent a result: legs failed, or it is a known order's state, without an event."""
    if isinstance(outcome, results.BatchResult):
        return outcome.failed > 0 or any(_is_always_sent(leg.result) for leg in outcome.legs)
    return isinstance(outcome, results.PlaceResult) and outcome.duplicate


def limit_blocks(views: list[BucketView]) -> tuple[results.LimitBlock, ...]:
    """Buckets as a client reads them."""
    return tuple(
        results.LimitBlock(
            name=view.name,
            scope=view.scope,
            remaining=view.remaining,
            capacity=view.capacity,
            rate=view.rate,
            full_in_ms=view.full_in_ms if view.rate else msgspec.UNSET,  # a gauge does not fill by itself
            degraded=view.degraded,
            mode="shadow" if view.mode == "shadow" else "",
        )
        for view in views
    )
