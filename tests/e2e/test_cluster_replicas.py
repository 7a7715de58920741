"""Several gateways whose Redis has a replica: what was told is there after a failover, and the rest comes once.

Modules: cluster.link, remote.replicas.
"""

import asyncio

import pytest

from tests.support.cluster_venue import BTC, cut, until, venue
from tests.support.desks import FixDesk, WsDesk
from tests.support.fault_proxy import fault_proxy
from tests.support.redis_server import redis_server

pytestmark = pytest.mark.timeout(120)
_KEPT = ("--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0")


@pytest.fixture
def servers():
    """Four: a primary, two that may copy it, and one for limits."""
    with (
        redis_server(*_KEPT) as primary,
        redis_server(*_KEPT) as first,
        redis_server(*_KEPT) as second,
        redis_server() as limits,
    ):
        yield primary, first, second, limits


async def all_is_well(found):
    await until(lambda: not any(server.health.reasons() for server in found.gateways.values()))


async def test_nothing_is_told_and_no_session_moves_while_the_replica_stands_still(servers, tmp_path):
    primary, replica, _, limits = servers
    replica.copy(primary.port)
    await until(lambda: replica.is_copy)
    async with venue(primary, tmp_path, "a", "b", limits_url=limits.unix_url, acked_by_replicas=1) as found:
        a = found.gateways["a"]
        alpha = FixDesk("ALPHA")
        await alpha.logon(a.ports["fix"])
        alpha.client.place("a-1", BTC, "1", "1", "64000")
        await alpha.expect("8", {150: "0", 11: "a-1"})
        replica.freeze()
        alpha.client.place("a-2", BTC, "1", "1", "63999")
        await until(lambda: "0 of 1 replicas" in a.health.reasons().get("core", ""))
        assert not alpha.ear.heard
        assert a.cluster.journal.unanswered
        replica.thaw()
        await alpha.expect("8", {150: "0", 11: "a-2"})
        await all_is_well(found)
        await alpha.client.logout()


async def test_after_a_failover_all_that_was_told_is_there_and_sessions_go_on(servers, tmp_path):
    """The last writes of the primary never reached the replica: they are written again, and told once."""
    primary, replica, other, limits = servers
    async with fault_proxy(primary.port) as between, fault_proxy(primary.port) as door:
        replica.copy(between.port)
        await until(lambda: replica.is_copy)
        knobs = {"url": door.url, "limits_url": limits.unix_url, "acked_by_replicas": 1}
        async with venue(primary, tmp_path, "a", "b", **knobs) as found:
            a, b = found.gateways["a"], found.gateways["b"]
            alpha, beta = FixDesk("ALPHA"), WsDesk("BETA", "mm")
            await alpha.logon(a.ports["fix"])
            await beta.logon(b.ports["ws"])
            for number in range(5):
                alpha.client.place(f"a-{number}", BTC, "1", "1", "64000")
                await alpha.expect("8", {150: "0", 11: f"a-{number}"})
            told = a.cluster.journal.durable
            between.silent = True
            alpha.client.place("a-5", BTC, "1", "1", "64000")
            await until(lambda: a.cluster.journal.position > told and int(
                primary.client().hget("{penstock}:gateway:a", "commit")) > told)  # fmt: skip
            await asyncio.sleep(0.2)
            assert (a.cluster.journal.durable, alpha.ear.heard) == (told, []), "the primary alone has it"
            primary.kill()
            between.cut()
            replica.promote()
            other.copy(replica.port)
            assert int(replica.client().hget("{penstock}:gateway:a", "commit")) == told
            door.target_port = replica.port
            await alpha.expect("8", {150: "0", 11: "a-5"})
            await all_is_well(found)
            await beta.place("b-1", "sell", "6", "64000")
            for number in range(6):
                await alpha.expect("8", {150: "F", 11: f"a-{number}"})
            await cut(alpha)
            await alpha.logon(b.ports["fix"], reset=False)
            alpha.client.place("a-6", BTC, "1", "1", "63999")
            await alpha.expect("8", {150: "0", 11: "a-6"})
            assert (alpha.client.counts.duplicates, alpha.client.counts.gaps) == (0, 0)
            await beta.client.logout()


async def test_a_logon_whose_move_no_replica_has_is_carried_out_again_after_the_failover(servers, tmp_path):
    """The core would never answer the `join` that went with it: the Redis that had it is gone."""
    primary, replica, other, limits = servers
    async with fault_proxy(primary.port) as between, fault_proxy(primary.port) as door:
        replica.copy(between.port)
        await until(lambda: replica.is_copy)
        knobs = {"url": door.url, "limits_url": limits.unix_url, "acked_by_replicas": 1}
        async with venue(primary, tmp_path, "a", "b", **knobs) as found:
            alpha = FixDesk("ALPHA")
            await alpha.logon(found.gateways["a"].ports["fix"])
            alpha.client.place("a-1", BTC, "1", "1", "64000")
            await alpha.expect("8", {150: "0", 11: "a-1"})
            await cut(alpha)
            await asyncio.sleep(0.2)
            between.silent = True
            logon = asyncio.ensure_future(alpha.logon(found.gateways["b"].ports["fix"], reset=False))
            row = "{penstock}:session:1"
            await until(lambda: primary.client().hget(row, "owner") == b"b")
            primary.kill()
            between.cut()
            replica.promote()
            other.copy(replica.port)
            assert replica.client().hget(row, "owner") == b"a"
            door.target_port = replica.port
            await logon
            assert replica.client().hget(row, "owner") == b"b"
            alpha.client.cancel("a-2", "a-1", BTC, "1")
            await alpha.expect("8", {150: "4", 11: "a-2"})
            assert not alpha.client.counts.gaps
