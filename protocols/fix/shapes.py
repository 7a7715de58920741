"""Learned shapes: the fast half of the decoder.

A client sends a message type with one order of tags. After the careful path has accepted such a message three times,
its shape is compiled to one regular expression that fixes the order and the type of every value. What the careful path
checks for each message (known, once, in order, required, typed, permitted) then follows from the match. A shape may
refuse what the careful path accepts, never the other way round. Compiling takes about 1 ms, so it is bounded per
session and in total: a client that shuffles its tags stays on the careful path, and never causes a compile per message.
"""

import re
from weakref import WeakValueDictionary

from protocols.fix.dictionary.tables import Dictionary
from protocols.fix.message import DATA_OF_LENGTH
from protocols.fix.tags import BEGIN_STRING, MSG_TYPE

SIGHTS_TO_LEARN = 3
MAX_SHAPES = 32
"""Shapes that one decoder may learn."""
MAX_SHAPES_PER_TYPE = 8
"""Shapes of one MsgType(35) per decoder: at most this many matches are tried before the careful path."""
MAX_SHARED = 1_024
"""Compiled shapes in the process; while this many are in use, no more are learned."""
_MAX_COUNTED = 256
_MAX_TAGS = 64

_DATA_TAGS = frozenset(DATA_OF_LENGTH) | frozenset(DATA_OF_LENGTH.values())

_Key = tuple[str, str, tuple[int, ...]]


class Shape:
    """One compiled shape.

    tags: of the fields that vary, in wire order. match: matches a text; the groups are the values of these fields.
    blank: the fields of such a message, with 8 and 35 filled in; copying it saves 0.2 us (measured).
    """

    __slots__ = ("__weakref__", "blank", "match", "msg_type", "tags")

    def __init__(self, begin_string: str, msg_type: str, tags: tuple[int, ...], pattern: str) -> None:
        self.msg_type = msg_type
        self.tags = tags
        self.match = re.compile(pattern).fullmatch
        self.blank = {BEGIN_STRING: begin_string, MSG_TYPE: msg_type} | dict.fromkeys(tags, "")


NO_SHAPE = Shape("", "", (), "(?!)")
"""Matches nothing."""


def _compile(dictionary: Dictionary, key: _Key) -> Shape:
    begin_string, msg_type, tags = key
    parts = [f"8={re.escape(begin_string)}\x019=[0-9]{{1,9}}\x0135={re.escape(msg_type)}\x01"]
    parts += [f"{tag}=({dictionary.fields[tag].pattern})\x01" for tag in tags]
    parts.append("10=[0-9]{3}\x01")
    return Shape(begin_string, msg_type, tags, "".join(parts))


_alive: WeakValueDictionary[tuple[_Key, str], Shape] = WeakValueDictionary()
"""Sessions with the same shape share it; it is freed with the last of them."""


class Shapes:
    """The shapes that one decoder has learned."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.by_type: dict[str, list[Shape]] = {}
        self._dictionary = dictionary
        self._sights: dict[_Key, int] = {}
        self._learned = 0

    def record(self, begin_string: str, msg_type: str, tags: tuple[int, ...]) -> None:
        """The careful path accepted a message without groups that has these tags after 8, 9 and 35, without 10."""
        known = self.by_type.get(msg_type, ())
        if self._learned >= MAX_SHAPES or len(known) >= MAX_SHAPES_PER_TYPE or len(tags) > _MAX_TAGS:
            return
        key = (begin_string, msg_type, tags)
        sights = self._sights.get(key, 0) + 1
        if sights < SIGHTS_TO_LEARN:
            if len(self._sights) >= _MAX_COUNTED:
                self._sights.clear()
            self._sights[key] = sights
            return
        self._sights.pop(key, None)
        if _DATA_TAGS.isdisjoint(tags):
            self._learn(key)

    def _learn(self, key: _Key) -> None:
        begin_string, msg_type, tags = key
        if any(
            shape.tags == tags and shape.blank[BEGIN_STRING] == begin_string for shape in self.by_type.get(msg_type, ())
        ):
            return  # known: this message had a value that only the careful path accepts, such as 29 February
        shared = _alive.get((key, self._dictionary.version))
        if shared is None:
            if len(_alive) >= MAX_SHARED:
                return
            shared = _compile(self._dictionary, key)
            _alive[key, self._dictionary.version] = shared
        self.by_type.setdefault(msg_type, []).append(shared)
        self._learned += 1
