"""Mistakes in what carries bytes: bursts and slow readers, goodbyes, the budget that replays share, who hears an event."""

from tests.mutants.plant import mutants

_LINKS = ("tests/gateway/doors/test_connection.py", "tests/gateway/doors/test_bursts.py")
_GONE = (
    "tests/e2e/test_doors.py::test_a_connection_of_a_stranger_that_has_ended_is_gone_without_the_garbage_collector",
)
_STREAM = (
    "tests/gateway/doors/ws/test_stream_cursor.py",
    "tests/gateway/doors/test_bursts.py",
    "tests/gateway/doors/ws/test_endpoint.py",
)
_BURSTS = ("tests/protocols/fix/session/test_bursts.py",)
_HEARD = (
    "tests/gateway/orders/test_path.py",
    "tests/gateway/doors/fix/test_endpoint.py",
    "tests/gateway/doors/ws/test_endpoint.py",
)

MUTANTS = (
    *mutants(
        "gateway/doors/batch.py",
        _LINKS,
        (
            "those who wait to read on are forgotten when the last one served is done",
            "        if reading:\n            self._schedule()\n",
            "",
        ),
        (
            "each replaying connection has the budget of all",
            "                left -= max(connection.read_on(now_ns), 1)\n",
            "                connection.read_on(now_ns)\n",
        ),
    ),
    *mutants(
        "gateway/doors/batch.py",
        ("tests/gateway/doors/test_batch.py",),
        (
            "who read alone once is taken to be alone for ever",
            "            self._alone_left -= 1\n",
            "",
        ),
        (
            "one of several readers is taken to be alone",
            "_ALONE if self._readers == 1 else 0",
            "_ALONE",
        ),
        (
            "long input of another connection goes before short reads",
            "(was_same and not self._parts.is_core_behind())",
            "not self._parts.is_core_behind()",
        ),
        (
            "long input is parsed at once though the core is behind",
            "(was_same and not self._parts.is_core_behind())",
            "was_same",
        ),
        (
            "a read has a turn of its own though one will come for all",
            "        if self._scheduled:\n            return False\n        self._scheduled = True\n",
            "        self._scheduled = True\n",
        ),
    ),
    *mutants(
        "gateway/doors/batch.py",
        ("tests/gateway/doors/test_connection.py",),
        (
            "a flood's slice is long though the core is behind",
            "min(most, _SHORT_SLICE_BYTES) if self._parts.is_core_behind() else most",
            "most",
        ),
        ("a crowd of strangers is heard in one turn", "range(_STRANGERS)", "range(1 << 30)"),
        (
            "a crowd of strangers is not heard to its end",
            "        if strangers:\n            self._schedule()\n",
            "",
        ),
    ),
    *mutants(
        "gateway/doors/listening.py",
        ("tests/gateway/doors/test_listening.py",),
        ("a crowd is accepted in one turn", "_BATCH = 4", "_BATCH = 64"),
        (
            "a connection whose handshake failed and its peer hold each other in memory",
            "        self.unmade()\n        self.left()\n",
            "        self.left()\n",
        ),
        ("a crowd begins its handshakes in one turn", "min(_HANDSHAKES, len(self._line))", "len(self._line)"),
        (
            "those who wait for their handshake are forgotten",
            "        if self._line:\n            self._loop.call_soon(self._let_begin)\n\n",
            "\n",
        ),
    ),
    *mutants(
        "gateway/doors/connection.py",
        _GONE,
        (
            "a connection that has ended and its peer hold each other in memory",
            "        self.peer = GONE\n",
            "        pass\n",
        ),
    ),
    *mutants(
        "gateway/doors/listening.py",
        _GONE,
        (
            "an arrival that has ended holds its connection in memory",
            "        self.cut, self.known, self.unmade = _no_link, _no_callback, _no_callback\n",
            "",
        ),
    ),
    *mutants(
        "gateway/doors/fix/lists.py",
        ("tests/gateway/doors/test_bursts.py",),
        ("each session with a long list has the whole turn", "                left -= sent\n", ""),
        (
            "a long list tells each order as it was when it was asked for",
            "standing.now(order) for order",
            "order for order",
        ),
        (
            "a long list ends with the turn in which it began",
            "        if senders:\n            self._orders.later(self._go_on)\n",
            "",
        ),
    ),
    *mutants(
        "gateway/doors/fix/endpoint.py",
        ("tests/gateway/doors/test_bursts.py",),
        ("a session may have any number of long lists on their way", "if len(self._listings) >= MOST:", "if False:"),
        ("a logout overtakes a long list", "return not self._listings and all(", "return all("),
        ("a reset leaves a long list going on", "        if event.reset:\n            self._listings.clear()\n", ""),
        (
            "what is left of a long list is lost in a crash",
            "        self.waits(reply.source, now_ns)\n        self._list",
            "        self._list",
        ),
        ("a long list is asked for again for ever", "            self.goes_on(listing.source, now_ns)\n", ""),
    ),
    *mutants(
        "gateway/orders/path.py",
        ("tests/gateway/doors/test_bursts.py",),
        (
            "what was put off to the next turn waits for somebody to speak",
            "        deadlines = (self._now_ns if self._later else None, ",
            "        deadlines = (None, ",
        ),
    ),
    *mutants(
        "gateway/doors/ws/acceptor.py",
        ("tests/e2e/test_ws_door.py",),
        ("what came behind an upgrade is lost", "early.data + phase.take_unparsed()", "early.data"),
    ),
    *mutants(
        "gateway/doors/connection.py",
        ("tests/gateway/doors/test_connection.py",),
        (
            "a stranger is heard at once",
            "            self._at_once_bytes = 0\n",
            "            pass\n",
        ),
        (
            "who has proved who it is waits among strangers",
            "            arrival.known = self._is_known\n",
            "",
        ),
        (
            "a stranger is judged for silence while its words wait for their turn",
            "if self._staged or (self._unparsed and not self._at_once_bytes):",
            "if self._staged:",
        ),
        (
            "a timer outlives the connection that we closed",
            "for timer in (self._timer, self._end_timer):",
            "for timer in (self._timer,):",
        ),
        (
            "who ends without a word is waited for",
            "            if self._has_no_output():\n",
            "            if False:\n",
        ),
    ),
    *mutants(
        "gateway/doors/connection.py",
        _LINKS,
        (
            "the budget of slow readers leaks with each one that is lost",
            "        self._traffic.unread.note(self, 0, self._turn.now_ns())\n",
            "",
        ),
        (
            "who does not take its answers is parsed on",
            "        if self._paused & _PARSING_PAUSED or not self._unparsed or self._closing:\n",
            "        if self._paused & _BY_QUEUE or not self._unparsed or self._closing:\n",
        ),
        (
            "a goodbye waits for a transport that is full",
            "        while peer.has_output and (self._closing or not self._slowness.until_ns):\n",
            "        while peer.has_output and not self._slowness.until_ns:\n",
        ),
        (
            "a peer that goes on reading is cut before its goodbye",
            "        if left_s > 0 and 0 < self._untaken_bytes() < before_bytes:\n",
            "        if False:\n",
        ),
        (
            "who caught up is judged by how it was before",
            "                slowness.nearest = 0\n",
            "                pass\n",
        ),
    ),
    *mutants(
        "gateway/doors/transports.py",
        ("tests/gateway/doors/test_connection.py", "tests/e2e/test_slow_readers.py"),
        (
            "a connection is closed over what nobody has read",
            "    if not transport.can_write_eof():\n",
            "    if True:\n",
        ),
    ),
    *mutants(
        "gateway/doors/slowness.py",
        _LINKS,
        (
            "who takes bytes is never too slow, however far behind",
            "        return not has_taken or self.left_behind_ns(behind, now_ns) > 0\n",
            "        return not has_taken\n",
        ),
        (
            "who takes a little is too slow for one that takes all",
            "        return not has_taken or self.left_behind_ns(behind, now_ns) > 0\n",
            "        return True\n",
        ),
        (
            "a reader is left behind though it comes nearer",
            "        if not behind or not self.nearest or behind < self.nearest:\n",
            "        if not behind or not self.nearest:\n",
        ),
    ),
    *mutants(
        "gateway/doors/ws/endpoint.py",
        _STREAM,
        (
            "a burst of events is ready all at once",
            "        if self.machine.pending_bytes < READY_BYTES:\n",
            "        if True:\n",
        ),
        (
            "a session that is gone still hears everything",
            "        ended.hear_all(False)\n",
            "",
        ),
    ),
    *mutants(
        "gateway/doors/ws/stream_cursor.py",
        _STREAM,
        (
            "the event at which a connection falls behind is lost",
            "        self._next = seq\n",
            "        self._next = seq + 1\n",
        ),
        (
            "each reader of a burst has it encoded anew",
            "        if made is None:\n            made = late[key]",
            "        if True:\n            made = late[key]",
        ),
    ),
    *mutants(
        "protocols/ws/session.py",
        (*_STREAM, "tests/protocols/ws/test_session.py"),
        (
            "what a slow reader has not read goes before its Close",
            "            self.output.unwritten.clear()\n        self.output.control",
            "            pass\n        self.output.control",
        ),
        (
            "behind a broken frame the peer's Close is not seen",
            "        if self.state is _CLOSING and self._reader.has_closed:\n",
            "        if False:\n",
        ),
    ),
    *mutants(
        "protocols/fix/session/output.py",
        _BURSTS,
        (
            "a burst of reports is ready all at once",
            "            if self._ranges or self._pending_bytes >= _READY_BYTES:\n",
            "            if self._ranges:\n",
        ),
        (
            "a goodbye ahead of what waits leaves a gap before it",
            "        seq_num, self._reserved = self._reserved or store.next_out, 0\n",
            "        seq_num, self._reserved = store.next_out, 0\n",
        ),
        (
            "a goodbye waits for all of a burst",
            "        if seq_num - (last.reserved[-1] if last.reserved else last.begin) >= _RESERVE_EVERY:\n",
            "        if False:\n",
        ),
        (
            "a peer that asked for a replay counts as behind",
            "        if self._replay is not None or not self._ranges:\n",
            "        if not self._ranges:\n",
        ),
    ),
    *mutants(
        "protocols/fix/session/core.py",
        _BURSTS,
        (
            "a goodbye that was dropped with what it waited for is not said again",
            "        if self.output.truncate() or self.state not in _LOGOUT_IS_SENT:\n",
            "        self.output.truncate()\n        if self.state not in _LOGOUT_IS_SENT:\n",
        ),
    ),
    *mutants(
        "gateway/orders/dispatch.py",
        _HEARD,
        (
            "the owner of an order does not hear what others do to it",
            "        if owner is not None and owner is not asker and not owner.hears_all:\n",
            "        if False:\n",
        ),
        (
            "an event is told to every session of the account",
            "        receivers = account.listeners\n",
            "        receivers = tuple(account.sessions)\n",
        ),
    ),
    *mutants(
        "gateway/doors/fix/endpoint.py",
        ("tests/gateway/doors/fix/test_endpoint.py",),
        (
            "who is cut as too slow keeps its orders until its link has ended",
            '        self._services.log("session.too_slow", session=self.session.name)\n        self._guard_orders(now_ns)\n',
            '        self._services.log("session.too_slow", session=self.session.name)\n',
        ),
    ),
    *mutants(
        "protocols/ws/opening.py",
        ("tests/protocols/ws/test_opening.py",),
        (
            "a page of any port of our host passes",
            "(page.hostname, page.port or default) == (ours.hostname, ours.port or default)",
            "page.hostname == ours.hostname",
        ),
        (
            "of a header list only the first line is read",
            "for line in lines for part",
            "for line in lines[:1] for part",
        ),
    ),
)
