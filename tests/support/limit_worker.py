"""Many nodes in processes of their own: each trades against one store in a pattern, and notes when it was admitted.

`python limit_worker.py URL NODES PLAN BUCKET PATTERN TIMEOUT_MS BEGIN_MS END_MS` forks the nodes (importing once for
all), prints their process ids, and at the end pairs "asked_ns admitted_ns", one a line. Times are CLOCK_MONOTONIC,
which all processes of a machine share; BEGIN and END count from the moment of the fork.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable

from limits.bucket import MILLI
from limits.limiter import ALLOWED
from limits.policy_parse import parse
from limits.redis_store import RedisStore
from limits.reload import built_in
from limits.shared import SharedLimiter
from tests.support.hooks import ignore

_MS_NS = 1_000_000


def greedy(_: int) -> bool:
    return True


def on_off(since_ns: int) -> bool:
    """100 ms of everything it can, 100 ms of nothing."""
    return since_ns // (100 * _MS_NS) % 2 == 0


def idle_then_burst(since_ns: int) -> bool:
    """Quiet for 900 ms of every second."""
    return since_ns % (1000 * _MS_NS) > 900 * _MS_NS


PATTERNS: dict[str, Callable[[int], bool]] = {
    "greedy": greedy,
    "on_off": on_off,
    "idle_then_burst": idle_then_burst,
}


async def trade(node: str, arguments: list[str], forked_ns: int) -> list[tuple[int, int]]:
    url, nodes, plan, bucket, pattern, timeout_ms, begin_ms, end_ms = arguments
    store = RedisStore(url, int(timeout_ms), on_change=ignore)
    await store.open()
    policy = parse(plan, built_in()).policy
    assert policy is not None
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    limiter = SharedLimiter(policy, store, node, int(nodes), time.monotonic_ns, loop.call_soon)
    limiter.connect(ready.set, ignore, ignore)
    begin_ns, end_ns = forked_ns + int(begin_ms) * _MS_NS, forked_ns + int(end_ms) * _MS_NS
    is_on = PATTERNS[pattern]
    await asyncio.sleep(max(begin_ns - time.monotonic_ns(), 0) / 1e9)
    path, admitted = limiter.open("ACME", node), []
    last_tick_ns = 0
    while (asked_ns := time.monotonic_ns()) < end_ns:
        now_ns = asked_ns
        if now_ns - last_tick_ns > 20 * _MS_NS:
            last_tick_ns = now_ns
            limiter.tick(now_ns)
        if not is_on(now_ns - begin_ns):
            await asyncio.sleep(0.002)
            continue
        ready.clear()
        decision = limiter.take(path, bucket, MILLI, now_ns)
        while decision.pending:
            await ready.wait()
            ready.clear()
            now_ns = time.monotonic_ns()
            decision = limiter.take(path, bucket, MILLI, now_ns)
        if decision is ALLOWED:
            admitted.append((asked_ns, time.monotonic_ns()))
        else:
            await asyncio.sleep(min(decision.wait_us / 1e6, 0.02))
    limiter.close()
    await store.close()
    return admitted


def fork(node: str, arguments: list[str], forked_ns: int) -> tuple[int, int]:
    """(process id, where its output can be read) of one node."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writable)
        return pid, readable
    with os.fdopen(writable, "w") as output:
        output.writelines(f"{asked} {admitted}\n" for asked, admitted in asyncio.run(trade(node, arguments, forked_ns)))
    os._exit(0)


def main(arguments: list[str]) -> None:
    forked_ns = time.monotonic_ns()
    nodes = [fork(f"n{number}", arguments, forked_ns) for number in range(int(arguments[1]))]
    print(*(pid for pid, _ in nodes), flush=True)
    for pid, readable in nodes:
        with os.fdopen(readable) as output:
            sys.stdout.write(output.read())
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
