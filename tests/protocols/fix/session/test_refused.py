"""A refused Logon(A) begins nothing and loses nothing, of a connected session or of one that is away.

Modules: fix.session.first_message, fix.session.logon.
"""

import pytest

from protocols.fix.decoder import Decoder
from protocols.fix.events import Disconnect
from protocols.fix.session.logon import LogonRefusal
from tests.support.dialogue import ORDER, Dialogue, FixedPolicy
from tests.support.fix_text import pipes

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
WITH_789 = ("FIX.4.4", "FIXT.1.1")
NOT_NOW = LogonRefusal("draining", "the gateway is draining", session_status=7, code=5005)


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(version: str) -> Dialogue:
    dialogue = Dialogue(version)
    dialogue.connect()
    return dialogue


BAD_LOGONS = [
    pytest.param("35=A|34=1|98=0|108=61", "HeartBtInt(108) must be 1 to 60 seconds", id="108"),
    pytest.param("35=A|34=1|98=0|108=30|7777=x", "tag 7777", id="an unknown tag"),
    pytest.param("35=A|34=1|52=20261122-11:50:00|98=0|108=30", "SendingTime(52)", id="52"),
    pytest.param("35=A|34=1|98=1|108=30", "EncryptMethod(98)", id="98"),
]


@pytest.mark.parametrize(("line", "why"), BAD_LOGONS)
@pytest.mark.parametrize("more", ["", "|141=Y"])
@pytest.mark.parametrize("resets", [False, True])
def test_1S_d_a_refused_logon_takes_nothing_with_it(version: str, line: str, why: str, more: str, resets: bool) -> None:
    stage = Dialogue(version, reset_on_logon=resets)
    stage.log_on()
    stage.session.send("8", "37=1\x01", stage.now_ns)
    stage.session.disconnected(stage.now_ns)
    kept = list(stage.session.store.read(1, 99))
    stage.connect()
    stage.hears(f"{line}{more}{stage.appl_ver_id}")
    *_, logout = pipes(stage.output())
    assert logout.startswith("35=5|34=")
    assert why in logout
    assert list(stage.session.store.read(1, 99))[:1] == kept != []
    assert stage.session.store.next_in == 2
    assert stage.session.store.next_out == int(logout.split("|")[1][3:]) + 1 > 3, "our words use the numbers that go on"


def judged(stage: Dialogue, line: str) -> LogonRefusal | None:
    """The session's answer to a Logon that comes on another connection; it changes nothing."""
    before = stage.numbers, stage.session.state, list(stage.session.store.read(1, 999)), stage.held_messages
    refusal = stage.session.judge(Decoder(stage.version).decode(stage.line(line + stage.appl_ver_id)), stage.now_ns)
    after = stage.numbers, stage.session.state, list(stage.session.store.read(1, 999)), stage.held_messages
    assert after == before
    assert not stage.session.has_output
    return refusal


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("35=A|34=2|98=0|108=30", "bad_sequence"),
        ("35=A|34=1|98=0|108=30|141=N", "bad_sequence"),
        ("35=A|34=3|98=0|108=999", "bad_logon"),
        ("35=A|34=3|98=0|108=30|9999=1", "bad_logon"),
        ("35=A|34=3|98=0|108=30|141=Y", "bad_logon"),
        ("35=A|34=1|98=0|108=0|141=Y", "bad_logon"),
        ("35=A|34=3|98=3|108=30", "bad_logon"),
        ("35=A|34=3|52=20261122-11:00:00|98=0|108=30", "sending_time"),
        ("35=A|34=-|98=0|108=30", "no_msg_seq_num"),
        ("35=A|34=3|49=OTHER|98=0|108=30", "comp_id"),
        ("35=A|34=3|98=0|108=30", ""),
        ("35=A|34=99|98=0|108=30", ""),
        ("35=A|34=1|98=0|108=30|141=Y", ""),
    ],
)
def test_1S_b_a_logon_is_judged_whole_before_anything_is_touched(version: str, line: str, reason: str) -> None:
    stage = Dialogue(version)
    stage.log_on()
    stage.hears("35=0|34=2", f"35=D|34=5|{ORDER}")
    stage.session.send("8", "37=1\x01", stage.now_ns)
    stage.output()
    refusal = judged(stage, line)
    assert (refusal.reason if refusal else "") == reason
    stage.hears(f"35=D|34=3|{ORDER}")
    assert stage.session.is_logged_on


@pytest.mark.parametrize("version", WITH_789)
@pytest.mark.parametrize(("wanted", "reason"), [(1, ""), (3, ""), (4, "bad_sequence")])
def test_1S_b_what_it_expects_is_judged_too(version: str, wanted: int, reason: str) -> None:
    stage = Dialogue(version)
    stage.log_on()
    stage.session.send("8", "37=1\x01", stage.now_ns)
    stage.output()
    refusal = judged(stage, f"35=A|34=2|98=0|108=30|789={wanted}")
    assert (refusal.reason if refusal else "") == reason


