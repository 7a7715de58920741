"""docs/operate/scale.md at work: its blocks, as typed, take a venue from one process to two gateways and back to one.

Three machines, each a shell with a directory and a `gateway.toml` of its own. What the test puts in the place of what
is on the page: the port of Redis, /var/lib/penstock, and what `hostname` says.

Modules: server, cluster.node, remote.core_process, cli.run.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway.client.fix import LogonRefused
from tests.support.desks import FixDesk, WsDesk
from tests.support.redis_server import binary
from tests.support.server import free_ports, venue_toml, write_venue

pytestmark = pytest.mark.timeout(180)
PAGE = Path(__file__).parents[2] / "docs" / "operate" / "scale.md"
BTC = "BTC-USDT"
_PATIENCE_S = 60  # for what has no time of its own on a busy machine


class Guide:
    """The blocks of the page, in their order."""

    def __init__(self, text, replaced):
        for old, new in replaced.items():
            text = text.replace(old, new)
        self._blocks = deque(re.findall(r"```(console|ini)\n(.*?)```", text, re.DOTALL))

    def next(self, kind, word):
        """The next block, which must be of this kind and have this word."""
        found, text = self._blocks.popleft()
        assert (found, word in text) == (kind, True), text
        return text

    @property
    def is_done(self):
        return not self._blocks


class Machine:
    """A shell in a directory where an operator types what is on the page. ports: of its gateway."""

    def __init__(self, name, directory, path, ports):
        self.name, self.ports, self.directory = name, ports, directory
        self.config = write_venue(directory, venue_toml(ports=ports))
        self._log = (directory / "log").open("wb")
        self._shell = subprocess.Popen(
            ["sh"], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "MACHINE": name}, start_new_session=True,
        )  # fmt: skip

    def type(self, block):
        """The commands in a block of console; its other lines are what they print."""
        for line in block.splitlines():
            if line.startswith("$ "):
                self._say(line.removeprefix("$ "))

    def add(self, block):
        """Write a block into gateway.toml: into the tables that are there, the others at its end."""
        text = self.config.read_text()
        for table, lines in re.findall(r"^(\[\w+\])\n(.*?)(?=^\[|\Z)", block, re.MULTILINE | re.DOTALL):
            if f"\n{table}\n" in text:
                text = text.replace(f"\n{table}\n", f"\n{table}\n{lines}")
            else:
                text += f"\n{table}\n{lines}"
        tomllib.loads(text)
        self.config.write_text(text)

    async def ended(self):
        """The exit status of what was started last, once it has ended."""
        self._say("wait $!; echo ended with $?")
        async with asyncio.timeout(_PATIENCE_S):
            while not (line := await asyncio.to_thread(self._shell.stdout.readline)).startswith("ended with "):
                assert line, self.log
        return int(line.split()[-1])

    async def ready(self):
        """Its gateway lets clients in."""
        async with asyncio.timeout(_PATIENCE_S):
            while not await asyncio.to_thread(self._answers):
                await asyncio.sleep(0.02)

    @property
    def log(self):
        return (self.directory / "log").read_text()

    def _answers(self):
        with suppress(urllib.error.URLError, ConnectionError):
            return urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}/readyz", timeout=5).status == 200
        return False

    def _say(self, line):
        self._shell.stdin.write(line + "\n")
        self._shell.stdin.flush()

    def end(self):
        """Kill the shell, and all that it has started."""
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()
        self._log.close()


@contextmanager
def machines(directory, *names):
    """A machine of each name, all with the commands of the page."""
    path = directory / "bin"
    path.mkdir()
    penstock = f"exec {sys.executable} -c 'from gateway.cli import main; main()' \"$@\""
    valkey = f'exec {binary()} "$@"'
    for name, command in {"penstock": penstock, "valkey-server": valkey, "hostname": 'echo "$MACHINE"'}.items():
        (path / name).write_text(f"#!/bin/sh\n{command}\n")
        (path / name).chmod(0o755)
    ports = free_ports(*(f"{name} {door}" for name in names for door in ("fix", "ws", "admin")))
    found = []
    try:
        for name in names:
            (directory / name).mkdir()
            own = {door: ports[f"{name} {door}"] for door in ("fix", "ws", "admin")}
            found.append(Machine(name, directory / name, path, own))
        yield found
    finally:
        for each in found:
            each.end()


class Clients:
    """ALPHA over FIX, and BETA over WebSocket."""

    def __init__(self):
        self.alpha, self.beta = FixDesk("ALPHA"), WsDesk("BETA", "mm")
        self._count = 0

    async def come(self, fix, ws, *, reset):
        """Each logs on at a machine, again while that does not know yet that the last one is gone."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                with suppress(LogonRefused):
                    await self.alpha.logon(fix.ports["fix"], reset=reset)
                    break
                await asyncio.sleep(0.05)
        await self.beta.logon(ws.ports["ws"])

    async def rest(self):
        """ALPHA has an order open; its id."""
        self._count += 1
        name = f"a-{self._count}"
        self.alpha.client.place(name, BTC, "1", "1", "64000")
        await self.alpha.expect("8", {150: "0", 11: name})
        return name

    async def trade(self):
        """ALPHA and BETA trade, wherever each of them is."""
        name = await self.rest()
        await self.beta.place(f"b-{name}", "sell", "1", "64000")
        filled = await self.alpha.expect("8", {150: "F", 11: name})
        sold = await self.beta.expect(exec="trade", cl_ord_id=f"b-{name}")
        assert (filled[39], sold["status"]) == ("2", "filled")

    async def cancel(self, name):
        """It is open, and is not any more."""
        self.alpha.client.cancel(f"x-{name}", name, BTC, "1")
        await self.alpha.expect("8", {150: "4", 11: f"x-{name}"})

    async def go(self):
        """Both leave, in good order."""
        await self.alpha.client.logout()
        await self.beta.client.logout()


