"""FIX requests as commands: D, F, G, H, AF and q.

The message is valid by the FIX dictionary; here it must also make sense as an order. Ticks, lots and price bands are
checked by admission. A number of the sender's lane is taken last, when nothing can fail any more, so that only commands
use one. F and q need as few fields as possible, because a cancel must get through.
"""

from collections.abc import Callable

from protocols.errors import EXPIRED_ON_ARRIVAL, UNKNOWN_METHOD, UNKNOWN_SYMBOL, Refusal
from protocols.fix.decoder import Fault
from protocols.fix.events import AppMessage, Fields
from protocols.fix.order_run import OrderRun
from protocols.fix.tags import (
    ACCOUNT,
    CANCEL_SCOPE,
    CASH_ORDER_QTY,
    CL_ORD_ID,
    EXEC_INST,
    EXPIRE_TIME,
    MASS_CANCEL_REQUEST_TYPE,
    MASS_STATUS_REQ_ID,
    MASS_STATUS_REQ_TYPE,
    MIN_QTY,
    ORD_STATUS_REQ_ID,
    ORD_TYPE,
    ORDER_QTY,
    ORIG_CL_ORD_ID,
    PRICE,
    RECV_WINDOW,
    SECONDARY_CL_ORD_ID,
    SENDING_TIME,
    SIDE,
    STOP_PX,
    SYMBOL,
    TIME_IN_FORCE,
    TRANSACT_TIME,
)
from protocols.fix.terms import (
    GTD,
    LIMIT,
    ORD_TYPES,
    RARE,
    SIDES,
    STOP,
    STOP_LIMIT,
    TIFS,
    Rare,
    Rejection,
    bad,
    check_honoured,
    cl_ord_id_of,
    display_qty_of,
    label,
    missing,
    one_of,
    post_only,
    price_of,
    qty_of,
    rare_terms,
    recv_window_ns,
    target,
    tif_of,
    time_of,
    unsupported,
)
from protocols.instruments import Instrument, Instruments
from protocols.messages import (
    ACCOUNT_GIVEN,
    POSS_RESEND,
    AnyCommand,
    CancelOrder,
    MassCancel,
    NewOrder,
    QueryOrders,
    ReplaceOrder,
    Sender,
    Tif,
)
from protocols.units import NS_PER_MS
from protocols.wall import MAX_AHEAD_NS

_NOTHING_RARE = Rare()
_SIDES = ("", "1", "2")
_Make = Callable[[AppMessage, Sender, int, int], AnyCommand]


def request_of(run: OrderRun, index: int, account: str) -> AppMessage:
    """The message of one order, as far as the gateway's answers to it need it. account: of the session."""
    cl_ord_id, kind, quantity, _, _, _ = run.orders[index]
    fields = {CL_ORD_ID: cl_ord_id, SYMBOL: kind.instrument.symbol, SIDE: _SIDES[kind.side]}
    fields[ORDER_QTY] = kind.instrument.qty_text(quantity)
    if kind.tag:
        fields[SECONDARY_CL_ORD_ID] = kind.tag
    if kind.flags & ACCOUNT_GIVEN:
        fields[ACCOUNT] = account
    return AppMessage("D", run.seq_num + index, fields, None, False, False, run.t_recv, run.size_bytes(index))


