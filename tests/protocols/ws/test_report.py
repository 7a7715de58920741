"""Events and answers as a client reads them; the published samples come out of the events that they show."""

import json
from decimal import Decimal
from typing import Any

import pytest

from protocols.errors import CODES, ENGINE_BUSY, ENGINE_TIMEOUT, INTERNAL, RATE_LIMITED, LocalProtocolError, Refusal
from protocols.instruments import Instrument, Instruments
from protocols.messages import (
    DUPLICATE,
    POST_ONLY,
    AnyEvent,
    CancelRejected,
    EngineState,
    ExecType,
    MassCancelDone,
    OrderEvent,
    OrderList,
    OrdStatus,
    OrdType,
    Origin,
    Side,
    Stp,
    Tif,
)
from protocols.ws import enums
from protocols.ws.codec import JSON
from protocols.ws.report import (
    answer,
    batch_result,
    cancel_refused,
    canceled,
    event_wire,
    instrument_row,
    leg_result,
    mass_canceled,
    order_list,
    order_row,
    order_status,
    placed,
    refused,
)
from protocols.ws.results import EventWire, Response, SnapshotData, Times, error_body
from tests.support.ws_samples import OF

BTC = Instrument(1, "BTC-USDT", "BTC", "USDT", 2, 8)
INSTRUMENTS = Instruments((BTC,))
NEW = OrderEvent(
    account=1001,
    seq=1042,
    cmd_id=5,
    t_core=1_795_348_800_000_377_999,
    exec_id=990001,
    exec_type=ExecType.NEW,
    status=OrdStatus.NEW,
    order_id=812345678901,
    cl_ord_id="mm-7f3a-000123",
    instrument=1,
    side=Side.BUY,
    ord_type=OrdType.LIMIT,
    tif=Tif.GTC,
    qty=1_250_000,
    cum_qty=0,
    leaves_qty=1_250_000,
    price=6_425_050,
    tag="grid-1",
    flags=POST_ONLY,
    session=7,
    origin=Origin.WS,
)


def but(event: OrderEvent = NEW, **change: Any) -> OrderEvent:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return OrderEvent(**(fields | change))


FILL = but(
    seq=1043,
    t_core=1_795_348_801_500_000_000,
    exec_id=990014,
    exec_type=ExecType.TRADE,
    status=OrdStatus.PARTIALLY_FILLED,
    cum_qty=500_000,
    leaves_qty=750_000,
    cum_quote=3_212_525_000_000,
    last_qty=500_000,
    last_px=6_425_050,
    trade_id=44001,
    maker=True,
    fee=-160_626_200,
    fee_asset="USDT",
    cmd_id=0,
)


def on_the_wire(value: object) -> Any:
    return json.loads(JSON.encode(value))


def sample(kind: str, **wanted: object) -> Any:
    """The one sample with these members."""
    (found,) = (plain for plain in map(json.loads, OF[kind]) if wanted.items() <= plain.items())
    return found


def wire(event: AnyEvent, session: str = "", replay: bool = False) -> Any:
    return on_the_wire(event_wire(event, INSTRUMENTS, session, replay))


# The samples of B.3.


def test_the_event_of_an_accepted_order() -> None:
    assert wire(NEW, "mm-bot-1") == sample("EventWire", seq=1042)


def test_the_event_of_a_fill() -> None:
    result, expected = wire(FILL, "mm-bot-1"), sample("EventWire", seq=1043)
    # Amounts are exact in price x quantity: ten decimals here, where the sample has eight.
    for amount in ("cum_quote", "fee"):
        assert Decimal(result["data"].pop(amount)) == Decimal(expected["data"].pop(amount))
    assert result == expected


@pytest.mark.parametrize(
    ("request_id", "result"),
    [
        ("a1", placed(NEW, BTC)),
        (13, mass_canceled(MassCancelDone(1001, 1, 1, 1, "", 17))),
    ],
)
def test_the_results_of_requests(request_id: object, result: object) -> None:
    assert on_the_wire(result) == sample("Response", id=request_id)["result"]