async def test_the_commands_of_the_page_lead_from_one_gateway_to_two_and_back(tmp_path):
    port = str(free_ports("redis")["redis"])
    guide = Guide(PAGE.read_text("utf-8"), {"6379": port, "/var/lib/penstock": str(tmp_path)})
    clients = Clients()
    with machines(tmp_path, "a", "b", "redis") as (a, b, far):
        guide.next("console", "penstock demo")  # tests/e2e/test_demo_nodes.py

        # one gateway, its core within
        a.type(guide.next("console", "penstock run"))
        await a.ready()
        await clients.come(a, a, reset=True)
        await clients.trade()
        await clients.go()
        a.type(guide.next("console", "kill"))
        assert await a.ended() == 0, a.log

        # the core as a process of its own: the session goes on with its numbers
        block = guide.next("ini", "[core]")
        for each in (a, b, far):
            each.add(block)
        alone = a.config.read_text()
        far.type(guide.next("console", "valkey-server"))
        a.type(guide.next("console", "penstock run"))
        await a.ready()
        await clients.come(a, a, reset=False)
        await clients.trade()
        kept = await clients.rest()
        await clients.go()
        a.type(guide.next("console", "kill"))
        assert await a.ended() == 0, a.log

        # two gateways: the two clients trade, each at another one
        block = guide.next("ini", "[cluster]")
        for each in (a, b, far):
            each.add(block)
        block = guide.next("console", "PENSTOCK_NODE")
        for each in (a, b):
            each.type(block)
        await a.ready()
        await b.ready()
        await clients.come(a, b, reset=True)
        await clients.cancel(kept)
        await clients.trade()

        # a session moves, by its client's wish
        moved = await clients.rest()
        clients.alpha.client.abort()
        await clients.alpha.client.closed.wait()
        await clients.beta.client.logout()
        await clients.come(b, a, reset=False)
        await clients.cancel(moved)
        await clients.trade()

        # and because its gateway is taken out, and put back
        stays = await clients.rest()
        await clients.beta.client.logout()
        guide.next("console", "docker compose")  # tests/test_deploy.py
        b.type(guide.next("console", "drain --wait"))
        await asyncio.wait_for(clients.alpha.client.closed.wait(), _PATIENCE_S)
        await clients.come(a, a, reset=False)
        await clients.cancel(stays)
        assert await b.ended() == 0, b.log
        b.type(guide.next("console", "PENSTOCK_NODE"))
        await b.ready()

        # back to one, and out of the cluster
        b.type(guide.next("console", "kill"))
        assert await b.ended() == 0, b.log
        await clients.trade()
        last = await clients.rest()
        await clients.go()
        a.type(guide.next("console", "kill"))
        assert await a.ended() == 0, a.log
        a.config.write_text(alone)
        a.type(guide.next("console", "penstock run"))
        await a.ready()
        await clients.come(a, a, reset=True)
        await clients.cancel(last)
        await clients.trade()
        await clients.go()
    assert guide.is_done
