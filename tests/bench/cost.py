"""What one order costs in instructions, and whether that is within the budget: `make bench-cost`.

A count knows nothing of the processor's clock and its neighbours: two runs differ by 0.2 %, of a stage by 0.6 %. A flow
is run under valgrind with few and with more orders; the difference, divided by the orders between, is what an order
costs, for the start is in both. The stages are counted apart (`cost_stages.py`), with marks that cost something too.

Ends with 1 when a total or a stage is more than 5 % above `cost_budget.json`, and with 0 and a word where nothing can
be judged: no valgrind, or another interpreter than the budget's. RENEW=1 writes the budget anew.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.cost_flow import FLOWS
from tests.bench.cost_stages import STAGES, build, learned, missing_rows

BUDGET = Path(__file__).with_name("cost_budget.json")
ALLOWED = 1.05
_FEW, _MANY = 800, 2_400  # orders
_HEADER = "#include <valgrind/callgrind.h>\n"

Counts = dict[str, dict[str, int]]  # flow -> "total" or a stage -> instructions per order


def excesses(budget: Counts, counted: Counts) -> list[str]:
    """A sentence for each total and stage that costs more than its budget allows, or that has none."""
    found = []
    for flow, parts in counted.items():
        for part, count in parts.items():
            allowed = budget.get(flow, {}).get(part)
            if allowed is None:
                found.append(f"{flow}, {part}: has no budget")
            elif count > allowed * ALLOWED:
                found.append(
                    f"{flow}, {part}: {count:,} instructions per order, {count / allowed - 1:+.1%} of {allowed:,}"
                )
    return found


def interpreter() -> str:
    """What must be the same for counts to compare: another build of Python is another number of instructions."""
    return f"{sys.implementation.name} {platform.python_version()} {platform.machine()} {platform.python_compiler()}"


def _total(flow: str) -> int:
    few, many = (_instructions(flow, orders) for orders in (_FEW, _MANY))
    return round((many - few) / _orders_between(flow))


def _orders_between(flow: str) -> int:
    turn = FLOWS[flow].sessions * FLOWS[flow].in_flight
    return (_MANY // turn - _FEW // turn) * turn


def _instructions(flow: str, orders: int) -> int:
    told = _valgrind(
        ["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"],
        ["tests.bench.cost_flow", flow, str(orders), str(_MANY)],
    )
    found = re.search(r"I +refs: +([\d,]+)", told)
    assert found, told
    return int(found[1].replace(",", ""))


def _valgrind(tool: list[str], program: list[str]) -> str:
    """What valgrind says of a program of ours."""
    done = subprocess.run(
        ["valgrind", *tool, sys.executable, "-m", *program],
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(program)}: exit status {done.returncode}\n{done.stderr}")
    return done.stderr


def _stages() -> Counts:
    """Instructions per order of each stage."""
    counts: Counts = {flow: {} for flow in FLOWS}
    with tempfile.TemporaryDirectory(prefix="penstock-cost-") as name:
        directory = Path(name)
        subprocess.run(build(directory), check=True)
        (directory / "learned.json").write_text(json.dumps(learned()))
        _valgrind(
            ["--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={directory}/counted"],
            ["tests.bench.cost_stages", name],
        )
        for path in directory.glob("counted.*"):
            text = path.read_text()
            named = re.search(r"^desc: Trigger: Client Request: (.*)\|(.*)\|(\d+)$", text, re.MULTILINE)
            count = re.search(r"^totals: (\d+)$", text, re.MULTILINE)
            if named and count:
                counts[named[1]][named[2]] = round(int(count[1]) / int(named[3]))
    return counts


def _why_no_stages() -> str:
    """What is missing to count stages; empty = nothing."""
    if not shutil.which("cc"):
        return "there is no C compiler"
    include = Path(build(Path())[4].removeprefix("-I"))
    if not (include / "Python.h").exists():
        return f"{include} has no Python.h"
    checked = subprocess.run(["cc", "-E", "-x", "c", "-"], input=_HEADER.encode(), capture_output=True, check=False)
    return "valgrind/callgrind.h is missing" if checked.returncode else ""


def _show(counted: Counts, budget: Counts) -> None:
    parts = ("total", *STAGES, "marks")
    print("instructions per order" + "".join(f"{part:>11}" for part in parts))
    for flow, counts in counted.items():
        shown = dict(counts)
        if len(counts) > 1:
            shown["marks"] = sum(counts.values()) - 2 * counts["total"]  # the stages' sum is above the total by these
        print(f"{flow:22}" + "".join(f"{shown[part]:11,}" if part in shown else " " * 11 for part in parts))
        of = budget.get(flow, {})
        print(
            f"{'  of its budget':22}"
            + "".join(
                f"{counts[part] / of[part] - 1:+11.1%}" if part in counts and of.get(part) else " " * 11
                for part in parts
            )
        )


def main() -> int:
    """Count, show, and judge or renew."""
    if not shutil.which("valgrind"):
        print("bench-cost is left out: valgrind is not installed")
        return 0
    if rows := missing_rows():
        print(f"no module's path begins with {', '.join(rows)}: put the rows of tests/bench/cost_stages.py right")
        return 1
    kept = json.loads(BUDGET.read_text())
    counted: Counts = {flow: {"total": _total(flow)} for flow in FLOWS}
    if why := _why_no_stages():
        print(f"totals only: {why}")
    else:
        for flow, stages in _stages().items():
            counted[flow] |= {stage: stages[stage] for stage in STAGES}
    _show(counted, kept["flows"])
    if "--renew" in sys.argv[1:]:
        if why:
            print("the budget is not renewed: it would lose its stages")
            return 1
        BUDGET.write_text(json.dumps({"interpreter": interpreter(), "flows": counted}, indent=2) + "\n")
        print(f"the budget is renewed: {BUDGET.name}")
        return 0
    if kept["interpreter"] != interpreter():
        print(f"not judged: the budget is of {kept['interpreter']}, this is {interpreter()}")
        return 0
    over = excesses(kept["flows"], counted)
    print("\n".join(over) if over else "within the budget")
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())
