"""`make faults ROUNDS=25`: every fault that there is a program for, one after the other, and the tables of results.

The tables go into docs/understand/guarantees.md. The exit status is 1 when a promise was broken or a figure missed.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from docs import guarantees

_COUNT = re.compile(r"(?m)^([a-z][A-Za-z ,]*?):? ([0-9,]+)$")


def _kill9(rounds: int, *words: str, what: str = "journal on disk") -> guarantees.Row:
    """kill -9 at random moments over a flow on both doors."""
    run, took_s = _run("tests.faults.kill9", "--rounds", str(rounds), "--seed", "1", *words)
    told = {name.strip(): int(value.replace(",", "")) for name, value in _COUNT.findall(run.stdout)}
    requests, broken = told.get("orders and other requests", 0), told.get("violations", -1)
    text = f"{requests:,} requests, {told.get('messages of the gateway', 0):,} messages"
    caught = told.get("kills that caught orders waiting for tokens", 0)
    text += f"; {caught} of the kills caught orders that waited for tokens" if "--store" in words else ""
    if "--cores" in words:
        text += f"; {told.get('kills of core', 0)} kills of a core and {told.get('kills of redis', 0)} of Redis too"
    return guarantees.Row(f"kill -9, both doors, {what}", f"{rounds} rounds", text, broken, took_s)


def _pytest(what: str, *files: str) -> guarantees.Row:
    run, took_s = _run("pytest", "-q", "-p", "no:cacheprovider", *files)
    passed, failed = (
        int(found[1]) if (found := re.search(rf"(\d+) {word}", run.stdout)) else 0 for word in ("passed", "failed")
    )
    return guarantees.Row(what, f"{passed + failed} faults", "", failed if passed else -1, took_s)


def _fuzz(seconds: int) -> guarantees.Row:
    run, took_s = _run("tests.faults.fuzz", "--seconds", str(seconds), "--seed", "1")
    return guarantees.Row("hostile peers on both doors", f"{seconds} s", "", run.returncode, took_s)


def _simulation(what: str, seeds: int, *words: str) -> guarantees.Row:
    with tempfile.TemporaryDirectory() as name:
        result = Path(name) / "result.json"
        _, took_s = _run("tests.simulate", "--seeds", str(seeds), "--result", str(result), *words)
        told = json.loads(result.read_bytes())
    found = sum(bool(seed) for seed in told["planted"].values())
    text = f"{told['steps']:,} steps, {told['accepted']:,} orders, {sum(told['faults'].values()):,} faults"
    text += f"; planted bugs found: {found} of {len(told['planted'])}"
    return guarantees.Row(what, f"{seeds} seeds", text, told["broken"], took_s)


def _overload() -> list[guarantees.Figure]:
    with tempfile.TemporaryDirectory() as name:
        result = Path(name) / "result.json"
        _run("tests.faults.overload", "--result", str(result))
        return [guarantees.Figure(**row) for row in json.loads(result.read_bytes())]


def _run(module: str, *words: str) -> tuple[subprocess.CompletedProcess[str], float]:
    began = time.monotonic()
    print(f"python -m {module} {' '.join(words)}", flush=True)
    run = subprocess.run([sys.executable, "-m", module, *words], stdout=subprocess.PIPE, text=True, check=False)
    print(run.stdout[-3_000:], flush=True)
    return run, time.monotonic() - began


def main() -> int:
    """Run them all and write the tables."""
    parser = argparse.ArgumentParser(description="every fault, and what came of it")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=200, help="of the simulation")
    args = parser.parse_args()
    figures = _overload()  # what is timed comes first, on a machine that nothing has made busy yet
    rows = [
        _kill9(args.rounds),
        _kill9(args.rounds, "--store", what="limits in a slow store"),
        _kill9(4 * args.rounds, "--cores", "2", "--durability", "process", what="gateway, two cores, Redis"),
        _kill9(
            4 * args.rounds,
            "--cores",
            "2",
            "--pair",
            "--durability",
            "process",
            what="one of two gateways, two cores, Redis, networks",
        ),
        _pytest("disk: full, EIO, syncs of 200 ms", "tests/faults/journal_faults.py", "tests/faults/disk.py"),
        _pytest(
            "limits store: dead, slow, cut off, full",
            "tests/limits/test_redis_store.py",
            "tests/e2e/test_shared_limits.py",
        ),
        _fuzz(30),
        _simulation("simulation", args.seeds),
        _simulation("simulation, two gateways, two cores, Redis", args.seeds // 4, "--several"),
    ]
    date = datetime.now(UTC).date().isoformat()
    guarantees.write(guarantees.Result(date, rows, figures, "median of three, and range"))
    for row in rows:
        print(f"{row.what:45} {row.rounds:12} broken {row.broken}  {row.took_s:5.0f} s")
    for figure in figures:
        print(f"{figure.name:45} {figure.goal:>20} {figure.measured:>20}  {'' if figure.ok else 'missed'}")
    return int(any(row.broken for row in rows) or not all(figure.ok for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
