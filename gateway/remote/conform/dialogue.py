"""What a dialogue can do: two parties trade through a gateway that the tool plays, and hear what the core writes.

Each dialogue has a node, accounts, sessions and prices of its own: what a core did wrong in one is not seen in another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gateway.remote.conform.party import Party, Traded, name_of
from gateway.remote.conform.store import Silent, Store, Told
from gateway.remote.conform.verdict import Broken, NotRestarted, all_words, demand, of_command
from gateway.remote.host import Hello, Join, Welcome
from gateway.remote.keys import BEFORE_ALL, EntryId, id_text
from gateway.remote.wire import FIELDS, Encoding, encode_commands
from protocols.messages import AnyCommand, AnyEvent, ExecType, NewOrder, OrderEvent, OrderList, is_numbered

_ASK_AGAIN_S = 1.0

Restart = Callable[[], Awaitable[None]]


class Cast(msgspec.Struct, frozen=True):
    """What a dialogue is played with. names: what its node and client order ids begin with. level: where it trades."""

    names: str
    accounts: tuple[int, int]
    sessions: tuple[int, int]
    traded: Traded
    level: int
    encoding: Encoding
    epoch: str
    timeout_s: float
    restart_s: float


class Dialogue:
    """One of them."""

    def __init__(self, store: Store, cast: Cast, now_ns: Callable[[], int], restart: Restart | None) -> None:
        self.store = store
        self.cast = cast
        self.node = cast.names
        parties = zip(cast.accounts, cast.sessions, ("b", "s"), strict=True)
        self.buyer, self.seller = (
            Party(account, session, cast.traded, f"{cast.names}-{name}", now_ns) for account, session, name in parties
        )
        self.heard: list[Told] = []  # all that the core wrote for this node
        self.first: dict[int, int] = {}  # by account, the number of its latest event when the dialogue began
        self._restart = restart
        self._now_ns = now_ns
        self._clients: set[bytes] = set()  # connections to Redis before the restart

    # -- begin and end -------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Say hello; cancel what an earlier run may have left.

        Raises:
            Silent: the core does not answer. Broken: not with a welcome.
        """
        welcome, orders = await self.hello()
        for party in (self.buyer, self.seller):
            if numbers := welcome.highest.get(str(party.session)):
                party.go_on(numbers)
        if orders:
            await self.say(self.buyer.mass_cancel())
            await self.say(self.seller.mass_cancel())
            welcome, _ = await self.hello()
        self.first = {account: welcome.latest.get(str(account), 0) for account in self.cast.accounts}

    async def end(self) -> None:
        """Leave nothing behind."""
        for party in (self.buyer, self.seller):
            await self.write(party.mass_cancel())
        await self.store.write(self.node, "bye", b"")
        await self.store.let_go(self.node)

    async def hello(self, node: str = "", accounts: Sequence[int] | None = None) -> tuple[Welcome, list[OrderEvent]]:
        """Begin as a gateway does; where the core stands, and the open orders. node: another one of ours.

        Raises:
            Silent: the core does not answer. Broken: not with a welcome.
        """
        hello = msgspec.json.encode(
            Hello(self.cast.accounts if accounts is None else tuple(accounts), self.cast.sessions)
        )
        entry = await self.store.write(node or self.node, "hello", hello)
        if node:
            told = (await self.store.told_to(node, BEFORE_ALL, entry, self.cast.timeout_s))[-1]
        else:
            await self._hear(entry)
            told = self._answer(entry)
        demand(told.entry == entry and bool(told.welcome), f"`welcome` in the entry of {id_text(entry)}", _what(told))
        return _standing(told.welcome, "welcome"), _orders(told)

    async def join(self, node: str, party: Party) -> tuple[Welcome, list[OrderEvent]]:
        """Another node of ours takes an account, and its session; the same as `hello` gives.

        Raises:
            Silent: the core does not answer. Broken: not with `joined`.
        """
        join = msgspec.json.encode(Join((party.account,), (party.session,)))
        entry = await self.store.write(node, "join", join)
        told = (await self.store.told_to(node, BEFORE_ALL, entry, self.cast.timeout_s))[-1]
        demand(told.entry == entry and bool(told.joined), f"`joined` in the entry of {id_text(entry)}", _what(told))
        return _standing(told.joined, "joined"), _orders(told)

    # -- talk ----------------------------------------------------------------------------------------------------------

    async def write(self, *commands: AnyCommand) -> EntryId:
        """Hand over in one entry; nothing is waited for."""
        return await self.store.write(self.node, FIELDS[self.cast.encoding], self._packed(commands))

    async def write_each(self, commands: Sequence[AnyCommand]) -> list[EntryId]:
        """Hand over in an entry each, at once; nothing is waited for."""
        return await self.store.write_all(
            self.node, FIELDS[self.cast.encoding], [self._packed((each,)) for each in commands]
        )

    async def say(self, *commands: AnyCommand) -> list[AnyEvent]:
        """Hand over in one entry; what the core answers to it.

        Raises:
            Broken: there is no such entry.
        """
        entry = await self.write(*commands)
        await self.hear(entry)
        told = self._answer(entry)
        demand(told.entry == entry, f"an entry {id_text(entry)} in {self._key}", f"none; {id_text(told.entry)} came")
        return told.events

    async def hear(self, entry: EntryId) -> None:
        """Wait until the core has written this entry, or a later one, for the node.

        Raises:
            Broken: it does not come.
        """
        try:
            await self._hear(entry)
        except Silent as error:
            raise Broken(f"an entry {id_text(entry)} in {self._key}", str(error)) from error

    async def place(self, order: NewOrder) -> OrderEvent:
        """Place an order that nothing speaks against; its acceptance.

        Raises:
            Broken: it is not accepted.
        """
        events = of_command(await self.say(order), order)
        for event in events:
            if isinstance(event, OrderEvent) and event.exec_type is ExecType.NEW:
                return event
        raise Broken(f"order {order.cl_ord_id} is accepted (exec_type 0)", all_words(events))

    async def open_orders(self, party: Party) -> dict[str, OrderEvent]:
        """What `H` says is open, by client order id.

        Raises:
            Broken: it is not answered.
        """
        query = party.query()
        entry = await self.write(query)
        await self.hear(entry)
        events = of_command(self.events, query)
        for event in events:
            if isinstance(event, OrderList):
                return {order.cl_ord_id: order for order in event.orders}
        raise Broken(f"`AF` answers {name_of(query)}", all_words(events))

    def partner(self, party: Party, session: int) -> Party:
        """The same account in another session."""
        return Party(party.account, session, self.cast.traded, f"{self.cast.names}-p", self._now_ns)

    async def restart(self) -> None:
        """Kill the core and start it again; it goes on with what this node writes."""
        assert self._restart is not None
        self._clients = await self.store.clients()
        await self._restart()

    async def wait_for_core(self) -> None:
        """Ask until the core answers again: one that skips what was written while it was away answers the next time.

        Raises:
            Broken: it does not.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.cast.restart_s
        while True:
            entry = await self.write(self.buyer.query())
            try:
                await self._hear(entry, min(_ASK_AGAIN_S, self.cast.restart_s))
                return
            except Silent as error:
                if loop.time() >= end:
                    raise Broken(f"an answer within {self.cast.restart_s:g} s after the restart", str(error)) from error

    async def see_that_it_was_killed(self) -> None:
        """See that a restart has ended a connection, once the core has answered again: the process may die late.

        Raises:
            NotRestarted: none has ended.
        """
        if self._clients and self._clients <= await self.store.clients():
            raise NotRestarted("the command of --restart ended no connection to this Redis: have it kill the core")

    # -- look ----------------------------------------------------------------------------------------------------------

    @property
    def events(self) -> list[AnyEvent]:
        """All events that the node was told."""
        return [event for told in self.heard for event in told.events]

    def entry_of(self, event: AnyEvent) -> str:
        """The entry in which the node was told of it."""
        return next((id_text(told.entry) for told in self.heard if event in told.events), "no entry")

    async def stream_of(self, party: Party) -> list[Told]:
        """What the core wrote to the account's stream since the dialogue began."""
        first = self.first[party.account]
        return await self.store.written(self.store.keys.events(party.account), (first, 0))

    def numbered(self, party: Party) -> list[AnyEvent]:
        """The events of the account's stream, as the node was told them."""
        account, first = party.account, self.first[party.account]
        return [each for each in self.events if each.account == account and is_numbered(each) and each.seq > first]

    @property
    def _key(self) -> str:
        return self.store.keys.node(self.node)

    def _packed(self, commands: Sequence[AnyCommand]) -> bytes:
        return encode_commands(commands, self.cast.encoding)

    async def _hear(self, entry: EntryId, seconds: float = 0) -> None:
        after = self.heard[-1].entry if self.heard else BEFORE_ALL
        if after < entry:
            self.heard += await self.store.told_to(self.node, after, entry, seconds or self.cast.timeout_s)

    def _answer(self, entry: EntryId) -> Told:
        """The first entry that was heard of this one and the later ones."""
        return next(told for told in self.heard if told.entry >= entry)


def _standing(text: str, field: str) -> Welcome:
    """What `welcome` or `joined` says.

    Raises:
        Broken: it cannot be read.
    """
    try:
        return msgspec.json.decode(text, type=Welcome)
    except msgspec.DecodeError as error:
        expected = f"`{field}` with epoch, highest, latest and last_session"
        raise Broken(expected, f"{text}: {error}") from error


def _orders(told: Told) -> list[OrderEvent]:
    return [event for event in told.events if isinstance(event, OrderEvent)]


def _what(told: Told) -> str:
    if told.error:
        return f"{id_text(told.entry)}: error {told.error}"
    return f"{id_text(told.entry)}: {all_words(told.events)}"


def demand_chain(told: list[Told]) -> None:
    """Each entry names the one before it in its stream."""
    before = "0-0"
    for each in told:
        demand(each.prev == before, f"prev of {id_text(each.entry)} is {before}", each.prev or "no prev")
        before = id_text(each.entry)
