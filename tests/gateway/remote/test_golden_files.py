"""docs/spec/core has every message of the link in both forms, and they are what the code reads and writes.

Modules: remote.wire, remote.host, protocols.messages.
"""

import json

import msgspec
import pytest

from docs import generate_core
from docs.generate_core import DIRECTORY, PLAIN, SAMPLES
from gateway.remote.host import Hello, Welcome
from gateway.remote.wire import decode_commands, decode_events
from protocols.messages import AnyCommand, AnyEvent, EngineState

FORMS = ("json", "msgpack")


def test_the_golden_files_are_those_that_the_code_writes():
    assert [path.name for path in generate_core.stale()] == [], "run `make docs`"


def test_a_wire_that_has_changed_would_be_noticed(monkeypatch):
    monkeypatch.setattr(generate_core, "encode_events", lambda events, form: b"[]")
    assert "8-trade.msgpack" in [path.name for path in generate_core.stale()]


def test_a_file_that_nothing_writes_would_be_noticed(monkeypatch):
    monkeypatch.delitem(PLAIN, "hello.json")
    assert [path.name for path in generate_core.stale()] == ["hello.json"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_golden_file_is_read_as_what_it_is_said_to_be(sample, form):
    decode = decode_commands if isinstance(sample.messages[0], AnyCommand) else decode_events
    assert decode((DIRECTORY / f"{sample.name}.{form}").read_bytes(), form) == list(sample.messages)


def test_hello_and_welcome_are_read():
    assert msgspec.json.decode((DIRECTORY / "hello.json").read_bytes(), type=Hello).accounts == (1, 2)
    assert msgspec.json.decode((DIRECTORY / "welcome.json").read_bytes(), type=Welcome).highest == {"5": (5, 2, 1, 1)}


def test_there_is_one_of_each_message_and_an_order_with_every_field():
    kinds = {type(message) for sample in SAMPLES for message in sample.messages}
    assert kinds == {*AnyCommand.__args__, *AnyEvent.__args__} - {EngineState}
    (told,) = json.loads((DIRECTORY / "D-all-fields.json").read_bytes())
    (order,) = next(sample.messages for sample in SAMPLES if sample.name == "D-all-fields")
    assert set(told) - {"type"} == {field.name for field in msgspec.structs.fields(order)}
