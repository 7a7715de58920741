"""How dictionary faults are answered: rows 14.*, 15, 18, 2.q, 2.r, routing; by version and dialect.

Which fault a message has is the decoder's business and tested there; here is what the session makes of it.

Module: fix.session.refusals.
"""

import pytest

from protocols.fix.decoder import Fault
from protocols.fix.events import AppMessage, Rejected
from protocols.fix.session.refusals import business_body, reject_body
from protocols.fix.session.settings import SessionSettings, SessionState
from tests.support.dialogue import ORDER, Dialogue
from tests.support.fix_text import pipes

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")


@pytest.fixture(params=VERSIONS)
def stage(request: pytest.FixtureRequest) -> Dialogue:
    dialogue = Dialogue(request.param)
    dialogue.log_on()
    return dialogue


def answer(stage: Dialogue) -> dict[str, str]:
    """Our one answer, by tag."""
    [line] = pipes(stage.output())
    return dict(field.partition("=")[::2] for field in line.split("|"))


FAULTS = [
    pytest.param("35=D|34=2|4999=x|" + ORDER, 0, "4999", id="14_a_a_tag_that_the_version_does_not_define"),
    pytest.param("35=D|34=2|0=x|" + ORDER, 0, "0", id="14_a_tag_0"),
    pytest.param("35=D|34=2|-1=x|" + ORDER, 0, "-1", id="14_a_a_negative_tag"),
    pytest.param("35=D|34=2|5000=x|" + ORDER, 0, "5000", id="14_a_a_user_defined_tag_that_we_do_not_know"),
    pytest.param("35=0|34=2|56=-", 1, "56", id="14_b_a_header_field_missing"),
    pytest.param("35=0|34=2|52=-", 1, "52", id="14_b_sending_time_missing"),
    pytest.param("35=D|34=2|" + ORDER.replace("55=BTC-USDT|", ""), 1, "55", id="14_b_a_body_field_missing"),
    pytest.param("35=1|34=2", 1, "112", id="14_b_a_test_request_without_its_id"),
    pytest.param("35=0|34=2|58=x", 2, "58", id="14_c_a_tag_of_another_message"),
    pytest.param("35=0|34=2|56=", 4, "56", id="14_d_an_empty_comp_id"),
    pytest.param("35=D|34=2|58=|" + ORDER, 4, "58", id="14_d_an_empty_field"),
    pytest.param("35=D|34=2|" + ORDER.replace("40=2", "40=w"), 5, "40", id="14_e_a_value_outside_the_enumeration"),
    pytest.param("35=D|34=2|" + ORDER.replace("38=1", "38=+200.00"), 6, "38", id="14_f_a_wrong_data_format"),
    pytest.param("35=D|34=2|" + ORDER + "|57=x", 14, "57", id="14_g_a_header_field_in_the_body"),
    pytest.param("35=D|34=2|" + ORDER + "|54=1", 13, "54", id="14_h_a_tag_twice"),
]


@pytest.mark.parametrize(
    ("header", "tag", "text"),
    [
        ("1128=4", "1128", "ApplVerID(1128) must be 9 (FIX.5.0SP2), or left out"),
        ("1128=99", "1128", "ApplVerID(1128) must be 9 (FIX.5.0SP2), or left out"),
        ("1128=9|1129=house", "1129", "CstmApplVerID(1129) is not supported: leave it out"),
    ],
)
def test_an_application_version_that_is_not_served_is_rejected(header: str, tag: str, text: str) -> None:
    stage = Dialogue("FIXT.1.1", plain=False)
    stage.log_on()
    for n in range(2, 7):  # often enough to be learned, were it right
        stage.hears(f"35=D|{header}|34={n}|{ORDER}")
        assert stage.delivered == []
        said = f"Invalid/Unsupported Application Version: {text}"
        stage.says(f"35=3|34={n}|45={n}|58={said}|371={tag}|372=D|373=18|25016=2001")


def test_the_application_version_that_is_served_may_be_named() -> None:
    stage = Dialogue("FIXT.1.1")
    stage.log_on()
    for n in range(2, 7):
        stage.hears(f"35=D|1128=9|34={n}|{ORDER}")
        assert stage.delivered == [n]


