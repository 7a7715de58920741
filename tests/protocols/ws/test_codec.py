"""Reading requests: what is refused, with which code and field; any input has one of these two results."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import Refusal
from protocols.ws.codec import CODECS, JSON, MSGPACK, Codec, Malformed
from protocols.ws.duplicate_keys import duplicate_in_json, duplicate_in_msgpack
from protocols.ws.results import METHODS
from protocols.ws.schema import BatchParams, CancelParams, Params, PlaceParams, RequestEnvelope

PLACE = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "cl_ord_id": "a-1", "price": "1.5", "qty": "2"}


def params_of(data: bytes, codec: Codec = JSON) -> Params | BatchParams | Refusal:
    return codec.params(codec.request(data), data)


def refusal(method: str, params: object, codec: Codec = JSON) -> tuple[int, str]:
    """(code, field) of the refusal of these params."""
    encode = msgspec.msgpack.encode if codec.binary else msgspec.json.encode
    got = params_of(encode({"id": 1, "method": method, "params": params}), codec)
    assert isinstance(got, Refusal), got
    return got.code, got.field


def test_both_sub_protocols_have_their_codec() -> None:
    assert [codec.subprotocol for codec in CODECS.values()] == ["gate.json.v1", "gate.msgpack.v1"]
    assert CODECS == {"json": JSON, "msgpack": MSGPACK}
    assert (JSON.binary, MSGPACK.binary) == (False, True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"order.place"',
        b"{}",
        b'{"method":5}',
        b'{"method":null}',
        b'{"method":"ping","id":1.5}',
        b'{"method":"ping","id":true}',
        b'{"method":"ping","id":[1]}',
        b'{"method":"ping","id":9007199254740993}',
        b'{"method":"ping","id":' + b"9" * 4_000 + b"}",
        b'{"method":"ping","id":"' + b"x" * 65 + b'"}',
        b'{"method":"ping"} {"method":"ping"}',
        b'{"method":"\\ud800"}',
        b'\xef\xbb\xbf{"method":"ping"}',
        b'{"method":"ping","x":NaN}',
        b'{"method":"ping","x":01}',
    ],
)
def test_what_is_no_request_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        JSON.request(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x80",
        b"\x91" * 50_000,
        b"\x81\xa6method",
        b"\x81\xa6method\x05",
        b"\x81\xa6method\xa1\xff",
        b"\x82\xa6method\xa4ping\xa2id\xcf" + b"\xff" * 8,
        b"\x82\xa6method\xa4ping\xa6params\xdf\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\xa6method\xa4ping",
        b"\x81\xa6method\xa4ping\x00",
        b"\x81\xa6method\xdb\xff\xff\xff\xff",
    ],
)
def test_what_is_no_request_in_msgpack_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        MSGPACK.request(data)


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (JSON, b'{"method":"ping","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
        (JSON, b'{"method":"ping","params":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}"),
        (MSGPACK, b"\x82\xa6method\xa4ping\xa1x" + b"\x91" * 50_000 + b"\x01"),
    ],
)
def test_what_is_nested_without_end_is_malformed_or_no_member_that_is_known(codec: Codec, data: bytes) -> None:
    """The interpreter decides how deep is too deep: since 3.14 by the rest of its stack."""
    with suppress(Malformed):
        got = params_of(data, codec)
        assert got == Params() or (isinstance(got, Refusal) and got.code == 2001)


def test_unknown_members_of_the_envelope_are_ignored() -> None:
    data = b'{"jsonrpc":"2.0","id":"x","method":"ping","params":{},"extra":{"deep":[1,{"a":1.5}]}}'
    assert JSON.request(data).id == "x"
    assert params_of(data) == Params()


@pytest.mark.parametrize("method", ["order.plac", "", "Order.Place", "quote.mass", "x" * 5_000, "__class__"])
def test_an_unknown_method_is_1006(method: str) -> None:
    assert refusal(method, {}) == (1006, "method")


def test_absent_params_are_empty_params_and_null_is_a_bad_field() -> None:
    assert params_of(b'{"method":"ping"}') == Params()
    assert params_of(msgspec.msgpack.encode({"method": "ping"}), MSGPACK) == Params()
    assert refusal("ping", None) == (2001, "params")
    assert refusal("ping", [1]) == (2001, "params")
    assert refusal("order.place", {}) == (2002, "symbol")


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"price": 1.5}, (2001, "price")),
        ({"price": 15}, (2001, "price")),
        ({"qty": 2}, (2001, "qty")),
        ({"qty": 1e-8}, (2001, "qty")),
        ({"side": "BUY"}, (2001, "side")),
        ({"side": 1}, (2001, "side")),
        ({"type": "iceberg"}, (2001, "type")),
        ({"tif": ""}, (2001, "tif")),
        ({"cl_ord_id": 7}, (2001, "cl_ord_id")),
        ({"cl_ord_id": "x" * 65}, (2001, "cl_ord_id")),
        ({"symbol": ""}, (2001, "symbol")),
        ({"post_only": 1}, (2001, "post_only")),
        ({"post_only": "true"}, (2001, "post_only")),
        ({"ts": -1}, (2001, "ts")),
        ({"ts": 1.5}, (2001, "ts")),
        ({"ts": 1 << 54}, (2001, "ts")),
        ({"valid_for_ms": 0}, (2001, "valid_for_ms")),
        ({"valid_for_ms": 60_001}, (2001, "valid_for_ms")),
        ({"resp": "maybe"}, (2001, "resp")),
        ({"stop_px": "1"}, (2001, "stop_px")),
        ({"Price": "1"}, (2001, "Price")),
    ],
)
def test_a_bad_field_is_2001_and_named(change: dict[str, object], expected: tuple[int, str], codec: Codec) -> None:
    assert refusal("order.place", PLACE | change, codec) == expected


@pytest.mark.parametrize("field", ["symbol", "side", "type", "cl_ord_id"])
def test_a_missing_field_is_2002_and_named(field: str) -> None:
    assert refusal("order.place", {key: PLACE[key] for key in PLACE if key != field}) == (2002, field)


def test_fields_inside_of_fields_are_named_by_their_path() -> None:
    logon = {"api_key": "k", "ts": 1, "sig": "s"}
    assert refusal("session.logon", logon | {"cod": {"scope": "all"}}) == (2001, "cod.scope")
    assert refusal("session.logon", logon | {"cod": {"grace_ms": 60_001}}) == (2001, "cod.grace_ms")
    assert refusal("session.logon", logon | {"cod": {"grace": 1}}) == (2001, "cod.grace")
    assert refusal("session.logon", logon | {"resume": {"epoch": "e"}}) == (2002, "resume.seq")
    assert refusal("session.logon", logon | {"streams": ["orders", "trades"]}) == (2001, "streams[1]")
    assert refusal("session.logon", logon | {"name": "a b"}) == (2001, "name")


def test_a_batch_has_1_to_20_legs_and_a_bad_leg_leaves_the_others_alone() -> None:
    cancel = {"op": "cancel", "params": {"symbol": "BTC-USDT", "order_id": "1"}}
    assert refusal("order.batch", {"legs": []}) == (2001, "legs")
    assert refusal("order.batch", {"legs": [cancel] * 21}) == (2001, "legs")
    assert refusal("order.batch", {"legs": [{"op": "amend", "params": {}}]}) == (2001, "legs[0].op")
    for codec in (JSON, MSGPACK):
        legs = [cancel, {"op": "place", "params": PLACE | {"qty": 1.5}}, {"op": "place", "params": PLACE}]
        data = codec.encode({"id": 1, "method": "order.batch", "params": {"legs": legs, "resp": "queued"}})
        batch = params_of(data, codec)
        assert isinstance(batch, BatchParams)
        assert batch.resp == "queued"
        first, second, third = batch.legs
        assert first == CancelParams("BTC-USDT", "1")
        assert isinstance(second, Refusal)
        assert (second.code, second.field) == (2001, "qty")
        assert isinstance(third, PlaceParams)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b'{"method":"order.cancel","params":{"symbol":"A","order_id":"1","order_id":"2"}}', "order_id"),
        (b'{"method":"order.cancel","params":{"symbol":"A","order_id":"1","order_id" :"1"}}', "order_id"),
        (b'{"method":"order.cancel","params":{"symbol":"A","order_id":"1","\\u006frder_id":"2"}}', "order_id"),
        (b'{"method":"order.cancel","params":{"symbol":"a:b","order_id":":","order_id":":"}}', "order_id"),
        (b'{"id":1,"method":"ping","id":2}', "id"),
        (b'{"method":"ping","params":{},"params":{}}', "params"),
        (b'{"method":"ping","x":1,"x":1}', "x"),
        (b'{"method":"ping","x":{"y":{"z":1,"z":2}}}', "z"),
        (
            b'{"method":"order.batch","params":{"legs":[{"op":"cancel","params":{"symbol":"A","symbol":"B"}}]}}',
            "symbol",
        ),
        (b'{"method":"session.configure","params":{"cod":{"scope":"off","scope":"session"}}}', "scope"),
    ],
)
def test_a_key_that_occurs_twice_is_1004_wherever_it_is(data: bytes, key: str) -> None:
    got = params_of(data)
    assert isinstance(got, Refusal)
    assert (got.code, got.field) == (1004, key)


def test_colons_and_escapes_inside_of_text_are_no_members(monkeypatch: pytest.MonkeyPatch) -> None:
    for change in ({"cl_ord_id": "a:b:1"}, {"tag": 'x":\\"y'}, {"tag": "\u003a"}, {"retry": None}):
        data = json.dumps({"id": "i:1", "method": "order.place", "params": PLACE | change}).encode()
        assert isinstance(params_of(data), PlaceParams)
    monkeypatch.setattr(json, "loads", None)  # the usual order, and one with colons in its ids, need counting only
    for cl_ord_id in ("a-1", "a:b:1"):
        data = json.dumps({"id": "i:1", "method": "order.place", "params": PLACE | {"cl_ord_id": cl_ord_id}}).encode()
        assert isinstance(params_of(data), PlaceParams)


def test_a_document_too_deep_for_the_walk_is_refused() -> None:
    for depth in range(300, 1_100, 50):
        data = b'{"method":"ping","x":' + b"[" * depth + b"]" * depth + b"}"
        try:
            got = params_of(data)
        except Malformed:
            continue
        assert got == Params() or (isinstance(got, Refusal) and got.text == "nested too deep")


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"\x82\xa6method\xa4ping\xa6method\xa4ping", "method"),
        (b"\x82\xa6method\xa4ping\xd9\x06method\xa4ping", "method"),
        (b"\x82\xa6method\xacorder.cancel\xa6params\x82\xa6symbol\xa1A\xa6symbol\xa1B", "symbol"),
        (b"\x82\xa6method\xacorder.cancel\xa6params\xde\x00\x02\xa6symbol\xa1A\xda\x00\x06symbol\xa1B", "symbol"),
        (b"\x82\xa6method\xb1session.configure\xa6params\x81\xa3cod\x82\xa5scope\xa3off\xa5scope\xa3off", "scope"),
        (b"\x82\xa6method\xa4ping\xa1x\x92\xc7\x01\x05a\x82\xa1y\xcb" + b"\0" * 8 + b"\xa1y\xc0", "y"),
    ],
)
def test_a_key_that_occurs_twice_in_msgpack_is_1004(data: bytes, key: str) -> None:
    got = params_of(data, MSGPACK)
    assert isinstance(got, Refusal)
    assert (got.code, got.field) == (1004, key)


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=5), st.binary(max_size=4)
)
_KEYS = st.sampled_from(["a", "b", "c:", ":", "é", '"', "\\"])
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(_KEYS, inner), max_size=4).map(tuple),
    max_leaves=15,
)


def repeats(value: Any) -> bool:
    """The oracle: here objects are tuples of pairs, so no key is lost."""
    if isinstance(value, tuple):
        keys = [key for key, _ in value]
        return len(set(keys)) < len(keys) or any(repeats(inner) for _, inner in value)
    return isinstance(value, list) and any(map(repeats, value))


def to_json(value: Any) -> str:
    if isinstance(value, tuple):
        return "{" + " , ".join(f"{json.dumps(key)} : {to_json(inner)}" for key, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value.hex() if isinstance(value, bytes) else value)


def to_msgpack(value: Any) -> bytes:
    if isinstance(value, tuple):
        return bytes([0x80 | len(value)]) + b"".join(msgspec.msgpack.encode(k) + to_msgpack(v) for k, v in value)
    if isinstance(value, list):
        return b"\xdd" + len(value).to_bytes(4, "big") + b"".join(map(to_msgpack, value))
    return msgspec.msgpack.encode(value)


def members(value: Any) -> int:
    if isinstance(value, tuple):
        return len({key for key, _ in value}) + sum(members(inner) for _, inner in value)
    return sum(map(members, value)) if isinstance(value, list) else 0


@settings(max_examples=200, deadline=None)
@given(_VALUES)
def test_repeated_keys_are_found_in_any_document(value: Any) -> None:
    assert (duplicate_in_json(to_json(value).encode(), -1) is not None) == repeats(value)
    assert (duplicate_in_msgpack(to_msgpack(value)) is not None) == repeats(value)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_KEYS, st.text(alphabet='a:"\\é', max_size=4)), max_size=6).map(tuple))
def test_the_count_of_colons_never_clears_a_repeated_key(pairs: Any) -> None:
    last = dict(pairs)
    data = to_json(pairs).encode()
    assert (duplicate_in_json(data, len(last), list(last.values())) is not None) == repeats(pairs)
    compact = ("{" + ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in pairs) + "}").encode()
    assert (duplicate_in_json(compact, len(last), list(last.values())) is not None) == repeats(pairs)


_JSONISH = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_ENVELOPES = st.fixed_dictionaries(
    {"method": st.sampled_from([*METHODS, "nonsense"])},
    optional={
        "id": st.one_of(st.none(), st.integers(), st.text(max_size=4)),
        "params": st.one_of(
            _JSONISH,
            st.dictionaries(
                st.sampled_from(["symbol", "side", "type", "qty", "price", "legs", "streams", "ts"]), _JSONISH
            ),
        ),
        "traceparent": st.text(max_size=3),
    },
)


def answer(codec: Codec, data: bytes) -> None:
    """Reading has two results, and no third."""
    try:
        request = codec.request(data)
    except Malformed:
        return
    assert isinstance(request, RequestEnvelope)
    assert isinstance(codec.params(request, data), Params | BatchParams | Refusal)


@settings(max_examples=200, deadline=None)
@given(_ENVELOPES)
def test_any_well_formed_document_gives_params_or_a_refusal(envelope: Any) -> None:
    answer(JSON, json.dumps(envelope).encode())
    if all(abs(number) < 2**63 for number in _ints(envelope)):
        answer(MSGPACK, msgspec.msgpack.encode(envelope))


def _ints(value: Any) -> list[int]:
    if isinstance(value, dict):
        return [number for inner in value.values() for number in _ints(inner)]
    if isinstance(value, list):
        return [number for inner in value for number in _ints(inner)]
    return [value] if isinstance(value, int) else []


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.data())
def test_any_bytes_give_params_a_refusal_or_malformed(data: bytes, draw: st.DataObject) -> None:
    answer(JSON, data)
    answer(MSGPACK, data)
    sound = MSGPACK.encode({"id": 1, "method": "order.place", "params": PLACE})
    at = draw.draw(st.integers(0, len(sound)))
    answer(MSGPACK, sound[:at] + data[:3] + sound[at + len(data[:3]) :])
    sound = JSON.encode({"id": 1, "method": "order.place", "params": PLACE})
    answer(JSON, sound[:at] + data[:3] + sound[at + len(data[:3]) :])
