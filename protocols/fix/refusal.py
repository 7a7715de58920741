"""The gateway's own answers to a request, as FIX bodies: each message type is refused with its own message.

| Request | Refused by |
| --- | --- |
| D | ExecutionReport(8); an unknown outcome as 150=A |
| F, G | OrderCancelReject(9) |
| q | OrderMassCancelReport(r) |
| H | a status report, for some codes |
| any other, and unknown outcomes of F, G and q | BusinessMessageReject(j) |

None of these is an event of the account's stream: AccountSeq(20105) is 0, and the caller gives a unique ExecID(17).
"""

from protocols import errors
from protocols.errors import CODES, LIMIT_ABUSE, Refusal
from protocols.fix import report
from protocols.fix.dialect import Dialect, reason_text, safe_text
from protocols.fix.events import AppMessage
from protocols.fix.report import ReportWriter
from protocols.fix.tags import (
    CL_ORD_ID,
    MASS_CANCEL_REQUEST_TYPE,
    MASS_STATUS_REQ_ID,
    ORD_STATUS_REQ_ID,
    ORDER_ID,
    ORDER_QTY,
    ORIG_CL_ORD_ID,
    QUOTE_ID,
    REQ_ID,
    SYMBOL,
    MsgType,
)
from protocols.instruments import Instruments
from protocols.messages import CancelRejected, OrderEvent, OrdStatus

Answer = tuple[str, str]
"""MsgType(35), and the body after the header."""

_Known = OrderEvent | OrdStatus
_LIMITS = range(3000, 4000)
_CANCEL, _REPLACE = "1", "2"
_REQUEST_ID_TAGS = (CL_ORD_ID, MASS_STATUS_REQ_ID, ORD_STATUS_REQ_ID, REQ_ID, QUOTE_ID, ORDER_ID)
# The codes for which an H is refused by a status report. Limits are not among them: a client that is too fast must not
# get the order's state all the same, so these are refused by j.
_ANSWERED_BY_STATUS = {
    errors.NOT_PERMITTED, errors.UNKNOWN_ORDER, errors.UNKNOWN_SYMBOL,
    errors.ENGINE_TIMEOUT, errors.ENGINE_BUSY, errors.ENGINE_DOWN, errors.DRAINING,
}  # fmt: skip


