"""RFC 6455 frames: what is accepted, what fails the connection; the cut of the input never matters."""

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.ws import framing
from protocols.ws.framing import Broken, Close, DataMessage, FrameReader, Ping, Pong
from tests.support.ws_frames import KEY, close, frame, read, text

MAX = 4_096


def held_bytes(reader: FrameReader) -> int:
    """Bytes of incomplete frames and messages."""
    return len(reader._buffer) + len(reader._parts)


def feed(wire: bytes, step: int = 0, limit: int = MAX) -> list[framing.Frame]:
    reader = FrameReader(limit)
    if not step:
        return reader.feed(wire)
    return [seen for at in range(0, len(wire), step) for seen in reader.feed(wire[at : at + step])]


def broken(wire: bytes) -> tuple[int, str]:
    """The violation that `wire` ends in, the same for every cut."""
    seen = feed(wire)
    assert seen == feed(wire, step=1)
    assert isinstance(seen[-1], Broken), seen
    return seen[-1].close_code, seen[-1].text


def test_the_examples_of_rfc_6455_section_5_7() -> None:
    hello = bytes([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58])
    assert feed(hello) == [DataMessage(b"Hello", False)]
    server = FrameReader(MAX, require_mask=False)
    assert server.feed(bytes([0x81, 0x05]) + b"Hello") == [DataMessage(b"Hello", False)]
    assert server.feed(bytes([0x01, 0x03]) + b"Hel" + bytes([0x80, 0x02]) + b"lo") == [DataMessage(b"Hello", False)]
    assert server.feed(bytes([0x89, 0x05]) + b"Hello") == [Ping(b"Hello")]
    assert framing.encode_frame(framing.TEXT, b"Hello", KEY) == hello
    assert framing.encode_frame(framing.TEXT, b"Hello") == bytes([0x81, 0x05]) + b"Hello"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 65_535, 65_536, 65_537])
@pytest.mark.parametrize("binary", [False, True])
def test_a_message_of_every_length_form_comes_out_as_it_went_in(size: int, binary: bool) -> None:
    payload = (bytes(range(1, 120)) * 600)[:size]
    opcode = framing.BINARY if binary else framing.TEXT
    wire = framing.encode_frame(opcode, payload, KEY)
    assert wire == frame(opcode, payload)
    assert feed(wire, limit=70_000) == [DataMessage(payload, binary)]
    assert read(framing.encode_frame(opcode, payload)) == [(opcode, payload)]


def test_many_frames_in_one_read_and_a_half_one_after_them() -> None:
    reader = FrameReader(MAX)
    wire = text("one") + frame(0x9, b"p") + text("two") + frame(0x2, b"\x00\xff")
    assert reader.feed(wire + text("three")[:7]) == [
        DataMessage(b"one", False),
        Ping(b"p"),
        DataMessage(b"two", False),
        DataMessage(b"\x00\xff", True),
    ]
    assert held_bytes(reader) == 7
    assert reader.feed(text("three")[7:]) == [DataMessage(b"three", False)]
    assert held_bytes(reader) == 0


def test_control_frames_may_be_between_fragments_and_come_out_at_once() -> None:
    wire = frame(0x1, b"Hel", fin=False) + frame(0x9, b"now") + frame(0x0, b"l", fin=False) + frame(0xA)
    wire += frame(0x0, b"o")
    expected = [Ping(b"now"), Pong(b""), DataMessage(b"Hello", False)]
    assert feed(wire) == expected
    assert feed(wire, step=1) == expected


def test_empty_fragments_and_an_empty_message_are_legal() -> None:
    assert feed(frame(0x1, fin=False) + frame(0x0, fin=False) + frame(0x0)) == [DataMessage(b"", False)]
    assert feed(frame(0x2)) == [DataMessage(b"", True)]


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [0x0, 0x1, 0x2, 0x8, 0x9, 0xA])
def test_reserved_bits_fail_the_connection(rsv: int, opcode: int) -> None:
    assert broken(frame(opcode, b"", rsv=rsv))[0] == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes_fail_the_connection_after_what_came_before(opcode: int) -> None:
    wire = text("fine") + frame(opcode, b"x")
    assert feed(wire)[0] == DataMessage(b"fine", False)
    assert broken(wire) == (1002, f"reserved opcode {opcode}")


@pytest.mark.parametrize("opcode", [0x1, 0x2, 0x8, 0x9, 0xA])
def test_a_client_must_mask_and_a_server_must_not(opcode: int) -> None:
    assert broken(frame(opcode, b"", key=None)) == (1002, "frame is not masked")
    assert FrameReader(MAX, require_mask=False).feed(frame(opcode, b"")) == [Broken(1002, "frame is masked")]


