"""Which fields of each message Penstock reads or sends, what it does with them, and what their values mean.

The dictionary has what may be in a message; this module has what matters. A test compares it with the code: REPORTS
lists exactly what the translation sends, per version and dialect. In the published dictionaries a value's meaning
becomes the constant by which engines name the value.
"""

from functools import cache
from typing import NamedTuple

from docs.fix.words import constants_of
from protocols.fix.dictionary.messages import LAYOUTS
from protocols.fix.dictionary.tables import VERSIONS, Table, for_version
from protocols.fix.tags import MsgType, SessionRejectReason


class Use(NamedTuple):
    """One field of one message. need: `yes`, `no`, or when. note: what happens to it.

    versions: of the sessions that have it, if not all versions that the dictionary has do.
    """

    tag: int
    need: str
    note: str = ""
    versions: tuple[str, ...] = ()


class Spoken(NamedTuple):
    """One message of one direction. about: one sentence."""

    msg_type: str
    about: str
    uses: tuple[Use, ...]


_AFTER_42 = ("FIX.4.4", "FIXT.1.1")
_BY_41 = "one of 41, 37"

HEADER: tuple[Use, ...] = (
    Use(8, "yes", "first; the session's version"),
    Use(9, "yes", "second; trusted up to `max_message_bytes`"),
    Use(35, "yes", "third"),
    Use(34, "yes", "leading zeros are accepted"),
    Use(49, "yes"),
    Use(56, "yes"),
    Use(52, "yes", "in: whole seconds, or 3, 6 or 9 decimals; out: 6 decimals, `plain` 3"),
    Use(43, "on a resend", "`Y`: it may have been received before"),
    Use(122, "on a resend", "when it was first sent; not later than 52"),
    Use(97, "no", "`Y` on D, G: sent again under a new number; a known ClOrdID(11) is answered with the order's state"),
    Use(369, "no", "sent if the session is configured so"),
    Use(115, "no", "third-party routing is not served: Reject(3) 373=9"),
    Use(128, "no", "third-party routing is not served: Reject(3) 373=9"),
    Use(1128, "no", "in: 9; otherwise Reject(3) 373=18", ("FIXT.1.1",)),
    Use(1129, "no", "custom versions are not served: Reject(3) 373=18", ("FIXT.1.1",)),
)

SESSION: tuple[Spoken, ...] = (
    Spoken(
        "A",
        "Opens the session, in both directions.",
        (
            Use(98, "yes", "0 only"),
            Use(108, "yes", "seconds, 1-60 unless configured otherwise; echoed"),
            Use(141, "no", "`Y` with 34=1: both sides start again at 1; echoed"),
            Use(789, "no", "the number that the sender expects next; it gets a replay without a ResendRequest(2)"),
            Use(553, "with a key", "in: API key id; FIX.4.2 has none, so there the CompID names the key"),
            Use(95, "with a key", "in: length of 96"),
            Use(96, "with a key", "in: signature, base64"),
            Use(554, "instead of 96", "in: the same signature, for engines that cannot send data fields"),
            Use(1137, "yes", "9 = FIX.5.0SP2; echoed", ("FIXT.1.1",)),
            Use(
                25000,
                "no",
                "how long after 52 the signature is valid, 5000 ms at most; out, with a key: the value in force",
            ),
            Use(8013, "no", "cancel on disconnect; out: the value in force"),
            Use(20107, "no", "wait after a lost connection before cancelling; out: the value in force"),
            Use(25036, "no", "which reports to send; out: the value in force"),
            Use(9406, "on drop copy", "in: must be `Y` there; out: the value in force"),
            Use(58, "always", "out: the session's limits"),
            Use(1409, "always", "out: 0"),
            Use(20105, "after a reset", "out: number of the account's latest event"),
            Use(20106, "always", "out: incarnation of the account's event stream"),
        ),
    ),
    Spoken("0", "Says that the sender is alive.", (Use(112, "on a TestRequest(1)", "its id, unchanged"),)),
    Spoken("1", "Requests a Heartbeat(0).", (Use(112, "yes"),)),
    Spoken(
        "2",
        "Requests messages again: application messages come with 43=Y, session messages as one gap fill per run.",
        (Use(7, "yes"), Use(16, "yes", "0 = to the latest; so is any number beyond it")),
    ),
    Spoken(
        "3",
        "A rule of the session layer was broken; the session continues unless a Logout(5) follows.",
        (
            Use(45, "always"),
            Use(371, "one field is to blame"),
            Use(372, "always"),
            Use(373, "always", "FIX.4.2 knows 0-11: any other reason is given only in 58"),
            Use(25016, "always"),
            Use(58, "always"),
        ),
    ),
    Spoken(
        "4",
        "Moves the next expected number.",
        (Use(36, "yes", "the next number; never lower than expected"), Use(123, "no", "`Y` gap fill, else hard reset")),
    ),
    Spoken(
        "5",
        "Ends the session.",
        (
            Use(58, "no", "out: always"),
            Use(9003, "no", "in: `Y` leaves the orders, even with 8013 on"),
            Use(1409, "no", "out: on each Logout(5) that we send for a reason"),
            Use(25016, "no", "out: that reason's code"),
        ),
    ),
)

