"""Events and answers as a WebSocket client reads them: event data, results of requests, refusals.

Prices and quantities are written by the instrument, words come from `protocols.ws.enums`. A trade has what traded; the
order's own properties (post_only, session, origin) are sent when it enters, changes or ends, not with each fill.
"""

from collections.abc import Sequence

from msgspec import UNSET

from protocols.errors import CODES, DUPLICATE_ID, UNKNOWN_ORDER, UNSUPPORTED_COMBINATION, LocalProtocolError, Refusal
from protocols.instruments import Instrument, Instruments
from protocols.messages import (
    DUPLICATE,
    POST_ONLY,
    AnyEvent,
    CancelRejected,
    EngineState,
    ExecType,
    MassCancelDone,
    OrderEvent,
    OrderList,
)
from protocols.units import NS_PER_US
from protocols.ws import results
from protocols.ws.enums import EXEC_WORDS, LIQUIDITY, ORD_TYPE, ORIGIN, RESPONSE_TO, SIDE, STATUS_WORDS, TIF

_TRADE = ExecType.TRADE

# Events.


def event_wire(event: AnyEvent, instruments: Instruments, session: str = "", replay: bool = False) -> results.EventWire:
    """Any event of the account's stream or of the system, ready to encode.

    Args:
        session: name of the session that owns the order, "" = left out.
        replay: it is sent again.

    Raises:
        LocalProtocolError: an OrderList, which is an answer and not an event.
    """
    data: object
    ts = event.t_core // NS_PER_US
    if isinstance(event, OrderEvent):
        data = order_event(event, instruments.by_id[event.instrument], session)
        return results.EventWire(ev="order", seq=event.seq, ts=ts, data=data, replay=replay)
    if isinstance(event, CancelRejected):
        return results.EventWire(ev="cancel_rejected", seq=event.seq, ts=ts, data=cancel_rejected(event), replay=replay)
    if isinstance(event, MassCancelDone):
        data = results.MassCanceledData(
            canceled=event.affected, cl_ord_id=event.cl_ord_id, code=event.code, reason=_name(event.code)
        )
        return results.EventWire(ev="mass_canceled", seq=event.seq, ts=ts, data=data, replay=replay)
    if isinstance(event, EngineState):
        symbol = instruments.by_id[event.instrument].symbol if event.instrument else ""
        return results.EventWire(
            ev="system", ts=ts, data=results.SystemData(state=event.state, symbol=symbol, text=event.text)
        )
    raise LocalProtocolError("an order list is the answer to a request, not an event")


def order_event(event: OrderEvent, instrument: Instrument, session: str = "") -> results.OrderData:
    """The data of an `order` event; session: name of the order's owner."""
    qty_text, price_text = instrument.qty_text, instrument.price_text
    is_trade = event.exec_type is _TRADE
    code = event.code
    cl_ord_id, orig_cl_ord_id = event.cl_ord_id, event.orig_cl_ord_id
    if orig_cl_ord_id and event.exec_type is ExecType.CANCELED:
        cl_ord_id = orig_cl_ord_id  # over FIX a cancel has its own id; a WebSocket client knows the order's
    has_fee = is_trade and event.fee_asset != ""
    return results.OrderData(
        EXEC_WORDS[event.exec_type._value_], str(event.exec_id), cl_ord_id, instrument.symbol,
        SIDE[event.side], ORD_TYPE[event.ord_type], TIF[event.tif],
        qty_text(event.qty), qty_text(event.cum_qty), qty_text(event.leaves_qty),
        STATUS_WORDS[event.status._value_],
        str(event.order_id) if event.order_id and code != DUPLICATE_ID else "",
        price_text(event.price) if event.price else "",
        price_text(event.stop_px) if event.stop_px else "",
        instrument.quote_text(event.cum_quote) if event.cum_qty else "",
        orig_cl_ord_id if orig_cl_ord_id != cl_ord_id else "",
        qty_text(event.last_qty) if is_trade else "",
        price_text(event.last_px) if is_trade else "",
        str(event.trade_id) if is_trade else "",
        LIQUIDITY[event.maker] if is_trade else "",
        instrument.quote_text(event.fee) if has_fee else "",
        event.fee_asset if has_fee else "",
        not is_trade and event.flags & POST_ONLY != 0,
        event.tag,
        "" if is_trade else session,
        "" if is_trade else ORIGIN[event.origin],
        code,
        _name(code) if code else "",
        event.text,
    )  # fmt: skip


def cancel_rejected(event: CancelRejected) -> results.CancelRejectedData:
    """The data of a `cancel_rejected` event."""
    return results.CancelRejectedData(
        response_to=RESPONSE_TO.get(event.response_to, "cancel"),
        status=STATUS_WORDS[event.status._value_],
        code=event.code,
        reason=_name(event.code),
        order_id=str(event.order_id) if event.order_id else "",
        cl_ord_id=event.cl_ord_id,
        orig_cl_ord_id=event.orig_cl_ord_id,
        text=event.text,
    )


def order_row(event: OrderEvent, instrument: Instrument) -> results.OrderRow:
    """The state of an order, for `order.status`, `order.list`, snapshots and `error.data.order`."""
    qty_text = instrument.qty_text
    return results.OrderRow(
        order_id=str(event.order_id),
        cl_ord_id=event.cl_ord_id,
        symbol=instrument.symbol,
        side=SIDE[event.side],
        type=ORD_TYPE[event.ord_type],
        tif=TIF[event.tif],
        price=instrument.price_text(event.price) if event.price else "",
        stop_price=instrument.price_text(event.stop_px) if event.stop_px else "",
        qty=qty_text(event.qty),
        cum_qty=qty_text(event.cum_qty),
        leaves_qty=qty_text(event.leaves_qty),
        cum_quote=instrument.quote_text(event.cum_quote) if event.cum_quote else "",
        status=STATUS_WORDS[event.status._value_],
        post_only=bool(event.flags & POST_ONLY),
        tag=event.tag,
        code=event.code,
        reason=_name(event.code),
        orig_cl_ord_id=event.orig_cl_ord_id,
    )


