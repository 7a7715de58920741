"""A clock that is corrected in a running session: times of day follow it, durations do not, and no session ends.

Module: fix.session.timers.
"""

import pytest

from protocols.fix.events import AppMessage, Disconnect, Rejected
from protocols.fix.session.settings import SessionState
from protocols.units import NS_PER_S
from tests.support.dialogue import ORDER, Dialogue
from tests.support.hand_clock import HandClock

STEPS = [-3_600, -300, -121, 121, 300, 3_600]


@pytest.fixture(params=["FIX.4.2", "FIX.4.4", "FIXT.1.1"])
def stage(request):
    dialogue = Dialogue(request.param, wall=HandClock())
    dialogue.log_on()
    return dialogue


def put_right(stage, seconds):
    """Our clock was wrong by this much, the peer's was right. The correction is not noticed yet."""
    stage.wall.system_ns = stage.peer_ahead_ns = seconds * NS_PER_S


@pytest.mark.parametrize("seconds", STEPS)
def test_a_peer_with_the_right_time_is_still_read_before_our_clock_is_checked(stage, seconds):
    put_right(stage, seconds)
    (event,) = stage.hears(f"35=D|34=2|{ORDER}")
    assert isinstance(event, AppMessage)
    assert stage.session.state is SessionState.LOGGED_ON
    stage.hears("35=1|34=3|112=x")
    stage.says("35=0|34=2|112=x")  # and our SendingTime(52) is the right one


@pytest.mark.parametrize("seconds", STEPS)
def test_a_peer_with_the_right_time_logs_on_before_our_clock_is_checked(seconds):
    stage = Dialogue(wall=HandClock())
    put_right(stage, seconds)
    stage.connect()
    stage.hears("35=A|34=1|98=0|108=30")
    assert stage.session.state is SessionState.LOGGED_ON


@pytest.mark.parametrize("seconds", [-130, 130])
def test_a_peer_whose_own_clock_is_wrong_is_refused_all_the_same(stage, seconds):
    stage.peer_ahead_ns = seconds * NS_PER_S
    rejected, disconnect = stage.hears(f"35=D|34=2|{ORDER}")[:2], stage.hears("35=5|34=3")
    assert isinstance(rejected[0], Rejected)
    assert rejected[0].reason == 10
    assert isinstance(disconnect[-1], Disconnect)


@pytest.mark.parametrize("seconds", STEPS)
def test_heartbeats_tests_and_silence_are_durations(stage, seconds):
    put_right(stage, seconds)
    stage.wall.look()
    stage.wait(29)
    stage.says()
    stage.wait(1)
    stage.says("35=0|34=2")
    stage.wait(6)
    stage.says("35=1|34=3|112=TEST")
    stage.hears("35=0|34=2|112=TEST")
    assert stage.session.state is SessionState.LOGGED_ON
    stage.wait(80)
    assert stage.session.state is SessionState.ENDED  # 72 s of silence


def test_the_clock_is_not_read_for_a_peer_that_is_not_refused_for_it(stage):
    stage.peer_ahead_ns = 119 * NS_PER_S
    stage.hears(f"35=D|34=2|{ORDER}")
    assert stage.wall.looks == 0


def test_what_is_sent_again_after_our_clock_was_put_back_is_no_older_than_it_says(stage):
    """122 later than 52 is answered by every engine with a Reject(3), 373=10, and a Logout(5)."""
    stage.session.send("8", "11=o-1\x01", stage.now_ns)
    stage.output()
    stage.wall.offset_ns -= 300 * NS_PER_S
    stage.peer_ahead_ns = -300 * NS_PER_S
    stage.hears("35=2|34=2|7=2|16=2")
    stage.says("35=8|34=2|43=Y|122=20261122-11:55:00.000|11=o-1")
    stage.wall.offset_ns += 600 * NS_PER_S
    stage.peer_ahead_ns = 300 * NS_PER_S
    stage.hears("35=2|34=3|7=2|16=2")
    stage.says("35=8|34=2|43=Y|122=20261122-12:00:00.000|11=o-1")
