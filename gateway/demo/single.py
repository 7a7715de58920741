"""The demo's venue in this process: one gateway with the embedded core."""

from pathlib import Path
from typing import cast

from gateway.demo.ledger import CoreRecord
from gateway.demo.simulate import Spec
from gateway.demo.venue import RecordingCore, make_venue, ws_url
from gateway.demo.view import NodeState, Queue
from gateway.server import Server


class SingleHouse:
    """See `House`."""

    def __init__(self, directory: Path) -> None:
        self.record = CoreRecord()
        self._venue = make_venue(directory)
        self._server = Server(self._venue.config, directory, wrap_core=lambda core: RecordingCore(core, self.record))
        self._core = cast(RecordingCore, self._server.core)

    async def start(self) -> None:
        await self._server.start()

    def spec(self, seed: int) -> Spec:
        ports = self._server.ports
        return self._venue.spec(({"fix": ports["fix"], "ws": ports["ws"]},), seed)

    def urls(self) -> dict[str, str]:
        ports = self._server.ports
        admin = f"http://127.0.0.1:{ports['admin']}"
        urls = {"FIX": f"tcp://127.0.0.1:{ports['fix']}", "WS": ws_url(ports["ws"])}
        return urls | {"metrics": f"{admin}/metrics", "ready": f"{admin}/readyz"}

    def queue(self) -> Queue:
        limit = self._server.settings.ingress.max_commands
        return Queue(self._server.orders.queue.commands, self._core.take_largest(), limit)

    def nodes(self) -> tuple[NodeState, ...]:
        return ()

    def check(self) -> None:
        """What goes wrong in this process is raised where it happens."""

    async def disturb(self, seconds: float | None) -> None:
        """There is nobody who would go on."""

    async def calm(self) -> None:
        """Nothing was killed."""

    async def close(self) -> None:
        await self._server.drain()

    async def stop(self) -> None:
        await self._server.stop()