@pytest.mark.parametrize(("line", "reason", "tag"), FAULTS)
def test_14_a_fault_is_rejected_with_reason_and_tag_and_the_session_continues(
    stage: Dialogue, line: str, reason: int, tag: str
) -> None:
    [event] = stage.hears(line)
    assert isinstance(event, Rejected)
    assert (event.seq_num, event.reason, str(event.tag)) == (2, reason, tag)
    sent = answer(stage)
    assert (sent["35"], sent["34"], sent["45"], sent["371"]) == ("3", "2", "2", tag)
    assert sent["372"] == line[3]
    assert sent["58"]
    assert sent.get("373") == (None if stage.version == "FIX.4.2" and reason > 11 else str(reason))
    assert "25016" not in sent
    assert stage.session.is_logged_on
    assert stage.numbers == (3, 3)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("35=D|34=2|4999=x|" + ORDER, "1004"),
        ("35=1|34=2", "2002"),
        ("35=D|34=2|" + ORDER.replace("40=2", "40=w"), "2001"),
        ("35=D|34=2|" + ORDER.replace("38=1", "38=x"), "2001"),
        ("35=ZZ|34=2", "1006"),
    ],
)
def test_14_the_penstock_dialect_adds_an_error_code(line: str, code: str) -> None:
    stage = Dialogue(plain=False)
    stage.log_on()
    stage.hears(line)
    assert answer(stage)["25016"] == code


def test_2_q_a_msg_type_that_the_standard_does_not_know(stage: Dialogue) -> None:
    stage.hears("35=ZZ|34=2")
    sent = answer(stage)
    assert (sent["35"], sent["371"], sent["372"], sent["373"]) == ("3", "35", "ZZ", "11")
    assert stage.numbers[0] == 3


def test_2_q_a_very_long_msg_type_is_cut_in_the_answer(stage: Dialogue) -> None:
    stage.hears("35=" + "Z" * 5_000 + "|34=2")
    assert answer(stage)["372"] == "Z" * 32


def test_2_r_a_msg_type_that_is_legal_but_not_served(stage: Dialogue) -> None:
    [event] = stage.hears("35=8|34=2|37=id|17=id|150=0|39=0|55=WLRI|54=1|151=100|14=0|6=0.0")
    sent = answer(stage)
    assert (sent["35"], sent["45"], sent["372"], sent["380"]) == ("j", "2", "8", "3")
    assert {"379", "25016", "20102", "371", "373"}.isdisjoint(sent)
    assert isinstance(event, Rejected)
    assert stage.numbers == (3, 3)


def test_2_r_the_answer_is_an_application_message_and_can_be_requested_again(stage: Dialogue) -> None:
    stage.hears("35=8|34=2|37=id")
    first = answer(stage)
    stage.hears("35=2|34=3|7=2|16=2")
    again = answer(stage)
    assert again.pop("43") == "Y"
    assert again.pop("122") == first["52"]
    assert again == first


def test_2_r_the_penstock_dialect_says_that_nothing_was_done() -> None:
    stage = Dialogue(plain=False)
    stage.log_on()
    stage.hears("35=i|34=2|117=q-1|296=0")
    sent = answer(stage)
    assert (sent["380"], sent["379"], sent["25016"], sent["20102"]) == ("3", "q-1", "1006", "0")


def test_14_i_the_number_of_entries_does_not_match() -> None:
    stage = Dialogue("FIX.4.4")
    stage.log_on()
    stage.hears(f"35=D|34=2|{ORDER}|453=2|448=a|447=D|452=1")
    sent = answer(stage)
    assert (sent["371"], sent["373"]) == ("453", "16")


def test_14_j_an_entry_without_its_first_field() -> None:
    stage = Dialogue("FIX.4.4")
    stage.log_on()
    stage.hears(f"35=D|34=2|{ORDER}|453=1|447=D|448=a|452=1")
    assert answer(stage)["373"] == "15"


def test_21_a_group_of_no_entries_is_accepted() -> None:
    stage = Dialogue("FIX.4.4")
    stage.log_on()
    stage.hears(f"35=D|34=2|{ORDER}|453=0")
    assert stage.delivered == [2]


