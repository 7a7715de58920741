"""Mistakes on the way of an order from its door to the core: admission, charging, token waits, queue, back-pressure,
guards, and the way its answer takes home.
"""

from tests.mutants.plant import mutants

_ROAD = (
    "tests/gateway/orders/test_bars_and_retries.py",
    "tests/gateway/orders/test_path.py",
    "tests/gateway/orders/test_overload.py",
    "tests/gateway/orders/test_token_wait.py",
    "tests/gateway/orders/test_trading_modes.py",
)
_QUEUE = ("tests/gateway/orders/test_queue.py", *_ROAD)
_GUARDS = ("tests/gateway/safety/test_cancel_on_disconnect.py", "tests/gateway/recovery/test_next_life.py", *_ROAD)
_RULES = ("tests/gateway/orders/test_rules.py", "tests/gateway/orders/test_path.py")


ADMISSION = (
    *mutants(
        "gateway/orders/admission.py",
        _ROAD,
        (
            "a retry that is barred is refused as not executed",
            "        if refusal is not None and self._may_ask(request, refusal, now_ns):\n",
            "        if False:\n",
        ),
        (
            "a retry that may only ask costs nothing",
            '        return self._charging.take(request.session, "queries", MILLI, now_ns) is None\n',
            "        return True\n",
        ),
        (
            "a retry whose first attempt is on its way is told not executed",
            "        elif self._standing.is_first_on_its_way(request.command):\n",
            "        elif False:\n",
        ),
        ("a retry asks though the queue is full", "or self._queue.stage >= Stage.FULL:", "or False:"),
        (
            "a mass cancel that is not permitted withdraws what waits for tokens",
            "        if rules.permit(request.session, command) is None:\n            for waiting",
            "        if True:\n            for waiting",
        ),
        (
            "what waits for tokens is not withdrawn by a mass cancel",
            "self._token_wait.withdraw(lambda each: in_scope(command, each), self._ask, now_ns)",
            "self._token_wait.withdraw(lambda each: False, self._ask, now_ns)",
        ),
        (
            "a session whose tokens are fetched is overtaken by its own later order",
            "            return request.session not in self._token_wait\n",
            "            return True\n",
        ),
        ("a malformed cancel costs a message", 'if charged is None or charged[0] != "cancels":', "if True:"),
        (
            "what is malformed costs no message",
            '            limited = self._charging.take(session, "msgs", MILLI, now_ns)\n',
            "            limited = None\n",
        ),
        (
            "who may not trade learns what is wrong with the order",
            "refusal = limited\n        if not session.may_trade:\n",
            "refusal = limited\n        if False:\n",
        ),
        (
            "questions pass while the queue sheds",
            "            return BUSY if queue_class is Class.QUERY and queue.stage >= Stage.SHEDDING else None\n",
            "            return None\n",
        ),
        (
            "orders pass in a drain",
            "        if has_room and not (venue.draining or venue.reopen_at_ns):\n",
            "        if has_room and not venue.reopen_at_ns:\n",
        ),
        (
            "orders pass before the venue has reopened",
            "        if has_room and not (venue.draining or venue.reopen_at_ns):\n",
            "        if has_room and not venue.draining:\n",
        ),
        (
            "orders pass though the journal has no room",
            "has_room = not is_busy and self._recording.may_accept_orders and",
            "has_room = not is_busy and",
        ),
        ("orders pass though answers wait for the disk", " and not self._recording.is_late(now_ns)\n", "\n"),
        (
            "an order that will wait too long is let in",
            "return wait_ns > self._patience_ns or 0 < deadline_ns < now_ns + wait_ns",
            "return 0 < deadline_ns < now_ns + wait_ns",
        ),
        (
            "an order whose window ends in the queue is let in",
            "return wait_ns > self._patience_ns or 0 < deadline_ns < now_ns + wait_ns",
            "return wait_ns > self._patience_ns",
        ),
        (
            "who has had its pause is let in at the first stage",
            "if stage >= Stage.SHEDDING or (stage and self._backpressure.is_past_patience(session)):",
            "if stage >= Stage.SHEDDING:",
        ),
    ),
    *mutants(
        "gateway/orders/core_link.py",
        _ROAD,
        (
            "a core that is away is told as busy",
            "        if now_ns - max(self._took_ns, self._queue.since_ns) < self._hold_ns:\n",
            "        if True:\n",
        ),
        (
            "a core that was idle is told as away",
            "now_ns - max(self._took_ns, self._queue.since_ns) < self._hold_ns",
            "now_ns - self._took_ns < self._hold_ns",
        ),
        (
            "a mode in force does not bar what waits in the queue",
            "        return self._venue.bar(request) if self._venue.modes.in_force else None\n",
            "        return None\n",
        ),
        (
            "an order is handed over when its window is over",
            "        if is_over and command.deadline and isinstance(command, rules.ORDERS):\n",
            "        if False:\n",
        ),
        (
            "a retry that only asks is told that its window is over, whatever bars it",
            "msgspec.structs.replace(command, deadline=-request.asks_with)",
            "msgspec.structs.replace(command, deadline=1)",
        ),
    ),
)

