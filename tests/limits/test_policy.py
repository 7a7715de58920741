"""Limits files: what they come to, and what is said about those that come to nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limits.policy import SCOPES, Limit, Penalty, Policy
from limits.policy_parse import Parsed, parse
from limits.reload import built_in, default_text

OPERATORS_FILE = """
version = 42                                   # must rise; shown everywhere
[classes]                                      # which message costs what in which class
orders = { "D" = 1, "G" = 1, "order.place" = 1, "order.replace" = 1 }
cancels = { "F" = 1, "order.cancel" = 1 }
queries = { "H" = 1, "AF" = 1, "order.status" = 1 }
logons = { "A" = 1, "session.logon" = 1 }
[plans.standard]
orders = { rate = "50/s", burst = 100 }
cancels = { rate = "500/s", burst = 1000 }
logons = { rate = "2/s", burst = 2, on_store_loss = "deny" }
[plans.market_maker]
extends = "standard"
orders = { rate = "2000/s", burst = 4000 }
orders_per_instrument = { rate = "50/s", burst = 100, mode = "shadow" }   # counted and reported, refuses nothing
[assign]
default = "standard"
accounts = { ACME = "market_maker" }
[override."ACME/KEY7"]
orders = { rate = "300/s" }
[penalty]
strikes = 100
window_s = 10
cooldown_s = 5
disconnect_over = "10x"
"""


def policy_of(text: str) -> Policy:
    parsed = parse(text, built_in())
    assert parsed.errors == ()
    assert parsed.policy is not None
    return parsed.policy


def errors_of(text: str) -> list[str]:
    parsed = parse(text, built_in())
    assert (parsed.policy is None) == bool(parsed.errors)
    return [str(fault) for fault in parsed.errors]


def warnings_of(text: str) -> list[str]:
    parsed = parse(text, built_in())
    assert parsed.errors == ()
    return [str(fault) for fault in parsed.warnings]


def shown(limit: Limit) -> tuple[str, int, str, str]:
    return limit.rate.text, limit.burst, limit.mode, limit.on_store_loss


# -- what a file comes to --------------------------------------------------------------------------------------------


def test_the_built_in_file_is_the_contract_with_the_clients():
    parsed = parse(default_text())
    assert parsed.errors == parsed.warnings == ()
    limits = built_in().plan_of("ANYBODY").limits
    assert {name: (limit.burst, limit.rate.per_second) for name, limit in limits.items()} == {
        "orders": (200, 100),
        "cancels": (500, 250),
        "queries": (50, 10),
        "msgs": (400, 200),
        "logons": (10, 0.5),
    }
    assert {limit.mode for limit in limits.values()} == {"enforce"}


@pytest.mark.parametrize(
    ("message", "cost"),
    [
        ("D", ("orders", 1000)),
        ("G", ("orders", 1000)),
        ("order.place", ("orders", 1000)),
        ("order.replace", ("orders", 1000)),
        ("F", ("cancels", 1000)),
        ("order.cancel", ("cancels", 1000)),
        ("H", ("queries", 1000)),
        ("AF", ("queries", 1000)),
        ("order.status", ("queries", 1000)),
        ("order.list", ("queries", 1000)),
        ("stream.replay", ("queries", 5000)),
        ("XLQ", ("msgs", 1000)),
        ("limits.get", ("msgs", 1000)),
        ("order.batch", ("msgs", 1000)),
        ("A", ("logons", 1000)),
        ("session.logon", ("logons", 1000)),
        ("q", None),
        ("order.cancel_all", None),
        ("order.cancel_after", None),
        ("0", None),
    ],
)
def test_each_message_is_charged_as_the_contract_says(message, cost):
    assert built_in().cost(message) == cost


def test_a_plan_takes_what_it_leaves_out_from_its_parent_and_that_from_the_built_in_one():
    policy = policy_of(OPERATORS_FILE)
    maker = policy.plans["market_maker"].limits
    assert policy.version == 42
    assert shown(maker["orders"]) == ("2000/s", 4000, "enforce", "safe")
    assert shown(maker["cancels"]) == ("500/s", 1000, "enforce", "allow")
    assert shown(maker["logons"]) == ("2/s", 2, "enforce", "deny")
    assert shown(maker["msgs"]) == ("200/s", 400, "enforce", "safe")
    assert shown(maker["orders_per_instrument"]) == ("50/s", 100, "shadow", "safe")
    assert "orders_per_instrument" not in policy.plans["standard"].limits
    assert policy.plan_of("ACME").name == "market_maker"
    assert policy.plan_of("ELSE").name == "standard"
    assert policy.penalty == Penalty(100, 10, 5, 10)


def test_an_override_of_one_session_is_one_more_level_below_the_accounts():
    policy = policy_of(OPERATORS_FILE)
    levels = [(name, scope, limit.rate.text, limit.burst) for name, scope, limit in policy.levels("ACME", "KEY7")]
    assert levels == [
        ("orders", "account", "2000/s", 4000),
        ("orders", "session", "300/s", 4000),
        ("cancels", "account", "500/s", 1000),
        ("queries", "account", "10/s", 50),
        ("msgs", "session", "200/s", 400),
        ("logons", "session", "2/s", 2),
    ]
    assert [scope for name, scope, _ in policy.levels("ACME", "OTHER") if name == "orders"] == ["account"]


def test_overrides_of_an_account_replace_its_plans_limits_and_are_the_parents_of_its_sessions():
    policy = policy_of(
        """
