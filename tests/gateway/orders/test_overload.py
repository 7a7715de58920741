"""The road when the core is slow or away: what waits is bounded, keeps its meaning, and has its one honest answer.

Modules: orders.core_link, orders.queue, orders.backpressure.
"""

import pytest

from gateway.config import schema
from gateway.orders.queue import KEPT_CREDIT, Stage
from gateway.orders.token_wait import Parked
from gateway.orders.trading_modes import ModeChange
from gateway.safety.kill_switch import CancelScope, KillSwitch
from protocols import errors
from protocols.messages import POSS_RESEND, CancelOrder, MassCancel, OrderEvent, Origin, Side
from tests.support.order_path import MS, World

OPEN = """
version = 2
[plans.open]
orders = { rate = "100000/s", burst = 100000 }
msgs = { rate = "100000/s", burst = 100000 }
open_orders = { account = 100000, instrument = 100000 }
[assign]
default = "open"
"""
FEW_CANCELS = """
version = 2
[plans.few]
extends = "standard"
cancels = { rate = "1/s", burst = 64 }
[assign]
default = "few"
"""


def codes(endpoint):
    return [each[2] for each in endpoint.take() if each[0] == "refused"]


def busy(world, rows=256):
    """So many commands lie at the core."""
    world.core.handed = [None] * rows


def lying(world):
    """How many requests the queue keeps in memory."""
    return sum(len(queue) for lane in world.orders.queue._lanes for queue in lane._queues.values())


def open_orders(world, account):
    return [order.cl_ord_id for order in world.core.inner.engine.open_orders(account)]


def test_what_was_refused_while_the_core_is_away_takes_no_memory():
    world = World()
    session = world.session()
    busy(world)
    for turn in range(5):
        for number in range(100):
            world.place(session, f"{turn}-{number}")
        world.tick(ms=2_100)
        world.tick(ms=2_100)
    assert (world.orders.queue.commands, lying(world) <= 64) == (0, True)


def test_orders_that_are_cancelled_while_they_wait_take_no_memory():
    world = World()
    session = world.session()
    busy(world)
    for number in range(1_000):
        world.place(session, f"o{number}")
        world.cancel(session, f"o{number}")
        if number % 30 == 29:
            world.tick(ms=100)
    assert lying(world) <= 2 * world.orders.queue.commands + 64


def test_kills_of_several_accounts_reach_the_core_in_the_order_in_which_they_were_given():
    """The gateway has one counter for all accounts: what is overtaken would be dropped by the core as a repeat."""
    world = World()
    first, second = world.session(1), world.session(2)
    world.place(second, "b")
    world.tick()
    kill_switch = KillSwitch(world.orders, world.now_ns)
    busy(world)
    venue = kill_switch.start([CancelScope(1), CancelScope(2)], world.now_ns)
    one = kill_switch.start([CancelScope(1, first.id)], world.now_ns)
    world.tick()
    world.core.handed = []
    world.tick()
    assert open_orders(world, 2) == []
    assert (venue.waiting, one.waiting) == (0, 0)


def test_a_kill_that_was_told_unknown_is_not_counted_again_when_the_core_answers():
    world = World()
    kill_switch = KillSwitch(world.orders, world.now_ns)
    world.core.is_quick = False
    sweep = kill_switch.start([CancelScope(1), CancelScope(2)], world.now_ns)
    world.tick()
    world.tick(ms=2_000)
    assert sweep.waiting == 0
    assert "unknown" in sweep.failure
    world.core.answer(world.now_ns)
    assert sweep.waiting == 0


def test_a_cancel_that_names_a_waiting_replaces_new_id_withdraws_it_and_cancels_the_order():
    world = World(window=48)
    session = world.session()
    world.place(session, "a")
    world.tick()
    session.endpoint.take()
    busy(world, 8)
    world.core.is_quick = False
    world.replace(session, "a", "b")
    world.replace(session, "b", "c")
    world.cancel(session, "c")
    world.tick()
    world.core.handed = world.core.handed[8:]
    world.core.answer(world.now_ns)
    assert codes(session.endpoint) == [errors.WITHDRAWN, errors.WITHDRAWN]
    assert open_orders(world, 1) == []


