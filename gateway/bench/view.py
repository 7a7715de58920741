"""The tables of `penstock bench` and `penstock bench compare`."""

from collections import Counter
from collections.abc import Callable, Iterator

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from gateway.bench.compare import Delta
from gateway.bench.load import Load
from gateway.bench.result import Result, Run, middle
from protocols.errors import CODES

_TITLES = {"fix": "FIX", "ws": "WebSocket"}
_LATE_US = 1_000
_COLUMNS: tuple[tuple[str, Callable[[Run], float | None], str], ...] = (
    ("orders/s", lambda run: run.orders_per_s, ",.0f"),
    ("CPU us/order", lambda run: run.cpu_us, ",.1f"),
    ("per CPU-second", lambda run: run.cpu_us and 1e6 / run.cpu_us, ",.0f"),
    ("p50 us", lambda run: run.p50_us, ",.0f"),
    ("p90 us", lambda run: run.p90_us, ",.0f"),
    ("p99 us", lambda run: run.p99_us, ",.0f"),
    ("p99.9 us", lambda run: run.p99_9_us, ",.0f"),
    ("max us", lambda run: run.max_us, ",.0f"),
    ("refused", lambda run: sum(run.refusals.values()), ",.0f"),
)


def title(load: Load, journal: str) -> str:
    """The load in one line."""
    sessions = f"{load.sessions} session{'s' * (load.sessions != 1)}"
    paced = f"{load.rate:,} orders/s" if load.rate else f"{load.in_flight} in flight each"
    crossing = f", {load.crossing} % cross" if load.crossing else ""
    kept = f", journal: {journal}" if journal else ""
    return f"{sessions}, {paced}{crossing}, {load.seconds:g} s after {load.warm_up:g} s of warm-up{kept}"


def show(result: Result) -> None:
    """Print a result: medians of its runs."""
    _print(_table(result))
    for door, runs in result.doors.items():
        for line in _remarks(door, runs):
            _print(line)


def _table(result: Result) -> Table:
    counts = {len(runs) for runs in result.doors.values()}
    count = max(counts)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("door" if count == 1 else f"median of {count}")
    for name, _, _ in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for door, runs in result.doors.items():
        cells = []
        for _, figure, spec in _COLUMNS:
            value = middle(runs, figure)
            cells.append("-" if value is None else format(value, spec))
        table.add_row(_TITLES[door], *cells)
    return table


def _remarks(door: str, runs: list[Run]) -> Iterator[str]:
    """What the table does not say: refusals by code of all runs, orders without answer, a client that was late."""
    refusals: Counter[str] = Counter()
    for run in runs:
        refusals.update(run.refusals)
    for code, count in refusals.most_common():
        name = CODES[int(code)].name if code.isdigit() and int(code) in CODES else ""
        yield f"{_TITLES[door]}: {count:,} refused with {code} {name}".rstrip()
    if unanswered := sum(run.unanswered for run in runs):
        yield f"{_TITLES[door]}: {unanswered:,} orders without an answer"
    late_us = max(run.late_p99_us for run in runs)
    if late_us > _LATE_US:
        late = f"the client itself was late by {late_us:,.0f} us (p99)"
        yield f"{_TITLES[door]}: {late}: use a machine with more free cores, or a lower --rate"


def show_deltas(rows: list[Delta], cautions: list[str]) -> None:
    """Print a comparison."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("door", "figure", "before", "after", "change", ""):
        table.add_column(name, justify="right" if name in ("before", "after", "change") else "left", no_wrap=True)
    for row in rows:
        spec = ",.1f" if row.before < 1_000 else ",.0f"
        change = f"{row.change:+.1%}"
        table.add_row(
            _TITLES[row.door], row.figure, format(row.before, spec), format(row.after, spec), change, row.verdict
        )
    _print(table)
    for caution in cautions:
        _print(caution)


def _print(what: RenderableType) -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)  # a pipe has no width of its own
    console.print(what)
