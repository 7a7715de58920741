"""A configuration as the TOML file that an operator would write: what has its default is left out.

Before editing: it writes what the demo has, not all of TOML. A key that is not bare, for one, would need quotes.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.config import schema


def toml_of(config: schema.Config) -> str:
    """The text of a file from which the same configuration is loaded."""
    return "\n".join(_lines(config, "")) + "\n"


def _lines(table: msgspec.Struct, path: str) -> Iterator[str]:
    """Values first: a line below the head of an inner table would belong to that."""
    inner: list[tuple[str, Any]] = []
    for field in msgspec.structs.fields(table):
        value, name = getattr(table, field.name), field.encode_name
        if value is None or value == field.default:
            continue
        rows = value if isinstance(value, tuple) else ()
        if isinstance(value, msgspec.Struct):
            inner.append((f"[{path}{name}]", value))
        elif rows and all(isinstance(row, msgspec.Struct) for row in rows):
            inner += [(f"[[{path}{name}]]", row) for row in rows]
        else:
            yield f"{name} = {json.dumps(value)}"  # strings, numbers, words and lists look the same in TOML
    for head, value in inner:
        yield head
        yield from _lines(value, head.strip("[]") + ".")
