"""Rows 14.a to 14.j, 2.q, 2.r, 3.c: each fault with the reason and the tag that other engines' tests expect."""

import re
from contextlib import suppress

import pytest
import simplefix
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import RemoteProtocolError
from protocols.fix.decoder import DecodedMessage, Decoder, Fault
from protocols.fix.dictionary.tables import VERSIONS, for_version
from protocols.fix.framing import Framer
from tests.support.fix_samples import SAMPLES
from tests.support.fix_text import fix

TIME = "20261122-12:00:00"
HEAD = f"34=2|49=TW|52={TIME}|56=ISLD"
ORDER = f"35=D|{HEAD}|11=ID|21=1|40=1|54=1|38=200.00|55=INTC|60={TIME}"


def decode(text: str, version: str = "FIX.4.4") -> DecodedMessage:
    return Decoder(version).decode(fix(text, begin=version))


def fault(text: str, version: str = "FIX.4.4") -> tuple[str, int, int] | None:
    found = decode(text, version).fault
    return None if found is None else (found.kind, found.reason, found.tag)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_order_in_order_has_no_fault(version: str) -> None:
    message = decode(ORDER, version)
    assert message == DecodedMessage(
        "D",
        {
            8: version, 35: "D", 34: "2", 49: "TW", 52: TIME, 56: "ISLD",
            11: "ID", 21: "1", 40: "1", 54: "1", 38: "200.00", 55: "INTC", 60: TIME,
        },
        None,
        None,
    )  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_of_the_contract_is_in_order(sample: str) -> None:
    assert Decoder("FIX.4.4").decode(sample.replace("|", "\x01").encode()).fault is None


def test_15_header_and_body_may_be_in_any_order_of_their_own() -> None:
    assert fault(f"35=D|49=TW|34=3|56=ISLD|52={TIME}|40=1|55=MSFT|60={TIME}|54=1|21=3|11=id") is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tag", [999_999, 0, -1, 5000, 20199])
def test_14_a_a_tag_the_version_does_not_define(version: str, tag: int) -> None:
    assert fault(f"35=0|{HEAD}|{tag}=HI", version) == ("reject", 0, tag)


def test_14_a_tag_999_is_of_a_later_version() -> None:
    assert fault(ORDER + "|999=HI", "FIX.4.4") == ("reject", 0, 999)
    assert fault(ORDER + "|999=HI", "FIXT.1.1") == ("reject", 2, 999)


@pytest.mark.parametrize("tag", [55, 999, 6136])
def test_14_a_the_session_messages_of_fixt_know_no_tag_of_the_application_version(tag: int) -> None:
    assert fault(f"35=0|{HEAD}|{tag}=1", "FIXT.1.1") == ("reject", 0, tag)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (f"35=0|34=2|49=TW|52={TIME}", 56),
        (f"35=0|49=TW|52={TIME}|56=ISLD", 34),
        (f"35=0|34=2|49=TW|56=ISLD", 52),  # noqa: F541
        (f"35=D|49=TW|34=3|56=ISLD|52={TIME}|40=1|60={TIME}|54=1|21=3|11=id", 55),
        (f"35=D|{HEAD}|40=1|54=1|55=X", 11),
        (f"35=G|{HEAD}|11=a|41=b|55=X", 38),
        (f"35=1|{HEAD}", 112),
        (f"35=XLQ|{HEAD}", 6136),
    ],
)
def test_14_b_a_required_field_is_missing(version: str, text: str, tag: int) -> None:
    assert fault(text, version) == ("reject", 1, tag)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tag", [7, 58, 553, 8013, 25000])
def test_14_c_a_known_tag_in_the_wrong_message(version: str, tag: int) -> None:
    expected = 0 if tag == 553 and version == "FIX.4.2" else 2
    assert fault(f"35=0|{HEAD}|{tag}=1", version) == ("reject", expected, tag)