def test_repeats_of_a_mass_cancel_join_the_one_that_the_core_has():
    world = World()
    session = world.session()
    world.core.is_quick = False
    for number in range(10):
        world.mass_cancel(session, f"m{number}")
        world.tick(ms=1)
    assert len(world.core.handed) == 1
    session.endpoint.take()
    world.core.answer(world.now_ns)
    assert session.endpoint.take()[:10] == [("answer", f"m{number}") for number in range(10)]
    world.mass_cancel(session, "later")
    world.tick()
    assert len(world.core.handed) == 1


def test_repeats_of_a_mass_cancel_are_told_unknown_with_it_and_answered_with_it():
    world = World()
    session, other = world.session(), world.session()
    world.core.is_quick = False
    world.mass_cancel(session, "first")
    world.tick()
    world.mass_cancel(session, "again")
    world.mass_cancel(other, "theirs")
    world.tick(ms=2_000)
    for each, sources in ((session, ["first", "again"]), (other, ["theirs"])):
        assert [row[1:] for row in each.endpoint.take() if row[0] == "refused"] == [
            (source, errors.ENGINE_TIMEOUT) for source in sources
        ]
    world.core.answer(world.now_ns)
    assert [row[1] for row in session.endpoint.take() if row[0] == "answer"] == ["first", "again"]
    assert [row[1] for row in other.endpoint.take() if row[0] == "answer"] == ["theirs"]


def test_a_mass_cancel_behind_a_new_order_does_not_join_one_that_the_core_had_before_it():
    world = World()
    session = world.session()
    world.core.is_quick = False
    world.mass_cancel(session, "before")
    world.tick()
    world.place(session, "a")
    world.mass_cancel(session, "behind")
    world.tick()
    world.core.answer(world.now_ns)
    world.tick()
    world.core.answer(world.now_ns)
    assert open_orders(world, 1) == []


def test_a_flood_of_mass_cancels_fills_the_queue_as_anything_does_and_stops_the_reading():
    world = World(ingress=schema.Ingress(max_commands=64))
    session = world.session()
    busy(world)
    for number in range(64):
        world.mass_cancel(session, f"m{number}")
    assert session.endpoint.is_paused


def test_a_flood_of_mass_cancels_leaves_the_cancels_their_part_of_the_window():
    world = World()
    flood, other = world.session(1), world.session(2)
    world.core.is_quick = False
    for number in range(300):
        command = MassCancel(
            flood.sender.next_control_id(), 1, flood.id, Origin.FIX, world.now_ns, 0, f"m{number}", tag=f"t{number}"
        )
        world.submit(flood, command, "q", f"m{number}")
    world.tick()
    world.cancel(other, "x")
    world.tick()
    assert any(isinstance(command, CancelOrder) for command in world.core.handed)


def test_after_its_pause_of_the_first_stage_a_heavy_sessions_orders_are_refused_at_once():
    world = World(ingress=schema.Ingress(max_commands=64), window=48)
    heavy, light = world.session(1), world.session(2)
    busy(world, 48)
    for number in range(40):
        world.place(heavy, f"h{number}")
    world.tick()
    assert heavy.endpoint.is_paused
    world.tick(ms=50)
    assert not heavy.endpoint.is_paused
    codes(heavy.endpoint)
    world.place(heavy, "next")
    world.place(light, "first")
    assert (codes(heavy.endpoint), codes(light.endpoint)) == ([errors.ENGINE_BUSY], [])


def burst(world, session, rows=40):
    """The core stands still while so many orders come, and the session is read no more for it."""
    busy(world, 48)
    for number in range(rows):
        world.place(session, f"{world.now_ns}-{number}")
    world.tick()
    assert session.endpoint.is_paused


def test_orders_of_a_session_in_its_pause_wait_with_the_others_and_are_not_refused():
    """What was on its way when the reading stopped: a pause promises waiting."""
    world = World(ingress=schema.Ingress(max_commands=64), window=48)
    heavy = world.session()
    world.place(heavy, "the core has taken something")
    world.tick()
    burst(world, heavy)
    world.place(heavy, "read before the pause took effect")
    world.tick(ms=1)
    assert codes(heavy.endpoint) == []
    world.core.handed = []
    world.tick()
    assert "read before the pause took effect" in open_orders(world, 1)


