"""A run: consecutive plain `order.place`s that one read of one connection brought. It is the unit of work."""

import msgspec

from protocols.instruments import Instrument, Rendered
from protocols.known_numbers import Numbers
from protocols.messages import OrdType, Side, Stp, Tif
from protocols.runs import OrderTerms

MAX_TAGS = 64  # whose terms a kind remembers; then all are made anew


class PlaceKind(msgspec.Struct, frozen=True, eq=False):
    """What orders of the same words have in common. members: how many fields of params these words are.

    low, high: bounds of price x quantity. by_tag: the terms with each tag, see `terms`.
    """

    instrument: Instrument
    side: Side
    ord_type: OrdType
    tif: Tif
    flags: int
    stp: Stp
    members: int
    prices: Numbers
    quantities: Numbers
    quantity_texts: Rendered
    low: int
    high: int
    by_tag: dict[str, OrderTerms] = {}

    def terms(self, tag: str) -> OrderTerms:
        """What an order with this tag has in common with others."""
        known = self.by_tag.get(tag)
        if known is None:
            if len(self.by_tag) >= MAX_TAGS:
                self.by_tag.clear()
            known = self.by_tag[tag] = OrderTerms(
                self.instrument.id, self.side, self.ord_type, self.tif, self.flags, self.stp, "", tag
            )
        return known


PlainPlace = tuple[str | int, str, PlaceKind, int, int, int, str, int]
"""id of the request, cl_ord_id, kind, quantity, price, deadline, tag, ts in ns: all but the number of its command."""


class PlaceRun(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Consecutive plain orders, and the messages that they came in. All want the same answer.

    resp: "accepted" or "none". t_in_ns: when they were read, UTC.
    """

    orders: list[PlainPlace]
    messages: list[bytes | bytearray]
    resp: str
    t_in_ns: int

    @property
    def size_bytes(self) -> int:
        """Of all messages."""
        return sum(map(len, self.messages))
