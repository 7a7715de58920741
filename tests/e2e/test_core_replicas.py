"""A venue whose Redis has replicas: nothing is told before they have it, so a failover loses nothing that was told.

Modules: remote.replicas, remote.link, remote.core_process.
"""

import asyncio
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

import pytest

from gateway.config.load import build_instruments, load
from gateway.remote import replicas as replicas_module
from gateway.remote import snapshot_file
from gateway.remote.core_process import CoreProcess, CoreTerms
from gateway.remote.keys import Keys
from gateway.remote.link import CoreConnection, LinkTerms
from gateway.remote.pipe import address_of, info_of_one, open_pipe
from tests.support.desks import WsDesk
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.link_world import Record
from tests.support.redis_server import RedisServer, redis_server
from tests.support.server import started, venue_toml, write_venue
from tests.support.venue import Venue

pytestmark = pytest.mark.timeout(120)
_KEPT = ("--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0")
_KEYS = Keys("penstock")
_CORE = '\n[core]\nlink = "redis"\nredis = "{url}"\nacked_by_replicas = 1\nanswer_timeout_ms = 500\n'


@pytest.fixture
def servers():
    """Three: a primary, and two that may copy it."""
    with redis_server(*_KEPT) as primary, redis_server(*_KEPT) as first, redis_server(*_KEPT) as second:
        yield primary, first, second


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


class At:
    """A turn of the event loop in which each commit is durable at once."""

    position, is_durable = 0, True

    def __init__(self):
        self.link = None

    def mark_dirty(self, link):
        asyncio.get_running_loop().call_soon(link.flush, 0)


class World(NamedTuple):
    """A gateway's end of the link and a core, both behind one address. told: what clients would see."""

    door: FaultProxy
    core: CoreProcess
    link: CoreConnection
    told: list
    logged: list
    venue: Venue

    def order(self, line):
        self.link.core.submit([self.venue.command(line)], 0)

    @property
    def names(self):
        return [event.cl_ord_id for event in self.told]


async def _nothing(door, link):
    pass


@asynccontextmanager
async def a_world(primary: RedisServer, directory, acked_by_replicas=1, before=_nothing):
    async with fault_proxy(primary.port) as door:
        config = load(write_venue(directory, venue_toml()))
        instruments, told, logged = tuple(build_instruments(config).by_id.values()), [], []
        address = address_of(door.url)
        core = CoreProcess(
            CoreTerms(_KEYS, address, instruments, 1_024, 1_000, directory, acked_by_replicas),
            lambda name, **fields: logged.append((name, fields)),
        )
        terms = LinkTerms(_KEYS, "g1", address, (1, 2), (10, 11), instruments, acked_by_replicas)
        link = CoreConnection(terms, 256, Record(), time.time_ns, lambda name, **_: logged.append((name, {})), _fail)
        link.core.subscribe(lambda events, now_ns: told.extend(events))
        running = asyncio.ensure_future(core.run())
        found = await link.open()
        link.deliver(found.rows)
        await before(door, link)
        link.begin(At())
        try:
            yield World(door, core, link, told, logged, Venue())
            assert not running.done()
        finally:
            await link.close()
            running.cancel()


def _fail(error):
    raise AssertionError(error)


def written(server, count):
    """Whether the core has written so many events of alice."""
    return server.client().xlen(_KEYS.events(1)) == count


@pytest.mark.parametrize("since", [(7, 2), (99, 0)], ids=["WAITAOF", "WAIT"])
async def test_nothing_is_told_while_the_replica_stands_still(servers, tmp_path, monkeypatch, since):
    monkeypatch.setattr(replicas_module, "_WAITAOF_SINCE", since)
    primary, replica, _ = servers
    replica.copy(primary.port)
    await until(lambda: replica.is_copy)
    async with a_world(primary, tmp_path) as world:
        world.order("alice new a1 buy 10 @ 90")
        await until(lambda: world.names == ["a1"])
        replica.freeze()
        world.order("alice new a2 buy 10 @ 90")
        world.order("alice new a3 buy 10 @ 90")
        await until(lambda: world.link.why_held and written(primary, 3))
        assert world.names == ["a1"]
        assert "0 of 1 replicas have what was written last" in world.link.trouble
        replica.thaw()
        await until(lambda: world.names == ["a1", "a2", "a3"])
        assert world.link.trouble == ""
        assert [name for name, _ in world.logged if "replicas" in name] == [
            "core.replicas_missing",
            "core.replicas_back",
        ]


