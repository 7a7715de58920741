"""The store on a real server, with everything that can happen to one, and the breaker in virtual time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from redis.exceptions import RedisError

from limits.bucket import MILLI
from limits.overrides import Override
from limits.redis_desk import Desk
from limits.redis_store import RedisStore, StoreUnsuitable
from limits.store import Answer, Batch, BucketState, Outcome, Terms, Trouble
from tests.support.fault_proxy import fault_proxy
from tests.support.hooks import ignore
from tests.support.limit_trader import PLAN, Trader, until
from tests.support.redis_server import RedisServer, redis_server
from tests.support.shared_limits import policy_of
from tests.support.virtual_loop import run_virtual

KEY = "gw:{A}:account::orders"
KEY_OF_PROBES = "gw:{probe}:"
BATCH = Batch([Terms(1, 1, 10_000, 200)], [], [[MILLI, 0]])


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    with shared_server.client() as client:
        client.flushall()
    return shared_server


async def call(store: RedisStore, batch: Batch = BATCH, key: str = KEY) -> Outcome:
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    store.call([key], batch, done.set_result)
    return await done


async def answered(store: RedisStore, batch: Batch = BATCH, key: str = KEY) -> Answer:
    outcome = await call(store, batch, key)
    assert isinstance(outcome, Answer), outcome
    return outcome


_PATIENT_MS = 2_000  # where no time-out is tried, a busy machine must not make one


@asynccontextmanager
async def store_at(
    url: str, timeout_ms: int = _PATIENT_MS, on_change: Callable[[bool], None] = ignore
) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, timeout_ms, on_change=on_change)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def until_back(store: RedisStore) -> None:
    async with asyncio.timeout(10):
        while store.is_away:
            await asyncio.sleep(0.01)


# -- the ordinary case -------------------------------------------------------------------------------------------------


async def test_a_call_is_answered(server):
    async with store_at(server.unix_url) as store:
        answer = await answered(store)
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
        answer = await answered(store)
        assert answer.taken[0].wait_us == 0
        assert not any(store.outages.values())


async def test_one_byte_at_a_time_is_only_slow(server):
    async with fault_proxy(server.port) as proxy, store_at(proxy.url) as store:
        proxy.sliced = True
        await answered(store)


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
        store = RedisStore(evicting.unix_url, on_change=ignore)
        with pytest.raises(StoreUnsuitable, match="allkeys-lru"):
            await store.open()
        with evicting.client() as other:  # nobody else is connected any more
            await until(lambda: len(other.client_list()) == 1)


async def test_where_the_policy_cannot_be_asked_it_is_a_warning():
    with redis_server("--rename-command", "CONFIG", "") as managed:
        store = RedisStore(managed.unix_url, _PATIENT_MS, on_change=ignore)
        assert await store.open() == ["maxmemory-policy cannot be asked here; it must be noeviction"]
        await answered(store)
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
            assert not any(store.outages.values())


async def test_the_rights_that_the_manual_lists_are_enough():
    with redis_server() as own, own.client() as client:
        rights = "+evalsha +eval +hgetall +hset +hdel +pexpire +time +info +config|get +xadd +xrevrange +scan"
        client.execute_command("ACL", "SETUSER", "limits", "on", ">pw", "~gw:*", "-@all", *rights.split())
        url = f"redis://limits:pw@127.0.0.1:{own.port}/0"
        async with store_at(url, 500) as store:
            assert await Trader(store).take()
            assert store.warnings == []
        desk = Desk(url)
        assert await desk.number_load() < await desk.number_load()
        await desk.put(Override("ACME", "orders", await desk.now_s() + 9, "why", "who", burst=1))
        assert len(await desk.overrides()) == len(await desk.audit(9)) == len(await desk.buckets("ACME")) == 1
        await desk.drop("ACME", "orders", "who", "over")
        await desk.close()


# -- faults ------------------------------------------------------------------------------------------------------------


async def test_a_store_that_is_not_there_at_start_is_probed_for():
    with redis_server() as late:
        late.kill()
        store = RedisStore(late.url, on_change=ignore)
        warnings = await store.open()
        assert "cannot be reached" in warnings[0]
        assert await call(store) is None
        late.start()
        await until_back(store)
        await answered(store)
        await store.close()


async def test_a_store_that_turns_out_to_evict_keys_is_never_used():
    with redis_server("--maxmemory-policy", "allkeys-lru") as late:
        late.kill()
        store = RedisStore(late.url, on_change=ignore)
        await store.open()
        late.start()
        await asyncio.sleep(0.6)
        assert store.is_away
        assert store.warnings == ["maxmemory-policy is allkeys-lru, so this store is not used"]
        await store.close()


async def test_a_silent_store_stalls_one_decision_for_its_time_out_and_then_nobody(server):
    async with fault_proxy(server.port) as proxy, store_at(proxy.url, 50) as store:
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
    async with fault_proxy(server.port) as proxy, store_at(proxy.url, 50) as store:
        await answered(store)
        proxy.refusing = True
        proxy.cut()
        began = time.perf_counter()
        assert await call(store) is None
        assert await call(store) is None
        assert time.perf_counter() - began < 1
        assert (store.is_away, store.outages["connection"], store.why.reason) == (True, 1, "connection")
        proxy.refusing = False
        await until_back(store)
        await answered(store)


async def test_a_restart_that_loses_everything_fills_no_bucket_again():
    with redis_server() as own:
        store = RedisStore(own.url, on_change=ignore)
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


class Fault(msgspec.Struct):
    """What an operator or a failover does to a store, how it is undone, and what it must be called."""

    reason: str
    text: str
    begin: tuple[object, ...]
    end: tuple[object, ...]


FAULTS = [
    Fault("read_only", "READONLY", ("REPLICAOF", "127.0.0.1", 1), ("REPLICAOF", "NO", "ONE")),
    Fault("out_of_memory", "OOM", ("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0)),
    Fault(
        "no_permission",
        "evalsha",
        ("ACL", "SETUSER", "default", "-evalsha"),
        ("ACL", "SETUSER", "default", "+evalsha"),
    ),
    Fault("no_permission", "hset", ("ACL", "SETUSER", "default", "-hset"), ("ACL", "SETUSER", "default", "+hset")),
    Fault(
        "no_replicas",
        "NOREPLICAS",
        ("CONFIG", "SET", "min-replicas-to-write", 1),
        ("CONFIG", "SET", "min-replicas-to-write", 0),
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.reason} {fault.text}")
async def test_a_store_that_takes_no_writes_is_away_until_it_does_and_says_why(fault):
    with redis_server() as sick, sick.client() as client:
        told: list[object] = []
        store = RedisStore(
            sick.unix_url, 500, on_change=lambda is_away: told.append((is_away, store.why and store.why.reason))
        )
        await store.open()
        told.clear()
        trader = Trader(store)
        assert await trader.take()
        client.execute_command(*fault.begin)
        assert await call(store) is None
        assert store.is_away
        assert fault.text in store.why.text
        assert store.outages[fault.reason] == sum(store.outages.values()) == 1
        assert all([await trader.take("cancels") for _ in range(600)])
        await asyncio.sleep(0.6)
        assert told == [(True, fault.reason)]  # the probe does not take it for well
        client.execute_command(*fault.end)
        await until_back(store)
        assert told == [(True, fault.reason), (False, None)]
        assert await trader.take()
        await store.close()


async def test_a_reason_that_changes_is_told_again(server):
    told: list[object] = []
    async with (
        fault_proxy(server.port) as proxy,
        store_at(proxy.url, 50, lambda _: told.append(store.why and store.why.reason)) as store,
    ):
        told.clear()
        await answered(store)
        proxy.silent = True
        assert await call(store) is None
        proxy.refusing = True
        proxy.cut()
        await until(lambda: told[-1:] == ["connection"])
        proxy.silent = proxy.refusing = False
        await until_back(store)
        assert told == ["timeout", "connection", None]


async def test_a_wrong_password_is_named_and_not_told():
    with redis_server() as locked, locked.client() as client:
        client.config_set("requirepass", "right")
        store = RedisStore(f"redis://:s3cr3t@127.0.0.1:{locked.port}/0", on_change=ignore)
        (warning,) = await store.open()
        assert "wrong_password: WRONGPASS" in warning
        assert "s3cr3t" not in warning
        assert store.why.reason == "wrong_password"
        await store.close()


# -- one bucket, not the store -----------------------------------------------------------------------------------------


OTHER = "gw:{B}:account::orders"
BAD_FIELDS = {"level": "nonsense", "as_of": "1", "plan": "1 1 10000 200"}


async def test_a_key_that_cannot_be_used_is_no_outage(server):
    async with store_at(server.unix_url) as store:
        with server.client() as client:
            client.set(KEY, "x")
        outcome = await call(store)
        assert isinstance(outcome, Trouble)
        assert (outcome.reason, outcome.is_undone) == ("wrong_type", True)
        with server.client() as client:
            client.delete(KEY)
            client.hset(KEY, mapping=BAD_FIELDS)
        outcome = await call(store)
        assert isinstance(outcome, Trouble)
        assert (outcome.reason, outcome.is_undone) == ("refused", True)
        await answered(store, key=OTHER)
        assert not any(store.outages.values())


async def test_a_call_that_ends_as_trouble_has_done_nothing(server):
    both = Batch([Terms(1, 1, 10_000, 200)] * 2, [], [[MILLI, 0], [MILLI, 1]])
    async with store_at(server.unix_url) as store:
        with server.client() as client:
            client.set(KEY, "x")
            done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            store.call([OTHER, KEY], both, done.set_result)
            assert isinstance(await done, Trouble)
            assert not client.exists(OTHER)


async def test_a_key_that_the_user_may_not_use_is_no_outage():
    with redis_server() as own, own.client() as client:
        store = RedisStore(own.unix_url, _PATIENT_MS, on_change=ignore)
        await store.open()
        client.execute_command("ACL", "SETUSER", "default", "resetkeys", "~gw:{B}*", "~gw:{probe}*")
        outcome = await call(store)
        assert isinstance(outcome, Trouble)
        assert (outcome.reason, outcome.is_undone) == ("no_permission", True)
        await answered(store, key=OTHER)
        assert not any(store.outages.values())
        await store.close()


@pytest.mark.parametrize("name", ["orders", "queries"])
async def test_a_trader_whose_bucket_is_odd_goes_on_with_its_share_and_the_others_as_ever(server, name):
    async with store_at(server.unix_url) as store:
        trader = Trader(store)
        other = trader.limiter.open("OTHER", "S")
        with server.client() as client:
            client.set(f"gw:{{ACME}}:account::{name}", "x")
        until_s = time.monotonic() + 1.2
        admitted = 0
        while time.monotonic() < until_s:
            admitted += await trader.take(name)
            assert await trader.take("cancels")
            await asyncio.sleep(0.01)  # of cancels fewer than the burst, however quick the machine
        assert admitted > 0
        assert await trader.take(name, other)
        assert trader.limiter.batcher.troubled == 1
        assert not any(store.outages.values())
        with server.client() as client:
            client.delete(f"gw:{{ACME}}:account::{name}")
        await until(lambda: not trader.limiter.batcher.troubled, trader.limiter)


async def test_a_store_whose_clock_was_ahead_bars_orders_while_their_bucket_would_fill_and_cancels_not_at_all(server):
    """As if the server's clock had been ten minutes ahead for a moment: its times are in the buckets."""
    async with store_at(server.unix_url, 500) as store:
        limits = 'orders = { rate = "1000/s", burst = 500 }\ncancels = { rate = "1000/s", burst = 100 }'
        trader = Trader(store, f"[plans.standard]\n{limits}")
        for _ in range(200):
            assert await trader.take()
            await trader.take("cancels")
        with server.client() as client:
            seconds, _ = client.time()
            for key in client.keys("gw:{ACME}:*"):
                client.hset(key, "as_of", (seconds + 600) * 1_000_000)
                client.persist(key)
        began_s = time.monotonic()
        while time.monotonic() < began_s + 2:
            await trader.take()
            assert await trader.take("cancels")
            await asyncio.sleep(0.002)
        assert trader.limiter.batcher.pulled == 2
        assert await trader.take()


