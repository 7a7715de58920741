"""One gateway of several in the world, and one core: the real ones, over connections to the world's Redis."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway.config import schema
from gateway.remote.core_process import CoreProcess, CoreTerms
from limits.policy import Policy
from tests.simulate.cluster.far_redis import FarRedis
from tests.simulate.cluster.process_loop import ProcessLoop
from tests.simulate.far_store import SharedStore
from tests.simulate.memory import Memory
from tests.simulate.neighbour import Limits
from tests.simulate.spending import Spending
from tests.simulate.venue import Doors, Process
from tests.simulate.world import World
from tests.support.hooks import ignore


class Life:
    """A process that is killed or ends by itself, and starts again after a while."""

    def __init__(self, world: World, redis: FarRedis, name: str) -> None:
        self.world = world
        self.redis = redis
        self.name = name
        self.lives = 0
        self.is_up = False
        self.loop = ProcessLoop(world, redis.connect)
        self.start()

    def start(self) -> None:
        """A new process on what is there."""
        self.lives += 1
        self.loop = ProcessLoop(self.world, self.redis.connect)
        self.world.note(f"| {self.name} starts ({self.lives})")
        self.begin()

    def begin(self) -> None:
        """What it does first."""
        raise NotImplementedError

    def gone(self) -> None:
        """What else is gone with it."""

    def die(self, why: str) -> None:
        """It is gone, in the middle of whatever it did; another one starts after a while."""
        self.world.fault(f"{why} of a {type(self).__name__.lower()}")
        self.over()

    def over(self) -> None:
        """Nothing of this process happens any more."""
        self.is_up = False
        self.loop.is_dead = True
        for connection in self.redis.of(self.loop):
            connection.pipe.hung_up(at_once=False)
        self.gone()
        self.world.at(self.world.between(50, 6_000), self.start)


class Core(Life):
    """One of the two cores of the venue. host: what it knows by now."""

    def __init__(self, world: World, redis: FarRedis, name: str, terms: CoreTerms) -> None:
        self._terms = terms
        super().__init__(world, redis, name)

    def begin(self) -> None:
        """Serve at once; it connects by itself."""
        self.process = CoreProcess(self._terms, self._log)
        self.is_up = True
        self.loop.begin(self._run)

    async def _run(self) -> None:
        await self.process.run()
        self.over()

    def end(self) -> None:
        """SIGTERM."""
        self.world.fault("SIGTERM of a core")
        self.loop.hear(self.process.stop)

    def _log(self, name: str, **fields: Any) -> None:
        self.world.note(f"| {self.name} {name} {fields}")


class NodeProcess(Process):
    """One life of a gateway."""

    def log(self, name: str, **fields: Any) -> None:
        """Into the trace."""
        if name.startswith(("cluster.", "core.", "session.moved")):
            self.home.world.note(f"| {self.home.name} {name} {fields}")
        super().log(name, **fields)


class Node(Life, Doors):
    """A gateway, whatever becomes of its process."""

    def __init__(
        self,
        world: World,
        redis: FarRedis,
        name: str,
        settings: schema.Config,
        policy: Policy,
        directory: Path,
        limits: tuple[SharedStore, Spending],
        on_failed: Callable[[str], None],
    ) -> None:
        self.settings = msgspec.structs.replace(settings, core=msgspec.structs.replace(settings.core, node=name))
        self.began_off_ns = 0
        self.pipes = []
        self.memory = Memory()
        self._policy = policy
        self._directory = directory
        self._store, self._spending = limits
        self._on_failed = on_failed
        super().__init__(world, redis, name)

    def begin(self) -> None:
        """Build the gateway, and have it join the others."""
        self.began_off_ns = self.world.wall.offset_ns
        self.server = NodeProcess(self, self.settings, self._directory, limiting=self._limiting)  # type: ignore[arg-type]
        self.loop.begin(self._join)

    def _limiting(self, _: Any, __: Any, ___: Any, now_ns: Callable[[], int], ____: Any) -> Limits:
        node = f"{self.name}-{self.lives}"
        self.limits = Limits(self.world, self.loop, self._store, self._policy, self._spending, node, now_ns)
        return self.limits

    async def _join(self) -> None:
        server = self.server
        self.turn = server.wire(self.loop)  # type: ignore[arg-type]
        self.limits.limiter.connect(server.wake, self._spending.in_trouble, ignore)
        assert server.link is not None
        await server._join_core(server.link, self.turn)
        server.restore.await_return()
        self.open_doors()
        self.is_up = True
        self.world.note(f"| {self.name} is up")
        server.wake()
        self.loop.call_later(1, self._every_second)

    def _every_second(self) -> None:
        self.server.clock.look()
        self.server.look_after_journal()
        self.loop.call_later(1, self._every_second)

    def die(self, why: str, is_power_loss: bool = False) -> None:
        super().die(why)

    def end(self) -> None:
        """SIGTERM: its sessions go to the others, and nothing is lost."""
        if self.is_up and not self.server.orders.venue.draining:
            self.world.fault("SIGTERM of a node")
            self.loop.begin(self._drain)

    async def _drain(self) -> None:
        server = self.server
        await server.drain()
        for connection in server._open_connections():
            connection.abort()
        assert server.cluster is not None
        assert server.link is not None
        await server.cluster.close()
        await server.link.close()
        self.turn.stop()
        self.over()

    def gone(self) -> None:
        """Clients learn in their time that it is gone."""
        self._spending.gone(self.limits.limiter)
        for pipe in self.pipes:
            pipe.hung_up(at_once=self.world.happens(0.5))
        self.pipes.clear()

    @property
    def trouble(self) -> str:
        """Why it cannot hand over or write, "" = it can."""
        link, cluster = self.server.link, self.server.cluster
        assert link is not None
        assert cluster is not None
        return link.trouble or cluster.why_away

    def failed(self, fields: dict[str, Any]) -> None:
        """It has ended itself."""
        self.world.at(0, self._on_failed, f"{self.name} ended itself: {fields}")  # raised where nobody hides it
