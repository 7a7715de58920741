"""The demo's venue as several processes: gateways that share all sessions, two cores, and a Valkey of their own.

While the traders trade, a gateway and a core in turn are killed with SIGKILL and started again. Of each kind one is
down at a time: the next one waits until the last one is back.

    traders   gateway-1  gateway-2        (penstock run)
                    \\    /
                    Valkey ---- accounts' streams ---> record, for the verdict
                    /    \\
                core-1   core-2           (penstock core)
"""

import asyncio
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Literal

import aiohttp
import msgspec

from gateway.config.load import NODE_ENV
from gateway.demo.account_streams import AccountStreams
from gateway.demo.child import PENSTOCK, Child, free_ports
from gateway.demo.ledger import CoreRecord
from gateway.demo.simulate import Spec
from gateway.demo.toml_file import toml_of
from gateway.demo.valkey import arguments, find_server
from gateway.demo.venue import make_venue, node_config, ws_url
from gateway.demo.view import NodeState, Queue
from gateway.remote.keys import Keys
from gateway.remote.pipe import address_of, open_pipe

_CORES = 2
_EVERY_S = 5.0  # between two kills; in a short run they come sooner
_SHARE = 0.3  # of a short run
_PAUSE_S = 0.5  # before what was killed is started again: long enough to be seen
_START_S = 30.0
_LOOK_S = 0.25
_ASK = aiohttp.ClientTimeout(total=2.0)


class _Node:
    """One process, and what is shown of it."""

    def __init__(self, child: Child, admin_port: int = 0) -> None:
        """admin_port: of a gateway; a core has none."""
        self.child = child
        self.admin_port = admin_port
        self.state = NodeState(child.name, "starting", sessions=0 if admin_port else None)

    def show(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)


