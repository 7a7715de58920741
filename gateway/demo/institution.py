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
        client.on_asked_again = self._void

    async def step(self) -> None:
        """Make one request, unless too many are unanswered."""
        if len(self.ledger.waiting) < _MAX_WAITING:
            self._chance.choices(self._actions, self._weights)[0]()

    async def burst(self) -> None:
        """Send far more at once than the plan allows: the excess is refused with 3001."""
        for _ in range(_BURST):
            self._take()

    @property
    def is_cut(self) -> bool:
        """Whether it has no connection."""
        return self.client.closed.is_set()

    async def come_back(self, host: str, port: int) -> None:
        """Log on with the numbers where they stand. The gateway sends again what was missed, and asks for what it did
        not get: that is void then, and everything else will be answered.

        Raises:
            OSError, TimeoutError: not there, or not now.
        """
        self._void(0, 0)  # it was to be sent when there was no connection any more
        await self.client.logon(host, port)

    async def mend(self) -> None:
        """The session has nothing to ask again."""

    def _void(self, begin: int, end: int) -> None:
        for n in [n for n, (_, _, sent) in self.ledger.waiting.items() if begin <= sent <= end]:
            self._sent.pop(self.ledger.id_of(n), None)
            self.ledger.void(n)

    async def withdraw(self) -> None:
        """Ask for the cancellation of everything that rests."""
        self._request(Kind.CANCEL, self.client.mass_cancel)

    @property
    def resting(self) -> int:
        """How many of its orders are in the book."""
        return len(self._resting)

    def _pick(self) -> tuple[Pair, str, int]:
        pair = self._chance.choice(self._market.pairs)
        return pair, self._chance.choice((_BUY, _SELL)), self._market.mids[pair.symbol]

    def _request(self, kind: Kind, send: Callable[[str], int]) -> str:
        """Have one request sent under a new ClOrdID, and record it; that ClOrdID."""
        n = self.ledger.ask(kind, time.perf_counter_ns())
        cl_ord_id = self.ledger.id_of(n)
        self.ledger.sent_as(n, send(cl_ord_id))
        return cl_ord_id

    def _place(self, symbol: str, side: str, qty: str, price: str | None, tif: str | None) -> str:
        return self._request(Kind.PLACE, lambda new_id: self.client.place(new_id, symbol, side, qty, price, tif=tif))

    def _take(self) -> None:
        """An IOC limit order priced around the best quote: most fill, some find nothing."""
        pair, side, mid = self._pick()
        reach = pair.half_spread + self._chance.randint(-pair.gap, 2 * pair.gap)
        price = pair.price(mid + reach if side == _BUY else mid - reach)
        self._place(pair.symbol, side, pair.qty(self._chance.randint(*pair.take_qty)), price, _IOC)

    def _sweep(self) -> None:
        pair, side, _ = self._pick()
        self._place(pair.symbol, side, pair.qty(self._chance.randint(*pair.take_qty)), None, None)

    def _rest(self) -> None:
        if len(self._resting) >= _MAX_RESTING:
            self._pull()
            return
        pair, side, mid = self._pick()
        away = pair.half_spread + self._chance.randint(0, 4 * pair.gap)
        order = Resting(pair, side, pair.qty(self._chance.randint(*pair.take_qty)))
        price = pair.price(mid - away if side == _BUY else mid + away)
        self._sent[self._place(pair.symbol, side, order.qty, price, _GTC)] = order

    def _amend(self) -> None:
        if not self._resting:
            self._rest()
            return
        old_id, order = self._chance.choice(list(self._resting.items()))
        pair, side = order.pair, order.side
        mid, away = self._market.mids[pair.symbol], pair.half_spread + pair.gap
        price = pair.price(mid - away if side == _BUY else mid + away)
        new_id = self._request(
            Kind.REPLACE, lambda new_id: self.client.replace(new_id, old_id, pair.symbol, side, order.qty, price)
        )
        self._sent[new_id] = order

    def _pull(self) -> None:
        if not self._resting:
            self._rest()
            return
        old_id, order = next(iter(self._resting.items()))
        self._request(Kind.CANCEL, lambda new_id: self.client.cancel(new_id, old_id, order.pair.symbol, order.side))

    def _blunder(self) -> None:
        """One of the mistakes that real clients make; each has its own code."""
        pair, side, mid = self._pick()
        qty, price = pair.qty(pair.take_qty[1]), pair.price(mid)
        mistakes = (
            ("DOGE-USDT", qty, price),  # 2003
            (pair.symbol, qty, price + "5"),  # 2004: finer than the tick
            (pair.symbol, qty + "5", price),  # 2005: finer than the lot
            (pair.symbol, pair.qty(1), price),  # 2006: worth next to nothing
            (pair.symbol, qty, pair.price(mid * 3)),  # 2007
        )
        symbol, bad_qty, bad_price = self._chance.choice(mistakes)
        self._place(symbol, side, bad_qty, bad_price, _IOC)

    def _receive(self, msg_type: str, fields: Fields) -> None:
        now_ns, ledger, code = time.perf_counter_ns(), self.ledger, int(fields.get(25016, "0"))
        if msg_type == "8":
            self._report(fields, code, now_ns)
        elif msg_type == "9":
            self._sent.pop(fields[11], None)
            ledger.refused(ledger.number_of(fields[11]), code, now_ns)
        elif msg_type == "r" and fields[531] == "0":
            ledger.refused(ledger.number_of(fields[11]), code, now_ns)
        elif msg_type == "r":
            ledger.carried_out(ledger.number_of(fields[11]), now_ns)
        elif msg_type == "j" and fields.get(20102) != "1":
            ledger.refused(ledger.number_of(fields.get(379, "")), code, now_ns)
        elif msg_type == "3":
            ledger.refused(ledger.number_at(int(fields[45])), code, now_ns)

    def _report(self, fields: Fields, code: int, now_ns: int) -> None:
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
            ledger.refused(n, code, now_ns)
        elif kind in {"4", "C"}:
            self._resting.pop(fields.get(41, cl_ord_id), None)
            if n in ledger.waiting:  # the cancel's own answer, not the end of an order
                ledger.carried_out(n, now_ns)

    def _now_rests(self, cl_ord_id: str) -> None:
        order = self._sent.pop(cl_ord_id, None)
        if order is not None:
            self._resting[cl_ord_id] = order
