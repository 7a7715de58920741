"""Keeps a gateway connected to the Redis where the sessions of all gateways are: what it writes, asks and hears.

Nothing is awaited per order: commits are written one after the other, and their answers come through callbacks. When
the connection is lost, commits that are not answered are sent again under their numbers; a question is not, and whoever
asked is told so.

More than 400 lines, because what connects, what keeps the lease and what sends commits share the state of one link.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import hiredis

from gateway.cluster import scripts
from gateway.cluster.clock_watch import ClockWatch
from gateway.cluster.control import BLOCK_MS, Control
from gateway.cluster.desk import ClusterDesk, call_of
from gateway.cluster.journal import Commit, Gateway, SharedJournal
from gateway.cluster.outage import Outage
from gateway.cluster.ownership import ANY, DEAD, Ownership
from gateway.orders.trading_modes import ModeChange
from gateway.remote.link import LinkRefused
from gateway.remote.pipe import (
    Address,
    Argument,
    PipeLost,
    RedisPipe,
    Unreachable,
    ask,
    info_of_one,
    open_pipe,
)
from gateway.remote.replicas import ReplicaWait
from gateway.remote.store_check import history_of, is_replica
from gateway.sessions.former_names import WsSessionRecord

_CONNECT_S = 2.0
_RETRY_S = 0.1
_SILENCE_S = 2.0
_LEAVE_S = 30.0  # an account without a session here is given up after one to two of these


Judged = tuple[Commit, tuple[int, ...], Any]
"""A commit, the sessions that it had when it was sent, and what `commit.lua` says of it."""


class Gate(Protocol):
    """What the answers set in motion."""

    def on_durable(self, durable: int) -> None:
        """The journal is durable up to here."""


class ClusterLink:
    """One gateway's connection to the others."""

    def __init__(
        self,
        gateway: Gateway,
        address: Address,
        journal: SharedJournal,
        desk: ClusterDesk,
        ids: deque[int],
        ids_known: Mapping[str, str],
        key_ids: Sequence[str],
        lease_ms: int,
        acked_by_replicas: int,
        clock: ClockWatch,
        outage: Outage,
        now_ns: Callable[[], int],
        log: Callable[..., None],
        wake: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """ids_known: what the ids in the configuration mean, by name. wake: asks for a turn. fail: gets what the
        process cannot go on after.
        """
        self._gateway = gateway
        self._keys = gateway.keys
        self._address = address
        self._journal = journal
        self._desk = desk
        self._ids = ids
        self._ids_known = ids_known
        self._control = Control(gateway, key_ids, desk, journal.owned_sessions, log)
        self._lease_ms = lease_ms
        self._clock = clock
        self._outage = outage
        self._now_ns = now_ns
        self._log = log
        self._wake = wake
        self._fail = fail
        self._turn: Gate
        self._ownership: Ownership
        self._writer: RedisPipe | None = None
        self._reader: RedisPipe | None = None
        self._waiter: RedisPipe | None = None  # asks replicas
        self._replicas = ReplicaWait[Judged](
            acked_by_replicas, gateway.keys.mark, self._judged, self._refused, _unlogged
        )
        self._history = ""  # of the Redis that was reached last
        self._connected_s = 0.0  # since when Redis can be reached
        self._tasks: set[asyncio.Task[None]] = set()
        self._answered_ns = now_ns()  # when Redis has last renewed the lease, or taken a commit
        self._is_cut_off = False  # the machine of Redis was not reached when it was tried last
        self.why_away = "not connected yet"

    def connect(
        self,
        turn: Gate,
        ownership: Ownership,
        lost: Callable[[int, int, bool], None],
        hear: Callable[[ModeChange, bool], None],
        named: Callable[[WsSessionRecord], None],
    ) -> None:
        """lost: another gateway says that it has this session, under this token; and whether its client has asked for
        it. hear: an operator of another gateway changed a mode, with a kill or without; also what is in force at the
        start. named: a WebSocket session has got its name somewhere; also those that have one at the start.
        """
        self._turn, self._ownership = turn, ownership
        self._control.connect(lost, hear, named)

    # -- start and stop ------------------------------------------------------------------------------------------------

    async def open(self) -> tuple[int, int]:
        """Connect, take the gateway's name, and adopt what the last process under it left. Returns the session of the
        gateway's own commands, and its token.

        Raises:
            LinkRefused: another process has the name.
        """
        while True:
            try:
                await self._connect()
                assert self._writer is not None
                await self._agree(self._writer)
                left = await self._begin_lease(self._writer)
                await self._replicas.await_now()
                await self._control.begin(self._writer)
                break
            except (OSError, TimeoutError, hiredis.ReplyError) as error:
                self._away(str(error) or type(error).__name__)
                await asyncio.sleep(_RETRY_S)
        self._read()
        self._spawn(self._watch())
        ids = await self._desk.ids()
        name = self._gateway.name.encode()
        own = dict(zip(left[::2], left[1::2], strict=True)).get(name)
        self._adopt_all([name, own] if own is not None else [])
        self._ids.extend(ids[1:])
        return ids[0], await self._own_house(ids[0])

    async def _agree(self, writer: RedisPipe) -> None:
        """See that the other gateways mean the same by the ids of accounts, sessions and keys."""
        told = [each for pair in self._ids_known.items() for each in pair]
        differs = await ask(writer, *call_of(scripts.AGREE, (self._keys.known,), told))
        if differs:
            name, theirs = differs[0].decode(), differs[1].decode()
            raise LinkRefused(
                f"{name} is {self._ids_known[name]} here, and {theirs} at the other gateways of"
                f' "{self._keys.prefix}": make their files agree, or take another core.prefix for another venue'
            )

    async def _own_house(self, house: int) -> int:
        """Have the session of the gateway's own commands, as any other; its token."""
        while True:
            if self._writer is not None:
                with suppress(OSError, TimeoutError, hiredis.ReplyError):  # the connection is lost: again
                    told = await ask(self._writer, *self._desk.claim_command(house, ANY))
                    if told[0] != b"ok":
                        raise LinkRefused(str(self._journal.name_taken()))
                    return int(told[1])
            await asyncio.sleep(_RETRY_S)

    def own_another(self, then: Callable[[int, int], None]) -> None:
        """Have another session of our own, as soon as can be; `then` gets it and its token."""
        self._spawn(self._own_another(then))

    async def _own_another(self, then: Callable[[int, int], None]) -> None:
        house = self._ids.popleft() if self._ids else (await self._desk.ids())[0]
        try:
            then(house, await self._own_house(house))
        except LinkRefused:
            self._fail(self._journal.name_taken())

    async def _begin_lease(self, writer: RedisPipe) -> list[bytes]:
        """Take the name. A process before this one may have died just now: its lease is waited for, not longer."""
        waited_ms = 0
        while True:
            told: list[Any] = await ask(writer, *self._lease_command("begin"))
            if told[0] == b"ok":
                return told[1:]
            if waited_ms > 2 * self._lease_ms:
                raise LinkRefused(
                    f'a living gateway has the name "{self._gateway.name}": stop it, or give each its own core.node'
                )
            wait_ms = min(int(told[1]) + 10, self._lease_ms)
            waited_ms += wait_ms
            await asyncio.sleep(wait_ms / 1_000)

    async def close(self) -> None:
        """Write nothing any more, and let the others have the sessions."""
        for task in list(self._tasks):
            task.cancel()
        if self._writer is not None:
            with suppress(OSError, TimeoutError, hiredis.ReplyError):
                async with asyncio.timeout(_SILENCE_S):
                    await ask(self._writer, *self._lease_command("end"))
        self._close_pipes()
        self._writer = self._reader = None

    # -- connect -------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._close_pipes()
        self._writer = None
        writer = await open_pipe(self._address, _CONNECT_S, self._on_lost)
        try:
            reader = self._reader = await open_pipe(self._address, _CONNECT_S, self._on_lost)
            pipes = [writer, reader]
            if self._replicas.is_needed:
                self._waiter = await open_pipe(self._address, _CONNECT_S, self._on_lost)
                pipes.append(self._waiter)
            info = await info_of_one(*pipes)
            if is_replica(info):
                raise OSError("this Redis is a replica: name the primary")
            if self._waiter is not None:
                self._replicas.begin(self._waiter, info)
            for script in scripts.ALL:
                await ask(writer, "SCRIPT", "LOAD", script.text)
        except BaseException:
            writer.close()
            raise
        self._writer, self.why_away = writer, ""
        self._connected_s = asyncio.get_running_loop().time()
        self._desk.use(writer)
        if self._history not in ("", history_of(info)):
            self._ownership.ask_again()
            self._desk.ask_again()
        self._history = history_of(info)
        self._clock.forget()
        self._ask_time(writer)
        for commit in list(self._journal.unanswered):
            self.send(commit)

    def _close_pipes(self) -> None:
        for pipe in (self._writer, self._reader, self._waiter):
            if pipe is not None:
                pipe.close()

    def _on_lost(self, why: str) -> None:
        self._writer = None
        self._desk.use(None)
        self._away(why)

    def _away(self, why: str) -> None:
        self._outage.begin(self._answered_ns)
        if why != self.why_away:
            self.why_away = why
            self._log("cluster.away", text=why)

    async def _watch(self) -> None:
        """Renew the lease, notice a connection that is silent, and connect again."""
        loop, leave_s = asyncio.get_running_loop(), 0.0
        while True:
            await asyncio.sleep(min(self._lease_ms / 3_000, 1.0))
            self._outage.look(self._is_cut_off, self._now_ns())
            writer = self._writer
            try:
                if writer is None:
                    await self._connect()
                    self._log("cluster.back")
                    self._read()
                    continue
                self._ask_time(writer)
                async with asyncio.timeout(_SILENCE_S):
                    told = await ask(writer, *self._lease_command("renew"))
                if loop.time() - self._control.heard_s > _SILENCE_S + BLOCK_MS / 1_000:
                    raise TimeoutError("no answer")
            except (OSError, TimeoutError, hiredis.ReplyError) as error:
                if writer is not None:
                    writer.close()
                self._is_cut_off = isinstance(error, Unreachable)
                self._on_lost(str(error) or "no answer")
                continue
            self._answers()
            if told[0] != b"ok":
                self._fail(self._journal.name_taken())
                return
            # After Redis was away for longer than a lease, all seem dead until they have renewed theirs.
            if loop.time() - self._connected_s > self._lease_ms / 1_000:
                self._adopt_all(told[1:])
            if self._journal.note_progress():
                self._wake()
            if loop.time() > leave_s:
                leave_s = loop.time() + _LEAVE_S
                self._ownership.leave_idle()
            for session, token in self._journal.take_ended():
                keys = (self._keys.session(session), self._keys.sent(session), self._keys.owned(self._gateway.name))
                writer.send(_ignore, *call_of(scripts.END, keys, (self._keys.base, session, token)))

    def _lease_command(self, wish: str) -> tuple[Argument, ...]:
        keys = (self._keys.gateway(self._gateway.name), self._keys.gateways, self._keys.commands)
        args = (self._keys.base, self._gateway.name, self._gateway.boot, self._lease_ms, wish)
        return call_of(scripts.LEASE, keys, args)

    def _answers(self) -> None:
        """Redis takes what it is given, and so do its replicas, if they have to."""
        if self._replicas.why:
            self._outage.begin(self._answered_ns)
            return
        self._answered_ns = self._now_ns()
        self._is_cut_off = False
        self._outage.end(self._answered_ns)

    def _ask_time(self, writer: RedisPipe) -> None:
        asked_ns = self._now_ns()
        writer.send(lambda reply: self._time_came(asked_ns, reply), "TIME")

    def _time_came(self, asked_ns: int, reply: Any) -> None:
        if not isinstance(reply, PipeLost | hiredis.ReplyError):
            self._clock.heard(asked_ns, self._now_ns(), int(reply[0]) * 1_000_000 + int(reply[1]))

    # -- commits -------------------------------------------------------------------------------------------------------

    def send(self, commit: Commit) -> None:
        """Write a commit, if Redis can be reached; else it is written when it can."""
        if self._writer is not None:
            keys, args = self._journal.command_of(commit)
            judged = partial(self._committed, commit, tuple(commit.sessions))
            self._writer.send(judged, *call_of(scripts.COMMIT, keys, args))
        self._outage.weigh(self._journal.waiting_bytes, self._now_ns())

    def _committed(self, commit: Commit, sessions: tuple[int, ...], reply: Any) -> None:
        if isinstance(reply, PipeLost):
            return
        if isinstance(reply, hiredis.ReplyError):  # no memory left, or no longer the primary: nothing was written
            self._refused(str(reply))
        elif self._replicas.is_needed:
            self._replicas.take([(commit, sessions, reply)])
        else:
            self._judged([(commit, sessions, reply)])

    def _refused(self, why: str) -> None:
        if self._writer is not None:
            self._writer.close()
        self._on_lost(why)

    def _judged(self, judged: list[Judged]) -> None:
        """What Redis has said of these commits counts."""
        for commit, sessions, reply in judged:
            if self._journal.answered(commit, sessions, reply):
                for each in list(self._journal.unanswered):
                    self.send(each)
            if self._journal.failure is not None:
                self._fail(self._journal.failure)
                return
        self._answers()
        self._outage.weigh(self._journal.waiting_bytes, self._answered_ns)
        self._turn.on_durable(self._journal.durable)

    # -- what operators change -----------------------------------------------------------------------------------------

    async def tell(self, change: ModeChange, kill: bool) -> None:
        """See `OtherGateways`."""
        if self._writer is None:
            raise OSError("Redis cannot be reached")
        try:
            async with asyncio.timeout(_SILENCE_S):
                await self._control.tell(self._writer, change, kill)
                await self._replicas.await_now()
        except (hiredis.ReplyError, TimeoutError) as error:
            raise OSError(str(error) or "no answer") from error

    # -- what others say -----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        if self._reader is not None:
            self._control.read(self._reader)

    def _adopt_all(self, dead: list[bytes]) -> None:
        """Take over what dead gateways had; other survivors do the same, and each session comes to one of us. dead: as
        `lease.lua` tells them.
        """
        for name, is_planned in zip(dead[::2], dead[1::2], strict=True):
            if name != self._gateway.name.encode():
                self._log("cluster.gateway_dead", gateway=name.decode(), planned=is_planned == b"1")
            adopt = partial(self._adopt_of, name.decode(), is_planned == b"1")
            self._desk.ask(adopt, "SMEMBERS", self._keys.owned(name.decode()))

    def _adopt_of(self, name: str, is_planned: bool, sessions: list[bytes] | None, now_ns: int) -> None:
        when = ANY if name == self._gateway.name else DEAD
        for session in sorted(map(int, sessions or ())):
            self._ownership.claim(session, when, _no_matter, now_ns, is_planned)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _no_matter(_why: str, _now_ns: int) -> None:
    """Another survivor may have been faster."""


def _unlogged(_name: str, **_fields: object) -> None:
    """The link to the core logs which replicas are missing."""


def _ignore(_reply: object) -> None:
    """It is tried once."""
