"""Header and trailer of a running session: rows 2.* and 3.*, and what is garbled. Module: fix.session.inbound."""

import pytest

from protocols.fix.events import AppMessage, Disconnect, Garbled, Rejected, SequenceGap
from protocols.fix.session.settings import SessionState
from tests.support.dialogue import ORDER, START_NS, Dialogue

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
NOW = "20261122-12:00:00.000"


@pytest.fixture(params=VERSIONS)
def stage(request: pytest.FixtureRequest) -> Dialogue:
    dialogue = Dialogue(request.param)
    dialogue.log_on()
    return dialogue


def test_2_a_msg_seq_num_correct(stage: Dialogue) -> None:
    [event] = stage.hears(f"35=D|34=2|{ORDER}")
    assert isinstance(event, AppMessage)
    assert (event.msg_type, event.seq_num, event.fields[11], event.groups) == ("D", 2, "o-1", None)
    assert (event.poss_dup, event.poss_resend, event.sending_time_ns) == (False, False, START_NS)
    assert event.size_bytes == len(stage.line(f"35=D|34=2|{ORDER}"))
    stage.says()
    assert stage.numbers == (3, 2)


def test_2_b_msg_seq_num_too_high_is_held_and_the_gap_requested_once(stage: Dialogue) -> None:
    assert stage.hears(f"35=D|34=5|{ORDER}") == [SequenceGap(2, 0, 5)]
    stage.says("35=2|34=2|7=2|16=0")
    assert stage.hears(f"35=D|34=6|{ORDER}", "35=0|34=7") == []
    stage.says()
    stage.hears(f"35=D|34=2|43=Y|122={NOW}|{ORDER}", "35=4|34=3|43=Y|36=5|123=Y")
    assert stage.delivered == [2, 5, 6]
    stage.says()
    assert stage.numbers == (8, 3)


