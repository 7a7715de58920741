"""Heartbeats, silence, the peer's Reject, and the ways a session ends: rows 4 to 7, 12, 13.

Module: fix.session.timers.
"""

import pytest

from protocols.fix.events import AppMessage, Disconnect, LoggedOut, PeerReject, Warned
from protocols.fix.session.settings import SessionState
from tests.support.dialogue import ORDER, Dialogue

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
SECOND_NS = 1_000_000_000


@pytest.fixture(params=VERSIONS)
def stage(request: pytest.FixtureRequest) -> Dialogue:
    dialogue = Dialogue(request.param)
    dialogue.log_on()
    return dialogue


def test_4_a_nothing_sent_for_heart_bt_int(stage: Dialogue) -> None:
    stage.wait(29.999)
    stage.says()
    stage.wait(0.001)
    stage.says("35=0|34=2")


def test_4_a_a_message_of_ours_puts_the_heartbeat_off(stage: Dialogue) -> None:
    stage.wait(20)
    stage.session.send("8", "37=1\x01", stage.now_ns)
    stage.output()
    stage.hears("35=0|34=2")
    stage.wait(29)
    stage.says()
    stage.wait(1)
    stage.says("35=0|34=3")


def test_4_b_a_test_request_is_answered_with_its_id(stage: Dialogue) -> None:
    stage.hears("35=1|34=2|112=HELLO")
    stage.says("35=0|34=2|112=HELLO")


def test_5_a_heartbeat_is_accepted(stage: Dialogue) -> None:
    assert stage.hears("35=0|34=2") == []
    assert stage.numbers == (3, 2)


def test_6_silence_is_tested_and_then_ends_the_session(stage: Dialogue) -> None:
    stage.wait(30)
    stage.says("35=0|34=2")
    stage.wait(5.999)
    stage.says()
    stage.wait(0.001)
    stage.says("35=1|34=3|112=TEST")
    assert stage.wait(35.999) == []
    stage.says()
    text = "no message and no answer to TestRequest(1)"
    assert stage.wait(0.001) == [Disconnect("silence", text)]
    assert stage.session.state is SessionState.ENDED
    stage.says(f"35=5|34=4|58={text}")


def test_6_a_heartbeat_with_the_id_clears_it(stage: Dialogue) -> None:
    stage.wait(36)
    stage.output()
    stage.hears("35=0|34=2|112=TEST")
    assert stage.wait(35.999) == []
    assert stage.output().count(b"\x0135=0\x01") == 1
    stage.wait(0.001)
    stage.says("35=1|34=5|112=TEST")


