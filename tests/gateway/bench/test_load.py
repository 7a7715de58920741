"""Short runs against a gateway in this loop. Only counts are asserted: what is fast depends on the machine."""

import pytest

from gateway.bench.failed import BenchFailed
from gateway.bench.load import Door, Load, run_load
from gateway.bench.venue import KEY, LIMITS, venue_toml
from gateway.bench.wires import FixWire, Identity, Wire, WsWire
from tests.support.server import free_ports, running

WIRES: dict[str, Wire] = {"fix": FixWire(Identity()), "ws": WsWire(Identity(key=KEY))}
BOTH = pytest.mark.parametrize("name", WIRES)


@BOTH
async def test_a_closed_loop_has_every_order_answered_and_trades_what_crosses(name: str) -> None:
    load = Load(sessions=3, in_flight=4, seconds=0.3, warm_up=0.05, crossing=100)
    async with running(venue_toml(3, "memory"), limits=LIMITS) as server:
        found = await run_load(Door(WIRES[name], "127.0.0.1", server.ports[name]), load)
        accepted, fills = server.metrics.doors[name].orders_accepted, server.metrics.fills
    assert (found.refusals, found.unanswered, found.cpu_s) == ({}, 0, None)
    assert 0 < found.accepted <= accepted
    assert 0 < found.latencies.total <= accepted
    assert fills == 2 * (accepted // 2), "every pair trades"
    assert found.messages > found.accepted, "trades are messages too"


@BOTH
async def test_an_open_loop_sends_what_was_due_and_not_more(name: str) -> None:
    load = Load(sessions=2, in_flight=0, rate=400, seconds=0.3, warm_up=0.0)
    async with running(venue_toml(2, "memory"), limits=LIMITS) as server:
        found = await run_load(Door(WIRES[name], "127.0.0.1", server.ports[name]), load)
        accepted = server.metrics.doors[name].orders_accepted
    assert (found.refusals, found.unanswered) == ({}, 0)
    assert found.latencies.total == 120 or abs(found.latencies.total - 120) <= 1, "one each 2.5 ms"
    assert accepted >= found.latencies.total


@BOTH
async def test_refusals_are_counted_by_code(name: str) -> None:
    limits = LIMITS.replace(
        'orders = { rate = "10000000/s", burst = 10000000 }', 'orders = { rate = "1/s", burst = 5 }'
    )
    load = Load(sessions=1, in_flight=0, rate=100, seconds=0.3, warm_up=0.0)
    async with running(venue_toml(1, "memory"), limits=limits) as server:
        found = await run_load(Door(WIRES[name], "127.0.0.1", server.ports[name]), load)
    assert set(found.refusals) == {"3001"}
    assert found.unanswered == 0


async def test_a_door_that_is_not_there_is_named() -> None:
    port = free_ports("fix")["fix"]
    with pytest.raises(BenchFailed, match=rf"127\.0\.0\.1:{port}: .*Start a gateway there"):
        await run_load(Door(WIRES["fix"], "127.0.0.1", port), Load())


async def test_a_session_that_the_gateway_does_not_know_is_named() -> None:
    async with running(venue_toml(1, "memory"), limits=LIMITS) as server:
        with pytest.raises(BenchFailed, match="session 2: the gateway closed the connection before the logon"):
            await run_load(Door(WIRES["fix"], "127.0.0.1", server.ports["fix"]), Load(sessions=2))