REQUESTS: tuple[Spoken, ...] = (
    Spoken(
        "D",
        "Places an order.",
        (
            Use(11, "yes", "1-36 of `A-Z a-z 0-9 . _ : / -`; new in the account"),
            Use(55, "yes"),
            Use(54, "yes", "1, 2"),
            Use(40, "yes", "1-4"),
            Use(38, "unless 152", "whole lots"),
            Use(152, "unless 38", "market orders only: the amount to spend or raise in the quote currency"),
            Use(44, "40=2, 4", "whole ticks; refused on 40=1, 3"),
            Use(99, "40=3, 4", "refused on 40=1, 2"),
            Use(59, "no", "0, 1, 3, 4, 6; without it: market orders 3, others 1 (0 where the market closes)"),
            Use(126, "59=6", "refused with any other 59"),
            Use(18, "no", "6 only; not with 59=3, 4"),
            Use(110, "no"),
            Use(111, "no", "over 0"),
            Use(1, "no", "the session's account; repeated in each report of the order"),
            Use(526, "no", "at most 36 characters, echoed; a mass cancel can name it"),
            Use(25001, "no", "self-match prevention"),
            Use(2964, "no", "the same as a standard field; if both are there they must agree"),
            Use(2362, "no", "group of orders that must not match each other"),
            Use(20103, "no", "`Y`: survives a disconnect"),
            Use(25000, "no", "validity in ms after 52 (with 43=Y after 122), at most 60000"),
            Use(60, "no", "with 97=Y: that of the first attempt"),
        ),
    ),
    Spoken(
        "F",
        "Cancels one order. Never limited by a validity window.",
        (
            Use(11, "yes", "new"),
            Use(41, _BY_41, "any ClOrdID(11) of the order's chain"),
            Use(37, _BY_41, "if both are there they must name the same order; `NONE` counts as absent"),
            Use(55, "yes"),
        ),
    ),
    Spoken(
        "G",
        "Replaces price and quantity of one order, which keeps its OrderID(37).",
        (
            Use(11, "yes", "new"),
            Use(41, _BY_41, "any ClOrdID(11) of the order's chain"),
            Use(37, _BY_41, "if both are there they must name the same order"),
            Use(55, "yes"),
            Use(38, "yes", "the total, including what is filled"),
            Use(44, "limit orders"),
            Use(99, "stop orders"),
            Use(40, "no", "must be the order's"),
            Use(54, "no", "must be the order's"),
            Use(111, "no", "over 0"),
            Use(18, "no", "6 only"),
            Use(25000, "no", "as on D"),
            Use(60, "no", "as on D"),
            Use(1, "no", "as on D; from now on repeated in each report of the order"),
            Use(59, "no", "must be the order's"),
            Use(126, "no", "must be the order's"),
            Use(110, "no", "must be the order's"),
            Use(526, "no", "ignored: the order keeps its own"),
        ),
    ),
    Spoken(
        "H",
        "Requests the state of one order.",
        (
            Use(37, "one of 37, 11"),
            Use(11, "one of 37, 11"),
            Use(55, "no"),
            Use(790, "no", "echoed"),
        ),
    ),
    Spoken(
        "AF",
        "Requests the state of all open orders.",
        (Use(584, "yes", "echoed"), Use(585, "yes", "1, 7"), Use(55, "585=1")),
    ),
    Spoken(
        "q",
        "Cancels many orders. Never limited.",
        (
            Use(11, "yes", "new"),
            Use(530, "yes", "1, 7"),
            Use(55, "530=1"),
            Use(54, "no", "this side only"),
            Use(526, "no", "orders with this tag only"),
            Use(20112, "no", "`S`: orders of this session only"),
        ),
    ),
    Spoken("XLQ", "Requests the limits and what is left of them.", (Use(6136, "yes", "echoed"),)),
)

