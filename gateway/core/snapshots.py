"""The engine's whole state as msgpack, and back. Canonical: equal states give equal bytes in every process.

A snapshot holds each account's orders and used ids, and the orders of every book side in the order in which they would
trade: adding them in that order rebuilds the price levels. It is made at once, or in chunks while the engine continues;
then it has the state of the moment when it was begun. Before editing: this is a stored format, so fields are only added
at the end, and `VERSION` rises if an old reader would misread it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import structs

from gateway.core.book import Book
from gateway.core.orders import AccountOrders, AccountState, Order, Retired, no_snapshot
from protocols.messages import OrdType, Tif

VERSION = 1
_ROWS = 1_000  # per chunk: about 1 ms of work, and 100 KiB

_Resting = dict[int, tuple[list[int], list[int]]]
"""By instrument the ids of (bids, asks), best first."""


class Counters(msgspec.Struct, frozen=True, array_like=True):
    """The last values used: core time in ns UTC, and the three ids."""

    now_ns: int
    order_id: int
    exec_id: int
    trade_id: int


class AccountImage(msgspec.Struct, frozen=True, array_like=True):
    """One account: every remembered order in order of entry, and its retired ids, those to be forgotten first at the
    front.

    A retired id is ((client order id, used until), order id).
    """

    id: int
    seq: int
    forgotten_until: int
    orders: list[Order]
    retired: list[tuple[tuple[str, int], int]]


class Image(msgspec.Struct, frozen=True, array_like=True):
    """The whole engine. highest: n by session and lane.

    state: always "normal", because the gateway bars orders, not the engine. dedupe_ids: 0 = not given.
    """

    version: int
    epoch: str
    state: str
    counters: Counters
    highest: dict[int, int]
    accounts: list[AccountImage]
    resting: _Resting
    dedupe_ids: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Image)
_account_decoder = msgspec.msgpack.Decoder(AccountImage)


class EngineParts(msgspec.Struct, frozen=True):
    """The whole state of an engine. highest: n by session and lane."""

    epoch: str
    counters: Counters
    highest: Mapping[int, int]
    dedupe_ids: int
    ledger: AccountOrders
    books: Mapping[int, Book]


def encode(state: EngineParts) -> bytes:
    accounts = [each for _, each in sorted(state.ledger.accounts.items())]
    images = [_image(each, list(each.by_order_id.values()), each.retired) for each in accounts]
    return _encode_with(state, images, _resting(state))


def begin(state: EngineParts) -> Iterator[bytes]:
    """A snapshot of the present state in chunks for `decode`; the engine may continue between them.

    Each takes about 1 ms to make, and a few more when an account with many orders is reached. All chunks together are
    the whole state, or the last step raises.

    Raises:
        RuntimeError: from the iterator, a bug: the chunks have other open orders than the books.
    """
    resting, wanted = _resting(state), _OpenOrders()
    for bids, asks in resting.values():
        wanted.add([*bids, *asks])
    return _chunks(_encode_with(state, [], resting), _CopyOnChange(state.ledger), wanted)


class _CopyOnChange:
    """Accounts as they were when a snapshot was begun: each is copied when its turn comes, or before it changes."""

    def __init__(self, ledger: AccountOrders) -> None:
        self._ledger = ledger
        self._untouched = dict(ledger.accounts)
        self._images: deque[tuple[AccountState, list[Order], list[Retired]]] = deque()
        ledger.before_change = self._put

    def _put(self, account: int) -> None:
        found = self._untouched.get(account)
        if found is None:
            return
        copy = AccountState(found.id)
        copy.seq, copy.forgotten_until = found.seq, found.forgotten_until
        # A finished order does not change any more, so only open ones are copied.
        orders = found.by_order_id | {order_id: structs.replace(order) for order_id, order in found.open.items()}
        self._images.append((copy, list(orders.values()), list(found.retired)))
        del self._untouched[account]  # last: if memory runs out above, the account is still to be done, not missing

    def take(self) -> tuple[AccountState, list[Order], list[Retired]] | None:
        """The next account, with its orders and its retired ids; None if all are done."""
        if not self._images and self._untouched:
            self._put(next(iter(self._untouched)))
        if not self._images:
            self._ledger.before_change = no_snapshot
            return None
        return self._images.popleft()


class _OpenOrders(msgspec.Struct):
    """Which orders are open, as counted by the books or by the accounts: the two must agree."""

    count: int = 0
    sum_of_ids: int = 0

    def add(self, ids: list[int]) -> None:
        self.count += len(ids)
        self.sum_of_ids += sum(ids)


def _chunks(head: bytes, copies: _CopyOnChange, wanted: _OpenOrders) -> Iterator[bytes]:
    yield head
    counted = _OpenOrders()
    while (taken := copies.take()) is not None:
        account, orders, retired = taken
        # An account with 2,500 orders and 10 retired ids gives three chunks, and the ids are in the first.
        for start in range(0, max(len(orders), len(retired), 1), _ROWS):
            end = start + _ROWS
            counted.add([order.order_id for order in orders[start:end] if order.leaves_qty])
            yield _encoder.encode(_image(account, orders[start:end], retired[start:end]))
    if counted != wanted:
        raise RuntimeError(f"a snapshot of {counted.count} open orders, and {wanted.count} rest in the books")


def _image(account: AccountState, orders: list[Order], retired: Iterable[Retired]) -> AccountImage:
    ids = [((each.cl_ord_id, each.used_until), each.order_id) for each in retired]
    return AccountImage(account.id, account.seq, account.forgotten_until, orders, ids)


def _resting(state: EngineParts) -> _Resting:
    return {number: (book.bids.order_ids(), book.asks.order_ids()) for number, book in sorted(state.books.items())}


def _encode_with(state: EngineParts, accounts: list[AccountImage], resting: _Resting) -> bytes:
    highest = dict(sorted(state.highest.items()))
    head = (VERSION, state.epoch, "normal", state.counters, highest)
    return _encoder.encode(Image(*head, accounts, resting, state.dedupe_ids))


def decode(head: bytes, *more: bytes) -> Image:
    """The contents of a snapshot: made at once, or in the chunks of `begin`.

    Raises:
        ValueError: not a snapshot of this version.
    """
    try:
        image = _decoder.decode(head)
        slices = [_account_decoder.decode(chunk) for chunk in more]
    except msgspec.MsgspecError as error:
        raise ValueError(f"snapshot: {error}") from error
    if image.version != VERSION:
        raise ValueError(f"snapshot: version {image.version}, not {VERSION}")
    before = None
    for each in slices:  # chunks of one account follow each other
        if before is not None and each.id == before.id:
            before.orders.extend(each.orders)
            before.retired.extend(each.retired)
        else:
            image.accounts.append(each)
            before = each
    return image


def rebuild(image: Image, ledger: AccountOrders, books: Mapping[int, Book]) -> AccountOrders:
    """Fill an empty ledger and empty books, one for each instrument of the image; the ledger.

    Raises:
        ValueError: the image contradicts itself.
    """
    open_orders: dict[int, Order] = {}
    for account_image in image.accounts:
        if account_image.id in ledger.accounts:
            raise ValueError(f"snapshot: account {account_image.id} occurs twice")
        account = _account(account_image)
        ledger.adopt(account)
        open_orders.update(account.open)
    for instrument, sides in image.resting.items():
        for order_id in (*sides[0], *sides[1]):
            order = open_orders.pop(order_id, None)
            if order is None or order.instrument != instrument or not _is_sound(order):
                raise ValueError(f"snapshot: order {order_id} cannot rest")
            books[instrument].own(order.side).add(order)
    if open_orders:
        raise ValueError(f"snapshot: open order {next(iter(open_orders))} rests nowhere")
    return ledger


def _account(image: AccountImage) -> AccountState:
    account = AccountState(image.id)
    account.seq = image.seq
    account.forgotten_until = image.forgotten_until
    for order in image.orders:
        if order.account != image.id:
            raise ValueError(f"snapshot: order {order.order_id} is in the wrong account")
        account.by_order_id[order.order_id] = order
        if order.is_open:
            if order.cl_ord_id in account.by_cl_ord_id:
                raise ValueError(f"snapshot: id {order.cl_ord_id!r} names two open orders")
            account.admit(order)
    for (cl_ord_id, used_until), order_id in image.retired:
        retired_order = account.by_order_id.get(order_id)
        if retired_order is None or cl_ord_id in account.by_cl_ord_id:
            raise ValueError(f"snapshot: id {cl_ord_id!r} contradicts the orders")
        account.by_cl_ord_id[cl_ord_id] = retired_order
        account.retired.append(Retired(cl_ord_id, used_until, order_id))
    return account


def _is_sound(order: Order) -> bool:
    """Whether an open order can rest, and its quantities add up."""
    rests = order.ord_type == OrdType.LIMIT and order.tif == Tif.GTC and order.price > 0
    return rests and order.leaves_qty > 0 and order.qty == order.cum_qty + order.leaves_qty
