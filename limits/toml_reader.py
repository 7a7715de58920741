"""Reads the tables of a TOML file into Structs, or reports every mistake with its place and how to correct it.

Reading continues after the first mistake: a wrong field is reported and keeps its default. A field without a default
gets a stand-in, which later checks must not report: `settled` drops their findings about it. Pure.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from limits.toml_fields import describe, nearest, reader_of, rows_of, shown, struct_of, values_of
from limits.toml_text import Finding, Place

NO_NUMBER = -1
"""Replaces a number that is missing or wrong while the rest is checked."""

_MOST_LISTED = 12  # a longer list of names does not help in a message
_BAD: Any = object()
_Table = TypeVar("_Table", bound=msgspec.Struct)


class TableReader:
    """Reads the tables of one file."""

    def __init__(self, directory: Path | None = None) -> None:
        """directory: the base of relative file names (fields that end in `_file`)."""
        self._directory = directory
        self.findings: list[Finding] = []
        self.parts: dict[int, Place] = {}  # id of each Struct read -> its place
        self._stand_ins: set[Place] = set()

    def read(self, kind: type[_Table], table: Mapping[str, Any], place: Place = ()) -> _Table:
        """A `kind` made from `table`, which is at `place`."""
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for name in table:
            if name not in fields:
                self.findings.append(((*place, name), _unknown(name, fields)))
        values: dict[str, object] = {}
        for name, field in fields.items():
            value = self._value(field.type, table[name], (*place, name)) if name in table else _BAD
            if value is not _BAD:
                values[name] = value
            elif field.required:
                values[name] = NO_NUMBER if describe(field.type).startswith("a whole number") else ""
                self._stand_ins.add((*place, name))
                if name not in table:
                    self.findings.append((place, f"{name} is missing: {describe(field.type)}"))
        struct = kind(**values)
        self.parts[id(struct)] = place
        return struct

    def settled(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those of `findings` that are not about a stand-in."""
        return [(place, why) for place, why in findings if place not in self._stand_ins]

    def _value(self, kind: Any, value: object, place: Place) -> object:
        """The value of a field of type `kind`; _BAD when the value in the file cannot be used."""
        struct, row, each, read = struct_of(kind), rows_of(kind), values_of(kind), reader_of(kind)
        if read is not None:
            try:
                return read(value)
            except ValueError as error:
                self.findings.append((place, f"is {shown(value)}: {error}"))
                return _BAD
        if row is not None:
            return self._rows(row, value, place)
        if struct is not None or each is not None:
            return self._table(kind, value, place)
        try:
            converted = msgspec.convert(value, kind)
        except msgspec.ValidationError:
            self.findings.append((place, f"is {shown(value)}, must be {describe(kind)}"))
            return _BAD
        if self._directory is not None and isinstance(converted, str) and converted:
            return str(self._directory / converted) if str(place[-1]).endswith("_file") else converted
        return converted

    def _rows(self, kind: type[msgspec.Struct], value: object, place: Place) -> object:
        if not isinstance(value, list):
            self.findings.append((place, f"is {shown(value)}, must be [[{'.'.join(map(str, place))}]] tables"))
            return _BAD
        rows = (self._table(kind, row, (*place, number)) for number, row in enumerate(value, 1))
        return tuple(row for row in rows if row is not _BAD)

    def _table(self, kind: Any, value: object, place: Place) -> object:
        """A table: that of a Struct, or one with free names."""
        if not isinstance(value, Mapping):
            self.findings.append((place, f"is {shown(value)}, must be {describe(kind)}"))
            return _BAD
        struct = struct_of(kind)
        if struct is not None:
            return self.read(struct, value, place)
        values = {name: self._value(values_of(kind), each, (*place, name)) for name, each in value.items()}
        return {name: each for name, each in values.items() if each is not _BAD}


def _unknown(name: str, fields: Iterable[str]) -> str:
    known = list(fields)
    listed = f"; known here: {', '.join(known)}" if len(known) <= _MOST_LISTED else ""
    return f"unknown{nearest(name, known)}{listed}"
