"""The tables of results in understand/guarantees.md, from the last run of `make faults`.

The run writes guarantees.json beside the page. The text between the two marks of the page is made from it.
"""

from pathlib import Path

import msgspec

_PAGE = Path(__file__).parent / "understand" / "guarantees.md"
_DATA = _PAGE.with_suffix(".json")
_BEGIN, _END = "<!-- made by `make faults` -->\n", "<!-- end -->\n"


class Row(msgspec.Struct):
    """One program's run. broken: how many promises were broken; -1 = the program did not finish."""

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
    """A whole run. shown: which of several measurements of a figure is shown."""

    date: str
    rows: list[Row]
    figures: list[Figure]
    shown: str = "best of three"


def table(result: Result) -> str:
    """The text between the marks."""
    lines = [f"Measured on {result.date}, on two shared cores.", "", "| Fault | Run | Load | Promises broken |"]
    lines += ["| --- | --- | --- | --- |"]
    lines += [f"| {row.what} | {row.rounds} | {row.text} | {row.broken} |" for row in result.rows]
    lines += ["", f"| Overload, {result.shown} | Goal | Measured | |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.name} | {row.goal} | {row.measured} | {'' if row.ok else 'missed'} |" for row in result.figures]
    return "\n".join(lines) + "\n"


def page(result: Result) -> str:
    """The page with these tables in it."""
    text = _PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(_BEGIN)
    return f"{head}{_BEGIN}\n{table(result)}\n{_END}{rest.partition(_END)[2]}"


def read() -> Result:
    """The results of the last run."""
    return msgspec.json.decode(_DATA.read_bytes(), type=Result)


def write(result: Result) -> None:
    """Store the results of a run and put them into the page."""
    _DATA.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    _PAGE.write_text(page(result), encoding="utf-8")


def is_stale() -> bool:
    """Whether the page differs from the results of the last run."""
    return _PAGE.read_text(encoding="utf-8") != page(read())
