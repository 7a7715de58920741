"""Orders of the core, and what it remembers of each account: its stream number, its open orders, its used ids.

An id that is no longer the current one of an open order (it finished, or was replaced) is *retired*: it goes to the end
of its account's queue, and is forgotten when `dedupe_ids` later ones have retired. That bounds the memory, even for an
order that is replaced without end. Before editing: when an id is forgotten, `forgotten_until` must rise to cover its
first use. Example: id "a" was used at 10:00 and is forgotten; a retry of it, first sent at 10:00, must not place a
second order, so every unknown retry first sent at or before 10:00 is rejected.
"""

from collections import deque
from collections.abc import Callable

import msgspec

from protocols.messages import (
    COD_EXEMPT,
    POSS_RESEND,
    MassCancel,
    NewOrder,
    OrdStatus,
    OrdType,
    Origin,
    QueryOrders,
    Side,
    Stp,
    Tif,
)

MAX_RETIRED = 4_000_000  # retired ids of all accounts together
_SHED = 1_024  # forgotten at a time when that is exceeded: the largest account is searched for once per 1,024


class Order(msgspec.Struct, gc=False, array_like=True):
    """One accepted order. While it is open qty = cum_qty + leaves_qty; when it has finished leaves_qty is 0.

    Prices and quantities in the instrument's exponents, times in ns UTC. sent_at: as the client gave it with cl_ord_id.
    """

    order_id: int
    account: int
    session: int
    origin: Origin
    cl_ord_id: str
    instrument: int
    side: Side
    ord_type: OrdType
    tif: Tif
    qty: int
    price: int
    flags: int
    stp: Stp
    stp_group: str
    tag: str
    sent_at: int
    created_at: int
    leaves_qty: int
    cum_qty: int = 0
    cum_quote: int = 0
    status: OrdStatus = OrdStatus.NEW

    @property
    def is_open(self) -> bool:
        """Whether it can still trade or be cancelled."""
        status = self.status
        return status is OrdStatus.NEW or status is OrdStatus.PARTIALLY_FILLED


def order_of(command: NewOrder, order_id: int, now_ns: int) -> Order:
    return Order(
        order_id,
        command.account,
        command.session,
        command.origin,
        command.cl_ord_id,
        command.instrument,
        command.side,
        command.ord_type,
        command.tif,
        command.qty,
        command.price,
        command.flags & ~POSS_RESEND,  # a property of the message, not of the order
        command.stp,
        command.stp_group,
        command.tag,
        command.sent_at,
        now_ns,
        command.qty,
    )


class Retired(msgspec.Struct, frozen=True, gc=False):
    """A used id in the queue to be forgotten.

    used_until: no first attempt with this id is later, ns UTC. That is when the id retired, or the time that the client
    gave for its first attempt, if later: a client whose clock is ahead of ours must not get an old order through.
    """

    cl_ord_id: str
    used_until: int
    order_id: int


class AccountState:
    """What the core remembers of one account."""

    __slots__ = ("by_cl_ord_id", "by_order_id", "forgotten_until", "id", "open", "retired", "seq")

    def __init__(self, account: int) -> None:
        self.id = account
        self.seq = 0  # number of the latest event of its stream
        self.open: dict[int, Order] = {}  # by order_id, in order of entry
        self.by_order_id: dict[int, Order] = {}  # the open ones and those not yet forgotten
        self.by_cl_ord_id: dict[str, Order] = {}  # current and retired ids
        self.retired: deque[Retired] = deque()
        self.forgotten_until = -1  # -1 = no id was forgotten yet

    def admit(self, order: Order) -> None:
        """Remember a new open order by both its ids, which must be unused."""
        self.open[order.order_id] = order
        self.by_order_id[order.order_id] = order
        self.by_cl_ord_id[order.cl_ord_id] = order

    def find(self, order_id: int, cl_ord_id: str) -> Order | None:
        """The order of that name: any remembered id of its chain, else order_id. "" and 0 = not given."""
        order = self.by_cl_ord_id.get(cl_ord_id)
        return order if order is not None else self.by_order_id.get(order_id)

    def may_be_forgotten(self, sent_at: int) -> bool:
        """Whether an unknown id, first sent at `sent_at` (0 = not given), may be one that was forgotten."""
        return self.forgotten_until >= 0 and (not sent_at or sent_at <= self.forgotten_until)

    def forget_oldest(self) -> None:
        """Forget the id that retired first, and its order with its last id."""
        oldest = self.retired.popleft()
        order = self.by_cl_ord_id.pop(oldest.cl_ord_id)
        if order.cl_ord_id == oldest.cl_ord_id:  # the last of its chain: only finished orders retire that one
            del self.by_order_id[order.order_id]
        self.forgotten_until = max(self.forgotten_until, oldest.used_until)