REPORTS = (
    *mutants(
        "gateway/orders/core_link.py",
        _ROAD,
        (
            "an outcome that is unknown is never told",
            "            if request.state is RequestState.HANDED_OVER:\n",
            "            if False:\n",
        ),
    ),
    *mutants(
        "gateway/orders/responses.py",
        _ROAD,
        ("what was refused for our slowness is paid for", "        if 5001 <= code <= 5006:\n", "        if False:\n"),
        (
            "what was refused for the client's doing is given back",
            "        if 5001 <= code <= 5006:\n",
            "        if True:\n",
        ),
        (
            "a refused order keeps its place among the open orders",
            "        self._charging.leave(request)\n        self.give_back(request, refusal.code, now_ns)\n",
            "        self.give_back(request, refusal.code, now_ns)\n",
        ),
        (
            "the repeats of a mass cancel are not told that its outcome is unknown",
            "        for joined in request.joined:\n            self.report_unknown(joined, text, now_ns)\n",
            "",
        ),
        (
            "the repeats of a mass cancel have no answer",
            "        for joined in request.joined:\n            self.answer(joined, event, now_ns)\n",
            "",
        ),
        (
            "a new connection gets the answers of the one it took over from",
            "        if endpoint is not None and endpoint is session.endpoint and request.source is not None and is_wanted:\n",
            "        if endpoint is not None and request.source is not None and is_wanted:\n",
        ),
        (
            "a retry that was told unknown is answered before the core has spoken",
            "        was_reported = request.state is RequestState.UNKNOWN\n",
            "        was_reported = False\n",
        ),
        (
            "a duplicate id costs a token",
            "            if event.code and event.code in (errors.DUPLICATE_ID, request.asks_with):\n",
            "            if False:\n",
        ),
        (
            "a retry of a known id keeps a place among the open orders",
            "            self._charging.leave(request)  # a retry of a known id: no order of its own\n",
            "            pass\n",
        ),
    ),
)

CHARGING = mutants(
    "gateway/orders/charging.py",
    (*_ROAD, "tests/gateway/recovery/test_restore.py"),
    ("a message that waits for tokens is counted twice", "            request.is_counted = True\n", ""),
    (
        "a cancel costs a message beside the cancel's",
        "        if not (request.is_counted or kind is CancelOrder):\n",
        "        if not request.is_counted:\n",
    ),
    (
        "a message beyond the limit goes on",
        "            if refusal is not None:\n                return refusal\n            request.is_counted",
        "            request.is_counted",
    ),
    ("open orders have no ceiling", "        if kind is NewOrder and (refusal", "        if False and (refusal"),
    (
        "a refund goes to the message bucket",
        "        request.bucket, request.cost_milli, request.shadow = name, cost_milli, decision.shadow\n",
        '        request.bucket, request.cost_milli, request.shadow = "msgs", cost_milli, decision.shadow\n',
    ),
    (
        "asking for a finished order frees a place",
        "        if event.status in _DONE and kind is not _ORDER_STATUS:\n",
        "        if event.status in _DONE:\n",
    ),
    (
        "an order that fills keeps its place",
        "        if event.status in _DONE and kind is not _ORDER_STATUS:\n",
        "        if event.status is OrdStatus.CANCELED:\n",
    ),
    (
        "open orders of before a restart are not counted",
        "            self._opened(order.session, order.account, order.instrument)\n",
        "            pass\n",
    ),
    ("what never fits is told to wait", "    if decision.wait_us < 0:\n", "    if False:\n"),
)

