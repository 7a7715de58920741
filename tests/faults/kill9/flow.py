"""The orders of one client, derived from its seed and from what it has open: most of them meet somebody else's.

Ids rise over the whole run, `<name>-<number>`, so no request can be taken for another one.
"""

import random
from collections.abc import Mapping
from itertools import islice

import msgspec

from tests.faults.kill9.check import Open

_MID_CENTS = 6_425_000
_SPREAD_CENTS = 6
_LOTS = 100_000
_CHOICE = 20  # of so many open orders one is chosen


class Order(msgspec.Struct, frozen=True):
    """One request: its MsgType(35), the body in pipe notation, and the id its answer will name."""

    msg_type: str
    body: str
    cl_ord_id: str


class Flow:
    """Orders without end."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self._name = name
        self._rng = rng
        self._count = 0

    def next(self, open_orders: Mapping[str, Open]) -> Order:
        """The next request: mostly a new order; a cancel, a replace or a question about an open one."""
        self._count += 1
        cl_ord_id = f"{self._name}-{self._count}"
        roll = self._rng.random()
        if roll < 0.65 or not open_orders:
            return self._place(cl_ord_id)
        known = self._rng.choice(list(islice(reversed(list(open_orders.values())), _CHOICE)))[0]
        if roll < 0.85:
            return Order("F", f"11={cl_ord_id}|41={known}|55=BTC-USDT|", cl_ord_id)
        if roll < 0.95:
            body = f"11={cl_ord_id}|41={known}|55=BTC-USDT|38={self._qty()}|40=2|44={self._price()}|"
            return Order("G", body, cl_ord_id)
        return Order("H", f"11={known}|790={cl_ord_id}|55=BTC-USDT|", cl_ord_id)

    def _place(self, cl_ord_id: str) -> Order:
        rng = self._rng
        qty = "0.00000001" if rng.random() < 0.03 else self._qty()  # too small: refused by the gateway, not by the core
        tif = rng.choice("1113")
        body = f"11={cl_ord_id}|55=BTC-USDT|54={rng.choice('12')}|38={qty}|40=2|44={self._price()}|59={tif}|"
        return Order("D", body, cl_ord_id)

    def _qty(self) -> str:
        return f"0.{self._rng.randint(1, 40) * _LOTS:08d}"

    def _price(self) -> str:
        cents = _MID_CENTS + self._rng.randint(-_SPREAD_CENTS, _SPREAD_CENTS)
        return f"{cents // 100}.{cents % 100:02d}"
