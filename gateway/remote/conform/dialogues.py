"""The dialogues that need no restart. Each is played to its end, or raises `Broken` at the first thing that is wrong.

A dialogue judges its own promise and nothing else: it counts answers only if it is about answers, and looks at numbers
only if it is about numbers. So a core with one mistake breaks one promise.
"""

import msgspec

from gateway.remote.conform.dialogue import Dialogue, demand_chain
from gateway.remote.conform.party import name_of
from gateway.remote.conform.verdict import all_words, demand, of_command, words
from gateway.remote.keys import id_text
from gateway.remote.wire import FIELDS, encode_commands
from protocols.errors import DUPLICATE_ID, ENGINE_DOWN, EXPIRED_IN_QUEUE
from protocols.messages import (
    AnyCommand,
    AnyEvent,
    ExecType,
    Lane,
    MassCancelDone,
    NewOrder,
    OrderEvent,
    is_numbered,
)
from protocols.units import NS_PER_S

_WINDOW = 256  # what a gateway has unacknowledged at most, and so may hand over again
_MINUTE_NS = 60 * NS_PER_S
_UNKNOWN_TYPE = {"msgpack": b"\x92\xa1?\x01", "json": b'{"type":"?"}'}
_TOO_SHORT = {"msgpack": b"\x92\xa1D\x01", "json": b'{"type":"D","cmd_id":"1"}'}


async def hello(talk: Dialogue) -> None:
    """Say hello again when there is something to tell."""
    buyer = talk.buyer
    order = buyer.buy("a")
    await talk.place(order)
    latest = max(event.seq for event in talk.events if is_numbered(event))
    welcome, orders = await talk.hello()
    session, account = str(buyer.session), str(buyer.account)
    n = order.cmd_id - buyer.first_id(Lane.ORDER) + 1
    highest = welcome.highest.get(session)
    demand(
        highest is not None and highest[Lane.ORDER] == n,
        f"highest: session {session} has executed order {n}",
        f"{highest}",
    )
    seen = welcome.latest.get(account)
    demand(seen == latest, f"latest: account {account} is at event {latest}", f"{seen}")
    demand(welcome.last_session >= buyer.session, f"last_session {session} or higher", f"{welcome.last_session}")
    demand(welcome.epoch == talk.cast.epoch, f"epoch {talk.cast.epoch}, as in the core's hash", welcome.epoch)
    demand(
        [(each.cl_ord_id, each.exec_type, each.seq) for each in orders]
        == [(order.cl_ord_id, ExecType.ORDER_STATUS, 0)],
        f"the open order {order.cl_ord_id} beside the welcome (exec_type I, seq 0)",
        all_words(orders),
    )


async def acknowledged(talk: Dialogue) -> None:
    """Entries that cause something and others, one by one and a whole window at once."""
    buyer = talk.buyer
    order = buyer.buy("a")
    entries = [await talk.write(order), await talk.write(order), await talk.write(buyer.query("a"))]
    entries += await talk.write_each([buyer.query() for _ in range(_WINDOW)])
    await talk.hear(entries[-1])
    told = {each.entry for each in talk.heard}
    missing = [id_text(entry) for entry in entries if entry not in told]
    demand(
        not missing,
        f"an entry of the same id for each of {len(entries)} entries with commands, also when it caused nothing",
        f"none for {', '.join(missing[:3])}" + (f" and {len(missing) - 3} more" if missing[3:] else ""),
    )
    demand_chain(talk.heard)