def test_each_burst_has_its_pause_not_only_the_first_one_of_a_sessions_life():
    world = World(ingress=schema.Ingress(max_commands=64), window=48)
    heavy = world.session()
    for _ in range(3):
        burst(world, heavy)
        world.core.handed = []
        world.tick(ms=50)
        assert (codes(heavy.endpoint), heavy.endpoint.is_paused) == ([], False)


def test_a_session_that_is_not_read_for_two_reasons_is_read_when_the_last_of_them_is_gone():
    """
    a thousand cancels beyond their limit in a second, and a full queue
    the second is over -> the queue is still full; it drains -> read on; and the other way round
    """
    for drains_first in (False, True):
        world = World(FEW_CANCELS, ingress=schema.Ingress(max_commands=64), window=48)
        session = world.session()
        busy(world, 48)
        for number in range(64):
            world.cancel(session, f"x{number}")
        world.tick()
        for number in range(1_000):
            world.cancel(session, f"y{number}")
        if drains_first:
            world.core.handed = []
            world.tick(ms=1)
            assert (world.orders.queue.stage, session.endpoint.is_paused) == (Stage.OPEN, True)
            world.tick(ms=1_000)
        else:
            world.tick(ms=1_000)
            assert (world.orders.queue.stage, session.endpoint.is_paused) == (Stage.BRIM, True)
            world.core.handed = []
            world.tick(ms=1)
        assert not session.endpoint.is_paused


def test_who_logs_on_while_the_queue_is_full_is_not_read_either():
    world = World(ingress=schema.Ingress(max_commands=64), window=48)
    flood, late = world.session(1), world.session(2)
    late.connected = False
    busy(world, 48)
    for number in range(64):
        world.cancel(flood, f"x{number}")
    world.tick()
    late.attached(world.now_ns)
    world.tick(ms=1)
    assert late.endpoint.is_paused


def test_a_core_that_is_slow_but_alive_gets_every_cancel():
    world = World(window=48)
    session = world.session()
    world.core.is_quick = False
    for number in range(400):
        world.cancel(session, f"x{number}", source=f"c{number}")
    world.tick()
    for _ in range(400):
        world.core.answer(world.now_ns, 1)
        world.tick(ms=10)
    heard = session.endpoint.take()
    assert sum(each[0] == "answer" for each in heard) == 400
    assert not any(each[0] == "refused" for each in heard)


def test_orders_that_a_slow_core_does_not_come_to_are_refused_as_busy_and_not_as_if_it_were_away():
    world = World(window=48)
    session = world.session()
    world.core.is_quick = False
    for number in range(100):
        world.place(session, f"o{number}")
    world.tick()
    for _ in range(25):
        world.core.answer(world.now_ns, 1)
        world.tick(ms=100)
    assert set(codes(session.endpoint)) == {errors.ENGINE_BUSY}


def at_a_rate(world, session, offered_per_ms, executed_per_ms, ms):
    """Offer and execute so much each ms; returns the codes of what was refused at once, and of what was later."""
    world.core.is_quick = False
    at_once, late = [], []
    for number in range(ms):
        for part in range(offered_per_ms):
            world.place(session, f"o{number}-{part}")
        at_once += codes(session.endpoint)
        world.core.answer(world.now_ns, executed_per_ms)
        world.tick(ms=1)
        late += codes(session.endpoint)
    return at_once, late


def test_what_waits_behind_its_own_account_for_too_long_is_refused_at_once_and_nothing_that_was_let_in_waits_in_vain():
    world = World(OPEN, window=48)
    at_once, late = at_a_rate(world, world.session(), offered_per_ms=4, executed_per_ms=1, ms=4_000)
    assert (set(at_once), late) == ({errors.ENGINE_BUSY}, [])
    assert len(open_orders(world, 1)) == 3_999  # the core had work all the time


