"""The published dictionaries and the FIX reference: true to the code, complete, and good enough for a strict engine.

Modules: fix.dictionary.tables, fix.dictionary.messages.
"""

import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest

from docs import generate_fix
from docs.fix.dictionaries import FILES
from docs.fix.scenarios import SCENARIOS, unproven
from docs.fix.uses import GROUPS, MEANINGS, REPORTS, REQUESTS, SESSION, has, sent_tags
from protocols.errors import CODES
from protocols.fix.dialect import Dialect
from protocols.fix.dictionary.tables import VERSIONS, Group, for_version
from protocols.fix.message import encode
from protocols.fix.tags import SESSION_MSG_TYPES
from protocols.messages import ExecType, OrdStatus, OrdType, Side, Stp, Tif
from tests.support.every_answer import EVERY_DIALECT, every_answer
from tests.support.every_answer import REQUESTS as SAMPLES
from tests.support.stock_dictionary import Stock, complaints_of

ROOT = Path(__file__).parents[4]
SPEC = ROOT / "docs" / "spec"
OF_APPLICATION = {"FIX.4.2": "penstock-FIX42.xml", "FIX.4.4": "penstock-FIX44.xml", "FIXT.1.1": "penstock-FIX50SP2.xml"}
OF_SESSION = {**OF_APPLICATION, "FIXT.1.1": "penstock-FIXT11.xml"}
ROWS_OF_THE_COMMUNITY = """
1S.a 1S.b 1S.c 1S.d 2S 2.a 2.b 2.c 2.d 2.e 2.f 2.g 2.h/j/l/n/p/s 2.i 2.k 2.m 2.o 2.q 2.r 2.t 3.a/d 3.b 3.c 3.e 4.a 4.b
5 6 7 8 9 10.a 10.b 10.c 10.d 10.e 11.a 11.b 11.c 19.a 19.b 20 16.a/b 12 13.a 13.b 14.a 14.b 14.c 14.d 14.e 14.f 14.g
14.h 14.i 14.j 14.k 14.l 14.m 15 18
"""


@cache
def published(name: str) -> Stock:
    """One of the files, as it lies in the tree."""
    return Stock(SPEC / name)


def test_what_is_in_the_tree_is_what_the_code_gives() -> None:
    assert [path.name for path in generate_fix.stale()] == [], "run `make docs`"


def test_every_scenario_has_a_test_or_says_why_not() -> None:
    assert unproven(ROOT) == []


def test_every_scenario_of_the_communitys_list_has_its_row() -> None:
    rows = {part for section in SCENARIOS.values() for row in section for part in row.id.split(", ")}
    assert set(ROWS_OF_THE_COMMUNITY.split()) <= rows
    assert not any(row.open for section in SCENARIOS.values() for row in section if row.need == "M")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_published_layouts_are_those_of_the_decoder(version: str) -> None:
    for msg_type, layout in for_version(version).messages.items():
        name = (OF_SESSION if msg_type in SESSION_MSG_TYPES else OF_APPLICATION)[version]
        stock = published(name)
        message = stock.messages[msg_type]
        tags, required, groups = stock.members(message)
        assert message.get("name") == layout.name
        assert tuple(tags) == layout.members, layout.name
        assert required == layout.required - {8, 9, 34, 35, 49, 52, 56}, layout.name
        for count, element in groups.items():
            assert members_of(stock, element) == shape(layout.groups[count]), layout.name
            assert stock.members(element)[1] == layout.groups[count].required


def shape(group: Group) -> list[object]:
    """A group's tags in order, an inner group as the list behind its count."""
    found: list[object] = []
    for tag in group.members:
        found.append(tag)
        if tag in group.groups:
            found.append(shape(group.groups[tag]))
    return found


def members_of(stock: Stock, element: ET.Element) -> list[object]:
    """The same of a group in a file."""
    found: list[object] = []
    tags, _, groups = stock.members(element)
    for tag in tags:
        found.append(tag)
        if tag in groups:
            found.append(members_of(stock, groups[tag]))
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_published_values_are_those_of_the_decoder(name: str) -> None:
    fields = for_version(FILES[name]).fields
    stock = published(name)
    assert {fields[number].name: number for number in stock.numbers.values()} == stock.numbers
    for number in stock.numbers.values():
        if not fields[number].is_multiple:
            assert stock.values.get(number, set()) == set(fields[number].values), fields[number].label


