"""The example cores of the manual, each as a process of its own, keep every promise, also when they are killed.

Modules: remote.conform.examine, remote.conform.restart_command.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.remote.conform.examine import ExamTerms, examine
from gateway.remote.conform.promises import PROMISES
from gateway.remote.conform.restart_command import restart_by
from gateway.remote.keys import Keys
from gateway.remote.pipe import address_of
from tests.support.desks import ws_desk
from tests.support.redis_server import RedisServer
from tests.support.server import running as gateway
from tests.support.server import venue_toml

EXAMPLES = Path(__file__).parents[4] / "docs" / "connect" / "examples"
INSTRUMENTS = '{"1":["BTC-USDT",2,8],"2":["ETH-USDT",2,4]}'
AGAIN = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "qty": "1", "price": "64000", "cl_ord_id": "a-1"}
_START = "{{ kill -9 $(cat {pid}) || true; }} 2>>{log}; {command} 2>>{log} & echo $! > {pid}"


@pytest.fixture(scope="module")
def store():
    with RedisServer("--appendonly", "yes") as server:
        yield server


@contextmanager
def running(store, directory, *command):
    """An example as a process; yields the command that kills it and starts it again, as an operator would write it."""
    store.client().flushall()
    pid, log = directory / "pid", directory / "log"
    words = " ".join(f"'{each}'" for each in (*command, store.url, "penstock", INSTRUMENTS))
    restart = _START.format(pid=pid, log=log, command=words)
    subprocess.run(["sh", "-c", restart], check=True)
    try:
        end = time.monotonic() + 30
        while not store.client().hexists(Keys("penstock").core, "version"):
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.01)
        yield restart
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


async def examined(store, restart):
    verdicts = []
    by = restart_by(restart, 10)
    terms = ExamTerms(Keys("penstock"), address_of(store.unix_url), 900_000_001, 0, 20, 20, by, False)
    await examine(terms, lambda said: None, verdicts.append)
    return verdicts


_EACH = pytest.mark.parametrize(
    "command",
    [
        pytest.param((sys.executable, "core.py"), id="python"),
        pytest.param(
            ("node", "core.mjs"),
            id="node",
            marks=pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here"),
        ),
    ],
)


@_EACH
async def test_an_example_core_keeps_every_promise(store, tmp_path, command):
    with running(store, tmp_path, command[0], EXAMPLES / command[1]) as restart:
        verdicts = await examined(store, restart)
    assert [verdict for verdict in verdicts if verdict.state != "kept"] == [], (tmp_path / "log").read_text()
    assert len(verdicts) == len(PROMISES)


@_EACH
async def test_clients_trade_through_a_gateway_with_an_example_core_that_is_killed_between(store, tmp_path, command):
    link = f'\n[core]\nlink = "redis"\nredis = "{store.unix_url}"\nreopen_after_ms = 0\n'
    with running(store, tmp_path, command[0], EXAMPLES / command[1]) as restart:
        async with gateway(venue_toml(more=link)) as server:
            port = server.ports["ws"]
            async with ws_desk(port, "ALPHA") as alpha, ws_desk(port, "BETA") as beta:
                await alpha.place("a-1", "sell", "0.5", "64250.50")
                await restart_by(restart, 10)()
                filled = await beta.place("b-1", "buy", "0.2", "64251.00", tif="ioc")
                assert (filled["status"], filled["cum_qty"]) == ("filled", "0.20000000")
                trade = await alpha.expect(exec="trade", cl_ord_id="a-1")
                assert (trade["last_qty"], trade["last_px"], trade["leaves_qty"]) == (
                    "0.20000000", "64250.50", "0.30000000",
                )  # fmt: skip
                again = await alpha.refusal("order.place", AGAIN)
                assert again["name"] == "duplicate_id"


@pytest.mark.parametrize("name", ["core.py", "core.mjs"])
def test_an_example_uses_nothing_of_ours(name):
    lines = (EXAMPLES / name).read_text("utf-8").splitlines()
    assert [line for line in lines if "import" in line and any(room in line for room in ("gateway", "protocols"))] == []
