"""Mistakes in the passes of a run: what it may hold, what it costs, who answers it, who reads of it.

Two gateways that read the same bytes, by the run and one by one, must notice them.
"""

from tests.mutants.plant import Mutant, mutants

_ROADS = ("tests/gateway/test_two_roads.py",)
_BOUNDS = ("tests/protocols/test_known_numbers.py", "tests/protocols/fix/test_order_reader.py")

READ = (
    *mutants(
        "protocols/fix/order_reader.py",
        _ROADS,
        (
            "an order with any number is read into a run",
            '                seq != f"{seq_num}"\n                or ',
            "                ",
        ),
        (
            "a run holds an order whose BodyLength is wrong",
            "                or _HEAD_BYTES.get(length) != body_end - begin - head_bytes\n",
            "",
        ),
        (
            "a run holds an order whose CheckSum is wrong",
            "                or _CHECK_SUMS[adler32(data[begin:body_end], 0) & 255] != check_sum\n",
            "",
        ),
        (
            "a run holds an order that was sent long ago",
            "                if not earliest_ns <= sent_ns <= latest_ns:\n",
            "                if False:\n",
        ),
        (
            "an order without a SendingTime has that of the order before",
            'last_sent, sent_ns = "\\x01", 0',
            'last_sent, sent_ns = "", 0',
        ),
        (
            "a run holds orders of any amount",
            "            if not kind.low <= price * quantity <= kind.high or not price or not quantity:\n",
            "            if not price or not quantity:\n",
        ),
        (
            "a run holds an order whose TransactTime is none",
            "            if not done_ns:\n",
            "            if False:\n",
        ),
        (
            "an order beyond its window is read into a run",
            "                if expires_ns < utc_ns or not -MAX_AHEAD_NS < sent_ns - utc_ns < MAX_AHEAD_NS:\n",
            "                if False:\n",
        ),
        (
            "the window of a session ends later in a run",
            "                expires_ns = sent_ns + window_ns\n",
            "                expires_ns = utc_ns + window_ns\n",
        ),
        ("TransactTime is told of orders that have none", "done_ns if is_timed else 0", "done_ns"),
    ),
    *mutants(
        "protocols/fix/order_reader.py",
        _BOUNDS,
        ("kinds of orders are kept without end", "        if len(self._kinds) >= MAX_KINDS:\n", "        if False:\n"),
        (
            "kinds of orders of any length are kept",
            "        if message.size_bytes > _MAX_FRAME_BYTES:",
            "        if False:",
        ),
        ("a client can have any number of shapes compiled", "len(self._shapes) >= MAX_SHAPES:", "False:"),
    ),
    *mutants(
        "protocols/known_numbers.py",
        (*_BOUNDS, *_ROADS),
        (
            "a run holds prices that the instrument does not allow",
            "        if self._check(value) is not None:\n",
            "        if False:\n",
        ),
        (
            "all known numbers are forgotten for one instrument's",
            "        self.count -= len(numbers)\n        numbers.clear()\n",
            "        self.count = 0\n        for pair in self._of.values():\n            for each in pair:\n                each.clear()\n",
        ),
        ("numbers are kept without end", " or known.count >= MAX_NUMBERS:\n", ":\n"),
    ),
    *mutants(
        "protocols/fix/session/machine.py",
        _ROADS,
        (
            "a run passes a gap",
            "is_plain = core.state is _LOGGED_ON and framer.is_in_step and not core.gap.highest",
            "is_plain = core.state is _LOGGED_ON and framer.is_in_step",
        ),
        (
            "a run is read after the session has ended",
            "is_plain = core.state is _LOGGED_ON and framer.is_in_step and not",
            "is_plain = framer.is_in_step and not",
        ),
        (
            "what follows the end of a session puts the framer out of step",
            "                framer.feed(data[begin:])  #",
            "                #",
        ),
        (
            "garbled messages around a run end the session",
            "    def _take_run(self, run: OrderRun) -> None:\n        core = self._core\n        self._garbled_in_row = 0\n",
            "    def _take_run(self, run: OrderRun) -> None:\n        core = self._core\n",
        ),
        (
            "a client that sends runs counts as silent",
            "        core.timers.received(core.now_ns)\n        self.store.next_in = run",
            "        self.store.next_in = run",
        ),
    ),
)
ADMIT = (
    *mutants(
        "gateway/doors/fix/requests.py",
        _ROADS,
        ("a run that is split uses its numbers twice", "            session.sender.order_n = numbers_before\n", ""),
        (
            "a run is received at another time than its read",
            " or run.t_recv != now_ns + services.wall.offset_ns:\n            return False",
            ":\n            return False",
        ),
        (
            "the message of a run has the number of its neighbour",
            "                self.serve(self._machine.message_in(run, index), now_ns)\n",
            "                self.serve(self._machine.message_in(run, max(index - 1, 0)), now_ns)\n",
        ),
        ("orders in a run are no messages", "        services.metrics.fix.messages_in += count\n", ""),
    ),
    *mutants(
        "gateway/orders/admission.py",
        _ROADS,
        (
            "a run passes in a drain",
            "session.may_trade and not (venue.draining or venue.reopen_at_ns)",
            "session.may_trade and not venue.reopen_at_ns",
        ),
        (
            "a run passes symbols that its session may not trade",
            "        if not is_open or (session.instruments and not session.instruments.issuperset(run.counts)):\n",
            "        if not is_open:\n",
        ),
        (
            "a run passes a halt",
            "        if venue.modes.in_force and venue.bars_any(session, run.counts):\n",
            "        if False:\n",
        ),
        (
            "a run passes a journal without room",
            "        if not self._recording.may_accept_orders or self._recording.is_late(now_ns):\n            return False\n        return self._charging",
            "        return self._charging",
        ),
        (
            "a run enters a queue that sheds",
            "        if not queue.has_room(count, run.size_bytes):\n",
            "        if False:\n",
        ),
    ),
    *mutants(
        "gateway/orders/charging.py",
        _ROADS,
        (
            "a run passes the ceiling of open orders",
            "        if not self._open.has_room(client.account_id, run.counts, count, terms.open_orders):\n",
            "        if False:\n",
        ),
        (
            "a run's orders are not counted as open",
            "        self._open.opened_run(session.client.account_id, run.counts, count)\n",
            "        self._open.opened_run(session.client.account_id, run.counts, 1)\n",
        ),
        (
            "a session whose runs are open owns nothing",
            "        self._owned[session.id] = self._owned.get(session.id, 0) + count\n",
            "",
        ),
        (
            "a run in two symbols is charged to the first",
            "            if len(run.counts) > 1:\n",
            "            if False:\n",
        ),
        (
            "a run is charged as one message",
            "        if not limiter.take_run(run.session.path, costs, count, now_ns):\n",
            "        if not limiter.take_run(run.session.path, costs, 1, now_ns):\n",
        ),
        (
            "a run is charged by a policy that is no longer in force",
            "        if limiter.policy is not self._policy:\n",
            "        if False:\n",
        ),
        (
            "a run that is split is not refunded",
            "            run.bucket, run.cost_milli = terms.bucket, terms.cost_milli\n",
            "            pass\n",
        ),
    ),
)
EXECUTE = (
    *mutants(
        "gateway/orders/queue.py",
        _ROADS,
        ("a run weighs nothing in the queue", "        self.size_bytes += run.size_bytes\n", ""),
        (
            "a run leaves the queue whole when something waits",
            "        if any(type(each) is RequestRun for each in self._arrived):\n",
            "        if False:\n",
        ),
        (
            "a mass cancel joins one that a run has followed",
            "            for sweep in self._sweeps.get(run.session.client.account_id, {}).values():\n                sweep.is_followed = True\n",
            "            pass\n",
        ),
    ),
    *mutants(
        "gateway/orders/core_link.py",
        _ROADS,
        (
            "a run that waited passes a mode",
            "        if self._venue.modes.in_force and self._venue.bars_any(run.session, run.counts):\n",
            "        if False:\n",
        ),
        (
            "a run that waited is handed over after its window",
            "        if deadline := run.commands.first_deadline:\n",
            "        if (deadline := run.commands.first_deadline) and False:\n",
        ),
        (
            "a run that the core has not answered is forgotten",
            "        if each.commands.cmd_id in self.runs:\n            return False\n",
            "        self.runs.pop(each.commands.cmd_id, None)\n",
        ),
        (
            "the outcomes of runs are told after those of others",
            "                self.handed.append(each)\n",
            "                self.handed.appendleft(each)\n",
        ),
        (
            "commands after a run go before it",
            "if parts and isinstance(parts[-1], list):\n                    parts[-1].append(command)\n",
            "if parts and isinstance(parts[0], list):\n                    parts[0].append(command)\n",
        ),
    ),
    *mutants(
        "gateway/orders/dispatch.py",
        _ROADS,
        (
            "a part of a run finds no request",
            "and (run := core_link.run_of(event.cmd_id)) is not None:",
            "and (run := core_link.run_of(event.cmd_id)) is not None and False:",
        ),
        (
            "events before a run come after it",
            "            if between and isinstance(part, RunEvents) and part.cmd_id in runs:\n",
            "            if False:\n",
        ),
        (
            "a run that somebody looked into is told as one",
            "            if isinstance(part, RunEvents) and part.cmd_id in runs:\n                self._deliver_run(",
            "            if isinstance(part, RunEvents):\n                self._deliver_run(",
        ),
        (
            "orders that a run has filled stay open",
            "            if not event.leaves_qty:\n                self._charging.received(event)\n",
            "",
        ),
        (
            "nobody but its session reads of a run",
            "        if has_others or but is None:\n",
            "        if False:\n",
        ),
        (
            "a maker of the same account does not read of a run",
            " or any(event.session != session.id for event in told)\n",
            "\n",
        ),
        (
            "a run alone tells what it gave back too early",
            "        if _is_told_together(run, events):\n",
            "        if True:\n",
        ),
        ("a session reads of a run's makers twice", " and session is not but:\n", ":\n"),
        (
            "events of runs are not counted",
            "            self._metrics.count_accepted(session.sender.origin, len(events))\n",
            "            pass\n",
        ),
    ),
    *mutants(
        "gateway/orders/responses.py",
        _ROADS,
        (
            "a known id in a run costs a token",
            "                if event.code == errors.DUPLICATE_ID and event.cmd_id:\n",
            "                if False:\n",
        ),
        (
            "the answers of a run are counted as one",
            "now_ns - run.arrived_ns, len(run.commands))",
            "now_ns - run.arrived_ns, 1)",
        ),
    ),
)
REFUSE = (
    *mutants(
        "gateway/orders/admission.py",
        _ROADS,
        (
            "orders that are shed together count as one",
            "self._metrics.count_refusal(session.sender.origin, refusal.code, count)",
            "self._metrics.count_refusal(session.sender.origin, refusal.code)",
        ),
        (
            "orders that are shed together cost no messages",
            "        if not self._charging.take_messages(session, count, now_ns):\n",
            "        if False:\n",
        ),
    ),
    *mutants(
        "gateway/doors/fix/requests.py",
        _ROADS,
        (
            "an order of a run that is taken apart is not shed",
            "            if not self._is_shed(message, now_ns):\n",
            "            if True:\n",
        ),
    ),
    *mutants(
        "gateway/doors/fix/endpoint.py",
        _ROADS,
        (
            "what becomes of shed orders is unknown",
            'kind = self._services.wall.utc_ns(now_ns), "P" if refusal.outcome == "unknown" else "R"',
            'kind = self._services.wall.utc_ns(now_ns), "P"',
        ),
    ),
    *mutants(
        "protocols/fix/commands.py",
        ("tests/protocols/fix/test_order_reader.py",),
        (
            "a refused order of a run has the number of the first",
            '"D", run.seq_num + index, fields',
            '"D", run.seq_num, fields',
        ),
        ("a refused order of a run loses its second id", "    if kind.tag:\n", "    if False:\n"),
        (
            "a refused order of a run loses its account",
            "    if kind.flags & ACCOUNT_GIVEN:\n        fields",
            "    if False:\n        fields",
        ),
    ),
)
REPORT = (
    *mutants(
        "protocols/fix/run_report.py",
        _ROADS,
        (
            "a maker's report in a run says when the taker came",
            '            answers = received if event.cmd_id else ""\n',
            "            answers = received\n",
        ),
        (
            "a report of a run has the words of the one before it",
            "            if kind != latest:\n",
            "            if latest < 0:\n",
        ),
        (
            "the average of trades at two prices is the last one",
            "            if cum_quote == cum_qty * last_px:\n",
            "            if True:\n",
        ),
        ("a trade in a run is always whole", "filled if event.status is _FILLED else partly", "filled"),
        ("a trade in a run is always the taker's", '("851=1\\x01" if event.maker else "851=2\\x01")', '"851=2\\x01"'),
    ),
    *mutants(
        "protocols/fix/session/output.py",
        _ROADS,
        (
            "the number after a run is its own",
            "        self._store.next_out = first + len(messages)\n",
            "        self._store.next_out = first + 1\n",
        ),
    ),
    *mutants(
        "gateway/telemetry/tracing.py",
        ("tests/gateway/telemetry/test_tracing.py",),
        (
            "the order after the sampled one is traced",
            "        index = count - 1 + self._left\n",
            "        index = max(count - 2 + self._left, 0)\n",
        ),
    ),
)
MUTANTS: tuple[Mutant, ...] = (*READ, *ADMIT, *EXECUTE, *REFUSE, *REPORT)
