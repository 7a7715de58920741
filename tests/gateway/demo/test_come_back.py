"""What the simulated traders make of requests that were not answered when their gateway died.

The doors here are made of lists; whether the real ones do this is `tests/e2e/test_demo_nodes.py`.
Modules: demo.institution, demo.maker, demo.simulate.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable

import pytest

from gateway.client.fix import Fields
from gateway.client.ws import Json
from gateway.demo.institution import Institution
from gateway.demo.ledger import Kind, Status
from gateway.demo.maker import Maker
from gateway.demo.market import PAIRS, Market
from gateway.demo.simulate import Road


class FixSession:
    """Numbers what it is given, and answers nothing."""

    def __init__(self) -> None:
        self.on_message: Callable[[str, Fields], None] = lambda *_: None
        self.on_asked_again: Callable[[int, int], None] = lambda *_: None
        self.closed = asyncio.Event()
        self.seq_num = 1

    def place(self, *_: object, **__: object) -> int:
        if self.closed.is_set():
            raise ConnectionError("not connected")
        self.seq_num += 1
        return self.seq_num

    async def logon(self, _host: str, _port: int) -> None:
        self.closed.clear()


async def test_what_the_next_gateway_asks_for_again_is_void_and_what_it_has_is_still_awaited() -> None:
    session = FixSession()
    trader = Institution(session, Market(PAIRS, random.Random(1)), "fx")  # type: ignore[arg-type]
    await trader.burst()  # numbers 2 to 101
    session.closed.set()
    with pytest.raises(ConnectionError):
        await trader.burst()  # one more, which was not sent
    assert trader.is_cut
    await trader.come_back("127.0.0.1", 1)
    assert trader.ledger.states[101] == Status.VOID
    session.on_asked_again(92, 101)
    assert [n for n in range(1, 101) if trader.ledger.states[n] == Status.VOID] == list(range(91, 101))
    session.on_message("8", {11: "fx-90", 150: "0", 39: "0"})
    assert trader.ledger.states[90] == Status.PLACED
    assert len(trader.ledger.waiting) == 89


class Stream:
    """A WebSocket door that keeps what it is asked. `resume`: what the next logon says."""

    def __init__(self) -> None:
        self.on_event: Callable[[Json], None] = lambda _: None
        self.closed: ConnectionError | None = None
        self.last_seq: int | None = 7
        self.resume: Json = {"status": "replayed", "begin": 8, "end": 9}
        self.asked: list[tuple[str, Json, Callable[[Json], None]]] = []

    async def post(self, method: str, params: Json, on_answer: Callable[[Json], None]) -> int:
        self.asked.append((method, params, on_answer))
        return len(self.asked)

    async def abort(self) -> None:
        self.asked.clear()

    async def logon(self, _: str, *, resume: bool) -> Json:
        assert resume
        self.closed = None
        return {"resume": self.resume}

    def tell(self, ev: str = "order", **data: object) -> None:
        self.on_event({"ev": ev, "data": data})


def maker(door: Stream) -> Maker:
    return Maker(door, Market(PAIRS, random.Random(3)), "mm1")  # type: ignore[arg-type]


def placed(cl_ord_id: str, **more: object) -> Json:
    return {"result": {"cl_ord_id": cl_ord_id, "status": "new", **more}}


async def show_one(trader: Maker, door: Stream) -> None:
    """One order in its first slot, answered."""
    await trader._show(trader._slots[0])
    door.asked.pop()[2](placed("mm1-1"))
    assert trader.resting == 1


async def test_an_order_without_an_answer_is_sent_again_as_a_retry_with_its_first_time() -> None:
    door = Stream()
    trader = maker(door)
    await trader._show(trader._slots[0])
    first = door.asked[0][1]
    await trader.come_back("ws://b")
    door.tell(exec="new", status="new", cl_ord_id="mm1-1")  # replayed: it had been placed
    await trader.mend()
    method, again, answer = door.asked.pop()
    assert method == "order.place"
    assert {**first, "retry": True, "ts": again["ts"]} == again
    answer(placed("mm1-1", duplicate=True))
    assert trader.ledger.states[1] == Status.PLACED, "told twice, and placed once"
    assert (trader.resting, trader.ledger.accepted) == (1, 1)


@pytest.mark.parametrize("code", [{"code": 3001, "outcome": "not_executed", "retry": True}, {"outcome": "unknown"}])
async def test_a_retry_that_is_too_fast_or_unknown_says_nothing_of_the_first_and_is_repeated(code: Json) -> None:
    door = Stream()
    trader = maker(door)
    await trader._show(trader._slots[0])
    await trader.come_back("ws://b")
    await trader.mend()
    door.asked.pop()[2]({"error": {"code": 5004, **code}})
    assert 1 in trader.ledger.waiting
    await trader.mend()
    door.asked.pop()[2]({"error": {"code": 4005, "outcome": "not_executed", "retry": False}})
    assert trader.ledger.states[1] == Status.REFUSED
    await trader.mend()
    assert door.asked == []


@pytest.mark.parametrize("is_executed", [True, False])
async def test_a_replace_without_an_answer_is_what_the_stream_says_when_it_is_whole(is_executed: bool) -> None:
    door = Stream()
    trader = maker(door)
    await show_one(trader, door)
    await trader._move(trader._slots[0])
    await trader.come_back("ws://b")
    if is_executed:
        door.tell(exec="replaced", status="new", cl_ord_id="mm1-2", orig_cl_ord_id="mm1-1")
    assert trader.ledger.states[2] == (Status.REPLACED if is_executed else Status.WAITING)
    door.tell("resumed")
    assert trader.ledger.states[2] == (Status.REPLACED if is_executed else Status.VOID)
    slot = trader._slots[0]
    assert (slot.busy, slot.cl_ord_id) == (False, "mm1-2" if is_executed else "mm1-1")
    assert door.asked == [], "a replace is not sent again"


async def test_when_nothing_was_missed_a_cancel_without_an_answer_was_not_carried_out() -> None:
    door = Stream()
    door.resume = {"status": "none"}
    trader = maker(door)
    await show_one(trader, door)
    await trader._pull(trader._slots[0])
    await trader.come_back("ws://b")
    assert trader.ledger.states[2] == Status.VOID
    assert not trader._slots[0].busy
    assert trader.ledger.asked[Kind.CANCEL] == 1


async def test_a_stream_that_cannot_be_resumed_is_no_way_back() -> None:
    door = Stream()
    door.resume = {"status": "snapshot", "reason": "too_old"}
    with pytest.raises(ConnectionError, match="cannot be resumed"):
        await maker(door).come_back("ws://b")


async def test_a_trader_tries_the_other_gateways_in_turn_and_then_its_own() -> None:
    tried = []

    async def come_back(door: str) -> None:
        tried.append(door)
        if len(tried) < 3:
            raise ConnectionRefusedError

    road = Road(maker(Stream()), deque(("a", "b", "c")), come_back)
    await road.come_back()
    assert tried == ["b", "c", "a"]
    alone = Road(maker(Stream()), deque(("a",)), come_back)
    with pytest.raises(ConnectionError):
        await alone.come_back()
