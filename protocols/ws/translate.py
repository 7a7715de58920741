"""WebSocket requests as commands: the same values as those that a FIX client's messages become.

Params have their types; here they must also make sense as an order. Ticks, lots and price bands are checked by
admission. A number of the sender's lane is taken last, when nothing can fail any more, so that only commands use one.
Cancels need as few fields as possible, because a cancel must get through.
"""

from collections.abc import Callable
from typing import Any

from protocols import errors
from protocols.errors import LocalProtocolError, Refusal
from protocols.instruments import Inexact, Instrument, Instruments, parse
from protocols.messages import (
    COD_EXEMPT,
    POSS_RESEND,
    POST_ONLY,
    AnyCommand,
    CancelOrder,
    MassCancel,
    NewOrder,
    OrdType,
    QueryOrders,
    ReplaceOrder,
    Sender,
    Tif,
)
from protocols.order_terms import MAX_LABEL, default_tif, is_cl_ord_id, is_label, order_id_of
from protocols.runs import NewOrders
from protocols.units import NS_PER_MS, NS_PER_US
from protocols.wall import MAX_AHEAD_NS
from protocols.ws import schema
from protocols.ws.enums import ORD_TYPES, SIDES, STPS, TIF, TIFS
from protocols.ws.order_run import PlaceRun
from protocols.ws.results import METHODS

_MIN_DEAD_MAN_MS = 1_000
_MAX_OFF_NS = 120_000_000_000  # the same tolerance as for a FIX client's clock

_PRICED = frozenset({"limit", "stop_limit"})
_STOPS = frozenset({"stop", "stop_limit"})


class _Rejection(Exception):
    """Carries the refusal out of nested calls; it never leaves this module."""

    def __init__(self, code: int, text: str, field: str) -> None:
        self.refusal = Refusal(code, text, field=field)


def command(
    method: str,
    params: schema.Params | schema.BatchParams,
    sender: Sender,
    t_recv: int,
    instruments: Instruments,
    order_deadline_ms: int = 0,
) -> AnyCommand | Refusal | list[AnyCommand | Refusal]:
    """The command of a request, or a Refusal; for `order.batch` a list with one of them per leg, in order.

    Args:
        method: one of `COMMANDS`.
        t_recv: when the request was received, ns UTC.
        order_deadline_ms: deadline of an order or replace without a window, after t_recv; 0 = none.

    Raises:
        LocalProtocolError: the method makes no command.
    """
    if isinstance(params, schema.BatchParams):
        return [
            leg if isinstance(leg, Refusal) else _one(leg, sender, t_recv, instruments, order_deadline_ms)
            for leg in params.legs
        ]
    if method not in COMMANDS:
        raise LocalProtocolError(f"{method} makes no command")
    return _one(params, sender, t_recv, instruments, order_deadline_ms)


def places_of(run: PlaceRun, sender: Sender) -> NewOrders:
    """The commands of plain orders, which use as many numbers of the sender."""
    rows = [
        (cl_ord_id, kind.by_tag.get(tag) or kind.terms(tag), quantity, price, deadline, sent_at)
        for _, cl_ord_id, kind, quantity, price, deadline, tag, sent_at in run.orders
    ]
    return NewOrders(sender, rows, run.t_in_ns)


def dead_man_ms(params: schema.CancelAfterParams) -> int | Refusal:
    """The time-out of `order.cancel_after` in ms: 0 = off, else at least a second."""
    if 0 < params.timeout_ms < _MIN_DEAD_MAN_MS:
        return Refusal(errors.BAD_FIELD, "timeout_ms must be 0 or 1000 to 300000", field="timeout_ms")
    return params.timeout_ms


def _one(
    params: schema.Params, sender: Sender, t_recv: int, instruments: Instruments, order_deadline_ms: int
) -> AnyCommand | Refusal:
    try:
        return _MAKERS[type(params)](params, sender, t_recv, instruments, order_deadline_ms)
    except _Rejection as rejection:
        return rejection.refusal


