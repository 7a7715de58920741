"""The same machine as initiator: our Logon, the acceptor's answers, right and wrong ones.

Modules: fix.session.machine, fix.session.handshake.
"""

import pytest

from protocols.errors import LocalProtocolError
from protocols.fix.events import Disconnect, LoggedOn, LoggedOut, PeerReject, ResendServed, SequenceGap, Warned
from protocols.fix.session.settings import SessionState
from tests.support.dialogue import ORDER, Dialogue, expand
from tests.support.fix_text import fix

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
NOW = "20261122-12:00:00.000"


@pytest.fixture(params=VERSIONS)
def stage(request: pytest.FixtureRequest) -> Dialogue:
    """We are GATE here too, and the peer MM1 is the acceptor."""
    dialogue = Dialogue(request.param, role="initiator")
    dialogue.connect()
    return dialogue


def ask(stage: Dialogue) -> None:
    stage.session.logon(stage.now_ns)
    stage.output()


def test_our_logon_and_the_answer(stage: Dialogue) -> None:
    stage.session.logon(stage.now_ns, "553=key-1\x01")
    stage.says(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}|553=key-1")
    assert stage.session.state is SessionState.LOGON_SENT
    [event] = stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}")
    assert isinstance(event, LoggedOn)
    assert stage.session.is_logged_on
    stage.says()
    stage.session.send("D", ORDER.replace("|", "\x01") + "\x01", stage.now_ns)
    stage.says(f"35=D|34=2|{ORDER}")


def test_a_reset_begins_both_numbers_anew(stage: Dialogue) -> None:
    stage.session.store.next_in = stage.session.store.next_out = 40
    stage.session.logon(stage.now_ns, reset=True)
    stage.says(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")
    [event] = stage.hears(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")
    assert isinstance(event, LoggedOn)
    assert event.reset
    assert stage.numbers == (2, 2)


def test_an_acceptor_that_resets_without_a_request_takes_our_logon_for_number_1(stage: Dialogue) -> None:
    stage.session.store.next_in = stage.session.store.next_out = 40
    ask(stage)
    stage.hears(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")
    assert stage.numbers == (2, 2)
    stage.hears("35=2|34=2|7=1|16=0")
    stage.says(f"35=4|34=1|43=Y|122={NOW}|36=2|123=Y")


def test_an_answer_numbered_too_high_is_followed_by_our_resend_request(stage: Dialogue) -> None:
    ask(stage)
    events = stage.hears(f"35=A|34=4|98=0|108=30{stage.appl_ver_id}")
    assert events[1:] == [SequenceGap(1, 0, 4)]
    stage.says("35=2|34=2|7=1|16=0")
    stage.hears("35=4|34=1|43=Y|36=4|123=Y")
    assert stage.numbers[0] == 5


def test_an_answer_numbered_too_low_ends_at_once(stage: Dialogue) -> None:
    stage.session.store.next_in = 5
    ask(stage)
    text = "MsgSeqNum too low, expecting 5 but received 1"
    assert stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}") == [Disconnect("bad_sequence", text)]
    stage.says(f"35=5|34=2|58={text}")


def test_the_acceptors_heart_bt_int_is_taken_over(stage: Dialogue) -> None:
    ask(stage)
    events = stage.hears(f"35=A|34=1|98=0|108=10{stage.appl_ver_id}")
    assert [type(event) for event in events] == [Warned, LoggedOn]
    stage.wait(10)
    stage.says("35=0|34=2")


def test_a_logout_instead_of_the_answer_ends_without_an_answer(stage: Dialogue) -> None:
    ask(stage)
    [event] = stage.hears("35=5|34=1|58=not today")
    assert isinstance(event, LoggedOut)
    assert (event.by_peer, event.text) == (True, "not today")
    stage.says()
    assert stage.numbers == (2, 2)


def test_a_reject_of_our_logon_is_reported_and_the_logout_after_it_ends(stage: Dialogue) -> None:
    ask(stage)
    events = stage.hears("35=3|34=1|45=1|58=bad", "35=5|34=2")
    assert events[0] == PeerReject(1, "bad")
    assert isinstance(events[1], LoggedOut)


def test_no_answer_ends_after_the_time_out(stage: Dialogue) -> None:
    ask(stage)
    assert stage.wait(10) == [Disconnect("logon_timeout", "no Logon(A) in 10 s")]


@pytest.mark.parametrize("line", ["35=0|34=1", f"35=D|34=1|{ORDER}", "35=2|34=1|7=1|16=0"])
def test_a_wrong_way_peer_that_speaks_before_its_logon_is_dropped(stage: Dialogue, line: str) -> None:
    ask(stage)
    assert stage.hears(line) == [Disconnect("not_a_logon", "first message is not a Logon(A)")]
    stage.says()


def test_a_wrong_way_peer_that_logs_on_to_us_is_dropped(stage: Dialogue) -> None:
    [event] = stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}")
    assert isinstance(event, Disconnect)
    stage.says()


@pytest.mark.parametrize(("sender", "target"), [("MM2", "GATE"), ("MM1", "GATE2"), ("GATE", "MM1")])
def test_an_answer_from_another_identity_is_dropped(stage: Dialogue, sender: str, target: str) -> None:
    ask(stage)
    line = expand(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}", stage.now_ns, sender, target)
    [event] = stage.hears_bytes(fix(line, stage.version))
    assert isinstance(event, Disconnect)
    assert event.reason == "comp_id"


def test_an_acceptor_cannot_ask_for_a_logon() -> None:
    stage = Dialogue()
    stage.connect()
    with pytest.raises(LocalProtocolError):
        stage.session.logon(stage.now_ns)
    assert stage.session.state is SessionState.CONNECTED


def test_what_was_sent_while_the_answer_was_on_its_way_leaves_with_it(stage: Dialogue) -> None:
    ask(stage)
    stage.session.send("B", "148=x\x01", stage.now_ns)
    stage.says()
    stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}")
    stage.says("35=B|34=2|148=x")


def test_789_both_ways() -> None:
    stage = Dialogue(role="initiator", next_expected_msg_seq_num=True)
    stage.session.send("B", "148=x\x01", stage.now_ns)
    stage.connect()
    stage.session.logon(stage.now_ns)
    stage.says("35=A|34=2|98=0|108=30|789=1")
    events = stage.hears("35=A|34=3|98=0|108=30|789=1")
    assert events[1:] == [ResendServed(1, 2)]
    stage.says(f"35=B|34=1|43=Y|122={NOW}|148=x", f"35=4|34=2|43=Y|122={NOW}|36=3|123=Y")
    stage.hears("35=4|34=1|43=Y|36=4|123=Y")
    assert stage.numbers == (4, 3)
    stage.says()


def test_789_above_what_we_sent_is_answered_by_logout() -> None:
    stage = Dialogue(role="initiator", next_expected_msg_seq_num=True)
    stage.connect()
    ask(stage)
    stage.hears("35=A|34=1|98=0|108=30|789=7")
    text = "NextExpectedMsgSeqNum(789) too high, expecting 2 at most but received 7"
    stage.says(f"35=5|34=2|58={text}")


def test_an_initiator_takes_reports() -> None:
    stage = Dialogue(role="initiator")
    stage.connect()
    ask(stage)
    stage.hears("35=A|34=1|98=0|108=30")
    report = "37=1|11=a|17=x|150=0|39=0|55=BTC-USDT|54=1|14=0|151=1|6=0|60=20261122-12:00:00"
    stage.hears(f"35=8|34=2|{report}")
    assert stage.delivered == [2]
