"""The simulated traders against doors made of a dict: what they keep open, what they note, that chance is repeatable.

The doors here answer at once and by the contract; whether the real ones do is the end-to-end tests' business.
Modules: demo.institution, demo.maker.
"""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from gateway.client.fix import Fields
from gateway.client.ws import Json
from gateway.demo.institution import Institution
from gateway.demo.ledger import Status
from gateway.demo.maker import Maker
from gateway.demo.market import PAIRS, Market

SYMBOLS = {pair.symbol for pair in PAIRS}


class FixDoor:
    """Accepts every order of a known symbol, rests what is not IOC or market, fills some of the rest."""

    def __init__(self) -> None:
        self.on_message: Callable[[str, Fields], None] = lambda *_: None
        self._said: list[tuple[str, Fields]] = []
        self.sent: Counter[str] = Counter()
        self.open: set[str] = set()
        self.most_open = 0
        self.seq_num = 0

    def _say(self, msg_type: str, fields: Fields) -> None:
        self._said.append((msg_type, fields))

    def deliver(self) -> None:
        """Let the trader hear what was said, as it would on a later turn of the loop."""
        said, self._said = self._said, []
        for msg_type, fields in said:
            self.on_message(msg_type, fields)

    def _next(self, kind: str) -> int:
        self.sent[kind] += 1
        self.seq_num += 1
        return self.seq_num

    def place(
        self, cl_ord_id: str, symbol: str, side: str, qty: str, price: str | None = None, *, tif: str | None = None
    ) -> int:
        number = self._next("D")
        if symbol not in SYMBOLS:
            self._say("8", {11: cl_ord_id, 150: "8", 39: "8", 25016: "2003"})
            return number
        self._say("8", {11: cl_ord_id, 150: "0", 39: "0"})
        if tif == "1":
            self.open.add(cl_ord_id)
            self.most_open = max(self.most_open, len(self.open))
        else:
            self._say("8", {11: cl_ord_id, 150: "F", 39: "1"})
            self._say("8", {11: cl_ord_id, 150: "4", 39: "4"})
        return number

    def cancel(self, cl_ord_id: str, orig_cl_ord_id: str, symbol: str, side: str) -> int:
        number = self._next("F")
        if orig_cl_ord_id in self.open:
            self.open.discard(orig_cl_ord_id)
            self._say("8", {11: cl_ord_id, 41: orig_cl_ord_id, 150: "4", 39: "4"})
        else:
            self._say("9", {11: cl_ord_id, 41: orig_cl_ord_id, 434: "1", 102: "1", 25016: "4002"})
        return number

    def replace(self, cl_ord_id: str, orig_cl_ord_id: str, symbol: str, side: str, qty: str, price: str) -> int:
        number = self._next("G")
        self.open.remove(orig_cl_ord_id)
        self.open.add(cl_ord_id)
        self._say("8", {11: cl_ord_id, 41: orig_cl_ord_id, 150: "5", 39: "0"})
        return number

    def mass_cancel(self, cl_ord_id: str) -> int:
        number = self._next("q")
        for order in sorted(self.open):
            self._say("8", {11: order, 150: "4", 39: "4"})
        self.open.clear()
        self._say("r", {11: cl_ord_id, 531: "7"})
        return number


class Deaf(FixDoor):
    """Takes everything and says nothing."""

    def place(self, *_: object, **__: object) -> int:
        return self._next("D")


def institution(door: FixDoor, seed: int = 1) -> Institution:
    return Institution(door, Market(PAIRS, random.Random(seed)), "fx")  # type: ignore[arg-type]


async def test_an_institution_keeps_its_open_orders_bounded_and_knows_them_exactly() -> None:
    door = FixDoor()
    trader = institution(door)
    for _ in range(2_000):
        await trader.step()
        door.deliver()
        assert trader.resting == len(door.open)
    assert 0 < door.most_open <= 40
    assert min(door.sent[kind] for kind in "DFG") > 50
    await trader.withdraw()
    door.deliver()
    assert (trader.resting, trader.ledger.waiting) == (0, {})
    assert trader.ledger.refusals[2003] > 0
    assert Status.WAITING not in trader.ledger.states


async def test_an_institution_that_is_not_answered_stops_asking() -> None:
    door = Deaf()
    trader = institution(door)
    for _ in range(2_000):
        await trader.step()
    assert door.sent["D"] == len(trader.ledger.waiting) == 250


async def test_a_burst_is_sent_whole() -> None:
    door = FixDoor()
    await institution(door).burst()
    assert door.sent["D"] == 100


async def test_the_same_seed_makes_the_same_choices() -> None:
    ledgers = []
    for _ in range(2):
        door = FixDoor()
        trader = institution(door, seed=42)
        for _ in range(300):
            await trader.step()
            door.deliver()
        ledgers.append((trader.ledger.states, trader.ledger.asked))
    assert ledgers[0] == ledgers[1]


