"""Orders of one session that go together, as one value: what the core is given of a run, and what it answers.

Who does not know of runs sees sequences of commands in `NewOrders` and `HandOver`, and lists of events in what a core
answers. A command of its own is made of an order only when it is looked at.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import overload

import msgspec

from protocols.messages import AnyCommand, AnyEvent, NewOrder, OrderEvent, OrdType, Origin, Sender, Side, Stp, Tif


class OrderTerms(msgspec.Struct, frozen=True, eq=False):
    """What orders of one kind have in common; see `NewOrder`. It is compared by identity."""

    instrument_id: int
    side: Side
    ord_type: OrdType
    tif: Tif
    flags: int
    stp: Stp
    stp_group: str
    tag: str


_NEW_ORDER = NewOrder.__struct_config__.tag
OrderRow = tuple[str, OrderTerms, int, int, int, int]
"""cl_ord_id, terms, qty, price, deadline, sent_at: all but the number of a new order. None is a retry, or names a stop
price, quote quantity, display, minimum or expiry."""


class NewOrders(Sequence[NewOrder]):
    """New orders of one session, received together and numbered one after the other, from cmd_id on."""

    __slots__ = ("account", "cmd_id", "origin", "rows", "session", "t_recv")

    def __init__(self, sender: Sender, rows: Sequence[OrderRow], t_recv: int) -> None:
        """They use as many numbers of the sender. t_recv: ns UTC."""
        self.cmd_id = sender.next_order_ids(len(rows))
        self.account = sender.account
        self.session = sender.session
        self.origin: Origin = sender.origin
        self.t_recv = t_recv
        self.rows = rows

    @classmethod
    def numbered(cls, first: NewOrder, rows: Sequence[OrderRow]) -> "NewOrders":
        """Orders that were numbered before, from this one on."""
        run = cls(Sender(first.session, first.account, first.origin), rows, first.t_recv)
        run.cmd_id = first.cmd_id
        return run

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[NewOrder]:
        return map(self._command, range(len(self.rows)))

    @overload
    def __getitem__(self, index: int) -> NewOrder: ...
    @overload
    def __getitem__(self, index: slice) -> list[NewOrder]: ...
    def __getitem__(self, index: int | slice) -> NewOrder | list[NewOrder]:
        at = range(len(self.rows))[index]
        return self._command(at) if isinstance(at, int) else [self._command(each) for each in at]

    @property
    def first_deadline(self) -> int:
        """The first validity window that ends, ns UTC; 0 = none does."""
        first = 0
        for _, _, _, _, deadline, _ in self.rows:
            if deadline and (not first or deadline < first):
                first = deadline
        return first

    @property
    def counts(self) -> dict[int, int]:
        """How many of them are for each instrument."""
        if len(self.rows) == 1:
            return {self.rows[0][1].instrument_id: 1}
        instruments = {row[1].instrument_id for row in self.rows}
        if len(instruments) == 1:
            return dict.fromkeys(instruments, len(self.rows))
        return dict(Counter(row[1].instrument_id for row in self.rows))

    def _command(self, at: int) -> NewOrder:
        cl_ord_id, terms, qty, price, deadline, sent_at = self.rows[at]
        return NewOrder(
            self.cmd_id + at, self.account, self.session, self.origin, self.t_recv, deadline,
            cl_ord_id, terms.instrument_id, terms.side, terms.ord_type, terms.tif, qty, price,
            0, 0, 0, 0, 0, terms.flags, terms.stp, terms.stp_group, terms.tag, sent_at,
        )  # fmt: skip


class HandOver(Sequence[AnyCommand]):
    """Commands that are handed over together: runs, and between them lists of single ones."""

    __slots__ = ("parts",)

    def __init__(self, parts: "Sequence[NewOrders | list[AnyCommand]]") -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[AnyCommand]:
        return chain.from_iterable(self.parts)

    @overload
    def __getitem__(self, index: int) -> AnyCommand: ...
    @overload
    def __getitem__(self, index: slice) -> list[AnyCommand]: ...
    def __getitem__(self, index: int | slice) -> AnyCommand | list[AnyCommand]:
        return list(self)[index]


class RunEvents(list[OrderEvent]):
    """All events that the `NewOrders` from cmd_id on have caused, in order, of whatever account.

    all_rest: each order was accepted and rests, and no more has happened: one event of each.
    """

    __slots__ = ("all_rest", "cmd_id")

    def __init__(self, cmd_id: int) -> None:
        super().__init__()
        self.cmd_id = cmd_id
        self.all_rest = True


class HandOverEvents(list[AnyEvent]):
    """The events of a `HandOver`, in order. parts: the same, by its parts."""

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[RunEvents | list[AnyEvent]]) -> None:
        super().__init__(chain.from_iterable(parts))
        self.parts = parts


def encoded_rows(orders: NewOrders) -> list[tuple[object, ...]]:
    """What a `NewOrder` of each would be encoded as: its tag and its fields, a member of an Enum as its value."""
    account, session, origin, t_recv = orders.account, orders.session, orders.origin._value_, orders.t_recv
    rows: list[tuple[object, ...]] = []
    add = rows.append
    last: OrderTerms | None = None
    for cmd_id, (cl_ord_id, terms, qty, price, deadline, sent_at) in enumerate(orders.rows, orders.cmd_id):
        if terms is not last:
            last = terms
            side, ord_type, tif, stp = terms.side._value_, terms.ord_type._value_, terms.tif._value_, terms.stp._value_
            instrument, flags, stp_group, tag = terms.instrument_id, terms.flags, terms.stp_group, terms.tag
        add((
            _NEW_ORDER, cmd_id, account, session, origin, t_recv, deadline, cl_ord_id, instrument, side, ord_type, tif,
            qty, price, 0, 0, 0, 0, 0, flags, stp, stp_group, tag, sent_at,
        ))  # fmt: skip
    return rows
