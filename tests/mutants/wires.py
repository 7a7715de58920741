"""Mistakes in the two protocol machines: framing, numbers, gaps, resends, heartbeats; frames, masks, fragments, logon."""

from tests.mutants.plant import mutants

_FRAMING = ("tests/protocols/fix/test_framing.py",)
_FIX = tuple(
    f"tests/protocols/fix/session/test_{scene}.py"
    for scene in ("recovery", "logon", "replay", "ranges", "header", "leaving", "alive", "patience", "refused")
)
_WS = ("tests/protocols/ws",)

FIX = (
    *mutants(
        "protocols/fix/times.py",
        ("tests/protocols/fix/test_times.py",),
        ("a time may be later than 63 bits of nanoseconds", "    if result > _MAX_NS:\n", "    if False:\n"),
        ("what is known of a millisecond is told of its second", "{_THREE[ms % 1_000]}", "{_THREE[0]}"),
    ),
    *mutants(
        "protocols/fix/framing.py",
        _FRAMING,
        (
            "a checksum over a long message is that of its first part",
            "if length <= 256 else byte_sum(buf[start:end])",
            "if length <= 65_536 else byte_sum(buf[start:end])",
        ),
        (
            "a message may claim more than the maximum",
            "            if stop - start > max_bytes:\n",
            "            if False:\n",
        ),
        (
            "slow input is read again with each byte",
            "            if len(rest) < self._needed or self._is_open():\n",
            "            if False:\n",
        ),
        (
            "endless junk is never reported",
            "        while self._skipped_bytes >= self._max_bytes:\n",
            "        while False:\n",
        ),
    ),
    *mutants(
        "protocols/fix/session/gap.py",
        _FIX,
        (
            "the highest number seen goes back with an older early message",
            "self.highest = max(self.highest, seq_num)",
            "self.highest = seq_num",
        ),
        ("early messages are held without end", "len(self._held) < self._max_messages and", "True and"),
        (
            "early messages are held without a bound in bytes",
            "self._bytes + early.size_bytes <= self._max_bytes",
            "True",
        ),
        (
            "a number that comes twice early is taken as it came last",
            "        if not fits or seq_num in self._held:\n            return False\n",
            "        if not fits:\n            return False\n",
        ),
        (
            "a gap is requested again without end",
            "self.requests = self.requests + 1 if next_in == self.reached else 1",
            "self.requests = 1",
        ),
        ("more is requested at a time than agreed", "missing_end <= chunk_end", "True"),
    ),
    *mutants(
        "protocols/fix/session/inbound.py",
        _FIX,
        (
            "an old gap fill without OrigSendingTime(122) is rejected",
            "_poss_dup_fault(message.fields, sent_ns) if message.msg_type != MsgType.SEQUENCE_RESET else None",
            "_poss_dup_fault(message.fields, sent_ns)",
        ),
        (
            "a duplicate is answered",
            '        if message.fields.get(tags.POSS_DUP_FLAG) == "Y":\n            # An answer',
            "        if False:\n            # An answer",
        ),
        (
            "a sequence reset may lower the number",
            "        elif new_seq_no is None or new_seq_no < core.store.next_in:\n",
            "        elif new_seq_no is None:\n",
        ),
        (
            "a gap fill may lower the number",
            "        if new_seq_no is None or new_seq_no <= seq_num:\n",
            "        if new_seq_no is None:\n",
        ),
        (
            "a TestRequest(1) after a gap is not answered",
            "                self._answer_test(message)\n                gap.mark_done(seq_num)\n",
            "                pass\n",
        ),
        ("a TestRequest(1) after a gap is answered twice", "                gap.mark_done(seq_num)\n", ""),
        ("cancels after a gap are lost with it", "        self._carry_out_cancels()\n        text", "        text"),
        (
            "what a gap fill skips has no answer",
            "                core.refuse(_fault(Reason.OTHER, tags.MSG_SEQ_NUM, text), seq_num, message.msg_type, message.fields)\n",
            "                pass\n",
        ),
        (
            "a resend beyond the latest number is served",
            "        if not begin or begin > latest:\n",
            "        if not begin:\n",
        ),
        (
            "a ResendRequest(2) after a gap waits",
            "            if msg_type == MsgType.RESEND_REQUEST:\n                self._serve(message, seq_num)\n            if msg_type in",
            "            if msg_type in",
        ),
        (
            "after our final Logout anything ends the session",
            "        if message.msg_type == MsgType.LOGOUT:\n            if whole_number",
            "        if True:\n            if whole_number",
        ),
        ("a wrong TargetCompID(56) is overlooked", "        if ours != self._ours and ours:\n", "        if False:\n"),
        (
            "a SendingTime(52) far off is overlooked",
            "        elif abs(self._wall.ahead_ns(sent_ns, self._core.now_ns)) > self._tolerance_ns:\n",
            "        elif False:\n",
        ),
        (
            "third-party addressing is taken for our own",
            "(tags.ON_BEHALF_OF_COMP_ID in fields or tags.DELIVER_TO_COMP_ID in fields)",
            "False",
        ),
    ),
    *mutants(
        "protocols/fix/session/output.py",
        _FIX,
        (
            "live messages overtake a replay",
            "            if self._ranges or self._pending_bytes >= _READY_BYTES:\n",
            "            if self._pending_bytes >= _READY_BYTES:\n",
        ),
        (
            "what waits after a replay is lost at a Logout",
            "                if item.next <= item.end:\n",
            "                if False:\n",
        ),
        (
            "a replay dropped at a Logout is still taken for one",
            "        queue, self.queue = self.queue, deque()\n        self._replay = None\n",
            "        queue, self.queue = self.queue, deque()\n",
        ),
        (
            "a replay is left in the queue when the link is gone",
            "        self.queue.clear()\n        self._replay = None\n",
            "        self.queue.clear()\n",
        ),
        (
            "a gap fill goes beyond the requested range",
            "            slice_end = min(item.end, item.next + _SLICE_NUMBERS - 1)\n",
            "            slice_end = item.next + _SLICE_NUMBERS - 1\n",
        ),
        (
            "a replayed message has no OrigSendingTime(122)",
            '            f"122={min(original, sending_time)}{SOH}{processed}{body}",\n',
            '            f"{processed}{body}",\n',
        ),
        (
            "LastMsgSeqNumProcessed(369) of a replay is the old one",
            "            body = body.partition(SOH)[2]\n        processed",
            "            pass\n        processed",
        ),
        (
            "a replay ignores how much may be written at a time",
            "                if size >= limit_bytes:\n                    return size\n",
            "",
        ),
    ),
    *mutants(
        "protocols/fix/session/ranges.py",
        _FIX,
        (
            "what is requested again after the replay is not sent",
            "        if begin < written_below:\n            _join(self._behind, begin, min(end, written_below - 1))\n",
            "",
        ),
        (
            "what was never sent is sent again before its time",
            "        if self.below:\n            end = min(end, self.below - 1)\n",
            "",
        ),
        ("ranges without end are kept", "    if len(ranges) > MAX_RANGES:\n", "    if False:\n"),
    ),
    *mutants(
        "protocols/fix/session/timers.py",
        _FIX,
        ("a pause of ours is the peer's silence", "        self.received_ns += unread_ns\n", ""),
        (
            "a peer that we do not read is given up",
            "and self._paused_at_ns is None and now_ns >= ends_ns",
            "and now_ns >= ends_ns",
        ),
        (
            "a peer that was tested late has no time to answer",
            "max(self.received_ns + give_up_ns, self._test_sent_at_ns + give_up_ns - test_ns)",
            "self.received_ns + give_up_ns",
        ),
        (
            "no heartbeats go out while we do not read",
            "return self._test_sent_at_ns is not None and self._paused_at_ns is None",
            "return self._test_sent_at_ns is not None",
        ),
    ),
    *mutants(
        "protocols/fix/session/core.py",
        _FIX,
        (
            "a peer that breaks a rule after our Logout(5) gets more time",
            "        if self.state not in _LOGOUT_IS_SENT:\n            self.timers",
            "        if True:\n            self.timers",
        ),
        (
            "a missing number has as long as with a HeartBtInt(108) of 30, whatever it is",
            "(self.timers.heart_bt_ns or _HEART_BT_NS)",
            "_HEART_BT_NS",
        ),
        (
            "where there is no HeartBtInt(108) a missing number is late at once",
            "(self.timers.heart_bt_ns or _HEART_BT_NS)",
            "self.timers.heart_bt_ns",
        ),
        (
            "a Logout is sent before the answers to what came before it",
            "self.state is SessionState.LOGGED_ON and self.settings.answer_timeout_ms",
            "False",
        ),
        (
            "the Reject of a Logon that begins nothing is sent again for the message that uses its number next",
            "self.send(MsgType.REJECT, reject_body(self.settings, seq_num, MsgType.LOGON, fault, fields))",
            "self.output.send_stored("
            "MsgType.REJECT, reject_body(self.settings, seq_num, MsgType.LOGON, fault, fields), self.now_ns, True)",
        ),
    ),
    *mutants(
        "protocols/fix/session/ranges.py",
        _FIX,
        (
            "what is requested again joins what is written before",
            "written_below = self.next if self.is_begun else 0",
            "written_below = 0",
        ),
    ),
)

