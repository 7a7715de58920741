"""FIX message <-> dictionary message, for one session: the only part of this translation that the gateway calls.

Inbound an `AppMessage` becomes a command or the answer that says why not; outbound events and refusals become
(MsgType, body) pairs, a body being the fields behind the header. It is pure and keeps nothing between calls, so one
`Translator` may serve every session of the same version, dialect, account and options.
"""

from protocols.errors import Refusal
from protocols.fix import notice
from protocols.fix.commands import Commands
from protocols.fix.decoder import Fault
from protocols.fix.dialect import dialect_of
from protocols.fix.events import AppMessage
from protocols.fix.notice import LimitLine
from protocols.fix.refusal import Answer, RefusalWriter
from protocols.fix.report import ReportWriter
from protocols.fix.tags import MsgType
from protocols.fix.terms import named_in
from protocols.instruments import Instruments
from protocols.messages import (
    AnyCommand,
    AnyEvent,
    CancelRejected,
    EngineState,
    MassCancelDone,
    OrderEvent,
    OrderList,
    OrdStatus,
    Sender,
)

__all__ = ["Answer", "LimitLine", "Translator", "named_in"]

_SERVED = frozenset(("D", "F", "G", "H", "AF", "q", "XLQ"))
_NOT_IN_FIX42 = frozenset(("AF", "q"))
_MARKET_OPEN = "normal"
_REJECTED = OrdStatus.REJECTED


class Translator:
    """One session's way of saying things."""

    def __init__(
        self,
        version: str,
        dialect: str,
        instruments: Instruments,
        throttle_reject: str = "order",
        order_deadline_ms: int = 0,
        account: str = "",
    ) -> None:
        """version: BeginString(8); dialect: "penstock" or "plain"; throttle_reject: "order" or "business".

        order_deadline_ms: what an order or replace without any window gets, counted from its receipt; 0 = no deadline.
        account: Account(1) of the session's orders, where they were given with it.

        Raises:
            ValueError: an unknown version or dialect; a mistake of the caller.
        """
        self._dialect = dialect_of(version, dialect)
        self._instruments = instruments
        self._commands = Commands(instruments, order_deadline_ms)
        self._reports = ReportWriter(self._dialect, instruments, account)
        self._refusals = RefusalWriter(self._dialect, instruments, self._reports, throttle_reject)
        absent = (_NOT_IN_FIX42 if self._dialect.is_fix42 else frozenset()) | (
            {MsgType.LIMIT_QUERY} if self._dialect.is_plain else frozenset()
        )
        self.served = _SERVED - absent
        """The messages that the road has an answer of its own for; others get BusinessMessageReject(j) 380=3."""

    def command(
        self, message: AppMessage, sender: Sender, t_recv: int, recv_window_ms: int = 0
    ) -> AnyCommand | Refusal | Fault:
        """The command that `message` asks for; a Refusal for `refusal()`; or a Fault, to be answered by Reject(3).

        A Fault is a value that the dictionary's type allows and the contract does not, such as a ClOrdID(11) of 40
        characters. No number of the sender was used unless a command comes back. t_recv: ns UTC; recv_window_ms: the
        session's validity of D and G after SendingTime(52), or OrigSendingTime(122) of a PossDup; 0 = none.
        """
        return self._commands.make(message, sender, t_recv, recv_window_ms)

    def event(
        self, event: AnyEvent, request: AppMessage | None, t_recv: int = 0, every_number: bool = False
    ) -> list[Answer]:
        """What a client is told of an event, in order; mostly one message, none for a mass cancel nobody asked for.

        request: the message that the event answers, None when it came by itself; t_recv: when that was seen, ns UTC.
        every_number: for a client that must see each AccountSeq(20105): a mass cancel of the house is told too. FIX.4.2
        has no message for the end of a mass cancel, so there its number is left out all the same.
        """
        if isinstance(event, OrderEvent):
            return [(MsgType.EXECUTION_REPORT, self._reports.execution(event, request, t_recv))]
        if isinstance(event, CancelRejected):
            return [(MsgType.ORDER_CANCEL_REJECT, self._reports.cancel_rejected(event, request, t_recv))]
        if isinstance(event, MassCancelDone):
            if self._dialect.is_fix42 or not (event.cl_ord_id or every_number):
                return []
            return [(MsgType.ORDER_MASS_CANCEL_REPORT, self._reports.mass_cancel_done(event, request, t_recv))]
        if isinstance(event, OrderList):
            bodies = self._reports.statuses(event, request, t_recv)
            return [(MsgType.EXECUTION_REPORT, body) for body in bodies]
        return [self._engine_state(event)]

    def states(self, part: OrderList, request: AppMessage, t_recv: int, first: int, total: int) -> list[Answer]:
        """What a client is told of a part of a long list, whose first order is number `first` of `total`."""
        bodies = self._reports.states(part, request, t_recv, first, total)
        return [(MsgType.EXECUTION_REPORT, body) for body in bodies]

    def refusal(
        self,
        message: AppMessage,
        refusal: Refusal,
        now_ns: int,
        exec_id: str,
        known: OrderEvent | OrdStatus = _REJECTED,
    ) -> Answer:
        """The gateway's no to `message`, in that message's own form; an unknown outcome is told as one, never as a no.

        exec_id: a unique ExecID(17), used where the answer has one. known: the state of the order that F, G or H names
        (`named_in`); or REJECTED, there is none; or PENDING_NEW, there may be one, on its way.
        """
        return self._refusals.answer(message, refusal, now_ns, exec_id, known)

    def pending_new(self, message: AppMessage, now_ns: int, exec_id: str, t_recv: int) -> Answer:
        """ExecutionReport(8) 150=A for a NewOrderSingle(D) that was handed over, for sessions that want it."""
        return self._refusals.pending_new(message, now_ns, exec_id, t_recv)

    def limits(self, req_id: str, lines: list[LimitLine]) -> Answer:
        """The LimitResponse(XLR) to a LimitQuery(XLQ)."""
        return notice.limits(req_id, lines)

    def news(self, headline: str, text: str, flash: bool = False) -> Answer:
        """A News(B); flash: Urgency(61)=1, for what a trader must act on now."""
        return notice.news(headline, text, flash)

    def user_notification(self, lines: list[LimitLine], text: str) -> Answer:
        """The UserNotification(CB) that limits changed; News(B) on FIX.4.2 and for plain clients."""
        return notice.limits_changed(self._dialect, lines, text)

    def _engine_state(self, event: EngineState) -> Answer:
        instrument = self._instruments.by_id.get(event.instrument)
        headline = f"{instrument.symbol if instrument is not None else 'market'} {event.state.replace('_', ' ')}"
        return notice.news(headline, event.text or headline, flash=event.state != _MARKET_OPEN)
