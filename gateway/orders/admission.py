"""Who may place what: the one decision on every command, from any door, on its way into the queue. Pure.

Each command either goes on or gets exactly one answer. The order of the questions is in `Admission._decide`.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from gateway.config import schema
from gateway.core.matching import MatchingCore
from gateway.orders import rules
from gateway.orders.backpressure import Backpressure
from gateway.orders.charging import WAITS, Charging
from gateway.orders.core_link import BUSY, CoreLink
from gateway.orders.endpoint_calls import EndpointCalls
from gateway.orders.queue import KEPT_CREDIT, OrderQueue, Stage, in_scope
from gateway.orders.responses import Responses
from gateway.orders.standing import Standing
from gateway.orders.token_wait import Parked, TokenWait
from gateway.orders.venue_state import VenueState
from gateway.sessions.request import Class, Request, RequestRun, is_retry
from gateway.sessions.session import Session
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tracing import OrderTrace
from limits.bucket import MILLI
from limits.limiter import Limiter
from protocols import errors
from protocols.errors import Refusal
from protocols.instruments import Instruments
from protocols.messages import AnyCommand, MassCancel
from protocols.units import NS_PER_MS

_PUMP_AT = 200  # requests waiting at which a turn hands over at once, so that no burst of many sockets fills the queue


class Recording(Protocol):
    """How well the journal keeps up."""

    @property
    def may_accept_orders(self) -> bool:
        """Whether it has room for more than cancels."""

    def is_late(self, now_ns: int) -> bool:
        """Whether answers wait for the disk for too long."""


class Admission:
    """Takes commands from the doors to the queue."""

    def __init__(
        self,
        settings: schema.Config,
        instruments: Instruments,
        limiter: Limiter,
        core: MatchingCore,
        recording: Recording,
        metrics: Metrics,
        queue: OrderQueue,
        charging: Charging,
        token_wait: TokenWait,
        backpressure: Backpressure,
        venue: VenueState,
        standing: Standing,
        core_link: CoreLink,
        responses: Responses,
        calls: EndpointCalls,
    ) -> None:
        self._instruments = instruments
        self._limiter = limiter
        self._core = core
        self._recording = recording
        self._metrics = metrics
        self._queue = queue
        self._charging = charging
        self._token_wait = token_wait
        self._backpressure = backpressure
        self._venue = venue
        self._standing = standing
        self._core_link = core_link
        self._responses = responses
        self._calls = calls
        self.trace_clock = responses.trace_clock
        # An order that will wait for longer is not let in: it would only be refused later, and dearer.
        self._patience_ns = settings.core.cancel_hold_ms * NS_PER_MS * 3 // 4

    def submit(
        self,
        session: Session,
        command: AnyCommand,
        kind: str,
        source: object,
        size_bytes: int,
        now_ns: int,
        trace: OrderTrace | None = None,
    ) -> None:
        """Take one command up to the queue. `kind` is its wire name (`D`, `order.place`), by which limits charge it.

        The answer comes through the session's endpoint: at once when it is a refusal, else when the core has answered.
        """
        endpoint = session.endpoint
        request = Request(command, session, source, size_bytes, kind, endpoint, now_ns, trace)
        has_to_wait = self._token_wait and not self._goes_past(request, now_ns)
        if has_to_wait or not self._admit(request, now_ns):
            # Its session waits as a whole: nothing that it sent later goes before this.
            self._token_wait.park(session, Parked(partial(self._admit, request), request), now_ns)

    def may_enter(self, run: RequestRun, now_ns: int) -> bool:
        """Whether all orders of the run are accepted alike, by the eight questions of `_decide`; then it is charged.

        False: nothing has happened, and each is to be submitted by itself.
        """
        session, queue, venue, count = run.session, self._queue, self._venue, len(run.commands.rows)
        if self._token_wait.rows and session in self._token_wait:
            return False
        is_open = session.may_trade and not (venue.draining or venue.reopen_at_ns)
        if not is_open or (session.instruments and not session.instruments.issuperset(run.counts)):
            return False
        if venue.modes.in_force and venue.bars_any(session, run.counts):
            return False
        if not queue.has_room(count, run.size_bytes):
            return False
        if not self._recording.may_accept_orders or self._recording.is_late(now_ns):
            return False
        return self._charging.charge_run(run, now_ns)

    def enter(self, run: RequestRun, now_ns: int) -> None:
        """Into the queue, right after `may_enter` said so."""
        self._charging.enter_run(run)
        self._queue.put_run(run)
        if self._queue.commands >= _PUMP_AT and self._core.credit > KEPT_CREDIT:
            self._core_link.pump(now_ns)

    def _admit(self, request: Request, now_ns: int) -> bool:
        """Into the queue, or refused. False: its tokens have to be fetched, and nothing has been decided."""
        refusal = self._decide(request, now_ns)
        if refusal is WAITS:
            return False
        if refusal is not None and self._may_ask(request, refusal, now_ns):
            request.asks_with, refusal = refusal.code, None
        if refusal is not None:
            if refusal.code in rules.BARS and is_retry(request.command):
                self._bar(request, refusal, now_ns)
            else:
                self._responses.refuse(request, refusal, now_ns)
            return True
        self._charging.enter(request)
        if isinstance(request.command, MassCancel):
            self._backpressure.count_flood(request.session, now_ns)
        queue = self._queue
        queue.put(request)
        if queue.commands >= _PUMP_AT and self._core.credit > KEPT_CREDIT:
            self._core_link.pump(now_ns)
        if queue.stage == Stage.BRIM and not self._backpressure.is_brim:
            self._backpressure.brim(now_ns)
        return True

    # -- the decision --------------------------------------------------------------------------------------------

    def _decide(self, request: Request, now_ns: int) -> Refusal | None:
        """None: it may go on. WAITS: its tokens have to be fetched, and nothing has been decided."""
        command, venue, queue = request.command, self._venue, self._queue
        refusal = (
            # 1. May this session ask for this? 1005
            rules.permit(request.session, command)
            # 2. Is its validity window open, and is it what the instrument allows? 2003 to 2010
            or rules.check(command, self._instruments, command.t_recv + now_ns - request.arrived_ns)
            # 3. Has it tokens, and a place among the open orders? 3001 to 3009
            or self._charging.charge(request, now_ns)
        )
        if request.trace is not None and refusal is not WAITS:
            request.trace.t_limited = self._responses.trace_clock()
        if refusal is not None:
            return refusal
        # From here on for New and Replace. Cancels pass while there is any room, queries until the queue sheds.
        # 4. Does a mode of the operators bar it? 4010, 4011
        if venue.modes.in_force and (barred := venue.bar(request)) is not None:
            return barred
        is_busy = not queue.is_calm and self._is_busy(request.session, now_ns, request.expires_ns)
        has_room = not is_busy and self._recording.may_accept_orders and not self._recording.is_late(now_ns)
        if has_room and not (venue.draining or venue.reopen_at_ns):
            return None
        queue_class = request.queue_class
        if queue_class is not Class.ORDER:
            return BUSY if queue_class is Class.QUERY and queue.stage >= Stage.SHEDDING else None
        # 5. Is the gateway going down? 5005
        if venue.draining:
            return Refusal(errors.DRAINING, "the gateway is draining, reconnect")
        # 6. Has it not opened yet after a crash? 4011
        if venue.reopen_at_ns:
            text = "cancel only after a restart: others get the time to come back"
            return Refusal(errors.CANCEL_ONLY, text, max(-((now_ns - venue.reopen_at_ns) // NS_PER_MS), 1))
        # 7. Has the journal no room? 4011
        if not self._recording.may_accept_orders:
            return Refusal(errors.CANCEL_ONLY, "cancel only: the journal has no room for new orders")
        # 8. Is the core or the disk too slow for one more? 5001, 5002
        return self._core_link.overdue(now_ns) if is_busy else BUSY

    def _is_busy(self, session: Session, now_ns: int, deadline_ns: int = 0) -> bool:
        """Whether there is no room for another order, or it would wait in vain."""
        queue = self._queue
        stage = queue.stage
        if stage >= Stage.SHEDDING or (stage and self._backpressure.is_past_patience(session)):
            return True
        wait_ns = queue.wait_ns(session.client.account_id, now_ns)
        return wait_ns > self._patience_ns or 0 < deadline_ns < now_ns + wait_ns

    def why_shed(self, session: Session, now_ns: int) -> Refusal | None:
        """Why no New or Replace of this session is taken just now, whatever is in it; None = it may be.

        Worth asking only while `OrderQueue.is_calm` is not so.
        """
        if self._venue.draining or self._venue.modes.in_force or not self._is_busy(session, now_ns):
            return None
        return self._core_link.overdue(now_ns)

    # -- retries -------------------------------------------------------------------------------------------------

    def _may_ask(self, request: Request, refusal: Refusal, now_ns: int) -> bool:
        """Whether a retry that may not place an order still goes to the core, which says what became of the first.

        To refuse it here would say "not executed" of an order that may be live. It costs as much as a query.
        """
        if refusal.code not in rules.BARS or not is_retry(request.command) or self._queue.stage >= Stage.FULL:
            return False
        return self._charging.take(request.session, "queries", MILLI, now_ns) is None

    def _bar(self, request: Request, refusal: Refusal, now_ns: int) -> None:
        """A retry that may neither place an order nor ask: it is answered from what the gateway itself knows."""
        first = self._standing.first_of(request.command)
        if first is not None:
            self._responses.answer(request, first, now_ns)
        elif self._standing.is_first_on_its_way(request.command):
            self._responses.give_back(request, refusal.code, now_ns)
            text = "the first attempt is on its way to the engine, outcome unknown"
            self._responses.report_unknown(request, text, now_ns)
        else:
            self._responses.refuse(request, refusal, now_ns)

    def _ask(self, request: Request, now_ns: int) -> bool:
        """A retry that may place no order any more becomes a status query to the core, for no tokens."""
        request.asks_with = errors.WITHDRAWN
        self._charging.enter(request)
        return self._queue.put(request)

    def _goes_past(self, request: Request, now_ns: int) -> bool:
        """While others wait for tokens: whether this may go on. A mass cancel takes along what waits of its scope."""
        command = request.command
        if not isinstance(command, MassCancel):
            return request.session not in self._token_wait
        if rules.permit(request.session, command) is None:
            for waiting in self._token_wait.withdraw(lambda each: in_scope(command, each), self._ask, now_ns):
                self._core_link.withdraw(waiting, now_ns)
        return True

    # -- what is no command ----------------------------------------------------------------------------------------

    def decline(self, session: Session, kind: str, source: object, refusal: Refusal, now_ns: int) -> None:
        """Refuse what could not become a command. It is charged as a message, and permission is checked first."""
        charged = self._limiter.policy.cost(kind)
        if charged is None or charged[0] != "cancels":
            limited = self._charging.take(session, "msgs", MILLI, now_ns)
            if limited is not None and limited is not WAITS:
                refusal = limited
        if not session.may_trade:
            refusal = rules.MAY_NOT_TRADE
        self._metrics.count_refusal(session.sender.origin, refusal.code)
        if (endpoint := session.endpoint) is not None:
            self._calls.call(endpoint, endpoint.refuse, source, refusal, now_ns)

    def decline_orders(self, session: Session, count: int, refusal: Refusal, now_ns: int) -> Refusal | None:
        """What so many orders of one read are refused with, as by `decline`, now charged and counted; the caller tells
        the client. None: nothing has happened, and each is to be declined by itself.
        """
        if not self._charging.take_messages(session, count, now_ns):
            return None
        if not session.may_trade:
            refusal = rules.MAY_NOT_TRADE
        self._metrics.count_refusal(session.sender.origin, refusal.code, count)
        return refusal

    def charge_message(self, session: Session, now_ns: int) -> Refusal | None:
        """Charge a message that is no command: None when it may go on."""
        return self._charge(session, "msgs", MILLI, now_ns)

    def _charge(self, session: Session, name: str, cost_milli: int, now_ns: int) -> Refusal | None:
        refusal = self._charging.take(session, name, cost_milli, now_ns)
        if refusal is not None and refusal is not WAITS:
            self._metrics.count_refusal(session.sender.origin, refusal.code)
        return refusal

    def charge_question(
        self, session: Session, kind: str, then: Callable[[Refusal | None, int], None], now_ns: int
    ) -> None:
        """Charge a question that the gateway answers itself; `then` is called once it is paid for, or with why not.

        `then` is code of the endpoint that asked, though it may be called in another session's turn.
        """
        endpoint = session.endpoint
        assert endpoint is not None
        name, cost_milli = self._limiter.policy.cost(kind) or ("msgs", MILLI)
        refusal = self.charge_message(session, now_ns)
        if refusal is not None or name == "msgs":
            self._calls.call(endpoint, then, refusal, now_ns)
            return

        def attempt(now_ns: int) -> bool:
            refusal = self._charge(session, name, cost_milli, now_ns)
            if refusal is WAITS:
                return False
            self._calls.call(endpoint, then, refusal, now_ns)
            return True

        if session in self._token_wait or not attempt(now_ns):
            self._token_wait.park(session, Parked(attempt), now_ns)
