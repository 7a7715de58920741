"""A short overload of a real gateway: the counts. The figures that are timed are in `make faults`."""

import json
import subprocess
import sys
from pathlib import Path


def test_each_order_has_one_answer_no_session_is_lost_and_memory_stays_within_its_bound(tmp_path: Path) -> None:
    result = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.faults.overload", "--short", "--result", str(result)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    figures = json.loads(result.read_bytes())
    counted = [row for row in figures if row["name"].endswith(("order", "lost", "memory"))]
    assert len(counted) == 9, run.stdout + run.stderr
    assert [row for row in counted if not row["ok"]] == []
