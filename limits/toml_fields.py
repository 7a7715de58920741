"""Describes the fields of a file's Structs in words, for error messages, the reference and `config init`.

It reads only types and their `Meta`, so what an operator reads can never differ from what is checked. Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta

_PATTERNS = {
    r"^[A-Za-z0-9._-]{1,32}$": "1 to 32 letters, digits, dots, dashes or underscores",
    r"^[A-Za-z0-9._-]{1,64}$": "1 to 64 letters, digits, dots, dashes or underscores",
    r"^[A-Za-z0-9._/-]{1,32}$": "1 to 32 letters, digits, dots, dashes, underscores or slashes",
    r"^[0-9]{1,18}(\.[0-9]{1,18})?$": 'a plain decimal in quotes, such as "0.01"',
    r"^/[A-Za-z0-9._/-]{0,127}$": "a path that begins with a slash",
}
_PLAIN = {str: "text in quotes", int: "a whole number", bool: "true or false"}
_MAX_NAMES, _MAX_COMPARED = 1_000, 200  # a hint is not worth more time
_LISTED = 8  # names in a message
_HUGE = 1 << 63


def struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct that `kind` (or `kind | None`) is a table of; None when it is not a table."""
    bare, _ = _peeled(kind)
    return bare if isinstance(bare, type) and issubclass(bare, msgspec.Struct) else None


def rows_of(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct that `kind` is an array of tables of; None when it is not one."""
    bare, _ = _peeled(kind)
    return struct_of(get_args(bare)[0]) if get_origin(bare) is tuple else None


def values_of(kind: Any) -> Any:
    """The type of the values in a table with free names; None when `kind` is not such a table."""
    bare, _ = _peeled(kind)
    return get_args(bare)[1] if get_origin(bare) is dict else None


def reader_of(kind: Any) -> Callable[[object], object] | None:
    """The function that reads the value from the file, where a type is not enough: `Meta(extra={"read": ...})`."""
    _, metas = _peeled(kind)
    return next((meta.extra["read"] for meta in metas if meta.extra), None)


def meaning(kind: Any) -> str:
    """The purpose of the field, as its Struct gives it; "" when the name is enough."""
    _, metas = _peeled(kind)
    return next((meta.description for meta in reversed(metas) if meta.description), "")


def describe(kind: Any) -> str:
    """What a value of the type looks like: `a whole number from 1 to 60`, `"N", "S" or "Y"`."""
    bare, metas = _peeled(kind)
    if get_origin(bare) is Literal:
        *most, last = (f'"{option}"' if isinstance(option, str) else str(option) for option in get_args(bare))
        return f"{', '.join(most)} or {last}" if most else last
    if get_origin(bare) is tuple:
        return f"a list, each item {describe(get_args(bare)[0])}"
    example = next((f" such as {meta.examples[0]}" for meta in metas if meta.examples), "")
    if struct_of(bare) is not None or get_origin(bare) is dict:
        return f"a table{example}"
    low = next((meta.ge for meta in metas if meta.ge is not None), None)
    high = next((meta.le for meta in metas if meta.le is not None), None)
    if low is not None and high is not None:
        return f"a whole number from {low} to {high}"
    pattern = next((meta.pattern for meta in metas if meta.pattern), None)
    return _PATTERNS.get(pattern, f"text like {pattern}") if pattern else _PLAIN.get(bare, str(bare)) + example


def shown(value: object) -> str:
    """A value from a file as a message quotes it: short, and without control characters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:60]}...")
    if isinstance(value, Mapping | list):
        return "a table" if isinstance(value, Mapping) else "a list"
    if isinstance(value, int) and abs(value) >= _HUGE:  # it may have thousands of digits
        return "a huge number"
    return str(value)[:60]


def nearest(name: object, known: Iterable[str]) -> str:
    """A hint at the known name that is most similar to this one; "" when none is.

    A file may have thousands of mistakes, and a gateway reads it while it serves. So among many names, only those with
    the same beginning are compared.
    """
    text, choices = str(name)[:100], list(islice(known, _MAX_NAMES))
    if len(choices) > _MAX_COMPARED:
        choices = [choice for choice in choices if choice[:2] == text[:2]][:_MAX_COMPARED]
    close = get_close_matches(text, choices, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def none_called(what: str, name: str, known: Iterable[str]) -> str:
    """An error text for an unknown name, with the most similar known name, or else a list of the known ones."""
    names = sorted(islice(known, _MAX_NAMES))
    hint = nearest(name, names)
    if not hint and names:
        hint = f"; there are {', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''}"
    return f"no {what} is called {name[:100]}{hint}"


def _peeled(kind: Any) -> tuple[Any, list[Meta]]:
    """The type itself, without the `None` that a file cannot express, and all its annotations."""
    metas: list[Meta] = []
    while True:
        if get_origin(kind) is Annotated:
            kind, *notes = get_args(kind)
            metas += [note for note in notes if isinstance(note, Meta)]
        elif get_origin(kind) in (Union, UnionType):
            kind = next(option for option in get_args(kind) if option is not NoneType)
        else:
            return kind, metas
