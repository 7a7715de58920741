"""Mistakes at the doors: who is let in and by which key, what a refused newcomer may touch, and what is told of an order."""

from tests.mutants.plant import mutants

_LOGON = (
    "tests/gateway/doors/fix/test_logon_options.py",
    "tests/gateway/doors/fix/test_acceptor.py",
    "tests/protocols/fix",
)
_CROWDS = (
    "tests/gateway/doors/test_crowd.py",
    "tests/gateway/doors/test_descriptors.py",
    "tests/gateway/doors/test_listening.py",
    "tests/gateway/config/test_addresses.py",
    "tests/gateway/auth/test_authenticator.py",
    "tests/gateway/journal/test_disk.py",
)
_WS = (
    "tests/gateway/doors/ws/test_endpoint.py",
    "tests/gateway/doors/ws/test_stream_cursor.py",
    "tests/gateway/recovery/test_next_life.py",
)
_STRANGERS = ("tests/gateway/doors/fix/test_acceptor.py",)
_LEAVING = ("tests/gateway/doors/fix/test_leaving.py",)
_TOLD = (
    "tests/gateway/doors/fix/test_endpoint.py",
    "tests/gateway/doors/ws/test_endpoint.py",
    "tests/gateway/core",
    "tests/protocols/fix",
    "tests/protocols/ws",
)

LOGON = (
    *mutants(
        "gateway/doors/fix/endpoint.py",
        _LOGON,
        (
            "a refused newcomer takes over",
            "        if refusal is not None and self._has_begun and not self.link.is_closing:\n",
            "        if False:\n",
        ),
    ),
    *mutants(
        "protocols/fix/session/handshake.py",
        _LOGON,
        (
            "a reset that the client did not ask for is not told",
            "self._announced_reset = is_reset and not is_requested",
            "self._announced_reset = False",
        ),
        (
            "what the owner objects to is overlooked",
            "refusal = flaw or core.logon_policy.objection(message.fields)",
            "refusal = flaw",
        ),
    ),
    *mutants(
        "gateway/doors/fix/logon_options.py",
        _LOGON,
        (
            "a reset does not tell the account's latest number",
            "if begins_count or self.is_reset_unreported:",
            "if self.is_reset_unreported:",
        ),
    ),
    *mutants(
        "gateway/doors/connection.py",
        (*_LOGON, "tests/gateway/doors/test_connection.py", "tests/e2e/test_fix_scenarios.py"),
        (
            "a connection whose end was read makes its next logon a duplicate",
            "return self._has_ended or self._closing",
            "return self._closing",
        ),
    ),
    *mutants(
        "gateway/doors/fix/logon.py",
        _LOGON,
        (
            "whoever comes back pays for it",
            "if session.is_taken and self._services.sessions.charge_logon",
            "if self._services.sessions.charge_logon",
        ),
    ),
    *mutants(
        "gateway/auth/authenticator.py",
        (*_LOGON, *_CROWDS),
        (
            "the first key that fits is the only one tried",
            "for key_id in keys if len(keys) <= MAX_TRIED else ():",
            "for key_id in keys[:1]:",
        ),
    ),
)

CROWDS = (
    *mutants(
        "gateway/doors/crowd.py",
        _CROWDS,
        (
            "the oldest stranger goes, whoever's address is full",
            "next(iter(self._levels[self._top]))",
            "next(iter(self._strangers))",
        ),
        (
            "each address from which a stranger came is remembered for ever",
            "            del self._strangers[address]\n",
            "            pass\n",
        ),
        (
            "who is about to go takes a place",
            "len(self._guests) - len(self._going) < self.places",
            "len(self._guests) < self.places",
        ),
    ),
    *mutants(
        "gateway/doors/descriptors.py",
        _CROWDS,
        (
            "no descriptors are kept for the journal",
            "self._kept = OWN + kept + Crowd.SLACK * (len(doors) + 1)",
            "self._kept = 0",
        ),
    ),
    *mutants(
        "gateway/config/addresses.py",
        _CROWDS,
        ("anybody may say whose address he has", "if not is_in(client, trusted):", "if False:"),
    ),
    *mutants(
        "gateway/doors/ws/logon.py",
        _WS,
        ("a name that owns orders is forgotten", " or services.orders.charging.owns(session.id)", ""),
    ),
    *mutants(
        "gateway/doors/ws/stream_cursor.py",
        _WS,
        (
            "an event that is told again has lost whose order it was",
            'self._sessions.name_of(event.session) if not isinstance(event, EngineState) else ""',
            'getattr(self._sessions.by_id.get(getattr(event, "session", 0)), "name", "")',
        ),
    ),
    *mutants(
        "gateway/doors/ws/endpoint.py",
        _WS,
        (
            "a logon whose connection ended while it was judged takes over",
            "        if not self.machine.is_deciding:\n",
            "        if False:\n",
        ),
    ),
)

TOLD = (
    *mutants(
        "gateway/doors/fix/endpoint.py",
        _TOLD,
        (
            "a refused cancel says that the live order is rejected",
            "known = standing.find(account_id, *named) if named is not None else OrdStatus.REJECTED",
            "known = OrdStatus.REJECTED",
        ),
    ),
    *mutants(
        "protocols/fix/report.py",
        _TOLD,
        (
            "a used id is refused under the live order's number",
            "order_id = 0  # of the order that has this ClOrdID: with these terms it would overwrite that one",
            "pass",
        ),
        (
            "Account(1) is told in the first report only",
            'account = self._account if event.flags & ACCOUNT_GIVEN else ""',
            'account = ""',
        ),
    ),
    *mutants(
        "gateway/core/events.py",
        _TOLD,
        (
            "an answer does not name the id that was asked with",
            'orig_cl_ord_id=asked if asked != order.cl_ord_id else "",',
            'orig_cl_ord_id="",',
        ),
    ),
    *mutants(
        "gateway/core/engine.py",
        _TOLD,
        ("a retried replace is answered with another order's state", "(order is None or order is used_by)", "True"),
    ),
    *mutants(
        "protocols/fix/dialect.py",
        _TOLD,
        (
            "a plain session is sent reasons that stock dictionaries refuse",
            "self.is_plain and reason > _LAST_STOCK_RESTATEMENT",
            "False",
        ),
    ),
)

LEFT = (
    *mutants(
        "gateway/doors/fix/pre_logon.py",
        _STRANGERS,
        ("who has logged on by FIX stays a stranger that others crowd out", "        self._arrival.proved()\n", ""),
    ),
    *mutants(
        "gateway/doors/ws/endpoint.py",
        _WS,
        (
            "who has logged on by WebSocket stays a stranger that others crowd out",
            "        self._info.proved()\n",
            "",
        ),
    ),
    *mutants(
        "gateway/sessions/registry.py",
        _WS,
        ("of too many names the one in use is forgotten", "            names[name] = names.pop(name)\n", ""),
    ),
    *mutants(
        "gateway/doors/fix/endpoint.py",
        _LEAVING,
        (
            "a logout that leaves its orders is a disconnect, if its link breaks",
            "keep_orders=self.session.is_leaving",
            "keep_orders=False",
        ),
    ),
)

MUTANTS = (*LOGON, *CROWDS, *TOLD, *LEFT)
