"""How a running session reads one message: header, number, dictionary, and then what it requests.

The order matters. First what ends the session, then the number, then the dictionary's fault: so a faulty message that
comes early waits for its turn like any other, and is rejected in sequence.
"""

from protocols.errors import BAD_SEQUENCE
from protocols.fix import tags
from protocols.fix.decoder import DecodedMessage, Fault
from protocols.fix.events import AppMessage, HeldBack, PeerReject, SequenceReset, Warned
from protocols.fix.session.core import PendingLogout, SessionCore
from protocols.fix.session.gap import REQUESTS_MAX, Early
from protocols.fix.session.handshake import Handshake
from protocols.fix.session.logon import whole_number
from protocols.fix.session.settings import SessionState
from protocols.fix.tags import SESSION_MSG_TYPES, SOH, MsgType, SessionStatus
from protocols.fix.tags import SessionRejectReason as Reason
from protocols.fix.times import parse_ns
from protocols.units import NS_PER_S

READING = frozenset({SessionState.LOGGED_ON, SessionState.LOGOUT_SENT})
_CANCELS = frozenset({MsgType.ORDER_CANCEL_REQUEST, MsgType.ORDER_MASS_CANCEL_REQUEST})
_NEVER_REJECTED = frozenset({MsgType.REJECT, MsgType.LOGOUT})
_OF_OWN_NUMBER = frozenset({MsgType.SEQUENCE_RESET, MsgType.LOGON})
"""May have any MsgSeqNum(34): a SequenceReset(4) in reset mode, a Logon(A) with ResetSeqNumFlag(141)=Y."""
_WITHOUT_DECIMALS = 17  # length of YYYYMMDD-HH:MM:SS