@pytest.mark.parametrize("opcode", [0x8, 0x9, 0xA])
def test_control_frames_are_whole_and_at_most_125_bytes(opcode: int) -> None:
    assert broken(frame(opcode, b"", fin=False)) == (1002, "fragmented control frame")
    assert broken(frame(opcode, b"x" * 126)) == (1002, "control frame over 125 bytes")
    assert broken(frame(opcode, b"x", length_form=16)) == (1002, "control frame over 125 bytes")
    assert feed(frame(0x9, b"x" * 125)) == [Ping(b"x" * 125)]


def test_continuations_must_continue_something_and_messages_must_not_interleave() -> None:
    assert broken(frame(0x0, b"x")) == (1002, "continuation of nothing")
    assert broken(frame(0x0, b"x", fin=False)) == (1002, "continuation of nothing")
    assert broken(text("whole") + frame(0x0, b"x")) == (1002, "continuation of nothing")
    for opcode in (0x1, 0x2):
        for fin in (True, False):
            wire = frame(0x1, b"a", fin=False) + frame(opcode, b"b", fin=fin)
            assert broken(wire) == (1002, "new message inside a fragmented one")


@pytest.mark.parametrize(
    ("length", "form"), [(0, 16), (1, 16), (125, 16), (0, 64), (125, 64), (126, 64), (1_000, 64), (4_000, 64)]
)
def test_a_length_not_in_its_shortest_form_is_refused(length: int, form: int) -> None:
    for opcode in (0x1, 0x2):
        assert broken(frame(opcode, b"a" * length, length_form=form)) == (1002, "length is not in its shortest form")


def test_65535_bytes_must_not_have_a_64_bit_length() -> None:
    wire = frame(0x2, b"a" * 65_535, length_form=64)
    assert feed(wire, limit=70_000) == [Broken(1002, "length is not in its shortest form")]


def test_the_top_bit_of_a_64_bit_length_is_refused() -> None:
    assert broken(frame(0x1, b"", claim=1 << 63)) == (1002, "top bit of a 64-bit length is set")
    assert broken(frame(0x2, b"", claim=(1 << 64) - 1)) == (1002, "top bit of a 64-bit length is set")


@pytest.mark.parametrize("claim", [MAX + 1, 65_535, 65_536, 1 << 32, (1 << 63) - 1])
def test_a_claimed_length_is_refused_on_the_header_and_nothing_is_allocated(claim: int) -> None:
    header = frame(0x2, b"", claim=claim, key=None)
    header = header[:1] + bytes([header[1] | 0x80]) + header[2:]
    tracemalloc.start()
    seen = FrameReader(MAX).feed(header)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == [Broken(1009, f"message over {MAX} bytes")]
    assert peak < 20_000


