"""One account of a dialogue, with a session of its own, and the commands that it gives. Pure.

Prices and quantities are whole units of the instrument, such as 3.00: so they are on any tick and lot.
"""

from collections.abc import Callable, Sequence

import msgspec

from protocols.messages import (
    POSS_RESEND,
    AnyCommand,
    CancelOrder,
    Lane,
    MassCancel,
    NewOrder,
    OrdType,
    Origin,
    QueryOrders,
    ReplaceOrder,
    Sender,
    Side,
    Tif,
    pack_cmd_id,
)


class Traded(msgspec.Struct, frozen=True):
    """The instrument of a dialogue. price, qty: one unit of each."""

    id: int
    price: int
    qty: int


class Party:
    """Gives commands, numbered as a gateway does it."""

    def __init__(self, account: int, session: int, traded: Traded, names: str, now_ns: Callable[[], int]) -> None:
        """names: what all its client order ids begin with."""
        self.account = account
        self.session = session
        self._sender = Sender(session, account, Origin.FIX)
        self._traded = traded
        self._names = names
        self._now_ns = now_ns

    def go_on(self, highest: Sequence[int]) -> None:
        """Continue after these numbers: the session had commands before."""
        sender = self._sender
        sender.order_n, sender.cancel_n, sender.control_n, sender.query_n = highest

    def named(self, name: str) -> str:
        """A client order id that no other dialogue and no other run uses."""
        return f"{self._names}-{name}"

    def new(self, name: str, side: Side, level: int, qty: int = 1, deadline: int = 0, cmd_id: int = 0) -> NewOrder:
        """A limit order. cmd_id: 0 = the next one."""
        now_ns, traded = self._now_ns(), self._traded
        return NewOrder(
            cmd_id or self._sender.next_order_id(), self.account, self.session, Origin.FIX, now_ns, deadline,
            self.named(name), traded.id, side, OrdType.LIMIT, Tif.GTC, qty * traded.qty, level * traded.price,
            sent_at=now_ns,
        )  # fmt: skip

    def buy(self, name: str, level: int = 1, deadline: int = 0) -> NewOrder:
        """An order to buy one unit; at the lowest level it rests."""
        return self.new(name, Side.BUY, level, deadline=deadline)

    def sell(self, name: str, level: int, qty: int = 1) -> NewOrder:
        """An order to sell."""
        return self.new(name, Side.SELL, level, qty)

    def again(self, order: NewOrder) -> NewOrder:
        """The client's retry of an order: a command of its own, with the retry flag."""
        return msgspec.structs.replace(
            order, cmd_id=self._sender.next_order_id(), t_recv=self._now_ns(), flags=POSS_RESEND
        )

    def retry(self, name: str, deadline: int = 0) -> NewOrder:
        """The retry of an order whose first attempt never came."""
        return msgspec.structs.replace(self.buy(name), flags=POSS_RESEND, deadline=deadline)

    def cancel(self, order: str) -> CancelOrder:
        """A cancel of the order of this name."""
        number = self._sender.next_cancel_id()
        return CancelOrder(
            *self._head(number), self.named(f"x{self._sender.cancel_n}"), self._traded.id, 0, self.named(order)
        )

    def replace(self, order: str, name: str, level: int, qty: int) -> ReplaceOrder:
        """Another id, price and quantity for the order of this name."""
        number, traded = self._sender.next_order_id(), self._traded
        terms = (traded.id, qty * traded.qty, level * traded.price, 0, self.named(order))
        return ReplaceOrder(*self._head(number), self.named(name), *terms, sent_at=self._now_ns())

    def mass_cancel(self, side: int = 0) -> MassCancel:
        """A cancel of all orders of the account, or of those on one side."""
        number = self._sender.next_control_id()
        return MassCancel(*self._head(number), self.named(f"m{self._sender.control_n}"), side=side)

    def query(self, order: str = "") -> QueryOrders:
        """The order of this name; "" = all open ones."""
        number = self._sender.next_query_id()
        req_id = self.named(f"q{self._sender.query_n}")
        return QueryOrders(*self._head(number), req_id, 0, self.named(order) if order else "")

    def skip(self, lane: Lane, count: int) -> None:
        """Leave out some numbers of a lane."""
        match lane:
            case Lane.ORDER:
                self._sender.order_n += count
            case Lane.CANCEL:
                self._sender.cancel_n += count
            case Lane.CONTROL:
                self._sender.control_n += count
            case Lane.QUERY:
                self._sender.query_n += count

    def first_id(self, lane: Lane) -> int:
        """The lowest cmd_id of a lane."""
        return pack_cmd_id(self.session, lane, 1)

    def _head(self, cmd_id: int) -> tuple[int, int, int, Origin, int, int]:
        return cmd_id, self.account, self.session, Origin.FIX, self._now_ns(), 0


def name_of(command: AnyCommand) -> str:
    """The id that a client would know the command by."""
    return command.req_id if isinstance(command, QueryOrders) else command.cl_ord_id
