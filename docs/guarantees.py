"""The table of rounds, faults and losses in understand/guarantees.md, as the last `make faults` found them.

The run writes guarantees.json beside the page; what stands between the two marks of the page is made from it.
"""

from pathlib import Path

import msgspec

_PAGE = Path(__file__).parent / "understand" / "guarantees.md"
_DATA = _PAGE.with_suffix(".json")
_BEGIN, _END = "<!-- made by `make faults` -->\n", "<!-- end -->\n"


class Row(msgspec.Struct):
    """One program's run. broken: promises that were; -1 = it did not come to an end."""

    what: str
    rounds: str
    text: str
    broken: int
    took_s: float


class Figure(msgspec.Struct):
    """One measured figure and its goal."""

    name: str
    goal: str
    measured: str
    ok: bool


class Result(msgspec.Struct):
    """A whole run. told: what of several runs of a figure is told."""

    date: str
    rows: list[Row]
    figures: list[Figure]
    told: str = "best of three"


def table(result: Result) -> str:
    """What stands between the marks."""
    lines = [f"As found on {result.date}, on two shared cores.", "", "| Faults | Run | What went through | Broken |"]
    lines += ["| --- | --- | --- | --- |"]
    lines += [f"| {row.what} | {row.rounds} | {row.text} | {row.broken} |" for row in result.rows]
    lines += ["", f"| Overload, {result.told} | Goal | Measured | |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.name} | {row.goal} | {row.measured} | {'' if row.ok else 'missed'} |" for row in result.figures]
    return "\n".join(lines) + "\n"


def page(result: Result) -> str:
    """The page with this table in it."""
    text = _PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(_BEGIN)
    return f"{head}{_BEGIN}\n{table(result)}\n{_END}{rest.partition(_END)[2]}"


def read() -> Result:
    """What the last run found."""
    return msgspec.json.decode(_DATA.read_bytes(), type=Result)


def write(result: Result) -> None:
    """Keep what a run found, and show it."""
    _DATA.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    _PAGE.write_text(page(result), encoding="utf-8")


def is_stale() -> bool:
    """Whether the page shows something else than the last run found."""
    return _PAGE.read_text(encoding="utf-8") != page(read())
