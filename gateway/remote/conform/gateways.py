"""The dialogues with another gateway: what it is told of its accounts, and what a mass cancel means for its orders.

The tool plays both gateways, each a node of its own.
"""

from gateway.remote.conform.dialogue import Dialogue, demand_chain
from gateway.remote.conform.verdict import all_words, demand, of_command, words
from gateway.remote.keys import BEFORE_ALL, id_text
from gateway.remote.wire import FIELDS, encode_commands
from protocols.errors import WITHDRAWN
from protocols.messages import Lane, OrderEvent, Side

_NODE_2 = "-2"


async def hosts(talk: Dialogue) -> None:
    """Another gateway that hosts one of the accounts: what it is told, and what not."""
    buyer, seller, level, other = talk.buyer, talk.seller, talk.cast.level, talk.node + _NODE_2
    key = talk.store.keys.node(other)
    await talk.hello(other, [seller.account])
    await talk.say(buyer.buy("a"))
    await talk.say(seller.sell("b", level))
    await talk.say(seller.query())
    await talk.say(buyer.buy("c", level))
    await talk.store.write(other, "bye", b"")
    await talk.say(seller.sell("d", level))
    await talk.say(seller.query())
    await talk.store.let_go(other)
    told = await talk.store.written(key)
    wanted = [event for event in talk.numbered(seller) if event.cl_ord_id != seller.named("d")]  # type: ignore[union-attr]
    events = [event for each in told for event in each.events]
    demand(
        events == wanted,
        f"{key}: the numbered events of its account {seller.account} until its `bye`: {all_words(wanted)}",
        all_words(events),
    )
    demand_chain(told)
    of_entry = {each.entry for each in talk.heard}
    strange = [id_text(each.entry) for each in told[1:] if each.entry not in of_entry]
    demand(not strange, f"{key}: entries with the ids of those in the command stream", ", ".join(strange))


async def join(talk: Dialogue) -> None:
    """Another gateway begins without accounts, takes one that has no event yet, then another, and gives both back."""
    buyer, seller, level, other = talk.buyer, talk.seller, talk.cast.level, talk.node + _NODE_2
    key = talk.store.keys.node(other)
    await talk.hello(other, [])
    fresh, _ = await talk.join(other, buyer)
    demand(
        str(buyer.account) in fresh.latest,
        f"`joined`: latest has account {buyer.account}, with the number of its latest event, 0 = none",
        f"latest {fresh.latest}",
    )
    await talk.store.write(other, "leave", f"[{buyer.account}]".encode())
    accepted = await talk.place(seller.sell("a", level))
    joined, orders = await talk.join(other, seller)
    highest, latest = joined.highest.get(str(seller.session)), joined.latest.get(str(seller.account))
    known = [each.cl_ord_id for each in orders]
    demand(
        highest is not None and highest[Lane.ORDER] == 1 and latest is not None and latest >= accepted.seq,
        f"`joined`: session {seller.session} has executed order 1, account {seller.account} has event {accepted.seq}",
        f"highest {highest}, latest {latest}",
    )
    demand(known == [seller.named("a")], f"the open order {seller.named('a')} beside `joined`", f"{', '.join(known)}")
    before = (await talk.store.written(key))[-1].entry
    await talk.say(seller.sell("b", level))
    await talk.say(buyer.buy("c"))
    await talk.store.write(other, "leave", f"[{seller.account}]".encode())
    await talk.say(seller.sell("d", level))
    await talk.say(buyer.query())
    told = await talk.store.written(key, before)
    await talk.store.write(other, "bye", b"")
    await talk.store.let_go(other)
    names = {event.cl_ord_id for each in told for event in each.events if isinstance(event, OrderEvent)}
    demand(
        names == {seller.named("b")},
        f"{key}: {seller.named('b')}, which came between `join` and `leave`, and no other order",
        ", ".join(sorted(names)) or "none",
    )


async def late_order(talk: Dialogue) -> None:
    """Another gateway had an order when the mass cancel came, and hands it over after that."""
    buyer, other = talk.buyer, talk.node + _NODE_2
    await talk.hello(other, [buyer.account])
    theirs = talk.partner(buyer, talk.seller.session)
    late, other_side = theirs.buy("a"), theirs.sell("b", talk.cast.level)
    await talk.say(buyer.mass_cancel(Side.BUY))
    for order, code in ((late, WITHDRAWN), (other_side, 0), (theirs.buy("c"), 0)):
        data = encode_commands([order], talk.cast.encoding)
        entry = await talk.store.write(other, FIELDS[talk.cast.encoding], data)
        told = await talk.store.told_to(other, BEFORE_ALL, entry, talk.cast.timeout_s)
        caused = [event for each in told for event in of_command(each.events, order) if isinstance(event, OrderEvent)]
        refused = f"{order.cl_ord_id} is refused with {code}: it came to {other} before the mass cancel"
        placed = f"{order.cl_ord_id} is placed: the mass cancel does not mean it"
        seen = words(caused[0]) if caused else "no `8`"
        demand(bool(caused) and caused[0].code == code, refused if code else placed, seen)
    await talk.store.write(other, "bye", b"")
    await talk.store.let_go(other)
