"""Results of a measurement: the figures of each run, their medians, and the JSON file that `compare` reads."""

import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from gateway.bench.failed import BenchFailed
from gateway.bench.load import Load, Measured
from gateway.version import VERSION

_FORMAT = 1


class Run(msgspec.Struct, frozen=True):
    """One run. orders_per_s: accepted; cpu_us: the gateway's CPU time for an answered order, None = not known.

    messages: sent by the gateway for an answered order. histogram_us: (latency in us, count), from the shortest.
    """

    orders_per_s: float
    cpu_us: float | None
    messages: float
    p50_us: float
    p90_us: float
    p99_us: float
    p99_9_us: float
    max_us: float
    refusals: dict[str, int]
    unanswered: int
    late_p99_us: float
    histogram_us: list[tuple[float, int]]


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured."""

    processor: str
    cores: int
    system: str
    python: str


class Result(msgspec.Struct, frozen=True):
    """A finished measurement. at: UTC. journal: durability of the gateway's own, "" = somebody else's gateway."""

    format: int
    penstock: str
    at: str
    machine: Machine
    journal: str
    load: Load
    doors: dict[str, list[Run]]

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            BenchFailed: the file cannot be written.
        """
        try:
            path.write_bytes(msgspec.json.encode(self) + b"\n")
        except OSError as error:
            raise BenchFailed(f"{path}: {error.strerror}. Name another file with --json.") from None


def run_of(measured: Measured) -> Run:
    """The figures of one run."""
    answered = measured.accepted + sum(measured.refusals.values())
    quantile = measured.latencies.quantile_us
    return Run(
        orders_per_s=measured.accepted / measured.seconds,
        cpu_us=None if measured.cpu_s is None else measured.cpu_s / max(answered, 1) * 1e6,
        messages=measured.messages / max(answered, 1),
        p50_us=quantile(0.5),
        p90_us=quantile(0.9),
        p99_us=quantile(0.99),
        p99_9_us=quantile(0.999),
        max_us=measured.latencies.max_ns / 1_000,
        refusals=measured.refusals,
        unanswered=measured.unanswered,
        late_p99_us=measured.late_p99_us,
        histogram_us=measured.latencies.buckets_us(),
    )


def new_result(load: Load, journal: str, doors: dict[str, list[Run]]) -> Result:
    """The result of these runs, as of now on this machine."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Result(_FORMAT, VERSION, now, this_machine(), journal, load, doors)


def this_machine() -> Machine:
    """What the figures depend on."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def read_result(path: Path) -> Result:
    """A result that `--json` wrote.

    Raises:
        BenchFailed: the file cannot be read, or is something else.
    """
    try:
        result = msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise BenchFailed(f"{path}: {error.strerror}. Name a file that `penstock bench --json` wrote.") from None
    except msgspec.DecodeError as error:
        raise BenchFailed(f"{path}: {error}. Name a file that `penstock bench --json` wrote.") from None
    if result.format != _FORMAT:
        raise BenchFailed(f"{path}: format {result.format}, and this Penstock reads {_FORMAT}. Measure again.")
    return result


def middle(runs: list[Run], figure: Callable[[Run], float | None]) -> float | None:
    """The median of a figure; None if a run does not have it."""
    values = [value for run in runs if (value := figure(run)) is not None]
    return median(values) if len(values) == len(runs) else None
