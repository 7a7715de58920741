"""A gap that does not close is requested three times and ends with a Logout; every held request gets an answer.

Module: fix.session.gap.
"""

import pytest

from protocols.fix.events import AppMessage, Disconnect, SequenceGap
from protocols.fix.session.settings import SessionState
from tests.support.dialogue import ORDER, Dialogue
from tests.support.fix_text import pipes

NOW = "20261122-12:00:00.000"
CANCEL = "11=c-1|41=o-1|55=BTC-USDT|54=1"
GIVEN_UP = (
    "MsgSeqNum 2 to 2 did not come, requested 3 times. Later messages were not executed, except cancels:"
    " fill the gap, or log on with ResetSeqNumFlag(141)=Y"
)


@pytest.fixture(params=("FIX.4.2", "FIX.4.4", "FIXT.1.1"))
def stage(request: pytest.FixtureRequest) -> Dialogue:
    dialogue = Dialogue(request.param)
    dialogue.log_on()
    return dialogue


def said(stage: Dialogue, msg_type: str) -> list[str]:
    """The bodies of this type that we wrote since the last call."""
    lines = pipes(stage.output())
    return [line.partition("|56=MM1|")[2] for line in lines if line.startswith(f"35={msg_type}|")]


def live(stage: Dialogue, seconds: int, first: int) -> list[object]:
    """The peer sends Heartbeats, numbered from `first` on; what is reported to the owner."""
    events: list[object] = []
    for n in range(seconds // 10):
        stage.hears(f"35=0|34={first + n}")
        events += stage.events + stage.wait(10)
    return events


def test_2_b_a_gap_is_requested_three_times_and_then_ends_the_session(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=3|{ORDER}")
    stage.says("35=2|34=2|7=2|16=0")
    assert SequenceGap(2, 0, 9) in live(stage, 60, first=4)
    assert said(stage, "2") == ["7=2|16=0"]
    live(stage, 50, first=10)
    assert said(stage, "2") == []
    live(stage, 10, first=15)
    assert len(said(stage, "2")) == 1
    live(stage, 60, first=16)
    assert stage.session.state is SessionState.AWAITING_LOGOUT
    assert said(stage, "5") == [f"58={GIVEN_UP}"]
    assert stage.wait(2) == [Disconnect("gap", GIVEN_UP)]
    assert stage.numbers[0] == 2, "the next Logon shows the gap again"


def test_2_b_the_penstock_dialect_calls_a_gap_that_stays_a_bad_sequence() -> None:
    stage = Dialogue(plain=False, heart_bt_int_min_s=1)
    stage.connect()
    stage.hears("35=A|34=1|98=0|108=60", f"35=D|34=3|{ORDER}")
    for n in range(12):
        stage.wait(30)
        stage.hears(f"35=0|34={4 + n}")
    assert said(stage, "5") == [f"58={GIVEN_UP}|1409=4|25016=1008"]


def test_2_b_a_message_that_is_garbled_again_in_each_resend_is_such_a_gap(stage: Dialogue) -> None:
    garbled = stage.line(f"35=D|34=2|{ORDER}").replace(b"\x0138=1\x01", b"\x0138=2\x01")
    stage.hears_bytes(garbled + stage.line(f"35=D|34=3|{ORDER}"))
    for n in range(18):
        if said(stage, "2"):
            stage.hears_bytes(garbled + stage.line(f"35=D|34=3|43=Y|122={NOW}|{ORDER}"))
        stage.wait(10)
        stage.hears(f"35=0|34={4 + n}")
    assert stage.session.state is SessionState.AWAITING_LOGOUT
    assert len(said(stage, "5")) == 1


def test_2_b_a_gap_that_keeps_closing_is_awaited(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=40|{ORDER}")
    stage.output()
    for n in range(2, 40):
        stage.wait(29)
        stage.hears(f"35=D|34={n}|43=Y|122={NOW}|{ORDER}")
    assert said(stage, "2") == []
    assert stage.session.is_logged_on
    assert stage.numbers[0] == 41
    live(stage, 120, first=41)
    assert said(stage, "2") == [], "nothing is missing any more"


def test_2_b_what_came_of_a_gap_begins_the_count_anew(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=4|{ORDER}")
    live(stage, 60, first=5)
    assert len(said(stage, "2")) == 2
    stage.hears(f"35=D|34=2|43=Y|122={NOW}|{ORDER}")
    live(stage, 120, first=11)
    assert said(stage, "2") == ["7=3|16=0"] * 2
    assert stage.session.is_logged_on
    live(stage, 60, first=23)
    assert stage.session.state is SessionState.AWAITING_LOGOUT


def test_2_b_a_request_that_the_peer_rejects_is_made_again(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=4|{ORDER}")
    stage.hears("35=3|34=2|45=2|372=2|58=cannot resend")
    stage.output()
    live(stage, 180, first=5)
    assert stage.session.state is SessionState.AWAITING_LOGOUT
    assert [line.partition(",")[0] for line in said(stage, "5")] == ["58=MsgSeqNum 3 to 3 did not come"]


def test_2_b_a_pause_of_ours_is_no_delay_of_the_peers(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=3|{ORDER}")
    stage.output()
    stage.session.pause(stage.now_ns)
    stage.wait(300)
    stage.session.resume(stage.now_ns)
    live(stage, 50, first=4)
    assert said(stage, "2") == []
    live(stage, 10, first=9)
    assert len(said(stage, "2")) == 1


def test_2_b_a_test_request_after_a_gap_that_stays_is_answered(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=3|{ORDER}", "35=1|34=4|112=there?")
    stage.output()
    live(stage, 60, first=5)
    assert "112=there?" in said(stage, "0")
    stage.hears(f"35=D|34=2|43=Y|122={NOW}|{ORDER}")
    assert stage.delivered == [2, 3]
    assert stage.numbers[0] == 11, "its number had its turn"
    assert said(stage, "0") == [], "and it is not answered twice"


def test_2_b_cancels_after_a_gap_that_stays_are_executed_before_the_logout(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=3|{ORDER}", f"35=F|34=4|{CANCEL}", f"35=F|34=5|{CANCEL}|7777=1", "35=F|34=6|43=Y|" + CANCEL)
    events = live(stage, 180, first=7)
    [cancel] = [event for event in events if isinstance(event, AppMessage)]
    assert (cancel.msg_type, cancel.seq_num, cancel.poss_dup) == ("F", 4, False)
    assert stage.numbers[0] == 2


def test_2_b_a_logout_over_an_open_gap_says_what_it_leaves_undone_and_carries_out_cancels(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=3|{ORDER}", f"35=F|34=4|{CANCEL}", "35=1|34=5|112=x")
    stage.output()
    events = stage.hears("35=5|34=6")
    assert [event.seq_num for event in events if isinstance(event, AppMessage)] == [4]
    stage.says("35=5|34=3|58=MsgSeqNum 2 to 2 did not come: 1 later messages were not executed")


def test_2_b_a_cancel_that_was_executed_after_a_gap_is_not_executed_again_on_the_next_connection(
    stage: Dialogue,
) -> None:
    """Nor on the one after that, should the gap stay open once more; a gap fill before it changes nothing."""
    first = "11=c-0|41=o-0|55=BTC-USDT|54=1"
    stage.hears(f"35=F|34=3|{first}", f"35=D|34=4|{ORDER}", f"35=F|34=6|{CANCEL}")
    events = stage.hears("35=5|34=7")
    assert [event.seq_num for event in events if isinstance(event, AppMessage)] == [3, 6]
    again = f"34=3|43=Y|122={NOW}|{first}"
    for number in (8, 10):
        stage.session.disconnected(stage.now_ns)
        stage.log_on(number)
        stage.hears(f"35=F|{again}")
        assert stage.delivered == []
        if number == 8:
            stage.hears("35=5|34=9")
            assert stage.delivered == []
    stage.hears(f"35=4|34=2|43=Y|122={NOW}|123=Y|36=3", f"35=F|{again}", f"35=D|34=4|43=Y|122={NOW}|{ORDER}")
    stage.hears(f"35=4|34=5|43=Y|122={NOW}|123=Y|36=6", f"35=F|34=6|43=Y|122={NOW}|{CANCEL}")
    assert stage.delivered == []
    stage.hears(f"35=4|34=7|43=Y|122={NOW}|123=Y|36=11", f"35=D|34=11|{ORDER}")
    assert stage.delivered == [11]
    assert stage.numbers[0] == 12


def test_2_b_a_logout_over_a_gap_that_hides_no_request_says_nothing(stage: Dialogue) -> None:
    stage.hears("35=1|34=5|112=x")
    stage.output()
    stage.hears("35=5|34=6")
    stage.says("35=5|34=3")


def test_heart_bt_int_0_has_its_patience_too() -> None:
    stage = Dialogue(heart_bt_int_min_s=0)
    stage.connect()
    stage.hears("35=A|34=1|98=0|108=0", f"35=D|34=3|{ORDER}")
    stage.output()
    stage.wait(180)
    assert stage.session.state is SessionState.AWAITING_LOGOUT
    assert len(said(stage, "2")) == 2


@pytest.mark.parametrize(("heart_bt_s", "again_s"), [(10, 20), (60, 120), (0, 60)])
def test_2_b_a_missing_number_has_two_of_the_sessions_own_intervals_or_a_minute_where_it_has_none(
    heart_bt_s: int, again_s: int
) -> None:
    stage = Dialogue(heart_bt_int_min_s=0)
    stage.connect()
    stage.hears(f"35=A|34=1|98=0|108={heart_bt_s}", f"35=D|34=3|{ORDER}")
    assert said(stage, "2") == ["7=2|16=0"]
    asked = []
    for n in range(1, 31):
        stage.wait(5)
        stage.hears(f"35=0|34={3 + n}")
        if said(stage, "2"):
            asked.append(5 * n)
    assert asked[0] == again_s
