"""Bursts: proven clients with many open orders who ask for all of them, and for all that was said, again and again.

They break no rule. Whoever reads on must get all that was asked for (a slow but steady reader: that, or an end with its
reason), and the healthy must not wait longer for it. Kinds are functions (caller) -> Plan, as in `fuzz.fix`.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any, Literal

from tests.faults.fuzz import fix as fuzz_fix
from tests.faults.fuzz import ws as fuzz_ws
from tests.faults.fuzz.owed import Debt, FixOwed, WsOwed, owe
from tests.faults.fuzz.wire import Plan

WIDTHS = (1, 4)
_ORDERS = (500, 2_500)
_AT_ONCE = 100
_GAP_S = 0.005
_PATIENCE = 1_000  # gaps, for the orders to be answered
_LIMIT_S = 15.0
_SINGLES = 300  # numbers that are asked for one by one
_PIECE = 50


def _resends(caller: fuzz_fix.Caller) -> Plan:
    """Asks for all that it was ever sent: whole, in pieces, and number by number."""
    return _fix_burst(caller, ("pieces", "singles", "whole"))


def _reports(caller: fuzz_fix.Caller) -> Plan:
    """Asks for the state of all orders, and for what was said, all at once."""
    return _fix_burst(caller, ("AF", "AF", "whole"))


def _fix_burst(caller: fuzz_fix.Caller, asked: tuple[str, ...]) -> Plan:
    rng = caller.rng
    reads, debt = _reader(rng)
    replies = FixOwed(debt)
    count = rng.choice(_ORDERS)
    questions = rng.sample(asked, len(asked))

    def chunks() -> Iterator[bytes]:
        yield caller.logon((8_013, "N"))
        for _ in range(count // _AT_ONCE):
            yield b"".join(_resting(caller) for _ in range(_AT_ONCE))
        yield from _until(lambda: replies.placed >= count)
        for n, kind in enumerate(questions):
            yield _question(caller, kind, replies, f"af-{n}")
        cancel = owe(debt, f"mc-{rng.getrandbits(40):x}")
        debt.has_asked = True
        yield caller.message("q", [(11, cancel), (530, 7), (60, fuzz_fix.now())])

    return Plan(
        chunks(), gap_s=_GAP_S, reads=reads, stay_s=_LIMIT_S, rest_s=0.1, limit_s=_LIMIT_S, judge=lambda: replies
    )


def _question(caller: fuzz_fix.Caller, kind: str, replies: FixOwed, name: str) -> bytes:
    """One burst's cause: asked for are numbers that were heard already, so each must come again."""
    if kind == "AF":
        return caller.message("AF", [(584, owe(replies.debt, name)), (585, 7)])
    last = replies.last
    if kind == "whole":
        ranges = [(1, last)]
    elif kind == "pieces":
        ranges = [(begin, min(begin + _PIECE - 1, last)) for begin in range(1, last + 1, _PIECE)]
    else:
        ranges = [(number, number) for number in range(1, min(last, _SINGLES) + 1)]
    replies.debt.numbers.update(number for begin, end in ranges for number in range(begin, end + 1))
    return b"".join(caller.message("2", [(7, begin), (16, end)]) for begin, end in ranges)


def _resting(caller: fuzz_fix.Caller) -> bytes:
    """An order that trades with nobody."""
    price = f"1{caller.rng.randrange(1_000):03d}.00"
    fields: dict[int, object] = {**dict(caller.order_fields()), 38: "0.01", 44: price, 54: 1, 59: 1}
    return caller.message("D", fields.items())


def _lists(caller: fuzz_ws.Caller) -> Plan:
    """Asks for all orders and all events at once."""
    rng = caller.rng
    reads, debt = _reader(rng)
    replies = WsOwed(debt)
    count = rng.choice(_ORDERS)

    def chunks() -> Iterator[bytes]:
        yield caller.upgrade()
        for _ in range(count // _AT_ONCE):
            yield b"".join(fuzz_ws.quick(_quiet_order(caller)) for _ in range(_AT_ONCE))
        yield from _until(lambda: replies.placed >= count)
        last = replies.last
        first = max(last - count + 1, 1)
        for n in range(4):
            replay = {"epoch": caller.epoch, "begin": first, "end": last}
            asked = owe(debt, f"replay-{n}", range(first, last + 1) if last else ())
            yield fuzz_ws.quick({"id": asked, "method": "stream.replay", "params": replay})
            yield fuzz_ws.quick({"id": owe(debt, f"list-{n}"), "method": "order.list", "params": {}})
        cancel = owe(debt, "cancel-all")
        debt.has_asked = True
        yield fuzz_ws.quick({"id": cancel, "method": "order.cancel_all", "params": {}})

    return Plan(
        chunks(), gap_s=_GAP_S, reads=reads, stay_s=_LIMIT_S, rest_s=0.1, limit_s=_LIMIT_S, judge=lambda: replies
    )


def _quiet_order(caller: fuzz_ws.Caller) -> dict[str, Any]:
    order = caller.order()
    order["params"] |= {"side": "buy", "price": f"1{caller.rng.randrange(1_000):03d}.00", "qty": "0.01", "tif": "gtc"}
    return order


def _reader(rng: random.Random) -> tuple[Literal["all", "steady"], Debt]:
    return ("all", Debt(is_quick=True)) if rng.random() < 0.5 else ("steady", Debt(is_quick=False))


def _until(condition: Callable[[], bool]) -> Iterator[bytes]:
    """Pauses, until it is true or too late."""
    for _ in range(_PATIENCE):
        if condition():
            return
        yield b""


FIX_KINDS: dict[str, Callable[[fuzz_fix.Caller], Plan]] = {"burst_reports": _reports, "burst_resends": _resends}
WS_KINDS: dict[str, Callable[[fuzz_ws.Caller], Plan]] = {"burst_lists": _lists}