def test_the_limit_counts_all_fragments_of_a_message_together() -> None:
    half = b"x" * (MAX // 2)
    start = frame(0x1, half, fin=False)
    assert feed(start + frame(0x0, half)) == [DataMessage(half + half, False)]
    assert broken(start + frame(0x0, half + b"x"))[0] == 1009
    assert broken(start + frame(0x0, half, fin=False) + frame(0x0, b"x"))[0] == 1009
    assert feed(text(b"x" * MAX)) == [DataMessage(b"x" * MAX, False)]
    assert broken(text(b"x" * (MAX + 1)))[0] == 1009


def test_a_message_may_not_have_endless_fragments_even_empty_ones() -> None:
    reader = FrameReader(MAX)
    assert reader.feed(frame(0x1, b"", fin=False)) == []
    assert reader.feed(frame(0x0, b"", fin=False) * (framing.MAX_FRAGMENTS - 1)) == []
    assert reader.feed(frame(0x0, b"", fin=False)) == [Broken(1009, "over 4096 fragments in one message")]


def test_fragments_are_counted_for_each_message_and_not_for_the_connection() -> None:
    reader = FrameReader(MAX)
    wire = frame(0x1, b"a", fin=False) + frame(0x0, b"b")
    for _ in range(framing.MAX_FRAGMENTS):
        assert reader.feed(wire) == [DataMessage(b"ab", False)]


def test_the_limit_may_change_between_messages() -> None:
    reader = FrameReader(10)
    assert reader.feed(text("x" * 10)) == [DataMessage(b"x" * 10, False)]
    reader.max_message_bytes = 20
    assert reader.feed(text("x" * 20)) == [DataMessage(b"x" * 20, False)]


VALID_UTF8 = [
    "κόσμε",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "\ud7ff\ue000",
    "\U00010000",
    "\U0010ffff",
    "\ufffe\uffff",
    "\x00",
    "𝄞" * 50,
]
INVALID_UTF8 = {
    "lone continuation": b"\x80",
    "overlong slash": b"\xc0\xaf",
    "overlong nul": b"\xc0\x80",
    "overlong of three bytes": b"\xe0\x80\xaf",
    "overlong of four bytes": b"\xf0\x80\x80\xaf",
    "surrogate": b"\xed\xa0\x80",
    "surrogate pair": b"\xed\xa0\x80\xed\xb0\x80",
    "above 10ffff": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "impossible bytes": b"\xfe\xff",
    "cut at the end": b"abc\xce",
    "autobahn 6.3.1": b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
}


@pytest.mark.parametrize("value", VALID_UTF8)
def test_valid_utf_8_passes_whole_and_cut_inside_its_characters(value: str) -> None:
    data = value.encode()
    assert feed(text(data)) == [DataMessage(data, False)]
    for cut in range(len(data) + 1):
        wire = frame(0x1, data[:cut], fin=False) + frame(0x0, data[cut:])
        assert feed(wire) == [DataMessage(data, False)]
    singly = frame(0x1, b"", fin=False) + b"".join(frame(0x0, bytes([byte]), fin=False) for byte in data) + frame(0x0)
    assert feed(singly) == [DataMessage(data, False)]


@pytest.mark.parametrize("data", INVALID_UTF8.values(), ids=INVALID_UTF8.keys())
def test_invalid_utf_8_is_refused_in_text_and_allowed_in_binary(data: bytes) -> None:
    assert broken(text(data)) == (1007, "text is not UTF-8")
    assert broken(frame(0x1, b"ok", fin=False) + frame(0x0, data)) == (1007, "text is not UTF-8")
    assert feed(frame(0x2, data)) == [DataMessage(data, True)]


def test_invalid_utf_8_is_refused_at_the_fragment_that_breaks_it() -> None:
    reader = FrameReader(MAX)
    assert reader.feed(frame(0x1, b"caf\xc3", fin=False)) == []
    assert reader.feed(frame(0x0, b"\xa9 \xf4", fin=False)) == []
    assert reader.feed(frame(0x0, b"\x90", fin=False)) == [Broken(1007, "text is not UTF-8")]


def test_a_message_does_not_inherit_half_a_character_of_the_one_before() -> None:
    reader = FrameReader(MAX)
    assert reader.feed(frame(0x1, b"\xc3", fin=False) + frame(0x0, b"\xa9")) == [DataMessage("é".encode(), False)]
    assert reader.feed(text("è")) == [DataMessage("è".encode(), False)]
    assert reader.feed(text(b"\xa9")) == [Broken(1007, "text is not UTF-8")]


def test_every_close_code_is_judged_as_the_registry_says() -> None:
    legal = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    for code in range(65_536):
        (seen,) = FrameReader(MAX).feed(frame(0x8, code.to_bytes(2, "big"), key=b"\0\0\0\0"))
        if code in legal:
            assert seen == Close(code, ""), code
        else:
            assert seen == Broken(1002, f"close code {code} may not be sent"), code


def test_close_payloads_are_empty_or_a_code_and_a_utf_8_reason() -> None:
    assert feed(close()) == [Close(0, "")]
    assert feed(close(1000, "tschüß".encode())) == [Close(1000, "tschüß")]
    assert feed(close(4001, b"x" * 123)) == [Close(4001, "x" * 123)]
    assert broken(frame(0x8, b"\x03")) == (1002, "close frame with half a code")
    assert broken(close(1000, b"\xed\xa0\x80")) == (1007, "close reason is not UTF-8")


def test_nothing_is_read_after_a_close_or_a_violation() -> None:
    for wire in (close(1000), frame(0x3)):
        reader = FrameReader(MAX)
        assert len(reader.feed(wire + text("late"))) == 1
        assert reader._ended
        assert reader.feed(text("later")) == []
        assert held_bytes(reader) == 0


VIOLATIONS = (
    frame(0x3, b"x"),
    frame(0x1, b"x", rsv=4),
    frame(0x1, b"x", key=None),
    frame(0x0, b"x"),
    text(b"\xed\xa0\x80"),
    frame(0x2, b"x" * 70, length_form=64),
    frame(0x2, b"x" * 5_000),
    frame(0x2, b"x" * 70_000),
    frame(0x9, b"x" * 126),
)


@pytest.mark.parametrize("violation", VIOLATIONS)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_after_a_violation_only_the_peers_close_is_seen_whatever_lies_between_and_wherever_it_is_cut(
    violation: bytes, step: int
) -> None:
    reader, seen = FrameReader(MAX), list[framing.Frame]()
    for piece in (violation, frame(0x2, close(1000) * 3), text(b"later" * 30)):
        for at in range(0, len(piece), step):
            seen += reader.feed(piece[at : at + step])
    assert [type(each) for each in seen] == [Broken]
    assert not reader.has_closed
    answer = close(1002, b"you did what")
    for at in range(len(answer)):
        assert not reader.has_closed, "half a Close is none: TCP may not end before it is read"
        reader.feed(answer[at : at + 1])
    assert reader.has_closed
    assert reader.feed(text("late")) == []


@pytest.mark.parametrize("wire", [frame(0x8, b"\x03"), close(1006), close(1000, b"\xff"), frame(0x8, rsv=1), close()])
def test_a_close_that_breaks_the_protocol_is_the_peers_close_all_the_same(wire: bytes) -> None:
    reader = FrameReader(MAX)
    assert len(reader.feed(wire)) == 1
    assert reader.has_closed


def test_after_a_frame_with_a_false_length_no_close_is_found() -> None:
    reader = FrameReader(MAX)
    (event,) = reader.feed(frame(0x1, b"", claim=1 << 40) + close(1000))
    assert isinstance(event, Broken)
    assert reader.feed(close(1000)) == []
    assert not reader.has_closed


def test_a_close_in_the_middle_of_a_fragmented_message_ends_it() -> None:
    assert feed(frame(0x1, b"half", fin=False) + close(1001)) == [Close(1001, "")]


def test_close_reasons_are_cut_at_a_character_to_fit_a_control_frame() -> None:
    payload = framing.encode_close(1013, "é" * 100)
    assert len(payload) <= 125
    assert payload[2:].decode() == "é" * 61
    assert framing.encode_close(0) == b""
    assert feed(frame(0x8, payload)) == [Close(1013, "é" * 61)]


def test_masking_is_its_own_inverse_and_equals_byte_by_byte() -> None:
    for size in (0, 1, 2, 3, 4, 7, 8, 63, 1_001):
        data = bytes((at * 7) % 256 for at in range(size))
        masked = framing.unmask(data, KEY)
        assert masked == bytes(byte ^ KEY[at % 4] for at, byte in enumerate(data))
        assert framing.unmask(masked, KEY) == data
    assert framing.unmask(b"as it is", b"\0\0\0\0") == b"as it is"


def test_time_and_memory_stay_linear_for_one_large_message_sent_byte_by_byte() -> None:
    wire = text(b"a" * 65_000)
    reader = FrameReader(65_536)
    started = time.process_time()
    seen = [got for byte in wire for got in reader.feed(bytes([byte]))]
    assert seen == [DataMessage(b"a" * 65_000, False)]
    assert time.process_time() - started < 2


# Random frames, right and wrong.

_PIECES = st.one_of(
    st.builds(
        frame,
        st.sampled_from([0x0, 0x1, 0x2, 0x9, 0xA]),
        st.binary(max_size=140),
        fin=st.booleans(),
        key=st.binary(min_size=4, max_size=4),
    ),
    st.builds(text, st.text(max_size=60)),
    st.builds(
        lambda data, cut: frame(0x1, data[:cut], fin=False) + frame(0x0, data[cut:]),
        st.text().map(str.encode),
        st.integers(0, 30),
    ),
    st.builds(
        frame, st.integers(0, 15), st.binary(max_size=130), rsv=st.integers(0, 1), key=st.sampled_from([KEY, None])
    ),
    st.binary(max_size=20),
    st.builds(close, st.integers(0, 5_000), st.binary(max_size=5)),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(_PIECES, max_size=8).map(b"".join), st.lists(st.integers(1, 40), max_size=30), st.sampled_from([64, 4_096])
)
def test_the_cut_of_the_input_never_changes_what_comes_out(wire: bytes, cuts: list[int], limit: int) -> None:
    whole = FrameReader(limit).feed(wire)
    assert feed(wire, step=1, limit=limit) == whole
    reader, seen, rest = FrameReader(limit), [], wire
    for cut in cuts:
        seen += reader.feed(rest[:cut])
        rest = rest[cut:]
        assert held_bytes(reader) <= limit + 14 + 40
    assert seen + reader.feed(rest) == whole


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_frames_or_one_violation_at_the_end(data: bytes) -> None:
    seen = FrameReader(256).feed(data)
    assert all(isinstance(item, DataMessage | Ping | Pong | Close | Broken) for item in seen)
    assert not any(isinstance(item, Close | Broken) for item in seen[:-1])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=6), st.booleans())
def test_what_is_encoded_for_either_side_is_read_back(sent: list[tuple[bool, bytes]], client: bool) -> None:
    wire, expected = b"", []
    for binary, data in sent:
        payload = data if binary else data.decode("latin-1").encode()
        wire += framing.encode_frame(framing.BINARY if binary else framing.TEXT, payload, KEY if client else None)
        expected.append(DataMessage(payload, binary))
    assert FrameReader(1_000, require_mask=client).feed(wire) == expected
