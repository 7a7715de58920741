"""A venue of two gateways and two cores in the world. Clients connect to either gateway, as chance has it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.config import schema
from gateway.config.load import build_instruments
from gateway.core.engine import Engine
from gateway.remote.core_process import CoreTerms
from gateway.remote.keys import Keys
from gateway.remote.pipe import Address
from limits.policy import Policy
from tests.simulate.cluster.far_redis import FarRedis
from tests.simulate.cluster.node import Core, Life, Node
from tests.simulate.far_store import SharedStore
from tests.simulate.pipes import End, Pipe
from tests.simulate.spending import Spending
from tests.simulate.world import Broken, World

NODES = "a", "b"


class ClusterVenue:
    """All processes of it."""

    def __init__(self, world: World, settings: schema.Config, policy: Policy, directory: Path) -> None:
        self.world = world
        self.is_calm = False
        self.redis = FarRedis(world)
        spending = Spending(world, policy)
        limits = SharedStore(world, spending), spending
        instruments = tuple(build_instruments(settings).by_id.values())
        self.cores = []
        for name in ("core-1", "core-2"):
            home = directory / name
            home.mkdir()
            terms = CoreTerms(
                Keys(settings.core.prefix), Address(), instruments, settings.core.dedupe_ids,
                settings.stream.retain_events, home,
            )  # fmt: skip
            self.cores.append(Core(world, self.redis, name, terms))
        self.nodes = [
            Node(world, self.redis, name, settings, policy, directory, limits, self._failed) for name in NODES
        ]

    def _failed(self, why: str) -> None:
        raise Broken(f"14: {why}")

    @property
    def processes(self) -> list[Life]:
        """Gateways and cores."""
        return [*self.nodes, *self.cores]

    @property
    def lives(self) -> int:
        """Processes that there were."""
        return sum(each.lives for each in self.processes) + self.redis.redis.history

    @property
    def lets_in(self) -> bool:
        """Whether nothing keeps a client out."""
        return self.redis.is_up and all(
            node.is_up and node.lets_in and not (node.loop.is_still or node.trouble) for node in self.nodes
        )

    @property
    def engine(self) -> Engine:
        """What the core that is furthest has."""
        return max(self.cores, key=lambda core: core.process.host.position).process.host.engine

    # -- its doors -----------------------------------------------------------------------------------------------

    def connect_fix(self, client: End) -> Pipe | None:
        """A connection to the FIX door of a gateway."""
        return self._connect(lambda node: node.connect_fix(client))

    def connect_ws(self, client: End) -> Pipe | None:
        """A connection to the WebSocket door of a gateway."""
        return self._connect(lambda node: node.connect_ws(client))

    def _connect(self, connect: Callable[[Node], Pipe | None]) -> Pipe | None:
        """The address leads to a gateway that is up."""
        up = [node for node in self.nodes if node.is_up and not node.server.orders.venue.draining]
        return connect(self.world.random.choice(up)) if up else None

    def close(self) -> None:
        """The world ends."""
        for each in self.processes:
            each.loop.is_dead = True


Act = Callable[[World, ClusterVenue, Any], None]
