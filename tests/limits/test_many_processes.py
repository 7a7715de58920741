"""Several processes on one real server: what they admit together in any window, and how much of the rate they get.

The window bound is exact in the store's time (the tests in virtual time assert that). Here it is asserted in
everybody's, which adds the moment for which the script's clock stands still. How much of the rate greedy nodes get
depends on the machine too: `make bench-limits` has that goal.

Modules: shared, redis_store.
"""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.many_processes import Events, run, used
from tests.support.redis_server import RedisServer, redis_server

_NS = 1_000_000_000
_CLOCKS_DIFFER = 1.001  # the server refills by the wall clock, which may be slewed against the monotonic one
_LAG_S = 0.002  # from the moment the script reads its clock to the moment it is done, on a machine with more to do


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as own:
        yield own


def assert_bounded(events: Events, rate: int, burst: int) -> None:
    """No window admits more than burst + rate x dt. An admission lies in a window when all of its time does."""
    begins = sorted({asked for asked, _ in events})
    ends = sorted(events, key=lambda event: event[1])
    for first_ns in begins[:: max(len(begins) // 400, 1)]:
        inside = 0
        for asked_ns, admitted_ns in ends:
            inside += asked_ns >= first_ns
            assert inside <= burst + rate * (_CLOCKS_DIFFER * max(admitted_ns - first_ns, 0) / _NS + _LAG_S)


@pytest.mark.parametrize(("nodes", "rate", "burst"), [(1, 500, 100), (4, 500, 100), (4, 50, 40)])
def test_greedy_nodes_get_more_than_the_burst_together_and_no_more_than_the_rate(server, nodes, rate, burst):
    seconds = 2.0
    events = run(server, nodes, rate, burst, seconds=seconds)
    assert_bounded(events, rate, burst)
    assert len(events) > burst


def test_eight_greedy_nodes_stay_within_the_bound(server):
    assert_bounded(run(server, 8, 500, 200, seconds=1.5), 500, 200)


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
