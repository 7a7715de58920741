"""Limits and news as FIX bodies: LimitResponse(XLR), UserNotification(CB), News(B).

Limits are whole numbers here (rates in thousandths of a token per second); this package knows no limiter. What a
dialect has no field for is sent as Text(58) of a News(B).
"""

from math import gcd

import msgspec

from protocols.fix.dialect import Dialect, safe_text
from protocols.fix.tags import MsgType
from protocols.instruments import render

_LIMIT_TYPES = {"orders": 1, "msgs": 2, "cancels": 3, "queries": 4, "open_orders": 5}
_LIMITED_MSG_TYPES = {"orders": ("D", "G"), "cancels": ("F",), "queries": ("H", "AF")}
_INBOUND_RATE, _OUTSTANDING_REQUESTS = 0, 1
_REJECT_WHAT_IS_OVER = 2
_SECONDS = 0
_THROTTLE_PARAMETERS_CHANGED = 9
_NORMAL, _FLASH = 0, 1


class LimitLine(msgspec.Struct, frozen=True):
    """One limit as clients see it. rate_milli: thousandths of a token per second, 0 = a count that does not refill."""

    name: str  # of RULES: orders, msgs, cancels, queries, open_orders
    scope: str
    capacity: int
    remaining: int
    rate_milli: int = 0

    @property
    def rate_text(self) -> str:
        """Tokens per second as the shortest exact decimal."""
        text = render(self.rate_milli, 3)
        return text.rstrip("0").rstrip(".")

    @property
    def fill_s(self) -> int:
        """Seconds in which the empty bucket fills, rounded up."""
        return -(-self.capacity * 1000 // self.rate_milli) if self.rate_milli else 0

    def __str__(self) -> str:
        rate = f" burst {self.rate_text}/s" if self.rate_milli else ""
        return f"{self.name}/{self.scope} {self.capacity}{rate}"


def limits(req_id: str, lines: list[LimitLine]) -> tuple[str, str]:
    """The LimitResponse(XLR) to a LimitQuery(XLQ). Lines that LimitType(25004) has no number for are left out."""
    known = [line for line in lines if line.name in _LIMIT_TYPES]
    groups = "".join([_limit_group(line) for line in known])
    return MsgType.LIMIT_RESPONSE, f"6136={safe_text(req_id)}\x0125003={len(known)}\x01{groups}"


def _limit_group(line: LimitLine) -> str:
    refill = f"25007={line.fill_s}\x0125008=s\x01" if line.rate_milli else ""
    rate = f"20110={line.rate_text}\x01" if line.rate_milli else ""
    used = line.capacity - line.remaining
    return (
        f"25004={_LIMIT_TYPES[line.name]}\x0125005={used}\x0125006={line.capacity}\x01{refill}"
        f"20108={line.name}\x0120109={safe_text(line.scope)}\x01{rate}20111={line.remaining}\x01"
    )


def news(headline: str, text: str, flash: bool = False) -> tuple[str, str]:
    """A News(B). flash: Urgency(61)=1, for what a trader must act on now (halt, cancel-only, drain)."""
    urgency = _FLASH if flash else _NORMAL
    head = safe_text(headline) or "notice"
    return MsgType.NEWS, f"148={head}\x0161={urgency}\x0133=1\x0158={safe_text(text) or head}\x01"


def limits_changed(dialect: Dialect, lines: list[LimitLine], text: str) -> tuple[str, str]:
    """The UserNotification(CB) that limits changed; News(B) if the dialect or version has no CB."""
    if dialect.is_plain or dialect.is_fix42:
        listed = "; ".join([str(line) for line in lines])
        return news("limits changed", f"{text}: {listed}" if text and listed else text or listed, flash=False)
    groups = "".join([_throttle_group(line) for line in lines])
    count = f"1610={len(lines)}\x01" if lines else ""
    reason = f"58={safe_text(text)}\x01" if text else ""
    return MsgType.USER_NOTIFICATION, f"926={_THROTTLE_PARAMETERS_CHANGED}\x01{count}{groups}{reason}"


def _throttle_group(line: LimitLine) -> str:
    """A rate as a number of messages in whole seconds, in lowest terms: 0.5/s is 1 in 2 s."""
    msg_types = _LIMITED_MSG_TYPES.get(line.name, ())
    listed = f"1618={len(msg_types)}\x01" if msg_types else ""
    listed += "".join([f"1619={msg_type}\x01" for msg_type in msg_types])
    if not line.rate_milli:
        return f"1611={_REJECT_WHAT_IS_OVER}\x011612={_OUTSTANDING_REQUESTS}\x011613={line.capacity}\x01{listed}"
    divisor = gcd(line.rate_milli, 1000)
    return (
        f"1611={_REJECT_WHAT_IS_OVER}\x011612={_INBOUND_RATE}\x011613={line.rate_milli // divisor}\x01"
        f"1614={1000 // divisor}\x011615={_SECONDS}\x01{listed}"
    )
