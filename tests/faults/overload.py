"""Overload: a core that crawls and pauses, ten times the rate it sustains, and one flood beside fifty polite clients.

`python -m tests.faults.overload` prints each figure with its goal; a test asserts the counts of `--short`.
The core works at a set rate (`tests.faults.slow_core`), so what is sustained is the core's doing and the gateway has to
shed the rest. Clients and gateway share the machine: latencies are those that the clients see, and each is held against
what the same gateway did unloaded in the same minute. Medians of three runs are shown, with their range.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, perf_counter_ns, time_ns

import msgspec
import uvloop

from docs.guarantees import Figure
from gateway.bench.venue import LIMITS
from gateway.config.load import load
from gateway.memory_bounds import memory_bounds
from protocols.fix.times import format_ns
from tests.support.order_load import (
    fix_logon,
    fix_message,
    fix_orders,
    load_toml,
    wait_started,
    ws_orders,
    ws_upgrade,
)
from tests.support.server import write_venue

_MARKS = {
    "fix": (b"\x01150=0\x01", b"\x01150=8\x01", b"\x0135=9\x01"),
    "ws": (b',"status":200,', b'"error":{', b"\0never"),
}
_CANCEL_EVERY_S = 0.02
_CANCEL_MS = 10.0
_STEP_S = 0.01
_MIB = 1 << 20
_RUNS = 3


class Reading(msgspec.Struct):
    """One figure of one run and its goal there: without a unit a count that must be exact, else at most, or a floor."""

    name: str
    value: float
    bound: float
    unit: str = ""
    is_floor: bool = False


class Trader(asyncio.Protocol):
    """Sends prepared orders and counts what comes back, by kind."""

    def __init__(self, door: str, n: int, orders: list[bytes]) -> None:
        self.accepted = self.refused = self.sent = 0
        self.waits_ns: list[int] = []
        self.ready = asyncio.Event()
        self.is_lost = False
        self._door, self._n, self._orders = door, n, orders
        self._marks = _MARKS[door]
        self._tails = [b"" for _ in self._marks]
        self._asked_ns: list[int] = []
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        now_ns = time_ns()
        self._transport.write(fix_logon(self._n, now_ns) if self._door == "fix" else ws_upgrade(self._n, now_ns))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True

    def data_received(self, data: bytes) -> None:
        if not self.ready.is_set():
            self.ready.set()
            return
        counts = []
        for number, mark in enumerate(self._marks):
            seen = self._tails[number] + data
            counts.append(seen.count(mark))
            self._tails[number] = seen[1 - len(mark) :]
        self.accepted += counts[0]
        self.refused += counts[1]
        now_ns = perf_counter_ns()
        for _ in range(counts[0] + counts[1] if self._orders else counts[2]):
            if self._asked_ns:
                self.waits_ns.append(now_ns - self._asked_ns.pop(0))

    def send(self, count: int, is_timed: bool = False) -> None:
        """The next orders."""
        batch = self._orders[self.sent : self.sent + count]
        self.sent += len(batch)
        if is_timed:
            self._asked_ns += [perf_counter_ns()] * len(batch)
        if batch:
            self._transport.write(b"".join(batch))

    def cancel(self) -> None:
        """A cancel of nothing: it walks the road to the core and back as any does."""
        self.sent += 1
        stamp = format_ns(time_ns(), 6)
        self._asked_ns.append(perf_counter_ns())
        self._transport.write(
            fix_message(
                f"35=F|34={self.sent + 1}|49=S{self._n}|52={stamp}|56=GATE|11=c-{self.sent}|41=nothing|54=1"
                f"|55=BTC-USDT|60={stamp}|"
            )
        )

    @property
    def answered(self) -> int:
        """Orders that have their one answer."""
        return self.accepted + self.refused


@contextmanager
def gateway(sessions: int, rate: float) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int], int]]:
    """A gateway over a core of so many commands a second: its process, its ports, and its computed bound of memory."""
    with tempfile.TemporaryDirectory() as name:
        text = load_toml(sessions, "process").replace("[fix]\n", "[fix]\nmax_connections = 200\n")
        path = write_venue(Path(name), text.replace("[ws]\n", "[ws]\nmax_connections = 200\n"), LIMITS)
        command = [sys.executable, "-m", "tests.faults.slow_core", str(path), str(rate)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            try:
                yield process, wait_started(process), sum(memory_bounds(load(path)).values())
            finally:
                process.kill()


@asynccontextmanager
async def traders(ports: dict[str, int], first: int, count: int, orders: int) -> AsyncIterator[list[Trader]]:
    """So many logged-on traders, half of them on each door; with orders = 0 they only cancel, over FIX."""
    loop, made = asyncio.get_running_loop(), []
    for n in range(first, first + count):
        door = "ws" if orders and n % 2 else "fix"
        prepared = ws_orders(n, orders, "rest") if door == "ws" else fix_orders(n, orders, "rest", time_ns())
        _, trader = await loop.create_connection(
            lambda door=door, n=n, prepared=prepared: Trader(door, n, prepared), "127.0.0.1", ports[door]
        )  # type: ignore[misc]
        await trader.ready.wait()
        made.append(trader)
    yield made
    for trader in made:
        trader._transport.abort()


def _take_p99_ms(many: list[Trader]) -> float:
    """Of what was waited for since the last call."""
    ordered = sorted(wait for trader in many for wait in trader.waits_ns)
    for trader in many:
        trader.waits_ns.clear()
    return ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)] / 1e6 if ordered else 0.0


def _bound_ms(calm_ms: float) -> float:
    """How long a cancel may take: 10 ms, or on a machine where a calm one takes long too, hardly more than that."""
    return max(_CANCEL_MS, 2 * calm_ms + 5)


def _peak_bytes(pid: int) -> int:
    line = next(row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


async def _offer(many: list[Trader], rate: float, seconds: float, cancels: list[Trader]) -> None:
    """Send at this rate whatever comes back, and a cancel from each canceller now and then."""
    began, given, next_cancel = perf_counter(), 0, 0.0
    while (passed := perf_counter() - began) < seconds:
        due = int(passed * rate)
        share = -(-(due - given) // len(many))
        if share > 0:
            for trader in many:
                trader.send(share)
            given += share * len(many)
        if passed >= next_cancel:
            next_cancel = passed + _CANCEL_EVERY_S
            for trader in cancels:
                trader.cancel()
        await asyncio.sleep(_STEP_S)


async def _settle(many: list[Trader], seconds: float) -> None:
    end = perf_counter() + seconds
    while perf_counter() < end and any(trader.answered < trader.sent for trader in many):
        await asyncio.sleep(0.05)


def _counts(what: str, many: list[Trader], pid: int, bound: int) -> list[Reading]:
    """What must hold exactly: an answer for each order, no session lost, memory within the bound."""
    sent, answered = sum(each.sent for each in many), sum(each.answered for each in many)
    lost, peak = sum(each.is_lost for each in many), _peak_bytes(pid)
    return [
        Reading(f"{what}: one answer for each order", answered, sent),
        Reading(f"{what}: sessions lost", lost, 0),
        Reading(f"{what}: memory", peak / _MIB, bound / _MIB, "MiB"),
    ]


async def crawl(rate: float, seconds: float) -> list[Reading]:
    """Half the core's rate from 20 sessions; the core crawls, pauses for five seconds, and goes on."""
    with gateway(21, rate) as (process, ports, bound):
        async with traders(ports, 1, 20, int(rate * seconds) // 20) as many, traders(ports, 21, 1, 0) as cancels:
            await _offer(many, rate / 2, seconds * 0.2, cancels)
            calm_ms = _take_p99_ms(cancels)
            process.send_signal(signal.SIGUSR2)
            await _offer(many, rate / 2, seconds * 0.2, [])
            process.send_signal(signal.SIGUSR2)
            process.send_signal(signal.SIGUSR1)
            await _offer(many, rate / 2, 5.2, [])
            _take_p99_ms(cancels)
            await _offer(many, rate / 2, seconds * 0.3, cancels)
            await _settle(many, 10)
            p99_ms, counts = _take_p99_ms(cancels), _counts("slow core", many, process.pid, bound)
    return [*counts, Reading("slow core: cancels after it resumes, p99", p99_ms, _bound_ms(calm_ms), "ms")]


async def tenfold(rate: float, seconds: float) -> list[Reading]:
    """Ten times what the core sustains: what gets through, and how long a cancel takes meanwhile.

    Held against what the same gateway did just before: all that the core carries out when it is offered little more,
    and a cancel's time at nine tenths of that.
    """
    calm_s = seconds / 4
    with gateway(21, rate) as (process, ports, bound):
        async with (
            traders(ports, 1, 20, int(rate * (10 * seconds + 3 * calm_s)) // 20 + 1) as many,
            traders(ports, 21, 1, 0) as cancels,
        ):
            await _offer(many, rate * 0.9, calm_s, cancels)
            calm_ms = _take_p99_ms(cancels)
            peak = await _accepted_per_s(many, rate * 1.2, calm_s, [])
            goodput = await _accepted_per_s(many, rate * 10, seconds, cancels)
            await _settle(many, 20)
            p99_ms, counts = _take_p99_ms(cancels), _counts("10x", many, process.pid, bound)
    share = 100 * goodput / peak
    return [
        Reading("10x: orders accepted, share of the peak", share, 90.0, "%", is_floor=True),
        Reading("10x: cancels, p99", p99_ms, _bound_ms(calm_ms), "ms"),
        *counts,
    ]


async def fairness(seconds: float, polite: int) -> list[Reading]:
    """One client sends all it can; the others, five orders a second each, must hardly feel it."""
    with gateway(polite + 1, 5_000.0) as (process, ports, bound):
        async with traders(ports, 1, polite, 1_000) as many, traders(ports, polite + 1, 1, 120_000) as floods:
            quiet_ms = await _polite(many, seconds)
            flood = asyncio.get_running_loop().create_task(_flood(floods[0]))
            flooded_ms = await _polite(many, seconds)
            flood.cancel()
            counts = _counts("one flood", many, process.pid, bound)
    return [Reading("one flood: p99 of the other clients", flooded_ms, 2 * quiet_ms + 5, "ms"), *counts]


async def _accepted_per_s(many: list[Trader], rate: float, seconds: float, cancels: list[Trader]) -> float:
    before, began = sum(each.accepted for each in many), perf_counter()
    await _offer(many, rate, seconds, cancels)
    return (sum(each.accepted for each in many) - before) / (perf_counter() - began)


async def _polite(many: list[Trader], seconds: float) -> float:
    _take_p99_ms(many)
    end = perf_counter() + seconds
    while perf_counter() < end:
        for trader in many:
            trader.send(1, is_timed=True)
            await asyncio.sleep(0.2 / len(many))
    await _settle(many, 5)
    return _take_p99_ms(many)


async def _flood(trader: Trader) -> None:
    while True:
        if trader.sent - trader.answered < 2_000:
            trader.send(200)
        await asyncio.sleep(0.001)


# -- several runs, one figure ----------------------------------------------------------------------------------------


def figure(readings: list[Reading]) -> Figure:
    """What several runs found: their median and range beside the median of their goals; a count holds in each run."""
    first, values = readings[0], sorted(each.value for each in readings)
    if not first.unit:
        short = max(readings, key=lambda each: abs(each.value - each.bound))
        return Figure(first.name, f"{short.bound:,.0f}", f"{short.value:,.0f}", short.value == short.bound)
    value, bound = median(values), median(each.bound for each in readings)
    if first.unit == "MiB":
        value = values[-1]
    spread = f" ({values[0]:,.1f} to {values[-1]:,.1f})" if len(values) > 1 and first.unit != "MiB" else ""
    goal = f"{'>=' if first.is_floor else '<='} {bound:,.1f} {first.unit}"
    return Figure(first.name, goal, f"{value:,.1f} {first.unit}{spread}", _holds(value, bound, first.is_floor))


def _holds(value: float, bound: float, is_floor: bool) -> bool:
    return value >= bound if is_floor else value <= bound


def main() -> int:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(description="overload, measured")
    parser.add_argument("--short", action="store_true", help="a few seconds, for the counts alone")
    parser.add_argument("--result", type=Path, help="write the figures here, as JSON")
    args = parser.parse_args()
    times = 1 if args.short else _RUNS
    rate, seconds = (2_000.0, 2.0) if args.short else (2_500.0, 10.0)
    runs: dict[str, list[Reading]] = {}
    for _ in range(times):
        for measure in (crawl(rate, seconds), tenfold(rate, seconds), fairness(seconds / 2, 10 if args.short else 50)):
            for reading in uvloop.run(measure):
                runs.setdefault(reading.name, []).append(reading)
    figures = [figure(readings) for readings in runs.values()]
    print(f"the core sustains {rate:,.0f} commands a second; {os.cpu_count()} cores; median of {times}, and the range")
    for each in figures:
        print(f"{each.name:44} {each.goal:>14} {each.measured:>28}  {'' if each.ok else 'missed'}")
    if args.result is not None:
        args.result.write_bytes(msgspec.json.encode(figures))
    return int(not all(each.ok for each in figures))


if __name__ == "__main__":
    sys.exit(main())
