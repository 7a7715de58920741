"""A node's traffic with a store that is not well, in virtual time: debts, outages, buckets in trouble, wrong clocks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limits.bucket import MILLI
from limits.paths import Path
from limits.store import Trouble
from tests.support.shared_limits import SECOND_NS, START_NS, World, policy_of

LEASED = '[plans.standard]\norders = { rate = "100/s", burst = 200 }\n'
STRICT = '[plans.standard]\norders = { rate = "2/s", burst = 3 }\n'
ORDERS = "gw:{ACME}:account::orders"


def opened(world: World, node: int = 0, account: str = "ACME") -> Path:
    path = world.nodes[node].limiter.open(account, "MM1")
    world.nodes[node].settle()
    return path


# -- what is owed ------------------------------------------------------------------------------------------------------


def test_what_was_decided_without_the_store_is_told_as_soon_as_it_answers_though_nobody_trades_any_more():
    world = World(LEASED + 'queries = { rate = "2/s", burst = 3 }', nodes=2)
    node, path = world.nodes[0], opened(world)
    world.run(0.6)
    node.store.lose()
    for name in ("orders", "queries"):
        node.take(path, name)
    world.now_ns += 2 * SECOND_NS
    assert (node.taken(path), node.taken(path, "queries")) == (100, 1)
    node.store.is_away = False
    assert node.limiter.next_deadline_ns is not None
    world.run(0.3)
    ledgers = world.ledgers.by_key
    assert ledgers[ORDERS].nodes["node-0"].paid_milli == 100 * MILLI
    assert ledgers["gw:{ACME}:account::queries"].nodes["node-0"].paid_milli == MILLI
    world.run(1)
    assert node.limiter.next_deadline_ns is None


def test_a_strict_decision_pays_what_is_owed_first():
    world = World(STRICT)
    node, path = world.nodes[0], opened(world)
    assert node.taken(path) == 3
    node.store.lose()
    node.take(path)
    world.now_ns += SECOND_NS
    assert node.taken(path) == 2
    node.store.is_away = False
    assert node.taken(path) == 0  # a second brought two, and two were spent


def test_a_stop_tells_what_is_owed():
    world = World(LEASED)
    node, path = world.nodes[0], opened(world)
    world.run(0.6)
    node.store.lose()
    node.take(path)
    world.now_ns += SECOND_NS
    assert node.taken(path) == 100
    node.store.is_away = False
    node.limiter.close()
    node.store.deliver()
    assert world.ledgers.by_key[ORDERS].nodes["node-0"].paid_milli == 100 * MILLI


def test_the_share_of_each_outage_starts_empty():
    world = World(LEASED, nodes=2)
    node, path = world.nodes[0], opened(world)
    assert node.taken(path, tries=300) == 200
    for _ in range(2):
        node.store.lose()
        assert node.take(path).wait_us == 20_000
        node.store.is_away = False
        world.run(10)
        assert node.taken(path, tries=300) == 200


@settings(max_examples=60, deadline=None)
@given(
    plan=st.sampled_from([LEASED, STRICT]),
    steps=st.lists(
        st.tuples(
            st.integers(0, 400),  # milliseconds
            st.sampled_from(["trade", "trade", "trade", "idle"]),
            st.sets(st.integers(0, 2)),  # who cannot reach the store
        ),
        min_size=1,
        max_size=40,
    ),
)
def test_any_number_of_outages_on_any_number_of_nodes_admits_one_burst_more(plan, steps):
    """Of outages that last no longer than the bucket takes to fill: so long a share brings no more than the burst."""
    world = World(plan, nodes=3)
    limit = world.policy.plans["standard"].limits["orders"]
    paths = [opened(world, number) for number in range(3)]
    lost_ns = [0, 0, 0]
    admitted, lowest = 0.0, 0.0
    for elapsed_ms, what, away in steps:
        world.run(elapsed_ms / 1000)
        for number, node in enumerate(world.nodes):
            may_last_ns = limit.burst / limit.rate.per_second * SECOND_NS
            if number in away and not node.store.is_away:
                node.store.lose()
                lost_ns[number] = world.now_ns
            elif number not in away or world.now_ns - lost_ns[number] > may_last_ns:
                node.store.is_away = False
        if what == "idle":
            continue
        for node, path in zip(world.nodes, paths, strict=True):
            line = admitted - limit.rate.per_second * (world.now_ns - START_NS) / SECOND_NS
            lowest = min(lowest, line)
            admitted += node.taken(path, tries=limit.burst)
            line = admitted - limit.rate.per_second * (world.now_ns - START_NS) / SECOND_NS
            assert line - lowest <= 2 * limit.burst


# -- one bucket in trouble ---------------------------------------------------------------------------------------------


class Odd(World):
    """A store that cannot use the orders of ACME; everything else in it is well."""

    def __init__(self, plan: str, trouble: Trouble | None = None) -> None:
        super().__init__(plan, nodes=2)
        self.node = self.nodes[0]
        self.told: list[str] = []
        self.node.limiter.batcher.on_trouble = lambda key, what: self.told.append(f"{key} {what.reason}")
        self.mine, self.other = opened(self), opened(self, account="OTHER")
        self.run(0.6)  # leases go back
        self.node.store.odd.add(ORDERS)
        if trouble is not None:
            self.node.store.trouble = trouble

    def is_degraded(self, path: Path, name: str) -> bool:
        (view,) = self.node.limiter.view(path, self.now_ns, (name,))
        return view.degraded


@pytest.mark.parametrize(("plan", "whole", "share"), [(LEASED, 200, 50), (STRICT, 3, 1)])
def test_a_bucket_that_the_store_cannot_use_is_decided_without_it_and_troubles_nobody_else(plan, whole, share):
    world = Odd(plan)
    node = world.node
    for path in (world.mine, world.other):
        assert node.limiter.take(path, "orders", MILLI, world.now_ns).pending
    node.settle()  # they have asked in one call
    assert set(world.told) == {f"{ORDERS} wrong_type"}
    assert node.taken(world.other, tries=300) == whole
    assert node.taken(world.mine) == 0  # its share starts empty
    world.now_ns += SECOND_NS
    assert node.taken(world.mine) == share
    assert node.limiter.batcher.troubled == 1
    assert world.is_degraded(world.mine, "orders")
    assert not world.is_degraded(world.mine, "cancels")
    assert not world.is_degraded(world.other, "orders")


@pytest.mark.parametrize("plan", [LEASED, STRICT])
def test_nobody_waits_for_a_bucket_in_trouble_though_it_is_tried_again_and_again(plan):
    world = Odd(plan)
    node = world.node
    node.take(world.mine)
    calls = node.limiter.batcher.calls
    for _ in range(100):
        world.now_ns += 10_000_000
        node.limiter.tick(world.now_ns)
        assert not node.limiter.take(world.mine, "orders", MILLI, world.now_ns).pending
        node.settle()
    assert 3 <= node.limiter.batcher.calls - calls <= 4


@pytest.mark.parametrize(("plan", "share"), [(LEASED, 50), (STRICT, 1)])
def test_a_bucket_that_is_well_again_is_paid_what_was_decided_without_it(plan, share):
    world = Odd(plan)
    node = world.node
    node.taken(world.mine)
    world.now_ns += SECOND_NS
    assert node.taken(world.mine) == share
    node.store.odd.clear()
    world.run(0.3)
    assert node.limiter.batcher.troubled == 0
    assert not world.is_degraded(world.mine, "orders")
    assert world.ledgers.by_key[ORDERS].nodes["node-0"].paid_milli == share * MILLI


def test_cancels_pass_while_their_bucket_is_in_trouble():
    world = Odd(LEASED + 'cancels = { rate = "1/min", burst = 8 }')
    world.node.store.odd.add(ORDERS.replace("orders", "cancels"))
    assert world.node.taken(world.mine, "cancels", tries=500) == 500


def test_of_a_call_with_an_unknown_outcome_nothing_is_said_again():
    """It may have been carried out: both buckets are in trouble, until each has been heard by itself."""
    world = Odd(LEASED, Trouble("timeout", "", is_undone=False))
    node = world.node
    for path in (world.mine, world.other):
        node.limiter.take(path, "orders", MILLI, world.now_ns)
    node.end_tick()
    node.store.deliver()
    node.end_tick()
    assert not node.store.waiting
    assert node.limiter.batcher.troubled == 2
    node.store.odd.clear()
    world.run(0.3)
    assert node.limiter.batcher.troubled == 0


def test_a_level_in_trouble_is_decided_here_and_the_others_by_the_store():
    text = STRICT + 'orders_per_instrument = { rate = "1/s", burst = 2 }\n'
    world = Odd(text)
    node = world.node
    assert not node.take(world.mine, instrument=7).allowed
    world.run(0.3)
    assert node.limiter.batcher.troubled == 1  # the instrument's was suspected with it
    world.now_ns += SECOND_NS
    assert node.take(world.mine, instrument=7).allowed
    key = "gw:{ACME}:instrument:7:orders_per_instrument"
    assert world.ledgers.by_key[key].level == world.ledgers.by_key[key].period_us  # one of two


def test_of_many_buckets_in_trouble_a_few_are_tried_at_a_time_and_all_when_they_are_well():
    world = World(LEASED)
    node = world.nodes[0]
    paths = [opened(world, account=f"A{number}") for number in range(40)]
    world.run(0.6)
    node.store.odd.update(world.ledgers.by_key)
    for path in paths:
        node.limiter.take(path, "orders", MILLI, world.now_ns)
    node.settle()
    assert node.limiter.batcher.troubled == 40
    calls = node.limiter.batcher.calls
    world.run(1.0)
    assert node.limiter.batcher.calls - calls <= 4 * (8 + 1)
    node.store.odd.clear()
    world.run(0.5)
    assert node.limiter.batcher.troubled == 0


def test_a_store_that_takes_a_new_number_for_an_old_one_is_no_reason_to_wait_for_ever():
    world = World(LEASED)
    node, path = world.nodes[0], opened(world)
    world.ledgers.by_key[ORDERS].nodes["node-0"].seq = 1 << 40
    assert node.taken(path) == 8  # its lease
    assert not node.take(path).pending
    assert node.limiter.batcher.troubled == 1


def test_in_a_cluster_each_bucket_is_a_call_of_its_own():
    world = World(LEASED + 'queries = { rate = "50/s", burst = 100 }')
    node = world.nodes[0]
    node.store.is_cluster = True
    path = node.limiter.open("ACME", "MM1")
    node.limiter.take(path, "queries", MILLI, world.now_ns)
    node.end_tick()
    assert [len(batch.asks) for batch in node.store.sent] == [1, 1]


# -- the store's clock -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [LEASED, STRICT])
def test_a_clock_that_was_ahead_and_is_put_right_bars_orders_while_their_bucket_would_fill_and_cancels_not_at_all(plan):
    world = World(plan + 'cancels = { rate = "5/s", burst = 10 }')
    node, path, pulled = world.nodes[0], opened(world), []
    node.limiter.batcher.on_pulled = lambda key, by_us: pulled.append((key, by_us))
    fills_s = 2 if plan is LEASED else 1.5
    node.take(path), node.take(path, "cancels")
    world.ahead_us = 600_000_000
    world.run(1)
    node.take(path), node.take(path, "cancels")
    world.ahead_us = 0
    world.run(1)
    for _ in range(50):
        world.run(0.02)
        node.take(path)
        assert node.taken(path, "cancels", tries=3) == 3
    world.run(fills_s)
    assert node.taken(path, tries=300) > 0
    assert {key for key, _ in pulled} == {ORDERS, ORDERS.replace("orders", "cancels")}
    assert node.limiter.batcher.pulled == len(pulled) == 2
    world.run(10)
    assert node.taken(path, "cancels", tries=50) == 10  # all is as it was


# -- loads -------------------------------------------------------------------------------------------------------------


def test_limits_that_were_loaded_last_are_in_force_for_all_whatever_their_version():
    slow = LEASED.replace("100/s", "1/min")
    world = World(slow, nodes=2)
    paths = [opened(world, number) for number in range(2)]
    for number, node in enumerate(world.nodes):
        node.limiter.loaded(10 + number)
        node.take(paths[number])
    node = world.nodes[0]
    node.limiter.apply(policy_of(slow.replace("200", "50"), version=1), world.now_ns)
    node.limiter.loaded(12)
    world.run(0.6)
    node.take(paths[0])
    assert sum(world.nodes[1].taken(paths[1], tries=300) + node.taken(paths[0], tries=300) for _ in range(3)) <= 49
    node.limiter.loaded(5)  # a number that comes late is none
    node.take(paths[0])
    assert world.ledgers.by_key[ORDERS].load == 12
