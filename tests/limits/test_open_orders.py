"""The gauge of open orders: it binds at its ceilings, forgets what is done, and never falls below zero."""

from hypothesis import given
from hypothesis import strategies as st

from limits.open_orders import OpenOrders
from limits.policy import OpenOrderLimit
from tests.support.shared_limits import policy_of

LIMIT = OpenOrderLimit(account=3, instrument=2)


def test_the_ceiling_of_an_instrument_and_of_the_account_bind():
    orders = OpenOrders()
    for _ in range(2):
        assert orders.binds(1, 1, LIMIT) == ""
        orders.opened(1, 1)
    assert orders.binds(1, 1, LIMIT) == "instrument"
    assert orders.binds(1, 2, LIMIT) == ""
    orders.opened(1, 2)
    assert orders.binds(1, 2, LIMIT) == "account"
    assert orders.binds(2, 1, LIMIT) == ""
    orders.closed(1, 1)
    assert orders.binds(1, 1, LIMIT) == ""


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=60))
def test_the_account_has_as_many_as_its_instruments_together(steps):
    orders = OpenOrders()
    for is_open, instrument in steps:
        (orders.opened if is_open else orders.closed)(1, instrument)
        counts = [orders.count(1, each) for each in (1, 2, 3)]
        assert min(counts) >= 0
        assert orders.count(1) == sum(counts)


def test_a_plan_names_the_ceilings_and_inherits_what_it_leaves_out():
    policy = policy_of(
        '[plans.a]\nopen_orders = { account = 50 }\n[plans.b]\nextends = "a"\nopen_orders = { instrument = 5 }'
    )
    assert policy.plans["standard"].open_orders == OpenOrderLimit(1_000, 200)
    assert policy.plans["a"].open_orders == OpenOrderLimit(50, 200)
    assert policy.plans["b"].open_orders == OpenOrderLimit(50, 5)