def _place(
    params: schema.PlaceParams, sender: Sender, t_recv: int, instruments: Instruments, deadline_ms: int
) -> NewOrder:
    instrument = _instrument(instruments, params.symbol)
    cl_ord_id = _cl_ord_id(params.cl_ord_id)
    ord_type = ORD_TYPES[params.type]
    tif = TIFS[params.tif] if params.tif is not None else default_tif(ord_type, instrument)
    is_priced = params.type in _PRICED
    if is_priced is (params.price is None):
        raise _given("price", is_priced, params.type)
    is_stop = params.type in _STOPS
    if is_stop is (params.stop_price is None):
        raise _given("stop_price", is_stop, params.type)
    is_dated = params.tif == "gtd"
    if is_dated is (params.expire_at is None):
        raise _given("expire_at", is_dated, TIF[tif])
    flags = POSS_RESEND if params.retry else 0
    if params.cod is not None:
        flags |= COD_EXEMPT
    if params.post_only:
        if not is_priced or tif is Tif.IOC or tif is Tif.FOK:
            raise _unsupported("post_only", "an order that cannot rest")
        flags |= POST_ONLY
    sent_at = params.ts * NS_PER_US if params.ts is not None else 0
    qty = _number(instrument.parse_qty(params.qty), "qty") if params.qty is not None else 0
    price = _number(instrument.parse_price(params.price), "price") if params.price is not None else 0
    stop_px = _number(instrument.parse_price(params.stop_price), "stop_price") if params.stop_price is not None else 0
    quote_qty = _quote_qty(params, instrument, ord_type)
    display_qty = _display_qty(instrument, params.display_qty) if params.display_qty is not None else 0
    expire_at = params.expire_at * NS_PER_US if params.expire_at is not None else 0
    stp = STPS[params.stp or "default"]
    stp_group = _label("stp_group", params.stp_group) if params.stp_group is not None else ""
    tag = _label("tag", params.tag) if params.tag is not None else ""
    deadline = _deadline(sent_at, params.valid_for_ms, t_recv, deadline_ms, bool(params.retry))
    return NewOrder(
        sender.next_order_id(), sender.account, sender.session, sender.origin, t_recv, deadline,
        cl_ord_id, instrument.id, SIDES[params.side], ord_type, tif, qty, price, stop_px, quote_qty, display_qty, 0,
        expire_at, flags, stp, stp_group, tag, sent_at,
    )  # fmt: skip


def _cancel(params: schema.CancelParams, sender: Sender, t_recv: int, instruments: Instruments, _: int) -> CancelOrder:
    instrument = _instrument(instruments, params.symbol)
    order_id, orig_cl_ord_id = _target(params.order_id, params.orig_cl_ord_id, "orig_cl_ord_id")
    return CancelOrder(
        sender.next_cancel_id(), sender.account, sender.session, sender.origin, t_recv, 0,
        "", instrument.id, order_id, orig_cl_ord_id,
    )  # fmt: skip


def _replace(
    params: schema.ReplaceParams, sender: Sender, t_recv: int, instruments: Instruments, deadline_ms: int
) -> ReplaceOrder:
    instrument = _instrument(instruments, params.symbol)
    cl_ord_id = _cl_ord_id(params.cl_ord_id)
    order_id, orig_cl_ord_id = _target(params.order_id, params.orig_cl_ord_id, "orig_cl_ord_id")
    qty = _number(instrument.parse_qty(params.qty), "qty")
    price = _number(instrument.parse_price(params.price), "price")
    sent_at = params.ts * NS_PER_US if params.ts is not None else 0
    deadline = _deadline(sent_at, params.valid_for_ms, t_recv, deadline_ms)
    return ReplaceOrder(
        sender.next_order_id(), sender.account, sender.session, sender.origin, t_recv, deadline,
        cl_ord_id, instrument.id, qty, price, order_id, orig_cl_ord_id, 0, 0,
        POST_ONLY if params.post_only else 0, 0, 0, sent_at,
    )  # fmt: skip


def _cancel_all(
    params: schema.CancelAllParams, sender: Sender, t_recv: int, instruments: Instruments, _: int
) -> MassCancel:
    instrument = _instrument(instruments, params.symbol).id if params.symbol is not None else 0
    side = SIDES[params.side] if params.side is not None else 0
    tag = _label("tag", params.tag) if params.tag is not None else ""
    return MassCancel(
        sender.next_control_id(), sender.account, sender.session, sender.origin, t_recv, 0,
        "", instrument, side, tag, params.scope == "session",
    )  # fmt: skip


def _status(params: schema.StatusParams, sender: Sender, t_recv: int, instruments: Instruments, _: int) -> QueryOrders:
    instrument = _instrument(instruments, params.symbol).id if params.symbol is not None else 0
    order_id, cl_ord_id = _target(params.order_id, params.cl_ord_id, "cl_ord_id")
    return QueryOrders(
        sender.next_query_id(), sender.account, sender.session, sender.origin, t_recv, 0,
        "", order_id, cl_ord_id, instrument, False,
    )  # fmt: skip


def _list(params: schema.ListParams, sender: Sender, t_recv: int, instruments: Instruments, _: int) -> QueryOrders:
    instrument = _instrument(instruments, params.symbol).id if params.symbol is not None else 0
    return QueryOrders(
        sender.next_query_id(), sender.account, sender.session, sender.origin, t_recv, 0,
        "", 0, "", instrument, True,
    )  # fmt: skip


