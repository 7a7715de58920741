"""The road: every order gets exactly one answer, and each refusal its own code, whatever happens on the way.

Modules: orders.path, orders.admission, orders.responses.
"""

import pytest

from gateway.config import schema
from gateway.orders.queue import Stage
from protocols import errors
from protocols.errors import Refusal
from protocols.messages import Side
from tests.support.order_path import Ear, World

TIGHT = """
version = 2
[plans.tight]
orders = { rate = "1/s", burst = 2 }
cancels = { rate = "1/s", burst = 3 }
queries = { rate = "1/s", burst = 1 }
msgs = { rate = "1000/s", burst = 1000 }
[assign]
default = "tight"
"""


def codes(heard):
    return [each[2] for each in heard if each[0] == "refused"]


def test_an_order_is_handed_over_answered_and_then_reported():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    assert mine.endpoint.take() == []  # nothing before the tick
    world.tick()
    assert mine.endpoint.take() == [("handed", "a"), ("answer", "a"), ("report", 1)]


def test_a_fill_is_told_to_both_accounts_each_in_its_own_stream():
    world = World()
    maker, taker = world.session(account=1), world.session(account=2)
    world.place(maker, "m", Side.SELL)
    world.place(taker, "t", Side.BUY)
    world.tick()
    assert maker.endpoint.take() == [("handed", "m"), ("answer", "m"), ("report", 1), ("report", 2)]
    assert taker.endpoint.take() == [("handed", "t"), ("answer", "t"), ("report", 1), ("report", 2)]


def test_all_sessions_of_an_account_hear_its_events_but_only_the_asker_its_answer():
    world = World()
    asker, other = world.session(account=1), world.session(account=1)
    world.place(asker, "a")
    world.tick()
    assert other.endpoint.take() == [("report", 1)]


def test_an_event_costs_only_those_who_listen_and_each_is_told_once():
    """
    two hundred sessions of the account hear of nothing but their own; one hears everything
    an order -> who placed it, and the listener; a fill by another -> its owner too; a cancel by a sibling -> both
    """
    world = World()
    owner, sibling, listener, *idle = (world.session(account=1) for _ in range(203))
    for quiet in (owner, sibling, *idle):
        quiet.hear_all(False)
    taker = world.session(account=2)
    world.place(owner, "m", Side.SELL, qty=10)
    world.tick()
    world.place(taker, "t", Side.BUY, qty=4)
    world.tick()
    world.cancel(sibling, "m")
    world.tick()
    heard = [[each for each in one.endpoint.take() if each[0] == "report"] for one in (owner, sibling, listener)]
    assert heard == [[("report", 1), ("report", 2), ("report", 3)], [("report", 3)], heard[0]]
    assert [each.endpoint.heard for each in idle] == [[]] * 200
    assert [each.id for each in world.sessions.account(1).listeners] == [listener.id]


def test_a_session_that_begins_or_stops_to_hear_everything_does_so_from_the_next_event_on():
    world = World()
    asker, other = world.session(), world.session()
    for number, is_wanted in enumerate((True, False, False, True, True), 1):
        other.hear_all(is_wanted)
        world.place(asker, f"o{number}")
        world.tick()
    assert other.endpoint.take() == [("report", 1), ("report", 4), ("report", 5)]
    assert len(world.sessions.account(1).listeners) == 2


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"instrument": 99}, errors.UNKNOWN_SYMBOL),
        ({"price": 10_000_001}, errors.PRICE_OUT_OF_BAND),
        ({"price": 0}, errors.BAD_TICK),
        ({"qty": 0}, errors.BAD_QUANTITY),
        ({"qty": 1_000_001}, errors.BAD_QUANTITY),
        ({"price": 1, "qty": 1}, errors.BAD_NOTIONAL),
        ({"deadline": 1}, errors.EXPIRED_ON_ARRIVAL),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_with_the_code_of_that_rule_and_never_reaches_the_core(order, code):
    world = World()
    mine = world.session()
    world.place(mine, "bad", **order)
    world.tick()
    assert mine.endpoint.take() == [("refused", "bad", code)]
    assert world.core.latest_seq(1) == 0


def test_a_session_that_may_not_trade_may_still_ask():
    world = World()
    reader = world.session()
    reader.may_trade = False
    world.place(reader, "a")
    world.cancel(reader, "a")
    world.query(reader)
    world.tick()
    assert reader.endpoint.take() == [
        ("refused", "a", errors.NOT_PERMITTED),
        ("refused", "cancel", errors.NOT_PERMITTED),
        ("handed", "query"),
        ("answer", "query"),
    ]


