"""The limiter of many nodes, in virtual time: levels, stages, what is sent when, and life without the store."""

import pytest

from limits.bucket import MILLI, NEVER, parse_rate
from limits.limiter import ALLOWED, Limiter
from tests.support.shared_limits import SECOND_NS, World, policy_of

ONE_PLAN = """
[plans.standard]
orders = { rate = "100/s", burst = 200 }
"""
TINY = """
[plans.standard]
orders = { rate = "2/s", burst = 3 }
"""
TINY_LEVELS = (
    TINY
    + """
orders_per_instrument = { rate = "1/s", burst = 1 }
[override."ACME/MM1"]
orders = { rate = "1/s", burst = 2 }
"""
)


def opened(world: World, node: int = 0, session: str = "MM1") -> object:
    path = world.nodes[node].limiter.open("ACME", session)
    world.nodes[node].settle()
    return path


# -- leased ----------------------------------------------------------------------------------------------------------


def test_it_is_a_limiter_of_the_agreed_shape():
    world = World()
    limiter: Limiter = world.nodes[0].limiter
    assert limiter.policy is world.policy


def test_the_first_order_need_not_wait_because_logon_has_fetched_a_lease():
    world = World(ONE_PLAN)
    path = opened(world)
    assert world.nodes[0].limiter.take(path, "orders", MILLI, world.now_ns) is ALLOWED
    assert len(world.nodes[0].store.sent) == 1


def test_without_a_lease_the_session_waits_and_nothing_is_debited():
    world = World(ONE_PLAN)
    node = world.nodes[0]
    path = node.limiter.open("ACME", "MM1")
    decision = node.limiter.take(path, "orders", MILLI, world.now_ns)
    assert (decision.allowed, decision.pending) == (False, True)
    assert not node.ready
    node.settle()
    assert node.ready
    assert node.limiter.take(path, "orders", MILLI, world.now_ns) is ALLOWED


def test_the_burst_is_allowed_and_then_the_refusal_says_when():
    world = World(ONE_PLAN)
    path = opened(world)
    assert world.nodes[0].taken(path, tries=300) == 200
    refused = world.nodes[0].take(path)
    assert (refused.name, refused.scope, refused.burst, refused.rate) == ("orders", "account", 200, 100.0)
    assert refused.wait_us == 10_000
    world.now_ns += 9_999_000
    assert world.nodes[0].take(path) is not ALLOWED
    world.now_ns += 1_000
    assert world.nodes[0].take(path) is ALLOWED


def test_a_client_that_floods_costs_the_store_nothing():
    world = World(ONE_PLAN)
    node, path = world.nodes[0], opened(world)
    node.taken(path, tries=201)
    sent = len(node.store.sent)
    for _ in range(1_000):
        assert node.take(path).wait_us == 10_000
    assert len(node.store.sent) == sent


def test_what_one_tick_wants_goes_out_as_one_call():
    world = World(ONE_PLAN)
    node = world.nodes[0]
    for number in range(100):
        node.limiter.open(f"A{number}", "S")
    node.end_tick()
    assert [len(batch.asks) for batch in node.store.sent] == [100]
    assert node.store.deliver() == 1


def test_in_a_cluster_it_is_one_call_for_each_account():
    world = World(ONE_PLAN)
    node = world.nodes[0]
    node.store.is_cluster = True
    for number in range(10):
        node.limiter.open(f"A{number}", "S")
    node.end_tick()
    assert [len(batch.asks) for batch in node.store.sent] == [1] * 10


def test_more_is_fetched_before_a_lease_runs_out_so_that_nobody_waits():
    world = World('[plans.standard]\norders = { rate = "1000/s", burst = 2000 }')
    node, path = world.nodes[0], opened(world)
    pending = 0
    for _ in range(1_000):
        world.now_ns += SECOND_NS // 900
        decision = node.limiter.take(path, "orders", MILLI, world.now_ns)
        pending += decision.pending
        node.settle()
    assert pending == 0


def test_many_nodes_together_admit_the_burst_and_no_more():
    world = World(ONE_PLAN, nodes=4)
    paths = [opened(world, number) for number in range(4)]
    admitted = 0
    for _ in range(200):
        admitted += sum(node.taken(path, tries=2) for node, path in zip(world.nodes, paths, strict=True))
    assert admitted == 200


