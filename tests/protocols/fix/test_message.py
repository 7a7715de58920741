"""Building and splitting messages: exact lengths, exact sums, and the garbled messages of other engines' tests."""

from contextlib import suppress

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import RemoteProtocolError
from protocols.fix.message import DATA_OF_LENGTH, byte_sum, encode, split
from tests.support.fix_samples import SAMPLES
from tests.support.fix_text import fix, pipes

SAFE_TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\x01"), min_size=1, max_size=40)
FIELDS = st.lists(st.tuples(st.integers(36, 40_000).filter(lambda t: t not in DATA_OF_LENGTH), SAFE_TEXT), max_size=20)


def body_of(fields: list[tuple[int, str]]) -> str:
    return "35=D\x01" + "".join(f"{tag}={value}\x01" for tag, value in fields)


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_of_the_contract_has_the_right_body_length_and_check_sum(sample: str) -> None:
    data = sample.replace("|", "\x01").encode()
    begin_string = split(data)[0][1]
    body = sample[sample.index("35=") : sample.rindex("10=")].replace("|", "\x01")
    assert encode(begin_string, body) == data


@given(st.binary(max_size=2_000))
def test_byte_sum_is_the_sum_of_the_bytes(data: bytes) -> None:
    assert byte_sum(data) == sum(data)


def test_byte_sum_is_exact_where_one_checksum_of_the_whole_would_wrap() -> None:
    assert byte_sum(b"\xff" * 65_536) == 255 * 65_536


@given(FIELDS)
def test_what_is_encoded_splits_into_the_same_fields(fields: list[tuple[int, str]]) -> None:
    data = encode("FIX.4.4", body_of(fields))
    body = body_of(fields)
    assert split(data) == [(8, "FIX.4.4"), (9, str(len(body))), (35, "D"), *fields, (10, data[-4:-1].decode())]


@given(FIELDS)
def test_simplefix_builds_the_same_bytes(fields: list[tuple[int, str]]) -> None:
    message = simplefix.FixMessage()
    message.append_pair(8, "FIX.4.4", header=True)
    message.append_pair(35, "D", header=True)
    for tag, value in fields:
        message.append_pair(tag, value.encode("latin-1"))
    assert encode("FIX.4.4", body_of(fields)) == message.encode()


def test_a_character_outside_latin_1_becomes_a_question_mark_and_the_length_stays_right() -> None:
    data = encode("FIX.4.4", "35=B\x0158=5 € on 漢\x01")
    assert (58, "5 ? on ?") in split(data)
    assert encode("FIX.4.4", "35=B\x0158=5 ? on ?\x01") == data


def test_a_data_field_holds_soh_and_equals_signs_as_its_length_says() -> None:
    data = fix("35=A|95=8|96=a|10=b|c|108=30")
    assert split(data)[3:-1] == [(95, "8"), (96, "a\x0110=b\x01c"), (108, "30")]


@given(st.sampled_from(sorted(DATA_OF_LENGTH)), st.binary(min_size=1, max_size=60))
def test_every_length_field_rules_its_data_field(length_tag: int, data: bytes) -> None:
    text = data.decode("latin-1")
    frame = encode("FIX.4.4", f"35=A\x01{length_tag}={len(data)}\x01{DATA_OF_LENGTH[length_tag]}={text}\x01108=30\x01")
    assert split(frame)[3:-1] == [(length_tag, str(len(data))), (DATA_OF_LENGTH[length_tag], text), (108, "30")]


def test_a_length_field_without_its_data_field_is_an_ordinary_field() -> None:
    assert split(fix("35=A|95=88|108=30"))[3:-1] == [(95, "88"), (108, "30")]


def test_zero_and_negative_tags_are_tags_to_be_rejected_by_name() -> None:
    assert split(fix("35=0|0=HI|-1=HI"))[3:-1] == [(0, "HI"), (-1, "HI")]


def test_an_empty_value_is_a_field_too() -> None:
    assert split(fix("35=0|56=|34=2"))[3:-1] == [(56, ""), (34, "2")]


@pytest.mark.parametrize(
    "garbled",
    [
        "35=0|34=2|4garbled9=TW|52=20261122-12:00:00",  # 2.d, 3.c
        "35=D|34=3|49garbled=TW|52=20261122-12:00:00",
        "35=0|34",
        "35=0||34=2",
        "35=0|=2",
        "35=0|049=TW",
        "35=0|+49=TW",
        "35=0|-0=TW",
        "35=0| 49=TW",
        "35=0|4²=TW",
        "35=0|4_9=TW",
        "35=0|1234567890=TW",
        "34=2|35=0|49=TW",  # 2.t
        "35=A|95=3|96=abcd|108=30",
        "35=A|95=99|96=abcd|108=30",
        "35=0|10=123|34=2",  # 3.e
        "35=D|11=a|b|55=X",  # 14.k
    ],
)
def test_garbled_messages_are_refused_whole(garbled: str) -> None:
    with pytest.raises(RemoteProtocolError):
        split(fix(garbled))


@pytest.mark.parametrize(
    "frame",
    [
        "8=FIX.4.4|35=0|9=5|10=000|",
        "35=0|8=FIX.4.4|9=5|10=000|",
        "8=FIX.4.4|9=5|10=000|",
        "8=FIX.4.4|9=5|35=0|",
        "x",
        "",
    ],
)
def test_a_frame_without_its_first_three_fields_or_its_last_is_garbled(frame: str) -> None:
    with pytest.raises(RemoteProtocolError):
        split(frame.replace("|", "\x01").encode())


def test_a_data_field_of_very_many_soh_is_read_in_linear_time() -> None:
    data = "\x01" * 200_000
    assert split(encode("FIX.4.4", f"35=A\x0195=200000\x0196={data}\x01"))[4] == (96, data)


@given(st.binary(max_size=200))
def test_any_bytes_split_or_are_garbled(data: bytes) -> None:
    for frame in (data, b"8=FIX.4.4\x019=5\x0135=0\x01" + data + b"\x0110=000\x01"):
        with suppress(RemoteProtocolError):
            assert all(isinstance(tag, int) for tag, _ in split(frame))


def test_pipe_notation_goes_both_ways() -> None:
    assert pipes(fix("35=0|34=2") + fix("35=1|34=3|112=x|", begin="FIX.4.2")) == ["35=0|34=2", "35=1|34=3|112=x"]
    assert fix("8=FIX.4.4|9=5|35=0|10=999|") == b"8=FIX.4.4\x019=5\x0135=0\x0110=999\x01"
