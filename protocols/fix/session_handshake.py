"""How a session begins: the Logon(A) of the peer, ours, the reset of both numbers, and what one side missed meanwhile.

The acceptor answers, the initiator asks; after that the two do the same. Nothing is said to a peer that is not who the
owner took it for: a Logout(5) would use up a number of somebody else's session.
"""

from protocols.errors import BAD_SEQUENCE
from protocols.fix import tags
from protocols.fix.decoder import Message
from protocols.fix.events import LoggedOn, PeerReject, SequenceReset, Warned
from protocols.fix.session_core import SessionCore
from protocols.fix.session_gap import Early
from protocols.fix.session_logon import logon_body, refuse_logon, whole_number
from protocols.fix.session_settings import State
from protocols.fix.tags import MsgType, SessionStatus
from protocols.fix.times import NS


class Handshake:
    """Reads what comes before a session is logged on, and the Logon(A) that resets a running one."""

    __slots__ = ("_asked_reset", "_core", "_logon_number")

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._logon_number = 0  # MsgSeqNum(34) of the Logon we sent as initiator
        self._asked_reset = False

    def ask(self, body: str, reset: bool) -> None:
        """Send our Logon(A), as initiator."""
        core, settings = self._core, self._core.settings
        self._asked_reset = reset or settings.reset_on_logon
        if self._asked_reset:
            core.reset_numbers()
        next_expected = core.store.next_in if settings.next_expected_msg_seq_num else None
        logon = logon_body(settings, settings.heart_bt_int_s, self._asked_reset, next_expected, body)
        self._logon_number = core.send(MsgType.LOGON, logon)
        core.state = State.LOGON_SENT

    def read(self, message: Message) -> None:
        """A message before the session is logged on: a Logon(A), or the end."""
        core = self._core
        if core.state is State.LOGON_SENT and message.msg_type in (MsgType.LOGOUT, MsgType.REJECT):
            self._read_refusal(message)
            return
        if message.msg_type != MsgType.LOGON or (core.settings.role == "initiator" and core.state is State.CONNECTED):
            core.drop("not_a_logon", "first message is not a Logon(A)")
            return
        mistake = self._mistaken_identity(message)
        if mistake:
            core.drop(*mistake)
            return
        if self._is_refused(message):
            return
        seq_num = int(message.fields[tags.MSG_SEQ_NUM])
        if core.state is State.LOGON_SENT:
            self._take_answer(message, seq_num)
        else:
            self._answer(message, seq_num)

    def read_reset(self, message: Message) -> None:
        """A Logon(A) with ResetSeqNumFlag(141)=Y in a running session."""
        core = self._core
        if self._is_refused(message):
            return
        core.reset_numbers()
        core.store.next_in = 2
        self._send_answer(message, reset=True, next_expected=None)
        core.events.append(SequenceReset(2))

    def _read_refusal(self, message: Message) -> None:
        """The acceptor says no to our Logon, with a Reject(3) or a Logout(5)."""
        core, fields = self._core, message.fields
        if whole_number(fields.get(tags.MSG_SEQ_NUM)) == core.store.next_in:
            core.store.next_in += 1
        text = fields.get(tags.TEXT, "")
        if message.msg_type == MsgType.LOGOUT:
            core.end(True, text, fields)
        else:
            core.events.append(PeerReject(whole_number(fields.get(tags.REF_SEQ_NUM)) or 0, text))

    def _mistaken_identity(self, message: Message) -> tuple[str, str] | None:
        settings, fields = self._core.settings, message.fields
        if fields.get(tags.BEGIN_STRING) != settings.begin_string:
            return "begin_string", "Incorrect BeginString"
        ours, theirs = fields.get(tags.TARGET_COMP_ID), fields.get(tags.SENDER_COMP_ID)
        if (theirs, ours) != (settings.target_comp_id, settings.sender_comp_id):
            return "comp_id", "CompID problem"
        if whole_number(fields.get(tags.MSG_SEQ_NUM)) is None:
            return "no_msg_seq_num", "Received message without MsgSeqNum"
        return None

    def _is_refused(self, message: Message) -> bool:
        """Say goodbye if the Logon itself, numbers aside, cannot be served. NextIn stays: it began nothing."""
        core = self._core
        refusal = refuse_logon(core.settings, message, core.now_ns)
        if refusal is None:
            return False
        if core.settings.reset_on_logon and core.state is State.CONNECTED:
            core.reset_numbers()  # the peer has begun anew and waits for number 1, whatever we say
        if refusal.reject is not None:
            core.refuse(refusal.reject, int(message.fields[tags.MSG_SEQ_NUM]), MsgType.LOGON, message.fields)
        core.goodbye(refusal.reason, refusal.text)
        return True

    def _answer(self, message: Message, seq_num: int) -> None:
        """Accept the peer's Logon, whose numbers alone can still be wrong."""
        core, store = self._core, self._core.store
        reset = message.fields.get(tags.RESET_SEQ_NUM_FLAG) == "Y"
        if reset or core.settings.reset_on_logon:
            core.reset_numbers()
        wanted = None if reset else whole_number(message.fields.get(tags.NEXT_EXPECTED_MSG_SEQ_NUM))
        if not self._are_numbers_sound(seq_num, wanted, store.next_out):
            return
        self._count(seq_num)
        refusal = core.logon_refusal
        if refusal is not None:
            core.goodbye(refusal.reason, refusal.text, refusal.session_status, refusal.code)
            return
        uses_789 = tags.NEXT_EXPECTED_MSG_SEQ_NUM in message.fields
        logon_number = self._send_answer(message, reset, store.next_in if uses_789 else None)
        self._begin(message, reset)
        if wanted is not None and 0 < wanted < logon_number:
            core.replay(wanted, logon_number)
        self._ask_for_missed(seq_num, wanted is not None)

    def _send_answer(self, message: Message, reset: bool, next_expected: int | None) -> int:
        core = self._core
        heart_bt_int_s = int(message.fields[tags.HEART_BT_INT])
        core.timers.logged_on(heart_bt_int_s, core.now_ns)
        body = logon_body(core.settings, heart_bt_int_s, reset, next_expected, core.logon_body)
        return core.send(MsgType.LOGON, body)

    def _take_answer(self, message: Message, seq_num: int) -> None:
        """The acceptor's Logon: we are on, unless its numbers are wrong."""
        core, store, fields = self._core, self._core.store, message.fields
        reset = fields.get(tags.RESET_SEQ_NUM_FLAG) == "Y"
        if reset and not self._asked_reset:
            # It starts anew without being asked: our Logon counts as number 1, whatever number it had.
            core.reset_numbers()
            store.next_out, self._logon_number = 2, 1
        wanted = None
        if core.settings.next_expected_msg_seq_num:
            wanted = whole_number(fields.get(tags.NEXT_EXPECTED_MSG_SEQ_NUM))
        if not self._are_numbers_sound(seq_num, wanted, store.next_out):
            return
        self._count(seq_num)
        heart_bt_int_s = int(fields[tags.HEART_BT_INT])
        if heart_bt_int_s != core.settings.heart_bt_int_s:
            core.events.append(Warned(f"the peer chose HeartBtInt(108)={heart_bt_int_s}"))
        core.timers.logged_on(heart_bt_int_s, core.now_ns)
        self._begin(message, reset)
        if wanted is not None and 0 < wanted <= self._logon_number:
            core.replay(wanted, self._logon_number)
        if store.next_out > self._logon_number + 1:  # sent by the owner while the answer was on its way
            core.output.first_sending(self._logon_number + 1, store.next_out - 1)
        self._ask_for_missed(seq_num, wanted is not None)

    def _are_numbers_sound(self, seq_num: int, wanted: int | None, next_out: int) -> bool:
        """Rows 2.c and NextExpectedMsgSeqNum(789): nobody may expect more than was sent."""
        core = self._core
        if seq_num < core.store.next_in:
            core.cut_too_low(seq_num)
            return False
        if wanted is not None and wanted > next_out:
            text = f"NextExpectedMsgSeqNum(789) too high, expecting {next_out} at most but received {wanted}"
            core.cut("bad_sequence", text, SessionStatus.NEXT_EXPECTED_MSG_SEQ_NUM_TOO_HIGH, BAD_SEQUENCE)
            return False
        return True

    def _count(self, seq_num: int) -> None:
        """The Logon is read, in its turn or ahead of it."""
        store = self._core.store
        if seq_num == store.next_in:
            store.next_in += 1
        else:
            self._core.gap.hold(seq_num, Early(None, 0, 0))

    def _begin(self, message: Message, reset: bool) -> None:
        core = self._core
        core.state = State.LOGGED_ON
        heart_bt_int_s = core.timers.heart_bt_ns // NS
        core.events.append(LoggedOn(message.fields, reset, heart_bt_int_s))

    def _ask_for_missed(self, seq_num: int, uses_789: bool) -> None:
        """See to what we missed, which a Logon numbered too high has shown."""
        core = self._core
        if seq_num < core.store.next_in:
            return
        if uses_789:
            # Our own Logon's 789 has asked already; a peer that ignores it gets a ResendRequest a heartbeat later.
            core.gap.trust(core.store.next_in, core.now_ns + core.timers.heart_bt_ns)
        else:
            core.ask_for_gap()
