"""What holds for every stream of commands: balance, order, numbering, one answer each, determinism, idempotence.

Module: core.engine.
"""

import subprocess
import sys
from collections import Counter, defaultdict
from itertools import chain
from random import Random
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core import snapshots
from gateway.core.engine import Engine
from protocols.errors import WOULD_TAKE
from protocols.messages import (
    POST_ONLY,
    AnyCommand,
    AnyEvent,
    CancelOrder,
    CancelRejected,
    ExecType,
    Lane,
    MassCancel,
    MassCancelDone,
    NewOrder,
    OrderEvent,
    OrderList,
    OrdStatus,
    OrdType,
    Origin,
    QueryOrders,
    ReplaceOrder,
    Side,
    Stp,
    Tif,
    pack_cmd_id,
)
from tests.support.core_commands import any_command, any_int, streams
from tests.support.naive_venue import NaiveOrder, NaiveVenue
from tests.support.venue import INSTRUMENTS, depth, new_engine

_QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_ACCOUNTS = (1, 2, 3)
_OPEN = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)

Stream = list[tuple[int, AnyCommand]]


def run(engine: Engine, stream: Stream) -> list[list[AnyEvent]]:
    return [engine.execute(command, now_ns) for now_ns, command in stream]


def told(batches: list[list[AnyEvent]]) -> list[OrderEvent]:
    """The numbered events about orders."""
    events = chain.from_iterable(batches)
    return [e for e in events if isinstance(e, OrderEvent) and e.exec_type is not ExecType.ORDER_STATUS]


@_QUICK
@given(streams())
def test_the_book_is_never_crossed_and_holds_exactly_the_open_orders(stream: Stream) -> None:
    engine = new_engine()
    for now_ns, command in stream:
        engine.execute(command, now_ns)
        open_orders = [order for account in _ACCOUNTS for order in engine.open_orders(account)]
        for instrument in (1, 2):
            bids, asks = depth(engine, instrument, 100)
            assert not (bids and asks) or bids[0][0] < asks[0][0]
            levels: Counter[tuple[Side, int]] = Counter()
            for order in open_orders:
                if order.instrument == instrument:
                    levels[order.side, order.price] += order.leaves_qty
            booked = {(Side.BUY, price): qty for price, qty, _ in bids}
            booked |= {(Side.SELL, price): qty for price, qty, _ in asks}
            assert booked == dict(levels)


@_QUICK
@given(streams())
def test_nothing_is_bought_that_is_not_sold_and_every_order_is_in_balance(stream: Stream) -> None:
    bought: Counter[tuple[int, int]] = Counter()
    sides: dict[int, set[tuple[Side, int, int]]] = defaultdict(set)
    filled: Counter[int] = Counter()
    for event in told(run(new_engine(), stream)):
        if event.exec_type is ExecType.TRADE:
            sides[event.trade_id].add((event.side, event.last_qty, event.last_px))
            bought[event.instrument, event.side] += event.last_qty
            filled[event.order_id] += event.last_qty
        if event.status is not OrdStatus.REJECTED:
            assert event.cum_qty == filled[event.order_id]
        if event.status in _OPEN:
            assert event.qty == event.cum_qty + event.leaves_qty
            assert event.leaves_qty > 0
        else:
            assert event.leaves_qty == 0
        assert (event.status is OrdStatus.FILLED) is (event.qty == event.cum_qty > 0)
    for instrument in (1, 2):
        assert bought[instrument, Side.BUY] == bought[instrument, Side.SELL]
    for trade in sides.values():
        assert len(trade) == 2
        assert len({(qty, px) for _, qty, px in trade}) == 1


@_QUICK
@given(streams())
def test_a_trade_never_goes_past_an_orders_limit(stream: Stream) -> None:
    for event in told(run(new_engine(), stream)):
        if event.exec_type is ExecType.TRADE and event.price:
            assert event.last_px <= event.price if event.side == Side.BUY else event.last_px >= event.price


