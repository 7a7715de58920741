"""The published dictionaries: our table of messages in the XML that QuickFIX, QuickFIX/J and their kin load.

They contain what a session of the `penstock` dialect may send and receive: the standard's fields of our messages, and
our own. Components stay components, in the order of the table, because that is the order on the wire inside groups.
"""

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import quoteattr

from docs.fix.uses import MEANINGS
from protocols.fix.dictionary.tables import Field, Row, Table, for_version, table_of
from protocols.fix.tags import SESSION_MSG_TYPES

FILES: dict[str, str] = {
    "penstock-FIX42.xml": "FIX.4.2",
    "penstock-FIX44.xml": "FIX.4.4",
    "penstock-FIXT11.xml": "FIXT.1.1",
    "penstock-FIX50SP2.xml": "FIXT.1.1",
}
"""File name -> BeginString(8). FIXT.1.1 has two: the transport's messages, and the application's."""

_ROOTS = {
    "penstock-FIX42.xml": ("FIX", 4, 2, 0),
    "penstock-FIX44.xml": ("FIX", 4, 4, 0),
    "penstock-FIXT11.xml": ("FIXT", 1, 1, 0),
    "penstock-FIX50SP2.xml": ("FIX", 5, 0, 2),
}
_NOTICE = "Penstock, dialect penstock: the messages it speaks. Written by docs/generate_fix.py; do not edit."


class _Writer:
    """Writes one file; remembers which fields and components its messages use, and what they require of the latter."""

    def __init__(self, version: str) -> None:
        self.table: Table = table_of(version)
        self.fields: dict[int, Field] = for_version(version).fields
        self.used: dict[int, Field] = {}
        self.components: dict[str, frozenset[int]] = {}

    def body(self, tokens: Iterable[str], required: frozenset[int], depth: int) -> Iterator[str]:
        """The lines of a message's, component's or group's members. required: tags, those inside of groups aside."""
        outside = depth
        for item in tokens:
            if item == ")":
                depth -= 1
                yield f"{' ' * depth}</group>"
                continue
            needed = required if depth == outside else frozenset()
            if item.startswith("@"):
                must = "Y" if self._need(item, needed) else "N"
                yield f'{" " * depth}<component name="{item[1:]}" required="{must}"/>'
                continue
            tag = int(item.rstrip("!("))
            field = self.used[tag] = self.fields[tag]
            must = "Y" if item.endswith("!") or tag in needed else "N"
            kind, end = ("group", ">") if item.endswith("(") else ("field", "/>")
            yield f'{" " * depth}<{kind} name="{field.name}" required="{must}"{end}'
            depth += kind == "group"

    def _need(self, token: str, needed: frozenset[int]) -> frozenset[int]:
        """Have a component written, after those that it uses itself; the fields in it that are needed here.

        In this format a field is required only where it is so in the component and the component is so in the message.
        """
        tokens = self.table.components[token]
        inside = needed.intersection(self.table.members(tokens)[0])
        for inner in tokens:
            if inner.startswith("@"):
                self._need(inner, inside)
        self.components[token] = self.components.get(token, frozenset()) | inside
        return inside

    def message(self, row: Row) -> Iterator[str]:
        """One message with its members."""
        category = "admin" if row.key in SESSION_MSG_TYPES else "app"
        yield f'  <message name="{row.name}" msgtype="{row.key}" msgcat="{category}">'
        yield from self.body(row.tokens, row.required, 3)
        yield "  </message>"

    def part(self, name: str, rows: list[Row], required: frozenset[int]) -> Iterator[str]:
        """Header or trailer; without a row it is an empty one."""
        yield f" <{name}>"
        for row in rows:
            yield from self.body(row.tokens, required, 2)
        yield f" </{name}>"

    def shared(self) -> Iterator[str]:
        """The components and fields that were needed so far."""
        yield " <components>"
        for token, required in list(self.components.items()):
            yield f'  <component name="{token[1:]}">'
            yield from self.body(self.table.components[token], required, 3)
            yield "  </component>"
        yield " </components>"
        yield " <fields>"
        for _, field in sorted(self.used.items()):
            yield from _field(field)
        yield " </fields>"


def _field(field: Field) -> Iterator[str]:
    head = f'  <field number="{field.number}" name="{field.name}" type="{field.type}"'
    if not field.values:
        yield f"{head}/>"
        return
    yield f"{head}>"
    meanings = MEANINGS.get(field.number, {})
    for value in field.values:
        meaning = meanings.get(value, "")
        constant = "".join(char if char.isalnum() else "_" for char in meaning.upper())
        described = f' description="{constant}"' if constant else ""
        yield f"   <value enum={quoteattr(value)}{described}/>"
    yield "  </field>"


def dictionary_xml(name: str) -> str:
    """The text of one of `FILES`."""
    version = FILES[name]
    writer = _Writer(version)
    rows = {row.key: row for row in writer.table.rows}
    outer = [rows.pop("header")], [rows.pop("trailer")]
    messages = list(rows.values())
    if version == "FIXT.1.1":
        is_transport = name == "penstock-FIXT11.xml"
        messages = [row for row in messages if (row.key in SESSION_MSG_TYPES) is is_transport]
        if not is_transport:
            outer = [], []
    kind, major, minor, pack = _ROOTS[name]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<fix type="{kind}" major="{major}" minor="{minor}" servicepack="{pack}">',
        f" <!-- {_NOTICE} -->",
        *writer.part("header", outer[0], frozenset((8, 9, 34, 35, 49, 52, 56))),
        " <messages>",
        *(line for row in messages for line in writer.message(row)),
        " </messages>",
        *writer.part("trailer", outer[1], frozenset((10,))),
        *writer.shared(),
        "</fix>",
    ]
    return "\n".join(lines) + "\n"
