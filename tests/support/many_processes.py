"""Several processes that trade against one real store, for the tests and the bench of what they get together."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.redis_server import RedisServer

_ROOT = Path(__file__).parents[2]
_WORKER = Path(__file__).with_name("limit_worker.py")
_BEGIN_MS = 200


def plan(rate: int, burst: int) -> str:
    """A limits file with one plan: orders a second, and at once."""
    return f'version = 2\n[plans.standard]\norders = {{ rate = "{rate}/s", burst = {burst} }}\n'


Events = list[tuple[int, int]]


def run(
    server: RedisServer,
    nodes: int,
    rate: int,
    burst: int,
    pattern: str = "greedy",
    seconds: float = 1.5,
    midway: Callable[[list[int]], None] | None = None,
    timeout_ms: int = 2_000,
) -> Events:
    """Let `nodes` processes trade, and return every admission as (asked, admitted), sorted. midway: gets their ids.

    The time-out is generous: on a machine with more processes than cores a call may wait for its turn, and a store that
    seems away is not bound to anything exact.
    """
    end_ms = _BEGIN_MS + int(seconds * 1000)
    words = [server.url, nodes, plan(rate, burst), "orders", pattern, timeout_ms, _BEGIN_MS, end_ms]
    process = subprocess.Popen(
        [sys.executable, str(_WORKER), *map(str, words)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    ids = [int(each) for each in process.stdout.readline().split()]
    if midway is not None:
        time.sleep((_BEGIN_MS + end_ms) / 2000)
        midway(ids)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(ids) == nodes
    return sorted((int(asked), int(admitted)) for asked, admitted in (line.split() for line in output.splitlines()))


def used(events: Events, rate: int, burst: int, seconds: float) -> float:
    """How much of what was to be had was admitted, 1.0 = all."""
    return len(events) / (burst + rate * seconds)
