"""What stock dictionaries of QuickFIX, QuickFIX/J and quickfixgo allow, and what is wrong with a message by them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from protocols.fix.dictionary.datatypes import CHECKS

TABLE = Path(__file__).with_name("dictionaries.json")

_CHECKED_AS = {
    "MULTIPLECHARVALUE": "MULTIPLEVALUESTRING",
    "MULTIPLESTRINGVALUE": "MULTIPLEVALUESTRING",
    "UTCDATE": "UTCDATEONLY",
}

Field = tuple[int, str]


@cache
def table() -> dict[str, Any]:
    """The committed table; `tests.stock` writes it."""
    found: dict[str, Any] = json.loads(TABLE.read_text())
    return found


def complaints(version: str, fields: list[Field]) -> list[str]:
    """What at least one engine with its stock dictionary would reject a whole message for. fields: in wire order."""
    dictionary = table()[version]
    msg_type = next(value for tag, value in fields if tag == 35)
    message = dictionary["messages"].get(msg_type)
    if message is None:
        return [f"no MsgType {msg_type}"]
    found = [f"{tag}={value}: {fault}" for tag, value in fields if (fault := _fault(dictionary, tag, value))]
    rest = fields
    for part in (dictionary["header"], message, dictionary["trailer"]):
        rest = _read(part, rest, found)
    return found + [f"{tag} does not belong in {msg_type}" for tag, _ in rest]


def _fault(dictionary: dict[str, Any], tag: int, value: str) -> str:
    values = dictionary["values"].get(str(tag))
    types = [name for name, tags in dictionary["types"].items() if str(tag) in tags.split()]
    if not value:
        return "empty"
    bad = [name for name in types if not CHECKS[_CHECKED_AS.get(name, name)](value)]
    if bad:
        return f"is no {bad[0]}"
    if values is not None and not any("MULTIPLE" in name for name in types) and value not in values.split():
        return f"not one of {values}"
    return ""


def _read(part: dict[str, Any], fields: list[Field], found: list[str]) -> list[Field]:
    """Take the fields that belong to this part, in any order but for groups; what is left over."""
    allowed, groups = set(map(int, part["fields"].split())), part.get("groups", {})
    seen: set[int] = set()
    while fields and fields[0][0] in allowed and fields[0][0] not in seen:
        (tag, value), fields = fields[0], fields[1:]
        seen.add(tag)
        if str(tag) in groups:
            for _ in range(int(value)):
                fields = _entry(groups[str(tag)], fields, found)
    missing = sorted(set(map(int, part["required"].split())) - seen)
    found += [f"{tag} is missing" for tag in missing]
    return fields


def _entry(group: dict[str, Any], fields: list[Field], found: list[str]) -> list[Field]:
    """One entry of a group: it begins with the delimiter, and its members keep their order."""
    order = list(map(int, group["fields"].split()))
    if not fields or fields[0][0] != order[0]:
        found.append(f"an entry must begin with {order[0]}")
    before = fields
    fields = _read(group, fields, found)
    members = [tag for tag, _ in before[: len(before) - len(fields)] if tag in order]
    if members != sorted(members, key=order.index):
        found.append(f"members of a group out of order: {members}")
    return fields
