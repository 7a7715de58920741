"""The ceiling of open orders (gateway.orders.charging), as it is shown and as it refuses."""

import msgspec
import pytest

from gateway.orders.charging import Charging
from limits.limiter import BucketView
from protocols import errors
from protocols.messages import ExecType, OrderEvent, OrdStatus
from tests.support.order_path import World

FEW = """
version = 2
[plans.few]
orders = {{ rate = "100/s", burst = 100 }}
open_orders = {{ account = {account}, instrument = {instrument} }}
[assign]
default = "few"
"""


@pytest.mark.parametrize(("account", "instrument", "scope", "most"), [(2, 9, "account", 2), (9, 2, "instrument", 2)])
def test_an_order_beyond_the_ceiling_is_told_which_and_what_leaves_makes_room(account, instrument, scope, most):
    world = World(FEW.format(account=account, instrument=instrument))
    mine = world.session()
    seen = []
    mine.endpoint.refuse = lambda source, refusal, now_ns: seen.append((source, refusal))
    for name in ("a", "b", "c"):
        world.place(mine, name)
    world.tick()
    ((source, refusal),) = seen
    assert (source, refusal.code) == ("c", errors.TOO_MANY_OPEN_ORDERS)
    assert refusal.data == {"limit": "open_orders", "scope": scope, "capacity": most}
    assert f"{most} are open in this {scope}" in refusal.text
    world.cancel(mine, "a")
    world.tick()
    world.place(mine, "d")
    world.tick()
    assert len(seen) == 1


def order(world, cl_ord_id, account=1):
    found = world.orders.standing.find(account, 0, cl_ord_id)
    assert isinstance(found, OrderEvent)
    return found


def test_what_is_left_of_the_ceiling_is_shown_and_never_less_than_nothing():
    world = World(FEW.format(account=3, instrument=9))
    mine, other = world.session(), world.session(account=2)
    for name in ("a", "b"):
        world.place(mine, name)
    world.tick()
    shown = world.orders.charging.open_orders
    assert shown(mine) == BucketView("open_orders", "account", 1, 3, 0.0, 0)
    assert shown(other) == BucketView("open_orders", "account", 3, 3, 0.0, 0)
    world.orders.charging.restore([order(world, "a")] * 2)  # more than there is room for
    assert shown(mine).remaining == 0


def test_a_session_owns_orders_of_before_until_the_last_of_them_is_done():
    world = World()
    mine = world.session()
    for name in ("a", "b"):
        world.place(mine, name)
    world.tick()
    orders, next_life = [order(world, name) for name in ("a", "b")], Charging(world.limiter)
    next_life.restore(orders)
    owns = []
    for each in orders:
        owns.append(next_life.owns(mine.id))
        done = msgspec.structs.replace(each, status=OrdStatus.CANCELED, exec_type=ExecType.CANCELED, leaves_qty=0)
        next_life.received(done)
    assert [*owns, next_life.owns(mine.id)] == [True, True, False]


def test_an_order_of_another_process_takes_a_place_until_it_is_done():
    """Several gateways host one account, or an earlier process placed it: no request here has taken the place."""
    world = World(FEW.format(account=3, instrument=9))
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    shown, theirs = world.orders.charging.open_orders, order(world, "a")
    received = world.orders.charging.received

    def event(kind, status, leaves, is_answer=False):
        received(msgspec.structs.replace(theirs, exec_type=kind, status=status, leaves_qty=leaves), is_answer)
        return shown(mine).remaining

    assert event(ExecType.NEW, OrdStatus.NEW, 1) == 1
    assert event(ExecType.TRADE, OrdStatus.FILLED, 0) == 2
    assert event(ExecType.REJECTED, OrdStatus.REJECTED, 0) == 2, "it never had one"
    assert event(ExecType.NEW, OrdStatus.NEW, 1, is_answer=True) == 2, "its request took the place"


def test_what_is_open_at_a_start_is_counted_once_though_it_was_also_delivered():
    world = World(FEW.format(account=3, instrument=9))
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    charging = world.orders.charging
    charging.forget_places()
    charging.restore([order(world, "a")])
    assert charging.open_orders(mine).remaining == 2
    assert charging.owns(mine.id)
