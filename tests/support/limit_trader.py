"""One node's limiter on a real store, used as the road uses it: whoever must wait is asked again when answers came."""

import asyncio
import time
from collections.abc import Callable

from limits.bucket import MILLI
from limits.redis_store import RedisStore
from limits.shared import SharedLimiter
from tests.support.hooks import ignore
from tests.support.shared_limits import policy_of

PLAN = '[plans.standard]\norders = { rate = "1000/s", burst = 1000 }\nqueries = { rate = "2/s", burst = 3 }'


async def until(is_so: Callable[[], bool], ticking: SharedLimiter | None = None) -> None:
    """Wait for something to be so, with a limiter's housekeeping if it is one's own."""
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.01)
            if ticking is not None:
                ticking.tick(time.monotonic_ns())


class Trader:
    """One node's limiter on a store, used as the road uses it."""

    def __init__(self, store: RedisStore, text: str = PLAN, nodes: int = 1, name: str = "n") -> None:
        loop = asyncio.get_running_loop()
        self.limiter = SharedLimiter(policy_of(text), store, name, nodes, time.monotonic_ns, loop.call_soon)
        self._ready = asyncio.Event()
        self.limiter.connect(self._ready.set, ignore, ignore)
        self.path = self.limiter.open("ACME", "S")
        self.longest_s = 0.0
        self.waits = 0

    async def take(self, name: str = "orders", path: object = None) -> bool:
        began = time.perf_counter()
        self.limiter.tick(time.monotonic_ns())
        while (decision := self.limiter.take(path or self.path, name, MILLI, time.monotonic_ns())).pending:
            self.waits += 1
            self._ready.clear()
            await self._ready.wait()
        self.longest_s = max(self.longest_s, time.perf_counter() - began)
        return decision.allowed
