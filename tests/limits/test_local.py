"""The limiter of one process: levels, modes, reloads, and what is remembered of sessions that left."""

import gc
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limits.bucket import MILLI
from limits.limiter import ALLOWED, Limiter
from limits.local import LocalLimiter
from limits.policy import Policy
from limits.policy_parse import parse
from limits.reload import built_in

START_NS = 1_795_348_800_000_000_000
SECOND_NS = 1_000_000_000


def policy_of(text: str) -> Policy:
    policy = parse(f"version = 2\n{text}", built_in()).policy
    assert policy is not None
    return policy


def limiter_of(text: str) -> LocalLimiter:
    return LocalLimiter(policy_of(text))


def taken(limiter: LocalLimiter, path: object, name: str, now_ns: int, tries: int = 100) -> int:
    """How many whole tokens of `tries` are allowed at one instant."""
    return sum(limiter.take(path, name, MILLI, now_ns).allowed for _ in range(tries))


def test_it_is_a_limiter_of_the_agreed_shape():
    limiter: Limiter = LocalLimiter(built_in())
    assert limiter.take(limiter.open("ACME", "MM1"), "orders", MILLI, START_NS) is ALLOWED


# -- levels ----------------------------------------------------------------------------------------------------------


def test_the_burst_is_allowed_and_then_the_refusal_says_exactly_when():
    limiter = LocalLimiter(built_in())
    path = limiter.open("ACME", "MM1")
    assert taken(limiter, path, "orders", START_NS, 201) == 200
    refused = limiter.take(path, "orders", MILLI, START_NS)
    assert (refused.allowed, refused.name, refused.scope) == (False, "orders", "account")
    assert (refused.burst, refused.rate, refused.wait_us) == (200, 100.0, 10_000)
    assert not refused.pending
    assert limiter.take(path, "orders", MILLI, START_NS + 9_999_999) is not ALLOWED
    assert limiter.take(path, "orders", MILLI, START_NS + 10_000_000) is ALLOWED


def test_sessions_of_one_account_share_its_buckets_and_have_their_own_for_messages():
    limiter = LocalLimiter(built_in())
    one, two, other = limiter.open("ACME", "A"), limiter.open("ACME", "B"), limiter.open("ELSE", "A")
    assert taken(limiter, one, "orders", START_NS, 200) == 200
    assert taken(limiter, two, "orders", START_NS) == 0
    assert taken(limiter, other, "orders", START_NS) == 100
    assert taken(limiter, one, "msgs", START_NS, 500) == 400
    assert taken(limiter, two, "msgs", START_NS, 500) == 400


def test_a_refusal_on_one_level_debits_no_level():
    limiter = limiter_of('[override."ACME/A"]\norders = { rate = "1/s", burst = 2 }')
    narrow, wide = limiter.open("ACME", "A"), limiter.open("ACME", "B")
    assert taken(limiter, narrow, "orders", START_NS) == 2
    assert limiter.take(narrow, "orders", MILLI, START_NS).scope == "session"
    assert taken(limiter, wide, "orders", START_NS, 300) == 198
    assert limiter.take(narrow, "orders", MILLI, START_NS + SECOND_NS) is ALLOWED
    assert taken(limiter, wide, "orders", START_NS + SECOND_NS, 300) == 99


def test_of_two_levels_that_refuse_the_one_that_binds_longest_is_named():
    limiter = limiter_of('[override."ACME/A"]\norders = { rate = "1/s", burst = 200 }')
    path = limiter.open("ACME", "A")
    assert taken(limiter, path, "orders", START_NS, 200) == 200
    refused = limiter.take(path, "orders", MILLI, START_NS)
    assert (refused.scope, refused.wait_us) == ("session", 1_000_000)
    assert limiter.take(path, "orders", MILLI, START_NS + SECOND_NS - 1_000) is not ALLOWED
    assert limiter.take(path, "orders", MILLI, START_NS + SECOND_NS) is ALLOWED


def test_what_costs_more_than_a_burst_is_told_that_it_never_fits():
    limiter = limiter_of('[override."ACME/A"]\norders = { rate = "1/day", burst = 3 }')
    narrow, wide = limiter.open("ACME", "A"), limiter.open("ACME", "B")
    assert limiter.take(narrow, "orders", 3 * MILLI, START_NS) is ALLOWED
    refused = limiter.take(narrow, "orders", 4 * MILLI, START_NS)
    assert (refused.wait_us, refused.scope, refused.burst) == (-1, "session", 3)
    assert limiter.take(wide, "orders", 200 * MILLI, START_NS).wait_us == 30_000
    assert limiter.take(wide, "orders", 200 * MILLI + 1, START_NS).wait_us == -1


