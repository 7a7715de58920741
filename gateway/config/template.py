"""The text of a new `gateway.toml`: every setting, explained from its Struct, around a working example.

The example trades on loopback without certificates: one FIX session without credentials, one WebSocket client with a
key. A setting at its default is written as a comment, so the file shows everything and changes nothing.
"""

from collections.abc import Iterator, Mapping
from textwrap import wrap

import msgspec

from gateway.config import schema
from limits.toml_fields import describe, meaning, rows_of, struct_of

_WIDTH = 110
_PLAIN = ("text in quotes", "true or false")  # the default beside it says the same
_HEAD = """\
# Penstock. Every setting with its unit, default and purpose; a setting after a # is at its default.
# `penstock config check FILE` lists every mistake; `penstock run -c FILE` starts the gateway.
"""


def _instrument(number: int, base: str, lot: str, max_qty: str, band: tuple[str, str]) -> dict[str, object]:
    row = {"id": number, "symbol": f"{base}-USDT", "base": base, "quote": "USDT", "px_exp": 2, "qty_exp": len(lot) - 2}
    row |= {"tick": "0.01", "lot": lot, "min_qty": lot, "max_qty": max_qty, "band_low": band[0], "band_high": band[1]}
    return row | {"min_notional": "5", "max_notional": "20000000"}


def init_text(public_key: str) -> str:
    """The file's text. public_key: base64 of the Ed25519 key with which the example's WebSocket client signs."""
    example: dict[str, object] = {
        "fix": {
            "listeners": [{"name": "fix", "insecure": True}],
            "sessions": [{"id": 1, "comp_id": "INST", "account": "INST", "listener": "fix", "auth": "none"}],
        },
        "ws": {},
        "admin": {},
        "accounts": [{"id": 1, "name": "INST"}, {"id": 2, "name": "MAKER"}],
        "keys": [{"id": "key-maker-1", "account": "MAKER", "public_key": public_key, "permissions": ["trade", "read"]}],
        "instruments": [
            _instrument(1, "BTC", "0.000001", "1000", ("1000", "1000000")),
            _instrument(2, "ETH", "0.00001", "10000", ("100", "100000")),
        ],
    }
    return "\n".join([_HEAD, *_tables(schema.Config, example, "")])


def _tables(kind: type[msgspec.Struct], example: Mapping[str, object], prefix: str) -> Iterator[str]:
    """The lines of all tables below `kind`, in the order of its fields."""
    for field in msgspec.structs.fields(kind):
        name, table, row = f"{prefix}{field.name}", struct_of(field.type), rows_of(field.type)
        chosen = example.get(field.name)
        if table is not None:
            off = field.default is None and chosen is None
            yield from _table(f"{'#' * off}[{name}]", table, chosen, f"{name}.")
        elif row is not None and isinstance(chosen, list):
            for number, values in enumerate(chosen):
                yield from _table(f"[[{name}]]", row, values, f"{name}.", explain=not number)
        elif row is not None:
            yield from _table(f"#[[{name}]]", row, None, f"{name}.")


def _table(
    head: str, kind: type[msgspec.Struct], chosen: object, prefix: str, *, explain: bool = True
) -> Iterator[str]:
    """One table: its description, its settings, then the tables inside it."""
    values = chosen if isinstance(chosen, Mapping) else {}
    if explain:
        yield from _comment(kind.__doc__ or "")
    yield head
    for field in msgspec.structs.fields(kind):
        if struct_of(field.type) is not None or rows_of(field.type) is not None:
            continue
        if field.name in values:
            if explain:
                yield from _comment(_words(field))
            yield f"{field.name} = {_toml(values[field.name])}"
        elif explain:
            yield from _comment(_words(field))
            yield f"#{field.name} = {'...' if field.required else _toml(field.default)}"
    yield ""
    if explain:
        yield from _tables(kind, values, prefix)


def _words(field: msgspec.structs.FieldInfo) -> str:
    """The purpose of a setting, and its allowed values."""
    told, form = meaning(field.type), describe(field.type).removeprefix("a whole number from ")
    if not told:
        return form
    return told if form in _PLAIN else f"{told} [{form}]"


def _comment(text: str) -> Iterator[str]:
    yield from (f"# {line}" for line in wrap(text.strip(), _WIDTH))


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'  # only our own words come here, and none needs an escape
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)