@_QUICK
@given(streams())
def test_each_accounts_numbers_are_dense_and_each_execution_id_is_used_once(stream: Stream) -> None:
    engine = new_engine()
    latest: Counter[int] = Counter()
    exec_id = 0
    for batch in run(engine, stream):
        for event in batch:
            is_numbered = not isinstance(event, OrderList)
            if isinstance(event, OrderEvent):
                is_numbered = event.exec_type is not ExecType.ORDER_STATUS
                assert event.exec_id == (exec_id + 1 if is_numbered else 0)
                exec_id += is_numbered
            latest[event.account] += is_numbered
            assert event.seq == latest[event.account]
    assert [engine.latest_seq(account) for account in _ACCOUNTS] == [latest[account] for account in _ACCOUNTS]


def answers(command: AnyCommand, events: list[AnyEvent]) -> list[AnyEvent]:
    """The events that are a first answer to the command."""
    mine = [event for event in events if event.cmd_id == command.cmd_id]
    kinds: dict[type, set[ExecType]] = {
        NewOrder: {ExecType.NEW, ExecType.REJECTED, ExecType.ORDER_STATUS},
        ReplaceOrder: {ExecType.REPLACED, ExecType.ORDER_STATUS},
        CancelOrder: {ExecType.CANCELED},
        MassCancel: set(),
        QueryOrders: set(),
    }
    kind = kinds[type(command)]
    return [
        event
        for event in mine
        if isinstance(event, CancelRejected | MassCancelDone | OrderList)
        or (isinstance(event, OrderEvent) and event.exec_type in kind)
    ]


@_QUICK
@given(streams())
def test_every_command_gets_exactly_one_answer_and_it_comes_first(stream: Stream) -> None:
    engine = new_engine()
    for now_ns, command in stream:
        events = engine.execute(command, now_ns)
        (answer,) = answers(command, events)
        assert answer.account == command.account
        assert answer is (events[-1] if isinstance(command, MassCancel) else events[0])
        for event in events:
            assert event.cmd_id in (0, command.cmd_id)
            assert event.t_core == now_ns


@_QUICK
@given(streams())
def test_every_event_survives_the_wire_between_core_and_gateway(stream: Stream) -> None:
    decode = msgspec.msgpack.Decoder(AnyEvent).decode
    for event in chain.from_iterable(run(new_engine(), stream)):
        assert decode(msgspec.msgpack.encode(event)) == event


@_QUICK
@given(streams(), st.integers(0, 150))
def test_commands_handed_over_again_change_nothing_and_say_nothing(stream: Stream, cut: int) -> None:
    once, again = new_engine(), new_engine()
    expected = run(once, stream)
    assert run(again, stream[:cut]) == expected[:cut]
    late = [(now_ns + 1_000, command) for now_ns, command in stream[:cut]]
    before = again.digest()
    assert run(again, late) == [[] for _ in late]
    assert again.digest() == before
    assert run(again, stream[cut:]) == expected[cut:]
    assert again.digest() == once.digest()


@_QUICK
@given(streams(), st.integers(0, 150), st.sampled_from([0, 1, 3, 100]))
def test_an_engine_restored_at_any_point_continues_as_the_first_one_does(stream: Stream, cut: int, dedupe: int) -> None:
    first, second = new_engine(dedupe), Engine(INSTRUMENTS, dedupe, "another epoch")
    run(first, stream[:cut])
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    assert second.epoch == first.epoch
    assert run(second, stream[cut:]) == run(first, stream[cut:])
    assert second.digest() == first.digest()


@_QUICK
@given(streams(), st.integers(0, 150), st.integers(0, 99), st.sampled_from([0, 1, 3, 100]))
def test_a_snapshot_in_pieces_has_the_state_of_its_beginning_whatever_happens_meanwhile(
    stream: Stream, cut: int, seed: int, dedupe: int
) -> None:
    draw = Random(seed)
    with patch.object(snapshots, "_ROWS", 2):
        engine, restored = new_engine(dedupe), Engine(INSTRUMENTS, dedupe, "another epoch")
        run(engine, stream[:cut])
        digest, pieces, at = engine.digest(), engine.begin_snapshot(), cut
        taken = []
        while at < len(stream):
            gap = draw.randint(0, 12)
            run(engine, stream[at : at + gap])
            at += gap
            taken += [piece] if (piece := next(pieces, b"")) else []
        restored.restore(*taken, *pieces)
    assert restored.digest() == digest
    run(restored, stream[cut:])
    assert restored.digest() == engine.digest()


