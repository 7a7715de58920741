"""The terms of an order, read field by field: each reader returns a value for a command, or raises a `Rejection`.

A field that would change what an order means, and that the core does not honour, is refused (`check_honoured`), never
ignored. Text that goes to the core (ids, tags) is bounded here: a message may have 64 KiB, an order must not.
"""

from typing import TypeVar

import msgspec

from protocols.errors import BAD_FIELD, BAD_QUANTITY, MISSING_FIELD, UNKNOWN_ORDER, UNSUPPORTED_COMBINATION, Refusal
from protocols.fix.decoder import Fault
from protocols.fix.dictionary.tables import VERSIONS, for_version
from protocols.fix.events import AppMessage, Fields
from protocols.fix.tags import (
    CASH_ORDER_QTY,
    CL_ORD_ID,
    COD_EXEMPT,
    EXEC_INST,
    EXPIRE_TIME,
    MAX_FLOOR,
    MIN_QTY,
    ORDER_ID,
    ORDER_QTY,
    ORIG_CL_ORD_ID,
    RECV_WINDOW,
    SELF_MATCH_PREVENTION_ID,
    SELF_MATCH_PREVENTION_INSTRUCTION,
    SELF_TRADE_PREVENTION_MODE,
    STOP_PX,
    TIME_IN_FORCE,
    MsgType,
    SessionRejectReason,
)
from protocols.fix.times import parse_ns
from protocols.instruments import Inexact, Instrument, parse
from protocols.messages import COD_EXEMPT as SURVIVES_DISCONNECT
from protocols.messages import POST_ONLY, OrdType, Side, Stp, Tif
from protocols.order_terms import MAX_LABEL, default_tif, is_cl_ord_id, is_label, order_id_of

_T = TypeVar("_T")

# Looking up a member on its Enum class costs more than parsing a price: done once, for the hot path.
MARKET, LIMIT, STOP, STOP_LIMIT = OrdType.MARKET, OrdType.LIMIT, OrdType.STOP, OrdType.STOP_LIMIT
IOC, FOK, GTD = Tif.IOC, Tif.FOK, Tif.GTD

# The enums have FIX's own values.
SIDES = {str(side.value): side for side in Side}
ORD_TYPES = {str(ord_type.value): ord_type for ord_type in OrdType}
TIFS = {str(tif.value): tif for tif in Tif}
_STPS = {str(stp.value): stp for stp in Stp if stp is not Stp.DEFAULT}
_SMP_INSTRUCTIONS = {"1": Stp.EXPIRE_TAKER, "2": Stp.EXPIRE_MAKER, "3": Stp.EXPIRE_BOTH}

_NAMED_BY = {
    MsgType.ORDER_CANCEL_REQUEST: ORIG_CL_ORD_ID,
    MsgType.ORDER_CANCEL_REPLACE_REQUEST: ORIG_CL_ORD_ID,
    MsgType.ORDER_STATUS_REQUEST: CL_ORD_ID,
}
_MAX_RECV_WINDOW_NS = 60_000_000_000
_RECV_WINDOW_EXP = 6  # milliseconds with six decimals are nanoseconds

# Fields of the standard that change what an order means, and that the core does not honour. The value, if there is one,
# is the only one that changes nothing (a price per unit, a quantity in units).
NOT_HONOURED = {
    168: "",  # EffectiveTime
    192: "",  # OrderQty2
    210: "",  # MaxShow
    211: "",  # PegOffsetValue
    388: "",  # DiscretionInst
    389: "",  # DiscretionOffsetValue
    423: "2",  # PriceType
    432: "",  # ExpireDate: a GTD order names its ExpireTime(126)
    516: "",  # OrderPercent
    640: "",  # Price2
    847: "",  # TargetStrategy
    854: "0",  # QtyType
    1089: "",  # MatchIncrement
    1090: "",  # MaxPriceLevels
    1094: "",  # PegPriceType
    1100: "",  # TriggerType
    1138: "",  # DisplayQty
    1629: "",  # ExposureDuration
}
RARE = frozenset(NOT_HONOURED) | {
    STOP_PX, CASH_ORDER_QTY, MAX_FLOOR, MIN_QTY, EXPIRE_TIME, COD_EXEMPT,
    SELF_TRADE_PREVENTION_MODE, SELF_MATCH_PREVENTION_ID, SELF_MATCH_PREVENTION_INSTRUCTION,
}  # fmt: skip
"""Tags that few NewOrderSingle(D)s have: one look decides whether `rare_terms` is called at all."""


class Rejection(Exception):
    """Carries the answer out of nested calls; it never leaves `protocols.fix`."""

    def __init__(self, answer: Refusal | Fault) -> None:
        super().__init__(answer)
        self.answer = answer


class Rare(msgspec.Struct, frozen=True):
    """The terms that few orders have; the defaults are those of all others."""

    stop_px: int = 0
    quote_qty: int = 0
    display_qty: int = 0
    min_qty: int = 0
    expire_at: int = 0
    flags: int = 0
    stp: Stp = Stp.DEFAULT
    stp_group: str = ""


