"""Events of the core as FIX bodies: ExecutionReport(8), OrderCancelReject(9), OrderMassCancelReport(r).

A body is the text after the header, each field ended by SOH; the session adds header and trailer. The order of fields
is part of the published samples: change both or neither. `_execution` is the hottest outbound path, so it is one
f-string whose optional parts are made before. Enums are read through `_value_`: the public `value` is a property
written in Python and costs fifteen times as much.
"""

from protocols.errors import DUPLICATE_ID, TOO_LATE, UNKNOWN_ORDER
from protocols.fix.dialect import Dialect, reason_text, safe_text
from protocols.fix.events import AppMessage, Fields
from protocols.fix.tags import (
    ACCOUNT,
    CL_ORD_ID,
    MASS_CANCEL_REQUEST_TYPE,
    ORD_STATUS_REQ_ID,
    ORIG_CL_ORD_ID,
    SECONDARY_CL_ORD_ID,
    SIDE,
    SYMBOL,
)
from protocols.instruments import Instrument, Instruments, render
from protocols.messages import (
    ACCOUNT_GIVEN,
    POST_ONLY,
    CancelRejected,
    ExecType,
    MassCancelDone,
    OrderEvent,
    OrderList,
    OrdStatus,
)

SIDES = ("54=7\x01", "54=1\x01", "54=2\x01")
ORD_TYPES = ("", "40=1\x01", "40=2\x01", "40=3\x01", "40=4\x01")
TIFS = ("59=0\x01", "59=1\x01", "", "59=3\x01", "59=4\x01", "", "59=6\x01")
_CANCEL_ALL = "7"
_EXCHANGE_FEES = 4
_UNKNOWN_INSTRUMENT = Instrument(id=0, symbol="[N/A]", base="", quote="", px_exp=0, qty_exp=0)


