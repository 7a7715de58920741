"""`make bench`: Penstock beside other servers under the same load, in turns, on one machine in one hour.

Every contender is a process of its own, new for each measurement, warmed up and measured for a second or two; the
client is `gateway.bench` in this process. Rounds are interleaved, and medians of the rounds are shown, so a slow minute
hits all alike. Twelve minutes at most; what there was no time for is said. An interrupted run goes on where it was.

`python -m tests.bench.beside [--short] [--before CHECKOUT]` writes docs/benchmarks.md; a short run only prints it.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from gateway.bench.failed import BenchFailed
from gateway.bench.load import Load, run_load
from gateway.bench.venue import CODE
from gateway.doors.descriptors import raise_limit
from tests.bench.benchmarks_page import PAGE, page
from tests.bench.cells import OPEN_RATE, OPEN_SESSIONS, Cell, cells
from tests.bench.contenders import BEFORE, contender
from tests.bench.footprint import footprint
from tests.bench.results import Figures, Store, commit_of, figures_of

_BOUND_S = 720.0
_ROUNDS = 3
_SECONDS, _WARM_UP = 1.2, 0.8
_SHORT_SECONDS, _SHORT_WARM_UP = 0.3, 0.1


class Bench:
    """One run: what is still to do, the time left, and the progress line."""

    def __init__(self, store: Store, short: bool, before: Path | None) -> None:
        self._store, self._short, self._before = store, short, before
        self._began = time.monotonic()
        self._steps = [*self._footprints(), *self._open_loops(), *self._cells()]

    def run(self) -> None:
        """Measure all that is not measured yet, unless time is over."""
        for place, (key, measure) in enumerate(self._steps, 1):
            passed_s = time.monotonic() - self._began
            if key in self._store.done:
                continue
            if passed_s > _BOUND_S:
                print(f"\n{len(self._steps) - place + 1} measurements left out after {_BOUND_S / 60:.0f} minutes")
                return
            head = f"[{place:3}/{len(self._steps)} {passed_s // 60:2.0f}:{passed_s % 60:02.0f}] {key}"
            try:
                figures = measure()
            except BenchFailed as error:
                figures = Figures(key=key, failure=str(error))
            self._store.add(figures)
            told = figures.failure or (f"{figures.per_cpu_s:,.0f} a CPU-second" if figures.cpu_us else "")
            print(f"{head}: {told}", flush=True)

    def _cells(self) -> list[tuple[str, Callable[[], Figures]]]:
        seconds, warm_up = (_SHORT_SECONDS, _SHORT_WARM_UP) if self._short else (_SECONDS, _WARM_UP)

        def step(cell: Cell) -> Callable[[], Figures]:
            shape = cell.shape
            return lambda: self._load(
                cell.key, cell.contender, shape.door, shape.load(seconds, warm_up), shape.accounts
            )

        return [(cell.key, step(cell)) for cell in cells(1 if self._short else _ROUNDS, self._before is not None)]

    def _open_loops(self) -> list[tuple[str, Callable[[], Figures]]]:
        load = Load(OPEN_SESSIONS, 0, OPEN_RATE, *((2.0, 0.2) if self._short else (60.0, 1.0)))
        keys = {door: f"{door} open memory 1" for door in ("fix", "ws")}
        return [
            (key, lambda key=key, door=door: self._load(key, "memory", door, load, 0)) for door, key in keys.items()
        ]  # type: ignore[misc]

    def _footprints(self) -> list[tuple[str, Callable[[], Figures]]]:
        names = ["memory", *([BEFORE] if self._before is not None else [])]
        sessions, seconds = (100, 0.3) if self._short else (1_000, 1.5)

        def step(key: str, name: str) -> Callable[[], Figures]:
            return lambda: Figures(key=key, footprint=footprint(name, self._before, sessions, seconds))

        return [(key, step(key, name)) for name in names for key in (f"footprint {name} 1",)]

    def _load(self, key: str, name: str, door: str, load: Load, accounts: int) -> Figures:
        with contender(name, door, load.sessions, accounts, self._before) as target:
            return figures_of(key, uvloop.run(run_load(target, load)))


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description="Penstock beside other servers")
    parser.add_argument("--short", action="store_true", help="one short round, printed only")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit, to be measured too")
    arguments = parser.parse_args()
    before = arguments.before.absolute() if arguments.before else None
    if before is not None and not (before / "gateway" / "cli").is_dir():
        sys.exit(f"{before} is not a checkout of Penstock: make one with `git worktree add`")
    raise_limit()
    commit = commit_of(CODE)
    kind = "short" if arguments.short else "whole"
    store = Store(CODE / "build" / "bench" / f"{commit}-{kind}.jsonl")
    if store.done:
        print(f"going on with {store.path}: {len(store.done)} measurements are there (delete it to begin anew)")
    Bench(store, arguments.short, before).run()
    text = page(store, commit, before and commit_of(before))
    print(text)
    if not arguments.short:
        PAGE.write_text(text, encoding="utf-8")
        store.path.unlink()
        print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