def no_snapshot(_account: int) -> None:
    """No snapshot is being made."""


class AccountOrders:
    """All accounts, and the bound on what is remembered of them.

    dedupe_ids: retired ids kept per account; when it is lowered, an excess goes as others retire.
    """

    __slots__ = ("_max_retired", "_retired", "accounts", "before_change", "dedupe_ids")

    def __init__(self, dedupe_ids: int, max_retired: int = MAX_RETIRED) -> None:
        self.dedupe_ids = dedupe_ids
        self._max_retired = max_retired
        self._retired = 0
        self.accounts: dict[int, AccountState] = {}
        self.before_change: Callable[[int], None] = no_snapshot
        """Called with an account before anything of it changes: a snapshot being made needs it as it was."""

    def account(self, account: int) -> AccountState:
        """The account of that id, created at its first command."""
        found = self.accounts.get(account)
        if found is None:
            found = self.accounts[account] = AccountState(account)
        return found

    def finish(self, order: Order, status: OrdStatus, now_ns: int) -> None:
        """Finish an open order: nothing of it remains open, and its id retires."""
        order.status = status
        order.leaves_qty = 0
        account = self.accounts[order.account]
        del account.open[order.order_id]
        sent_at = order.sent_at
        self._retire(account, order, order.cl_ord_id, now_ns if now_ns > sent_at else sent_at)

    def rename(self, order: Order, cl_ord_id: str, sent_at: int, now_ns: int) -> None:
        """Give an open order its next id, which must be unused; the one it had retires."""
        account = self.accounts[order.account]
        old_id, old_sent_at = order.cl_ord_id, order.sent_at
        order.cl_ord_id, order.sent_at = cl_ord_id, sent_at
        account.by_cl_ord_id[cl_ord_id] = order
        self._retire(account, order, old_id, max(now_ns, old_sent_at))

    def adopt(self, account: AccountState) -> None:
        """Add an account from a snapshot."""
        self.accounts[account.id] = account
        self._retired += len(account.retired)

    def _retire(self, account: AccountState, order: Order, cl_ord_id: str, used_until: int) -> None:
        retired = account.retired
        retired.append(Retired(cl_ord_id, used_until, order.order_id))
        self._retired += 1
        while len(retired) > self.dedupe_ids:
            account.forget_oldest()
            self._retired -= 1
        # The bound of all accounts: e.g. 100 accounts with 65,536 ids each would exceed 4 million.
        if self._retired > self._max_retired:
            self._shed()

    def _shed(self) -> None:
        largest = max(self.accounts.values(), key=lambda account: (len(account.retired), account.id))
        self.before_change(largest.id)
        for _ in range(min(_SHED, len(largest.retired))):
            largest.forget_oldest()
            self._retired -= 1


def is_in_scope(order: Order | NewOrder, command: MassCancel) -> bool:
    """Whether the mass cancel means this order of its account."""
    return not (
        (command.instrument and order.instrument != command.instrument)
        or (command.side and order.side != command.side)
        or (command.tag and order.tag != command.tag)
        or (command.only_session and order.session != command.session)
        or (command.keep_exempt and order.flags & COD_EXEMPT)
    )


def asked_for(query: QueryOrders, account: AccountState) -> list[Order]:
    """The order that is named, in whatever state; else the open ones or, with open_only False, all remembered."""
    if query.order_id or query.cl_ord_id:
        named = account.find(query.order_id, query.cl_ord_id)
        return [named] if named is not None else []
    orders = list((account.open if query.open_only else account.by_order_id).values())
    if query.instrument:
        return [order for order in orders if order.instrument == query.instrument]
    return orders
