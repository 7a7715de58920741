"""What the configuration's Structs say about their fields, in words: for error messages and for `config init`.

Only types and their `Meta` are read here, so what an operator is told can never differ from what is checked.
"""

from collections.abc import Iterable
from difflib import get_close_matches
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


def struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct that `kind` (or `kind | None`) is a table of; None when it is no table."""
    kind = _bare(kind)
    if get_origin(kind) in (Union, UnionType):
        kind = next(option for option in get_args(kind) if option is not NoneType)
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def rows_of(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct that `kind` is an array of tables of; None when it is none."""
    kind = _bare(kind)
    return struct_of(get_args(kind)[0]) if get_origin(kind) is tuple else None


def meaning(kind: Any) -> str:
    """What the field is for, as its Struct says; "" when its name says it all."""
    return next((meta.description for meta in reversed(_metas(kind)) if meta.description), "")


def describe(kind: Any) -> str:
    """What a value of the type looks like: `a whole number from 1 to 60`, `"N", "S" or "Y"`."""
    bare = _bare(kind)
    if get_origin(bare) is Literal:
        *most, last = (_literal(option) for option in get_args(bare))
        return f"{', '.join(most)} or {last}" if most else last
    if get_origin(bare) is tuple:
        return f"a list, each item {describe(get_args(bare)[0])}"
    if struct_of(bare) is not None:
        return "a table"
    metas = _metas(kind)
    low = next((meta.ge for meta in metas if meta.ge is not None), None)
    high = next((meta.le for meta in metas if meta.le is not None), None)
    if low is not None and high is not None:
        return f"a whole number from {low} to {high}"
    pattern = next((meta.pattern for meta in metas if meta.pattern), None)
    return _PATTERNS.get(pattern, f"text like {pattern}") if pattern else _PLAIN.get(bare, str(bare))


def nearest(name: object, known: Iterable[str]) -> str:
    """A hint at the known name that looks most like this one; "" when none does."""
    close = get_close_matches(str(name)[:100], list(known)[:1_000], n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _bare(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def _metas(kind: Any) -> list[Meta]:
    return [meta for meta in get_args(kind)[1:] if isinstance(meta, Meta)] if get_origin(kind) is Annotated else []


def _literal(option: object) -> str:
    return f'"{option}"' if isinstance(option, str) else str(option)
