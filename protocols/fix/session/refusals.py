"""The bodies of the session's refusals: Reject(3), BusinessMessageReject(j), Logout(5).

They differ by version and dialect: FIX.4.2 has SessionRejectReason(373) up to 11, and only the penstock dialect has
ErrorCode(25016), SessionStatus(1409) and Outcome(20102). A body has routing fields first and then ascends by tag, as
the common engines write it.
"""

from protocols.errors import BAD_FIELD, BAD_SEQUENCE, MALFORMED, MISSING_FIELD, UNKNOWN_METHOD
from protocols.fix import tags
from protocols.fix.decoder import Fault
from protocols.fix.events import Fields
from protocols.fix.session.settings import SessionSettings
from protocols.fix.tags import SOH, MsgType
from protocols.fix.tags import BusinessRejectReason as Business
from protocols.fix.tags import SessionRejectReason as Reason

_REVERSED = (
    (tags.DELIVER_TO_COMP_ID, tags.ON_BEHALF_OF_COMP_ID),
    (tags.DELIVER_TO_SUB_ID, tags.ON_BEHALF_OF_SUB_ID),
    (tags.ON_BEHALF_OF_COMP_ID, tags.DELIVER_TO_COMP_ID),
    (tags.ON_BEHALF_OF_SUB_ID, tags.DELIVER_TO_SUB_ID),
    (tags.DELIVER_TO_LOCATION_ID, tags.ON_BEHALF_OF_LOCATION_ID),
    (tags.ON_BEHALF_OF_LOCATION_ID, tags.DELIVER_TO_LOCATION_ID),
)
"""Tag that is read, and tag in which it is returned; ascending by the latter."""
_IDS = (
    tags.CL_ORD_ID, tags.QUOTE_ID, tags.MASS_STATUS_REQ_ID, tags.ORD_STATUS_REQ_ID, tags.REQ_ID
)  # fmt: skip
_CODES = {
    Reason.REQUIRED_TAG_MISSING: MISSING_FIELD,
    Reason.VALUE_OUT_OF_RANGE: BAD_FIELD,
    Reason.INCORRECT_DATA_FORMAT: BAD_FIELD,
    Reason.INVALID_MSG_TYPE: UNKNOWN_METHOD,
    Reason.UNSUPPORTED_APPLICATION_VERSION: BAD_FIELD,
}
_BUSINESS_CODES = {
    Business.UNSUPPORTED_MESSAGE_TYPE: UNKNOWN_METHOD,
    Business.CONDITIONALLY_REQUIRED_FIELD_MISSING: MISSING_FIELD,
}
_WORDS = {
    Reason.INVALID_TAG_NUMBER: "Invalid tag number",
    Reason.REQUIRED_TAG_MISSING: "Required tag missing",
    Reason.TAG_NOT_DEFINED_FOR_MESSAGE_TYPE: "Tag not defined for this message type",
    Reason.UNDEFINED_TAG: "Undefined tag",
    Reason.TAG_WITHOUT_VALUE: "Tag specified without a value",
    Reason.VALUE_OUT_OF_RANGE: "Value is incorrect (out of range) for this tag",
    Reason.INCORRECT_DATA_FORMAT: "Incorrect data format for value",
    Reason.DECRYPTION_PROBLEM: "Decryption problem",
    Reason.SIGNATURE_PROBLEM: "Signature problem",
    Reason.COMP_ID_PROBLEM: "CompID problem",
    Reason.SENDING_TIME_ACCURACY_PROBLEM: "SendingTime accuracy problem",
    Reason.INVALID_MSG_TYPE: "Invalid MsgType",
    Reason.XML_VALIDATION_ERROR: "XML validation error",
    Reason.TAG_APPEARS_MORE_THAN_ONCE: "Tag appears more than once",
    Reason.TAG_OUT_OF_ORDER: "Tag specified out of required order",
    Reason.GROUP_FIELDS_OUT_OF_ORDER: "Repeating group fields out of order",
    Reason.INCORRECT_NUM_IN_GROUP: "Incorrect NumInGroup count for repeating group",
    Reason.VALUE_HAS_DELIMITER: "Non-data value includes field delimiter",
    Reason.UNSUPPORTED_APPLICATION_VERSION: "Invalid/Unsupported Application Version",
}
"""The standard's words for each SessionRejectReason(373). Text(58) begins with them: people and log scanners know them
from every engine, and in FIX.4.2 they replace the reasons that have no number there.
"""
_BUSINESS_WORDS = {
    Business.UNSUPPORTED_MESSAGE_TYPE: "Unsupported Message Type",
    Business.CONDITIONALLY_REQUIRED_FIELD_MISSING: "Conditionally Required Field Missing",
}
_REF_MSG_TYPE_MAX = 32
_TEXT_MAX = 256
_FIX42_LAST_REASON = Reason.INVALID_MSG_TYPE
_STOCK_LAST_REASON = Reason.VALUE_HAS_DELIMITER  # except 99: no stock dictionary has 18