@pytest.mark.parametrize("version", ["FIX.4.2", "FIX.4.4"])
@pytest.mark.parametrize("tag", [55, 6136, 20105])
def test_14_c_a_tag_of_an_application_message_in_a_session_message(version: str, tag: int) -> None:
    assert fault(f"35=0|{HEAD}|{tag}=1", version) == ("reject", 2, tag)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (f"35=0|34=2|49=TW|52={TIME}|56=", 56),
        (ORDER.replace("55=INTC", "55="), 55),
        (ORDER.replace("|11=ID", "|115=|11=ID"), 115),
        (f"35=0|{HEAD}|5000=", 5000),
        (f"35=|{HEAD}", 35),
    ],
)
def test_14_d_a_tag_without_a_value(version: str, text: str, tag: int) -> None:
    assert fault(text, version) == ("reject", 4, tag)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("change", "tag"),
    [
        ("21=4", 21),
        ("40=w", 40),
        ("54=0", 54),
        ("55=INTC|167=BOO", 167),
        ("55=INTC|18=6 !", 18),
        ("38=200.00|25001=9", 25001),
    ],
)
def test_14_e_a_value_outside_the_enumeration(version: str, change: str, tag: int) -> None:
    name = change.partition("=")[0]
    text = re.sub(rf"\|{name}=[^|]*", f"|{change}", ORDER)
    assert fault(text, version) == ("reject", 5, tag)


def test_14_e_an_enumeration_grows_with_the_version() -> None:
    short_exempt = ORDER.replace("54=1", "54=A")
    assert fault(short_exempt, "FIX.4.2") == ("reject", 5, 54)
    assert fault(short_exempt, "FIX.4.4") is None


def test_14_e_security_type_cs_is_permitted() -> None:
    assert fault(ORDER + "|167=CS") is None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("change", "tag"),
    [
        ("38=+200.00", 38),
        ("38=-1", 38),
        ("38=1e5", 38),
        ("38=200.00|44=.5", 44),
        ("38=200.00|44=1..", 44),
        ("54=11", 54),
        ("60=20261122", 60),
        ("60=20260230-12:00:00", 60),
        ("34=x", 34),
        ("34=-2", 34),
        ("34=2|43=y", 43),
        ("52=yesterday", 52),
        ("55=IN\u00e9C", 55),
        ("55=IN\nTC", 55),
        ("38=200.00|25000=-1", 25000),
        ("38=200.00|25000=+1", 25000),
    ],
)
def test_14_f_a_value_of_the_wrong_data_type(version: str, change: str, tag: int) -> None:
    name = change.partition("=")[0]
    text = re.sub(rf"\|{name}=[^|]*", f"|{change}", ORDER)
    assert fault(text, version) == ("reject", 6, tag)


def test_text_58_may_hold_more_than_ascii() -> None:
    assert decode(ORDER + "|58=grüße").fields[58] == "grüße"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (f"35=D|11=id|21=3|40=1|54=1|55=MSFT|60={TIME}|{HEAD}", 34),
        (f"35=D|55=MSFT|{HEAD}|11=id|21=3|40=1|54=1|60={TIME}", 34),
        (f"35=0|{HEAD}|93=1|89=x|112=late", 112),
        (f"35=0|{HEAD}|93=1|89=x|50=late", 50),
    ],
)
def test_14_g_header_body_and_trailer_out_of_order(version: str, text: str, tag: int) -> None:
    assert fault(text, version) == ("reject", 14, tag)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (ORDER.replace("40=1", "40=1|40=2"), 40),
        (ORDER + "|11=ID", 11),
        (f"35=0|{HEAD}|34=2", 34),
        (f"35=0|{HEAD}|8=FIX.4.4", 8),
        (f"35=0|{HEAD}|9=5", 9),
        (f"35=0|{HEAD}|35=0", 35),
    ],
)
def test_14_h_a_tag_appears_twice(version: str, text: str, tag: int) -> None:
    assert fault(text, version) == ("reject", 13, tag)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "group",
    ["386=3|336=PRE-OPEN|336=AFTER-HOURS", "386=1|336=PRE-OPEN|336=AFTER-HOURS", "386=1", "386=0|336=PRE-OPEN"],
)
def test_14_i_a_count_that_does_not_match_the_entries(version: str, group: str) -> None:
    assert fault(f"{ORDER}|{group}", version) == ("reject", 16, 386)


