"""Frames in, messages checked by the dictionary out. What is wrong with a message is a value, not an exception.

Two paths lead to the same `DecodedMessage`. The careful one here goes field by field and finds what is wrong. The
learned shapes (`shapes`) prove a correct message with one regular expression. The careful path is the reference: if you
change a rule here, `shapes` follows by itself or a test fails.
"""

from functools import lru_cache
from typing import Literal

import msgspec

from protocols.fix import tags
from protocols.fix.dictionary.tables import BODY, VERSIONS, Dictionary, Field, Group, Layout, for_version
from protocols.fix.message import split
from protocols.fix.shapes import NO_SHAPE, Shapes
from protocols.fix.tags import SESSION_MSG_TYPES, BusinessRejectReason
from protocols.fix.tags import SessionRejectReason as Reason

Pairs = list[tuple[int, str]]


class Fault(msgspec.Struct, frozen=True, gc=False):
    """The first rule of the dictionary that a message breaks, and how the standard answers that.

    kind: `reject` -> Reject(3) with SessionRejectReason(373)=reason, numbered as in FIX.4.4 for every version;
    `business` -> BusinessMessageReject(j) with BusinessRejectReason(380)=reason. tag: RefTagID(371), 0 or
    negative if the peer sent such a tag; no meaning in a `business` fault, which is about no single field.
    """

    kind: Literal["reject", "business"]
    reason: int
    tag: int
    text: str


class DecodedMessage(msgspec.Struct, gc=False):
    """One decoded message.

    fields: tag -> text of header, body and trailer outside of groups, without 9 and 10, which framing has checked.
    groups: count tag -> entries, None without a group; the entries of a nested group, of all its parents in wire order,
    are under the nested count tag. fault: None if the message breaks no rule; with a fault, fields has the first
    occurrence of every tag, checked or not, and groups is None.
    """

    msg_type: str
    fields: dict[int, str]
    groups: dict[int, list[dict[int, str]]] | None
    fault: Fault | None


class _Faulty(Exception):
    """Inside the careful path only: the first fault was found."""

    def __init__(self, reason: int, tag: int, text: str) -> None:
        self.fault = Fault("reject", reason, tag, text)


class Decoder:
    """Decodes the messages of one session, and learns their shapes."""

    def __init__(self, version: str, served: frozenset[str] | None = None) -> None:
        """version: one of `VERSIONS`. served: the MsgType(35)s to decode, None = all that have a layout. A message that
        is legal in the version but not served gets a `business` fault.
        """
        self._dictionary = for_version(version)
        messages = self._dictionary.messages
        self._layouts = messages if served is None else {key: messages[key] for key in messages if key in served}
        self._rules = _rules_of(version)
        self._shapes = Shapes(self._dictionary)
        self._by_type = self._shapes.by_type
        self._latest = NO_SHAPE

    def decode(self, frame: bytes) -> DecodedMessage:
        """The message in `frame`, which `framing.Framer` has cut.

        Raises:
            RemoteProtocolError: the frame is garbled (a tag that is not a number, 8, 9 and 35 not first, ...) and uses
                no MsgSeqNum(34): ignore it. Everything else is returned as a DecodedMessage, with `fault` set.
        """
        text = frame.decode("latin-1")
        shape = self._latest
        match = shape.match(text)
        if match is None:
            start = text.find("\x0135=") + 4
            for shape in self._by_type.get(text[start : text.find("\x01", start)], ()):
                match = shape.match(text)
                if match is not None:
                    self._latest = shape
                    break
            else:
                return self._decode_carefully(frame)
        fields = shape.blank.copy()
        fields.update(zip(shape.tags, match.groups()))  # noqa: B905 - as many by construction; strict= costs 0.2 us
        return DecodedMessage(shape.msg_type, fields, None, None)

    def _decode_carefully(self, frame: bytes) -> DecodedMessage:
        pairs = split(frame)
        msg_type = pairs[2][1]
        layout = self._layouts.get(msg_type)
        if layout is None:
            return DecodedMessage(msg_type, _first_of_each(pairs), None, self._type_fault(msg_type))
        try:
            fields, groups = self._rules.check(layout, pairs)
        except _Faulty as found:
            return DecodedMessage(msg_type, _first_of_each(pairs), None, found.fault)
        if not groups:
            self._shapes.record(pairs[0][1], msg_type, tuple([tag for tag, _ in pairs[3:-1]]))
        return DecodedMessage(msg_type, fields, groups or None, None)

    def _type_fault(self, msg_type: str) -> Fault:
        if not msg_type:
            return Fault("reject", Reason.TAG_WITHOUT_VALUE, tags.MSG_TYPE, "MsgType(35) has no value")
        if msg_type in self._dictionary.msg_types:
            text = f"MsgType(35)={msg_type} is not served here"
            return Fault("business", BusinessRejectReason.UNSUPPORTED_MESSAGE_TYPE, 0, text)
        return Fault(
            "reject", Reason.INVALID_MSG_TYPE, tags.MSG_TYPE, f"{self._dictionary.version} has no such MsgType(35)"
        )


def _first_of_each(pairs: Pairs) -> dict[int, str]:
    fields: dict[int, str] = {}
    for tag, value in pairs:
        fields.setdefault(tag, value)
    del fields[tags.BODY_LENGTH], fields[tags.CHECK_SUM]
    return fields