async def test_whatever_a_call_ends_with_somebody_is_told():
    class Broken(DeafClient):
        async def evalsha(self, *_: object) -> bytes:
            raise RuntimeError("our own mistake, or that of a library")

    store = RedisStore("redis://nowhere", on_change=ignore)
    store._client, store._is_examined, store.is_away = Broken(), True, False
    assert await call(store) is None
    assert (store.is_away, store.why.reason) == (True, "connection")
    await store.close()


@pytest.mark.parametrize(
    "answer", [b"", b"\xc0", Answer(0, [], [], []), Answer(0, [], [], [BucketState(0, 0, 0, 0)] * 2)]
)
async def test_an_answer_that_is_none_is_an_outage(answer):
    class Odd(DeafClient):
        async def evalsha(self, *_: object) -> bytes:
            return answer if isinstance(answer, bytes) else msgspec.msgpack.encode(answer)

    store = RedisStore("redis://nowhere", on_change=ignore)
    store._client, store._is_examined, store.is_away = Odd(), True, False
    assert await call(store) is None
    assert (store.is_away, store.why.reason) == (True, "nonsense")
    await store.close()


async def test_a_pause_of_all_clients_is_an_outage_like_any_other(server):
    async with store_at(server.unix_url, 50) as store:
        with server.client() as client:
            client.client_pause(300)
        assert await call(store) is None
        assert store.timeouts == 1
        await until_back(store)
        await answered(store)


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

    async def evalsha(self, _: str, __: int, key: str, *___: object) -> bytes:
        if key == KEY_OF_PROBES:
            self.probes += 1
        else:
            self.calls += 1
        if not self.well:
            await self._hang()
        return msgspec.msgpack.encode(Answer(0, [], [], [BucketState(0, 0, 0, 0)]))

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
        store = RedisStore("redis://nowhere", on_change=ignore)
        store._client, store._is_examined, store.is_away = client, True, False
        loop = asyncio.get_running_loop()
        waits = []

        async def one(key: str) -> None:
            began = loop.time()
            async with asyncio.timeout(10):
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
