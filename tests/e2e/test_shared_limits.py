"""Limits kept in a real store, as clients meet them: one plan over two gateways, and what happens when it is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from gateway.server import Server
from gateway.telemetry.metrics import METRICS
from limits.overrides import Override
from limits.redis_desk import Desk
from limits.store import StoreUnsuitable
from tests.support.desks import FixDesk, fix_desk, ws_desk
from tests.support.redis_server import RedisServer, redis_server
from tests.support.server import running, until, venue_toml

PLAN = """
version = 7
[plans.open]
orders = {{ rate = "{rate}", burst = {burst}, on_store_loss = "{loss}" }}
cancels = {{ rate = "1000/s", burst = 1000 }}
queries = {{ rate = "1000/s", burst = 1000 }}
msgs = {{ rate = "10000/s", burst = 10000 }}
logons = {{ rate = "1000/s", burst = 1000 }}
{more}
[assign]
default = "open"
"""


@pytest.fixture
def store() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def plan(rate: str = "1/h", burst: int = 10, loss: str = "safe", more: str = "") -> str:
    return PLAN.format(rate=rate, burst=burst, loss=loss, more=more)


@asynccontextmanager
async def gateway(store: RedisServer, limits: str, nodes: int = 1) -> AsyncIterator[Server]:
    # The time-out is far above what a busy machine may keep a process waiting: outages here are made, not met.
    knobs = f'redis = "{store.unix_url}"\nnodes = {nodes}\nstore_timeout_ms = 1000'
    venue = venue_toml().replace('file = "limits.toml"', f'file = "limits.toml"\n{knobs}')
    async with running(venue, limits=limits) as server:
        yield server


@asynccontextmanager
async def operators_of(store: RedisServer) -> AsyncIterator[Desk]:
    desk = Desk(store.unix_url)
    try:
        yield desk
    finally:
        await desk.close()


def place_many(desk: FixDesk, ids: list[str]) -> None:
    for each in ids:
        desk.client.place(each, "BTC-USDT", "1", "1", "60000")


async def answers(desk: FixDesk, ids: list[str]) -> list[str]:
    """The order ids that were accepted; all have their answer."""
    reports = [await desk.ear.expect({35: "8", 11: each}) for each in ids]
    return [each for each, report in zip(ids, reports, strict=True) if report[150] == "0"]


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


async def test_two_gateways_admit_one_plan_together(store: RedisServer) -> None:
    """
    A: D x 60 -> gateway 1, D x 60 -> gateway 2, burst 50 and nothing more for an hour
    admitted on both together: 50, less what a lease holds back
    """
    limits = plan(burst=50)
    async with (
        gateway(store, limits, 2) as one,
        gateway(store, limits, 2) as two,
        fix_desk(one.ports["fix"], "ALPHA") as left,
        fix_desk(two.ports["fix"], "ALPHA") as right,
    ):
        left_ids, right_ids = names("l", 60), names("r", 60)
        place_many(left, left_ids)
        place_many(right, right_ids)
        admitted = len(await answers(left, left_ids)) + len(await answers(right, right_ids))
    assert 25 <= admitted <= 50


async def test_a_bucket_too_small_to_lease_is_exact_and_answers_come_in_order(store: RedisServer) -> None:
    async with gateway(store, plan(burst=3)) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        ids = names("a", 8)
        place_many(desk, ids)
        assert await answers(desk, ids) == ids[:3]
        assert desk.client.next_in == 10
        assert server.orders.is_idle


async def test_a_cancel_behind_an_order_that_waits_for_its_tokens_comes_after_it(store: RedisServer) -> None:
    async with gateway(store, plan(burst=3)) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        place_many(desk, ["a-1"])
        desk.client.cancel("a-2", "a-1", "BTC-USDT", "1")
        await desk.expect("8", {11: "a-1", 150: "0"})
        await desk.expect("8", {11: "a-2", 150: "4"})


async def test_a_refused_order_names_the_limit_and_the_time(store: RedisServer) -> None:
    async with gateway(store, plan("1/min", 2)) as server, ws_desk(server.ports["ws"], "BETA") as desk:
        await desk.place("b-1", "buy", "1", "60000")
        await desk.place("b-2", "buy", "1", "60000")
        order = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "60000", "qty": "1", "cl_ord_id": "b-3"}
        error = await desk.refusal("order.place", order)
        assert error["code"] == 3001
        assert 50_000 < int(str(error["retry_after_ms"])) <= 60_000


async def test_orders_withdrawn_by_a_drain_give_their_tokens_back_at_the_store(store: RedisServer) -> None:
    async with gateway(store, plan(burst=40)) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        place_many(desk, ["a-1"])
        await desk.expect("8", {11: "a-1", 150: "0"})
    with store.client() as client:
        (key,) = client.keys("gw:{ALPHA}:*orders")
        state = client.hgetall(key)
    period_us = int(state[b"plan"].split()[2])
    assert int(state[b"level"]) // period_us == 39  # the lease was handed back; one token was spent


async def test_a_store_that_dies_delays_one_answer_and_no_more(store: RedisServer) -> None:
    """While it is away: this node's share for `safe`, nothing for `deny`, and cancels always pass."""
    async with gateway(store, plan("20/s", 3, "deny")) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        place_many(desk, ["a-1"])
        await desk.expect("8", {11: "a-1", 150: "0"})
        store.kill()
        place_many(desk, ["a-2"])
        refused = await desk.expect("8", {11: "a-2", 150: "8"})
        assert refused[25016] == "3001"
        desk.client.cancel("a-3", "a-1", "BTC-USDT", "1")
        await desk.expect("8", {11: "a-3", 150: "4"})
        store.start()
        ids = names("b", 200)
        for each in ids:  # until the probe has found it
            place_many(desk, [each])
            if (await desk.ear.expect({35: "8", 11: each}))[150] == "0":
                break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError("the store is back and nothing passes")