class Inbound:
    """Reads the messages of a session that is logged on."""

    __slots__ = ("_begin_string", "_core", "_handshake", "_ours", "_theirs", "_tolerance_ns", "_wall")

    def __init__(self, core: SessionCore, handshake: Handshake) -> None:
        self._core = core
        self._handshake = handshake
        self._begin_string = core.settings.begin_string
        self._ours = core.settings.sender_comp_id
        self._theirs = core.settings.target_comp_id
        self._tolerance_ns = core.settings.sending_time_tolerance_s * NS_PER_S
        self._wall = core.wall

    def read(self, message: DecodedMessage, size_bytes: int) -> None:
        """One message, in any order."""
        core, fields = self._core, message.fields
        if fields.get(tags.BEGIN_STRING) != self._begin_string:
            core.logout_and_wait("begin_string", "Incorrect BeginString")
            return
        seq_num = whole_number(fields.get(tags.MSG_SEQ_NUM))
        if seq_num is None:
            core.logout_and_wait("no_msg_seq_num", "Received message without MsgSeqNum")
            return
        try:
            sent_ns = parse_ns(fields[tags.SENDING_TIME])
        except (KeyError, ValueError):
            sent_ns = 0
        is_header_sound = (
            fields.get(tags.SENDER_COMP_ID) == self._theirs
            and fields.get(tags.TARGET_COMP_ID) == self._ours
            and abs(core.now_ns + self._wall.offset_ns - sent_ns) <= self._tolerance_ns
        )
        if not is_header_sound:
            fatal = self._header_fault(message, sent_ns)
            if fatal is not None:
                self._refuse_for_good(fatal, seq_num, message)
                return
        if seq_num == core.store.intake.next_in and message.msg_type not in _OF_OWN_NUMBER:
            self._take(message, seq_num, size_bytes, sent_ns)
        else:
            self._in_order(message, seq_num, size_bytes, sent_ns)
        if core.gap.highest and core.state in READING:
            self._close_gap()

    def read_awaited_logout(self, message: DecodedMessage) -> None:
        """Our final Logout(5) is sent: only the peer's Logout matters, whatever its number."""
        core = self._core
        if message.msg_type == MsgType.LOGOUT:
            if whole_number(message.fields.get(tags.MSG_SEQ_NUM)) == core.store.next_in:
                core.store.next_in += 1
            core.disconnect(core.end_reason, core.end_text)

    def _header_fault(self, message: DecodedMessage, sent_ns: int) -> Fault | None:
        """Rows 2.k and 2.o, which end the session. A missing or empty field is a fault by the dictionary instead.

        sent_ns: 0 = SendingTime(52) could not be read.
        """
        fields = message.fields
        theirs, ours = fields.get(tags.SENDER_COMP_ID), fields.get(tags.TARGET_COMP_ID)
        if theirs != self._theirs and theirs:
            return _fault(Reason.COMP_ID_PROBLEM, tags.SENDER_COMP_ID, "CompID problem: SenderCompID(49)")
        if ours != self._ours and ours:
            return _fault(Reason.COMP_ID_PROBLEM, tags.TARGET_COMP_ID, "CompID problem: TargetCompID(56)")
        if not sent_ns:
            if message.fault is None:  # digits in the right places, but not a day of the calendar
                text = "SendingTime(52) is no UTCTIMESTAMP"
                message.fault = _fault(Reason.INCORRECT_DATA_FORMAT, tags.SENDING_TIME, text)
        elif abs(self._wall.ahead_ns(sent_ns, self._core.now_ns)) > self._tolerance_ns:
            text = f"SendingTime accuracy problem: SendingTime(52) is more than {self._tolerance_ns // NS_PER_S} s off"
            return _fault(Reason.SENDING_TIME_ACCURACY_PROBLEM, tags.SENDING_TIME, text)
        return None

    def _refuse_for_good(self, fault: Fault, seq_num: int, message: DecodedMessage) -> None:
        core = self._core
        if seq_num == core.store.next_in:
            core.store.next_in += 1
        core.refuse(fault, seq_num, message.msg_type, message.fields)
        core.logout_and_wait("comp_id" if fault.reason == Reason.COMP_ID_PROBLEM else "sending_time", fault.text)

    def _in_order(self, message: DecodedMessage, seq_num: int, size_bytes: int, sent_ns: int) -> None:
        fields, msg_type, next_in = message.fields, message.msg_type, self._core.store.next_in
        if msg_type == MsgType.SEQUENCE_RESET and fields.get(tags.GAP_FILL_FLAG) != "Y":
            self._reset(message, seq_num)
        elif self._is_reset_logon(message):
            self._handshake.read_reset(message)
        elif seq_num == next_in:
            self._take(message, seq_num, size_bytes, sent_ns)
        elif seq_num > next_in:
            self._hold(message, seq_num, size_bytes, sent_ns)
        elif seq_num == 1 and self._handshake.may_begin_at_1 and fields.get(tags.POSS_DUP_FLAG) != "Y":
            self._handshake.begin_at_1()
            self._take(message, seq_num, size_bytes, sent_ns)
        else:
            self._take_old(message, seq_num, sent_ns)

    def _is_reset_logon(self, message: DecodedMessage) -> bool:
        resets = message.msg_type == MsgType.LOGON and message.fields.get(tags.RESET_SEQ_NUM_FLAG) == "Y"
        return resets and self._core.state is SessionState.LOGGED_ON

    # -- by number -----------------------------------------------------------------------------------------------

    def _take(self, message: DecodedMessage, seq_num: int, size_bytes: int, sent_ns: int) -> None:
        """The message whose turn it is."""
        core, fields, msg_type = self._core, message.fields, message.msg_type
        poss_dup = fields.get(tags.POSS_DUP_FLAG) == "Y"
        fault = message.fault
        if fault is None:
            if poss_dup and msg_type != MsgType.SEQUENCE_RESET:
                fault = _poss_dup_fault(fields, sent_ns)
            if fault is None and (tags.ON_BEHALF_OF_COMP_ID in fields or tags.DELIVER_TO_COMP_ID in fields):
                fault = _third_party_fault(message)
        core.store.next_in = seq_num + 1
        if fault is not None and msg_type not in _NEVER_REJECTED:
            self._refuse(fault, seq_num, message)
        elif msg_type in SESSION_MSG_TYPES:
            self._act(message, seq_num)
        else:
            if not core.output.handed_out:
                core.output.handed_out = seq_num
            core.events.append(_application(message, seq_num, size_bytes, sent_ns, poss_dup))

    def _refuse(self, fault: Fault, seq_num: int, message: DecodedMessage) -> None:
        """Reject the message. The session continues, except in row 2.f."""
        core = self._core
        core.refuse(fault, seq_num, message.msg_type, message.fields)
        if fault.reason == Reason.SENDING_TIME_ACCURACY_PROBLEM:
            core.logout_and_wait("orig_sending_time", fault.text)

    def _take_old(self, message: DecodedMessage, seq_num: int, sent_ns: int) -> None:
        """A number that was read before: a duplicate, which is dropped without an answer, or a lost count."""
        core = self._core
        if message.fields.get(tags.POSS_DUP_FLAG) == "Y":
            # An answer to every duplicate would start a storm: only one whose times contradict 43=Y is rejected.
            fault = _poss_dup_fault(message.fields, sent_ns) if message.msg_type != MsgType.SEQUENCE_RESET else None
            if fault is not None:
                self._refuse(fault, seq_num, message)
        elif message.msg_type == MsgType.LOGOUT:
            core.events.append(Warned(f"Logout(5) with MsgSeqNum(34)={seq_num}, expecting {core.store.next_in}"))
            self._log_out(message)
        elif message.msg_type == MsgType.RESEND_REQUEST and message.fault is None:
            # Strictly this is row 2.c. But it changes nothing here, a peer may need it to recover, and the acceptance
            # tests of other engines (row 8) send one with such a number and expect the resend.
            core.events.append(Warned(f"ResendRequest(2) with MsgSeqNum(34)={seq_num}, expecting {core.store.next_in}"))
            self._serve(message, seq_num)
        else:
            core.disconnect_too_low(seq_num)

    def _hold(self, message: DecodedMessage, seq_num: int, size_bytes: int, sent_ns: int) -> None:
        """An early number. A Logout or ResendRequest must not wait, or both sides could wait for each other."""
        core, msg_type = self._core, message.msg_type
        early = Early(message, size_bytes, sent_ns)
        if msg_type == MsgType.LOGOUT:
            self._log_out(message)
            return
        if message.fault is None:
            if msg_type == MsgType.RESEND_REQUEST:
                self._serve(message, seq_num)
            if msg_type in (MsgType.RESEND_REQUEST, MsgType.HEARTBEAT):
                early = Early(None, 0, 0)
        if core.store.intake.is_done(seq_num):
            early = Early(None, 0, 0)
        is_new = core.gap.hold(seq_num, early)
        if is_new and msg_type == MsgType.ORDER_STATUS_REQUEST and _is_sound(message, sent_ns):
            poss_dup = message.fields.get(tags.POSS_DUP_FLAG) == "Y"
            core.events.append(HeldBack(_application(message, seq_num, size_bytes, sent_ns, poss_dup)))
        if core.state in READING and not core.gap.is_requested(core.store.next_in):
            core.request_gap()

    def _close_gap(self) -> None:
        """Take the held messages whose turn has come, and request what is still missing."""
        core, gap, store = self._core, self._core.gap, self._core.store
        while (early := gap.pop(store.next_in)) is not None:
            if early.message is None:
                store.next_in += 1
                continue
            self._take(early.message, store.next_in, early.size_bytes, early.sending_time_ns)
            if core.state not in READING:
                return
        if store.next_in > gap.highest:
            gap.clear()
        elif not gap.is_requested(store.next_in):
            core.request_gap()
        elif store.next_in > gap.reached:
            gap.extend_deadline(store.next_in, core.gap_due_ns())

    def retry_gap(self) -> None:
        """Nothing has come of our ResendRequest(2) for too long: request again, and in the end log out.

        A held TestRequest(1) is answered now, or the peer would take us for dead.
        """
        core, gap = self._core, self._core.gap
        for seq_num, early in gap.held():
            message = early.message
            if message is not None and message.msg_type == MsgType.TEST_REQUEST and message.fault is None:
                self._answer_test(message)
                gap.mark_done(seq_num)
        if gap.requests < REQUESTS_MAX:
            core.request_gap()
            return
        missing = f"{core.store.next_in} to {gap.missing_end()}"
        self._carry_out_cancels()
        text = (
            f"MsgSeqNum {missing} did not come, requested {REQUESTS_MAX} times. Later messages were not executed,"
            " except cancels: fill the gap, or log on with ResetSeqNumFlag(141)=Y"
        )
        core.logout_and_wait("gap", text, SessionStatus.LOGOUT_COMPLETE, BAD_SEQUENCE)

    def _carry_out_cancels(self) -> int:
        """The connection ends with an open gap: hand out the held cancels, which must not wait for the next connection.
        They are not taken again when they come again. Returns how many other requests are not executed.
        """
        left = 0
        for seq_num, early in self._core.gap.held():
            message = early.message
            if message is None or message.msg_type in SESSION_MSG_TYPES:
                continue
            sent_ns = early.sending_time_ns
            if message.msg_type in _CANCELS and _is_sound(message, sent_ns):
                self._core.store.record_done(seq_num)
                poss_dup = message.fields.get(tags.POSS_DUP_FLAG) == "Y"
                self._core.events.append(_application(message, seq_num, early.size_bytes, sent_ns, poss_dup))
            else:
                left += 1
        return left

    # -- by type -------------------------------------------------------------------------------------------------

    def _act(self, message: DecodedMessage, seq_num: int) -> None:
        """A session message in sequence; NextIn has moved."""
        core, msg_type, fields = self._core, message.msg_type, message.fields
        if msg_type == MsgType.TEST_REQUEST:
            self._answer_test(message)
        elif msg_type == MsgType.RESEND_REQUEST:
            self._serve(message, seq_num)
        elif msg_type == MsgType.SEQUENCE_RESET:
            self._fill_gap(message, seq_num)
        elif msg_type == MsgType.LOGOUT:
            self._log_out(message)
        elif msg_type == MsgType.REJECT:
            core.events.append(PeerReject(whole_number(fields.get(tags.REF_SEQ_NUM)) or 0, fields.get(tags.TEXT, "")))
        elif msg_type == MsgType.LOGON:
            core.refuse(_fault(Reason.OTHER, tags.MSG_TYPE, "already logged on"), seq_num, msg_type, fields)

    def _answer_test(self, message: DecodedMessage) -> None:
        self._core.send(MsgType.HEARTBEAT, f"112={message.fields[tags.TEST_REQ_ID]}{SOH}")

    def _serve(self, message: DecodedMessage, seq_num: int) -> None:
        """ResendRequest(2). EndSeqNo(16)=0, or anything from our latest number on, means to the latest."""
        core, fields = self._core, message.fields
        latest = core.store.next_out - 1
        begin, end = whole_number(fields.get(tags.BEGIN_SEQ_NO)), whole_number(fields.get(tags.END_SEQ_NO))
        if not begin or begin > latest:
            text = f"BeginSeqNo(7) must be 1 to {latest}, the last number sent"
            core.refuse(_fault(Reason.VALUE_OUT_OF_RANGE, tags.BEGIN_SEQ_NO, text), seq_num, message.msg_type, fields)
        elif end is None or 0 < end < begin:
            text = "EndSeqNo(16) must be 0 or at least BeginSeqNo(7)"
            core.refuse(_fault(Reason.VALUE_OUT_OF_RANGE, tags.END_SEQ_NO, text), seq_num, message.msg_type, fields)
        else:
            core.replay(begin, min(end, latest) if end else latest)

    def _fill_gap(self, message: DecodedMessage, seq_num: int) -> None:
        """SequenceReset(4) with GapFillFlag(123)=Y, in sequence."""
        gap = self._core.gap
        new_seq_no = whole_number(message.fields.get(tags.NEW_SEQ_NO))
        if new_seq_no is None or new_seq_no <= seq_num:
            self._refuse_lowering(message, seq_num, "attempt to lower the sequence number: NewSeqNo(36)")
            return
        if not gap.requested_all and gap.requested_end == new_seq_no:
            gap.requested_end = 0  # some peers end a chunk one number early; the next request must begin there
        self._skip_to(new_seq_no)

    def _reset(self, message: DecodedMessage, seq_num: int) -> None:
        """SequenceReset(4) in reset mode: its own number says nothing."""
        core = self._core
        new_seq_no = whole_number(message.fields.get(tags.NEW_SEQ_NO))
        if message.fault is not None:
            core.refuse(message.fault, seq_num, message.msg_type, message.fields)
        elif new_seq_no is None or new_seq_no < core.store.next_in:
            text = f"NewSeqNo(36) must be {core.store.next_in} or more"
            self._refuse_lowering(message, seq_num, text)
        elif new_seq_no == core.store.next_in:
            core.events.append(Warned(f"SequenceReset(4) to NewSeqNo(36)={new_seq_no}, which was expected anyway"))
        else:
            self._skip_to(new_seq_no)

    def _refuse_lowering(self, message: DecodedMessage, seq_num: int, text: str) -> None:
        fault = _fault(Reason.VALUE_OUT_OF_RANGE, tags.NEW_SEQ_NO, text)
        self._core.refuse(fault, seq_num, message.msg_type, message.fields)

    def _skip_to(self, next_in: int) -> None:
        """The peer will send nothing again below `next_in`: messages held below it are not executed."""
        core = self._core
        core.store.next_in = next_in
        core.events.append(SequenceReset(next_in))
        for seq_num, early in core.gap.pop_below(next_in):
            message = early.message
            if message is None:
                continue
            if message.msg_type == MsgType.TEST_REQUEST and message.fault is None:
                self._answer_test(message)  # the peer waits for the answer
            elif message.msg_type not in SESSION_MSG_TYPES:
                text = f"not executed: SequenceReset(4) with NewSeqNo(36)={next_in} skipped it"
                core.refuse(_fault(Reason.OTHER, tags.MSG_SEQ_NUM, text), seq_num, message.msg_type, message.fields)

    def _log_out(self, message: DecodedMessage) -> None:
        """Logout(5): the answer to ours, or the peer's own, which is answered."""
        core, fields = self._core, message.fields
        if core.state is SessionState.LOGOUT_SENT:
            core.logged_out(False, core.end_text, {})
            return
        left, text, code = self._carry_out_cancels(), "", 0
        if left:
            missing = f"{core.store.next_in} to {core.gap.missing_end()}"
            text, code = f"MsgSeqNum {missing} did not come: {left} later messages were not executed", BAD_SEQUENCE
        core.begin_logout(PendingLogout(True, "logout", text, SessionStatus.LOGOUT_COMPLETE, code, fields))