def test_a_fix_5_0_sp2_message_has_nothing_of_the_transport_and_the_other_way_round() -> None:
    assert set(published("penstock-FIXT11.xml").messages) == set(SESSION_MSG_TYPES)
    assert not SESSION_MSG_TYPES & set(published("penstock-FIX50SP2.xml").messages)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_engine_with_the_published_dictionary_accepts_everything_it_is_sent(version: str) -> None:
    stock = published(OF_APPLICATION[version])
    for msg_type, body in every_answer(version, "penstock"):
        assert complaints_of(stock, msg_type, body) == [], body.replace("\x01", "|")


@pytest.mark.quickfix
@pytest.mark.parametrize("version", VERSIONS)
def test_quickfix_itself_accepts_everything_it_is_sent(version: str) -> None:
    quickfix = pytest.importorskip("quickfix")

    transport = quickfix.DataDictionary(str(SPEC / OF_SESSION[version]))
    application = quickfix.DataDictionary(str(SPEC / OF_APPLICATION[version]))

    def check(msg_type: str, body: str) -> None:
        header = f"35={msg_type}\x0134=5\x0149=GATE\x0152=20261122-12:00:00.000402\x0156=MM1\x01"
        message = quickfix.Message(encode(version, header + body).decode(), transport, application, True)
        quickfix.DataDictionary.validate(message, transport, application)

    answers = every_answer(version, "penstock")
    for msg_type, body in answers:
        check(msg_type, body)
    with pytest.raises(quickfix.FIXException):
        check(answers[0][0], answers[0][1] + "9999=1\x01")  # or it did not look


@pytest.mark.parametrize(("version", "dialect"), EVERY_DIALECT)
def test_the_reference_lists_exactly_the_fields_that_are_sent(version: str, dialect: str) -> None:
    spoken: dict[str, set[int]] = {}
    for msg_type, body in every_answer(version, dialect):
        spoken.setdefault(msg_type, set()).update(int(pair.partition("=")[0]) for pair in body[:-1].split("\x01"))
    listed = {
        message.msg_type: sent_tags(message.msg_type, version, dialect)
        for message in REPORTS
        if has(version, dialect, message.msg_type)
    }
    assert spoken == listed


@pytest.mark.parametrize("version", VERSIONS)
def test_the_reference_marks_as_needed_what_the_decoder_demands(version: str) -> None:
    for message in (*SESSION, *REQUESTS):
        layout = for_version(version).messages.get(message.msg_type)
        if layout is None or message.msg_type == "3":  # what we send is marked "always"
            continue
        needed = {use.tag for use in message.uses if use.need == "yes" and version in (use.versions or VERSIONS)}
        assert needed == layout.required - {8, 9, 34, 35, 49, 52, 56}, layout.name


def test_every_field_in_the_reference_belongs_to_its_message() -> None:
    for message in (*SESSION, *REQUESTS, *REPORTS):
        every = (for_version(version).messages.get(message.msg_type) for version in VERSIONS)
        layouts = [layout for layout in every if layout is not None]
        for use in message.uses:
            assert any(use.tag in layout.members for layout in layouts), use
            assert (use.tag in GROUPS) == any(use.tag in layout.groups for layout in layouts), use
    assert {message.msg_type for message in REQUESTS} == SAMPLES.keys() | {"XLQ"}


def test_every_value_with_a_meaning_is_permitted_and_every_value_of_ours_has_one() -> None:
    fields = for_version("FIXT.1.1").fields
    for tag, meanings in MEANINGS.items():
        assert all(meanings.values()), tag
        if fields[tag].values:
            assert meanings.keys() <= set(fields[tag].values), fields[tag].label
    for tag, enum in ((39, OrdStatus), (150, ExecType)):
        assert {str(member.value) for member in enum} <= MEANINGS[tag].keys()
    for tag, numbers in ((54, Side), (40, OrdType), (59, Tif), (25001, Stp)):
        assert {f"{member:d}" for member in numbers if member} <= MEANINGS[tag].keys()
    for version, dialect in EVERY_DIALECT:
        said = Dialect(version, dialect)
        for code in CODES:
            assert str(said.ord_rej_reason(code)) in MEANINGS[103]
            assert str(said.cxl_rej_reason(code)) in MEANINGS[102]
            assert str(said.business_reject_reason(code)) in MEANINGS[380]
