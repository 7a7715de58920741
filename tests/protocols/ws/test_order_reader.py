"""Runs of plain orders against the general road, which would have made the same commands of what the reader takes."""

import json
import tracemalloc
import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.memory_bounds import _TERMS_BYTES
from protocols.errors import Refusal
from protocols.instruments import Instrument, Instruments
from protocols.known_numbers import KnownNumbers
from protocols.messages import NewOrder, Origin, Sender
from protocols.ws import order_reader
from protocols.ws.codec import JSON, Malformed
from protocols.ws.framing import DataMessage, Ping
from protocols.ws.order_reader import PlaceReader, request_in
from protocols.ws.order_run import MAX_TAGS
from protocols.ws.schema import PlaceParams, RequestEnvelope
from protocols.ws.translate import command, places_of

US = 1_000
NOW_NS = 1_795_348_800_000_000_000
TS = NOW_NS // US
BTC = Instrument(1, "BTC-USDT", "BTC", "USDT", 2, 4, min_notional=5_000_000, max_qty=1_000_000, band_high=10_000_000)
ETH = Instrument(2, "ETH-USDT", "ETH", "USDT", 2, 4, tick=5, session_bound=True)
INSTRUMENTS = Instruments((BTC, ETH))
ORDER = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "cl_ord_id": "a-1", "qty": "1.5", "price": "100.00"}


def sender():
    return Sender(3, 7, Origin.WS, order_n=11)


def reader(deadline_ms=0):
    return PlaceReader(INSTRUMENTS, KnownNumbers(), deadline_ms)


def message(params=None, **envelope):
    return json.dumps({"id": 1, "method": "order.place", "params": {**ORDER, **(params or {})}, **envelope}).encode()


def read(*messages, using=None):
    frames = [DataMessage(bytearray(data), False) for data in messages]
    return (using or reader()).read(frames, 0, NOW_NS)


def taken(*messages):
    """How many of them are a run."""
    run = read(*messages)
    return len(run.orders) if run is not None else 0


def general(data, deadline_ms=0):
    """What the general road makes of a message: a command that admission takes, or None."""
    try:
        request = JSON.request(data)
    except Malformed:
        return None
    params = JSON.params(request, data)
    if request.method != "order.place" or isinstance(params, Refusal):
        return None
    made = command("order.place", params, sender(), NOW_NS, INSTRUMENTS, deadline_ms)
    if not isinstance(made, NewOrder) or (made.deadline and made.deadline < NOW_NS):
        return None
    instrument = INSTRUMENTS.by_id[made.instrument]
    wrong = instrument.check_qty(made.qty) or instrument.check_price(made.price)
    return None if wrong or instrument.check_notional(made.qty * made.price) else made


def test_a_run_is_all_that_is_plain_and_consecutive():
    run = read(message(), message({"side": "sell", "cl_ord_id": "a-2"}, id="x"), message(), message({"retry": True}))
    assert [order[0] for order in run.orders] == [1, "x", 1]
    first, second, _ = places_of(run, sender())
    assert (first.cmd_id, second.cmd_id) == (3 << 41 | 12, 3 << 41 | 13)
    assert first == general(message())


def test_a_message_of_a_run_can_be_read_again_by_the_general_road():
    run = read(message({"tag": "t"}), message({"cl_ord_id": "b"}, id="x"))
    asked = request_in(run, 1, JSON)
    assert (asked.request_id, asked.params.cl_ord_id, asked.t_in_ns) == ("x", "b", NOW_NS)
    assert asked.size_bytes == run.messages[1].__len__() == len(message({"cl_ord_id": "b"}, id="x"))


PLAIN = {
    "an order": {},
    "of a session instrument": {"symbol": "ETH-USDT", "price": "100.05"},
    "with a time in force": {"tif": "fok"},
    "that only rests": {"post_only": True},
    "that need not rest": {"post_only": False},
    "with self-trade prevention": {"stp": "decrement"},
    "that outlives its link": {"cod": "exempt"},
    "with a tag": {"tag": 'a "tag"'},
    "with its time": {"ts": TS - 900_000},
    "with a window": {"valid_for_ms": 50},
    "with a window from its time on": {"valid_for_ms": 50, "ts": TS - 20_000},
    "that wants no answer": {"resp": "none"},
    "with colons in its id": {"cl_ord_id": "a:b:c"},
}


