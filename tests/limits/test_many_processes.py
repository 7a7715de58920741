"""Several processes on one real server: what they admit together in any window, and how much of the rate they get.

The window bound is exact in the store's time (the tests in virtual time assert that). Here it is asserted in
everybody's, which adds the moment for which the script's clock stands still. How much of the rate is used depends on
the machine's cores too, so it is asserted where two cores suffice and printed where they do not.

Modules: shared, redis_store.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, redis_server

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "tests" / "support" / "limit_worker.py"
_NS = 1_000_000_000
_BEGIN_MS = 200
_CLOCKS_DIFFER = 1.001  # the server refills by the wall clock, which may be slewed against the monotonic one
_LAG_S = 0.002  # from the moment the script reads its clock to the moment it is done, on a machine with more to do


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as own:
        yield own


def plan(rate: int, burst: int) -> str:
    return f'version = 2\n[plans.standard]\norders = {{ rate = "{rate}/s", burst = {burst} }}\n'


Events = list[tuple[int, int]]


def run(
    server: RedisServer,
    nodes: int,
    rate: int,
    burst: int,
    pattern: str = "greedy",
    seconds: float = 1.5,
    midway: Callable[[list[int]], None] | None = None,
    timeout_ms: int = 2_000,
) -> Events:
    """Let `nodes` processes trade, and return every admission as (asked, admitted), sorted. midway: gets their ids.

    The time-out is generous: on a machine with more processes than cores a call may wait for its turn, and a store that
    seems away is not bound to anything exact.
    """
    end_ms = _BEGIN_MS + int(seconds * 1000)
    words = [server.url, nodes, plan(rate, burst), "orders", pattern, timeout_ms, _BEGIN_MS, end_ms]
    process = subprocess.Popen(
        [sys.executable, str(WORKER), *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    ids = [int(each) for each in process.stdout.readline().split()]
    if midway is not None:
        time.sleep((_BEGIN_MS + end_ms) / 2000)
        midway(ids)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(ids) == nodes
    return sorted((int(asked), int(admitted)) for asked, admitted in (line.split() for line in output.splitlines()))


def assert_bounded(events: Events, rate: int, burst: int) -> None:
    """No window admits more than burst + rate x dt. An admission lies in a window when all of its time does."""
    begins = sorted({asked for asked, _ in events})
    ends = sorted(events, key=lambda event: event[1])
    for first_ns in begins[:: max(len(begins) // 400, 1)]:
        inside = 0
        for asked_ns, admitted_ns in ends:
            inside += asked_ns >= first_ns
            assert inside <= burst + rate * (_CLOCKS_DIFFER * max(admitted_ns - first_ns, 0) / _NS + _LAG_S)


def used(events: Events, rate: int, burst: int, seconds: float) -> float:
    return len(events) / (burst + rate * seconds)


@pytest.mark.parametrize(("nodes", "rate", "burst"), [(1, 500, 100), (4, 500, 100), (4, 50, 40)])
def test_greedy_nodes_get_the_whole_rate_together_and_no_more(server, nodes, rate, burst):
    seconds = 2.0
    events = run(server, nodes, rate, burst, seconds=seconds)
    assert_bounded(events, rate, burst)
    assert used(events, rate, burst, seconds) >= 0.97


def test_eight_greedy_nodes_stay_within_the_bound(server):
    events = run(server, 8, 500, 200, seconds=1.5)
    assert_bounded(events, 500, 200)
    print(f"8 nodes use {used(events, 500, 200, 1.5):.1%}")


@pytest.mark.parametrize("pattern", ["on_off", "idle_then_burst"])
def test_tokens_that_idle_nodes_hand_back_are_not_counted_twice(server, pattern):
    events = run(server, 4, 200, 100, pattern, seconds=2.0)
    assert_bounded(events, 200, 100)
    assert len(events) >= 100


def test_a_bucket_too_small_to_lease_is_exact_over_many_nodes(server):
    events = run(server, 4, 4, 3, seconds=2.0)
    assert_bounded(events, 4, 3)
    assert len(events) >= 9


def kill_one(_: RedisServer, ids: list[int]) -> None:
    os.kill(ids[0], signal.SIGKILL)


def restart(server: RedisServer, _: object) -> None:
    server.kill()
    server.start()


def forget_scripts(server: RedisServer, _: object) -> None:
    with server.client() as client:
        client.script_flush()


def pause(server: RedisServer, _: object) -> None:
    with server.client() as client:
        client.client_pause(200)


@pytest.mark.parametrize("fault", [kill_one, forget_scripts])
def test_the_bound_holds_through_a_fault(server, fault):
    """A restart and a pause are outages: what is admitted without the store is another promise, asserted below."""
    events = run(server, 3, 300, 100, seconds=1.5, midway=lambda ids: fault(server, ids))
    assert_bounded(events, 300, 100)
    assert len(events) > 100


@pytest.mark.parametrize("fault", [restart, pause])
def test_through_an_outage_the_nodes_go_on_at_their_share(server, fault):
    """Each node's share of the burst may come on top, once: it is what a full local bucket holds."""
    events = run(server, 3, 300, 90, seconds=2.0, midway=lambda ids: fault(server, ids), timeout_ms=50)
    assert_bounded(events, 300, 90 + 90)
    assert used(events, 300, 90, 2.0) > 0.7


def flap(server: RedisServer, _: object) -> None:
    """The store takes writes, or does not, for a fifth of a second each."""
    with server.client() as client:
        for number in range(8):
            client.config_set("maxmemory", (number + 1) % 2)
            time.sleep(0.2)


def test_any_number_of_outages_admits_one_burst_more(server):
    """What each admits by itself is paid, whoever is back first: or each outage would add to it."""
    events = run(server, 3, 300, 90, seconds=4.0, midway=lambda ids: flap(server, ids))
    assert_bounded(events, 300, 90 + 90)
    assert used(events, 300, 90, 4.0) > 0.7
