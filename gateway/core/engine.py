"""The reference matching core: commands in, numbered events out. Pure, deterministic, idempotent by cmd_id.

The same commands with the same times give the same events in every process: nothing here reads a clock, draws a random
number or depends on hashing. A command whose cmd_id is not above the last one of its session and lane is dropped
without a trace, so a second hand-over is harmless.

The events of one command come in this order: its own answer (NEW, REPLACED, ...); for each trade the taker's and the
maker's; then what happened to the taker's remainder. Example: a limit IOC order for 10 meets 4 resting:

    NEW  taker TRADE 4  maker TRADE 4  taker CANCELED 6

An order is checked for a known id first (a duplicate stays one, even if it is late), then for its deadline, then for
its terms. Whether new orders are barred is decided by the gateway, before. There are no fees, and no self-match
prevention unless it is requested: Stp.DEFAULT is NONE.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from gateway.core import snapshots
from gateway.core.acceptance import MAX_AMOUNT, Rejection, check_new, check_replace
from gateway.core.book import Book
from gateway.core.counters import Counters
from gateway.core.events import EventBuilder, status_of
from gateway.core.matcher import Matcher
from gateway.core.orders import AccountOrders, AccountState, Order, asked_for, is_in_scope, order_of
from gateway.core.plain_orders import PlainOrders
from protocols import errors
from protocols.instruments import Instrument
from protocols.messages import (
    ACCOUNT_GIVEN,
    POSS_RESEND,
    POST_ONLY,
    AnyCommand,
    AnyEvent,
    CancelOrder,
    ExecType,
    Lane,
    MassCancel,
    NewOrder,
    OrderEvent,
    OrdStatus,
    Origin,
    QueryOrders,
    ReplaceOrder,
    pack_cmd_id,
)
from protocols.runs import HandOver, HandOverEvents, NewOrders, RunEvents

_LANE_SPAN = pack_cmd_id(0, Lane.CANCEL, 0)  # in a cmd_id, n is below it, session and lane are above

_LOST_IDS = 1_000_000_000  # more than a loss can hold of any kind

_UNASKED: dict[Origin, Rejection] = {
    Origin.COD: (errors.DISCONNECTED, "cancelled on disconnect"),
    Origin.LOGOUT: (errors.DISCONNECTED, "cancelled at logout"),
    Origin.DEAD_MAN: (errors.DEAD_MAN, "cancelled by the dead-man's switch"),
    Origin.OPERATOR: (errors.OPERATOR, "cancelled by the operator"),
}
_USED: Rejection = (errors.DUPLICATE_ID, "client order id was used before")
_UNKNOWN: Rejection = (errors.UNKNOWN_ORDER, "unknown order")
_MISNAMED: Rejection = (errors.UNKNOWN_ORDER, "unknown order: the two ids name different ones")
_ELSEWHERE: Rejection = (errors.UNKNOWN_ORDER, "unknown order: it is in another symbol")
_FIXED: Rejection = (errors.UNSUPPORTED_COMBINATION, "side, type and time in force of an order cannot be changed")
_FINISHED: Rejection = (errors.TOO_LATE, "the order has finished")
_WOULD_TAKE: Rejection = (errors.WOULD_TAKE, "post-only order would trade at once")


class Engine:
    """One venue: a book per instrument, a numbered event stream per account.

    instruments: what trades; their order does not matter. dedupe_ids: used client order ids remembered per account,
    beside those of open orders. epoch: name of this incarnation of the event streams.
    """

    def __init__(self, instruments: tuple[Instrument, ...], dedupe_ids: int, epoch: str) -> None:
        self.epoch = epoch
        self._books = {instrument.id: Book() for instrument in instruments}
        self._highest: dict[int, int] = {}  # by session and lane: the last n that was executed
        self._at_ns = 0
        self._counters = Counters()
        self._ledger = AccountOrders(dedupe_ids)
        self._connect()

    def highest(self, session: int, lane: Lane) -> int:
        """The last n of this session's lane that was executed, 0 = none: where its counter continues after a start."""
        return self._highest.get(_lane_of(session, lane), 0)

    def forget(self, session: int) -> None:
        """A session has ended for good: its counters begin at 1 if its id is ever used again."""
        for lane in Lane:
            self._highest.pop(_lane_of(session, lane), None)

    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        """Execute one command; its events, in order, or none if its cmd_id was seen before.

        now_ns: ns UTC. Deadlines are compared with it as it is, even if it went back: a gateway must be able to trade
        after its clock was corrected. The times of events never go back.
        """
        lane, n = divmod(command.cmd_id, _LANE_SPAN)
        if n <= self._highest.get(lane, 0):
            return []
        self._highest[lane] = n
        self._at_ns = now_ns
        events = self._events
        if isinstance(command, QueryOrders):  # it is not recorded, so it must leave no trace, not even in the time
            asking = self._ledger.accounts.get(command.account) or AccountState(command.account)
            return [events.listing(command, asking, asked_for(command, asking), now_ns)]
        account = events.begin(command, now_ns)
        if isinstance(command, NewOrder):
            self._place(command, account)
        elif isinstance(command, CancelOrder):
            self._cancel(command, account)
        elif isinstance(command, ReplaceOrder):
            self._replace(command, account)
        else:
            self._mass_cancel(command, account)
        return events.take()

    def execute_all(self, commands: Sequence[AnyCommand], now_ns: int) -> Sequence[AnyEvent]:
        """The events of all these commands, in order: the same as `execute` gives for one after the other.

        Those of a `HandOver` are `HandOverEvents`; those of `NewOrders`, if none was executed before, are `RunEvents`.
        """
        if type(commands) is HandOver:
            return HandOverEvents([self._execute_part(part, now_ns) for part in commands.parts])
        return self._execute_part(commands, now_ns)

    def _execute_part(self, commands: Sequence[AnyCommand], now_ns: int) -> RunEvents | list[AnyEvent]:
        if type(commands) is NewOrders and self._plain.may_execute(commands):
            return self._plain.execute(commands, now_ns, self.execute)
        events: list[AnyEvent] = []
        for command in commands:
            events += self.execute(command, now_ns)
        return events

    def latest_seq(self, account: int) -> int:
        found = self._ledger.accounts.get(account)
        return found.seq if found else 0

    def order_state(self, account: int, order_id: int, cl_ord_id: str) -> OrderEvent | None:
        """The order of that name as an ORDER_STATUS event; None = no such order is remembered."""
        found = self._ledger.accounts.get(account)
        order = found.find(order_id, cl_ord_id) if found else None
        return status_of(order, found.seq, 0, self._counters.now_ns, cl_ord_id) if found and order else None

    def open_orders(self, account: int) -> list[OrderEvent]:
        """The account's open orders in order of entry, as ORDER_STATUS events with seq 0."""
        found = self._ledger.accounts.get(account)
        return [status_of(order, 0, 0, self._counters.now_ns) for order in found.open.values()] if found else []

    # -- the whole state -----------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The whole state as msgpack: an engine that restores it continues exactly as this one would."""
        return snapshots.encode(self._whole)

    def begin_snapshot(self) -> Iterator[bytes]:
        """The whole state as of now, in chunks of about 1 ms of work; commands may be executed between them."""
        return snapshots.begin(self._whole)

    def restore(self, head: bytes, *more: bytes) -> None:
        """Become the engine that made this snapshot, or these chunks of `begin_snapshot` in their order; epoch,
        instruments and dedupe_ids included. `configure` changes those afterwards.

        Raises:
            ValueError: the snapshot is unusable; nothing is changed.
        """
        image = snapshots.decode(head, *more)
        books = {instrument: Book() for instrument in image.resting}
        ledger = snapshots.rebuild(image, AccountOrders(image.dedupe_ids or self._ledger.dedupe_ids), books)
        self.epoch = image.epoch
        self._books, self._ledger, self._highest = books, ledger, image.highest
        counters = image.counters
        self._counters = Counters(counters.now_ns, counters.order_id, counters.exec_id, counters.trade_id)
        self._connect()

    def _connect(self) -> None:
        """Make the parts that work on the state; again when any of it was replaced."""
        ledger, counters = self._ledger, self._counters
        self._events = EventBuilder(ledger, counters)
        self._matcher = Matcher(ledger, self._events, counters)
        self._plain = PlainOrders(self._books, self._highest, ledger, counters, self._events, self._matcher)

    @property
    def _whole(self) -> snapshots.EngineParts:
        used = self._counters
        counters = snapshots.Counters(used.now_ns, used.order_id, used.exec_id, used.trade_id)
        head = (self.epoch, counters, self._highest, self._ledger.dedupe_ids)
        return snapshots.EngineParts(*head, self._ledger, self._books)

    @property
    def configuration(self) -> tuple[tuple[int, ...], int]:
        """The arguments of `configure`."""
        return tuple(self._books), self._ledger.dedupe_ids

    def configure(self, instruments: Iterable[int], dedupe_ids: int) -> None:
        """Continue with these instruments, and this number of ids remembered per account.

        Raises:
            ValueError: an instrument that is not among them has open orders; nothing is changed.
        """
        books = {instrument: self._books.get(instrument) or Book() for instrument in instruments}
        for instrument, book in self._books.items():
            if instrument not in books and not book.is_empty:
                raise ValueError(f"open orders in instrument {instrument}, which is not configured")
        self._books, self._ledger.dedupe_ids = books, dedupe_ids
        self._connect()

    def begin_epoch(self, epoch: str, accounts: Iterable[int], now_ns: int) -> None:
        """Continue under another name after the latest history was lost: streams begin again at 1, no id that a client
        may have seen is used again, and an earlier retry is not taken for a first attempt. accounts: all that may have
        traded.
        """
        self.epoch = epoch
        self._counters.order_id += _LOST_IDS
        self._counters.exec_id += _LOST_IDS
        self._counters.trade_id += _LOST_IDS
        for account_id in sorted({*accounts, *self._ledger.accounts}):
            account = self._ledger.account(account_id)
            account.seq = 0
            account.forgotten_until = max(account.forgotten_until, now_ns)

    def digest(self) -> str:
        """A fingerprint of the whole state (SHA-256, hex): equal wherever the same commands were executed."""
        return hashlib.sha256(self.snapshot()).hexdigest()

    # -- the commands --------------------------------------------------------------------------------------------

    def _place(self, command: NewOrder, account: AccountState) -> None:
        known = account.by_cl_ord_id.get(command.cl_ord_id)
        if known is not None:
            if command.flags & POSS_RESEND:
                self._events.duplicate(known, command.cl_ord_id)
            else:
                self._events.reject(command, _USED, known.order_id)
            return
        rejection = self._why_barred(command, account) or check_new(command) or self._why_not_here(command)
        if rejection is not None:
            self._events.reject(command, rejection, 0)
            return
        self._counters.order_id += 1
        order = order_of(command, self._counters.order_id, self._counters.now_ns)
        account.admit(order)
        self._events.change(order, ExecType.NEW)
        self._matcher.match(order, self._books[order.instrument])

    def _cancel(self, command: CancelOrder, account: AccountState) -> None:
        order = account.find(command.order_id, command.orig_cl_ord_id)
        rejection = _why_not_meant(command, account, order) or _why_gone(order)
        if order is None or rejection is not None:
            self._events.reject_cancel(command, order, rejection or _UNKNOWN, "1")
            return
        self._take_out(order)
        self._events.change(order, ExecType.CANCELED, command.cl_ord_id, order.cl_ord_id)

    def _replace(self, command: ReplaceOrder, account: AccountState) -> None:
        order = account.find(command.order_id, command.orig_cl_ord_id)
        used_by = account.by_cl_ord_id.get(command.cl_ord_id)
        # A retry whose first attempt worked: its new id is in use, by the same order or one whose old id was forgotten.
        if used_by is not None and command.flags & POSS_RESEND and (order is None or order is used_by):
            self._events.duplicate(used_by, command.cl_ord_id)
            return
        is_used = order is not None and used_by is not None
        rejection = _USED if is_used else self._why_unchangeable(command, account, order)
        if order is None or rejection is not None:
            self._events.reject_cancel(command, order, rejection or _UNKNOWN, "2")
            return
        self._change(order, command)

    def _change(self, order: Order, command: ReplaceOrder) -> None:
        """Execute a replace that passed every check.

        The order keeps its time priority only if its price stays and its quantity falls.
        """
        book = self._books[order.instrument]
        own, previous = book.own(order.side), order.cl_ord_id
        leaves = command.qty - order.cum_qty
        keeps_turn = command.price == order.price and leaves < order.leaves_qty
        if keeps_turn:
            own.reduce(order, order.leaves_qty - leaves)
        else:
            own.remove(order)
            order.price, order.leaves_qty = command.price, leaves
        order.qty = command.qty
        # Post-only can be added but does not lapse: no one must become a taker by leaving a field out.
        order.flags |= command.flags & (POST_ONLY | ACCOUNT_GIVEN)
        self._ledger.rename(order, command.cl_ord_id, command.sent_at, self._counters.now_ns)
        self._events.change(order, ExecType.REPLACED, orig_cl_ord_id=previous)
        if not keeps_turn:
            self._matcher.match(order, book)

    def _mass_cancel(self, command: MassCancel, account: AccountState) -> None:
        code, text = _UNASKED.get(command.origin, (0, ""))
        chosen = [order for order in account.open.values() if is_in_scope(order, command)]
        for order in chosen:
            self._take_out(order)
            self._events.change(order, ExecType.CANCELED, code=code, text=text)
        self._events.mass_cancel_done(command, len(chosen))

    def _take_out(self, order: Order) -> None:
        self._books[order.instrument].own(order.side).remove(order)
        self._ledger.finish(order, OrdStatus.CANCELED, self._counters.now_ns)

    # -- the refusals --------------------------------------------------------------------------------------------

    def _why_barred(self, command: NewOrder | ReplaceOrder, account: AccountState) -> Rejection | None:
        """Why a new order or replace is rejected whatever its terms: it is a doubtful retry, or late."""
        if command.flags & POSS_RESEND and account.may_be_forgotten(command.sent_at):
            return errors.EXPIRED_ON_ARRIVAL, "a retry older than the ids remembered, or without its first time"
        if command.deadline < 0:
            return -command.deadline, "no order has this id, and this retry may not place it"
        if command.deadline and self._at_ns > command.deadline:
            return errors.EXPIRED_IN_QUEUE, "its validity window ended before the engine saw it"
        return None

    def _why_not_here(self, command: NewOrder) -> Rejection | None:
        book = self._books.get(command.instrument)
        if book is None:
            return errors.UNKNOWN_SYMBOL, "unknown instrument"
        if command.flags & POST_ONLY and _would_take(book, command.side, command.price):
            return _WOULD_TAKE
        return None

    def _why_unchangeable(self, command: ReplaceOrder, account: AccountState, order: Order | None) -> Rejection | None:
        rejection = self._why_barred(command, account) if order is not None else _UNKNOWN
        rejection = rejection or _why_not_meant(command, account, order) or _why_gone(order)
        if order is None or rejection is not None:
            return rejection
        rejection = _why_fixed(command, order) or check_replace(command)
        if rejection is not None:
            return rejection
        if command.qty <= order.cum_qty:
            return errors.TOO_LATE, "the order has already traded that much"
        if order.cum_quote + command.price * (command.qty - order.cum_qty) > MAX_AMOUNT:
            return errors.BAD_NOTIONAL, "price x quantity is too large"
        is_post_only = (order.flags | command.flags) & POST_ONLY
        if is_post_only and _would_take(self._books[order.instrument], order.side, command.price):
            return _WOULD_TAKE
        return None