def test_a_symbol_that_is_not_the_sessions_is_not_permitted():
    world = World()
    mine = world.session()
    mine.instruments = frozenset({7})
    world.place(mine, "a")
    assert mine.endpoint.take() == [("refused", "a", errors.NOT_PERMITTED)]


def test_a_session_kept_to_some_symbols_may_not_sweep_the_account_but_its_guard_may():
    world = World()
    mine, other = world.session(), world.session()
    mine.instruments = frozenset({1})
    world.place(other, "o")
    world.tick()
    world.mass_cancel(mine)
    assert mine.endpoint.take()[-1] == ("refused", "mass", errors.NOT_PERMITTED)
    mine.cancel_on_disconnect = "account"
    mine.connected = False
    world.cancel_on_disconnect.disconnected(mine, world.now_ns)
    world.tick()
    assert world.core.inner.engine.open_orders(1) == []


def test_over_the_order_limit_is_refused_with_the_exact_wait_while_cancels_pass():
    world = World(TIGHT)
    mine = world.session()
    for name in "abc":
        world.place(mine, name)
    world.cancel(mine, "a")
    world.tick()
    heard = mine.endpoint.take()
    assert heard[0] == ("refused", "c", errors.RATE_LIMITED)
    assert ("answer", "cancel") in heard
    world.tick(ms=999)
    world.place(mine, "c")
    assert codes(mine.endpoint.take()) == [errors.RATE_LIMITED]
    world.tick(ms=1)
    world.place(mine, "c")
    world.tick()
    assert ("answer", "c") in mine.endpoint.take()


def test_who_goes_on_after_refusals_cools_down_while_cancels_pass():
    ladder = '[penalty]\nstrikes = 2\nwindow_s = 10\ncooldown_s = 5\ndisconnect_over = "2x"\n'
    world = World(TIGHT + ladder)
    mine = world.session()
    for n in range(12):
        world.place(mine, f"o{n}")
    seen = codes(mine.endpoint.take())
    assert seen == [errors.RATE_LIMITED] * 2 + [errors.COOLING_DOWN] * 8
    world.cancel(mine, "o0")
    world.tick()
    assert ("answer", "cancel") in mine.endpoint.take()


def test_too_fast_and_too_slow_never_share_a_code_and_our_slowness_gives_the_tokens_back():
    world = World(TIGHT.replace("burst = 3", "burst = 99"), ingress=schema.Ingress(max_commands=64))
    world.core.is_quick = False
    flood, mine = world.session(account=2), world.session(account=1)
    for n in range(64):
        world.cancel(flood, f"x{n}")  # cancels are never shed, so they fill the queue
    assert world.orders.queue.stage >= Stage.SHEDDING
    world.place(mine, "a")
    world.place(mine, "b")
    world.place(mine, "c")
    assert codes(mine.endpoint.take()) == [errors.ENGINE_BUSY] * 3  # never 3001: the two tokens came back each time


def test_cancels_pass_while_new_orders_and_questions_are_shed():
    world = World(ingress=schema.Ingress(max_commands=64))
    world.core.is_quick = False
    flood, mine = world.session(account=2), world.session(account=1)
    for n in range(52):
        world.cancel(flood, f"x{n}")
    world.cancel(mine, "a")
    world.mass_cancel(mine)
    world.query(mine)
    world.place(mine, "b")
    assert mine.endpoint.take() == [("refused", "query", errors.ENGINE_BUSY), ("refused", "b", errors.ENGINE_BUSY)]


def test_no_more_than_the_window_is_ever_handed_over_and_a_slow_core_is_felt_as_waiting():
    world = World(window=48)
    world.core.is_quick = False
    mine = world.session()
    for n in range(100):
        world.place(mine, f"o{n}")
    world.tick()
    assert len(world.core.handed) == 8  # 48 less the shares of cancels and control
    world.cancel(mine, "o0")
    world.mass_cancel(mine)
    world.tick()
    assert len(world.core.handed) == 10


def test_an_order_that_a_cancel_overtook_is_withdrawn_with_its_tokens_and_the_cancel_is_too_late():
    world = World(TIGHT, window=48)
    world.core.is_quick = False
    mine, other = world.session(account=1), world.session(account=2)
    world.core.handed = [None] * 8
    world.place(mine, "a")
    world.cancel(mine, "a")
    world.place(other, "x")
    world.tick()
    world.core.handed = world.core.handed[8:]
    world.core.answer(world.now_ns)
    heard = mine.endpoint.take()
    assert codes(heard) == [errors.WITHDRAWN]
    assert ("answer", "cancel") in heard
    for name in "bc":
        world.place(mine, name)
    assert mine.endpoint.take() == []  # both tokens were there


