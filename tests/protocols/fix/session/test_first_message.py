"""The first message of an unknown connection: rows 1S.d and 2S while no session is known."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.fix.session.first_message import CloseSilently, FirstMessage, LogonClaim, refused_logout
from protocols.fix.session.settings import SessionSettings
from protocols.fix.times import parse_ns
from tests.support.fix_text import fix

LOGON = "35=A|34=1|49=MM1|52=20261122-12:00:00|56=GATE|98=0|108=30"


@pytest.mark.parametrize("version", ["FIX.4.2", "FIX.4.4", "FIXT.1.1"])
def test_a_logon_is_handed_out_with_the_bytes_as_they_came(version: str) -> None:
    data = fix(LOGON + "|1137=9" if version == "FIXT.1.1" else LOGON, version)
    hello = FirstMessage().receive(data)
    assert isinstance(hello, LogonClaim)
    assert (hello.begin_string, hello.message.msg_type, hello.message.fields[49]) == (version, "A", "MM1")
    assert hello.message.fault is None
    assert hello.raw == data


def test_what_follows_the_logon_is_kept_for_the_session() -> None:
    data = fix(LOGON) + fix("35=0|34=2|49=MM1|52=20261122-12:00:00|56=GATE") + b"8=FIX"
    hello = FirstMessage().receive(data)
    assert isinstance(hello, LogonClaim)
    assert hello.raw == data


def test_a_logon_one_byte_at_a_time() -> None:
    greeting, data = FirstMessage(), fix(LOGON)
    outcomes = [greeting.receive(data[i : i + 1]) for i in range(len(data))]
    assert outcomes[:-1] == [None] * (len(data) - 1)
    hello = outcomes[-1]
    assert isinstance(hello, LogonClaim)
    assert hello.raw == data


def test_a_faulty_logon_is_still_a_hello_for_the_session_to_answer() -> None:
    hello = FirstMessage().receive(fix(LOGON + "|7777=x"))
    assert isinstance(hello, LogonClaim)
    assert hello.message.fault is not None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (fix("35=0|34=1|49=MM1|52=20261122-12:00:00|56=GATE"), "not_a_logon"),
        (fix(LOGON, "FIX.4.1"), "begin_string"),
        (fix(LOGON, "FIX.5.0"), "begin_string"),
        (fix(LOGON)[:-4] + b"999\x01", "garbled"),
        (fix(LOGON).replace(b"\x019=58", b"\x019=57"), "garbled"),
        (fix("35=A|34=1|x=1"), "garbled"),
        (b"GET / HTTP/1.1\r\nHost: gate\r\n\r\n" + fix(LOGON), "garbled"),
        (b"8=FIX.4.4\x019=60000\x0135=A\x01", "garbled"),
        (b"\x16\x03\x01" + b"x" * 5_000, "garbled"),
    ],
)
def test_anything_else_is_dropped_with_its_reason(data: bytes, reason: str) -> None:
    drop = FirstMessage().receive(data)
    assert isinstance(drop, CloseSilently)
    assert drop.reason == reason
    assert drop.text


def test_a_message_that_does_not_end_is_dropped_at_the_bound() -> None:
    greeting = FirstMessage(max_bytes=200)
    head = b"8=FIX.4.4\x019=150\x0135=A\x01"
    assert greeting.receive(head) is None
    fed = len(head)
    while (outcome := greeting.receive(b"58=x")) is None:
        fed += 4
    assert isinstance(outcome, CloseSilently)
    assert fed <= 204


def test_a_greeting_speaks_once() -> None:
    greeting = FirstMessage()
    greeting.receive(fix(LOGON))
    with pytest.raises(LocalProtocolError):
        greeting.receive(b"")


@given(st.lists(st.binary(max_size=300), max_size=30))
def test_any_bytes_are_a_hello_a_drop_or_not_enough(pieces: list[bytes]) -> None:
    greeting = FirstMessage(max_bytes=1_000)
    fed = 0
    for piece in pieces:
        fed += len(piece)
        outcome = greeting.receive(piece)
        assert outcome is None or isinstance(outcome, LogonClaim | CloseSilently)
        if outcome is not None:
            return
        assert fed <= 1_000


@pytest.mark.parametrize(("version", "digits", "time"), [("FIX.4.2", 3, ".000"), ("FIXT.1.1", 6, ".000000")])
def test_the_logout_to_an_unknown_peer_is_number_1_and_gives_no_cause(
    version: str, digits: Literal[3, 6], time: str
) -> None:
    settings = SessionSettings(
        begin_string=version, sender_comp_id="GATE", target_comp_id="MM1", time_digits=digits, plain=digits == 3
    )
    line = f"35=5|34=1|49=GATE|52=20261122-12:00:00{time}|56=MM1|58=logon refused"
    assert refused_logout(settings, None, parse_ns("20261122-12:00:00")) == fix(line, version)
