"""Words of the FIX pages: what tables call the versions, and when each reject reason is sent."""


def constants_of(group: type) -> dict[str, int]:
    """The constants of a class of `tags` by name; Python puts numbers of its own beside them (3.13: a line number)."""
    return {name: value for name, value in vars(group).items() if name.isupper() and isinstance(value, int)}


NAMES: dict[str, str] = {"FIX.4.2": "4.2", "FIX.4.4": "4.4", "FIXT.1.1": "5.0SP2"}
"""What tables call the versions."""

WHEN_REJECTED: dict[int, str] = {
    0: "the version has no such tag",
    1: "a required field is missing",
    2: "a standard field that does not belong in this message",
    3: "never",
    4: "a field without a value",
    5: "a value outside the enumeration, or one that we do not allow (an id that is too long)",
    6: "a value of the wrong type",
    7: "EncryptMethod(98) other than 0",
    8: "never: a wrong signature gets no answer",
    9: "SenderCompID(49) or TargetCompID(56) is not the session's, then Logout(5); third-party addressing",
    10: "SendingTime(52) too far off, or OrigSendingTime(122) later than it; then Logout(5)",
    11: "the standard does not have this MsgType(35)",
    12: "never",
    13: "a field that occurs twice outside a group",
    14: "a header field in the body, or a body field in the trailer",
    15: "a group's fields out of order, or an entry without its first field",
    16: "a group's count does not match its entries",
    17: "never: SOH inside a field makes the message garbled, and it is ignored",
    18: "ApplVerID(1128) other than the served version, or a CstmApplVerID(1129)",
    99: "a second Logon(A) in a running session, without 141=Y; a request that came early and was then filled over",
}
"""SessionRejectReason(373) -> when Penstock sends it."""