WS = (
    *mutants(
        "protocols/ws/framing.py",
        _WS,
        (
            "fragments are counted over the connection, not the message",
            "        self._opcode = self._fragments = 0\n        self._parts.clear()\n",
            "        self._opcode = 0\n        self._parts.clear()\n",
        ),
        (
            "a message's fragments have no bound together",
            "if length > self.max_message_bytes - len(self._parts):",
            "if length > self.max_message_bytes:",
        ),
        ("frames without a mask are read", "        if second & _MASK != self._mask_bit:\n", "        if False:\n"),
        ("reserved bits are overlooked", "        if first & _RSV:\n", "        if False:\n"),
        ("a control frame may be fragmented", "    if not first & _FIN:\n", "    if False:\n"),
        (
            "a length may be longer than it has to be",
            "    if length < (126 if size == 2 else 65_536):\n",
            "    if False:\n",
        ),
        (
            "text that is no UTF-8 is found when it is whole",
            "            self._verify(payload, final)\n        self._parts",
            "            self._verify(payload, False)\n        self._parts",
        ),
        ("a close frame with half a code is read", "    if len(payload) == 1:\n", "    if False:\n"),
        (
            "a message may begin inside another",
            "        if opcode != CONTINUATION and self._opcode:\n",
            "        if False:\n",
        ),
        ("empty fragments have no bound", "        if self._fragments > MAX_FRAGMENTS:", "        if False:"),
        (
            "large plain messages pass the bound",
            "            if stop > end or length > limit:\n",
            "            if stop > end:\n",
        ),
    ),
    *mutants(
        "protocols/ws/heartbeat.py",
        _WS,
        ("a pause of ours is the peer's silence", "        self.last_in_ns += paused_ns\n", ""),
        (
            "a silent peer is closed before it was tested",
            "max(self.last_in_ns + 2 * self.interval_ns, self.pinged_at_ns + self.interval_ns)",
            "self.last_in_ns + self.interval_ns",
        ),
    ),
    *mutants(
        "protocols/ws/output.py",
        _WS,
        (
            "what is sent after a Close is written",
            "        if request_id is None or self.is_over:\n            return\n        times",
            "        if request_id is None:\n            return\n        times",
        ),
        (
            "a failure without an id is silent",
            "        if self.is_over:\n            return\n        times = Times(t_in_ns // NS_PER_US, (now_ns + self._wall.offset_ns) // NS_PER_US)\n        status",
            "        if self.is_over or request_id is None:\n            return\n        times = Times(t_in_ns // NS_PER_US, (now_ns + self._wall.offset_ns) // NS_PER_US)\n        status",
        ),
    ),
    *mutants(
        "protocols/ws/session.py",
        _WS,
        ("what came after a logon is lost", "        return self._read(held, now_ns)\n", "        return []\n"),
        (
            "what waits for a logon has no bound",
            "        if self._held_bytes > self.settings.max_frame_bytes or",
            "        if False or",
        ),
        (
            "unknown peers may send without end before the logon",
            "        if self._before_logon > MAX_BEFORE_LOGON:\n",
            "        if False:\n",
        ),
        (
            "a logon signed for another connection is judged",
            "        if challenge and challenge != self.challenge:",
            "        if False:",
        ),
        (
            "undecodable messages are counted over a connection's life",
            "        self._undecodable = 0\n        if isinstance(params, Refusal):\n",
            "        if isinstance(params, Refusal):\n",
        ),
        (
            "big messages pass for every method",
            "        if len(data) > self.settings.max_frame_bytes and method not in BIG_METHODS:\n",
            "        if False:\n",
        ),
    ),
)

MUTANTS = (*FIX, *WS)
