"""Redis comes back without its latest writes: nobody goes on in silence, and after one command everybody does.

Modules: remote.core_process, remote.link, cli.core.
"""

import asyncio
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager

import pytest

from gateway.remote.core_process import CoreFailed
from gateway.remote.keys import Keys
from tests.support.desks import WsDesk
from tests.support.redis_server import redis_server
from tests.support.remote_core import core_of, hand_over
from tests.support.server import started, until, venue_toml, write_venue
from tests.support.venue import Venue as Trades

pytestmark = pytest.mark.timeout(120)
_MORE = '\n[core]\nlink = "redis"\nredis = "{url}"\nreopen_after_ms = 0\n[journal]\ndurability = "process"\n'
_KEYS = Keys("penstock")


@pytest.fixture
def store():
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


class Venue:
    """Its files, and how its processes are started."""

    def __init__(self, store, directory):
        self.store, self.directory = store, directory
        self.more = _MORE.format(url=store.unix_url)
        self._config = write_venue(directory, venue_toml(more=self.more))
        self._processes = []

    def core(self, home, *options):
        """A core."""
        return self.process("core", "--directory", self.directory / home, *options)

    def process(self, command, *options):
        """A process of the venue."""
        line = [sys.executable, "-c", "from gateway.cli import main; main()", command, "-c", self._config, *options]
        process = subprocess.Popen(line, stderr=subprocess.PIPE)
        self._processes.append(process)
        return process

    def wait_core(self):
        """Until a core serves; its epoch."""
        until_s = time.monotonic() + 30
        while (found := self.store.client().hget(_KEYS.core, "epoch")) is None:
            assert time.monotonic() < until_s, "the core did not start"
            time.sleep(0.02)
        return found

    @contextmanager
    def gateway(self):
        with started(self.directory, more=self.more) as (process, ports):
            yield process, ports["ws"]

    def stop(self):
        for process in self._processes:
            process.kill()
            if not process.stderr.closed:
                process.communicate()


@pytest.fixture
def venue(store, tmp_path):
    found = Venue(store, tmp_path)
    yield found
    found.stop()


def said_at_the_end(process, status):
    """What a process said that has ended with this status."""
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == status, said
    return said


async def test_what_is_lost_is_told_as_such_and_everything_goes_on(store, venue, tmp_path):
    client = WsDesk("ALPHA", "bot")
    core = venue.core("a")
    epoch = venue.wait_core()
    with venue.gateway() as (gateway, port):
        await client.logon(port)
        await client.place("kept", "buy", "1", "64000")
        store.back_up(tmp_path / "backup")
        await client.place("lost", "buy", "1", "64100")
        await client.expect(cl_ord_id="lost")
        store.restore(tmp_path / "backup")
        assert "--accept-loss" in said_at_the_end(core, 1)
        assert "run `penstock core --accept-loss` once" in said_at_the_end(gateway, 2)
        await client.client.wait_closed()
        await client.client.abort()
    venue.core("a")  # it kept nothing that says more than Redis has
    assert "lost what it had" in said_at_the_end(venue.process("run"), 2)
    assert "epoch_began" in said_at_the_end(venue.core("b", "--accept-loss"), 0)
    assert venue.wait_core() != epoch
    with venue.gateway() as (_, port):
        result = await client.logon(port, resume=True)
        assert result["resume"]["reason"] == "epoch_changed"
        snapshot = await client.expect("snapshot")
        assert [order["cl_ord_id"] for order in snapshot["orders"]] == ["kept"]
        placed = await client.place("lost", "buy", "1", "64100")
        assert placed["seq"] == 1
        await client.client.abort()
    with venue.gateway() as (_, port):  # once more, now from a record of the new epoch
        result = await client.logon(port, resume=True)
        assert result["resume"]["status"] in ("replayed", "none")
        await client.client.abort()


async def test_of_the_other_cores_one_that_is_ahead_drops_what_it_has_and_one_that_runs_goes_on(store, tmp_path):
    orders, first = Trades(), core_of(store, tmp_path / "a")
    async with run(first) as (host, _):
        await until(lambda: host().engine.epoch)
        hand_over(store, "alice new a1 buy 10 @ 90", venue=orders)
        await until(lambda: host().engine.latest_seq(1) == 1)
        store.back_up(tmp_path / "backup")
        hand_over(store, "alice new a2 buy 10 @ 90", venue=orders)
        await until(lambda: host().engine.latest_seq(1) == 2)
        await first[0]._make_snapshot()
    store.restore(tmp_path / "backup")
    with pytest.raises(CoreFailed, match="--accept-loss"):
        await core_of(store, tmp_path / "a")[0].run()
    async with run(core_of(store, tmp_path / "b")) as (runs, _):
        await until(lambda: runs().engine.latest_seq(1) == 1)
        accepting, _ = core_of(store, tmp_path / "c")
        accepting._terms = accepting._terms._replace(accepts_loss=True)
        await accepting.run()
        store.client().delete(_KEYS.snapshot)  # the one on disk is now the latest
        async with run(core_of(store, tmp_path / "a")) as (ahead, logged):
            await until(lambda: runs().epochs == ahead().epochs == 1)
            assert any("given up" in str(fields) for _, fields in logged)
            hand_over(store, "alice new a3 buy 10 @ 90", venue=orders)
            await until(lambda: runs().engine.latest_seq(1) == ahead().engine.latest_seq(1) == 1)
            assert runs().engine.digest() == ahead().engine.digest()
    assert [entry for entry, _ in store.client().xrange(_KEYS.events(1, 1))] == [b"1-0"]


@asynccontextmanager
async def run(core):
    """A core that runs in this process until the end; its host as of now, and what it logs."""
    running = asyncio.ensure_future(core[0].run())
    try:
        yield lambda: core[0].host, core[1]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
