"""A market maker of the demo: quotes both sides over WebSocket around a moving mid price, and is filled.

A quote is a fixed set of slots (pair, side, level). Each is empty, busy with one request, or shows one order, so the
number of open orders and of unanswered requests is bounded. Its mistakes and bursts are deliberate.
"""

import time
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
        client.on_event = self._receive

    async def step(self) -> None:
        """Place, move or cancel the next slot's order; now and then make a mistake instead."""
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
        n = self._ask(Kind.CANCEL)
        await self.client.post("order.cancel_all", {}, partial(self._answered, n))

    @property
    def resting(self) -> int:
        """How many orders are shown."""
        return len(self._shown)

    def _ask(self, ask: Kind) -> int:
        return self.ledger.ask(ask, time.perf_counter_ns())

    def _quote(self, slot: Slot) -> str:
        pair, mid = slot.pair, self._market.mids[slot.pair.symbol]
        away = pair.half_spread + slot.level * pair.gap + self._chance.randint(0, pair.gap)
        return pair.price(mid - away if slot.side == "buy" else mid + away)

    async def _place(self, pair: Pair, side: str, price: str, qty: str, more: Json, slot: Slot | None = None) -> None:
        n = self._ask(Kind.PLACE)
        params: Json = {"symbol": pair.symbol, "side": side, "type": "limit", "price": price, "qty": qty}
        params |= {"cl_ord_id": self.ledger.id_of(n), **more}
        await self.client.post("order.place", params, partial(self._answered, n, slot=slot))

    async def _show(self, slot: Slot) -> None:
        slot.busy = True
        qty = slot.pair.qty(self._chance.randint(*slot.pair.quote_qty))
        await self._place(slot.pair, slot.side, self._quote(slot), qty, {"post_only": True}, slot)

    async def _move(self, slot: Slot) -> None:
        slot.busy = True
        n = self._ask(Kind.REPLACE)
        params: Json = {"symbol": slot.pair.symbol, "orig_cl_ord_id": slot.cl_ord_id, "cl_ord_id": self.ledger.id_of(n)}
        qty = slot.pair.qty(self._chance.randint(*slot.pair.quote_qty))
        params |= {"qty": qty, "price": self._quote(slot), "post_only": True}
        await self.client.post("order.replace", params, partial(self._answered, n, slot=slot, moved=True))

    async def _pull(self, slot: Slot) -> None:
        slot.busy = True
        params: Json = {"symbol": slot.pair.symbol, "orig_cl_ord_id": slot.cl_ord_id}
        n = self._ask(Kind.CANCEL)
        await self.client.post("order.cancel", params, partial(self._answered, n, slot=slot, pulled=True))

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

    def _answered(
        self, n: int, answer: Json, *, slot: Slot | None = None, moved: bool = False, pulled: bool = False
    ) -> None:
        now_ns = time.perf_counter_ns()
        if slot is not None:
            slot.busy = False
        error = answer.get("error")
        if isinstance(error, dict):
            if error["outcome"] == "unknown":
                return  # not the final answer: an event follows
            self.ledger.refused(n, int(error["code"]), now_ns)
            if slot is not None and (moved or pulled) and error["code"] in _GONE:
                self._clear(slot)
            return
        self.ledger.carried_out(n, now_ns)
        if slot is not None:
            self._clear(slot)
            result = answer["result"]
            if not pulled and isinstance(result, dict) and result["status"] not in _OVER:
                slot.cl_ord_id = self.ledger.id_of(n)
                self._shown[slot.cl_ord_id] = slot

    def _clear(self, slot: Slot) -> None:
        self._shown.pop(slot.cl_ord_id, None)
        slot.cl_ord_id = ""

    def _receive(self, event: Json) -> None:
        data = event["data"]
        if event["ev"] != "order" or not isinstance(data, dict):
            return
        if data["exec"] == "trade":
            self.ledger.fills += 1
        elif data["exec"] == "new":
            n = self.ledger.number_of(data["cl_ord_id"])
            if n in self.ledger.waiting:
                self.ledger.carried_out(n, time.perf_counter_ns())  # this was the unknown outcome
        elif data["status"] == "rejected":
            return  # reported in the answer; its id may belong to an order that is still open
        if data["status"] in _OVER:
            slot = self._shown.get(data.get("orig_cl_ord_id") or data["cl_ord_id"])
            if slot is not None:
                self._clear(slot)