def test_costs_in_thousandths_add_up_exactly():
    limiter = limiter_of("[plans.standard]\norders = { burst = 1 }")
    path = limiter.open("ACME", "A")
    assert sum(limiter.take(path, "orders", 200, START_NS) is ALLOWED for _ in range(9)) == 5
    assert limiter.take(path, "orders", 200, START_NS).wait_us == 2_000


def test_what_is_given_back_can_be_taken_again_on_every_level():
    limiter = limiter_of('[override."ACME/A"]\norders = { rate = "1/s", burst = 2 }')
    path = limiter.open("ACME", "A")
    assert taken(limiter, path, "orders", START_NS) == 2
    limiter.give_back(path, "orders", MILLI, START_NS)
    assert taken(limiter, path, "orders", START_NS) == 1
    limiter.apply(limiter.policy, START_NS)
    limiter.give_back(path, "orders", 50 * MILLI, START_NS)
    assert taken(limiter, path, "orders", START_NS) == 2


def test_a_bucket_that_does_not_exist_is_our_own_mistake():
    limiter = LocalLimiter(built_in())
    with pytest.raises(KeyError):
        limiter.take(limiter.open("ACME", "A"), "odrers", MILLI, START_NS)


# -- modes -----------------------------------------------------------------------------------------------------------


