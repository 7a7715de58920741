"""Learned shapes: the fast path returns what the careful path does, or leaves it to that. Learning is bounded."""

import gc
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import RemoteProtocolError
from protocols.fix import shapes
from protocols.fix.decoder import DecodedMessage, Decoder
from protocols.fix.dictionary.tables import VERSIONS, Field, for_version
from protocols.fix.message import encode
from tests.support.fix_text import fix

TIME = "20261122-12:00:00.000100"
ORDER = (
    f"35=D|34=2|49=MM1|52={TIME}|56=GATE|11=mm-7f3a-000123|38=0.01250000|40=2|44=64250.50|54=1|55=BTC-USDT|59=1|"
    f"60={TIME}|18=6|526=grid-1|25000=250"
)
CANCEL = f"35=F|34=3|49=MM1|52={TIME}|56=GATE|11=c-1|41=mm-7f3a-000123|55=BTC-USDT"


def learned(decoder: Decoder) -> int:
    return sum(len(known) for known in decoder._shapes.by_type.values())


def taught(text: str, version: str = "FIX.4.4") -> Decoder:
    """A decoder that has seen `text` often enough to know its shape."""
    decoder = Decoder(version)
    for _ in range(shapes.SIGHTS_TO_LEARN):
        decoder.decode(fix(text, begin=version))
    return decoder


def carefully(frame: bytes, version: str = "FIX.4.4") -> DecodedMessage | None:
    try:
        return Decoder(version)._decode_carefully(frame)
    except RemoteProtocolError:
        return None


def test_a_shape_is_learned_on_the_third_sight() -> None:
    decoder = Decoder("FIX.4.4")
    counts = []
    for _ in range(4):
        decoder.decode(fix(ORDER))
        counts.append(learned(decoder))
    assert counts == [0, 0, 1, 1]


@pytest.mark.parametrize("text", [ORDER, CANCEL])
def test_the_fast_path_gives_the_same_message_as_the_careful_one(text: str) -> None:
    decoder = taught(text)
    decoder._decode_carefully = None  # type: ignore[assignment] # the fast path must not need it
    assert decoder.decode(fix(text)) == carefully(fix(text))


def test_shapes_of_several_messages_live_side_by_side() -> None:
    decoder = taught(ORDER)
    for _ in range(3):
        decoder.decode(fix(CANCEL))
    decoder._decode_carefully = None  # type: ignore[assignment]
    for text in (ORDER, CANCEL, ORDER, CANCEL):
        assert decoder.decode(fix(text)) == carefully(fix(text))


@pytest.mark.parametrize(
    "text",
    [
        f"35=D|34=2|49=MM1|52={TIME}|56=GATE|11=a|40=1|54=1|55=X|453=1|448=P",
        f"35=D|34=2|49=MM1|52={TIME}|56=GATE|11=a|40=1|54=1|55=X|453=0",
        f"35=A|34=2|49=MM1|52={TIME}|56=GATE|98=0|108=30|95=3|96=abc",
        ORDER + "|5000=x",
        f"35=V|34=2|49=MM1|52={TIME}|56=GATE",
    ],
    ids=["group", "empty group", "data", "fault", "not served"],
)
def test_groups_data_fields_and_faults_are_never_learned(text: str) -> None:
    decoder = taught(text)
    for _ in range(5):
        assert decoder.decode(fix(text)) == carefully(fix(text))
    assert learned(decoder) == 0


def test_what_no_pattern_knows_is_left_to_the_careful_path() -> None:
    leap = ORDER.replace(f"52={TIME}", "52=20280229-23:59:60")
    decoder = taught(ORDER)
    for _ in range(5):
        assert decoder.decode(fix(leap)).fault is None
    assert learned(decoder) == 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("38=0.01250000", "38=+0.0125", 6),
        ("38=0.01250000", "38=", 4),
        ("54=1", "54=x", 5),
        ("59=1", "59=11", 6),
        ("18=6", "18=6 !", 5),
        ("55=BTC-USDT", "55=BTC\u00e9", 6),
        ("55=BTC-USDT", "55=", 4),
        ("34=2", "34=" + "9" * 19, 6),
        (f"60={TIME}", "60=20260230-12:00:00", 6),
        ("526=grid-1", "20199=grid-1", 0),
        ("526=grid-1", "11=again", 13),
        ("526=grid-1", "34=7", 14),
    ],
)
def test_a_fault_in_a_known_shape_is_reported_as_before(old: str, new: str, reason: int) -> None:
    frame = fix(ORDER.replace(old, new))
    found = taught(ORDER).decode(frame)
    assert found == carefully(frame)
    assert found.fault is not None
    assert found.fault.reason == reason


def test_an_equals_sign_or_a_bar_in_a_value_is_no_end_of_it() -> None:
    decoder = taught(ORDER)
    frame = fix(ORDER.replace("526=grid-1", "526=a=b 10=000"))
    assert decoder.decode(frame).fields[526] == "a=b 10=000"


