"""Keeps a gateway connected to its core: two connections to Redis, one that writes and one that waits for answers.

What is written waits for the commit of its turn, like all that leaves the gateway. Nothing is awaited per order:
replies come through callbacks.

More than 400 lines, because what connects, what begins and what carries share the state of one link.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import hiredis
import msgspec

from gateway.config import schema
from gateway.config.load import core_url, node_of
from gateway.doors.batch import EventLoopTurn
from gateway.remote.core import EpochBegan, Handed, LinkRecord, Missed, RemoteCore, events_of
from gateway.remote.host import Hello
from gateway.remote.keys import BEFORE_ALL, EntryId, Keys, entry_id, id_text
from gateway.remote.pipe import (
    Address,
    PipeLost,
    RedisPipe,
    address_of,
    ask,
    info_of_one,
    open_pipe,
    pairs,
    rows_of,
    whereabouts,
)
from gateway.remote.replicas import ReplicaWait, Row
from gateway.remote.store_check import history_of, is_replica, why_unfit
from gateway.remote.wire import CONTRACT, FIELDS, NotUnderstood, encode_events
from gateway.safety.kill_switch import HOUSE_SESSION
from protocols.instruments import Instrument, Instruments
from protocols.messages import AnyEvent, is_numbered

_CONNECT_S = 2.0
_RETRY_S = 0.1
_BLOCK_MS = 500
_LOOK_S = 0.25
_READ_ENTRIES = 256
_TAIL_ENTRIES = 1_000  # of each account's stream that a start reads, for clients that resume


_EPOCH_BEGAN = (
    "the venue goes on in epoch {}, without some of what clients were told: start this gateway again, and it tells them"
)


class LinkRefused(Exception):
    """The store or the core does not fit this gateway; the text says what to change."""


class LinkTerms(NamedTuple):
    """What a gateway says of itself."""

    keys: Keys
    node: str
    address: Address
    accounts: tuple[int, ...]
    sessions: tuple[int, ...]
    instruments: tuple[Instrument, ...]
    acked_by_replicas: int = 0


class Found(NamedTuple):
    """What a start finds. tails: the latest events of each account. rows: what is to be delivered first."""

    tails: dict[int, list[AnyEvent]]
    rows: list[Row]


class CoreConnection:
    """One gateway's connection to its core."""

    def __init__(
        self,
        terms: LinkTerms,
        window: int,
        record: LinkRecord,
        now_ns: Callable[[], int],
        log: Callable[..., None],
        fail: Callable[[Exception], None],
        hands_over: bool = True,
    ) -> None:
        """window, record: see `RemoteCore`. fail: gets what the process cannot go on after. hands_over: False =
        commands go out with the commits of a `SharedJournal`.
        """
        self._hands_over = hands_over
        self.core = RemoteCore(window, record, self.wake)
        self._terms = terms
        self._now_ns = now_ns
        self._log = log
        self._fail = fail
        self._turn: EventLoopTurn | None = None
        self._writer: RedisPipe | None = None
        self._reader: RedisPipe | None = None
        self._waiter: RedisPipe | None = None
        self._replicas = ReplicaWait[Row](terms.acked_by_replicas, terms.keys.mark, self._tell, self._away, log)
        self._window = window
        self._history = ""
        self._epochs = 0  # that the venue had before this one
        self._tasks: set[asyncio.Task[None]] = set()
        self._position = 0  # of the journal, for which what is unsent waits
        self._trimmed = BEFORE_ALL
        self.why_away = "not connected yet"

    # -- start and stop ------------------------------------------------------------------------------------------------

    async def open(self) -> "Found":
        """Connect, and wait until the core has welcomed this gateway.

        Raises:
            LinkRefused: the store or the core does not fit.
            NotUnderstood: the core does not keep to the contract.
        """
        while True:
            try:
                await self._connect()
                return await self._greet()
            except (OSError, TimeoutError, hiredis.ReplyError, EpochBegan) as error:
                self._away(str(error) or type(error).__name__)
                self._close_pipes()
                await asyncio.sleep(_RETRY_S)

    def begin(self, turn: EventLoopTurn) -> None:
        """From now on, deliver and hand over."""
        self._turn = turn
        self.core.is_open = True
        self._read()
        self._spawn(self._watch())
        self.wake()

    @property
    def trouble(self) -> str:
        """Why nothing can be handed over, or nothing that is answered can be told; "" = both can."""
        return self.why_away or self.why_held

    @property
    def why_held(self) -> str:
        """Which replicas are missing, "" = none."""
        return self._replicas.why

    @property
    def held(self) -> int:
        """Entries that wait for replicas."""
        return self._replicas.held

    @property
    def epochs(self) -> int:
        """How many epochs the venue had before this one."""
        return self._epochs

    @property
    def next_session(self) -> int:
        """An id that no session has had yet."""
        return self.core.last_session + 1

    def deliver(self, rows: Sequence[Row]) -> None:
        """Report what a start has found.

        Raises:
            Missed: some of it is gone. NotUnderstood: the core does not keep to the contract.
        """
        self.core.deliver(rows, self._now_ns())

    def wake(self) -> None:
        """There is something to hand over."""
        if self._turn is not None:
            self._turn.mark_dirty(self)

    async def close(self) -> None:
        """Hand nothing over any more."""
        for task in list(self._tasks):
            task.cancel()
        self._close_pipes()

    # -- connect -------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        terms = self._terms
        writer = self._writer = await open_pipe(terms.address, _CONNECT_S, self._on_lost)
        self._reader = await open_pipe(terms.address, _CONNECT_S, self._on_lost)
        if self._replicas.is_needed:
            self._waiter = await open_pipe(terms.address, _CONNECT_S, self._on_lost)
        info = await info_of_one(*self._pipes)
        if why := why_unfit(info):
            if is_replica(info) and self._history:  # a failover is on its way
                raise OSError(why)
            raise LinkRefused(why)
        await self._check_history(writer)
        await self._check_core(writer)
        if self._waiter is not None:
            self._replicas.begin(self._waiter, info)
        if history_of(info) != self._history:
            self.core.send_all_again()
        self._history = history_of(info)
        self.why_away = ""

    async def _greet(self) -> "Found":
        """Say who we are, and read all that was written for us until the core has answered."""
        terms, core, reader, writer = self._terms, self.core, self._reader, self._writer
        assert reader is not None
        assert writer is not None
        hello = msgspec.json.encode(Hello(terms.accounts, terms.sessions))
        entry = entry_id(await ask(writer, "XADD", terms.keys.commands, "*", "node", terms.node, "hello", hello))
        at = core.delivered if core.delivered != BEFORE_ALL else just_before(entry)
        rows: list[Row] = []
        while not rows or rows[-1][0] < entry:
            told = await ask(
                reader, "XREAD", "COUNT", _READ_ENTRIES, "BLOCK", _BLOCK_MS, "STREAMS", terms.keys.node(terms.node),
                id_text(rows[-1][0] if rows else at),
            )  # fmt: skip
            if not told:
                raise TimeoutError("the core does not answer")
            rows += rows_of(told[0][1])
        await self._replicas.await_now()
        core.welcome(*next(row for row in rows if row[0] == entry))
        if (before := entry_id(rows[0][1][b"prev"])) > core.delivered:
            rows.insert(0, await self._missed(before))
            await self._replicas.await_now()
        return Found(await self._tails(), rows)

    async def _missed(self, entry: EntryId) -> Row:
        """What was trimmed from our stream up to this entry, as one made of the accounts' streams."""
        assert self._writer is not None
        events: list[AnyEvent] = []
        for account in self._terms.accounts:
            key, latest = self._terms.keys.events(account, self._epochs), self.core.latest_seq(account)
            for _, fields in rows_of(await ask(self._writer, "XRANGE", key, f"{latest + 1}-0", "+")):
                events += events_of(fields)
        return entry, {b"m": encode_events(events, "msgpack"), b"prev": id_text(self.core.delivered).encode()}

    async def _check_history(self, writer: RedisPipe) -> None:
        """See that Redis has what was delivered; or that an operator goes on without it, in a new epoch, which only a
        start of the gateway can begin.
        """
        keys, core = self._terms.keys, self.core
        epoch = (await ask(writer, "HGET", keys.core, "epoch") or b"").decode()
        if epoch and core.epoch and epoch != core.epoch:
            if self._turn is not None:
                raise LinkRefused(_EPOCH_BEGAN.format(epoch))
            self._log("core.epoch_changed", epoch=epoch, before=core.epoch)
            core.begin_epoch()
        key = keys.node(self._terms.node)
        if await whereabouts(writer, key, core.delivered) == "lost":
            raise LinkRefused(
                f"Redis has lost what it had: {key} lacks {id_text(core.delivered)}, which was delivered. Restore its"
                " file; or go on without what is lost: run `penstock core --accept-loss` once, then start this gateway"
                " again"
            )

    async def _check_core(self, writer: RedisPipe) -> None:
        """See that the core speaks as we do, and trades what we do."""
        told = await ask(writer, "HGETALL", self._terms.keys.core)
        said = pairs(told)
        if not said:
            raise TimeoutError(f"no core has run on the prefix {self._terms.keys.prefix} yet")
        if said.get(b"version") != CONTRACT:
            raise LinkRefused(f"the core speaks version {said.get(b'version', b'?').decode()}, not {CONTRACT.decode()}")
        encoding = said.get(b"encoding", b"").decode()
        if encoding not in ("msgpack", "json"):
            raise LinkRefused(f'the core speaks "{encoding}": msgpack and json are understood')
        self.core.encoding = "json" if encoding == "json" else "msgpack"
        theirs = msgspec.json.decode(said[b"instruments"])
        for mine in self._terms.instruments:
            if theirs.get(str(mine.id)) != [mine.symbol, mine.px_exp, mine.qty_exp]:
                raise LinkRefused(
                    f"instrument {mine.id} is {mine.symbol} with px_exp {mine.px_exp} and qty_exp {mine.qty_exp} here,"
                    f" and {theirs.get(str(mine.id))} at the core: make both configurations the same"
                )
        self._epochs = int(said.get(b"epochs", b"0"))

    async def _tails(self) -> dict[int, list[AnyEvent]]:
        """The latest events of each account that were reported; later ones are still to be delivered."""
        assert self._writer is not None
        tails: dict[int, list[AnyEvent]] = {}
        for account in self._terms.accounts:
            key = self._terms.keys.events(account, self._epochs)
            rows = await ask(self._writer, "XREVRANGE", key, "+", "-", "COUNT", _TAIL_ENTRIES)
            told = (event for _, fields in reversed(rows_of(rows)) for event in events_of(fields))
            reported = self.core.latest_seq(account)
            tails[account] = [event for event in told if is_numbered(event) and event.seq <= reported]
        return tails

    def _on_lost(self, why: str) -> None:
        if self.core.is_open:
            self._away(why)

    def _away(self, why: str) -> None:
        self.core.lost()
        if why != self.why_away:
            self.why_away = why
            self._log("core.away", text=why)

    async def _watch(self) -> None:
        """Connect again when the connection is lost, also if that was just before anything was to go over it."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self.core.is_open and not all(pipe.is_open for pipe in self._pipes):
                self._away("the connection is lost")
            if self.core.is_open:
                self._trim()
                self._replicas.look()
            else:
                await self._connect_again()

    async def _connect_again(self) -> None:
        """Go on where we were: what was written for us meanwhile is in our stream."""
        self._close_pipes()
        try:
            await self._connect()
        except LinkRefused as error:
            self._fail(error)
            return
        except (OSError, TimeoutError, hiredis.ReplyError) as error:
            self._away(str(error) or type(error).__name__)
            return
        self.core.is_open = True
        self._log("core.back")
        self._read()
        self.wake()

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.close()

    @property
    def _pipes(self) -> list[RedisPipe]:
        return [pipe for pipe in (self._writer, self._reader, self._waiter) if pipe is not None]

    # -- hand over and deliver -----------------------------------------------------------------------------------------

    def _send(self) -> None:
        writer, terms = self._writer, self._terms
        if writer is None or not (self.core.is_open and self._hands_over):
            return
        field = FIELDS[self.core.encoding]
        for handed in self.core.unsent:
            handed.is_sent = True
            writer.send(
                partial(self._appended, handed), "XADD", terms.keys.commands, "*", "node", terms.node, field,
                self.core.wire(handed),
            )  # fmt: skip

    def _appended(self, handed: Handed, reply: Any) -> None:
        if isinstance(reply, PipeLost):
            return
        if isinstance(reply, hiredis.ReplyError):  # no memory left, or no longer the primary: nothing was taken
            self._away(str(reply))
        else:
            self.core.appended(handed, entry_id(reply))

    def _read(self) -> None:
        """Ask for what comes next, unless that is asked, or too much waits for replicas."""
        reader, latest = self._reader, self._replicas.latest
        if reader is not None and self.core.is_open and not reader.unanswered and self._replicas.held < self._window:
            reader.send(
                self._came, "XREAD", "COUNT", _READ_ENTRIES, "BLOCK", _BLOCK_MS, "STREAMS",
                self._terms.keys.node(self._terms.node), id_text(latest[0] if latest else self.core.delivered),
            )  # fmt: skip

    def _came(self, reply: Any) -> None:
        if isinstance(reply, PipeLost):
            return
        if isinstance(reply, hiredis.ReplyError):
            self._away(str(reply))
            return
        rows = rows_of(reply[0][1]) if reply else []
        if rows and self._replicas.is_needed:
            self._replicas.take(rows)
            self._read()
        else:
            self._tell(rows)

    def _tell(self, rows: list[Row]) -> None:
        """Report these, and go on."""
        try:
            self.core.deliver(rows, self._now_ns())
        except (Missed, NotUnderstood) as error:  # the next start reads the accounts' streams
            self._fail(error)
            return
        except EpochBegan as error:
            self._fail(LinkRefused(_EPOCH_BEGAN.format(error)))
            return
        self._read()

    def _trim(self) -> None:
        """Let go of what was delivered."""
        delivered = self.core.delivered
        if delivered != self._trimmed and self._writer is not None:
            self._trimmed = delivered
            self._writer.send(
                _ignore, "XTRIM", self._terms.keys.node(self._terms.node), "MINID", "~", id_text(delivered)
            )

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- a member of the turn ------------------------------------------------------------------------------------------

    def take_turn(self, now_ns: int) -> None:
        """It reads by itself."""

    def wait_turn(self) -> None:
        """It reads by itself."""

    def flush(self, now_ns: int) -> None:
        """The records of this turn are written: hand over once they are durable."""
        assert self._turn is not None
        if self._turn.is_durable:
            self._send()
        else:
            self._position = self._turn.position
            self._turn.hold(self)

    def read_on(self, now_ns: int) -> int:
        return 0

    def release(self, durable: int) -> bool:
        if self._position > durable:
            return False
        self._send()
        return True

    def excuse(self, since_ns: int, now_ns: int) -> None:
        """No one judges it by its silence."""

    def abort(self) -> None:
        """A bug ended its flush: begin anew."""
        self._away("an error of the gateway")


def link_of(
    settings: schema.Config,
    instruments: Instruments,
    ws_sessions: Iterable[int],
    record: LinkRecord,
    now_ns: Callable[[], int],
    log: Callable[..., None],
    fail: Callable[[Exception], None],
) -> CoreConnection:
    """The link that a configuration asks for. ws_sessions: those that may be resumed."""
    is_alone = settings.cluster is None  # else accounts and sessions come one by one
    terms = LinkTerms(
        Keys(settings.core.prefix),
        node_of(settings),
        address_of(core_url(settings)),
        tuple(row.id for row in settings.accounts) if is_alone else (),
        (HOUSE_SESSION, *(row.id for row in settings.fix.sessions), *ws_sessions) if is_alone else (),
        tuple(instruments.by_id.values()),
        settings.core.acked_by_replicas,
    )
    return CoreConnection(terms, settings.core.window, record, now_ns, log, fail, hands_over=is_alone)


def just_before(entry: EntryId) -> EntryId:
    """An id below this one, and not below any that is."""
    ms, number = entry
    return (ms, number - 1) if number else (ms - 1, (1 << 64) - 1)


def _ignore(_reply: object) -> None:
    """The stream is trimmed, or will be the next time."""
