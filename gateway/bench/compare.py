"""Two results beside each other: what changed, and what the runs of one result differ by anyway.

The runs of a result are its noise. A difference counts when the ranges of the two results do not touch, so each needs
`ENOUGH_RUNS`; and below `LEAST` of the value it never counts, because machines vary by that from minute to minute.
"""

from collections.abc import Callable, Iterator

import msgspec

from gateway.bench.failed import BenchFailed
from gateway.bench.result import Result, Run, middle

ENOUGH_RUNS = 3
LEAST = 0.02


class Figure(msgspec.Struct, frozen=True):
    """A figure of a run by name. is_better_high: whether more is better."""

    name: str
    of: Callable[[Run], float | None]
    is_better_high: bool = False


FIGURES = (
    Figure("orders/s", lambda run: run.orders_per_s, is_better_high=True),
    Figure("CPU us/order", lambda run: run.cpu_us),
    Figure("p50 us", lambda run: run.p50_us),
    Figure("p90 us", lambda run: run.p90_us),
    Figure("p99 us", lambda run: run.p99_us),
    Figure("p99.9 us", lambda run: run.p99_9_us),
)


class Delta(msgspec.Struct, frozen=True):
    """One figure of both results: medians, the change as a share of the first, and what it means."""

    door: str
    figure: str
    before: float
    after: float
    change: float
    verdict: str


def deltas(before: Result, after: Result) -> list[Delta]:
    """Every figure that both results have.

    Raises:
        BenchFailed: they are not about the same load, or have no door in common.
    """
    if before.load != after.load:
        changes = ", ".join(_differences(before, after))
        raise BenchFailed(f"the loads differ ({changes}): measure both with the same options")
    doors = [door for door in before.doors if door in after.doors]
    if not doors:
        raise BenchFailed("the results have no door in common: measure both with the same --door")
    return [row for door in doors for row in _door(door, before.doors[door], after.doors[door])]


def cautions(before: Result, after: Result) -> Iterator[str]:
    """What else differs between the two, as sentences."""
    for name in before.machine.__struct_fields__:
        one, other = getattr(before.machine, name), getattr(after.machine, name)
        if one != other:
            yield f"the machines differ: {name} {one}, then {other}"
    if before.journal != after.journal:
        yield f"the journals differ: {before.journal or 'not ours'}, then {after.journal or 'not ours'}"


def _differences(before: Result, after: Result) -> Iterator[str]:
    for name in before.load.__struct_fields__:
        one, other = getattr(before.load, name), getattr(after.load, name)
        if one != other:
            yield f"{name} {one} and {other}"


def _door(door: str, before: list[Run], after: list[Run]) -> Iterator[Delta]:
    for figure in FIGURES:
        one, other = middle(before, figure.of), middle(after, figure.of)
        if one is None or other is None or not one:
            continue
        change = other / one - 1
        yield Delta(door, figure.name, one, other, change, _verdict(figure, before, after, change))


def _verdict(figure: Figure, before: list[Run], after: list[Run], change: float) -> str:
    if min(len(before), len(after)) < ENOUGH_RUNS:
        return f"unknown: needs {ENOUGH_RUNS} runs"
    if abs(change) < LEAST or _touch(figure, before, after):
        return "within noise"
    return "better" if (change > 0) is figure.is_better_high else "worse"


def _touch(figure: Figure, before: list[Run], after: list[Run]) -> bool:
    one, other = ([value for run in runs if (value := figure.of(run)) is not None] for runs in (before, after))
    return min(one) <= max(other) and min(other) <= max(one)