def test_a_window_that_ends_in_our_queue_is_refused_as_our_fault():
    world = World(window=48)
    world.core.handed = [None] * 48
    mine = world.session()
    world.place(mine, "a", deadline=world.now_ns + 10_000_000)
    world.tick(ms=11)
    world.core.handed = []
    world.tick()
    assert mine.endpoint.take() == [("refused", "a", errors.EXPIRED_IN_QUEUE)]


def test_an_unanswered_order_is_told_as_unknown_and_its_report_still_follows():
    world = World()
    world.core.is_quick = False
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    assert world.orders.next_deadline_ns == world.now_ns + 2_000_000_000
    world.tick(ms=2_000)
    assert mine.endpoint.take() == [("handed", "a"), ("refused", "a", errors.ENGINE_TIMEOUT)]
    world.core.answer(world.now_ns)
    assert mine.endpoint.take() == [("report", 1)]
    assert len(world.orders.core_link.unanswered) == 0


def test_a_duplicate_id_costs_no_order_token():
    world = World(TIGHT)
    mine = world.session()
    world.place(mine, "a")
    world.place(mine, "a")
    world.tick()
    world.place(mine, "b")
    world.tick()
    assert ("answer", "b") in mine.endpoint.take()


def test_while_draining_new_orders_are_refused_and_cancels_go_on():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    world.orders.venue.draining = True
    world.place(mine, "b")
    world.cancel(mine, "a")
    world.tick()
    heard = mine.endpoint.take()
    assert codes(heard) == [errors.DRAINING]
    assert heard[-2:] == [("answer", "cancel"), ("report", 2)]


def test_heavy_sessions_pause_at_the_first_stage_for_50_ms_at_most_and_light_ones_do_not():
    world = World(ingress=schema.Ingress(max_commands=64), window=48)
    world.core.handed = [None] * 48
    heavy, light = world.session(account=1), world.session(account=2)
    for n in range(39):
        world.place(heavy, f"h{n}")
    world.place(light, "l")
    world.tick()
    assert (heavy.endpoint.is_paused, light.endpoint.is_paused) == (True, False)
    world.tick(ms=49)
    assert heavy.endpoint.is_paused
    world.core.handed = []
    world.core.is_quick = True
    world.tick(ms=1)
    assert not heavy.endpoint.is_paused


def test_sessions_are_told_which_of_their_buckets_a_new_policy_changed():
    world = World(TIGHT)
    mine = world.session()
    world.orders.limit_notices.show(mine, world.now_ns)
    from limits.policy_parse import parse
    from limits.reload import built_in

    newer = parse(TIGHT.replace("version = 2", "version = 3").replace("burst = 3", "burst = 30"), built_in()).policy
    world.limiter.apply(newer, world.now_ns)
    world.orders.limit_notices.changed(world.now_ns)
    world.orders.limit_notices.changed(world.now_ns)
    assert mine.endpoint.take() == [("limits", 3, ["cancels"])]
    fewer = TIGHT.replace("version = 2", "version = 4").replace("[assign]", "open_orders = { account = 5 }\n[assign]")
    world.limiter.apply(parse(fewer, built_in()).policy, world.now_ns)
    world.orders.limit_notices.changed(world.now_ns)
    assert mine.endpoint.take() == [("limits", 4, ["cancels", "open_orders"])]


def test_an_event_is_recorded_once_and_replayed_by_number():
    world = World()
    mine = world.session()
    for name in "abcde":
        world.place(mine, name)
    world.tick()
    account = world.sessions.account(1)
    assert (account.oldest_seq, account.latest_seq) == (1, 5)
    assert [event.seq for event in account.replay(2, 4)] == [2, 3, 4]
    assert [event.seq for event in account.replay(0, 99)] == [1, 2, 3, 4, 5]


def test_a_mass_cancel_that_overtakes_does_not_make_the_core_drop_the_cancels_it_passed():
    world = World(window=48)
    world.core.handed = [None] * 48
    mine = world.session()
    world.cancel(mine, "x")
    world.mass_cancel(mine)
    world.tick()
    world.core.handed = []
    world.tick()
    heard = mine.endpoint.take()
    assert ("answer", "cancel") in heard
    assert ("answer", "mass") in heard
    assert len(world.orders.core_link.unanswered) == 0


