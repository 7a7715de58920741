"""The shared limiter's figures beside their goals and its peers', in one run: `python tests/bench/limits_shared.py`.

Starts its own server, measures ours, then `redis-benchmark` where it is installed, then the peers in an environment of
their own (made once, in .tools), all on the same machine minutes apart. Read ratios, not absolutes.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import quantiles

import msgspec

from limits.bucket import MILLI
from limits.limiter import ALLOWED
from limits.policy_parse import parse
from limits.redis_store import RedisStore, script_text
from limits.reload import built_in
from limits.shared import SharedLimiter
from limits.store import Terms
from tests.support.fault_proxy import FaultProxy
from tests.support.hooks import ignore
from tests.support.many_processes import run, used
from tests.support.redis_server import RedisServer, redis_server

_ROOT = Path(__file__).parents[2]
_PEERS = _ROOT / ".tools" / "bench-peers"
_PEER_PACKAGES = ("limits[async-redis]", "redis", "throttled-py[redis]", "pyrate-limiter")
_WIDE = """
version = 2
[venue]
orders = { rate = "9000000/s", burst = 9000000 }
[plans.standard]
orders = { rate = "5000000/s", burst = 5000000 }
queries = { rate = "400000/s", burst = 4000000 }
[override."ACME/MM1"]
orders = { rate = "5000000/s", burst = 5000000 }
"""
_CLIENTS = """
version = 2
[plans.standard]
orders = { rate = "100/s", burst = 200 }
"""
_FAR = """
version = 2
[plans.standard]
orders = { rate = "20000/s", burst = 40000 }
"""
_STRICT_DECISIONS = 200_000
_STRICT_NODES = 10_000_000  # so many nodes that every bucket of this run is too small to lease


class Node:
    """One limiter on a store, ticking as a gateway does."""

    def __init__(self, store: RedisStore, text: str, nodes: int = 1) -> None:
        policy = parse(text, built_in()).policy
        assert policy is not None
        loop = asyncio.get_running_loop()
        self.ready = asyncio.Event()
        self.limiter = SharedLimiter(policy, store, "bench", nodes, time.monotonic_ns, loop.call_soon)
        self.limiter.connect(self._wake, ignore, ignore)

    def _wake(self) -> None:
        self.ready.set()
        self.ready = asyncio.Event()

    async def take(self, path: object, name: str = "orders") -> bool:
        """One decision, waited for."""
        while (decision := self.limiter.take(path, name, MILLI, time.monotonic_ns())).pending:
            await self.ready.wait()
        return decision is ALLOWED


class Report:
    """Lines of `what | goal | measured`."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def add(self, what: str, goal: str, measured: str, is_reached: bool = True) -> None:
        self.rows.append((what, goal, measured))
        print(f"{what:58} {goal:28} {measured:32} {'' if is_reached else 'missed'}".rstrip(), flush=True)


def percentiles(samples: list[float]) -> tuple[float, float, float]:
    """p50, p90, p99."""
    cuts = quantiles(samples, n=100)
    return cuts[49], cuts[89], cuts[98]


async def leased(server: RedisServer, report: Report) -> float:
    """The warm decision: latency of each, and how many a second."""
    store = RedisStore(server.unix_url, on_change=ignore)
    await store.open()
    node = Node(store, _WIDE)
    path = node.limiter.open("ACME", "MM1")
    for _ in range(60_000):
        await node.take(path)
    samples, take, clock = [], node.limiter.take, time.perf_counter_ns
    for _ in range(100):
        for _ in range(1_000):
            now_ns = time.monotonic_ns()
            began = clock()
            decision = take(path, "orders", MILLI, now_ns)
            samples.append(clock() - began)
            if decision.pending:
                await node.take(path)
        await asyncio.sleep(0)
    p50, _, p99 = percentiles([float(each) for each in samples])
    report.add(
        "leased decision, 3 levels, warm",
        "p50 <= 1 us, p99 <= 5 us",
        f"{p50 / 1e3:.2f} / {p99 / 1e3:.2f} us",
        p50 <= 1e3 and p99 <= 5e3,
    )
    began, done, pending = time.perf_counter(), 0, 0
    while time.perf_counter() - began < 1.5:
        now_ns = time.monotonic_ns()
        for _ in range(500):
            pending += take(path, "orders", MILLI, now_ns).pending
        done += 500
        await asyncio.sleep(0)
    per_s = (done - pending) / (time.perf_counter() - began)
    await store.close()
    return per_s


