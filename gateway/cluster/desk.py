"""What a gateway asks Redis when a session or an account comes to it. See `Ownership` for the order of the questions.

A question is asked once. If the connection is lost before the answer, whoever asked is told so, and may ask again: a
claim that was carried out all the same is found to be ours already.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import hiredis
import msgspec

from gateway.cluster import scripts
from gateway.cluster.journal import Gateway, run_of
from gateway.cluster.ownership import Run
from gateway.cluster.scripts import Script
from gateway.remote.core import RemoteCore, events_of
from gateway.remote.host import Join
from gateway.remote.keys import EntryId, entry_id
from gateway.remote.pipe import Argument, PipeLost, RedisPipe, rows_of
from gateway.sessions.registry import FIRST_WS_SESSION, MAX_NAMES_PER_KEY
from protocols.messages import MAX_SESSION, AnyEvent

_ANSWERS_S = 2.0
_IDS = 512  # ids of WebSocket sessions that are asked for at once
CONTROL_ENTRIES = 10_000
_TAIL_ENTRIES = 1_000  # of an account's stream, for clients that resume


class ClusterDesk:
    """Asks through the connection of the moment."""

    def __init__(
        self,
        gateway: Gateway,
        core: RemoteCore,
        ids: deque[int],
        epochs: Callable[[], int],
        now_ns: Callable[[], int],
    ) -> None:
        """ids: of WebSocket sessions that may begin here; more are put at its end. epochs: how many the venue had
        before this one.
        """
        self._epochs = epochs
        self._gateway = gateway
        self._keys = gateway.keys
        self._core = core
        self._ids = ids
        self._now_ns = now_ns
        self._pipe: RedisPipe | None = None
        self._is_asking_for_ids = False

    def use(self, pipe: RedisPipe | None) -> None:
        """Ask through this connection from now on; None = there is none."""
        self._pipe = pipe

    def claim(self, session: int, when: str, then: Callable[[list[bytes] | None, int], None]) -> None:
        self.ask(then, *self.claim_command(session, when))

    def token(self, session: int, then: Callable[[int | None, int], None]) -> None:
        def came(reply: Any, at_ns: int) -> None:
            then(None if reply is None else int(reply[0] or 0), at_ns)

        self.ask(came, "HMGET", self._keys.session(session), "token")

    def claim_command(self, session: int, when: str) -> tuple[Argument, ...]:
        """What asks for a session."""
        keys = (
            self._keys.session(session),
            self._keys.gateway(self._gateway.name),
            self._keys.commands,
            self._keys.control,
        )
        join = msgspec.json.encode(Join(sessions=(session,)))
        args = (self._keys.base, self._gateway.name, self._gateway.boot, session, when, CONTROL_ENTRIES, join)
        return call_of(scripts.CLAIM, keys, args)

    def join(self, account: int, then: Callable[[EntryId | None, int], None]) -> None:
        told = msgspec.json.encode(Join((account,)))
        command = ("XADD", self._keys.commands, "*", "node", self._gateway.name, "join", told)
        self.ask(lambda reply, at_ns: then(None if reply is None else entry_id(reply), at_ns), *command)

    def leave(self, account: int) -> None:
        command = (
            "XADD",
            self._keys.commands,
            "*",
            "node",
            self._gateway.name,
            "leave",
            msgspec.json.encode((account,)),
        )
        self.ask(lambda reply, at_ns: None, *command)

    def sent(self, session: int, then: Callable[[list[Run] | None, int], None]) -> None:
        def came(reply: Any, at_ns: int) -> None:
            then(None if reply is None else [run_of(*row) for row in rows_of(reply)], at_ns)

        self.ask(came, "XRANGE", self._keys.sent(session), "-", "+")

    def events(self, account: int, after: int, then: Callable[[list[AnyEvent] | None, int], None]) -> None:
        def came(reply: Any, at_ns: int) -> None:
            then(None if reply is None else [each for _, row in rows_of(reply) for each in events_of(row)], at_ns)

        self.ask(came, "XRANGE", self._keys.events(account, self._epochs()), f"{after + 1}-0", "+")

    def tail(self, account: int, then: Callable[[list[AnyEvent] | None, int], None]) -> None:
        def came(reply: Any, at_ns: int) -> None:
            rows = None if reply is None else rows_of(reply)[::-1]
            then(None if rows is None else [each for _, row in rows for each in events_of(row)], at_ns)

        self.ask(came, "XREVRANGE", self._keys.events(account, self._epochs()), "+", "-", "COUNT", _TAIL_ENTRIES)

    def wait(self, ms: int, then: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(ms / 1_000, then)

    def name(self, key_id: str, name: str, fresh: int, then: Callable[[list[int] | None, int], None]) -> None:
        """The session of this name; see `name.lua`."""
        keys, args = (self._keys.names(key_id), self._keys.control), (name, fresh, MAX_NAMES_PER_KEY, key_id)
        self.ask(then, *call_of(scripts.NAME, keys, (*args, CONTROL_ENTRIES)))

    def ask(self, then: Callable[[Any, int], None], *command: Argument) -> None:
        """Ask anything; `then` gets the reply and the time, or None."""

        def came(reply: Any) -> None:
            then(None if isinstance(reply, hiredis.ReplyError | PipeLost) else reply, self._now_ns())

        if self._pipe is None:
            then(None, self._now_ns())
        else:
            self._pipe.send(came, *command)

    # -- ids -----------------------------------------------------------------------------------------------------------

    async def ids(self) -> list[int]:
        """Ids that no session has; the core has said how far it has counted each, should one have been used before."""
        found: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        while not found.done():
            self._ask_for_ids(lambda ids: found.set_result(ids) if ids and not found.done() else None)
            with suppress(TimeoutError):
                async with asyncio.timeout(_ANSWERS_S):
                    await asyncio.shield(found)
        return found.result()

    def ask_for_ids(self) -> None:
        """Few are left."""
        if not self._is_asking_for_ids:
            self._is_asking_for_ids = True
            self._ask_for_ids(self._ids_came)

    def ask_again(self) -> None:
        """It is another Redis, which may lack what was asked last: then its answer would never come."""
        if self._is_asking_for_ids:
            self._ask_for_ids(self._ids_came)

    def _ids_came(self, ids: list[int]) -> None:
        self._is_asking_for_ids = False
        self._ids.extend(ids)

    def _ask_for_ids(self, then: Callable[[list[int]], None]) -> None:
        def found(ids: list[int] | None, at_ns: int) -> None:
            if ids is None:
                then([])
                return
            told = msgspec.json.encode(Join(sessions=tuple(ids)))
            command = ("XADD", self._keys.commands, "*", "node", self._gateway.name, "join", told)
            self.ask(lambda reply, at_ns: joined(ids, reply, at_ns), *command)

        def joined(ids: list[int], reply: bytes | None, at_ns: int) -> None:
            if reply is None:
                then([])
            else:
                self._core.when_joined(entry_id(reply), lambda _: then(ids), at_ns)

        args = (self._keys.base, _IDS, FIRST_WS_SESSION, MAX_SESSION - FIRST_WS_SESSION + 1)
        self.ask(found, *call_of(scripts.IDS, (self._keys.ids,), args))


def call_of(script: Script, keys: Any, args: Any) -> tuple[Argument, ...]:
    """The command that runs a script."""
    return ("EVALSHA", script.sha, len(keys), *keys, *args)
