"""A venue with several gateways in this process, one core, and a Valkey."""

import asyncio
from contextlib import asynccontextmanager

from gateway.config.load import build_instruments, load
from gateway.remote.core_process import CoreProcess, CoreTerms
from gateway.remote.keys import Keys
from gateway.remote.pipe import address_of
from gateway.server import Server
from tests.support.server import GENEROUS, venue_toml, write_venue

_CLUSTER = '\n[core]\nlink = "redis"\nredis = "{url}"\nnode = "{node}"\n{core}[cluster]\nlease_ms = 1000\n'
BTC = "BTC-USDT"


class Venue:
    """A core, and gateways by name."""

    def __init__(self, store, directory, **knobs):
        store.client().flushall()
        self.limits = knobs.pop("limits", GENEROUS)
        self.limits_url = knobs.pop("limits_url", store.unix_url)
        self.url = knobs.pop("url", store.unix_url)
        self.terms = knobs.pop("terms", "")  # of [cluster]
        self.acked_by_replicas = knobs.pop("acked_by_replicas", 0)
        self.store, self.directory, self.knobs, self.gateways = store, directory, knobs, {}
        self.urls = {}  # of Redis, by gateway, where it is not that of all

    def config(self, name):
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        core = f"acked_by_replicas = {self.acked_by_replicas}\n"
        more = _CLUSTER.format(url=self.urls.get(name, self.url), node=name, core=core) + self.terms
        limits = f'redis = "{self.limits_url}"'
        return load(write_venue(directory, venue_toml(store=limits, more=more, **self.knobs), self.limits)), directory

    async def begin(self, name):
        config, directory = self.config(name)
        server = self.gateways[name] = Server(config, directory)
        await server.start()
        return server

    async def run_core(self):
        config, directory = self.config("core")
        terms = CoreTerms(
            Keys("penstock"), address_of(self.url), tuple(build_instruments(config).by_id.values()), 1_024, 1_000,
            directory, self.acked_by_replicas,
        )  # fmt: skip
        await CoreProcess(terms, lambda name, **fields: None).run()

    async def freeze(self, name):
        """It hears of nothing any more, and renews nothing; but it serves its clients, as it thinks."""
        link = self.gateways[name].cluster._link
        for task in list(link._tasks):
            task.cancel()
        link._reader.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def venue(store, directory, *names, **knobs):
    """A venue with these gateways; knobs: of `Venue` and of `venue_toml`."""
    found = Venue(store, directory, **knobs)
    core = asyncio.ensure_future(found.run_core())
    try:
        for name in names:
            await found.begin(name)
        yield found
    finally:
        for server in found.gateways.values():
            await server.stop()
        core.cancel()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def cut(desk):
    """Its link ends without a word."""
    desk.client.abort()
    await desk.client.closed.wait()
