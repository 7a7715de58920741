"""Who is measured: Penstock with each journal, the checkout before, and other people's servers, each in its process."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from gateway.bench.failed import BenchFailed
from gateway.bench.load import Door
from gateway.bench.venue import CODE, KEY, Gateway, own_gateway
from gateway.bench.wires import FixWire, Identity, Wire, WsWire
from tests.support.redis_server import redis_server

OURS = ("memory", "process", "disk")
LINKED = ("link", "cluster")
BEFORE = "before"
_FIX, _WS = Identity(), Identity(key=KEY)


class Peer(msgspec.Struct, frozen=True):
    """Somebody else's server. module: of tests.bench.peers; arguments: after the number of sessions."""

    module: str
    title: str
    wire: Wire
    arguments: tuple[str, ...] = ()


_JSON_ECHO = WsWire(_WS, accepted=b"order.place", welcome=b"HTTP/1.1 101")
PEERS = {
    "quickfix": Peer("quickfix_acceptor", "QuickFIX C++ with quickfix-py, messages in memory", FixWire(_FIX)),
    "simplefix": Peer("simplefix_acceptor", "simplefix on uvloop, nothing checked", FixWire(_FIX)),
    "echo": Peer("uvloop_echo", "uvloop TCP echo", FixWire(_FIX, accepted=b"\x0135=D\x01")),
    "aiohttp": Peer("aiohttp_echo", "aiohttp JSON echo", _JSON_ECHO, ("json",)),
    "aiohttp-orjson": Peer("aiohttp_echo", "aiohttp JSON echo with orjson", _JSON_ECHO, ("orjson",)),
}


@contextmanager
def contender(name: str, door: str, sessions: int, accounts: int, before: Path | None) -> Iterator[Door]:
    """Its door, started for one measurement. before: the checkout of `BEFORE`.

    Raises:
        BenchFailed: it did not start.
    """
    if name in PEERS:
        with _peer(name, sessions) as target:
            yield target
        return
    if name in LINKED:
        with _linked(name, sessions, accounts) as gateway:
            yield Door(FixWire(_FIX) if door == "fix" else WsWire(_WS), "127.0.0.1", gateway.ports[door], gateway.pid)
        return
    durability, code = (name, CODE) if name in OURS else ("memory", before or CODE)
    with own_gateway(sessions, durability, accounts, code) as gateway:  # type: ignore[arg-type]
        yield Door(FixWire(_FIX) if door == "fix" else WsWire(_WS), "127.0.0.1", gateway.ports[door], gateway.pid)


@contextmanager
def _linked(name: str, sessions: int, accounts: int) -> Iterator[Gateway]:
    """A gateway whose core is another process behind Valkey, which syncs its file once a second; alone, or as one of
    several, with its sessions and limits there too.
    """
    with (
        tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory,
        redis_server("--appendonly", "yes") as store,
        redis_server() as limits,
        ExitStack() as stack,
    ):
        config = Path(directory) / "gateway.toml"

        def amend(text: str) -> str:
            text += f'[core]\nlink = "redis"\nredis = "{store.unix_url}"\nwindow = 4096\n'
            if name == "cluster":
                text = text.replace("[limits]\n", f'[limits]\nredis = "{limits.unix_url}"\n') + "[cluster]\n"
            config.write_text(text.replace('file = "limits.toml"', 'file = ""'))
            core = [sys.executable, "-c", "from gateway.cli import main; main()", "core", "-c", str(config)]
            process = stack.enter_context(subprocess.Popen(core, cwd=CODE, stderr=subprocess.DEVNULL))
            stack.callback(process.kill)
            return text

        with own_gateway(sessions, accounts=accounts, amend=amend) as gateway:
            yield gateway


@contextmanager
def _peer(name: str, sessions: int) -> Iterator[Door]:
    peer = PEERS[name]
    command = [sys.executable, "-m", f"tests.bench.peers.{peer.module}", str(sessions), *peer.arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CODE) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise BenchFailed(f"{peer.module} did not start (exit status {process.wait()})")
            yield Door(peer.wire, "127.0.0.1", int(line), process.pid)
        finally:
            process.kill()
