"""One measurement: its runs on each door, the doors in turn, each with a gateway of its own or all with somebody's.

A new gateway for each run: the orders that rest in the book of one must not slow the next.
"""

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec
import uvloop

from gateway.bench.flow import Market
from gateway.bench.load import Door, Load, run_load
from gateway.bench.process import listener
from gateway.bench.result import Run, run_of
from gateway.bench.venue import KEY, Durability, own_gateway
from gateway.bench.wires import FixWire, Identity, WsWire
from gateway.doors.descriptors import raise_limit

DoorName = Literal["fix", "ws"]


class Address(msgspec.Struct, frozen=True):
    """Where a door of somebody's gateway is."""

    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine for certain."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Elsewhere(msgspec.Struct, frozen=True):
    """Somebody's gateway: its doors, and who logs on there."""

    doors: dict[DoorName, Address]
    identity: Identity
    market: Market


def measure(
    load: Load,
    runs: int,
    doors: tuple[DoorName, ...],
    durability: Durability,
    elsewhere: Elsewhere | None,
    progress: Callable[[str], None],
) -> dict[str, list[Run]]:
    """The runs by door. elsewhere: the gateway; None = one of its own, with this journal. progress: gets a line a run.

    Raises:
        BenchFailed: there is no result.
    """
    raise_limit()
    found: dict[str, list[Run]] = {door: [] for door in doors}
    for number in range(1, runs + 1):
        for door in doors:
            progress(f"{door}: run {number} of {runs}")
            with _door(door, load.sessions, durability, elsewhere) as target:
                found[door].append(run_of(uvloop.run(run_load(target, load))))
    return found


@contextmanager
def _door(name: DoorName, sessions: int, durability: Durability, elsewhere: Elsewhere | None) -> Iterator[Door]:
    if elsewhere is None:
        with own_gateway(sessions, durability) as gateway:
            wire = WsWire(Identity(key=KEY)) if name == "ws" else FixWire(Identity())
            yield Door(wire, "127.0.0.1", gateway.ports[name], gateway.pid)
        return
    at = elsewhere.doors[name]
    pid = listener(at.port) if at.is_local else None
    wire = WsWire(elsewhere.identity) if name == "ws" else FixWire(elsewhere.identity)
    yield Door(wire, at.host, at.port, pid, elsewhere.market)
