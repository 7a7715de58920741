"""Runs a flow of orders, to be counted from outside: `python -m tests.bench.cost_flow FLOW ORDERS [OF]`.

Ready bytes of OF orders are made and ORDERS of them are run, so two runs with the same OF differ by orders alone. Time
begins on a fixed day and moves by 100 us a turn: neither the date nor the speed may change what is done.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.serving import spare_collector
from protocols.fix.times import parse_ns
from tests.bench.in_process import InProcessGateway
from tests.support.hand_clock import HandClock
from tests.support.order_load import Door, Flow

_START_NS = parse_ns("20261122-12:00:00")
_TURN_NS = 100_000


class Counted(NamedTuple):
    """One flow of orders that is counted."""

    door: Door
    flow: Flow
    sessions: int
    in_flight: int
    durability: str = "memory"


FLOWS = {
    "fix/rest 1x1": Counted("fix", "rest", 1, 1),
    "fix/rest 1x64": Counted("fix", "rest", 1, 64),
    "fix/vary 1x64": Counted("fix", "vary", 1, 64),
    "fix/rest 50x8": Counted("fix", "rest", 50, 8),
    "fix/trade 50x8": Counted("fix", "trade", 50, 8),
    "fix/rest 50x8 journal": Counted("fix", "rest", 50, 8, "process"),
    "fix/rest 1x64 journal": Counted("fix", "rest", 1, 64, "process"),
    "fix/rest 1x64 disk": Counted("fix", "rest", 1, 64, "disk"),
    "ws/rest 1x1": Counted("ws", "rest", 1, 1),
    "ws/rest 1x64": Counted("ws", "rest", 1, 64),
    "ws/vary 1x64": Counted("ws", "vary", 1, 64),
    "ws/rest 50x8": Counted("ws", "rest", 50, 8),
    "ws/trade 50x8": Counted("ws", "trade", 50, 8),
}


def gateway_of(flow: str, orders: int, directory: Path) -> tuple[InProcessGateway, Callable[[], int]]:
    """The gateway of a flow, and its time: each turn asks for it a known number of times, and it moves."""
    counted = FLOWS[flow]
    clock = HandClock(_START_NS)
    gateway = InProcessGateway(
        counted.door,
        counted.flow,
        counted.sessions,
        counted.in_flight,
        orders,
        directory,
        counted.durability,
        clock,  # type: ignore[arg-type]
    )

    def now_ns() -> int:
        clock.own_now_ns += _TURN_NS // (counted.sessions + 1)
        return clock.own_now_ns

    return gateway, now_ns


def orders_of(flow: str, turns: int) -> int:
    """How many orders so many turns are."""
    return turns * FLOWS[flow].sessions * FLOWS[flow].in_flight


def main() -> None:
    """Run the flow."""
    flow, orders = sys.argv[1], int(sys.argv[2])
    made = int(sys.argv[3]) if len(sys.argv) > 3 else orders
    with tempfile.TemporaryDirectory(prefix="penstock-cost-") as name:
        gateway, now = gateway_of(flow, made, Path(name))
        spare_collector()
        for turn in range(orders // orders_of(flow, 1)):
            gateway.turn(turn, now)
        gateway.accepted()
        gateway.server.journal.close()


if __name__ == "__main__":
    main()
