"""The bodies with which a session says no: Reject(3), BusinessMessageReject(j), Logout(5).

They differ by version and dialect: FIX.4.2 knows SessionRejectReason(373) up to 11, and only the penstock dialect
explains with ErrorCode(25016), SessionStatus(1409) and Outcome(20102). Bodies begin behind the header, routing first.
"""

from protocols.errors import BAD_FIELD, BAD_SEQUENCE, MALFORMED, MISSING_FIELD, UNKNOWN_METHOD
from protocols.fix import tags
from protocols.fix.decoder import Fault
from protocols.fix.session_settings import SessionSettings
from protocols.fix.tags import SOH, MsgType
from protocols.fix.tags import BusinessRejectReason as Business
from protocols.fix.tags import SessionRejectReason as Reason

Fields = dict[int, str]

_REVERSED = (
    (tags.ON_BEHALF_OF_COMP_ID, tags.DELIVER_TO_COMP_ID),
    (tags.ON_BEHALF_OF_SUB_ID, tags.DELIVER_TO_SUB_ID),
    (tags.ON_BEHALF_OF_LOCATION_ID, tags.DELIVER_TO_LOCATION_ID),
    (tags.DELIVER_TO_COMP_ID, tags.ON_BEHALF_OF_COMP_ID),
    (tags.DELIVER_TO_SUB_ID, tags.ON_BEHALF_OF_SUB_ID),
    (tags.DELIVER_TO_LOCATION_ID, tags.ON_BEHALF_OF_LOCATION_ID),
)
_IDS = (
    tags.CL_ORD_ID, tags.QUOTE_ID, tags.MASS_STATUS_REQ_ID, tags.ORD_STATUS_REQ_ID, tags.REQ_ID
)  # fmt: skip
_CODES = {
    Reason.REQUIRED_TAG_MISSING: MISSING_FIELD,
    Reason.VALUE_OUT_OF_RANGE: BAD_FIELD,
    Reason.INCORRECT_DATA_FORMAT: BAD_FIELD,
    Reason.INVALID_MSG_TYPE: UNKNOWN_METHOD,
}
_BUSINESS_CODES = {
    Business.UNSUPPORTED_MESSAGE_TYPE: UNKNOWN_METHOD,
    Business.CONDITIONALLY_REQUIRED_FIELD_MISSING: MISSING_FIELD,
}
_REF_MSG_TYPE_MAX = 32
_TEXT_MAX = 256
_FIX42_LAST_REASON = Reason.INVALID_MSG_TYPE


def reject_body(settings: SessionSettings, seq_num: int, msg_type: str, fault: Fault, fields: Fields) -> str:
    """Reject(3) for message `seq_num`. fields: of the refused message, for its routing; may be empty."""
    parts = [
        *_reverse_route(fields),
        f"45={seq_num}",
        f"371={fault.tag}",
        f"372={_printable(msg_type, _REF_MSG_TYPE_MAX)}",
    ]
    if settings.begin_string != "FIX.4.2" or fault.reason <= _FIX42_LAST_REASON:
        parts.append(f"373={fault.reason}")
    if not settings.plain:
        sequence = msg_type == MsgType.SEQUENCE_RESET and fault.tag == tags.NEW_SEQ_NO
        parts.append(f"25016={BAD_SEQUENCE if sequence else _CODES.get(fault.reason, MALFORMED)}")
    parts.append(f"58={_printable(fault.text, _TEXT_MAX)}")
    return _join(parts)


def business_body(settings: SessionSettings, seq_num: int, msg_type: str, fault: Fault, fields: Fields) -> str:
    """BusinessMessageReject(j) for message `seq_num`, with the id it carries, if any."""
    parts = [*_reverse_route(fields), f"45={seq_num}", f"372={_printable(msg_type, _REF_MSG_TYPE_MAX)}"]
    ref_id = next((fields[tag] for tag in _IDS if fields.get(tag)), "")
    if ref_id:
        parts.append(f"379={ref_id}")
    parts.append(f"380={fault.reason}")
    if not settings.plain:
        parts += [f"25016={_BUSINESS_CODES.get(fault.reason, MALFORMED)}", "20102=0"]
    parts.append(f"58={_printable(fault.text, _TEXT_MAX)}")
    return _join(parts)


def logout_body(settings: SessionSettings, text: str, session_status: int | None, code: int = 0) -> str:
    """Logout(5). session_status, code: told in the penstock dialect only; None and 0 = neither."""
    parts = [f"58={_printable(text, _TEXT_MAX)}"] if text else []
    if not settings.plain:
        if session_status is not None:
            parts.append(f"1409={session_status}")
        if code:
            parts.append(f"25016={code}")
    return _join(parts)


def _reverse_route(fields: Fields) -> list[str]:
    """The third parties of a message the other way round; an empty one is a fault of its own and is not returned."""
    return [f"{back}={fields[there]}" for there, back in _REVERSED if fields.get(there)]


def _printable(text: str, max_chars: int) -> str:
    """Text that may hold what the peer sent, so that it can neither end a field nor grow without bound."""
    return text[:max_chars].replace(SOH, "?")


def _join(parts: list[str]) -> str:
    return "".join([part + SOH for part in parts])
