"""FIX message to command, and event or refusal to FIX message: the entry point of the translation for the gateway.

Inbound, an `AppMessage` becomes a command, or the reason why not. Outbound, events and refusals become (MsgType, body)
pairs; a body is the fields after the header. There is no state between calls, so one `Translator` may serve all
sessions of the same version, dialect, account and options.
"""

from collections.abc import Sequence

from protocols.fix import notice
from protocols.fix.commands import Commands
from protocols.fix.dialect import dialect_of
from protocols.fix.events import AppMessage
from protocols.fix.message import Headers
from protocols.fix.notice import LimitLine
from protocols.fix.refusal import Answer, RefusalWriter
from protocols.fix.report import ReportWriter
from protocols.fix.run_report import RunReports
from protocols.fix.tags import MsgType
from protocols.fix.terms import named_in
from protocols.instruments import Instruments
from protocols.messages import AnyEvent, CancelRejected, EngineState, MassCancelDone, OrderEvent, OrderList

__all__ = ["Answer", "LimitLine", "Translator", "named_in"]

_SERVED = frozenset(("D", "F", "G", "H", "AF", "q", "XLQ"))
_NOT_IN_FIX42 = frozenset(("AF", "q"))
_MARKET_OPEN = "normal"


class Translator:
    """Translates for one combination of version, dialect, account and options."""

    limits, news = staticmethod(notice.limits), staticmethod(notice.news)

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

        order_deadline_ms: deadline of an order or replace without a window, after its receipt; 0 = none.
        account: Account(1) in reports of orders that came with it.

        Raises:
            ValueError: an unknown version or dialect: an error of the caller.
        """
        self._dialect = dialect_of(version, dialect)
        self._instruments = instruments
        self.command = Commands(instruments, order_deadline_ms).make
        self._reports = ReportWriter(self._dialect, instruments, account)
        self._run_reports = RunReports(self._dialect, instruments, account, self._reports)
        refusals = RefusalWriter(self._dialect, instruments, self._reports, throttle_reject)
        self.refusal, self.pending_new = refusals.answer, refusals.pending_new
        not_in_plain = {MsgType.LIMIT_QUERY} if self._dialect.is_plain else set()
        self.served = _SERVED - not_in_plain - (_NOT_IN_FIX42 if self._dialect.is_fix42 else set())
        """The requests that are served; others get BusinessMessageReject(j) 380=3."""

    def event(
        self, event: AnyEvent, request: AppMessage | None, t_recv: int = 0, every_number: bool = False
    ) -> list[Answer]:
        """The messages that report an event, in order; usually one, none for a mass cancel that no client requested.

        request: the message that the event answers, None if there is none. t_recv: when it was received, ns UTC.
        every_number: for a client that must see each AccountSeq(20105): the gateway's own mass cancels are reported
        too. FIX.4.2 has no message for the end of a mass cancel, so there this number is always left out.
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

    def reports(self, events: Sequence[OrderEvent], t_recv: int, headers: Headers) -> list[str]:
        """The ExecutionReport(8)s of a run: answers where there is a cmd_id. t_recv: as for `event`."""
        return self._run_reports.write(events, t_recv, headers)

    def states(self, part: OrderList, request: AppMessage, t_recv: int, first: int, total: int) -> list[Answer]:
        """The messages for a part of a long list, whose first order is number `first` of `total`."""
        bodies = self._reports.states(part, request, t_recv, first, total)
        return [(MsgType.EXECUTION_REPORT, body) for body in bodies]

    def user_notification(self, lines: list[LimitLine], text: str) -> Answer:
        """The UserNotification(CB) that limits changed; News(B) on FIX.4.2 and for `plain` clients."""
        return notice.limits_changed(self._dialect, lines, text)

    def _engine_state(self, event: EngineState) -> Answer:
        instrument = self._instruments.by_id.get(event.instrument)
        headline = f"{instrument.symbol if instrument is not None else 'market'} {event.state.replace('_', ' ')}"
        return notice.news(headline, event.text or headline, flash=event.state != _MARKET_OPEN)