def test_an_idle_lease_goes_back_and_another_node_gets_all_of_it():
    world = World(ONE_PLAN, nodes=2)
    opened(world, 0)
    assert world.ledgers.by_key["gw:{ACME}:account::orders"].out_milli > 0
    world.run(0.6)
    assert world.ledgers.by_key["gw:{ACME}:account::orders"].out_milli == 0
    assert world.nodes[1].taken(opened(world, 1), tries=300) == 200


def test_a_lease_in_use_is_renewed():
    world = World(ONE_PLAN)
    node, path = world.nodes[0], opened(world)
    waited = 0
    for _ in range(200):
        world.run(0.02)
        waited += node.limiter.take(path, "orders", MILLI, world.now_ns).pending
    assert waited == 0


def test_the_next_deadline_is_when_a_lease_must_be_settled_or_a_decision_is_given_up():
    world = World(ONE_PLAN + 'queries = { rate = "2/s", burst = 3 }')
    node = world.nodes[0]
    assert node.limiter.next_deadline_ns is None
    path = opened(world)
    assert node.limiter.next_deadline_ns == world.now_ns + 400_000_000
    node.limiter.take(path, "queries", MILLI, world.now_ns)
    assert node.limiter.next_deadline_ns == world.now_ns + 250_000_000
    world.run(1)
    assert node.limiter.next_deadline_ns is None


def test_a_graceful_stop_returns_everything():
    world = World(ONE_PLAN)
    opened(world)
    world.nodes[0].limiter.close()
    world.nodes[0].store.deliver()
    ledger = world.ledgers.by_key["gw:{ACME}:account::orders"]
    assert (ledger.out_milli, ledger.level) == (0, ledger.capacity)


def test_a_crash_costs_what_was_leased_and_only_once():
    world = World(ONE_PLAN, nodes=2)
    opened(world, 0)
    leased = world.ledgers.by_key["gw:{ACME}:account::orders"].out_milli // MILLI
    del world.nodes[0]
    path = opened(world, 0)
    assert world.nodes[0].taken(path, tries=300) == 200 - leased
    world.now_ns += 10 * SECOND_NS
    assert world.nodes[0].taken(path, tries=300) == 200


def test_tokens_given_back_can_be_taken_again():
    world = World(ONE_PLAN)
    node, path = world.nodes[0], opened(world)
    assert node.taken(path, tries=300) == 200
    for _ in range(50):
        node.limiter.give_back(path, "orders", MILLI, world.now_ns)
    node.settle()
    assert node.taken(path, tries=300) == 50


