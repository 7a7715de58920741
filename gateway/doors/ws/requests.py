"""Serves a WebSocket client's requests: commands go to the order path, and everything else is answered here.

Each request is answered exactly once: here, or through its `Source` after the order path (`answers.py`).
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from gateway.doors.endpoint import Link
from gateway.doors.services import Services
from gateway.doors.ws.answers import PLACE, Answers, BatchAnswer, RunSources, Source
from gateway.doors.ws.logon import profile
from gateway.doors.ws.stream_writer import StreamWriter
from gateway.sessions.request import RequestRun
from gateway.sessions.session import Session
from protocols import errors
from protocols.errors import Refusal
from protocols.messages import AnyCommand, CancelOrder, NewOrder, ReplaceOrder
from protocols.units import NS_PER_MS, NS_PER_US
from protocols.ws import report, results, schema
from protocols.ws.events import Requested, UnknownMethod
from protocols.ws.order_run import PlaceRun
from protocols.ws.session import WsSession
from protocols.ws.translate import COMMANDS, command, dead_man_ms, places_of

_ORDERS = (PLACE, "order.replace")
_LEG_METHODS = {NewOrder: PLACE, CancelOrder: "order.cancel", ReplaceOrder: "order.replace"}


class WsResponder(Protocol):
    """The endpoint, as requests are answered through it."""

    services: Services
    machine: WsSession
    link: Link
    answers: Answers
    writer: StreamWriter
    session: Session | None
    streams: tuple[schema.StreamName, ...]
    heartbeat_ms: int

    @property
    def is_leaving(self) -> bool: ...
    def leave(self, logout: Requested, now_ns: int) -> None: ...
    def describe(self, now_ns: int) -> results.LogonResult: ...
    def choose_streams(self, found: Session, streams: tuple[schema.StreamName, ...]) -> None: ...
    def count_refused_message(self, refusal: Refusal, now_ns: int) -> None: ...


class WsRequests:
    """Serves one connection's requests."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: WsResponder) -> None:
        self._endpoint = endpoint

    def serve(self, asked: Requested, session: Session, now_ns: int) -> None:
        """Answer it, or submit it to the order path."""
        services = self._endpoint.services
        if self._endpoint.is_leaving:
            refusal = Refusal(errors.NOT_LOGGED_ON, "logged out")
            self._endpoint.machine.output.fail(asked.request_id, refusal, now_ns, asked.t_in_ns)
            return
        if asked.method in COMMANDS:
            self._order(asked, session, now_ns)
            return
        if asked.method == "order.cancel_after":  # a safety switch is never limited
            self._answer(asked, session, None, now_ns)
        else:
            services.orders.admission.charge_question(
                session, asked.method, partial(self._answer, asked, session), now_ns
            )

    def serve_run(self, run: PlaceRun, session: Session, now_ns: int) -> bool:
        """Submit a run of plain orders, or shed it. False: nothing has happened, each is to be served by itself."""
        endpoint, services, count = self._endpoint, self._endpoint.services, len(run.orders)
        admission, tracing, open_requests = services.orders.admission, services.tracing, endpoint.answers.open
        if not (services.orders.queue.is_calm or endpoint.is_leaving):
            shed = admission.why_shed(session, now_ns)
            if shed is not None:
                self._shed(run, shed, session, now_ns)
                return True
        if endpoint.is_leaving or 0 < tracing.one_in <= count or services.wall.utc_ns(now_ns) != run.t_in_ns:
            return False
        numbers_before = session.sender.order_n
        commands, sources = places_of(run, session.sender), RunSources(run, open_requests)
        size_bytes, asked_by, counts = run.size_bytes, session.endpoint, commands.counts
        request = RequestRun(commands, session, sources, size_bytes, PLACE, asked_by, now_ns, counts, shows_limits=True)
        if not admission.may_enter(request, now_ns):
            session.sender.order_n = numbers_before
            return False
        open_requests.add_run(sources)
        services.metrics.ws.messages_in += count
        traced = tracing.sample_run(count)
        if traced is not None:
            request.traced, request.trace = traced, tracing.begin(now_ns, "ws", session.name)
            request.trace.t_limited = admission.trace_clock()
        admission.enter(request, now_ns)
        return True

    def _shed(self, run: PlaceRun, refusal: Refusal, session: Session, now_ns: int) -> None:
        """Refuse orders for which there is no room, whatever is in them."""
        endpoint = self._endpoint
        for request_id, *_ in run.orders:
            if endpoint.session is None:
                return  # disconnected for a flood of them
            endpoint.services.metrics.ws.messages_in += 1
            source = Source(request_id, PLACE, run.t_in_ns)
            endpoint.answers.open.add(source)
            endpoint.services.orders.admission.decline(session, PLACE, source, refusal, now_ns)

    def refuse_unknown(self, asked: UnknownMethod, session: Session, now_ns: int) -> None:
        """Refuse an unknown method, charged as a message."""
        endpoint = self._endpoint
        refusal = endpoint.services.orders.admission.charge_message(session, now_ns) or asked.refusal
        blocks = endpoint.answers.limits(("msgs",), refusal, now_ns)
        endpoint.machine.output.fail(asked.request_id, refusal, now_ns, asked.t_in_ns, blocks)
        endpoint.count_refused_message(refusal, now_ns)

    def _answer(self, asked: Requested, session: Session, limited: Refusal | None, now_ns: int) -> None:
        """Answer a request that needs no core, after it was charged or limited."""
        endpoint = self._endpoint
        if endpoint.session is not session:
            return  # it logged out while tokens were fetched
        outcome: object = limited if limited is not None else OWN[asked.method](self, asked, session, now_ns)
        if isinstance(outcome, Refusal):
            blocks = endpoint.answers.limits(self._charged(asked), outcome, now_ns)
            endpoint.machine.output.fail(asked.request_id, outcome, now_ns, asked.t_in_ns, blocks)
            endpoint.count_refused_message(outcome, now_ns)
        elif outcome is not None:
            self._respond(asked, outcome, now_ns)
        endpoint.link.wake()

    def _respond(self, asked: Requested, result: object, now_ns: int) -> None:
        blocks = self._endpoint.answers.limits(self._charged(asked), result, now_ns)
        self._endpoint.machine.output.respond(asked.request_id, result, now_ns, asked.t_in_ns, blocks)

    def _charged(self, asked: Requested) -> tuple[str, ...]:
        """The buckets that are charged for a request that needs no core."""
        if asked.method == "order.cancel_after":
            return ()
        name, _ = self._endpoint.services.limiter.policy.cost(asked.method) or ("msgs", 0)
        return ("msgs",) if name == "msgs" else (name, "msgs")

    # -- orders --------------------------------------------------------------------------------------------------

    def _order(self, asked: Requested, session: Session, now_ns: int) -> None:
        services = self._endpoint.services
        is_retry = getattr(asked.params, "retry", False)
        if not services.orders.queue.is_calm and asked.method in _ORDERS and not is_retry:
            shed = services.orders.admission.why_shed(session, now_ns)
            if shed is not None:
                self._submit(shed, Source(asked.request_id, asked.method, asked.t_in_ns), session, asked, 0, now_ns)
                return
        deadline_ms = services.settings.core.order_deadline_ms
        wall, params = services.wall, asked.params
        for each in params.legs if type(params) is schema.BatchParams else (params,):
            ts = getattr(each, "ts", None)
            if ts is not None:
                wall.ahead_ns(ts * NS_PER_US, now_ns)  # in doubt the clock is read again
        t_recv = now_ns + wall.offset_ns
        made = command(asked.method, asked.params, session.sender, t_recv, services.instruments, deadline_ms)
        resp = getattr(asked.params, "resp", None) or "accepted"
        if isinstance(made, list):
            self._batch(asked, made, resp, session, now_ns)
            return
        source = Source(asked.request_id, asked.method, asked.t_in_ns, resp, is_retry=is_retry)
        self._submit(made, source, session, asked, asked.size_bytes, now_ns)

    def _batch(
        self, asked: Requested, legs: list[AnyCommand | Refusal], resp: str, session: Session, now_ns: int
    ) -> None:
        """Submit the legs in order, also after a refused one. Each takes its share of the queue's bytes."""
        batch, size_bytes = BatchAnswer(len(legs)), asked.size_bytes // len(legs)
        for index, made in enumerate(legs):
            method = PLACE if isinstance(made, Refusal) else _LEG_METHODS[type(made)]
            if self._endpoint.session is None:
                return  # disconnected for a flood of refused legs: the rest is not submitted
            source = Source(asked.request_id, method, asked.t_in_ns, resp, batch, index)
            self._submit(made, source, session, asked, size_bytes, now_ns)

    def _submit(
        self,
        made: AnyCommand | Refusal,
        source: Source,
        session: Session,
        asked: Requested,
        size_bytes: int,
        now_ns: int,
    ) -> None:
        services = self._endpoint.services
        self._endpoint.answers.open.add(source)
        if isinstance(made, Refusal):
            services.orders.admission.decline(session, source.method, source, made, now_ns)
            return
        trace = None
        if isinstance(made, NewOrder) and (
            services.tracing.sample() or services.tracing.asked_for(asked.traceparent, now_ns)
        ):
            trace = services.tracing.begin(now_ns, "ws", session.name, asked.traceparent)
        services.orders.admission.submit(session, made, source.method, source, size_bytes, now_ns, trace)

    # -- the session itself --------------------------------------------------------------------------------------

    def _logout(self, asked: Requested, session: Session, now_ns: int) -> object:
        assert isinstance(asked.params, schema.LogoutParams)
        if asked.params.cancel_orders:
            self._endpoint.services.cancel_on_disconnect.cancel_now(session, now_ns)
        self._endpoint.leave(asked, now_ns)
        return None

    def _status(self, asked: Requested, session: Session, now_ns: int) -> object:
        return self._endpoint.describe(now_ns)

    def _configure(self, asked: Requested, session: Session, now_ns: int) -> object:
        params, endpoint = asked.params, self._endpoint
        assert isinstance(params, schema.ConfigureParams)
        if params.limits is not None:
            endpoint.answers.limits_mode = params.limits
        if params.cod is not None:
            session.cancel_on_disconnect, session.cod_grace_ms = params.cod.scope, params.cod.grace_ms
            endpoint.services.cancel_on_disconnect.connected(session)  # recorded for a start after a crash
        if params.streams is not None:
            endpoint.choose_streams(session, params.streams)
        if params.heartbeat_ms is not None:
            endpoint.heartbeat_ms = params.heartbeat_ms
            endpoint.machine.set_heartbeat(params.heartbeat_ms)
        return endpoint.describe(now_ns)

    def _subscribe(self, asked: Requested, session: Session, now_ns: int) -> object:
        assert isinstance(asked.params, schema.SubscribeParams)
        old, named = self._endpoint.streams, asked.params.streams
        if asked.method == "subscribe":
            streams = tuple(dict.fromkeys((*old, *named)))
        else:
            streams = tuple(name for name in old if name not in named)
        self._endpoint.choose_streams(session, streams)
        return results.StreamsResult(self._endpoint.streams)

    def _cancel_after(self, asked: Requested, session: Session, now_ns: int) -> object:
        assert isinstance(asked.params, schema.CancelAfterParams)
        timeout_ms = dead_man_ms(asked.params)
        if isinstance(timeout_ms, Refusal):
            return timeout_ms
        if not session.may_trade:
            return Refusal(errors.NOT_PERMITTED, "this session may not trade")
        due_ns = now_ns + timeout_ms * NS_PER_MS if timeout_ms else 0
        self._endpoint.services.cancel_on_disconnect.arm_dead_man(session, due_ns)
        return results.CancelAfterResult(
            bool(due_ns), self._endpoint.machine.utc_us(due_ns) if due_ns else msgspec.UNSET
        )

    def _ping(self, asked: Requested, session: Session, now_ns: int) -> object:
        return {}

    def _time(self, asked: Requested, session: Session, now_ns: int) -> object:
        return results.TimeResult(self._endpoint.machine.utc_us(now_ns))

    # -- questions -----------------------------------------------------------------------------------------------

    def _limits(self, asked: Requested, session: Session, now_ns: int) -> object:
        return results.LimitsResult(
            profile(self._endpoint.services, session), self._endpoint.answers.all_limits(now_ns)
        )

    def _instruments(self, asked: Requested, session: Session, now_ns: int) -> object:
        rows = self._endpoint.services.instruments.by_symbol.values()
        return results.InstrumentsResult(tuple(report.instrument_row(row) for row in rows))

    def _replay(self, asked: Requested, session: Session, now_ns: int) -> object:
        params, endpoint = asked.params, self._endpoint
        assert isinstance(params, schema.ReplayParams)
        account = endpoint.services.sessions.account(session.client.account_id)
        oldest, latest = account.oldest_seq, account.latest_seq
        end = latest if params.end is None else min(params.end, latest)
        if params.epoch != endpoint.services.orders.dispatch.epoch:
            return Refusal(errors.BAD_FIELD, f"the epoch is {endpoint.services.orders.dispatch.epoch}", field="epoch")
        if not oldest <= params.begin <= end:
            text = f"events {oldest} to {latest} can be replayed" if latest else "no events can be replayed"
            return Refusal(errors.BAD_FIELD, text, field="begin")
        if not endpoint.writer.cursor.is_settled:
            return Refusal(errors.PENDING_CHANGE, "events are being sent already; request the replay after them", 100)
        self._respond(asked, results.ReplayResult(params.begin, end), now_ns)
        endpoint.writer.cursor.replay(params.begin, end)
        return None


OWN: dict[str, Callable[[WsRequests, Requested, Session, int], object]] = {
    "ping": WsRequests._ping,
    "time": WsRequests._time,
    "session.logout": WsRequests._logout,
    "session.status": WsRequests._status,
    "session.configure": WsRequests._configure,
    "order.cancel_after": WsRequests._cancel_after,
    "limits.get": WsRequests._limits,
    "instruments.list": WsRequests._instruments,
    "subscribe": WsRequests._subscribe,
    "unsubscribe": WsRequests._subscribe,
    "stream.replay": WsRequests._replay,
}
"""How each request is answered that needs no core. One table for all connections."""
