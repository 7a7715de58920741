"""The institution of the demo: takes liquidity over FIX, rests some orders, replaces, cancels and makes mistakes.

It has the methods of `gateway.demo.maker.Maker`, although nothing here waits. It rests at most `_MAX_RESTING` orders,
and makes no request while `_MAX_WAITING` are unanswered. Every request is in its ledger. Its mistakes and bursts are
deliberate, so that refusals by code can be seen.
"""

import time
from collections.abc import Callable

import msgspec

from gateway.client.fix import Fields, FixClient
from gateway.demo.ledger import Kind, Ledger
from gateway.demo.market import Market, Pair

_MAX_RESTING = 40
_MAX_WAITING = 250
_BURST = 100  # orders at once, every few seconds: more than the demo's plan allows
_BUY, _SELL = "1", "2"
_GTC, _IOC = "1", "3"


class Resting(msgspec.Struct, frozen=True):
    """One of our orders in the book."""

    pair: Pair
    side: str
    qty: str


class Institution:
    """One FIX session that trades. `step` makes one random request."""

    def __init__(self, client: FixClient, market: Market, prefix: str) -> None:
        self.client = client
        self.ledger = Ledger(prefix, "fix")
        self._market = market
        self._chance = market.chance
        self._resting: dict[str, Resting] = {}  # by current ClOrdID, oldest first
        self._sent: dict[str, Resting] = {}  # what an unanswered order or replace would rest
        actions: list[tuple[int, Callable[[], None]]] = [
            (40, self._take), (18, self._sweep), (22, self._rest), (8, self._amend), (8, self._pull), (4, self._blunder)
        ]  # fmt: skip
        self._weights, self._actions = [weight for weight, _ in actions], [action for _, action in actions]
        client.on_message = self._receive

    async def step(self) -> None:
        """Make one request, unless too many are unanswered."""
        if len(self.ledger.waiting) < _MAX_WAITING:
            self._chance.choices(self._actions, self._weights)[0]()

    async def burst(self) -> None:
        """Send far more at once than the plan allows: the excess is refused with 3001."""
        for _ in range(_BURST):
            self._take()

    async def withdraw(self) -> None:
        """Ask for the cancellation of everything that rests."""
        n = self._ask(Kind.CANCEL)
        self._note(n, self.client.mass_cancel(self.ledger.id_of(n)))

    @property
    def resting(self) -> int:
        """How many of its orders are in the book."""
        return len(self._resting)

    # What it does

    def _pick(self) -> tuple[Pair, str, int]:
        pair = self._chance.choice(self._market.pairs)
        return pair, self._chance.choice((_BUY, _SELL)), self._market.mids[pair.symbol]

    def _ask(self, ask: Kind) -> int:
        return self.ledger.ask(ask, time.perf_counter_ns())

    def _note(self, n: int, seq_num: int) -> None:
        self.ledger.sent_as(n, seq_num)

    def _place(self, pair: Pair, side: str, qty: str, price: str | None, tif: str | None) -> str:
        n = self._ask(Kind.PLACE)
        cl_ord_id = self.ledger.id_of(n)
        self._note(n, self.client.place(cl_ord_id, pair.symbol, side, qty, price, tif=tif))
        return cl_ord_id

    def _take(self) -> None:
        """An IOC limit order priced around the best quote: most fill, some find nothing."""
        pair, side, mid = self._pick()
        reach = pair.half_spread + self._chance.randint(-pair.gap, 2 * pair.gap)
        price = pair.price(mid + reach if side == _BUY else mid - reach)
        self._place(pair, side, pair.qty(self._chance.randint(*pair.take_qty)), price, _IOC)

    def _sweep(self) -> None:
        pair, side, _ = self._pick()
        self._place(pair, side, pair.qty(self._chance.randint(*pair.take_qty)), None, None)

    def _rest(self) -> None:
        if len(self._resting) >= _MAX_RESTING:
            self._pull()
            return
        pair, side, mid = self._pick()
        away = pair.half_spread + self._chance.randint(0, 4 * pair.gap)
        order = Resting(pair, side, pair.qty(self._chance.randint(*pair.take_qty)))
        price = pair.price(mid - away if side == _BUY else mid + away)
        self._sent[self._place(pair, side, order.qty, price, _GTC)] = order

    def _amend(self) -> None:
        if not self._resting:
            self._rest()
            return
        old_id, order = self._chance.choice(list(self._resting.items()))
        mid, away = self._market.mids[order.pair.symbol], order.pair.half_spread + order.pair.gap
        price = order.pair.price(mid - away if order.side == _BUY else mid + away)
        n = self._ask(Kind.REPLACE)
        new_id = self.ledger.id_of(n)
        self._sent[new_id] = order
        self._note(n, self.client.replace(new_id, old_id, order.pair.symbol, order.side, order.qty, price))

    def _pull(self) -> None:
        if not self._resting:
            self._rest()
            return
        old_id, order = next(iter(self._resting.items()))
        n = self._ask(Kind.CANCEL)
        self._note(n, self.client.cancel(self.ledger.id_of(n), old_id, order.pair.symbol, order.side))

    def _blunder(self) -> None:
        """One of the mistakes that real clients make; each has its own code."""
        pair, side, mid = self._pick()
        qty, price = pair.qty(pair.take_qty[1]), pair.price(mid)
        mistakes: tuple[tuple[str, str, str], ...] = (
            ("DOGE-USDT", qty, price),  # 2003
            (pair.symbol, qty, price + "5"),  # 2004: finer than the tick
            (pair.symbol, qty + "5", price),  # 2005: finer than the lot
            (pair.symbol, pair.qty(1), price),  # 2006: worth next to nothing
            (pair.symbol, qty, pair.price(mid * 3)),  # 2007
        )
        symbol, bad_qty, bad_price = self._chance.choice(mistakes)
        self._place(msgspec.structs.replace(pair, symbol=symbol), side, bad_qty, bad_price, _IOC)

    # What it receives

    def _receive(self, msg_type: str, fields: Fields) -> None:
        now_ns, ledger = time.perf_counter_ns(), self.ledger
        if msg_type == "8":
            self._report(fields, now_ns)
        elif msg_type == "9":
            self._sent.pop(fields[11], None)
            ledger.refused(ledger.number_of(fields[11]), int(fields.get(25016, "0")), now_ns)
        elif msg_type == "r":
            n = ledger.number_of(fields[11])
            if fields[531] == "0":
                ledger.refused(n, int(fields.get(25016, "0")), now_ns)
            else:
                ledger.carried_out(n, now_ns)
        elif msg_type == "j" and fields.get(20102) != "1":
            ledger.refused(ledger.number_of(fields.get(379, "")), int(fields.get(25016, "0")), now_ns)
        elif msg_type == "3":
            ledger.refused(ledger.number_at(int(fields[45])), int(fields.get(25016, "0")), now_ns)

    def _report(self, fields: Fields, now_ns: int) -> None:
        cl_ord_id, kind, ledger = fields[11], fields[150], self.ledger
        n = ledger.number_of(cl_ord_id)
        if kind == "F":
            ledger.fills += 1
            if fields[39] == "2":
                self._resting.pop(cl_ord_id, None)
        elif kind == "0":
            ledger.carried_out(n, now_ns)
            self._now_rests(cl_ord_id)
        elif kind == "5":
            ledger.carried_out(n, now_ns)
            self._resting.pop(fields[41], None)
            self._now_rests(cl_ord_id)
        elif kind == "8":
            self._sent.pop(cl_ord_id, None)
            ledger.refused(n, int(fields.get(25016, "0")), now_ns)
        elif kind in {"4", "C"}:
            self._resting.pop(fields.get(41, cl_ord_id), None)
            if n in ledger.waiting:  # the cancel's own answer, not the end of an order
                ledger.carried_out(n, now_ns)

    def _now_rests(self, cl_ord_id: str) -> None:
        order = self._sent.pop(cl_ord_id, None)
        if order is not None:
            self._resting[cl_ord_id] = order
