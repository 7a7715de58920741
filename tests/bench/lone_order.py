"""What a lone order costs above a bare echo: `python -m tests.bench.lone_order [TREE ...]`.

One client, one unanswered order, over loopback: nothing is shared with other orders, so the turn of the event loop is
paid for by one. The same client sends the same bytes to a bare uvloop echo. All servers run from the start, and take
short turns, so that the machine's moods hit all alike. TREE: another checkout, to compare with.

The client has a core of its own, and the servers share another. CPU is that of the server's process alone
(/proc/PID/schedstat, Linux). Printed are lower quartiles over the rounds: other work on the machine only adds.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import quantiles
from time import perf_counter_ns, time_ns
from typing import NamedTuple

from gateway.bench.venue import LIMITS
from tests.bench.in_process import ready_orders
from tests.support.order_load import Door, fix_logon, load_toml, wait_started, ws_upgrade
from tests.support.server import write_venue

_ROUNDS = 32
_ORDERS = 600  # of a round
_CLIENTS_CORE, _SERVERS_CORE = {0}, {1}
_HERE = Path.cwd()
_WELCOME: dict[Door, bytes] = {"fix": b"\x0135=A\x01", "ws": b'"ev":"hello"'}
_ANSWER: dict[Door, bytes] = {"fix": b"\x01150=0\x01", "ws": b'"ev":"order"'}
_ECHO = """
import asyncio, uvloop
class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(data)
async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
uvloop.run(main())
"""


class Round(NamedTuple):
    """Of one round, in microseconds: CPU of the server per order, and the client's wait."""

    cpu_us: float
    p50_us: float
    p99_us: float


class Line:
    """One client of one server. marker: what the last bytes of an answer contain; empty = what was sent."""

    def __init__(
        self, pid: int, port: int, orders: list[bytes], marker: bytes, greeting: bytes, welcome: bytes
    ) -> None:
        self._schedstat = Path(f"/proc/{pid}/schedstat")
        self._orders = iter(orders)
        self._marker = marker
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if greeting:
            self._socket.sendall(greeting)
            self._await(welcome)

    def _await(self, marker: bytes) -> None:
        heard = b""
        while marker not in heard:
            heard += self._socket.recv(65_536) or sys.exit("the server closed the connection")

    def round(self) -> Round:
        """Send the next orders, each after the answer to the one before."""
        waits: list[int] = []
        began_ns = self._cpu_ns()
        for _ in range(_ORDERS):
            order, sent_ns = next(self._orders), perf_counter_ns()
            self._socket.sendall(order)
            self._await(self._marker or order)
            waits.append(perf_counter_ns() - sent_ns)
        waits.sort()
        cpu_us = (self._cpu_ns() - began_ns) / _ORDERS / 1_000
        return Round(cpu_us, waits[_ORDERS // 2] / 1_000, waits[_ORDERS * 99 // 100] / 1_000)

    def _cpu_ns(self) -> int:
        return int(self._schedstat.read_text().split()[0])


@contextmanager
def _gateway(tree: Path, directory: Path) -> Iterator[tuple[int, dict[str, int]]]:
    """`penstock run` of that checkout: its pid and ports."""
    path = write_venue(directory, load_toml(2), LIMITS)
    command = [tree / ".venv/bin/python", "-c", "from gateway.cli import main; main()", "run", "-c", path]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tree) as process:
        try:
            yield process.pid, wait_started(process)
        finally:
            process.kill()


def _lines(tree: Path, pid: int, ports: dict[str, int]) -> Iterator[tuple[str, Line]]:
    doors: tuple[Door, ...] = ("fix", "ws")
    for n, door in enumerate(doors, 1):  # an account each: both number their orders alike
        orders = ready_orders(door, n, _ROUNDS * _ORDERS, "rest", time_ns())
        greeting = fix_logon(n, time_ns()) if door == "fix" else ws_upgrade(n, time_ns())
        yield f"{door} {tree.name}", Line(pid, ports[door], orders, _ANSWER[door], greeting, _WELCOME[door])


def _quartile(values: list[float]) -> float:
    return quantiles(values, n=4)[0]


def main() -> None:
    """Print the table."""
    os.sched_setaffinity(0, _SERVERS_CORE)  # the servers inherit it
    trees = [_HERE, *(Path(word).resolve() for word in sys.argv[1:])]
    with ExitStack() as stack:
        echo = stack.enter_context(subprocess.Popen([sys.executable, "-c", _ECHO], stdout=subprocess.PIPE, text=True))
        stack.callback(echo.kill)
        assert echo.stdout is not None
        port = int(echo.stdout.readline())
        orders = ready_orders("fix", 1, _ROUNDS * _ORDERS, "rest", time_ns())
        lines = {"echo": Line(echo.pid, port, orders, b"", b"", b"")}
        for tree in trees:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-"))
            lines.update(_lines(tree, *stack.enter_context(_gateway(tree, Path(name)))))
        os.sched_setaffinity(0, _CLIENTS_CORE)
        rounds = [{name: line.round() for name, line in lines.items()} for _ in range(_ROUNDS)]
    print(f"{'1 x 1, memory':24}CPU per order  above echo       p50       p99")
    for name in lines:
        cpu, p50, p99 = (_quartile(list(each)) for each in zip(*(one[name] for one in rounds), strict=True))
        above = _quartile([one[name].cpu_us - one["echo"].cpu_us for one in rounds])
        print(f"{name:24}{cpu:10.1f} us{above:9.1f} us{p50:7,.0f} us{p99:7,.0f} us")


if __name__ == "__main__":
    main()
