"""The words of the WebSocket wire for the enums of `protocols.messages`: one table each, for code and reference page.

Inside the gateway an enum has FIX's value; a WebSocket client reads a lower-case word. A published word never changes.
"""

from enum import Enum
from typing import TypeVar

from protocols.messages import ExecType, OrdStatus, OrdType, Origin, Side, Stp, Tif

SIDE = {Side.BUY: "buy", Side.SELL: "sell"}
ORD_TYPE = {
    OrdType.MARKET: "market",
    OrdType.LIMIT: "limit",
    OrdType.STOP: "stop",
    OrdType.STOP_LIMIT: "stop_limit",
}
TIF = {Tif.DAY: "day", Tif.GTC: "gtc", Tif.IOC: "ioc", Tif.FOK: "fok", Tif.GTD: "gtd"}
STP = {
    Stp.DEFAULT: "default",
    Stp.NONE: "none",
    Stp.EXPIRE_TAKER: "expire_taker",
    Stp.EXPIRE_MAKER: "expire_maker",
    Stp.EXPIRE_BOTH: "expire_both",
    Stp.DECREMENT: "decrement",
}
EXEC = {
    ExecType.NEW: "new",
    ExecType.CANCELED: "canceled",
    ExecType.REPLACED: "replaced",
    ExecType.REJECTED: "rejected",
    ExecType.PENDING_NEW: "pending_new",
    ExecType.EXPIRED: "expired",
    ExecType.RESTATED: "restated",
    ExecType.TRADE: "trade",
    ExecType.ORDER_STATUS: "order_status",
}
STATUS = {
    OrdStatus.NEW: "new",
    OrdStatus.PARTIALLY_FILLED: "partial",
    OrdStatus.FILLED: "filled",
    OrdStatus.CANCELED: "canceled",
    OrdStatus.REJECTED: "rejected",
    OrdStatus.PENDING_NEW: "pending_new",
    OrdStatus.EXPIRED: "expired",
}
ORIGIN = {
    Origin.FIX: "fix",
    Origin.WS: "ws",
    Origin.COD: "cod",
    Origin.DEAD_MAN: "dead_man",
    Origin.OPERATOR: "operator",
    Origin.LOGOUT: "logout",
}
LIQUIDITY = {True: "maker", False: "taker"}
RESPONSE_TO = {"1": "cancel", "2": "replace"}

SIDES = {word: value for value, word in SIDE.items()}
ORD_TYPES = {word: value for value, word in ORD_TYPE.items()}
TIFS = {word: value for value, word in TIF.items()}
STPS = {word: value for value, word in STP.items()}

_Value = TypeVar("_Value", bound=Enum)


def _fix_values(table: dict[_Value, str]) -> dict[str, str]:
    return {word: str(value.value) for value, word in table.items()}


TABLES: dict[str, dict[str, str]] = {
    "side": _fix_values(SIDE),
    "type": _fix_values(ORD_TYPE),
    "tif": _fix_values(TIF),
    "stp": _fix_values(STP),
    "exec": _fix_values(EXEC),
    "status": _fix_values(STATUS),
    "origin": _fix_values(ORIGIN),
    "liquidity": {"maker": "1", "taker": "2"},
    "response_to": {word: value for value, word in RESPONSE_TO.items()},
}
"""field -> word -> FIX value: what the reference page prints."""
