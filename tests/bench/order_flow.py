"""What one order costs from its bytes to its answer's: `make bench`, or `python tests/bench/order_flow.py`.

Two tables. In process: endpoints, road and the embedded core, without sockets; CPU time of this process. Over loopback:
`penstock run` in a process of its own, plain TCP, and a client that only counts answers; CPU time of the server alone
(/proc, Linux), latency as the client sees it. Orders are encoded beforehand. The best of three runs is printed.

Every order is validated, charged to its limits, queued, matched, numbered and answered. `memory`, `process` and `disk`
are the durability of the journal.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns, process_time_ns, time_ns
from typing import Any

import uvloop

from gateway.serving import spare_collector
from tests.bench.in_process import InProcessGateway, ready_orders
from tests.support.order_load import (
    UNLIMITED,
    Door,
    Flow,
    fix_logon,
    load_toml,
    wait_started,
    ws_upgrade,
)
from tests.support.server import write_venue

_ORDERS = 40_000
_RUNS = 3
_SHAPES: tuple[tuple[Flow, int, int], ...] = (
    ("rest", 1, 1),
    ("rest", 1, 64),
    ("rest", 50, 8),
    ("trade", 50, 8),
    ("rest", 200, 8),
)
_RECORDED: tuple[tuple[Door, Flow, int, int, str], ...] = (
    ("fix", "rest", 1, 1, "disk"),
    ("fix", "rest", 50, 8, "process"),
    ("fix", "rest", 50, 8, "disk"),
    ("ws", "rest", 50, 8, "process"),
    ("ws", "rest", 50, 8, "disk"),
)
_MARKERS: dict[Door, bytes] = {"fix": b"\x01150=0\x01", "ws": b',"status":200,'}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# -- in process ------------------------------------------------------------------------------------------------------


def _in_process(door: Door, flow: Flow, sessions: int, in_flight: int, directory: Path) -> float:
    """Microseconds of CPU per order."""
    gateway = InProcessGateway(door, flow, sessions, in_flight, _ORDERS, directory)
    spare_collector()
    began = process_time_ns()
    for turn in range(gateway.turns):
        gateway.turn(turn, gateway.server.now_ns)
    spent = process_time_ns() - began
    return spent / gateway.accepted() / 1_000


# -- over loopback ---------------------------------------------------------------------------------------------------


class _Client(asyncio.Protocol):
    """Keeps `in_flight` orders unanswered until all are sent; notes how long each took."""

    def __init__(self, orders: list[bytes], in_flight: int, marker: bytes, greeting: bytes, welcome: bytes) -> None:
        self.waits_ns: list[int] = []
        self.ready = asyncio.Event()
        self.done = asyncio.Event()
        self._orders = orders
        self._in_flight = in_flight
        self._marker = marker
        self._greeting = greeting
        self._welcome = welcome
        self._tail = b""
        self._next = 0
        self._sent_at: deque[int] = deque()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._transport.write(self._greeting)

    def start(self) -> None:
        self._send(self._in_flight)

    def data_received(self, data: bytes) -> None:
        data = self._tail + data
        if not self.ready.is_set():
            self._tail = data
            if self._welcome in data:
                self._tail = b""
                self.ready.set()
            return
        answers = data.count(self._marker)
        self._tail = data[1 - len(self._marker) :]
        if not answers:
            return
        now = perf_counter_ns()
        for _ in range(answers):
            self.waits_ns.append(now - self._sent_at.popleft())
        self._send(answers)
        if not self._sent_at:
            self.done.set()

    def _send(self, count: int) -> None:
        batch = self._orders[self._next : self._next + count]
        self._next += len(batch)
        if batch:
            now = perf_counter_ns()
            self._sent_at.extend([now] * len(batch))
            self._transport.write(b"".join(batch))

    def connection_lost(self, exc: Exception | None) -> None:
        assert self.done.is_set(), "the server closed the connection"


@contextmanager
def _server(sessions: int, durability: str, directory: Path) -> Iterator[tuple[int, dict[str, int]]]:
    """`penstock run` in a process of its own: its pid and ports."""
    path = write_venue(directory, load_toml(sessions, durability), UNLIMITED)
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", "-c", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            yield process.pid, wait_started(process)
        finally:
            process.kill()


def _cpu_s(pid: int) -> float:
    """CPU seconds that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


async def _load(door: Door, flow: Flow, sessions: int, in_flight: int, pid: int, port: int) -> tuple[float, float]:
    """(CPU seconds of the server, seconds) for all orders; then the clients' waits are in `_waits_ns`."""
    loop = asyncio.get_running_loop()
    count = _ORDERS // sessions
    welcome = b"\x0135=A\x01" if door == "fix" else b'"ev":"hello"'
    clients: list[_Client] = []
    for n in range(1, sessions + 1):
        greeting = fix_logon(n, time_ns()) if door == "fix" else ws_upgrade(n, time_ns())
        client = _Client(ready_orders(door, n, count, flow, time_ns()), in_flight, _MARKERS[door], greeting, welcome)
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
        clients.append(client)
        await client.ready.wait()
    cpu_s, began = _cpu_s(pid), perf_counter_ns()
    for client in clients:
        client.start()
    for client in clients:
        await client.done.wait()
    spent_s, took_s = _cpu_s(pid) - cpu_s, (perf_counter_ns() - began) / 1e9
    _waits_ns[:] = sorted(wait for client in clients for wait in client.waits_ns)
    return spent_s, took_s


_waits_ns: list[int] = []


def _over_loopback(
    door: Door, flow: Flow, sessions: int, in_flight: int, durability: str, directory: Path
) -> tuple[float, ...]:
    """Microseconds of server CPU per order, orders a second, p50 and p99 in microseconds."""
    with _server(sessions, durability, directory) as (pid, ports):
        spent_s, took_s = uvloop.run(_load(door, flow, sessions, in_flight, pid, ports[door]))
    waits = _waits_ns
    p50, p99 = waits[len(waits) // 2] / 1_000, waits[len(waits) * 99 // 100] / 1_000
    return spent_s / len(waits) * 1e6, len(waits) / took_s, p50, p99


# -- the tables ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Print both tables."""
    doors: tuple[Door, ...] = ("fix", "ws")
    cases = [(door, *shape) for door in doors for shape in _SHAPES]
    print(f"in process, best of {_RUNS}           CPU per order  per CPU-second", flush=True)
    for case in cases:
        best = min(_run(_in_process, *case) for _ in range(_RUNS))
        print(f"{_title(*case, 'memory')}{best:10.1f} us{1e6 / best:16,.0f}", flush=True)
    print(
        f"\nover loopback, best of {_RUNS}        CPU per order  per CPU-second   orders/s       p50       p99",
        flush=True,
    )
    for recorded in [*((*case, "memory") for case in cases), *_RECORDED]:
        cost, rate, p50, p99 = min(_run(_over_loopback, *recorded) for _ in range(_RUNS))
        figures = f"{cost:10.1f} us{1e6 / cost:16,.0f}{rate:11,.0f}{p50:7,.0f} us{p99:7,.0f} us"
        print(f"{_title(*recorded)}{figures}", flush=True)


def _title(door: str, flow: str, sessions: int, in_flight: int, durability: str) -> str:
    return f"{door:4}{flow:6}{sessions:4} x {in_flight:<4}{durability:10}"


def _run(measure: Callable[..., Any], *case: Any) -> Any:
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        return measure(*case, Path(name))


if __name__ == "__main__":
    main()