def test_who_waits_for_less_is_let_in_beside_an_account_that_floods():
    world = World(OPEN, window=48)
    flood, calm = world.session(1), world.session(2)
    at_a_rate(world, flood, offered_per_ms=4, executed_per_ms=1, ms=2_000)
    world.place(flood, "in vain")
    world.place(calm, "soon")
    assert (codes(flood.endpoint), codes(calm.endpoint)) == ([errors.ENGINE_BUSY], [])


def test_an_order_whose_window_ends_before_its_turn_can_come_is_refused_at_once():
    world = World(OPEN, window=48)
    session = world.session()
    at_a_rate(world, session, offered_per_ms=2, executed_per_ms=1, ms=600)
    world.place(session, "in vain", deadline=world.now_ns + 100 * MS)
    world.place(session, "in time", deadline=world.now_ns + 900 * MS)
    assert codes(session.endpoint) == [errors.ENGINE_BUSY]


def test_a_retry_that_was_told_unknown_has_its_answer_when_the_core_speaks():
    world = World()
    session = world.session()
    world.place(session, "a")
    world.tick()
    world.core.is_quick = False
    world.place(session, "a", flags=POSS_RESEND, sent_at=world.now_ns)
    world.tick()
    world.tick(ms=2_000)
    assert codes(session.endpoint) == [errors.ENGINE_TIMEOUT]
    world.core.answer(world.now_ns)
    assert ("answer", "a") in session.endpoint.take()


def test_a_retry_of_a_known_order_takes_no_place_among_the_open_orders():
    world = World(limits="version = 2\n[plans.standard]\nopen_orders = { account = 2, instrument = 2 }")
    session = world.session()
    world.place(session, "a")
    world.tick()
    for _ in range(5):
        world.place(session, "a", flags=POSS_RESEND, sent_at=world.now_ns)
        world.tick()
    world.place(session, "b")
    world.tick()
    assert codes(session.endpoint) == []
    assert open_orders(world, 1) == ["a", "b"]


@pytest.mark.parametrize("room", [3, 2])
def test_a_retry_of_a_finished_order_frees_no_place_among_the_open_orders(room):
    """It goes to the core as an order where there is room, as a question where there is none."""
    world = World(limits=f"version = 2\n[plans.standard]\nopen_orders = {{ account = {room}, instrument = 9 }}")
    mine, other = world.session(), world.session(account=2)
    sent_at = world.now_ns
    world.place(mine, "filled", sent_at=sent_at)
    world.place(other, "x", side=Side.SELL)
    for cl_ord_id in ("a", "b"):
        world.place(mine, cl_ord_id)
    world.tick()
    for _ in range(3):
        world.place(mine, "filled", flags=POSS_RESEND, sent_at=sent_at)
        world.tick()
    for n in range(room):
        world.place(mine, f"c{n}")
    world.tick()
    assert len(open_orders(world, 1)) == room
    assert codes(mine.endpoint) == [errors.TOO_MANY_OPEN_ORDERS] * 2


def told_of(world, session, bar):
    """What a retry of order `a` hears, of an account that has it."""
    world.place(session, "a")
    world.tick()
    session.endpoint.take()
    bar(world)
    world.place(session, "a", flags=POSS_RESEND, sent_at=world.now_ns)
    world.place(session, "unknown", flags=POSS_RESEND, sent_at=world.now_ns)
    world.place(session, "no-retry")
    world.tick()
    return [each for each in session.endpoint.take() if each[0] != "report" and each[0] != "notice"]


@pytest.mark.parametrize(
    ("bar", "code"),
    [
        (lambda world: setattr(world.orders.venue, "draining", True), errors.DRAINING),
        (lambda world: setattr(world.orders.venue, "reopen_at_ns", world.now_ns + 5_000 * MS), errors.CANCEL_ONLY),
        (lambda world: setattr(world.recording, "may_accept_orders", False), errors.CANCEL_ONLY),
        (lambda world: setattr(world.recording, "late", True), errors.ENGINE_BUSY),
    ],
)
def test_a_retry_that_may_not_place_an_order_asks_the_core_what_became_of_the_first(bar, code):
    """To refuse it would say "not executed" of an order that lives; and it never makes a second one, nor a first."""
    world = World()
    heard = told_of(world, world.session(), bar)
    assert ("answer", "a") in heard
    assert ("answer", "unknown") in heard
    assert refused_by_the_core(world) == {"unknown": code}  # what bars a new order bars it too
    assert [each for each in heard if each[0] == "refused"] == [("refused", "no-retry", code)]
    assert open_orders(world, 1) == ["a"]


