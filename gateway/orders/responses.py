"""How a request is answered: once and finally, and before that perhaps with "outcome unknown". Pure."""

from collections.abc import Callable

from gateway.orders.backpressure import Backpressure
from gateway.orders.charging import Charging
from gateway.orders.endpoint_calls import EndpointCalls
from gateway.sessions.reply import answer_to
from gateway.sessions.request import Request, RequestRun, RequestState
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tracing import OrderTrace, OrderTracer
from protocols import errors
from protocols.errors import Refusal
from protocols.messages import AnyEvent, ExecType, MassCancelDone, OrderEvent, is_numbered
from protocols.runs import RunEvents


class Responses:
    """Refuses and answers requests, with what that means for their tokens, their metrics and their trace."""

    def __init__(
        self,
        charging: Charging,
        backpressure: Backpressure,
        metrics: Metrics,
        tracing: OrderTracer,
        trace_clock: Callable[[], int],
        calls: EndpointCalls,
    ) -> None:
        """trace_clock: read for sampled orders only, to tell the steps of one turn apart; decisions never use it."""
        self._charging = charging
        self._backpressure = backpressure
        self._metrics = metrics
        self._tracing = tracing
        self.trace_clock = trace_clock
        self._calls = calls

    def refuse(self, request: Request, refusal: Refusal, now_ns: int) -> None:
        """The request's final answer is no. What it paid for and did not get is returned when that was our doing.

        A mass cancel that others have joined is never refused: it waits for as long as it takes.
        """
        request.move_to(RequestState.ANSWERED)
        self._charging.leave(request)
        self.give_back(request, refusal.code, now_ns)
        self._send_refusal(request, refusal, now_ns)
        if request.trace is not None:
            request.trace.attributes = {"error_code": refusal.code}
            request.trace.t_out = self.trace_clock()
            self._tracing.record(request.trace)

    def report_unknown(self, request: Request, text: str, now_ns: int) -> None:
        """No one knows yet what became of the request: its report follows when the core has answered."""
        request.move_to(RequestState.UNKNOWN)
        self._send_refusal(request, Refusal(errors.ENGINE_TIMEOUT, text), now_ns)
        for joined in request.joined:
            self.report_unknown(joined, text, now_ns)

    def _send_refusal(self, request: Request, refusal: Refusal, now_ns: int) -> None:
        session, endpoint = request.session, request.endpoint
        self._metrics.count_refusal(session.sender.origin, refusal.code)
        if refusal.code == errors.CANCEL_RATE_LIMITED:
            self._backpressure.count_flood(session, now_ns)
        if endpoint is not None and endpoint is session.endpoint and request.source is not None:
            self._calls.call(endpoint, endpoint.refuse, request.source, refusal, now_ns)

    def give_back(self, request: Request, code: int, now_ns: int) -> None:
        """Return its tokens, when the code says that the gateway or the core kept it from being carried out."""
        if 5001 <= code <= 5006:
            self._charging.refund(request, now_ns)

    def answered(self, run: RequestRun, events: RunEvents, now_ns: int) -> None:
        """The core has answered every order of a run with these events, which are only reported."""
        if not events.all_rest:
            for event in events:
                if event.code == errors.DUPLICATE_ID and event.cmd_id:
                    self._charging.refund_one(run, event.instrument, now_ns)
        self._metrics.observe_answers(run.session.sender.origin, now_ns - run.arrived_ns, len(run.commands))
        if run.trace is not None:
            run.trace.t_core_end = self.trace_clock()

    def told(self, trace: OrderTrace) -> None:
        """The endpoint has reported the events of a run, one order of which is traced."""
        trace.t_out = self.trace_clock()
        self._tracing.record(trace)

    def answer(self, request: Request, event: AnyEvent, now_ns: int) -> None:
        """The core has answered: `event` is the last state that the command caused."""
        if request.state is RequestState.ANSWERED:
            return
        was_reported = request.state is RequestState.UNKNOWN
        request.move_to(RequestState.ANSWERED)
        session = request.session
        if not isinstance(event, OrderEvent):
            answer = answer_to(request, event)
        else:
            answer = event
            if event.exec_type is ExecType.ORDER_STATUS:
                self._charging.leave(request)  # a retry of a known id: no order of its own
            if event.code and event.code in (errors.DUPLICATE_ID, request.asks_with):
                self._charging.refund(request, now_ns)
        self._metrics.observe_answer(session.sender.origin, now_ns - request.arrived_ns)
        trace = request.trace
        if trace is not None:
            trace.t_core_end = self.trace_clock()
        endpoint = request.endpoint
        # After a takeover the new connection must not get the old one's answers. After "unknown" a numbered event is
        # only reported; what is never reported is answered all the same.
        is_wanted = not was_reported or isinstance(event, MassCancelDone) or not is_numbered(event)
        if endpoint is not None and endpoint is session.endpoint and request.source is not None and is_wanted:
            self._calls.call(endpoint, endpoint.answer, request, answer, now_ns)
        if trace is not None:
            trace.t_out = self.trace_clock()
            self._tracing.record(trace)
        for joined in request.joined:
            self.answer(joined, event, now_ns)