PARKING = mutants(
    "gateway/orders/token_wait.py",
    _ROAD,
    (
        "a session is read while its tokens are fetched",
        "        self._calls.pause(session, Pause.TOKENS, now_ns)\n",
        "",
    ),
    (
        "a session is never read again after its tokens came",
        "                self._calls.resume(session, Pause.TOKENS, now_ns)\n",
        "                pass\n",
    ),
    (
        "what waits behind an order that waits goes on before it",
        "            while row and row[0].attempt(now_ns):\n",
        "            while row and (row[0].attempt(now_ns) or len(row) > 1):\n",
    ),
    (
        "what is withdrawn while its tokens are fetched goes on all the same",
        "                    gone.append(request)\n",
        "                    gone.append(request)\n                    left.append(each)\n",
    ),
    (
        "a retry that waits for its tokens is told not executed because of a mass cancel",
        "                elif is_retry(request.command):\n",
        "                elif False:\n",
    ),
    (
        "a retry that a mass cancel found waiting places an order all the same",
        "                    left.append(Parked(partial(ask, request), request))\n",
        "                    left.append(each)\n",
    ),
    (
        "what was withdrawn while its tokens are fetched is waited for by its session's numbers",
        "        for request in gone:\n            self._go_on(request, now_ns)\n",
        "",
    ),
    (
        "a question that waits is taken for a command",
        "for row in self.rows.values() for each in row if each.request is not None)",
        "for row in self.rows.values() for each in row)",
    ),
)

