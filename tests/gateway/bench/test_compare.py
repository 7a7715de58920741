"""Two results beside each other, and the files they are kept in. Modules: bench.compare, bench.result."""

from pathlib import Path

import msgspec
import pytest

from gateway.bench.compare import cautions, deltas
from gateway.bench.failed import BenchFailed
from gateway.bench.load import Load
from gateway.bench.result import Result, Run, new_result, read_result


def run(rate: float, cpu_us: float | None = 20.0, p99_us: float = 900.0) -> Run:
    return Run(rate, cpu_us, 1.0, 300.0, 500.0, p99_us, 1_000.0, 2_000.0, {}, 0, 0.0, [(300.0, 5)])


def result(*runs: Run, load: Load | None = None, door: str = "fix") -> Result:
    return new_result(load or Load(), "memory", {door: list(runs)})


def verdicts(before: Result, after: Result) -> dict[str, str]:
    return {row.figure: row.verdict for row in deltas(before, after)}


def test_a_figure_is_better_or_worse_when_the_ranges_of_the_runs_do_not_touch() -> None:
    before = result(run(100.0, 20.0), run(103.0, 21.0), run(99.0, 22.0))
    after = result(run(120.0, 23.0), run(119.0, 24.0), run(104.0, 25.0))
    found = verdicts(before, after)
    assert (found["orders/s"], found["CPU us/order"]) == ("better", "worse")
    assert verdicts(after, before)["orders/s"] == "worse"


def test_ranges_that_touch_and_changes_of_a_hundredth_are_noise() -> None:
    before = result(run(100.0), run(103.0), run(99.0))
    assert verdicts(before, result(run(103.0), run(120.0), run(125.0)))["orders/s"] == "within noise"
    steady, shifted = result(*[run(100.0)] * 3), result(*[run(101.0)] * 3)
    assert verdicts(steady, shifted)["orders/s"] == "within noise"


def test_fewer_than_three_runs_have_no_noise_to_compare_with() -> None:
    assert set(verdicts(result(run(1.0)), result(*[run(9.0)] * 3)).values()) == {"unknown: needs 3 runs"}


def test_the_median_and_its_change_are_told() -> None:
    rows = deltas(result(run(100.0), run(300.0), run(200.0)), result(run(250.0)))
    assert (rows[0].before, rows[0].after, rows[0].change) == (200.0, 250.0, 0.25)


def test_a_figure_that_one_result_lacks_is_left_out() -> None:
    assert "CPU us/order" not in verdicts(result(run(1.0, cpu_us=None)), result(run(1.0)))


def test_different_loads_are_not_compared_and_the_difference_is_named() -> None:
    with pytest.raises(BenchFailed, match=r"\(sessions 1 and 50, in_flight 64 and 8\)"):
        deltas(result(run(1.0)), result(run(1.0), load=Load(sessions=50, in_flight=8)))
    with pytest.raises(BenchFailed, match="no door in common"):
        deltas(result(run(1.0)), result(run(1.0), door="ws"))


def test_another_machine_or_journal_is_mentioned() -> None:
    one = result(run(1.0))
    machine = msgspec.structs.replace(one.machine, cores=one.machine.cores + 1)
    other = msgspec.structs.replace(one, machine=machine, journal="disk")
    assert [text.partition(":")[0] for text in cautions(one, other)] == ["the machines differ", "the journals differ"]
    assert list(cautions(one, one)) == []


def test_a_saved_result_is_read_as_it_was(tmp_path: Path) -> None:
    before = result(run(1.0))
    before.save(tmp_path / "a.json")
    assert read_result(tmp_path / "a.json") == before


def test_a_file_that_is_no_result_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(BenchFailed, match=r"a\.json: No such file.*--json"):
        read_result(path)
    path.write_text('{"format": 1}')
    with pytest.raises(BenchFailed, match=r"a\.json: .*missing"):
        read_result(path)
    msgspec.structs.replace(result(run(1.0)), format=9).save(path)
    with pytest.raises(BenchFailed, match="format 9"):
        read_result(path)
    with pytest.raises(BenchFailed, match="Name another file"):
        result(run(1.0)).save(tmp_path / "no" / "a.json")