def test_the_result_of_a_batch() -> None:
    cancel = but(exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED, seq=1047)
    reject = but(exec_type=ExecType.REJECTED, code=4005, text="post-only order would trade at once", order_id=0)
    legs = [leg_result(canceled(cancel)), leg_result(refused(reject, BTC))]
    assert on_the_wire(batch_result(legs)) == sample("Response", id=15)["result"]


@pytest.mark.parametrize(
    ("request_id", "refusal"),
    [
        (
            "a2",
            Refusal(
                RATE_LIMITED,
                "orders/account: 200 burst, 100 per second",
                7,
                data={"limit": "orders", "scope": "account", "cost": 1, "strikes": 1},
            ),
        ),
        ("a3", Refusal(ENGINE_BUSY, "not sent to the engine, tokens returned", 20)),
        (
            "a4",
            Refusal(ENGINE_TIMEOUT, "handed over, no answer in 2000 ms; resend with retry:true or ask order.status"),
        ),
    ],
)
def test_the_refusals(request_id: object, refusal: Refusal) -> None:
    expected = sample("Response", id=request_id)
    assert on_the_wire(error_body(refusal)) == expected["error"]
    assert CODES[refusal.code].ws == expected["status"]


def test_a_whole_response_of_the_contract() -> None:
    response = Response("a1", 200, Times(1_795_348_800_000_151, 1_795_348_800_000_402), placed(NEW, BTC))
    assert on_the_wire(response) == sample("Response", id="a1")


def test_the_snapshot() -> None:
    open_order = but(
        cl_ord_id="mm-7f3a-000127",
        price=6_424_900,
        qty=2_000_000,
        cum_qty=500_000,
        leaves_qty=1_500_000,
        status=OrdStatus.PARTIALLY_FILLED,
        flags=0,
        tag="",
    )
    data = SnapshotData("e-20261122-2", (order_row(open_order, BTC),), True)
    event = EventWire(ev="snapshot", seq=2_210, ts=1_795_349_000_000_000, data=data)
    assert on_the_wire(event) == sample("EventWire", seq=2_210)


# Events.


def test_a_replayed_event_differs_by_its_mark_only() -> None:
    assert wire(FILL, replay=True) == wire(FILL) | {"replay": True}


def test_an_unrequested_cancel_has_its_reason() -> None:
    event = but(
        exec_type=ExecType.CANCELED,
        status=OrdStatus.CANCELED,
        leaves_qty=0,
        code=6001,
        text="cancelled on disconnect",
        origin=Origin.COD,
        orig_cl_ord_id="mm-7f3a-000123",
    )
    data = wire(event)["data"]
    assert (data["exec"], data["status"], data["origin"]) == ("canceled", "canceled", "cod")
    assert (data["code"], data["reason"], data["text"]) == (6001, "disconnected", "cancelled on disconnect")
    assert "orig_cl_ord_id" not in data, "the id was not changed"


def test_an_order_cancelled_over_fix_is_still_named_by_its_own_id() -> None:
    event = but(
        exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED, cl_ord_id="cancel-7", orig_cl_ord_id=NEW.cl_ord_id
    )
    data = wire(event)["data"]
    assert data["cl_ord_id"] == NEW.cl_ord_id
    assert "orig_cl_ord_id" not in data


def test_a_replaced_order_names_the_id_it_had() -> None:
    event = but(exec_type=ExecType.REPLACED, cl_ord_id="mm-2", orig_cl_ord_id="mm-1")
    data = wire(event)["data"]
    assert (data["exec"], data["cl_ord_id"], data["orig_cl_ord_id"]) == ("replaced", "mm-2", "mm-1")


def test_a_market_order_has_no_price_and_a_fill_without_fees_no_fee() -> None:
    data = wire(but(FILL, ord_type=OrdType.MARKET, price=0, fee=0, fee_asset="", maker=False))["data"]
    assert not {"price", "stop_price", "fee", "fee_asset", "post_only", "session", "origin"} & data.keys()
    assert data["liquidity"] == "taker"


def test_text_of_other_doors_is_escaped_for_json() -> None:
    assert wire(but(tag='a"b\\c'))["data"]["tag"] == 'a"b\\c'