_REFUSAL = (
    Use(25016, "on a refusal", "the code"),
    Use(20101, "known", "earliest useful resend"),
    Use(20102, "on a refusal", "whether the request may be live"),
    Use(58, "on a refusal", "the reason in words; never parse it"),
)
_RECEIVED = Use(20104, "answers a request", "when the request was received")
_STREAM = Use(20105, "always", "number of the event in the account's stream; 0 = not an event of the stream")

REPORTS: tuple[Spoken, ...] = (
    Spoken(
        "8",
        "What happened to an order, or its state.",
        (
            Use(37, "always", "`NONE` when there is no order, or when 11 was used before: 58 names that order"),
            Use(11, "always", "`NONE` when the request named none"),
            Use(41, "150=4, 5", "the id that the order had; on a status: the requested id, if it has another now"),
            Use(584, "answers AF", "", _AFTER_42),
            Use(911, "answers AF", "how many reports there are", _AFTER_42),
            Use(912, "answers AF", "`Y` on the last", _AFTER_42),
            Use(790, "answers H", "if it had one", _AFTER_42),
            Use(17, "always", "unique; also on refusals"),
            Use(20, "always", "3 on a status, otherwise 0", ("FIX.4.2",)),
            Use(150, "always", "FIX.4.2 has no F and no I: a fill is 1 or 2, a status repeats 39"),
            Use(39, "always"),
            Use(103, "150=8, unknown order"),
            Use(378, "150=4 unasked, D", "stock dictionaries end at 11: `plain` has 99 for higher values"),
            Use(55, "always", "`[N/A]` when unknown"),
            Use(54, "always", "7 when unknown"),
            Use(38, "known"),
            Use(40, "known"),
            Use(44, "known"),
            Use(99, "known"),
            Use(59, "known"),
            Use(18, "post-only"),
            Use(31, "150=F", "price of this fill"),
            Use(32, "150=F", "quantity of this fill"),
            Use(1003, "150=F", "id of the trade", ("FIX.4.2", "FIX.4.4")),
            Use(880, "150=F", "id of the trade", ("FIXT.1.1",)),
            Use(851, "150=F", "", _AFTER_42),
            Use(136, "150=F with a fee", "one entry", _AFTER_42),
            Use(14, "always"),
            Use(151, "always"),
            Use(6, "always"),
            Use(25017, "something has traded", "quote amount traded so far"),
            Use(60, "always", "the core's time"),
            Use(526, "D had it", "", _AFTER_42),
            Use(1, "the order had it"),
            _RECEIVED,
            _STREAM,
            *_REFUSAL,
        ),
    ),
    Spoken(
        "9",
        "A cancel or replace was refused.",
        (
            Use(37, "always", "`NONE` when there is no order"),
            Use(11, "always"),
            Use(41, "always", "`NONE` when the request named none"),
            Use(39, "always", "the order's state; 8 only if unknown, A if on its way"),
            Use(434, "always"),
            Use(102, "always"),
            Use(60, "always"),
            Use(1, "the request had it"),
            _RECEIVED,
            _STREAM,
            *_REFUSAL,
        ),
    ),
    Spoken(
        "r",
        "A mass cancel is done (after the report of each order), or was refused.",
        (
            Use(37, "always"),
            Use(11, "always"),
            Use(1369, "always", "", ("FIXT.1.1",)),
            Use(530, "always", "echoed"),
            Use(531, "always", "530, or 0 when refused"),
            Use(532, "531=0", "99; `plain`: 1 = unknown symbol, otherwise 0"),
            Use(533, "always", "orders cancelled"),
            Use(55, "the request had it"),
            Use(54, "the request had it"),
            Use(60, "always"),
            _RECEIVED,
            _STREAM,
            *_REFUSAL,
        ),
    ),
    Spoken(
        "j",
        "A refusal without a message of its own, or an unknown outcome.",
        (
            Use(45, "always"),
            Use(372, "always"),
            Use(379, "the request had one", "its id"),
            Use(380, "always"),
            *_REFUSAL,
        ),
    ),
    Spoken(
        "B",
        "A notice for people: a drain, a halt, changed limits.",
        (Use(148, "always"), Use(61, "always"), Use(33, "always", "one entry")),
    ),
    Spoken(
        "CB",
        "Limits changed, in standard fields. Sent instead of News(B) with `notify_limits = \"standard\"`.",
        (
            Use(926, "always", "9"),
            Use(1610, "always", "one entry per limit"),
            Use(58, "no"),
        ),
    ),
    Spoken(
        "XLR",
        "The limits, one entry for each.",
        (
            Use(6136, "always", "that of the request"),
            Use(25003, "always", "one entry per limit"),
        ),
    ),
)  # fmt: skip

