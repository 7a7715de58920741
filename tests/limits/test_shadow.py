"""Limits that only count say the same as limits that refuse: of every action, in every stage, shared and in process."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limits.bucket import MILLI
from limits.limiter import ALLOWED, PENDING, ShadowDebit
from limits.local import LocalLimiter
from limits.shadow import MAX_WAITING, Shadows
from tests.support.shared_limits import START_NS, World, policy_of

LEASED = '[plans.standard]\norders = { rate = "50/s", burst = 40%s }\n'
STRICT = '[plans.standard]\norders = { rate = "4/s", burst = 3%s }\n'
LEVELS = (
    LEASED
    + """orders_per_instrument = { rate = "4/s", burst = 3%s }
[override."ACME/MM1"]
orders = { rate = "20/s", burst = 15%s }
[venue]
orders = { rate = "200/s", burst = 200%s }
"""
)
SHADOW = ', mode = "shadow"'
PLANS = pytest.mark.parametrize("plan", [LEASED, STRICT, LEVELS], ids=["leased", "strict", "levels"])


def written(plan: str, more: str) -> str:
    return plan.replace("%s", more)


traffic = st.lists(
    st.tuples(
        st.integers(0, 1),  # node
        st.one_of(st.just(0), st.integers(0, 30), st.integers(0, 2_000)),  # milliseconds that pass first
        st.integers(1, 12),  # orders that arrive together
        st.integers(1, 2),  # instrument
        st.sampled_from([MILLI, MILLI, MILLI, 200, 2_500]),
        st.booleans(),  # whether the last of them is given back, for it was not carried out
    ),
    min_size=1,
    max_size=30,
)


@PLANS
@pytest.mark.parametrize("nodes", [1, 2])
@settings(max_examples=60, deadline=None)
@given(steps=traffic, lose=st.sets(st.integers(0, 29), max_size=2))
def test_a_shared_limit_counts_in_shadow_what_it_would_refuse(plan, nodes, steps, lose):
    """Of two nodes each waits for its answers before the other goes on: who asks first gets what there is."""
    real, shadow = World(written(plan, ""), nodes), World(written(plan, SHADOW), nodes)
    refused = 0
    ours = [node.limiter.open("ACME", "MM1") for node in real.nodes]
    theirs = [node.limiter.open("ACME", "MM1") for node in shadow.nodes]
    for number, (which, elapsed_ms, count, instrument, cost_milli, is_given_back) in enumerate(steps):
        node = which % nodes
        for world in (real, shadow):
            for each in world.nodes:
                each.store.is_away = number in lose
            world.run(elapsed_ms / 1000)
        limiter = shadow.nodes[node].limiter
        for _ in range(count):
            enforced = real.nodes[node].take(ours[node], "orders", cost_milli, instrument)
            refused += not enforced.allowed
            passed = limiter.take(theirs[node], "orders", cost_milli, shadow.now_ns, instrument)
            assert passed.allowed
            if nodes > 1:
                real.nodes[node].settle(), shadow.nodes[node].settle()
        real.nodes[node].settle(), shadow.nodes[node].settle()
        assert sum(each.limiter.counts["orders"].shadow_refused for each in shadow.nodes) == refused
        if is_given_back:
            if enforced.allowed:
                real.nodes[node].limiter.give_back(ours[node], "orders", cost_milli, real.now_ns, instrument)
            limiter.give_back(theirs[node], "orders", cost_milli, shadow.now_ns, instrument, passed.shadow)
            real.nodes[node].settle(), shadow.nodes[node].settle()


@PLANS
@settings(max_examples=60, deadline=None)
@given(steps=traffic)
def test_a_limit_in_process_counts_in_shadow_what_it_would_refuse(plan, steps):
    real, shadow = (LocalLimiter(policy_of(written(plan, mode))) for mode in ("", SHADOW))
    ours, theirs = real.open("ACME", "MM1"), shadow.open("ACME", "MM1")
    now_ns = START_NS
    for _, elapsed_ms, count, instrument, cost_milli, is_given_back in steps:
        now_ns += elapsed_ms * 1_000_000
        for _ in range(count):
            enforced = real.take(ours, "orders", cost_milli, now_ns, instrument)
            passed = shadow.take(theirs, "orders", cost_milli, now_ns, instrument)
            assert passed.allowed
            assert (passed.shadow is None) is enforced.allowed
        if is_given_back:
            if enforced.allowed:
                real.give_back(ours, "orders", cost_milli, now_ns, instrument)
            shadow.give_back(theirs, "orders", cost_milli, now_ns, instrument, passed.shadow)
    assert shadow.counts["orders"].shadow_refused == real.counts["orders"].refused
    assert shadow.counts["orders"].refused == 0


def test_a_shadow_below_a_limit_that_refuses_counts_only_what_passes():
    text = '[plans.standard]\norders = { rate = "1/s", burst = 10 }\n[override."ACME/MM1"]\norders = { burst = 4%s }'
    world = World(written(text, SHADOW))
    node, path = world.nodes[0], world.nodes[0].limiter.open("ACME", "MM1")
    assert sum(node.take(path).allowed for _ in range(15)) == 10
    assert (node.limiter.counts["orders"].refused, node.limiter.counts["orders"].shadow_refused) == (5, 6)


# -- what is given back ------------------------------------------------------------------------------------------------


def shadow_node() -> tuple[World, Callable[[], object], Callable[[object], None]]:
    world = World(written(LEASED, SHADOW))
    node = world.nodes[0]
    path = node.limiter.open("ACME", "MM1")

    def take() -> object:
        return node.limiter.take(path, "orders", MILLI, world.now_ns).shadow

    def give_back(shadow: object) -> None:
        node.limiter.give_back(path, "orders", MILLI, world.now_ns, 0, shadow)

    return world, take, give_back


def test_what_was_never_paid_is_not_given_back():
    world, take, give_back = shadow_node()
    shadows = []
    for _ in range(60):
        shadows.append(take())
        world.nodes[0].settle()
    for shadow in shadows[40:]:  # those would have been refused, and then not have been there to be given back
        give_back(shadow)
    take()
    world.nodes[0].settle()
    assert world.nodes[0].limiter.counts["orders"].shadow_refused == 21


def test_what_is_given_back_before_it_was_judged_is_not_judged_any_more():
    world, take, give_back = shadow_node()
    shadows = [take() for _ in range(60)]
    for shadow in shadows[:20]:
        assert isinstance(shadow, ShadowDebit)
        give_back(shadow)
    world.nodes[0].settle()
    assert world.nodes[0].limiter.counts["orders"].shadow_refused == 0
    take()
    world.nodes[0].settle()
    assert world.nodes[0].limiter.counts["orders"].shadow_refused == 1


def test_a_change_of_plan_meanwhile_judges_what_waits_by_the_new_one():
    world, take, _ = shadow_node()
    for _ in range(60):
        take()
    world.nodes[0].limiter.apply(policy_of(written(LEASED.replace("40", "10"), SHADOW), 3), world.now_ns)
    world.nodes[0].settle()
    assert world.nodes[0].limiter.counts["orders"].shadow_refused == 50


def test_so_many_judgements_of_a_session_may_wait_and_those_beyond_count_as_refused():
    counted: list[str] = []
    answers: list[bool] = []
    shadows = Shadows(lambda *_: ALLOWED if answers else PENDING, counted.append)
    path = World().nodes[0].limiter.open("ACME", "MM1")
    for _ in range(MAX_WAITING + 3):
        assert shadows.take(path, "orders", MILLI, 0, 0).allowed
    assert len(shadows) == MAX_WAITING
    assert counted == ["orders"] * 3
    answers.append(True)
    shadows.retry(0)
    assert len(shadows) == 0
    assert counted == ["orders"] * 3
