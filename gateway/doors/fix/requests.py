"""Serves a FIX client's requests: commands go to the order path, and everything else is answered here."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from gateway.config import schema
from gateway.doors.services import Services
from gateway.sessions.request import RequestRun
from gateway.sessions.session import Session
from gateway.telemetry.tracing import OrderTrace
from limits.limiter import BucketView
from protocols import errors
from protocols.errors import Refusal
from protocols.fix import tags
from protocols.fix.commands import request_of
from protocols.fix.decoder import Fault
from protocols.fix.events import AppMessage
from protocols.fix.order_run import OrderRun
from protocols.fix.session.machine import FixSession
from protocols.fix.tags import MsgType
from protocols.fix.translate import LimitLine, Translator, named_in
from protocols.messages import OrdStatus, QueryOrders
from protocols.runs import NewOrders
from protocols.units import NS_PER_S

RESENT_MAX_AGE_NS = 60_000_000_000  # a PossDup D or G without a window that is older than this is not acted on
_FREE_LIMIT_QUERY_NS = NS_PER_S  # one per second is free
_ORDERS = ("D", "G")


class FixResponder(Protocol):
    """The endpoint, as requests are answered through it."""

    @property
    def machine(self) -> FixSession: ...
    @property
    def session(self) -> Session: ...
    def refuse(self, source: object, refusal: Refusal, now_ns: int) -> None: ...
    def refuse_orders(self, messages: Sequence[AppMessage], refusal: Refusal, now_ns: int) -> None: ...
    def begin_question(self, message: AppMessage) -> None: ...
    def charge_faulty(self, now_ns: int) -> None: ...
    def send(self, msg_type: str, body: str, now_ns: int) -> None: ...


class FixRequests:
    """Serves one session's application messages, each once."""

    def __init__(
        self, endpoint: FixResponder, translator: Translator, settings: schema.FixSessionRow, services: Services
    ) -> None:
        self._endpoint = endpoint
        self._machine = endpoint.machine
        self._session = endpoint.session
        self._translator = translator
        self._settings = settings
        self._services = services
        self._limits_sent_ns = 0

    def serve(self, message: AppMessage, now_ns: int) -> None:
        """Submit it to the order path, or refuse it."""
        services, session, kind = self._services, self._session, message.msg_type
        services.metrics.fix.messages_in += 1
        if kind == MsgType.LIMIT_QUERY or kind not in self._translator.served:
            self._on_aside(message, now_ns)
            return
        if tags.ACCOUNT in message.fields or kind == MsgType.ORDER_MASS_CANCEL_REQUEST:
            barred = self._bar(message)
            if barred is not None:
                services.orders.admission.decline(session, kind, message, barred, now_ns)
                return
        if kind in _ORDERS and self._is_shed(message, now_ns):
            return
        trace = self._trace_of_new(now_ns) if kind == "D" else None
        if tags.RECV_WINDOW in message.fields or self._settings.recv_window_ms:
            services.wall.ahead_ns(message.sending_time_ns, now_ns)  # may read the clock again
        t_recv = now_ns + services.wall.offset_ns
        command = self._translator.command(message, session.sender, t_recv, self._settings.recv_window_ms)
        if isinstance(command, Refusal):
            services.orders.admission.decline(session, kind, message, command, now_ns)
        elif isinstance(command, Fault):
            self._machine.reject(message.seq_num, kind, command, now_ns)
            self._endpoint.charge_faulty(now_ns)
        elif message.poss_dup and kind in _ORDERS and self._is_stale(message, now_ns):
            stale = Refusal(errors.EXPIRED_ON_ARRIVAL, "resent, and too old to act on")
            services.orders.admission.decline(session, kind, message, stale, now_ns)
        else:
            if kind == "D" and self._machine.order_reader is not None:
                self._machine.order_reader.learn(message, command)  # type: ignore[arg-type]
            elif isinstance(command, QueryOrders):
                self._endpoint.begin_question(message)
            services.orders.admission.submit(session, command, kind, message, message.size_bytes, now_ns, trace)

    def _is_shed(self, message: AppMessage, now_ns: int) -> bool:
        """Refuse a New or Replace whatever is in it, while the order path has no room for it."""
        orders = self._services.orders
        if orders.queue.is_calm or message.poss_resend:
            return False
        shed = orders.admission.why_shed(self._session, now_ns)
        if shed is not None:
            orders.admission.decline(self._session, message.msg_type, message, shed, now_ns)
        return shed is not None

    def _trace_of_new(self, now_ns: int) -> OrderTrace | None:
        tracing = self._services.tracing
        return tracing.begin(now_ns, "fix", self._session.name) if tracing.sample() else None

    def serve_run(self, run: OrderRun, now_ns: int) -> None:
        """Submit a run of plain orders, or refuse it; one after the other where something tells them apart."""
        is_shed = not self._services.orders.queue.is_calm and self._is_run_shed(run, now_ns)
        if not is_shed and not self._enters(run, now_ns):
            self._serve_each(run, now_ns)

    def _is_run_shed(self, run: OrderRun, now_ns: int) -> bool:
        """See `_is_shed`; of a queue that is not calm."""
        orders, session, count = self._services.orders, self._session, len(run.orders)
        shed = orders.admission.why_shed(session, now_ns)
        refusal = shed and orders.admission.decline_orders(session, count, shed, now_ns)
        if refusal is None:
            return False
        self._services.metrics.fix.messages_in += count
        messages = [request_of(run, index, session.client.account) for index in range(count)]
        self._endpoint.refuse_orders(messages, refusal, now_ns)
        return True

    def _serve_each(self, run: OrderRun, now_ns: int) -> None:
        services, session = self._services, self._session
        # The clock may be read anew for an order with a window; and what came after the run may have had it read.
        is_general = self._settings.recv_window_ms or run.t_recv != now_ns + services.wall.offset_ns
        for index, order in enumerate(run.orders):
            if is_general or order[1].window_ns:
                self.serve(self._machine.message_in(run, index), now_ns)
                continue
            message = request_of(run, index, session.client.account)
            services.metrics.fix.messages_in += 1
            if not self._is_shed(message, now_ns):
                trace = self._trace_of_new(now_ns)
                (command,) = NewOrders(session.sender, (order,), run.t_recv)
                services.orders.admission.submit(session, command, "D", message, message.size_bytes, now_ns, trace)

    def _enters(self, run: OrderRun, now_ns: int) -> bool:
        """Submit it as one. False: nothing has happened."""
        services, session, count = self._services, self._session, len(run.orders)
        admission, tracing = services.orders.admission, services.tracing
        if 0 < tracing.one_in <= count or run.t_recv != now_ns + services.wall.offset_ns:
            return False
        numbers_before = session.sender.order_n
        commands = NewOrders(session.sender, run.orders, run.t_recv)
        size_bytes = run.ends[-1] - run.begin
        sources = _Sources(run, session.client.account)
        request = RequestRun(commands, session, sources, size_bytes, "D", session.endpoint, now_ns, commands.counts)
        if not admission.may_enter(request, now_ns):
            session.sender.order_n = numbers_before
            return False
        services.metrics.fix.messages_in += count
        traced = tracing.sample_run(count)
        if traced is not None:
            request.traced, request.trace = traced, tracing.begin(now_ns, "fix", session.name)
            request.trace.t_limited = admission.trace_clock()
        admission.enter(request, now_ns)
        return True

    def put_off(self, message: AppMessage, now_ns: int) -> None:
        """Put off a question about an order until the inbound gap is filled, and answer it then. If the order is not
        known, answer at once that its outcome is unknown: the order may be in the gap.
        """
        named = named_in(message)
        if named is None or not any(named):
            return
        if self._services.orders.admission.charge_message(self._session, now_ns) is not None:
            return
        if self._services.orders.standing.find(self._session.client.account_id, *named) is OrdStatus.REJECTED:
            text = (
                f"it may be in what we asked for again, from MsgSeqNum {self._machine.store.next_in}: outcome unknown"
            )
            self._endpoint.refuse(message, Refusal(errors.ENGINE_TIMEOUT, text), now_ns)

    def _bar(self, message: AppMessage) -> Refusal | None:
        """Why it is not permitted, for what the command made of it would no longer show."""
        fields, session = message.fields, self._session
        if fields.get(tags.ACCOUNT, session.client.account) != session.client.account:
            # Cancels too: a request for another account must not cancel orders with the same ids in this one.
            return Refusal(errors.NOT_PERMITTED, "Account(1) is not the account of this session", field="Account(1)")
        is_everywhere = fields.get(tags.MASS_CANCEL_REQUEST_TYPE) == "7" and fields.get(tags.CANCEL_SCOPE) != "S"
        if is_everywhere and session.instruments:
            text = "this session may not trade every symbol: name one, or CancelScope(20112)=S"
            return Refusal(errors.NOT_PERMITTED, text, field="Symbol(55)")
        return None

    def _is_stale(self, message: AppMessage, now_ns: int) -> bool:
        """Whether a resent order is too old to act on: without a window of its own, or from before a loss."""
        if message.sending_time_ns < self._session.acts_from_ns:
            return True
        has_window = tags.RECV_WINDOW in message.fields or self._settings.recv_window_ms
        return not has_window and self._services.wall.ahead_ns(message.sending_time_ns, now_ns) < -RESENT_MAX_AGE_NS

    def _on_aside(self, message: AppMessage, now_ns: int) -> None:
        """A message that needs no order path: LimitQuery(XLQ), and messages that need no answer."""
        kind = message.msg_type
        if kind == MsgType.LIMIT_QUERY and kind in self._translator.served:
            self._send_limits(message, now_ns)
        elif kind == MsgType.LIMIT_QUERY:
            unserved = Fault("business", tags.BusinessRejectReason.UNSUPPORTED_MESSAGE_TYPE, 0, "not served here")
            self._machine.reject(message.seq_num, kind, unserved, now_ns)
            self._endpoint.charge_faulty(now_ns)
        elif kind == MsgType.BUSINESS_MESSAGE_REJECT:
            self._endpoint.charge_faulty(now_ns)  # never answer it: the two sides would loop
        else:
            refusal = self._services.orders.admission.charge_message(self._session, now_ns)
            if refusal is not None:
                self._endpoint.refuse(message, refusal, now_ns)

    def _send_limits(self, message: AppMessage, now_ns: int) -> None:
        """Answer with LimitResponse(XLR): free once a second, otherwise charged as a message."""
        if now_ns - self._limits_sent_ns < _FREE_LIMIT_QUERY_NS:
            refusal = self._services.orders.admission.charge_message(self._session, now_ns)
            if refusal is not None:
                self._endpoint.refuse(message, refusal, now_ns)
                return
        else:
            self._limits_sent_ns = now_ns
        lines = [limit_line(view) for view in self._services.orders.limit_notices.show(self._session, now_ns)]
        self._endpoint.send(*self._translator.limits(message.fields[tags.REQ_ID], lines), now_ns)


class _Sources(msgspec.Struct, frozen=True, eq=False):
    """The messages of a run, for when one of them is refused or has to wait."""

    run: OrderRun
    account: str

    def source(self, index: int) -> AppMessage:
        return request_of(self.run, index, self.account)

    def size_bytes(self, index: int) -> int:
        return self.run.size_bytes(index)


def limit_line(view: BucketView) -> LimitLine:
    """One bucket in FIX terms."""
    return LimitLine(view.name, view.scope, view.capacity, view.remaining, round(view.rate * 1_000))
