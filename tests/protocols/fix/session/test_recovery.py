"""Gaps and replays: rows 8, 9, 10, 11, 16, 20, and a resent message that is itself bad.

Modules: fix.session.gap, fix.session.ranges.
"""

import pytest

from protocols.fix.decoder import Fault
from protocols.fix.events import Disconnect, Rejected, ResendServed, SequenceGap, SequenceReset, Warned
from tests.support.dialogue import ORDER, Dialogue
from tests.support.fix_text import pipes

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
NOW = "20261122-12:00:00.000"
LATER = "20261122-12:00:05.000"
SECOND_NS = 1_000_000_000
OUT_OF_RANGE = "Value is incorrect (out of range) for this tag"


@pytest.fixture(params=VERSIONS)
def stage(request: pytest.FixtureRequest) -> Dialogue:
    dialogue = Dialogue(request.param)
    dialogue.log_on()
    return dialogue


def report(stage: Dialogue, n: int) -> None:
    stage.session.send("8", f"37={n}\x0158=text {n}\x01", stage.now_ns)


def resent(seq_num: int, n: int, original: str = NOW) -> str:
    return f"35=8|34={seq_num}|43=Y|122={original}|37={n}|58=text {n}"


def filled(begin: int, end: int, now: str = NOW) -> str:
    return f"35=4|34={begin}|43=Y|122={now}|36={end}|123=Y"


def rejected(stage: Dialogue, seq_num: int, ref: int, text: str) -> str:
    """Our Reject(3) of an order, which must come again."""
    reason = "" if stage.version == "FIX.4.2" else "|373=99"
    return f"35=3|34={seq_num}|45={ref}|58={text}|371=34|372=D{reason}"


@pytest.fixture
def mixed(stage: Dialogue) -> Dialogue:
    """1 Logon, 2-4 Heartbeats, 5-6 reports, 7-8 Heartbeats, 9 report; five seconds later."""
    stage.hears(*[f"35=1|34={n}|112=H" for n in (2, 3, 4)])
    report(stage, 5)
    report(stage, 6)
    stage.hears("35=1|34=5|112=H", "35=1|34=6|112=H")
    report(stage, 9)
    stage.output()
    stage.now_ns += 5 * SECOND_NS
    return stage


def test_8_only_session_messages_are_filled_over(mixed: Dialogue) -> None:
    assert mixed.hears("35=2|34=7|7=2|16=4") == [ResendServed(2, 4)]
    mixed.says(filled(2, 5, LATER))


def test_8_only_application_messages_come_again_as_they_were(mixed: Dialogue) -> None:
    mixed.hears("35=2|34=7|7=5|16=6")
    mixed.says(resent(5, 5), resent(6, 6))


def test_8_a_single_message(mixed: Dialogue) -> None:
    mixed.hears("35=2|34=7|7=6|16=6")
    mixed.says(resent(6, 6))


@pytest.mark.parametrize("end", ["0", "9", "10", "999999"])
def test_8_a_mix_to_the_latest(mixed: Dialogue, end: str) -> None:
    mixed.hears(f"35=2|34=7|7=1|16={end}")
    mixed.says(filled(1, 5, LATER), resent(5, 5), resent(6, 6), filled(7, 9, LATER), resent(9, 9))
    assert mixed.numbers == (8, 10), "NextOut is as it was"


def test_8_never_beyond_the_requested_range(mixed: Dialogue) -> None:
    mixed.hears("35=2|34=7|7=1|16=7")
    mixed.says(filled(1, 5, LATER), resent(5, 5), resent(6, 6), filled(7, 8, LATER))


def test_8_a_resend_may_be_requested_again(mixed: Dialogue) -> None:
    for n in (7, 8, 9):
        mixed.hears(f"35=2|34={n}|7=9|16=0")
        mixed.says(resent(9, 9))


def test_8_messages_that_the_store_has_dropped_are_filled_over() -> None:
    stage = Dialogue()
    stage.session.store._max_messages = 2  # type: ignore[attr-defined]
    stage.log_on()
    for n in (2, 3, 4, 5):
        report(stage, n)
    stage.output()
    stage.hears("35=2|34=2|7=1|16=0")
    stage.says(filled(1, 4), resent(4, 4), resent(5, 5))


