"""What holds for any input and any connection: chunking, any bytes, bounds, everything once and in order.

Module: fix.session.machine.
"""

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.fix.events import AppMessage, Disconnect, Event
from protocols.fix.session.settings import SessionState
from tests.support.dialogue import ORDER, Dialogue
from tests.support.pair import Pair

NOW = "20261122-12:00:00.000"
SCRIPT = [
    "35=A|34=1|98=0|108=30",
    f"35=D|34=2|{ORDER}",
    "35=1|34=3|112=x",
    f"35=D|34=6|{ORDER}",
    "35=1|34=7|112=y",
    "35=2|34=8|7=1|16=0",
    f"35=D|34=4|43=Y|122={NOW}|{ORDER}",
    "35=4|34=5|43=Y|36=6|123=Y",
    f"35=D|34=9|{ORDER}|453=2|448=a|447=D|452=1|448=b|447=D|452=3",
    "35=ZZ|34=10",
    f"35=D|34=11|115=JCD|{ORDER}",
    "35=8|34=12|37=1",
    "35=3|34=13|45=2",
    "35=4|34=0|36=20",
    f"35=D|34=20|97=Y|{ORDER}",
    "35=5|34=21|58=bye",
]


def play(pieces: list[bytes]) -> tuple[list[Event], bytes, tuple[int, int]]:
    stage = Dialogue()
    stage.connect()
    events: list[Event] = []
    output = b""
    for piece in pieces:
        events += stage.hears_bytes(piece)
    output += stage.output()
    return events, output, stage.numbers


def script() -> bytes:
    stage = Dialogue()
    return b"".join(stage.line(line) for line in SCRIPT)


def test_the_script_is_a_lively_one() -> None:
    events, output, _ = play([script()])
    assert [event.seq_num for event in events if isinstance(event, AppMessage)] == [2, 4, 6, 9, 20]
    assert len({type(event) for event in events}) == 8
    assert output.count(b"8=FIX.4.4\x019=") == 9


def test_one_byte_at_a_time_is_the_same_as_one_piece() -> None:
    data = script()
    assert play([data[i : i + 1] for i in range(len(data))]) == play([data])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=12))
def test_cut_anywhere_is_the_same_as_one_piece(places: list[int]) -> None:
    data = script()
    cuts = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    assert play([data[a:b] for a, b in pairwise(cuts)]) == play([data])


TELLING_FIELDS = """
    34=2 34=3 34=1 34=0 34=9999 35=D 35=4 43=Y 43=N 97=Y 122=20261122-12:00:00 123=Y 123=N 36=5 36=0 36=-1 7=1 16=0 7=0
    16=1 112=x 108=0 98=1 141=Y 789=1 789=99 49=X 56=Y 52=20261122-12:00:00 115=A 128= 95=4 96=a=b 58=t 11=a
"""
ANY_FIELD = st.tuples(
    st.integers(-2, 30_000), st.text(st.characters(max_codepoint=255, exclude_characters="\x01|"), max_size=8)
).map(lambda pair: f"{pair[0]}={pair[1]}")
FIELDS = st.lists(st.one_of(st.sampled_from(TELLING_FIELDS.split()), ANY_FIELD), max_size=6)
MSG_TYPES = ["0", "1", "2", "3", "4", "5", "A", "D", "F", "8", "j", "ZZ", "XLQ"]
LINE = st.tuples(st.sampled_from(MSG_TYPES), st.integers(0, 12), FIELDS).map(
    lambda parts: f"35={parts[0]}|34={parts[1]}|" + "|".join(parts[2])
)
PIECE = st.one_of(LINE, st.binary(max_size=60))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["FIX.4.2", "FIX.4.4", "FIXT.1.1"]),
    st.booleans(),
    st.lists(PIECE, max_size=25),
    st.integers(0, 3),
    st.booleans(),
)
def test_any_input_gives_events_and_keeps_every_bound(
    version: str, plain: bool, pieces: list[str | bytes], logged_on: int, initiator: bool
) -> None:
    stage = Dialogue(
        version,
        plain=plain,
        role="initiator" if initiator else "acceptor",
        held_max_messages=4,
        last_msg_seq_num_processed=logged_on == 3,
        next_expected_msg_seq_num=initiator and version != "FIX.4.2",
    )
    stage.connect()
    if initiator:
        stage.session.logon(stage.now_ns)
    if logged_on:
        stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}")
    for piece in pieces:
        next_in, next_out = stage.numbers
        events = stage.hears(piece) if isinstance(piece, str) else stage.hears_bytes(piece)
        assert len(events) <= 64
        assert stage.held_messages <= 4
        assert stage.numbers[1] >= next_out or stage.numbers == (2, 2) or "141=Y" in str(piece)
        assert stage.held_bytes <= 65_536 + 1_048_576
        assert next_in <= stage.numbers[0] or "141=Y" in str(piece)
        stage.now_ns += 1_000_000_000
        if stage.session.state not in (SessionState.ENDED, SessionState.DISCONNECTED):
            stage.session.tick(stage.now_ns)
            deadline_ns = stage.session.next_deadline_ns
            assert deadline_ns is None or deadline_ns > stage.now_ns, "or the owner's timer would spin"
    stage.output()
    assert stage.session.pending_bytes == 0
    assert not stage.is_replaying


