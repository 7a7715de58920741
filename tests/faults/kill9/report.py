"""What a run of kill9 was asked to do, what it did, and the table that tells it."""

import os
import statistics
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

from tests.faults.kill9.check import Violations

Durability = Literal["disk", "process", "memory"]


class Settings(msgspec.Struct, frozen=True):
    """One run. cut_bytes: taken off the journal's end between two rounds, which no healthy disk does. has_store: of
    limits, a slow one, so that orders wait for their tokens. cores: processes, 0 = embedded. has_replica: their Redis
    has one, which takes over when it dies. is_cluster: each life is another gateway, which finds everything in Redis.
    is_pair: and another one lives.
    """

    rounds: int
    seed: int
    durability: Durability = "disk"
    has_ws: bool = False
    cut_bytes: int = 0
    has_store: bool = False
    cores: int = 0
    has_replica: bool = False
    is_cluster: bool = False
    is_pair: bool = False

    @property
    def may_wait(self) -> bool:
        """Whether a request may wait, for its tokens or for an answer of the core, while later ones are dealt with."""
        return self.has_store or self.cores > 0

    @property
    def command(self) -> str:
        """What repeats the run."""
        words = f"--rounds {self.rounds} --seed {self.seed} --durability {self.durability}"
        words += " --door both" if self.has_ws else " --door fix"
        words += " --store" if self.has_store else ""
        words += f" --cores {self.cores}" if self.cores else ""
        words += " --replica" if self.has_replica else ""
        words += " --pair" if self.is_pair else " --cluster" if self.is_cluster else ""
        return f"python -m tests.faults.kill9 {words}" + (f" --cut-bytes {self.cut_bytes}" if self.cut_bytes else "")


class Start(msgspec.Struct, frozen=True):
    """How long one start took, from the process's first instruction to ready, with so much journal to read.

    cpu_ms: of the gateway; what a busy machine takes from it is in ready_ms only.
    """

    journal_bytes: int
    ready_ms: float
    cpu_ms: float


class Result(msgspec.Struct):
    """What a run did and found."""

    settings: Settings
    violations: Violations
    rounds: int = 0
    starts: list[Start] = []
    facts: dict[str, int] = {}


def journal_bytes(directory: Path) -> int:
    """What is written in the segments; only the last one may be longer than that."""
    segments = sorted(directory.glob("*.seg"))
    if not segments:
        return 0
    return sum(path.stat().st_size for path in segments[:-1]) + len(segments[-1].read_bytes().rstrip(b"\0"))


def cpu_ms(pid: int) -> float:
    """What a process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return 1e3 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(result: Result, console: Console) -> None:
    """The table of a run, and what was found."""
    settings, violations = result.settings, result.violations
    table = Table("journal read at start", "starts", "ready, median", "at most", "CPU, median", title=settings.command)
    starts = sorted(result.starts, key=lambda start: start.journal_bytes)
    groups = min(5, len(starts))
    for group in range(groups):
        members = starts[group * len(starts) // groups : (group + 1) * len(starts) // groups]
        times = sorted(start.ready_ms for start in members)
        sizes = " to ".join(f"{members[at].journal_bytes / 1e6:.2f}" for at in (0, -1))
        ready = (f"{statistics.median(times):.0f} ms", f"{times[-1]:.0f} ms")
        cpu = f"{statistics.median(start.cpu_ms for start in members):.0f} ms"
        table.add_row(f"{sizes} MB", f"{len(members)}", *ready, cpu)
    console.print(table)
    console.print(f"rounds {result.rounds}, restarts {max(len(starts) - 1, 0)}")
    for name, count in result.facts.items():
        console.print(f"{name}: {count:,}")
    for text in violations.texts:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"violations: {violations.count}" + (f"; again with: {settings.command}" if violations.count else ""))
