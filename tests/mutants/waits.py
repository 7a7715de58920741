"""Mistakes in waiting: for the core, at its pace and in turns; for peers after we stood still; for a time of day."""

from tests.mutants.plant import mutants

_GUARDS = ("tests/gateway/safety/test_cancel_on_disconnect.py", "tests/gateway/doors/test_stall.py")
_STALL = ("tests/gateway/doors/test_stall.py",)
_CLOCK = ("tests/gateway/test_clock.py",)
_SCHEDULE = ("tests/gateway/config/test_schedule.py",)
_PACE = ("tests/gateway/orders/test_pace.py",)
_LANES = (
    "tests/gateway/orders/test_lanes.py",
    "tests/gateway/orders/test_queue.py",
    "tests/gateway/orders/test_overload.py",
)
_SHED = ("tests/gateway/orders/test_bars_and_retries.py",)
_STANDING = ("tests/gateway/orders/test_standing.py", "tests/gateway/orders/test_path.py")

MUTANTS = (
    *mutants(
        "gateway/safety/cancel_on_disconnect.py",
        ("tests/gateway/safety/test_cancel_on_disconnect.py",),
        (
            "a session that is not configured any more is cancelled for again and again",
            "                del self._gone[session_id]\n",
            "                pass\n",
        ),
        (
            "nobody wakes up for a session that is not configured any more",
            "            due += [due_ns + self._uncounted_ns for due_ns, _, _ in self._gone.values()]\n",
            "",
        ),
        (
            "who was connected before a crash keeps its orders",
            "                self._cod[link.session] = guard_at_ns - now_ns + self._counted(now_ns), link.scope\n",
            "                pass\n",
        ),
        (
            "who had left before a crash is cancelled for",
            'is_lost = link.connected and link.scope != "off"',
            'is_lost = link.scope != "off"',
        ),
        (
            "whom a drain sent away counts as gone for the next process",
            'if scope != "off" and self._orders.venue.draining and is_planned:',
            "if False:",
        ),
        (
            "whoever is sent away is left to a next process",
            'if scope != "off" and self._orders.venue.draining and is_planned:',
            'if scope != "off" and is_planned:',
        ),
        (
            "a disconnect is kept before it has cancelled",
            "            self._wake()\n            return  #",
            "            self._wake()\n            #",
        ),
        (
            "a logout cancels for the whole account",
            "session.sender.origin, True, now_ns)",
            "session.sender.origin, False, now_ns)",
        ),
        (
            "an unnamed session that has ended is never forgotten",
            "        self._keep(session)\n        self._forget_if_idle(session)\n\n    def cancel_now",
            "        self._keep(session)\n\n    def cancel_now",
        ),
    ),
    *mutants(
        "gateway/orders/standing.py",
        _STANDING,
        (
            "where no order is named it is told as rejected",
            "        if not (order_id or cl_ord_id):\n            return OrdStatus.PENDING_NEW\n",
            "",
        ),
        (
            "a cancel's own id leads to the order that it cancels",
            "            if command is but or not isinstance(command, NewOrder | ReplaceOrder):\n",
            "            if command is but:\n",
        ),
        (
            "an order of another account is on its way",
            "if command.account == account and command.cl_ord_id == cl_ord_id:",
            "if command.cl_ord_id == cl_ord_id:",
        ),
        (
            "whoever uses an id again is answered with the order that has it",
            "if not (is_retry(command) and isinstance(command, NewOrder | ReplaceOrder)):",
            "if not isinstance(command, NewOrder | ReplaceOrder):",
        ),
        ("what is known of an order is not told while another is on its way", "event.orders or self.find", "self.find"),
        (
            "what the gateway asked for itself is waited for",
            "each.session is session and each.source is not None and",
            "each.session is session and",
        ),
    ),
    *mutants(
        "gateway/orders/charging.py",
        ("tests/gateway/orders/test_charging.py",),
        (
            "the ceiling of open orders is shown as the room below it and what is open",
            "most - self._open.count(",
            "most + self._open.count(",
        ),
        (
            "a ceiling that is exceeded leaves less than nothing",
            "left = max(most - self._open.count(session.client.account_id), 0)",
            "left = most - self._open.count(session.client.account_id)",
        ),
        (
            "the ceiling of an instrument is told as the account's",
            'most = limit.account if scope == "account" else limit.instrument',
            "most = limit.account",
        ),
        (
            "orders are a session's own for ever",
            "self._owned[session_id] = self._owned.get(session_id, 0) + 1",
            "self._owned[session_id] = self._owned.get(session_id, 0) + 2",
        ),
    ),
    *mutants(
        "gateway/safety/cancel_on_disconnect.py",
        _GUARDS,
        (
            "a dead-man's switch of before fires when the venue opens, whenever it was set for",
            "max(due_ns, reopen_at_ns)",
            "reopen_at_ns",
        ),
        (
            "the dead-man's switch fires while what puts it off is not read",
            "            if session.connected and session.is_paused:",
            "            if False:",
        ),
    ),
    *mutants(
        "gateway/doors/stall.py",
        _STALL,
        ("after a pause peers are judged in the next turn", "(self._turns < _TURNS or self._is_behind())", "False"),
        (
            "after a pause peers are judged before what they sent is parsed",
            "(self._turns < _TURNS or self._is_behind())",
            "self._turns < _TURNS",
        ),
        ("a crowd puts off every judgement for ever", " and now_ns - self._began_ns < _MOST_NS:", ":"),
    ),
    *mutants(
        "gateway/clock.py",
        _CLOCK,
        (
            "a step of the system's clock moves every deadline",
            "            self.offset_ns += off_ns\n            self._step_ns",
            "            self._base += off_ns\n            self._step_ns",
        ),
        (
            "a pause between two clocks is taken for a step",
            "            return  # the process is being paused: try next time\n",
            "            pass\n",
        ),
    ),
    *mutants(
        "gateway/config/schedule.py",
        _SCHEDULE,
        ("a moment that comes twice is carried out twice", " + SAME_MOMENT_NS)", ")"),
    ),
    *mutants(
        "gateway/orders/pace.py",
        _PACE,
        ("one hand-over is taken for the pace of a spell", "passed_ns >= _SPELL_NS and self._taken", "self._taken"),
        (
            "a spell in which nothing was taken divides by nothing",
            "passed_ns >= _SPELL_NS and self._taken",
            "passed_ns >= _SPELL_NS",
        ),
        (
            "time in which nothing waits counts as the core's",
            "            self._interval_ns = passed_ns // self._taken\n            self.rest(now_ns)\n",
            "            self._interval_ns = passed_ns // self._taken\n",
        ),
    ),
    *mutants(
        "gateway/orders/lanes.py",
        _LANES,
        (
            "a turn that is handed over piece by piece is a longer one",
            "            if queue.credit_bytes <= 0:\n                queue.credit_bytes += _QUANTUM_BYTES\n",
            "            queue.credit_bytes += _QUANTUM_BYTES\n",
        ),
        (
            "what is withdrawn counts on among those ahead",
            "                if not request.is_waiting:\n                    self._gone -= 1\n",
            "                if not request.is_waiting:\n                    pass\n",
        ),
        (
            "a lane forgets how much lies in it",
            "                request = queue.popleft()\n                self._size -= 1\n",
            "                request = queue.popleft()\n",
        ),
        (
            "the gateway's own requests are one queue each account",
            "request.command.account if request.session.id else 0",
            "request.command.account",
        ),
        (
            "an unknown outcome is told again and again",
            "request.queue_class is not Class.CONTROL and not request.is_reported",
            "request.queue_class is not Class.CONTROL",
        ),
        (
            "a mass cancel expires in the queue",
            "request.queue_class is not Class.CONTROL and not request.is_reported",
            "not request.is_reported",
        ),
        (
            "what has left is told that it waited too long",
            "        slot.pop(id(request), None)\n",
            "        pass\n",
        ),
        (
            "an order with a long window waits until that ends",
            "min(end_ns, request.expires_ns + 1)",
            "request.expires_ns + 1",
        ),
        ("a window's end is the moment before", "request.expires_ns + 1)", "request.expires_ns)"),
    ),
    *mutants(
        "gateway/orders/admission.py",
        _SHED,
        (
            "what is shed unread is never shed",
            "            return None\n        return self._core_link.overdue(now_ns)\n",
            "            return None\n        return None\n",
        ),
        (
            "orders are shed unread though there is room",
            "or self._venue.modes.in_force or not self._is_busy(session, now_ns):",
            "or self._venue.modes.in_force:",
        ),
    ),
    *mutants(
        "gateway/orders/standing.py",
        _STANDING,
        ("a logout does not wait for mass cancels that joined another", "(each, *each.joined)", "(each,)"),
    ),
    *mutants(
        "gateway/orders/admission.py",
        _SHED,
        (
            "in a drain orders are told that the core is busy",
            "        if self._venue.draining or self._venue.modes.in_force or not",
            "        if self._venue.modes.in_force or not",
        ),
        (
            "orders that a mode bars are told that the core is busy",
            "        if self._venue.draining or self._venue.modes.in_force or not",
            "        if self._venue.draining or not",
        ),
    ),
)
