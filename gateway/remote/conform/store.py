"""The streams as the tool sees them: it writes as a gateway does, and reads what a core has written.

Two connections: one waits for entries, the other does all else.
"""

import asyncio
from collections.abc import Sequence
from typing import cast

import msgspec

from gateway.remote.conform.verdict import Broken
from gateway.remote.core import events_of
from gateway.remote.keys import BEFORE_ALL, EntryId, Keys, entry_id, id_text
from gateway.remote.pipe import Argument, RedisPipe, ask, rows_of
from gateway.remote.wire import NotUnderstood
from protocols.messages import AnyEvent
from protocols.units import NS_PER_MS, NS_PER_S

_READ_ENTRIES = 1_000
_EXPIRE_S = 3_600


class Told(msgspec.Struct, frozen=True):
    """An entry that the core wrote. prev, error, welcome, joined: its fields, "" = it has none."""

    entry: EntryId
    events: list[AnyEvent]
    prev: str = ""
    error: str = ""
    welcome: str = ""
    joined: str = ""


class Silent(Exception):
    """The core wrote nothing for as long as the tool waits."""

    def __init__(self, key: str, entry: EntryId, seconds: float) -> None:
        super().__init__(f"no entry {id_text(entry)} or later in {key} within {seconds:g} s")


class Store:
    """One venue in Redis."""

    def __init__(self, keys: Keys, writer: RedisPipe, reader: RedisPipe) -> None:
        self.keys = keys
        self._writer = writer
        self._reader = reader

    async def ask(self, *command: Argument) -> object:
        """One command to Redis, and its reply."""
        return await ask(self._writer, *command)

    async def write(self, node: str, field: str, data: bytes) -> EntryId:
        """An entry of the command stream."""
        return entry_id(await ask(self._writer, "XADD", self.keys.commands, "*", "node", node, field, data))

    async def write_all(self, node: str, field: str, entries: Sequence[bytes]) -> list[EntryId]:
        """Entries of the command stream, sent at once."""
        return list(await asyncio.gather(*(self.write(node, field, data) for data in entries)))

    async def now_ns(self) -> int:
        """The time of Redis, which is that of its entries."""
        seconds, micros = await ask(self._writer, "TIME")
        return int(seconds) * NS_PER_S + int(micros) * 1_000

    async def told_to(self, node: str, after: EntryId, until: EntryId, seconds: float) -> list[Told]:
        """What the core wrote for a node after one entry, at least until another one.

        Raises:
            Silent: that did not come. Broken: it cannot be read.
        """
        key, found = self.keys.node(node), list[Told]()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not found or found[-1].entry < until:
            left_ms = max(int((end - loop.time()) * 1_000), 0)
            if not left_ms:
                raise Silent(key, until, seconds)
            at = found[-1].entry if found else after
            told = await ask(
                self._reader, "XREAD", "COUNT", _READ_ENTRIES, "BLOCK", left_ms, "STREAMS", key, id_text(at)
            )
            found += [_told(key, *row) for row in rows_of(told[0][1])] if told else []
        return found

    async def written(self, key: str, after: EntryId = BEFORE_ALL) -> list[Told]:
        """What is in a stream of the core after an entry.

        Raises:
            Broken: it cannot be read.
        """
        rows = rows_of(await ask(self._writer, "XRANGE", key, f"({id_text(after)}", "+"))
        return [_told(key, *row) for row in rows]

    async def clients(self) -> set[bytes]:
        """The ids of all connections to this Redis."""
        told = cast(bytes, await ask(self._writer, "CLIENT", "LIST"))
        return {word for line in told.splitlines() for word in line.split() if word.startswith(b"id=")}

    async def let_go(self, node: str) -> None:
        """A node of ours is not used any more: its stream goes in an hour."""
        await ask(self._writer, "EXPIRE", self.keys.node(node), _EXPIRE_S)


def _told(key: str, entry: EntryId, fields: dict[bytes, bytes]) -> Told:
    names = (b"prev", b"error", b"welcome", b"joined")
    texts = (fields.get(name, b"").decode("utf-8", "replace") for name in names)
    try:
        return Told(entry, events_of(fields), *texts)
    except NotUnderstood as problem:
        raise Broken("messages in the form that this page describes", f"{key} {id_text(entry)}: {problem}") from problem


def ns_of(entry: EntryId) -> int:
    """The time of an entry."""
    return entry[0] * NS_PER_MS
