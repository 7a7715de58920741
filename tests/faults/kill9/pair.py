"""Two gateways of one venue: in each round a new one begins, some clients move to it, and the older one is killed.

Clients trade all the time. Those of the dead one try the other at once, and must be back within five seconds; nothing
may be lost or told twice on the way, for those that stay neither. In most rounds a network is disturbed as well: of one
gateway, of a core, or of Redis. Then some clients flee to the other gateway while theirs still believes to have them;
who stays may lose its link, for a gateway without Redis is dead to the others. The five seconds count from when the
networks are well again.
"""

import asyncio
import math
import random
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import msgspec

from tests.faults.kill9.check import Violations
from tests.faults.kill9.client import Desk
from tests.faults.kill9.killer import Killer
from tests.faults.kill9.link import Fault
from tests.faults.kill9.ws import WsDesk

_MOVES = 0.3  # share of the clients, each round
_FLEES = 0.5  # share of the clients of a gateway without Redis
_BACK_S = 5.0
_RETRY_S = 0.05
_PATIENCE_S = 20.0
_EARLY = 0.3  # share of the faults that begin while the newer gateway does; the others come when it has begun
_FAULT_WITHIN_S = 2.0  # from then on: while clients move, and around the kill
_CALM_S = 3.0  # so long after a fault a gateway may still hear that sessions were taken from it

Client = Desk | WsDesk


class Node(msgspec.Struct, eq=False):
    """A gateway. number: of its network. may_end_links: it is being killed, or its network is disturbed."""

    process: subprocess.Popen[bytes]
    ports: dict[str, int]
    stack: ExitStack
    number: int
    clients: set[Client] = set()
    may_end_links: bool = False

    @property
    def lives(self) -> bool:
        return self.process.poll() is None


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
        self._all: tuple[Client, ...] = (*desks, *makers)
        self._rng = rng
        self._violations = violations
        self._lives: dict[WsDesk, asyncio.Task[None]] = {}
        self._moving = {client: asyncio.Lock() for client in self._all}
        self._nodes: list[Node] = []  # that live or did until now, the newest last
        self._begun = 0
        self._well_s = 0.0  # since when the networks are
        self._is_disturbed = False  # or was just now
        self.slowest_ms = 0
        self.moved = 0
        self.fled = 0
        self.strayed = 0

    async def begin(self) -> Node:
        """One more gateway."""
        self._begun += 1
        life, stack = self._begun, ExitStack()
        process, ports = await asyncio.to_thread(self._start, life, stack)
        node = Node(process, ports, stack, life, may_end_links=self._is_disturbed)
        self._nodes = [*self._nodes[-1:], node]
        return node

    # -- clients -------------------------------------------------------------------------------------------------------

    async def come(self, client: Client, node: Node) -> None:
        """The client logs on there, again if it is refused, until it has recovered what it missed."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not await self._tries(client, node):
                    await asyncio.sleep(_RETRY_S)
                    node = node if node.lives else self._nodes[-1]
        except TimeoutError:
            self._violations.add(f"{client.name}: not back after {_PATIENCE_S:g} s")
        took_s = max(0.0, time.monotonic() - max(began, self._well_s))
        self.slowest_ms = max(self.slowest_ms, int(took_s * 1e3))
        if took_s > _BACK_S:
            self._violations.add(f"{client.name}: back after {took_s:.1f} s")

    async def _tries(self, client: Client, node: Node) -> bool:
        """One logon; whether it was accepted."""
        client.may_lose_link = True
        node.clients.add(client)
        if isinstance(client, WsDesk):
            life = self._lives[client] = asyncio.create_task(client.run(node.ports["ws"]))
            on = asyncio.create_task(client.on.wait())
            await asyncio.wait((life, on), return_when=asyncio.FIRST_COMPLETED)
            on.cancel()
            is_back = not life.done()
        else:
            await client.connect(node.ports["fix"])
            lost, recovered = (asyncio.create_task(each.wait()) for each in (client.closed, client.recovered))
            await asyncio.wait((lost, recovered), return_when=asyncio.FIRST_COMPLETED)
            is_back = recovered.done() and not lost.done()
            for task in (lost, recovered):
                task.cancel()
        client.may_lose_link = node.may_end_links or not is_back
        if not is_back:
            node.clients.discard(client)
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

    async def _move(self, client: Client, to: Node) -> None:
        """From wherever it is; it may have lost its link there."""
        async with self._moving[client]:
            where = next((node for node in self._nodes if client in node.clients), to)
            await self.go(client, where)
            await self.come(client, to)

    def _is_lost(self, client: Client) -> bool:
        return self._lives[client].done() if isinstance(client, WsDesk) else client.closed.is_set()

    # -- rounds --------------------------------------------------------------------------------------------------------

    async def round(self, older: Node, delay_s: float, fault: Fault | None) -> Node:
        """A new gateway begins, and the older one dies; the one that lives."""
        is_early = self._rng.random() < _EARLY
        disturbing = asyncio.create_task(self._disturb(fault)) if fault is not None and is_early else None
        newer = await self.begin()
        if fault is not None and not is_early:
            disturbing = asyncio.create_task(self._disturb(fault))
        for client in [each for each in self._all if self._rng.random() < _MOVES]:
            self.moved += 1
            await self._move(client, newer)
        older.may_end_links = True
        Killer(older.process, delay_s, older.clients).start()
        await asyncio.to_thread(older.process.wait)
        await self._gather(newer, [client for client in self._all if client not in newer.clients])
        if disturbing is not None:
            await disturbing
            await self._gather(newer, self._all)
            newer.may_end_links = False
            for client in self._all:
                client.may_lose_link = False
        return newer

    async def _gather(self, node: Node, clients: Iterable[Client]) -> None:
        """All of these are at this gateway, and have their links."""
        async with asyncio.timeout(2 * _PATIENCE_S):
            await asyncio.gather(*(self._bring(client, node) for client in clients))

    async def _bring(self, client: Client, node: Node) -> None:
        async with self._moving[client]:  # somebody may be bringing it already
            is_here = client in node.clients and not self._is_lost(client)
        if not is_here:
            self.strayed += client in node.clients
            await self._move(client, node)

    async def _disturb(self, fault: Fault) -> None:
        """Begin the fault at some moment, have clients flee from a gateway that has it, end it, and wait for calm."""
        await asyncio.sleep(self._rng.uniform(0, _FAULT_WITHIN_S))
        self._well_s, self._is_disturbed = math.inf, True
        hit = [node for node in self._nodes if node.lives and node.number % 2 in fault.gateways]
        for node in self._nodes:  # a gateway may lose its clients to the other one also when that comes late
            node.may_end_links = True
            for client in node.clients:
                client.may_lose_link = True
        fault.begin()
        fleeing = [asyncio.create_task(self._flee(node, fault.lasts_s)) for node in hit]
        await asyncio.sleep(fault.lasts_s)
        fault.end()
        self._well_s = time.monotonic()
        await asyncio.gather(*fleeing)
        await asyncio.sleep(_CALM_S)
        self._is_disturbed = False

    async def _flee(self, node: Node, within_s: float) -> None:
        """Some clients do not wait until their gateway answers again, if there is another one."""
        clients = [client for client in node.clients if self._rng.random() < _FLEES]
        await asyncio.sleep(self._rng.uniform(0, within_s))
        others = [other for other in self._nodes if other is not node and other.lives]
        for client in clients if others else ():
            if client in node.clients and not self._moving[client].locked():
                self.fled += 1
                await self._move(client, others[0])