def _application(message: DecodedMessage, seq_num: int, size_bytes: int, sent_ns: int, poss_dup: bool) -> AppMessage:
    fields = message.fields
    original_ns = parse_ns(fields[tags.ORIG_SENDING_TIME]) if poss_dup else sent_ns
    poss_resend = fields.get(tags.POSS_RESEND) == "Y"
    return AppMessage(message.msg_type, seq_num, fields, message.groups, poss_dup, poss_resend, original_ns, size_bytes)


def _is_sound(message: DecodedMessage, sent_ns: int) -> bool:
    """Whether the message would be accepted in its turn."""
    fields = message.fields
    if message.fault is not None or tags.ON_BEHALF_OF_COMP_ID in fields or tags.DELIVER_TO_COMP_ID in fields:
        return False
    return fields.get(tags.POSS_DUP_FLAG) != "Y" or _poss_dup_fault(fields, sent_ns) is None


def _fault(reason: int, tag: int, text: str) -> Fault:
    return Fault("reject", reason, tag, text)


def _poss_dup_fault(fields: dict[int, str], sent_ns: int) -> Fault | None:
    """Rows 2.f and 2.g. A SendingTime(52) without decimals is compared in whole seconds."""
    original = fields.get(tags.ORIG_SENDING_TIME)
    if not original:
        return _fault(Reason.REQUIRED_TAG_MISSING, tags.ORIG_SENDING_TIME, "OrigSendingTime(122) is missing")
    try:
        original_ns = parse_ns(original)
    except ValueError:
        text = "OrigSendingTime(122) is no UTCTIMESTAMP"
        return _fault(Reason.INCORRECT_DATA_FORMAT, tags.ORIG_SENDING_TIME, text)
    if len(fields.get(tags.SENDING_TIME, "")) == _WITHOUT_DECIMALS:
        original_ns -= original_ns % NS_PER_S
    if original_ns > sent_ns:
        text = "SendingTime accuracy problem: OrigSendingTime(122) is later than SendingTime(52)"
        return _fault(Reason.SENDING_TIME_ACCURACY_PROBLEM, tags.ORIG_SENDING_TIME, text)
    return None


def _third_party_fault(message: DecodedMessage) -> Fault | None:
    """Row 18: messages on behalf of third parties are not served; session messages are between the two ends only."""
    if message.msg_type in SESSION_MSG_TYPES:
        return None
    if tags.ON_BEHALF_OF_COMP_ID in message.fields:
        return _fault(Reason.COMP_ID_PROBLEM, tags.ON_BEHALF_OF_COMP_ID, "OnBehalfOfCompID(115) is not served")
    return _fault(Reason.COMP_ID_PROBLEM, tags.DELIVER_TO_COMP_ID, "DeliverToCompID(128) is not served")