class NodesHouse:
    """See `House`. Create it inside the running loop."""

    def __init__(self, directory: Path, count: int) -> None:
        """Raises:
        NoValkey: there is no program to start.
        """
        self.record = CoreRecord()
        self._venue = make_venue(directory)
        ports = free_ports()
        valkey_port = next(ports)
        self._url = f"redis://127.0.0.1:{valkey_port}/0"
        self._valkey = Child("valkey", directory, find_server(), *arguments(valkey_port, directory))
        self._ports = [{door: next(ports) for door in ("fix", "ws", "admin")} for _ in range(count)]
        self._gateways = [
            _Node(self._gateway(directory, f"gateway-{number}", row), row["admin"])
            for number, row in enumerate(self._ports, 1)
        ]
        self._cores = [_Node(self._core(directory, f"core-{number}")) for number in range(1, _CORES + 1)]
        self._nodes = [*self._gateways, *self._cores]
        accounts = [row.id for row in self._venue.config.accounts]
        self._streams = AccountStreams(self._url, Keys(self._venue.config.core.prefix), accounts, self.record)
        self._returns: dict[bool, asyncio.Task[None]] = {}  # of the last gateway (True) and core that was killed
        self._watching: asyncio.Task[None] | None = None

    def _gateway(self, directory: Path, name: str, ports: dict[str, int]) -> Child:
        path = self._write(directory / f"{name}.toml", ports, "warning")
        return Child(name, directory, *PENSTOCK, "run", "-c", path, env={NODE_ENV: name})

    def _core(self, directory: Path, name: str) -> Child:
        path = self._write(directory / f"{name}.toml", self._ports[0], "info")  # it says when it has started
        return Child(name, directory, *PENSTOCK, "core", "-c", path, "--directory", str(directory / name))

    def _write(self, path: Path, ports: dict[str, int], level: Literal["info", "warning"]) -> str:
        config = node_config(self._venue.config, self._url, ports, len(self._ports))
        logs = msgspec.structs.replace(config.logs, level=level)
        path.write_text(toml_of(msgspec.structs.replace(config, logs=logs)), encoding="utf-8")
        return str(path)

    # -- House ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self._valkey.start()
        await self._until_valkey_answers()
        await self._streams.start()
        for node in self._nodes:
            await node.child.start()
        await asyncio.gather(*(self._until_ready(node) for node in self._nodes))
        self._watching = asyncio.create_task(self._watch())

    def spec(self, seed: int) -> Spec:
        return self._venue.spec([{"fix": row["fix"], "ws": row["ws"]} for row in self._ports], seed)

    def urls(self) -> dict[str, str]:
        urls = {}
        for number, row in enumerate(self._ports, 1):
            urls[f"FIX {number}"] = f"tcp://127.0.0.1:{row['fix']}"
            urls[f"WS {number}"] = ws_url(row["ws"])
        return urls

    def queue(self) -> Queue | None:
        return None

    def nodes(self) -> tuple[NodeState, ...]:
        return tuple(node.state for node in self._nodes)

    async def disturb(self, seconds: float | None) -> None:
        """A gateway, a core, the other gateway, the other core, and so on. In a short run, one of each."""
        every_s = _EVERY_S if seconds is None else min(_EVERY_S, _SHARE * seconds)
        loop = asyncio.get_running_loop()
        end_s = float("inf") if seconds is None else loop.time() + seconds
        turns = [node for pair in zip(self._gateways, cycle(self._cores), strict=False) for node in pair]
        due_s = loop.time()
        for node in cycle(turns):
            due_s = max(due_s + every_s, loop.time())
            if due_s + every_s > end_s + 1e-6:
                return
            await asyncio.sleep(due_s - loop.time())
            kind = node in self._gateways
            if kind in self._returns:
                await asyncio.wait((self._returns[kind],))
            self._returns[kind] = asyncio.create_task(self._lose(node))  # it goes on when trading has ended

    def check(self) -> None:
        self._streams.check()
        for task in self._returns.values():
            if task.done():
                task.result()
        for node in self._nodes:
            if node.state.state == "ready" and not node.child.runs:
                raise node.child.failed("ended by itself")

    async def calm(self) -> None:
        await asyncio.gather(*self._returns.values())

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        for nodes in (self._gateways, self._cores):
            await asyncio.gather(*(node.child.end() for node in nodes))
        await self._streams.finish()

    async def stop(self) -> None:
        for task in (self._watching, *self._returns.values()):
            if task is not None:
                task.cancel()
        self._streams.stop()
        for child in (*(node.child for node in self._nodes), self._valkey):
            await child.kill()

    # -- the processes -------------------------------------------------------------------------------------------

    async def _lose(self, node: _Node) -> None:
        """Kill it, and have it come back."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        node.show(state="killed", kills=node.state.kills + 1)
        await node.child.kill()
        await asyncio.sleep(_PAUSE_S)
        await node.child.start()
        node.show(state="starting")
        await self._until_ready(node)
        node.show(back_s=loop.time() - began_s)

    async def _until_valkey_answers(self) -> None:
        async def answers() -> bool:
            with suppress(OSError, TimeoutError):
                (await open_pipe(address_of(self._url), 1.0, lambda _: None)).close()
                return True
            return False

        while not await answers():
            if not self._valkey.runs:
                raise self._valkey.failed("ended by itself")
            await asyncio.sleep(_LOOK_S / 10)

    async def _until_ready(self, node: _Node) -> None:
        """Wait until it serves.

        Raises:
            ChildFailed: it ended, or does not come to that.
        """
        try:
            async with asyncio.timeout(_START_S), aiohttp.ClientSession(timeout=_ASK) as http:
                while not await self._is_ready(node, http):
                    if not node.child.runs:
                        raise node.child.failed("ended by itself")
                    await asyncio.sleep(_LOOK_S / 5)
        except TimeoutError:
            raise node.child.failed(f"is not ready after {_START_S:g} s") from None
        node.show(state="ready")

    async def _is_ready(self, node: _Node, http: aiohttp.ClientSession) -> bool:
        if not node.admin_port:
            return node.child.has_logged("core.started")
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with http.get(f"http://127.0.0.1:{node.admin_port}/readyz") as answer:
                return answer.status == 200
        return False

    async def _watch(self) -> None:
        """How many sessions each gateway has."""
        async with aiohttp.ClientSession(timeout=_ASK) as http:
            while True:
                await asyncio.sleep(_LOOK_S)
                for node in self._gateways:
                    sessions = 0
                    with suppress(aiohttp.ClientError, OSError, TimeoutError):
                        async with http.get(f"http://127.0.0.1:{node.admin_port}/status") as answer:
                            sessions = sum((await answer.json())["sessions"].values())
                    node.show(sessions=sessions)
