"""Cutting a byte stream into messages: bad lengths and sums, junk of every kind, and any cut into reads."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.fix.events import Garbled
from protocols.fix.framing import Framer
from protocols.fix.message import encode
from tests.support.fix_text import fix

HEARTBEAT = fix("35=0|34=2|49=TW|52=20261122-12:00:00|56=ISLD")
ORDER = fix("35=D|34=3|49=TW|52=20261122-12:00:00|56=ISLD|11=ID|21=3|40=1|54=1|55=INTC|60=20261122-12:00:00")


def short(found: list[bytes | Garbled]) -> list[bytes | str]:
    """Frames as they are, garbled pieces by their reason."""
    return [item.reason if isinstance(item, Garbled) else item for item in found]


def with_length(frame: bytes, length: int) -> bytes:
    """The same message claiming another BodyLength(9); its CheckSum(10) stays what it was."""
    head, _, rest = frame.partition(b"\x01")
    return head + b"\x019=%d\x01" % length + rest.partition(b"\x01")[2]


def body_length(frame: bytes) -> int:
    return int(frame.split(b"\x01")[1][2:])


def test_whole_messages_come_out_as_they_went_in() -> None:
    assert Framer().feed(HEARTBEAT + ORDER + HEARTBEAT) == [HEARTBEAT, ORDER, HEARTBEAT]


@pytest.mark.parametrize("begin", ["FIX.4.2", "FIX.4.4", "FIXT.1.1", "FIX.9.9", "X"])
def test_begin_string_is_not_judged_here(begin: str) -> None:
    frame = fix("35=0|34=2", begin=begin)
    assert Framer().feed(frame) == [frame]


def test_a_message_waits_for_its_last_byte_and_not_longer() -> None:
    framer = Framer()
    assert framer.feed(ORDER[:-1]) == []
    assert framer.buffered_bytes == len(ORDER) - 1
    assert framer.feed(ORDER[-1:]) == [ORDER]
    assert framer.buffered_bytes == 0


def test_2_m_a_body_length_that_is_too_short_loses_only_its_own_message() -> None:
    bad = with_length(ORDER, 30)
    assert short(Framer().feed(bad + HEARTBEAT)) == ["BodyLength(9) does not agree", HEARTBEAT]


def test_2_m_a_body_length_that_is_too_long_swallows_the_message_after_it() -> None:
    bad = with_length(ORDER, body_length(ORDER) + 7)
    found = Framer().feed(bad + HEARTBEAT + ORDER)
    assert short(found) == ["BodyLength(9) does not agree", ORDER]
    assert found[0] == Garbled("BodyLength(9) does not agree", len(bad) + len(HEARTBEAT))


def test_1_d_a_first_message_of_invalid_length_is_reported_at_once() -> None:
    logon = fix("35=A|34=1|49=TW|52=20261122-12:00:00|56=ISLD|98=0|108=30")
    assert short(Framer().feed(with_length(logon, 40))) == ["BodyLength(9) does not agree"]


@pytest.mark.parametrize("check_sum", ["256", "000", "7", "0007", "-01", "1 1", "", "²"])
def test_3_b_and_3_e_a_check_sum_that_is_wrong_or_not_three_digits_loses_its_message(check_sum: str) -> None:
    bad = HEARTBEAT[:-4] + check_sum.encode("latin-1") + b"\x01"
    assert short(Framer().feed(bad + ORDER)) == ["CheckSum(10) does not agree", ORDER]


def test_a_check_sum_without_an_end_is_cut_off() -> None:
    bad = HEARTBEAT[:-1] + b"9" * 40
    assert short(Framer().feed(bad + ORDER)) == ["CheckSum(10) does not agree", ORDER]


def test_2_t_junk_before_begin_string_is_skipped_and_reported_once() -> None:
    found = Framer().feed(b"35=0\x01\r\nGET / HTTP/1.1" + ORDER + b"\n\n" + HEARTBEAT)
    assert found == [
        Garbled("bytes before BeginString(8)", 21),
        ORDER,
        Garbled("bytes before BeginString(8)", 2),
        HEARTBEAT,
    ]


@pytest.mark.parametrize(
    "junk",
    [
        b"8=8=8=8=8=8=8=8=8=8=8=8=8=8=",
        b"8=FIX.4.4\x0135=0\x01",
        b"8=FIX.4.4\x019=\x01",
        b"8=FIX.4.4\x019=-5\x01",
        b"8=FIX.4.4\x019=1x\x01",
        b"8=FIX.4.4\x019=0000000005\x01",
        b"8=\x019=5\x01",
        b"8=FIX.4.4.4.4.4.4.4.4\x019=5\x01",
        b"8=FIX8=FIX8=FIX8=FIX",
        b"\x00\xff\x01",
        b"8",
    ],
)
def test_what_can_never_become_a_message_does_not_block_the_next(junk: bytes) -> None:
    framer = Framer()
    assert framer.feed(junk + ORDER) == [Garbled("bytes before BeginString(8)", len(junk)), ORDER]
    assert framer.buffered_bytes == 0


def test_a_length_over_the_maximum_is_reported_at_once_and_parsing_continues_after_the_head() -> None:
    framer = Framer(max_message_bytes=1_024)
    head = b"8=FIX.4.4\x019=5000\x01"
    assert framer.feed(head) == [Garbled("BodyLength(9) is over the maximum", len(head), is_too_long=True)]
    assert framer.feed(b"35=D\x0111=x\x01") == []
    assert framer.feed(ORDER) == [ORDER]


def test_a_message_of_exactly_the_maximum_passes_and_one_byte_more_does_not() -> None:
    frame = encode("FIX.4.4", "35=B\x0158=" + "x" * 2_000 + "\x01")
    assert Framer(len(frame)).feed(frame) == [frame]
    assert short(Framer(len(frame) - 1).feed(frame)) == ["BodyLength(9) is over the maximum"]


def test_a_message_that_never_ends_is_given_up_at_the_maximum_size() -> None:
    framer = Framer(max_message_bytes=1_024)
    found = framer.feed(b"8=FIX.4.4\x019=5\x0135=0\x01" + b"58=x\x01" * 1_000 + ORDER)
    assert short(found)[0] == "no CheckSum(10) within the maximum size"
    assert found[-1] == ORDER


def test_endless_junk_is_reported_each_time_it_fills_a_message() -> None:
    framer = Framer(max_message_bytes=1_024)
    assert framer.feed(b"x" * 4_100) == [Garbled("bytes that are no message", 1_024, is_too_long=True)] * 4
    assert framer.buffered_bytes < 8


def test_clear_forgets_the_old_connection() -> None:
    framer = Framer()
    framer.feed(b"junk" + ORDER[:50])
    framer.clear()
    assert framer.feed(HEARTBEAT) == [HEARTBEAT]


LONG = encode("FIX.4.2", "35=B\x0158=" + "x" * 700 + "\x01")
PIECES = st.one_of(
    st.sampled_from([HEARTBEAT, ORDER, fix("35=0|34=9", begin="FIXT.1.1"), LONG]),
    st.builds(with_length, st.sampled_from([HEARTBEAT, ORDER]), st.integers(0, 2_000)),
    st.sampled_from(
        [b"8=", b"8=FIX", b"8=FIX.4.4\x01", b"8=FIX.4.4\x019=", b"8=FIX.4.4\x019=12\x01", b"\x0110=", b"\x0110=123\x01"]
    ),
    st.binary(max_size=12),
    st.builds(lambda frame, at, byte: frame[: at % len(frame)] + bytes([byte]) + frame[at % len(frame) + 1 :],
              st.sampled_from([HEARTBEAT, ORDER]), st.integers(0, 300), st.integers(0, 255)),
)  # fmt: skip
STREAMS = st.lists(PIECES, max_size=8).map(b"".join)


def feed_cut(data: bytes, cuts: list[int], max_bytes: int) -> tuple[list[bytes | Garbled], int]:
    framer = Framer(max_bytes)
    found = []
    for start, end in pairwise([0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]):
        found += framer.feed(data[start:end])
    return found, framer.buffered_bytes


@settings(max_examples=200)
@given(STREAMS, st.lists(st.integers(0, 4_000), max_size=8), st.sampled_from([1_024, 65_536]))
def test_the_cuts_between_reads_change_nothing(data: bytes, cuts: list[int], max_bytes: int) -> None:
    whole = feed_cut(data, [], max_bytes)
    assert feed_cut(data, cuts, max_bytes) == whole
    assert feed_cut(data, list(range(len(data))), max_bytes) == whole


@settings(max_examples=200)
@given(STREAMS)
def test_any_bytes_are_frames_or_garbled_and_never_held_beyond_the_maximum(data: bytes) -> None:
    framer = Framer(1_024)
    found = framer.feed(data)
    assert framer.buffered_bytes < 1_024
    assert sum(len(item) if isinstance(item, bytes) else item.size_bytes for item in found) <= len(data)
    for item in found:
        assert isinstance(item, Garbled) or item in data


@pytest.mark.parametrize(
    "stream",
    [
        encode("FIX.4.4", "35=B\x0158=" + "x" * 65_000 + "\x01"),
        b"8=" * 32_768,
        b"8=FIX" * 13_107,
        b"8=FIX.4.4\x019=5\x01" + b"58=x\x01" * 13_000,
        b"8=FIX.4.4\x019=60000\x01" * 3_276,
        b"8=FIX.4.4\x019=99999\x01" * 3_276,
        b"8=FIX.4.4\x019=10\x01" * 4_096,
        b"8=FIX.4.4\x019=10\x0110=" + b"1" * 65_000,
        b"\x01" * 65_536,
    ],
    ids=["message", "8=8=", "8=FIX8=FIX", "no trailer", "long heads", "huge heads", "short heads", "no end", "SOH"],
)
def test_slow_input_of_64_kib_costs_no_more_than_its_bytes(stream: bytes) -> None:
    framer = Framer()
    began = time.process_time()
    for at in range(len(stream)):
        framer.feed(stream[at : at + 1])
    assert time.process_time() - began < 1.5  # 0.03 to 0.2 s; a framer that starts over at every byte takes 1.7 to 7 s
    began = time.process_time()
    Framer().feed(stream * 4)
    assert time.process_time() - began < 0.5


def test_a_drip_is_read_like_a_stream() -> None:
    stream = ORDER * 20
    framer = Framer()
    assert [item for at in range(len(stream)) for item in framer.feed(stream[at : at + 1])] == [ORDER] * 20
