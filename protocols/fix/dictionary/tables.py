"""The messages of each version: fields, data types, permitted values, groups, and what is required.

One table (`fields`, `messages`) feeds the decoder, the reference and the published dictionary. It
is text so that people can compare it with the standard. It is parsed once per version, only here.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import msgspec

from protocols.fix.dictionary.datatypes import CHECKS, PATTERNS, Check
from protocols.fix.dictionary.fields import FIELDS, VALUES
from protocols.fix.dictionary.messages import EXTENSIONS, KNOWN_TAGS, LAYOUTS, MSG_TYPES, OWN_MESSAGES
from protocols.fix.tags import APPL_VER_ID, COD_GRACE_MS, RECV_WINDOW, SESSION_MSG_TYPES, TEXT

VERSIONS: tuple[str, ...] = tuple(LAYOUTS)
"""Every BeginString(8) served, oldest first."""

HEADER, BODY, TRAILER = 0, 1, 2
"""The three parts of a message, in their order."""

_HEADER_REQUIRED = frozenset({8, 9, 34, 35, 49, 52, 56})
_MULTIPLE = "MULTIPLEVALUESTRING"
# Text(58) is the only field that may be more than ASCII. RecvWindow(25000) and CodGraceMs(20107) are lengths of time:
# no sign. Of ApplVerID(1128) one value is served: a message of another version would be misread.
_OVERRIDES = {TEXT: "TEXT", RECV_WINDOW: "UNSIGNED", COD_GRACE_MS: "LENGTH", APPL_VER_ID: "SERVEDVERSION"}


class Field(msgspec.Struct, frozen=True):
    """One field. type: the standard's data type. values: the permitted values in the standard's order, () = any."""

    number: int
    name: str
    type: str
    values: tuple[str, ...]

    @property
    def label(self) -> str:
        """As people write it: `MsgSeqNum(34)`."""
        return f"{self.name}({self.number})"

    @property
    def check(self) -> Check:
        """The exact test of its format."""
        return CHECKS[_OVERRIDES.get(self.number, self.type)]

    @property
    def is_multiple(self) -> bool:
        """Whether a value may hold several of the permitted ones, separated by blanks."""
        return self.type == _MULTIPLE

    @property
    def pattern(self) -> str:
        """A regular expression without capturing groups; it accepts only what format and permitted values allow."""
        if not self.values:
            return PATTERNS[_OVERRIDES.get(self.number, self.type)]
        # Longest first: an alternative that is a prefix of another would win, and then fail on what follows.
        values = [re.escape(value) for value in sorted(self.values, key=len, reverse=True)]
        one = f"[{''.join(values)}]" if len(values[0]) == 1 else f"(?:{'|'.join(values)})"
        return f"{one}(?: {one})*" if self.is_multiple else one


class Group(msgspec.Struct, frozen=True):
    """A repeating group. members[0] is the delimiter that opens each entry; the others follow in this order."""

    count: int
    members: tuple[int, ...]
    required: frozenset[int]
    groups: dict[int, "Group"]
    position: dict[int, int]


class Layout(msgspec.Struct, frozen=True):
    """One message. members: the tags of its body outside of groups, in the standard's order, our own at the end.

    place: tag -> HEADER, BODY or TRAILER for every tag that may be outside of groups. required: with the header.
    """

    msg_type: str
    name: str
    members: tuple[int, ...]
    required: frozenset[int]
    groups: dict[int, Group]
    place: dict[int, int]


class Dictionary(msgspec.Struct, frozen=True):
    """One version. tags: every tag it defines. msg_types: every MsgType(35) it defines, with or without a layout.

    session_tags: every tag of the standard that defines the session messages. That is FIXT.1.1 without the
    application version on top of it; in FIX.4.x it is the same as `tags`.
    """

    version: str
    header: Layout
    trailer: Layout
    messages: dict[str, Layout]
    msg_types: frozenset[str]
    tags: frozenset[int]
    session_tags: frozenset[int]
    fields: dict[int, Field]


_ROW = re.compile(r"(@?\w+)(?: (\w+))?(?: \[([0-9 ]+)\])?: ?(.*)")
_TOKEN = re.compile(r"@\w+|[0-9]+\(|[0-9]+!?|\)")
_FIELD = re.compile(r"(\w+)\(([0-9]+)\)")
_VERSION_MARK = {"|4.4": 1, "|FIXT": 2}


def expand_run(token: str) -> list[str]:
    """`3-6`, `A-D`, `BA-BD` as the values it stands for; anything else as itself."""
    first, dash, last = token.partition("-")
    if not dash or not last:
        return [token]
    if first.isdigit() and last.isdigit():
        return [str(n) for n in range(int(first), int(last) + 1)]
    if len(first) == len(last) and first[:-1] == last[:-1] and first.isalpha():
        return [first[:-1] + chr(code) for code in range(ord(first[-1]), ord(last[-1]) + 1)]
    return [token]


def _expand(text: str) -> Iterator[str]:
    for token in text.split():
        yield from expand_run(token)


def _rows(text: str) -> Iterator[str]:
    """The logical rows of a table: a line that begins with a blank continues the one before."""
    return filter(None, text.replace("\n ", " ").splitlines())


def _values(version: str) -> dict[int, tuple[str, ...]]:
    newest = VERSIONS.index(version)
    table: dict[int, tuple[str, ...]] = {}
    number = added = 0
    for token in VALUES.split():
        if token.endswith(":"):
            number, added = int(token[:-1]), 0
        elif token in _VERSION_MARK:
            added = _VERSION_MARK[token]
        elif added <= newest:
            table[number] = (*table.get(number, ()), *expand_run(token))
    return table


def _fields(version: str) -> dict[int, Field]:
    values = _values(version)
    fields = {}
    for data_type, text in FIELDS.items():
        for name, number in _FIELD.findall(text):
            fields[int(number)] = Field(int(number), name, data_type, values.get(int(number), ()))
    return fields


class Row(NamedTuple):
    """One row of a table as written. key: `header`, `trailer` or the MsgType(35). tokens: of its body."""

    key: str
    name: str
    required: frozenset[int]
    tokens: list[str]


class Table:
    """The rows of one version, components not expanded. A token is `@Name`, `78(`, `58!`, `)` or a tag.

    components: by `@Name`. They are looked up where a row uses them.
    """

    def __init__(self, text: str) -> None:
        self.components: dict[str, list[str]] = {}
        self.rows: list[Row] = []
        for row in _rows(text):
            match = _ROW.fullmatch(row)
            if match is None:
                raise ValueError(f"no row of a dictionary: {row}")
            key, name, needs, body = match.groups()
            tokens = _TOKEN.findall(body)
            if key.startswith("@"):
                self.components[key] = tokens
            else:
                self.rows.append(Row(key, name or key, frozenset(map(int, (needs or "").split())), tokens))

    def members(self, tokens: Iterable[str]) -> tuple[list[int], set[int], dict[int, Group]]:
        """Tags, required tags and groups of `tokens`, components expanded. A `)` ends them."""
        tokens = iter(tokens)
        tags: list[int] = []
        required: set[int] = set()
        groups: dict[int, Group] = {}
        for item in tokens:
            if item == ")":
                break
            if item.startswith("@"):
                part = self.members(self.components[item])
                tags += part[0]
                required |= part[1]
                groups |= part[2]
                continue
            tag = int(item.rstrip("!("))
            tags.append(tag)
            if item.endswith("!"):
                required.add(tag)
            elif item.endswith("("):
                groups[tag] = self._group(tag, tokens)
        return tags, required, groups

    def _group(self, count: int, tokens: Iterator[str]) -> Group:
        members, required, groups = self.members(tokens)
        position = {tag: index for index, tag in enumerate(members)}
        return Group(count, tuple(members), frozenset(required), groups, position)


def table_of(version: str) -> Table:
    """The table of `version` as written, with our own messages, and the fields that we add to others."""
    table = Table(LAYOUTS[version] + OWN_MESSAGES)
    added = {row.key: row.tokens for row in Table(EXTENSIONS).rows}
    for row in table.rows:
        present = set(table.members(row.tokens)[0])
        row.tokens.extend(token for token in added.get(row.key, ()) if int(token) not in present)
    return table


def _layouts(version: str) -> dict[str, Layout]:
    """Header, trailer and messages of one version by `header`, `trailer` and MsgType(35)."""
    table = table_of(version)
    parts = {row.key: table.members(row.tokens) for row in table.rows}
    header, trailer = parts["header"], parts["trailer"]
    outside = dict.fromkeys(header[0], HEADER) | dict.fromkeys(trailer[0], TRAILER)
    layouts = {}
    for key, name, needs, _ in table.rows:
        tags, _, groups = parts[key]
        place = dict.fromkeys(tags, BODY) | outside
        layouts[key] = Layout(key, name, tuple(tags), needs | _HEADER_REQUIRED, header[2] | groups, place)
    return layouts


@lru_cache(maxsize=len(VERSIONS))
def for_version(version: str) -> Dictionary:
    """The dictionary of `version`, one of `VERSIONS`. FIXT.1.1 includes FIX.5.0SP2.

    Raises:
        KeyError: no such version. The configuration is checked before.
    """
    layouts = _layouts(version)
    header, trailer = layouts.pop("header"), layouts.pop("trailer")
    tags = frozenset(map(int, _expand(KNOWN_TAGS[version]))) | _tags_of([header, trailer, *layouts.values()])
    session_tags = tags
    if version == "FIXT.1.1":
        session_tags = _tags_of([header, trailer, *(layouts[msg_type] for msg_type in SESSION_MSG_TYPES)])
    msg_types = frozenset(_expand(MSG_TYPES[version])) | frozenset(layouts)
    return Dictionary(version, header, trailer, layouts, msg_types, tags, session_tags, _fields(version))


def _tags_of(parts: Iterable[Layout | Group]) -> frozenset[int]:
    tags: set[int] = set()
    for part in parts:
        tags.update(part.members, _tags_of(part.groups.values()))
    return frozenset(tags)
