"""The engine's whole state as msgpack, and back. Canonical: equal states give equal bytes, in every process.

A snapshot holds each account's orders and used ids, and the orders of every book side in the order in which they would
trade: price levels are rebuilt by adding them in that order. Before editing: it is a stored format, so fields are only
ever added at the end, and `VERSION` rises when an old reader would misread it.
"""

from collections.abc import Mapping

import msgspec

from gateway.core.book import Book
from gateway.core.orders import Account, Ledger, Order, Retired
from protocols.messages import OrdType, Tif

VERSION = 1


class Counters(msgspec.Struct, frozen=True, array_like=True):
    """The last values given: core time in ns UTC, and the three ids."""

    now_ns: int
    order_id: int
    exec_id: int
    trade_id: int


class AccountImage(msgspec.Struct, frozen=True, array_like=True):
    """One account: every remembered order in order of entry, and (retired id, its order) in order of retiring."""

    id: int
    seq: int
    forgotten_until: int
    orders: list[Order]
    retired: list[tuple[Retired, int]]


class Image(msgspec.Struct, frozen=True, array_like=True):
    """The whole engine. highest: n by session and lane; resting: by instrument the ids of (bids, asks), best first."""

    version: int
    epoch: str
    state: str
    counters: Counters
    highest: dict[int, int]
    accounts: list[AccountImage]
    resting: dict[int, tuple[list[int], list[int]]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Image)


def encode(
    epoch: str,
    state: str,
    counters: Counters,
    highest: Mapping[int, int],
    ledger: Ledger,
    books: Mapping[int, Book],
) -> bytes:
    """The bytes of a snapshot."""
    accounts = [
        AccountImage(
            account.id,
            account.seq,
            account.forgotten_until,
            list(account.by_order_id.values()),
            [(retired, account.by_cl_ord_id[retired.cl_ord_id].order_id) for retired in account.retired],
        )
        for account in ledger.accounts.values()
    ]
    resting = {
        instrument: ([order.order_id for order in book.bids.orders()], [order.order_id for order in book.asks.orders()])
        for instrument, book in sorted(books.items())
    }
    return _encoder.encode(Image(VERSION, epoch, state, counters, dict(sorted(highest.items())), accounts, resting))


def decode(data: bytes) -> Image:
    """What a snapshot says.

    Raises:
        ValueError: not a snapshot of this version.
    """
    try:
        image = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"snapshot: {error}") from error
    if image.version != VERSION:
        raise ValueError(f"snapshot: version {image.version}, not {VERSION}")
    return image


def rebuild(image: Image, ledger: Ledger, books: Mapping[int, Book]) -> Ledger:
    """Fill an empty ledger and empty books from an image; gives the ledger.

    Raises:
        ValueError: the image contradicts itself or names an instrument without a book.
    """
    open_orders: dict[int, Order] = {}
    for account_image in image.accounts:
        if account_image.id in ledger.accounts:
            raise ValueError(f"snapshot: account {account_image.id} is there twice")
        account = _account(account_image)
        ledger.adopt(account)
        open_orders.update(account.open)
    for instrument, sides in image.resting.items():
        for order_id in (*sides[0], *sides[1]):
            order = open_orders.pop(order_id, None)
            book = books.get(instrument)
            if order is None or order.instrument != instrument or not _is_sound(order):
                raise ValueError(f"snapshot: order {order_id} cannot rest")
            if book is None:
                raise ValueError(f"snapshot: open orders in instrument {instrument}, which is not configured")
            book.own(order.side).add(order)
    if open_orders:
        raise ValueError(f"snapshot: open order {next(iter(open_orders))} rests nowhere")
    return ledger


def _account(image: AccountImage) -> Account:
    account = Account(image.id)
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
    for retired, order_id in image.retired:
        retired_order = account.by_order_id.get(order_id)
        if retired_order is None or retired.cl_ord_id in account.by_cl_ord_id:
            raise ValueError(f"snapshot: id {retired.cl_ord_id!r} contradicts the orders")
        account.by_cl_ord_id[retired.cl_ord_id] = retired_order
        account.retired.append(retired)
    return account


def _is_sound(order: Order) -> bool:
    """Whether an open order is one that can rest, with a whole balance."""
    rests = order.ord_type == OrdType.LIMIT and order.tif == Tif.GTC and order.price > 0
    return rests and order.leaves_qty > 0 and order.qty == order.cum_qty + order.leaves_qty
