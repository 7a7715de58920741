"""A run: consecutive plain orders that one read of one session brought. The unit of work on the order path."""

import msgspec

from protocols.instruments import Instrument
from protocols.known_numbers import Numbers
from protocols.runs import OrderTerms


class OrderKind(OrderTerms, frozen=True, eq=False):
    """What the blocks of an order say, as the general road understood them once. Orders of one kind share it.

    window_ns: the validity that the order gave itself with RecvWindow, 0 = none. low, high: of price x quantity.
    """

    instrument: Instrument
    window_ns: int
    prices: Numbers
    quantities: Numbers
    low: int
    high: int


PlainOrder = tuple[str, OrderKind, int, int, int, int]
"""ClOrdID(11), kind, quantity, price, deadline, TransactTime(60): all but the number of its command."""


class OrderRun(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Consecutive plain orders of one read: the messages of `data` from `begin` on, which end at `ends`.

    seq_num: MsgSeqNum(34) of the first. t_recv: when they were read, ns UTC.
    """

    orders: list[PlainOrder]
    seq_num: int
    t_recv: int
    data: bytes
    begin: int
    ends: list[int]

    def frame(self, index: int) -> bytes:
        """One message as it came."""
        return self.data[self.ends[index - 1] if index else self.begin : self.ends[index]]

    def size_bytes(self, index: int) -> int:
        """Of one message."""
        return self.ends[index] - (self.ends[index - 1] if index else self.begin)
