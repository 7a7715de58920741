"""How a session begins, as acceptor: rows 1S.*, 2S, 14.n, NextExpectedMsgSeqNum(789), LastMsgSeqNumProcessed(369)."""

from collections.abc import Callable

import pytest

from protocols.fix.events import Disconnect, LoggedOn, Rejected, ResendServed, SequenceGap
from protocols.fix.session.settings import SessionSettings, SessionState
from tests.support.dialogue import ORDER, Dialogue, FixedPolicy, expand
from tests.support.fix_text import fix, pipes

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
WITH_789 = ("FIX.4.4", "FIXT.1.1")


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(version: str) -> Dialogue:
    dialogue = Dialogue(version)
    dialogue.connect()
    return dialogue


def test_1S_a_a_valid_logon_is_answered_with_the_same_heart_bt_int(stage: Dialogue) -> None:
    events = stage.hears(f"35=A|34=1|98=0|108=17{stage.appl_ver_id}")
    stage.says(f"35=A|34=1|98=0|108=17{stage.appl_ver_id}")
    assert [type(event) for event in events] == [LoggedOn]
    assert isinstance(events[0], LoggedOn)
    assert (events[0].heart_bt_int_s, events[0].reset, events[0].fields[108]) == (17, False, "17")
    assert stage.session.is_logged_on
    assert stage.numbers == (2, 2)


def test_1S_a_the_penstock_dialect_adds_session_status_and_what_the_owner_wants(version: str) -> None:
    stage = Dialogue(version, plain=False)
    stage.connect()
    stage.session.logon_policy = FixedPolicy(body="20106=e-1\x01")
    stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}")
    stage.says(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}|1409=0|20106=e-1")


@pytest.mark.parametrize(
    ("logon", "reason", "code"),
    [
        ("35=A|34=1|98=0|108=0", "4", "2001"),
        ("35=A|34=1|98=1|108=30", "4", "2001"),
        ("35=A|34=1|98=0|108=30|8013=X", "4", "2001"),
        ("35=A|34=1|98=0|108=30|8013=S|20107=-1", "4", "2001"),
        ("35=A|34=1|98=0|108=30|20107=+1", "4", "2001"),
        ("35=A|34=1|98=0|108=30|6999=1", "4", "1004"),
        ("35=A|34=2|98=0|108=30|141=Y", "4", "2001"),
        ("35=A|34=1|52=20261122-11:00:00.000000|98=0|108=30", "4", "2001"),
        ("35=A|34=1|98=0|108=30|789=99", "10", "1008"),
        ("35=A|34=0|98=0|108=30", "9", "1008"),
    ],
)
@pytest.mark.parametrize("plain", [True, False])
def test_a_refused_logon_says_why_in_1409_and_25016_of_the_penstock_dialect(
    logon: str, reason: str, code: str, plain: bool
) -> None:
    stage = Dialogue("FIX.4.4", plain=plain)
    stage.connect()
    stage.hears(logon)
    assert_logout(stage, reason, code)


def assert_logout(stage: Dialogue, reason: str, code: str) -> None:
    """The last message is a Logout with these, in the penstock dialect only."""
    said = pipes(stage.output())[-1]
    why = f"|1409={reason}|25016={code}"
    assert said.startswith("35=5|")
    if stage.settings.plain:
        assert {"1409", "25016"}.isdisjoint(field.partition("=")[0] for field in said.split("|"))
    else:
        assert said.endswith(why)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("35=0|34=2|49=MM2", "1004"),
        ("35=0|34=2|52=20261122-11:00:00.000000", "1004"),
        ("35=0|34=x", "1004"),
        ("35=0|34=2|43=Y|122=20261122-12:00:01.000000", "1004"),
    ],
)
@pytest.mark.parametrize("plain", [True, False])
def test_every_logout_for_a_broken_rule_has_1409_and_25016(line: str, code: str, plain: bool) -> None:
    stage = Dialogue("FIX.4.4", plain=plain)
    stage.log_on()
    stage.hears(line)
    assert_logout(stage, "4", code)


