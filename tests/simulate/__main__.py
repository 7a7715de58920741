"""`make simulate SEEDS=1000`: many seeds, and the planted mistakes; or one seed again, with its trace. `--several`: of
several gateways in front of one core.

A seed that breaks a promise is printed with what led to it and the command that shows it again; the exit status is 1.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from tests.simulate.cluster import run as several
from tests.simulate.planted import PLANTED, planted
from tests.simulate.planted_cluster import PLANTED_IN_CLUSTER
from tests.simulate.run import Outcome, simulate

PLANTED_SEEDS = 20  # within so many each planted mistake is found


def one(seed: int, plant: str = "", is_several: bool = False) -> Outcome:
    """One seed, with or without a planted mistake. is_several: of several gateways."""
    with planted(plant):
        return several.simulate(seed) if is_several or plant in PLANTED_IN_CLUSTER else simulate(seed)


def hunt(name: str, first: int = 1, seeds: int = PLANTED_SEEDS) -> Outcome | None:
    """The first seed that finds this planted mistake."""
    outcomes = (one(seed, name) for seed in range(first, first + seeds))
    return next((outcome for outcome in outcomes if outcome.broken), None)


def _outcomes(first: int, seeds: int, workers: int, is_several: bool) -> Iterator[Outcome]:
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(partial(one, is_several=is_several), range(first, first + seeds), chunksize=4)


def _tell(outcome: Outcome, is_several: bool) -> None:
    print(f"\nseed {outcome.seed} broke a promise after {outcome.steps} steps:\n{outcome.broken}\n")
    print("\n".join(outcome.lines[-40:]))
    again = f"python -m tests.simulate --seed {outcome.seed}" + " --several" * is_several
    print(f"\nshow it again: {again}", flush=True)


def main() -> int:
    """Parse, run, tell."""
    parser = argparse.ArgumentParser(description="the gateway in a world of faults, by seeds")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int, help="only this one, with the end of its trace")
    parser.add_argument("--several", action="store_true", help="two gateways, two cores and their Redis")
    parser.add_argument(
        "--plant", choices=sorted(PLANTED | PLANTED_IN_CLUSTER), default="", help="with this mistake in the product"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--result", type=Path, help="write what came of it here, as JSON")
    args = parser.parse_args()
    if args.seed is not None:
        outcome = one(args.seed, args.plant, args.several)
        print("\n".join(outcome.lines))
        print(f"seed {outcome.seed}: {outcome.steps} steps, {outcome.lives} processes, trace {outcome.digest:08x}")
        print(outcome.broken or "every promise was kept")
        return int(bool(outcome.broken))
    broken, steps, faults, counts = 0, 0, Counter[str](), Counter[str]()
    for number, outcome in enumerate(_outcomes(args.first, args.seeds, args.workers, args.several), 1):
        steps += outcome.steps
        faults += outcome.faults
        counts += outcome.counts
        if outcome.broken:
            broken += 1
            _tell(outcome, args.several)
        if number % 100 == 0:
            print(f"{number} seeds, {steps} steps, {broken} broken", flush=True)
    found, plants = {}, PLANTED_IN_CLUSTER if args.several else PLANTED
    with ProcessPoolExecutor(args.workers) as pool:
        for name, caught in zip(plants, pool.map(partial(hunt, first=args.first), plants), strict=True):
            found[name] = caught.seed if caught is not None else 0
            print(
                f"planted: {name:28} {f'found by seed {caught.seed}: {caught.broken[:90]}' if caught else 'NOT FOUND'}"
            )
    print(f"{args.seeds} seeds, {steps} steps, {counts['accepted']} orders accepted, {broken} broken")
    print("faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items())))
    if args.result is not None:
        row = {"seeds": args.seeds, "steps": steps, "accepted": counts["accepted"], "broken": broken}
        args.result.write_bytes(msgspec.json.encode({**row, "faults": dict(sorted(faults.items())), "planted": found}))
    return int(bool(broken) or not all(found.values()))


if __name__ == "__main__":
    sys.exit(main())
