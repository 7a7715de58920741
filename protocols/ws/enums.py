"""The words of the WebSocket wire for the enums of `protocols.messages`: one table each, for code and reference page.

Inside the gateway an enum has FIX's value; a WebSocket client reads a lower-case word, the name of the member. So a
member is never renamed: a published word never changes.
"""

from enum import Enum
from typing import TypeVar

from protocols.messages import ExecType, OrdStatus, OrdType, Origin, Side, Stp, Tif

_Member = TypeVar("_Member", bound=Enum)


def _words(members: type[_Member]) -> dict[_Member, str]:
    return {member: member.name.lower() for member in members}


SIDE, ORD_TYPE, TIF, STP = _words(Side), _words(OrdType), _words(Tif), _words(Stp)
EXEC, ORIGIN = _words(ExecType), _words(Origin)
STATUS = _words(OrdStatus) | {OrdStatus.PARTIALLY_FILLED: "partial"}
EXEC_WORDS = {member.value: word for member, word in EXEC.items()}
STATUS_WORDS = {member.value: word for member, word in STATUS.items()}
"""By value, for the hot path: hashing an Enum member calls Python code, four times the cost of the look-up."""
LIQUIDITY = {True: "maker", False: "taker"}
RESPONSE_TO = {"1": "cancel", "2": "replace"}

SIDES = {word: value for value, word in SIDE.items()}
ORD_TYPES = {word: value for value, word in ORD_TYPE.items()}
TIFS = {word: value for value, word in TIF.items()}
STPS = {word: value for value, word in STP.items()}


def _fix_values(table: dict[_Member, str]) -> dict[str, str]:
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
