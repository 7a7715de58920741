"""Who is let in and who pays where two things meet: a stage and a retry, a halt and a token.

Modules: orders.admission, orders.charging.
"""

from gateway.config import schema
from gateway.orders.queue import Stage
from gateway.orders.trading_modes import ModeChange
from gateway.sessions.session import Pause
from protocols import errors
from protocols.errors import Refusal
from protocols.messages import POSS_RESEND
from tests.support.order_path import MS, Ear, World
from tests.support.store_world import World as StoreWorld

MALFORMED = Refusal(errors.BAD_FIELD, "a field is bad")
POOR = """
version = 2
[plans.poor]
msgs = { rate = "1/s", burst = 2 }
orders = { rate = "100/s", burst = 100 }
cancels = { rate = "100/s", burst = 100 }
[assign]
default = "poor"
"""


def codes(endpoint):
    return [each[2] for each in endpoint.take() if each[0] == "refused"]


def answered(endpoint):
    return [each[1] for each in endpoint.take() if each[0] == "answer"]


# -- retries -------------------------------------------------------------------------------------------------------


def test_a_retry_is_refused_as_busy_where_not_even_a_question_has_room():
    world = World(ingress=schema.Ingress(max_commands=64))
    world.core.is_quick = False
    flood, mine = world.session(account=2), world.session(account=1)
    for number in range(62):
        world.cancel(flood, f"x{number}")
    assert world.orders.queue.stage is Stage.FULL
    world.place(mine, "a", flags=POSS_RESEND, sent_at=world.now_ns)
    assert codes(mine.endpoint) == [errors.ENGINE_BUSY]


# -- what waits for tokens -------------------------------------------------------------------------------------------


def test_a_cancel_whose_tokens_are_here_waits_behind_the_order_whose_tokens_are_not():
    world = StoreWorld(
        '[plans.standard]\norders = { rate = "1/s", burst = 3 }\ncancels = { rate = "500/s", burst = 1000 }\n'
    )
    mine = world.session()
    world.cancel(mine, "nothing", "first")
    world.arrive()  # cancels are leased from now on, orders are asked for one by one
    mine.endpoint.take()
    world.place(mine, "a")
    world.cancel(mine, "a", "c")
    world.tick()
    assert answered(mine.endpoint) == []
    world.arrive()
    assert answered(mine.endpoint) == ["a", "c"]


def test_a_mass_cancel_that_is_not_permitted_leaves_what_waits_for_tokens():
    world = StoreWorld()
    trader, reader = world.session(), world.session()
    reader.may_trade = False
    world.place(trader, "a")
    world.tick()
    world.mass_cancel(reader)
    assert codes(reader.endpoint) == [errors.NOT_PERMITTED]
    assert codes(trader.endpoint) == []
    world.arrive()
    assert answered(trader.endpoint) == ["a"]


# -- what is no command ----------------------------------------------------------------------------------------------


def test_what_is_malformed_costs_a_message_unless_it_was_a_cancel():
    world = World(POOR)
    mine = world.session()
    for _ in range(5):
        world.orders.admission.decline(mine, "F", "cancel", MALFORMED, world.now_ns)
    assert codes(mine.endpoint) == [errors.BAD_FIELD] * 5
    for _ in range(3):
        world.orders.admission.decline(mine, "D", "order", MALFORMED, world.now_ns)
    assert codes(mine.endpoint) == [errors.BAD_FIELD] * 2 + [errors.MESSAGE_RATE_LIMITED]


def test_who_may_not_trade_is_told_so_and_not_what_is_wrong_with_the_order():
    world = World()
    mine = world.session()
    mine.may_trade = False
    world.orders.admission.decline(mine, "D", "order", MALFORMED, world.now_ns)
    assert codes(mine.endpoint) == [errors.NOT_PERMITTED]


# -- the queue ---------------------------------------------------------------------------------------------------------


def test_after_its_pause_a_heavy_session_is_refused_at_once_however_short_the_wait():
    world = World(ingress=schema.Ingress(max_commands=64), window=48)
    heavy, light = world.session(1), world.session(2)
    world.core.handed = [None] * 48
    for number in range(42):
        world.place(heavy, f"h{number}")
    world.tick()
    world.core.handed = [None] * 47
    for _ in range(50):  # the core takes one, and goes on taking: nobody waits for long
        world.orders.queue._pace.took(1, world.now_ns)
        world.tick(ms=1)
    assert world.orders.queue.stage is Stage.PAUSING
    assert world.orders.queue.wait_ns(1, world.now_ns) < 100 * MS
    codes(heavy.endpoint)
    world.place(heavy, "next")
    world.place(light, "first")
    assert (codes(heavy.endpoint), codes(light.endpoint)) == ([errors.ENGINE_BUSY], [])


