"""Cores of which each breaks one promise of the link, made of our own engine with one mistake each.

They run in the test's loop: `PlainCore` reads the command stream and writes as docs/connect/core.md says, without a
check that another core wrote the same. `kill` leaves at once, `start` begins another life.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

import hiredis
import msgspec

from gateway.core.book import Book
from gateway.core.engine import Engine
from gateway.core.orders import Order
from gateway.remote.host import CoreHost, Row, Welcome
from gateway.remote.keys import EntryId, Keys, id_text
from gateway.remote.pipe import Address, RedisPipe, ask, latest_entry, open_pipe, rows_of
from gateway.remote.sweeps import Sweeps
from gateway.remote.wire import Encoding, decode_commands, encode_events, payload
from protocols.messages import (
    AnyCommand,
    AnyEvent,
    CancelOrder,
    ExecType,
    Lane,
    MassCancel,
    NewOrder,
    OrderEvent,
    ReplaceOrder,
    is_numbered,
    pack_cmd_id,
)
from protocols.units import NS_PER_MS

KEYS = Keys("test")
INSTRUMENTS = '{"1":["BTC-USDT",2,6]}'
_EPOCH = "e-test"
_DEDUPE_IDS = 10_000


class PlainCore:
    """A core without a mistake. lives: how often it was started. host: made anew in each life, from the first entry."""

    def __init__(self, address: Address, encoding: Encoding = "msgpack") -> None:
        self.address = address
        self.encoding = encoding
        self.lives = 0
        self.host = self.new_host()
        self._running: asyncio.Task[None] | None = None
        self._pipes: list[RedisPipe] = []
        self._unwritten: deque[Row] = deque()  # of entries that were executed; a life that keeps its state writes them

    # -- what a wrong core changes -----------------------------------------------------------------------------------

    def new_host(self) -> CoreHost:
        host = CoreHost(self.new_engine(), KEYS, 1_000)
        host.engine.epoch = _EPOCH
        host.engine.configure([1], _DEDUPE_IDS)
        return host

    def new_engine(self) -> Engine:
        return Engine((), _DEDUPE_IDS, _EPOCH)

    def take(self, entry: EntryId, fields: Mapping[bytes, bytes]) -> list[Row]:
        return self.host.take(entry, fields)

    async def begin(self, pipe: RedisPipe) -> None:
        """What a life begins with: nothing is kept, all of the stream is executed again."""
        self.host = self.new_host()

    # -- lives -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._pipes = reader, writer = [await open_pipe(self.address, 5, lambda _: None) for _ in range(2)]
        self.lives += 1
        await self.begin(writer)
        said = ("version", "1", "epoch", _EPOCH, "encoding", self.encoding, "instruments", INSTRUMENTS)
        await ask(writer, "HSET", KEYS.core, *said)
        self._running = asyncio.ensure_future(self._serve(reader, writer))

    async def kill(self) -> None:
        assert self._running is not None
        self._running.cancel()
        for pipe in self._pipes:
            pipe.close()
        with suppress(asyncio.CancelledError):
            await self._running

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    async def _serve(self, reader: RedisPipe, writer: RedisPipe) -> None:
        await self._put_all(writer)
        while True:
            at = id_text(self.host.position)
            told = await ask(reader, "XREAD", "COUNT", 64, "BLOCK", 1_000, "STREAMS", KEYS.commands, at)
            for entry, fields in rows_of(told[0][1]) if told else ():
                self._unwritten += self.take(entry, fields)
                await self._put_all(writer)

    async def _put_all(self, writer: RedisPipe) -> None:
        while self._unwritten:
            row = self._unwritten[0]
            try:
                await ask(writer, "XADD", row.key, row.id, *(part for field in row.fields for part in field))
            except hiredis.ReplyError as error:
                if "equal or smaller" not in str(error):
                    raise
            self._unwritten.popleft()


class EngineOf(Engine):
    """An engine that executes one command after the other, so that a mistake is made in one place."""

    def execute_all(self, commands: Sequence[AnyCommand], now_ns: int) -> list[AnyEvent]:
        return [event for command in commands for event in self.execute(command, now_ns)]


# -- one mistake each --------------------------------------------------------------------------------------------------


class AnswersTwice(PlainCore):
    def new_engine(self) -> Engine:
        return _AnswersTwice((), _DEDUPE_IDS, _EPOCH)


class _AnswersTwice(EngineOf):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        events = super().execute(command, now_ns)
        own = [event for event in events if event.cmd_id == command.cmd_id and is_numbered(event)]
        if own:
            account = self._ledger.accounts[command.account]
            account.seq += 1
            events.append(msgspec.structs.replace(own[-1], seq=account.seq))
        return events


class AnswersCancelsTwice(PlainCore):
    def new_engine(self) -> Engine:
        return _AnswersCancelsTwice((), _DEDUPE_IDS, _EPOCH)


class _AnswersCancelsTwice(_AnswersTwice):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        if isinstance(command, CancelOrder):
            return super().execute(command, now_ns)
        return Engine.execute(self, command, now_ns)


class ForgetsIds(PlainCore):
    """It remembers the cmd_ids of the latest commands only."""

    def new_engine(self) -> Engine:
        return _ForgetsIds((), _DEDUPE_IDS, _EPOCH)


class _ForgetsIds(EngineOf):
    executed = 0

    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        self.executed += 1
        if self.executed % 100 == 0:
            self._highest.clear()
        return super().execute(command, now_ns)


class SkipsANumber(PlainCore):
    """After each refusal."""

    def new_engine(self) -> Engine:
        return _SkipsANumber((), _DEDUPE_IDS, _EPOCH)


class _SkipsANumber(EngineOf):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        events = super().execute(command, now_ns)
        if any(isinstance(event, OrderEvent) and event.exec_type is ExecType.REJECTED for event in events):
            self._ledger.accounts[command.account].seq += 1
        return events


class Reorders(PlainCore):
    """It executes the best-priced order of an entry first."""

    def new_engine(self) -> Engine:
        return _Reorders((), _DEDUPE_IDS, _EPOCH)


class _Reorders(EngineOf):
    def execute_all(self, commands: Sequence[AnyCommand], now_ns: int) -> list[AnyEvent]:
        orders = sorted((each for each in commands if isinstance(each, NewOrder)), key=lambda order: order.price)
        return super().execute_all([orders.pop() if isinstance(each, NewOrder) else each for each in commands], now_ns)


class IgnoresDeadlines(PlainCore):
    def new_engine(self) -> Engine:
        return _IgnoresDeadlines((), _DEDUPE_IDS, _EPOCH)


class _IgnoresDeadlines(EngineOf):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        return super().execute(msgspec.structs.replace(command, deadline=min(command.deadline, 0)), now_ns)


class ForgetsAtMassCancel(PlainCore):
    """What was cancelled is forgotten, and so it is executed when it is handed over again."""

    def new_engine(self) -> Engine:
        return _ForgetsAtMassCancel((), _DEDUPE_IDS, _EPOCH)


class _ForgetsAtMassCancel(EngineOf):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        events = super().execute(command, now_ns)
        if events and isinstance(command, MassCancel):
            self.forget_orders_of(command)
        return events

    def forget_orders_of(self, command: AnyCommand) -> None:
        self._highest.pop(pack_cmd_id(command.session, Lane.ORDER, 0) // pack_cmd_id(0, Lane.CANCEL, 0), None)
        account = self._ledger.accounts[command.account]
        for known in (account.by_cl_ord_id, account.by_order_id, account.retired):
            known.clear()


class LosesTheTail(PlainCore):
    """Its next life goes on at the end of the stream, with all that it has executed."""

    async def begin(self, pipe: RedisPipe) -> None:
        self.host.position = await latest_entry(pipe, KEYS.commands)


class SaysYesTooEarly(PlainCore):
    """It keeps its position and its nodes at once, and its orders two entries later."""

    def __init__(self, address: Address, encoding: Encoding = "msgpack") -> None:
        super().__init__(address, encoding)
        self.kept: deque[bytes] = deque(maxlen=2)

    def take(self, entry: EntryId, fields: Mapping[bytes, bytes]) -> list[Row]:
        self.kept.append(self.host.engine.snapshot())
        return super().take(entry, fields)

    async def begin(self, pipe: RedisPipe) -> None:
        if self.kept:
            self.host.engine.restore(self.kept[0])


class HasOtherIdsInItsSecondLife(PlainCore):
    async def begin(self, pipe: RedisPipe) -> None:
        await super().begin(pipe)
        self.host.engine._counters.order_id = self.lives * 1_000


class ReadsItsOwnClock(PlainCore):
    def new_engine(self) -> Engine:
        return _ReadsItsOwnClock((), _DEDUPE_IDS, _EPOCH)


class _ReadsItsOwnClock(EngineOf):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        return super().execute(command, time.time_ns())


class TurnsAQueueRound(PlainCore):
    """Orders at one price: what was last is first in its second life."""

    async def begin(self, pipe: RedisPipe) -> None:
        if self.lives > 1:
            for book in self.host.engine._books.values():
                for side in (book.bids, book.asks):
                    for level in side.levels.values():
                        for order_id in reversed(list(level.orders)):
                            level.orders.move_to_end(order_id)


class ForgetsNames(PlainCore):
    """Of orders that have finished."""

    def new_engine(self) -> Engine:
        return _ForgetsNames((), _DEDUPE_IDS, _EPOCH)


class _ForgetsNames(EngineOf):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        account = self._ledger.account(command.account)
        while account.retired:
            account.forget_oldest()
        account.forgotten_until = -1
        return super().execute(command, now_ns)


class TakesNoGap(PlainCore):
    def new_engine(self) -> Engine:
        return _TakesNoGap((), _DEDUPE_IDS, _EPOCH)


class _TakesNoGap(EngineOf):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        lane, n = divmod(command.cmd_id, pack_cmd_id(0, Lane.CANCEL, 0))
        return super().execute(command, now_ns) if n <= self._highest.get(lane, 0) + 1 else []


class AcknowledgesWhatItDid(PlainCore):
    """An entry that caused nothing gets no answer."""

    def take(self, entry: EntryId, fields: Mapping[bytes, bytes]) -> list[Row]:
        nothing = {("m", encode_events([], "msgpack")), ("j", encode_events([], "json"))}
        return [row for row in super().take(entry, fields) if row.fields[0] not in nothing]


class NamesTheMaker(PlainCore):
    def new_engine(self) -> Engine:
        return _NamesTheMaker((), _DEDUPE_IDS, _EPOCH)


class _NamesTheMaker(EngineOf):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        events = super().execute(command, now_ns)
        return [msgspec.structs.replace(event, cmd_id=command.cmd_id) for event in events]


class WelcomesWithoutOrders(PlainCore):
    def take(self, entry: EntryId, fields: Mapping[bytes, bytes]) -> list[Row]:
        rows = super().take(entry, fields)
        if b"hello" in fields:
            kept = tuple(field for field in rows[0].fields if field[0] != "m")
            return [rows[0]._replace(fields=kept)]
        return rows


class TellsWhoAskedAlone(PlainCore):
    """And who took its accounts with `join`."""

    def __init__(self, address: Address, encoding: Encoding = "msgpack") -> None:
        super().__init__(address, encoding)
        self.joined: set[str] = set()

    def take(self, entry: EntryId, fields: Mapping[bytes, bytes]) -> list[Row]:
        asker = KEYS.node(fields.get(b"node", b"").decode())
        if b"join" in fields:
            self.joined.add(asker)
        told = {asker, *self.joined}
        return [row for row in super().take(entry, fields) if row.key in told or not row.key.startswith(KEYS.node(""))]


class ForgetsToLeave(PlainCore):
    def take(self, entry: EntryId, fields: Mapping[bytes, bytes]) -> list[Row]:
        if b"leave" in fields:
            self.host.position = entry
            return []
        return super().take(entry, fields)


class JoinsAccountsWithEventsOnly(PlainCore):
    """An account without an event is missing in `joined`."""

    def take(self, entry: EntryId, fields: Mapping[bytes, bytes]) -> list[Row]:
        rows = super().take(entry, fields)
        if b"join" in fields:
            told = dict(rows[0].fields)
            joined = msgspec.json.decode(told["joined"], type=Welcome)
            latest = {account: seq for account, seq in joined.latest.items() if seq}
            told["joined"] = msgspec.json.encode(msgspec.structs.replace(joined, latest=latest))
            rows[0] = rows[0]._replace(fields=tuple(told.items()))
        return rows


class ReplacesWhatIsLeft(PlainCore):
    """It takes the quantity of a replace for what is still to be traded."""

    def new_engine(self) -> Engine:
        return _ReplacesWhatIsLeft((), _DEDUPE_IDS, _EPOCH)


class _ReplacesWhatIsLeft(EngineOf):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        if isinstance(command, ReplaceOrder):
            account = self._ledger.account(command.account)
            if (order := account.find(command.order_id, command.orig_cl_ord_id)) is not None:
                command = msgspec.structs.replace(command, qty=command.qty + order.cum_qty)
        return super().execute(command, now_ns)


class ReplacesWithoutTrading(PlainCore):
    """An order whose new price reaches others rests beside them."""

    def new_engine(self) -> Engine:
        return _ReplacesWithoutTrading((), _DEDUPE_IDS, _EPOCH)


class _ReplacesWithoutTrading(EngineOf):
    def execute(self, command: AnyCommand, now_ns: int) -> list[AnyEvent]:
        matcher = self._matcher
        if isinstance(command, ReplaceOrder):
            self._matcher = _RestsOnly()  # type: ignore[assignment]
        try:
            return super().execute(command, now_ns)
        finally:
            self._matcher = matcher


class _RestsOnly:
    def match(self, order: Order, book: Book) -> None:
        book.own(order.side).add(order)


class PlacesLateOrders(PlainCore):
    """Of another gateway, after a mass cancel."""

    def new_host(self) -> CoreHost:
        host = super().new_host()
        host._sweeps = _NoSweeps()
        return host


class _NoSweeps(Sweeps):
    def judge(self, node: str, commands: Sequence[AnyCommand], now_ms: int) -> Sequence[AnyCommand]:
        return commands


class ExecutesHalfAnEntry(PlainCore):
    """Of what it does not understand it executes the beginning."""

    def take(self, entry: EntryId, fields: Mapping[bytes, bytes]) -> list[Row]:
        if (found := payload(fields)) is not None:
            data, encoding = found
            end = data.find(b"\x92\xa1?") if encoding == "msgpack" else data.find(b',{"type":"?"}')
            if end > 0:
                sound = b"\x91" + data[1:end] if encoding == "msgpack" else data[:end] + b"]"
                self.host.engine.execute_all(decode_commands(sound, encoding), entry[0] * NS_PER_MS)
        return super().take(entry, fields)
