"""A run gives what its orders give one after the other: the same events, and the same state.

Modules: core.plain_orders, core.engine.
"""

from collections.abc import Iterator, Sequence
from random import Random
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core import plain_orders, snapshots
from gateway.core.engine import Engine
from protocols.messages import (
    COD_EXEMPT,
    AnyCommand,
    AnyEvent,
    ExecType,
    Lane,
    NewOrder,
    OrderEvent,
    OrdType,
    Origin,
    Sender,
    Side,
    Stp,
    Tif,
    pack_cmd_id,
)
from protocols.runs import NewOrders, OrderRow, OrderTerms, RunEvents
from tests.support.core_commands import make_stream, random_run
from tests.support.venue import INSTRUMENTS, Venue, new_engine, told

_QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_SEEDS = st.integers(0, (1 << 32) - 1)

BUY = OrderTerms(1, Side.BUY, OrdType.LIMIT, Tif.GTC, 0, Stp.DEFAULT, "", "")
SELL = OrderTerms(1, Side.SELL, OrdType.LIMIT, Tif.GTC, 0, Stp.DEFAULT, "", "")


def row(cl_ord_id: str, terms: OrderTerms, qty: int, price: int, deadline: int = 0, sent_at: int = 0) -> OrderRow:
    return cl_ord_id, terms, qty, price, deadline, sent_at


def hand_overs(seed: int, length: int) -> Iterator[tuple[int, Sequence[AnyCommand]]]:
    """Runs of three accounts, and between them other commands of the same accounts, each with its time."""
    random = Random(seed)
    senders = [Sender(50 + account, account, Origin.FIX) for account in (1, 2, 3)]
    stream = iter(make_stream(seed, 4 * length))
    now_ns = 100
    for _ in range(length):
        now_ns += random.choice((0, 1, 5))
        if random.random() < 0.5:
            yield now_ns, random_run(random, random.choice(senders), now_ns)
        else:
            yield now_ns, [next(stream)[1] for _ in range(random.randint(1, 4))]


def one_by_one(engine: Engine, commands: Sequence[AnyCommand], now_ns: int) -> list[AnyEvent]:
    return [event for command in commands for event in engine.execute(command, now_ns)]


@_QUICK
@given(_SEEDS, st.integers(0, 40), st.sampled_from([0, 1, 3, 100]))
def test_a_run_gives_the_events_and_the_state_of_its_orders_one_by_one(seed: int, length: int, dedupe: int) -> None:
    alone, together = new_engine(dedupe), new_engine(dedupe)
    for now_ns, commands in hand_overs(seed, length):
        expected = one_by_one(alone, commands, now_ns)
        events = together.execute_all(commands, now_ns)
        assert list(events) == expected
        assert together.snapshot() == alone.snapshot()
        if isinstance(commands, NewOrders):
            assert isinstance(events, RunEvents)
            assert events.cmd_id == commands[0].cmd_id
            if events.all_rest:
                assert [event.cmd_id for event in events] == [command.cmd_id for command in commands]
                assert all(event.exec_type is ExecType.NEW for event in events)
    for account in (1, 2, 3):
        assert together.open_orders(account) == alone.open_orders(account)
        assert together.latest_seq(account) == alone.latest_seq(account)


@_QUICK
@given(_SEEDS, st.integers(1, 40))
def test_what_is_handed_over_again_changes_nothing(seed: int, length: int) -> None:
    engine, handed = new_engine(), list(hand_overs(seed, length))
    for now_ns, commands in handed:
        engine.execute_all(commands, now_ns)
    before = engine.digest()
    for _, commands in handed:
        assert list(engine.execute_all(commands, 5_000)) == []
    assert engine.digest() == before