@pytest.mark.parametrize("params", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("deadline_ms", [0, 700])
def test_a_plain_order_becomes_the_command_of_the_general_road(params, deadline_ms):
    run = read(message(params), using=reader(deadline_ms))
    assert list(places_of(run, sender())) == [general(message(params), deadline_ms)]


NOT_PLAIN = {
    "another method": message(method="order.replace"),
    "no id": b'{"method":"order.place","params":%b}' % json.dumps(ORDER).encode(),
    "id null": message(id=None),
    "an id that is too long": message(id="x" * 65),
    "a traceparent": message(traceparent="00-1"),
    "a member of the envelope that is unknown": message(later=1),
    "a key twice": message().replace(b'"qty": "1.5"', b'"qty": "9", "qty": "1.5"'),
    "a key twice, with a colon in a value": message({"cl_ord_id": "a:b"}).replace(b'"qty"', b'"qty": "9", "qty"'),
    "an id twice": message().replace(b'"id": 1', b'"id": 1, "id": 1'),
    "an unknown field": message({"later": 1}),
    "a number that is not text": message({"qty": 1}),
    "a market order": message({"type": "market"}),
    "a date": message({"tif": "gtd", "expire_at": TS}),
    "a retry": message({"retry": True}),
    "an answer at hand-over": message({"resp": "queued"}),
    "an unknown symbol": message({"symbol": "X"}),
    "an id of other characters": message({"cl_ord_id": "a b"}),
    "an id that ends with a line feed": message({"cl_ord_id": "ab\n"}),
    "a tag of other characters": message({"tag": "é"}),
    "a post-only order that cannot rest": message({"post_only": True, "tif": "ioc"}),
    "a price off the tick": message({"symbol": "ETH-USDT", "price": "100.01"}),
    "a price with too many decimals": message({"price": "100.001"}),
    "a price above the band": message({"price": "100000.01"}),
    "a quantity of 0": message({"qty": "0"}),
    "a quantity above the largest": message({"qty": "101"}),
    "a notional that is too small": message({"qty": "0.0001", "price": "0.01"}),
    "a window that is over": message({"valid_for_ms": 50, "ts": TS - 51_000}),
    "a time ahead of ours": message({"ts": TS + 1_000_000}),
    "a time of long ago": message({"ts": TS - 1_000_000}),
    "more than a plain order needs": message() + b" " * 1_024,
    "half of it": message()[:-1],
    "nothing": b"",
    "deep nesting": b"[" * 1_000,
}


@pytest.mark.parametrize("data", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_not_plain_ends_the_run(data):
    assert taken(message(), data, message()) == 1
    assert taken(data) == 0


def test_another_wish_for_an_answer_begins_a_new_run():
    assert taken(message({"resp": "none"}), message({"resp": "none"}), message()) == 2
    assert taken(message(), message({"resp": "accepted"}), message({"resp": "none"})) == 2


def test_frames_that_are_no_text_end_the_run():
    plain = DataMessage(message(), False)
    for other in (DataMessage(message(), True), Ping(b"")):
        assert len(reader().read([plain, other, plain], 0, NOW_NS).orders) == 1


def test_plain_orders_have_fields_of_the_method_with_its_types_or_narrower_ones():
    plain, whole = (msgspec.inspect.type_info(each).fields for each in (order_reader._Plain, PlaceParams))
    types = {field.name: field.type for field in whole}
    assert [field.name for field in plain if field.type != types[field.name]] == ["type", "qty", "price", "tif", "resp"]
    hints = typing.get_type_hints(order_reader._Place, include_extras=True)
    assert set(typing.get_args(hints["id"])) < set(typing.get_args(RequestEnvelope.__annotations__["id"]))


def test_what_is_remembered_of_kinds_is_bounded(monkeypatch):
    monkeypatch.setattr(order_reader, "MAX_KINDS", 3)
    one = reader()
    for tif in ("day", "gtc", "ioc", "fok", "day"):
        assert read(message({"tif": tif}), using=one) is not None
        assert len(one._kinds) <= 3


def test_words_that_the_general_road_refuses_are_not_remembered():
    one = reader()
    for number in range(100):
        assert read(message({"symbol": f"X{number}"}), using=one) is None
    assert not one._kinds


_FIELDS = [*ORDER, "tif", "post_only", "stp", "cod", "tag", "ts", "valid_for_ms", "resp", "retry", "display_qty"]
_VALUES = [
    "1", "1.50", "0.0001", "100", "64250.5", "0", "1e3", "-1", " 1", "٣", "x" * 37, "x:y", "", "buy", "sell", "limit",
    "market", "ETH-USDT", "gtc", "ioc", "gtd", "none", "queued", "accepted", "exempt", "expire_maker", True, False,
    None, 1, 50, 61_000, TS, TS - 10_000, TS - 10_000_000, TS + 10_000_000, 1.0, {}, [], "é", "a\\b", 'q"', "\n",
]  # fmt: skip
_CHANGES = st.dictionaries(st.sampled_from(_FIELDS), st.sampled_from(_VALUES), max_size=3)
_MANGLED = st.tuples(
    st.integers(0, 260), st.integers(0, 3), st.sampled_from([b"", b'"', b":", b",", b"}", b"{", b"\\", b"1"])
)


@settings(max_examples=600, deadline=None)
@given(_CHANGES, st.sampled_from([{}, {"id": "é"}, {"id": 2.0}, {"traceparent": ""}]), st.none() | _MANGLED)
def test_the_general_road_would_have_made_the_same_command(changes, envelope, mangled):
    data = message(changes, **envelope)
    if mangled is not None:
        at, cut, more = mangled
        data = data[:at] + more + data[at + cut :]
    try:
        data.decode()
    except UnicodeDecodeError:
        return  # no text frame
    run = read(data, using=reader(700))
    if run is not None:
        assert list(places_of(run, sender())) == [general(data, 700)]
        again = request_in(run, 0, JSON)
        assert again.request_id == run.orders[0][0]
        assert (again.params.resp or "accepted") == run.resp
        assert again.traceparent == ""


def test_what_is_remembered_of_kinds_is_bounded_and_learned_again(monkeypatch):
    """Whoever uses all the words there are costs others one look at the general road, and no memory."""
    monkeypatch.setattr(order_reader, "MAX_KINDS", 5)
    using = reader()
    words = [
        {"side": side, "tif": tif, "stp": stp}
        for side in ("buy", "sell")
        for tif in ("gtc", "ioc")
        for stp in ("none", "expire_taker")
    ]
    for params in words * 3:
        assert read(message(params), using=using)
        assert len(using._kinds) <= 5


def test_what_a_kind_remembers_of_tags_is_what_the_bound_of_memory_says():
    using = reader()
    assert read(message(), using=using)
    (kind,) = using._kinds.values()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(MAX_TAGS * 3):
        kind.terms(f"{number:064}")
        assert len(kind.by_tag) <= MAX_TAGS
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < MAX_TAGS * _TERMS_BYTES
