"""Runs a flow of orders, to be counted from outside: `python -m tests.bench.cost_flow FLOW ORDERS [OF]`.

Ready bytes of OF orders are made and ORDERS of them are run, so two runs with the same OF differ by orders alone. Time
is an argument that moves by 100 us a turn: what is done must not depend on how slowly it is done.
"""

import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.serving import spare_collector
from tests.bench.in_process import House
from tests.support.order_load import Door, Flow

_TURN_NS = 100_000


class Counted(NamedTuple):
    """One flow of orders that is counted."""

    door: Door
    flow: Flow
    sessions: int
    in_flight: int
    durability: str = "memory"


FLOWS = {
    "fix/rest 1x64": Counted("fix", "rest", 1, 64),
    "fix/rest 50x8": Counted("fix", "rest", 50, 8),
    "fix/trade 50x8": Counted("fix", "trade", 50, 8),
    "fix/rest 50x8 journal": Counted("fix", "rest", 50, 8, "process"),
    "ws/rest 1x64": Counted("ws", "rest", 1, 64),
    "ws/rest 50x8": Counted("ws", "rest", 50, 8),
}


def house_of(flow: str, orders: int, directory: Path) -> tuple[House, Callable[[], int]]:
    """The house of a flow, and its clock: each turn reads it a known number of times."""
    counted = FLOWS[flow]
    house = House(
        counted.door, counted.flow, counted.sessions, counted.in_flight, orders, directory, counted.durability
    )
    began = house.server.now_ns()
    return house, itertools.count(began, _TURN_NS // (counted.sessions + 1)).__next__


def orders_of(flow: str, turns: int) -> int:
    """How many orders so many turns are."""
    return turns * FLOWS[flow].sessions * FLOWS[flow].in_flight


def main() -> None:
    """Run the flow."""
    flow, orders = sys.argv[1], int(sys.argv[2])
    made = int(sys.argv[3]) if len(sys.argv) > 3 else orders
    with tempfile.TemporaryDirectory(prefix="penstock-cost-") as name:
        house, now = house_of(flow, made, Path(name))
        spare_collector()
        for turn in range(orders // orders_of(flow, 1)):
            house.turn(turn, now)
        house.accepted()
        house.server.journal.close()


if __name__ == "__main__":
    main()