GROUPS: dict[int, tuple[Use, ...]] = {
    33: (Use(58, "always"),),
    136: (Use(137, "always", "negative: you receive it"), Use(138, "always"), Use(139, "always")),
    1610: (
        Use(1611, "always"),
        Use(1612, "always"),
        Use(1613, "always", "messages per interval, or the most that may be outstanding"),
        Use(1614, "rates", "seconds"),
        Use(1615, "rates"),
        Use(1618, "the limit covers some messages only"),
    ),
    1618: (Use(1619, "always"),),
    25003: (
        Use(25004, "always"),
        Use(25005, "always", "used"),
        Use(25006, "always", "capacity"),
        Use(25007, "rates", "time in which an empty bucket fills"),
        Use(25008, "rates"),
        Use(20108, "always", "its name in the operators' files"),
        Use(20109, "always", "what it applies to: `session`, `account`, ..."),
        Use(20110, "rates", "tokens per second"),
        Use(20111, "always", "what is left, whole tokens"),
    ),
}
"""Count tag -> the fields that we send of each entry of its group."""


def _words(text: str) -> dict[str, str]:
    """`1 buy; 2 sell` as a mapping."""
    pairs = (entry.strip().partition(" ") for entry in text.replace("\n", " ").split(";"))
    return {value: meaning.strip() for value, _, meaning in pairs}


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

OF_NO_PLAIN_SESSION = frozenset((MsgType.LIMIT_QUERY, MsgType.LIMIT_RESPONSE, MsgType.USER_NOTIFICATION))
"""The messages that only sessions of dialect `penstock` have."""

_LEFT_OUT_OF_PLAIN = frozenset((1003, 1409))

ENVELOPE: frozenset[int] = frozenset((9, 10, *(use.tag for use in HEADER)))
"""The tags around every body."""


@cache
def _standard(version: str) -> dict[str, frozenset[int]]:
    """MsgType(35) -> the tags of its body that the standard has."""
    table = Table(LAYOUTS[version])
    return {row.key: frozenset(table.members(row.tokens)[0]) for row in table.rows}


def has(version: str, dialect: str, msg_type: str) -> bool:
    """Whether such a session has this message."""
    if dialect == "plain" and msg_type in OF_NO_PLAIN_SESSION:
        return False
    return msg_type in for_version(version).messages


def is_used(version: str, dialect: str, msg_type: str, use: Use) -> bool:
    """Whether such a session has this field in this message."""
    if not has(version, dialect, msg_type) or version not in (use.versions or VERSIONS):
        return False
    if use.tag not in for_version(version).messages[msg_type].members:
        return False
    return dialect == "penstock" or use.tag in _standard(version)[msg_type] - _LEFT_OUT_OF_PLAIN


def sent_tags(msg_type: str, version: str, dialect: str) -> set[int]:
    """The tags that the body of our message may have, including members of its groups; none if it is not sent."""
    tags: set[int] = set()
    for message in (*SESSION, *REPORTS):
        if message.msg_type == msg_type:
            tags.update(use.tag for use in message.uses if is_used(version, dialect, msg_type, use))
    inner = [use.tag for count in tags & GROUPS.keys() for use in GROUPS[count]]
    return tags.union(inner, *([use.tag for use in GROUPS[count]] for count in GROUPS.keys() & set(inner)))
