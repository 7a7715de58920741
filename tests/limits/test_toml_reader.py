"""Tables read into Structs: every mistake with its place, and a stand-in where reading must go on without a value."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from limits.toml_fields import describe, nearest, none_called, shown
from limits.toml_reader import NO_NUMBER, TableReader

Size = Annotated[int, Meta(ge=1, le=9)]


def whole(value: object) -> int:
    if not isinstance(value, str) or not value.isdecimal():
        raise ValueError('write it like "12"')
    return int(value)


class Row(msgspec.Struct, frozen=True):
    id: Size
    name: str
    key_file: str = ""


class Inner(msgspec.Struct, frozen=True):
    size: Size = 3
    kind: Literal["a", "b"] = "a"


class File(msgspec.Struct, frozen=True):
    rows: tuple[Row, ...] = ()
    inner: Inner | None = None
    example: Annotated[Inner, Meta(examples=["{ size = 1 }"])] | None = None
    free: dict[str, Inner] = {}
    odd: Annotated[int, Meta(extra={"read": whole})] | None = None


def read(tables: dict[str, object]) -> tuple[File, list[tuple[object, str]]]:
    reader = TableReader()
    return reader.read(File, tables), reader.findings


def test_what_is_sound_is_read_and_what_is_left_out_is_at_its_default():
    tables = {"rows": [{"id": 1, "name": "x"}], "free": {"any name": {"size": 9}}, "inner": {}, "odd": "12"}
    assert read(tables) == (File((Row(1, "x"),), Inner(), None, {"any name": Inner(9)}, 12), [])


@pytest.mark.parametrize(
    ("tables", "place", "said"),
    [
        ({"inner": {"size": 10}}, ("inner", "size"), "is 10, must be a whole number from 1 to 9"),
        ({"inner": {"size": True}}, ("inner", "size"), "is true, must be a whole number from 1 to 9"),
        ({"inner": {"kind": "c"}}, ("inner", "kind"), 'is \'c\', must be "a" or "b"'),
        ({"inner": {"siz": 1}}, ("inner", "siz"), "unknown (did you mean size?); known here: size, kind"),
        ({"inner": [1]}, ("inner",), "is a list, must be a table"),
        ({"example": 3}, ("example",), "is 3, must be a table such as { size = 1 }"),
        ({"rows": {}}, ("rows",), "is a table, must be [[rows]] tables"),
        ({"rows": [3]}, ("rows", 1), "is 3, must be a table"),
        ({"free": {"x": 3}}, ("free", "x"), "is 3, must be a table"),
        ({"free": 3}, ("free",), "is 3, must be a table"),
        ({"odd": 12}, ("odd",), 'is 12: write it like "12"'),
    ],
)
def test_a_mistake_has_its_place_and_what_mends_it_and_the_rest_is_read(tables, place, said):
    file, findings = read({"inner": {}, **tables} if place[0] != "inner" else tables)
    assert findings == [(place, said)]
    assert file.inner == (Inner() if place != ("inner",) else None)


def test_what_must_be_there_gets_a_stand_in_of_which_no_later_check_speaks():
    reader = TableReader()
    row = reader.read(Row, {"id": "one"}, ("rows", 2))
    assert (row.id, row.name) == (NO_NUMBER, "")
    assert reader.parts[id(row)] == ("rows", 2)
    assert reader.findings == [
        (("rows", 2, "id"), "is 'one', must be a whole number from 1 to 9"),
        (("rows", 2), "name is missing: text in quotes"),
    ]
    later = [(("rows", 2, "id"), "is taken"), (("rows", 2, "name"), "is empty"), (("rows", 1, "id"), "is taken")]
    assert reader.settled(later) == later[2:]


def test_files_that_are_named_are_relative_to_the_directory_where_there_is_one():
    row = {"id": 1, "name": "x", "key_file": "k.pem"}
    assert TableReader(Path("/etc/here")).read(Row, row).key_file == "/etc/here/k.pem"
    assert TableReader(Path("/etc/here")).read(Row, {**row, "key_file": ""}).key_file == ""
    assert TableReader().read(Row, row).key_file == "k.pem"


def test_a_value_is_quoted_short_and_without_control_characters():
    assert [shown(value) for value in (True, "a\nb", [1], {}, 1 << 99_999, 1.5)] == [
        "true",
        "'a\\nb'",
        "a list",
        "a table",
        "a huge number",
        "1.5",
    ]
    assert len(shown("x" * 999)) < 70


def test_words_for_a_type_and_for_a_name_that_was_probably_meant():
    assert describe(tuple[Size, ...]) == "a list, each item a whole number from 1 to 9"
    assert describe(Size | None) == describe(Size)
    assert nearest("siez", ["size", "kind"]) == " (did you mean size?)"
    assert nearest("nothing like it", ["size", "kind"]) == ""
    assert none_called("row", "siez", {"size", "kind"}) == "no row is called siez (did you mean size?)"
    assert none_called("row", "x", {"size", "kind"}) == "no row is called x; there are kind, size"
    assert none_called("row", "x", []) == "no row is called x"


def test_among_many_names_those_are_compared_that_begin_alike():
    many = [f"AC{number:04}" for number in range(400)] + ["BETA"]
    assert nearest("BETTA", many) == " (did you mean BETA?)"
    assert nearest("XETA", many) == ""
    assert none_called("account", "x", many).endswith("AC0006, AC0007, ...")
