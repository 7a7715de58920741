"""A market maker of the demo: quotes both sides over WebSocket around a moving mid price, and is filled.

A quote is a fixed set of slots (pair, side, level). Each is empty, busy with one request, or shows one order, so the
number of open orders and of unanswered requests is bounded. Its mistakes and bursts are deliberate.

When its gateway dies it resumes its stream at another one. What it had asked and was not answered:

| request | what it does then |
| --- | --- |
| a new order | sends it again with `retry`, until the answer is final |
| a replace, a cancel | once the stream is whole: what caused no event is void |
"""

import time
from collections import deque
from functools import partial

import msgspec

from gateway.client.ws import Json, WsClient
from gateway.demo.ledger import Kind, Ledger
from gateway.demo.market import Market, Pair

_LEVELS = 3
_SIDES = ("buy", "sell")
_BURST = 120
_MAX_WAITING = 250
_OVER = frozenset({"filled", "canceled", "expired", "rejected"})
_GONE = frozenset({4002, 4004})  # the order is unknown or finished, so it is not in the book


class Slot(msgspec.Struct, eq=False):
    """One place of the quote. cl_ord_id "" = no order; busy = a request about it is unanswered."""

    pair: Pair
    side: str
    level: int
    cl_ord_id: str = ""
    busy: bool = False


class Asked(msgspec.Struct, eq=False):
    """A request without a final answer. ts: when it was sent first, in µs UTC; is_retry: it was sent again."""

    kind: Kind
    params: Json
    slot: Slot | None
    ts: int
    may_retry: bool = False
    is_retry: bool = False