def test_14_k_soh_inside_a_field_is_garbled_and_ignored(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=2|{ORDER}|58=one|two")
    stage.says()
    assert stage.numbers == (2, 2)


def test_15_body_fields_in_another_order_are_accepted(stage: Dialogue) -> None:
    stage.hears("35=D|34=2|" + "|".join(reversed(ORDER.split("|"))))
    assert stage.delivered == [2]


@pytest.mark.parametrize(("routing", "tag"), [("115=JCD", 115), ("128=JCD", 128)])
def test_18_third_parties_are_not_served(stage: Dialogue, routing: str, tag: int) -> None:
    [event] = stage.hears(f"35=D|34=2|{routing}|{ORDER}")
    assert isinstance(event, Rejected)
    assert (event.reason, event.tag) == (9, tag)
    assert stage.session.is_logged_on
    assert stage.numbers[0] == 3


ROUTES = [
    ("115=JCD", "128=JCD"),
    ("128=JCD", "115=JCD"),
    ("115=JCD|116=CS", "128=JCD|129=CS"),
    ("128=JCD|129=CS", "115=JCD|116=CS"),
    ("115=JCD|116=CS|144=CHI", "128=JCD|129=CS|145=CHI"),
    ("128=JCD|129=CS|145=CHI", "115=JCD|116=CS|144=CHI"),
]


@pytest.mark.parametrize(("routing", "reversed_routing"), ROUTES)
def test_a_reject_carries_the_routing_reversed(stage: Dialogue, routing: str, reversed_routing: str) -> None:
    stage.hears(f"35=D|34=2|{routing}|{ORDER.replace('40=2', '40=w')}")
    [line] = pipes(stage.output())
    assert f"|56=MM1|{reversed_routing}|45=2|58=" in line
    assert line.endswith("|371=40|372=D|373=5")


@pytest.mark.parametrize(
    ("routing", "tag", "reversed_routing"),
    [
        ("115=", 115, ""),
        ("128=", 128, ""),
        ("115=JCD|116=", 116, "128=JCD|"),
        ("128=JCD|129=", 129, "115=JCD|"),
        ("115=JCD|116=CS|144=", 144, "128=JCD|129=CS|"),
        ("128=JCD|129=CS|145=", 145, "115=JCD|116=CS|"),
    ],
)
def test_empty_routing_is_rejected_and_not_reversed(
    stage: Dialogue, routing: str, tag: int, reversed_routing: str
) -> None:
    stage.hears(f"35=D|34=2|{routing}|{ORDER}")
    [line] = pipes(stage.output())
    assert f"|56=MM1|{reversed_routing}45=2|58=" in line
    assert line.endswith(f"|371={tag}|372=D|373=4")


def test_poss_resend_is_reported_to_the_owner(stage: Dialogue) -> None:
    [event] = stage.hears(f"35=D|34=2|97=Y|{ORDER}")
    assert isinstance(event, AppMessage)
    assert event.poss_resend


# -- the owner refuses -------------------------------------------------------------------------------------------

FAULT = Fault("reject", 5, 11, "ClOrdID(11) has characters that are not allowed")


def test_the_owner_may_reject_what_was_handed_out(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=2|{ORDER}")
    stage.session.reject(2, "D", FAULT, stage.now_ns)
    text = "Value is incorrect (out of range) for this tag: ClOrdID(11) has characters that are not allowed"
    stage.says(f"35=3|34=2|45=2|58={text}|371=11|372=D|373=5")
    assert stage.session.tick(stage.now_ns) == [], "no event: the owner knows"


def test_a_reject_of_the_owner_after_the_end_is_not_sent(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=2|{ORDER}", "35=5|34=3")
    stage.output()
    stage.session.reject(2, "D", FAULT, stage.now_ns)
    stage.says()
    assert stage.session.state is SessionState.ENDED


def test_a_business_refusal_of_the_owner_after_the_end_is_stored(stage: Dialogue) -> None:
    stage.hears(f"35=D|34=2|{ORDER}", "35=5|34=3")
    stage.output()
    stage.session.reject(2, "D", Fault("business", 4, 0, "the core is away"), stage.now_ns)
    stage.says()
    assert [n for n, _ in stage.session.store.read(1, 99)] == [3]


@pytest.mark.parametrize("build", [reject_body, business_body])
def test_what_the_peer_sent_cannot_end_a_field_of_ours(build: object) -> None:
    settings = SessionSettings(begin_string="FIX.4.4", sender_comp_id="GATE", target_comp_id="MM1")
    fault = Fault("reject", 5, 11, "bad\x01372=forged" + "x" * 10_000)
    body = build(settings, 2, "D\x0199=1", fault, {})  # type: ignore[operator]
    assert "\x01372=forged" not in body
    assert "\x0199=1" not in body
    assert len(body) < 400
