"""The store on a real server, with everything that can happen to one, and the breaker in virtual time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import RedisError

from limits.limiter import ALLOWED, MILLI
from limits.redis_store import RedisStore, StoreUnsuitable
from limits.shared import SharedLimiter
from limits.store import Answer, Batch, Terms
from tests.support.fault_proxy import fault_proxy
from tests.support.redis_server import RedisServer, redis_server
from tests.support.shared_limits import policy_of
from tests.support.virtual_loop import run_virtual

KEY = "gw:{A}:account::orders"
BATCH = Batch([Terms(1, 1, 10_000, 200)], [], [[MILLI, 0]])
PLAN = '[plans.standard]\norders = { rate = "1000/s", burst = 1000 }\nqueries = { rate = "2/s", burst = 3 }'


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    with shared_server.client() as client:
        client.flushall()
    return shared_server


async def call(store: RedisStore, batch: Batch = BATCH, key: str = KEY) -> Answer | None:
    done: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
    store.call([key], batch, done.set_result)
    return await done


@asynccontextmanager
async def store_at(url: str, timeout_ms: int = 50) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, timeout_ms)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def until_back(store: RedisStore) -> None:
    async with asyncio.timeout(10):
        while store.is_away:
            await asyncio.sleep(0.01)


class Trader:
    """One node's limiter on a store, used as the road uses it."""

    def __init__(self, store: RedisStore, text: str = PLAN, nodes: int = 1, name: str = "n") -> None:
        loop = asyncio.get_running_loop()
        self.limiter = SharedLimiter(policy_of(text), store, name, nodes, time.monotonic_ns, loop.call_soon)
        self._ready = asyncio.Event()
        self.limiter.on_ready(self._ready.set)
        self.path = self.limiter.open("ACME", "S")
        self.longest_s = 0.0
        self.waits = 0

    async def take(self, name: str = "orders") -> bool:
        began = time.perf_counter()
        while (decision := self.limiter.take(self.path, name, MILLI, time.monotonic_ns())).pending:
            self.waits += 1
            self._ready.clear()
            await self._ready.wait()
        self.longest_s = max(self.longest_s, time.perf_counter() - began)
        return decision is ALLOWED


# -- the ordinary case -------------------------------------------------------------------------------------------------


async def test_a_call_is_answered(server):
    async with store_at(server.unix_url) as store:
        answer = await call(store)
    assert answer is not None
    assert answer.taken[0].wait_us == 0
    assert answer.states[0].level_milli == 199_000


async def test_leases_and_strict_decisions_work_on_a_real_server(server):
    async with store_at(server.unix_url) as store:
        trader = Trader(store)
        assert sum([await trader.take() for _ in range(100)]) == 100
        assert [await trader.take("queries") for _ in range(4)] == [True, True, True, False]
        trader.limiter.close()
    with server.client() as client:
        assert b"level" in client.hgetall("gw:{ACME}:account::orders")


async def test_a_script_flush_costs_nothing(server):
    async with store_at(server.unix_url) as store:
        await call(store)
        with server.client() as client:
            client.script_flush()
        answer = await call(store)
        assert answer is not None
        assert answer.taken[0].wait_us == 0
        assert not store.outages


async def test_one_byte_at_a_time_is_only_slow(server):
    async with fault_proxy(server.port) as proxy, store_at(proxy.url, 2_000) as store:
        proxy.sliced = True
        assert await call(store) is not None


async def test_a_store_far_away_stalls_only_the_first(server):
    async with fault_proxy(server.port) as proxy:
        proxy.delay_s = 0.025  # each way
        async with store_at(proxy.url, 500) as store:
            trader = Trader(store)
            await trader.take()
            trader.waits = 0
            for _ in range(400):
                await trader.take()
                await asyncio.sleep(0.002)
            assert trader.waits <= 4


# -- suitability -------------------------------------------------------------------------------------------------------


async def test_a_store_that_evicts_keys_is_refused():
    with redis_server("--maxmemory-policy", "allkeys-lru") as evicting:
        store = RedisStore(evicting.unix_url)
        with pytest.raises(StoreUnsuitable, match="allkeys-lru"):
            await store.open()
        await store.close()


async def test_where_the_policy_cannot_be_asked_it_is_a_warning():
    with redis_server("--rename-command", "CONFIG", "") as managed:
        store = RedisStore(managed.unix_url)
        assert await store.open() == ["maxmemory-policy cannot be asked here; it must be noeviction"]
        assert await call(store) is not None
        await store.close()


async def test_a_cluster_is_noticed_and_asked_slot_by_slot():
    with redis_server("--cluster-enabled", "yes") as node:
        with node.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                await asyncio.sleep(0.01)
        async with store_at(node.url, 500) as store:
            assert store.is_cluster
            trader = Trader(store, PLAN + '\n[venue]\norders = { rate = "1000/s", burst = 1000 }')
            assert sum([await trader.take() for _ in range(50)]) == 50
            assert [await trader.take("queries") for _ in range(4)] == [True, True, True, False]
            assert not store.outages


# -- faults ------------------------------------------------------------------------------------------------------------


async def test_a_store_that_is_not_there_at_start_is_probed_for():
    with redis_server() as late:
        late.kill()
        store = RedisStore(late.url)
        warnings = await store.open()
        assert "cannot be reached" in warnings[0]
        assert await call(store) is None
        late.start()
        await until_back(store)
        assert await call(store) is not None
        await store.close()