async def test_an_operators_override_acts_within_a_second_and_ends_by_itself(store: RedisServer) -> None:
    async with (
        gateway(store, plan("1/h", 5)) as server,
        fix_desk(server.ports["fix"], "ALPHA") as desk,
        operators_of(store) as operators,
    ):

        async def put(seconds: int) -> None:
            until_s = await operators.now_s() + seconds
            await operators.put(Override("ALPHA", "orders", until_s, "a flood", "olga", rate="1/h", burst=1))

        await put(3_600)
        await until(lambda: server.limiter.policy.overrides.get("ALPHA"), 2)
        ids = names("a", 3)
        place_many(desk, ids)
        assert len(await answers(desk, ids)) == 1
        await put(1)
        await until(lambda: not server.limiter.policy.overrides.get("ALPHA"), 6)
        changes = await operators.audit(10)
        assert [(each.action, each.target, each.by) for each in changes] == [("set", "ALPHA orders", "olga")] * 2


async def test_an_override_ends_by_the_stores_clock_whatever_ours_says_and_though_the_store_has_gone(
    store: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, real_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real() + 3_600)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + 3_600 * 1_000_000_000)
    async with gateway(store, plan("1/h", 5)) as server, fix_desk(server.ports["fix"], "BETA") as desk:
        async with operators_of(store) as operators:
            until_s = await operators.now_s() + 3
            await operators.put(Override("ALPHA", "orders", until_s, "a flood", "olga", rate="1/h", burst=1))
            await until(lambda: server.limiter.policy.overrides.get("ALPHA"), 2)
        store.kill()
        place_many(desk, ["b"])
        await desk.ear.expect({35: "8", 11: "b"})
        assert (await operators_view(server))[1]["store"]["away"], "it is known to be away"
        await until(lambda: not server.limiter.policy.overrides.get("ALPHA"), 6)


