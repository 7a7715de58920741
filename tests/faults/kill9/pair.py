"""Two gateways of one venue: in each round a new one begins, some clients move to it, and the older one is killed.

Clients trade all the time. Those of the dead one try the other at once, and must be back within five seconds; nothing
may be lost or told twice on the way, for those that stay neither.
"""

import asyncio
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack

import msgspec

from tests.faults.kill9.check import Violations
from tests.faults.kill9.client import Desk
from tests.faults.kill9.killer import Killer
from tests.faults.kill9.ws import WsDesk

_MOVES = 0.3  # share of the clients, each round
_BACK_S = 5.0
_RETRY_S = 0.05
_PATIENCE_S = 20.0

Client = Desk | WsDesk


class Node(msgspec.Struct, eq=False):
    """A gateway that lives."""

    process: subprocess.Popen[bytes]
    ports: dict[str, int]
    stack: ExitStack
    clients: set[Client] = set()


class Pair:
    """The gateways, and where each client is."""

    def __init__(
        self,
        start: Callable[[int, ExitStack], tuple[subprocess.Popen[bytes], dict[str, int]]],
        desks: list[Desk],
        makers: list[WsDesk],
        rng: random.Random,
        violations: Violations,
    ) -> None:
        """start: begins a gateway that is in the stack; called in another thread, for it takes a second."""
        self._start = start
        self._desks, self._makers = desks, makers
        self._rng = rng
        self._violations = violations
        self._lives: dict[WsDesk, asyncio.Task[None]] = {}
        self._life = 0
        self.slowest_ms = 0
        self.moved = 0

    async def begin(self) -> Node:
        """One more gateway."""
        self._life += 1
        stack = ExitStack()
        process, ports = await asyncio.to_thread(self._start, self._life, stack)
        return Node(process, ports, stack)

    async def come(self, client: Client, node: Node) -> None:
        """The client logs on there, again if it is refused, until it has recovered what it missed."""
        began = time.monotonic()
        node.clients.add(client)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not await self._tries(client, node):
                    await asyncio.sleep(_RETRY_S)
        except TimeoutError:
            self._violations.add(f"{client.name}: not back after {_PATIENCE_S:g} s")
        took_s = time.monotonic() - began
        self.slowest_ms = max(self.slowest_ms, int(took_s * 1e3))
        if took_s > _BACK_S:
            self._violations.add(f"{client.name}: back after {took_s:.1f} s")

    async def _tries(self, client: Client, node: Node) -> bool:
        """One logon; whether it was accepted."""
        client.may_lose_link = True
        if isinstance(client, WsDesk):
            life = self._lives[client] = asyncio.create_task(client.run(node.ports["ws"]))
            on = asyncio.create_task(client.on.wait())
            await asyncio.wait((life, on), return_when=asyncio.FIRST_COMPLETED)
            on.cancel()
            client.may_lose_link = life.done()
            return not life.done()
        await client.connect(node.ports["fix"])
        lost, recovered = (asyncio.create_task(each.wait()) for each in (client.closed, client.recovered))
        await asyncio.wait((lost, recovered), return_when=asyncio.FIRST_COMPLETED)
        is_back = recovered.done()
        for task in (lost, recovered):
            task.cancel()
        client.may_lose_link = not is_back
        return is_back

    async def go(self, client: Client, node: Node) -> None:
        """The client leaves, by its own wish or because its gateway has died."""
        node.clients.discard(client)
        if isinstance(client, WsDesk):
            await client.leave()
            await self._lives.pop(client)
        else:
            client.leave()
            await client.closed.wait()

    async def round(self, older: Node, delay_s: float) -> Node:
        """A new gateway begins, and the older one dies; the one that lives."""
        newer = await self.begin()
        for client in [each for each in (*self._desks, *self._makers) if self._rng.random() < _MOVES]:
            self.moved += 1
            await self.go(client, older)
            await self.come(client, newer)
        left = list(older.clients)
        Killer(older.process, delay_s, left).start()
        await asyncio.to_thread(older.process.wait)
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*(self.go(client, older) for client in left))
        await asyncio.gather(*(self.come(client, newer) for client in left))
        return newer