@pytest.mark.parametrize("plain", [True, False])
def test_so_has_the_logout_to_a_peer_that_is_silent(plain: bool) -> None:
    stage = Dialogue("FIX.4.4", plain=plain)
    stage.log_on()
    stage.wait(80)
    assert_logout(stage, "4", "6001")


def test_so_has_the_logout_to_a_peer_that_changes_its_version() -> None:
    stage = Dialogue("FIX.4.4", plain=False)
    stage.log_on()
    stage.hears_bytes(fix(expand("35=0|34=2", stage.now_ns, "MM1", "GATE"), "FIX.4.2"))
    assert_logout(stage, "4", "1004")


def test_1S_a_leading_zeros_in_msg_seq_num_are_accepted(stage: Dialogue) -> None:
    stage.hears(f"35=A|34=0001|98=0|108=30{stage.appl_ver_id}")
    assert stage.session.is_logged_on
    assert stage.numbers == (2, 2)


def test_1S_a_a_logon_numbered_too_high_is_answered_before_the_resend_request(stage: Dialogue) -> None:
    events = stage.hears(f"35=A|34=5|98=0|108=30{stage.appl_ver_id}")
    stage.says(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}", "35=2|34=2|7=1|16=0")
    assert [type(event) for event in events] == [LoggedOn, SequenceGap]
    assert events[1] == SequenceGap(begin=1, end=0, received=5)
    stage.hears("35=4|34=1|43=Y|36=5|123=Y")
    assert stage.numbers[0] == 6, "the Logon itself was read, and counts once its turn has come"


def test_1S_a_reset_seq_num_flag_resets_both_numbers(version: str) -> None:
    stage = Dialogue(version)
    stage.session.store.next_in, stage.session.store.next_out = 70, 90
    stage.session.store.put(80, b"old")
    stage.connect()
    events = stage.hears(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")
    stage.says(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")
    assert isinstance(events[0], LoggedOn)
    assert events[0].reset
    assert stage.numbers == (2, 2)
    assert list(stage.session.store.read(1, 100)) == []


def test_1S_a_reset_seq_num_flag_in_mid_session(stage: Dialogue) -> None:
    stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}", "35=0|34=2", "35=1|34=3|112=1")
    stage.says(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}", "35=0|34=2|112=1")
    events = stage.hears(f"35=A|34=1|98=0|108=20|141=Y{stage.appl_ver_id}")
    stage.says(f"35=A|34=1|98=0|108=20|141=Y{stage.appl_ver_id}")
    [event] = events
    assert isinstance(event, LoggedOn)
    assert (event.reset, event.heart_bt_int_s, event.fields[108]) == (True, 20, "20")
    stage.hears("35=1|34=2|112=2")
    stage.says("35=0|34=2|112=2")
    assert stage.numbers == (3, 3)


def test_1S_a_reset_with_another_number_than_1_is_refused_and_resets_nothing(stage: Dialogue) -> None:
    stage.session.store.next_in = stage.session.store.next_out = 7
    stage.hears(f"35=A|34=7|98=0|108=30|141=Y{stage.appl_ver_id}")
    stage.says("35=5|34=7|58=ResetSeqNumFlag(141)=Y needs MsgSeqNum(34)=1")
    assert stage.numbers == (7, 8)


def test_1S_a_reset_on_logon_begins_anew_each_time(version: str) -> None:
    stage = Dialogue(version, reset_on_logon=True)
    for reset in ("", "|141=Y", "|141=Y"):  # the first time there is nothing to reset
        stage.connect()
        events = stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}", "35=0|34=2")
        stage.says(f"35=A|34=1|98=0|108=30{reset}{stage.appl_ver_id}")
        assert stage.numbers == (3, 2)
        assert isinstance(events[0], LoggedOn)
        assert events[0].reset
        stage.session.disconnected(stage.now_ns)


