"""When tokens have to be fetched the session waits, in order and unread; the others go on. Nothing is charged twice."""

import pytest

from limits.bucket import MILLI
from protocols import errors
from protocols.messages import POSS_RESEND, OrderEvent, OrderList, OrdStatus, Origin, QueryOrders, Side
from tests.support import order_path
from tests.support.order_path import MS
from tests.support.store_world import SMALL, World


def refusals(heard):
    return [each[1:] for each in heard if each[0] == "refused"]


def answered(heard):
    return [each[1] for each in heard if each[0] == "answer"]


def test_an_order_that_waits_is_known_to_whoever_of_the_account_asks_for_it():
    world = World()
    mine, other, stranger = world.session(), world.session(), world.session(account=2)
    world.place(mine, "a")
    world.tick()
    standing = world.orders.standing
    for session, is_known in ((mine, True), (other, True), (stranger, False)):
        account = session.client.account_id
        query = QueryOrders(1, account, session.id, Origin.FIX, world.now_ns, 0, "", cl_ord_id="a")
        told = standing.pending(query, OrderList(account, 0, 1, 0, "", ()))
        assert (told is not None and told.code == errors.ENGINE_TIMEOUT) is is_known
        assert (standing.find(account, 0, "a") is OrdStatus.PENDING_NEW) is is_known
    world.arrive()
    state = standing.find(1, 0, "a")
    assert isinstance(state, OrderEvent)
    assert (state.status, state.order_id) == (OrdStatus.NEW, 1)
    assert standing.pending(query, OrderList(1, 1, 1, 0, "", (state,))) is None


def test_an_order_waits_for_its_tokens_unread_and_is_then_carried_out():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    assert mine.endpoint.take() == []
    assert mine.endpoint.is_paused
    assert len(world.orders.token_wait) == 1
    world.arrive()
    assert answered(mine.endpoint.take()) == ["a"]
    assert not mine.endpoint.is_paused
    assert world.orders.is_idle


def test_what_a_session_sends_after_it_stays_behind_it():
    world = World()
    mine = world.session()
    for each in ("a", "b"):
        world.place(mine, each)
    world.cancel(mine, "a", "c")
    world.query(mine, "q")
    world.place(mine, "d")
    world.tick()
    assert len(world.orders.token_wait) == 5
    world.arrive()
    assert answered(mine.endpoint.take()) == ["a", "b", "c", "q", "d"]


def test_other_sessions_go_on_meanwhile():
    world = World(
        '[plans.standard]\norders = { rate = "1/s", burst = 3 }\n'
        '[plans.big]\norders = { rate = "100/s", burst = 200 }\n[assign]\naccounts = { A2 = "big" }'
    )
    slow, quick = world.session(account=1), world.session(account=2)
    world.arrive()  # the big plan is leased at logon
    world.place(slow, "s")
    world.place(quick, "q", side=Side.SELL)
    world.tick()
    assert answered(quick.endpoint.take()) == ["q"]
    assert slow.endpoint.is_paused
    assert not quick.endpoint.is_paused
    world.arrive()
    assert answered(slow.endpoint.take()) == ["s"]


def test_a_refusal_that_had_to_be_fetched_is_one_like_any_other():
    world = World()
    mine = world.session()
    for each in "abcde":
        world.place(mine, each)
    world.tick()
    world.arrive()
    heard = mine.endpoint.take()
    assert answered(heard) == ["a", "b", "c"]
    assert refusals(heard) == [("d", errors.RATE_LIMITED), ("e", errors.RATE_LIMITED)]


def test_its_place_among_the_messages_is_paid_once_however_often_it_is_asked_for():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    for _ in range(5):
        world.tick()
    world.arrive()
    (messages,) = world.limiter.view(mine.path, world.now_ns, ("msgs",))
    assert messages.remaining == 7


def test_a_mass_cancel_withdraws_what_waits_of_its_scope_and_waits_for_nothing():
    world = World()
    mine, other = world.session(account=1), world.session(account=2)
    world.place(mine, "a")
    world.cancel(mine, "x", "c")
    world.place(other, "o")
    world.mass_cancel(mine)
    world.tick()
    heard = mine.endpoint.take()
    assert refusals(heard) == [("a", errors.WITHDRAWN)]
    assert "mass" in answered(heard)
    assert mine.endpoint.waiting == ["c"], "what was withdrawn waits no more"
    world.arrive()
    assert answered(mine.endpoint.take()) == ["c"]
    assert answered(other.endpoint.take()) == ["o"]