def test_8_a_reject_comes_again_like_an_application_message(stage: Dialogue) -> None:
    stage.hears("35=0|34=2", "35=D|34=3|11=x|55=", "35=1|34=4|112=x", f"35=D|34=5|115=JCD|{ORDER}")
    first = [line.partition(f"|49=GATE|52={NOW}") for line in pipes(stage.output())]
    stage.now_ns += 5 * SECOND_NS
    stage.hears("35=2|34=6|7=1|16=0")
    again = pipes(stage.output())
    assert again[1::2] == [
        f"{first[n][0]}|43=Y|49=GATE|52={LATER}|56=MM1|122={NOW}{first[n][2].removeprefix('|56=MM1')}" for n in (0, 2)
    ]
    assert [line.partition("|49=")[0] for line in again] == [
        "35=4|34=1|43=Y",
        "35=3|34=2|43=Y",
        "35=4|34=3|43=Y",
        "35=3|34=4|43=Y",
    ]


def test_8_a_reject_that_the_link_did_not_take_is_had_after_the_next_logon(stage: Dialogue) -> None:
    stage.hears("35=D|34=2|11=x|55=")
    stage.session.disconnected(stage.now_ns)
    stage.session.reject(3, "D", Fault("reject", 5, 44, "too odd"), stage.now_ns)
    assert not stage.session.has_output
    stage.log_on(seq_num=3)
    stage.hears("35=2|34=4|7=2|16=0")
    again = [line.partition("|45=")[2][0] for line in pipes(stage.output()) if line.startswith("35=3|")]
    assert again == ["2", "3"]


@pytest.mark.parametrize(
    ("asked", "tag", "text"),
    [
        ("7=3|16=0", 7, "BeginSeqNo(7) must be 1 to 1, the last number sent"),
        ("7=0|16=0", 7, "BeginSeqNo(7) must be 1 to 1, the last number sent"),
    ],
)
def test_8_a_range_that_was_never_sent_is_refused(stage: Dialogue, asked: str, tag: int, text: str) -> None:
    stage.hears(f"35=2|34=2|{asked}")
    stage.says(f"35=3|34=2|45=2|58={OUT_OF_RANGE}: {text}|371={tag}|372=2|373=5")
    assert stage.numbers[0] == 3


def test_8_a_request_with_an_old_number_is_served_and_moves_nothing(mixed: Dialogue) -> None:
    [warned, served] = mixed.hears("35=2|34=5|7=5|16=5")
    assert warned == Warned("ResendRequest(2) with MsgSeqNum(34)=5, expecting 7")
    assert served == ResendServed(5, 5)
    mixed.says(resent(5, 5))
    assert mixed.numbers == (7, 10)


def test_8_a_duplicate_of_a_request_is_not_served_again(mixed: Dialogue) -> None:
    assert mixed.hears(f"35=2|34=5|43=Y|122={NOW}|7=5|16=5") == []
    mixed.says()


def test_8_an_old_number_on_a_faulty_request_ends_the_session(mixed: Dialogue) -> None:
    text = "MsgSeqNum too low, expecting 7 but received 5"
    assert mixed.hears("35=2|34=5|7=5") == [Disconnect("bad_sequence", text)]


def test_8_an_end_before_the_begin_is_refused(mixed: Dialogue) -> None:
    mixed.hears("35=2|34=7|7=5|16=4")
    text = "EndSeqNo(16) must be 0 or at least BeginSeqNo(7)"
    mixed.says(f"35=3|34=10|45=7|58={OUT_OF_RANGE}: {text}|371=16|372=2|373=5")


def test_9_a_side_that_lost_its_state_may_reset_upwards(stage: Dialogue) -> None:
    assert stage.hears("35=4|34=1|36=50") == [SequenceReset(50)]
    stage.hears("35=1|34=50|112=x")
    stage.says("35=0|34=2|112=x")


# -- SequenceReset(4) with GapFillFlag(123)=Y --------------------------------------------------------------------


def test_10_a_gap_fill_numbered_too_high(stage: Dialogue) -> None:
    assert stage.hears("35=4|34=10|36=20|123=Y") == [SequenceGap(2, 0, 10)]
    stage.says("35=2|34=2|7=2|16=0")
    stage.hears("35=1|34=20|112=HELLO")
    stage.says()
    stage.hears("35=4|34=2|43=Y|36=10|123=Y")
    stage.says("35=0|34=3|112=HELLO")
    assert stage.numbers[0] == 21, "the early gap fill and the test behind it had their turn"


def test_10_b_gap_fill_in_sequence(stage: Dialogue) -> None:
    assert stage.hears("35=4|34=2|36=20|123=Y") == [SequenceReset(20)]
    stage.hears("35=1|34=20|112=HELLO")
    stage.says("35=0|34=2|112=HELLO")


