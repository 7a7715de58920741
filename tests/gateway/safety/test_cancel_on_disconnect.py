"""Cancel-on-disconnect and the dead-man's switch."""

import pytest

from gateway.safety.cancel_on_disconnect import CancelOnDisconnect, LinkState
from protocols.messages import COD_EXEMPT
from tests.support.hooks import ignore
from tests.support.order_path import MS, World


def open_orders(world, account=1):
    world.tick()
    return sorted(order.cl_ord_id for order in world.core.inner.engine.open_orders(account))


def gone(world, session, **more):
    session.connected, session.endpoint = False, None
    world.cancel_on_disconnect.disconnected(session, world.now_ns, **more)


def test_a_dropped_link_cancels_the_sessions_orders_after_its_grace_and_leaves_exempt_and_foreign_ones():
    world = World()
    mine, other = world.session(), world.session()
    mine.cancel_on_disconnect, mine.cod_grace_ms = "session", 3_000
    world.place(mine, "mine")
    world.place(mine, "exempt", flags=COD_EXEMPT)
    world.place(other, "others")
    world.tick()
    gone(world, mine)
    assert world.cancel_on_disconnect.next_deadline_ns == world.now_ns + 3_000 * MS
    world.tick(ms=2_999)
    assert open_orders(world) == ["exempt", "mine", "others"]
    world.tick(ms=1)
    assert open_orders(world) == ["exempt", "others"]


def test_the_account_scope_takes_the_orders_of_all_its_sessions():
    world = World()
    mine, other = world.session(), world.session()
    mine.cancel_on_disconnect = "account"
    world.place(mine, "mine")
    world.place(other, "others")
    world.tick()
    gone(world, mine)
    world.tick()
    assert open_orders(world) == []


def test_coming_back_in_time_disarms_it():
    world = World()
    mine = world.session()
    mine.cancel_on_disconnect, mine.cod_grace_ms = "session", 1_000
    world.place(mine, "mine")
    world.tick()
    gone(world, mine)
    world.tick(ms=999)
    world.cancel_on_disconnect.connected(mine)
    world.tick(ms=10)
    assert open_orders(world) == ["mine"]


def test_a_logout_that_keeps_orders_and_a_session_without_the_switch_cancel_nothing():
    world = World()
    keeper, plain = world.session(), world.session()
    keeper.cancel_on_disconnect = "session"
    world.place(keeper, "kept")
    world.place(plain, "plain")
    world.tick()
    gone(world, keeper, keep_orders=True)
    gone(world, plain)
    world.tick(ms=60_000)
    assert open_orders(world) == ["kept", "plain"]


def test_the_dead_mans_switch_fires_unless_it_is_armed_again_or_put_off():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    world.cancel_on_disconnect.arm_dead_man(mine, world.now_ns + 1_000 * MS)
    world.tick(ms=900)
    world.cancel_on_disconnect.arm_dead_man(mine, world.now_ns + 1_000 * MS)
    world.tick(ms=900)
    assert open_orders(world) == ["a"]
    world.tick(ms=100)
    assert open_orders(world) == []
    world.place(mine, "b")
    world.cancel_on_disconnect.arm_dead_man(mine, world.now_ns + 1_000 * MS)
    world.cancel_on_disconnect.arm_dead_man(mine, 0)
    world.tick(ms=5_000)
    assert open_orders(world) == ["b"]


def test_a_drain_cancels_for_nobody_whoever_closed_first_and_whenever_it_was():
    world = World()
    lost, away, ours = world.session(), world.session(), world.session()
    for session, name in ((lost, "lost before"), (away, "read our goodbye and closed"), (ours, "ended by us")):
        session.cancel_on_disconnect, session.cod_grace_ms = "session", 1_000
        world.place(session, name)
    world.tick()
    gone(world, lost)
    world.orders.venue.draining = True
    gone(world, away)
    gone(world, ours, keep_orders=True, is_planned=True)
    for _ in range(20):
        world.tick(ms=500)
    assert open_orders(world) == ["ended by us", "lost before", "read our goodbye and closed"]
    assert world.cancel_on_disconnect.next_deadline_ns is None, "nor is anything due, over and over"


def test_a_drain_does_not_stop_the_dead_mans_switch_which_fires_when_it_was_told_to():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    world.cancel_on_disconnect.arm_dead_man(mine, world.now_ns + 1_000 * MS)
    world.orders.venue.draining = True
    gone(world, mine)
    assert world.cancel_on_disconnect.next_deadline_ns == world.now_ns + 1_000 * MS
    world.tick(ms=1_000)
    assert open_orders(world) == []


def test_the_scope_is_the_one_it_was_armed_with_whatever_a_later_refused_logon_asked_for():
    world = World()
    mine, other = world.session(), world.session()
    mine.cancel_on_disconnect, mine.cod_grace_ms = "session", 1_000
    world.place(mine, "mine")
    world.place(other, "others")
    world.tick()
    gone(world, mine)
    mine.cancel_on_disconnect = "account"
    world.tick(ms=1_000)
    assert open_orders(world) == ["others"]


