"""A gateway whose way to Redis stands still for longer than its lease: the others take it for dead, and it is not.

Modules: cluster.node, cluster.link.
"""

import asyncio

import pytest

from gateway.admin.mode_control import ModeRequest
from tests.support.cluster_venue import venue
from tests.support.desks import FixDesk
from tests.support.fault_proxy import fault_proxy
from tests.support.redis_server import redis_server

pytestmark = pytest.mark.timeout(120)
BTC = "BTC-USDT"


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_it_goes_on_and_its_kill_switch_works_though_the_session_of_its_own_commands_was_taken(tmp_path):
    with redis_server("--appendonly", "yes") as store:
        redis = store.client()
        async with fault_proxy(store.port) as network, venue(store, tmp_path, "b") as found:
            found.urls["a"] = network.url
            a, b, alpha = await found.begin("a"), found.gateways["b"], FixDesk("ALPHA")
            own = redis.smembers("{penstock}:owned:a")
            network.hold()
            await until(lambda: not redis.smembers("{penstock}:owned:a"))  # after a lease of a second
            renewed = redis.hget("{penstock}:gateway:b", "until")
            await until(lambda: redis.hget("{penstock}:gateway:b", "until") != renewed)
            network.release()
            await until(lambda: not a.health.reasons() and redis.smembers("{penstock}:owned:a") - own)
            await alpha.logon(b.ports["fix"])
            alpha.client.place("a-1", BTC, "1", "1", "64000")
            await alpha.expect("8", {150: "0", 11: "a-1"})
            await found.freeze("b")  # it does not hear of the kill, and cancels nothing itself
            await a.mode_control.change(ModeRequest("account", "ALPHA", reason="test", kill=True), "ops")
            await alpha.expect("8", {150: "4", 11: "a-1"})