VALUES = st.one_of(
    st.sampled_from(["", "0", "1", "2", "6", "6 A", "Y", TIME, "20280229-23:59:60", "0.5", "-1", "1.", "é", "a=b"]),
    st.text(st.characters(codec="latin-1", exclude_characters="|\x01"), max_size=10),
)  # fmt: skip
PAIRS = [tuple(pair.split("=", 1)) for pair in ORDER.split("|")]


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """An order with some values changed, and now and then a field dropped, doubled, moved or renamed."""
    pairs = list(PAIRS)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(1, len(pairs) - 1))
        what = draw(st.sampled_from(["value", "value", "value", "drop", "double", "swap", "tag"]))
        if what == "value":
            pairs[at] = (pairs[at][0], draw(VALUES))
        elif what == "drop" and len(pairs) > 4:
            del pairs[at]
        elif what == "double":
            pairs.insert(at, pairs[at])
        elif what == "swap":
            pairs[at], pairs[-1] = pairs[-1], pairs[at]
        elif what == "tag":
            pairs[at] = (str(draw(st.integers(-1, 1_000))), pairs[at][1])
    return "|".join("=".join(pair) for pair in pairs)


TAUGHT = taught(ORDER)


@settings(max_examples=200)
@given(mutations())
def test_fast_and_careful_path_agree_on_every_mutation_of_an_order(text: str) -> None:
    frame = fix(text)
    try:
        fast = taught_order().decode(frame)
    except RemoteProtocolError:
        assert carefully(frame) is None
        return
    assert fast == carefully(frame)


def taught_order() -> Decoder:
    """Always the same shape: what the mutations teach must not accumulate."""
    decoder = Decoder("FIX.4.4")
    decoder._shapes.by_type.update({key: list(known) for key, known in TAUGHT._shapes.by_type.items()})
    return decoder


@cache
def value_of(field: Field) -> st.SearchStrategy[str]:
    return st.sampled_from(field.values) if field.values else st.from_regex(field.pattern, fullmatch=True)


@settings(max_examples=60)
@given(st.data(), st.sampled_from(VERSIONS), st.sampled_from(["D", "F", "G", "H", "8", "1", "j"]))
def test_any_message_in_order_is_learned_and_read_alike_by_both(data: st.DataObject, version: str, kind: str) -> None:
    dictionary = for_version(version)
    layout = dictionary.messages[kind]
    plain = [
        tag for tag in layout.members if tag not in layout.groups and tag not in shapes._DATA_TAGS and tag < 30_000
    ]
    body = sorted(layout.required - {8, 9, 34, 35, 49, 52, 56})
    body += data.draw(
        st.lists(st.sampled_from(plain), max_size=8, unique=True).map(lambda t: sorted(set(t) - set(body)))
    )
    drawn = [(tag, data.draw(value_of(dictionary.fields[tag]))) for tag in body]
    text = f"35={kind}\x0134=2\x0149=MM1\x0152={TIME}\x0156=GATE\x01" + "".join(f"{t}={v}\x01" for t, v in drawn)
    frame = encode(version, text)
    decoder = Decoder(version)
    for _ in range(shapes.SIGHTS_TO_LEARN):
        decoder.decode(frame)
    assert learned(decoder) == 1
    decoder._decode_carefully = None  # type: ignore[assignment]
    assert decoder.decode(frame) == carefully(frame, version)


def test_a_client_that_shuffles_tags_gets_no_more_than_its_share_of_shapes() -> None:
    decoder = Decoder("FIX.4.4")
    optional = ["58=x", "1=a", "59=1", "18=6", "110=1", "111=1", "60=" + TIME, "15=USD"]
    head = ORDER.partition("|38=")[0] + "|40=1|54=1|55=X"
    for turn in range(60):
        text = "|".join([head, *optional[turn % 8 :], *optional[: turn % 8][:: 1 if turn % 3 else -1]])
        for _ in range(4):
            assert decoder.decode(fix(text)).fault is None
    assert learned(decoder) == shapes.MAX_SHAPES_PER_TYPE


def test_sights_are_counted_for_a_bounded_number_of_shapes() -> None:
    decoder = Decoder("FIX.4.4")
    for number in range(2_000):
        decoder._shapes.record("FIX.4.4", "D", (11, number))
    assert len(decoder._shapes._sights) <= 256
    assert learned(decoder) == 0


def test_sessions_that_speak_alike_share_a_shape_and_the_last_takes_it_along() -> None:
    text = ORDER + "|15=USDT|47=A|81=0"
    text = text.replace("|526=grid-1|25000=250", "").replace("|47=A", "")
    one, two = taught(text), taught(text)
    assert one._shapes.by_type["D"][0] is two._shapes.by_type["D"][0]
    key = next(key for key, shape in shapes._alive.items() if shape is one._shapes.by_type["D"][0])
    del one, two
    gc.collect()
    assert key not in shapes._alive


def test_when_the_process_holds_its_maximum_nothing_more_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "MAX_SHARED", len(shapes._alive))
    decoder = taught(ORDER + "|15=USDT|81=0")
    assert learned(decoder) == 0
    assert decoder.decode(fix(ORDER + "|15=USDT|81=0")).fault is None