def test_cancel_rejects_mass_cancels_and_market_states_are_events_of_their_own() -> None:
    rejected = CancelRejected(1001, 9, 1, 5_000, "c-1", "o-1", 12, OrdStatus.FILLED, "2", 4004, "filled already", 7)
    assert wire(rejected) == {
        "ev": "cancel_rejected",
        "seq": 9,
        "ts": 5,
        "data": {
            "response_to": "replace",
            "status": "filled",
            "code": 4004,
            "reason": "too_late",
            "order_id": "12",
            "cl_ord_id": "c-1",
            "orig_cl_ord_id": "o-1",
            "text": "filled already",
        },
    }
    done = MassCancelDone(1001, 10, 1, 5_000, "mc", 3)
    assert wire(done) == {"ev": "mass_canceled", "seq": 10, "ts": 5, "data": {"canceled": 3, "cl_ord_id": "mc"}}
    state = EngineState(0, 0, 0, 5_000, "halted", 1, "circuit breaker")
    data = {"state": "halted", "symbol": "BTC-USDT", "text": "circuit breaker"}
    assert wire(state) == {"ev": "system", "ts": 5, "data": data}


def test_an_order_list_is_no_event() -> None:
    with pytest.raises(LocalProtocolError):
        event_wire(OrderList(1, 1, 1, 1, "", ()), INSTRUMENTS)
    with pytest.raises(LocalProtocolError):
        answer("order.place", EngineState(0, 0, 0, 1, "normal"), INSTRUMENTS)


# Answers.


def test_each_method_gets_its_own_result() -> None:
    gone = but(exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED)
    assert answer("order.place", NEW, INSTRUMENTS) == placed(NEW, BTC)
    assert answer("order.replace", NEW, INSTRUMENTS) == placed(NEW, BTC)
    assert answer("order.cancel", gone, INSTRUMENTS) == canceled(gone)
    done = MassCancelDone(1, 1, 1, 1, "", 2)
    assert answer("order.cancel_all", done, INSTRUMENTS) == mass_canceled(done)
    listed = OrderList(1, 44, 1, 1, "", (NEW, but(order_id=2)))
    assert answer("order.list", listed, INSTRUMENTS) == order_list(listed, INSTRUMENTS)
    assert answer("order.status", listed, INSTRUMENTS) == order_status(listed, INSTRUMENTS)
    assert on_the_wire(order_list(listed, INSTRUMENTS))["seq"] == 44


def test_a_known_retry_is_answered_as_duplicate_with_the_orders_state() -> None:
    known = but(exec_type=ExecType.ORDER_STATUS, status=OrdStatus.FILLED, flags=DUPLICATE | POST_ONLY)
    assert on_the_wire(answer("order.place", known, INSTRUMENTS)) == on_the_wire(placed(NEW, BTC)) | {
        "status": "filled",
        "duplicate": True,
    }


def test_an_answer_has_the_requested_id_if_the_order_has_another_now() -> None:
    known = but(exec_type=ExecType.ORDER_STATUS, flags=DUPLICATE, cl_ord_id="b", orig_cl_ord_id="a")
    for method, event in (("order.place", known), ("order.status", OrderList(1, 44, 1, 1, "", (known,)))):
        result = on_the_wire(answer(method, event, INSTRUMENTS))
        assert (result["cl_ord_id"], result["orig_cl_ord_id"]) == ("b", "a")
    replaced = but(exec_type=ExecType.REPLACED, cl_ord_id="b", orig_cl_ord_id="a")
    assert "orig_cl_ord_id" not in on_the_wire(answer("order.replace", replaced, INSTRUMENTS))


def test_the_event_of_a_used_id_has_not_the_order_id_of_the_order_that_lives() -> None:
    event = but(exec_type=ExecType.REJECTED, status=OrdStatus.REJECTED, code=4003)
    assert "order_id" not in on_the_wire(event_wire(event, INSTRUMENTS).data)