# Answers.


def answer(method: str, event: AnyEvent, instruments: Instruments) -> object:
    """The result Struct, or the Refusal, for a request of `method` that `event` answers.

    Args:
        method: as requested; for a leg of a batch `order.place`, `order.cancel` or `order.replace`.

    Raises:
        LocalProtocolError: such an event answers no request.
    """
    if isinstance(event, OrderEvent):
        instrument = instruments.by_id[event.instrument]
        if event.exec_type is ExecType.REJECTED:
            return refused(event, instrument)
        return canceled(event) if method == "order.cancel" else placed(event, instrument)
    if isinstance(event, CancelRejected):
        return cancel_refused(event)
    if isinstance(event, MassCancelDone):
        return mass_canceled(event)
    if isinstance(event, OrderList):
        return order_list(event, instruments) if method == "order.list" else order_status(event, instruments)
    raise LocalProtocolError("the state of the market answers no request")


def placed(event: OrderEvent, instrument: Instrument) -> results.PlaceResult:
    """Result of `order.place` and `order.replace`."""
    qty_text = instrument.qty_text
    code, is_duplicate = event.code, bool(event.flags & DUPLICATE)
    return results.PlaceResult(
        str(event.order_id), event.cl_ord_id, STATUS_WORDS[event.status._value_],
        qty_text(event.qty), qty_text(event.cum_qty), qty_text(event.leaves_qty),
        event.t_core // NS_PER_US, event.seq, is_duplicate, code, _name(code) if code else "",
        event.orig_cl_ord_id if is_duplicate else "",
    )  # fmt: skip


def canceled(event: OrderEvent) -> results.CancelResult:
    """Result of `order.cancel`."""
    return results.CancelResult(str(event.order_id), STATUS_WORDS[event.status._value_], event.seq)


def mass_canceled(event: MassCancelDone, coalesced: bool = False) -> results.CancelAllResult:
    """Result of `order.cancel_all`. coalesced: this request joined a mass cancel that was in progress."""
    return results.CancelAllResult(event.affected, 0, coalesced)


def order_status(event: OrderList, instruments: Instruments) -> results.OrderRow | Refusal:
    """Result of `order.status`: the order, or 4002."""
    if not event.orders:
        return Refusal(UNKNOWN_ORDER, "unknown order")
    order = event.orders[0]
    return order_row(order, instruments.by_id[order.instrument])


def order_list(event: OrderList, instruments: Instruments) -> results.OrderListResult:
    """Result of `order.list`."""
    by_id = instruments.by_id
    return results.OrderListResult(
        event.seq, tuple(order_row(order, by_id[order.instrument]) for order in event.orders)
    )


def refused(event: OrderEvent, instrument: Instrument, known: OrderEvent | None = None) -> Refusal:
    """The core's refusal of an order. For a used id it names the order that has the id. known: that order's state."""
    data: dict[str, object] | None = None
    if event.code == DUPLICATE_ID:
        if known is not None:
            data = {"order": order_row(known, instrument)}
        elif event.order_id:
            data = {"order": {"order_id": str(event.order_id), "cl_ord_id": event.cl_ord_id}}
    return Refusal(_known_code(event.code), event.text or _name(event.code), data=data)


def cancel_refused(event: CancelRejected) -> Refusal:
    """The core's refusal of a cancel or replace, with the order's state if there is an order."""
    data: dict[str, object] | None = None
    if event.order_id:
        data = {"order": {"order_id": str(event.order_id), "status": STATUS_WORDS[event.status._value_]}}
    return Refusal(_known_code(event.code), event.text or _name(event.code), data=data)


def leg_result(outcome: object) -> results.LegResult:
    """One leg of a batch. outcome: the result of `answer`, or the gateway's own Refusal."""
    if isinstance(outcome, Refusal):
        return results.LegResult(CODES[outcome.code].ws, UNSET, results.error_body(outcome))
    return results.LegResult(200, outcome)


def batch_result(legs: Sequence[results.LegResult]) -> results.BatchResult:
    """Result of `order.batch`."""
    failed = sum(leg.error is not UNSET for leg in legs)
    return results.BatchResult(len(legs) - failed, failed, tuple(legs))


def instrument_row(instrument: Instrument) -> results.InstrumentInfo:
    """One entry of `instruments.list`."""
    price, qty, quote = instrument.price_text, instrument.qty_text, instrument.quote_text
    return results.InstrumentInfo(
        symbol=instrument.symbol,
        base=instrument.base,
        quote=instrument.quote,
        tick=price(instrument.tick),
        lot=qty(instrument.lot),
        min_qty=qty(instrument.min_qty) if instrument.min_qty else "",
        max_qty=qty(instrument.max_qty) if instrument.max_qty else "",
        min_notional=quote(instrument.min_notional) if instrument.min_notional else "",
        max_notional=quote(instrument.max_notional) if instrument.max_notional else "",
        band_low=price(instrument.band_low) if instrument.band_low else "",
        band_high=price(instrument.band_high) if instrument.band_high else "",
    )


def _name(code: int) -> str:
    row = CODES.get(code)
    return row.name if row is not None else ""


def _known_code(code: int) -> int:
    """An external core may have codes that are not in the list. Its refusal must reach the client all the same."""
    return code if code in CODES else UNSUPPORTED_COMBINATION
