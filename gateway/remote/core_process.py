"""`penstock core`: our engine as a process of its own: it reads the command stream, executes, and writes its events.

It may be killed at any instant: it goes on from its last snapshot and writes again what was written since, which Redis
refuses. Two of them on one prefix both execute everything, and whoever is first writes. Two that differ stop.

More than 400 lines, because beginning, serving and keeping snapshots act on one host and one connection.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha1
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import hiredis
import msgspec

from gateway.core.engine import Engine
from gateway.remote import snapshot_file, snapshot_store
from gateway.remote.command_stream import Behind, CommandStream
from gateway.remote.host import Configure, CoreHost, Row
from gateway.remote.keys import BEFORE_ALL, EntryId, Keys, entry_id, id_text
from gateway.remote.pipe import (
    Address,
    Argument,
    PipeLost,
    RedisPipe,
    ask,
    info_of_one,
    open_pipe,
    pairs,
    rows_of,
    whereabouts,
)
from gateway.remote.replicas import question, replicated
from gateway.remote.snapshot import (
    Snapshot,
    SnapshotInProgress,
    SnapshotUnusable,
)
from gateway.remote.store_check import history_of, is_passing, is_replica, why_unfit
from gateway.remote.wire import CONTRACT
from protocols.instruments import Instrument

_BLOCK_MS = 500
_MAX_UNWRITTEN = 512  # entries executed whose writes Redis has not confirmed: then it waits with reading
_RETRY_S = (0.02, 0.05, 0.1, 0.25, 0.5)
_CONNECT_S = 2.0
_SNAPSHOT_ENTRIES = 20_000  # between two snapshots
_CHUNK_S = 0.01


class CoreFailed(Exception):
    """The core cannot go on; the text says why and what to do."""


class CoresDiffer(CoreFailed):
    """Another core has written something else; the text names the first entry."""


class CoreTerms(NamedTuple):
    """What a core is started with. accepts_loss: begin a new epoch, without what Redis has lost, and end."""

    keys: Keys
    address: Address
    instruments: tuple[Instrument, ...]
    dedupe_ids: int
    retain_events: int
    directory: Path
    acked_by_replicas: int = 0
    accepts_loss: bool = False


class CoreProcess:
    """One core. `run` returns after `stop`."""

    def __init__(self, terms: CoreTerms, log: Callable[..., None]) -> None:
        self._terms = terms
        self._log = log
        self._host = self._new_host()
        self._script = files("gateway.remote").joinpath("put.lua").read_text(encoding="utf-8")
        self._sha = sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._commands = CommandStream(terms.keys)
        self._reader: RedisPipe | None = None
        self._writer: RedisPipe | None = None
        self._history = ""  # of the Redis that the host was made from
        self._executed: tuple[EntryId, Mapping[bytes, bytes]] | None = None  # the last entry
        self._confirmed: Row | None = None  # of what Redis has written last
        self._unwritten: deque[list[Row]] = deque()  # what each entry has caused
        self._caused = self._written_count = 0  # entries that have caused something, and those of which it is written
        self._lost = asyncio.Event()
        self._stopping = asyncio.Event()
        self._has_room = asyncio.Event()
        self._failure: CoreFailed | None = None
        self._since_snapshot = 0
        self._snapshotting: asyncio.Task[None] | None = None

    @property
    def host(self) -> CoreHost:
        """The engine and what it knows."""
        return self._host

    def stop(self) -> None:
        """End when what was executed is written."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve until `stop`.

        Raises:
            CoreFailed: two cores differ, or the store or this core's configuration is unfit.
        """
        tries = 0
        while not self._stopping.is_set():
            try:
                await self._connect()
                if self._terms.accepts_loss:
                    await self._begin_epoch()
                    return
                tries = 0
                await self._serve()
            except CoresDiffer as error:
                await self._stop_all(str(error))
                raise
            except (OSError, TimeoutError, _Lost, Behind, hiredis.ReplyError) as error:
                if isinstance(error, hiredis.ReplyError) and not is_passing(str(error)):
                    raise CoreFailed(f"Redis refuses a command of the core: {error}") from error
                self._log("core.store_away", text=str(error) or type(error).__name__)
                await self._wait(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
                tries += 1
            finally:
                self._disconnect()
        self._log("core.stopped", position=id_text(self._host.position))

    # -- begin -------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._lost.clear()
        self._writer = await open_pipe(self._terms.address, _CONNECT_S, self._on_lost)
        self._reader = await open_pipe(self._terms.address, _CONNECT_S, self._on_lost)
        info = await info_of_one(self._writer, self._reader)
        if why := why_unfit(info):
            if is_replica(info) and self._history:
                raise _Lost(why)  # a failover is on its way
            raise CoreFailed(why)
        await ask(self._writer, "SCRIPT", "LOAD", self._script)
        await self._commands.begin(self._reader)
        is_other = history_of(info) != self._history  # the first time; or it may lack what was written last
        if not (is_other and self._terms.acked_by_replicas):  # what replicas lack, gateways have told to no one
            is_other |= not await self._has_history(self._host.position, self._host.engine.epoch)
        self._history = history_of(info)
        if is_other and not await self._is_as_it_was():
            await self._begin_anew()
        else:
            for rows in list(self._unwritten):
                self._put(rows)
        await self._announce()

    async def _is_as_it_was(self) -> bool:
        """Whether this Redis has what was executed last, and what was written last: then it has all before, as its file
        and its replicas never have gaps, and the host goes on as it is.
        """
        assert self._writer is not None
        if self._executed is None or self._confirmed is None:
            return False
        (entry, fields), row = self._executed, self._confirmed
        written = {name.encode(): value for name, value in row.fields}
        for key, text, expected in ((self._terms.keys.commands, id_text(entry), fields), (row.key, row.id, written)):
            if [found for _, found in rows_of(await ask(self._writer, "XRANGE", key, text, text))] != [expected]:
                return False
        return True

    async def _begin_anew(self) -> None:
        """Go on from the latest snapshot that can be read, in Redis or on disk."""
        self._unwritten.clear()
        self._caused = self._written_count = 0
        self._executed = self._confirmed = None
        if self._snapshotting is not None:
            self._snapshotting.cancel()  # of a host that may be ahead of this Redis
        self._host = self._new_host()
        self._since_snapshot = 0
        found = [each for each in (self._on_disk(), await self._in_redis()) if each is not None]
        for snapshot in sorted(found, key=lambda each: each.head.position, reverse=True):
            try:
                if await self._has_history(snapshot.head.position, snapshot.head.epoch):
                    self._host.restore(snapshot)
                    break
                self._log("core.snapshot_unusable", text="what came after it is gone, or was given up")
            except ValueError as error:
                self._log("core.snapshot_unusable", text=str(error))
        await self._catch_up()
        await self._configure()
        self._host.stopped_by = ""  # it was started again after that
        self._log("core.started", position=id_text(self._host.position), epoch=self._host.engine.epoch)

    async def _has_history(self, position: EntryId, epoch: str) -> bool:
        """Whether all that came after this entry is there, in this epoch. If not, another core has gone on from a later
        snapshot, or an operator goes on without it.

        Raises:
            CoreFailed: no operator has said so: nothing that a client was told is taken back in silence.
        """
        assert self._writer is not None
        keys = self._terms.keys
        said = (await ask(self._writer, "HGET", keys.core, "epoch") or b"").decode()
        is_earlier = bool(said and epoch and said != epoch)
        found = await whereabouts(self._writer, keys.commands, position)
        if found == "there":
            return True
        if found == "trimmed" or is_earlier or self._terms.accepts_loss:
            return False
        raise CoreFailed(
            f"Redis has lost what it had: {keys.commands} lacks {id_text(position)}, which was executed. Restore its"
            " file; or go on without what is lost: run `penstock core --accept-loss` once, then start this core again"
        )

    def _on_disk(self) -> Snapshot | None:
        try:
            return snapshot_file.load(self._terms.directory)
        except SnapshotUnusable as error:
            self._log("core.snapshot_unusable", text=str(error))
            return None

    async def _in_redis(self) -> Snapshot | None:
        assert self._writer is not None
        try:
            return await snapshot_store.load(self._writer, self._terms.keys)
        except SnapshotUnusable as error:
            self._log("core.snapshot_unusable", text=str(error))
            return None

    async def _catch_up(self) -> None:
        """Execute what is in the stream already."""
        assert self._reader is not None
        entries = await self._commands.after(self._reader, self._host.position)
        if entries and self._host.position == BEFORE_ALL and entry_id(entries[0][0]) != await self._first_ever():
            await self._commands.after(self._reader, self._host.position)  # another core may have trimmed it just now
            raise CoreFailed(
                f"{self._terms.keys.commands} no longer has its first commands, and there is no snapshot to start from:"
                " restore Redis or this core's directory from a copy"
            )
        while entries:
            await self._take_all(entries)
            entries = await self._commands.after(self._reader, self._host.position)

    async def _first_ever(self) -> EntryId | None:
        """The first entry of the stream if nothing was ever trimmed from it."""
        assert self._reader is not None
        info = pairs(await ask(self._reader, "XINFO", "STREAM", self._terms.keys.commands))
        is_whole = info.get(b"max-deleted-entry-id") == b"0-0" and info.get(b"entries-added") == info[b"length"]
        return entry_id(info[b"first-entry"][0]) if is_whole and info.get(b"first-entry") else None

    async def _configure(self) -> None:
        """See that the venue trades what this core's configuration says: more may be added, nothing is dropped."""
        assert self._writer is not None
        terms, engine = self._terms, self._host.engine
        mine = tuple(sorted(instrument.id for instrument in terms.instruments))
        known, dedupe_ids = engine.configuration
        if missing := sorted(set(known) - set(mine)) if engine.epoch else []:
            raise CoreFailed(
                f"the venue trades instruments {', '.join(map(str, missing))}, which this core's configuration does not"
                " have: add them, or give this core another prefix"
            )
        if engine.epoch and (sorted(known), dedupe_ids) == (list(mine), terms.dedupe_ids):
            return
        wanted = msgspec.json.encode(Configure(mine, terms.dedupe_ids))
        await ask(self._writer, "XADD", terms.keys.commands, "*", "configure", wanted)
        await self._catch_up()

    async def _announce(self) -> None:
        assert self._writer is not None
        instruments = msgspec.json.encode(
            {str(each.id): [each.symbol, each.px_exp, each.qty_exp] for each in self._terms.instruments}
        )
        told = (
            "version",
            CONTRACT,
            "epoch",
            self._host.engine.epoch,
            "epochs",
            self._host.epochs,
            "encoding",
            "msgpack",
            "instruments",
            instruments,
        )
        await ask(self._writer, "HSET", self._terms.keys.core, *told)

    async def _begin_epoch(self) -> None:
        """Go on without what Redis has lost: from here on there is a snapshot that all cores can start from."""
        assert self._writer is not None
        await ask(self._writer, "XADD", self._terms.keys.commands, "*", "epoch", "")
        await self._catch_up()
        await self._write_all()
        coming = self._host.begin_snapshot()
        while coming.advance():
            pass
        await self._keep(coming)
        await self._announce()
        self._log("core.epoch_began", position=id_text(self._host.position), epoch=self._host.engine.epoch)

    # -- serve -------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Until the connection is lost, or `stop`."""
        while not self._stopping.is_set():
            await self._take_all(await self._read())
            if self._host.stopped_by:
                raise CoreFailed(self._host.stopped_by)
        await self._write_all()

    async def _write_all(self) -> None:
        while self._unwritten and not self._lost.is_set():
            await self._wait_for(self._has_room)

    async def _read(self) -> list[Any]:
        assert self._reader is not None
        asking = asyncio.ensure_future(self._commands.after(self._reader, self._host.position, _BLOCK_MS))
        try:
            await self._wait_for(asking)
            return asking.result()
        finally:
            asking.cancel()

    async def _take_all(self, entries: list[Any]) -> None:
        for entry, fields in rows_of(entries):
            rows = self._host.take(entry, fields)
            self._executed = entry, fields
            if rows:
                self._caused += 1
                self._unwritten.append(rows)
                self._put(rows)
        self._since_snapshot += len(entries)
        if self._since_snapshot >= _SNAPSHOT_ENTRIES and self._snapshotting is None:
            self._since_snapshot = 0
            self._snapshotting = asyncio.ensure_future(self._make_snapshot())
        while len(self._unwritten) > _MAX_UNWRITTEN:
            await self._wait_for(self._has_room)

    def _put(self, rows: list[Row]) -> None:
        """One call of `put.lua`."""
        assert self._writer is not None
        arguments: list[Argument] = []
        for row in rows:
            arguments += (row.id, row.keeps, len(row.fields), *(part for field in row.fields for part in field))
        keys = [row.key for row in rows]
        self._writer.send(partial(self._written, rows), "EVALSHA", self._sha, len(rows), *keys, *arguments)

    def _written(self, rows: list[Row], reply: Any) -> None:
        if isinstance(reply, PipeLost):
            return  # it is written again
        if isinstance(reply, hiredis.ReplyError):
            if is_passing(str(reply)):
                self._lost.set()
            else:
                self._fail(CoreFailed(f"Redis refuses what the core writes: {reply}"))
        elif reply:
            row = rows[reply - 1]
            text = f"two cores differ: {row.key} has something else where this one writes entry {row.id}"
            self._fail(CoresDiffer(f"{text}. All cores stop: keep Redis and their directories, compare their versions"))
        elif self._unwritten:
            self._confirmed = self._unwritten.popleft()[0]
            self._written_count += 1
            self._has_room.set()

    async def _stop_all(self, text: str) -> None:
        """Have the others stop as well: no one knows which of them is right."""
        try:
            pipe = await open_pipe(self._terms.address, _CONNECT_S, lambda _: None)
            await ask(pipe, "XADD", self._terms.keys.commands, "*", "stop", text)
            pipe.close()
        except (OSError, TimeoutError, hiredis.ReplyError) as error:
            self._log("core.store_away", text=str(error) or type(error).__name__)

    def _fail(self, failure: CoreFailed) -> None:
        self._failure = self._failure or failure
        self._lost.set()

    # -- snapshots ---------------------------------------------------------------------------------------------------

    async def _make_snapshot(self) -> None:
        try:
            coming, caused = self._host.begin_snapshot(), self._caused
            while coming.advance() or self._written_count < caused:  # who starts from it writes nothing from before it
                await asyncio.sleep(_CHUNK_S)
            await self._keep(coming)
        except (OSError, TimeoutError, _Lost, Behind, hiredis.ReplyError) as error:
            self._log("core.snapshot_failed", text=str(error) or type(error).__name__)
        finally:
            self._snapshotting = None

    async def _keep(self, coming: SnapshotInProgress) -> None:
        """On disk and in Redis; only then the commands before it may go."""
        snapshot, keys = coming.whole(), self._terms.keys
        if self._terms.acked_by_replicas:
            await self._await_replicas()
        await asyncio.to_thread(snapshot_file.save, self._terms.directory, snapshot)
        writer = self._writer
        if writer is None:
            raise _Lost("the connection is lost")
        await snapshot_store.save(writer, keys, snapshot)
        self._log("core.snapshot", position=id_text(snapshot.head.position), chunks=len(snapshot.chunks))

    async def _await_replicas(self) -> None:
        """Until replicas have all that was executed: a snapshot must not be ahead of the Redis of tomorrow."""
        terms, history = self._terms, self._history
        pipe = await open_pipe(terms.address, _CONNECT_S, lambda _: None)
        try:
            info = await info_of_one(pipe)
            if history_of(info) != history:
                raise _Lost("Redis is another one")
            asked = question(terms.acked_by_replicas, info)
            await replicated(pipe, terms.keys.mark, asked, terms.acked_by_replicas)
        finally:
            pipe.close()

    # -- the connection ----------------------------------------------------------------------------------------------

    def _on_lost(self, why: str) -> None:
        self._lost.set()

    def _disconnect(self) -> None:
        for pipe in (self._reader, self._writer):
            if pipe is not None:
                pipe.close()
        self._reader = self._writer = None

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _wait_for(self, what: "asyncio.Event | asyncio.Future[Any]") -> None:
        """Wait for it, or for the end of the connection.

        Raises:
            _Lost: the connection is lost. CoreFailed: the core cannot go on.
        """
        if isinstance(what, asyncio.Event):
            what.clear()
        waiting = asyncio.ensure_future(what.wait()) if isinstance(what, asyncio.Event) else what
        lost = asyncio.ensure_future(self._lost.wait())
        await asyncio.wait((waiting, lost), return_when=asyncio.FIRST_COMPLETED)
        lost.cancel()
        if self._failure is not None:
            raise self._failure
        if self._lost.is_set():
            raise _Lost("the connection is lost")

    def _new_host(self) -> CoreHost:
        terms = self._terms
        return CoreHost(Engine((), terms.dedupe_ids, ""), terms.keys, terms.retain_events)


class _Lost(Exception):
    """The connection to Redis is lost."""
