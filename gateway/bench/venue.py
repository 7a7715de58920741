"""A gateway for one measurement: `penstock run` in a process, on free loopback ports, with limits that never bind.

Each session has an account of its own unless told otherwise. FIX sessions have no credentials; WebSocket keys are all
one well-known key, which is good for nothing else.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.bench.failed import BenchFailed

Durability = Literal["memory", "process", "disk"]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_LOOK_EVERY_S = 0.005
CODE = Path(__file__).parents[2]

LIMITS = """\
version = 1
[plans.load]
orders = { rate = "10000000/s", burst = 10000000 }
cancels = { rate = "10000000/s", burst = 10000000 }
queries = { rate = "10000000/s", burst = 10000000 }
msgs = { rate = "10000000/s", burst = 10000000 }
logons = { rate = "10000000/s", burst = 10000000 }
open_orders = { account = 10000000, instrument = 10000000 }
[assign]
default = "load"
"""
_HEAD = """\
[fix]
max_connections = {connections}
[[fix.listeners]]
port = 0
insecure = true
[ws]
port = 0
max_connections = {connections}
[limits]
file = "limits.toml"
[stream]
retain_events = 1000
[journal]
durability = "{durability}"
[logs]
level = "info"
[[instruments]]
id = 1
symbol = "BTC-USDT"
base = "BTC"
quote = "USDT"
px_exp = 2
qty_exp = 8
tick = "0.01"
lot = "0.00000001"
min_notional = "5"
band_low = "1000"
band_high = "1000000"
"""


class Gateway(msgspec.Struct, frozen=True):
    """A running gateway. ports: by door, `fix` and `ws`."""

    pid: int
    ports: dict[str, int]


def venue_toml(sessions: int, durability: Durability, accounts: int = 0) -> str:
    """gateway.toml with sessions S1, S2, ... and keys K1, K2, ... of so many accounts; 0 = one for each."""
    owners = accounts or sessions
    public = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
    rows = [_HEAD.format(connections=sessions + 100, durability=durability)]
    rows += [f'[[accounts]]\nid = {n}\nname = "A{n}"\n' for n in range(1, owners + 1)]
    for n in range(1, sessions + 1):
        account = f"A{(n - 1) % owners + 1}"
        rows.append(
            f'[[fix.sessions]]\nid = {n}\ncomp_id = "S{n}"\naccount = "{account}"\nauth = "none"\n'
            f'dialect = "penstock"\n[[keys]]\nid = "K{n}"\naccount = "{account}"\npublic_key = "{public}"\n'
        )
    return "".join(rows)


@contextmanager
def own_gateway(
    sessions: int,
    durability: Durability = "memory",
    accounts: int = 0,
    code: Path = CODE,
    amend: Callable[[str], str] = str,
) -> Iterator[Gateway]:
    """A gateway whose doors are open, killed at the end. code: the checkout that it is started from. amend: changes its
    configuration.

    Raises:
        BenchFailed: it ended instead; the text has what it said.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        directory = Path(name)
        (directory / "limits.toml").write_text(LIMITS, encoding="utf-8")
        path = directory / "gateway.toml"
        path.write_text(amend(venue_toml(sessions, durability, accounts)), encoding="utf-8")
        command = [sys.executable, "-P", "-c", "from gateway.cli import main; main()", "run", "-c", str(path)]
        environment = {**os.environ, "PYTHONPATH": str(code)}
        log = directory / "log"
        with (
            log.open("wb") as output,
            subprocess.Popen(command, stderr=output, env=environment, cwd=directory) as process,  # noqa: S603 ours
        ):
            try:
                yield Gateway(process.pid, _started(process, log))
            finally:
                process.kill()


def _started(process: "subprocess.Popen[bytes]", log: Path) -> dict[str, int]:
    """The ports that the gateway has logged, when it has."""
    while True:
        ended = process.poll() is not None
        lines = log.read_bytes().splitlines()
        for line in lines:
            if b'"gateway.started"' in line and line.endswith(b"}"):
                ports: dict[str, int] = json.loads(line)["ports"]
                return ports
        if ended:
            told = b"\n".join(lines[-5:]).decode("utf-8", "replace")
            raise BenchFailed(f"the gateway did not start (exit status {process.returncode}): {told}")
        time.sleep(_LOOK_EVERY_S)