def told_of_a_reset(version: str, seq_num: int = 3) -> Dialogue:
    """A peer that keeps its numbers, on a session that resets them: the answer shows it, and requests nothing old."""
    stage = Dialogue(version, reset_on_logon=True)
    stage.session.store.next_in, stage.session.store.next_out = seq_num, 9
    stage.connect()
    stage.hears(f"35=A|34={seq_num}|98=0|108=30{stage.appl_ver_id}")
    stage.says(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")
    assert stage.numbers == (2, 2)
    return stage


@pytest.mark.parametrize("seq_num", [1, 3, 70])
def test_1S_a_reset_on_logon_is_shown_whatever_the_logons_number(version: str, seq_num: int) -> None:
    stage = told_of_a_reset(version, seq_num)
    stage.hears(f"35=D|34=2|{ORDER}")
    assert stage.delivered == [2]


def test_1S_a_reset_on_logon_a_peer_that_confirms_the_reset_gets_no_second_answer(version: str) -> None:
    stage = told_of_a_reset(version)
    assert stage.hears(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}") == []  # QuickFIX, QuickFIX/J
    stage.says()
    stage.hears(f"35=D|34=2|{ORDER}")
    assert stage.delivered == [2]
    assert isinstance(stage.hears(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")[0], LoggedOn)
    stage.says(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")


def test_1S_a_reset_on_logon_a_peer_may_begin_at_1_with_what_follows_its_logon(version: str) -> None:
    stage = told_of_a_reset(version)
    stage.hears(f"35=D|34=1|{ORDER}", f"35=D|34=2|{ORDER}")  # quickfixgo
    assert stage.delivered == [1, 2]
    [end] = stage.hears("35=0|34=3", "35=0|34=1")
    assert end == Disconnect("bad_sequence", "MsgSeqNum too low, expecting 4 but received 1")


def test_1S_a_reset_on_logon_a_duplicate_of_the_old_numbers_is_no_beginning(version: str) -> None:
    stage = told_of_a_reset(version)
    assert stage.hears(f"35=D|34=1|43=Y|122=20261122-12:00:00|{ORDER}") == []
    assert stage.numbers == (2, 2)


def test_1S_a_where_the_peer_resets_itself_its_number_1_comes_once(version: str) -> None:
    stage = Dialogue(version, reset_on_logon=True)
    stage.log_on(more="|141=Y")
    [end] = stage.hears("35=0|34=1")
    assert end == Disconnect("bad_sequence", "MsgSeqNum too low, expecting 2 but received 1")


@pytest.mark.parametrize("version", WITH_789)
def test_1S_a_reset_on_logon_what_the_peer_expected_of_the_old_numbers_is_nothing_to_it(version: str) -> None:
    stage = Dialogue(version, reset_on_logon=True)
    stage.session.store.next_out = 9
    stage.connect()
    stage.hears(f"35=A|34=3|98=0|108=30|789=9{stage.appl_ver_id}")
    stage.says(f"35=A|34=1|98=0|108=30|141=Y|789=2{stage.appl_ver_id}")


def test_the_owner_knows_whether_the_peers_count_begins_with_the_logon(version: str) -> None:
    stage = Dialogue(version)
    policy = stage.session.logon_policy = FixedPolicy()
    stage.log_on()  # nothing was counted yet
    stage.hears(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")
    stage.session.disconnected(stage.now_ns)
    stage.log_on(2)
    stage.session.disconnected(stage.now_ns)
    stage.session.store.reset()
    stage.session.send("8", "37=1\x01", stage.now_ns)  # our number 1 went to it; the count of the peer still begins
    stage.log_on()
    assert policy.counts == [True, True, False, True]


def test_1S_d_a_sending_time_far_off_is_answered_by_logout(stage: Dialogue) -> None:
    events = stage.hears(f"35=A|34=1|52=20261122-12:02:00.001|98=0|108=30{stage.appl_ver_id}")
    stage.says("35=5|34=1|58=SendingTime(52) is not a time, or more than 120 s off")
    assert events == []
    assert stage.wait(2) == [Disconnect("sending_time", "SendingTime(52) is not a time, or more than 120 s off")]
    assert stage.numbers == (1, 2), "the Logout used and stored a number; the Logon began nothing"


def test_1S_d_sending_time_at_the_very_edge_is_accepted(stage: Dialogue) -> None:
    stage.hears(f"35=A|34=1|52=20261122-12:02:00|98=0|108=30{stage.appl_ver_id}")
    assert stage.session.is_logged_on


@pytest.mark.parametrize("heart_bt_int", ["0", "-1", "61", "99999999999999999999"])
def test_1S_d_heart_bt_int_outside_the_range_is_answered_with_the_range(stage: Dialogue, heart_bt_int: str) -> None:
    stage.hears(f"35=A|34=1|98=0|108={heart_bt_int}{stage.appl_ver_id}")
    stage.says("35=5|34=1|58=HeartBtInt(108) must be 1 to 60 seconds")
    assert stage.session.state is SessionState.AWAITING_LOGOUT


@pytest.mark.parametrize("appl_ver_id", ["", "|1137=8"])
def test_1S_d_fixt_needs_a_default_appl_ver_id_that_is_served(appl_ver_id: str) -> None:
    stage = Dialogue("FIXT.1.1")
    stage.connect()
    stage.hears(f"35=A|34=1|98=0|108=30{appl_ver_id}")
    stage.says("35=5|34=1|58=DefaultApplVerID(1137) must be 9")


def test_1S_d_fixt_has_no_custom_application_version() -> None:
    stage = Dialogue("FIXT.1.1")
    stage.connect()
    stage.hears("35=A|34=1|98=0|108=30|1137=9|1408=house")
    stage.says("35=5|34=1|58=DefaultCstmApplVerID(1408) is not supported: leave it out")


def test_1S_d_a_field_that_the_dictionary_refuses_is_named(stage: Dialogue) -> None:
    stage.hears(f"35=A|34=1|98=0|108=30|7777=x{stage.appl_ver_id}")
    [line] = [stage.output()]
    assert b"\x0135=5\x0134=1\x01" in line
    assert b"7777" in line
    assert stage.session.state is SessionState.AWAITING_LOGOUT


@pytest.mark.parametrize("encrypt_method", ["1", "6", "x"])
def test_14_n_encryption_is_rejected_and_the_session_ends(stage: Dialogue, encrypt_method: str) -> None:
    events = stage.hears(f"35=A|34=1|98={encrypt_method}|108=30{stage.appl_ver_id}")
    text = "EncryptMethod(98) must be 0: encrypt the transport"
    stage.says(f"35=3|34=1|45=1|58=Decryption problem: {text}|371=98|372=A|373=7", f"35=5|34=2|58={text}")
    assert isinstance(events[0], Rejected)
    assert (events[0].reason, events[0].tag) == (7, 98)


def test_2S_a_first_message_that_is_not_a_logon_is_dropped_without_an_answer(stage: Dialogue) -> None:
    assert stage.hears("35=0|34=1") == [Disconnect("not_a_logon", "first message is not a Logon(A)")]
    stage.says()
    assert stage.numbers == (1, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("35=A|34=1|49=OTHER|98=0|108=30", "comp_id"),
        ("35=A|34=1|56=OTHER|98=0|108=30", "comp_id"),
        ("35=A|34=-|98=0|108=30", "no_msg_seq_num"),
        ("35=A|34=1x|98=0|108=30", "no_msg_seq_num"),
    ],
)
def test_a_logon_of_another_identity_or_without_a_number_is_dropped_without_an_answer(
    stage: Dialogue, line: str, reason: str
) -> None:
    [event] = stage.hears(line)
    assert isinstance(event, Disconnect)
    assert event.reason == reason
    stage.says()


def test_1S_d_a_logon_of_another_version_is_dropped_without_an_answer() -> None:
    stage = Dialogue("FIX.4.4")
    stage.connect()
    logon = expand("35=A|34=1|98=0|108=30", stage.now_ns, "MM1", "GATE")
    [event] = stage.hears_bytes(fix(logon, "FIX.4.2"))
    assert isinstance(event, Disconnect)
    assert event.reason == "begin_string"
    stage.says()


def test_1S_d_a_garbled_first_message_is_dropped_at_once(stage: Dialogue) -> None:
    events = stage.hears_bytes(stage.line("35=A|34=1|98=0|108=30")[:-3] + b"xx\x01")
    assert isinstance(events[-1], Disconnect)
    assert events[-1].reason == "garbled"
    stage.says()


def test_a_logon_numbered_too_low_ends_at_once(stage: Dialogue) -> None:
    stage.session.store.next_in = 9
    text = "MsgSeqNum too low, expecting 9 but received 3"
    assert stage.hears(f"35=A|34=3|98=0|108=30{stage.appl_ver_id}") == [Disconnect("bad_sequence", text)]
    stage.says(f"35=5|34=1|58={text}")
    assert stage.numbers == (9, 2)


def test_a_logon_that_does_not_come_in_time_ends_the_connection(stage: Dialogue) -> None:
    assert stage.wait(9.999) == []
    assert stage.wait(0.001) == [Disconnect("logon_timeout", "no Logon(A) in 10 s")]
    stage.says()


# -- NextExpectedMsgSeqNum(789) ----------------------------------------------------------------------------------


@pytest.fixture(params=WITH_789)
def stage_789(request: pytest.FixtureRequest) -> Dialogue:
    dialogue = Dialogue(request.param)
    dialogue.connect()
    return dialogue


def away(stage: Dialogue, count: int) -> None:
    for n in range(count):
        stage.session.send("8", f"37={n}\x01", stage.now_ns)


def test_789_what_it_expects_is_sent_right_after_our_logon(stage_789: Dialogue) -> None:
    stage = stage_789
    away(stage, 2)
    then = "20261122-12:00:00.000"
    stage.now_ns += 1_000_000_000
    events = stage.hears(f"35=A|34=1|98=0|108=30|789=2{stage.appl_ver_id}")
    stage.says(
        f"35=A|34=3|98=0|108=30|789=2{stage.appl_ver_id}",
        f"35=8|34=2|43=Y|122={then}|37=1",
        "35=4|34=3|43=Y|122=20261122-12:00:01.000|36=4|123=Y",
    )
    assert events[1:] == [ResendServed(2, 3)]


def test_789_in_step_needs_nothing_more(stage_789: Dialogue) -> None:
    stage_789.hears(f"35=A|34=1|98=0|108=30|789=1{stage_789.appl_ver_id}")
    stage_789.says(f"35=A|34=1|98=0|108=30|789=2{stage_789.appl_ver_id}")


def test_789_above_what_we_sent_is_answered_by_logout(stage_789: Dialogue) -> None:
    stage_789.hears(f"35=A|34=1000|98=0|108=30|789=1200{stage_789.appl_ver_id}")
    text = "NextExpectedMsgSeqNum(789) too high, expecting 1 at most but received 1200"
    stage_789.says(f"35=5|34=1|58={text}")
    assert stage_789.events == [Disconnect("bad_sequence", text)]


def test_789_above_what_we_sent_has_a_session_status_in_the_penstock_dialect() -> None:
    stage = Dialogue(plain=False)
    stage.connect()
    stage.hears("35=A|34=1|98=0|108=30|789=3")
    text = "NextExpectedMsgSeqNum(789) too high, expecting 1 at most but received 3"
    stage.says(f"35=5|34=1|58={text}|1409=10|25016=1008")


def test_789_with_a_reset_counts_from_the_new_numbers(stage_789: Dialogue) -> None:
    stage_789.session.store.next_in = stage_789.session.store.next_out = 2000
    stage_789.hears(f"35=A|34=1|98=0|108=30|141=Y|789=1{stage_789.appl_ver_id}")
    stage_789.says(f"35=A|34=1|98=0|108=30|141=Y|789=2{stage_789.appl_ver_id}")


def test_789_our_own_gap_is_shown_in_our_logon_and_requested_only_if_the_peer_ignores_it(stage_789: Dialogue) -> None:
    stage = stage_789
    stage.hears(f"35=A|34=4|98=0|108=30|789=1{stage.appl_ver_id}")
    stage.says(f"35=A|34=1|98=0|108=30|789=1{stage.appl_ver_id}")
    stage.hears("35=0|34=5")
    stage.says()
    stage.wait(29.999)
    stage.hears("35=0|34=6")
    stage.says()
    stage.wait(0.001)
    assert b"\x0135=2\x0134=3\x01" in stage.output(), "behind our Heartbeat"


def test_369_counts_the_message_that_is_answered(version: str) -> None:
    stage = Dialogue(version, last_msg_seq_num_processed=True)
    stage.connect()
    stage.hears(f"35=A|34=1|98=0|108=2{stage.appl_ver_id}")
    stage.says(f"35=A|34=1|369=1|98=0|108=2{stage.appl_ver_id}")
    stage.hears("35=1|34=2|369=1|112=HELLO")
    stage.says("35=0|34=2|369=2|112=HELLO")
    stage.hears("35=0|34=3|369=2", "35=0|34=4|369=2")
    stage.wait(2)
    stage.says("35=0|34=3|369=4")
    stage.session.send("8", "37=1\x01", stage.now_ns)
    stage.says("35=8|34=4|369=4|37=1")
    stage.hears("35=2|34=5|7=3|16=0")
    stage.says(
        "35=4|34=3|43=Y|122=20261122-12:00:02.000|369=5|36=4|123=Y",
        "35=8|34=4|43=Y|122=20261122-12:00:02.000|369=5|37=1",
    )
    stage.hears("35=5|34=6|369=3")
    stage.says("35=5|34=5|369=6")


def test_369_counts_nothing_that_the_owner_has_not_been_handed_yet(version: str) -> None:
    """In one read: D, D, TestRequest(1). What becomes of the orders is known when the owner has had them."""
    stage = Dialogue(version, last_msg_seq_num_processed=True)
    stage.connect()
    stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}")
    stage.output()
    stage.hears(f"35=D|34=2|{ORDER}", f"35=D|34=3|{ORDER}", "35=1|34=4|112=HELLO")
    stage.says("35=0|34=2|369=1|112=HELLO")
    stage.hears("35=1|34=5|112=HELLO")
    stage.says("35=0|34=3|369=5|112=HELLO")


@pytest.mark.parametrize(
    "broken",
    [
        lambda: SessionSettings(begin_string="FIX.4.1", sender_comp_id="GATE", target_comp_id="MM1"),
        lambda: SessionSettings(begin_string="FIX.4.4", sender_comp_id="", target_comp_id="MM1"),
        lambda: SessionSettings(begin_string="FIX.4.4", sender_comp_id="GATE", target_comp_id=""),
    ],
)
def test_settings_that_cannot_work_are_refused(broken: Callable[[], SessionSettings]) -> None:
    with pytest.raises(ValueError, match=r"BeginString|CompID"):
        broken()


def test_orders_may_follow_the_logon_in_the_same_read(stage: Dialogue) -> None:
    stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}", f"35=D|34=2|{ORDER}", f"35=D|34=3|{ORDER}")
    assert stage.delivered == [2, 3]
