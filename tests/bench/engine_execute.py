"""What one command costs the reference engine: `python tests/bench/engine_execute.py`. CPU time, best of five runs.

Commands are made beforehand, so only the engine is measured, its events included. The last rows are the two traps
the book was built around: eating one long level from the front, and a fill-or-kill that finds a deep book too thin.
"""

from random import Random
from time import process_time_ns

from gateway.core.engine import Engine
from protocols.instruments import Instrument
from protocols.messages import (
    AnyCommand,
    CancelOrder,
    Lane,
    NewOrder,
    OrdType,
    Origin,
    ReplaceOrder,
    Sender,
    Side,
    Stp,
    Tif,
    pack_cmd_id,
)
from protocols.runs import NewOrders, OrderTerms

_COUNT = 50_000
_INSTRUMENTS = (Instrument(1, "BTC-USDT", "BTC", "USDT", px_exp=2, qty_exp=8),)


def _new(n: int, side: Side, price: int, tif: Tif = Tif.GTC, account: int = 1, qty: int = 10) -> NewOrder:
    head = (pack_cmd_id(account, Lane.ORDER, n), account, account, Origin.FIX, 0, 1 << 62)
    return NewOrder(*head, f"mm-7f3a-{n}", 1, side, OrdType.LIMIT, tif, qty, price)


def _cancel(n: int) -> CancelOrder:
    return CancelOrder(pack_cmd_id(1, Lane.CANCEL, n), 1, 1, Origin.FIX, 0, 0, f"x{n}", 1, 0, f"mm-7f3a-{n}")


def _replace(n: int, price: int) -> ReplaceOrder:
    head = (pack_cmd_id(1, Lane.ORDER, n), 1, 1, Origin.FIX, 0, 0)
    return ReplaceOrder(*head, f"mm-7f3a-{n}", 1, 10, price, order_id=1)


def _measure(name: str, before: list[AnyCommand], commands: list[AnyCommand], per: int = 1) -> None:
    """Print the cost of `commands` after `before`; `per` commands make one unit."""
    best = float("inf")
    for _ in range(5):
        engine = Engine(_INSTRUMENTS, 65_536, "bench")
        execute = engine.execute
        for now_ns, command in enumerate(before):
            execute(command, now_ns)
        began = process_time_ns()
        for now_ns, command in enumerate(commands, len(before)):
            execute(command, now_ns)
        best = min(best, (process_time_ns() - began) / len(commands) * per)
    print(f"{name:<44} {best / 1000:6.2f} us  {1e6 / best:6.0f} k/s")


def _measure_runs(name: str, *orders: tuple[Side, int]) -> None:
    """Print the cost of an order of runs of 64, which repeat these sides and prices."""
    best = float("inf")
    terms = {side: OrderTerms(1, side, OrdType.LIMIT, Tif.GTC, 0, Stp.DEFAULT, "", "") for side in Side}
    for _ in range(5):
        engine, sender, runs = Engine(_INSTRUMENTS, 65_536, "bench"), Sender(1, 1, Origin.FIX), []
        for begin in range(0, _COUNT, 64):
            chosen = [(n, *orders[n % len(orders)]) for n in range(begin, begin + 64)]
            rows = [(f"mm-7f3a-{n}", terms[side], 10, price, 0, 0) for n, side, price in chosen]
            runs.append(NewOrders(sender, rows, 0))
        began = process_time_ns()
        for now_ns, run in enumerate(runs):
            engine.execute_all(run, now_ns)
        best = min(best, (process_time_ns() - began) / (64 * len(runs)))
    print(f"{name:<44} {best / 1000:6.2f} us  {1e6 / best:6.0f} k/s")


def main() -> None:
    """Print one line per kind of command."""
    random = Random(20261122)
    numbers = range(1, _COUNT + 1)
    spread: list[AnyCommand] = [_new(n, Side.BUY, 5_000 + random.randrange(1_000)) for n in numbers]
    level: list[AnyCommand] = [_new(n, Side.BUY, 5_000) for n in numbers]
    pairs: list[AnyCommand] = []
    for n in numbers:
        pairs += (spread[n - 1], _cancel(n))
    _measure("limit order rests, 1,000 levels", [], spread)
    _measure("limit order rests, one level", [], level)
    _measure_runs("limit order of a run rests", (Side.BUY, 5_000))
    _measure_runs("limit orders of a run, each second trades", (Side.BUY, 5_000), (Side.SELL, 5_000))
    _measure("limit order rests, then is cancelled (both)", [], pairs, per=2)
    _measure(
        "replace with another price", [_new(1, Side.BUY, 5_000)], [_replace(n, 5_000 + n % 100) for n in numbers[1:]]
    )
    _measure(
        "IOC fills one maker of 50,000 at a level", level, [_new(n, Side.SELL, 5_000, Tif.IOC, 2) for n in numbers]
    )
    _measure("IOC finds nothing", [], [_new(n, Side.SELL, 5_000, Tif.IOC, 2) for n in numbers])
    _measure("the same id again", level[:1], [_new(n, Side.BUY, 5_000) for n in numbers[1:]])
    fok: list[AnyCommand] = [_new(n, Side.SELL, 1, Tif.FOK, 2, qty=1 << 40) for n in range(1, 201)]
    _measure("FOK finds 1,000 levels too thin", spread, fok)


if __name__ == "__main__":
    main()