def test_1S_b_the_owners_objection_is_part_of_the_judgement(stage: Dialogue) -> None:
    stage.session.logon_policy = FixedPolicy(NOT_NOW)
    assert judged(stage, "35=A|34=1|98=0|108=30") == NOT_NOW
    refusal = judged(stage, "35=A|34=0|98=0|108=30")
    assert refusal is not None
    assert refusal.reason == "bad_sequence", "what is wrong with it comes first"


@pytest.mark.parametrize("line", ["35=A|34=1|98=0|108=61|141=Y", "35=A|34=7|98=0|108=30|141=Y"])
def test_1S_a_a_reset_in_mid_session_that_is_refused_ends_the_session_and_takes_nothing_with_it(
    stage: Dialogue, line: str
) -> None:
    stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}")
    stage.session.send("8", "37=1\x01", stage.now_ns)
    stage.output()
    stage.hears(line + stage.appl_ver_id)
    [logout] = pipes(stage.output())
    assert logout.startswith("35=5|34=3|")
    assert stage.numbers == (2, 4)
    assert len(list(stage.session.store.read(1, 99))) == 1


def test_1S_a_a_reset_in_mid_session_is_the_owners_to_allow_too(stage: Dialogue) -> None:
    stage.hears(f"35=A|34=1|98=0|108=30{stage.appl_ver_id}")
    stage.output()
    stage.session.logon_policy = FixedPolicy(NOT_NOW)
    stage.hears(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")
    stage.says("35=5|34=2|58=the gateway is draining")
    assert stage.numbers == (2, 3)


def test_a_logon_that_may_not_go_on_now_uses_its_number_and_gets_a_logout_that_uses_one_too(version: str) -> None:
    stage = Dialogue(version, plain=False)
    stage.session.store.next_in, stage.session.store.next_out = 5, 8
    stage.connect()
    stage.session.logon_policy = FixedPolicy(NOT_NOW)
    assert stage.hears(f"35=A|34=5|98=0|108=30{stage.appl_ver_id}") == []
    stage.says("35=5|34=8|58=the gateway is draining|1409=7|25016=5005")
    assert stage.numbers == (6, 9)
    assert stage.hears("35=5|34=6") == [Disconnect("draining", "the gateway is draining")]
    assert stage.numbers == (7, 9)
    stage.session.disconnected(stage.now_ns)
    stage.connect()
    stage.session.logon_policy = FixedPolicy()
    stage.hears(f"35=A|34=7|98=0|108=30{stage.appl_ver_id}")
    assert stage.session.is_logged_on


@pytest.mark.parametrize("more", ["", "|141=Y"])
def test_a_logon_that_may_not_go_on_now_and_has_the_expected_number_uses_it(version: str, more: str) -> None:
    stage = Dialogue(version)
    stage.connect()
    stage.session.logon_policy = FixedPolicy(NOT_NOW)
    stage.hears(f"35=A|34=1|98=0|108=30{more}{stage.appl_ver_id}")
    stage.says("35=5|34=1|58=the gateway is draining")
    assert stage.numbers == (2, 2)


@pytest.mark.parametrize("resets", [False, True])
def test_a_logon_that_resets_and_may_not_go_on_now_resets_nothing(version: str, resets: bool) -> None:
    stage = Dialogue(version, reset_on_logon=resets)
    stage.session.store.next_in, stage.session.store.next_out = 70, 90
    stage.session.store.put(80, b"unread")
    stage.connect()
    stage.session.logon_policy = FixedPolicy(NOT_NOW)
    stage.hears(f"35=A|34=1|98=0|108=30|141=Y{stage.appl_ver_id}")
    stage.says("35=5|34=90|58=the gateway is draining")  # plain: no 1409
    assert stage.numbers == (70, 91)
    assert list(stage.session.store.read(1, 100)) == [(80, b"unread")]


def test_a_logon_numbered_too_low_gets_that_cause_rather_than_that_it_may_not_continue_now(version: str) -> None:
    stage = Dialogue(version)
    stage.session.store.next_in = 5
    stage.connect()
    stage.session.logon_policy = FixedPolicy(NOT_NOW)
    stage.hears(f"35=A|34=3|98=0|108=30{stage.appl_ver_id}")
    stage.says("35=5|34=1|58=MsgSeqNum too low, expecting 5 but received 3")


def test_the_reject_of_a_logon_is_not_sent_again_for_the_message_that_uses_its_number_next(version: str) -> None:
    stage = Dialogue(version)
    stage.log_on()
    stage.session.disconnected(stage.now_ns)
    stage.connect()
    stage.hears(f"35=A|34=2|98=1|108=30{stage.appl_ver_id}")
    assert [line[:5] for line in pipes(stage.output())] == ["35=3|", "35=5|"]
    stage.session.disconnected(stage.now_ns)
    stage.log_on(seq_num=2)
    stage.hears("35=2|34=3|7=2|16=3")
    stage.says("35=4|34=2|43=Y|122=20261122-12:00:00.000|36=4|123=Y")