def bad(tag: int, text: str, reason: int = SessionRejectReason.VALUE_OUT_OF_RANGE) -> Fault:
    """A value that its type allows and Penstock does not: answered by Reject(3), like any other bad value."""
    return Fault(kind="reject", reason=reason, tag=tag, text=text)


def label_of(tag: int) -> str:
    """A field as people write it, such as `Price(44)`. For errors only: it looks the name up."""
    return for_version(VERSIONS[-1]).fields[tag].label


def missing(tag: int) -> Refusal:
    """A field that this order must have because of its other fields."""
    return Refusal(MISSING_FIELD, f"{label_of(tag)} is missing", field=label_of(tag))


def unsupported(text: str) -> Refusal:
    """Fields that are valid one by one and cannot be combined, or that are not served."""
    return Refusal(UNSUPPORTED_COMBINATION, f"{text} is not supported")


def cl_ord_id_of(fields: Fields) -> str:
    """ClOrdID(11) of a request."""
    text = fields.get(CL_ORD_ID, "")
    if not is_cl_ord_id(text):
        raise Rejection(bad(CL_ORD_ID, "ClOrdID must be 1-36 of A-Z a-z 0-9 . _ : / -"))
    return text


def named_in(message: AppMessage) -> tuple[int, str] | None:
    """The order that a cancel, replace or status request names, as (OrderID, client's id); 0 and "" = not given.

    None: another message. It reads as much as it can, because a request that is refused may still name a live order.
    """
    id_tag = _NAMED_BY.get(message.msg_type)
    if id_tag is None:
        return None
    return order_id_of(message.fields.get(ORDER_ID, "")), message.fields.get(id_tag, "")


def target(fields: Fields, id_tag: int) -> tuple[int, str]:
    """The order that a request names: OrderID(37), 0 = not given, and the client's id in `id_tag`, "" = not given.

    An id that could not have been issued is an unknown order, not a bad field. OrderID NONE is what reports have while
    there is no order, and some engines send it back: it counts as not given.
    """
    order_id, text = 0, fields.get(ORDER_ID)
    if text is not None and text != "NONE":
        order_id = order_id_of(text)
        if not order_id:
            raise Rejection(Refusal(UNKNOWN_ORDER, "unknown order", field=label_of(ORDER_ID)))
    cl_ord_id = fields.get(id_tag, "")
    if cl_ord_id and not is_cl_ord_id(cl_ord_id):
        raise Rejection(Refusal(UNKNOWN_ORDER, "unknown order", field=label_of(id_tag)))
    if not order_id and not cl_ord_id:
        raise Rejection(missing(id_tag))
    return order_id, cl_ord_id


def one_of(table: dict[str, _T], fields: Fields, tag: int) -> _T:
    """The meaning of an enumerated field; a value of the standard that is not served is refused."""
    text = fields.get(tag, "")
    value = table.get(text)
    if value is None:
        raise Rejection(unsupported(f"{label_of(tag)}={text[:8]}"))
    return value


def price_of(instrument: Instrument, text: str, tag: int) -> int:
    """A price in the instrument's exponent."""
    value = instrument.parse_price(text)
    if isinstance(value, int):
        return value
    raise Rejection(_refused_or_bad(value, tag))


def qty_of(instrument: Instrument, text: str, tag: int) -> int:
    """A quantity in the instrument's exponent."""
    value = instrument.parse_qty(text)
    if isinstance(value, int):
        return value
    raise Rejection(_refused_or_bad(value, tag))


def time_of(fields: Fields, tag: int) -> int:
    """A UTCTimestamp in ns UTC."""
    try:
        return parse_ns(fields[tag])
    except ValueError as error:
        raise Rejection(bad(tag, str(error), SessionRejectReason.INCORRECT_DATA_FORMAT)) from None


def label(fields: Fields, tag: int) -> str:
    """A short free text, stored and echoed: printable ASCII, at most 36 characters; "" = not given."""
    text = fields.get(tag, "")
    if is_label(text):
        return text
    raise Rejection(bad(tag, f"at most {MAX_LABEL} printable ASCII characters"))


def recv_window_ns(text: str) -> int:
    """RecvWindow(25000), decimal milliseconds, in ns."""
    try:
        window_ns = parse(text, _RECV_WINDOW_EXP)
    except ValueError:
        reason = SessionRejectReason.INCORRECT_DATA_FORMAT
        raise Rejection(bad(RECV_WINDOW, "RecvWindow must be milliseconds", reason)) from None
    if window_ns > _MAX_RECV_WINDOW_NS:
        raise Rejection(bad(RECV_WINDOW, "RecvWindow must not be over 60000 ms"))
    return window_ns


def tif_of(fields: Fields, ord_type: OrdType, instrument: Instrument) -> Tif:
    """TimeInForce(59), or its default."""
    if TIME_IN_FORCE in fields:
        return one_of(TIFS, fields, TIME_IN_FORCE)
    return default_tif(ord_type, instrument)