class ReportWriter:
    """Writes the core's events in one session's version and dialect.

    In all methods, request is the message that the event answers, None if there is none (then the fields that echo it
    are left out), and t_recv is when that message was received, ns UTC.
    """

    def __init__(self, dialect: Dialect, instruments: Instruments, account: str) -> None:
        """account: name of the session's account, repeated for orders that came with Account(1)."""
        self._dialect = dialect
        self._instruments = instruments
        self._account = f"1={safe_text(account)}\x01"

    def execution(self, event: OrderEvent, request: AppMessage | None, t_recv: int) -> str:
        """The ExecutionReport(8) of one event of the account's stream."""
        return self.in_run(event, self._received(request, t_recv))

    def in_run(self, event: OrderEvent, received: str) -> str:
        """The same in a run. received: the text of the field that says when; empty in what is no answer."""
        exec_id = str(event.exec_id) if event.exec_id else f"I-{event.cmd_id:x}-{event.seq}"
        return self._execution(event, exec_id, "", received, self._tail(event, event.seq))

    def state(self, order: OrderEvent, exec_id: str, request: AppMessage, tail: str) -> str:
        """The ExecutionReport(8) 150=I of an order's state. tail: the fields at its end."""
        return self._execution(order, exec_id, status_lead(request), "", tail)

    def statuses(self, listing: OrderList, request: AppMessage | None, t_recv: int) -> list[str]:
        """One ExecutionReport(8) with ExecType(150)=I for each listed order, or a single one that says there is none.

        A status report is not an event: its ExecID(17) is made from the id of the query, which is unique.
        """
        if not listing.orders:
            received = self._received(request, t_recv)
            return [self._nothing_found(listing, request, _is_mass(request), account_of(request) + received)]
        return self.states(listing, request, t_recv, 1, len(listing.orders))

    def states(self, listing: OrderList, request: AppMessage | None, t_recv: int, first: int, total: int) -> list[str]:
        """The same for a part of a list, whose first order is number `first` of `total`."""
        mass, received = _is_mass(request), self._received(request, t_recv)
        bodies = []
        for number, order in enumerate(listing.orders, first):
            lead = _mass_lead(listing.req_id, total, number == total) if mass else status_lead(request)
            exec_id = f"I-{listing.cmd_id:x}-{number}"
            bodies.append(self._execution(order, exec_id, lead, received, self._tail(order, listing.seq)))
        return bodies

    def cancel_rejected(self, event: CancelRejected, request: AppMessage | None, t_recv: int) -> str:
        """The OrderCancelReject(9) for a cancel or replace that the core refused."""
        requested = request.fields.get(ORIG_CL_ORD_ID, "") if request is not None else ""
        echo = account_of(request) + self._received(request, t_recv)
        tail = self._dialect.refusal_tail(event.code, reason_text(event.code, event.text), 0, event.seq)
        return cancel_reject(self._dialect, event, event.orig_cl_ord_id or requested, echo, tail)

    def mass_cancel_done(self, event: MassCancelDone, request: AppMessage | None, t_recv: int) -> str:
        """The OrderMassCancelReport(r) that ends a mass cancel; without its request, as one for all orders."""
        fields: Fields = request.fields if request is not None else {}
        requested = fields.get(MASS_CANCEL_REQUEST_TYPE) or _CANCEL_ALL
        report_id = f"M-{event.cmd_id:x}"
        verdict = f"531={requested}\x01533={event.affected}\x01"
        if event.code:
            reason = self._dialect.mass_cancel_reject_reason(event.code)
            verdict = f"531=0\x01532={reason}\x01533={event.affected}\x01"
            tail = self._dialect.refusal_tail(event.code, reason_text(event.code, ""), 0, event.seq)
        else:
            tail = "" if self._dialect.is_plain else f"20105={event.seq}\x01"
        head = mass_cancel_head(self._dialect, report_id, event.cl_ord_id, requested, report_id)
        filters = "".join([f"{tag}={safe_text(fields[tag])}\x01" for tag in (SYMBOL, SIDE) if tag in fields])
        at = self._dialect.time(event.t_core)
        return f"{head}{verdict}{filters}60={at}\x01{self._received(request, t_recv)}{tail}"

    def _execution(self, event: OrderEvent, exec_id: str, lead: str, received: str, tail: str) -> str:
        dialect = self._dialect
        instrument = self._instruments.by_id.get(event.instrument, _UNKNOWN_INSTRUMENT)
        px_exp, qty_exp = instrument.px_exp, instrument.qty_exp
        exec_type, status = event.exec_type._value_, event.status._value_
        order_id, trans, reason, trade, cum_quote = event.order_id, "", "", "", ""
        if event.code or exec_type == "D":
            reason = self._reason(event)
            if event.code == DUPLICATE_ID:
                order_id = 0  # of the order that has this ClOrdID: with these terms it would overwrite that one
        if exec_type == "F":
            trade = self._trade(event, instrument)
        if dialect.is_fix42:
            trans, exec_type = _fix42_kind(exec_type, status)
        average = "0"
        if event.cum_quote:
            average = instrument.avg_px_text(event.cum_quote, event.cum_qty)
            if not dialect.is_plain:
                cum_quote = f"25017={instrument.quote_text(event.cum_quote)}\x01"
        cl_ord_id, orig, tag = event.cl_ord_id, event.orig_cl_ord_id, event.tag
        named = cl_ord_id + orig + tag
        if not (named.isascii() and named.isprintable()):
            cl_ord_id, orig, tag = safe_text(cl_ord_id), safe_text(orig), safe_text(tag)
        orig = f"41={orig}\x01" if orig else ""
        order_qty = f"38={render(event.qty, qty_exp)}\x01" if event.qty else ""
        price = f"44={render(event.price, px_exp)}\x01" if event.price else ""
        stop_px = f"99={render(event.stop_px, px_exp)}\x01" if event.stop_px else ""
        exec_inst = account = ""
        if event.flags:
            exec_inst = "18=6\x01" if event.flags & POST_ONLY else ""
            account = self._account if event.flags & ACCOUNT_GIVEN else ""
        tag = f"526={tag}\x01" if tag and dialect.has_fix43_fields else ""
        return (
            f"37={order_id or 'NONE'}\x0111={cl_ord_id or 'NONE'}\x01{orig}{lead}17={exec_id}\x01{trans}"
            f"150={exec_type}\x0139={status}\x01{reason}55={instrument.symbol}\x01{SIDES[event.side]}"
            f"{order_qty}{ORD_TYPES[event.ord_type]}{price}{stop_px}{TIFS[event.tif]}{exec_inst}{trade}"
            f"14={render(event.cum_qty, qty_exp)}\x01151={render(event.leaves_qty, qty_exp)}\x016={average}\x01"
            f"{cum_quote}60={dialect.time(event.t_core)}\x01{tag}{account}{received}{tail}"
        )

    def _reason(self, event: OrderEvent) -> str:
        if event.exec_type is ExecType.REJECTED:
            return f"103={self._dialect.ord_rej_reason(event.code)}\x01"
        restatement = self._dialect.restatement_reason(event)
        return "" if restatement is None else f"378={restatement}\x01"

    def _trade(self, event: OrderEvent, instrument: Instrument) -> str:
        dialect = self._dialect
        trade = f"31={instrument.price_text(event.last_px)}\x0132={instrument.qty_text(event.last_qty)}\x01"
        if dialect.trade_id_tag:
            trade += f"{dialect.trade_id_tag}={event.trade_id}\x01"
        if not dialect.has_fix43_fields:
            return trade
        trade += f"851={1 if event.maker else 2}\x01"
        if event.fee_asset:
            amount = instrument.quote_text(event.fee)
            trade += f"136=1\x01137={amount}\x01138={safe_text(event.fee_asset)}\x01139={_EXCHANGE_FEES}\x01"
        return trade

    def _received(self, request: AppMessage | None, t_recv: int) -> str:
        """When the request was received; only in answers."""
        return "" if request is None or self._dialect.is_plain else f"20104={self._dialect.time(t_recv)}\x01"

    def _tail(self, event: OrderEvent, seq: int) -> str:
        plain = self._dialect.is_plain
        if not event.code:
            text = f"58={safe_text(event.text)}\x01" if event.text else ""
            return text if plain else f"20105={seq}\x01{text}"
        text = reason_text(event.code, event.text)
        if event.code == DUPLICATE_ID and event.order_id:
            text = f"{text}: OrderID {event.order_id} has it"
        if event.exec_type is ExecType.REJECTED:
            return self._dialect.refusal_tail(event.code, text, 0, seq)
        return f"58={text}\x01" if plain else f"25016={event.code}\x0120105={seq}\x0158={text}\x01"

    def _nothing_found(self, listing: OrderList, request: AppMessage | None, mass: bool, echo: str) -> str:
        fields: Fields = request.fields if request is not None else {}
        exec_id = f"I-{listing.cmd_id:x}-0"
        if mass:
            lead = _mass_lead(listing.req_id, 0, is_last=True)
            reason, tail = "", "" if self._dialect.is_plain else f"20105={listing.seq}\x01"
        else:
            lead = status_lead(request)
            reason = f"103={self._dialect.ord_rej_reason(UNKNOWN_ORDER)}\x01"
            tail = self._dialect.refusal_tail(UNKNOWN_ORDER, "unknown order", 0, listing.seq)
        kind = status_kind(self._dialect, OrdStatus.REJECTED)
        return bare_report(
            self._dialect, fields, exec_id, f"{kind}{reason}", listing.t_core, f"{echo}{tail}", lead=lead
        )


