"""The ExecutionReport(8)s of a run, one template for the usual ones: acceptances and trades.

What all orders of a kind share is written once. Any other event goes to `ReportWriter`, whose text is the reference:
with the same event both give the same bytes. `write` is the hottest outbound code: everything is in locals.
"""

from collections.abc import Sequence
from typing import NamedTuple

from protocols.fix.dialect import Dialect, safe_text
from protocols.fix.message import Headers
from protocols.fix.report import ORD_TYPES, SIDES, TIFS, ReportWriter
from protocols.fix.times import format_ns
from protocols.instruments import Averages, Instruments, Rendered, averages, rendered
from protocols.messages import ACCOUNT_GIVEN, POST_ONLY, ExecType, OrderEvent, OrdStatus

_NEW, _TRADE, _FILLED = ExecType.NEW, ExecType.TRADE, OrdStatus.FILLED
MAX_WORDINGS = 256  # per session, of kinds of orders and of tags; then all are worded anew


class _Wording(NamedTuple):
    """What the reports of one kind of order have in common, as text in the order of the fields."""

    new: str  # 20 on FIX.4.2, 150, 39, 55, 54
    partly: str
    filled: str
    ord_type: str
    behind: str  # 59, 18
    nothing: str  # CumQty(14) of a new order
    account: str
    prices: Rendered
    quantities: Rendered
    quotes: Rendered
    averages: Averages


class RunReports:
    """Writes the runs of one session."""

    def __init__(self, dialect: Dialect, instruments: Instruments, account: str, writer: ReportWriter) -> None:
        """account, writer: of the session; see `ReportWriter`."""
        self._dialect = dialect
        self._instruments = instruments
        self._account = f"1={safe_text(account)}\x01"
        self._writer = writer
        self._wordings: dict[int, _Wording] = {}
        self._tags: dict[str, str] = {}  # as the client gave them -> SecondaryClOrdID(526)

    def write(self, events: Sequence[OrderEvent], t_recv: int, headers: Headers) -> list[str]:
        """The reports. t_recv: when the run was received, ns UTC; told where an event answers an order. 0 = none."""
        dialect, wordings, tags, slow = self._dialect, self._wordings, self._tags, self._writer.in_run
        is_plain, has_tags, trade_id_tag = dialect.is_plain, dialect.has_fix43_fields, dialect.trade_id_tag
        before, numbers, behind_number = headers
        received = "" if is_plain or not t_recv else f"20104={format_ns(t_recv, dialect.time_digits)}\x01"
        at_ns, at = 0, ""
        latest = -1
        texts: list[str] = []
        add = texts.append
        for event, number in zip(events, numbers, strict=False):
            exec_type, tag = event.exec_type, event.tag
            is_usual = (exec_type is _NEW or (exec_type is _TRADE and not event.fee_asset)) and not event.stop_px
            if not is_usual or event.code or event.text or not event.price:
                add(f"{before}{number}{behind_number}{slow(event, received if event.cmd_id else '')}")
                continue
            # A state alone has more flags than six, and is not usual.
            kind = (((event.instrument * 4 + event.side) * 8 + event.ord_type) * 8 + event.tif) * 64 + event.flags
            if kind != latest:
                latest = kind
                wording = wordings.get(kind) or self._word(kind, event)
                new, partly, filled, ord_type, behind, nothing, account, prices, quantities, quotes, averaged = wording
            if event.t_core != at_ns:
                at_ns = event.t_core
                at = format_ns(at_ns, dialect.time_digits)
            tag = (tags.get(tag) or self._tell(tag)) if tag and has_tags else ""
            answers = received if event.cmd_id else ""
            seq = "" if is_plain else f"20105={event.seq}\x01"
            qty = quantities[event.qty]
            if exec_type is _NEW:
                add(
                    f"{before}{number}{behind_number}37={event.order_id}\x0111={event.cl_ord_id}\x01"
                    f"17={event.exec_id}\x01{new}38={qty}\x01{ord_type}44={prices[event.price]}\x01{behind}{nothing}151={qty}\x016=0\x0160={at}\x01{tag}{account}{answers}{seq}"
                )
                continue
            last_px, cum_qty, cum_quote = event.last_px, event.cum_qty, event.cum_quote
            trade_id = f"{trade_id_tag}={event.trade_id}\x01" if trade_id_tag else ""
            role = ("851=1\x01" if event.maker else "851=2\x01") if has_tags else ""
            quote = "" if is_plain else f"25017={quotes[cum_quote]}\x01"
            if cum_quote == cum_qty * last_px:
                average = averaged[last_px]
            else:
                average = self._instruments.by_id[event.instrument].avg_px_text(cum_quote, cum_qty)
            add(
                f"{before}{number}{behind_number}37={event.order_id}\x0111={event.cl_ord_id}\x01"
                f"17={event.exec_id}\x01{filled if event.status is _FILLED else partly}38={qty}\x01"
                f"{ord_type}44={prices[event.price]}\x01{behind}31={prices[last_px]}\x0132={quantities[event.last_qty]}\x01{trade_id}{role}"
                f"14={quantities[cum_qty]}\x01151={quantities[event.leaves_qty]}\x016={average}\x01{quote}"
                f"60={at}\x01{tag}{account}{answers}{seq}"
            )
        return texts

    def _tell(self, tag: str) -> str:
        if len(self._tags) >= MAX_WORDINGS:
            self._tags.clear()
        text = self._tags[tag] = f"526={safe_text(tag)}\x01"
        return text

    def _word(self, kind: int, event: OrderEvent) -> _Wording:
        if len(self._wordings) >= MAX_WORDINGS:
            self._wordings.clear()
        instrument, is_fix42 = self._instruments.by_id[event.instrument], self._dialect.is_fix42
        subject = f"55={instrument.symbol}\x01{SIDES[event.side]}"
        partly, filled = ("20=0\x01150=1", "20=0\x01150=2") if is_fix42 else ("150=F", "150=F")
        flags = event.flags
        wording = self._wordings[kind] = _Wording(
            f"{'20=0' + chr(1) if is_fix42 else ''}150=0\x0139=0\x01{subject}",
            f"{partly}\x0139=1\x01{subject}",
            f"{filled}\x0139=2\x01{subject}",
            ORD_TYPES[event.ord_type],
            TIFS[event.tif] + ("18=6\x01" if flags & POST_ONLY else ""),
            f"14={instrument.qty_text(0)}\x01",
            self._account if flags & ACCOUNT_GIVEN else "",
            rendered(instrument.px_exp),
            rendered(instrument.qty_exp),
            rendered(instrument.px_exp + instrument.qty_exp),
            averages(instrument.px_exp),
        )
        return wording
