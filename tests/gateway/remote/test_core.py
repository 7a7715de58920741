"""A core behind the link is like one in the process, whoever is killed: no event is lost, doubled or out of turn.

Modules: remote.core, remote.host, remote.together, remote.snapshot, recovery.link_state.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.remote.core import EpochBegan, Missed
from protocols.errors import LocalProtocolError
from protocols.messages import Lane, OrderEvent, OrdStatus, OrdType, Origin, Sender, Side, Stp, Tif, is_numbered
from protocols.runs import HandOver, HandOverEvents, NewOrders, OrderTerms, RunEvents
from protocols.units import NS_PER_MS
from tests.support.core_commands import make_stream, random_run
from tests.support.link_world import KEYS, NODE, Differs, LinkWorld, engine_of
from tests.support.venue import Venue, told

_SEEDS = st.integers(0, (1 << 32) - 1)


def hand_overs(seed, count):
    """Hand-overs of single commands and of runs; the lanes of each session are numbered as a gateway does it."""
    random, stream = Random(seed), iter(make_stream(seed, 10_000))
    runs = Sender(40, 3, Origin.FIX)
    for _ in range(count):
        kind = random.random()
        singles = [next(stream)[1] for _ in range(random.choice((1, 1, 3)))]
        if kind < 0.4:
            yield singles
        elif kind < 0.7:
            yield random_run(random, runs, 1)
        else:
            yield HandOver([random_run(random, runs, 1), singles, random_run(random, runs, 1)])


@given(seed=_SEEDS)
@settings(max_examples=60, deadline=None)
def test_the_events_are_those_of_an_engine_in_the_process(seed):
    world, engine, expected = LinkWorld(), engine_of(), []
    for commands in hand_overs(seed, 30):
        world.submit(commands)
        world.hand_over()
        at_ns = world.streams[KEYS.commands][-1][0][0] * NS_PER_MS
        for command in commands:
            expected += engine.execute(command, at_ns)
        world.execute()
        world.deliver()
    assert [told(event) for event in world.told] == [told(event) for event in expected]
    assert world.told == expected
    assert world.gateway.credit == 100_000


@given(seed=_SEEDS)
@settings(max_examples=60, deadline=None)
def test_whoever_is_killed_each_event_is_reported_once_and_in_its_turn(seed):
    world, random = LinkWorld(), Random(seed)
    kept = None
    for commands in hand_overs(seed, 40):
        world.submit(commands)
        match random.randrange(9):
            case 0:
                world.hand_over(is_answered=False)  # the reply is lost: it is handed over again
            case 1:
                world.kill_gateway()
            case 2:
                world.kill_core(kept)
            case 3:
                kept = world.snapshot()
            case 4:
                world.hand_over(1)
            case 5:
                world.execute(1)
            case 6:
                world.deliver()
            case _:
                world.hand_over()
                world.execute()
    world.kill_gateway()
    world.execute()
    world.deliver()
    numbered = [event for event in world.told if is_numbered(event)]
    for account in (1, 2, 3):
        own = [event.seq for event in numbered if event.account == account]
        assert own == list(range(1, len(own) + 1))
        assert world.gateway.latest_seq(account) == world.host.engine.latest_seq(account)
        open_now = {order.order_id for order in world.host.engine.open_orders(account)}
        assert {order.order_id for order in world.gateway.open_orders(account)} == open_now
    assert world.record.standing.handed == {}


def test_a_run_stays_one_on_its_way_there_and_back():
    world, batches = LinkWorld(), []
    world.gateway.subscribe(lambda events, now_ns: batches.append(events))
    run = random_run(Random(4), Sender(40, 3, Origin.FIX), 1)
    single = Venue().command("alice new a1 buy 10 @ 90")
    world.submit(HandOver([run, [single]]))
    world.hand_over()
    world.execute()
    world.deliver()
    (batch,) = batches
    assert isinstance(batch, HandOverEvents)
    assert [type(part) for part in batch.parts] == [RunEvents, list]
    assert batch.parts[0].cmd_id == run.cmd_id
    assert {event.cl_ord_id for event in batch.parts[0]} == {row[0] for row in run.rows}


def test_a_run_of_which_one_is_refused_is_not_told_as_accepted():
    world, batches = LinkWorld(), []
    world.gateway.subscribe(lambda events, now_ns: batches.append(events))
    terms = OrderTerms(1, Side.BUY, OrdType.LIMIT, Tif.GTC, 0, Stp.DEFAULT, "", "")
    rows = [("a", terms, 5, 90, 0, 0), ("b", terms, 5, 90, 0, 0)]
    sender = Sender(10, 1, Origin.FIX)
    for run in (NewOrders(sender, rows, 1), NewOrders(sender, [("c", terms, 5, 90, 0, 0), rows[0]], 1)):
        world.submit(run)
        world.hand_over()
        world.execute()
        world.deliver()
    assert [(type(batch), batch.all_rest) for batch in batches] == [(RunEvents, True), (RunEvents, False)]


def test_what_was_lost_on_its_way_to_redis_is_sent_again_in_order():
    world, venue = LinkWorld(), Venue()
    for number in range(3):
        world.submit([venue.command(f"alice new a{number} buy 10 @ 90")])
    for handed in world.gateway.unsent:
        handed.is_sent = True
    world.gateway.appended(next(iter(world.gateway._handed)), (50, 0))
    world.gateway.lost()
    assert [handed.number for handed in world.gateway.unsent] == [2, 3]


def test_an_event_that_comes_by_two_ways_is_reported_once():
    world = LinkWorld()
    world.submit([Venue().command("alice new a1 buy 10 @ 90")])
    world.hand_over()
    world.execute()
    world.deliver()
    (entry, fields) = world.streams[KEYS.node(NODE)][-1]
    world.gateway.deliver([((entry[0] + 1, 0), fields)], 0)
    assert len(world.told) == 1


def test_orders_with_a_gap_in_their_numbers_keep_them():
    world, venue = LinkWorld(), Venue()
    first, _, third = (venue.command(f"alice new a{number} buy 10 @ 90 via=10") for number in range(3))
    world.submit([first, third])
    world.hand_over()
    world.execute()
    world.deliver()
    assert [event.cmd_id for event in world.told] == [first.cmd_id, third.cmd_id]


def test_credit_comes_back_with_the_cores_acknowledgement_and_not_with_redis():
    world = LinkWorld()
    before = world.gateway.credit
    world.submit([Venue().command("alice new a1 buy 10 @ 90")])
    assert world.gateway.credit == before - 1
    world.hand_over()
    assert world.gateway.credit == before - 1
    world.execute()
    world.deliver()
    assert world.gateway.credit == before


def test_more_than_the_credit_is_refused_whole_and_nothing_is_recorded():
    world = LinkWorld()
    world.gateway.is_open = False
    with pytest.raises(LocalProtocolError):
        world.submit([Venue().command("alice new a1 buy 10 @ 90")])
    assert world.record.standing.handed == {}


def test_the_counters_of_a_gateway_go_on_after_what_it_hands_over_again():
    world, venue = LinkWorld(), Venue()
    world.submit([venue.command("alice new a1 buy 10 @ 90 via=10"), venue.command("alice new a2 buy 10 @ 90 via=10")])
    world.kill_gateway()  # it was never sent
    assert world.gateway.highest(10, Lane.ORDER) == 2


def test_an_entry_that_was_trimmed_is_missed():
    world, venue = LinkWorld(), Venue()
    for number in range(3):
        world.submit([venue.command(f"alice new a{number} buy 10 @ 90")])
        world.hand_over()
    world.execute()
    del world.streams[KEYS.node(NODE)][-2]
    with pytest.raises(Missed):
        world.deliver()


def test_an_order_is_found_by_its_id_while_it_is_open_and_is_in_doubt_after():
    world, venue = LinkWorld(), Venue()
    world.submit([venue.command("alice new a1 buy 10 @ 90 via=10")])
    assert world.gateway.order_state(1, 0, "a1") is OrdStatus.PENDING_NEW
    world.hand_over()
    world.execute()
    world.deliver()
    state = world.gateway.order_state(1, 0, "a1")
    assert isinstance(state, OrderEvent)
    assert world.gateway.order_state(1, state.order_id, "") is state
    world.submit([venue.command("alice cancel c1 a1 via=10")])
    world.hand_over()
    world.execute()
    world.deliver()
    assert world.gateway.order_state(1, 0, "a1") is OrdStatus.PENDING_NEW


@given(seed=_SEEDS, at=st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_a_core_from_a_snapshot_writes_again_what_the_other_wrote(seed, at):
    world = LinkWorld()
    kept = None
    for number, commands in enumerate(hand_overs(seed, 20)):
        kept = world.snapshot() if number == at else kept
        world.submit(commands)
        world.hand_over()
        world.execute()
    digest = world.host.engine.digest()
    world.kill_core(kept)
    world.execute()
    assert world.host.engine.digest() == digest


def placed(world, venue, *names):
    for name in names:
        world.submit([venue.command(f"alice new {name} buy 10 @ 90 via=10")])
        world.hand_over()
        world.execute()
        world.deliver()


def test_after_a_loss_streams_begin_again_and_no_id_that_was_told_is_used_again():
    world, venue = LinkWorld(), Venue()
    placed(world, venue, "a1", "a2", "a3")
    before, world.told, epoch = world.told, [], world.gateway.epoch
    world.lose(2)
    world.begin_epoch()
    world.kill_gateway(begins_epoch=True)
    assert world.gateway.epoch != epoch
    assert [order.cl_ord_id for order in world.gateway.open_orders(1)] == ["a1"]
    placed(world, venue, "a4")
    assert [(event.seq, event.cl_ord_id) for event in world.told] == [(1, "a4")]
    assert {event.order_id for event in before}.isdisjoint(event.order_id for event in world.told)
    assert {event.exec_id for event in before}.isdisjoint(event.exec_id for event in world.told)
    assert [entry for entry, _ in world.streams[KEYS.events(1, 1)]] == [(1, 0)]


def test_what_was_reported_in_an_epoch_that_has_ended_says_nothing_of_the_next():
    world, venue = LinkWorld(), Venue()
    placed(world, venue, "a1", "a2", "a3")
    world.lose(3)
    world.begin_epoch()
    world.kill_gateway(begins_epoch=True)
    assert world.record.standing.reported == {}
    world.kill_gateway()
    world.told.clear()
    placed(world, venue, "a4")
    assert [event.seq for event in world.told] == [1]


def test_what_was_handed_over_and_not_answered_is_answered_in_the_new_epoch():
    world, venue = LinkWorld(), Venue()
    placed(world, venue, "a1")
    world.submit([venue.command("alice new a2 buy 10 @ 90 via=10")])
    world.hand_over()
    world.lose(1)
    world.begin_epoch()
    world.kill_gateway(begins_epoch=True)
    world.told.clear()
    world.execute()
    world.deliver()
    assert [event.cl_ord_id for event in world.told] == ["a2"]
    assert world.record.standing.handed == {}


def test_a_running_gateway_ends_when_a_new_epoch_begins_and_not_for_one_that_it_knows():
    world, venue = LinkWorld(), Venue()
    placed(world, venue, "a1")
    world.begin_epoch()
    with pytest.raises(EpochBegan):
        world.deliver()
    with pytest.raises(EpochBegan):
        world.kill_gateway()  # its record is of the epoch before
    world.kill_gateway(begins_epoch=True)
    world.kill_gateway()


def test_a_core_from_a_snapshot_of_the_epoch_before_goes_through_the_change():
    world, venue = LinkWorld(), Venue()
    placed(world, venue, "a1", "a2")
    kept = world.snapshot()
    world.begin_epoch()
    world.kill_gateway(begins_epoch=True)
    placed(world, venue, "a3")
    digest, later = world.host.engine.digest(), world.snapshot()
    for snapshot in (kept, later, None):
        world.kill_core(snapshot)
        world.execute()
        assert (world.host.engine.digest(), world.host.epochs) == (digest, 1)


def test_a_core_that_differs_is_found_by_what_it_writes():
    world, venue = LinkWorld(), Venue()
    world.submit([venue.command("alice new a1 buy 10 @ 90")])
    world.hand_over()
    world.execute()
    world.kill_core()
    world.host.engine._counters.order_id += 1
    with pytest.raises(Differs, match="events:1 1-0"):
        world.execute()


def test_orders_that_were_no_run_are_not_made_one():
    first, second = (Sender(session, 1, Origin.FIX) for session in (10, 11))
    runs = [random_run(Random(1), sender, 1) for sender in (first, second, first)]
    world, engine, expected = LinkWorld(), engine_of(), []
    singles = [command for run in runs for command in run]
    world.submit(singles)
    world.hand_over()
    world.execute()
    world.deliver()
    for command in singles:
        expected += engine.execute(command, world.streams[KEYS.commands][-1][0][0] * NS_PER_MS)
    assert world.told == expected
    assert isinstance(runs[0], NewOrders)


@pytest.mark.parametrize("has_traded", [True, False])
def test_an_account_that_was_left_is_silent_until_a_join_names_it_again(has_traded):
    """Its last events may be on their way when it is left; they must not be taken for those after a later `join`."""
    world, venue, joined = LinkWorld(), Venue(), []
    world.submit([venue.command("alice new a1 buy 10 @ 90" if has_traded else "bob new b1 buy 10 @ 90")])
    world.hand_over()
    world.execute()
    world.gateway.left(1)
    world._write("leave", b"[1]")
    world.submit([venue.command("bob new b2 buy 10 @ 90")])
    world.hand_over()
    world.execute()
    world.deliver()
    assert [event.account for event in world.told if is_numbered(event)] == ([2] if has_traded else [2, 2])
    entry = world._write("join", b'{"accounts":[1]}')
    world.gateway.when_joined(entry, joined.append, 0)
    world.submit([venue.command("alice new a2 buy 10 @ 90")])
    world.hand_over()
    world.execute()
    world.deliver()
    assert len(joined) == 1
    assert world.told[-1].cl_ord_id == "a2"
    assert [order.cl_ord_id for order in world.gateway.open_orders(1)] == (["a1", "a2"] if has_traded else ["a2"])
    assert world.gateway.latest_seq(1) == (2 if has_traded else 1)


def test_a_session_is_numbered_above_what_its_last_owner_had_accepted_and_not_handed_over():
    world = LinkWorld()
    world.gateway.hand_over_again([Venue().command("alice new a1 buy 10 @ 90")])
    (handed,) = world.gateway.unsent
    (session,) = handed.sessions
    assert world.gateway.highest(session, Lane.ORDER) == 1