QUEUE = (
    *mutants(
        "gateway/orders/queue.py",
        _QUEUE,
        (
            "a cancel does not withdraw the order that waits",
            "overtaken = self._withdraw_target(command)",
            "overtaken = []",
        ),
        (
            "a cancel that withdrew a Replace goes on to the Replace's id",
            "                request.command = _aimed(command, overtaken)\n",
            "",
        ),
        (
            "a mass cancel leaves what waits",
            "                withdrawn += self._withdraw_scope(command)\n",
            "                pass\n",
        ),
        (
            "a mass cancel joins one that came before an order",
            "first is None or first.is_followed or",
            "first is None or",
        ),
        (
            "a mass cancel joins one whose outcome was told as unknown",
            " or first.is_reported:",
            ":",
        ),
        (
            "repeats that joined a waiting mass cancel are not counted",
            "        if not first.handed_ns:  # it waits, and so does this\n",
            "        if False:\n",
        ),
        (
            "repeats that joined one at the core stay counted",
            "        if not first.handed_ns:  # it waits, and so does this\n",
            "        if True:\n",
        ),
        (
            "mass cancels handed over at once are not counted",
            "                self._sweeping += sum(type(row) is Request and row.queue_class is Class.CONTROL for row in arrived)\n",
            "                pass\n",
        ),
        (
            "control uses up the window of the cancels",
            "        kept = max(CONTROL_CREDIT - self._sweeping, 0)",
            "        kept = CONTROL_CREDIT",
        ),
        (
            "a stage is left where it was entered",
            "fill < _ENTER_PERCENT[stage] - _LEAVE_POINTS",
            "fill < _ENTER_PERCENT[stage]",
        ),
        (
            "cancels expire at a core that is only slow",
            "if is_away or row.queue_class is not Class.CANCEL]",
            "]",
        ),
        (
            "a retry is withdrawn by a cancel",
            "        if is_retry(request.command):\n            request.asks_with = WITHDRAWN\n        else:\n            self._withdraw(request)\n",
            "        self._withdraw(request)\n",
        ),
        (
            "a mass cancel takes along orders of another symbol",
            'getattr(command, "instrument", 0) != cancel.instrument',
            "False",
        ),
        (
            "a disconnect takes along orders that are exempt",
            "exempt = cancel.keep_exempt and command.flags & COD_EXEMPT",
            "exempt = 0",
        ),
        (
            "a mass cancel of a session takes along the account's",
            " or (cancel.only_session and command.session != cancel.session):",
            ":",
        ),
        (
            "a cancel by OrderID(37) does not find the Replace that waits",
            "(command.cl_ord_id, command.orig_cl_ord_id, _order_name(command.order_id))",
            "(command.cl_ord_id, command.orig_cl_ord_id)",
        ),
        (
            "a mass cancel of one side takes along Replaces of the other",
            "        return not (cancel.side and command.side and command.side != cancel.side)\n",
            "        return True\n",
        ),
        (
            "a queue that ran empty at once is still full",
            "            self.stage = Stage.OPEN\n            return arrived, []\n",
            "            return arrived, []\n",
        ),
        (
            "while the core has no credit orders are let in as if nothing waited",
            "        return not (self._waiting or self.stage)\n",
            "        return not self.stage\n",
        ),
        (
            "the names of what has left stay",
            "                del self._by_id[command.account, name]\n",
            "                pass\n",
        ),
        ("joined mass cancels stay counted when theirs leaves", "1 + len(request.joined)", "1"),
    ),
    *mutants(
        "gateway/orders/lanes.py",
        _QUEUE,
        (
            "an account that sends much gets all turns",
            "                del queues[account]\n                queues[account] = queue  # to the end of the round\n",
            "                pass\n",
        ),
        ("large orders cost a turn no more than small ones", "max(request.size_bytes, _LEAST_BYTES)", "_LEAST_BYTES"),
        ("tiny orders cost nothing", "max(request.size_bytes, _LEAST_BYTES)", "request.size_bytes"),
        (
            "what was withdrawn is handed over",
            "                if not request.is_waiting:\n",
            "                if False:\n",
        ),
        (
            "withdrawn orders take memory for ever",
            "        if self._gone < _MANY or 2 * self._gone < self._size:\n",
            "        if True:\n",
        ),
        (
            "an order waits on when its window is over",
            "            return min(end_ns, request.expires_ns + 1)\n",
            "            return end_ns\n",
        ),
        (
            "an account waits for its own orders only",
            "min(len(self._queues.get(account, ())) * len(self._queues), self._size)",
            "len(self._queues.get(account, ()))",
        ),
    ),
    *mutants(
        "gateway/orders/pace.py",
        ("tests/gateway/orders/test_pace.py", "tests/gateway/orders/test_overload.py"),
        ("a silence of the core is taken for its pace", "        if passed_ns > _SILENCE_NS:\n", "        if False:\n"),
        (
            "a silence of the core is not noticed",
            "max(self._interval_ns, (now_ns - self._since_ns) // (self._taken + 1))",
            "self._interval_ns",
        ),
    ),
)

