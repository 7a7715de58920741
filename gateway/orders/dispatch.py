"""Events from the core to the sessions that may receive them. Pure."""

from collections.abc import Sequence

from gateway.core.matching import MatchingCore
from gateway.orders.charging import Charging
from gateway.orders.core_link import CoreLink
from gateway.orders.endpoint_calls import EndpointCalls
from gateway.orders.queue import OrderQueue
from gateway.orders.responses import Responses
from gateway.sessions.registry import Sessions
from gateway.sessions.request import Request, RequestRun
from gateway.sessions.session import AccountStream, Session
from gateway.telemetry.metrics import Metrics
from protocols.errors import DUPLICATE_ID
from protocols.messages import AnyEvent, EngineState, MassCancel, OrderEvent, is_numbered, session_of
from protocols.runs import HandOverEvents, RunEvents


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
        runs = self._core_link.runs
        if len(runs) == 1 and type(events) is RunEvents and events.cmd_id in runs:  # as in most turns
            self._deliver_alone(events, now_ns)
        elif runs:
            self._deliver_parts(events.parts if isinstance(events, HandOverEvents) else (events,), now_ns)
        elif events:
            self._deliver(events, now_ns)

    def _deliver_alone(self, events: RunEvents, now_ns: int) -> None:
        """Deliver the answer to the only run that is handed over, with which nothing else was."""
        [run] = self._core_link.runs.values()
        if _is_told_together(run, events):
            del self._core_link.runs[events.cmd_id]
            self._deliver_run(run, events, now_ns)
        else:
            self._core_link.await_each(run)
            self._deliver(events, now_ns)

    def _deliver_parts(self, parts: Sequence[Sequence[AnyEvent]], now_ns: int) -> None:
        """Deliver what the core answers while runs are handed over: as runs, or order by order."""
        core_link, runs = self._core_link, self._core_link.runs
        for part in parts:
            if isinstance(part, RunEvents) and part.cmd_id in runs:
                if not _is_told_together(runs[part.cmd_id], part):
                    core_link.await_each(runs[part.cmd_id])
                continue
            for event in part:
                if event.cmd_id and (run := core_link.run_of(event.cmd_id)) is not None:
                    core_link.await_each(run)
        between: list[AnyEvent] = []
        for part in parts:
            if between and isinstance(part, RunEvents) and part.cmd_id in runs:
                self._deliver(between, now_ns)
                between = []
            # Asked again: what was just told may have had someone look at single requests, which ends a run.
            if isinstance(part, RunEvents) and part.cmd_id in runs:
                self._deliver_run(runs.pop(part.cmd_id), part, now_ns)
            else:
                between += part
        if between:
            self._deliver(between, now_ns)

    def _deliver_run(self, run: RequestRun, events: RunEvents, now_ns: int) -> None:
        """All events of a run: those of its account that its session receives go to it together."""
        session = run.session
        stream = session.account
        assert stream is not None
        has_others = stream.listeners != ((session,) if session.hears_all else ())
        told: Sequence[OrderEvent] = events
        if events.all_rest:
            stream.record_all(events)
        else:
            told = self._keep(events, stream, session)
            has_others = has_others or len(told) < len(events) or any(event.session != session.id for event in told)
        self._responses.answered(run, events, now_ns)
        stream.reported_seq = told[-1].seq
        endpoint = run.endpoint
        but: Session | None = None
        if endpoint is not None and endpoint is session.endpoint:  # a new connection is only sent the events
            self._calls.call(endpoint, endpoint.report_run, run, told, now_ns)
            but = session
        if run.trace is not None:
            self._responses.told(run.trace)
        if has_others or but is None:
            self._tell_others(events, but, now_ns)
        if events.all_rest:
            self._metrics.count_accepted(session.sender.origin, len(events))
        else:
            self._metrics.count_events(events)

    def _keep(self, events: RunEvents, stream: AccountStream, session: Session) -> list[OrderEvent]:
        """Keep what the session's run has caused, and free the places of what is done; what the session receives."""
        for event in events:
            if not event.leaves_qty:
                self._charging.received(event)
            if event.account != stream.id:
                self._sessions.account(event.account).record(event)
        own = [event for event in events if event.account == stream.id]
        stream.record_all(own)
        if session.hears_all:
            return own
        return [event for event in own if event.cmd_id or event.session == session.id]

    def _tell_others(self, events: RunEvents, but: Session | None, now_ns: int) -> None:
        """A run's events to those that receive them beside `but`, which has been told: to each session in one call."""
        by_session: dict[Session, list[OrderEvent]] = {}
        for event in events:
            account = self._sessions.account(event.account)
            account.reported_seq = event.seq
            for session in account.listeners:
                by_session.setdefault(session, []).append(event)
            owner = self._sessions.by_id.get(event.session)
            if owner is not None and not owner.hears_all:
                by_session.setdefault(owner, []).append(event)
        for session, told in by_session.items():
            endpoint = session.endpoint
            if endpoint is not None and session is not but:
                self._calls.call(endpoint, endpoint.report_all, told, now_ns)

    def _deliver(self, events: Sequence[AnyEvent], now_ns: int) -> None:
        unanswered = self._core_link.unanswered
        accounts: list[AccountStream | None] = []
        last: dict[int, AnyEvent] = {}
        for event in events:
            self._charging.received(event, event.cmd_id in unanswered)
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

    def _report(self, event: AnyEvent, request: Request | None, account: AccountStream, now_ns: int) -> None:
        """To sessions that receive everything, the one that asked, and the order's own. It costs no other session."""
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
            if endpoint is not None:
                self._calls.call(endpoint, endpoint.report, event, request if session is asker else None, now_ns)

    def report_missed(self, session: Session, events: Sequence[AnyEvent], now_ns: int) -> None:
        """Events of its account that this session was not told by whoever had it before, in order."""
        endpoint = session.endpoint
        assert endpoint is not None
        for event in events:
            is_own = session.id in (event.session, session_of(event.cmd_id))  # type: ignore[union-attr]  # numbered
            if session.hears_all or is_own:
                self._calls.call(endpoint, endpoint.report, event, None, now_ns)

    def _announce(self, state: EngineState, now_ns: int) -> None:
        for session in list(self._sessions.by_id.values()):
            if session.endpoint is not None and session.connected:
                self._calls.call(session.endpoint, session.endpoint.notice, state, now_ns)


def _is_told_together(run: RequestRun, events: RunEvents) -> bool:
    """Whether these answers to a run may be told together: not those that show what others before them gave back."""
    return events.all_rest or not run.shows_limits or all(event.code != DUPLICATE_ID for event in events)