async def redis_cost(server: RedisServer, report: Report) -> None:
    """CPU that the server spends on a leased decision: one client at full speed, and 2,000 at 50 a second each."""
    store = RedisStore(server.unix_url, 200, on_change=ignore)
    await store.open()
    node = Node(store, _WIDE)
    path = node.limiter.open("ACME", "MM1")
    await node.take(path)
    cpu_s = server.cpu_s
    for _ in range(200_000):
        await node.take(path)
    cost_us = (server.cpu_s - cpu_s) / 200_000 * 1e6
    report.add("server CPU per leased decision, not binding", "<= 0.5 us", f"{cost_us:.2f} us", cost_us <= 0.5)
    node = Node(store, _CLIENTS)
    paths = [node.limiter.open(f"A{number}", "S") for number in range(2_000)]
    await asyncio.sleep(0.5)
    cpu_s, began, done, asked = server.cpu_s, time.perf_counter(), 0, 0
    while (elapsed := time.perf_counter() - began) < 4:
        now_ns = time.monotonic_ns()
        for number in range(asked, min(int(elapsed * 100_000), asked + 1_000)):
            done += not node.limiter.take(paths[number % 2_000], "orders", MILLI, now_ns).pending
        asked = min(int(elapsed * 100_000), asked + 1_000)
        node.limiter.tick(now_ns)
        await asyncio.sleep(0.001)
    cost_us = (server.cpu_s - cpu_s) / done * 1e6
    report.add(f"the same, {done / 4000:.0f} k/s over 2,000 clients", "<= 2 us", f"{cost_us:.2f} us", cost_us <= 2)
    with server.client() as client:
        report.add("memory per bucket", "<= 400 B", f"{client.memory_usage('gw:{A7}:account::orders')} B with a lease")
    await store.close()


async def strict(server: RedisServer, report: Report) -> float:
    """64 sessions, each waiting for the store to decide and then asking again, as the road has them do."""
    store = RedisStore(server.unix_url, 1_000, on_change=ignore)
    await store.open()
    node = Node(store, _WIDE, nodes=_STRICT_NODES)
    take, over = node.limiter.take, asyncio.Event()
    waiting = {node.limiter.open("ACME", f"S{number}"): time.perf_counter() for number in range(64)}
    samples: list[float] = []

    def ask_again() -> None:
        now_ns = time.monotonic_ns()
        for path, asked in waiting.items():
            if not take(path, "queries", MILLI, now_ns).pending:
                now = time.perf_counter()
                samples.append(now - asked)
                waiting[path] = now
                take(path, "queries", MILLI, now_ns)
        if len(samples) > _STRICT_DECISIONS:
            over.set()

    for path in waiting:
        take(path, "queries", MILLI, time.monotonic_ns())
    began, cpu_s = time.perf_counter(), time.process_time()
    node.limiter.connect(ask_again, ignore, ignore)
    await over.wait()
    per_s = len(samples) / (time.perf_counter() - began)
    cost_us = (time.process_time() - cpu_s) / len(samples) * 1e6
    node.limiter.connect(lambda: None, ignore, ignore)
    _, _, p99 = percentiles(samples)
    await store.close()
    report.add("strict decisions, 64 sessions: p99", "<= 1.5 ms", f"{p99 * 1e3:.2f} ms", p99 <= 0.0015)
    report.add("client CPU per strict decision", "<= 4 us", f"{cost_us:.2f} us", cost_us <= 4)
    return per_s


async def far_and_dead(server: RedisServer, report: Report) -> None:
    """A store 50 ms away, and then one that answers nothing any more."""
    proxy = FaultProxy(server.port)
    await proxy.start()
    proxy.delay_s = 0.025
    store = RedisStore(proxy.url, 500, on_change=ignore)
    await store.open()
    node = Node(store, _FAR)
    path = node.limiter.open("ACME", "MM1")
    for _ in range(500):
        await node.take(path)
        await asyncio.sleep(0.001)
    samples = []
    for _ in range(1_500):
        for _ in range(2):
            began = time.perf_counter()
            await node.take(path)
            samples.append(time.perf_counter() - began)
        await asyncio.sleep(0.001)
    _, p90, _ = percentiles(samples)
    quick = sum(sample < 0.001 for sample in samples) / len(samples)
    report.add(
        "store 50 ms away",
        "p90 <= 5 us, 97 % < 1 ms",
        f"{p90 * 1e6:.1f} us, {quick:.1%}",
        p90 <= 5e-6 and quick >= 0.97,
    )
    await store.close()
    proxy.delay_s = 0
    store = RedisStore(proxy.url, on_change=ignore)
    await store.open()
    node = Node(store, _CLIENTS)
    path = node.limiter.open("ACME", "MM2")
    await node.take(path)
    proxy.silent = True
    stalls = []
    for _ in range(1_000):
        began = time.perf_counter()
        await node.take(path)
        stalls.append(time.perf_counter() - began)
        await asyncio.sleep(0.001)
    stalls.sort()
    report.add(
        "store dead: longest stall, and the next",
        "<= 50 ms once, then 0",
        _two(stalls),
        stalls[-1] <= 0.05 and stalls[-2] <= 0.001,
    )
    proxy.cut()
    await store.close()
    await proxy.stop()


