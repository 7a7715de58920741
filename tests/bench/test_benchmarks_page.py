"""The page of the benchmarks: medians, goals beside what was reached. Modules: benchmarks_page, goals, results."""

import os
from pathlib import Path

import pytest

from tests.bench.benchmarks_page import page
from tests.bench.cells import cells
from tests.bench.footprint import Footprint
from tests.bench.goals import goals
from tests.bench.results import Figures, Store

COST_US = {"memory": 10.0, "process": 11.0, "disk": 20.0, "before": 50.0, "quickfix": 90.0, "echo": 2.0}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A run in which every contender costs the same under each load."""
    made = Store(tmp_path / "run.jsonl")
    for cell in cells(3, with_before=True):
        cost = COST_US.get(cell.contender, 30.0)
        made.add(Figures(cell.key, 1_000.0, cost, 2.0 if cell.shape.door == "ws" else 1.0, p50_us=cost, p99_us=cost))
    for door in ("fix", "ws"):
        made.add(Figures(f"{door} open memory 1", 20_000.0, 10.0, 1.0, 100.0, 1_500.0, 12_000.0))
    for name in ("memory", "before"):
        made.add(Figures(f"footprint {name} 1", footprint=Footprint(0.5, 20.0, 5.0, 14.0, 1_000.0, 1_500.0)))
    return made


def verdicts(store: Store) -> dict[str, tuple[str | None, bool]]:
    return {each.name: (each.reached, each.is_met) for each in goals(store)}


def test_a_goal_is_met_or_missed_by_its_figure(store: Store) -> None:
    found = verdicts(store)
    assert found["FIX 1 x 64, beside the commit before"] == ("5.00x", True)
    assert found["FIX 1 x 64, beside quickfix-py"] == ("9.00x", False)
    assert found["durability process, beside memory (FIX 1 x 64)"] == ("0.91x", True)
    assert found["durability disk, beside memory (FIX 1 x 64)"] == ("0.50x", False)
    assert found["a turn with one order, CPU above the echo's"] == ("8.0 us", True)
    assert found["FIX 1 x 1, p50 beside the TCP echo's"] == ("5.00x", False)
    assert found["WebSocket 1 x 64, messages beside aiohttp's"] == ("6.00x", True)
    assert found["FIX, 20,000 orders/s for a minute, p99"] == ("1.5 ms", True)
    assert found["FIX, 20,000 orders/s for a minute, p99.9"] == ("12.0 ms", False)
    assert found["memory of an idle WebSocket session"] == ("14.0 KiB", False)
    assert [reached for name, (reached, _) in found.items() if "1,000 sessions" in name] == ["+0%", "+0%"]


def test_what_was_not_measured_is_neither_met_nor_hidden(tmp_path: Path) -> None:
    empty = Store(tmp_path / "run.jsonl")
    assert set(verdicts(empty).values()) == {(None, False)}
    assert page(empty, "abc", None).count("| not measured |") == len(goals(empty)) + 1  # and the commit before


def test_an_open_loop_that_gave_up_is_a_miss_and_says_why(store: Store) -> None:
    store.add(Figures("fix open memory 1", failure="500,000 orders are unanswered"))
    assert verdicts(store)["FIX, 20,000 orders/s for a minute, p99"] == ("500,000 orders are unanswered", False)
    assert "**missed**" in page(store, "abc", "def")
    assert "- fix open memory 1: 500,000 orders are unanswered" in page(store, "abc", "def")


def test_the_median_of_the_rounds_counts_and_a_failed_round_does_not(store: Store) -> None:
    for number, cost in ((1, 10.0), (2, 500.0), (3, 12.0)):
        store.add(Figures(f"fix 1 x 64 memory {number}", cpu_us=cost))
    store.add(Figures("fix 1 x 64 memory 4", failure="no answer"))
    found = store.middle("fix 1 x 64 memory")
    assert found is not None
    assert found.cpu_us == 12.0


def test_a_row_for_every_contender_that_was_measured(store: Store) -> None:
    text = page(store, "abc", "def")
    measured = {(cell.shape, cell.contender) for cell in cells(1, with_before=True)}
    rows = [line for line in text.splitlines() if line.count("|") == 9 and not line.startswith("| ---")]
    assert len(rows) == len(measured) + 2, "and two heads"


def test_an_interrupted_run_goes_on_but_not_one_of_another_hour(store: Store) -> None:
    assert Store(store.path).done == store.done
    os.utime(store.path, (1.0, 1.0))
    assert Store(store.path).done == {}