def code_of(fault: Fault) -> int:
    """ErrorCode(25016) of a fault."""
    return _CODES.get(fault.reason, MALFORMED)


def reject_body(settings: SessionSettings, seq_num: int, msg_type: str, fault: Fault, fields: Fields) -> str:
    """Reject(3) for message `seq_num`. fields: of the refused message, for its routing; may be empty."""
    parts = [
        *_reverse_route(fields),
        f"45={seq_num}",
        f"58={_explained(_WORDS.get(fault.reason), fault.text)}",
        f"371={fault.tag}",
    ]
    if msg_type:
        parts.append(f"372={_printable(msg_type, _REF_MSG_TYPE_MAX)}")
    if settings.begin_string != "FIX.4.2" or fault.reason <= _FIX42_LAST_REASON:
        is_stock = fault.reason <= _STOCK_LAST_REASON or not settings.plain
        parts.append(f"373={fault.reason if is_stock else Reason.OTHER}")
    if not settings.plain:
        sequence = (msg_type == MsgType.SEQUENCE_RESET and fault.tag == tags.NEW_SEQ_NO) or (
            fault.tag == tags.MSG_SEQ_NUM and fault.reason == Reason.OTHER
        )
        parts.append(f"25016={BAD_SEQUENCE if sequence else code_of(fault)}")
    return _join(parts)


def business_body(settings: SessionSettings, seq_num: int, msg_type: str, fault: Fault, fields: Fields) -> str:
    """BusinessMessageReject(j) for message `seq_num`, with the id it carries, if any."""
    parts = [
        *_reverse_route(fields),
        f"45={seq_num}",
        f"58={_explained(_BUSINESS_WORDS.get(fault.reason), fault.text)}",
        f"372={_printable(msg_type, _REF_MSG_TYPE_MAX)}",
    ]
    ref_id = next((fields[tag] for tag in _IDS if fields.get(tag)), "")
    if ref_id:
        parts.append(f"379={ref_id}")
    parts.append(f"380={fault.reason}")
    if not settings.plain:
        parts += ["20102=0", f"25016={_BUSINESS_CODES.get(fault.reason, MALFORMED)}"]
    return _join(parts)


def logout_body(settings: SessionSettings, text: str, session_status: int | None, code: int = 0) -> str:
    """Logout(5). session_status, code: sent in the penstock dialect only; None and 0 = left out."""
    parts = [f"58={_printable(text, _TEXT_MAX)}"] if text else []
    if not settings.plain:
        if session_status is not None:
            parts.append(f"1409={session_status}")
        if code:
            parts.append(f"25016={code}")
    return _join(parts)


def _reverse_route(fields: Fields) -> list[str]:
    """The routing fields of a message, reversed; an empty one is itself a fault and is left out."""
    return [f"{back}={fields[there]}" for there, back in _REVERSED if fields.get(there)]


def _explained(words: str | None, text: str) -> str:
    """The standard's words, then what is wrong here."""
    return _printable(text if not words or text.startswith(words) else f"{words}: {text}", _TEXT_MAX)


def _printable(text: str, max_chars: int) -> str:
    """Text that may quote the peer, made safe: it cannot end the field, and its length is bounded."""
    return text[:max_chars].replace(SOH, "?")


def _join(parts: list[str]) -> str:
    return "".join([part + SOH for part in parts])