async def answers(talk: Dialogue) -> None:
    """Each kind of command, and how often it is answered."""
    buyer, seller, level = talk.buyer, talk.seller, talk.cast.level
    resting = buyer.buy("a")
    for command in (resting, buyer.buy("a"), buyer.cancel("a"), buyer.cancel("none"), buyer.query()):
        await _demand_one(talk, command)
    await talk.place(buyer.buy("b"))
    mass = buyer.mass_cancel()
    caused = of_command(await talk.say(mass), mass)
    ends = [event for event in caused if isinstance(event, MassCancelDone)]
    demand(len(ends) == 1 and caused[-1] is ends[0], "one `r`, the last event of the mass cancel", all_words(caused))
    await talk.place(seller.sell("c", level))
    taker = buyer.buy("d", level)
    caused = [event for event in of_command(await talk.say(taker), taker) if event.account == buyer.account]
    trades = [event for event in caused if isinstance(event, OrderEvent) and event.exec_type is ExecType.TRADE]
    demand(
        len(trades) == 1 and caused[-1] is trades[0],
        f"one trade, the last event of {taker.cl_ord_id}, which one resting order fills",
        all_words(caused),
    )


async def _demand_one(talk: Dialogue, command: AnyCommand) -> None:
    caused = of_command(await talk.say(command), command)
    demand(len(caused) == 1, f"one event with the cmd_id of {name_of(command)} ({command.cmd_id})", all_words(caused))


async def causes(talk: Dialogue) -> None:
    """A trade: what each side is told caused it."""
    buyer, seller, level = talk.buyer, talk.seller, talk.cast.level
    await talk.place(seller.sell("a", level))
    taker = buyer.buy("b", level)
    events = await talk.say(taker)
    makers = [event for event in events if event.account == seller.account]
    demand(bool(makers), f"an event of {seller.named('a')}, which trades with {taker.cl_ord_id}", all_words(events))
    for event in makers:
        demand(event.cmd_id == 0, "cmd_id 0 in the maker's event: another command caused it", words(event))


async def numbers(talk: Dialogue) -> None:
    """All that takes a number and what takes none, then both accounts' streams."""
    buyer, seller, level = talk.buyer, talk.seller, talk.cast.level
    await talk.say(buyer.buy("a"))
    await talk.say(buyer.buy("a"), buyer.query(), buyer.cancel("none"))
    await talk.say(seller.sell("b", level))
    await talk.say(buyer.buy("c", level))
    await talk.say(buyer.mass_cancel())
    await talk.say(seller.query())
    for party in (buyer, seller):
        key = talk.store.keys.events(party.account)
        stream = await talk.stream_of(party)
        first = talk.first[party.account]
        events = [event for told in stream for event in told.events]
        found = [event.seq for event in events]
        wanted = list(range(first + 1, first + 1 + len(found)))
        demand(bool(found), f"events in {key} after {first}-0", "none")
        demand(found == wanted, f"{key}: numbers without a gap after {first}", f"{', '.join(map(str, found))}")
        for told in stream:
            last = told.events[-1].seq if told.events else 0
            demand(told.entry == (last, 0), f"{key}: the id is {last}-0, the last number in it", id_text(told.entry))
        asked = [event for event in events if not is_numbered(event)]
        demand(not asked, f"{key}: no answers to questions, which take no number", all_words(asked))
        theirs = talk.numbered(party)
        difference = _first_difference(events, theirs)
        demand(not difference, f"the same events in {key} and in the node's stream", difference)


def _first_difference(events: list[AnyEvent], theirs: list[AnyEvent]) -> str:
    if events == theirs:
        return ""
    pairs = ((one, other) for one, other in zip(events, theirs, strict=False) if one != other)
    one, other = next(pairs, (None, None))
    if one is None or other is None:
        return f"{len(events)} events there, {len(theirs)} here"
    return f"{words(one)} there, {words(other)} here"


async def order(talk: Dialogue) -> None:
    """Commands whose turn can be seen: in one entry, and in entries that are handed over at once."""
    buyer = talk.buyer
    together: list[AnyCommand] = [
        buyer.buy("a", 1), buyer.buy("b", 3), buyer.cancel("a"), buyer.buy("c", 2), buyer.cancel("b"), buyer.buy("d", 5)
    ]  # fmt: skip
    each: list[AnyCommand] = [buyer.buy("e", 1), buyer.buy("f", 4), buyer.cancel("e"), buyer.buy("g", 2)]
    await talk.write(*together)
    entries = await talk.write_each(each)
    await talk.hear(entries[-1])
    commands = {command.cmd_id: command for command in (*together, *each)}
    events = sorted((event for event in talk.numbered(buyer) if event.cmd_id in commands), key=lambda event: event.seq)
    turns = list(dict.fromkeys(event.cmd_id for event in events))
    said, told = ([name_of(commands[cmd_id]) for cmd_id in ids] for ids in (commands, turns))
    demand(told == said, f"events in the order of the commands: {_names(said)}", f"{_names(told)}")


