"""Reads what the dictionaries that come with FIX engines allow in the messages we send, into `dictionaries.json`.

    python -m tests.stock "QuickFIX=DIR" "QuickFIX/J=A.jar,B.jar" "quickfixgo=DIR"

Each engine is named with where its FIX42.xml, FIX44.xml, FIX50SP2.xml and FIXT11.xml lie: a folder, or archives. Only
facts are kept, of the messages that a session of dialect `plain` may be sent: a field is allowed where every engine
allows it, required where any requires it, and has the values that all of them know. Run by hand when an engine has a
new release (`make stock`); the test of the table needs neither engines nor a network.
"""

import io
import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from tests.stock.table import TABLE
from tests.support.stock_dictionary import Stock

_FILES = {"FIX.4.2": ("FIX42.xml",) * 2, "FIX.4.4": ("FIX44.xml",) * 2, "FIXT.1.1": ("FIXT11.xml", "FIX50SP2.xml")}
"""BeginString(8) -> the files of the session's messages and of the application's."""
_SESSION, _APPLICATION = ("0", "1", "2", "3", "4", "5", "A"), ("8", "9", "B", "j", "r")

Part = dict[str, Any]


def _open(place: str) -> Callable[[str], Stock]:
    """What finds a file in a folder or in one of several archives."""

    def read(name: str) -> Stock:
        for path in map(Path, place.split(",")):
            if path.is_dir() and (path / name).exists():
                return Stock(path / name)
            if path.is_file():
                with zipfile.ZipFile(path) as archive:
                    if name in archive.namelist():
                        return Stock(io.BytesIO(archive.read(name)))
        raise SystemExit(f"{place}: {name} is not there")

    return read


def _common(parts: list[tuple[Stock, Element]]) -> Part:
    """What all of them allow, in the order of the first, and what any requires; groups alike."""
    members = [stock.members(element) for stock, element in parts]
    tags = [tag for tag in members[0][0] if all(tag in each[0] for each in members)]
    required = sorted(set[int]().union(*(each[1] for each in members)))
    part: Part = {"fields": _words(tags), "required": _words(required)}
    groups = [tag for tag in tags if all(tag in each[2] for each in members)]
    if groups:
        part["groups"] = {
            str(tag): _common([(stock, each[2][tag]) for (stock, _), each in zip(parts, members, strict=True)])
            for tag in groups
        }
    return part


def _words(tags: list[int]) -> str:
    return " ".join(map(str, tags))


def _tags(part: Part) -> set[int]:
    found = {int(tag) for tag in part["fields"].split()}
    return found.union(*(_tags(group) for group in part.get("groups", {}).values()))


def _version(engines: list[Callable[[str], Stock]], session: str, application: str) -> Part:
    of_session, of_application = [read(session) for read in engines], [read(application) for read in engines]
    outer = {name: _common([(stock, stock.outer(name)) for stock in of_session]) for name in ("header", "trailer")}
    messages: Part = {}
    for stocks, msg_types in ((of_session, _SESSION), (of_application, _APPLICATION)):
        for msg_type in msg_types:
            if all(msg_type in stock.messages for stock in stocks):
                messages[msg_type] = _common([(stock, stock.messages[msg_type]) for stock in stocks])
    values: dict[str, str] = {}
    types: dict[str, list[int]] = {}
    for tag in sorted(set[int]().union(*map(_tags, (*outer.values(), *messages.values())))):
        known = [stock for stock in (*of_session, *of_application) if tag in stock.types]
        listed = [stock.values[tag] for stock in known if tag in stock.values]
        if listed:
            values[str(tag)] = " ".join(sorted(set.intersection(*listed), key=lambda value: (len(value), value)))
        for name in {stock.types[tag] for stock in known}:
            types.setdefault(name, []).append(tag)
    by_type = {name: _words(tags) for name, tags in sorted(types.items())}
    return {**outer, "messages": messages, "values": values, "types": by_type}


def main() -> None:
    """Write the table."""
    places = dict(argument.split("=", 1) for argument in sys.argv[1:])
    if len(places) < 3:
        raise SystemExit(__doc__)
    engines = [_open(place) for place in places.values()]
    table = {"engines": list(places)} | {version: _version(engines, *files) for version, files in _FILES.items()}
    text = json.dumps(table, indent=1)
    # An entry a line where that is readable: the table is looked at in reviews.
    text = re.sub(r'\{\s+"fields": ("[^"]*"),\s+"required": ("[^"]*")\s+\}', r'{"fields": \1, "required": \2}', text)
    TABLE.write_text(text + "\n")


if __name__ == "__main__":
    main()