_MAKERS: dict[type, Callable[[Any, Sender, int, Instruments, int], AnyCommand]] = {
    schema.PlaceParams: _place,
    schema.CancelParams: _cancel,
    schema.ReplaceParams: _replace,
    schema.CancelAllParams: _cancel_all,
    schema.StatusParams: _status,
    schema.ListParams: _list,
}
COMMANDS = frozenset(name for name, method in METHODS.items() if method.params in (*_MAKERS, schema.BatchWire))
"""The methods that make commands. The session or the gateway answers all others."""


def _instrument(instruments: Instruments, symbol: str) -> Instrument:
    instrument = instruments.by_symbol.get(symbol)
    if instrument is None:
        raise _Rejection(errors.UNKNOWN_SYMBOL, "unknown symbol", "symbol")
    return instrument


def _cl_ord_id(text: str) -> str:
    if not is_cl_ord_id(text):
        raise _Rejection(errors.BAD_FIELD, "cl_ord_id must be 1-36 of A-Z a-z 0-9 . _ : / -", "cl_ord_id")
    return text


def _target(order_id: str | None, cl_ord_id: str | None, name: str) -> tuple[int, str]:
    """The order that a request names. An id that could not have been issued is an unknown order: 4002, not 2001."""
    number = 0
    if order_id is not None:
        number = order_id_of(order_id)
        if not number:
            raise _Rejection(errors.UNKNOWN_ORDER, "unknown order", "order_id")
    if cl_ord_id is not None and not is_cl_ord_id(cl_ord_id):
        raise _Rejection(errors.UNKNOWN_ORDER, "unknown order", name)
    if not number and cl_ord_id is None:
        raise _Rejection(errors.MISSING_FIELD, f"order_id or {name} is required", "order_id")
    return number, cl_ord_id or ""


def _given(field: str, wanted: bool, because: str) -> _Rejection:
    """A required field is absent, or a field is there that does not go with `because`."""
    if wanted:
        return _Rejection(errors.MISSING_FIELD, f"{field} is required for {because}", field)
    return _unsupported(field, because)


def _unsupported(field: str, because: str) -> _Rejection:
    return _Rejection(errors.UNSUPPORTED_COMBINATION, f"{field} with {because} is not supported", field)


def _number(value: int | Refusal, field: str) -> int:
    if isinstance(value, int):
        return value
    raise _Rejection(value.code, value.text, field)


def _quote_qty(params: schema.PlaceParams, instrument: Instrument, ord_type: OrdType) -> int:
    """The amount of a market order in 10^-(px_exp+qty_exp), instead of qty."""
    text = params.quote_qty
    if text is None:
        if params.qty is None:
            raise _Rejection(errors.MISSING_FIELD, "qty is required", "qty")
        return 0
    if params.qty is not None:
        raise _unsupported("quote_qty", "qty")
    if ord_type is not OrdType.MARKET:
        raise _unsupported("quote_qty", params.type)
    try:
        return parse(text, instrument.px_exp + instrument.qty_exp)
    except Inexact:
        raise _Rejection(errors.BAD_QUANTITY, "quote_qty has too many decimals", "quote_qty") from None
    except ValueError as error:
        raise _Rejection(errors.BAD_FIELD, f"quote_qty: {error}", "quote_qty") from None


def _display_qty(instrument: Instrument, text: str) -> int:
    """A completely hidden order (0) is not supported."""
    display_qty = _number(instrument.parse_qty(text), "display_qty")
    if not display_qty:
        raise _unsupported("display_qty", "a value of 0")
    return display_qty


def _label(field: str, text: str) -> str:
    if is_label(text):
        return text
    raise _Rejection(errors.BAD_FIELD, f"{field} must be at most {MAX_LABEL} printable ASCII characters", field)


def _deadline(
    sent_at: int, valid_for_ms: int | None, t_recv: int, order_deadline_ms: int, is_retry: bool = False
) -> int:
    """When the order expires, ns UTC: its own window after ts (or after receipt), else the gateway's; 0 = never.

    A window starts at ts, so a ts ahead of our clock would prolong it: it is refused. A retry is not refused, because
    the first attempt may be live: it gets deadline 1, long past, so that it only queries.
    """
    ahead_ns = sent_at - t_recv
    if ahead_ns > (_MAX_OFF_NS if valid_for_ms is None else MAX_AHEAD_NS):
        if is_retry:
            return 1
        text = f"ts is {ahead_ns // NS_PER_MS} ms ahead of the gateway's clock: call `time` to compare"
        raise _Rejection(errors.BAD_FIELD if valid_for_ms is None else errors.EXPIRED_ON_ARRIVAL, text, "ts")
    if valid_for_ms is not None:
        return (sent_at or t_recv) + valid_for_ms * NS_PER_MS
    return t_recv + order_deadline_ms * NS_PER_MS if order_deadline_ms else 0