def test_a_shadow_limit_refuses_nothing_and_counts_what_it_would_have_refused():
    limiter = limiter_of('[plans.standard]\norders = { rate = "10/s", burst = 5, mode = "shadow" }')
    path = limiter.open("ACME", "A")
    assert taken(limiter, path, "orders", START_NS, 8) == 8
    counts = limiter.counts["orders"]
    assert (counts.admitted, counts.refused, counts.shadow_refused) == (8, 0, 3)
    (view,) = limiter.view(path, START_NS, ("orders",))
    assert (view.mode, view.remaining) == ("shadow", 0)
    assert taken(limiter, path, "orders", START_NS + SECOND_NS // 10, 2) == 2
    assert counts.shadow_refused == 4


def test_a_shadow_level_pays_nothing_when_a_real_one_refuses():
    limiter = limiter_of(
        '[plans.standard]\norders = { rate = "1/s", burst = 2 }\n'
        '[override."ACME/A"]\norders = { burst = 2, mode = "shadow" }'
    )
    path = limiter.open("ACME", "A")
    assert taken(limiter, path, "orders", START_NS, 5) == 2
    counts = limiter.counts["orders"]
    assert (counts.admitted, counts.refused, counts.shadow_refused) == (2, 3, 0)


def test_a_refusal_names_a_level_that_is_real_although_a_shadow_one_would_bind_longer():
    limiter = limiter_of(
        '[plans.standard]\norders = { rate = "10/s", burst = 2 }\n'
        '[override."ACME/A"]\norders = { rate = "1/day", mode = "shadow" }'
    )
    path = limiter.open("ACME", "A")
    assert taken(limiter, path, "orders", START_NS) == 2
    refused = limiter.take(path, "orders", MILLI, START_NS)
    assert (refused.scope, refused.wait_us) == ("account", 100_000)


def test_a_limit_that_is_off_allows_everything_and_is_not_shown():
    limiter = limiter_of('[plans.standard]\norders = { mode = "off" }')
    path = limiter.open("ACME", "A")
    assert taken(limiter, path, "orders", START_NS, 1_000) == 1_000
    assert [view.name for view in limiter.view(path, START_NS)] == ["cancels", "queries", "msgs", "logons"]


def test_refusals_and_admissions_are_counted_by_bucket_name():
    limiter = LocalLimiter(built_in())
    for session in "AB":
        taken(limiter, limiter.open("ACME", session), "queries", START_NS, 30)
    assert (limiter.counts["queries"].admitted, limiter.counts["queries"].refused) == (50, 10)
    assert limiter.counts["orders"].admitted == 0


# -- what people see -------------------------------------------------------------------------------------------------


def test_the_view_shows_whole_tokens_left_and_the_time_until_full():
    limiter = limiter_of('[override."ACME/A"]\ncancels = { rate = "10/s", burst = 20 }')
    path = limiter.open("ACME", "A")
    limiter.take(path, "cancels", 1_500, START_NS)
    shown = [(view.scope, view.name, view.remaining, view.full_in_ms) for view in limiter.view(path, START_NS)]
    assert shown == [
        ("account", "orders", 200, 0),
        ("account", "cancels", 498, 6),
        ("account", "queries", 50, 0),
        ("session", "cancels", 18, 150),
        ("session", "msgs", 400, 0),
        ("session", "logons", 10, 0),
    ]
    wide, narrow = limiter.view(path, START_NS + 100_000_000, ("cancels",))
    assert (wide.remaining, wide.capacity, wide.rate, wide.full_in_ms) == (500, 500, 250.0, 0)
    assert (narrow.remaining, narrow.capacity, narrow.rate, narrow.full_in_ms) == (19, 20, 10.0, 50)
    assert (narrow.mode, narrow.degraded) == ("enforce", False)


def test_low_is_less_than_a_quarter_of_the_whole_tokens_of_one_level():
    limiter = limiter_of('[override."ACME/A"]\ncancels = { rate = "10/s", burst = 20 }')
    path = limiter.open("ACME", "A")
    limiter.take(path, "cancels", 15_000, START_NS)
    assert not limiter.is_low(path, START_NS, ("orders", "cancels"))
    limiter.take(path, "cancels", 1, START_NS)
    assert limiter.is_low(path, START_NS, ("orders", "cancels"))
    assert not limiter.is_low(path, START_NS, ("orders", "msgs"))
    assert not limiter.is_low(path, START_NS + 1_000_000, ("cancels",))  # refilled by the time that is asked about


# -- reload ----------------------------------------------------------------------------------------------------------


def test_a_new_policy_acts_on_the_very_next_decision_of_an_open_path():
    limiter = LocalLimiter(built_in())
    path = limiter.open("ACME", "A")
    assert taken(limiter, path, "orders", START_NS, 10) == 10
    limiter.apply(policy_of('[plans.standard]\norders = { rate = "1/s", burst = 3 }'), START_NS)
    assert taken(limiter, path, "orders", START_NS) == 3
    assert limiter.policy.version == 2


def test_a_larger_burst_fills_at_its_rate_and_not_at_once():
    limiter = limiter_of('[plans.standard]\norders = { rate = "10/s", burst = 10 }')
    path = limiter.open("ACME", "A")
    assert taken(limiter, path, "orders", START_NS) == 10
    limiter.apply(policy_of('[plans.standard]\norders = { rate = "10/s", burst = 50 }'), START_NS)
    assert taken(limiter, path, "orders", START_NS) == 0
    assert taken(limiter, path, "orders", START_NS + SECOND_NS) == 10


def test_a_hundred_reloads_mint_no_token():
    policies = [
        policy_of(f'[plans.standard]\norders = {{ rate = "{rate}", burst = {burst}, mode = "{mode}" }}')
        for rate, burst, mode in [("7/s", 50, "enforce"), ("10/min", 90, "off"), ("5000/s", 40, "shadow")]
    ]
    limiter = LocalLimiter(policies[0])
    path = limiter.open("ACME", "A")
    assert taken(limiter, path, "orders", START_NS, 45) == 45
    for round_ in range(100):
        limiter.apply(policies[round_ % 3], START_NS)
        limiter.view(path, START_NS)
    limiter.apply(policies[0], START_NS)
    assert taken(limiter, path, "orders", START_NS) == 5


def test_sessions_that_touch_a_shared_bucket_after_a_reload_change_it_once():
    limiter = LocalLimiter(built_in())
    paths = [limiter.open("ACME", name) for name in "ABC"]
    assert taken(limiter, paths[0], "orders", START_NS, 200) == 200
    limiter.apply(policy_of('[plans.standard]\norders = { rate = "1000/s" }'), START_NS + SECOND_NS)
    now_ns = START_NS + SECOND_NS + SECOND_NS // 20
    assert sum(taken(limiter, path, "orders", now_ns, 300) for path in paths) == 100 + 50


def test_an_account_that_moves_to_another_plan_keeps_what_it_has_used():
    limiter = LocalLimiter(built_in())
    path = limiter.open("ACME", "A")
    assert taken(limiter, path, "orders", START_NS, 150) == 150
    text = '[plans.small]\norders = { rate = "1/s", burst = 100 }\n[assign]\naccounts = { ACME = "small" }'
    limiter.apply(policy_of(text), START_NS)
    assert taken(limiter, path, "orders", START_NS) == 50


# -- sessions that leave and come back -------------------------------------------------------------------------------


def test_reconnecting_refills_nothing():
    limiter = LocalLimiter(built_in())
    assert taken(limiter, limiter.open("ACME", "A"), "msgs", START_NS, 500) == 400
    gc.collect()
    assert taken(limiter, limiter.open("ACME", "A"), "msgs", START_NS) == 0


def test_a_session_that_is_still_held_is_found_again_however_many_came_since():
    limiter = LocalLimiter(built_in(), max_kept=4)
    held = limiter.open("ACME", "A")
    for n in range(50):
        limiter.open("ACME", f"other-{n}")
    assert limiter.open("ACME", "A") is held


def test_of_sessions_that_left_those_that_are_full_first_are_forgotten_first():
    limiter = LocalLimiter(built_in(), max_kept=4)
    taken(limiter, limiter.open("ACME", "busy"), "msgs", START_NS, 400)
    for n in range(50):
        taken(limiter, limiter.open("ACME", f"calm-{n}"), "msgs", START_NS, 1)
    gc.collect()
    assert taken(limiter, limiter.open("ACME", "busy"), "msgs", START_NS) == 0
    assert limiter.remembered <= 5


# -- the bound, over sessions and levels -----------------------------------------------------------------------------

TWO_LEVELS = """
[plans.standard]
orders = { rate = "7/s", burst = 9 }
[override."ACME/A"]
orders = { rate = "3/s", burst = 4 }
"""


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("AB"),
            st.integers(-500_000_000, SECOND_NS),
            st.integers(1, 3 * MILLI),
            st.sampled_from(["", "", "", "back", "reload"]),
        ),
        max_size=60,
    )
)
def test_no_window_of_any_level_admits_more_than_its_burst_and_rate(actions):
    limiter = limiter_of(TWO_LEVELS)
    paths = {name: limiter.open("ACME", name) for name in "AB"}
    account, session = (level.bucket for level in paths["A"].routes["orders"].levels)
    levels = {("AB", 9, 7): account, ("A", 4, 3): session}
    net: dict[tuple[str, int, int], list[tuple[int, int]]] = {level: [] for level in levels}
    now_ns = START_NS
    for name, step_ns, cost_milli, then in actions:
        now_ns += step_ns
        if limiter.take(paths[name], "orders", cost_milli, now_ns) is ALLOWED:
            returned = [-cost_milli] if then == "back" else []
            for level, bucket in levels.items():
                if (
                    name in level[0]
                ):  # each bucket has lived through time of its own: it stands still while that runs back
                    net[level] += [(bucket.as_of_us, milli) for milli in (cost_milli, *returned)]
            if returned:
                limiter.give_back(paths[name], "orders", cost_milli, now_ns)
        if then == "reload":
            limiter.apply(policy_of(TWO_LEVELS), now_ns)
    for (_, burst, rate), counted in net.items():
        for first, (begin_us, _) in enumerate(counted):
            admitted = 0
            for at_us, milli in counted[first:]:
                admitted += milli
                assert Fraction(admitted, MILLI) <= burst + Fraction(rate * (at_us - begin_us), 1_000_000)