def _lane_of(session: int, lane: Lane) -> int:
    """The part above n that all cmd_ids of a session's lane share."""
    return pack_cmd_id(session, lane, 0) // _LANE_SPAN


def _would_take(book: Book, side: int, price: int) -> bool:
    other = book.opposite(side)
    return other.is_reached(other.reach(price))


def _why_not_meant(command: CancelOrder | ReplaceOrder, account: AccountState, order: Order | None) -> Rejection | None:
    """Why the command does not name this order: each id that is given must, and the instrument.

    It is rejected as unknown; but the event carries the state of the order that it does name, which may be live.
    """
    if order is None:
        return _UNKNOWN
    order_id, name = command.order_id, command.orig_cl_ord_id
    if (order_id and order_id != order.order_id) or (name and account.by_cl_ord_id.get(name) is not order):
        return _MISNAMED
    return _ELSEWHERE if command.instrument and command.instrument != order.instrument else None


def _why_fixed(command: ReplaceOrder, order: Order) -> Rejection | None:
    """Why a replace may not change this order: side, type and time in force can only be repeated."""
    is_same = (
        (not command.side or command.side == order.side)
        and (not command.ord_type or command.ord_type == order.ord_type)
        and (command.tif < 0 or command.tif == order.tif)
    )
    return None if is_same else _FIXED


def _why_gone(order: Order | None) -> Rejection | None:
    if order is None:
        return _UNKNOWN
    return None if order.is_open else _FINISHED
