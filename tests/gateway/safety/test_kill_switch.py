"""Mass cancels in the operator's name, over the real road and engine."""

from gateway.safety.kill_switch import HOUSE_SESSION, CancelScope, KillSwitch
from protocols.messages import COD_EXEMPT, Lane, MassCancel, Origin
from tests.support.command_ids import unpack_cmd_id
from tests.support.order_path import BTC, World


def open_orders(world, account=1):
    return sorted(order.cl_ord_id for order in world.core.inner.engine.open_orders(account))


def sweep(world, *targets):
    kill_switch = world.__dict__.setdefault("kill_switch", KillSwitch(world.orders, world.now_ns))
    found = kill_switch.start(targets, world.now_ns)
    world.tick()
    return found


def test_a_kill_takes_every_open_order_of_the_account_and_none_of_another():
    world = World()
    mine, second, other = world.session(1), world.session(1), world.session(2)
    world.place(mine, "a")
    world.place(mine, "exempt", flags=COD_EXEMPT)
    world.place(second, "b")
    world.place(other, "theirs")
    world.tick()
    found = sweep(world, CancelScope(1))
    assert (found.asked, found.waiting, found.canceled, found.failure) == (1, 0, 3, "")
    assert open_orders(world, 1) == []
    assert open_orders(world, 2) == ["theirs"]


def test_each_order_is_reported_to_its_owner_with_the_operators_code():
    world = World()
    mine = world.session(1)
    world.place(mine, "a")
    world.tick()
    sweep(world, CancelScope(1))
    events = world.sessions.account(1).replay(1, 9)
    assert [(event.code, event.text) for event in events if getattr(event, "code", 0)] == [
        (6003, "cancelled by the operator")
    ]
    assert [kind for kind, *_ in mine.endpoint.take()][-2:] == ["report", "report"]


def test_one_session_and_one_instrument_can_be_swept_alone():
    world = World()
    mine, second = world.session(1), world.session(1)
    world.place(mine, "a")
    world.place(second, "b")
    world.tick()
    assert sweep(world, CancelScope(1, session_id=second.id)).canceled == 1
    assert open_orders(world) == ["a"]
    assert sweep(world, CancelScope(1, instrument=BTC.id + 1)).canceled == 0
    assert sweep(world, CancelScope(1, instrument=BTC.id)).canceled == 1
    assert open_orders(world) == []


def test_orders_that_still_wait_for_the_core_are_withdrawn_and_the_kill_goes_before_what_comes_after_it():
    world = World(window=48)
    world.core.is_quick = False
    mine = world.session(1)
    for number in range(60):
        world.place(mine, f"o{number}")
    world.tick()
    KillSwitch(world.orders, world.now_ns).start([CancelScope(1)], world.now_ns)
    world.tick()
    withdrawn = [source for kind, source, *code in mine.endpoint.take() if kind == "refused" and code == [5006]]
    assert len(withdrawn) == 60 - (48 - 32 - 8)
    assert isinstance(world.core.handed[-1], MassCancel)
    world.core.answer(world.now_ns)
    assert open_orders(world) == []


def test_a_full_window_of_orders_leaves_credit_for_a_kill():
    world = World(window=48)
    world.core.is_quick = False
    mine = world.session(1)
    for number in range(200):
        world.place(mine, f"o{number}")
        world.cancel(mine, f"o{number}", f"c{number}")
    world.tick()
    KillSwitch(world.orders, world.now_ns).start([CancelScope(1)], world.now_ns)
    world.tick()
    assert [command.origin for command in world.core.handed if isinstance(command, MassCancel)] == [Origin.OPERATOR]


def test_what_the_core_does_not_answer_in_time_is_told_as_in_doubt():
    world = World()
    world.core.is_quick = False
    found = KillSwitch(world.orders, world.now_ns).start([CancelScope(1), CancelScope(2)], world.now_ns)
    world.tick()
    assert found.waiting == 2
    world.core.answer(world.now_ns, 1)
    assert found.waiting == 1
    world.tick(ms=2_001)
    assert (found.waiting, found.failure) == (0, "no answer from engine in 2000 ms, outcome unknown")


def test_a_kill_right_after_a_restart_is_numbered_above_those_of_the_process_before():
    world = World()
    mine = world.session(1)
    KillSwitch(world.orders, world.now_ns).start([CancelScope(account) for account in range(2, 1_002)], world.now_ns)
    world.tick(ms=10)
    world.place(mine, "a")
    world.tick()
    later = KillSwitch(world.orders, world.now_ns)  # the core is the same one, as after a restart of the gateway
    later.resume(unpack_cmd_id(world.sessions.account(1_001).replay(1, 9)[-1].cmd_id)[2])
    found = later.start([CancelScope(1)], world.now_ns)
    world.tick()
    assert (found.canceled, found.failure) == (1, "")


def test_without_the_cores_word_the_clock_numbers_them_as_the_houses_own_on_the_lane_of_control():
    world = World()
    mine = world.session(1)
    KillSwitch(world.orders, world.now_ns).start([CancelScope(1)] * 5, world.now_ns)
    world.tick(ms=100)
    world.place(mine, "a")
    world.tick()
    assert KillSwitch(world.orders, world.now_ns).start([CancelScope(1)], world.now_ns).waiting == 1
    world.tick()
    assert open_orders(world) == []
    session, lane, number = unpack_cmd_id(world.sessions.account(1).replay(1, 99)[-1].cmd_id)
    assert (session, lane) == (HOUSE_SESSION, Lane.CONTROL)
    assert 0 < number < 1 << 38