def test_the_dead_man_and_the_disconnect_of_one_session_both_fire():
    world = World()
    mine = world.session()
    mine.id = mine.sender.session = 70_000  # as an unnamed WebSocket session, which is forgotten when all is done
    world.sessions.by_id[70_000] = mine
    mine.cancel_on_disconnect, mine.cod_grace_ms = "session", 2_000
    world.place(mine, "a")
    world.tick()
    world.cancel_on_disconnect.arm_dead_man(mine, world.now_ns + 1_000 * MS)
    gone(world, mine)
    world.tick(ms=1_000)
    assert open_orders(world) == []
    assert 70_000 in world.sessions.by_id
    world.tick(ms=1_000)
    assert 70_000 not in world.sessions.by_id


def test_the_dead_mans_switch_cancels_for_its_session_alone():
    world = World()
    mine, other = world.session(), world.session()
    world.place(mine, "mine")
    world.place(other, "others")
    world.tick()
    world.cancel_on_disconnect.arm_dead_man(mine, world.now_ns + 1_000 * MS)
    world.tick(ms=1_000)
    assert open_orders(world) == ["others"]


@pytest.mark.parametrize(("ran_out_ms", "fires_ms"), [(-60_000, 5_000), (4_000, 5_000), (7_000, 7_000)])
def test_a_switch_of_before_a_crash_fires_when_it_said_but_not_before_the_venue_has_opened(ran_out_ms, fires_ms):
    world = World()
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    mine.connected = False
    now_ns = world.now_ns
    link = LinkState(mine.id, 1, False, "off", 0, world.orders.wall.utc_ns(now_ns) + ran_out_ms * MS)
    world.cancel_on_disconnect.restore(link, now_ns, now_ns + 5_000 * MS, now_ns + 5_000 * MS)
    world.tick(ms=fires_ms - 1)
    assert open_orders(world) == ["a"]
    world.tick(ms=1)
    assert open_orders(world) == []


# -- what is kept, and what a next life makes of it --------------------------------------------------------------------


def test_sessions_that_are_not_configured_any_more_are_cancelled_for_once_as_they_were_guarded():
    world, fired = World(), []
    guard = CancelOnDisconnect(
        world.orders, world.sessions, lambda session, due_ns: None, lambda *told: fired.append(told), ignore
    )
    due_ns = world.now_ns + 5_000 * MS
    for number, connected, scope, dead_man_ns in (
        (91, True, "account", 0),
        (92, True, "session", 0),
        (93, False, "account", 1),
        (94, True, "off", 1),
        (95, True, "off", 0),
        (96, False, "account", 0),
    ):
        guard.restore(LinkState(number, 7, connected, scope, 0, dead_man_ns), world.now_ns, 0, due_ns)
    assert guard.next_deadline_ns == due_ns
    guard.tick(due_ns - 1)
    assert fired == []
    world.orders.venue.draining = True
    guard.tick(due_ns)
    assert (fired, guard.next_deadline_ns) == ([], None), "a drain leaves it to the next process"
    world.orders.venue.draining = False
    for _ in range(2):
        guard.tick(due_ns)
    told = [(91, 7, "account"), (92, 7, "session"), (93, 7, "session"), (94, 7, "session")]
    assert fired == [(*each, due_ns) for each in told]


@pytest.mark.parametrize(
    ("connected", "scope", "left"), [(True, "session", []), (False, "session", ["a"]), (True, "off", ["a"])]
)
def test_who_was_connected_before_a_crash_and_is_not_back_in_time_is_cancelled_for(connected, scope, left):
    world = World()
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    mine.connected = False
    now_ns = world.now_ns
    world.cancel_on_disconnect.restore(LinkState(mine.id, 1, connected, scope, 0, 0), now_ns, 0, now_ns + 5_000 * MS)
    assert mine.cancel_on_disconnect == scope
    world.tick(ms=4_999)
    assert open_orders(world) == ["a"]
    world.tick(ms=1)
    assert open_orders(world) == left


def test_a_session_that_is_back_before_its_state_is_restored_is_left_alone():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    world.cancel_on_disconnect.restore(LinkState(mine.id, 1, True, "session", 0, 1), world.now_ns, 0, world.now_ns)
    world.tick(ms=1)
    assert (open_orders(world), mine.cancel_on_disconnect) == (["a"], "off")


