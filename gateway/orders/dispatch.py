"""Events from the core to the sessions that may receive them. Pure."""

from collections.abc import Sequence

from gateway.core.matching import MatchingCore
from gateway.orders.charging import Charging
from gateway.orders.core_link import CoreLink
from gateway.orders.endpoint_calls import EndpointCalls
from gateway.orders.queue import OrderQueue
from gateway.orders.responses import Responses
from gateway.sessions.registry import Sessions
from gateway.sessions.reply import is_numbered
from gateway.sessions.request import Request, RequestRun
from gateway.sessions.session import AccountStream, Session
from gateway.telemetry.metrics import Metrics
from protocols.errors import DUPLICATE_ID
from protocols.messages import AnyEvent, EngineState, MassCancel, OrderEvent


class EventDispatch:
    """The core's one sink: answers requests, and reports to sessions."""

    def __init__(
        self,
        core: MatchingCore,
        queue: OrderQueue,
        core_link: CoreLink,
        charging: Charging,
        sessions: Sessions,
        responses: Responses,
        calls: EndpointCalls,
        metrics: Metrics,
    ) -> None:
        self._core = core
        self._queue = queue
        self._core_link = core_link
        self._charging = charging
        self._sessions = sessions
        self._responses = responses
        self._calls = calls
        self._metrics = metrics
        core.subscribe(self.deliver)

    @property
    def epoch(self) -> str:
        """The incarnation of the event streams."""
        return self._core.epoch

    def latest_seq(self, session: Session) -> int:
        """The number of the latest event of the session's account."""
        return self._core.latest_seq(session.client.account_id)

    def deliver(self, events: Sequence[AnyEvent], now_ns: int) -> None:
        """Send each event to the sessions that may receive it; the answer to a request goes before its events.

        A batch may hold several events of one command, such as an order and its three fills. The request is answered
        with the last of them before the first is reported.
        """
        if self._core_link.runs:
            events = self._deliver_runs(events, now_ns)
        if events:
            self._deliver(events, now_ns)

    def _deliver_runs(self, events: Sequence[AnyEvent], now_ns: int) -> Sequence[AnyEvent]:
        """Deliver all up to the last run that the core has answered as a whole; what is left of the events."""
        runs, done = self._core_link.runs, 0
        index, count = 0, len(events)
        while index < count and runs:
            run = runs.get(events[index].cmd_id)
            if run is None:
                index += 1
                continue
            end = _end_of(run, events, index)
            if not end:  # a part of it: these events find single requests, and so do those to come
                self._core_link.await_run(run, now_ns)
                continue
            if done < index:
                self._deliver(events[done:index], now_ns)
            del runs[run.commands[0].cmd_id]
            self._deliver_run(run, events[index:end], now_ns)  # type: ignore[arg-type]  # `_end_of` has looked
            index = done = end
        return events[done:] if done else events

    def _deliver_run(self, run: RequestRun, events: Sequence[OrderEvent], now_ns: int) -> None:
        """All events of a run: those of its account that its session receives go to it together."""
        session, charging = run.session, self._charging
        stream = session.account
        assert stream is not None
        account, own, everything = stream.id, session.id, session.hears_all
        told: list[OrderEvent] = []
        others = stream.listeners != ((session,) if everything else ())
        for event in events:
            if not event.leaves_qty:
                charging.received(event)
            if event.account != account:
                self._sessions.account(event.account).record(event)
                others = True
            else:
                stream.record(event)
                others = others or event.session != own
                if everything or event.cmd_id or event.session == own:
                    told.append(event)
        self._responses.answered(run, events, now_ns)
        stream.reported_seq = told[-1].seq
        endpoint = run.endpoint
        but: Session | None = None
        if endpoint is not None and endpoint is session.endpoint:  # a new connection is only sent the events
            self._calls.call(endpoint, endpoint.report_run, run, told, now_ns)
            but = session
        if run.trace is not None:
            self._responses.told(run.trace)
        if others or but is None:
            for event in events:
                self._report(event, None, self._sessions.account(event.account), now_ns, but)
        self._metrics.count_events(events)

    def _deliver(self, events: Sequence[AnyEvent], now_ns: int) -> None:
        unanswered = self._core_link.unanswered
        accounts: list[AccountStream | None] = []
        last: dict[int, AnyEvent] = {}
        for event in events:
            self._charging.received(event)
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
                self._responses.answer(request, final, now_ns)
                if event is final:
                    del unanswered[event.cmd_id]
                    if type(request.command) is MassCancel:
                        self._queue.settle(request)
            if account is not None:
                self._report(event, request, account, now_ns)
            elif isinstance(event, EngineState):
                self._announce(event, now_ns)
        self._metrics.count_events(events)

    def _report(
        self,
        event: AnyEvent,
        request: Request | None,
        account: AccountStream,
        now_ns: int,
        but: Session | None = None,
    ) -> None:
        """To sessions that receive everything, the one that asked, and the order's own. It costs no other session.

        but: it has been told.
        """
        account.reported_seq = event.seq
        asker = request.session if request is not None else None
        receivers = account.listeners
        if asker is not None and not asker.hears_all:
            receivers = (*receivers, asker)
        owner = self._sessions.by_id.get(event.session)  # type: ignore[union-attr]  # what is numbered has one
        if owner is not None and owner is not asker and not owner.hears_all:
            receivers = (*receivers, owner)
        for session in receivers:
            endpoint = session.endpoint
            if endpoint is not None and session is not but:
                self._calls.call(endpoint, endpoint.report, event, request if session is asker else None, now_ns)

    def _announce(self, state: EngineState, now_ns: int) -> None:
        for session in list(self._sessions.by_id.values()):
            if session.endpoint is not None and session.connected:
                self._calls.call(session.endpoint, session.endpoint.notice, state, now_ns)


def _end_of(run: RequestRun, events: Sequence[AnyEvent], index: int) -> int:
    """Where the run's events, which begin at `index`, end; 0 when its orders have to be answered one by one."""
    first, last = run.commands[0].cmd_id, run.commands[-1].cmd_id
    end, latest, answered = index, 0, 0
    while end < len(events) and type(event := events[end]) is OrderEvent:
        cmd_id = event.cmd_id
        if cmd_id and cmd_id != latest:
            if not first <= cmd_id <= last:
                break
            latest = cmd_id
            answered += 1
        if run.shows_limits and event.code == DUPLICATE_ID:
            return 0
        end += 1
    return end if answered == len(run.commands) else 0
