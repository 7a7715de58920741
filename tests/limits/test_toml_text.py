"""Lines of keys in TOML texts, as operators write them."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limits.toml_text import NoToml, TomlLines, dotted, tables_in, text_in

TEXT = '''\
version = 3
# plans.standard.orders = "in a comment"
[plans.standard]
orders = { rate = "50/s", burst = 100 }
note = """
[plans.fake]
[plans.forged]
"""
cancels.rate = "1/s"

[ override . "ACME/KEY 7" ]
'msgs' = { burst = 1 }
[[rows]]
name = "x"
[[rows]]
name = "y"
[rows.inner]
deep = 1
[[ rows . more ]]
name = "z"
'''


def test_headers_keys_dotted_keys_and_quoted_keys_are_found_on_their_lines():
    tomllib.loads(TEXT)
    lines = TomlLines(TEXT)
    assert lines.line_of(("version",)) == 1
    assert lines.line_of(("plans", "standard")) == 3
    assert lines.line_of(("plans", "standard", "orders")) == 4
    assert lines.line_of(("plans", "standard", "cancels", "rate")) == 9
    assert lines.line_of(("override", "ACME/KEY 7")) == 11
    assert lines.line_of(("override", "ACME/KEY 7", "msgs")) == 12


def test_each_row_of_an_array_of_tables_has_its_own_lines_and_so_has_what_is_below_it():
    lines = TomlLines(TEXT)
    assert lines.line_of(("rows", 1, "name")) == 14
    assert lines.line_of(("rows", 2)) == 15
    assert lines.line_of(("rows", 2, "name")) == 16
    assert lines.line_of(("rows", 2, "inner", "deep")) == 18
    assert lines.line_of(("rows", 2, "more", 1, "name")) == 20
    assert lines.line_of(("rows", 1, "inner")) == 13
    assert lines.line_of(("rows",)) == 13


def test_a_key_inside_an_inline_table_stands_on_the_line_of_its_parent():
    assert TomlLines(TEXT).line_of(("plans", "standard", "orders", "burst")) == 4


def test_what_stands_in_a_multi_line_text_is_no_key():
    lines = TomlLines(TEXT)
    assert lines.line_of(("plans", "fake")) == lines.line_of(("plans", "forged")) == lines.line_of(("plans",)) == 3


def test_what_is_not_there_stands_on_its_nearest_parent_or_on_the_first_line():
    assert TomlLines(TEXT).line_of(("plans", "standard", "queries", "rate")) == 3
    assert TomlLines(TEXT).line_of(("penalty",)) == 1


def test_windows_line_ends_do_not_move_a_line():
    assert TomlLines(TEXT.replace("\n", "\r\n")).line_of(("override", "ACME/KEY 7", "msgs")) == 12


def test_a_place_is_written_with_quotes_where_toml_needs_them_and_with_the_numbers_of_rows():
    assert dotted(["override", "ACME/KEY7", "orders"]) == 'override."ACME/KEY7".orders'
    assert dotted(["fix", "sessions", 2, "id"]) == "fix.sessions[2].id"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xef\xbb\xbfa = 1", "begins with a byte order mark (BOM): save it as UTF-8 without a byte order mark"),
        (b"\xff\xfea\0", "begins with UTF-16: save it as UTF-8 without a byte order mark"),
        (b"a = 1\nb = '\xff'", "line 2: not UTF-8"),
        (b"a" * 101, "larger than 100 bytes"),
        (b"a = 1\nb = ", "line 2: not TOML: Invalid value (at end of document)"),
        (b"a = [1,\n2", "line 2: not TOML: Unclosed array (at end of document)"),
        (b"[ws", "line 1: not TOML: Expected ']' at the end of a table declaration (at end of document)"),
    ],
)
def test_a_file_that_is_no_toml_is_named_with_the_line_as_far_as_there_is_one(content, said):
    with pytest.raises(NoToml) as error:
        tables_in(text_in(content, 100))
    assert str(error.value.problem) == said


@pytest.mark.parametrize("text", ["a = " + "[" * 5_000, "a = " + "9" * 6_000])
def test_what_is_too_deep_or_too_long_to_read_is_no_toml(text):
    with pytest.raises(NoToml):
        tables_in(text)


@given(st.text(alphabet="ab.=[]\"'\\ \n#{}", max_size=60))
def test_any_text_has_a_line_for_any_place(text):
    assert 1 <= TomlLines(text).line_of(("a", "b")) <= text.count("\n") + 1