def test_a_disconnect_that_cancels_is_kept_when_it_has_cancelled_and_any_other_change_at_once():
    world, kept = World(), []
    world.cancel_on_disconnect._record = lambda session, due_ns: kept.append((session.id, session.connected, due_ns))
    mine = world.session()
    mine.cancel_on_disconnect, mine.cod_grace_ms = "session", 1_000
    world.cancel_on_disconnect.connected(mine)
    assert kept == [(mine.id, True, 0)]
    gone(world, mine)
    assert len(kept) == 1, "for a start after a crash it is connected until it has fired"
    world.tick(ms=1_000)
    assert kept[1:] == [(mine.id, False, 0)]
    mine.connected = True
    world.cancel_on_disconnect.leaving(mine)
    assert (mine.is_leaving, kept[2:]) == (True, [(mine.id, True, 0)])
    gone(world, mine, keep_orders=True)
    assert kept[3:] == [(mine.id, False, 0)]


def test_whom_a_drain_sent_away_counts_as_connected_for_the_next_process():
    world, kept = World(), []
    world.cancel_on_disconnect._record = lambda *told: kept.append(told)
    guarded, free = world.session(), world.session()
    guarded.cancel_on_disconnect = "session"
    world.orders.venue.draining = True
    for session in (guarded, free):
        gone(world, session, is_planned=True)
    assert [session for session, _ in kept] == [free]
    assert not world.cancel_on_disconnect.is_guarding(guarded)
    world.orders.venue.draining = False
    gone(world, guarded, is_planned=True)
    assert world.cancel_on_disconnect.is_guarding(guarded)


def test_a_logout_that_asks_for_it_cancels_for_its_own_session_alone():
    world = World()
    mine, other = world.session(), world.session()
    world.place(mine, "mine")
    world.place(other, "others")
    world.tick()
    world.cancel_on_disconnect.cancel_now(mine, world.now_ns)
    assert open_orders(world) == ["others"]


def test_an_unnamed_session_that_has_ended_is_forgotten_unless_something_guards_its_orders():
    world = World()
    for number, arms in ((70_000, False), (70_001, True)):
        mine = world.session()
        mine.id = mine.sender.session = number
        world.sessions.by_id[number] = mine
        if arms:
            world.cancel_on_disconnect.arm_dead_man(mine, world.now_ns + 1_000 * MS)
        gone(world, mine)
        assert (number in world.sessions.by_id) is arms


def test_a_timer_that_is_set_wakes_the_turn_which_does_not_ask_for_it_by_itself():
    world, woken = World(), []
    guard = CancelOnDisconnect(world.orders, world.sessions, ignore, ignore, lambda: woken.append(world.now_ns))
    mine = world.session()
    mine.cancel_on_disconnect = "session"
    guard.arm_dead_man(mine, world.now_ns + 1_000 * MS)
    assert len(woken) == 1
    guard.arm_dead_man(mine, 0)
    assert len(woken) == 1
    mine.connected = False
    guard.disconnected(mine, world.now_ns)
    assert len(woken) == 2


def test_a_grace_stands_still_while_no_client_can_come_back():
    world = World()
    before, meanwhile, at_once = world.session(), world.session(), world.session()
    for session, name in ((before, "before"), (meanwhile, "meanwhile"), (at_once, "at-once")):
        session.cancel_on_disconnect, session.cod_grace_ms = "session", 0 if session is at_once else 3_000
        world.place(session, name)
    world.tick()
    gone(world, before)
    world.tick(ms=1_000)
    world.cancel_on_disconnect.stop_counting(world.now_ns)
    world.tick(ms=60_000)
    gone(world, meanwhile)
    gone(world, at_once)
    world.tick(ms=60_000)
    assert world.cancel_on_disconnect.next_deadline_ns is None
    assert open_orders(world) == ["at-once", "before", "meanwhile"]
    world.cancel_on_disconnect.count_on(world.now_ns)
    assert open_orders(world) == ["before", "meanwhile"], "without a grace there is nothing to wait for"
    assert world.cancel_on_disconnect.next_deadline_ns == world.now_ns + 2_000 * MS
    world.tick(ms=1_999)
    assert open_orders(world) == ["before", "meanwhile"]
    world.tick(ms=1)
    assert open_orders(world) == ["meanwhile"]
    world.tick(ms=1_000)
    assert open_orders(world) == []


def test_time_that_did_not_count_is_found_out_later():
    """The connection was silent for a while before it was taken for lost."""
    world = World()
    mine = world.session()
    mine.cancel_on_disconnect, mine.cod_grace_ms = "session", 3_000
    world.place(mine, "mine")
    world.tick()
    gone(world, mine)
    lost_ns = world.now_ns
    world.tick(ms=2_500)
    world.cancel_on_disconnect.stop_counting(lost_ns)
    world.tick(ms=5_000)
    world.cancel_on_disconnect.stop_counting(world.now_ns)  # it is known already
    world.cancel_on_disconnect.count_on(world.now_ns)
    world.tick(ms=2_999)
    assert open_orders(world) == ["mine"]
    world.tick(ms=1)
    assert open_orders(world) == []
