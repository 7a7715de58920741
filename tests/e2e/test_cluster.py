"""Two gateways, a core and a Valkey: sessions that move between the gateways, by wish, by death, and against the will
of who had them.

Modules: cluster.node, cluster.link, cluster.house, cluster.moves, cluster.ownership, cluster.row.
"""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.client.fix import LogonRefused
from gateway.config.load import build_instruments, load
from gateway.remote.core_process import CoreProcess, CoreTerms
from gateway.remote.keys import Keys
from gateway.remote.pipe import address_of
from gateway.server import Server
from tests.support.desks import FixDesk, ws_desk
from tests.support.redis_server import redis_server
from tests.support.server import venue_toml, write_venue

pytestmark = pytest.mark.timeout(120)
_CLUSTER = '\n[core]\nlink = "redis"\nredis = "{url}"\nnode = "{node}"\n[cluster]\nlease_ms = 1000\n'
BTC = "BTC-USDT"


@pytest.fixture(scope="module")
def store():
    with redis_server("--appendonly", "yes") as server:
        yield server


class Venue:
    """A core, and gateways by name."""

    def __init__(self, store, directory):
        store.client().flushall()
        self.store, self.directory, self.gateways = store, directory, {}

    def config(self, name):
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        more, limits = _CLUSTER.format(url=self.store.unix_url, node=name), f'redis = "{self.store.unix_url}"'
        return load(write_venue(directory, venue_toml(store=limits, more=more))), directory

    async def begin(self, name):
        config, directory = self.config(name)
        server = self.gateways[name] = Server(config, directory)
        await server.start()
        return server

    async def run_core(self):
        config, directory = self.config("core")
        terms = CoreTerms(
            Keys("penstock"), address_of(self.store.unix_url), tuple(build_instruments(config).by_id.values()), 1_024,
            1_000, directory,
        )  # fmt: skip
        await CoreProcess(terms, lambda name, **fields: None).run()

    async def freeze(self, name):
        """It does nothing any more, as if its process were stopped: nothing is closed, nothing is renewed."""
        link = self.gateways[name].cluster._link
        for task in list(link._tasks):
            task.cancel()
        await asyncio.sleep(0)


@asynccontextmanager
async def venue(store, directory, *names):
    """A venue with these gateways."""
    found = Venue(store, directory)
    core = asyncio.ensure_future(found.run_core())
    try:
        for name in names:
            await found.begin(name)
        yield found
    finally:
        for server in found.gateways.values():
            await server.stop()
        core.cancel()


async def cut(desk):
    """Its link ends without a word."""
    desk.client.abort()
    await desk.client.closed.wait()


async def test_a_session_goes_on_at_another_gateway_with_its_numbers_and_what_was_not_reported(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        alpha, beta = FixDesk("ALPHA"), FixDesk("BETA")
        await alpha.logon(found.gateways["a"].ports["fix"])
        alpha.client.place("a-1", BTC, "1", "1", "64000")
        placed = await alpha.expect("8", {150: "0", 11: "a-1"})
        await cut(alpha)
        await beta.logon(found.gateways["b"].ports["fix"])
        beta.client.place("b-1", BTC, "2", "0.25", "64000")
        await beta.expect("8", {150: "F", 11: "b-1"})
        before = alpha.client.next_in
        await alpha.logon(found.gateways["b"].ports["fix"], reset=False)
        filled = await alpha.expect("8", {150: "F", 11: "a-1"})
        assert (filled[37], filled[34]) == (placed[37], str(before)), "the number after the last one that it had seen"
        alpha.client.place("a-2", BTC, "1", "1", "63999")
        await alpha.expect("8", {150: "0", 11: "a-2"})
        assert alpha.client.counts.duplicates == 0
        await cut(alpha)
        await alpha.logon(found.gateways["a"].ports["fix"], reset=False)
        alpha.client.cancel("a-3", "a-1", BTC, "1")
        await alpha.expect("8", {150: "4", 11: "a-3"})
