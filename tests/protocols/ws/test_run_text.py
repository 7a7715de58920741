"""The templates of runs against the general encoders: the same event gives the same bytes.

Modules: protocols.ws.event_text, protocols.ws.answer_text.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.instruments import Instrument, Instruments, rendered
from protocols.messages import (
    COD_EXEMPT,
    DUPLICATE,
    POST_ONLY,
    ExecType,
    OrderEvent,
    OrdStatus,
    OrdType,
    Origin,
    Side,
    Stp,
    Tif,
)
from protocols.ws import event_text, report
from protocols.ws.answer_text import place_answers
from protocols.ws.codec import JSON
from protocols.ws.event_text import OrderEventText
from protocols.ws.order_run import PlaceKind, PlaceRun
from protocols.ws.results import LimitBlock, Response, Times
from tests.support.hooks import ignore

BTC = Instrument(1, "BTC-USDT", "BTC", "USDT", 2, 8)
ODD = Instrument(2, 'O"DD\\/é', "ODD", "X", 0, 0)
INSTRUMENTS = Instruments((BTC, ODD))
NAMES = {0: "", 1: "mm-1", 2: 'a "quoted" \\ name', 3: "é"}
_NUMBERS = st.sampled_from([0, 1, 7, 1_250_000, 10**17])
_EVENTS = st.builds(
    OrderEvent,
    account=st.just(7),
    seq=st.integers(1, 1 << 40),
    cmd_id=st.integers(0, 3),
    t_core=st.integers(0, 1 << 62),
    exec_id=st.integers(0, 1 << 40),
    exec_type=st.sampled_from(ExecType) | st.sampled_from([ExecType.NEW, ExecType.TRADE]),
    status=st.sampled_from(OrdStatus),
    order_id=st.integers(0, 1 << 62),
    cl_ord_id=st.from_regex(r"[A-Za-z0-9._:/-]{1,36}", fullmatch=True),
    instrument=st.sampled_from([1, 2]),
    side=st.sampled_from(Side),
    ord_type=st.sampled_from(OrdType),
    tif=st.sampled_from(Tif),
    qty=_NUMBERS,
    cum_qty=_NUMBERS,
    leaves_qty=_NUMBERS,
    cum_quote=_NUMBERS,
    price=_NUMBERS,
    stop_px=st.sampled_from([0, 0, 0, 5]),
    orig_cl_ord_id=st.sampled_from(["", "", "", "before"]),
    last_qty=_NUMBERS,
    last_px=_NUMBERS,
    trade_id=st.integers(0, 1 << 40),
    maker=st.booleans(),
    fee=st.sampled_from([0, 3, -3]),
    fee_asset=st.sampled_from(["", "", "USDT"]),
    code=st.sampled_from([0, 0, 0, 4001, 2004]),
    text=st.sampled_from(["", "", "said the core"]),
    tag=st.sampled_from(["", "grid-1", 'a "b" \\ c', "<&>"]),
    flags=st.sampled_from([0, POST_ONLY, COD_EXEMPT, POST_ONLY | COD_EXEMPT, DUPLICATE]),
    session=st.sampled_from(list(NAMES)),
    origin=st.sampled_from(Origin),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_EVENTS, max_size=6))
def test_an_event_is_written_as_the_general_encoder_writes_it(events):
    def general(event):
        return JSON.encode(report.event_wire(event, INSTRUMENTS, NAMES[event.session]))

    slow = []
    text = OrderEventText(INSTRUMENTS, NAMES.__getitem__, lambda event: slow.append(event) or general(event))
    assert text.write(events) == [general(event) for event in events]
    usual = [event for event in events if event.exec_type is ExecType.NEW and event.order_id]
    plain = [each for each in usual if not (each.stop_px or each.orig_cl_ord_id or each.code or each.text)]
    assert not [event for event in plain if event in slow], "an acceptance is what the template is for"


def test_what_is_remembered_of_kinds_of_events_is_bounded(monkeypatch):
    monkeypatch.setattr(event_text, "_MAX_WORDINGS", 3)
    text = OrderEventText(INSTRUMENTS, NAMES.__getitem__, ignore)
    for tif in Tif:
        new = (1, tif, 0, 0, 1, ExecType.NEW, OrdStatus.NEW, 1, "a", 1, Side.BUY, OrdType.LIMIT, tif, 5, 0, 5)
        assert b'"tif":"%b"' % tif.name.lower().encode() in text.write([OrderEvent(*new)])[0]
        assert len(text._wordings) <= 3


def kind_of(instrument):
    return PlaceKind(
        instrument, Side.BUY, OrdType.LIMIT, Tif.GTC, 0, Stp.DEFAULT, 6, {}, {}, rendered(instrument.qty_exp), 0, 1
    )


_IDS = st.integers(-(1 << 53), 1 << 53) | st.text(max_size=64)
_BLOCKS = st.sampled_from([None, (LimitBlock(name='o"', scope="key", remaining=3, capacity=9, rate=0.5),)])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_IDS, _EVENTS), min_size=1, max_size=5), _BLOCKS, st.sampled_from(["accepted", "none"]))
def test_an_answer_is_written_as_the_general_encoder_writes_it(rows, blocks, resp):
    t_in_ns, out_ns, first = 1_795_348_800_000_377_999, 1_795_348_800_000_399_001, 40
    orders = [
        (key, event.cl_ord_id, kind_of(INSTRUMENTS.by_id[event.instrument]), 1, 1, 0, "", 0) for key, event in rows
    ]
    run = PlaceRun(orders, [b""] * len(rows), resp, t_in_ns)
    finals = {first + index: event for index, (_, event) in enumerate(rows)}
    answers = place_answers(run, first, finals, out_ns, blocks)
    assert list(answers) == list(finals)
    for (key, event), made in zip(rows, answers.values(), strict=True):
        if event.exec_type is ExecType.REJECTED or event.code or event.flags & DUPLICATE:
            assert made is None, "the general road words a refusal, and the state of an order that was known"
        elif resp == "none":
            assert made == b""
        else:
            result = report.answer("order.place", event, INSTRUMENTS)
            times = Times(t_in_ns // 1_000, out_ns // 1_000)
            whole = (
                Response(key, 200, times, result)
                if blocks is None
                else Response(key, 200, times, result, limits=blocks)
            )
            assert made == JSON.encode(whole)
