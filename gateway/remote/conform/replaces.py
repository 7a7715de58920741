"""The dialogue about replaces: an order that has begun to trade gets another id, price and quantity.

What becomes of its turn among orders of its price is the venue's own matter, and is not looked at.
"""

from gateway.remote.conform.dialogue import Dialogue
from gateway.remote.conform.party import Party
from gateway.remote.conform.verdict import all_words, demand, of_command
from protocols.errors import DUPLICATE_ID, TOO_LATE, UNKNOWN_ORDER
from protocols.messages import CancelRejected, ExecType, OrderEvent, ReplaceOrder

_WHOLE, _FILLED, _LESS = 4, 1, 3  # units


async def replace(talk: Dialogue) -> None:
    """Replace an order of which a part is filled; replace what cannot be; then let the new price trade."""
    buyer, seller, level = talk.buyer, talk.seller, talk.cast.level
    await talk.place(seller.sell("s", level + 1, _WHOLE))
    await talk.place(seller.sell("a", level, _WHOLE))
    await talk.say(buyer.buy("b", level))  # one unit of "a" is filled
    await _demand_replaced(talk, seller.replace("a", "c", level + 1, _LESS))
    for command, code, why in (
        (seller.replace("none", "d", level + 1, _LESS), UNKNOWN_ORDER, "no order has this id"),
        (seller.replace("c", "s", level + 1, _LESS), DUPLICATE_ID, "its new id is in use"),
        (seller.replace("c", "e", level + 1, _FILLED), TOO_LATE, "so much is filled already"),
    ):
        await _demand_refused(talk, command, code, why)
    await _demand_open(talk, seller)
    await _demand_trade_of_a_replace(talk)


async def _demand_replaced(talk: Dialogue, command: ReplaceOrder) -> None:
    """The new terms; what is filled stays, and so does the OrderID."""
    before = (await talk.open_orders(talk.seller))[command.orig_cl_ord_id]
    caused = of_command(await talk.say(command), command)
    expected = f"{command.orig_cl_ord_id} becomes {command.cl_ord_id}: an `8` with exec_type 5"
    replaced = [event for event in caused if isinstance(event, OrderEvent) and event.exec_type is ExecType.REPLACED]
    demand(bool(replaced), expected, all_words(caused))
    filled = before.cum_qty
    for name, wanted in (
        ("cl_ord_id", command.cl_ord_id),
        ("orig_cl_ord_id", command.orig_cl_ord_id),
        ("order_id", before.order_id),
        ("price", command.price),
        ("qty", command.qty),
        ("cum_qty", filled),
        ("leaves_qty", command.qty - filled),
    ):
        seen = getattr(replaced[0], name)
        demand(seen == wanted, f"{command.cl_ord_id}, of which {filled} is filled: {name} {wanted}", f"{name} {seen}")


async def _demand_refused(talk: Dialogue, command: ReplaceOrder, code: int, why: str) -> None:
    caused = of_command(await talk.say(command), command)
    refusals = [event for event in caused if isinstance(event, CancelRejected)]
    is_so = bool(refusals) and (refusals[0].code, refusals[0].response_to) == (code, "2")
    asked = f"the replace of {command.orig_cl_ord_id} by {command.cl_ord_id}"
    demand(is_so, f"{asked} is refused with {code} (`9`, response_to 2): {why}", all_words(caused))


async def _demand_open(talk: Dialogue, party: Party) -> None:
    still_open = await talk.open_orders(party)
    wanted = {party.named("s"), party.named("c")}
    demand(set(still_open) == wanted, f"{', '.join(sorted(wanted))} are open", f"{', '.join(sorted(still_open))}")


async def _demand_trade_of_a_replace(talk: Dialogue) -> None:
    """The new price reaches an order of the other side: that is filled at its own price, by the replace."""
    buyer, seller, level = talk.buyer, talk.seller, talk.cast.level
    resting = await talk.place(buyer.buy("g", level - 1))
    command = seller.replace("c", "h", level - 1, _LESS)
    events = await talk.say(command)
    expected = f"{command.cl_ord_id} trades with {resting.cl_ord_id}, which its new price reaches, and fills it"
    trades = [event for event in events if isinstance(event, OrderEvent) and event.exec_type is ExecType.TRADE]
    mine = [event for event in of_command(trades, command) if event.account == seller.account]
    theirs = [event for event in trades if event.account == buyer.account and event.leaves_qty == 0]
    demand(bool(mine and theirs), expected, all_words(events))
