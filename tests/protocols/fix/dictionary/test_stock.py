"""What a plain session is sent, compared with the dictionaries of QuickFIX, QuickFIX/J and quickfixgo.

A client that loads one of them must accept every message of ours: what it rejects, its application never sees. The
table (`tests/stock`) has what all three allow, so neither engines nor a network are needed here.

Modules: fix.dialect, fix.report.
"""

import re
from collections.abc import Iterator

import pytest

from protocols.fix.decoder import Fault
from protocols.fix.dictionary.tables import VERSIONS
from protocols.fix.session.refusals import business_body, logout_body, reject_body
from protocols.fix.tags import SESSION_MSG_TYPES, BusinessRejectReason, MsgType, SessionRejectReason
from tests.stock.table import complaints, table
from tests.support.dialogue import ORDER, Dialogue
from tests.support.every_answer import every_answer
from tests.support.fix_text import fix

_FRAME = re.compile(rb"8=[^\x01]*\x019=.*?\x0110=[0-9]{3}\x01", re.DOTALL)
ROUTED = {115: "DESK", 116: "SUB", 128: "HUB", 129: "SUB"}


def reasons_of(table_of_reasons: type) -> list[int]:
    return sorted(value for name, value in vars(table_of_reasons).items() if name.isupper())


def refusals(stage: Dialogue) -> Iterator[tuple[str, str]]:
    """Reject(3), BusinessMessageReject(j) and Logout(5) of the session layer, one for each reason."""
    for reason in reasons_of(SessionRejectReason):
        fault = Fault("reject", reason, 55, "because")
        yield MsgType.REJECT, reject_body(stage.settings, 7, "D", fault, {})
        yield MsgType.REJECT, reject_body(stage.settings, 7, "D", fault, ROUTED)
    for reason in reasons_of(BusinessRejectReason)[:6]:  # the session layer sends no others
        fault = Fault("business", reason, 0, "because")
        yield MsgType.BUSINESS_MESSAGE_REJECT, business_body(stage.settings, 7, "R", fault, {11: "a"} | ROUTED)
    for text in ("because", ""):
        yield MsgType.LOGOUT, logout_body(stage.settings, text, 4, 2001)


def of_the_session(version: str) -> bytes:
    """A session in which everything happens that can: what it sends, sent again too."""
    stage = Dialogue(version, last_msg_seq_num_processed=True)
    stage.connect()
    more = "|789=1" if version != "FIX.4.2" else ""
    stage.hears(f"35=A|34=1|98=0|108=30|141=Y{more}{stage.appl_ver_id}")
    stage.hears("35=1|34=2|112=hello", f"35=D|34=4|{ORDER}")
    stage.hears(f"35=D|34=3|{ORDER}", f"35=D|34=5|{ORDER}|38=x", "35=R|34=6|131=q|146=1|55=X", "35=zz|34=7")
    for msg_type, body in every_answer(version, "plain"):
        stage.session.send(msg_type, body, stage.now_ns)
    output = stage.output()
    stage.hears("35=2|34=8|7=1|16=0")
    output += stage.output()
    stage.wait(80)  # a heartbeat, a test, and the end
    return output + stage.output()


def sent(version: str) -> Iterator[list[tuple[int, str]]]:
    """Every message that a plain session of this version may be sent, whole, as fields in wire order."""
    stage = Dialogue(version)
    head = "34=5|49=GATE|52=20261122-12:00:00.000|56=MM1"
    bare = [fix(f"35={msg_type}|{head}|{body}", version) for msg_type, body in refusals(stage)]
    for frame in (*_FRAME.findall(of_the_session(version)), *bare):
        pairs = (field.split("=", 1) for field in frame[:-1].decode("latin-1").split("\x01"))
        yield [(int(tag), value) for tag, value in pairs]


@pytest.mark.parametrize("version", VERSIONS)
def test_no_stock_dictionary_refuses_a_message_that_a_plain_session_is_sent(version: str) -> None:
    seen, refused = set(), {}
    for fields in sent(version):
        msg_type = dict(fields)[35]
        seen.add(msg_type)
        for complaint in complaints(version, fields):
            refused.setdefault(f"{msg_type}: {complaint}", "|".join(f"{tag}={value}" for tag, value in fields))
    assert refused == {}
    ours = {"8", "9", "B", "j"} | ({"r"} if version != "FIX.4.2" else set())
    assert seen == ours | SESSION_MSG_TYPES


def test_the_table_is_of_three_engines_and_has_what_they_disagree_on() -> None:
    known = table()
    assert known["engines"] == ["QuickFIX", "QuickFIX/J", "quickfixgo"]
    assert known["FIXT.1.1"]["values"]["378"].split()[-2:] == ["11", "99"]
    assert "532" in known["FIX.4.4"]["types"]["CHAR"].split()


@pytest.mark.parametrize(
    ("version", "line", "complaint"),
    [
        ("FIXT.1.1", "8|37=1|11=a|17=1|150=4|39=4|378=12|55=X|54=1|14=0|151=0|6=0", "378=12: not one of"),
        ("FIX.4.4", "r|37=1|11=a|530=7|531=0|532=99|533=0", "532=99: is no CHAR"),
        ("FIX.4.4", "8|37=1|11=a|17=1|150=0|39=0|55=X|54=1|14=0|151=0", "6 is missing"),
        ("FIX.4.2", "8|37=1|11=a|526=t|17=1|20=0|150=0|39=0|55=X|54=1|14=0|151=0|6=0", "526 does not belong in 8"),
        ("FIX.4.4", "B|148=x|33=1|354=1|58=x", "an entry must begin with 58"),
        ("FIX.4.4", "8|37=1|11=a|17=1|150=0|39=0|55=X|54=1|14=1.|151=0|6=0|58=", "58=: empty"),
        ("FIX.4.2", "r|37=1", "no MsgType r"),
    ],
)
def test_the_judge_finds_what_an_engine_would_reject(version: str, line: str, complaint: str) -> None:
    msg_type, _, body = line.partition("|")
    text = f"8={version}|9=1|35={msg_type}|34=5|49=GATE|52=20261122-12:00:00.000|56=MM1|{body}|10=000"
    fields = [(int(tag), value) for tag, value in (field.split("=", 1) for field in text.split("|"))]
    assert any(found.startswith(complaint) for found in complaints(version, fields)), complaints(version, fields)
