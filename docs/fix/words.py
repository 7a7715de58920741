"""What the values of FIX fields mean, in a few words: for the reference and for the published dictionaries.

Only values that Penstock serves or sends are here; the dictionary has every value that may come. In the published
dictionaries a meaning becomes the constant by which engines name the value.
"""

from protocols.fix.tags import SessionRejectReason


def _words(text: str) -> dict[str, str]:
    """`1 buy; 2 sell` as a mapping."""
    pairs = (entry.strip().partition(" ") for entry in text.replace("\n", " ").split(";"))
    return {value: meaning.strip() for value, _, meaning in pairs}


def constants_of(group: type) -> dict[str, int]:
    """The constants of a class of `tags` by name; Python puts numbers of its own beside them (3.13: a line number)."""
    return {name: value for name, value in vars(group).items() if name.isupper() and isinstance(value, int)}


def _named(group: type) -> dict[str, str]:
    """The constants of a class of `tags` by their value, in words."""
    return {str(value): name.replace("_", " ").lower() for name, value in constants_of(group).items()}


MEANINGS: dict[int, dict[str, str]] = {
    18: _words("6 post only"),
    20: _words("0 new; 3 status"),
    39: _words("0 new; 1 partially filled; 2 filled; 4 canceled; 8 rejected; A pending new; C expired"),
    40: _words("1 market; 2 limit; 3 stop; 4 stop limit"),
    54: _words("1 buy; 2 sell; 7 undisclosed"),
    59: _words("0 day; 1 good till cancel; 3 immediate or cancel; 4 fill or kill; 6 good till date"),
    61: _words("0 normal; 1 flash"),
    98: _words("0 none"),
    102: _words("0 too late; 1 unknown order; 2 broker option; 3 already pending; 6 duplicate ClOrdID; 99 other"),
    103: _words(
        """0 broker option; 1 unknown symbol; 2 exchange closed; 3 exceeds limit; 4 too late; 5 unknown order;
        6 duplicate order; 8 stale order; 11 unsupported characteristic; 13 incorrect quantity; 16 price exceeds band;
        18 invalid price increment; 99 other"""
    ),
    139: _words("4 exchange fees"),
    150: _words(
        """0 new; 1 partial fill; 2 fill; 4 canceled; 5 replaced; 8 rejected; A pending new; C expired; D restated;
        F trade; I order status"""
    ),
    373: _named(SessionRejectReason),
    378: _words(
        """4 broker option; 8 market option; 12 cancel on connection loss; 13 cancel on logout;
        18 self match, this order was aggressive; 19 self match, this order was passive; 99 other"""
    ),
    380: _words(
        """0 other; 1 unknown id; 2 unknown security; 3 unsupported message type; 4 application not available;
        5 conditionally required field missing; 6 not authorized; 8 throttle limit exceeded;
        9 throttle limit exceeded, session disconnected"""
    ),
    434: _words("1 cancel; 2 replace"),
    530: _words("1 orders of one symbol; 7 all orders"),
    531: _words("0 rejected; 1 orders of one symbol; 7 all orders"),
    532: _words("99 other"),
    585: _words("1 orders of one symbol; 7 all orders"),
    851: _words("1 added liquidity; 2 removed liquidity"),
    926: _words("9 throttle parameters changed"),
    1409: _words("0 active; 4 logout complete; 7 not now; 9 MsgSeqNum too low; 10 NextExpectedMsgSeqNum too high"),
    1611: _words("2 reject"),
    1612: _words("0 inbound rate; 1 outstanding requests"),
    1615: _words("0 seconds"),
    2964: _words("1 cancel aggressive; 2 cancel passive; 3 cancel both"),
    8013: _words("N nothing; S orders of this session; Y all orders of the account"),
    20102: _words("0 not executed; 1 unknown"),
    20112: _words("A account; S session"),
    25001: _words("1 none; 2 expire taker; 3 expire maker; 4 expire both; 5 decrement"),
    25004: _words("1 order; 2 message; 3 cancel; 4 query; 5 open orders"),
    25008: _words("s seconds"),
    25036: _words("1 everything of the account; 2 own requests and own orders"),
}
"""Tag -> value -> its meaning in a few words, for the values that Penstock serves or sends."""

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