def test_10_c_gap_fill_with_an_old_number_and_poss_dup_is_dropped(stage: Dialogue) -> None:
    assert stage.hears("35=4|34=1|43=Y|122=20261122-11:59:59|36=20|123=Y") == []
    stage.says()
    assert stage.numbers[0] == 2


def test_10_c_an_old_gap_fill_needs_no_orig_sending_time(stage: Dialogue) -> None:
    """The most used engines send none on a gap fill."""
    assert stage.hears("35=4|34=1|43=Y|36=20|123=Y") == []
    stage.says()
    assert stage.numbers == (2, 2)


def test_10_d_gap_fill_with_an_old_number_without_poss_dup(stage: Dialogue) -> None:
    text = "MsgSeqNum too low, expecting 2 but received 1"
    assert stage.hears("35=4|34=1|36=20|123=Y") == [Disconnect("bad_sequence", text)]
    stage.says(f"35=5|34=2|58={text}")


@pytest.mark.parametrize("new_seq_no", ["2", "1"])
def test_10_e_gap_fill_that_would_lower_the_number_is_rejected(stage: Dialogue, new_seq_no: str) -> None:
    stage.hears(f"35=4|34=2|36={new_seq_no}|123=Y")
    text = "attempt to lower the sequence number: NewSeqNo(36)"
    stage.says(f"35=3|34=2|45=2|58={OUT_OF_RANGE}: {text}|371=36|372=4|373=5")
    assert stage.numbers[0] == 3