class Commands:
    """Makes commands for the instruments of one configuration."""

    def __init__(self, instruments: Instruments, order_deadline_ms: int = 0) -> None:
        """order_deadline_ms: deadline of an order or replace without a window, after its receipt; 0 = none."""
        self._by_symbol = instruments.by_symbol
        self._order_deadline_ns = order_deadline_ms * NS_PER_MS
        self._makers: dict[str, _Make] = {
            "D": self._new_order,
            "F": self._cancel_order,
            "G": self._replace_order,
            "H": self._order_status,
            "AF": self._mass_status,
            "q": self._mass_cancel,
        }

    def make(
        self, message: AppMessage, sender: Sender, t_recv: int, recv_window_ms: int = 0
    ) -> AnyCommand | Refusal | Fault:
        """The command of `message`; or a Refusal, for `Translator.refusal`; or a Fault, to be answered by Reject(3).

        A Fault is a value that its type allows and Penstock does not, such as a ClOrdID(11) of 40 characters. Only a
        command uses a number of the sender. t_recv: ns UTC. recv_window_ms: the session's validity of D and G after
        SendingTime(52), or after OrigSendingTime(122) of a PossDup; 0 = none.
        """
        maker = self._makers.get(message.msg_type)
        if maker is None:
            return Refusal(UNKNOWN_METHOD, f"MsgType(35)={message.msg_type} is not served")
        try:
            return maker(message, sender, t_recv, recv_window_ms)
        except Rejection as rejection:
            return rejection.answer

    def _new_order(self, message: AppMessage, sender: Sender, t_recv: int, recv_window_ms: int) -> NewOrder:
        fields = message.fields
        cl_ord_id = cl_ord_id_of(fields)
        instrument = self._instrument(fields)
        side = one_of(SIDES, fields, SIDE)
        ord_type = one_of(ORD_TYPES, fields, ORD_TYPE)
        tif = tif_of(fields, ord_type, instrument)
        price_text = fields.get(PRICE)
        has_price = ord_type is LIMIT or ord_type is STOP_LIMIT
        if has_price is (price_text is None):
            raise Rejection(missing(PRICE) if has_price else unsupported(f"OrdType(40)={ord_type:d} with a Price(44)"))
        price = price_of(instrument, price_text, PRICE) if price_text is not None else 0
        qty_text = fields.get(ORDER_QTY)
        qty = qty_of(instrument, qty_text, ORDER_QTY) if qty_text is not None else 0
        flags = POSS_RESEND if message.poss_resend else 0
        if ACCOUNT in fields:
            flags |= ACCOUNT_GIVEN
        if EXEC_INST in fields:
            flags |= post_only(fields, has_price, tif)
        if RARE.isdisjoint(fields):
            if qty_text is None:
                raise Rejection(missing(ORDER_QTY))
            if ord_type >= STOP:
                raise Rejection(missing(STOP_PX))
            if tif is GTD:
                raise Rejection(missing(EXPIRE_TIME))
            rare = _NOTHING_RARE
        else:
            rare = rare_terms(fields, instrument, ord_type, tif)
        tag = label(fields, SECONDARY_CL_ORD_ID) if SECONDARY_CL_ORD_ID in fields else ""
        sent_at = _sent_at(message)
        deadline = self._deadline(message, t_recv, recv_window_ms)
        return NewOrder(
            sender.next_order_id(), sender.account, sender.session, sender.origin, t_recv, deadline,
            cl_ord_id, instrument.id, side, ord_type, tif, qty, price,
            rare.stop_px, rare.quote_qty, rare.display_qty, rare.min_qty, rare.expire_at,
            flags | rare.flags, rare.stp, rare.stp_group, tag, sent_at,
        )  # fmt: skip

    def _cancel_order(self, message: AppMessage, sender: Sender, t_recv: int, _: int) -> CancelOrder:
        fields = message.fields
        cl_ord_id = cl_ord_id_of(fields)
        instrument = self._instrument(fields)
        order_id, orig_cl_ord_id = target(fields, ORIG_CL_ORD_ID)
        return CancelOrder(
            sender.next_cancel_id(), sender.account, sender.session, sender.origin, t_recv, 0,
            cl_ord_id, instrument.id, order_id, orig_cl_ord_id,
        )  # fmt: skip

    def _replace_order(self, message: AppMessage, sender: Sender, t_recv: int, recv_window_ms: int) -> ReplaceOrder:
        fields = message.fields
        cl_ord_id = cl_ord_id_of(fields)
        instrument = self._instrument(fields)
        order_id, orig_cl_ord_id = target(fields, ORIG_CL_ORD_ID)
        check_honoured(fields)
        if CASH_ORDER_QTY in fields:
            raise Rejection(unsupported("CashOrderQty(152) on a replace"))
        side = one_of(SIDES, fields, SIDE) if SIDE in fields else 0
        ord_type = one_of(ORD_TYPES, fields, ORD_TYPE) if ORD_TYPE in fields else 0
        tif = one_of(TIFS, fields, TIME_IN_FORCE) if TIME_IN_FORCE in fields else -1
        price_text, stop_text, qty_text = fields.get(PRICE), fields.get(STOP_PX), fields.get(ORDER_QTY)
        if qty_text is None:
            raise Rejection(missing(ORDER_QTY))
        has_price = ord_type in (LIMIT, STOP_LIMIT) or (not ord_type and stop_text is None)
        if has_price and price_text is None:
            raise Rejection(missing(PRICE))
        if stop_text is None and ord_type >= STOP:
            raise Rejection(missing(STOP_PX))
        flags = POSS_RESEND if message.poss_resend else 0
        if ACCOUNT in fields:
            flags |= ACCOUNT_GIVEN
        if EXEC_INST in fields:
            flags |= post_only(fields, price_text is not None, Tif.GTC)
        price = price_of(instrument, price_text, PRICE) if price_text is not None else 0
        stop_px = price_of(instrument, stop_text, STOP_PX) if stop_text is not None else 0
        qty = qty_of(instrument, qty_text, ORDER_QTY)
        display_qty = display_qty_of(fields, instrument)
        min_qty = qty_of(instrument, fields[MIN_QTY], MIN_QTY) if MIN_QTY in fields else 0
        expire_at = time_of(fields, EXPIRE_TIME) if EXPIRE_TIME in fields else 0
        sent_at = _sent_at(message)
        deadline = self._deadline(message, t_recv, recv_window_ms)
        return ReplaceOrder(
            sender.next_order_id(), sender.account, sender.session, sender.origin, t_recv, deadline,
            cl_ord_id, instrument.id, qty, price, order_id, orig_cl_ord_id, stop_px, display_qty, flags,
            side, ord_type, sent_at, tif, min_qty, expire_at,
        )  # fmt: skip

    def _order_status(self, message: AppMessage, sender: Sender, t_recv: int, _: int) -> QueryOrders:
        fields = message.fields
        order_id, cl_ord_id = target(fields, CL_ORD_ID)
        instrument = self._instrument(fields).id if SYMBOL in fields else 0
        req_id = label(fields, ORD_STATUS_REQ_ID)
        return QueryOrders(
            sender.next_query_id(), sender.account, sender.session, sender.origin, t_recv, 0,
            req_id, order_id, cl_ord_id, instrument, False,
        )  # fmt: skip

    def _mass_status(self, message: AppMessage, sender: Sender, t_recv: int, _: int) -> QueryOrders:
        fields = message.fields
        kind = fields.get(MASS_STATUS_REQ_TYPE)
        if kind not in ("1", "7"):
            raise Rejection(unsupported(f"MassStatusReqType(585)={kind}"))
        instrument = self._instrument(fields).id if kind == "1" else 0
        req_id = label(fields, MASS_STATUS_REQ_ID)
        return QueryOrders(
            sender.next_query_id(), sender.account, sender.session, sender.origin, t_recv, 0,
            req_id, 0, "", instrument, True,
        )  # fmt: skip

    def _mass_cancel(self, message: AppMessage, sender: Sender, t_recv: int, _: int) -> MassCancel:
        fields = message.fields
        cl_ord_id = cl_ord_id_of(fields)
        kind = fields.get(MASS_CANCEL_REQUEST_TYPE)
        if kind not in ("1", "7"):
            raise Rejection(unsupported(f"MassCancelRequestType(530)={kind}"))
        scope = fields.get(CANCEL_SCOPE, "A")
        if scope not in ("A", "S"):
            raise Rejection(bad(CANCEL_SCOPE, "CancelScope must be A or S"))
        instrument = self._instrument(fields).id if kind == "1" else 0
        side = one_of(SIDES, fields, SIDE) if SIDE in fields else 0
        tag = label(fields, SECONDARY_CL_ORD_ID)
        return MassCancel(
            sender.next_control_id(), sender.account, sender.session, sender.origin, t_recv, 0,
            cl_ord_id, instrument, side, tag, scope == "S",
        )  # fmt: skip

    def _instrument(self, fields: Fields) -> Instrument:
        symbol = fields.get(SYMBOL)
        instrument = self._by_symbol.get(symbol) if symbol is not None else None
        if instrument is not None:
            return instrument
        if symbol is None:
            raise Rejection(missing(SYMBOL))
        raise Rejection(Refusal(UNKNOWN_SYMBOL, "unknown symbol", field="Symbol(55)"))

    def _deadline(self, message: AppMessage, t_recv: int, recv_window_ms: int) -> int:
        """When the order expires, ns UTC: by its own window, else the session's, else the gateway's; 0 = never."""
        text = message.fields.get(RECV_WINDOW)
        if text is None and not recv_window_ms:
            return t_recv + self._order_deadline_ns if self._order_deadline_ns else 0
        window_ns = recv_window_ns(text) if text is not None else recv_window_ms * NS_PER_MS
        ahead_ns = message.sending_time_ns - t_recv
        if ahead_ns > MAX_AHEAD_NS:  # the window would be longer by as much
            if message.poss_resend:
                return 1  # the first attempt may be live: this one only queries
            field = "OrigSendingTime(122)" if message.poss_dup else "SendingTime(52)"
            why = f"{field} is {ahead_ns // NS_PER_MS} ms ahead of the gateway's clock: correct your clock"
            raise Rejection(Refusal(EXPIRED_ON_ARRIVAL, why, field=field))
        return message.sending_time_ns + window_ns


def _sent_at(message: AppMessage) -> int:
    """TransactTime(60) in ns UTC, 0 = not given. Most engines give it the same value as SendingTime(52)."""
    fields = message.fields
    text = fields.get(TRANSACT_TIME)
    if text is None:
        return 0
    if text == fields.get(SENDING_TIME) and not message.poss_dup:
        return message.sending_time_ns
    return time_of(fields, TRANSACT_TIME)
