"""A run of like actions takes its tokens at once, exactly as its actions would one by one, or not at all.

Modules: limits.limiter, limits.local, limits.shared.
"""

from dataclasses import astuple
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from limits.bucket import MILLI, Bucket
from limits.lease import Lease
from limits.limiter import ALLOWED, Decision, Limiter, RunCosts
from limits.local import LocalLimiter
from limits.paths import Path
from limits.policy import SCOPES
from tests.support.shared_limits import START_NS, World, policy_of

COUNTING = """
[plans.standard]
orders = { rate = "50/s", burst = 40 }
msgs = { rate = "100/s", burst = 60 }
"""
LEVELS = """
[plans.standard]
orders = { rate = "50/s", burst = 40%s }
orders_per_instrument = { rate = "20/s", burst = 16%s }
msgs = { rate = "100/s", burst = 60%s }
[override."ACME/MM1"]
orders = { rate = "30/s", burst = 25%s }
[venue]
orders = { rate = "200/s", burst = 90%s }
"""
SHADOW = ', mode = "shadow"'
PENALTY = '[penalty]\nstrikes = 4\nwindow_s = 1\ncooldown_s = 1\ndisconnect_over = "4x"\n'
STRICT = '[plans.standard]\norders = { rate = "4/s", burst = 3%s }\n'


def with_shadow(*positions: int) -> str:
    """The levels, of which those at these places only count."""
    return LEVELS % tuple(SHADOW if place in positions else "" for place in range(5))


LEASED = [
    COUNTING,
    with_shadow(),
    with_shadow() + PENALTY,
    with_shadow(0),
    with_shadow(1, 3),
    with_shadow(0, 1, 2, 3, 4),
]
EVERY = [*LEASED, '[plans.standard]\norders = { mode = "off" }\n', STRICT % "", STRICT % SHADOW]

steps = st.lists(
    st.tuples(
        st.integers(0, 2),  # session
        st.one_of(st.just(0), st.integers(0, 40), st.integers(-50, 2_000)),  # milliseconds that pass first
        st.integers(1, 20),  # actions
        st.integers(0, 2),  # instrument, 0 = none
        st.sampled_from([MILLI, MILLI, 200, 2_500]),
        st.sampled_from([("msgs", "orders"), ("msgs", "orders"), ("orders",), ("cancels",), ("msgs", "cancels")]),
        st.sampled_from(["", "", "", "give back", "policy", "settle", "away"]),
    ),
    min_size=1,
    max_size=25,
)
SESSIONS = (("ACME", "MM1"), ("ACME", "MM2"), ("ELSE", "MM1"))


def fields_of(bucket: Any) -> dict[str, object]:
    fields = {name: getattr(bucket, name) for name in bucket.__slots__}
    return {name: fields_of(value) if isinstance(value, Bucket) else value for name, value in fields.items()}