async def test_an_override_for_nobody_is_told_by_every_gateway_and_the_store_knows_whom_there_is(
    store: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(store, plan()), operators_of(store) as desk:
        assert await desk.accounts() == {"ALPHA", "BETA"}
        row = Override("ALPA", "orders", await desk.now_s() + 60, "slip", "ops", rate="1/h", burst=1)
        await desk.put(row)
        await until(lambda: [each for each in caplog.records if each.message == "limits.override_refused"])
    (told,) = [each for each in caplog.records if each.message == "limits.override_refused"]
    (error,) = told.__dict__["penstock_fields"]["errors"]
    assert error == "ALPA orders: no account is called ALPA (did you mean ALPHA?)"


def replace_file(server: Server, text: str) -> None:
    """Another limits file is there, and looked at."""
    file = Path(str(server.limits._file))
    newer = file.with_suffix(".new")
    newer.write_text(text)
    newer.rename(file)
    server.limits.look_at_file()


async def test_a_newer_file_is_noted_in_the_audit_log(store: RedisServer) -> None:
    async with gateway(store, plan()) as server, operators_of(store) as operators:
        replace_file(server, plan(burst=20).replace("version = 7", "version = 8"))
        for _ in range(100):
            if changes := await operators.audit(10):
                break
            await asyncio.sleep(0.02)
        assert [change.detail for change in changes] == ["version 8"]


async def operators_view(server: Server) -> tuple[str, dict[str, object]]:
    """What /metrics and /status say."""
    admin = f"http://127.0.0.1:{server.ports['admin']}"
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{admin}/metrics") as scraped:
            metrics = await scraped.text()
        async with http.get(f"{admin}/status") as told:
            status: dict[str, dict[str, object]] = await told.json()
    return metrics, status["limits"]


async def test_every_metric_that_is_declared_is_told(store: RedisServer) -> None:
    async with gateway(store, plan()) as server:
        metrics, _ = await operators_view(server)
    told = {line.split()[2].removesuffix("_total") for line in metrics.splitlines() if line.startswith("# TYPE ")}
    by_word = {"core_refusals", "refusals", "failed_logons", "disconnects"}  # none of these words has occurred yet
    assert told == {f"penstock_{name}" for name in METRICS.keys() - by_word}


async def trade_until(desk: FixDesk, condition: Callable[[], object]) -> None:
    """Place orders, a few at a time, until something is so."""
    async with asyncio.timeout(8):
        for number in count():
            if condition():
                return
            place_many(desk, names(f"t-{number}", 3))
            await asyncio.sleep(0.05)


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    return [record.__dict__["penstock_fields"] for record in caplog.records if record.message == event]


async def test_why_the_store_is_away_is_told_in_the_log_the_metrics_and_the_status(
    store: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "penstock")
    async with gateway(store, plan("20/s", 20)) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        metrics, limits = await operators_view(server)
        assert 'penstock_limit_store_outages_total{reason="out_of_memory"} 0.0' in metrics
        assert limits == {"version": 7, "store": {"away": False, "buckets_in_trouble": 0}}
        with store.client() as client:
            client.config_set("maxmemory", 1)
        await trade_until(desk, lambda: told(caplog, "limits.store_away"))
        metrics, limits = await operators_view(server)
        assert 'penstock_limit_store_outages_total{reason="out_of_memory"} 1.0' in metrics
        (away,) = told(caplog, "limits.store_away")
        assert away["reason"] == "out_of_memory"
        assert str(away["text"]).startswith("OOM")
        assert limits["store"] == {"away": True, "buckets_in_trouble": 0, **away}
        with store.client() as client:
            client.config_set("maxmemory", 0)
        await until(lambda: len(told(caplog, "limits.store_back")) == 2)  # the first is that of the start
        assert (await operators_view(server))[1]["store"] == {"away": False, "buckets_in_trouble": 0}


async def test_a_bucket_in_trouble_is_told_by_its_key_and_when_it_is_well_again(
    store: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "penstock")
    key = "gw:{ALPHA}:account::orders"
    async with gateway(store, plan("20/s", 20)) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        with store.client() as client:
            client.delete(key)
            client.set(key, "x")
        await trade_until(desk, lambda: told(caplog, "limits.bucket_trouble"))
        (trouble,) = told(caplog, "limits.bucket_trouble")
        assert (trouble["key"], trouble["reason"]) == (key, "wrong_type")
        desk.client.cancel("c-1", "none", "BTC-USDT", "1")
        assert (await desk.expect("9", {11: "c-1"}))[25016] != "3002"
        metrics, limits = await operators_view(server)
        assert "penstock_limit_buckets_in_trouble 1.0" in metrics
        assert limits["store"] == {"away": False, "buckets_in_trouble": 1}
        with store.client() as client:
            client.delete(key)
        await until(lambda: told(caplog, "limits.buckets_well"), 5)
        assert not told(caplog, "limits.store_away")


async def test_a_clock_of_the_store_that_was_put_right_is_told_once_a_second(
    store: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(store, plan("20/s", 20)) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        place_many(desk, ["a-1"])
        await desk.expect("8", {11: "a-1", 150: "0"})
        with store.client() as client:
            seconds, _ = client.time()
            for key in client.keys("gw:{ALPHA}:*"):
                client.hset(key, "as_of", (seconds + 600) * 1_000_000)
                client.persist(key)
        await trade_until(desk, lambda: told(caplog, "limits.store_clock_back"))
        back, *_ = told(caplog, "limits.store_clock_back")
        assert 590_000 < int(str(back["pulled_ms"])) < 600_000
        assert "penstock_limit_buckets_pulled_back_total" in (await operators_view(server))[0]


async def test_gateways_that_start_with_an_older_file_have_the_store_follow_them(store: RedisServer) -> None:
    """A newer file was taken over, all were stopped, the file was rolled back, and they start again."""
    async with gateway(store, plan("1/h", 20)) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        load = server.limiter._load
        replace_file(server, plan("1/h", 40).replace("version = 7", "version = 8"))
        await until(lambda: server.limiter._load > load)
        ids = names("a", 10)
        place_many(desk, ids)
        assert await answers(desk, ids) == ids
    async with gateway(store, plan("1/h", 20)) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        ids = names("b", 30)
        place_many(desk, ids)
        assert len(await answers(desk, ids)) == 20


async def test_a_store_that_evicts_is_not_used() -> None:
    with (
        redis_server("--maxmemory", "10mb", "--maxmemory-policy", "allkeys-lru") as store,
        pytest.raises(StoreUnsuitable, match="noeviction"),
    ):
        async with gateway(store, plan()):
            pass


async def test_a_plan_may_bound_the_open_orders(store: RedisServer) -> None:
    more = "open_orders = { account = 3, instrument = 2 }"
    async with gateway(store, plan(burst=100, more=more)) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        ids = names("a", 3)
        place_many(desk, ids)
        assert await answers(desk, ids) == ids[:2]
        desk.client.cancel("c-1", "a-0", "BTC-USDT", "1")
        await desk.expect("8", {11: "c-1", 150: "4"})
        place_many(desk, ["b-1"])
        assert await answers(desk, ["b-1"]) == ["b-1"]


TEN_MISTAKES = """
version = "two"
planz = 1
[classes]
orders = { "D" = -1 }
[plans.a]
extends = "b"
orders = { rate = "fast", burst = 1 }
cancels = { rate = "1/s", burst = 0 }
queries = { rate = "1/s", burst = 1, mode = "maybe" }
msgs = { rate = "1/s", burst = 1, on_store_loss = "never" }
[assign]
default = "nobody"
[assign.accounts]
ALPHA = "nobody"
[penalty]
strikes = 0
"""


async def test_a_limits_file_with_ten_mistakes_changes_nothing_and_readiness_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(venue_toml()) as server, aiohttp.ClientSession() as http:
        admin = f"http://127.0.0.1:{server.ports['admin']}"
        file = Path(str(server.limits._file))
        version = server.limiter.policy.version
        for text, wanted in ((TEN_MISTAKES, version), (plan(), 7)):
            newer = file.with_suffix(".new")
            newer.write_text(text)
            newer.rename(file)
            async with asyncio.timeout(1):  # a change acts within a second
                await until(lambda wanted=wanted: server.limiter.policy.version == wanted and "refused" in caplog.text)
            async with http.get(f"{admin}/readyz") as ready:
                assert ready.status == 200
        async with http.get(f"{admin}/metrics") as scraped:
            assert "penstock_policy_reload_failures_total 1.0" in await scraped.text()
    (refused,) = [record for record in caplog.records if record.message == "limits.refused"]
    errors = refused.__dict__["penstock_fields"]["errors"]
    assert len(errors) >= 10, errors
