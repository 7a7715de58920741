"""Requests, events and bodies for the tests of the FIX translation, in pipe notation.

Times are on 2026-11-22, the day of the published samples; the instrument is theirs too.
"""

from typing import Any

from protocols.fix.events import AppMessage, Fields
from protocols.fix.times import parse_ns
from protocols.fix.translate import Translator
from protocols.instruments import Instrument, Instruments
from protocols.messages import ExecType, OrderEvent, OrdStatus, OrdType, Origin, Sender, Side, Tif

BTC = Instrument(id=7, symbol="BTC-USDT", base="BTC", quote="USDT", px_exp=2, qty_exp=8, tick=50, lot=1_000)
RIAL = Instrument(id=8, symbol="BTC/IRR", base="BTC", quote="IRR", px_exp=0, qty_exp=6, session_bound=True)
INSTRUMENTS = Instruments((BTC, RIAL))
VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
DIALECTS = ("penstock", "plain")
ORDER_ID = 812345678901


def at(clock: str) -> int:
    """`12:00:00.000377` on the day of the samples, in ns UTC."""
    return parse_ns(f"20261122-{clock}")


T_RECV = at("12:00:00.000151")
T_CORE = at("12:00:00.000377")


def sender() -> Sender:
    """A session that has sent nothing yet."""
    return Sender(session=3, account=1001, origin=Origin.FIX)


def fields_of(text: str) -> Fields:
    """`11=a|55=BTC-USDT` as fields."""
    return {int(tag): value for tag, value in (pair.split("=", 1) for pair in text.strip("|").split("|") if pair)}


def request(text: str) -> AppMessage:
    """The message that the session hands out for `35=D|34=2|11=a|...`; 34 and 52 may be left out."""
    fields = {34: "2", 52: "20261122-12:00:00.000100"} | fields_of(text)
    poss_dup, poss_resend = fields.get(43) == "Y", fields.get(97) == "Y"
    sending_time_ns = parse_ns(fields[122] if poss_dup else fields[52])
    return AppMessage(fields[35], int(fields[34]), fields, None, poss_dup, poss_resend, sending_time_ns)


def limit_order(more: str = "", *without: int) -> AppMessage:
    """A plain limit order of the samples, with more fields or without some."""
    message = request(f"35=D|11=mm-7f3a-000123|38=0.01250000|40=2|44=64250.50|54=1|55=BTC-USDT|{more}")
    for tag in without:
        del message.fields[tag]
    return message


def order_event(**changes: Any) -> OrderEvent:
    """The acceptance of the samples' order, or what `changes` make of it."""
    values: dict[str, Any] = {
        "account": 1001,
        "seq": 1042,
        "cmd_id": 77,
        "t_core": T_CORE,
        "exec_id": 990001,
        "exec_type": ExecType.NEW,
        "status": OrdStatus.NEW,
        "order_id": ORDER_ID,
        "cl_ord_id": "mm-7f3a-000123",
        "instrument": BTC.id,
        "side": Side.BUY,
        "ord_type": OrdType.LIMIT,
        "tif": Tif.GTC,
        "qty": 1_250_000,
        "cum_qty": 0,
        "leaves_qty": 1_250_000,
        "price": 6_425_050,
    }
    return OrderEvent(**(values | changes))


def fill_event(**changes: Any) -> OrderEvent:
    """0.005 of the samples' order traded at its price."""
    values: dict[str, Any] = {
        "seq": 1043,
        "exec_id": 990014,
        "exec_type": ExecType.TRADE,
        "status": OrdStatus.PARTIALLY_FILLED,
        "cum_qty": 500_000,
        "leaves_qty": 750_000,
        "cum_quote": 500_000 * 6_425_050,
        "last_qty": 500_000,
        "last_px": 6_425_050,
        "trade_id": 44001,
        "maker": True,
    }
    return order_event(**(values | changes))


def translator(version: str = "FIX.4.4", dialect: str = "penstock", **options: Any) -> Translator:
    """A translator for the instruments above."""
    return Translator(version, dialect, INSTRUMENTS, **options)


def piped(body: str) -> str:
    """A body in pipe notation, without the last pipe."""
    assert body.endswith("\x01"), body
    return body[:-1].replace("\x01", "|")


def tags_in(body: str) -> list[int]:
    """The tags of a body, in order."""
    return [int(pair.split("=", 1)[0]) for pair in body[:-1].split("\x01")]
