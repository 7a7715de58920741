"""A few seeds of the simulation, its planted mistakes, and that a seed is the same run wherever it is run.

`make simulate SEEDS=1000` runs many.
"""

import os
import subprocess
import sys

import pytest

from tests.simulate.__main__ import hunt, one
from tests.simulate.planted import PLANTED
from tests.simulate.planted_cluster import PLANTED_IN_CLUSTER


@pytest.mark.parametrize("seed", range(1, 13))
def test_every_promise_is_kept_by_seed(seed: int) -> None:
    outcome = one(seed)
    assert outcome.broken == "", "\n".join([*outcome.lines[-40:], outcome.broken])
    assert outcome.counts["accepted"]
    assert outcome.faults


@pytest.mark.parametrize("seed", range(1, 7))
def test_every_promise_is_kept_by_several_gateways_by_seed(seed: int) -> None:
    outcome = one(seed, is_several=True)
    assert outcome.broken == "", "\n".join([*outcome.lines[-40:], outcome.broken])
    assert outcome.counts["accepted"]
    assert outcome.faults


_FOUND_BY = {
    "a bucket stays ahead": 10,
    "a drop copy hears its own": 2,
    "a newcomer supersedes": 3,
    "a newcomer supersedes over ws": 15,
    "a refusal uses no number": 2,
    "ack before commit": 4,
    "asked once": 12,
    "behind and unaware": 11,
    "believes it is ours": 10,
    "debts are forgiven": 5,
    "does not wait for the last owner": 3,
    "forgotten at once": 2,
    "given back twice": 5,
    "goes on without memory": 4,
    "messages stay behind": 2,
    "no dedupe among several": 2,
    "not fenced": 2,
    "older snapshot wins": 10,
    "one bucket's trouble is all's": 7,
    "rejects not kept": 2,
    "takes twice what passed": 16,
    "trouble lasts": 7,
}
"""The first seed that found it, where that is not 1: to begin with it costs less. `make simulate` begins with 1."""


@pytest.mark.parametrize("name", sorted(PLANTED | PLANTED_IN_CLUSTER))
def test_a_planted_mistake_is_found(name: str) -> None:
    assert hunt(name, first=_FOUND_BY.get(name, 1)) is not None


@pytest.mark.parametrize("words", [(), ("--several",)])
def test_a_seed_is_the_same_run_under_any_order_of_sets(words: tuple[str, ...]) -> None:
    told = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulate", "--seed", "4", *words]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        told.add(run.stdout.splitlines()[-2])
    assert len(told) == 1
    assert "trace" in told.pop()