def test_an_order_is_shed_unread_only_when_it_would_be_refused_as_busy_whatever_is_in_it():
    world = World(ingress=schema.Ingress(max_commands=64))
    world.core.is_quick = False
    flood, mine = world.session(account=2), world.session(account=1)

    def why():
        refusal = world.orders.admission.why_shed(mine, world.now_ns)
        return refusal and refusal.code

    for number in range(50):
        world.cancel(flood, f"x{number}")
    assert (world.orders.queue.stage, why()) == (Stage.PAUSING, None)
    for number in range(4):
        world.cancel(flood, f"y{number}")
    assert (world.orders.queue.stage, why()) == (Stage.SHEDDING, errors.ENGINE_BUSY)
    world.orders.venue.draining = True
    assert why() is None, "a drain is told as one"
    world.orders.venue.draining = False
    halt = ModeChange("account", "A1", "halted", "so it is", "ops", world.now_ns)
    world.orders.venue.change(world.orders.venue.modes.apply(halt), world.now_ns)
    assert why() is None, "and so is a mode"


def test_an_order_is_not_handed_over_when_its_window_is_over():
    world = World(window=48)
    mine = world.session()
    world.core.handed = [None] * 48
    world.place(mine, "late", deadline=world.now_ns + 5 * MS)
    world.tick()
    world.core.handed = []
    world.tick(ms=6)
    assert codes(mine.endpoint) == [errors.EXPIRED_IN_QUEUE]
    assert world.core.inner.engine.open_orders(1) == []


# -- who pays ----------------------------------------------------------------------------------------------------------


def test_an_order_that_a_halt_refuses_has_cost_its_token():
    world = World(POOR.replace("burst = 2 }", "burst = 9 }").replace("burst = 100 }", "burst = 2 }"))
    mine = world.session()
    halt = ModeChange("venue", "", "halted", "why", "ops", world.now_ns)
    world.orders.venue.change(world.orders.venue.modes.apply(halt), world.now_ns)
    for each in "abc":
        world.place(mine, each)
    assert codes(mine.endpoint) == [errors.MARKET_HALTED, errors.MARKET_HALTED, errors.RATE_LIMITED]


def test_an_order_that_was_withdrawn_while_it_waited_leaves_its_place_among_the_open_orders():
    one = POOR.replace("[assign]", "open_orders = { account = 1, instrument = 1 }\n[assign]")
    world = World(one.replace("burst = 2 }", "burst = 9 }"), window=48)
    mine = world.session()
    world.core.handed = [None] * 48
    world.place(mine, "a")
    world.place(mine, "b")
    assert codes(mine.endpoint) == [errors.TOO_MANY_OPEN_ORDERS]
    world.tick()
    world.cancel(mine, "a")
    world.core.handed = []
    world.tick()
    assert codes(mine.endpoint)[0] == errors.WITHDRAWN
    world.place(mine, "c")
    world.tick()
    assert answered(mine.endpoint) == ["c"]


# -- mass cancels that joined another ----------------------------------------------------------------------------------


def test_all_that_joined_a_mass_cancel_are_told_that_its_outcome_is_unknown_and_then_what_it_was():
    world = World()
    mine = world.session()
    world.core.is_quick = False
    for source in ("first", "second", "third"):
        world.mass_cancel(mine, source)
    world.tick()
    world.tick(ms=2_000)
    told = [each[1:] for each in mine.endpoint.take() if each[0] == "refused"]
    assert told == [(source, errors.ENGINE_TIMEOUT) for source in ("first", "second", "third")]
    world.core.answer(world.now_ns)
    assert answered(mine.endpoint) == ["first", "second", "third"]


def test_a_mass_cancel_after_one_whose_outcome_is_unknown_is_a_command_of_its_own():
    world = World()
    mine = world.session()
    world.core.is_quick = False
    world.mass_cancel(mine, "first")
    world.tick()
    world.tick(ms=2_000)
    world.mass_cancel(mine, "second")
    world.tick()
    assert len(world.core.handed) == 2


def test_a_repeat_that_joined_a_mass_cancel_at_the_core_does_not_wait_in_the_queue():
    world = World()
    mine = world.session()
    world.core.is_quick = False
    world.mass_cancel(mine, "first")
    world.tick()
    world.mass_cancel(mine, "second")
    assert (len(world.core.handed), world.orders.queue.commands) == (1, 0)


# -- pauses ------------------------------------------------------------------------------------------------------------


def test_who_comes_back_while_its_session_is_paused_is_not_read_until_that_is_over():
    world = World()
    mine = world.session()
    world.orders.calls.pause(mine, Pause.QUEUE, world.now_ns)
    mine.endpoint = Ear()
    mine.attached(world.now_ns)
    assert mine.endpoint.is_paused
    world.orders.calls.resume(mine, Pause.QUEUE, world.now_ns)
    assert not mine.endpoint.is_paused
