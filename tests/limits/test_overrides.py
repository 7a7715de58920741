"""What operators set at run time: how it lies over the file, when it ends, and that every change is on record."""

import time
from collections.abc import Iterator

import pytest

from limits.overrides import Override, limit_of, merge, origin_of
from limits.redis_desk import OVERRIDES, Desk
from tests.support.redis_cluster import redis_cluster
from tests.support.redis_server import RedisServer, redis_server
from tests.support.shared_limits import policy_of

NOW_S = 1_795_348_800
TEXT = """
[plans.big]
extends = "standard"
orders = { rate = "500/s", burst = 1000, on_store_loss = "deny" }
[assign]
accounts = { ACME = "big" }
[override.OTHER]
orders = { rate = "7/s", burst = 70 }
"""


def row(target: str = "ACME", bucket: str = "orders", ttl_s: int = 60, **values: object) -> Override:
    return Override(target, bucket, NOW_S + ttl_s, "because", "ops", **values)  # type: ignore[arg-type]


def test_a_row_changes_what_it_names_and_leaves_the_rest():
    policy = policy_of(TEXT)
    merged = merge(policy, [row(rate="50/s")], NOW_S)
    limit = merged.policy.account_limit("ACME", "orders")
    assert limit is not None
    assert (limit.rate.text, limit.burst, limit.on_store_loss) == ("50/s", 1000, "deny")
    assert policy.overrides.keys() == {"OTHER"}  # the snapshot it came from is untouched


def test_a_row_that_has_ended_is_not_there():
    policy = policy_of(TEXT)
    assert merge(policy, [row(rate="50/s")], NOW_S + 60).policy is policy


def test_a_sessions_row_stands_on_its_accounts():
    rows = [row("ACME/KEY7", burst=5), row("ACME", rate="50/s")]
    limit = merge(policy_of(TEXT), rows, NOW_S).policy.overrides["ACME/KEY7"]["orders"]
    assert (limit.rate.text, limit.burst) == ("50/s", 5)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (row(bucket="ordres"), "no such bucket"),
        (row("ACME/S", "orders_per_instrument", rate="1/s", burst=1), "no such bucket"),
        (row(bucket="orders_per_instrument", rate="1/s"), "name rate and burst"),
        (row(rate="fast"), "a rate is"),
        (row(burst=1 << 50), "cannot be counted"),
        (row(ttl_s=40 * 86_400, burst=5), "limits file"),
    ],
)
def test_a_bad_row_is_left_out_and_told_and_takes_no_other_along(bad, why):
    merged = merge(policy_of(TEXT), [bad, row("OTHER", burst=9)], NOW_S)
    assert len(merged.faults) == 1
    assert why in merged.faults[0]
    assert merged.policy.overrides["OTHER"]["orders"].burst == 9
    with pytest.raises(ValueError, match=why):
        limit_of(policy_of(TEXT), bad, NOW_S)


def test_the_origin_of_a_limit_is_told_in_the_words_of_the_file():
    policy = merge(policy_of(TEXT), [row("ACME/KEY7", burst=5)], NOW_S).policy
    assert origin_of(policy, "ACME", "KEY7", "orders") == 'override "ACME/KEY7"'
    assert origin_of(policy, "ACME", "KEY8", "orders") == "plan big"
    assert origin_of(policy, "OTHER", "", "orders") == 'override "OTHER"'


# -- in the store ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


async def test_every_change_is_kept_with_who_and_why(server):
    desk = Desk(server.unix_url)
    await desk.put(row(rate="50/s", burst=100))
    assert await desk.overrides() == [row(rate="50/s", burst=100)]
    assert await desk.drop("ACME", "orders", "ops2", "over")
    assert not await desk.drop("ACME", "orders", "ops2", "again")
    assert await desk.overrides() == []
    lines = [(each.action, each.target, each.by, each.reason, each.detail) for each in await desk.audit(10)]
    assert lines == [
        ("reset", "ACME orders", "ops2", "again", ""),
        ("reset", "ACME orders", "ops2", "over", ""),
        ("set", "ACME orders", "ops", "because", f"rate=50/s burst=100 until={NOW_S + 60}"),
    ]
    await desk.close()


async def test_rows_that_ended_are_swept_and_rows_that_cannot_be_read_do_no_harm(server):
    desk = Desk(server.unix_url)
    await desk.put(row(rate="50/s"))
    await desk.put(row("OTHER", rate="50/s", ttl_s=600))
    with server.client() as client:
        client.hset(OVERRIDES, "broken", b"{")
    assert await desk.sweep(NOW_S + 60) == 1
    assert [each.target for each in await desk.overrides()] == ["OTHER"]
    await desk.close()


async def test_the_time_is_the_stores(server):
    desk = Desk(server.unix_url)
    with server.client() as client:
        before_s, _ = client.time()
        assert before_s <= await desk.now_s() <= client.time()[0]
    await desk.close()


async def test_numbers_of_loads_rise_whoever_asks_and_though_the_store_forgets(server):
    desks = [Desk(server.unix_url) for _ in range(2)]
    numbers = [await desk.number_load() for _ in range(20) for desk in desks]
    assert numbers == sorted(set(numbers))
    with server.client() as client:
        client.flushall()
        assert client.time()[0] <= await desks[0].number_load()
    for desk in desks:
        await desk.close()


async def test_a_cluster_holds_them_too_whichever_node_the_url_names():
    with redis_cluster() as cluster:
        for node in cluster.nodes:
            desk = Desk(node.url)
            await desk.put(row(f"A-{node.port}", rate="50/s"))
            assert abs(await desk.now_s() - int(time.time())) <= 1
            assert await desk.buckets("ACME") == []
            await desk.close()
        desk = Desk(cluster.url)
        assert len(await desk.overrides()) == len(await desk.audit(10)) == 3
        await desk.close()
