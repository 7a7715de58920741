"""What a session may ask for and what an instrument allows, judged from the command alone. Pure.

Nothing here counts or remembers; what depends on the book is for the core to judge.
"""

from gateway.sessions.session import Session
from protocols import errors
from protocols.errors import Refusal
from protocols.instruments import Instruments
from protocols.messages import AnyCommand, MassCancel, NewOrder, OrdType, Origin, QueryOrders, ReplaceOrder

ORDERS = (NewOrder, ReplaceOrder)
BARS = frozenset(
    (
        errors.EXPIRED_ON_ARRIVAL,
        errors.RATE_LIMITED,
        errors.TOO_MANY_OPEN_ORDERS,
        errors.COOLING_DOWN,
        errors.MARKET_HALTED,
        errors.CANCEL_ONLY,
        errors.ENGINE_BUSY,
        errors.DRAINING,
    )
)
"""Codes that refuse a new order at this moment, not the message as such."""
MAY_NOT_TRADE = Refusal(errors.NOT_PERMITTED, "this session may not trade")
TOO_MANY_LISTS = Refusal(errors.PENDING_CHANGE, "long lists are on their way, ask when they have come", 100)
_CLIENTS = (Origin.FIX, Origin.WS)
_PRICED = frozenset((OrdType.LIMIT, OrdType.STOP_LIMIT))


def permit(session: Session, command: AnyCommand) -> Refusal | None:
    """None when the session may ask for this."""
    if not session.may_trade and command.origin in _CLIENTS and not isinstance(command, QueryOrders):
        return MAY_NOT_TRADE
    allowed = session.instruments
    if allowed and command.instrument and command.instrument not in allowed:
        return Refusal(errors.NOT_PERMITTED, "this session may not trade this symbol", field="symbol")
    is_wide = isinstance(command, MassCancel) and not (command.instrument or command.only_session)
    if allowed and is_wide and command.origin in _CLIENTS:
        text = "this session may cancel its own orders, or those of a symbol that it may trade"
        return Refusal(errors.NOT_PERMITTED, text, field="symbol")
    return None


def check(command: AnyCommand, instruments: Instruments, now_ns: int) -> Refusal | None:
    """Validity window and the instrument's static rules; cancels and queries have none."""
    if not isinstance(command, ORDERS):
        return None
    if command.deadline and now_ns > command.deadline:
        return Refusal(errors.EXPIRED_ON_ARRIVAL, "older than its validity window on arrival")
    instrument = instruments.by_id.get(command.instrument)
    if instrument is None:
        return Refusal(errors.UNKNOWN_SYMBOL, "unknown symbol", field="symbol")
    price, qty = command.price, command.qty
    if isinstance(command, ReplaceOrder):
        priced = price != 0
    else:
        priced = command.ord_type in _PRICED
        if command.quote_qty and not qty:
            return instrument.check_notional(command.quote_qty)
    refusal = instrument.check_qty(qty)
    if refusal is None and priced:
        refusal = instrument.check_price(price) or instrument.check_notional(price * qty)
    if refusal is None and command.stop_px:
        refusal = instrument.check_price(command.stop_px)
    return refusal
