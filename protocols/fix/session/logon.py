"""Whether a Logon(A) may begin a session, apart from sequence numbers, and the Logon(A) that we send.

The owner has checked before who the peer is; this is about what the Logon requests. The order of the checks decides
which of several errors is named.
"""

from typing import Protocol

import msgspec

from protocols.errors import BAD_FIELD, BAD_SEQUENCE
from protocols.fix import tags
from protocols.fix.decoder import DecodedMessage, Fault
from protocols.fix.session.refusals import code_of
from protocols.fix.session.settings import SessionSettings
from protocols.fix.tags import SOH, SessionStatus
from protocols.fix.tags import SessionRejectReason as Reason
from protocols.fix.times import parse_ns
from protocols.units import NS_PER_S
from protocols.wall import WallClock

_MAX_DIGITS = 18


class LogonRefusal(msgspec.Struct, frozen=True):
    """Why a Logon is answered with a Logout(5).

    reject: a Reject(3) to send before it, None = none. session_status, code: the Logout's SessionStatus(1409) and
    ErrorCode(25016). at_once: do not wait for the peer's Logout.
    """

    reason: str
    text: str
    reject: Fault | None = None
    session_status: int = SessionStatus.LOGOUT_COMPLETE
    code: int = BAD_FIELD
    at_once: bool = False


class LogonPolicy(Protocol):
    """The owner's part in a logon. Called for each valid Logon(A), before anything of the session changes."""

    def objection(self, logon: dict[int, str]) -> LogonRefusal | None:
        """Why this Logon may not begin or restart the session now; None = it may.

        A refused Logon and our Logout(5) use their numbers, except number 1 of a reset that then does not happen.
        """
        ...

    def logon_body(self, logon: dict[int, str], begins_count: bool) -> str:
        """More fields for our answer, SOH-terminated. begins_count: the peer's numbers begin with this Logon, so it
        cannot get what it missed under the old numbers.
        """
        ...


class AcceptAnyLogon:
    """The policy of a session whose owner has set none."""

    def objection(self, logon: dict[int, str]) -> LogonRefusal | None:
        return None

    def logon_body(self, logon: dict[int, str], begins_count: bool) -> str:
        return ""


def whole_number(text: str | None) -> int | None:
    """A number of digits, leading zeros allowed; None for anything else, or over 18 digits."""
    if text and len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit():
        return int(text)
    return None


def refuse_logon(
    settings: SessionSettings, message: DecodedMessage, wall: WallClock, now_ns: int
) -> LogonRefusal | None:
    """What is wrong with the peer's Logon(A), or None."""
    fields = message.fields
    if not _is_sending_time_near(settings, fields.get(tags.SENDING_TIME, ""), wall, now_ns):
        text = f"SendingTime(52) is not a time, or more than {settings.sending_time_tolerance_s} s off"
        return LogonRefusal("sending_time", text)
    encrypt_method = fields.get(tags.ENCRYPT_METHOD, "0")
    if encrypt_method and encrypt_method != "0":
        text = "EncryptMethod(98) must be 0: encrypt the transport"
        fault = Fault("reject", Reason.DECRYPTION_PROBLEM, tags.ENCRYPT_METHOD, text)
        return LogonRefusal("bad_logon", text, fault)
    if not _is_heart_bt_int_served(settings, fields.get(tags.HEART_BT_INT)):
        low, high = settings.heart_bt_int_min_s, settings.heart_bt_int_max_s
        return LogonRefusal("bad_logon", f"HeartBtInt(108) must be {low} to {high} seconds")
    appl_ver_id = fields.get(tags.DEFAULT_APPL_VER_ID)
    if settings.begin_string == "FIXT.1.1" and appl_ver_id != settings.appl_ver_id:
        return LogonRefusal("bad_logon", f"DefaultApplVerID(1137) must be {settings.appl_ver_id}")
    if tags.DEFAULT_CSTM_APPL_VER_ID in fields:
        return LogonRefusal("bad_logon", "DefaultCstmApplVerID(1408) is not supported: leave it out")
    if message.fault is not None:
        return LogonRefusal("bad_logon", message.fault.text, code=code_of(message.fault))
    if fields.get(tags.RESET_SEQ_NUM_FLAG) == "Y" and whole_number(fields.get(tags.MSG_SEQ_NUM)) != 1:
        return LogonRefusal("bad_logon", "ResetSeqNumFlag(141)=Y needs MsgSeqNum(34)=1")
    return None


def too_low(next_in: int, seq_num: int) -> LogonRefusal:
    """Row 2.c: one side has lost count, and no message can correct that."""
    text = f"MsgSeqNum too low, expecting {next_in} but received {seq_num}"
    return LogonRefusal("bad_sequence", text, None, SessionStatus.MSG_SEQ_NUM_TOO_LOW, BAD_SEQUENCE, at_once=True)


def expects_too_much(next_out: int, wanted: int) -> LogonRefusal:
    """NextExpectedMsgSeqNum(789) is higher than the number that we send next."""
    text = f"NextExpectedMsgSeqNum(789) too high, expecting {next_out} at most but received {wanted}"
    status = SessionStatus.NEXT_EXPECTED_MSG_SEQ_NUM_TOO_HIGH
    return LogonRefusal("bad_sequence", text, None, status, BAD_SEQUENCE, at_once=True)


def _is_sending_time_near(settings: SessionSettings, text: str, wall: WallClock, now_ns: int) -> bool:
    try:
        return abs(wall.ahead_ns(parse_ns(text), now_ns)) <= settings.sending_time_tolerance_s * NS_PER_S
    except ValueError:
        return False


def _is_heart_bt_int_served(settings: SessionSettings, text: str | None) -> bool:
    heart_bt_int_s = whole_number(text)
    return heart_bt_int_s is not None and settings.heart_bt_int_min_s <= heart_bt_int_s <= settings.heart_bt_int_max_s


def logon_body(
    settings: SessionSettings, heart_bt_int_s: int, reset: bool, next_expected: int | None, more: str
) -> str:
    """The Logon(A) we send. next_expected: NextExpectedMsgSeqNum(789), None = left out. more: the owner's fields."""
    parts = [f"98=0{SOH}108={heart_bt_int_s}{SOH}"]
    if reset:
        parts.append(f"141=Y{SOH}")
    if next_expected is not None:
        parts.append(f"789={next_expected}{SOH}")
    if settings.begin_string == "FIXT.1.1":
        parts.append(f"1137={settings.appl_ver_id}{SOH}")
    if settings.role == "acceptor" and not settings.plain:
        parts.append(f"1409={SessionStatus.ACTIVE}{SOH}")
    parts.append(more)
    return "".join(parts)