@pytest.mark.parametrize("rate", ["5000/s", "50/s", "10/min", "1/day"])
@pytest.mark.parametrize("burst", [1, 3, 10, 100, 2_000])
def test_whatever_the_rate_and_burst_many_nodes_admit_the_burst_and_then_what_comes(rate, burst):
    """With bursts that last a fraction of a second, and refills that take a day."""
    world = World(f'[plans.standard]\norders = {{ rate = "{rate}", burst = {burst} }}', nodes=2)
    paths = [opened(world, number) for number in range(2)]

    def everything() -> int:
        """Every token there is at this instant, taken in turns."""
        total = 0
        while got := sum(node.take(path) is ALLOWED for node, path in zip(world.nodes, paths, strict=True)):
            total += got
        return total

    assert everything() == burst
    parsed = parse_rate(rate)
    world.now_ns += (burst // 2 + 1) * parsed.period_us * 1000 // parsed.amount + 1_000_000
    came = min(burst, (burst // 2 + 1) + 1_000 * parsed.amount // parsed.period_us)
    assert everything() in (came - 1, came)


# -- strict ----------------------------------------------------------------------------------------------------------


def test_a_bucket_too_small_to_lease_is_decided_by_the_store():
    world = World(TINY)
    node, path = world.nodes[0], opened(world)
    assert node.limiter.take(path, "orders", MILLI, world.now_ns).pending
    assert node.limiter.take(path, "orders", MILLI, world.now_ns).pending  # the same question, not another one
    node.settle()
    assert [len(batch.takes) for batch in node.store.sent] == [1]
    assert node.limiter.take(path, "orders", MILLI, world.now_ns) is ALLOWED
    assert node.taken(path) == 2
    refused = node.take(path)
    assert (refused.scope, refused.wait_us) == ("account", 500_000)


def test_strict_decisions_of_many_nodes_never_exceed_the_burst():
    world = World(TINY, nodes=3)
    paths = [opened(world, number) for number in range(3)]
    assert sum(node.taken(path, tries=3) for node, path in zip(world.nodes, paths, strict=True)) == 3


def test_strict_decisions_of_one_tick_are_one_call():
    world = World(TINY)
    node = world.nodes[0]
    paths = [node.limiter.open(f"A{number}", "S") for number in range(64)]
    for path in paths:
        assert node.limiter.take(path, "orders", MILLI, world.now_ns).pending
    node.end_tick()
    assert [len(batch.takes) for batch in node.store.sent] == [64]
    node.store.deliver()
    assert all(node.limiter.take(path, "orders", MILLI, world.now_ns) is ALLOWED for path in paths)


def test_all_levels_pay_or_none_does():
    world = World(TINY_LEVELS)
    node, path = world.nodes[0], opened(world)
    assert node.take(path, instrument=7) is ALLOWED
    refused = node.take(path, instrument=7)
    assert (refused.scope, refused.wait_us) == ("instrument", 1_000_000)
    assert node.take(path, instrument=8) is ALLOWED  # the refusal has cost the account and the session nothing
    assert node.take(path, instrument=9).scope == "session"
    assert node.take(opened(world, session="MM2"), instrument=9) is ALLOWED
    assert node.take(opened(world, session="MM2"), instrument=10).scope == "account"


def test_a_decision_that_nobody_comes_for_is_refunded():
    world = World(TINY)
    node, path = world.nodes[0], opened(world)
    assert node.limiter.take(path, "orders", MILLI, world.now_ns).pending
    node.settle()
    world.run(0.3)
    assert node.taken(opened(world, session="MM2")) == 3


def test_what_the_store_took_is_paid_back_when_the_sessions_own_limit_refuses_meanwhile():
    text = TINY + 'orders_per_instrument = { rate = "1/s", burst = 1 }\n[override."ACME/MM1"]\norders = { burst = 1 }'
    world = World(text)
    node, path = world.nodes[0], opened(world)
    for instrument in (1, 2):
        assert node.limiter.take(path, "orders", MILLI, world.now_ns, instrument).pending
    node.settle()
    assert node.limiter.take(path, "orders", MILLI, world.now_ns, 1) is ALLOWED
    assert node.limiter.take(path, "orders", MILLI, world.now_ns, 2).scope == "session"
    node.settle()
    assert node.taken(opened(world, session="MM2")) == 2


@pytest.mark.parametrize("change", ["its number in the store becomes known", "burst 3 -> 2", "a session's limit too"])
def test_a_decision_under_way_outlives_a_change_of_policy(change: str):
    """
    MM1: order -> the store takes a token | the policy changes | answer
    the order has its token, and nothing is taken twice
    """
    world = World(TINY)
    node, path = world.nodes[0], opened(world)
    assert node.limiter.take(path, "orders", MILLI, world.now_ns).pending
    if change.startswith("its number"):
        node.limiter.loaded(7)
    else:
        more = TINY.replace("burst = 3", "burst = 2") if "2" in change else TINY_LEVELS
        node.limiter.apply(policy_of(more, 2), world.now_ns)
    node.settle()
    assert node.limiter.take(path, "orders", MILLI, world.now_ns) is ALLOWED
    assert node.taken(opened(world, session="MM2")) == 2


def test_what_a_decision_took_from_a_bucket_that_no_longer_decides_goes_back():
    """
    MM1: order -> the store takes a token of the account and of the instrument | the account's limit is off | answer
    the order pays the instrument's bucket alone
    """
    each = 'orders_per_instrument = { rate = "1/s", burst = 1 }'
    world = World(TINY + each)
    node, path = world.nodes[0], opened(world)
    assert node.limiter.take(path, "orders", MILLI, world.now_ns, 7).pending
    node.limiter.apply(policy_of(TINY.replace("burst = 3", 'burst = 3, mode = "off"') + each, 2), world.now_ns)
    node.settle()
    assert node.take(path, instrument=7) is ALLOWED
    assert node.take(path, instrument=7).scope == "instrument"
    node.limiter.apply(policy_of(TINY, 3), world.now_ns)
    assert node.taken(opened(world, session="MM2")) == 3


def test_levels_that_the_store_decides_are_asked_together_when_one_decision_was_not_enough():
    """
    MM1: order -> the store decides the account's bucket | a policy adds a strict bucket for instruments | answer
    then one question about both buckets, and an end of asking
    """
    world = World(TINY)
    node, path = world.nodes[0], opened(world)
    assert node.limiter.take(path, "orders", MILLI, world.now_ns, 7).pending
    node.limiter.apply(policy_of(TINY + 'orders_per_instrument = { rate = "1/s", burst = 1 }', 2), world.now_ns)
    node.settle()
    assert node.limiter.take(path, "orders", MILLI, world.now_ns, 7).pending
    node.settle()
    assert node.limiter.take(path, "orders", MILLI, world.now_ns, 7) is ALLOWED
    assert node.take(opened(world, session="MM2"), instrument=7).scope == "instrument"
    assert node.take(opened(world, session="MM2"), instrument=8) is ALLOWED
    assert node.take(opened(world, session="MM2"), instrument=9) is ALLOWED
    assert node.take(opened(world, session="MM2"), instrument=10).scope == "account"


def test_what_can_never_fit_is_refused_at_once_and_asks_nobody():
    for text in (ONE_PLAN, TINY):
        world = World(text)
        node, path = world.nodes[0], opened(world)
        sent = len(node.store.sent)
        decision = node.limiter.take(path, "orders", 1_000 * MILLI, world.now_ns)
        assert (decision.allowed, decision.wait_us) == (False, NEVER)
        node.settle()
        assert len(node.store.sent) == sent


# -- levels, modes, plans --------------------------------------------------------------------------------------------


def test_the_venue_as_a_whole_has_a_limit_too():
    world = World('[venue]\norders = { rate = "10/min", burst = 20 }', nodes=2)
    first, second = world.nodes[0].limiter.open("A", "S"), world.nodes[1].limiter.open("B", "S")
    admitted = world.nodes[0].taken(first, tries=12) + world.nodes[1].taken(second, tries=12)
    assert admitted <= 20
    world.run(0.6)  # idle leases go back
    assert admitted + world.nodes[0].taken(first) + world.nodes[1].taken(second) == 20
    assert world.nodes[0].take(first).scope == "venue"


def test_a_shadow_limit_counts_and_refuses_nothing():
    world = World('[plans.standard]\norders = { rate = "10/s", burst = 20, mode = "shadow" }')
    node, path = world.nodes[0], opened(world)
    for _ in range(50):
        assert node.limiter.take(path, "orders", MILLI, world.now_ns).allowed
        node.settle()
    counts = node.limiter.counts["orders"]
    assert (counts.admitted, counts.refused, counts.shadow_refused) == (50, 0, 30)


def test_a_new_plan_acts_at_the_next_decision_and_a_hundred_reloads_mint_no_token():
    world = World(ONE_PLAN)
    node, path = world.nodes[0], opened(world)
    admitted = 0
    for version in range(3, 103):
        burst = 150 + version % 2 * 50
        policy = policy_of(f'[plans.standard]\norders = {{ rate = "{90 + version % 7}/s", burst = {burst} }}', version)
        node.limiter.apply(policy, world.now_ns)
        admitted += node.taken(path, tries=3)
    assert admitted <= 200
    assert node.limiter.policy.version == 102
    refused = node.take(path)
    assert refused.burst == 150


def test_the_view_shows_what_is_to_be_had_of_the_whole_bucket():
    world = World(ONE_PLAN)
    node, path = world.nodes[0], opened(world)
    node.taken(path, tries=50)
    view = next(each for each in node.limiter.view(path, world.now_ns) if each.name == "orders")
    assert (view.scope, view.remaining, view.capacity, view.full_in_ms) == ("account", 150, 200, 500)
    assert not view.degraded
    scopes = [each.scope for each in node.limiter.view(path, world.now_ns)]
    assert scopes == sorted(scopes)
    node.taken(path, tries=100)
    assert not node.limiter.is_low(path, world.now_ns, ("orders", "msgs"))
    node.taken(path, tries=1)
    assert node.limiter.is_low(path, world.now_ns, ("orders", "msgs"))


# -- without the store -----------------------------------------------------------------------------------------------


def lost(text: str, nodes: int = 1) -> World:
    world = World(text, nodes)
    for node in world.nodes:
        node.store.lose()
    return world


def test_a_live_lease_is_spent_to_its_end_when_the_store_goes_away():
    world = World(ONE_PLAN)
    node, path = world.nodes[0], opened(world)
    world.nodes[0].store.lose()
    assert node.taken(path) == 8
    assert node.limiter.degraded > 0


def test_safe_goes_on_with_this_nodes_share_from_an_empty_bucket():
    world = lost(ONE_PLAN, nodes=4)
    node = world.nodes[0]
    path = node.limiter.open("ACME", "MM1")
    assert node.take(path).wait_us == 40_000  # a quarter of 100/s
    world.now_ns += 400_000_000
    assert node.taken(path) == 10
    assert all(view.degraded for view in node.limiter.view(path, world.now_ns, ("orders",)))


def test_deny_refuses_until_the_store_is_back():
    world = lost('[plans.standard]\nqueries = { rate = "10/s", burst = 50, on_store_loss = "deny" }')
    node = world.nodes[0]
    decision = node.take(node.limiter.open("ACME", "MM1"), "queries")
    assert (decision.allowed, decision.pending, decision.wait_us) == (False, False, 250_000)


def test_cancels_always_pass_whatever_the_file_says():
    for mode in ("safe", "allow"):
        world = lost(f'[plans.standard]\ncancels = {{ rate = "1/day", burst = 8, on_store_loss = "{mode}" }}')
        node = world.nodes[0]
        assert node.taken(node.limiter.open("ACME", "MM1"), "cancels", tries=1_000) == 1_000


def test_tiny_buckets_go_on_with_this_nodes_share_too():
    world = lost(TINY)
    node = world.nodes[0]
    path = node.limiter.open("ACME", "MM1")
    assert node.take(path).wait_us == 500_000
    world.now_ns += SECOND_NS
    assert node.taken(path) == 2


def test_nobody_waits_while_the_store_is_away():
    world = World(ONE_PLAN + TINY.replace("standard", "tiny") + '[assign]\naccounts = { ACME = "tiny" }')
    node = world.nodes[0]
    tiny, leased = node.limiter.open("ACME", "S"), node.limiter.open("OTHER", "S")
    assert node.limiter.take(tiny, "orders", MILLI, world.now_ns).pending
    assert node.limiter.take(leased, "orders", MILLI, world.now_ns).pending
    node.end_tick()
    node.store.lose()  # the time-out of this one call is all that anybody ever waits
    assert node.ready
    for path in (tiny, leased):
        for _ in range(100):
            world.now_ns += 1_000_000
            assert not node.limiter.take(path, "orders", MILLI, world.now_ns).pending
    node.end_tick()
    assert not node.store.waiting


def test_what_a_tick_wanted_is_not_sent_when_the_store_went_away_within_it():
    world = World(TINY)
    node = world.nodes[0]
    path = node.limiter.open("ACME", "S")
    assert node.limiter.take(path, "orders", MILLI, world.now_ns).pending
    node.store.lose()
    node.end_tick()
    assert not node.store.waiting
    assert not node.limiter.take(path, "orders", MILLI, world.now_ns).pending


def test_when_the_store_is_back_each_node_first_pays_what_it_has_admitted():
    world = World(ONE_PLAN, nodes=2)
    paths = [opened(world, number) for number in range(2)]
    assert world.nodes[0].taken(paths[0], tries=300) == 192  # the other node holds 8
    for node in world.nodes:
        node.store.lose()
    world.now_ns += SECOND_NS
    world.nodes[0].take(paths[0])
    world.now_ns += SECOND_NS
    assert world.nodes[0].taken(paths[0]) == 50
    for node in world.nodes:
        node.store.is_away = False
    assert world.nodes[0].taken(paths[0], tries=300) <= 150
    assert world.nodes[0].taken(paths[0], tries=300) == 0