def test_10_what_the_peer_fills_over_is_skipped_but_a_test_request_is_answered(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=4|{ORDER}", "35=1|34=5|112=still there?", f"35=D|34=8|{ORDER}")
    stage.output()
    events = stage.hears("35=4|34=2|43=Y|36=7|123=Y")
    text = "not executed: SequenceReset(4) with NewSeqNo(36)=7 skipped it"
    stage.says(rejected(stage, 3, 4, text), "35=0|34=4|112=still there?", "35=2|34=5|7=7|16=0")
    assert events == [SequenceReset(7), Rejected("D", 4, 99, 34, text), SequenceGap(7, 0, 8)]
    stage.hears(f"35=D|34=7|43=Y|122={NOW}|{ORDER}")
    assert stage.delivered == [7, 8]


# -- SequenceReset(4) in reset mode ------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["", "|123=N"])
@pytest.mark.parametrize("seq_num", ["0", "1", "2", "77"])
def test_11_a_reset_upwards_ignores_its_own_number(stage: Dialogue, flag: str, seq_num: str) -> None:
    assert stage.hears(f"35=4|34={seq_num}|36=20{flag}") == [SequenceReset(20)]
    stage.hears("35=1|34=20|112=x")
    stage.says("35=0|34=2|112=x")


@pytest.mark.parametrize("flag", ["", "|123=N"])
def test_11_b_reset_to_what_was_expected_is_only_warned_of(stage: Dialogue, flag: str) -> None:
    [event] = stage.hears(f"35=4|34=0|36=2{flag}")
    assert isinstance(event, Warned)
    stage.says()
    assert stage.numbers == (2, 2)


@pytest.mark.parametrize("flag", ["", "|123=N"])
def test_11_c_reset_downwards_is_rejected_and_moves_nothing(stage: Dialogue, flag: str) -> None:
    stage.hears(f"35=4|34=0|36=1{flag}")
    stage.says(f"35=3|34=2|45=0|58={OUT_OF_RANGE}: NewSeqNo(36) must be 2 or more|371=36|372=4|373=5")
    assert stage.numbers == (2, 3)


def test_11_c_the_penstock_dialect_calls_it_a_bad_sequence() -> None:
    stage = Dialogue(plain=False)
    stage.log_on()
    stage.hears("35=4|34=0|36=1")
    stage.says(f"35=3|34=2|45=0|58={OUT_OF_RANGE}: NewSeqNo(36) must be 2 or more|371=36|372=4|373=5|25016=1008")


def test_11_a_reset_without_new_seq_no_is_rejected_and_moves_nothing(stage: Dialogue) -> None:
    [event] = stage.hears("35=4|34=2")
    assert isinstance(event, Rejected)
    assert (event.reason, event.tag) == (1, 36)
    assert stage.numbers[0] == 2


def test_11_a_reset_over_an_open_gap_closes_it(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=5|{ORDER}", f"35=D|34=9|{ORDER}")
    stage.output()
    stage.hears("35=4|34=0|36=9")
    assert stage.delivered == [9]
    stage.says(rejected(stage, 3, 5, "not executed: SequenceReset(4) with NewSeqNo(36)=9 skipped it"))
    assert stage.numbers[0] == 10


# -- both sides at once ------------------------------------------------------------------------------------------


def test_20_a_resend_request_ahead_of_its_turn_is_served_at_once(stage: Dialogue) -> None:
    report(stage, 2)
    report(stage, 3)
    stage.output()
    stage.hears("35=0|34=7")
    stage.says("35=2|34=4|7=2|16=0")
    stage.hears("35=2|34=8|7=2|16=3")
    stage.says(resent(2, 2), resent(3, 3))
    stage.hears(*[f"35=0|34={n}|43=Y|122={NOW}" for n in range(2, 7)])
    stage.says()
    assert stage.numbers == (9, 5), "the early ResendRequest was counted in its turn and not served twice"


def test_20_a_gap_that_only_the_resend_request_shows_is_requested_after_the_replay(stage: Dialogue) -> None:
    report(stage, 2)
    stage.output()
    stage.hears("35=2|34=4|7=2|16=2")
    stage.says(resent(2, 2), "35=2|34=3|7=2|16=0")


def test_a_resent_message_that_is_itself_bad_is_rejected_and_those_after_it_follow(stage: Dialogue) -> None:
    stage.hears("35=1|34=3|112=HELLO1")
    stage.says("35=2|34=2|7=2|16=0")
    [event] = stage.hears(f"35=D|34=2|43=Y|122={NOW}|{ORDER.replace('38=1', '38=x')}")
    assert isinstance(event, Rejected)
    assert (event.seq_num, event.reason, event.tag) == (2, 6, 38)
    assert stage.output().count(b"112=HELLO1\x01") == 1
    stage.hears("35=1|34=4|112=HELLO2")
    stage.says("35=0|34=5|112=HELLO2")


def test_a_faulty_message_ahead_of_its_turn_is_rejected_in_its_turn(stage: Dialogue) -> None:
    assert stage.hears("35=D|34=3|11=x|7777=1") == [SequenceGap(2, 0, 3)]
    stage.says("35=2|34=2|7=2|16=0")
    events = stage.hears(f"35=D|34=2|43=Y|122={NOW}|{ORDER}")
    assert stage.delivered == [2]
    assert isinstance(events[-1], Rejected)
    assert events[-1].seq_num == 3


# -- 16: answers while the client is away ------------------------------------------------------------------------


def test_16_answers_that_arise_while_the_client_is_away_are_served_on_its_request(stage: Dialogue) -> None:
    stage.session.disconnected(stage.now_ns)
    report(stage, 2)
    report(stage, 3)
    assert not stage.session.has_output
    stage.now_ns += 5 * SECOND_NS
    stage.connect()
    stage.hears(f"35=A|34=2|98=0|108=30{stage.appl_ver_id}")
    stage.says(f"35=A|34=4|98=0|108=30{stage.appl_ver_id}")
    stage.hears("35=2|34=3|7=2|16=0")
    stage.says(resent(2, 2), resent(3, 3), filled(4, 5, LATER))


def test_16_output_that_the_old_link_did_not_take_is_not_written_to_the_new_one(stage: Dialogue) -> None:
    report(stage, 2)
    assert stage.session.has_output
    stage.session.disconnected(stage.now_ns)
    stage.connect()
    stage.hears(f"35=A|34=2|98=0|108=30{stage.appl_ver_id}")
    stage.says(f"35=A|34=3|98=0|108=30{stage.appl_ver_id}")


def test_early_messages_do_not_outlive_their_link(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=3|{ORDER}")
    stage.session.disconnected(stage.now_ns)
    stage.log_on(seq_num=4)
    stage.hears(*[f"35=D|34={n}|43=Y|122={NOW}|{ORDER}" for n in (2, 3)])
    assert stage.delivered == [2, 3]
    assert stage.numbers[0] == 5


# -- requests of ours in chunks, and bounds ----------------------------------------------------------------------


def test_a_large_gap_is_requested_in_chunks() -> None:
    stage = Dialogue(resend_max_messages=5)
    stage.log_on()
    assert stage.hears("35=0|34=14") == [SequenceGap(2, 6, 14)]
    stage.says("35=2|34=2|7=2|16=6")
    stage.hears(*[f"35=0|34={n}" for n in range(2, 6)])
    stage.says()
    stage.hears("35=0|34=6")
    stage.says("35=2|34=3|7=7|16=11")
    stage.hears("35=4|34=7|43=Y|36=12|123=Y")
    stage.says("35=2|34=4|7=12|16=0")
    stage.hears("35=4|34=12|43=Y|36=14|123=Y")
    stage.says()
    assert stage.numbers[0] == 15


def test_a_peer_that_fills_a_chunk_one_number_short_gets_the_next_request_from_there() -> None:
    stage = Dialogue(resend_max_messages=5)
    stage.log_on()
    stage.hears("35=0|34=13")
    stage.says("35=2|34=2|7=2|16=6")
    stage.hears("35=4|34=2|36=6|123=Y")
    stage.says("35=2|34=3|7=6|16=10")


def test_an_open_request_is_not_repeated_when_a_fill_ends_before_its_last_number() -> None:
    stage = Dialogue()
    stage.log_on()
    stage.hears(f"35=D|34=5|{ORDER}")
    stage.output()
    stage.hears("35=4|34=2|43=Y|36=4|123=Y")
    stage.says()
    stage.hears(f"35=D|34=4|43=Y|122={NOW}|{ORDER}")
    assert stage.delivered == [4, 5]


def test_chunks_of_0_are_always_open() -> None:
    stage = Dialogue(resend_max_messages=0)
    stage.log_on()
    stage.hears("35=0|34=50000")
    stage.says("35=2|34=2|7=2|16=0")


@pytest.mark.parametrize("highest", [5, 6])
def test_early_messages_above_the_bound_are_requested_again(highest: int) -> None:
    stage = Dialogue(held_max_messages=2)
    stage.log_on()
    stage.hears(*[f"35=D|34={n}|{ORDER}" for n in range(3, highest + 1)])
    stage.says("35=2|34=2|7=2|16=0")
    stage.hears(f"35=D|34=2|43=Y|122={NOW}|{ORDER}")
    assert stage.delivered == [2, 3, 4]
    stage.says("35=2|34=3|7=5|16=0")
    stage.hears(*[f"35=D|34={n}|43=Y|122={NOW}|{ORDER}" for n in range(5, highest + 1)])
    assert stage.delivered == list(range(5, highest + 1))
    stage.says()


def test_an_older_early_message_does_not_hide_that_later_ones_are_missing_too() -> None:
    stage = Dialogue()
    stage.log_on()
    stage.hears(f"35=D|34=8|{ORDER}", f"35=D|34=5|{ORDER}")
    stage.says("35=2|34=2|7=2|16=0")
    stage.hears(*[f"35=D|34={n}|43=Y|122={NOW}|{ORDER}" for n in (2, 3, 4)])
    assert stage.delivered == [2, 3, 4, 5]
    stage.hears(*[f"35=D|34={n}|43=Y|122={NOW}|{ORDER}" for n in (6, 7)])
    assert stage.delivered == [6, 7, 8]
    stage.says()


def test_what_is_missing_after_an_older_early_message_is_requested_in_its_turn() -> None:
    stage = Dialogue(resend_max_messages=3)
    stage.log_on()
    stage.hears(f"35=D|34=9|{ORDER}", f"35=D|34=5|{ORDER}")
    stage.says("35=2|34=2|7=2|16=4")
    stage.hears(*[f"35=D|34={n}|43=Y|122={NOW}|{ORDER}" for n in (2, 3, 4)])
    assert stage.delivered == [2, 3, 4, 5]
    stage.says("35=2|34=3|7=6|16=0")


def test_early_messages_are_bounded_in_bytes_too() -> None:
    stage = Dialogue(held_max_bytes=1_000)
    stage.log_on()
    long = f"35=D|34={{}}|{ORDER}|58={'x' * 500}"
    stage.hears(*[long.format(n) for n in (3, 4, 5)])
    assert stage.held_messages == 1
    assert 500 < stage.held_bytes <= 1_000
    stage.hears(f"35=D|34=2|{ORDER}")
    assert stage.delivered == [2, 3]
    assert stage.held_bytes == 0


def test_an_early_message_that_comes_twice_is_held_once() -> None:
    stage = Dialogue()
    stage.log_on()
    stage.hears(f"35=D|34=4|{ORDER}", f"35=D|34=3|{ORDER}")
    held_bytes = stage.held_bytes
    stage.hears(f"35=D|34=4|43=Y|122={NOW}|{ORDER}", f"35=D|34=3|43=Y|122={NOW}|{ORDER}")
    assert (stage.held_messages, stage.held_bytes) == (2, held_bytes)
    stage.hears(f"35=D|34=2|{ORDER}")
    assert stage.delivered == [2, 3, 4]
    assert stage.held_bytes == 0