class RefusalWriter:
    """Writes the gateway's own answers in one session's version and dialect."""

    def __init__(self, dialect: Dialect, instruments: Instruments, reports: ReportWriter, throttle_reject: str) -> None:
        """throttle_reject: "order" = a limit refuses with the message's own refusal, "business" = with j."""
        self._dialect = dialect
        self._reports = reports
        self._instruments = instruments
        self._limits_as_business = throttle_reject == "business"

    def answer(
        self, message: AppMessage, refusal: Refusal, now_ns: int, exec_id: str, known: _Known = OrdStatus.REJECTED
    ) -> Answer:
        """The gateway's refusal of `message`, in the form that fits the message. An unknown outcome is never a refusal.

        exec_id: a unique ExecID(17), for answers that have one. known: the state of the order that F, G or H names
        (`named_in`); REJECTED = there is no such order; PENDING_NEW = there may be one, not answered yet.
        """
        code, msg_type = refusal.code, message.msg_type
        if code == LIMIT_ABUSE or (self._limits_as_business and code in _LIMITS):
            return self._business_reject(message, refusal)
        if msg_type == MsgType.NEW_ORDER_SINGLE:
            return MsgType.EXECUTION_REPORT, self._order_refused(message, refusal, now_ns, exec_id)
        if msg_type == MsgType.ORDER_STATUS_REQUEST and code in _ANSWERED_BY_STATUS:
            return MsgType.EXECUTION_REPORT, self._status_refused(message, refusal, now_ns, exec_id, known)
        if not CODES[code].unknown_outcome:
            if msg_type in (MsgType.ORDER_CANCEL_REQUEST, MsgType.ORDER_CANCEL_REPLACE_REQUEST):
                return MsgType.ORDER_CANCEL_REJECT, self._cancel_refused(message, refusal, now_ns, known)
            if msg_type == MsgType.ORDER_MASS_CANCEL_REQUEST:
                return MsgType.ORDER_MASS_CANCEL_REPORT, self._mass_cancel_refused(message, refusal, now_ns, exec_id)
        return self._business_reject(message, refusal)

    def pending_new(self, message: AppMessage, now_ns: int, exec_id: str, t_recv: int) -> Answer:
        """ExecutionReport(8) 150=A: the order went to the core and is not answered yet. For sessions that want it."""
        echo = report.account_of(message)
        if not self._dialect.is_plain:
            echo += f"20104={self._dialect.time(t_recv)}\x0120105=0\x01"
        return MsgType.EXECUTION_REPORT, self._pending(message, now_ns, exec_id, echo)

    def _order_refused(self, message: AppMessage, refusal: Refusal, now_ns: int, exec_id: str) -> str:
        dialect, code = self._dialect, refusal.code
        tail = report.account_of(message) + self._tail(refusal)
        if CODES[code].unknown_outcome:
            return self._pending(message, now_ns, exec_id, tail)
        kind = f"{self._trans}150=8\x0139=8\x01103={dialect.ord_rej_reason(code)}\x01"
        return report.bare_report(dialect, message.fields, exec_id, kind, now_ns, tail)

    def _pending(self, message: AppMessage, now_ns: int, exec_id: str, tail: str) -> str:
        kind = f"{self._trans}150=A\x0139=A\x01"
        qty = self._open_qty(message)
        return report.bare_report(self._dialect, message.fields, exec_id, kind, now_ns, tail, qty=qty)

    def _status_refused(self, message: AppMessage, refusal: Refusal, now_ns: int, exec_id: str, known: _Known) -> str:
        """A known order is reported with its state, whatever is wrong with the request.

        An order without an answer yet is pending, never unknown: or the client would send it again.
        """
        dialect, code, fields = self._dialect, refusal.code, message.fields
        if isinstance(known, OrderEvent):
            return self._reports.state(known, exec_id, message, self._tail(refusal))
        if CODES[code].unknown_outcome or known is OrdStatus.PENDING_NEW:
            kind = report.status_kind(dialect, OrdStatus.PENDING_NEW)
        else:
            kind = f"{report.status_kind(dialect, OrdStatus.REJECTED)}103={dialect.ord_rej_reason(code)}\x01"
        return report.bare_report(
            dialect, fields, exec_id, kind, now_ns, self._tail(refusal), lead=report.status_lead(message)
        )

    def _cancel_refused(self, message: AppMessage, refusal: Refusal, now_ns: int, known: _Known) -> str:
        """Written as if the core had refused it."""
        order_id, status = (known.order_id, known.status) if isinstance(known, OrderEvent) else (0, known)
        cl_ord_id, orig_cl_ord_id = message.fields.get(CL_ORD_ID, ""), message.fields.get(ORIG_CL_ORD_ID, "")
        response_to = _CANCEL if message.msg_type == MsgType.ORDER_CANCEL_REQUEST else _REPLACE
        event = CancelRejected(0, 0, 0, now_ns, cl_ord_id, orig_cl_ord_id, order_id, status, response_to, refusal.code)
        echo, tail = report.account_of(message), self._tail(refusal)
        return report.cancel_reject(self._dialect, event, orig_cl_ord_id, echo, tail)

    def _mass_cancel_refused(self, message: AppMessage, refusal: Refusal, now_ns: int, exec_id: str) -> str:
        fields = message.fields
        requested = fields.get(MASS_CANCEL_REQUEST_TYPE) or "7"
        head = report.mass_cancel_head(self._dialect, "NONE", fields.get(CL_ORD_ID, ""), requested, exec_id)
        time = self._dialect.time(now_ns)
        reason = self._dialect.mass_cancel_reject_reason(refusal.code)
        return f"{head}531=0\x01532={reason}\x01533=0\x0160={time}\x01{self._tail(refusal)}"

    def _business_reject(self, message: AppMessage, refusal: Refusal) -> Answer:
        dialect, code = self._dialect, refusal.code
        reason = dialect.business_reject_reason(code)
        if self._limits_as_business and code in _LIMITS and code != LIMIT_ABUSE:
            reason = dialect.throttle_reason
        fields = message.fields
        request_id = next((fields[tag] for tag in _REQUEST_ID_TAGS if fields.get(tag)), None)
        named = f"379={safe_text(request_id)}\x01" if request_id else ""
        tail = dialect.refusal_tail(code, reason_text(code, refusal.text), refusal.retry_after_ms)
        head = f"45={message.seq_num}\x01372={message.msg_type}\x01{named}380={reason}\x01"
        return MsgType.BUSINESS_MESSAGE_REJECT, head + tail

    @property
    def _trans(self) -> str:
        return "20=0\x01" if self._dialect.is_fix42 else ""

    def _tail(self, refusal: Refusal) -> str:
        text = reason_text(refusal.code, refusal.text)
        return self._dialect.refusal_tail(refusal.code, text, refusal.retry_after_ms, 0)

    def _open_qty(self, message: AppMessage) -> str:
        """OrderQty(38) of the request as in reports; empty if it has none, or none that can be read."""
        text = message.fields.get(ORDER_QTY)
        instrument = self._instruments.by_symbol.get(message.fields.get(SYMBOL, ""))
        if text is None or instrument is None:
            return ""
        qty = instrument.parse_qty(text)
        return instrument.qty_text(qty) if isinstance(qty, int) else ""
