"""Another gateway, of which there is only its limiter: it spends of the same buckets, owes and dies on its own link."""

from functools import partial
from typing import Any

from limits.policy import Policy
from limits.shared import SharedLimiter
from tests.simulate.far_store import FarStore, SharedStore
from tests.simulate.spending import Spending
from tests.simulate.world import Loop, World
from tests.support.hooks import ignore

NODES = 2  # gateways in all
_TICK_S = 0.02
_ACCOUNTS = ("ALPHA", "BETA")


class Neighbour:
    """Its lives, one after the other."""

    def __init__(self, world: World, store: SharedStore, policy: Policy, spending: Spending) -> None:
        self._world = world
        self._store = store
        self._policy = policy
        self._spending = spending
        self._lives = 0
        self.is_quiet = False  # asks for nothing new any more
        self.start()
        world.at(world.between(50, 400), self._act)

    def start(self) -> None:
        """A new process."""
        self._lives += 1
        loop = self._loop = Loop(self._world)
        node = f"other-{self._lives}"
        self.link = FarStore(self._world, loop, self._store, node)
        self.limiter: Any = SharedLimiter(
            self._policy, self.link, node, NODES, lambda: self._world.now_ns, loop.call_soon
        )
        self._spending.watch(self.limiter, node)
        self._paths = [self.limiter.open(account, f"{account}-other") for account in _ACCOUNTS]
        self._wanted: list[Any] = []  # those that wait for tokens
        self.limiter.connect(partial(loop.call_soon, self._retry), self._spending.in_trouble, ignore)
        loop.call_later(_TICK_S, self._tick)

    def die(self) -> None:
        """It is killed, and another one starts."""
        self._world.fault("the other gateway is killed")
        self._loop.is_dead = True
        self._spending.gone(self.limiter)
        self.start()

    def _tick(self) -> None:
        self._loop.call_later(_TICK_S, self._tick)
        self.limiter.tick(self._world.now_ns)

    def _act(self) -> None:
        self._world.at(self._world.between(5, 200), self._act)
        if not self.is_quiet and len(self._wanted) < 8:
            path = self._world.random.choice(self._paths)
            self._wanted += [path] * self._world.random.choice((1, 1, 2, 6))
            self._retry()

    def _retry(self) -> None:
        now_ns = self._world.now_ns
        self._wanted = [path for path in self._wanted if self.limiter.take(path, "orders", 1_000, now_ns).pending]


class Limits:
    """As much of `limiting.service.Limiting` as a server needs, over the world's store; what it admits is watched."""

    def __init__(
        self, world: World, loop: Loop, store: SharedStore, policy: Policy, spending: Spending, node: str, now_ns: Any
    ) -> None:
        self.store = FarStore(world, loop, store, node)
        self.limiter: Any = SharedLimiter(policy, self.store, node, NODES, now_ns, loop.call_soon)
        self.timed = (self.limiter,)
        spending.watch(self.limiter, node)

    def register(self, _: Any) -> None:
        """Nobody scrapes."""
