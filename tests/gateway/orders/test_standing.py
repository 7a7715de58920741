"""Where an order stands (gateway.orders.standing): known to the core, on its way to it, or neither."""

import pytest

from protocols import errors
from protocols.messages import (
    DUPLICATE,
    POSS_RESEND,
    CancelOrder,
    NewOrder,
    OrderEvent,
    OrderList,
    OrdStatus,
    OrdType,
    Origin,
    QueryOrders,
    Side,
    Tif,
)
from tests.support.order_path import BTC, World


@pytest.fixture
def world():
    """A world in which order "a" is live; what comes from now on is on its way."""
    world = World()
    world.mine = world.session()
    world.place(world.mine, "a")
    world.tick()
    world.core.is_quick = False
    return world


def state(world, cl_ord_id, order_id=0, account=1):
    """(its status, its id) of what is known, else the bare status."""
    found = world.orders.standing.find(account, order_id, cl_ord_id)
    return (found.status, found.cl_ord_id) if isinstance(found, OrderEvent) else found


LIVE = (OrdStatus.NEW, "a")


def test_what_the_core_knows_is_told_by_either_id_and_to_its_account_only(world):
    assert state(world, "a") == state(world, "", order_id=1) == LIVE
    assert state(world, "a", account=2) is state(world, "other") is state(world, "", order_id=9) is OrdStatus.REJECTED


def test_of_no_order_nothing_is_said_that_ends_it(world):
    assert state(world, "") is OrdStatus.PENDING_NEW


def test_an_order_on_its_way_is_pending_and_a_replace_on_its_way_is_the_order_that_it_changes(world):
    world.place(world.mine, "new")
    world.replace(world.mine, "a", "b")
    world.replace(world.mine, "b", "c")
    for _ in range(2):
        assert state(world, "new") is OrdStatus.PENDING_NEW
        assert state(world, "b") == state(world, "c") == LIVE
        assert state(world, "new", account=2) is state(world, "d") is OrdStatus.REJECTED
        world.tick()  # handed over, and not answered


def test_replaces_that_name_each_other_lead_to_no_order(world):
    world.replace(world.mine, "y", "x")
    world.replace(world.mine, "x", "y")
    assert state(world, "x") is OrdStatus.REJECTED


def test_a_cancels_own_id_is_no_orders_name(world):
    world.cancel(world.mine, "a", "c")
    world.tick()
    assert state(world, "c") is OrdStatus.REJECTED


def query(cl_ord_id):
    return QueryOrders(1, 1, 1, Origin.FIX, 0, 0, "", cl_ord_id=cl_ord_id)


def test_an_empty_answer_of_the_core_is_not_told_of_an_order_on_its_way(world):
    world.place(world.mine, "new")
    pending, empty = world.orders.standing.pending, OrderList(1, 0, 1, 0, "", ())
    told = pending(query("new"), empty)
    assert told is not None
    assert told.code == errors.ENGINE_TIMEOUT
    live = world.orders.standing.find(1, 0, "a")
    cancel = CancelOrder(1, 1, 1, Origin.FIX, 0, 0, "new", BTC.id, orig_cl_ord_id="a")
    for command, event in (
        (query("other"), empty),
        (query(""), empty),
        (query("new"), OrderList(1, 0, 1, 0, "", (live,))),
        (query("new"), live),
        (cancel, empty),
    ):
        assert pending(command, event) is None, (command, event)


def retry(cl_ord_id, flags=POSS_RESEND):
    return NewOrder(
        7, 1, 1, Origin.FIX, 0, 0, cl_ord_id, BTC.id, Side.BUY, OrdType.LIMIT, Tif.GTC, 10, 100_00, flags=flags
    )


def test_a_retry_has_the_order_of_its_first_attempt_and_nothing_else_has(world):
    first = world.orders.standing.first_of(retry("a"))
    assert first is not None
    assert (first.cl_ord_id, first.cmd_id, bool(first.flags & DUPLICATE)) == ("a", 7, True)
    for command in (retry("a", flags=0), retry("other"), query("a")):
        assert world.orders.standing.first_of(command) is None


def test_what_the_house_asked_for_itself_is_nobodys_to_wait_for(world):
    world.place(world.mine, "b")
    world.cancel_on_disconnect.cancel_now(world.mine, world.now_ns)
    world.tick()
    assert [each.source for each in world.orders.standing.unanswered_of(world.mine)] == ["b"]
