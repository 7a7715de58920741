"""docs/spec/core has every message of the link in both forms, and they are what the code reads and writes.

Modules: remote.wire, remote.host, cluster.desk, protocols.messages.
"""

import json
from collections import deque
from pathlib import Path

import msgspec
import pytest

from docs import generate_core
from docs.generate_core import DIRECTORY, PLAIN, SAMPLES
from gateway.cluster import scripts
from gateway.cluster.desk import ClusterDesk
from gateway.cluster.journal import Gateway
from gateway.remote.host import Hello, Join, Welcome
from gateway.remote.keys import Keys
from gateway.remote.wire import decode_commands, decode_events
from protocols.messages import AnyCommand, AnyEvent, EngineState

LEASE = (Path(scripts.__file__).parent / "lease.lua").read_text()
FORMS = ("json", "msgpack")


def test_the_golden_files_are_those_that_the_code_writes():
    assert [path.name for path in generate_core.stale()] == [], "run `make docs`"


def test_a_wire_that_has_changed_would_be_noticed(monkeypatch):
    monkeypatch.setattr(generate_core, "encode_events", lambda events, form: b"[]")
    assert "8-trade.msgpack" in [path.name for path in generate_core.stale()]


def test_a_file_that_nothing_writes_would_be_noticed(monkeypatch):
    monkeypatch.delitem(PLAIN, "hello.json")
    assert [path.name for path in generate_core.stale()] == ["README.md", "hello.json"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_golden_file_is_read_as_what_it_is_said_to_be(sample, form):
    decode = decode_commands if isinstance(sample.messages[0], AnyCommand) else decode_events
    assert decode((DIRECTORY / f"{sample.name}.{form}").read_bytes(), form) == list(sample.messages)


def test_hello_and_welcome_are_read():
    assert msgspec.json.decode((DIRECTORY / "hello.json").read_bytes(), type=Hello).accounts == (1, 2)
    assert msgspec.json.decode((DIRECTORY / "welcome.json").read_bytes(), type=Welcome).highest == {"5": (5, 2, 1, 1)}


def test_join_and_joined_are_read_with_what_is_left_out():
    assert msgspec.json.decode((DIRECTORY / "join-account.json").read_bytes(), type=Join) == Join((2,), ())
    assert msgspec.json.decode((DIRECTORY / "join-session.json").read_bytes(), type=Join) == Join((), (5,))
    assert msgspec.json.decode((DIRECTORY / "joined-account.json").read_bytes(), type=Welcome).latest == {"2": 0}
    assert msgspec.json.decode((DIRECTORY / "joined-session.json").read_bytes(), type=Welcome).highest.keys() == {"5"}


class Pipe:
    """Keeps what is asked."""

    def __init__(self):
        self.asked = []

    def send(self, then, *command):
        self.asked.append(command)


def test_what_a_gateway_of_a_cluster_writes_are_the_golden_files():
    pipe = Pipe()
    desk = ClusterDesk(Gateway(Keys("test"), "a", "boot"), None, deque(), lambda: 0, lambda: 0)
    desk.use(pipe)
    desk.join(2, lambda entry, at_ns: None)
    desk.leave(2)
    desk.claim(5, "any", lambda reply, at_ns: None)
    join, leave, claim = pipe.asked
    golden = {name: (DIRECTORY / f"{name}.json").read_bytes() for name in ("join-account", "leave", "join-session")}
    assert join[-2:] == ("join", golden["join-account"])
    assert leave[-2:] == ("leave", golden["leave"])
    assert claim[-1] == golden["join-session"]
    assert f"'bye', '{(DIRECTORY / 'bye.json').read_text()}'" in LEASE


def test_there_is_one_of_each_message_and_an_order_with_every_field():
    kinds = {type(message) for sample in SAMPLES for message in sample.messages}
    assert kinds == {*AnyCommand.__args__, *AnyEvent.__args__} - {EngineState}
    (told,) = json.loads((DIRECTORY / "D-all-fields.json").read_bytes())
    (order,) = next(sample.messages for sample in SAMPLES if sample.name == "D-all-fields")
    assert set(told) - {"type"} == {field.name for field in msgspec.structs.fields(order)}