def state_of(limiter: Limiter, paths: list[Path], now_ns: int) -> object:
    """All that a later decision can depend on, with every bucket of this process refilled to now."""
    buckets: dict[tuple[object, ...], dict[str, object]] = {}
    for path in paths:
        routes = [limiter._route(path, name) for name in SCOPES]
        routes += [limiter._route(path, "orders", instrument) for instrument in (1, 2)]
        for key, route in enumerate(routes):
            for level in route.levels:
                if isinstance(level.bucket, Bucket):
                    level.bucket.fits(0, now_ns // 1000)
                buckets[path.account, path.session, key, level.scope] = fields_of(level.bucket)
    penalties = [(path.penalty_state.cooling_until_us, len(path.decisions)) for path in paths]
    more: tuple[object, ...] = ()
    if not isinstance(limiter, LocalLimiter):
        wanted = {lease.key for lease in limiter.batcher._wanted}
        more = (wanted, len(limiter._shadows), len(limiter._open_decisions), limiter.degraded)
    counts = {name: astuple(each) for name, each in limiter.counts.items()}
    return buckets, penalties, counts, more


def one_by_one(limiter: Limiter, path: Path, costs: RunCosts, count: int, now_ns: int) -> list[Decision]:
    return [
        limiter.take(path, name, cost, now_ns, instrument) for _ in range(count) for name, cost, instrument in costs
    ]


def is_plain(decisions: list[Decision]) -> bool:
    return all(decision is ALLOWED for decision in decisions)


@settings(max_examples=200, deadline=None)
@given(steps=steps, plans=st.lists(st.sampled_from(EVERY), min_size=1, max_size=4))
def test_in_one_process_a_run_is_admitted_exactly_when_each_of_its_actions_is(steps, plans):
    ours, twin = LocalLimiter(policy_of(plans[0])), LocalLimiter(policy_of(plans[0]))
    paths, twins = ([limiter.open(*session) for session in SESSIONS] for limiter in (ours, twin))
    now_ns = START_NS
    for number, (session, elapsed_ms, count, instrument, cost, names, then) in enumerate(steps):
        now_ns += elapsed_ms * 1_000_000
        path, other = paths[session], twins[session]
        costs = tuple((name, cost, instrument if name == "orders" else 0) for name in names)
        assert state_of(ours, paths, now_ns) == state_of(twin, twins, now_ns)
        if ours.take_run(path, costs, count, now_ns):
            assert is_plain(one_by_one(twin, other, costs, count, now_ns))
        else:
            assert state_of(ours, paths, now_ns) == state_of(twin, twins, now_ns)
            decisions = one_by_one(twin, other, costs, count, now_ns)
            assert decisions == one_by_one(ours, path, costs, count, now_ns)
            assert not is_plain(decisions)
        assert state_of(ours, paths, now_ns) == state_of(twin, twins, now_ns)
        for limiter, each in ((ours, path), (twin, other)):
            if then == "give back":
                limiter.give_back(each, "orders", cost, now_ns, instrument)
            elif then == "policy":
                limiter.apply(policy_of(plans[number % len(plans)]), now_ns)


def check_shared(steps: Any, plans: list[str], nodes: int, is_leased: bool) -> None:
    """Two worlds live through the same; in one a session's actions are taken as runs where the limiter admits them."""
    ours, twin = World(plans[0], nodes), World(plans[0], nodes)
    paths, twins = ([n.limiter.open(*s) for n, s in zip(w.nodes * 3, SESSIONS, strict=False)] for w in (ours, twin))
    for number, (session, elapsed_ms, count, instrument, cost, names, then) in enumerate(steps):
        place = session % nodes
        here, there = ours.nodes[place], twin.nodes[place]
        for world in (ours, twin):
            world.run(max(0, elapsed_ms) / 1000)
        now_ns, path, other = ours.now_ns, paths[session], twins[session]
        mine, others = ([each for at, each in enumerate(all_of) if at % nodes == place] for all_of in (paths, twins))
        costs = tuple((name, cost, instrument if name == "orders" else 0) for name in names)
        if here.limiter.take_run(path, costs, count, now_ns):
            assert is_plain(one_by_one(there.limiter, other, costs, count, now_ns))
        else:
            assert state_of(here.limiter, mine, now_ns) == state_of(there.limiter, others, now_ns)
            decisions = one_by_one(there.limiter, other, costs, count, now_ns)
            assert [(d.allowed, d.wait_us, d.pending) for d in decisions] == [
                (d.allowed, d.wait_us, d.pending) for d in one_by_one(here.limiter, path, costs, count, now_ns)
            ]
            assert not (is_leased and is_plain(decisions) and not there.store.is_away)
        assert state_of(here.limiter, mine, now_ns) == state_of(there.limiter, others, now_ns)
        for world, each in ((ours, path), (twin, other)):
            node = world.nodes[place]
            if then == "give back":
                node.limiter.give_back(each, "cancels", cost, now_ns)
            elif then == "policy":
                for every in world.nodes:
                    every.limiter.apply(policy_of(plans[number % len(plans)]), now_ns)
            elif then == "settle":
                node.settle()
            node.store.is_away = then == "away"


@settings(max_examples=120, deadline=None)
@given(steps=steps, plans=st.lists(st.sampled_from(LEASED), min_size=1, max_size=3), nodes=st.integers(1, 2))
def test_over_leases_a_run_is_admitted_exactly_when_each_of_its_actions_is(steps, plans, nodes):
    check_shared(steps, plans, nodes, is_leased=True)


@settings(max_examples=120, deadline=None)
@given(steps=steps, plans=st.lists(st.sampled_from(EVERY), min_size=1, max_size=4), nodes=st.integers(1, 2))
def test_where_the_store_may_decide_a_run_leaves_what_its_actions_would_or_nothing(steps, plans, nodes):
    check_shared(steps, plans, nodes, is_leased=False)


# -- by example ------------------------------------------------------------------------------------------------------

RUN: RunCosts = (("msgs", MILLI, 0), ("orders", MILLI, 7))


def test_a_run_that_does_not_fit_one_level_debits_none_and_counts_nothing():
    limiter = LocalLimiter(policy_of(with_shadow()))
    path = limiter.open("ACME", "MM1")
    assert not limiter.take_run(path, RUN, 17, START_NS)
    assert limiter.counts["msgs"].admitted == limiter.counts["orders"].refused == 0
    assert limiter.take_run(path, RUN, 16, START_NS)
    assert (limiter.counts["msgs"].admitted, limiter.counts["orders"].admitted) == (16, 16)
    left = {(view.name, view.scope): view.remaining for view in limiter.view(path, START_NS, ("msgs", "orders"))}
    assert left == {
        ("orders", "venue"): 74,
        ("orders", "account"): 24,
        ("orders", "session"): 9,
        ("msgs", "session"): 44,
    }


def test_during_a_cool_down_a_run_of_cancels_passes_and_a_run_of_orders_does_not():
    limiter = LocalLimiter(policy_of(COUNTING + PENALTY))
    path = limiter.open("ACME", "MM1")
    while limiter.take(path, "orders", MILLI, START_NS).penalty != "cooling_down":
        pass
    later_ns = START_NS + 500_000_000  # there would be tokens again
    assert not limiter.take_run(path, (("orders", MILLI, 0),), 1, later_ns)
    assert not limiter.take_run(path, (("cancels", MILLI, 0), ("msgs", MILLI, 0)), 1, later_ns)
    assert limiter.take_run(path, (("cancels", MILLI, 0),), 5, later_ns)
    assert limiter.take_run(path, (("orders", MILLI, 0),), 5, START_NS + 1_000_000_000)


def test_a_cool_down_stops_a_run_though_the_node_has_leased_tokens_for_it():
    world = World('[plans.standard]\norders = { rate = "1000/s", burst = 2000 }')
    node = world.nodes[0]
    path = node.limiter.open("ACME", "MM1")
    node.settle()
    assert node.limiter.take_run(path, (("orders", MILLI, 0),), 5, world.now_ns)
    node.settle()
    path.penalty_state.cooling_until_us = world.now_ns // 1_000 + 1_000
    assert not node.limiter.take_run(path, (("orders", MILLI, 0),), 5, world.now_ns)
    assert node.limiter.take_run(path, (("orders", MILLI, 0),), 5, world.now_ns + 1_000_000)


def test_a_run_that_leaves_little_of_a_lease_has_more_fetched():
    world = World('[plans.standard]\norders = { rate = "1000/s", burst = 2000 }')
    node = world.nodes[0]
    path = node.limiter.open("ACME", "MM1")
    node.settle()
    sent = len(node.store.sent)
    assert node.limiter.take_run(path, (("orders", MILLI, 0),), 5, world.now_ns)
    node.settle()
    assert len(node.store.sent) == sent + 1


def test_a_run_does_not_pass_actions_that_are_still_to_be_judged():
    world = World(with_shadow(0, 1, 2, 3, 4))
    node = world.nodes[0]
    path = node.limiter.open("ACME", "MM1")
    node.settle()
    while node.limiter.take(path, "orders", MILLI, world.now_ns).shadow is None:
        pass
    assert not node.limiter.take_run(path, (("msgs", MILLI, 0),), 1, world.now_ns)
    node.settle()
    assert node.limiter.take_run(path, (("msgs", MILLI, 0),), 1, world.now_ns)


def test_no_run_is_admitted_that_only_the_store_may_decide_even_while_a_lease_has_tokens():
    world = World(COUNTING)
    node = world.nodes[0]
    path = node.limiter.open("ACME", "MM1")
    node.settle()
    node.limiter.apply(policy_of(STRICT % ""), world.now_ns)
    assert not node.limiter.take_run(path, (("orders", MILLI, 0),), 1, world.now_ns)
    assert node.take(path).allowed


def test_nothing_is_admitted_from_a_lease_that_has_ended():
    world = World(COUNTING)
    node = world.nodes[0]
    path = node.limiter.open("ACME", "MM1")
    node.settle()
    (level,) = path.routes["orders"].levels
    assert isinstance(level.bucket, Lease)
    world.now_ns = level.bucket.deadline_us * 1000
    assert not node.limiter.take_run(path, (("orders", MILLI, 0),), 1, world.now_ns)
    world.now_ns -= 1000
    assert node.limiter.take_run(path, (("orders", MILLI, 0),), 1, world.now_ns)
