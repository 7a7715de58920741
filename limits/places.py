"""Where in a TOML text each key stands, so that a mistake can be named with its line.

The standard parser gives values without places. This walks the same text for headers and `key =` lines only; the text
must already have parsed. A key it cannot see (inside an inline table) counts as standing on its parent's line.
"""

import re
from collections.abc import Sequence

_KEY = re.compile(r"""[ \t]*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))[ \t]*""")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_QUOTES = ('"""', "'''")


class Places:
    """The line of every header and key of one text. Lines count from 1."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        inside = ""  # the quotes of the multi-line string we are in
        for number, line in enumerate(text.split("\n"), 1):
            if inside:
                inside = "" if inside in line else inside
                continue
            start = line.lstrip(" \t")
            if start.startswith("["):
                table, _ = _dotted(start.lstrip("["), 0)
                self._put(table, number)
                continue
            keys, end = _dotted(line, 0)
            if keys and line[end : end + 1] == "=":
                self._put(table + keys, number)
                inside = next((quotes for quotes in _QUOTES if line.count(quotes, end) % 2), "")

    def _put(self, path: tuple[str, ...], line: int) -> None:
        for size in range(1, len(path) + 1):
            self._lines.setdefault(path[:size], line)

    def line_of(self, path: Sequence[str]) -> int:
        """The line of `path`, or of the longest part of it that stands in the text; 1 when none does."""
        for size in range(len(path), 0, -1):
            line = self._lines.get(tuple(path[:size]))
            if line is not None:
                return line
        return 1


def dotted(path: Sequence[str]) -> str:
    """`path` as TOML writes it, with quotes where a part needs them."""
    return ".".join(part if _BARE.fullmatch(part) else f'"{part}"' for part in path)


def _dotted(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """The dotted key at `at`, and where it ends; an empty one when there is none."""
    keys: list[str] = []
    while found := _KEY.match(text, at):
        keys.append(next(part for part in found.groups() if part is not None))
        at = found.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    return tuple(keys), at