@_QUICK
@given(_SEEDS, st.integers(1, 40), st.integers(0, 40))
def test_a_snapshot_begun_before_a_run_has_the_state_of_its_beginning(seed: int, length: int, cut: int) -> None:
    handed = list(hand_overs(seed, length))
    with patch.object(snapshots, "_ROWS", 2):
        engine, restored = new_engine(3), Engine(INSTRUMENTS, 3, "another epoch")
        for now_ns, commands in handed[:cut]:
            engine.execute_all(commands, now_ns)
        digest, pieces, taken = engine.digest(), engine.begin_snapshot(), []
        for now_ns, commands in handed[cut:]:
            engine.execute_all(commands, now_ns)
            taken += [piece] if (piece := next(pieces, b"")) else []
        restored.restore(*taken, *pieces)
    assert restored.digest() == digest
    for now_ns, commands in handed[cut:]:
        restored.execute_all(commands, now_ns)
    assert restored.digest() == engine.digest()


# -- by name -------------------------------------------------------------------------------------------------------


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def alice() -> Sender:
    return Sender(71, 1, Origin.FIX)


def run(venue: Venue, sender: Sender, *rows: OrderRow, now_ns: int = 50) -> list[str]:
    return [told(event) for event in venue.engine.execute_all(NewOrders(sender, rows, 0), now_ns)]


def test_orders_of_a_run_rest_and_trade(venue: Venue, alice: Sender) -> None:
    venue.do("bob new b1 sell 5 @ 101")
    venue.do("bob new b2 sell 5 @ 102")
    with patch.object(Engine, "execute") as execute:
        events = run(venue, alice, row("a1", BUY, 1, 100), row("a2", BUY, 7, 102), row("a3", SELL, 2, 103))
    assert not execute.called, "plain orders are executed here"
    assert events == [
        "alice 1 new a1: new 1@100 0/1",
        "alice 2 new a2: new 7@102 0/7",
        "alice 3 trade a2: partially_filled 7@102 5/2 t1 5@101 taker",
        "bob 3 trade b1: filled 5@101 5/0 t1 5@101 maker",
        "alice 4 trade a2: filled 7@102 7/0 t2 2@102 taker",
        "bob 4 trade b2: partially_filled 5@102 2/3 t2 2@102 maker",
        "alice 5 new a3: new 2@103 0/2",
    ]
    assert venue.book() == "bids 1@100x1 | asks 3@102x1 2@103x1"


def test_what_an_order_has_paid_is_of_the_prices_at_which_it_traded(venue: Venue, alice: Sender) -> None:
    venue.do("bob new b1 sell 5 @ 101")
    run(venue, alice, row("a1", BUY, 7, 102))
    (open_order,) = venue.engine.open_orders(1)
    assert (open_order.cum_qty, open_order.cum_quote, open_order.leaves_qty) == (5, 505, 2)


def test_only_of_a_run_in_which_nothing_else_happens_is_it_told_that_all_rest(venue: Venue, alice: Sender) -> None:
    def all_rest(*rows: OrderRow) -> bool:
        events = venue.engine.execute_all(NewOrders(alice, rows, 0), 50)
        assert isinstance(events, RunEvents)
        return events.all_rest

    assert all_rest(row("a1", BUY, 1, 90), row("a2", SELL, 1, 95))
    assert not all_rest(row("a3", BUY, 1, 90), row("a4", BUY, 1, 95))  # trades
    assert not all_rest(row("a3", BUY, 1, 90), row("a5", BUY, 1, 90))  # was used


def test_what_is_not_plain_is_executed_by_itself_in_its_turn(venue: Venue, alice: Sender) -> None:
    post_only = OrderTerms(1, Side.BUY, OrdType.LIMIT, Tif.GTC, 1, Stp.DEFAULT, "", "")
    events = run(
        venue,
        alice,
        row("a1", SELL, 1, 101),
        row("a1", SELL, 1, 101),  # its id was used
        row("a2", post_only, 1, 101),  # would trade
        row("a3", BUY, -1, -90),
        row("a4", BUY, 1, 90, deadline=49),  # late
        row("a5", BUY, 1, 90, deadline=-3001),  # a retry that only asks
        row("a6", BUY, 1, 90),
    )
    assert events == [
        "alice 1 new a1: new 1@101 0/1",
        "alice 2 rejected a1: rejected 1@101 0/0 !4003",
        "alice 3 rejected a2: rejected 1@101 0/0 !4005",
        "alice 4 rejected a3: rejected -1@-90 0/0 !2005",
        "alice 5 rejected a4: rejected 1@90 0/0 !5003",
        "alice 6 rejected a5: rejected 1@90 0/0 !3001",
        "alice 7 new a6: new 1@90 0/1",
    ]


