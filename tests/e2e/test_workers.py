"""`penstock run --workers`: several processes at the same ports, one of which dies, is replaced, or is asked to end.

Modules: workers, cli.run.
"""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.client.fix import LogonRefused
from tests.support.desks import FixDesk
from tests.support.redis_server import redis_server
from tests.support.server import free_ports, venue_toml, write_venue

pytestmark = pytest.mark.timeout(180)
BTC = "BTC-USDT"
_CLUSTER = '\n[core]\nlink = "redis"\nredis = "{url}"\nnode = "m"\n[cluster]\nlease_ms = 1000\n'


@pytest.fixture(scope="module")
def store():
    with redis_server("--appendonly", "yes") as server:
        yield server


def penstock(*arguments):
    command = [sys.executable, "-c", "from gateway.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


class Workers:
    """A supervisor with two workers."""

    def __init__(self, process, ports):
        self.process, self.ports = process, ports

    @property
    def pids(self):
        return children_of(self.process.pid)

    async def ready(self):
        """Both serve."""
        for number in (0, 1):
            await until(lambda number=number: self._answers(self.ports["admin"] + number))

    def _answers(self, port):
        with suppress(urllib.error.URLError, ConnectionError):
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200
        return False


async def until(condition):
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def workers(store, directory):
    store.client().flushall()
    ports = free_ports("fix", "ws", "admin")
    text = venue_toml(store=f'redis = "{store.unix_url}"', ports=ports, more=_CLUSTER.format(url=store.unix_url))
    path = write_venue(directory, text)
    core = penstock("core", "-c", path, "--directory", directory / "core")
    process = penstock("run", "-c", path, "--workers", 2)
    found = Workers(process, ports)
    try:
        await found.ready()
        yield found
    finally:
        for pid in (*found.pids, process.pid) if process.poll() is None else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        core.kill()
        for each in (process, core):
            each.communicate()


async def log_on(desk, port):
    """At whichever worker the kernel chooses, again until one of them lets it in."""
    async with asyncio.timeout(20):
        while True:
            with suppress(LogonRefused, ConnectionError):
                await desk.logon(port, reset=False)
                return
            await asyncio.sleep(0.05)


async def test_a_client_of_a_worker_that_dies_goes_on_with_another_and_the_dead_one_is_replaced(store, tmp_path):
    async with workers(store, tmp_path) as found:
        desk = FixDesk("ALPHA")
        await log_on(desk, found.ports["fix"])
        desk.client.place("a-1", BTC, "1", "1", "64000")
        await desk.expect("8", {150: "0", 11: "a-1"})
        before = found.pids
        for pid in before:  # the one that has the client is among them
            os.kill(pid, signal.SIGKILL)
            with suppress(TimeoutError):
                await asyncio.wait_for(desk.client.closed.wait(), 2)
                break
        await log_on(desk, found.ports["fix"])
        desk.client.cancel("a-2", "a-1", BTC, "1")
        await desk.expect("8", {150: "4", 11: "a-2"})
        await found.ready()
        assert len(found.pids) == 2
        assert found.pids != before


async def test_workers_are_replaced_one_after_the_other_while_clients_trade_and_end_together(store, tmp_path):
    async with workers(store, tmp_path) as found:
        desk = FixDesk("ALPHA")
        await log_on(desk, found.ports["fix"])
        before = set(found.pids)
        found.process.send_signal(signal.SIGUSR1)
        placed = 0
        async with asyncio.timeout(60):
            while before & set(found.pids) or len(found.pids) < 2:
                if desk.client.closed.is_set():
                    await log_on(desk, found.ports["fix"])
                placed += 1
                with suppress(ConnectionError):
                    desk.client.place(f"a-{placed}", BTC, "1", "1", "64000")
                await asyncio.sleep(0.05)
        await found.ready()
        if desk.client.closed.is_set():
            await log_on(desk, found.ports["fix"])
        desk.client.place("last", BTC, "1", "1", "64000")
        await desk.expect("8", {150: "0", 11: "last"})
        found.process.terminate()
        await until(lambda: found.process.poll() is not None)
        assert found.process.returncode == 0


@pytest.mark.parametrize(
    ("more", "ports", "mend"),
    [
        ("", {}, "--workers needs [cluster]"),
        (_CLUSTER.format(url="redis://127.0.0.1:1/0"), {}, "fix.listeners.port is 0"),
    ],
)
def test_a_configuration_that_cannot_have_several_is_refused_with_what_to_change(tmp_path, more, ports, mend):
    path = write_venue(tmp_path, venue_toml(store='redis = "redis://127.0.0.1:1/0"', ports=ports, more=more))
    process = penstock("run", "-c", path, "--workers", 2)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 2
    assert mend in said
