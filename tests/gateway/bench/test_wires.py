"""What a load client writes and how it reads answers, held against the protocols' own readers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.flow import Flow, Market
from gateway.bench.venue import KEY
from gateway.bench.wires import FixWire, Identity, Refusal, WsWire
from protocols.fix.framing import Framer
from tests.support import ws_frames

FLOW = Flow(Market(), 0, prices=2)
FIX, WS = FixWire(Identity()), WsWire(Identity(key=KEY))


def fix(*texts: str) -> bytes:
    return b"".join(f"8=FIX.4.4|9=5|{text}10=000|".replace("|", "\x01").encode() for text in texts)


def served(*objects: object) -> bytes:
    """Text frames as a server sends them."""
    return b"".join(ws_frames.text(json.dumps(each, separators=(",", ":")), key=None) for each in objects)


def test_fix_orders_are_whole_messages_numbered_from_two_with_ids_of_their_own() -> None:
    orders = FIX.orders(3, FLOW)
    wire = FIX.greeting(3) + orders.take(2) + orders.take(9)
    messages = Framer().feed(wire)
    assert b"".join(messages) == wire, "lengths and checksums are right"
    fields = [dict(pair.split(b"=", 1) for pair in each.split(b"\x01")[:-1]) for each in messages]
    assert [each[b"34"] for each in fields] == [b"%d" % n for n in range(1, 13)]
    assert {each[b"49"] for each in fields} == {b"S3"}
    assert len({each[b"11"] for each in fields[1:]}) == 11
    assert [(each[b"54"], each[b"44"]) for each in fields[1:4]] == [
        (b"1", b"64250.49"),
        (b"2", b"64250.51"),
        (b"1", b"64250.48"),
    ]


def test_a_long_fix_message_has_its_checksum_too() -> None:
    orders = FixWire(Identity(comp_id="S" * 32)).orders(1, Flow(Market(symbol="X" * 400), 0, 1))
    assert len(Framer().feed(orders.take(1))) == 1


def test_websocket_orders_are_masked_frames_with_ids_from_one() -> None:
    orders = WS.orders(7, FLOW)
    wire = orders.take(2) + orders.take(1)
    frames = []
    while wire:
        size = int.from_bytes(wire[2:4], "big")
        assert wire[:2] == b"\x81\xfe"
        frames.append(json.loads(bytes(byte ^ wire[4 + at % 4] for at, byte in enumerate(wire[8 : 8 + size]))))
        wire = wire[8 + size :]
    assert [(each["id"], each["params"]["side"]) for each in frames] == [(1, "buy"), (2, "sell"), (3, "buy")]
    assert len({each["params"]["cl_ord_id"] for each in frames}) == 3


@pytest.mark.parametrize("wire", [FIX, WS], ids=["fix", "ws"])
@given(data=st.data())
def test_a_read_that_is_cut_anywhere_is_cut_after_a_whole_message(wire: FixWire | WsWire, data: st.DataObject) -> None:
    long = {"id": 1, "status": 200, "result": "x" * 130}
    messages = [fix("35=8|"), fix("35=8|150=0|")] * 2 if wire is FIX else [served({"a": 1}), served(long)] * 2
    stream = b"".join(messages)
    ends = {len(b"".join(messages[:n])) for n in range(5)}
    read = data.draw(st.integers(0, len(stream)))
    cut = wire.whole(stream[:read])
    assert cut in ends
    assert read - cut < 2 * max(map(len, messages)), "at most a whole message is left for the next read"


def test_fix_refusals_name_the_order_and_the_code() -> None:
    accepted, refusals = FIX.refusals(
        fix(
            "35=8|11=b1-3-17|150=0|39=0|",
            "35=8|11=b1-3-18|150=8|39=8|103=99|25016=3001|",
            "35=8|11=b1-3-19|150=8|39=8|103=6|",  # a plain dialect
            "35=j|379=b1-3-20|380=8|25016=3003|",
            "35=3|45=22|373=5|25016=2001|",
            "35=8|11=b1-3-16|150=F|39=2|",
        )
    )
    expected = [Refusal(18, "3001"), Refusal(19, "103=6"), Refusal(20, "3003"), Refusal(21, "2001")]
    assert (accepted, refusals) == (1, expected)


def test_websocket_refusals_name_the_order_and_the_code() -> None:
    accepted, refusals = WS.refusals(
        served(
            {"id": 4, "status": 200, "t": {"in": 1, "out": 2}, "result": {"status": "new"}},
            {"id": 5, "status": 429, "t": {"in": 1, "out": 2}, "error": {"code": 3001, "name": "rate_limited"}},
            {"ev": "order", "seq": 5, "data": {"exec": "rejected", "code": 4003}},
        )
    )
    assert (accepted, refusals) == (1, [Refusal(5, "3001")])


def test_only_an_empty_ping_is_answered() -> None:
    assert WS.reply(served({"id": 1})) == b""
    assert ws_frames.frame(0xA, key=b"\x37\xfa\x21\x3d") == WS.reply(served({"id": 1}) + b"\x89\x00")


def test_a_last_word_is_read() -> None:
    assert FIX.farewell(fix("35=5|34=2|58=superseded|")) == "superseded"
    assert FIX.farewell(fix("35=0|")) == ""
    assert WS.farewell(ws_frames.frame(0x8, (4008).to_bytes(2, "big") + b"too slow", key=None)) == "4008 too slow"
    assert WS.farewell(served({"id": 1})) == ""
