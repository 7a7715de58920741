"""The text in a TOML file's bytes, its tables, and the line of each key.

The standard parser gives values without lines. `TomlLines` scans the same text for headers and `key =` lines only. The
text must already have parsed. A key that it cannot see (inside an inline table) gets the line of its parent. Pure.
"""

import re
import tomllib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

Place: TypeAlias = tuple[str | int, ...]
"""A place in the file: names of tables and keys, and numbers of `[[rows]]` from 1."""
Finding: TypeAlias = tuple[Place, str]
"""A place, and what is wrong or odd there."""

_KEY = re.compile(r"""[ \t]*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))[ \t]*""")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_QUOTES = ('"""', "'''")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")


class Problem(msgspec.Struct, frozen=True):
    """One mistake or warning: its line (0 = the whole file), the dotted place, what is wrong and how to correct it."""

    line: int
    place: str
    text: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.place}: {self.text}" if self.place else f"{where}{self.text}"


class NoToml(ValueError):
    """The text cannot be read at all."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(line, "", text)


def text_in(content: bytes, max_bytes: int) -> str:
    """The text in a file's bytes.

    Raises:
        NoToml: there are too many bytes, they are not UTF-8, or they begin with a mark of an editor.
    """
    if len(content) > max_bytes:
        raise NoToml(0, f"larger than {max_bytes} bytes")
    if why := why_no_text(content):
        raise NoToml(0, why)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise NoToml(content.count(b"\n", 0, error.start) + 1, "not UTF-8") from None


def why_no_text(content: bytes) -> str:
    """An error text if an editor has put a hidden mark before the text, "" if not."""
    for mark, name in ((BOM_UTF8, "a byte order mark (BOM)"), (BOM_UTF16_LE, "UTF-16"), (BOM_UTF16_BE, "UTF-16")):
        if content.startswith(mark):
            return f"begins with {name}: save it as UTF-8 without a byte order mark"
    return ""


def tables_in(text: str, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        NoToml: it is not TOML.
    """
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except RecursionError:
        raise NoToml(1, "nested too deeply") from None
    except ValueError as error:  # also a number with thousands of digits
        message = str(error)
        line = len(text.splitlines()) if message.endswith("(at end of document)") else 1
        found = _AT_LINE.search(message)
        raise NoToml(int(found[1]) if found else line, f"not TOML: {message}") from None


class TomlLines:
    """The line of every header and key of one text. Lines count from 1."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Place, int] = {}
        self._rows: dict[Place, int] = {}  # array of tables -> the number of its last row
        table: Place = ()
        inside = ""  # the quotes of the current multi-line string
        for number, line in enumerate(text.split("\n"), 1):
            if inside:
                inside = "" if inside in line else inside
                continue
            start = line.lstrip(" \t")
            if start.startswith("["):
                keys, _ = _keys(start.lstrip("["), 0)
                table = self._row(keys) if start.startswith("[[") else self._under_rows(keys)
                self._put(table, number)
                continue
            keys, end = _keys(line, 0)
            if keys and line[end : end + 1] == "=":
                self._put(table + keys, number)
                inside = next((quotes for quotes in _QUOTES if line.count(quotes, end) % 2), "")

    def _row(self, keys: tuple[str, ...]) -> Place:
        """The next row of an array of tables."""
        rows = (*self._under_rows(keys[:-1]), *keys[-1:])
        self._rows[rows] = self._rows.get(rows, 0) + 1
        return (*rows, self._rows[rows])

    def _under_rows(self, keys: tuple[str, ...]) -> Place:
        """The place of a header's table: below the last row of each array that it names."""
        table: Place = ()
        for key in keys:
            table += (key,)
            if table in self._rows:
                table += (self._rows[table],)
        return table

    def _put(self, place: Place, line: int) -> None:
        for size in range(1, len(place) + 1):
            self._lines.setdefault(place[:size], line)

    def line_of(self, place: Place) -> int:
        """The line of `place`, or of the longest part of it that is in the text; 1 when none is."""
        parts = (place[:size] for size in range(len(place), 0, -1))
        return next((self._lines[part] for part in parts if part in self._lines), 1)

    def problems(self, findings: Iterable[Finding]) -> list[Problem]:
        """The findings with their lines, without duplicates, in the order of the text."""
        found = dict.fromkeys(Problem(self.line_of(place), dotted(place), text) for place, text in findings)
        return sorted(found, key=lambda problem: problem.line)


def dotted(place: Sequence[str | int]) -> str:
    """`place` as TOML writes it, with quotes where a part needs them and `[2]` for the second row."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _BARE.fullmatch(step) else f'"{step}"')
    return text


def _keys(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """The dotted key at `at`, and its end; an empty key when there is none."""
    keys: list[str] = []
    while found := _KEY.match(text, at):
        keys.append(next(part for part in found.groups() if part is not None))
        at = found.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    return tuple(keys), at
