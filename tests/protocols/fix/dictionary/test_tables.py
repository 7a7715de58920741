"""The dictionary against itself, and against the one that ships with QuickFIX: an independent transcription."""

import re
import xml.etree.ElementTree as ET
from functools import cache

import pytest

from protocols.fix import tags
from protocols.fix.dictionary.datatypes import CHECKS
from protocols.fix.dictionary.messages import EXTENSIONS
from protocols.fix.dictionary.tables import VERSIONS, Dictionary, Group, Layout, expand_run, for_version
from tests.support.quickfix_files import quickfix_file

SESSION_TYPES = {"0", "1", "2", "3", "4", "5", "A"}
FILES = {"FIX.4.2": ["FIX42.xml"], "FIX.4.4": ["FIX44.xml"], "FIXT.1.1": ["FIXT11.xml", "FIX50SP2.xml"]}
NEWEST_SP2_TAG = 1_621  # the file also has extension packs, which are not served


@cache
def quickfix_xml(name: str) -> ET.Element:
    return ET.parse(quickfix_file(name)).getroot()


@cache
def numbers(root: ET.Element) -> dict[str, int]:
    return {field.attrib["name"]: int(field.attrib["number"]) for field in root.iterfind("fields/*")}


@cache
def components(root: ET.Element) -> dict[str, ET.Element]:
    return {component.attrib["name"]: component for component in root.iterfind("components/*")}


@cache
def tree(root: ET.Element, node: ET.Element) -> dict[int, object]:
    """Tag -> None, or the same of a group's members, components unfolded, in order."""
    found: dict[int, object] = {}
    for child in node:
        name = child.attrib["name"]
        if child.tag == "component":
            found |= tree(root, components(root)[name])
        elif (tag := numbers(root)[name]) <= NEWEST_SP2_TAG:
            found[tag] = tree(root, child) if child.tag == "group" else None
    return found


def our_tree(members: tuple[int, ...], groups: dict[int, Group]) -> dict[int, object]:
    return {tag: our_tree(groups[tag].members, groups[tag].groups) if tag in groups else None for tag in members}


def flatten(shape: dict[int, object]) -> list[object]:
    """Order counts inside groups only."""
    return sorted((tag, repr(inner)) for tag, inner in shape.items())