_SCRIPT = """
from hypothesis import given, seed, settings
from tests.support.core_commands import any_command, any_int, streams
from tests.support.venue import new_engine

digests = []

@seed(20261122)
@settings(max_examples=20, database=None, deadline=None)
@given(streams(300))
def replay(stream):
    engine = new_engine(5)
    for now_ns, command in stream:
        digests.append(hash(tuple(event.seq for event in engine.execute(command, now_ns))))
    digests.append(engine.digest())

replay()
print(digests)
"""


def test_the_same_commands_give_the_same_state_under_any_hash_seed() -> None:
    outputs = set()
    for hash_seed in ("0", "1", "4711"):
        process = subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
            timeout=50,
        )
        outputs.add(process.stdout)
    (output,) = outputs
    assert output.count("'") >= 40


# -- two of a kind -------------------------------------------------------------------------------------------------


def random_step(random: Random) -> tuple:
    """One step for both venues; what a cancel or change names is chosen among the orders that rest then."""
    kind = random.choice(["limit"] * 5 + ["market", "cancel", "change", "change"])
    if kind == "cancel":
        return kind, random.randint(0, 99)
    if kind == "change":
        return kind, random.randint(0, 99), random.randint(1, 12), random.randint(97, 103)
    account, side, stp = random.randint(1, 3), random.choice(list(Side)), random.choice(list(Stp)[:-1])
    if kind == "market":
        return kind, account, side, random.randint(1, 15), stp
    price = random.randint(97, 101) if side == Side.BUY else random.randint(99, 103)
    tif = random.choice([Tif.GTC] * 4 + [Tif.IOC, Tif.FOK])
    return kind, account, side, price, random.randint(1, 9), tif, stp, random.random() < 0.1