def greedy_nodes(server: RedisServer, report: Report) -> None:
    """How much of one account's rate several greedy processes get together."""
    for nodes, rate, burst in ((1, 500, 100), (4, 500, 100), (4, 50, 40), (8, 500, 200)):
        shares = sorted(used(run(server, nodes, rate, burst, seconds=2.0), rate, burst, 2.0) for _ in range(3))
        with server.client() as client:
            client.flushall()
        report.add(
            f"{nodes} greedy nodes, {rate}/s and a burst of {burst}",
            ">= 97 % used",
            f"{shares[1]:.1%}",
            shares[1] >= 0.97,
        )


def _two(stalls: list[float]) -> str:
    return f"{stalls[-1] * 1e3:.1f} ms, {stalls[-2] * 1e3:.2f} ms"


def redis_benchmark(server: RedisServer) -> float | None:
    """Calls a second of the same script with one decision each, 16 in a pipeline; None = it is not installed."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        return None
    with server.client() as client:
        sha = client.script_load(script_text())
    # Without a zero byte, at which redis-benchmark would cut its argument: even the position 0 is sent as text.
    request = msgspec.msgpack.encode(([Terms(2, 400, 1_000, 33_554_431, 1, 1)], [], [[MILLI, "0"]]))
    command = [program, "-s", server.socket_path, "-P", "16", "-n", "200000", "-c", "64", "--csv", "-x"]
    command += ["EVALSHA", sha, "1", "gw:{B}:account::queries"]
    ended = subprocess.run(command, input=request, capture_output=True, check=True)
    return float(ended.stdout.decode().splitlines()[-1].split('","')[1])


def peers(server: RedisServer) -> dict[str, float]:
    """Decisions a second of the peers, each with 64 tasks; empty where their environment cannot be made."""
    python = _PEERS / "bin" / "python"
    if not python.exists():
        uv = _ROOT / ".tools" / "bin" / "uv"
        made = subprocess.run([uv, "venv", "-q", "--python", sys.executable, _PEERS], check=False)
        if made.returncode:
            return {}
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *_PEER_PACKAGES], check=False)
    script = Path(__file__).with_name("limits_peers.py")
    ended = subprocess.run([python, "-I", script, server.url], capture_output=True, check=False, cwd=_PEERS)
    if ended.returncode:
        print(ended.stderr.decode()[-1000:], file=sys.stderr)
        return {}
    rates: dict[str, float] = json.loads(ended.stdout)
    return rates


def main() -> None:
    """Print the table."""
    report = Report()
    with redis_server() as server:
        leased_per_s = asyncio.run(leased(server, report))
        strict_per_s = asyncio.run(strict(server, report))
        asyncio.run(redis_cost(server, report))
        asyncio.run(far_and_dead(server, report))
        greedy_nodes(server, report)
        bare = redis_benchmark(server)
        others = peers(server)
    report.add("leased decisions/s, one process", "", f"{leased_per_s:,.0f}")
    report.add("strict decisions/s, 64 sessions", "", f"{strict_per_s:,.0f}")
    if bare is not None:
        report.add(
            "strict against redis-benchmark EVALSHA -P 16",
            ">= 0.9x",
            f"{strict_per_s / bare:.2f}x of {bare:,.0f}/s",
            strict_per_s >= 0.9 * bare,
        )
    for name, per_s in others.items():
        ratios = f"{leased_per_s / per_s:.0f}x and {strict_per_s / per_s:.1f}x of {per_s:,.0f}/s"
        report.add(
            f"leased and strict against {name}",
            ">= 50x, >= 10x",
            ratios,
            leased_per_s >= 50 * per_s and strict_per_s >= 10 * per_s,
        )
    if not others:
        print("the peers could not be installed", file=sys.stderr)


if __name__ == "__main__":
    main()