async def test_a_store_that_turns_out_to_evict_keys_is_never_used():
    with redis_server("--maxmemory-policy", "allkeys-lru") as late:
        late.kill()
        store = RedisStore(late.url)
        await store.open()
        late.start()
        await asyncio.sleep(0.6)
        assert store.is_away
        assert store.warnings == ["maxmemory-policy is allkeys-lru, so this store is not used"]
        await store.close()


async def test_a_silent_store_stalls_one_decision_for_its_time_out_and_then_nobody(server):
    async with fault_proxy(server.port) as proxy, store_at(proxy.url) as store:
        trader = Trader(store)
        assert await trader.take()
        proxy.silent = True
        for _ in range(300):
            await trader.take()
            await trader.take("queries")
            await asyncio.sleep(0.001)
        assert store.timeouts == 1
        assert 0.045 < trader.longest_s < 1  # exactly the time-out in virtual time, below
        trader.waits = 0
        for _ in range(300):
            await trader.take()
            assert await trader.take("cancels")
        assert trader.waits == 0
        proxy.silent = False
        proxy.cut()
        await until_back(store)
        assert await trader.take()


async def test_connections_that_are_cut_or_refused_open_the_breaker_at_once(server):
    async with fault_proxy(server.port) as proxy, store_at(proxy.url) as store:
        assert await call(store) is not None
        proxy.refusing = True
        proxy.cut()
        began = time.perf_counter()
        assert await call(store) is None
        assert await call(store) is None
        assert time.perf_counter() - began < 1
        assert (store.is_away, store.outages) == (True, 1)
        proxy.refusing = False
        await until_back(store)
        assert await call(store) is not None


async def test_a_restart_that_loses_everything_fills_no_bucket_again():
    with redis_server() as own:
        store = RedisStore(own.url)
        await store.open()
        trader = Trader(store, '[plans.standard]\norders = { rate = "1/min", burst = 100 }\ncancels = {burst=5000}')
        assert sum([await trader.take() for _ in range(120)]) == 100
        own.kill()
        await trader.take("cancels")
        own.start()
        await until_back(store)
        for _ in range(5):
            await asyncio.sleep(0.02)
            assert not await trader.take()
        await store.close()


async def test_a_flush_fills_no_bucket_again(server):
    async with store_at(server.unix_url) as store:
        trader = Trader(store, '[plans.standard]\norders = { rate = "1/min", burst = 3 }')
        assert [await trader.take() for _ in range(4)] == [True, True, True, False]
        with server.client() as client:
            client.flushall()
        trader.limiter.apply(policy_of('[plans.standard]\norders = { rate = "2/min", burst = 3 }', 3), 0)
        assert not await trader.take()


@pytest.mark.parametrize("fault", ["read-only", "out of memory"])
async def test_a_store_that_takes_no_writes_is_away_until_it_does(fault):
    with redis_server() as sick, sick.client() as client:
        store = RedisStore(sick.unix_url)
        await store.open()
        trader = Trader(store)
        assert await trader.take()
        if fault == "read-only":
            client.replicaof("127.0.0.1", 1)
        else:
            client.config_set("maxmemory", 1)
        assert await call(store) is None
        assert store.is_away
        assert all([await trader.take("cancels") for _ in range(600)])
        await asyncio.sleep(0.6)
        assert store.is_away
        if fault == "read-only":
            client.replicaof("NO", "ONE")
        else:
            client.config_set("maxmemory", 0)
        await until_back(store)
        assert await trader.take()
        await store.close()


async def test_a_pause_of_all_clients_is_an_outage_like_any_other(server):
    async with store_at(server.unix_url) as store:
        with server.client() as client:
            client.client_pause(300)
        assert await call(store) is None
        assert store.timeouts == 1
        await until_back(store)
        assert await call(store) is not None


# -- the breaker in virtual time ---------------------------------------------------------------------------------------


class DeafClient:
    """A Redis that took the call and never answers; `well` = it does."""

    def __init__(self) -> None:
        self.well = False
        self.calls = self.probes = 0
        self.waited_s: list[float] = []
        self.connection_pool = self

    async def disconnect(self) -> None:
        return None

    async def evalsha(self, *_: object) -> bytes:
        self.calls += 1
        await self._hang()
        return b""

    async def set(self, *_: object, **__: object) -> None:
        self.probes += 1
        if not self.well:
            await self._hang()

    async def script_load(self, _: str) -> str:
        return "sha"

    async def aclose(self) -> None:
        raise RedisError("never mind")

    async def _hang(self) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await asyncio.Event().wait()
        finally:
            self.waited_s.append(asyncio.get_running_loop().time() - began)


def test_of_an_outage_one_time_out_is_felt_and_afterwards_no_call_waits():
    client = DeafClient()

    async def outage() -> None:
        store = RedisStore("redis://nowhere")
        store._client, store._is_examined, store.is_away = client, True, False
        loop = asyncio.get_running_loop()
        waits = []

        async def one(key: str) -> None:
            began = loop.time()
            assert await call(store, key=key) is None
            waits.append(loop.time() - began)

        await asyncio.gather(*(one(f"gw:{{{slot}}}:account::orders") for slot in range(20)))
        assert store.timeouts == 1
        assert max(waits) == pytest.approx(0.05)
        waits.clear()
        for _ in range(1_000):
            await one(KEY)
            await asyncio.sleep(0.001)
        assert max(waits) == 0
        assert client.calls == 20
        assert 1 <= client.probes <= 4
        client.well = True
        await asyncio.sleep(1)
        assert not store.is_away
        await store.close()

    run_virtual(outage())
