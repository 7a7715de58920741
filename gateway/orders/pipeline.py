"""The road: the one function that every order walks, from any door, and the way each report takes home.

permission -> validity -> instrument rules -> limits -> queue -> core, and back to the sessions that may hear it. Each
step either passes the order on or gives exactly one answer. Pure: no await, no socket, no clock; a tick's requests come
in through `submit`, and `pump` hands over what the core has credit for.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVarTuple

import msgspec

from gateway.config import schema
from gateway.core.matching import MatchingCore
from gateway.orders import rules
from gateway.orders.backpressure import Backpressure
from gateway.orders.charging import WAITS, Charging
from gateway.orders.limit_notices import LimitNotices
from gateway.orders.mode_notices import ModeNotices
from gateway.orders.queue import KEPT_CREDIT, OrderQueue, Stage, in_scope
from gateway.orders.standing import Standing
from gateway.orders.token_wait import Parked, TokenWait
from gateway.orders.trading_modes import Modes
from gateway.sessions.registry import AccountStream, Endpoint, Session, Sessions
from gateway.sessions.request import Class, Request, answer_to, is_numbered, is_retry
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tracing import OrderTrace, OrderTracer
from limits.limiter import MILLI, Limiter
from limits.policy import Policy
from protocols import errors
from protocols.errors import Refusal
from protocols.instruments import Instruments
from protocols.messages import (
    AnyCommand,
    AnyEvent,
    EngineState,
    ExecType,
    MassCancel,
    MassCancelDone,
    OrderEvent,
)
from protocols.units import NS_PER_MS
from protocols.wall import WallClock

_EXPIRE_EVERY_NS = 10_000_000
_BUSY_RETRY_MS = 20  # about the time in which a full window of a healthy core drains
BUSY = Refusal(errors.ENGINE_BUSY, "engine busy, not sent, tokens returned", _BUSY_RETRY_MS)
_EXPIRED = "its validity window ended in our queue"
_PUMP_AT = 200  # requests waiting at which a tick hands over at once, so that no burst of many sockets fills the queue

Told = TypeVarTuple("Told")


class Road:
    """Takes commands from the doors to the core and events from the core to the endpoints."""

    def __init__(
        self,
        settings: schema.Config,
        instruments: Instruments,
        limiter: Limiter,
        core: MatchingCore,
        sessions: Sessions,
        metrics: Metrics,
        tracing: OrderTracer,
        trace_clock: Callable[[], int],
        report_bug: Callable[[Exception], None],
        wall: WallClock,
    ) -> None:
        """trace_clock: read for sampled orders only, to tell the steps of one tick apart; decisions never use it.
        report_bug: told what an endpoint raised, whose session is ended; the others hear all there is to hear. wall:
        what own time, which is every now_ns, lacks to UTC.
        """
        self._instruments = instruments
        self._limiter = limiter
        self.charging = Charging(limiter)
        self.limit_notices = LimitNotices(limiter, sessions, self.charging)
        self._mode_notices = ModeNotices(sessions, instruments, self._tell, wall)
        self._token_wait = TokenWait()
        self._core = core
        self._sessions = sessions
        self._metrics = metrics
        self._tracing = tracing
        self._trace_clock = trace_clock
        self.wall = wall
        self._answer_timeout_ns = settings.core.answer_timeout_ms * NS_PER_MS
        self._unanswered: dict[int, Request] = {}  # handed over, by cmd_id
        self._handed: deque[Request] = deque()  # the same in order of hand-over; answered ones are dropped in passing
        self._hold_ns = settings.core.cancel_hold_ms * NS_PER_MS
        self._patience_ns = self._hold_ns * 3 // 4  # an order that will wait for longer is not let in
        self._expire_at_ns = 0
        self._took_ns = 0  # when the core took something last
        self._now_ns = 0
        self._later: list[Callable[[int], None]] = []
        self.queue = OrderQueue(settings.ingress, self._hold_ns)
        self._backpressure = Backpressure(self.queue, sessions, settings.ingress.max_wait_ms * NS_PER_MS)
        self.standing = Standing(core, self.queue, self._token_wait, self._unanswered)
        self._report_bug = report_bug
        self.draining = False
        self.may_record: Callable[[], bool] = lambda: True  # False: the journal has room for cancels only
        self.is_recording_late: Callable[[int], bool] = lambda _: False  # answers wait too long for the disk
        self.reopen_at_ns = 0  # after an unclean start: cancel only until then
        self.modes = Modes()  # by `change_modes`, but for the start
        core.subscribe(self._home)

    @property
    def policy(self) -> Policy:
        """The limits in force."""
        return self._limiter.policy

    @property
    def epoch(self) -> str:
        """The incarnation of the event streams."""
        return self._core.epoch

    def latest_seq(self, session: Session) -> int:
        """The number of the latest event of the session's account."""
        return self._core.latest_seq(session.client.account_id)

    # -- the way in ----------------------------------------------------------------------------------------------

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
        """Walk one command up to the queue. `kind` is its wire name (`D`, `order.place`), by which limits charge it.

        The answer comes through the session's endpoint: at once when it is a refusal, else when the core has spoken.
        """
        endpoint = session.endpoint
        request = Request(command, session, source, size_bytes, kind, endpoint=endpoint, trace=trace, arrived_ns=now_ns)
        has_to_wait = self._token_wait and not self._walks_past(request, now_ns)
        if has_to_wait or not self._walk(request, now_ns):
            # Its session waits: nothing it sent later goes before this.
            self._token_wait.park(session, Parked(partial(self._walk, request), request), now_ns)

    def _walk(self, request: Request, now_ns: int) -> bool:
        """Up to the queue, or to its refusal. False: its tokens have to be fetched, and nothing has become of it."""
        command = request.command
        refusal = (
            rules.permit(request.session, command)
            or rules.check(command, self._instruments, command.t_recv + now_ns - request.arrived_ns)
            or self.charging.charge(request, now_ns)
        )
        if refusal is WAITS:
            return False
        if request.trace is not None:
            request.trace.t_limited = self._trace_clock()
        if refusal is None:
            refusal = self._admit(request, now_ns)
        if refusal is not None and self._may_ask(request, refusal, now_ns):
            request.asks_with, refusal = refusal.code, None
        if refusal is not None:
            if refusal.code in rules.BARS and is_retry(command):
                self._bar(request, refusal, now_ns)
            else:
                self._refuse(request, refusal, now_ns)
            return True
        self.charging.enter(request)
        if isinstance(command, MassCancel):
            self._backpressure.note_flood(request.session, now_ns)
        queue = self.queue
        queue.put(request)
        if queue.commands >= _PUMP_AT and self._core.credit > KEPT_CREDIT:
            self.pump(now_ns)
        if queue.stage == Stage.BRIM and not self._backpressure.is_brim:
            self._backpressure.brim(now_ns)
        return True

    def _may_ask(self, request: Request, refusal: Refusal, now_ns: int) -> bool:
        """Whether a retry that may not place an order still goes to the core, which says what became of the first.

        To refuse it here would say "not executed" of an order that may be live. It costs what a question costs.
        """
        if refusal.code not in rules.BARS or not is_retry(request.command) or self.queue.stage >= Stage.FULL:
            return False
        return self.charging.take(request.session, "queries", MILLI, now_ns) is None

    def _bar(self, request: Request, refusal: Refusal, now_ns: int) -> None:
        """A retry that may neither place an order nor ask: it hears of the first attempt what we know ourselves."""
        first = self.standing.first_of(request.command)
        if first is not None:
            self._answer(request, first, now_ns)
        elif self.standing.is_first_on_its_way(request.command):
            self._give_back(request, refusal.code, now_ns)
            self._tell_unknown(request, "the first attempt is on its way to the engine, outcome unknown", now_ns)
        else:
            self._refuse(request, refusal, now_ns)

    def _ask(self, request: Request, now_ns: int) -> bool:
        """A retry that may place nothing any more: the core tells what became of the first attempt, for no tokens."""
        request.asks_with = errors.WITHDRAWN
        self.charging.enter(request)
        return self.queue.put(request)

    def _walks_past(self, request: Request, now_ns: int) -> bool:
        """While others wait for tokens: whether this may go on. A mass cancel takes along what waits of its scope."""
        command = request.command
        if not isinstance(command, MassCancel):
            return request.session not in self._token_wait
        if rules.permit(request.session, command) is None:
            for waiting in self._token_wait.withdraw(lambda each: in_scope(command, each), self._ask):
                self._withdraw(waiting, now_ns)
        return True

    def why_shed(self, session: Session, now_ns: int) -> Refusal | None:
        """Why no New or Replace of this session is taken just now, whatever is in it; None = it may be.

        Worth asking only while `queue.is_calm` is not so.
        """
        if self.draining or self.modes.in_force or not self._is_busy(session, now_ns):
            return None
        return self._overdue(now_ns)

    def _overdue(self, now_ns: int) -> Refusal:
        """What is told of an order that waits in vain: the core is slow, or it is away."""
        if now_ns - max(self._took_ns, self.queue.since_ns) < self._hold_ns:
            return BUSY
        return Refusal(errors.ENGINE_DOWN, f"the engine took nothing for {self._hold_ns // NS_PER_MS} ms")

    def _is_busy(self, session: Session, now_ns: int, deadline_ns: int = 0) -> bool:
        """Whether there is no room for another order, or it would wait in vain."""
        queue = self.queue
        stage = queue.stage
        if stage >= Stage.SHEDDING or (stage and self._backpressure.is_past_patience(session)):
            return True
        wait_ns = queue.wait_ns(session.client.account_id, now_ns)
        return wait_ns > self._patience_ns or 0 < deadline_ns < now_ns + wait_ns

    def decline(self, session: Session, kind: str, source: object, refusal: Refusal, now_ns: int) -> None:
        """Refuse what could not even become a command. Still charged as a message, and permission is asked first."""
        charged = self.policy.cost(kind)
        if charged is None or charged[0] != "cancels":
            limited = self.charging.take(session, "msgs", MILLI, now_ns)
            if limited is not None and limited is not WAITS:
                refusal = limited
        if not session.may_trade:
            refusal = Refusal(errors.NOT_PERMITTED, "this session may not trade")
        self._metrics.count_refusal(session.sender.origin, refusal.code)
        if session.endpoint is not None:
            session.endpoint.refuse(source, refusal, now_ns)

    def charge_message(self, session: Session, now_ns: int) -> Refusal | None:
        """Charge a message that is no command: None when it may go on."""
        refusal = self.charging.take(session, "msgs", MILLI, now_ns)
        if refusal is not None:
            self._metrics.count_refusal(session.sender.origin, refusal.code)
        return refusal

    def charge_question(
        self, session: Session, kind: str, then: Callable[[Refusal | None, int], None], now_ns: int
    ) -> None:
        """Charge a question that the gateway answers itself; `then` is told, once it is paid for, or why not."""
        name, cost_milli = self.policy.cost(kind) or ("msgs", MILLI)
        refusal = self.charge_message(session, now_ns)
        if refusal is not None or name == "msgs":
            then(refusal, now_ns)
            return

        def attempt(now_ns: int) -> bool:
            refusal = self.charging.take(session, name, cost_milli, now_ns)
            if refusal is WAITS:
                return False
            if refusal is not None:
                self._metrics.count_refusal(session.sender.origin, refusal.code)
            then(refusal, now_ns)
            return True

        if session in self._token_wait or not attempt(now_ns):
            self._token_wait.park(session, Parked(attempt), now_ns)

    def _admit(self, request: Request, now_ns: int) -> Refusal | None:
        """New and Replace only: cancels and questions pass while there is any room."""
        if self.modes.in_force and (barred := self._why_barred(request)) is not None:
            return barred
        is_busy = not self.queue.is_calm and self._is_busy(request.session, now_ns, request.expires_ns)
        is_calm = not is_busy and self.may_record() and not self.is_recording_late(now_ns)
        if is_calm and not (self.draining or self.reopen_at_ns):
            return None
        queue_class = request.queue_class
        if queue_class is not Class.ORDER:
            return BUSY if queue_class is Class.QUERY and self.queue.stage >= Stage.SHEDDING else None
        if self.draining:
            return Refusal(errors.DRAINING, "the gateway is draining, reconnect")
        if self.reopen_at_ns:
            text = "cancel only after a restart: others get the time to come back"
            return Refusal(errors.CANCEL_ONLY, text, max((self.reopen_at_ns - now_ns) // NS_PER_MS, 1))
        if not self.may_record():
            return Refusal(errors.CANCEL_ONLY, "cancel only: the journal has no room for new orders")
        return self._overdue(now_ns) if is_busy else BUSY

    def _why_barred(self, request: Request) -> Refusal | None:
        """What the modes in force say to a New or Replace."""
        if request.queue_class is not Class.ORDER:
            return None
        session = request.session
        return self.modes.refusal(session.client.account, session.name, request.command.instrument)

    def _refuse(self, request: Request, refusal: Refusal, now_ns: int) -> None:
        """The request's one answer is no. What it paid for and did not get is given back when that was our doing."""
        request.answered = not errors.CODES[refusal.code].unknown_outcome
        session = request.session
        if request.answered:
            self.charging.leave(request)
            self._give_back(request, refusal.code, now_ns)
        self._metrics.count_refusal(session.sender.origin, refusal.code)
        if refusal.code == errors.CANCEL_RATE_LIMITED:
            self._backpressure.note_flood(session, now_ns)
        endpoint = request.endpoint
        if endpoint is not None and endpoint is session.endpoint and request.source is not None:
            self._tell(endpoint, endpoint.refuse, request.source, refusal, now_ns)
        for joined in request.joined:
            self._refuse(joined, refusal, now_ns)
        if request.trace is not None and request.answered:
            request.trace.attributes = {"error_code": refusal.code}
            request.trace.t_out = self._trace_clock()
            self._tracing.record(request.trace)

    def _give_back(self, request: Request, code: int, now_ns: int) -> None:
        if 5001 <= code <= 5006:
            self.charging.refund(request, now_ns)

    def _ask_later(self, request: Request, code: int, now_ns: int) -> None:
        """A retry waited too long: not to be told "not executed", it goes back as a question, under a new number.

        The core drops a number that comes after a higher one, so it goes behind all that has a lower one.
        """
        self._tell_unknown(request, "not handed over yet, outcome of the first attempt unknown", now_ns)
        session = request.session
        command = msgspec.structs.replace(request.command, cmd_id=session.sender.next_order_id())
        again = msgspec.structs.replace(
            request, command=command, asks_with=request.asks_with or code, is_withdrawn=False
        )
        if session in self._token_wait:
            self._token_wait.park(session, Parked(lambda _: self.queue.put(again)), now_ns)
        else:
            self.queue.put(again)

    def _tell_unknown(self, request: Request, text: str, now_ns: int) -> None:
        request.unknown_told = True
        self._refuse(request, Refusal(errors.ENGINE_TIMEOUT, text), now_ns)

    # -- the queue and the core ----------------------------------------------------------------------------------

    def pump(self, now_ns: int) -> None:
        """Hand over what the core has credit for, in order, until the queue or the credit is used up."""
        self._now_ns = now_ns
        while self.queue.commands and self._core.credit > 0:
            taken, withdrawn = self.queue.take(self._core.credit, now_ns)
            for request in withdrawn:
                self._withdraw(request, now_ns)
            commands = [command for command in (self._hand_over(request, now_ns) for request in taken) if command]
            if commands:
                self._took_ns = now_ns
                self._core.submit(commands, now_ns)
            elif not taken and not withdrawn:
                break

    def _hand_over(self, request: Request, now_ns: int) -> AnyCommand | None:
        command = request.command
        if not request.asks_with and (refusal := self._why_no_more(request, now_ns)) is not None:
            if not is_retry(command):
                self._refuse(request, refusal, now_ns)
                return None
            request.asks_with = refusal.code
        if request.asks_with:
            command = request.command = msgspec.structs.replace(command, deadline=-request.asks_with)
        request.handed_ns = now_ns
        if request.trace is not None:
            request.trace.t_queued = request.trace.t_core_start = self._trace_clock()
        self._unanswered[command.cmd_id] = request
        self._handed.append(request)
        endpoint = request.endpoint
        if endpoint is not None and endpoint is request.session.endpoint and request.source is not None:
            self._tell(endpoint, endpoint.handed_over, request, now_ns)
        return command

    def _why_no_more(self, request: Request, now_ns: int) -> Refusal | None:
        """What came about while a New or Replace waited: its window ended, or a mode bars it."""
        # By the clock that it came under and by the one of now: one put back makes it no younger, and one put forward
        # may mean that we stood still. So a step costs those who wait at that moment at most; no order lives longer.
        command = request.command
        left_ns = command.deadline - now_ns
        is_over = left_ns < self.wall.offset_ns or left_ns < command.t_recv - request.arrived_ns
        if is_over and command.deadline and isinstance(command, rules.ORDERS):
            return Refusal(errors.EXPIRED_IN_QUEUE, _EXPIRED)
        return self._why_barred(request) if self.modes.in_force else None

    def _withdraw(self, request: Request, now_ns: int) -> None:
        text = "withdrawn: a cancel came while it waited, tokens returned"
        self._refuse(request, Refusal(errors.WITHDRAWN, text), now_ns)

    def _expire(self, now_ns: int) -> None:
        """Nobody waits for ever on a core that is slow, or gives no credit at all."""
        self._expire_at_ns = now_ns + _EXPIRE_EVERY_NS
        overdue = self._overdue(now_ns)
        late, withdrawn = self.queue.expire(now_ns, is_away=overdue.code == errors.ENGINE_DOWN)
        for request in withdrawn:
            self._withdraw(request, now_ns)
        for request in late:
            is_over = request.queue_class is Class.ORDER and 0 < request.expires_ns < now_ns
            refusal = Refusal(errors.EXPIRED_IN_QUEUE, _EXPIRED) if is_over else overdue
            if is_retry(request.command):
                self._ask_later(request, refusal.code, now_ns)
            else:
                self._refuse(request, refusal, now_ns)

    # -- the way home --------------------------------------------------------------------------------------------

    def _home(self, events: Sequence[AnyEvent], now_ns: int) -> None:
        """Send each event to the sessions that may hear it; an answer goes before the events of its request."""
        self._now_ns, unanswered = now_ns, self._unanswered
        accounts: list[AccountStream | None] = []
        last: dict[int, AnyEvent] = {}
        for event in events:
            self.charging.heard(event)
            account = self._sessions.account(event.account) if is_numbered(event) else None
            if account is not None:
                account.record(event)
            accounts.append(account)
            if event.cmd_id in unanswered:
                last[event.cmd_id] = event
        for event, account in zip(events, accounts, strict=True):
            request = unanswered.get(event.cmd_id)
            if request is not None:
                final = last[event.cmd_id]
                self._answer(request, final, now_ns)
                if event is final:
                    del unanswered[event.cmd_id]
                    if isinstance(request.command, MassCancel):
                        self.queue.settle(request)
            if account is not None:
                self._report(event, request, account, now_ns)
            elif isinstance(event, EngineState):
                self._announce(event, now_ns)
        self._metrics.count_events(events)

    def _report(self, event: AnyEvent, request: Request | None, account: AccountStream, now_ns: int) -> None:
        """To those who hear everything, who asked for it, and whose order it is: nobody else costs anything."""
        account.told_seq = event.seq
        asker = request.session if request is not None else None
        hearers = account.listeners
        if asker is not None and not asker.hears_all:
            hearers = (*hearers, asker)
        owner = self._sessions.by_id.get(event.session)  # type: ignore[union-attr]  # what is numbered has one
        if owner is not None and owner is not asker and not owner.hears_all:
            hearers = (*hearers, owner)
        for session in hearers:
            endpoint = session.endpoint
            if endpoint is not None:
                self._tell(endpoint, endpoint.report, event, request if session is asker else None, now_ns)

    def _tell(self, endpoint: Endpoint, call: Callable[[*Told], None], *args: *Told) -> None:
        """Whatever an endpoint raises is our own bug: it costs that session's connection and nobody else's event."""
        try:
            call(*args)
        except Exception as error:
            self._report_bug(error)
            endpoint.failed(self._now_ns)

    def _answer(self, request: Request, event: AnyEvent, now_ns: int) -> None:
        if request.answered:
            return
        request.answered = True
        session = request.session
        if not isinstance(event, OrderEvent):
            told = answer_to(request, event)
        else:
            told = event
            if event.exec_type is ExecType.ORDER_STATUS:
                self.charging.leave(request)  # a retry of a known id: no order of its own
            if event.code and event.code in (errors.DUPLICATE_ID, request.asks_with):
                self.charging.refund(request, now_ns)
        self._metrics.observe_answer(session.sender.origin, now_ns - request.arrived_ns)
        trace = request.trace
        if trace is not None:
            trace.t_core_end = self._trace_clock()
        endpoint = request.endpoint
        # After a takeover the new connection must not get the old one's answers. What no report tells comes late too.
        is_wanted = not request.unknown_told or isinstance(event, MassCancelDone) or not is_numbered(event)
        if endpoint is not None and endpoint is session.endpoint and request.source is not None and is_wanted:
            self._tell(endpoint, endpoint.answer, request, told, now_ns)
        if trace is not None:
            trace.t_out = self._trace_clock()
            self._tracing.record(trace)
        for joined in request.joined:
            self._answer(joined, event, now_ns)

    def _announce(self, state: EngineState, now_ns: int) -> None:
        for session in self._sessions.by_id.values():
            if session.endpoint is not None and session.connected:
                self._tell(session.endpoint, session.endpoint.notice, state, now_ns)

    @property
    def _told_modes(self) -> Modes:
        """What clients know of: the modes in force, and that the venue has not opened yet after a crash."""
        return self.modes.while_reopening() if self.reopen_at_ns else self.modes

    def change_modes(self, modes: Modes, now_ns: int) -> None:
        """Put these modes in force, for what waits in the queue too, and tell each session what changed for it."""
        before, self.modes = self._told_modes, modes
        self._mode_notices.to_all(before, self._told_modes, now_ns)

    def show_modes(self, session: Session, now_ns: int) -> None:
        """Tell a session that has just logged on what bars its orders."""
        self._mode_notices.to(session, Modes(), self._told_modes, now_ns)

    # -- time ----------------------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """What time asks for: tell outcomes that are unknown by now, resume doors, hand over what waits."""
        self._open_and_give_up(now_ns)
        self.work(now_ns)
        if self.queue.commands and now_ns >= self._expire_at_ns:
            self._expire(now_ns)

    def later(self, act: Callable[[int], None]) -> None:
        """Do this when the next tick begins, so that what it records is safe before what it says leaves."""
        self._later.append(act)

    def work(self, now_ns: int) -> None:
        """The part of `tick` that judges nobody's silence."""
        self._now_ns = now_ns
        if self._later:
            later, self._later = self._later, []
            for act in later:
                act(now_ns)
        if self._token_wait:
            self._token_wait.retry(now_ns)
        self.pump(now_ns)
        self._backpressure.tick(now_ns)

    def _open_and_give_up(self, now_ns: int) -> None:
        """Clients had their time to come back, the core had its time to answer."""
        self._now_ns = now_ns
        if self.reopen_at_ns and now_ns >= self.reopen_at_ns:
            before, self.reopen_at_ns = self._told_modes, 0
            if not self.draining:  # they were told to leave, and no order is taken
                self._mode_notices.to_all(before, self._told_modes, now_ns)
        handed = self._handed
        while handed and (handed[0].answered or handed[0].handed_ns + self._answer_timeout_ns <= now_ns):
            request = handed.popleft()
            if not request.answered and not request.unknown_told:
                waited_ms = self._answer_timeout_ns // NS_PER_MS
                self._tell_unknown(request, f"no answer from engine in {waited_ms} ms, outcome unknown", now_ns)

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` is next wanted, None when nothing waits."""
        handed = self._handed
        while handed and handed[0].answered:
            handed.popleft()
        deadlines = [self.reopen_at_ns] if self.reopen_at_ns else []
        if self._later:
            deadlines.append(self._now_ns)
        if handed:
            deadlines.append(handed[0].handed_ns + self._answer_timeout_ns)
        if self.queue.commands:
            deadlines.append(self._expire_at_ns)
        pause = self._backpressure.next_deadline_ns
        return min(deadlines if pause is None else [*deadlines, pause], default=None)

    @property
    def unanswered(self) -> int:
        """Commands handed over that the core has not answered."""
        return len(self._unanswered)

    @property
    def parked(self) -> int:
        """What waits for tokens that are being fetched."""
        return len(self._token_wait)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self._unanswered or self.queue.commands or self._token_wait)