@pytest.mark.parametrize(
    ("group", "tag"),
    [
        ("78=2|79=acct1|80=50|661=1|79=acct2|80=50|661=1", 661),
        ("78=2|80=50|79=acct1|80=50|79=acct2", 80),
        ("78=1|79=acct1|80=50|80=51", 80),
        ("78=1|79=acct1|539=1|525=D|80=50", 525),
    ],
)
def test_14_j_entries_out_of_order_or_without_their_first_field(group: str, tag: int) -> None:
    assert fault(f"{ORDER}|{group}") == ("reject", 15, tag)


def test_a_value_inside_a_group_is_checked_like_any_other() -> None:
    assert fault(f"{ORDER}|78=1|79=acct1|80=x") == ("reject", 6, 80)
    assert fault(f"{ORDER}|78=1|79=") == ("reject", 4, 79)
    assert fault(f"{ORDER}|78=x|79=a") == ("reject", 6, 78)
    assert fault(f"35=B|{HEAD}|148=news|33=2|58=a|354=1|355=é|58=b") is None
    assert fault(f"{ORDER}|453=1|448=a|447=§") == ("reject", 6, 447)


@pytest.mark.parametrize("version", VERSIONS)
def test_21_a_group_of_zero_entries_is_accepted(version: str) -> None:
    message = decode(f"{ORDER}|386=0", version)
    assert message.fault is None
    assert message.groups == {386: []}


def test_groups_are_taken_apart_and_their_tags_are_no_fields_of_the_message() -> None:
    message = decode(f"{ORDER}|453=2|448=A|447=D|452=3|802=2|523=x|803=1|523=y|448=B|452=4|802=1|523=z|58=end")
    assert message.fault is None
    assert message.groups == {
        453: [{448: "A", 447: "D", 452: "3", 802: "2"}, {448: "B", 452: "4", 802: "1"}],
        802: [{523: "x", 803: "1"}, {523: "y"}, {523: "z"}],
    }
    assert message.fields[453] == "2"
    assert message.fields[58] == "end"
    assert 448 not in message.fields


def test_a_group_in_the_header_is_read() -> None:
    message = decode(f"35=0|{HEAD}|627=1|628=HUB|629={TIME}|112=x")
    assert (message.fault, message.groups) == (None, {627: [{628: "HUB", 629: TIME}]})


def test_a_huge_count_allocates_nothing() -> None:
    assert fault(f"{ORDER}|386=999999999999999999|336=1") == ("reject", 16, 386)


@pytest.mark.parametrize("version", VERSIONS)
def test_2_q_a_message_type_the_standard_does_not_know(version: str) -> None:
    assert fault(f"35=*|{HEAD}", version) == ("reject", 11, 35)
    assert fault(f"35=XLS|{HEAD}", version) == ("reject", 11, 35)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("msg_type", ["V", "i", "R", "E"])
def test_2_r_a_message_type_that_is_legal_and_not_served(version: str, msg_type: str) -> None:
    assert fault(f"35={msg_type}|{HEAD}", version) == ("business", 3, 0)


def test_2_r_a_side_names_what_it_serves() -> None:
    decoder = Decoder("FIX.4.4", served=frozenset("0D"))
    report = fix(f"35=8|{HEAD}|37=id|17=id|150=0|39=0|55=WLRI|54=1|151=100|14=0|6=0.0|11=x")
    found = decoder.decode(report).fault
    assert found is not None
    assert (found.kind, found.reason) == ("business", 3)
    assert Decoder("FIX.4.4").decode(report).fault is None
    assert decoder.decode(fix(ORDER)).fault is None


@pytest.mark.parametrize("msg_type", ["q", "AF", "CB"])
def test_2_q_fix_4_2_has_no_mass_messages(msg_type: str) -> None:
    assert fault(f"35={msg_type}|{HEAD}", "FIX.4.2") == ("reject", 11, 35)