def test_a_used_id_is_refused_with_the_order_that_has_it() -> None:
    event = but(exec_type=ExecType.REJECTED, status=OrdStatus.REJECTED, code=4003, text="used before")
    result = answer("order.place", event, INSTRUMENTS)
    assert isinstance(result, Refusal)
    body = on_the_wire(error_body(result))
    assert body["data"] == {"order": {"order_id": "812345678901", "cl_ord_id": "mm-7f3a-000123"}}
    assert (body["retry"], body["outcome"], "retry_after_ms" in body) == (False, "not_executed", False)
    whole = on_the_wire(error_body(refused(event, BTC, NEW)))
    assert whole["data"]["order"] == on_the_wire(order_row(NEW, BTC))


def test_a_refused_cancel_has_the_state_of_the_order_if_there_is_one() -> None:
    late = CancelRejected(1, 1, 1, 1, "", "o", 12, OrdStatus.FILLED, "1", 4004, "")
    assert cancel_refused(late) == Refusal(4004, "too_late", data={"order": {"order_id": "12", "status": "filled"}})
    unknown = CancelRejected(1, 1, 1, 1, "", "o", 0, OrdStatus.REJECTED, "1", 4002, "no such order")
    assert answer("order.cancel", unknown, INSTRUMENTS) == Refusal(4002, "no such order")
    assert answer("order.status", OrderList(1, 1, 1, 1, "", ()), INSTRUMENTS) == Refusal(4002, "unknown order")


def test_a_code_that_our_list_does_not_know_still_says_no() -> None:
    result = refused(but(exec_type=ExecType.REJECTED, code=9_999, text="moon phase"), BTC)
    assert (result.code, result.text, result.outcome) == (2008, "moon phase", "not_executed")


def test_a_market_order_that_found_nothing_is_answered_as_cancelled_with_the_reason() -> None:
    event = but(exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED, code=4008, leaves_qty=0)
    result = on_the_wire(answer("order.place", event, INSTRUMENTS))
    assert (result["status"], result["code"], result["reason"]) == ("canceled", 4008, "no_liquidity")


def test_a_field_to_blame_goes_into_the_data_beside_what_else_is_there() -> None:
    assert on_the_wire(error_body(Refusal(2001, "bad", field="price")))["data"] == {"field": "price"}
    both = on_the_wire(error_body(Refusal(2004, "bad", field="price", data={"tick": "0.01"})))["data"]
    assert both == {"tick": "0.01", "field": "price"}


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_body_and_only_unknown_outcomes_say_unknown(code: int) -> None:
    body = on_the_wire(error_body(Refusal(code, "text")))
    assert (body["code"], body["name"]) == (code, CODES[code].name)
    assert (body["outcome"] == "unknown") == (code in {ENGINE_TIMEOUT, INTERNAL})
    assert body.get("data") == ({"state": "busy"} if code == ENGINE_BUSY else None)


# Limits, instruments, words.


def test_instruments_are_listed_with_the_bounds_they_have() -> None:
    assert on_the_wire(instrument_row(BTC)) == {
        "symbol": "BTC-USDT",
        "base": "BTC",
        "quote": "USDT",
        "tick": "0.01",
        "lot": "0.00000001",
    }
    bounded = Instrument(1, "B", "B", "U", 1, 0, 5, 10, 10, 100, 1_000, 0, 5, 9_995)
    assert on_the_wire(instrument_row(bounded)) == {
        "symbol": "B",
        "base": "B",
        "quote": "U",
        "tick": "0.5",
        "lot": "10",
        "min_qty": "10",
        "max_qty": "100",
        "min_notional": "100.0",
        "band_low": "0.5",
        "band_high": "999.5",
    }


def test_every_value_of_the_dictionary_has_its_word_and_every_word_its_value() -> None:
    members = {
        "side": Side,
        "type": OrdType,
        "tif": Tif,
        "stp": Stp,
        "exec": ExecType,
        "status": OrdStatus,
        "origin": Origin,
    }
    for field, enum in members.items():
        table = enums.TABLES[field]
        assert sorted(table.values()) == sorted(str(member.value) for member in enum), field
        assert len(set(table.values())) == len(table)
    assert enums.TABLES["status"]["partial"] == "1"
    assert enums.TABLES["exec"]["trade"] == "F"