def _names(names: list[str]) -> str:
    return " ".join(name.rpartition("-")[2] for name in names)


async def once(talk: Dialogue) -> None:
    """Hand over again what was executed, at once and after a window of other commands."""
    buyer = talk.buyer
    first, second, cancel = buyer.buy("a"), buyer.buy("b"), buyer.cancel("b")
    await talk.write(first)
    await talk.write(second)
    await talk.write(cancel)
    again: list[AnyCommand] = [second, cancel, first]
    for command in again:
        await talk.write(command)
    await talk.write(*(buyer.cancel("none") for _ in range(_WINDOW)))
    for command in again:
        await talk.write(command)
    other = msgspec.structs.replace(buyer.buy("c"), cmd_id=first.cmd_id)
    await talk.write(other)  # a number that was used, with another order
    still_open = set(await talk.open_orders(buyer))
    for command in again:
        entries = [told for told in talk.heard if of_command(told.events, command)]
        expected = f"{name_of(command)} causes events in one entry, although it is handed over again"
        demand(bool(entries), expected, "in none")
        later = entries[-1]
        seen = f"in {id_text(entries[0].entry)}, and again in {id_text(later.entry)}: "
        demand(len(entries) == 1, expected, seen + all_words(of_command(later.events, command)))
    demand(still_open == {first.cl_ord_id}, f"{first.cl_ord_id} is open, and no other", f"{', '.join(still_open)}")


async def lanes(talk: Dialogue) -> None:
    """Lanes whose numbers differ, and numbers that are left out."""
    buyer = talk.buyer
    buyer.skip(Lane.ORDER, 40)
    await _demand_executed(talk, buyer.buy("a"))
    await _demand_executed(talk, buyer.buy("b"))
    await _demand_executed(talk, buyer.cancel("a"))
    buyer.skip(Lane.ORDER, 7)
    await _demand_executed(talk, buyer.buy("c"))
    await _demand_executed(talk, buyer.query())
    await _demand_executed(talk, buyer.mass_cancel())
    await _demand_executed(talk, talk.seller.buy("d"))


async def _demand_executed(talk: Dialogue, command: AnyCommand) -> None:
    caused = of_command(await talk.say(command), command)
    expected = f"{name_of(command)} (cmd_id {command.cmd_id}) is executed: its number is above the last of its lane"
    demand(bool(caused), expected, "no event with this cmd_id")


async def names(talk: Dialogue) -> None:
    """A client order id again, while its order is open and after; with the retry flag, and without."""
    buyer = talk.buyer
    first = buyer.buy("a")
    accepted = await talk.place(first)
    for _ in range(2):  # the second time after the end of the order
        again = buyer.buy("a")
        event = await _answer_of(talk, again)
        is_refused = event is not None and event.exec_type is ExecType.REJECTED
        expected = f"{again.cl_ord_id} is refused with {DUPLICATE_ID} and order_id {accepted.order_id}"
        demand(
            event is not None and is_refused and (event.code, event.order_id) == (DUPLICATE_ID, accepted.order_id),
            expected,
            f"{words(event)} with order_id {event.order_id}" if event else "no `8`",
        )
        retry = buyer.again(first)
        event = await _answer_of(talk, retry)
        is_state = event is not None and event.exec_type is ExecType.ORDER_STATUS
        expected = f"a retry of {retry.cl_ord_id} is answered with exec_type I and order_id {accepted.order_id}"
        demand(
            event is not None and is_state and event.order_id == accepted.order_id,
            expected,
            f"{words(event)} with order_id {event.order_id}" if event else "no `8`",
        )
        await talk.say(buyer.cancel("a"))
    unknown = buyer.retry("b")
    event = await _answer_of(talk, unknown)
    demand(
        event is not None and event.exec_type is ExecType.NEW,
        f"a retry of {unknown.cl_ord_id}, which is not known, is placed",
        words(event) if event else "no `8`",
    )


