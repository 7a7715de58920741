"""What the core wrote in the accounts' streams, read as it is written: the record that the clients' ledgers must match.

It is read from Redis beside all gateways, so a gateway that loses or repeats something cannot hide it here. Numbers in
a stream rise by one; a number that is not there is an error, not a guess.
"""

import asyncio
from collections.abc import Sequence

import hiredis

from gateway.demo.ledger import CoreRecord
from gateway.remote.core import events_of
from gateway.remote.keys import BEFORE_ALL, EntryId, Keys, id_text
from gateway.remote.pipe import RedisPipe, address_of, ask, latest_entry, open_pipe, rows_of
from protocols.messages import is_numbered

_ENTRIES = 1_000
_BLOCK_MS = 500
_CONNECT_S = 5.0


class StreamBroken(Exception):
    """The streams do not say all that the core did, so that there is no verdict."""


class AccountStreams:
    """Follows the streams of these accounts from the first event on, into `record`."""

    def __init__(self, url: str, keys: Keys, accounts: Sequence[int], record: CoreRecord) -> None:
        self._url = url
        self._keys = {keys.events(account).encode(): account for account in accounts}
        self._record = record
        self._read = dict.fromkeys(self._keys, BEFORE_ALL)
        self._seq = dict.fromkeys(accounts, 0)
        self._pipe: RedisPipe | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, and read on until `finish`."""
        self._pipe = await open_pipe(address_of(self._url), _CONNECT_S, lambda _: None)
        self._following = asyncio.create_task(self._follow(self._pipe))

    async def _follow(self, pipe: RedisPipe) -> None:
        while True:
            ids = (id_text(entry) for entry in self._read.values())
            told = await ask(pipe, "XREAD", "COUNT", _ENTRIES, "BLOCK", _BLOCK_MS, "STREAMS", *self._keys, *ids)
            for key, entries in told or ():
                self._take(key, entries)

    def _take(self, key: bytes, entries: list[object]) -> None:
        account = self._keys[key]
        for entry, fields in rows_of(entries):
            events = events_of(fields)
            for event in events:
                if is_numbered(event):
                    self._seq[account] += 1
                    if event.seq != self._seq[account]:
                        raise StreamBroken(
                            f"event {self._seq[account]} of account {account} is not in its stream, but {event.seq}"
                        )
            self._record.take(events)
            self._read[key] = entry

    async def finish(self) -> None:
        """The cores have ended: read what is left, to the last entry.

        Raises:
            StreamBroken: it could not be read completely.
        """
        if self._following is None or self._pipe is None:
            return
        following, self._following = self._following, None
        try:
            pipe = await open_pipe(address_of(self._url), _CONNECT_S, lambda _: None)
            ends: dict[bytes, EntryId] = {key: await latest_entry(pipe, key.decode()) for key in self._keys}
            pipe.close()
            async with asyncio.timeout(_CONNECT_S):
                while any(self._read[key] < end for key, end in ends.items()) and not following.done():
                    await asyncio.sleep(0.01)
            if following.done():
                following.result()
        except (OSError, hiredis.ReplyError, TimeoutError) as error:
            raise StreamBroken(f"the accounts' streams cannot be read: {error or 'no answer'}") from error
        finally:
            following.cancel()
            self._pipe.close()

    def stop(self) -> None:
        """Read nothing any more."""
        if self._following is not None:
            self._following.cancel()
        if self._pipe is not None:
            self._pipe.close()

    def check(self) -> None:
        """Raises:
        StreamBroken: it reads no more.
        """
        if self._following is not None and self._following.done():
            try:
                self._following.result()
            except (OSError, hiredis.ReplyError) as error:
                raise StreamBroken(f"the accounts' streams cannot be read: {error}") from error