def refused_by_the_core(world):
    """Client order id -> error code."""
    events = world.sessions.account(1).replay(1, 1_000)
    return {event.cl_ord_id: event.code for event in events if isinstance(event, OrderEvent) and event.code}


def test_a_retry_without_tokens_is_told_that_it_has_none_when_its_id_is_unknown():
    world = World(limits='version = 2\n[plans.standard]\norders = { rate = "1/h", burst = 1 }')
    session = world.session()
    world.place(session, "a")
    world.place(session, "never-came", flags=POSS_RESEND, sent_at=world.now_ns)
    world.tick()
    assert refused_by_the_core(world) == {"never-came": errors.RATE_LIMITED}


def told_in_the_queue(world, session, meanwhile):
    """What a retry of order `a`, which the core may have, hears when something comes about while it waits."""
    world.core.is_quick, first = False, world.session()
    world.place(first, "a")
    world.tick()
    for number in range(10):
        world.place(first, f"filler-{number}")
    world.tick()
    assert world.core.credit == KEPT_CREDIT
    world.place(session, "a", flags=POSS_RESEND, sent_at=world.now_ns, deadline=world.now_ns + 500 * MS)
    world.place(session, "never-came", flags=POSS_RESEND, sent_at=world.now_ns, deadline=world.now_ns + 500 * MS)
    meanwhile(world, session)
    told = []
    for _ in range(8):
        world.core.answer(world.now_ns)
        world.tick()
        told += [row for row in session.endpoint.take() if row[0] in ("answer", "refused")]
    return told


UNKNOWN_AT_FIRST = [("refused", "a", errors.ENGINE_TIMEOUT), ("refused", "never-came", errors.ENGINE_TIMEOUT)]


@pytest.mark.parametrize(
    ("meanwhile", "before", "code"),
    [
        (lambda world, _: [world.tick(ms=100) for _ in range(25)], UNKNOWN_AT_FIRST, errors.EXPIRED_IN_QUEUE),
        (lambda world, _: world.tick(ms=600), UNKNOWN_AT_FIRST, errors.EXPIRED_IN_QUEUE),  # its window ends
        (lambda world, session: world.cancel(session, "a"), [], None),  # not meant, and in time
        (lambda world, session: world.mass_cancel(session), [], errors.WITHDRAWN),
        (
            lambda world, _: world.orders.venue.change(
                world.orders.venue.modes.apply(ModeChange("venue", "", "halted", "why", "kim", world.now_ns)),
                world.now_ns,
            ),
            [],
            errors.MARKET_HALTED,
        ),
    ],
)
def test_a_retry_that_waits_is_never_told_not_executed_by_us_for_its_first_attempt_may_live(meanwhile, before, code):
    world = World(window=48)
    session = world.session()
    told = told_in_the_queue(world, session, meanwhile)
    retries = [row for row in told if row[1] in ("a", "never-came")]
    assert [row for row in retries if row[0] == "refused"] == before
    # Once "unknown" was told, the event of the core's refusal is the answer.
    assert [row[1] for row in retries if row[0] == "answer"] == (["a"] if before else ["a", "never-came"])
    known = [order.cl_ord_id for order in world.core.inner.engine.open_orders(1)]
    assert ("never-came" in known) is (code is None)
    assert refused_by_the_core(world).get("never-came") == code
    assert known.count("a") <= 1


def test_a_retry_that_waits_on_lets_pass_what_was_sent_after_it_and_is_answered_all_the_same():
    """The core drops what comes out of turn within a session."""

    def meanwhile(world, session):
        world.tick(ms=400)
        world.place(session, "later")
        world.tick(ms=200)

    world = World(window=48)
    told = told_in_the_queue(world, world.session(), meanwhile)
    assert [row[1] for row in told if row[0] == "answer"] == ["later", "a"]
    assert world.orders.is_idle


