"""Many commands at once give what the same commands give one after the other: the same events, and the same state.

Modules: core.plain_orders, core.engine.
"""

from collections.abc import Iterator
from random import Random
from unittest.mock import patch

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core import snapshots
from gateway.core.engine import Engine
from gateway.core.plain_orders import PlainOrders
from protocols.messages import COD_EXEMPT, AnyCommand, AnyEvent, ExecType, Lane, NewOrder, OrderEvent, pack_cmd_id
from tests.support.core_commands import any_command, any_int, streams
from tests.support.venue import INSTRUMENTS, Venue, new_engine, told

_QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def runs_of(commands: list[AnyCommand], seed: int) -> Iterator[list[AnyCommand]]:
    """The commands cut into runs of a random length each."""
    random, at = Random(seed), 0
    while at < len(commands):
        length = random.choice((1, 2, 5, 20))
        yield commands[at : at + length]
        at += length


def one_by_one(engine: Engine, commands: list[AnyCommand], now_ns: int) -> list[AnyEvent]:
    return [event for command in commands for event in engine.execute(command, now_ns)]


def assert_equal(first: Engine, second: Engine) -> None:
    assert first.snapshot() == second.snapshot()
    for account in (1, 2, 3):
        assert first.latest_seq(account) == second.latest_seq(account)
        assert first.open_orders(account) == second.open_orders(account)


@_QUICK
@given(streams(), st.integers(0, 999), st.sampled_from([0, 1, 3, 100]))
def test_a_run_gives_the_events_and_the_state_of_its_commands_one_by_one(
    stream: list[tuple[int, AnyCommand]], seed: int, dedupe: int
) -> None:
    alone, together, now_ns = new_engine(dedupe), new_engine(dedupe), 100
    for run in runs_of([command for _, command in stream], seed):
        now_ns += len(run)
        assert together.execute_all(run, now_ns) == one_by_one(alone, run, now_ns)
        assert_equal(together, alone)


@_QUICK
@given(st.lists(any_command(), min_size=5, max_size=20), any_int, st.integers(0, 999))
def test_any_values_whatever_give_the_same_too(rows: list[AnyCommand], now_ns: int, seed: int) -> None:
    alone, together = new_engine(2), new_engine(2)
    numbered = [
        msgspec.structs.replace(command, cmd_id=pack_cmd_id(command.session, Lane.ORDER, n))
        for n, command in enumerate(rows, 1)
    ]
    for run in runs_of(numbered, seed):
        assert together.execute_all(run, now_ns) == one_by_one(alone, run, now_ns)
        assert_equal(together, alone)


@_QUICK
@given(streams(80), st.integers(0, 999))
def test_what_is_handed_over_again_changes_nothing(stream: list[tuple[int, AnyCommand]], seed: int) -> None:
    engine = new_engine()
    commands = [command for _, command in stream]
    engine.execute_all(commands, 101)
    before = engine.digest()
    for run in runs_of(commands, seed):
        assert engine.execute_all(run, 5_000) == []
    assert engine.digest() == before


@_QUICK
@given(streams(), st.integers(0, 150), st.integers(0, 999))
def test_a_snapshot_begun_before_a_run_has_the_state_of_its_beginning(
    stream: list[tuple[int, AnyCommand]], cut: int, seed: int
) -> None:
    commands = [command for _, command in stream]
    with patch.object(snapshots, "_ROWS", 2):
        engine, restored = new_engine(3), Engine(INSTRUMENTS, 3, "another epoch")
        engine.execute_all(commands[:cut], 101)
        digest, pieces, taken = engine.digest(), engine.begin_snapshot(), []
        for run in runs_of(commands[cut:], seed):
            engine.execute_all(run, 200)
            taken += [piece] if (piece := next(pieces, b"")) else []
        restored.restore(*taken, *pieces)
    assert restored.digest() == digest
    restored.execute_all(commands[cut:], 200)
    assert restored.digest() == engine.digest()


def counted(venue: Venue, *lines: str) -> tuple[int, list[str]]:
    """How many of the commands were executed as plain orders, and the events of all of them."""
    plain, execute = [0], PlainOrders.execute

    def count(self: PlainOrders, commands: list[AnyCommand], begin: int, now_ns: int, report: list[AnyEvent]) -> int:
        end = execute(self, commands, begin, now_ns, report)
        plain[0] += end - begin
        return end

    with patch.object(PlainOrders, "execute", count):
        events = venue.engine.execute_all([venue.command(line) for line in lines], 50)
    return plain[0], [told(event) for event in events]