def _is_mass(request: AppMessage | None) -> bool:
    return request is not None and request.msg_type == "AF"


def account_of(request: AppMessage | None) -> str:
    """Account(1) repeated, in an answer to a request for which there is no order."""
    account = request.fields.get(ACCOUNT) if request is not None else None
    return f"1={safe_text(account)}\x01" if account else ""


def bare_report(
    dialect: Dialect, fields: Fields, exec_id: str, kind: str, at_ns: int, tail: str, *, lead: str = "", qty: str = ""
) -> str:
    """An ExecutionReport(8) for an order of which only the request is known.

    kind: ExecTransType(20) on FIX.4.2, ExecType(150), OrdStatus(39) and the reason. qty: text of OrderQty(38), all of
    it open; empty = left out, nothing open.
    """
    order_qty = f"38={qty}\x01" if qty else ""
    tag = fields.get(SECONDARY_CL_ORD_ID)
    echoed = f"526={safe_text(tag)}\x01" if tag and dialect.has_fix43_fields else ""
    side = fields.get(SIDE)
    side = side if side in ("1", "2") else "7"
    cl_ord_id, symbol = fields.get(CL_ORD_ID) or "NONE", fields.get(SYMBOL) or _UNKNOWN_INSTRUMENT.symbol
    return (
        f"37=NONE\x0111={safe_text(cl_ord_id)}\x01{lead}17={exec_id}\x01{kind}"
        f"55={safe_text(symbol)}\x0154={side}\x01{order_qty}"
        f"14=0\x01151={qty or '0'}\x016=0\x0160={dialect.time(at_ns)}\x01{echoed}{tail}"
    )