PRESSURE = (
    *mutants(
        "gateway/orders/backpressure.py",
        _ROAD,
        (
            "a session gets its pause once in its life",
            "                self._had_pause.clear()\n",
            "                pass\n",
        ),
        (
            "orders of a session are refused during its pause",
            "return session.id in self._had_pause and session.id not in self._paused",
            "return session.id in self._had_pause",
        ),
        (
            "a session is paused again and again",
            "self._queue.heavy_sessions() - self._had_pause",
            "self._queue.heavy_sessions()",
        ),
        ("the pause of the first stage never ends", "(self._paused and now_ns >= self._until_ns)", "False"),
        (
            "at the brim reading goes on",
            "            if session.connected:\n                self._pause(session, now_ns)\n",
            "            pass\n",
        ),
        ("a flood of cancels is not slowed", "            self._calls.pause(session, Pause.FLOOD, now_ns)\n", ""),
        (
            "a flood is slowed for ever",
            "                self._calls.resume(session, Pause.FLOOD, now_ns)\n",
            "                pass\n",
        ),
        (
            "cancels are counted as a flood over a session's whole life",
            "            session.flood_since_ns, session.flood_count = now_ns, 0\n",
            "            session.flood_since_ns = now_ns\n",
        ),
    ),
    *mutants(
        "gateway/sessions/session.py",
        _ROAD,
        (
            "reading goes on when one of two reasons to pause is gone",
            "        return bool(before) and not self._paused\n",
            "        return bool(before)\n",
        ),
        (
            "who comes back is read though its session is paused",
            "        if self._paused and self.endpoint is not None:\n            self.endpoint.pause_reading(now_ns)\n",
            "",
        ),
    ),
)

GUARDS = mutants(
    "gateway/safety/cancel_on_disconnect.py",
    _GUARDS,
    ("the dead-man's switch fires before the venue reopens", "max(due_ns, reopen_at_ns)", "due_ns"),
    (
        "a dead-man's switch of before waits for a clock that was put back",
        "min(self._orders.wall.own_ns(link.dead_man_ns), now_ns + _MAX_DEAD_MAN_NS)",
        "self._orders.wall.own_ns(link.dead_man_ns)",
    ),
    (
        "the dead-man's switch cancels for the whole account",
        "self._fire(session_id, Origin.DEAD_MAN, True, now_ns)",
        "self._fire(session_id, Origin.DEAD_MAN, False, now_ns)",
    ),
    (
        "cancel-on-disconnect of the account leaves its other sessions' orders",
        'scope == "session", now_ns)',
        "True, now_ns)",
    ),
    ("who is back in time is cancelled for", "        self._cod.pop(session.id, None)\n", ""),
    (
        "a drain cancels for those whom it sent away",
        "        if (self._cod or self._gone) and not (self._orders.venue.draining or self._stopped_ns):\n",
        "        if (self._cod or self._gone) and not self._stopped_ns:\n",
    ),
    (
        "the time to come back is not waited for",
        "max(session.cod_grace_ms * NS_PER_MS, back_by_ns - now_ns)",
        "0",
    ),
    (
        "a logout that leaves its orders is a disconnect",
        '        if scope != "off" and not keep_orders:\n',
        '        if scope != "off":\n',
    ),
    ("exempt orders go with the others", "            keep_exempt=True,\n", ""),
    (
        "a session that was taken out of the configuration is not cancelled for",
        "                self._fire_for_gone(session_id, account, scope, now_ns)\n",
        "                pass\n",
    ),
    (
        "a dead-man's switch that is set again runs on as well",
        "        self._dead_man.pop(session.id, None)\n        if due_ns:\n            self._dead_man[session.id] = due_ns\n",
        "        if due_ns and session.id not in self._dead_man:\n            self._dead_man[session.id] = due_ns\n",
    ),
)

RULES = mutants(
    "gateway/orders/rules.py",
    _RULES,
    (
        "a session that may only listen trades",
        "    if not session.may_trade and command.origin in _CLIENTS and not isinstance(command, QueryOrders):\n",
        "    if False:\n",
    ),
    (
        "a session trades a symbol that is not its own",
        "    if allowed and command.instrument and command.instrument not in allowed:\n",
        "    if False:\n",
    ),
    (
        "a session cancels orders of symbols that are not its own",
        "    if allowed and is_wide and command.origin in _CLIENTS:\n",
        "    if False:\n",
    ),
    (
        "an order too old on arrival goes on",
        "    if command.deadline and now_ns > command.deadline:\n",
        "    if False:\n",
    ),
    ("a Replace's price is not checked", "        priced = price != 0\n", "        priced = False\n"),
)

MUTANTS = (*ADMISSION, *REPORTS, *CHARGING, *PARKING, *QUEUE, *PRESSURE, *GUARDS, *RULES)