def test_repeats_of_a_mass_cancel_are_all_answered_with_the_one_that_was_carried_out():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    for n in range(3):
        world.mass_cancel(mine, f"m{n}")
    world.tick()
    answers = [each[1] for each in mine.endpoint.take() if each[0] == "answer"]
    assert answers == ["a", "m0", "m1", "m2"]
    assert world.core.latest_seq(1) == 3  # new, cancelled, one end of a mass cancel


def test_what_a_session_has_open_is_what_it_was_not_told_of_wherever_that_waits():
    world = World(window=48)
    world.core.is_quick = False
    mine, other = world.session(), world.session()
    world.place(mine, "handed")
    world.tick()
    world.place(mine, "waiting")
    world.place(other, "other")
    world.mass_cancel(other, "first")
    world.mass_cancel(mine, "joined")

    def open_now():
        return sorted(each.source for each in world.orders.standing.unanswered_of(mine))

    assert open_now() == ["handed", "joined", "waiting"]
    world.tick(world.settings.core.answer_timeout_ms)
    assert "handed" not in open_now(), "it was told that nobody knows"
    world.core.is_quick = True
    world.core.answer(world.now_ns)
    world.tick()
    assert open_now() == []


def test_nobody_waits_for_ever_on_a_core_that_gives_no_credit():
    world = World(window=48)
    world.core.handed = [None] * 48
    mine = world.session()
    world.place(mine, "a", deadline=world.now_ns + 500_000_000)
    world.cancel(mine, "x")
    world.query(mine)
    world.tick()
    world.tick(ms=600)
    assert mine.endpoint.take() == [("refused", "a", errors.EXPIRED_IN_QUEUE)]
    world.tick(ms=1_500)
    assert codes(mine.endpoint.take()) == [errors.ENGINE_DOWN, errors.ENGINE_DOWN]
    assert world.orders.queue.commands == 0


@pytest.mark.parametrize(("kind", "paid"), [("D", 1), ("F", 0), ("order.cancel", 0), ("order.place", 1), ("n/a", 1)])
def test_what_could_not_even_become_a_command_costs_a_message_unless_it_was_a_cancel(kind, paid):
    world = World()
    mine = world.session()
    (before,) = world.limiter.view(mine.path, world.now_ns, ("msgs",))
    world.orders.admission.decline(mine, kind, "bad", Refusal(errors.BAD_FIELD, "not a number"), world.now_ns)
    (after,) = world.limiter.view(mine.path, world.now_ns, ("msgs",))
    assert before.remaining - after.remaining == paid
    assert mine.endpoint.take() == [("refused", "bad", errors.BAD_FIELD)]


def test_a_endpoint_that_fails_costs_its_own_connection_and_no_other_an_event():
    bugs = []
    world = World(report_bug=bugs.append)
    broken, healthy = world.session(), world.session()

    def fail(*_):
        raise ZeroDivisionError

    broken.endpoint.report = fail
    world.place(healthy, "a")
    world.tick()
    assert [type(bug) for bug in bugs] == [ZeroDivisionError]
    assert broken.endpoint.take() == [("failed",)]
    assert ("report", 1) in healthy.endpoint.take()
    assert world.sessions.account(1).latest_seq == 1


def test_after_a_takeover_the_new_connection_does_not_get_the_old_ones_answers():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    older, mine.endpoint = mine.endpoint, Ear()
    world.tick()
    assert older.take() == []
    assert mine.endpoint.take() == [("report", 1)]


def test_at_the_brim_nobody_is_read_until_there_is_room_and_no_timer_spins():
    world = World(ingress=schema.Ingress(max_commands=64), window=48)
    world.core.handed = [None] * 48
    mine, other = world.session(account=1), world.session(account=2)
    for n in range(64):
        world.cancel(mine, f"x{n}")
    world.tick()
    assert mine.endpoint.is_paused
    assert other.endpoint.is_paused
    assert world.orders.next_deadline_ns > world.now_ns
    world.core.handed = []
    world.tick()
    assert not mine.endpoint.is_paused
    assert not other.endpoint.is_paused


def test_a_heavy_session_pauses_once_and_is_then_read_so_that_its_cancels_are_seen():
    world = World(ingress=schema.Ingress(max_commands=64), window=48)
    world.core.handed = [None] * 48
    heavy = world.session()
    for n in range(40):
        world.place(heavy, f"h{n}")
    world.tick()
    assert heavy.endpoint.is_paused
    world.tick(ms=50)
    assert not heavy.endpoint.is_paused
    world.tick(ms=50)
    assert not heavy.endpoint.is_paused