def status_kind(dialect: Dialect, status: OrdStatus) -> str:
    """ExecType(150)=I with `status`; in FIX.4.2 the same is ExecTransType(20)=3."""
    state = status._value_
    return f"20=3\x01150={state}\x0139={state}\x01" if dialect.is_fix42 else f"150=I\x0139={state}\x01"


def cancel_reject(dialect: Dialect, event: CancelRejected, orig_cl_ord_id: str, echo: str, tail: str) -> str:
    """An OrderCancelReject(9). The standard requires OrigClOrdID(41): it is NONE for an order named by 37 alone.

    For an unknown order CxlRejReason(102) is always "unknown order", even if the request has other faults: with another
    reason, OrdStatus(39)=8 would be about a live order. An order withdrawn from the queue is known: "too late".
    """
    is_unknown = not event.order_id and event.status is OrdStatus.REJECTED and event.code != TOO_LATE
    reason = dialect.cxl_rej_reason(UNKNOWN_ORDER if is_unknown else event.code)
    ids = f"11={safe_text(event.cl_ord_id or 'NONE')}\x0141={safe_text(orig_cl_ord_id or 'NONE')}\x01"
    return (
        f"37={event.order_id or 'NONE'}\x01{ids}"
        f"39={event.status._value_}\x01434={event.response_to}\x01102={reason}\x01"
        f"60={dialect.time(event.t_core)}\x01{echo}{tail}"
    )


def mass_cancel_head(dialect: Dialect, order_id: str, cl_ord_id: str, requested: str, report_id: str) -> str:
    """The first fields of an OrderMassCancelReport(r); FIX 5.0 SP2 also requires MassActionReportID(1369)."""
    report = f"1369={report_id}\x01" if dialect.is_fixt else ""
    return f"37={order_id}\x0111={safe_text(cl_ord_id or 'NONE')}\x01{report}530={safe_text(requested)}\x01"


def _fix42_kind(exec_type: str, status: str) -> tuple[str, str]:
    """ExecTransType(20) and ExecType(150) in FIX.4.2, which has no F and no I: a fill is 1 or 2, a state repeats 39."""
    if exec_type == "F":
        return "20=0\x01", "2" if status == "2" else "1"
    if exec_type == "I":
        return "20=3\x01", status
    return "20=0\x01", exec_type


def _mass_lead(req_id: str, total: int, is_last: bool) -> str:
    return f"584={safe_text(req_id or 'NONE')}\x01911={total}\x01{'912=Y' if is_last else '912=N'}\x01"


def status_lead(request: AppMessage | None) -> str:
    """OrdStatusReqID(790) of an OrderStatusRequest(H), repeated."""
    req_id = request.fields.get(ORD_STATUS_REQ_ID) if request is not None else None
    return f"790={safe_text(req_id)}\x01" if req_id else ""
