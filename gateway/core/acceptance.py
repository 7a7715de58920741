"""What the reference engine accepts, and what it rejects before it looks at any order or book.

The order path has checked ticks, lots and bands. Here are the last defences (an engine is also fed from journals and
links) and the order types that this engine does not have. It rejects them with 2008 rather than execute half of them:
stops, iceberg, MinQty, amount orders, DAY and GTD expiry, reduce-only, market-maker protection, self-match decrement.
"""

from protocols.errors import BAD_NOTIONAL, BAD_QUANTITY, BAD_TICK, MISSING_FIELD, UNSUPPORTED_COMBINATION
from protocols.messages import MMP, POST_ONLY, REDUCE_ONLY, NewOrder, OrdType, ReplaceOrder, Stp, Tif

MAX_AMOUNT = (1 << 63) - 1  # of price x quantity: every codec on the way carries 64 bits

Rejection = tuple[int, str]  # error code, text for people

_LIMIT_TIFS = frozenset((Tif.GTC, Tif.IOC, Tif.FOK))
_MARKET_TIFS = _LIMIT_TIFS | {Tif.DAY}  # a market order never rests, so the end of the day does not matter to it
_UNSUPPORTED_FLAGS = REDUCE_ONLY | MMP


def check_new(command: NewOrder) -> Rejection | None:
    """Why this order is rejected, or None. A sound order costs a handful of comparisons."""
    if not command.cl_ord_id:
        return MISSING_FIELD, "an order needs a client order id"
    if command.ord_type == OrdType.LIMIT:
        if command.tif not in _LIMIT_TIFS:
            return UNSUPPORTED_COMBINATION, "time in force: this engine has GTC, IOC and FOK"
    elif command.ord_type == OrdType.MARKET:
        if command.tif not in _MARKET_TIFS or command.price or command.flags & POST_ONLY:
            return UNSUPPORTED_COMBINATION, "a market order has no price, takes, and never rests"
    else:
        return UNSUPPORTED_COMBINATION, "this engine has no stop orders"
    if command.stop_px or command.quote_qty or command.display_qty or command.min_qty or command.expire_at:
        return UNSUPPORTED_COMBINATION, "this engine has no stop price, quote amount, display, minimum or expiry"
    if command.flags:
        if command.flags & _UNSUPPORTED_FLAGS:
            return UNSUPPORTED_COMBINATION, "this engine has no reduce-only and no market-maker protection"
        if command.flags & POST_ONLY and command.tif != Tif.GTC:
            return UNSUPPORTED_COMBINATION, "a post-only order must be able to rest"
    if command.stp == Stp.DECREMENT:
        return UNSUPPORTED_COMBINATION, "self-match prevention: this engine has no decrement"
    return check_size(command.qty, command.price, command.ord_type)


def check_replace(command: ReplaceOrder) -> Rejection | None:
    """Why this replace is rejected whatever the order, or None."""
    if not command.cl_ord_id:
        return MISSING_FIELD, "a replace needs a client order id of its own"
    if command.stop_px or command.display_qty or command.min_qty or command.expire_at:
        return UNSUPPORTED_COMBINATION, "this engine has no stop price, display, minimum or expiry"
    if command.flags & _UNSUPPORTED_FLAGS:
        return UNSUPPORTED_COMBINATION, "this engine has no reduce-only and no market-maker protection"
    return check_size(command.qty, command.price, OrdType.LIMIT)  # only limit orders rest


def check_size(qty: int, price: int, ord_type: int) -> Rejection | None:
    """Why the quantity or the price is out of range, or None."""
    if qty <= 0 or qty > MAX_AMOUNT:
        return BAD_QUANTITY, "quantity must be above zero, and below 2^63"
    if ord_type == OrdType.LIMIT:
        if price <= 0:
            return BAD_TICK, "price must be above zero"
        if price * qty > MAX_AMOUNT:
            return BAD_NOTIONAL, "price x quantity is too large"
    return None
