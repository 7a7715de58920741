"""The dialogues in which the core is killed and started again. They are judged by what can be seen from outside.

What a core writes again is refused by Redis, so a difference shows only in what it says and does afterwards. Before
editing: `tail` looks at what was not acknowledged at the kill, `durable` at whether what was acknowledged is still
there, `second_life` at what it is.
"""

import asyncio

import msgspec

from gateway.remote.conform.dialogue import Dialogue
from gateway.remote.conform.store import ns_of
from gateway.remote.conform.verdict import demand, of_command, words
from gateway.remote.keys import id_text
from protocols.messages import AnyCommand, ExecType, NewOrder, OrderEvent
from protocols.units import NS_PER_MS, NS_PER_S

_BURST = 48  # entries before the kill, and as many at most while the core is away
_PACE_S = 0.002
_PLACED = 8
_SHORT_NS = 50 * NS_PER_MS  # a deadline that is over when the core lives again


async def tail(talk: Dialogue) -> None:
    """Write orders without waiting while the core is killed and started again."""
    buyer = talk.buyer
    said: list[AnyCommand] = [buyer.buy(str(number)) for number in range(_BURST)]
    entries = await talk.write_each(said)
    restarting = asyncio.ensure_future(talk.restart())
    try:
        while not restarting.done() and len(said) < 2 * _BURST:
            said.append(buyer.buy(str(len(said))))
            entries.append(await talk.write(said[-1]))
            await asyncio.sleep(_PACE_S)
    finally:
        await restarting
    await talk.wait_for_core()
    told = {each.entry: each for each in talk.heard}
    skipped = [each for each in zip(entries, said, strict=True) if each[0] not in told]
    demand(
        not skipped,
        f"each of the {len(entries)} entries around the restart is acknowledged",
        f"{len(skipped)} are not, the first is {id_text(skipped[0][0])}" if skipped else "",
    )
    for entry, command in zip(entries, said, strict=True):
        caused = of_command(told[entry].events, command)
        demand(bool(caused), f"an event with cmd_id {command.cmd_id} in {id_text(entry)}", "an acknowledgement alone")


async def durable(talk: Dialogue) -> None:
    """Kill the core at once after it has answered, and look whether it knows all that it said."""
    buyer = talk.buyer
    cancelled = buyer.buy("x")
    await talk.place(cancelled)
    await talk.say(buyer.cancel("x"))
    orders: list[NewOrder] = []
    for number in range(_PLACED):
        orders.append(buyer.buy(str(number)))
        await talk.place(orders[-1])
    acknowledged = talk.heard[-1].entry
    await talk.restart()
    await talk.wait_for_core()
    still_open = await talk.open_orders(buyer)
    for order in orders:
        demand(
            order.cl_ord_id in still_open,
            f"{order.cl_ord_id} is open, as before the kill ({id_text(acknowledged)} was the last entry)",
            "it is not among the open orders",
        )
    demand(cancelled.cl_ord_id not in still_open, f"{cancelled.cl_ord_id} is cancelled, as before", "it is open again")
    retry = buyer.again(orders[-1])
    caused = [event for event in of_command(await talk.say(retry), retry) if isinstance(event, OrderEvent)]
    demand(
        bool(caused) and caused[0].exec_type is ExecType.ORDER_STATUS,
        f"a retry of {retry.cl_ord_id} is answered with its state (exec_type I)",
        words(caused[0]) if caused else "no `8`",
    )
    welcome, _ = await talk.hello()
    demand(welcome.epoch == talk.cast.epoch, f"epoch {talk.cast.epoch}, as before", welcome.epoch)


async def second_life(talk: Dialogue) -> None:
    """The same steps twice, the second time with a restart in the midst."""
    buyer, seller, level = talk.buyer, talk.seller, talk.cast.level
    first = await _hit(talk, "a", await _rest(talk, "a", level), level)
    waiting = await _rest(talk, "b", level)
    short = await _short_lived(talk)
    before = {**await talk.open_orders(seller), **await talk.open_orders(buyer)}
    demand(short.cl_ord_id in before, f"{short.cl_ord_id} is open: its deadline was not over", "it is not")
    exec_ids = {event.exec_id for event in talk.events if isinstance(event, OrderEvent) and event.exec_id}
    latest, written = max(event.seq for event in talk.numbered(seller)), await talk.stream_of(seller)
    while await talk.store.now_ns() <= short.deadline:
        await asyncio.sleep(_PACE_S)
    await talk.restart()
    await talk.wait_for_core()
    after = {**await talk.open_orders(seller), **await talk.open_orders(buyer)}
    for name, state in before.items():
        if name in after:
            _demand_same(state, after[name])
    demand(short.cl_ord_id in after, f"{short.cl_ord_id} is open: time is that of the entry", "it is not open any more")
    again = (await talk.stream_of(seller))[: len(written)]
    demand(again == written, f"the stream of account {seller.account} begins as before the kill", "it is another one")
    second = await _hit(talk, "b", waiting, level)
    demand(first == second, f"the {first} of two equal orders trades first, as without a restart", f"the {second}")
    fresh = await talk.place(seller.sell("c", level + 1))
    demand(fresh.exec_id not in exec_ids, "an exec_id that was not used before the restart", words(fresh))
    known = {event.order_id for event in before.values()}
    demand(fresh.order_id not in known, "an order_id that was not used before the restart", f"{fresh.order_id}")
    seqs = [event.seq for event in talk.numbered(seller) if event.seq > latest]
    wanted = list(range(latest + 1, latest + 1 + len(seqs)))
    demand(seqs == wanted, f"the numbers of account {seller.account} go on after {latest}", f"{seqs}")


async def _rest(talk: Dialogue, name: str, level: int) -> list[NewOrder]:
    """Two equal orders of two units; one has begun to trade."""
    orders = [talk.seller.sell(f"{name}{number}", level, qty=2) for number in (1, 2)]
    for order in orders:
        await talk.place(order)
    await talk.say(talk.buyer.buy(f"{name}3", level))
    return orders


async def _hit(talk: Dialogue, name: str, resting: list[NewOrder], level: int) -> str:
    """Which of two equal orders trades now: "first" or "second", or "neither"; then both are cancelled."""
    events = await talk.say(talk.buyer.buy(f"{name}4", level))
    makers = [
        event.cl_ord_id for event in events if isinstance(event, OrderEvent) and event.account == talk.seller.account
    ]
    await talk.say(talk.seller.mass_cancel())
    turns = [order.cl_ord_id for order in resting]
    return ("first", "second")[turns.index(makers[0])] if makers and makers[0] in turns else "neither"


async def _short_lived(talk: Dialogue) -> NewOrder:
    """An order that came in time, and whose deadline is over soon."""
    lasts_ns, number = _SHORT_NS, 0
    while True:
        order = talk.buyer.buy(f"t{number}", deadline=await talk.store.now_ns() + lasts_ns)
        entry = await talk.write(order)
        await talk.hear(entry)
        if ns_of(entry) <= order.deadline or lasts_ns > NS_PER_S:
            return order
        lasts_ns, number = 4 * lasts_ns, number + 1


def _demand_same(before: OrderEvent, after: OrderEvent) -> None:
    """The state of an order, but for when it was asked for."""
    for name in msgspec.structs.asdict(before):
        was, now = getattr(before, name), getattr(after, name)
        if name not in {"seq", "cmd_id", "t_core"}:
            demand(was == now, f"{before.cl_ord_id}: {name} is {was} as before the kill", f"{now}")