@pytest.mark.parametrize("has_first", [True, False])
def test_a_retry_that_a_mass_cancel_finds_waiting_becomes_a_question_for_its_first_attempt_may_live(has_first):
    """
    D a | D a 97=Y, which waits for its tokens | q    the first is cancelled; the second is told so, never 5006
    D a 97=Y, which waits | q                         nothing is placed: the core says that its time was over
    """
    world = World()
    mine = world.session()
    if has_first:
        world.place(mine, "a")
        world.arrive()
        mine.endpoint.take()
    world.place(mine, "a", flags=POSS_RESEND, sent_at=world.now_ns)
    world.place(mine, "b")
    world.place(mine, "behind")
    assert len(world.orders.token_wait) == 3
    world.mass_cancel(mine)
    world.place(mine, "later")
    world.tick()
    heard = mine.endpoint.take()
    assert refusals(heard) == [("b", errors.WITHDRAWN), ("behind", errors.WITHDRAWN)]
    assert answered(heard) == ["mass", "a"], "it needs no tokens any more"
    world.arrive()
    assert answered(mine.endpoint.take()) == ["later"]
    assert [order.cl_ord_id for order in world.core.inner.engine.open_orders(1)] == ["later"]
    assert world.orders.is_idle


def test_what_such_a_retry_finds_before_it_in_its_session_goes_first():
    world = World()
    mine, other = world.session(), world.session()
    world.cancel(mine, "x", "c")
    world.place(mine, "a", flags=POSS_RESEND, sent_at=world.now_ns)
    world.mass_cancel(other)
    world.tick()
    heard = mine.endpoint.take()
    assert (refusals(heard), answered(heard)) == ([], [])
    assert mine.endpoint.waiting == ["c", "a"]
    world.arrive()
    assert answered(mine.endpoint.take()) == ["c", "a"]
    assert mine.endpoint.waiting == []


def test_who_may_not_cancel_withdraws_nothing_that_waits():
    world = World()
    mine, reader = world.session(account=1), world.session(account=1)
    reader.may_trade = False
    world.place(mine, "a")
    world.mass_cancel(reader)
    world.tick()
    assert refusals(reader.endpoint.take()) == [("mass", errors.NOT_PERMITTED)]
    assert refusals(mine.endpoint.take()) == []
    world.arrive()
    assert answered(mine.endpoint.take()) == ["a"]


def test_a_mass_cancel_of_its_session_alone_withdraws_nothing_of_another_session_of_the_account():
    world = World()
    mine, other = world.session(account=1), world.session(account=1)
    for session, cl_ord_id in ((mine, "a"), (other, "b")):
        world.place(session, cl_ord_id)
    world.mass_cancel(mine, only_session=True)
    world.tick()
    assert refusals(mine.endpoint.take()) == [("a", errors.WITHDRAWN)]
    world.arrive()
    assert answered(other.endpoint.take()) == ["b"]


def test_a_session_is_told_what_of_its_own_waits_and_when_it_goes_on():
    """For whoever has numbers: nothing may pass what waits in the records."""
    world = World()
    mine = world.session()
    for each in "abcd":
        world.place(mine, each)
    assert mine.endpoint.waiting == ["a", "b", "c", "d"]
    while mine.endpoint.waiting:
        world.node.store.deliver()
        world.tick()
        assert mine.endpoint.waiting == ["a", "b", "c", "d"][4 - len(mine.endpoint.waiting) :]
    assert refusals(mine.endpoint.take()) == [("d", errors.RATE_LIMITED)]


def test_a_store_that_answers_nothing_any_more_leaves_nobody_waiting():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    world.cancel(mine, "x", "c")
    world.tick()
    world.node.store.lose()
    world.tick()
    heard = mine.endpoint.take()
    assert refusals(heard) == [("a", errors.RATE_LIMITED)]  # a share that starts empty
    assert answered(heard) == ["c"]
    assert not mine.endpoint.is_paused
    assert world.orders.is_idle


def test_a_window_that_ends_while_tokens_are_fetched_is_refused():
    world = World()
    mine = world.session()
    world.place(mine, "a", deadline=world.now_ns + 10 * MS)
    world.tick(ms=20)
    world.arrive()
    assert refusals(mine.endpoint.take()) == [("a", errors.EXPIRED_ON_ARRIVAL)]


def test_a_question_that_the_gateway_answers_waits_its_turn_too():
    world = World()
    mine = world.session()
    told = []
    world.place(mine, "a")
    world.orders.admission.charge_question(
        mine, "stream.replay", lambda refusal, now_ns: told.append(refusal), world.now_ns
    )
    world.tick()
    assert told == []
    world.arrive()
    assert [refusal and refusal.code for refusal in told] == [errors.NEVER_FITS]  # a replay costs 5 of a burst of 3


def test_a_question_that_waits_is_no_command_that_could_be_pending_or_withdrawn():
    world = World()
    mine = world.session()
    told = []
    world.place(mine, "a")
    world.orders.admission.charge_question(
        mine, "stream.replay", lambda refusal, now_ns: told.append(refusal), world.now_ns
    )
    assert [each.source for each in world.orders.standing.unanswered_of(mine)] == ["a"]
    world.mass_cancel(mine)
    assert refusals(mine.endpoint.take()) == [("a", errors.WITHDRAWN)]
    world.arrive()
    assert len(told) == 1


