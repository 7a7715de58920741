"""What `make bench` has measured so far: a line of JSON for each measurement, so an interrupted run can go on.

A file is for one commit and one kind of run. An old one is not continued: the hour would be another.
"""

import subprocess
import time
from pathlib import Path
from statistics import median

import msgspec

from gateway.bench.load import Measured
from gateway.bench.result import Run, run_of
from tests.bench.footprint import Footprint

_TOO_OLD_S = 3_600


class Figures(msgspec.Struct, frozen=True):
    """One measurement of one contender under one load. cpu_us: of its server, for an order."""

    key: str
    orders_per_s: float = 0.0
    cpu_us: float = 0.0
    messages: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    p99_9_us: float = 0.0
    max_us: float = 0.0
    refused: int = 0
    unanswered: int = 0
    late_p99_us: float = 0.0
    failure: str = ""
    footprint: Footprint | None = None

    @property
    def per_cpu_s(self) -> float:
        """Orders per CPU-second of the server."""
        return 1e6 / self.cpu_us if self.cpu_us else 0.0


def figures_of(key: str, measured: Measured) -> Figures:
    """The figures of one run of load."""
    run: Run = run_of(measured)
    return Figures(
        key=key,
        orders_per_s=run.orders_per_s,
        cpu_us=run.cpu_us or 0.0,
        messages=run.messages,
        p50_us=run.p50_us,
        p99_us=run.p99_us,
        p99_9_us=run.p99_9_us,
        max_us=run.max_us,
        refused=sum(run.refusals.values()),
        unanswered=run.unanswered,
        late_p99_us=run.late_p99_us,
    )


class Store:
    """The file of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, Figures] = {}
        if path.exists() and time.time() - path.stat().st_mtime < _TOO_OLD_S:
            lines = path.read_bytes().splitlines()
            self.done = {each.key: each for each in (msgspec.json.decode(line, type=Figures) for line in lines)}
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")

    def add(self, figures: Figures) -> None:
        """Keep a measurement."""
        self.done[figures.key] = figures
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(figures) + b"\n")

    def middle(self, prefix: str) -> Figures | None:
        """The medians of a contender's rounds under a shape, by `Cell.key` without the round; None = not measured."""
        rounds = [each for key, each in self.done.items() if key.rpartition(" ")[0] == prefix and not each.failure]
        if not rounds:
            return None
        names = [name for name in Figures.__struct_fields__ if name not in ("key", "failure", "footprint")]
        return Figures(key=prefix, **{name: median(getattr(each, name) for each in rounds) for name in names})


def commit_of(directory: Path) -> str:
    """The commit of a checkout in 12 digits, with `+` if files differ from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(directory), *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()

    has_changes = git("status", "--porcelain", "--untracked-files=no") != ""
    return git("rev-parse", "--short=12", "HEAD") + "+" * has_changes
