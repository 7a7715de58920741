"""The link to the matching core: the queue before it, what it has and has not answered, and what waits too long. Pure.

Here is the one owner of what is in flight: a request enters `unanswered` when it is handed over, and `EventDispatch`
removes it with the last event of its command.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from gateway.config import schema
from gateway.core.matching import MatchingCore
from gateway.orders import rules
from gateway.orders.endpoint_calls import EndpointCalls
from gateway.orders.queue import OrderQueue
from gateway.orders.responses import Responses
from gateway.orders.token_wait import Parked, TokenWait
from gateway.orders.venue_state import VenueState
from gateway.sessions.request import Class, Request, RequestRun, RequestState, is_retry
from gateway.sessions.session import Session
from protocols import errors
from protocols.errors import Refusal
from protocols.messages import AnyCommand
from protocols.runs import HandOver, NewOrders
from protocols.units import NS_PER_MS
from protocols.wall import WallClock

_EXPIRE_EVERY_NS = 10_000_000
_BUSY_RETRY_MS = 20  # about the time in which a full window of a healthy core drains
BUSY = Refusal(errors.ENGINE_BUSY, "engine busy, not sent, tokens returned", _BUSY_RETRY_MS)
_EXPIRED = "its validity window ended in our queue"


class CoreLink:
    """Hands requests over as the core has credit for them."""

    def __init__(
        self,
        settings: schema.Core,
        core: MatchingCore,
        queue: OrderQueue,
        token_wait: TokenWait,
        venue: VenueState,
        responses: Responses,
        calls: EndpointCalls,
        trace_clock: Callable[[], int],
        wall: WallClock,
    ) -> None:
        """trace_clock: see `Responses`. wall: what own time, which is every now_ns, lacks to UTC."""
        self._core = core
        self._queue = queue
        self._token_wait = token_wait
        self._venue = venue
        self._responses = responses
        self._calls = calls
        self._trace_clock = trace_clock
        self._wall = wall
        self._answer_timeout_ns = settings.answer_timeout_ms * NS_PER_MS
        self._hold_ns = settings.cancel_hold_ms * NS_PER_MS
        self.unanswered: dict[int, Request] = {}  # handed over, by cmd_id
        self.runs: dict[int, RequestRun] = {}  # handed over, and not answered or told apart yet, by first cmd_id
        # The same in order of hand-over; answered ones are dropped in passing.
        self.handed: deque[Request | RequestRun] = deque()
        self._given: list[Request | RequestRun] = []  # being handed over, in order
        self._expire_at_ns = 0
        self._took_ns = 0  # when the core took something last

    # -- hand-over -----------------------------------------------------------------------------------------------

    def pump(self, now_ns: int) -> None:
        """Hand over what the core has credit for, in order, until the queue or the credit is used up."""
        while self._queue.commands and self._core.credit > 0:
            taken, withdrawn = self._queue.take(self._core.credit, now_ns)
            for gone in withdrawn:
                self.withdraw(gone, now_ns)
            parts = self._parts(taken, now_ns)
            if parts:
                self._took_ns = now_ns
                self._core.submit(parts[0] if len(parts) == 1 else HandOver(parts), now_ns)
                self._await_given()
            elif not taken and not withdrawn:
                break
        if self._queue.commands:
            for gone in self._queue.keep_waiting():
                self.withdraw(gone, now_ns)

    def _parts(self, taken: Sequence[Request | RequestRun], now_ns: int) -> list[NewOrders | list[AnyCommand]]:
        """What of it is handed over, in order: runs that stay together, and between them single commands."""
        parts: list[NewOrders | list[AnyCommand]] = []
        for each in taken:
            if isinstance(each, RequestRun) and self._may_stay_together(each, now_ns):
                self.runs[each.commands.cmd_id] = each
                each.handed_ns = now_ns
                self._given.append(each)
                parts.append(each.commands)
                continue
            for request in each.split() if isinstance(each, RequestRun) else (each,):
                command = self._hand_over(request, now_ns)
                if command is None:
                    continue
                if parts and isinstance(parts[-1], list):
                    parts[-1].append(command)
                else:
                    parts.append([command])
        return parts

    def _may_stay_together(self, run: RequestRun, now_ns: int) -> bool:
        """Whether nothing keeps any order of the run from the core; see `_why_no_more`."""
        if deadline := run.commands.first_deadline:
            left_ns = deadline - now_ns
            if left_ns < self._wall.offset_ns or left_ns < run.commands.t_recv - run.arrived_ns:
                return False
        if self._venue.modes.in_force and self._venue.bars_any(run.session, run.counts):
            return False
        if run.trace is not None:
            run.trace.t_queued = run.trace.t_core_start = self._trace_clock()
        return True

    def _await_given(self) -> None:
        """What the core did not answer at once waits, in the order of the hand-over."""
        given, self._given = self._given, []
        for each in given:
            if not self._is_answered(each):
                self.handed.append(each)

    def _is_answered(self, each: Request | RequestRun) -> bool:
        if isinstance(each, Request):
            return each.state is RequestState.ANSWERED
        if each.commands.cmd_id in self.runs:
            return False
        return all(request.state is RequestState.ANSWERED for request in each.waiting)

    def await_each(self, run: RequestRun) -> None:
        """This run is not answered as a whole: each of its orders waits for its own answer."""
        del self.runs[run.commands.cmd_id]
        run.waiting = run.split()
        for request in run.waiting:
            request.move_to(RequestState.HANDED_OVER)
            request.handed_ns = run.handed_ns
            self.unanswered[request.command.cmd_id] = request

    def run_of(self, cmd_id: int) -> RequestRun | None:
        """The run in hand that this command is of."""
        for first, run in self.runs.items():
            if first <= cmd_id < first + len(run.commands.rows):
                return run
        return None

    def requests(self) -> Iterable[Request]:
        """All that the core has not answered: whoever looks at single requests ends the runs among them."""
        for run in list(self.runs.values()):
            self.await_each(run)
        return self.unanswered.values()

    @property
    def unanswered_count(self) -> int:
        """How many commands the core has not answered."""
        return len(self.unanswered) + sum(len(run.commands.rows) for run in self.runs.values())

    def drop(self, cmd_ids: Iterable[int]) -> list[Request]:
        """Of what was handed over, these commands will never reach the core: their requests, which nobody waits for."""
        self.requests()
        gone = [self.unanswered.pop(cmd_id) for cmd_id in cmd_ids if cmd_id in self.unanswered]
        for request in gone:
            request.move_to(RequestState.ANSWERED)
        return gone

    def forget(self, session: Session, now_ns: int) -> list[Request]:
        """The session is another gateway's: what of it waits here and will not be handed over."""
        waited, withdrawn = self._queue.forget(session)
        gone = waited + self._token_wait.forget(session)
        for request in withdrawn:
            if request.session is session:
                gone.append(request)
            else:
                self.withdraw(request, now_ns)
        for request in gone:
            request.move_to(RequestState.ANSWERED)
        return gone

    def _hand_over(self, request: Request, now_ns: int) -> AnyCommand | None:
        command = request.command
        if not request.asks_with and (refusal := self._why_no_more(request, now_ns)) is not None:
            if not is_retry(command):
                self._responses.refuse(request, refusal, now_ns)
                return None
            request.asks_with = refusal.code
        if request.asks_with:
            command = request.command = msgspec.structs.replace(command, deadline=-request.asks_with)
        request.move_to(RequestState.HANDED_OVER if request.state is RequestState.QUEUED else RequestState.UNKNOWN)
        request.handed_ns = now_ns
        if request.trace is not None:
            request.trace.t_queued = request.trace.t_core_start = self._trace_clock()
        self.unanswered[command.cmd_id] = request
        self._given.append(request)
        endpoint = request.endpoint
        if endpoint is not None and endpoint is request.session.endpoint and request.source is not None:
            self._calls.call(endpoint, endpoint.handed_over, request, now_ns)
        return command

    def _why_no_more(self, request: Request, now_ns: int) -> Refusal | None:
        """Why a New or Replace that waited is not handed over: its window has ended, or a mode bars it."""
        # Judged by the clock under which it arrived and by the clock as it is now. When the clock was put back by an
        # hour, an order of before is not an hour younger; when it was put forward, the process may have stood still.
        # So a step of the clock ends at most the orders that wait at that moment, and none lives longer.
        command = request.command
        left_ns = command.deadline - now_ns
        is_over = left_ns < self._wall.offset_ns or left_ns < command.t_recv - request.arrived_ns
        if is_over and command.deadline and isinstance(command, rules.ORDERS):
            return Refusal(errors.EXPIRED_IN_QUEUE, _EXPIRED)
        return self._venue.bar(request) if self._venue.modes.in_force else None

    # -- what waits too long -------------------------------------------------------------------------------------

    def overdue(self, now_ns: int) -> Refusal:
        """The refusal of an order that waited in vain: the core is slow, or it is away."""
        if now_ns - max(self._took_ns, self._queue.since_ns) < self._hold_ns:
            return BUSY
        return Refusal(errors.ENGINE_DOWN, f"the engine took nothing for {self._hold_ns // NS_PER_MS} ms")

    def withdraw(self, request: Request, now_ns: int) -> None:
        """Refuse what a cancel has taken out of the queue."""
        text = "withdrawn: a cancel came while it waited, tokens returned"
        self._responses.refuse(request, Refusal(errors.WITHDRAWN, text), now_ns)

    def expire_when_due(self, now_ns: int) -> None:
        """Refuse what has waited too long for a core that is slow, or gives no credit at all."""
        if not self._queue.commands or now_ns < self._expire_at_ns:
            return
        self._expire_at_ns = now_ns + _EXPIRE_EVERY_NS
        overdue = self.overdue(now_ns)
        late, withdrawn = self._queue.expire(now_ns, is_away=overdue.code == errors.ENGINE_DOWN)
        for request in withdrawn:
            self.withdraw(request, now_ns)
        for request in late:
            is_over = request.queue_class is Class.ORDER and 0 < request.expires_ns < now_ns
            refusal = Refusal(errors.EXPIRED_IN_QUEUE, _EXPIRED) if is_over else overdue
            if is_retry(request.command):
                self._ask_later(request, refusal.code, now_ns)
            else:
                self._responses.refuse(request, refusal, now_ns)

    def _ask_later(self, request: Request, code: int, now_ns: int) -> None:
        """A retry waited too long. It must not hear "not executed": it waits again as a question, under a new number.

        The core drops a number that comes after a higher one, so the copy goes after all that has a lower one.
        """
        self._responses.report_unknown(request, "not handed over yet, outcome of the first attempt unknown", now_ns)
        session = request.session
        command = msgspec.structs.replace(request.command, cmd_id=session.sender.next_order_id())
        again = msgspec.structs.replace(
            request, command=command, asks_with=request.asks_with or code, state=RequestState.ASKING
        )
        if session in self._token_wait:
            self._token_wait.park(session, Parked(lambda _: self._queue.put(again)), now_ns)
        else:
            self._queue.put(again)

    def give_up(self, now_ns: int) -> None:
        """Report the outcome of requests as unknown that the core has not answered in its time."""
        handed = self.handed
        while handed and (self._is_answered(handed[0]) or handed[0].handed_ns + self._answer_timeout_ns <= now_ns):
            late = handed.popleft()
            if isinstance(late, RequestRun) and late.commands.cmd_id in self.runs:
                self.await_each(late)
            for request in late.waiting if isinstance(late, RequestRun) else (late,):
                if request.state is RequestState.HANDED_OVER:
                    waited_ms = self._answer_timeout_ns // NS_PER_MS
                    text = f"no answer from engine in {waited_ms} ms, outcome unknown"
                    self._responses.report_unknown(request, text, now_ns)

    @property
    def next_deadline_ns(self) -> int | None:
        """When an answer, or the hand-over of something that waits, is overdue."""
        handed = self.handed
        while handed and self._is_answered(handed[0]):
            handed.popleft()
        deadlines = [handed[0].handed_ns + self._answer_timeout_ns] if handed else []
        if self._queue.commands:
            deadlines.append(self._expire_at_ns)
        return min(deadlines, default=None)