def test_a_number_is_used_once_whatever_comes_with_it(venue: Venue, alice: Sender) -> None:
    run(venue, alice, row("a1", BUY, 1, 90), row("a2", BUY, 1, 90))
    again = Sender(71, 1, Origin.FIX, order_n=1)
    assert run(venue, again, row("x1", BUY, 1, 90), row("x2", BUY, 1, 90)) == ["alice 3 new x2: new 1@90 0/1"]


def test_the_time_of_events_does_not_go_back(venue: Venue, alice: Sender) -> None:
    times = [
        venue.engine.execute_all(NewOrders(alice, [row(name, BUY, 1, 90)], 0), now_ns)[0].t_core
        for name, now_ns in (("a2", 50), ("a3", 40), ("a4", 51))
    ]
    assert times == [50, 50, 51]


def test_an_order_is_reported_and_kept_as_it_came(venue: Venue, alice: Sender) -> None:
    terms = OrderTerms(2, Side.SELL, OrdType.LIMIT, Tif.GTC, COD_EXEMPT, Stp.EXPIRE_MAKER, "G", "T")
    (event,) = venue.engine.execute_all(NewOrders(alice, [row("a1", terms, 3, 99, 70, sent_at=7)], 6), 50)
    assert isinstance(event, OrderEvent)
    assert (event.exec_type, event.cmd_id, event.t_core, event.created_at) == (
        ExecType.NEW,
        pack_cmd_id(71, Lane.ORDER, 1),
        50,
        50,
    )
    assert (event.session, event.flags, event.tag, event.qty, event.leaves_qty) == (71, COD_EXEMPT, "T", 3, 3)
    assert venue.engine.order_state(1, event.order_id, "") == msgspec.structs.replace(
        event, cmd_id=0, exec_id=0, exec_type=ExecType.ORDER_STATUS
    )


def test_the_books_of_another_configuration_are_the_ones_used(venue: Venue, alice: Sender) -> None:
    run(venue, alice, row("a1", BUY, 1, 90))
    other = Engine(INSTRUMENTS, 10, "e-2")
    other.restore(venue.engine.snapshot())
    venue.engine.restore(other.snapshot())
    run(venue, alice, row("a2", BUY, 2, 90))
    assert venue.book() == "bids 3@90x2 | asks -"


def test_what_is_known_of_terms_is_bounded(venue: Venue, alice: Sender) -> None:
    each = [OrderTerms(1, Side.BUY, OrdType.LIMIT, Tif.GTC, 0, Stp.DEFAULT, "", f"tag-{n}") for n in range(10)]
    with patch.object(plain_orders, "MAX_TERMS", 3):
        events = run(venue, alice, *(row(f"a{n}", terms, 1, 90) for n, terms in enumerate(each)))
    assert len(events) == 10
    assert len(venue.engine._plain._known) <= 3


def test_a_run_is_the_sequence_of_its_commands(alice: Sender) -> None:
    commands = NewOrders(alice, [row("a1", BUY, 1, 90, 7, 6), row("a2", SELL, 2, 95)], 5)
    head = (71, Origin.FIX, 5)
    assert list(commands) == [
        NewOrder(
            pack_cmd_id(71, Lane.ORDER, n), 1, *head, deadline, name, 1, side, OrdType.LIMIT, Tif.GTC, qty, price,
            sent_at=sent_at,
        )
        for n, name, side, qty, price, deadline, sent_at in (
            (1, "a1", Side.BUY, 1, 90, 7, 6),
            (2, "a2", Side.SELL, 2, 95, 0, 0),
        )
    ]  # fmt: skip
    assert [commands[-1]] == commands[1:] == list(commands)[1:]
    assert (len(commands), commands.first_deadline, commands.counts, alice.order_n) == (2, 7, {1: 2}, 2)
