"""The order path: its parts, built and connected, and what each turn and each deadline asks of them. Pure.

Commands: `Admission` -> `OrderQueue` -> `CoreLink` -> core. Events: core -> `EventDispatch` -> endpoints. A turn's
requests come in through `Admission.submit`; `work` hands over what the core has credit for. No await, socket or clock.
"""

from collections.abc import Callable

from gateway.config import schema
from gateway.core.matching import MatchingCore
from gateway.orders.admission import Admission, Recording
from gateway.orders.backpressure import Backpressure
from gateway.orders.charging import Charging
from gateway.orders.core_link import CoreLink
from gateway.orders.dispatch import EventDispatch
from gateway.orders.endpoint_calls import EndpointCalls
from gateway.orders.limit_notices import LimitNotices
from gateway.orders.queue import OrderQueue, WaitRecord
from gateway.orders.responses import Responses
from gateway.orders.standing import Standing
from gateway.orders.token_wait import TokenWait
from gateway.orders.venue_state import VenueState
from gateway.sessions.registry import Sessions
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tracing import OrderTracer
from limits.limiter import Limiter
from protocols.instruments import Instruments
from protocols.units import NS_PER_MS
from protocols.wall import WallClock


class OrderPath:
    """What every order goes through, from any door."""

    def __init__(
        self,
        settings: schema.Config,
        instruments: Instruments,
        limiter: Limiter,
        core: MatchingCore,
        sessions: Sessions,
        recording: Recording,
        metrics: Metrics,
        tracing: OrderTracer,
        trace_clock: Callable[[], int],
        report_bug: Callable[[Exception], None],
        wall: WallClock,
        waiting: WaitRecord | None = None,
    ) -> None:
        """trace_clock, report_bug: see `Responses`, `EndpointCalls`. wall: what own time, each now_ns, lacks to UTC.
        waiting: see `OrderQueue`.
        """
        self.calls = calls = EndpointCalls(report_bug)
        self.queue = queue = OrderQueue(settings.ingress, settings.core.cancel_hold_ms * NS_PER_MS, waiting)
        self.charging = charging = Charging(limiter)
        self.token_wait = token_wait = TokenWait(calls)
        self._backpressure = Backpressure(queue, sessions, calls, settings.ingress.max_wait_ms * NS_PER_MS)
        responses = Responses(charging, self._backpressure, metrics, tracing, trace_clock, calls)
        self.venue = venue = VenueState(sessions, instruments, calls, wall)
        self.core_link = CoreLink(settings.core, core, queue, token_wait, venue, responses, calls, trace_clock, wall)
        self.standing = Standing(core, queue, token_wait, self.core_link.requests)
        self.dispatch = EventDispatch(core, queue, self.core_link, charging, sessions, responses, calls, metrics)
        self.limit_notices = LimitNotices(limiter, sessions, charging, calls)
        self.admission = Admission(
            settings,
            instruments,
            limiter,
            core,
            recording,
            metrics,
            queue,
            charging,
            token_wait,
            self._backpressure,
            venue,
            self.standing,
            self.core_link,
            responses,
            calls,
        )
        self.wall = wall
        self._later: list[Callable[[int], None]] = []
        self._now_ns = 0

    def later(self, act: Callable[[int], None]) -> None:
        """Do this when the next turn begins, so that what it records is safe before what it says leaves.

        What is one session's alone goes through `calls`: others wait for the next turn, too.
        """
        self._later.append(act)

    def tick(self, now_ns: int) -> None:
        """What is due now: outcomes to report as unknown, sessions to read again, requests to hand over or refuse."""
        if self.venue.reopen_at_ns:
            self.venue.open_when_due(now_ns)
        if self.core_link.handed:
            self.core_link.give_up(now_ns)
        self.work(now_ns)
        if self.queue.commands:
            self.core_link.expire_when_due(now_ns)

    def work(self, now_ns: int) -> None:
        """The part of `tick` that judges no one's silence."""
        self._now_ns = now_ns
        if self._later:
            later, self._later = self._later, []
            for act in later:
                act(now_ns)
        if self.token_wait.rows:
            self.token_wait.retry(now_ns)
        self.core_link.pump(now_ns)
        self._backpressure.tick(now_ns)

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` is next wanted, None when nothing waits."""
        link = self.core_link
        core_ns = link.next_deadline_ns if link.handed or self.queue.commands else None
        pause_ns = self._backpressure.next_deadline_ns
        if core_ns is None and pause_ns is None and not (self._later or self.venue.reopen_at_ns):
            return None  # as after most turns
        deadlines = (self._now_ns if self._later else None, self.venue.reopen_at_ns or None, core_ns, pause_ns)
        return min((due_ns for due_ns in deadlines if due_ns is not None), default=None)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self.core_link.unanswered_count or self.queue.commands or self.token_wait)