async def _answer_of(talk: Dialogue, command: AnyCommand) -> OrderEvent | None:
    """The first `8` that a command has caused."""
    caused = of_command(await talk.say(command), command)
    return next((event for event in caused if isinstance(event, OrderEvent)), None)


async def deadline(talk: Dialogue) -> None:
    """Orders that are late, in time, and retries that may place nothing."""
    buyer, now_ns = talk.buyer, await talk.store.now_ns()
    await talk.place(buyer.buy("a", deadline=now_ns + _MINUTE_NS))
    for order, code in (
        (buyer.buy("b", deadline=now_ns - NS_PER_S), EXPIRED_IN_QUEUE),
        (buyer.retry("c", deadline=-ENGINE_DOWN), ENGINE_DOWN),
    ):
        event = await _answer_of(talk, order)
        demand(
            event is not None and event.exec_type is ExecType.REJECTED and event.code == code,
            f"{order.cl_ord_id} with deadline {order.deadline} is refused with {code}",
            words(event) if event else "no `8`",
        )


async def mass_cancel(talk: Dialogue) -> None:
    """Orders, a mass cancel, and the orders again, as a gateway hands them over that heard of neither."""
    buyer = talk.buyer
    orders, mass = [buyer.buy("a"), buyer.buy("b", 2)], buyer.mass_cancel()
    await talk.write_each([*orders, mass])
    await talk.write_each([*orders, mass])
    await talk.write(*orders, mass)
    await _demand_none_open(talk, orders, f"after {mass.cl_ord_id}, which came after them")
    more, mass = [buyer.buy("c"), buyer.buy("d", 2)], buyer.mass_cancel()
    await talk.write(*more, mass)
    await talk.write(*orders, *more)
    await _demand_none_open(talk, [*orders, *more], f"after {mass.cl_ord_id}, in one entry with the last of them")
    await talk.place(buyer.buy("e"))  # what comes after it is not meant


async def _demand_none_open(talk: Dialogue, orders: list[NewOrder], when: str) -> None:
    still_open = await talk.open_orders(talk.buyer)
    meant = {each.cl_ord_id for each in orders}
    seen = [f"{name} is open, order_id {event.order_id}" for name, event in still_open.items() if name in meant]
    demand(not seen, f"no order is open {when}", ", ".join(seen))


async def error(talk: Dialogue) -> None:
    """Entries of which the second message is none: of an unknown type, and without most of its fields."""
    buyer = talk.buyer
    for name, strange in (("a", _UNKNOWN_TYPE), ("b", _TOO_SHORT)):
        await _demand_error(talk, buyer.buy(name), strange[talk.cast.encoding])


async def _demand_error(talk: Dialogue, sound: NewOrder, strange: bytes) -> None:
    encoding = talk.cast.encoding
    data = encode_commands([sound], encoding)
    data = b"\x92" + data[1:] + strange if encoding == "msgpack" else data[:-1] + b"," + strange + b"]"
    entry = await talk.store.write(talk.node, FIELDS[encoding], data)
    still_open = await talk.open_orders(talk.buyer)
    told = next((each for each in talk.heard if each.entry == entry), None)
    expected = f"an entry {id_text(entry)} with `error`"
    demand(told is not None, expected, "no such entry")
    demand(told is not None and bool(told.error), expected, "it has no `error`")
    demand(
        sound.cl_ord_id not in still_open,
        f"nothing of an entry that is not understood is executed ({id_text(entry)})",
        f"{sound.cl_ord_id} is open",
    )
    await talk.place(sound)  # nothing was executed: its number is still free
