"""What gateways tell each other: sessions that have moved, operators' modes, names of WebSocket sessions.

It is told by a stream, and kept elsewhere: modes and names in hashes, the owner of a session in its row. The stream is
trimmed. A gateway that stood still while much was told has missed what is gone from it, and looks at what is kept.

Before editing: whether something is gone is asked after what is left was read, or it could go between the two.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import hiredis
import msgspec

from gateway.cluster import scripts
from gateway.cluster.desk import CONTROL_ENTRIES, call_of
from gateway.cluster.journal import Gateway
from gateway.orders.trading_modes import ModeChange
from gateway.remote.keys import BEFORE_ALL, EntryId, entry_id, id_text
from gateway.remote.pipe import Argument, PipeLost, RedisPipe, ask, latest_entry, pairs, rows_of
from gateway.sessions.former_names import WsSessionRecord

BLOCK_MS = 500


class Desk(Protocol):
    """Asks Redis; see `ClusterDesk`."""

    def ask(self, then: Callable[[Any, int], None], *command: Argument) -> None:
        """Ask anything; `then` gets the reply and the time, or None."""

    def token(self, session: int, then: Callable[[int | None, int], None]) -> None:
        """The token of the session's row, 0 = it has none."""


class Control:
    """One gateway's end of the stream."""

    def __init__(
        self,
        gateway: Gateway,
        key_ids: Sequence[str],
        desk: Desk,
        owned: Callable[[], list[int]],
        log: Callable[..., None],
    ) -> None:
        """owned: the sessions that this gateway believes to own."""
        self._name = gateway.name.encode()
        self._keys = gateway.keys
        self._key_ids = key_ids
        self._desk = desk
        self._owned = owned
        self._log = log
        self._lost: Callable[[int, int, bool], None]
        self._hear: Callable[[ModeChange, bool], None]
        self._named: Callable[[WsSessionRecord], None]
        self._heard = BEFORE_ALL
        self._kept: dict[str, ModeChange] = {}  # modes that Redis is known to have, by place
        self._has_missed = False
        self._unanswered = 0  # questions for what was missed
        self._has_failed = False  # one of them had no answer
        self.heard_s = 0.0
        """When Redis has answered last, by the loop's clock."""

    def connect(
        self,
        lost: Callable[[int, int, bool], None],
        hear: Callable[[ModeChange, bool], None],
        named: Callable[[WsSessionRecord], None],
    ) -> None:
        """See `ClusterLink.connect`."""
        self._lost, self._hear, self._named = lost, hear, named

    async def begin(self, pipe: RedisPipe) -> None:
        """Take in what is kept, and note from where on the stream is to be read.

        Raises:
            OSError, hiredis.ReplyError: Redis cannot say.
        """
        self._heard = await latest_entry(pipe, self._keys.control)
        self._take_modes(pairs(await ask(pipe, "HGETALL", self._keys.modes)))
        for key_id in self._key_ids:
            self._take_names(key_id, await ask(pipe, "HGETALL", self._keys.names(key_id)))

    async def tell(self, pipe: RedisPipe, change: ModeChange, kill: bool) -> None:
        """Keep an operator's change, and tell the others.

        Raises:
            OSError, hiredis.ReplyError: Redis did not take it, or did not say so.
        """
        keys, told = (self._keys.modes, self._keys.control), msgspec.json.encode(change)
        args = (self._name, place_of(change), told, int(kill), CONTROL_ENTRIES, int(change.mode == "normal"))
        await ask(pipe, *call_of(scripts.MODE, keys, args))

    def read(self, reader: RedisPipe) -> None:
        """Read on, for as long as this connection lasts."""
        self.heard_s = asyncio.get_running_loop().time()
        if self._has_missed and not self._unanswered:
            self._look_again()
        command = ("XREAD", "COUNT", 256, "BLOCK", BLOCK_MS, "STREAMS", self._keys.control, id_text(self._heard))
        reader.send(partial(self._came, reader), *command)

    def _came(self, reader: RedisPipe, reply: Any) -> None:
        if isinstance(reply, PipeLost | hiredis.ReplyError):
            return
        before, rows = self._heard, rows_of(reply[0][1]) if reply else []
        for entry, fields in rows:
            self._heard = entry
            self._take(fields)
        if rows:
            reader.send(partial(self._is_told, before), "XINFO", "STREAM", self._keys.control)
        self.read(reader)

    def _take(self, fields: dict[bytes, bytes]) -> None:
        if fields.get(b"from") == self._name:
            self._lost(int(fields[b"moved"]), int(fields[b"token"]), fields.get(b"for_client") != b"0")
        elif b"named" in fields:
            key_id, name = fields[b"key"].decode(), fields[b"name"].decode()
            self._named(WsSessionRecord(int(fields[b"named"]), key_id, name))
        elif b"mode" in fields:
            change = msgspec.json.decode(fields[b"mode"], type=ModeChange)
            if change.mode == "normal":
                self._kept.pop(place_of(change), None)
            else:
                self._kept[place_of(change)] = change
            if fields[b"by"] != self._name:
                self._hear(change, fields[b"kill"] == b"1")

    # -- what was missed -----------------------------------------------------------------------------------------------

    def _is_told(self, before: EntryId, reply: Any) -> None:
        """What XINFO says, after all from `before` on was read that was left."""
        if isinstance(reply, PipeLost | hiredis.ReplyError):
            return
        told = pairs(reply)
        first = entry_id(told[b"first-entry"][0]) if told.get(b"first-entry") else BEFORE_ALL
        is_gone = told[b"entries-added"] > told[b"length"] if before == BEFORE_ALL else first > before
        if is_gone and not self._has_missed:
            self._has_missed = True
            self._log("cluster.control_missed", after=id_text(before))
            self._look_again()

    def _look_again(self) -> None:
        """Ask for all that is kept; and again, until each question has its answer."""
        owned = self._owned()
        self._unanswered, self._has_failed = 1 + len(self._key_ids) + len(owned), False
        self._desk.ask(self._modes_came, "HGETALL", self._keys.modes)
        for key_id in self._key_ids:
            self._desk.ask(partial(self._names_came, key_id), "HGETALL", self._keys.names(key_id))
        for session in owned:
            self._desk.token(session, partial(self._token_came, session))

    def _modes_came(self, reply: Any, _now_ns: int) -> None:
        if reply is not None:
            self._take_modes(pairs(reply))
        self._answered(reply is not None)

    def _names_came(self, key_id: str, reply: Any, _now_ns: int) -> None:
        if reply is not None:
            self._take_names(key_id, reply)
        self._answered(reply is not None)

    def _token_came(self, session: int, token: int | None, _now_ns: int) -> None:
        if token is not None:
            self._lost(session, token, False)  # it is, if the token is higher than ours
        self._answered(token is not None)

    def _answered(self, is_known: bool) -> None:
        self._has_failed |= not is_known
        self._unanswered -= 1
        if not (self._unanswered or self._has_failed):
            self._has_missed = False

    def _take_modes(self, found: dict[bytes, bytes]) -> None:
        """Put in force what Redis has; what it had, and has no more, is over."""
        modes = {place.decode(): msgspec.json.decode(told, type=ModeChange) for place, told in found.items()}
        for place, change in self._kept.items():
            if place not in modes:
                self._hear(msgspec.structs.replace(change, mode="normal"), False)
        for place, change in modes.items():
            if self._kept.get(place) != change:
                self._hear(change, False)
        self._kept = modes

    def _take_names(self, key_id: str, reply: list[bytes]) -> None:
        for name, session in pairs(reply).items():
            self._named(WsSessionRecord(int(session), key_id, name.decode()))


def place_of(change: ModeChange) -> str:
    """The place of a mode, as Redis has it."""
    return "/".join(map(str, change.place))