def test_orders_that_rest_and_that_trade_are_plain() -> None:
    venue = Venue()
    venue.do("alice new a1 sell 5 @ 101")
    venue.do("bob new b1 sell 5 @ 102")
    count, events = counted(
        venue, "alice new a2 buy 1 @ 100", "bob new b2 buy 7 @ 102 exempt", "alice new a3 buy 2 @ 101 stp=maker"
    )
    assert count == 3
    assert events == [
        "alice 2 new a2: new 1@100 0/1",
        "bob 2 new b2: new 7@102 0/7",
        "bob 3 trade b2: partially_filled 7@102 5/2 t1 5@101 taker",
        "alice 3 trade a1: filled 5@101 5/0 t1 5@101 maker",
        "bob 4 trade b2: filled 7@102 7/0 t2 2@102 taker",
        "bob 5 trade b1: partially_filled 5@102 2/3 t2 2@102 maker",
        "alice 4 new a3: new 2@101 0/2",
    ]
    assert venue.book() == "bids 2@101x1 1@100x1 | asks 3@102x1"


def test_what_is_not_plain_is_executed_by_itself_in_its_turn() -> None:
    venue = Venue()
    venue.do("alice new a1 buy 5 @ 100")
    known, post = "alice new a1 buy 1 @ 90", "alice new a3 buy 1 @ 90 post"
    odd = ("alice new a2 buy 1 @ 90 ioc", known, post, "alice cancel x a1")
    count, events = counted(venue, "alice new a4 buy 1 @ 91", *odd, "alice new a5 buy 1 @ 92")
    assert count == 2
    assert [event.split(":")[0] for event in events] == [
        "alice 2 new a4",
        "alice 3 new a2",
        "alice 4 canceled a2",
        "alice 5 rejected a1",
        "alice 6 new a3",
        "alice 7 canceled x<a1",
        "alice 8 new a5",
    ]


def test_an_order_is_reported_as_it_came() -> None:
    venue = Venue()
    venue.do("alice new a1 buy 5 @ 100")
    command = msgspec.structs.replace(venue.command("alice new a2 buy 3 @ 99 exempt tag=T group=G sent=7"), session=9)
    assert isinstance(command, NewOrder)
    (event,) = venue.engine.execute_all([command], 50)
    assert isinstance(event, OrderEvent)
    assert (event.exec_type, event.cmd_id, event.t_core, event.created_at) == (ExecType.NEW, command.cmd_id, 50, 50)
    assert (event.session, event.flags, event.tag, event.qty, event.leaves_qty) == (9, COD_EXEMPT, "T", 3, 3)
    assert venue.engine.order_state(1, event.order_id, "") == msgspec.structs.replace(
        event, cmd_id=0, exec_id=0, exec_type=ExecType.ORDER_STATUS, orig_cl_ord_id=""
    )


def test_a_retry_that_may_only_ask_is_not_placed() -> None:
    venue = Venue()
    venue.do("alice new a1 buy 5 @ 100")
    (event,) = venue.engine.execute_all([venue.command("alice new a2 buy 5 @ 100 deadline=-3001")], 50)
    assert isinstance(event, OrderEvent)
    assert (event.exec_type, event.code) == (ExecType.REJECTED, 3001)


def test_a_number_is_used_once_whatever_comes_with_it() -> None:
    venue = Venue()
    venue.do("alice new a1 buy 5 @ 100")
    first = venue.command("alice new a2 buy 5 @ 100")
    again = msgspec.structs.replace(first, cl_ord_id="a3")
    assert len(venue.engine.execute_all([first, again], 50)) == 1


def test_the_time_of_events_does_not_go_back() -> None:
    venue = Venue()
    venue.do("alice new a1 buy 5 @ 100")
    times = [
        venue.engine.execute_all([venue.command(f"alice new {name} buy 5 @ 100")], now_ns)[0].t_core
        for name, now_ns in (("a2", 50), ("a3", 40), ("a4", 51))
    ]
    assert times == [50, 50, 51]