class Twins:
    """Engine and naive venue, given the same steps."""

    def __init__(self) -> None:
        self.engine = new_engine(1_000)
        self.naive = NaiveVenue()
        self.fills: list[tuple[int, int, int, int]] = []
        self.gone: list[int] = []
        self.refused: list[int] = []
        self.expect_refused: list[int] = []
        self._n = 0
        self._order_id = 0
        self._post_only: set[int] = set()

    def take(self, kind: str, *args: int) -> None:
        """Give both one step, and the engine's events to the record."""
        self._n += 1
        if kind == "limit":
            command = self._limit(*args)
        elif kind == "market":
            command = self._market(*args)
        else:
            resting = sorted(self.naive.resting, key=lambda order: order.number)
            if not resting:
                return
            target = resting[args[0] % len(resting)]
            command = self._cancel(target) if kind == "cancel" else self._change(target, *args[1:])
        taker = 0
        for event in self.engine.execute(command, self._n):
            if isinstance(event, CancelRejected) or event.exec_type is ExecType.REJECTED:
                assert event.code == WOULD_TAKE
                self.refused.append(self._n)
            elif event.exec_type is ExecType.TRADE and not event.maker:
                taker = event.order_id
            elif event.exec_type is ExecType.TRADE:
                self.fills.append((taker, event.order_id, event.last_qty, event.last_px))
            elif event.exec_type is ExecType.CANCELED:
                self.gone.append(event.order_id)

    def turns(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(order_id, leaves) of the engine's bids and asks in the order in which they would trade."""
        leaves = {o.order_id: o.leaves_qty for account in _ACCOUNTS for o in self.engine.open_orders(account)}
        bids, asks = snapshots.decode(self.engine.snapshot()).resting[1]
        return [(number, leaves[number]) for number in bids], [(number, leaves[number]) for number in asks]

    def _limit(self, account: int, side: Side, price: int, qty: int, tif: Tif, stp: Stp, is_post: bool) -> NewOrder:
        is_post = is_post and tif == Tif.GTC
        if is_post and self.naive.would_take(side, price):
            self.expect_refused.append(self._n)
        else:
            self._order_id += 1
            if is_post:
                self._post_only.add(self._order_id)
            self.naive.place(NaiveOrder(self._order_id, account, side, price, qty, tif, stp))
        flags = POST_ONLY if is_post else 0
        terms = (f"o{self._n}", 1, side, OrdType.LIMIT, tif, qty, price)
        return NewOrder(*self._head(account), *terms, flags=flags, stp=stp)

    def _market(self, account: int, side: Side, qty: int, stp: Stp) -> NewOrder:
        self._order_id += 1
        self.naive.place(NaiveOrder(self._order_id, account, side, None, qty, Tif.IOC, stp))
        return NewOrder(*self._head(account), f"o{self._n}", 1, side, OrdType.MARKET, Tif.IOC, qty, stp=stp)

    def _cancel(self, target: NaiveOrder) -> CancelOrder:
        self.naive.cancel(target.number)
        return CancelOrder(*self._head(target.account), f"o{self._n}", 1, target.number)

    def _change(self, target: NaiveOrder, leaves: int, price: int) -> ReplaceOrder:
        (state,) = [o for o in self.engine.open_orders(target.account) if o.order_id == target.number]
        if target.number in self._post_only and self.naive.would_take(target.side, price):
            self.expect_refused.append(self._n)
        else:
            self.naive.change(target.number, leaves, price)
        qty = state.cum_qty + leaves
        return ReplaceOrder(*self._head(target.account), f"o{self._n}", 1, qty, price, target.number)

    def _head(self, account: int) -> tuple[int, int, int, Origin, int, int]:
        return pack_cmd_id(account, Lane.ORDER, self._n), account, account, Origin.FIX, 0, 0


@_QUICK
@given(st.integers(0, (1 << 32) - 1), st.one_of(st.just(100), st.integers(0, 100)))
def test_book_and_matcher_trade_exactly_as_the_naive_venue_does(seed: int, length: int) -> None:
    twins, random = Twins(), Random(seed)
    for _ in range(length):
        twins.take(*random_step(random))
        assert twins.fills == twins.naive.fills
        assert twins.gone == twins.naive.gone
        assert twins.refused == twins.expect_refused
        assert twins.turns() == twins.naive.sides()


# -- any input -----------------------------------------------------------------------------------------------------


@_QUICK
@given(st.lists(st.tuples(any_command(), any_int), min_size=5, max_size=20))
def test_any_values_whatever_get_one_answer_that_can_be_encoded(rows: list[tuple[AnyCommand, int]]) -> None:
    engine = new_engine(2)
    for n, (command, now_ns) in enumerate(rows, 1):
        numbered = msgspec.structs.replace(command, cmd_id=pack_cmd_id(command.session, Lane.ORDER, n))
        events = engine.execute(numbered, now_ns)
        assert len(answers(numbered, events)) == 1
        msgspec.msgpack.encode(events)
    twin = new_engine(2)
    twin.restore(engine.snapshot())
    assert twin.digest() == engine.digest()


@pytest.mark.parametrize("n", [0, 1])
def test_a_command_number_that_is_not_above_the_last_one_is_dropped(n: int) -> None:
    engine = new_engine()
    command = NewOrder(
        pack_cmd_id(1, Lane.ORDER, 1), 1, 1, Origin.FIX, 0, 0, "a", 1, Side.BUY, OrdType.LIMIT, Tif.GTC, 5, 100
    )
    assert len(engine.execute(command, 1)) == 1
    repeat = msgspec.structs.replace(command, cmd_id=pack_cmd_id(1, Lane.ORDER, n), cl_ord_id="b")
    assert engine.execute(repeat, 2) == []
    other_lane = msgspec.structs.replace(command, cmd_id=pack_cmd_id(1, Lane.CANCEL, 1), cl_ord_id="b")
    assert len(engine.execute(other_lane, 2)) == 1