class Maker:
    """One WebSocket session that quotes. `step` refreshes the next slot of the quote."""

    def __init__(self, client: WsClient, market: Market, prefix: str) -> None:
        self.client = client
        self.ledger = Ledger(prefix, "ws")
        self._market = market
        self._chance = market.chance
        self._slots = [Slot(pair, side, level) for level in range(_LEVELS) for pair in market.pairs for side in _SIDES]
        self._shown: dict[str, Slot] = {}
        self._turn = 0
        self._asked: dict[int, Asked] = {}
        self._again: deque[int] = deque()  # orders to be sent again
        self._lost: list[int] = []  # other requests whose answer was lost: known when the stream has been resumed
        client.on_event = self._receive

    async def step(self) -> None:
        """Place, move or cancel the next slot's order; now and then make a mistake instead."""
        if self._again:
            await self.mend()
            return
        if len(self.ledger.waiting) >= _MAX_WAITING:
            return
        if self._chance.random() < 0.03:
            await self._blunder()
            return
        self._turn = (self._turn + 1) % len(self._slots)
        slot = self._slots[self._turn]
        if slot.busy:
            return
        if not slot.cl_ord_id:
            await self._show(slot)
        elif self._chance.random() < 0.55:
            await self._move(slot)
        else:
            await self._pull(slot)

    async def burst(self) -> None:
        """Send far more at once than the plan allows, far from the market: the excess is refused with 3001."""
        pair = self._market.pairs[0]
        price = pair.price(self._market.mids[pair.symbol] * 9 // 10)
        for _ in range(_BURST):
            await self._place(pair, "buy", price, pair.qty(pair.quote_qty[0]), {"tif": "ioc"})

    async def withdraw(self) -> None:
        """Ask for the cancellation of everything that is shown."""
        await self._ask(Kind.CANCEL, "order.cancel_all", {})

    @property
    def is_cut(self) -> bool:
        """Whether it has lost its connection."""
        return self.client.closed is not None

    async def come_back(self, url: str) -> None:
        """Resume after the last event that was seen.

        Raises:
            ConnectionError: not now, or events are missing.
            aiohttp.ClientError, TimeoutError, RequestRefused: see `WsClient.logon`.
        """
        await self.client.abort()
        if self.client.last_seq is None:
            self.client.last_seq = 0  # its orders may have caused events, though it has heard of none
        self._again.clear()
        self._lost = [n for n, asked in self._asked.items() if not asked.may_retry]
        retries = [n for n, asked in self._asked.items() if asked.may_retry]
        resume = (await self.client.logon(url, resume=True))["resume"]
        assert isinstance(resume, dict)
        if resume["status"] == "snapshot":
            raise ConnectionError(f"the stream cannot be resumed: {resume}")
        if resume["status"] == "none":
            self._give_up_lost()
        self._again.extend(retries)

    async def mend(self) -> None:
        """Send one of the orders again whose outcome is not known: one at a time, or the limits would refuse them."""
        if self._again:
            n = self._again.popleft()
            asked = self._asked[n]
            self.ledger.retried += not asked.is_retry
            asked.is_retry = True
            params = {**asked.params, "retry": True, "ts": asked.ts}
            await self.client.post("order.place", params, partial(self._answered, n))

    def _give_up_lost(self) -> None:
        """The stream is whole up to what the last gateway had handed over: what is not in it was not carried out."""
        for n in self._lost:
            asked = self._asked.pop(n, None)
            if asked is not None:
                self.ledger.void(n)
                if asked.slot is not None:
                    asked.slot.busy = False
        self._lost.clear()

    @property
    def resting(self) -> int:
        """How many orders are shown."""
        return len(self._shown)

    async def _ask(self, kind: Kind, method: str, params: Json, slot: Slot | None = None) -> None:
        """Send one request; an order or a replace gets its id here, unless it has one."""
        n = self.ledger.ask(kind, time.perf_counter_ns())
        own = self.ledger.id_of(n)
        if kind is not Kind.CANCEL:
            params = {"cl_ord_id": own, **params}
        # A mistake that has the id of another order would be told the state of that one.
        may_retry = kind is Kind.PLACE and params["cl_ord_id"] == own
        self._asked[n] = Asked(kind, params, slot, time.time_ns() // 1_000, may_retry)
        if slot is not None:
            slot.busy = True
        await self.client.post(method, params, partial(self._answered, n))

    def _quote(self, slot: Slot) -> str:
        pair, mid = slot.pair, self._market.mids[slot.pair.symbol]
        away = pair.half_spread + slot.level * pair.gap + self._chance.randint(0, pair.gap)
        return pair.price(mid - away if slot.side == "buy" else mid + away)

    async def _place(self, pair: Pair, side: str, price: str, qty: str, more: Json, slot: Slot | None = None) -> None:
        params: Json = {"symbol": pair.symbol, "side": side, "type": "limit", "price": price, "qty": qty, **more}
        await self._ask(Kind.PLACE, "order.place", params, slot)

    async def _show(self, slot: Slot) -> None:
        qty = slot.pair.qty(self._chance.randint(*slot.pair.quote_qty))
        await self._place(slot.pair, slot.side, self._quote(slot), qty, {"post_only": True}, slot)

    async def _move(self, slot: Slot) -> None:
        params: Json = {"symbol": slot.pair.symbol, "orig_cl_ord_id": slot.cl_ord_id}
        qty = slot.pair.qty(self._chance.randint(*slot.pair.quote_qty))
        params |= {"qty": qty, "price": self._quote(slot), "post_only": True}
        await self._ask(Kind.REPLACE, "order.replace", params, slot)

    async def _pull(self, slot: Slot) -> None:
        params: Json = {"symbol": slot.pair.symbol, "orig_cl_ord_id": slot.cl_ord_id}
        await self._ask(Kind.CANCEL, "order.cancel", params, slot)

    async def _blunder(self) -> None:
        """One of the mistakes that real bots make; each has its own code."""
        pair = self._chance.choice(self._market.pairs)
        mid = self._market.mids[pair.symbol]
        price, qty, twice = pair.price(mid), pair.qty(pair.quote_qty[0]), next(iter(self._shown), "")
        mistakes: list[tuple[str, str, Json]] = [
            (price + "5", qty, {}),  # 2004: finer than the tick
            (price, qty + "5", {}),  # 2005: finer than the lot
            (pair.price(mid * 3), qty, {}),  # 2007
            (pair.price(mid * 11 // 10), qty, {"post_only": True}),  # 4005: would trade
            (price, qty, {"colour": "blue"}),  # 2001
        ]
        if twice:
            mistakes.append((price, qty, {"cl_ord_id": twice}))  # 4003
        bad_price, bad_qty, more = self._chance.choice(mistakes)
        await self._place(pair, "buy", bad_price, bad_qty, more)

    def _answered(self, n: int, answer: Json) -> None:
        now_ns, asked = time.perf_counter_ns(), self._asked.get(n)
        if asked is None:
            return
        error, slot = answer.get("error"), asked.slot
        if isinstance(error, dict):
            is_unknown = error["outcome"] == "unknown"
            if asked.may_retry and (is_unknown or (asked.is_retry and error["retry"])):
                self._again.append(n)  # not the final answer: what was sent first may have been carried out
                return
            if slot is not None:
                slot.busy = False
            if is_unknown:
                return  # an event follows
            del self._asked[n]
            self.ledger.refused(n, int(error["code"]), now_ns)
            if slot is not None and asked.kind is not Kind.PLACE and error["code"] in _GONE:
                self._clear(slot)
            return
        result = answer["result"]
        assert isinstance(result, dict)
        del self._asked[n]
        if n in self.ledger.waiting or not result.get("duplicate"):  # else an event has told it already
            self.ledger.carried_out(n, now_ns)
        if slot is not None:
            slot.busy = False
            self._clear(slot)
            if asked.kind is not Kind.CANCEL and result["status"] not in _OVER:
                self._show_in(slot, n)

    def _show_in(self, slot: Slot, n: int) -> None:
        slot.cl_ord_id = self.ledger.id_of(n)
        self._shown[slot.cl_ord_id] = slot

    def _clear(self, slot: Slot) -> None:
        self._shown.pop(slot.cl_ord_id, None)
        slot.cl_ord_id = ""

    def _receive(self, event: Json) -> None:
        data = event["data"]
        if event["ev"] == "resumed":
            self._give_up_lost()
        if event["ev"] != "order" or not isinstance(data, dict):
            return
        if data["exec"] == "trade":
            self.ledger.fills += 1
        elif data["exec"] in {"new", "replaced"}:
            self._heard_of(self.ledger.number_of(data["cl_ord_id"]))
        elif data["status"] == "rejected":
            return  # reported in the answer; its id may belong to an order that is still open
        if data["status"] in _OVER:
            slot = self._shown.get(data.get("orig_cl_ord_id") or data["cl_ord_id"])
            if slot is not None:
                self._clear(slot)

    def _heard_of(self, n: int) -> None:
        """An order or a replace was carried out: if that was not answered, this is how it is known."""
        if n not in self.ledger.waiting:
            return
        self.ledger.carried_out(n, time.perf_counter_ns())
        if n in self._lost and (asked := self._asked.pop(n)).slot is not None:
            asked.slot.busy = False
            self._clear(asked.slot)
            self._show_in(asked.slot, n)
