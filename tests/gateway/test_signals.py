"""SIGTERM, SIGINT and SIGHUP at any time: while starting, serving, stopping, and after the stop."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from gateway.signals import Signals
from tests.support.server import free_ports, venue_toml, write_venue

ENDS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def signals():
    with Signals() as signals:
        yield signals


def send(number):
    """Signals this process; Python calls the handler before the next statement."""
    os.kill(os.getpid(), number)


def test_a_look_at_the_limits_that_comes_while_starting_is_made_by_the_start_itself(signals):
    send(signal.SIGHUP)


async def test_while_serving_they_are_calls_in_the_loop(signals):
    told, done = [], asyncio.Event()
    signals.serving(asyncio.get_running_loop(), lambda: told.append("stop"), lambda: told.append("reload"))
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        send(number)
    assert told == []
    asyncio.get_running_loop().call_soon(done.set)
    await done.wait()
    assert told == ["reload", "stop", "stop"]


def test_after_the_stop_they_are_nothing(signals):
    signals.ended()
    for number in (*ENDS, signal.SIGHUP):
        send(number)


def test_what_was_there_before_is_put_back():
    before = [signal.getsignal(number) for number in (*ENDS, signal.SIGHUP)]
    with Signals():
        pass
    assert [signal.getsignal(number) for number in (*ENDS, signal.SIGHUP)] == before


# -- the process ---------------------------------------------------------------------------------------------------

STARTED = """
from gateway.cli import main
from gateway.signals import Signals
init = Signals.__init__
Signals.__init__ = lambda self: (init(self), print(1, flush=True))[0]
main()
"""
READING = """
import gateway.journal.scan, time
from gateway.cli import main
def read_forever(_):
    print(1, flush=True)
    while True:
        time.sleep(0.01)
gateway.journal.scan.segment_paths = read_forever
main()
"""


def start(directory: Path, program: str = STARTED) -> tuple[subprocess.Popen[str], dict[str, int]]:
    """A gateway, once Python and the first lines of the gateway have run."""
    ports = free_ports("fix", "ws", "admin")
    command = [sys.executable, "-c", program, "run", "-c", str(write_venue(directory, venue_toml(ports=ports)))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process, ports


def is_ready(ports: dict[str, int]) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['admin']}/readyz", timeout=1):
            return True
    except OSError:
        return False


def ended(process: subprocess.Popen[str]) -> str:
    _, told = process.communicate(timeout=30)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    return told


def test_a_gateway_under_a_rain_of_signals_starts_and_stops_as_without_them(tmp_path):
    process, ports = start(tmp_path)
    while not is_ready(ports):
        process.send_signal(signal.SIGHUP)
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.002)
    ended(process)


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("after_s", [0.0, 0.4, 0.8])
def test_a_gateway_that_is_ended_while_it_starts_is_clean(tmp_path, number, after_s):
    process, _ = start(tmp_path)
    time.sleep(after_s)
    process.send_signal(number)
    ended(process)


def test_a_gateway_that_is_ended_while_it_reads_its_journal_says_so_and_is_gone_at_once(tmp_path):
    process, ports = start(tmp_path, READING)
    assert not is_ready(ports)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert "while it was starting" in ended(process)
