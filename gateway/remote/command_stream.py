"""How a core reads the command stream, beside others that let go of what they have executed.

A core that was away for long may be behind what another one has trimmed. Redis does not say so: the next read begins
with what is left. So whoever trims notes it in a stream beside (`keep.lua`), and each read reads both at once.
"""

from typing import Any

from gateway.remote.keys import BEFORE_ALL, EntryId, Keys, entry_id, id_text
from gateway.remote.pipe import Argument, RedisPipe, ask, latest_entry, rows_of

_READ_ENTRIES = 256  # at once


class Behind(Exception):
    """Commands that this core has not executed are gone: it has to go on from a snapshot."""


class CommandStream:
    """The commands of a venue, as one core reads them."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._seen = BEFORE_ALL  # the latest note of a trim

    async def begin(self, pipe: RedisPipe) -> None:
        """Before a snapshot to go on from is looked for: what is trimmed from here on is noticed."""
        self._seen = await latest_entry(pipe, self._keys.trims)

    async def after(self, pipe: RedisPipe, position: EntryId, block_ms: int = 0) -> list[Any]:
        """Entries behind this one; if there are none, wait so long for one.

        Raises:
            Behind: some of them are gone. hiredis.ReplyError, PipeLost: as `ask`.
        """
        wait: tuple[Argument, ...] = ("BLOCK", block_ms) if block_ms else ()
        keys, since = self._keys, (id_text(position), id_text(self._seen))
        told = await ask(pipe, "XREAD", "COUNT", _READ_ENTRIES, *wait, "STREAMS", keys.commands, keys.trims, *since)
        entries: list[Any] = []
        for stream, found in told or ():
            if stream == keys.commands.encode():
                entries = found
                continue
            for entry, fields in rows_of(found):
                self._seen = entry
                if entry_id(fields[b"before"]) > position:
                    raise Behind("another core has let go of commands that were not executed here yet")
        return entries