def test_the_first_fault_in_wire_order_is_the_one_that_is_reported() -> None:
    assert fault(f"35=D|{HEAD}|11=ID|21=4|40=1|54=1|38=+1") == ("reject", 5, 21)


def test_a_message_with_a_fault_still_gives_its_header_even_after_the_fault() -> None:
    message = decode(f"35=D|5000=x|{HEAD}|115=JCD|78=1|79=acct")
    assert message.fault is not None
    assert (message.fields[34], message.fields[49], message.fields[115], message.groups) == ("2", "TW", "JCD", None)
    assert 9 not in message.fields
    assert 10 not in message.fields


def test_a_fault_names_tag_and_field() -> None:
    found = decode(ORDER.replace("55=INTC", "55=")).fault
    assert found == Fault("reject", 4, 55, "Symbol(55) has no value")


def test_data_fields_are_read_by_length() -> None:
    message = decode(f"35=A|{HEAD}|98=0|108=30|95=5|96=a|b=c|141=Y")
    assert message.fault is None
    assert (message.fields[96], message.fields[141]) == ("a\x01b=c", "Y")


@pytest.mark.parametrize("text", ["35=0|34=2|4garbled9=TW", "34=2|35=0|49=TW", "35=0|34"])
def test_3_c_what_is_garbled_raises(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(text)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_message_we_speak_decodes_with_its_required_fields_alone(version: str) -> None:
    dictionary = for_version(version)
    for layout in dictionary.messages.values():
        body = ""
        for tag in layout.members:
            field = dictionary.fields[tag]
            if tag in layout.required:
                value = field.values[0] if field.values else ("0" if field.type != "STRING" else "x")
                body += f"|{tag}={value}"
        message = decode(f"35={layout.msg_type}|{HEAD}{body}", version)
        assert message.fault is None, (layout.name, message.fault)


WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="|"), min_size=1, max_size=12)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from([1, 11, 37, 41, 55, 58, 48, 66, 70, 100, 526, 583]), WORDS))
def test_simplefix_reads_the_same_values(body: dict[int, str]) -> None:
    frame = fix(f"35=F|{HEAD}|" + "|".join(f"{tag}={value}" for tag, value in body.items()))
    parser = simplefix.FixParser()
    parser.append_buffer(frame)
    theirs = {int(tag): value.decode() for tag, value in parser.get_message().pairs}
    ours = Decoder("FIX.4.4").decode(frame).fields
    assert ours == {tag: value for tag, value in theirs.items() if tag not in {9, 10}}


TAGS = st.one_of(st.integers(-3, 1_200), st.sampled_from([6136, 8013, 20103, 25000, 25001]))
VALUES = st.one_of(st.sampled_from(["", "1", "2", "Y", TIME, "0.5", "x"]), st.text(max_size=6))


@settings(max_examples=200)
@given(
    st.sampled_from(VERSIONS),
    st.sampled_from(["0", "A", "D", "F", "G", "H", "8", "B", "q", "r", "AF", "XLR", "i", "?", ""]),
    st.lists(st.tuples(TAGS, VALUES), max_size=30),
)
def test_any_fields_give_a_message_or_are_garbled(version: str, kind: str, body: list[tuple[int, str]]) -> None:
    text = f"35={kind}\x01" + "".join(f"{tag}={value}\x01" for tag, value in body)
    for frame in Framer().feed(fix(text, begin=version)):
        assert isinstance(frame, bytes)
        try:
            message = Decoder(version).decode(frame)
        except RemoteProtocolError:
            continue
        assert message.msg_type == kind
        assert message.fault is None or message.groups is None


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_are_garbled(data: bytes) -> None:
    for frame in (data, b"8=FIX.4.4\x019=5\x0135=0\x01" + data + b"\x0110=000\x01"):
        with suppress(RemoteProtocolError):
            Decoder("FIX.4.4").decode(frame)
