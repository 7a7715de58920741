"""What an operator is shown before a changed file is put in force."""

from limits.policy import Policy
from limits.policy_diff import differences
from limits.policy_parse import parse
from limits.reload import built_in

OLD = """
version = 2
[plans.maker]
orders = { rate = "50/s", burst = 100 }
[assign]
accounts = { ACME = "maker", GONE = "maker" }
"""
NEW = """
version = 3
[classes]
orders = { "D" = 1.05 }
[plans.maker]
orders = { rate = "300/s", burst = 100, mode = "shadow" }
[plans.child]
extends = "maker"
[assign]
accounts = { ACME = "maker", NEXT = "child" }
[override."ACME/KEY7"]
msgs = { burst = 1 }
[penalty]
strikes = 9
"""


def policy_of(text: str) -> Policy:
    policy = parse(text, built_in()).policy
    assert policy is not None
    return policy


def test_equal_policies_do_not_differ():
    assert differences(policy_of(OLD), policy_of(OLD)) == []


def test_every_value_that_differs_is_named_once_with_both_sides():
    changes = {change.place: (change.before, change.after) for change in differences(policy_of(OLD), policy_of(NEW))}
    child = {place for place in changes if place.startswith("plans.child.")}
    assert len(child) == 22  # five buckets of four values, and two ceilings of open orders
    assert changes["plans.child.orders.rate"] == (None, "300/s")
    assert {place: sides for place, sides in changes.items() if place not in child} == {
        "version": ("2", "3"),
        "classes.orders.D": ("1", "1.05"),
        "plans.maker.orders.rate": ("50/s", "300/s"),
        "plans.maker.orders.mode": ("enforce", "shadow"),
        "assign.accounts.GONE": ("maker", None),
        "assign.accounts.NEXT": (None, "child"),
        'override."ACME/KEY7".msgs.rate': (None, "200/s"),
        'override."ACME/KEY7".msgs.burst': (None, "1"),
        'override."ACME/KEY7".msgs.mode': (None, "enforce"),
        'override."ACME/KEY7".msgs.on_store_loss': (None, "safe"),
        "penalty.strikes": (None, "9"),
        "penalty.window_s": (None, "10"),
        "penalty.cooldown_s": (None, "5"),
        "penalty.disconnect_over": (None, "10x"),
    }


def test_a_change_back_is_the_same_change_turned_round():
    there = {(change.place, change.before, change.after) for change in differences(policy_of(OLD), policy_of(NEW))}
    back = {(change.place, change.after, change.before) for change in differences(policy_of(NEW), policy_of(OLD))}
    assert there == back