# -- the venue's level and an instrument's ---------------------------------------------------------------------------


def test_the_venue_as_a_whole_binds_all_accounts_together():
    limiter = limiter_of('[venue]\norders = { rate = "10/s", burst = 30 }')
    one, two = limiter.open("ACME", "A"), limiter.open("ELSE", "A")
    assert taken(limiter, one, "orders", START_NS, 20) + taken(limiter, two, "orders", START_NS, 20) == 30
    assert limiter.take(two, "orders", MILLI, START_NS).scope == "venue"
    assert [view.scope for view in limiter.view(one, START_NS, ("orders",))] == ["venue", "account"]


def test_orders_in_one_instrument_have_a_limit_of_their_own_below_the_accounts():
    limiter = limiter_of('[plans.standard]\norders_per_instrument = { rate = "1/s", burst = 5 }')
    path = limiter.open("ACME", "A")
    for instrument in (7, 8):
        admitted = [limiter.take(path, "orders", MILLI, START_NS, instrument) is ALLOWED for _ in range(6)]
        assert admitted == [True] * 5 + [False]
    refused = limiter.take(path, "orders", MILLI, START_NS, 7)
    assert (refused.scope, refused.wait_us) == ("instrument", 1_000_000)
    limiter.give_back(path, "orders", MILLI, START_NS, 7)
    assert limiter.take(path, "orders", MILLI, START_NS, 7) is ALLOWED
    assert limiter.take(limiter.open("ACME", "B"), "orders", MILLI, START_NS, 7) is not ALLOWED


def test_a_reload_keeps_what_is_in_an_instruments_bucket():
    text = '[plans.standard]\norders_per_instrument = { rate = "1/s", burst = 5 }'
    limiter = limiter_of(text)
    path = limiter.open("ACME", "A")
    for _ in range(4):
        limiter.take(path, "orders", MILLI, START_NS, 7)
    limiter.apply(policy_of(text), START_NS)
    assert [limiter.take(path, "orders", MILLI, START_NS, 7) is ALLOWED for _ in range(2)] == [True, False]