@pytest.mark.parametrize(
    ("msg_type", "answer", "code"),
    [
        ("j", {379: "fx-1", 380: "0", 25016: "5001", 20102: "0"}, 5001),
        ("3", {45: "1", 373: "5", 25016: "2001"}, 2001),
        ("8", {11: "fx-1", 150: "8", 39: "8", 25016: "3001"}, 3001),
    ],
)
async def test_every_way_to_refuse_an_order_ends_its_wait(msg_type: str, answer: Fields, code: int) -> None:
    door = Deaf()
    trader = institution(door)
    await trader.burst()
    door.on_message(msg_type, answer)
    assert trader.ledger.refusals == {code: 1}
    assert 1 not in trader.ledger.waiting


@pytest.mark.parametrize(
    ("msg_type", "answer"),
    [
        ("8", {11: "fx-1", 150: "A", 39: "A", 25016: "5004", 20102: "1"}),
        ("j", {379: "fx-1", 380: "0", 25016: "5004", 20102: "1"}),
    ],
)
async def test_an_unknown_outcome_is_no_answer_and_the_report_that_follows_is(msg_type: str, answer: Fields) -> None:
    door = Deaf()
    trader = institution(door)
    await trader.burst()
    door.on_message(msg_type, answer)
    assert 1 in trader.ledger.waiting
    door.on_message("8", {11: "fx-1", 150: "0", 39: "0"})
    assert trader.ledger.states[1] == Status.PLACED


class WsDoor:
    """Accepts what names no unknown field, answers before `post` returns."""

    def __init__(self) -> None:
        self.on_event: Callable[[Json], None] = lambda _: None
        self.sent: Counter[str] = Counter()
        self.open: set[str] = set()
        self.most_open = 0

    async def post(self, method: str, params: Json, on_answer: Callable[[Json], None]) -> int:
        self.sent[method] += 1
        cl_ord_id, orig = str(params.get("cl_ord_id", "")), str(params.get("orig_cl_ord_id", ""))
        if method == "order.place" and ("colour" in params or cl_ord_id in self.open):
            code = 2001 if "colour" in params else 4003
            on_answer({"id": 1, "status": 400, "error": {"code": code, "outcome": "not_executed"}})
            if code == 4003:
                self.tell(cl_ord_id, "rejected", "rejected")
            return 1
        if method in {"order.cancel", "order.replace"}:
            self.open.remove(orig)
        if method in {"order.place", "order.replace"} and params.get("tif") != "ioc":
            self.open.add(cl_ord_id)
        if method == "order.cancel_all":
            gone, self.open = sorted(self.open), set()
            on_answer({"id": 1, "status": 200, "result": {"canceled": len(gone)}})
            for order in gone:
                self.tell(order, "canceled", "canceled")
            return 1
        self.most_open = max(self.most_open, len(self.open))
        on_answer({"id": 1, "status": 200, "result": {"cl_ord_id": cl_ord_id, "status": "new"}})
        return 1

    def tell(self, cl_ord_id: str, kind: str, status: str) -> None:
        """One order event."""
        self.on_event({"ev": "order", "seq": 1, "data": {"exec": kind, "status": status, "cl_ord_id": cl_ord_id}})

    def fill(self) -> str:
        """Fill one open order whole."""
        order = self.open.pop()
        self.tell(order, "trade", "filled")
        return order


def maker(door: WsDoor) -> Maker:
    return Maker(door, Market(PAIRS, random.Random(1)), "mm1")  # type: ignore[arg-type]


async def test_a_maker_shows_at_most_one_order_per_slot_and_knows_which() -> None:
    door = WsDoor()
    trader = maker(door)
    for turn in range(2_000):
        await trader.step()
        if turn % 50 == 49 and door.open:
            door.fill()
        quotes = trader.resting
        assert quotes <= 12
        assert quotes <= len(door.open)
    assert trader.ledger.fills > 0
    assert min(door.sent[method] for method in ("order.place", "order.replace", "order.cancel")) > 50
    assert {2001, 4003} <= set(trader.ledger.refusals)
    await trader.withdraw()
    assert (trader.resting, trader.ledger.waiting) == (0, {})


async def test_a_refused_duplicate_id_does_not_hide_the_order_that_has_it() -> None:
    door = WsDoor()
    trader = maker(door)
    while not trader.resting:
        await trader.step()
    shown = next(iter(door.open))
    door.tell(shown, "rejected", "rejected")
    assert trader.resting == 1


async def test_an_unknown_outcome_over_websocket_waits_for_the_event() -> None:
    door = WsDoor()
    trader = maker(door)
    answers: list[Callable[[Json], None]] = []

    async def hold(_: str, __: Json, on_answer: Callable[[Json], None]) -> int:
        answers.append(on_answer)
        return 1

    door.post = hold  # type: ignore[method-assign]
    await trader.step()
    answers[0]({"id": 1, "status": 504, "error": {"code": 5004, "outcome": "unknown"}})
    assert 1 in trader.ledger.waiting
    door.tell("mm1-1", "new", "new")
    assert trader.ledger.states[1] == Status.PLACED


def test_the_walk_stays_around_its_start() -> None:
    market = Market(PAIRS, random.Random(1))
    for _ in range(20_000):
        market.walk()
        for pair in PAIRS:
            assert abs(market.mids[pair.symbol] - pair.mid) < pair.mid // 10
