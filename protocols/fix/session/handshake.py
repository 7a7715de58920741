"""How a session begins: the peer's Logon(A), ours, the reset of both numbers, and what each side missed.

The initiator sends the first Logon, the acceptor answers; after that both do the same. A peer with another identity
than the session's gets no answer: a Logout(5) would use up a number of another client's session.
"""

from protocols.fix import tags
from protocols.fix.decoder import DecodedMessage
from protocols.fix.events import LoggedOn, PeerReject, Warned
from protocols.fix.session.core import SessionCore
from protocols.fix.session.gap import Early
from protocols.fix.session.logon import LogonRefusal, expects_too_much, logon_body, refuse_logon, too_low, whole_number
from protocols.fix.session.settings import SessionState
from protocols.fix.tags import MsgType
from protocols.units import NS_PER_S


class Handshake:
    """Reads messages before a session is logged on, and the Logon(A) that resets a running one."""

    __slots__ = ("_announced_reset", "_core", "_logon_number", "_requested_reset")

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._logon_number = 0  # MsgSeqNum(34) of our Logon, as initiator
        self._requested_reset = False
        self._announced_reset = False  # our answer on this link announced a reset that the peer had not requested

    def send_logon(self, body: str, reset: bool) -> None:
        """Send our Logon(A), as initiator."""
        core, settings = self._core, self._core.settings
        self._requested_reset = reset or settings.reset_on_logon
        if self._requested_reset:
            core.reset_numbers()
        next_expected = core.store.next_in if settings.next_expected_msg_seq_num else None
        logon = logon_body(settings, settings.heart_bt_int_s, self._requested_reset, next_expected, body)
        self._logon_number = core.send(MsgType.LOGON, logon)
        core.state = SessionState.LOGON_SENT

    def judge(self, message: DecodedMessage, now_ns: int) -> LogonRefusal | None:
        """Why this Logon(A) would not begin the session, None = it would. Changes nothing."""
        mistake = self._mistaken_identity(message)
        if mistake is not None:
            return LogonRefusal(*mistake)
        return self._flaw(message, now_ns) or self._core.logon_policy.objection(message.fields)

    def read(self, message: DecodedMessage) -> None:
        """A message before the session is logged on: a Logon(A), or the end."""
        core = self._core
        if core.state is SessionState.LOGON_SENT and message.msg_type in (MsgType.LOGOUT, MsgType.REJECT):
            self._read_refusal(message)
            return
        if message.msg_type != MsgType.LOGON or (
            core.settings.role == "initiator" and core.state is SessionState.CONNECTED
        ):
            core.disconnect("not_a_logon", "first message is not a Logon(A)")
            return
        mistake = self._mistaken_identity(message)
        if mistake is not None:
            core.disconnect(*mistake)
        elif self._is_refused(message):
            return
        elif core.state is SessionState.LOGON_SENT:
            self._take_answer(message)
        else:
            self._answer(message)

    def read_reset(self, message: DecodedMessage) -> None:
        """A Logon(A) with ResetSeqNumFlag(141)=Y in a running session."""
        core = self._core
        if self.may_begin_at_1:
            # QuickFIX confirms our reset with this Logon. It would confirm an answer too, and so on without end.
            self._announced_reset = False
            return
        if self._is_refused(message):
            return
        more = core.logon_policy.logon_body(message.fields, True)
        core.reset_numbers()
        core.store.next_in = 2
        self._send_answer(message, True, None, more)
        self._begin(message, True)

    @property
    def may_begin_at_1(self) -> bool:
        """Whether the peer's number 1 may still come, because we announced a reset that it had not requested.

        Engines differ in what has number 1 then: a Logon(A) that confirms the reset (QuickFIX, QuickFIX/J), the next
        message (quickfixgo), or the Logon sent before.
        """
        return self._announced_reset and self._core.store.next_in == 2

    def begin_at_1(self) -> None:
        """The peer's next message is its number 1."""
        self._announced_reset = False
        self._core.store.next_in = 1

    def _read_refusal(self, message: DecodedMessage) -> None:
        """The acceptor refuses our Logon, with a Reject(3) or a Logout(5)."""
        core, fields = self._core, message.fields
        if whole_number(fields.get(tags.MSG_SEQ_NUM)) == core.store.next_in:
            core.store.next_in += 1
        text = fields.get(tags.TEXT, "")
        if message.msg_type == MsgType.LOGOUT:
            core.logged_out(True, text, fields)
        else:
            core.events.append(PeerReject(whole_number(fields.get(tags.REF_SEQ_NUM)) or 0, text))

    def _mistaken_identity(self, message: DecodedMessage) -> tuple[str, str] | None:
        settings, fields = self._core.settings, message.fields
        if fields.get(tags.BEGIN_STRING) != settings.begin_string:
            return "begin_string", "Incorrect BeginString"
        ours, theirs = fields.get(tags.TARGET_COMP_ID), fields.get(tags.SENDER_COMP_ID)
        if (theirs, ours) != (settings.target_comp_id, settings.sender_comp_id):
            return "comp_id", "CompID problem"
        if whole_number(fields.get(tags.MSG_SEQ_NUM)) is None:
            return "no_msg_seq_num", "Received message without MsgSeqNum"
        return None

    def _is_refused(self, message: DecodedMessage) -> bool:
        """Log out if the Logon cannot be served. It did not begin the session, so the stored messages stay."""
        core = self._core
        flaw = self._flaw(message, core.now_ns)
        refusal = flaw or core.logon_policy.objection(message.fields)
        if refusal is None:
            return False
        seq_num = int(message.fields[tags.MSG_SEQ_NUM])
        if flaw is None and seq_num >= core.store.next_in:
            self._count(seq_num)  # the Logon itself is valid, so its number is used, unless it is number 1 of a reset
        if refusal.reject is not None:
            core.refuse_logon(refusal.reject, seq_num, message.fields)
        if refusal.at_once:
            core.logout_and_disconnect(refusal.reason, refusal.text, refusal.session_status, refusal.code)
        else:
            core.logout_and_wait(refusal.reason, refusal.text, refusal.session_status, refusal.code)
        return True

    def _flaw(self, message: DecodedMessage, now_ns: int) -> LogonRefusal | None:
        """What is wrong with the Logon: its fields, or its numbers."""
        store = self._core.store
        refusal = refuse_logon(self._core.settings, message, self._core.wall, now_ns)
        if refusal is not None:
            return refusal
        seq_num = int(message.fields[tags.MSG_SEQ_NUM])
        next_in = 1 if self._resets_numbers(message) else store.next_in
        if seq_num < next_in:
            return too_low(next_in, seq_num)
        wanted = self._wanted(message)
        return expects_too_much(store.next_out, wanted) if wanted is not None and wanted > store.next_out else None

    def _resets_numbers(self, message: DecodedMessage) -> bool:
        """Whether both numbers go back to 1 with this Logon, if it is accepted."""
        resets = message.fields.get(tags.RESET_SEQ_NUM_FLAG) == "Y"
        if self._core.settings.role == "initiator" and self._core.state is SessionState.LOGON_SENT:
            return resets and not self._requested_reset
        return resets or self._core.settings.reset_on_logon

    def _wanted(self, message: DecodedMessage) -> int | None:
        """NextExpectedMsgSeqNum(789); None if there is none, or if this Logon resets the numbers that it counts."""
        settings = self._core.settings
        if self._resets_numbers(message) or (settings.role == "initiator" and not settings.next_expected_msg_seq_num):
            return None
        return whole_number(message.fields.get(tags.NEXT_EXPECTED_MSG_SEQ_NUM))

    def _answer(self, message: DecodedMessage) -> None:
        """Accept the peer's Logon."""
        core, store, fields = self._core, self._core.store, message.fields
        seq_num, wanted, resets = int(fields[tags.MSG_SEQ_NUM]), self._wanted(message), self._resets_numbers(message)
        is_requested = fields.get(tags.RESET_SEQ_NUM_FLAG) == "Y"
        is_reset = is_requested or (resets and (seq_num, store.next_in, store.next_out) != (1, 1, 1))
        more = core.logon_policy.logon_body(fields, resets or store.next_in == 1)
        if resets:
            core.reset_numbers()
            seq_num = 1  # whatever number it has: the peer's count begins with it
        self._count(seq_num)
        next_expected = store.next_in if tags.NEXT_EXPECTED_MSG_SEQ_NUM in fields else None
        logon_number = self._send_answer(message, is_reset, next_expected, more)
        self._announced_reset = is_reset and not is_requested
        self._begin(message, resets)
        if wanted is not None and 0 < wanted < logon_number:
            core.replay(wanted, logon_number)
        self._ask_for_missed(seq_num, wanted is not None)

    def _send_answer(self, message: DecodedMessage, reset: bool, next_expected: int | None, more: str) -> int:
        core = self._core
        heart_bt_int_s = int(message.fields[tags.HEART_BT_INT])
        core.timers.logged_on(heart_bt_int_s, core.now_ns)
        return core.send(MsgType.LOGON, logon_body(core.settings, heart_bt_int_s, reset, next_expected, more))

    def _take_answer(self, message: DecodedMessage) -> None:
        """The acceptor's Logon: we are logged on."""
        core, store, fields = self._core, self._core.store, message.fields
        seq_num, wanted = int(fields[tags.MSG_SEQ_NUM]), self._wanted(message)
        if self._resets_numbers(message):
            # The acceptor resets without a request: our Logon counts as number 1, whatever number it had.
            core.reset_numbers()
            store.next_out, self._logon_number = 2, 1
        self._count(seq_num)
        heart_bt_int_s = int(fields[tags.HEART_BT_INT])
        if heart_bt_int_s != core.settings.heart_bt_int_s:
            core.events.append(Warned(f"the peer chose HeartBtInt(108)={heart_bt_int_s}"))
        core.timers.logged_on(heart_bt_int_s, core.now_ns)
        self._begin(message, fields.get(tags.RESET_SEQ_NUM_FLAG) == "Y")
        if wanted is not None and 0 < wanted <= self._logon_number:
            core.replay(wanted, self._logon_number)
        if store.next_out > self._logon_number + 1:  # sent by the owner while the answer was on its way
            core.output.first_sending(self._logon_number + 1, store.next_out - 1)
        self._ask_for_missed(seq_num, wanted is not None)

    def _count(self, seq_num: int) -> None:
        """The number of this Logon is used, in its turn or early."""
        store = self._core.store
        if seq_num == store.next_in:
            store.next_in += 1
        else:
            self._core.gap.hold(seq_num, Early(None, 0, 0))

    def _begin(self, message: DecodedMessage, reset: bool) -> None:
        core = self._core
        core.state = SessionState.LOGGED_ON
        heart_bt_int_s = core.timers.heart_bt_ns // NS_PER_S
        core.events.append(LoggedOn(message.fields, reset, heart_bt_int_s))

    def _ask_for_missed(self, seq_num: int, uses_789: bool) -> None:
        """Have the peer send what we missed, which a Logon numbered too high has shown."""
        core = self._core
        if seq_num < core.store.next_in:
            return
        if uses_789:
            # The 789 in our own Logon is the request; a peer that ignores it gets a ResendRequest one heartbeat later.
            core.gap.expect_unrequested(core.store.next_in, core.now_ns + core.timers.heart_bt_ns)
        else:
            core.request_gap()