def test_a_session_that_is_paused_for_two_reasons_is_read_when_both_are_gone():
    world = World(window=0, ingress=order_path.schema.Ingress(max_commands=64, max_wait_ms=50))
    mine = world.session()
    for number in range(4):
        world.place(mine, f"a{number}")
    world.tick()
    assert mine.endpoint.is_paused
    world.arrive()
    assert not mine.endpoint.is_paused


def test_what_was_given_back_in_one_instrument_may_be_spent_in_it_again():
    limits = SMALL + 'orders_per_instrument = { rate = "1/h", burst = 1 }\n'
    world = World(limits.replace('orders = { rate = "1/s", burst = 3 }', 'orders = { rate = "1/s", burst = 1000 }'))
    mine = world.session()
    world.arrive()
    world.orders.venue.draining = True
    world.place(mine, "a")
    world.tick()
    world.arrive()
    assert refusals(mine.endpoint.take()) == [("a", errors.DRAINING)]
    world.orders.venue.draining = False
    world.place(mine, "b")
    world.tick()
    world.arrive()
    assert answered(mine.endpoint.take()) == ["b"]
    world.place(mine, "c")
    world.tick()
    world.arrive()
    assert refusals(mine.endpoint.take()) == [("c", errors.RATE_LIMITED)]


# -- open orders ---------------------------------------------------------------------------------------------------


def test_open_orders_have_a_ceiling_that_what_is_under_way_counts_against():
    world = order_path.World("version = 2\n[plans.standard]\nopen_orders = { account = 3, instrument = 2 }")
    mine = world.session()
    for each in "abc":
        world.place(mine, each)
    world.tick()
    heard = mine.endpoint.take()
    assert answered(heard) == ["a", "b"]
    assert refusals(heard) == [("c", errors.TOO_MANY_OPEN_ORDERS)]
    world.cancel(mine, "a")
    world.tick()
    world.place(mine, "d")
    world.tick()
    assert "d" in answered(mine.endpoint.take())


@pytest.mark.parametrize("why", ["refused by the core", "refused by us", "filled"])
def test_an_order_that_is_done_leaves_its_place(why):
    world = order_path.World("version = 2\n[plans.standard]\nopen_orders = { account = 1, instrument = 1 }")
    mine, other = world.session(account=1), world.session(account=2)
    for _ in range(3):
        if why == "refused by the core":
            world.place(mine, "a", price=100_00, qty=10, min_qty=11)
        elif why == "refused by us":
            world.orders.venue.draining = True
            world.place(mine, "a")
            world.orders.venue.draining = False
        else:
            world.place(other, f"o{world.now_ns}", Side.SELL)
            world.place(mine, f"a{world.now_ns}")
        world.tick(ms=1)
        assert errors.TOO_MANY_OPEN_ORDERS not in [code for _, code in refusals(mine.endpoint.take())]


def test_a_refusal_for_open_orders_costs_a_message_and_no_order_token():
    world = order_path.World("version = 2\n[plans.standard]\nopen_orders = { account = 1, instrument = 1 }")
    mine = world.session()
    for each in "abc":
        world.place(mine, each)
    views = {view.name: view.remaining for view in world.limiter.view(mine.path, world.now_ns)}
    assert (views["orders"], views["msgs"]) == (199, 397)
    assert world.limiter.take(mine.path, "orders", 199 * MILLI, world.now_ns).allowed


def test_a_retry_that_goes_back_into_the_queue_passes_nothing_of_its_session_that_waits_for_tokens():
    """It gets a new number, and the core drops what comes with a lower one after it: that would never be answered."""
    world = World(window=48)
    world.core.handed = [None] * 48
    mine = world.session()
    world.place(mine, "retry", flags=POSS_RESEND, sent_at=world.now_ns)
    world.arrive()
    for n in range(3):
        world.place(mine, f"p{n}")
    assert len(world.orders.token_wait)
    world.tick(ms=2_500)
    assert ("refused", "retry", errors.ENGINE_TIMEOUT) in mine.endpoint.take()
    world.core.handed = []
    world.arrive()
    assert answered(mine.endpoint.take()) == ["p0", "p1", "p2"]
    assert len(world.orders.core_link.unanswered) == 0


def test_what_waits_for_tokens_is_open_for_its_session():
    world = World()
    mine, other = world.session(), world.session()
    world.place(mine, "a")
    world.place(other, "b")
    assert [each.source for each in world.orders.standing.unanswered_of(mine)] == ["a"]
    world.arrive()
    assert world.orders.standing.unanswered_of(mine) == []