def test_6_a_garbled_message_is_no_sign_of_life(stage: Dialogue) -> None:
    stage.wait(35)
    stage.output()
    stage.hears_bytes(b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01")
    stage.wait(1)
    assert b"\x0135=1\x01" in stage.output()


def test_6_a_late_wake_up_gives_the_peer_its_span_all_the_same(stage: Dialogue) -> None:
    stage.now_ns += 600 * SECOND_NS
    assert stage.session.tick(stage.now_ns) == []
    stage.says("35=1|34=2|112=TEST")
    assert stage.wait(35.999) == []
    assert isinstance(stage.wait(0.001)[0], Disconnect)


def test_a_pause_of_ours_is_not_the_peers_silence_and_our_heartbeats_go_on(stage: Dialogue) -> None:
    stage.wait(20)
    stage.session.pause(stage.now_ns)
    stage.session.pause(stage.now_ns + SECOND_NS)
    assert stage.wait(200) == []
    assert stage.output().count(b"\x0135=0\x01") == 7
    stage.session.resume(stage.now_ns)
    stage.session.resume(stage.now_ns)
    stage.wait(15.999)
    assert b"\x0135=1\x01" not in stage.output(), "20 s of silence were counted before the pause"
    stage.wait(0.001)
    assert b"\x0135=1\x01" in stage.output()


def test_a_pause_while_a_test_request_is_out_moves_its_end(stage: Dialogue) -> None:
    stage.wait(36)
    stage.session.pause(stage.now_ns)
    stage.output()
    assert stage.wait(500) == []
    assert stage.output().count(b"\x0135=0\x01") == 16, "while nothing is read, heartbeats go on"
    stage.session.resume(stage.now_ns)
    assert stage.wait(35.999) == []
    stage.says()
    assert isinstance(stage.wait(0.001)[0], Disconnect)


def test_heart_bt_int_0_means_no_heartbeats_where_the_range_allows_it() -> None:
    stage = Dialogue(heart_bt_int_min_s=0)
    stage.connect()
    stage.hears("35=A|34=1|98=0|108=0")
    stage.output()
    assert stage.session.next_deadline_ns is None
    stage.session.tick(stage.now_ns + 3_600 * SECOND_NS)
    stage.says()


def test_7_a_reject_of_the_peer_is_taken_and_never_rejected(stage: Dialogue) -> None:
    assert stage.hears("35=3|34=2|45=1|58=why") == [PeerReject(1, "why")]
    assert stage.hears("35=3|34=3|58=no reference|7777=x") == [PeerReject(0, "no reference")]
    stage.says()
    assert stage.numbers == (4, 2)


def test_12_our_logout_waits_for_the_answer(stage: Dialogue) -> None:
    stage.session.logout(stage.now_ns, "good night")
    stage.says("35=5|34=2|58=good night")
    assert stage.session.state is SessionState.LOGOUT_SENT
    assert not stage.session.is_logged_on
    assert stage.hears("35=5|34=2") == [LoggedOut(False, "good night", {})]
    stage.says()
    assert stage.numbers == (3, 3)


def test_12_our_logout_unanswered_ends_after_its_time_out(stage: Dialogue) -> None:
    stage.session.logout(stage.now_ns, "good night")
    stage.output()
    assert stage.wait(1.999) == []
    assert stage.wait(0.001) == [Disconnect("logout_timeout", "good night")]


def test_12_orders_that_cross_our_logout_still_count(stage: Dialogue) -> None:
    stage.session.logout(stage.now_ns, "good night")
    events = stage.hears(f"35=D|34=2|{ORDER}", "35=1|34=3|112=x", "35=5|34=4")
    assert [type(event) for event in events] == [AppMessage, LoggedOut]
    assert stage.numbers == (5, 4)


def test_12_what_is_sent_after_our_logout_is_stored_for_the_next_connection(stage: Dialogue) -> None:
    stage.session.logout(stage.now_ns, "good night")
    stage.session.send("8", "37=1\x01", stage.now_ns)
    stage.says("35=5|34=2|58=good night")
    assert [seq_num for seq_num, _ in stage.session.store.read(1, 9)] == [3]


def test_12_a_rule_broken_after_our_logout_needs_no_second_one(stage: Dialogue) -> None:
    stage.session.logout(stage.now_ns, "good night")
    stage.output()
    stage.hears("35=0|34=2|49=WT")
    assert b"\x0135=5\x01" not in stage.output()
    assert stage.wait(2) == [Disconnect("comp_id", "CompID problem: SenderCompID(49)")]


def test_13_b_logout_from_the_peer_is_answered(stage: Dialogue) -> None:
    [event] = stage.hears("35=5|34=2|58=bye")
    stage.says("35=5|34=2")
    assert isinstance(event, LoggedOut)
    assert (event.by_peer, event.text, event.fields[58]) == (True, "bye", "bye")
    assert stage.session.state is SessionState.ENDED
    assert stage.numbers == (3, 3)


def test_13_b_the_penstock_dialect_says_logout_complete() -> None:
    stage = Dialogue(plain=False)
    stage.log_on()
    stage.hears("35=5|34=2")
    stage.says("35=5|34=2|1409=4")


def test_13_b_a_logout_numbered_too_high_is_answered_at_once(stage: Dialogue) -> None:
    [event] = stage.hears("35=5|34=9")
    assert isinstance(event, LoggedOut)
    stage.says("35=5|34=2")
    assert stage.numbers[0] == 2, "its number was not its turn: the next Logon shows the gap"


def test_13_b_a_logout_with_an_old_number_is_answered_all_the_same(stage: Dialogue) -> None:
    events = stage.hears("35=5|34=1")
    assert [type(event) for event in events] == [Warned, LoggedOut]
    stage.says("35=5|34=2")


def test_13_b_a_duplicate_of_an_old_logout_is_dropped(stage: Dialogue) -> None:
    assert stage.hears("35=5|34=1|43=Y|122=20261122-12:00:00") == []
    assert stage.session.is_logged_on


def test_terminate_ends_at_once_and_may_be_called_again(stage: Dialogue) -> None:
    assert stage.session.terminate(stage.now_ns, "superseded") == [LoggedOut(False, "superseded", {})]
    assert stage.session.terminate(stage.now_ns, "superseded") == []
    stage.says("35=5|34=2|58=superseded")


def test_terminate_before_the_logon_is_read_uses_and_keeps_a_number() -> None:
    stage = Dialogue(plain=False)
    stage.connect()
    stage.session.terminate(stage.now_ns, "closed for the day", 7)
    stage.says("35=5|34=1|58=closed for the day|1409=7")
    assert stage.numbers == (1, 2)


def test_terminate_does_not_wait_for_a_replay_but_leaves_no_gap_before_its_logout(stage: Dialogue) -> None:
    for n in range(100):
        stage.session.send("8", f"37={n}\x01", stage.now_ns)
    stage.output()
    stage.hears("35=2|34=2|7=1|16=0")
    stage.session.send("8", "37=100\x01", stage.now_ns)
    stage.hears("35=1|34=3|112=x")
    stage.session.terminate(stage.now_ns, "too slow to read")
    stage.says("35=8|34=102|37=100", "35=0|34=103|112=x", "35=5|34=104|58=too slow to read")


def test_what_comes_after_the_end_is_not_read(stage: Dialogue) -> None:
    stage.hears("35=5|34=2", f"35=D|34=3|{ORDER}")
    assert stage.delivered == []
    assert stage.hears(f"35=D|34=3|{ORDER}") == []
    assert stage.session.next_deadline_ns is None


def test_a_logon_in_a_running_session_that_resets_nothing_is_rejected(stage: Dialogue) -> None:
    stage.hears(f"35=A|34=2|98=0|108=30{stage.appl_ver_id}")
    reason = "" if stage.version == "FIX.4.2" else "|373=99"
    stage.says(f"35=3|34=2|45=2|58=already logged on|371=35|372=A{reason}")
    assert stage.session.is_logged_on