version = 2
[override."ACME/A"]
msgs = { burst = 7 }
orders = { rate = "1/s" }
[override.ACME]
msgs = { rate = "20/s", burst = 40 }
orders = { burst = 9 }
"""
    )
    of_a = {(name, scope): shown(limit)[:2] for name, scope, limit in policy.levels("ACME", "A")}
    of_b = {(name, scope): shown(limit)[:2] for name, scope, limit in policy.levels("ACME", "B")}
    assert of_a["msgs", "session"] == ("20/s", 7)
    assert of_b["msgs", "session"] == ("20/s", 40)
    assert [name for name, _, _ in policy.levels("ACME", "A")].count("msgs") == 1  # replaced, not stacked
    assert of_a["orders", "account"] == of_b["orders", "account"] == ("100/s", 9)
    assert of_a["orders", "session"] == ("1/s", 9)
    assert ("orders", "session") not in of_b


def test_a_file_may_hold_no_more_than_its_version():
    policy = policy_of("version = 7")
    assert policy.plans == built_in().plans
    assert policy.costs == built_in().costs


def test_a_message_that_a_file_names_changes_its_class_and_the_others_keep_theirs():
    policy = policy_of('version = 2\n[classes]\nqueries = { "G" = 1 }\norders = { "D" = 0.25 }')
    assert policy.cost("G") == ("queries", 1000)
    assert policy.cost("D") == ("orders", 250)
    assert policy.cost("order.place") == ("orders", 1000)
    assert policy.cost("F") == ("cancels", 1000)


@pytest.mark.parametrize(("cost", "milli"), [("0", 0), ("1", 1000), ("0.2", 200), ("1.201", 1201), ("1e1", 10_000)])
def test_costs_are_exact_in_thousandths(cost, milli):
    assert policy_of(f'version = 2\n[classes]\norders = {{ "D" = {cost} }}').cost("D") == ("orders", milli)


def test_plans_may_be_in_any_order_and_a_chain_of_them_as_long_as_the_file():
    links = [f'[plans.p{n}]\nextends = "p{n + 1}"' for n in range(2000)]
    text = "version = 2\n" + "\n".join(links) + '\n[plans.p2000]\norders = { rate = "3/s" }\n[assign]\ndefault = "p0"'
    assert policy_of(text).plan_of("ANY").limits["orders"].rate.text == "3/s"


def test_without_a_built_in_policy_a_file_must_say_everything():
    errors = [str(fault) for fault in parse('version = 1\n[plans.a]\norders = { rate = "1/s" }').errors]
    assert errors == [
        "line 1: assign.default: missing: name the plan of the accounts that are not listed",
        "line 2: plans.a.cancels: missing, and there is no parent to take it from",
        "line 2: plans.a.queries: missing, and there is no parent to take it from",
        "line 2: plans.a.msgs: missing, and there is no parent to take it from",
        "line 2: plans.a.logons: missing, and there is no parent to take it from",
        "line 3: plans.a.orders.burst: missing, and there is no parent to take it from",
    ]


# -- mistakes --------------------------------------------------------------------------------------------------------

TEN_MISTAKES = """\
version = 0
[classes]
orders = { "D" = 1.0001 }
queries = { "D" = 1 }
[plans.standard]
orders = { rate = "0/s", burst = 0, mode = "shadwo" }
canels = { rate = "1/s" }
cancels = { rate = "1/day", burst = 999999, on_store_loss = "deny" }
[plans.maker]
extends = "standrd"
[assign]
accounts = { ACME = "makr" }
[penalty]
disconnect_over = 10
"""


def test_every_mistake_of_a_file_is_named_with_its_place():
    assert errors_of(TEN_MISTAKES) == [
        "line 1: version: is 0, must be a whole number from 1 to 9007199254740991",
        "line 3: classes.orders.D: is 1.0001: a cost is a number from 0 to 1000000 with at most three decimals",
        "line 4: classes.queries.D: is charged to orders already; a message has one class",
        "line 6: plans.standard.orders.rate: is '0/s': a rate must be above zero",
        "line 6: plans.standard.orders.burst: is 0, must be a whole number from 1 to 9007199254740",
        'line 6: plans.standard.orders.mode: is \'shadwo\', must be "enforce", "shadow" or "off"',
        "line 7: plans.standard.canels: unknown (did you mean cancels?); "
        "known here: orders, cancels, queries, msgs, logons, orders_per_instrument, extends, open_orders",
        "line 8: plans.standard.cancels.on_store_loss: cancels always pass",
        "line 8: plans.standard.cancels: a burst of 999999 at 1/day is too large to count exactly; at most 104249",
        "line 10: plans.maker.extends: there is no plan 'standrd' (did you mean standard?)",
        "line 12: assign.accounts.ACME: there is no plan 'makr' (did you mean maker?)",
        'line 14: penalty.disconnect_over: is 10: write "2x" to "9999x"',
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "line 1: version is missing: a whole number from 1 to 9007199254740991"),
        ("version = true", "line 1: version: is true, must be a whole number from 1 to 9007199254740991"),
        ("version = 1.0", "line 1: version: is 1.0, must be a whole number from 1 to 9007199254740991"),
        ("version = 0x" + "f" * 6000, "line 1: version: is a huge number, must be a whole number from 1"),
        ("version = " + "9" * 6000, "line 1: not TOML"),
        ("version = 1\nversion = 2", "line 2: not TOML: Cannot overwrite a value"),
        ("version = 1\nplans = 3", "line 2: plans: is 3, must be a table"),
        ("version = 1\n[plans]\nx = 3", "line 3: plans.x: is 3, must be a table"),
        ("version = 1\n[plans.x]\norders = 3", "line 3: plans.x.orders: is 3, must be a table such as"),
        (
            "version = 1\n[plans.x]\norders.rate = 3",
            'line 3: plans.x.orders.rate: is 3: a rate is whole tokens per period, such as "50/s"',
        ),
        (
            'version = 1\n[plans.x]\norders.rate = "0.5/s"',
            "line 3: plans.x.orders.rate: is '0.5/s': a rate is whole tokens per period",
        ),
        ("version = 1\n[plans.x]\norders.burst = 1.5", "line 3: plans.x.orders.burst: is 1.5, must be a whole number"),
        (
            "version = 1\n[plans.x]\nextends = 3",
            'line 3: plans.x.extends: is 3, must be text in quotes such as "standard"',
        ),
        (
            'version = 1\n[plans.x]\norders.on_store_loss = "allow"',
            "line 3: plans.x.orders.on_store_loss: orders are never",
        ),
        ('version = 1\n[plans."a b"]', 'line 2: plans."a b": a plan\'s name is 1 to 64'),
        (
            "version = 1\n[plans.x]\norders_per_instrument.burst = 5",
            "line 3: plans.x.orders_per_instrument.rate: missing",
        ),
        ('version = 1\n[assign]\ndefault = "x"', "line 3: assign.default: there is no plan 'x'"),
        (
            "version = 1\n[assign]\naccounts = { A = [] }",
            'line 3: assign.accounts.A: is a list, must be text in quotes such as "standard"',
        ),
        (
            'version = 1\n[assign]\naccounts = { "A/B" = "standard" }',
            'line 3: assign.accounts."A/B": an account\'s name',
        ),
        ('version = 1\n[override."A/"]', 'line 2: override."A/": an override is for'),
        ('version = 1\n[override."A/B/C"]', 'line 2: override."A/B/C": an override is for'),
        (
            'version = 1\n[override."A/B"]\norders_per_instrument.burst = 5',
            'line 3: override."A/B".orders_per_instrument: is for an account',
        ),
        ("version = 1\n[classes]\nbogus = {}", "line 3: classes.bogus: unknown; known here: orders, cancels"),
        ("version = 1\n[classes]\norders.D = -1", "line 3: classes.orders.D: is -1: a cost is a number from 0"),
        ("version = 1\n[classes]\norders.D = nan", "line 3: classes.orders.D: is NaN: a cost is a number from 0"),
        (
            "version = 1\n[classes]\norders.D = 1e99999999999999999",
            "line 3: classes.orders.D: is 1E+99999999999999999: a cost is",
        ),
        (
            "version = 1\n[classes]\norders.D = 1e-99999999999999999",
            "line 3: classes.orders.D: is 1E-99999999999999999: a cost is",
        ),
        ("version = 1\n[classes]\norders.D = 1.0000000000000000001", "line 3: classes.orders.D: is NaN: a cost is"),
        ("version = 1\n[classes]\norders.D = '1'", "line 3: classes.orders.D: is '1': a cost is a number from 0"),
        ("version = 1\n[penalty]\nstrikes = 0", "line 3: penalty.strikes: is 0, must be a whole number from 1"),
        (
            'version = 1\n[penalty]\ndisconnect_over = "1x"',
            'line 3: penalty.disconnect_over: is \'1x\': write "2x" to "9999x"',
        ),
        ("version = 1\na = " + "[" * 5000, "line 1: nested too deeply"),
    ],
)
def test_a_mistake_is_named_with_line_place_and_reason(text, error):
    errors = errors_of(text)
    assert len(errors) == 1
    assert errors[0].startswith(error)


@pytest.mark.parametrize(
    ("plans", "circle"),
    [
        ('[plans.a]\nextends = "a"', "a -> a"),
        ('[plans.a]\nextends = "b"\n[plans.b]\nextends = "c"\n[plans.c]\nextends = "b"', "b -> c -> b"),
        ('[plans.standard]\nextends = "standard"', "standard -> standard"),
    ],
)
def test_plans_that_extend_each_other_in_a_circle_are_refused_once(plans, circle):
    (error,) = errors_of(f"version = 2\n{plans}")
    assert error.endswith(f"plans extend each other in a circle: {circle}")


# -- warnings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            '[classes]\nqueries = { "stream.replay" = 51 }',
            "line 1: plans.standard.queries: stream.replay costs more than the burst of 50: "
            "it is always refused (3007)",
        ),
        (
            "[override.ACME]\nqueries = { burst = 4 }",
            "line 3: override.ACME.queries: stream.replay costs more than the burst of 4: it is always refused (3007)",
        ),
        (
            '[override."ACME/A"]\norders = { rate = "101/s" }',
            'line 3: override."ACME/A".orders: the rate 101/s is above its parent\'s 100/s, which binds first',
        ),
        (
            '[override."ACME/A"]\norders = { burst = 201 }',
            'line 3: override."ACME/A".orders: the burst 201 is above its parent\'s 200, which binds first',
        ),
        (
            '[override.ACME]\norders = { mode = "off" }',
            "line 3: override.ACME.orders: is off: nothing is limited or counted here",
        ),
        (
            '[classes]\norders = { "order.plce" = 1 }',
            'line 3: classes.orders."order.plce": no message of this name is known (did you mean order.place?)',
        ),
        ("[plans.spare]", "line 2: plans.spare: no account has this plan"),
        (
            '[venue]\norders = { rate = "1/s", burst = 1, mode = "off" }',
            "line 3: venue.orders: is off: nothing is limited or counted here",
        ),
    ],
)
def test_what_is_odd_is_told_and_does_not_stop_the_file(text, warning):
    assert warnings_of(f"version = 2\n{text}") == [warning]


def test_limits_per_instrument_are_kept_and_compared_with_the_accounts():
    text = 'version = 2\n[plans.standard]\norders_per_instrument = { rate = "101/s", burst = 201 }'
    place = "line 3: plans.standard.orders_per_instrument: "
    assert warnings_of(text) == [
        place + "the rate 101/s is above its parent's 100/s, which binds first",
        place + "the burst 201 is above its parent's 200, which binds first",
    ]


@pytest.mark.parametrize(
    ("rate", "above"), [("5999/min", False), ("6000/min", False), ("6001/min", True), ("199/2s", False)]
)
def test_rates_are_compared_as_rates_whatever_their_periods(rate, above):
    warnings = warnings_of(f'version = 2\n[override."ACME/A"]\norders = {{ rate = "{rate}" }}')
    assert [warning.split(", ")[-1] for warning in warnings] == (["which binds first"] if above else [])


def test_a_session_bucket_is_nobodys_child():
    assert warnings_of('version = 2\n[override."ACME/A"]\nmsgs = { rate = "999/s", burst = 999 }') == []


# -- whatever the text -----------------------------------------------------------------------------------------------

words = st.sampled_from(
    [
        "version",
        "plans",
        "classes",
        "assign",
        "override",
        "penalty",
        "orders",
        "msgs",
        "rate",
        "burst",
        "mode",
        "extends",
        "standard",
        "a",
        "accounts",
        "default",
        "A/B",
        "D",
        "orders_per_instrument",
        "strikes",
        "disconnect_over",
    ]
)
values = st.recursive(
    st.one_of(
        st.integers(-(2**70), 2**70).map(str),
        st.sampled_from(['"50/s"', '"1/day"', '"standard"', '"a"', '"shadow"', '"10x"', "1.5", "nan", "-inf", "true"]),
        st.just("1979-05-27"),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(words, inner, max_size=3).map(
            lambda table: "{ " + ", ".join(f'"{key}" = {value}' for key, value in table.items()) + " }"
        ),
    ),
    max_leaves=6,
)
lines = st.one_of(
    st.tuples(words, values).map(lambda pair: f'"{pair[0]}" = {pair[1]}'),
    st.lists(words, min_size=1, max_size=3).map(lambda path: "[" + ".".join(f'"{part}"' for part in path) + "]"),
)


@settings(max_examples=300)
@given(st.lists(lines, max_size=8).map("\n".join))
def test_any_toml_comes_to_a_policy_or_to_mistakes_on_lines_of_it(text):
    parsed = parse("version = 1\n" + text, built_in())
    assert (parsed.policy is None) == bool(parsed.errors)
    for fault in (*parsed.errors, *parsed.warnings):
        assert 1 <= fault.line <= text.count("\n") + 2
    if parsed.policy is not None:
        assert {name for name, _, _ in parsed.policy.levels("A", "B")} == set(SCOPES)


@given(st.text(max_size=80))
def test_any_text_comes_to_a_policy_or_to_mistakes(text):
    assert isinstance(parse(text, built_in()), Parsed)