EXTENDED = {
    row.split()[0]: {int(tag) for tag in row.partition(":")[2].split()} for row in EXTENSIONS.strip().splitlines()
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_layout_is_the_standards_but_for_what_we_add(version: str) -> None:
    ours = for_version(version)
    compared = 0
    for name in FILES[version]:
        root = quickfix_xml(name)
        for message in root.iterfind("messages/*"):
            layout = ours.messages.get(message.attrib["msgtype"])
            if layout is None:
                continue
            theirs = {tag: inner for tag, inner in tree(root, message).items() if inner != {}}
            extra = EXTENDED.get(layout.msg_type, set()) - set(theirs)
            mine = our_tree(tuple(tag for tag in layout.members if tag not in extra), layout.groups)
            assert flatten(mine) == flatten(theirs), layout.name
            assert layout.name == message.attrib["name"]
            compared += 1
    lent = {"CB"} if version == "FIX.4.4" else set()
    assert compared == len(ours.messages) - len({"XLQ", "XLR"} | lent)


@pytest.mark.parametrize("version", VERSIONS)
def test_header_and_trailer_are_the_standards(version: str) -> None:
    ours, root = for_version(version), quickfix_xml(FILES[version][0])
    for part, layout in (("header", ours.header), ("trailer", ours.trailer)):
        node = root.find(part)
        assert node is not None
        assert flatten(our_tree(layout.members, ours.header.groups)) == flatten(tree(root, node))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_tag_and_message_type_of_the_standard_is_known(version: str) -> None:
    ours = for_version(version)
    for name in FILES[version]:
        root = quickfix_xml(name)
        assert {number for number in numbers(root).values() if number < 5_000} <= ours.tags
        assert {message.attrib["msgtype"] for message in root.iterfind("messages/*")} <= ours.msg_types


@pytest.mark.parametrize("version", VERSIONS)
def test_permitted_values_leave_out_none_of_the_standards(version: str) -> None:
    ours = for_version(version)
    for name in FILES[version]:
        for field in quickfix_xml(name).iterfind("fields/*"):
            mine = ours.fields.get(int(field.attrib["number"]))
            if mine is not None and mine.values:
                theirs = {value.attrib["enum"] for value in field}
                assert theirs <= set(mine.values), mine.label


def test_field_names_of_fix_4_4_are_the_standards() -> None:
    renamed = {851, 880, 797}  # later versions gave them a better name
    ours = for_version("FIX.4.4").fields
    for name, number in numbers(quickfix_xml("FIX44.xml")).items():
        if number in ours and number not in renamed:
            assert ours[number].name == name


@pytest.mark.parametrize("version", VERSIONS)
def test_every_tag_in_a_layout_has_a_name_a_type_and_a_place(version: str) -> None:
    ours = for_version(version)
    for layout in (*ours.messages.values(), ours.header, ours.trailer):
        check_members(ours, layout.members, layout.groups)
        assert set(layout.required) <= set(layout.place)


def check_members(ours: Dictionary, members: tuple[int, ...], groups: dict[int, Group]) -> None:
    for tag in members:
        assert ours.fields[tag].type in CHECKS
        assert (ours.fields[tag].type == "NUMINGROUP") == (tag in groups)
        if tag in groups:
            group = groups[tag]
            assert [group.position[member] for member in group.members] == list(range(len(group.members)))
            check_members(ours, group.members, group.groups)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_member_of_a_group_can_be_mistaken_for_the_field_after_the_group(version: str) -> None:
    """Else a group would swallow it."""
    for layout in for_version(version).messages.values():
        for group in layout.groups.values():
            assert not set(group.members) & set(layout.members), (layout.name, group.count)


def required(version: str, msg_type: str) -> set[int]:
    layout: Layout = for_version(version).messages[msg_type]
    return set(layout.required) - {8, 9, 34, 35, 49, 52, 56}


@pytest.mark.parametrize("version", VERSIONS)
def test_of_a_request_only_what_the_contract_marks_r_is_demanded(version: str) -> None:
    assert required(version, "D") == {11, 40, 54, 55}
    assert required(version, "F") == {11, 55}
    assert required(version, "G") == {11, 38, 55}
    assert required(version, "H") == set()
    assert required(version, "XLQ") == {6136}
    if version != "FIX.4.2":
        assert required(version, "AF") == {584, 585}
        assert required(version, "q") == {11, 530}


def test_fix_4_2_has_no_mass_cancel_and_no_user_notification() -> None:
    assert not {"q", "r", "AF", "CB"} & for_version("FIX.4.2").msg_types


def test_user_defined_tags_are_only_where_the_contract_has_them() -> None:
    for version in VERSIONS:
        for layout in for_version(version).messages.values():
            own = {tag for tag in layout.members if tag >= 5_000}
            assert own <= EXTENDED.get(layout.msg_type, {6136, 25003})


def test_names_in_tags_are_those_of_the_dictionary() -> None:
    fields = for_version("FIXT.1.1").fields
    for name, number in vars(tags).items():
        if isinstance(number, int) and name.isupper() and number in fields:
            assert name.replace("_", "").lower() == fields[number].name.lower().replace("_", "")


def test_runs_are_expanded_to_their_values() -> None:
    assert expand_run("8-11") == ["8", "9", "10", "11"]
    assert expand_run("BA-BC") == ["BA", "BB", "BC"]
    assert expand_run("UTF-8") == ["UTF-8"]
    assert expand_run("M") == ["M"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_fields_pattern_takes_its_permitted_values_and_no_other(version: str) -> None:
    for field in for_version(version).fields.values():
        for value in field.values:
            assert re.fullmatch(field.pattern, value), field.label
            assert field.check(value), field.label
        if field.values and not field.is_multiple:
            assert not re.fullmatch(field.pattern, field.values[0] + "§")
            assert not re.fullmatch(field.pattern, field.values[0] + "|" + field.values[-1])
