"""Our Logout(5) is written after the answers to what came before it, and after a running resend: rows 13.b and 12.

Modules: fix.session.machine, fix.session.output.
"""

import pytest

from protocols.fix.events import AppMessage, Disconnect, Leaving, LoggedOut
from protocols.fix.session.settings import SessionState
from tests.support.dialogue import ORDER, Dialogue
from tests.support.fix_text import pipes

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
SECOND_NS = 1_000_000_000


@pytest.fixture(params=VERSIONS)
def stage(request: pytest.FixtureRequest) -> Dialogue:
    dialogue = Dialogue(request.param, answer_timeout_ms=2_000)
    dialogue.log_on()
    return dialogue


def report(stage: Dialogue, n: int) -> None:
    stage.session.send("8", f"37={n}\x01", stage.now_ns)


def test_13_b_logout_from_the_peer_is_answered_after_the_answers_to_what_came_before(stage: Dialogue) -> None:
    order, leaving = stage.hears(f"35=D|34=2|{ORDER}", "35=5|34=3|58=bye")
    assert isinstance(order, AppMessage)
    assert isinstance(leaving, Leaving)
    assert (leaving.by_peer, leaving.fields[58]) == (True, "bye")
    assert stage.session.state is SessionState.LEAVING
    stage.says()
    report(stage, 1)
    [end] = stage.session.leave(stage.now_ns)
    assert isinstance(end, LoggedOut)
    assert (end.by_peer, end.text) == (True, "bye")
    stage.says("35=8|34=2|37=1", "35=5|34=3")
    assert stage.session.state is SessionState.ENDED


def test_13_b_logout_from_the_peer_does_not_wait_for_answers_for_ever(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=2|{ORDER}", "35=5|34=3")
    assert stage.wait(1.999) == []
    stage.says()
    [end] = stage.wait(0.001)
    assert isinstance(end, LoggedOut)
    stage.says("35=5|34=2")
    report(stage, 1)
    assert not stage.session.has_output, "it comes again when it is asked for"


def test_13_b_logout_from_the_peer_is_the_last_that_is_read(stage: Dialogue) -> None:
    stage.hears("35=5|34=2", f"35=D|34=3|{ORDER}")
    assert stage.hears(f"35=D|34=3|{ORDER}") == []
    assert stage.numbers[0] == 3


def test_13_b_logout_from_the_peer_is_answered_after_a_running_resend(stage: Dialogue) -> None:
    for n in range(2, 200):
        report(stage, n)
    stage.output()
    stage.hears("35=2|34=2|7=1|16=0", "35=5|34=3")
    first = stage.session.take_output(1_000, stage.now_ns)
    stage.session.leave(stage.now_ns)
    stage.now_ns += 60 * SECOND_NS
    written = pipes(first + stage.output())
    assert len(written) == 200, "one gap fill, 198 reports, the Logout"
    assert written[-1].startswith("35=5|34=200|")


def test_a_rule_broken_by_the_peer_is_answered_after_the_answers_to_what_came_before(stage: Dialogue) -> None:
    events = stage.hears(f"35=D|34=2|{ORDER}", "35=0|34=3|49=WT")
    assert isinstance(events[-1], Leaving)
    assert not events[-1].by_peer
    stage.output()
    report(stage, 1)
    assert stage.session.leave(stage.now_ns) == []
    stage.says("35=8|34=3|37=1", "35=5|34=4|58=CompID problem: SenderCompID(49)")
    assert stage.session.state is SessionState.AWAITING_LOGOUT
    stage.hears("35=5|34=4")
    assert stage.events == [Disconnect("comp_id", "CompID problem: SenderCompID(49)")]


def test_12_the_answer_to_our_logout_is_waited_for_from_when_it_was_written(stage: Dialogue) -> None:
    for n in range(2, 200):
        report(stage, n)
    stage.output()
    stage.hears("35=2|34=2|7=1|16=0")
    stage.session.logout(stage.now_ns, "good night")
    stage.session.take_output(1_000, stage.now_ns)
    assert stage.wait(30) == [], "the resend is still being written"
    assert pipes(stage.output())[-1].endswith("|58=good night")
    stage.wait(1.9)
    assert stage.wait(2.2) == [Disconnect("logout_timeout", "good night")]


def test_a_link_lost_while_it_leaves_is_no_different(stage: Dialogue) -> None:
    stage.hears("35=5|34=2")
    stage.session.disconnected(stage.now_ns)
    stage.log_on(seq_num=3)
    assert stage.session.is_logged_on


def test_terminate_does_not_wait_for_answers(stage: Dialogue) -> None:
    stage.hears("35=5|34=2")
    [end] = stage.session.terminate(stage.now_ns, "too slow to read")
    assert isinstance(end, LoggedOut)
    stage.says("35=5|34=2|58=too slow to read")


def test_13_a_what_the_peer_does_wrong_after_our_logout_gives_it_no_more_time_to_answer(stage: Dialogue) -> None:
    stage.session.logout(stage.now_ns, "bye")
    stage.output()
    stage.wait(stage.settings.logout_timeout_s - 0.5)
    stage.hears("35=0|34=2|49=WRONG")
    stage.output()
    assert stage.session.state is SessionState.AWAITING_LOGOUT
    assert stage.wait(0.499) == []
    [end] = stage.wait(0.001)
    assert isinstance(end, Disconnect)
    assert stage.session.state is SessionState.ENDED