def test_2_b_a_second_gap_after_the_first_is_requested_when_the_first_has_closed(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=4|{ORDER}", f"35=D|34=7|{ORDER}")
    stage.says("35=2|34=2|7=2|16=0")
    stage.hears(f"35=D|34=2|{ORDER}", f"35=D|34=3|{ORDER}")
    assert stage.delivered == [2, 3, 4]
    stage.says("35=2|34=3|7=5|16=0")


def test_2_b_the_held_messages_come_again_in_the_resend_and_are_dropped(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=3|{ORDER}")
    stage.output()
    stage.hears(*[f"35=D|34={n}|43=Y|122={NOW}|{ORDER}" for n in (2, 3)])
    assert stage.delivered == [2, 3]
    stage.says()


def test_2_c_msg_seq_num_too_low(stage: Dialogue) -> None:
    stage.hears("35=0|34=2", "35=0|34=3", "35=0|34=4")
    text = "MsgSeqNum too low, expecting 5 but received 2"
    assert stage.hears(f"35=D|34=2|{ORDER}") == [Disconnect("bad_sequence", text)]
    stage.says(f"35=5|34=2|58={text}")
    assert stage.session.state is SessionState.ENDED
    assert stage.numbers == (5, 3)


def test_2_c_the_penstock_dialect_says_it_in_numbers_too() -> None:
    stage = Dialogue(plain=False)
    stage.log_on()
    stage.hears("35=0|34=1")
    stage.says("35=5|34=2|58=MsgSeqNum too low, expecting 2 but received 1|1409=9|25016=1008")


def test_2_d_a_garbled_message_is_ignored_and_the_gap_shows_with_the_next(stage: Dialogue) -> None:
    garbled = stage.line(f"35=D|34=2|{ORDER}").replace(b"11=o-1", b"11=o-2")
    events = stage.hears_bytes(garbled)
    assert [type(event) for event in events] == [Garbled]
    assert stage.numbers == (2, 2)
    stage.says()
    stage.hears("35=0|34=3")
    stage.says("35=2|34=2|7=2|16=0")


def test_2_e_poss_dup_already_received_is_dropped_silently(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=2|{ORDER}")
    assert stage.hears(f"35=D|34=2|43=Y|122={NOW}|{ORDER}") == []
    stage.says()
    assert stage.numbers == (3, 2)


def test_2_e_poss_dup_not_received_is_processed(stage: Dialogue) -> None:
    [event] = stage.hears(f"35=D|34=2|43=Y|122=20261122-11:59:50|{ORDER}")
    assert isinstance(event, AppMessage)
    assert event.poss_dup
    assert event.sending_time_ns == START_NS - 10_000_000_000


@pytest.mark.parametrize("seq_num", [2, 3])
def test_2_f_orig_sending_time_later_than_sending_time(stage: Dialogue, seq_num: int) -> None:
    stage.hears(f"35=D|34=2|{ORDER}")
    stage.hears(f"35=D|34={seq_num}|43=Y|122=20261122-12:00:10|{ORDER}")
    text = "58=SendingTime accuracy problem: OrigSendingTime(122) is later than SendingTime(52)"
    stage.says(f"35=3|34=2|45={seq_num}|{text}|371=122|372=D|373=10", f"35=5|34=3|{text}")
    assert stage.numbers[0] == (3 if seq_num == 2 else 4)
    assert stage.hears(f"35=5|34={stage.numbers[0]}") == [Disconnect("orig_sending_time", text[3:])]


def test_2_f_a_sending_time_in_whole_seconds_is_compared_in_seconds(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=2|43=Y|52=20261122-12:00:00|122=20261122-12:00:00.900|{ORDER}")
    assert stage.delivered == [2]


def test_2_g_poss_dup_without_orig_sending_time(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=2|{ORDER}")
    refused = "58=Required tag missing: OrigSendingTime(122) is missing|371=122|372=D|373=1"
    stage.hears(f"35=D|34=2|43=Y|{ORDER}")
    stage.says(f"35=3|34=2|45=2|{refused}")
    assert stage.numbers[0] == 3, "an old number moves nothing"
    stage.hears(f"35=D|34=3|43=Y|{ORDER}")
    stage.says(f"35=3|34=3|45=3|{refused}")
    assert stage.numbers[0] == 4


def test_2_i_another_begin_string(stage: Dialogue) -> None:
    other = "FIX.4.4" if stage.version == "FIX.4.2" else "FIX.4.2"
    mixed = stage.line("35=1|34=2|112=id").replace(stage.version.encode(), other.encode())
    total = sum(mixed[:-7]) % 256
    stage.hears_bytes(mixed[:-7] + b"10=%03d\x01" % total)
    stage.says("35=5|34=2|58=Incorrect BeginString")
    assert stage.wait(1.999) == []
    assert stage.wait(0.001) == [Disconnect("begin_string", "Incorrect BeginString")], "even without an answer"


@pytest.mark.parametrize(
    ("changed", "tag", "name"),
    [("49=WT", 49, "SenderCompID(49)"), ("56=DLSI", 56, "TargetCompID(56)"), ("49=WT|56=DLSI", 49, "SenderCompID(49)")],
)
def test_2_k_comp_id_does_not_match(stage: Dialogue, changed: str, tag: int, name: str) -> None:
    events = stage.hears(f"35=D|34=2|{changed}|{ORDER}")
    text = f"58=CompID problem: {name}"
    stage.says(f"35=3|34=2|45=2|{text}|371={tag}|372=D|373=9", f"35=5|34=3|{text}")
    assert [type(event) for event in events] == [Rejected]
    assert stage.hears(f"35=D|34=3|{ORDER}") == [], "after our final Logout only the Logout is read"


def test_a_reject_of_a_message_without_a_type_names_none(stage: Dialogue) -> None:
    stage.hears("35=|34=2|49=WT")
    text = "58=CompID problem: SenderCompID(49)"
    stage.says(f"35=3|34=2|45=2|{text}|371=49|373=9", f"35=5|34=3|{text}")
    assert stage.hears("35=5|34=3") == [Disconnect("comp_id", text[3:])]
    stage.says()
    assert stage.numbers == (4, 4)


@pytest.mark.parametrize("sending_time", ["20261122-11:57:59.999", "20261122-12:02:00.001"])
def test_2_o_sending_time_out_of_range(stage: Dialogue, sending_time: str) -> None:
    stage.hears(f"35=D|34=2|52={sending_time}|{ORDER}")
    text = "58=SendingTime accuracy problem: SendingTime(52) is more than 120 s off"
    stage.says(f"35=3|34=2|45=2|{text}|371=52|372=D|373=10", f"35=5|34=3|{text}")
    assert stage.hears("35=5|34=3") == [Disconnect("sending_time", text[3:])]


@pytest.mark.parametrize(
    "sending_time",
    ["20261122-11:58:00", "20261122-12:02:00.000", "20261122-12:00:00.123456", "20261122-12:00:00.123456789"],
)
def test_2_n_sending_time_in_range_in_every_precision(stage: Dialogue, sending_time: str) -> None:
    stage.hears(f"35=D|34=2|52={sending_time}|{ORDER}")
    assert stage.delivered == [2]


def test_a_sending_time_on_a_day_that_does_not_exist_is_a_wrong_format_and_the_session_continues(
    stage: Dialogue,
) -> None:
    [event] = stage.hears(f"35=D|34=2|52=20260230-12:00:00|{ORDER}")
    assert isinstance(event, Rejected)
    assert (event.reason, event.tag) == (6, 52)
    assert stage.session.is_logged_on
    assert stage.numbers[0] == 3


@pytest.mark.parametrize("state", ["logged on", "awaiting logout"])
def test_2_d_a_message_longer_than_any_may_be_ends_the_session_by_itself(state: str) -> None:
    stage = Dialogue(max_message_bytes=1_024)
    stage.log_on()
    if state == "awaiting logout":
        stage.hears("35=0|34=2|49=MM2")
    stage.hears_bytes(stage.line(f"35=0|34=2|58={'x' * 2_000}"))
    assert [type(event) for event in stage.events] == [Garbled, Disconnect]
    assert isinstance(stage.events[0], Garbled)
    assert stage.events[0].is_too_long


def test_2_m_a_body_length_too_long_takes_the_next_message_with_it(stage: Dialogue) -> None:
    good, second = stage.line("35=0|34=2"), stage.line("35=0|34=3")
    length = int(good.split(b"\x019=")[1].split(b"\x01")[0])
    long = good.replace(b"\x019=%d\x01" % length, b"\x019=%d\x01" % (length + 20))
    events = stage.hears_bytes(long + second + stage.line("35=0|34=2"))
    assert [type(event) for event in events] == [Garbled]
    assert stage.numbers[0] == 3


def test_2_t_first_three_fields_out_of_order_is_ignored(stage: Dialogue) -> None:
    line = stage.line("35=0|34=2")
    swapped = line.replace(b"35=0\x0134=2\x01", b"34=2\x0135=0\x01")
    events = stage.hears_bytes(swapped)
    assert [type(event) for event in events] == [Garbled]
    assert stage.numbers == (2, 2)
    stage.says()


@pytest.mark.parametrize("trailer", [b"10=256\x01", b"10=999\x01", b"10=1\x01", b"10=0001\x01", b"10=abc\x01"])
def test_3_b_and_3_e_a_wrong_check_sum_is_ignored(stage: Dialogue, trailer: bytes) -> None:
    good = stage.line("35=0|34=2")
    events = stage.hears_bytes(good[:-7] + trailer + good)
    assert [type(event) for event in events] == [Garbled]
    assert stage.numbers == (3, 2)


def test_3_c_a_tag_that_is_no_number_is_ignored(stage: Dialogue) -> None:
    events = stage.hears("35=D|34=2|garbled=x|11=o-1")
    assert [type(event) for event in events] == [Garbled]
    assert stage.numbers == (2, 2)


def test_three_garbled_messages_in_a_row_close_the_connection(stage: Dialogue) -> None:
    bad = stage.line("35=0|34=2")[:-4] + b"xxx\x01"
    assert len(stage.hears_bytes(bad + bad)) == 2
    stage.hears("35=0|34=2")
    assert len(stage.hears_bytes(bad + bad)) == 2, "a good message in between begins the count anew"
    events = stage.hears_bytes(bad)
    assert isinstance(events[-1], Disconnect)
    assert events[-1].reason == "garbled"
    stage.says()


@pytest.mark.parametrize("number", ["34=-", "34=x", "34=1.0", "34=1234567890123456789"])
def test_a_missing_msg_seq_num_ends_the_session(stage: Dialogue, number: str) -> None:
    stage.hears(f"35=1|{number}|112=TEST")
    stage.says("35=5|34=2|58=Received message without MsgSeqNum")
    assert stage.wait(2) == [Disconnect("no_msg_seq_num", "Received message without MsgSeqNum")]


def test_header_fields_in_another_order_are_accepted(stage: Dialogue) -> None:
    stage.hears_bytes(
        stage.line(f"35=D|56=GATE|52={NOW}|49=MM1|34=2|54=1|{ORDER.replace('54=1|', '')}"),
    )
    assert stage.delivered == [2]