async def test_clients_notice_a_slow_core_and_are_never_told_that_nothing_was_executed(servers, tmp_path):
    primary, replica, _ = servers
    replica.copy(primary.port)
    await until(lambda: replica.is_copy)
    more = _CORE.format(url=primary.unix_url)
    with a_core_process(write_venue(tmp_path, venue_toml(more=more))), started(tmp_path, more=more) as (_, ports):
        client = WsDesk("ALPHA")
        await client.logon(ports["ws"])
        replica.freeze()
        order = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "64000", "qty": "1"}
        error = await client.refusal("order.place", {**order, "cl_ord_id": "a1"})
        assert (error["code"], error["outcome"]) == (5004, "unknown")
        await until(lambda: "0 of 1 replicas" in readiness(ports["admin"]))
        replica.thaw()
        await client.expect(cl_ord_id="a1", exec="new")
        await client.client.abort()


@contextmanager
def a_core_process(path):
    process = subprocess.Popen([sys.executable, "-c", "from gateway.cli import main; main()", "core", "-c", path])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def readiness(port):
    """What the operators' port says of it."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


async def test_after_a_failover_all_that_was_told_is_there_and_the_rest_is_handed_over_again(servers, tmp_path):
    primary, replica, other = servers
    async with fault_proxy(primary.port) as between:
        replica.copy(between.port)
        await until(lambda: replica.is_copy)
        async with a_world(primary, tmp_path) as world:
            for name in ("a1", "a2", "a3"):
                world.order(f"alice new {name} buy 10 @ 90")
            await until(lambda: world.names == ["a1", "a2", "a3"])
            between.silent = True
            world.order("alice new a4 buy 10 @ 90")
            await until(lambda: written(primary, 4) and world.core.host.engine.latest_seq(1) == 4)
            primary.kill()
            between.cut()
            replica.promote()
            other.copy(replica.port)
            assert written(replica, 3)
            world.door.target_port = replica.port
            await until(lambda: world.names == ["a1", "a2", "a3", "a4"])
            world.order("alice new a5 buy 10 @ 90")
            await until(lambda: world.names == ["a1", "a2", "a3", "a4", "a5"])
        assert [event.seq for event in world.told] == [1, 2, 3, 4, 5]
        assert [name for name, _ in world.logged].count("core.started") == 2
        assert not world.link.core.unsent


async def test_a_gateway_and_a_core_wait_while_their_address_leads_to_a_replica(servers, tmp_path):
    primary, replica, other = servers
    replica.copy(primary.port)
    await until(lambda: replica.is_copy)
    async with a_world(primary, tmp_path) as world:
        world.order("alice new a1 buy 10 @ 90")
        await until(lambda: world.names == ["a1"])
        world.door.target_port = replica.port
        world.door.cut()
        await until(lambda: "is a replica" in world.link.trouble)
        await until(lambda: "is a replica" in str(world.logged))
        primary.kill()
        replica.promote()
        other.copy(replica.port)
        await until(lambda: world.link.core.is_open)
        world.order("alice new a2 buy 10 @ 90")
        await until(lambda: world.names == ["a1", "a2"])


async def test_a_snapshot_that_replicas_do_not_reach_is_not_kept(servers, tmp_path):
    primary, replica, _ = servers
    replica.copy(primary.port)
    await until(lambda: replica.is_copy)
    async with a_world(primary, tmp_path) as world:
        replica.freeze()
        await world.core._make_snapshot()
        assert world.logged[-1][0] == "core.snapshot_failed"
        assert snapshot_file.load(tmp_path) is None
        replica.thaw()
        await world.core._make_snapshot()
        assert snapshot_file.load(tmp_path) is not None


async def test_connections_that_are_lost_before_anything_went_over_them_are_made_again(servers, tmp_path):
    async def cut(door, link):
        door.cut()
        await until(lambda: not any(pipe.is_open for pipe in link._pipes))

    async with a_world(servers[0], tmp_path, 0, cut) as world:
        world.order("alice new a1 buy 10 @ 90")
        await until(lambda: world.names == ["a1"])


async def test_connections_that_lead_to_different_servers_are_not_used(servers):
    primary, other, _ = servers
    pipes = [await open_pipe(address_of(server.url), 5, lambda _: None) for server in (primary, other)]
    with pytest.raises(OSError, match="leads to several servers"):
        await info_of_one(*pipes)
    for pipe in pipes:
        pipe.close()
