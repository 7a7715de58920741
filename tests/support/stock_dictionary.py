"""The dictionaries that FIX engines load, as an independent judge of what we send: QuickFIX ships them as XML.

`complaints(version, msg_type, body)` lists what a stock engine would reject; an empty list is a clean message. Our
published dictionaries have the same format: `complaints_of` takes one of those.
"""

import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import IO

from tests.support.quickfix_files import quickfix_file

_FILES = {"FIX.4.2": "FIX42.xml", "FIX.4.4": "FIX44.xml", "FIXT.1.1": "FIX50SP2.xml"}


class Stock:
    """One file: the fields, groups and enumerated values of each message."""

    def __init__(self, source: Path | IO[bytes]) -> None:
        self._root = root = ET.parse(source).getroot()
        fields = root.findall("fields/field")
        self.types = {int(field.get("number", "0")): field.get("type", "") for field in fields}
        self.numbers = {field.get("name", ""): int(field.get("number", "0")) for field in fields}
        self.values = {
            int(field.get("number", "0")): {value.get("enum", "") for value in field}
            for field in fields
            if len(field) and "MULTIPLE" not in field.get("type", "")
        }
        self.components = {part.get("name", ""): part for part in root.findall("components/component")}
        self.messages = {message.get("msgtype", ""): message for message in root.findall("messages/message")}

    def outer(self, name: str) -> ET.Element:
        """The `header` or the `trailer`."""
        found = self._root.find(name)
        assert found is not None, name
        return found

    def members(self, element: ET.Element) -> tuple[list[int], set[int], dict[int, ET.Element]]:
        """Tags in order, those required, and the groups, components opened up."""
        tags: list[int] = []
        required: set[int] = set()
        groups: dict[int, ET.Element] = {}
        for child in element:
            if child.tag == "component":
                inner_tags, inner_required, inner_groups = self.members(self.components[child.get("name", "")])
                tags += inner_tags
                groups |= inner_groups
                if child.get("required") == "Y":
                    required |= inner_required
                continue
            tag = self.numbers[child.get("name", "")]
            tags.append(tag)
            if child.get("required") == "Y":
                required.add(tag)
            if child.tag == "group":
                groups[tag] = child
        return tags, required, groups


@cache
def stock(version: str) -> Stock:
    """The stock dictionary of one of our versions."""
    return Stock(quickfix_file(_FILES[version]))


def complaints(version: str, msg_type: str, body: str) -> list[str]:
    """What a stock engine finds wrong with a body that we sent."""
    return complaints_of(stock(version), msg_type, body)


def complaints_of(dictionary: Stock, msg_type: str, body: str) -> list[str]:
    """What an engine with this dictionary finds wrong with a body that we sent."""
    message = dictionary.messages.get(msg_type)
    if message is None:
        return [f"no MsgType {msg_type}"]
    pairs = [(int(tag), value) for tag, value in (field.split("=", 1) for field in body[:-1].split("\x01"))]
    found: list[str] = []
    rest = _read(dictionary, message, pairs, found)
    return found + [f"{tag} does not belong in {msg_type}" for tag, _ in rest]


def _read(
    dictionary: Stock, element: ET.Element, pairs: list[tuple[int, str]], found: list[str]
) -> list[tuple[int, str]]:
    tags, required, groups = dictionary.members(element)
    seen: set[int] = set()
    while pairs and pairs[0][0] in tags and pairs[0][0] not in seen:
        tag, value = pairs[0]
        pairs = pairs[1:]
        seen.add(tag)
        if not value or (tag in dictionary.values and value not in dictionary.values[tag]):
            found.append(f"{tag}={value!r}")
        if tag in groups:
            for _ in range(int(value)):
                pairs = _read(dictionary, groups[tag], pairs, found)
    found += [f"{tag} is missing" for tag in sorted(required - seen)]
    return pairs
