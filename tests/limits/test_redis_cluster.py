"""A real cluster: what happens to a slot or node is the trouble of the accounts that lie there, and of nobody else.

Modules: redis_store, redis_link.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from limits.redis_store import RedisStore
from tests.support.hooks import ignore
from tests.support.limit_trader import Trader, until
from tests.support.redis_cluster import RedisCluster, redis_cluster

PLAN = '[plans.standard]\norders = { rate = "1000/s", burst = 1000 }\n'
LEVELS = PLAN + 'orders_per_instrument = { rate = "4/s", burst = 3 }\n'  # decided in one call with two keys


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    with redis_cluster() as ready:
        yield ready


class Venue:
    """One gateway, and an account on each node."""

    def __init__(self, cluster: RedisCluster, store: RedisStore, plan: str) -> None:
        self.store = store
        self.orders = 0
        self.trader = Trader(store, plan)
        self.limiter = self.trader.limiter
        self.troubled: set[str] = set()
        self.limiter.batcher.on_trouble = lambda key, _: self.troubled.add(key.split("}")[0].removeprefix("gw:{"))
        self.accounts = []
        for node in cluster.nodes:
            self.accounts.append(
                next(name for name in map("A{}".format, range(99)) if cluster.holder(f"gw:{{{name}}}") is node)
            )
        self.paths = {account: self.limiter.open(account, "S") for account in self.accounts}

    async def trade(self, seconds: float) -> dict[str, list[bool]]:
        """Each account trades and cancels, one after the other; what came of the orders."""
        passed: dict[str, list[bool]] = {account: [] for account in self.accounts}
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            await asyncio.gather(*(self._once(account, passed[account]) for account in self.accounts))
            await asyncio.sleep(0.002)
        return passed

    async def _once(self, account: str, passed: list[bool]) -> None:
        path = self.paths[account]
        self.orders = number = self.orders + 1
        while (decision := self.limiter.take(path, "orders", 1000, time.monotonic_ns(), number)).pending:
            await asyncio.sleep(0.001)
        passed.append(decision.allowed)
        assert await self.trader.take("cancels", path)


@asynccontextmanager
async def trading(cluster: RedisCluster, plan: str = PLAN) -> AsyncIterator[Venue]:
    store = RedisStore(cluster.url, 500, on_change=ignore)
    assert await store.open() == []
    try:
        yield Venue(cluster, store, plan)
    finally:
        await store.close()


async def test_a_slot_that_moves_troubles_the_accounts_in_it_at_most(cluster):
    async with trading(cluster, LEVELS) as venue:
        await venue.trade(0.3)
        mine, *others = venue.accounts
        key = f"gw:{{{mine}}}"
        source, target = cluster.begin_move(key)
        for _ in range(10):
            cluster.move_keys(key, source, target, most=1)
            passed = await venue.trade(0.1)
            assert all(all(passed[other]) for other in others)
        cluster.move_keys(key, source, target, most=10_000)
        cluster.end_move(key, target)
        await until(lambda: not venue.limiter.batcher.troubled, venue.limiter)
        assert venue.troubled <= {mine}
        assert not any(venue.store.outages.values())
        passed = await venue.trade(0.2)
        assert all(passed[mine])
        with target.client() as client:
            assert client.hgetall(f"{key}:account::orders")


async def test_a_node_that_dies_takes_its_own_accounts_along_and_gets_them_back(cluster):
    async with trading(cluster) as venue:
        await venue.trade(0.3)
        _, mine, other = venue.accounts
        cluster.nodes[1].kill()
        passed = await venue.trade(1.0)
        assert all(passed[other])
        assert venue.troubled == {mine}
        assert not all(passed[mine])  # its lease, then its share
        assert passed[mine].count(True) > len(passed[mine]) // 2
        cluster.nodes[1].start()
        await until(lambda: not venue.limiter.batcher.troubled, venue.limiter)
        assert all((await venue.trade(0.2))[mine])


async def test_a_cluster_that_is_gone_is_away_like_any_other_store_and_comes_back(cluster):
    async with trading(cluster) as venue:
        await venue.trade(0.2)
        for node in cluster.nodes:
            node.kill()
        await venue.trade(1.0)
        assert venue.store.is_away
        assert venue.store.why.reason in ("connection", "cluster_down")
        for node in cluster.nodes:
            node.start()
        await until(lambda: not venue.store.is_away, venue.limiter)
        await until(lambda: not venue.limiter.batcher.troubled, venue.limiter)
        assert all(all(orders) for orders in (await venue.trade(0.2)).values())
