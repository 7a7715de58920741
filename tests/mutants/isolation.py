"""Mistakes by which the code of one session costs others: what it raises leaves `gateway.orders.endpoint_calls`."""

from tests.mutants.plant import Mutant, mutants

_TESTS = ("tests/gateway/orders/test_endpoint_calls.py",)


def _direct(file: str, whose: str, call: str, direct: str) -> tuple[Mutant, ...]:
    return mutants(file, _TESTS, (f"a mistake in {whose} costs other sessions, too", call, direct))


MUTANTS = (
    *mutants(
        "gateway/orders/endpoint_calls.py",
        _TESTS,
        (
            "a session whose code failed keeps its connection",
            "                endpoint.failed(args[-1])  # type: ignore[misc]\n",
            "                pass\n",
        ),
        (
            "a session whose end fails costs the others",
            "                self._report_bug(another)\n",
            "                raise\n",
        ),
        ("no bug of a session is reported", "            self._report_bug(error)\n", ""),
    ),
    *_direct(
        "gateway/orders/endpoint_calls.py",
        "a pause",
        "            self.call(session.endpoint, session.endpoint.pause_reading, now_ns)\n",
        "            session.endpoint.pause_reading(now_ns)\n",
    ),
    *_direct(
        "gateway/orders/endpoint_calls.py",
        "the end of a pause",
        "            self.call(session.endpoint, session.endpoint.resume_reading, now_ns)\n",
        "            session.endpoint.resume_reading(now_ns)\n",
    ),
    *_direct(
        "gateway/orders/dispatch.py",
        "a report",
        "                self._calls.call(endpoint, endpoint.report, event, request if session is asker else None, now_ns)\n",
        "                endpoint.report(event, request if session is asker else None, now_ns)\n",
    ),
    *_direct(
        "gateway/orders/responses.py",
        "an answer",
        "self._calls.call(endpoint, endpoint.answer, request, answer, now_ns)",
        "endpoint.answer(request, answer, now_ns)",
    ),
    *_direct(
        "gateway/orders/core_link.py",
        "a hand-over",
        "self._calls.call(endpoint, endpoint.handed_over, request, now_ns)",
        "endpoint.handed_over(request, now_ns)",
    ),
    *_direct(
        "gateway/orders/admission.py",
        "the refusal of what is no command",
        "self._calls.call(endpoint, endpoint.refuse, source, refusal, now_ns)",
        "endpoint.refuse(source, refusal, now_ns)",
    ),
    *_direct(
        "gateway/orders/admission.py",
        "the answer to a question that waited for tokens",
        "            self._calls.call(endpoint, then, refusal, now_ns)\n            return True\n",
        "            then(refusal, now_ns)\n            return True\n",
    ),
    *_direct(
        "gateway/orders/token_wait.py",
        "what it keeps of a command that waits",
        "self._calls.call(endpoint, endpoint.waits, request.source, now_ns)",
        "endpoint.waits(request.source, now_ns)",
    ),
    *_direct(
        "gateway/orders/token_wait.py",
        "what it does when a command waits no more",
        "self._calls.call(endpoint, endpoint.goes_on, request.source, now_ns)",
        "endpoint.goes_on(request.source, now_ns)",
    ),
    *_direct(
        "gateway/orders/limit_notices.py",
        "a notice of limits",
        "self._calls.call(endpoint, endpoint.limits_changed, changed, version, now_ns)",
        "endpoint.limits_changed(changed, version, now_ns)",
    ),
    *mutants(
        "gateway/orders/limit_notices.py",
        _TESTS,
        (
            "the end of a session stops a notice of limits to those after it",
            "in list(self._sessions.by_id.values()):",
            "in self._sessions.by_id.values():",
        ),
    ),
    *mutants(
        "gateway/orders/venue_state.py",
        _TESTS,
        (
            "the end of a session stops a notice of modes to those after it",
            "in list(self._sessions.by_id.values()):",
            "in self._sessions.by_id.values():",
        ),
    ),
    *_direct(
        "gateway/server.py",
        "a notice of a drain",
        "self.orders.calls.call(endpoint, endpoint.draining, limit_ns, text, now_ns)",
        "endpoint.draining(limit_ns, text, now_ns)",
    ),
    *_direct(
        "gateway/server.py",
        "a logout",
        'self.orders.calls.call(endpoint, endpoint.log_out, "the gateway is going down", now_ns)',
        'endpoint.log_out("the gateway is going down", now_ns)',
    ),
    *_direct(
        "gateway/doors/fix/acceptor.py",
        "a scheduled reset",
        "self._services.orders.calls.call(self.endpoints[key], self._reset, key, now_ns)",
        "self._reset(key, now_ns)",
    ),
    *_direct(
        "gateway/doors/fix/endpoint.py",
        "a goodbye",
        "self._services.orders.calls.call(self, self._leave, now_ns)",
        "self._leave(now_ns)",
    ),
    *_direct(
        "gateway/doors/fix/lists.py",
        "a long list",
        "sent = self._orders.calls.call(sender, sender.continue_list, left, now_ns)",
        "sent = sender.continue_list(left, now_ns)",
    ),
    *mutants(
        "gateway/doors/ws/endpoint.py",
        _TESTS,
        (
            "a connection whose machine is broken cannot be ended",
            "        with suppress(Exception):  # the machine",
            "        if True:  # the machine",
        ),
    ),
)