class _Rules:
    """The checks of rows 14.a to 14.j, in wire order: the first wrong field is named."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary
        self._checks = {
            tag: (field.check, frozenset(field.values), field.is_multiple) for tag, field in dictionary.fields.items()
        }

    def check(self, layout: Layout, pairs: Pairs) -> tuple[dict[int, str], dict[int, list[dict[int, str]]]]:
        """Fields and groups of a correct message. Raises `_Faulty` with the first fault of any other."""
        place_of, group_of = layout.place, layout.groups
        fields = {tags.BEGIN_STRING: pairs[0][1], tags.BODY_LENGTH: "", tags.MSG_TYPE: pairs[2][1]}
        groups: dict[int, list[dict[int, str]]] = {}
        part = 0
        i, last = 3, len(pairs) - 1  # 10 is the last, and checked
        while i < last:
            tag, value = pairs[i]
            i += 1
            place = place_of.get(tag, BODY)
            if place < part:
                raise _Faulty(
                    Reason.TAG_OUT_OF_ORDER, tag, f"{self.label(tag)} comes after a later part of the message"
                )
            if tag in fields:
                raise _Faulty(Reason.TAG_APPEARS_MORE_THAN_ONCE, tag, f"{self.label(tag)} appears more than once")
            if tag not in place_of:
                self._refuse_tag(layout, tag, value)
            part = place
            self._check_value(tag, value)
            fields[tag] = value
            if tag in group_of:
                i = self._read_group(group_of[tag], int(value), pairs, i, groups)
        self._check_required(layout.required, fields)
        del fields[tags.BODY_LENGTH]
        return fields, groups

    def label(self, tag: int) -> str:
        """`Name(tag)`, or `tag N` if it has no name."""
        field = self._dictionary.fields.get(tag)
        return field.label if field else f"tag {tag}"

    def _refuse_tag(self, layout: Layout, tag: int, value: str) -> None:
        if not value:
            raise _Faulty(Reason.TAG_WITHOUT_VALUE, tag, f"{self.label(tag)} has no value")
        dictionary = self._dictionary
        if tag in (dictionary.session_tags if layout.msg_type in SESSION_MSG_TYPES else dictionary.tags):
            text = f"{self.label(tag)} does not belong in {layout.name}({layout.msg_type})"
            raise _Faulty(Reason.TAG_NOT_DEFINED_FOR_MESSAGE_TYPE, tag, text)
        raise _Faulty(Reason.INVALID_TAG_NUMBER, tag, f"{dictionary.version} has no tag {tag}")

    def _check_value(self, tag: int, value: str) -> None:
        if not value:
            raise _Faulty(Reason.TAG_WITHOUT_VALUE, tag, f"{self.label(tag)} has no value")
        check, permitted, is_multiple = self._checks[tag]
        if not check(value):
            field: Field = self._dictionary.fields[tag]
            if tag == tags.APPL_VER_ID:
                text = f"{field.label} must be 9 (FIX.5.0SP2), or left out"
                raise _Faulty(Reason.UNSUPPORTED_APPLICATION_VERSION, tag, text)
            raise _Faulty(Reason.INCORRECT_DATA_FORMAT, tag, f"{field.label} is no {field.type}")
        if tag == tags.CSTM_APPL_VER_ID:
            text = f"{self.label(tag)} is not supported: leave it out"
            raise _Faulty(Reason.UNSUPPORTED_APPLICATION_VERSION, tag, text)
        if permitted and not (permitted.issuperset(value.split(" ")) if is_multiple else value in permitted):
            raise _Faulty(Reason.VALUE_OUT_OF_RANGE, tag, f"{self.label(tag)} has none of the permitted values")

    def _check_required(self, required: frozenset[int], fields: dict[int, str]) -> None:
        missing = required.difference(fields)
        if missing:
            tag = min(missing)
            raise _Faulty(Reason.REQUIRED_TAG_MISSING, tag, f"{self.label(tag)} is missing")

    def _read_group(
        self, group: Group, count: int, pairs: Pairs, i: int, groups: dict[int, list[dict[int, str]]]
    ) -> int:
        """Read the entries that begin at `pairs[i]` into `groups`; returns the index after them."""
        position = group.position
        entries: list[dict[int, str]] = []
        before = -1
        while (tag := pairs[i][0]) in position:
            value = pairs[i][1]
            i += 1
            place = position[tag]
            if place == 0:
                if entries:
                    self._check_required(group.required, entries[-1])
                entries.append({})
            elif place <= before or not entries:
                text = f"{self.label(tag)} is out of order in the group {self.label(group.count)}"
                raise _Faulty(Reason.GROUP_FIELDS_OUT_OF_ORDER, tag, text)
            before = place
            self._check_value(tag, value)
            entries[-1][tag] = value
            if tag in group.groups:
                i = self._read_group(group.groups[tag], int(value), pairs, i, groups)
        if len(entries) != count:
            text = f"{self.label(group.count)} says {count} entries, {len(entries)} are there"
            raise _Faulty(Reason.INCORRECT_NUM_IN_GROUP, group.count, text)
        if entries:
            self._check_required(group.required, entries[-1])
        groups.setdefault(group.count, []).extend(entries)
        return i


@lru_cache(maxsize=len(VERSIONS))
def _rules_of(version: str) -> _Rules:
    """Shared by all sessions of a version: its table of fields takes 300 kB."""
    return _Rules(for_version(version))
