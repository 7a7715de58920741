"""Messages of the link: what one side writes the other reads, in both forms, and what is wrong is named.

Modules: remote.wire, remote.keys.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.remote.keys import Keys, entry_id, id_text
from gateway.remote.wire import LONG, NotUnderstood, decode_commands, decode_events, encode_commands, encode_events
from protocols.messages import CancelOrder, Lane, NewOrder, OrdType, Origin, Side, Tif, pack_cmd_id
from tests.support.core_commands import make_stream
from tests.support.venue import new_engine

_FORMS = ("msgpack", "json")
_SEEDS = st.integers(0, (1 << 32) - 1)
ORDER = NewOrder(
    pack_cmd_id(5, Lane.ORDER, 1), 1, 5, Origin.FIX, 1_796_000_000_000_000_000, 0, "mm-1", 1, Side.BUY, OrdType.LIMIT,
    Tif.GTC, 1_250_000, 6_425_050,
)  # fmt: skip


@pytest.mark.parametrize("form", _FORMS)
@given(seed=_SEEDS)
def test_commands_and_events_are_read_as_they_were_written(form, seed):
    stream, engine = make_stream(seed, 30), new_engine()
    commands = [command for _, command in stream]
    events = [event for now_ns, command in stream for event in engine.execute(command, now_ns)]
    assert decode_commands(encode_commands(commands, form), form) == commands
    assert decode_events(encode_events(events, form), form) == events


def test_json_has_names_and_texts_for_what_a_double_would_round():
    (told,) = json.loads(encode_commands([ORDER], "json"))
    assert told == {
        "type": "D", "cmd_id": "10995116277761", "account": 1, "session": 5, "origin": 1,
        "t_recv": "1796000000000000000", "deadline": "0", "cl_ord_id": "mm-1", "instrument": 1, "side": 1,
        "ord_type": 2, "tif": 1, "qty": "1250000", "price": "6425050",
    }  # fmt: skip
    assert not any(isinstance(value, int) for name, value in told.items() if name in LONG)


def test_json_is_read_with_numbers_too():
    told = {"type": "F", "cmd_id": 7, "account": 1, "session": 5, "origin": 1, "t_recv": 1, "deadline": 0}
    told |= {"cl_ord_id": "c", "instrument": 1, "order_id": 9}
    assert decode_commands(json.dumps([told]).encode(), "json") == [CancelOrder(7, 1, 5, Origin.FIX, 1, 0, "c", 1, 9)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[{", "truncated"),
        ("[1]", "Expected `object`"),
        ('[{"type":"X"}]', "unknown"),
        ("[{}]", "without a type"),
        ('[{"type":"F"}]', "F: cmd_id is missing"),
        ('[{"type":"F","cmd_id":"1x"}]', "F: cmd_id is no whole number"),
        ('[{"type":"F","cmd_id":"99999999999999999999"}]', "F: cmd_id is no whole number"),
    ],
)
def test_what_is_no_command_is_named(text, why):
    with pytest.raises(NotUnderstood, match=why):
        decode_commands(text.encode(), "json")


def test_a_field_that_no_message_has_is_named():
    (told,) = json.loads(encode_commands([ORDER], "json"))
    with pytest.raises(NotUnderstood, match="D: colour is no field of it"):
        decode_commands(json.dumps([told | {"colour": "red"}]).encode(), "json")


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_not_understood(data):
    for form in _FORMS:
        try:
            decode_events(data, form)
        except NotUnderstood:
            continue


def test_keys_of_one_venue_are_kept_together():
    keys = Keys("venue")
    assert (keys.commands, keys.node("g1"), keys.events(7)) == (
        "{venue}:commands",
        "{venue}:node:g1",
        "{venue}:events:7",
    )


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 40))
def test_the_id_of_an_entry_is_two_numbers(ms, number):
    assert entry_id(id_text((ms, number)).encode()) == (ms, number)