def test_a_peer_that_only_sends_ahead_costs_a_bounded_amount_of_memory() -> None:
    stage = Dialogue()
    stage.log_on()
    for n in range(3, 4_000):
        stage.hears(f"35=D|34={n}|{ORDER}|58={'x' * 2_000}")
    assert 0 < stage.held_messages <= 1_000
    assert stage.held_bytes <= 1_048_576
    stage.says("35=2|34=2|7=2|16=0")


# -- two of them, back to back -----------------------------------------------------------------------------------

ACTIONS = ("send", "send", "send", "write", "write", "carry", "carry", "carry", "cut", "tick")


def live(pair: Pair, rng: random.Random, steps: int) -> None:
    """Random sends, partial writes and reads, cuts and reconnects."""
    for n in range(steps):
        pair.now_ns += rng.choice((0, 1_000_000, 500_000_000))
        side = rng.choice(pair.sides)
        action = rng.choice(ACTIONS)
        if action == "send":
            pair.send(side, f"{side.session.settings.sender_comp_id}-{n}")
        elif not pair.is_linked:
            if rng.random() < 0.5:
                pair.link()
        elif action == "write":
            pair.write(side, rng.choice((1, 200, 65_536)))
        elif action == "carry":
            pair.carry(side, rng.randrange(len(side.wire) + 1) if rng.random() < 0.5 else len(side.wire))
        elif action == "tick":
            side.note(side.session.tick(pair.now_ns))
        elif action == "cut" and rng.random() < 0.4:
            pair.cut()
        if pair.is_linked and any(side.has_ended for side in pair.sides):
            ends = [event for side in pair.sides for event in side.events if isinstance(event, Disconnect)]
            assert all(event.reason in ("logon_timeout", "silence") for event in ends), ends
            pair.cut()


def finish(pair: Pair) -> None:
    """One last connection that stays."""
    if pair.is_linked:
        pair.cut()
    pair.log_on()
    for side in pair.sides:
        pair.send(side, f"{side.session.settings.sender_comp_id}-last")
    pair.settle()


VARIANTS: list[dict[str, Any]] = [
    {},
    {"resend_max_messages": 3},
    {"resend_max_messages": 0, "held_max_messages": 2},
    {"next_expected_msg_seq_num": True},
    {"last_msg_seq_num_processed": True, "resend_max_messages": 2, "held_max_bytes": 400},
    {"next_expected_msg_seq_num": True, "held_max_messages": 1},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: ",".join(variant) or "default")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_whatever_the_link_does_everything_arrives_once_and_in_order(variant: dict[str, Any], seed: int) -> None:
    pair = Pair(heart_bt_int_s=20, **variant)
    live(pair, random.Random(seed), 120)
    finish(pair)
    assert pair.acceptor.got == pair.initiator.sent
    assert pair.initiator.got == pair.acceptor.sent


def test_a_cut_at_every_byte_of_a_conversation_loses_and_repeats_nothing() -> None:
    pair = Pair()
    pair.log_on()
    for n in range(3):
        pair.send(pair.initiator, f"a{n}")
        pair.send(pair.acceptor, f"b{n}")
    pair.write(pair.initiator)
    size = len(pair.initiator.wire)
    for place in range(0, size + 1, 7):
        pair = Pair()
        pair.log_on()
        for n in range(3):
            pair.send(pair.initiator, f"a{n}")
            pair.send(pair.acceptor, f"b{n}")
        for side in pair.sides:
            pair.write(side)
            pair.carry(side, place)
        pair.cut()
        pair.log_on()
        assert pair.acceptor.got == ["a0", "a1", "a2"] or finished(pair)
        assert pair.initiator.got == ["b0", "b1", "b2"] or finished(pair)


def finished(pair: Pair) -> bool:
    """A last message shows a gap that the Logon could not."""
    for side in pair.sides:
        pair.send(side, "end")
    pair.settle()
    return all(side.got == other.sent for side, other in (pair.sides, pair.sides[::-1]))


def test_two_idle_sessions_keep_each_other_alive() -> None:
    pair = Pair(heart_bt_int_s=5)
    pair.log_on()
    for _ in range(600):
        pair.now_ns += 100_000_000
        for side in pair.sides:
            side.note(side.session.tick(pair.now_ns))
        for side in pair.sides:
            pair.write(side)
            pair.carry(side, len(side.wire))
    assert not any(side.has_ended for side in pair.sides)
    counts = [side.session.store.next_out for side in pair.sides]
    assert all(12 <= count <= 14 for count in counts), "one heartbeat each five seconds, and no TestRequest"


def test_a_logout_is_exchanged() -> None:
    pair = Pair()
    pair.log_on()
    pair.initiator.session.logout(pair.now_ns, "done")
    pair.settle()
    assert [side.session.state for side in pair.sides] == [SessionState.ENDED, SessionState.ENDED]
    assert all(side.has_ended for side in pair.sides)
