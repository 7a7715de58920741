"""docs/benchmarks.md: goals beside what was reached, then every figure of the run, with machine and versions."""

import importlib.metadata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.bench.result import this_machine
from tests.bench.cells import OPEN_RATE, OPEN_SESSIONS, SHAPES
from tests.bench.contenders import BEFORE, OURS, PEERS
from tests.bench.goals import goals
from tests.bench.results import Store

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
_DOORS = {"fix": "FIX", "ws": "WebSocket"}
_PACKAGES = ("uvloop", "aiohttp", "quickfix-py", "simplefix", "orjson", "msgspec")
_INTRO = """\
# Benchmarks

<!-- Written by `make bench` (tests/bench/beside.py). Do not edit: measure again. -->

Penstock beside other servers, under the same load, on the same machine, in turns. Each server is a process of its own
and is warmed up. The client ([Measure a gateway](operate/bench.md)) is another process. Figures are medians of the
rounds; an order's cost is the CPU time of the server's process. Compare ratios: absolute figures are this machine's.
"""
_SHAPES = """\
`50 x 8` is 50 sessions with 8 unanswered orders each. An order is a NewOrderSingle(D) of 17 fields, or `order.place`
with 8 params. It rests in the book, one report; where each order crosses, two. The echo writes the client's bytes back.
"""


def page(store: Store, commit: str, before: str | None) -> str:
    """The whole page. commit, before: what was measured, as `results.commit_of` has it."""
    lines = [_INTRO, *_machine(commit, before), "", "## Goals", "", *_goals(store), "", "## Orders", "", _SHAPES]
    for door, title in _DOORS.items():
        lines += [f"### {title}", "", *_orders(store, door), ""]
    lines += [f"## {OPEN_RATE:,} orders a second for a minute", "", *_open(store), ""]
    lines += ["## Start and memory", "", *_footprints(store), ""]
    failures = [f"- {each.key}: {each.failure}" for each in store.done.values() if each.failure]
    if failures:
        lines += ["## Not measured", "", *failures, ""]
    return "\n".join(lines)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(head)
    yield _row(names)
    yield _row(["---"] * len(names))
    yield from map(_row, rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _machine(commit: str, before: str | None) -> Iterator[str]:
    machine = this_machine()
    versions = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    rows = [
        ("date", f"{datetime.now(UTC):%d %B %Y}"),
        ("machine", f"{machine.cores} cores of {machine.processor}, {machine.system}"),
        ("Python", machine.python),
        ("packages", versions),
        ("Penstock", commit),
        ("the commit before", before or "not measured"),
    ]
    return _table(("", ""), rows)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _goals(store: Store) -> Iterator[str]:
    rows = [
        (each.name, each.goal, each.reached or "not measured", "" if each.reached is None else _word(each.is_met))
        for each in goals(store)
    ]
    return _table(("Figure", "Goal", "Reached", ""), rows)


def _word(is_met: bool) -> str:
    return "reached" if is_met else "**missed**"


def _title(name: str) -> str:
    if name in OURS:
        return f"Penstock, {name}"
    known = {BEFORE: "Penstock before", "link": "Penstock, core behind Redis", "cluster": "Penstock, one of several"}
    return known[name] if name in known else PEERS[name].title


def _orders(store: Store, door: str) -> Iterator[str]:
    rows = []
    for shape in SHAPES:
        if shape.door != door:
            continue
        ours = store.middle(f"{door} {shape.name} memory")
        for name in shape.contenders:
            found = store.middle(f"{door} {shape.name} {name}")
            if found is None or not found.cpu_us:
                continue
            times = f"{found.cpu_us / ours.cpu_us:,.2f}" if ours is not None and ours.cpu_us else ""
            figures = (found.cpu_us, found.per_cpu_s, found.orders_per_s, found.p50_us, found.p99_us)
            cells = [format(value, ",.1f" if place == 0 else ",.0f") for place, value in enumerate(figures)]
            rows.append((shape.name, _title(name), *cells, times))
    head = ("Sessions x in flight", "Server", "CPU us/order", "Orders per CPU-second", "Orders/s", "p50 us", "p99 us")
    return _table((*head, "Penstock in memory carries so many times this"), rows)


def _open(store: Store) -> Iterator[str]:
    yield f"Open loop over {OPEN_SESSIONS} sessions, journal in memory: latency from when an order was due."
    yield ""
    rows = []
    for door, title in _DOORS.items():
        found = store.middle(f"{door} open memory")
        if found is not None:
            times = (found.p50_us, found.p99_us, found.p99_9_us, found.max_us, found.late_p99_us)
            cells = [f"{value / 1_000:,.2f}" for value in times]
            lost = (f"{found.refused:,.0f}", f"{found.unanswered:,.0f}")
            rows.append((title, f"{found.orders_per_s:,.0f}", f"{found.cpu_us:,.1f}", *cells, *lost))
    head = ("Door", "Orders/s", "CPU us/order", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "client late, p99 ms")
    yield from _table((*head, "refused", "unanswered"), rows)


def _footprints(store: Store) -> Iterator[str]:
    names = [name for name in ("memory", BEFORE) if f"footprint {name} 1" in store.done]
    found = [print_ for name in names if (print_ := store.done[f"footprint {name} 1"].footprint) is not None]
    rows = [
        ("start-up, from the command to open doors", *(f"{each.start_s:.2f} s" for each in found)),
        ("a configured FIX session with account and key", *(f"{each.fix_configured_kib:.1f} KiB" for each in found)),
        ("a FIX session that is logged on and idle", *(f"{each.fix_idle_kib:.1f} KiB" for each in found)),
        ("a WebSocket session that is logged on and idle", *(f"{each.ws_idle_kib:.1f} KiB" for each in found)),
        ("an order that rests in the book", *(f"{each.resting_bytes:,.0f} bytes" for each in found)),
        ("an order that is filled and remembered", *(f"{each.finished_bytes:,.0f} bytes" for each in found)),
    ]
    return _table(("", *(_title(name) for name in names)), rows)
