"""A whole gateway for tests, on free ports of loopback: in this process (`running`) or in one of its own (`started`).

Both take the same configuration, as the text an operator would write, so each test also loads a configuration.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from gateway.config.schema import Config
from gateway.core.matching import MatchingCore
from gateway.journal import Journal
from gateway.server import Server
from tests.support.venue_rows import BTC, ETH, account_row, key_row, public_key_of, session_row

ACCOUNTS = ("ALPHA", "BETA")
SESSIONS = "".join(session_row(number, name) for number, name in enumerate(ACCOUNTS, 1))
GENEROUS = """
version = 1
[plans.open]
orders = { rate = "10000/s", burst = 10000 }
cancels = { rate = "10000/s", burst = 10000 }
queries = { rate = "1000/s", burst = 1000 }
msgs = { rate = "10000/s", burst = 10000 }
logons = { rate = "1000/s", burst = 1000 }
open_orders = { account = 1000000, instrument = 1000000 }
[assign]
default = "open"
"""
_VENUE = """
[fix]
refusal_delay_ms = 50
{fix}
[[fix.listeners]]
port = {fix_port}
insecure = true
{sessions}
[ws]
port = {ws_port}
{ws}
[admin]
port = {admin_port}

{instruments}
[limits]
file = "limits.toml"
{store}

[logs]
level = "warning"
"""


def venue_toml(
    *,
    fix: str = "",
    ws: str = "",
    store: str = "",
    sessions: str = SESSIONS,
    ports: Mapping[str, int] | None = None,
    more: str = "",
) -> str:
    """A gateway.toml with two accounts and two instruments; `fix` and `ws` are knobs of those tables, `store` one of
    `limits`, port 0 = any.
    """
    port = {"fix": 0, "ws": 0, "admin": 0, **(ports or {})}
    text = _VENUE.format(
        fix=fix,
        ws=ws,
        store=store,
        instruments=BTC + ETH,
        sessions=sessions,
        fix_port=port["fix"],
        ws_port=port["ws"],
        admin_port=port["admin"],
    )
    rows = (account_row(number, name) + key_row(name) for number, name in enumerate(ACCOUNTS, 1))
    return text + "".join(rows) + more


def more_keys(account: str, *names: str) -> str:
    """The rows of other keys of an account: `key-<name>` each, made from its name."""
    return "".join(key_row(account, f"key-{name}", public_key_of(name)) for name in names)


def write_venue(directory: Path, text: str, limits: str = GENEROUS) -> Path:
    """Write both files of a venue; the path of gateway.toml."""
    (directory / "limits.toml").write_text(limits, encoding="utf-8")
    path = directory / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return path


@asynccontextmanager
async def running(
    venue: str | Config | None = None, *, limits: str = GENEROUS, core: MatchingCore | None = None
) -> AsyncIterator[Server]:
    """A started server in this process and loop, stopped at the end. `server.ports` has the ports by door."""
    from gateway.config.load import load

    with tempfile.TemporaryDirectory(prefix="penstock-test-") as name:
        directory = Path(name)
        if isinstance(venue, Config):
            config = venue
            (directory / "limits.toml").write_text(limits, encoding="utf-8")
        else:
            config = load(write_venue(directory, venue or venue_toml(), limits))
        server = Server(config, directory, core)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


def free_ports(*names: str) -> dict[str, int]:
    """A free port for each name: all are held while choosing, so they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = {name: sock.getsockname()[1] for name, sock in zip(names, sockets, strict=True)}
    for sock in sockets:
        sock.close()
    return ports


_SAID = 4_000  # characters of the end of what a process said


@contextmanager
def started(
    directory: Path, *, limits: str = GENEROUS, open_files: int = 0, ready_s: float = 15.0, **knobs: str
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int]]]:
    """`penstock run` as a process of its own, ready when this yields it and its ports; killed at the end.

    open_files: how many it may have, below 0 = only the soft limit is that; 0 = as many as we.
    """
    ports = free_ports("fix", "ws", "admin")
    path = write_venue(directory, venue_toml(ports=ports, **knobs), limits)
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", "-c", str(path)]
    if open_files:
        kind = "-n" if open_files > 0 else "-Sn"
        command = ["sh", "-c", f'ulimit {kind} {abs(open_files)}; exec "$@"', "sh", *command]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        wait_ready(f"http://127.0.0.1:{ports['admin']}/readyz", process, ready_s)
        yield process, ports
    finally:
        if process.poll() is None:
            process.kill()
        if process.stderr is not None and not process.stderr.closed:  # else what it said was read: it did not start
            process.communicate()


def wait_ready(url: str, process: subprocess.Popen[bytes], timeout_s: float = 15.0) -> None:
    """Wait until `url` answers 200, or fail with what the process said on standard error."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(f"exit status {process.returncode}: {process.communicate()[1].decode()}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
    process.kill()
    raise AssertionError(f"{url} is not ready after {timeout_s} s: {process.communicate()[1].decode()[-_SAID:]}")


async def until(condition: object, timeout_s: float = 5.0) -> None:
    """Wait until the callable is true; for facts of the server that no message tells."""
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


def let_go(server: Server) -> None:
    """What the operating system does for a process that was killed: a test has many, and no end of its own."""
    assert isinstance(server.journal, Journal)
    server.journal._writer.release()
