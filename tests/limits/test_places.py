"""Lines of keys in TOML texts, as operators write them."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from limits.places import Places, dotted

TEXT = '''\
version = 3
# plans.standard.orders = "in a comment"
[plans.standard]
orders = { rate = "50/s", burst = 100 }
note = """
[plans.fake]
orders = 1
"""
cancels.rate = "1/s"

[ override . "ACME/KEY 7" ]
'msgs' = { burst = 1 }
[[rows]]
name = "x"
'''


def test_headers_keys_dotted_keys_and_quoted_keys_are_found_on_their_lines():
    tomllib.loads(TEXT)
    places = Places(TEXT)
    assert places.line_of(["version"]) == 1
    assert places.line_of(["plans", "standard"]) == 3
    assert places.line_of(["plans", "standard", "orders"]) == 4
    assert places.line_of(["plans", "standard", "cancels", "rate"]) == 9
    assert places.line_of(["override", "ACME/KEY 7"]) == 11
    assert places.line_of(["override", "ACME/KEY 7", "msgs"]) == 12
    assert places.line_of(["rows", "name"]) == 14


def test_a_key_inside_an_inline_table_stands_on_the_line_of_its_parent():
    assert Places(TEXT).line_of(["plans", "standard", "orders", "burst"]) == 4


def test_what_stands_in_a_multi_line_text_is_no_key():
    assert Places(TEXT).line_of(["plans", "fake", "orders"]) == Places(TEXT).line_of(["plans"])


def test_what_is_not_there_stands_on_its_nearest_parent_or_on_the_first_line():
    assert Places(TEXT).line_of(["plans", "standard", "queries", "rate"]) == 3
    assert Places(TEXT).line_of(["penalty"]) == 1


def test_windows_line_ends_do_not_move_a_line():
    assert Places(TEXT.replace("\n", "\r\n")).line_of(["override", "ACME/KEY 7", "msgs"]) == 12


def test_a_place_is_written_with_quotes_where_toml_needs_them():
    assert dotted(["override", "ACME/KEY7", "orders"]) == 'override."ACME/KEY7".orders'


@given(st.text(alphabet="ab.=[]\"'\\ \n#{}", max_size=60))
def test_any_text_has_a_line_for_any_place(text):
    assert 1 <= Places(text).line_of(["a", "b"]) <= text.count("\n") + 1