def test_retries_that_only_ask_are_charged_as_questions():
    limits = 'version = 2\n[plans.standard]\nqueries = { rate = "1/s", burst = 1 }'
    world = World(limits=limits)
    session = world.session()
    world.place(session, "a")
    world.orders.venue.draining = True
    world.place(session, "a", flags=POSS_RESEND, sent_at=world.now_ns)
    world.place(session, "never-came", flags=POSS_RESEND, sent_at=world.now_ns)
    world.tick()
    assert codes(session.endpoint) == [errors.DRAINING]


@pytest.mark.parametrize("where", ["queue", "core", "tokens"])
def test_a_retry_that_may_not_even_ask_is_never_told_not_executed_while_its_first_attempt_is_on_its_way(where):
    """
    D a, which waits | limits: no order and no question any more | D a 97=Y: 5004 | the core takes a: its report
    """
    limits = (
        'version = 2\n[plans.standard]\norders = { rate = "1/h", burst = 1 }\nqueries = { rate = "1/h", burst = 1 }'
    )
    world = World(limits=limits, window=48)
    first, again = world.session(), world.session()
    world.query(again)
    world.tick()
    world.core.is_quick = False
    if where == "queue":
        world.core.handed = [None] * 48
    world.place(first, "a")
    if where == "core":
        world.tick()
    elif where == "tokens":
        (waiting,) = world.orders.queue._arrived
        world.orders.queue._arrived.clear()
        world.orders.token_wait.park(first, Parked(lambda _: False, waiting), world.now_ns)
    again.endpoint.take()
    world.place(again, "a", flags=POSS_RESEND, sent_at=world.now_ns)
    world.place(again, "other", flags=POSS_RESEND, sent_at=world.now_ns)
    assert codes(again.endpoint) == [errors.ENGINE_TIMEOUT, errors.RATE_LIMITED]


@pytest.mark.parametrize("kind", ["cancel", "mass_cancel"])
def test_a_flood_of_cancels_is_slowed_and_never_cut(kind):
    world = World(limits='version = 2\n[plans.standard]\ncancels = { rate = "1/s", burst = 1 }')
    session = world.session()
    for number in range(1_001):
        getattr(world, kind)(session, *([f"x{number}"] if kind == "cancel" else []))
        world.tick()
    assert session.endpoint.is_paused
    assert world.orders.next_deadline_ns == world.now_ns + 1_000 * MS
    world.tick(ms=1_000)
    assert not session.endpoint.is_paused
    assert ("failed",) not in session.endpoint.take()


def test_cancels_within_their_limit_are_never_slowed():
    world = World(limits='version = 2\n[plans.standard]\ncancels = { rate = "5000/s", burst = 5000 }')
    session = world.session()
    for number in range(3_000):
        world.cancel(session, f"x{number}")
        world.tick()
    assert not session.endpoint.is_paused


def test_mass_cancels_that_keep_below_a_flood_in_each_second_are_never_slowed():
    world = World()
    session = world.session()
    for _ in range(3):
        for _ in range(999):
            world.mass_cancel(session)
            world.tick()
            assert not session.endpoint.is_paused
        world.tick(ms=1_001)


def test_a_place_in_the_queue_is_counted_by_turns_with_the_other_accounts():
    world = World(OPEN, window=48)
    world.core.handed = [None] * 48
    first, second, later = world.session(1), world.session(2), world.session(3)
    for number in range(100):
        world.place(first, f"f{number}")
        world.place(second, f"s{number}")
    world.tick()
    world.tick(ms=10)
    ingress, now_ns = world.orders.queue, world.now_ns
    own = ingress.wait_ns(1, now_ns)
    assert (own, ingress.wait_ns(2, now_ns), ingress.wait_ns(3, now_ns)) == (200 * 10 * MS, own, 0)
    world.place(later, "next")
    assert codes(later.endpoint) == []