def post_only(fields: Fields, has_price: bool, tif: Tif) -> int:
    """The flag for ExecInst(18)=6, the only instruction served; refused on an order that cannot rest."""
    text = fields[EXEC_INST]
    if text != "6":
        raise Rejection(unsupported(f"ExecInst(18)={text[:16]}"))
    if not has_price or tif is IOC or tif is FOK:
        raise Rejection(unsupported("post-only on an order that cannot rest"))
    return POST_ONLY


def display_qty_of(fields: Fields, instrument: Instrument) -> int:
    """MaxFloor(111), 0 = not given; a completely hidden order (111=0) is not served."""
    text = fields.get(MAX_FLOOR)
    if text is None:
        return 0
    display_qty = qty_of(instrument, text, MAX_FLOOR)
    if not display_qty:
        raise Rejection(unsupported("MaxFloor(111)=0"))
    return display_qty


def check_honoured(fields: Fields) -> None:
    """Refuse fields that would change what the order means and that the core does not honour."""
    for tag in NOT_HONOURED.keys() & fields:
        if fields[tag] != NOT_HONOURED[tag]:
            raise Rejection(unsupported(f"tag {tag}"))


def rare_terms(fields: Fields, instrument: Instrument, ord_type: OrdType, tif: Tif) -> Rare:
    """The rare fields of a NewOrderSingle(D), checked against its type and time in force."""
    check_honoured(fields)
    is_stop = ord_type >= STOP
    _check_given(fields, STOP_PX, is_stop, f"OrdType(40)={ord_type:d}")
    _check_given(fields, EXPIRE_TIME, tif is GTD, f"TimeInForce(59)={tif:d}")
    quote_qty = _quote_qty(fields, instrument, ord_type)
    min_qty = qty_of(instrument, fields[MIN_QTY], MIN_QTY) if MIN_QTY in fields else 0
    return Rare(
        stop_px=price_of(instrument, fields[STOP_PX], STOP_PX) if is_stop else 0,
        quote_qty=quote_qty,
        display_qty=display_qty_of(fields, instrument),
        min_qty=min_qty,
        expire_at=time_of(fields, EXPIRE_TIME) if tif is GTD else 0,
        flags=SURVIVES_DISCONNECT if fields.get(COD_EXEMPT) == "Y" else 0,
        stp=_stp(fields),
        stp_group=label(fields, SELF_MATCH_PREVENTION_ID),
    )


def _check_given(fields: Fields, tag: int, wanted: bool, because: str) -> None:
    if wanted and tag not in fields:
        raise Rejection(missing(tag))
    if not wanted and tag in fields:
        raise Rejection(unsupported(f"{label_of(tag)} with {because}"))


def _quote_qty(fields: Fields, instrument: Instrument, ord_type: OrdType) -> int:
    """CashOrderQty(152) in 10^-(px_exp+qty_exp): the amount of a market order, instead of OrderQty(38)."""
    text = fields.get(CASH_ORDER_QTY)
    if text is None:
        if ORDER_QTY not in fields:
            raise Rejection(missing(ORDER_QTY))
        return 0
    if ORDER_QTY in fields:
        raise Rejection(unsupported("OrderQty(38) with CashOrderQty(152)"))
    if ord_type is not MARKET:
        raise Rejection(unsupported(f"CashOrderQty(152) with OrdType(40)={ord_type:d}"))
    try:
        return parse(text, instrument.px_exp + instrument.qty_exp)
    except Inexact:
        raise Rejection(Refusal(BAD_QUANTITY, "too many decimals", field="CashOrderQty(152)")) from None
    except ValueError as error:
        raise Rejection(bad(CASH_ORDER_QTY, str(error))) from None


def _stp(fields: Fields) -> Stp:
    """Self-trade prevention, from our 25001 or the standard's 2964. If both are there, they must agree."""
    ours, standard = fields.get(SELF_TRADE_PREVENTION_MODE), fields.get(SELF_MATCH_PREVENTION_INSTRUCTION)
    mode = Stp.DEFAULT if ours is None else _STPS.get(ours)
    if mode is None:
        raise Rejection(bad(SELF_TRADE_PREVENTION_MODE, "SelfTradePreventionMode must be 1-5"))
    if standard is None:
        return mode
    instruction = _SMP_INSTRUCTIONS.get(standard)
    if instruction is None:
        raise Rejection(unsupported(f"SelfMatchPreventionInstruction(2964)={standard[:8]}"))
    if ours is not None and mode is not instruction:
        raise Rejection(unsupported("SelfTradePreventionMode(25001) with another SelfMatchPreventionInstruction(2964)"))
    return instruction


def _refused_or_bad(refusal: Refusal, tag: int) -> Refusal | Fault:
    """A number that does not fit the instrument is a refusal; text that is not a number is a bad value."""
    if refusal.code == BAD_FIELD:
        return bad(tag, refusal.text)
    return refusal
