"""Requests as commands: the same values as from FIX, exact numbers; anything else is a refusal with its field."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, Refusal
from protocols.instruments import Instrument, Instruments, render
from protocols.messages import (
    COD_EXEMPT,
    POSS_RESEND,
    POST_ONLY,
    AnyCommand,
    CancelOrder,
    Lane,
    MassCancel,
    NewOrder,
    OrdType,
    Origin,
    QueryOrders,
    ReplaceOrder,
    Sender,
    Side,
    Stp,
    Tif,
)
from protocols.ws.codec import JSON
from protocols.ws.schema import CancelAfterParams
from protocols.ws.translate import COMMANDS, command, dead_man_ms
from tests.support.command_ids import unpack_cmd_id

T = 1_795_348_800_000_151_000
BTC = Instrument(1, "BTC-USDT", "BTC", "USDT", 2, 8)
GOLD = Instrument(2, "GOLD", "XAU", "IRR", 0, 3, session_bound=True)
INSTRUMENTS = Instruments((BTC, GOLD))
PLACE = {
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "cl_ord_id": "mm-1",
    "price": "64250.50",
    "qty": "0.0125",
}


def make(
    method: str, params: dict[str, object], sender: Sender | None = None, order_deadline_ms: int = 0
) -> AnyCommand | Refusal | list[AnyCommand | Refusal]:
    data = JSON.encode({"id": 1, "method": method, "params": params})
    typed = JSON.params(JSON.request(data), data)
    if isinstance(typed, Refusal):
        return typed
    return command(method, typed, sender or Sender(7, 1001, Origin.WS), T, INSTRUMENTS, order_deadline_ms)


def place(**change: object) -> NewOrder:
    made = make("order.place", PLACE | change)
    assert isinstance(made, NewOrder), made
    return made


def refusal(method: str, params: dict[str, object]) -> tuple[int, str]:
    """(code, field) of the refusal; it used no number of the sender."""
    sender = Sender(7, 1001, Origin.WS)
    made = make(method, params, sender)
    assert isinstance(made, Refusal), made
    assert (sender.order_n, sender.cancel_n) == (0, 0)
    return made.code, made.field


def without(*fields: str) -> dict[str, object]:
    return {key: PLACE[key] for key in PLACE if key not in fields}


def test_an_order_with_everything_usual_on_it() -> None:
    params = PLACE | {
        "tif": "gtc",
        "post_only": True,
        "tag": "grid-1",
        "ts": 1_795_348_800_000_100,
        "valid_for_ms": 250,
    }
    made = make("order.place", params, Sender(7, 1001, Origin.WS, order_n=41))
    assert isinstance(made, NewOrder)
    assert unpack_cmd_id(made.cmd_id) == (7, Lane.ORDER, 42)
    assert made == NewOrder(
        made.cmd_id,
        1001,
        7,
        Origin.WS,
        T,
        1_795_348_800_250_100_000,
        "mm-1",
        1,
        Side.BUY,
        OrdType.LIMIT,
        Tif.GTC,
        1_250_000,
        6_425_050,
        flags=POST_ONLY,
        tag="grid-1",
        sent_at=1_795_348_800_000_100_000,
    )


def test_an_absent_tif_is_what_the_venue_means_by_it() -> None:
    assert place().tif is Tif.GTC
    assert place(symbol="GOLD", price="7", qty="1").tif is Tif.DAY
    market = make("order.place", without("price") | {"type": "market"})
    assert isinstance(market, NewOrder)
    assert (market.tif, market.price) == (Tif.IOC, 0)


def test_the_window_counts_from_ts_else_from_receipt_else_the_gateway_has_its_own() -> None:
    assert place(ts=1_000_000, valid_for_ms=250).deadline == 1_250_000_000
    assert place(valid_for_ms=250).deadline == T + 250_000_000
    assert place(ts=1_000_000).deadline == 0
    made = make("order.place", PLACE, order_deadline_ms=60_000)
    assert isinstance(made, NewOrder)
    assert made.deadline == T + 60_000_000_000


SECOND_US = 1_000_000
REPLACE = {"symbol": "BTC-USDT", "orig_cl_ord_id": "a", "cl_ord_id": "b", "qty": "1", "price": "64250.50"}


@pytest.mark.parametrize(
    ("ahead_us", "window", "code"),
    [
        (SECOND_US + 1, {"valid_for_ms": 250}, 2010),
        (3_600 * SECOND_US, {"valid_for_ms": 60_000}, 2010),
        (120 * SECOND_US + 1, {}, 2001),
        (86_400 * SECOND_US, {}, 2001),
    ],
)
@pytest.mark.parametrize(("method", "params"), [("order.place", PLACE), ("order.replace", REPLACE)])
def test_a_ts_that_lies_ahead_would_keep_a_stale_order(method, params, ahead_us, window, code) -> None:
    assert refusal(method, params | window | {"ts": T // 1_000 + ahead_us}) == (code, "ts")
    made = make(
        method, params | window | {"ts": T // 1_000 + min(ahead_us - 1, 120 * SECOND_US if not window else SECOND_US)}
    )
    assert made.sent_at > T


@pytest.mark.parametrize("window", [{}, {"valid_for_ms": 250}])
def test_a_retry_from_ahead_only_queries_because_its_first_attempt_may_be_live(window) -> None:
    assert place(retry=True, ts=T // 1_000 + 3_600 * SECOND_US, **window).deadline == 1


@pytest.mark.parametrize("window", [{}, {"valid_for_ms": 250}])
def test_a_ts_of_zero_is_no_time_and_not_none_at_all(window) -> None:
    assert refusal("order.place", PLACE | window | {"ts": 0}) == (2001, "ts")
    assert refusal("order.replace", REPLACE | window | {"ts": 0}) == (2001, "ts")


def test_a_leg_of_a_batch_whose_ts_lies_ahead_is_refused_alone() -> None:
    legs = [
        {"op": "place", "params": PLACE | {"ts": T // 1_000 + ahead, "valid_for_ms": 250}}
        for ahead in (0, 9 * SECOND_US)
    ]
    first, second = make("order.batch", {"legs": legs})
    assert isinstance(first, NewOrder)
    assert (second.code, second.field) == (2010, "ts")


def test_flags_and_rare_terms_find_their_place() -> None:
    made = place(
        retry=True, cod="exempt", stp="expire_both", stp_group="g", display_qty="0.01", post_only=True, side="sell"
    )
    assert made.flags == POST_ONLY | COD_EXEMPT | POSS_RESEND
    assert (made.stp, made.stp_group, made.display_qty, made.side) == (Stp.EXPIRE_BOTH, "g", 1_000_000, Side.SELL)
    assert place(post_only=False, retry=False).flags == 0
    made = place(type="stop_limit", stop_price="64000.00", tif="gtd", expire_at=5)
    assert (made.ord_type, made.stop_px, made.tif, made.expire_at) == (OrdType.STOP_LIMIT, 6_400_000, Tif.GTD, 5_000)
    amount = make("order.place", without("price", "qty") | {"type": "market", "quote_qty": "100.0000000001"})
    assert isinstance(amount, NewOrder)
    assert (amount.qty, amount.quote_qty) == (0, 1_000_000_000_001)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (PLACE | {"symbol": "DOGE"}, (2003, "symbol")),
        (PLACE | {"cl_ord_id": "a b"}, (2001, "cl_ord_id")),
        (PLACE | {"cl_ord_id": "x" * 37}, (2001, "cl_ord_id")),
        (PLACE | {"cl_ord_id": "é"}, (2001, "cl_ord_id")),
        (PLACE | {"cl_ord_id": "a\n"}, (2001, "cl_ord_id")),
        (without("qty"), (2002, "qty")),
        (without("price"), (2002, "price")),
        (PLACE | {"quote_qty": "1"}, (2008, "quote_qty")),
        (without("qty") | {"quote_qty": "1"}, (2008, "quote_qty")),
        (PLACE | {"type": "market"}, (2008, "price")),
        (PLACE | {"stop_price": "1"}, (2008, "stop_price")),
        (PLACE | {"type": "stop"}, (2008, "price")),
        (without("price") | {"type": "stop"}, (2002, "stop_price")),
        (PLACE | {"tif": "gtd"}, (2002, "expire_at")),
        (PLACE | {"expire_at": 5}, (2008, "expire_at")),
        (PLACE | {"tif": "ioc", "post_only": True}, (2008, "post_only")),
        (PLACE | {"tif": "fok", "post_only": True}, (2008, "post_only")),
        (without("price") | {"type": "market", "post_only": True}, (2008, "post_only")),
        (PLACE | {"display_qty": "0"}, (2008, "display_qty")),
        (PLACE | {"price": "64250.505"}, (2004, "price")),
        (PLACE | {"qty": "0.000000001"}, (2005, "qty")),
        (PLACE | {"display_qty": "0.000000001"}, (2005, "display_qty")),
        (PLACE | {"price": "1e3"}, (2001, "price")),
        (PLACE | {"price": "-1"}, (2001, "price")),
        (PLACE | {"price": "+1"}, (2001, "price")),
        (PLACE | {"price": "1,5"}, (2001, "price")),
        (PLACE | {"price": " 1"}, (2001, "price")),
        (PLACE | {"price": "."}, (2001, "price")),
        (PLACE | {"price": "NaN"}, (2001, "price")),
        (PLACE | {"price": "\u0661"}, (2001, "price")),
        (PLACE | {"price": "9" * 19}, (2001, "price")),
        (PLACE | {"qty": "9" * 18}, (2001, "qty")),
        (PLACE | {"qty": ""}, (2001, "qty")),
        (without("price", "qty") | {"type": "market", "quote_qty": "0.00000000001"}, (2005, "quote_qty")),
        (without("price", "qty") | {"type": "market", "quote_qty": "x"}, (2001, "quote_qty")),
        (PLACE | {"tag": "a\x0110=000"}, (2001, "tag")),
        (PLACE | {"tag": "é"}, (2001, "tag")),
        (PLACE | {"tag": "x" * 37}, (2001, "tag")),
        (PLACE | {"stp_group": "\t"}, (2001, "stp_group")),
    ],
)
def test_what_makes_no_order_is_refused_with_its_code_and_field(
    params: dict[str, object], expected: tuple[int, str]
) -> None:
    assert refusal("order.place", params) == expected


def test_a_cancel_names_its_order_by_either_id_or_both_on_the_lane_of_cancels() -> None:
    made = make("order.cancel", {"symbol": "BTC-USDT", "order_id": "812345678901", "orig_cl_ord_id": "mm-1"})
    assert isinstance(made, CancelOrder)
    assert unpack_cmd_id(made.cmd_id) == (7, Lane.CANCEL, 1)
    assert (made.order_id, made.orig_cl_ord_id, made.cl_ord_id, made.deadline) == (812345678901, "mm-1", "", 0)
    made = make("order.cancel", {"symbol": "BTC-USDT", "orig_cl_ord_id": "mm-1"}, order_deadline_ms=60_000)
    assert isinstance(made, CancelOrder)
    assert (made.order_id, made.orig_cl_ord_id, made.deadline) == (0, "mm-1", 0), "a cancel is never too old"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"symbol": "BTC-USDT"}, (2002, "order_id")),
        ({"symbol": "DOGE", "order_id": "1"}, (2003, "symbol")),
        ({"symbol": "BTC-USDT", "order_id": "x"}, (4002, "order_id")),
        ({"symbol": "BTC-USDT", "order_id": ""}, (4002, "order_id")),
        ({"symbol": "BTC-USDT", "order_id": "0"}, (4002, "order_id")),
        ({"symbol": "BTC-USDT", "order_id": str(1 << 64)}, (4002, "order_id")),
        ({"symbol": "BTC-USDT", "order_id": "9" * 5_000}, (4002, "order_id")),
        ({"symbol": "BTC-USDT", "order_id": "²"}, (4002, "order_id")),
        ({"symbol": "BTC-USDT", "orig_cl_ord_id": ""}, (4002, "orig_cl_ord_id")),
        ({"symbol": "BTC-USDT", "orig_cl_ord_id": "a b"}, (4002, "orig_cl_ord_id")),
    ],
)
def test_a_cancel_of_what_cannot_exist_is_an_unknown_order(
    params: dict[str, object], expected: tuple[int, str]
) -> None:
    assert refusal("order.cancel", params) == expected


def test_a_replace_carries_the_new_total_and_price() -> None:
    params = {
        "symbol": "BTC-USDT",
        "orig_cl_ord_id": "mm-1",
        "cl_ord_id": "mm-2",
        "qty": "0.02",
        "price": "64249.00",
        "post_only": True,
        "valid_for_ms": 250,
        "ts": 1_000_000,
    }
    made = make("order.replace", params)
    assert isinstance(made, ReplaceOrder)
    assert unpack_cmd_id(made.cmd_id)[1] is Lane.ORDER
    assert (made.cl_ord_id, made.orig_cl_ord_id, made.order_id) == ("mm-2", "mm-1", 0)
    assert (made.qty, made.price, made.flags) == (2_000_000, 6_424_900, POST_ONLY)
    assert (made.deadline, made.sent_at) == (1_250_000_000, 1_000_000_000)
    assert refusal("order.replace", {key: params[key] for key in params if key != "orig_cl_ord_id"}) == (
        2002,
        "order_id",
    )
    assert refusal("order.replace", params | {"price": "0.001"}) == (2004, "price")


def test_a_mass_cancel_takes_what_is_absent_for_any() -> None:
    made = make("order.cancel_all", {})
    assert isinstance(made, MassCancel)
    assert unpack_cmd_id(made.cmd_id)[1] is Lane.CONTROL
    assert (made.instrument, made.side, made.tag, made.only_session, made.keep_exempt) == (0, 0, "", False, False)
    made = make("order.cancel_all", {"symbol": "GOLD", "side": "sell", "tag": "g", "scope": "session"})
    assert isinstance(made, MassCancel)
    assert (made.instrument, made.side, made.tag, made.only_session) == (2, 2, "g", True)
    assert refusal("order.cancel_all", {"symbol": "DOGE"}) == (2003, "symbol")


def test_status_queries_one_order_in_any_state_and_list_the_open_ones() -> None:
    one = make("order.status", {"cl_ord_id": "mm-1"})
    assert isinstance(one, QueryOrders)
    assert (one.cl_ord_id, one.order_id, one.instrument, one.open_only) == ("mm-1", 0, 0, False)
    assert unpack_cmd_id(one.cmd_id)[1] is Lane.QUERY
    listed = make("order.list", {"symbol": "GOLD"})
    assert isinstance(listed, QueryOrders)
    assert (listed.cl_ord_id, listed.order_id, listed.instrument, listed.open_only) == ("", 0, 2, True)
    assert refusal("order.status", {}) == (2002, "order_id")
    assert refusal("order.status", {"order_id": "-1"}) == (4002, "order_id")


def test_a_batch_gives_one_command_or_refusal_per_leg_in_order() -> None:
    legs = [
        {"op": "cancel", "params": {"symbol": "BTC-USDT", "orig_cl_ord_id": "mm-0"}},
        {"op": "place", "params": PLACE | {"price": "1.001"}},
        {"op": "place", "params": PLACE},
        {"op": "place", "params": {"symbol": 5}},
    ]
    sender = Sender(7, 1001, Origin.WS)
    made = make("order.batch", {"legs": legs}, sender)
    assert isinstance(made, list)
    assert [type(leg) for leg in made] == [CancelOrder, Refusal, NewOrder, Refusal]
    assert [leg.code for leg in made if isinstance(leg, Refusal)] == [2004, 2001]
    assert (sender.order_n, sender.cancel_n) == (1, 1)


def test_the_dead_mans_switch_is_off_or_at_least_a_second() -> None:
    assert dead_man_ms(CancelAfterParams(0)) == 0
    assert dead_man_ms(CancelAfterParams(1_000)) == 1_000
    refused = dead_man_ms(CancelAfterParams(999))
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.field) == (2001, "timeout_ms")
    assert refusal("order.cancel_after", {"timeout_ms": 300_001}) == (2001, "timeout_ms")


def test_a_method_that_makes_no_command_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        command("order.cancel_after", CancelAfterParams(0), Sender(7, 1, Origin.WS), T, INSTRUMENTS)
    assert "order.cancel_after" not in COMMANDS


def test_a_number_may_end_in_a_point_and_may_not_begin_with_one() -> None:
    order = place(price="64250.", qty="1.")
    assert (order.price, order.qty) == (6_425_000, 100_000_000)
    assert refusal("order.place", PLACE | {"price": ".5"}) == (2001, "price")
    assert refusal("order.place", PLACE | {"qty": "."}) == (2001, "qty")


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 10**17),
    st.integers(1, 10**17),
    st.integers(0, 8),
    st.integers(0, 10),
)
def test_numbers_survive_the_way_from_text_to_command_exactly(price: int, qty: int, px_exp: int, qty_exp: int) -> None:
    instruments = Instruments((Instrument(3, "X", "X", "Y", px_exp, qty_exp),))
    params = PLACE | {"symbol": "X", "price": render(price, px_exp), "qty": render(qty, qty_exp)}
    data = JSON.encode({"method": "order.place", "params": params})
    typed = JSON.params(JSON.request(data), data)
    assert not isinstance(typed, Refusal)
    made = command("order.place", typed, Sender(7, 1, Origin.WS), T, instruments)
    assert isinstance(made, NewOrder)
    assert (made.price, made.qty) == (price, qty)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=AnyCommand) == made


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["price", "qty", "stop_price", "quote_qty", "display_qty", "cl_ord_id", "tag", "symbol"]),
        st.text(max_size=8) | st.from_regex(r"[0-9]{0,20}\.?[0-9]{0,12}", fullmatch=True),
    ),
    st.sampled_from(["market", "limit", "stop", "stop_limit"]),
    st.sampled_from(["day", "gtc", "ioc", "fok", "gtd"]),
)
def test_any_text_gives_an_order_or_a_refusal(change: dict[str, str], kind: str, tif: str) -> None:
    made = make("order.place", PLACE | change | {"type": kind, "tif": tif})
    assert isinstance(made, NewOrder | Refusal)
    if isinstance(made, NewOrder):
        assert made.tag.isprintable()
        assert 0 <= made.qty < 1 << 63
