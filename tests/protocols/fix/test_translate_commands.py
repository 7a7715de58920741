"""Requests become commands: every field of the contract, its defaults, and what cannot be a command.

Modules: fix.commands, fix.translate.
"""

import pytest

from protocols.errors import (
    BAD_QUANTITY,
    BAD_TICK,
    MISSING_FIELD,
    UNKNOWN_METHOD,
    UNKNOWN_ORDER,
    UNKNOWN_SYMBOL,
    UNSUPPORTED_COMBINATION,
    Refusal,
)
from protocols.fix.decoder import Fault
from protocols.messages import (
    COD_EXEMPT,
    POSS_RESEND,
    POST_ONLY,
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
    pack_cmd_id,
)
from tests.support.command_ids import unpack_cmd_id
from tests.support.translation import (
    BTC,
    ORDER_ID,
    RIAL,
    T_RECV,
    VERSIONS,
    at,
    limit_order,
    request,
    sender,
    translator,
)

MS = 1_000_000
MARKET = "35=D|11=m-1|40=1|54=2|55=BTC-USDT|"


def make(message, window_ms=0, who: Sender | None = None, **options):
    return translator(**options).command(message, who or sender(), T_RECV, window_ms)


def test_the_published_new_order_single_becomes_the_whole_command() -> None:
    message = request(
        "35=D|34=2|49=MM1|52=20261122-12:00:00.000100|56=GATE|11=mm-7f3a-000123|38=0.01250000|40=2|44=64250.50|54=1"
        "|55=BTC-USDT|59=1|60=20261122-12:00:00.000100|18=6|526=grid-1|25000=250|"
    )
    assert make(message) == NewOrder(
        cmd_id=pack_cmd_id(3, Lane.ORDER, 1),
        account=1001,
        session=3,
        origin=Origin.FIX,
        t_recv=T_RECV,
        deadline=at("12:00:00.250100"),
        cl_ord_id="mm-7f3a-000123",
        instrument=BTC.id,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        tif=Tif.GTC,
        qty=1_250_000,
        price=6_425_050,
        flags=POST_ONLY,
        tag="grid-1",
        sent_at=at("12:00:00.000100"),
    )


def test_an_order_with_every_rare_term_keeps_them_all() -> None:
    message = limit_order(
        "40=4|99=64300|59=6|126=20261123-00:00:00|111=0.005|110=0.001|25001=5|2362=desk-a|20103=Y|97=Y"
        "|60=20261122-11:59:58.500"
    )
    order = make(message)
    assert isinstance(order, NewOrder)
    assert (order.ord_type, order.tif, order.stop_px) == (OrdType.STOP_LIMIT, Tif.GTD, 6_430_000)
    assert (order.display_qty, order.min_qty) == (500_000, 100_000)
    assert order.expire_at == at("12:00:00") + 12 * 3600 * 1000 * MS
    assert order.flags == COD_EXEMPT | POSS_RESEND
    assert (order.stp, order.stp_group) == (Stp.DECREMENT, "desk-a")
    assert order.sent_at == at("11:59:58.500")


class TestTimeInForce:
    @pytest.mark.parametrize(
        ("symbol", "expected"), [(BTC.symbol, Tif.GTC), (RIAL.symbol, Tif.DAY)], ids=["around the clock", "in sessions"]
    )
    def test_absent_on_a_limit_order_it_is_the_venues(self, symbol: str, expected: Tif) -> None:
        order = make(request(f"35=D|11=a|38=1|40=2|44=100|54=1|55={symbol}"))
        assert isinstance(order, NewOrder)
        assert order.tif is expected

    @pytest.mark.parametrize("symbol", [BTC.symbol, RIAL.symbol])
    def test_absent_on_a_market_order_it_is_ioc(self, symbol: str) -> None:
        order = make(request(f"35=D|11=a|38=1|40=1|54=1|55={symbol}"))
        assert isinstance(order, NewOrder)
        assert order.tif is Tif.IOC

    @pytest.mark.parametrize(("text", "tif"), [("0", Tif.DAY), ("1", Tif.GTC), ("3", Tif.IOC), ("4", Tif.FOK)])
    def test_given_it_is_taken_by_identity(self, text: str, tif: Tif) -> None:
        order = make(limit_order(f"59={text}"))
        assert isinstance(order, NewOrder)
        assert order.tif is tif

    def test_gtd_needs_its_expire_time(self) -> None:
        assert_refused(make(limit_order("59=6")), MISSING_FIELD, "ExpireTime(126) is missing")
        assert_refused(make(limit_order("59=6|20103=Y")), MISSING_FIELD, "ExpireTime(126) is missing")

    def test_an_expire_time_without_gtd_is_refused_not_ignored(self) -> None:
        assert_refused(make(limit_order("59=1|126=20261123-00:00:00")), UNSUPPORTED_COMBINATION, "ExpireTime(126)")


class TestQuantity:
    def test_a_market_order_may_name_a_quote_amount_instead(self) -> None:
        order = make(request(MARKET + "152=100.0000000001"))
        assert isinstance(order, NewOrder)
        assert (order.qty, order.quote_qty) == (0, 1_000_000_000_001)

    def test_neither_is_a_missing_field(self) -> None:
        assert_refused(make(request(MARKET)), MISSING_FIELD, "OrderQty(38) is missing")
        assert_refused(make(request(MARKET + "20103=Y")), MISSING_FIELD, "OrderQty(38) is missing")

    def test_both_is_one_too_many(self) -> None:
        assert_refused(make(request(MARKET + "38=1|152=100")), UNSUPPORTED_COMBINATION, "CashOrderQty(152)")

    def test_a_quote_amount_is_for_market_orders_only(self) -> None:
        assert_refused(make(limit_order("152=100", 38)), UNSUPPORTED_COMBINATION, "CashOrderQty(152)")

    def test_more_decimals_than_the_instrument_has_are_refused_never_rounded(self) -> None:
        assert_refused(make(limit_order("38=0.000000001")), BAD_QUANTITY, "multiple")
        assert_refused(make(request(MARKET + "152=0.00000000001")), BAD_QUANTITY, "decimals")
        assert_refused(make(limit_order("44=64250.505")), BAD_TICK, "multiple")

    def test_trailing_zeros_beyond_the_exponent_are_exact_and_pass(self) -> None:
        order = make(limit_order("38=0.0125000000|44=64250.5000"))
        assert isinstance(order, NewOrder)
        assert (order.qty, order.price) == (1_250_000, 6_425_050)

    def test_a_point_at_the_end_is_legal_as_in_the_standards_own_example(self) -> None:
        order = make(limit_order("38=1.|44=64250."))
        assert isinstance(order, NewOrder)
        assert (order.qty, order.price) == (100_000_000, 6_425_000)

    @pytest.mark.parametrize("tag", [38, 44])
    def test_over_18_digits_is_a_bad_value_with_its_tag(self, tag: int) -> None:
        assert_fault(make(limit_order(f"{tag}=1234567890123456789")), 5, tag)
        assert_fault(make(request(MARKET + "152=1234567890123456789")), 5, 152)

    def test_a_wholly_hidden_order_is_not_served(self) -> None:
        assert_refused(make(limit_order("111=0")), UNSUPPORTED_COMBINATION, "MaxFloor(111)=0")


class TestPrices:
    @pytest.mark.parametrize("ord_type", ["2", "4"])
    def test_a_limit_needs_a_price(self, ord_type: str) -> None:
        assert_refused(make(limit_order(f"40={ord_type}", 44)), MISSING_FIELD, "Price(44) is missing")

    @pytest.mark.parametrize("ord_type", ["3", "4"])
    def test_a_stop_needs_a_stop_price(self, ord_type: str) -> None:
        message = limit_order(f"40={ord_type}")
        if ord_type == "3":
            del message.fields[44]
        assert_refused(make(message), MISSING_FIELD, "StopPx(99) is missing")
        message.fields[20103] = "Y"
        assert_refused(make(message), MISSING_FIELD, "StopPx(99) is missing")

    def test_a_price_on_a_market_order_is_refused_not_ignored(self) -> None:
        assert_refused(make(request(MARKET + "38=1|44=64000")), UNSUPPORTED_COMBINATION, "Price(44)")

    def test_a_stop_price_on_a_limit_order_is_refused_not_ignored(self) -> None:
        assert_refused(make(limit_order("99=64000")), UNSUPPORTED_COMBINATION, "StopPx(99)")


class TestExecInst:
    def test_post_only_is_the_only_instruction_served(self) -> None:
        for text in ("1", "6 G", "G 6"):
            assert_refused(make(limit_order(f"18={text}")), UNSUPPORTED_COMBINATION, f"ExecInst(18)={text}")

    @pytest.mark.parametrize("tif", ["3", "4"])
    def test_post_only_makes_no_sense_on_an_order_that_never_rests(self, tif: str) -> None:
        assert_refused(make(limit_order(f"18=6|59={tif}")), UNSUPPORTED_COMBINATION, "post-only")

    def test_nor_on_a_market_order(self) -> None:
        assert_refused(make(request(MARKET + "38=1|18=6")), UNSUPPORTED_COMBINATION, "post-only")


class TestSelfTradePrevention:
    @pytest.mark.parametrize(
        ("fields", "mode", "group"),
        [
            ("25001=1", Stp.NONE, ""),
            ("25001=2", Stp.EXPIRE_TAKER, ""),
            ("25001=3", Stp.EXPIRE_MAKER, ""),
            ("25001=4", Stp.EXPIRE_BOTH, ""),
            ("25001=5", Stp.DECREMENT, ""),
            ("2362=g|2964=1", Stp.EXPIRE_TAKER, "g"),
            ("2362=g|2964=2", Stp.EXPIRE_MAKER, "g"),
            ("2362=g|2964=3", Stp.EXPIRE_BOTH, "g"),
            ("2362=g|2964=3|25001=4", Stp.EXPIRE_BOTH, "g"),
            ("2362=g", Stp.DEFAULT, "g"),
        ],
    )
    def test_both_forms_mean_the_same_modes(self, fields: str, mode: Stp, group: str) -> None:
        order = make(limit_order(fields))
        assert isinstance(order, NewOrder)
        assert (order.stp, order.stp_group) == (mode, group)

    def test_two_forms_that_disagree_are_refused(self) -> None:
        assert_refused(make(limit_order("25001=2|2964=2")), UNSUPPORTED_COMBINATION, "SelfMatchPrevention")

    def test_unknown_values(self) -> None:
        assert_fault(make(limit_order("25001=9")), 5, 25001)
        assert_refused(make(limit_order("2964=9")), UNSUPPORTED_COMBINATION, "(2964)=9")


class TestWhatIsNotServed:
    @pytest.mark.parametrize(("tag", "value"), [(54, "5"), (54, "7"), (40, "P"), (40, "K"), (59, "2"), (59, "7")])
    def test_values_of_the_standard_are_an_unsupported_combination(self, tag: int, value: str) -> None:
        assert_refused(make(limit_order(f"{tag}={value}")), UNSUPPORTED_COMBINATION, f"({tag})={value}")

    @pytest.mark.parametrize("field", ["211=1", "168=20261122-13:00:00", "1138=5", "423=1", "854=1", "432=20261123"])
    def test_fields_that_would_change_the_order_are_refused_not_ignored(self, field: str) -> None:
        tag = field.split("=", maxsplit=1)[0]
        assert_refused(make(limit_order(field)), UNSUPPORTED_COMBINATION, f"tag {tag}")
        replace = f"35=G|11=b|41=a|55=BTC-USDT|38=1|44=100|{field}"
        assert_refused(make(request(replace)), UNSUPPORTED_COMBINATION, f"tag {tag}")

    @pytest.mark.parametrize(
        "field", ["423=2", "854=0", "21=1", "15=USD", "100=X", "47=A", "114=N", "58=hello", "207=X"]
    )
    def test_fields_that_change_nothing_pass(self, field: str) -> None:
        assert make(limit_order(field)) == make(limit_order())

    def test_other_messages_are_an_unknown_method(self) -> None:
        for msg_type in ("XLQ", "i", "B", "zz"):
            assert_refused(make(request(f"35={msg_type}|11=a")), UNKNOWN_METHOD, "not served")

    def test_an_unknown_symbol(self) -> None:
        for msg_type in ("D", "F", "G"):
            message = limit_order("55=BTC-USD|41=x")
            renamed = request("|".join(f"{tag}={value}" for tag, value in (message.fields | {35: msg_type}).items()))
            assert_refused(make(renamed), UNKNOWN_SYMBOL, "unknown symbol")
        assert_refused(make(limit_order("", 55)), MISSING_FIELD, "Symbol(55) is missing")


class TestIds:
    @pytest.mark.parametrize("good", ["a", "Z" * 36, "mm-7f3a:00/1_2.3", "0"])
    def test_cl_ord_ids_of_the_pattern_pass(self, good: str) -> None:
        order = make(limit_order(f"11={good}"))
        assert isinstance(order, NewOrder)
        assert order.cl_ord_id == good

    @pytest.mark.parametrize("bad", ["a" * 37, "a b", "a\n", "caf\xe9", "a,b", "a=b", "a\x00"])
    @pytest.mark.parametrize("msg_type", ["D", "F", "G", "q"])
    def test_others_are_a_bad_value_of_tag_11(self, bad: str, msg_type: str) -> None:
        message = request(f"35={msg_type}|55=BTC-USDT|38=1|40=2|44=1|54=1|41=x|530=7")
        message.fields[11] = bad
        assert_fault(make(message), 5, 11)

    def test_free_texts_are_bounded_for_the_core_keeps_them(self) -> None:
        assert_fault(make(limit_order(f"526={'t' * 37}")), 5, 526)
        assert_fault(make(limit_order("526=tab\there")), 5, 526)
        assert_fault(make(limit_order(f"2362={'t' * 37}")), 5, 2362)
        assert_fault(make(request(f"35=AF|584={'t' * 37}|585=7")), 5, 584)
        assert_fault(make(request(f"35=H|11=a|790={'t' * 37}")), 5, 790)

    def test_a_command_takes_the_next_number_of_its_lane_and_a_refusal_none(self) -> None:
        who = sender()
        cancel = request("35=F|11=c|41=a|55=BTC-USDT")
        made = [
            make(message, who=who)
            for message in (
                limit_order(),
                limit_order("44=0.001"),
                limit_order("11=a b"),
                cancel,
                limit_order(),
                cancel,
            )
        ]
        ids = [unpack_cmd_id(m.cmd_id) for m in made if not isinstance(m, Refusal | Fault)]
        assert ids == [(3, Lane.ORDER, 1), (3, Lane.CANCEL, 1), (3, Lane.ORDER, 2), (3, Lane.CANCEL, 2)]
        assert (who.order_n, who.cancel_n) == (2, 2)


class TestValidity:
    def test_without_a_window_there_is_no_deadline(self) -> None:
        assert make(limit_order()).deadline == 0

    def test_the_sessions_window_counts_from_sending_time(self) -> None:
        assert make(limit_order(), window_ms=500).deadline == at("12:00:00.500100")

    def test_the_messages_own_window_wins_and_may_have_decimals(self) -> None:
        assert make(limit_order("25000=0.25"), window_ms=500).deadline == at("12:00:00.000350")

    @pytest.mark.parametrize(
        ("terms", "window_ms", "field"),
        [
            ("52=20261122-12:00:01.000152|25000=250", 0, "SendingTime(52)"),
            ("52=20261122-12:01:59|", 500, "SendingTime(52)"),
            ("43=Y|122=20261122-13:00:00|25000=60000", 0, "OrigSendingTime(122)"),
        ],
    )
    @pytest.mark.parametrize("kind", ["D", "G"])
    def test_a_window_that_begins_ahead_would_keep_a_stale_order(
        self, kind: str, terms: str, window_ms: int, field: str
    ) -> None:
        more = "41=a|" if kind == "G" else ""
        message = request(f"35={kind}|11=c|38=1|40=2|44=64250.50|54=1|55=BTC-USDT|{more}{terms}")
        who = sender()
        refusal = make(message, window_ms, who)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.field, who.order_n) == (2010, field, 0)
        assert "ahead of the gateway's clock" in refusal.text

    def test_a_retry_from_ahead_only_queries_because_its_first_attempt_may_be_live(self) -> None:
        assert make(limit_order("97=Y|52=20261122-12:00:09|60=20261122-12:00:09|25000=250")).deadline == 1

    def test_a_client_may_be_a_second_ahead_and_without_a_window_as_far_as_its_session_allows(self) -> None:
        assert make(limit_order("52=20261122-12:00:01.000151|25000=250")).deadline == at("12:00:01.250151")
        assert make(limit_order("52=20261122-12:01:59"), order_deadline_ms=10).deadline == T_RECV + 10 * MS

    def test_a_resent_message_counts_from_orig_sending_time(self) -> None:
        message = limit_order("43=Y|122=20261122-11:59:00|25000=1000")
        assert make(message).deadline == at("11:59:01")

    def test_the_gateways_deadline_counts_from_receipt_without_a_window(self) -> None:
        assert make(limit_order(), order_deadline_ms=60_000).deadline == T_RECV + 60_000 * MS
        assert make(limit_order(), window_ms=500, order_deadline_ms=60_000).deadline == at("12:00:00.500100")

    @pytest.mark.parametrize(("window", "reason"), [("60001", 5), ("60000.000001", 5), ("-1", 6), ("1e3", 6), ("x", 6)])
    def test_a_window_that_is_none(self, window: str, reason: int) -> None:
        assert_fault(make(limit_order(f"25000={window}")), reason, 25000)

    @pytest.mark.parametrize(
        "text", ["35=F|11=c|41=a|55=BTC-USDT", "35=q|11=c|530=7", "35=H|11=a", "35=AF|584=x|585=7"]
    )
    def test_cancels_and_queries_never_grow_too_old(self, text: str) -> None:
        command = make(request(text + "|25000=1"), window_ms=1, order_deadline_ms=1)
        assert command.deadline == 0

    def test_a_transact_time_the_calendar_does_not_have(self) -> None:
        assert_fault(make(limit_order("60=20260230-00:00:00")), 6, 60)

    def test_a_resends_transact_time_is_its_own_even_when_it_reads_as_its_sending_time(self) -> None:
        message = limit_order("43=Y|122=20261122-11:59:00|60=20261122-12:00:00.000100")
        assert make(message).sent_at == at("12:00:00.000100")


class TestCancel:
    @pytest.mark.parametrize(
        ("names", "order_id", "orig"),
        [("41=a", 0, "a"), (f"37={ORDER_ID}", ORDER_ID, ""), (f"37={ORDER_ID}|41=a", ORDER_ID, "a")],
    )
    def test_names_its_order_by_either_id_or_both(self, names: str, order_id: int, orig: str) -> None:
        assert make(request(f"35=F|11=c|{names}|55=BTC-USDT")) == CancelOrder(
            pack_cmd_id(3, Lane.CANCEL, 1), 1001, 3, Origin.FIX, T_RECV, 0, "c", BTC.id, order_id, orig
        )

    def test_passes_whatever_else_is_odd(self) -> None:
        odd = "38=1234567890123456789012|54=9|60=20261122-00:00:00|25000=-1|44=0.0000001|526=" + "x" * 99
        assert isinstance(make(request(f"35=F|11=c|41=a|55=BTC-USDT|{odd}"), window_ms=1), CancelOrder)

    def test_without_any_id_a_field_is_missing(self) -> None:
        assert_refused(make(request("35=F|11=c|55=BTC-USDT")), MISSING_FIELD, "OrigClOrdID(41) is missing")

    @pytest.mark.parametrize(
        "names", ["37=0", "37=18446744073709551616", "37=-1", "37=1.0", "37=none", "41=" + "x" * 37]
    )
    def test_an_id_that_we_never_gave_names_no_order(self, names: str) -> None:
        assert_refused(make(request(f"35=F|11=c|{names}|55=BTC-USDT")), UNKNOWN_ORDER, "unknown order")

    @pytest.mark.parametrize(
        "text", ["35=F|11=c|41=a|55=BTC-USDT", "35=G|11=c|41=a|55=BTC-USDT|38=1|44=2", "35=H|11=a"]
    )
    def test_the_none_of_our_first_report_said_back_counts_as_not_given(self, text: str) -> None:
        assert make(request(text + "|37=NONE")) == make(request(text))
        assert_refused(make(request("35=F|11=c|37=NONE|55=BTC-USDT")), MISSING_FIELD, "OrigClOrdID(41) is missing")

    def test_the_largest_order_id_passes(self) -> None:
        assert make(request("35=F|11=c|37=18446744073709551615|55=BTC-USDT")).order_id == (1 << 64) - 1


class TestReplace:
    def test_restates_the_order(self) -> None:
        text = f"35=G|11=b|41=a|37={ORDER_ID}|55=BTC-USDT|38=0.02|44=64249|54=1|40=2|18=6|111=0.01|25000=250|"
        assert make(request(text + "60=20261122-12:00:00.000100")) == ReplaceOrder(
            cmd_id=pack_cmd_id(3, Lane.ORDER, 1),
            account=1001,
            session=3,
            origin=Origin.FIX,
            t_recv=T_RECV,
            deadline=at("12:00:00.250100"),
            cl_ord_id="b",
            instrument=BTC.id,
            qty=2_000_000,
            price=6_424_900,
            order_id=ORDER_ID,
            orig_cl_ord_id="a",
            display_qty=1_000_000,
            flags=POST_ONLY,
            side=1,
            ord_type=2,
            sent_at=at("12:00:00.000100"),
        )

    def test_without_type_and_side_they_are_left_to_the_order(self) -> None:
        command = make(request("35=G|11=b|41=a|55=BTC-USDT|38=1|44=100"))
        assert (command.side, command.ord_type) == (0, 0)

    @pytest.mark.parametrize(
        ("fields", "missing"),
        [
            ("44=100", "OrderQty(38)"),
            ("38=1", "Price(44)"),
            ("38=1|40=2", "Price(44)"),
            ("38=1|40=4|99=1", "Price(44)"),
            ("38=1|40=4|44=1", "StopPx(99)"),
            ("38=1|40=3", "StopPx(99)"),
        ],
    )
    def test_conditional_fields(self, fields: str, missing: str) -> None:
        command = make(request(f"35=G|11=b|41=a|55=BTC-USDT|{fields}"))
        assert_refused(command, MISSING_FIELD, f"{missing} is missing")

    @pytest.mark.parametrize("fields", ["99=100", "40=3|99=100", "40=4|99=100|44=100", "44=100"])
    def test_a_stop_may_be_replaced_by_its_stop_price(self, fields: str) -> None:
        assert isinstance(make(request(f"35=G|11=b|41=a|55=BTC-USDT|38=1|{fields}")), ReplaceOrder)

    def test_a_quote_amount_cannot_be_replaced(self) -> None:
        text = "35=G|11=b|41=a|55=BTC-USDT|38=1|44=100|152=5"
        assert_refused(make(request(text)), UNSUPPORTED_COMBINATION, "CashOrderQty(152)")


class TestMassCancel:
    @pytest.mark.parametrize(
        ("text", "instrument", "side", "tag", "only_session"),
        [
            ("530=7", 0, 0, "", False),
            ("530=1|55=BTC-USDT", BTC.id, 0, "", False),
            ("530=7|54=2|526=grid-1", 0, 2, "grid-1", False),
            ("530=7|20112=S", 0, 0, "", True),
        ],
    )
    def test_acts_on_the_account_and_its_filters_narrow_it(
        self, text: str, instrument: int, side: int, tag: str, only_session: bool
    ) -> None:
        assert make(request(f"35=q|11=mc-1|{text}")) == MassCancel(
            pack_cmd_id(3, Lane.CONTROL, 1), 1001, 3, Origin.FIX, T_RECV, 0, "mc-1", instrument, side, tag, only_session
        )

    def test_what_it_cannot_do(self) -> None:
        assert_refused(make(request("35=q|11=mc-1|530=3")), UNSUPPORTED_COMBINATION, "(530)=3")
        assert_refused(make(request("35=q|11=mc-1|530=1")), MISSING_FIELD, "Symbol(55) is missing")
        assert_refused(make(request("35=q|11=mc-1|530=7|54=5")), UNSUPPORTED_COMBINATION, "Side(54)=5")
        assert_fault(make(request("35=q|11=mc-1|530=7|20112=X")), 5, 20112)


class TestQueries:
    def test_one_order_is_looked_for_among_the_finished_too(self) -> None:
        assert make(request(f"35=H|37={ORDER_ID}|11=a|55=BTC-USDT|790=r-1")) == QueryOrders(
            pack_cmd_id(3, Lane.QUERY, 1), 1001, 3, Origin.FIX, T_RECV, 0, "r-1", ORDER_ID, "a", BTC.id, False
        )

    def test_it_needs_one_id(self) -> None:
        assert_refused(make(request("35=H|55=BTC-USDT")), MISSING_FIELD, "ClOrdID(11) is missing")
        assert_refused(make(request("35=H|37=abc")), UNKNOWN_ORDER, "unknown order")

    @pytest.mark.parametrize(("text", "instrument"), [("585=7", 0), ("585=1|55=BTC-USDT", BTC.id)])
    def test_all_open_orders_or_those_of_one_symbol(self, text: str, instrument: int) -> None:
        assert make(request(f"35=AF|584=ms-1|{text}")) == QueryOrders(
            pack_cmd_id(3, Lane.QUERY, 1), 1001, 3, Origin.FIX, T_RECV, 0, "ms-1", 0, "", instrument, True
        )

    def test_other_mass_status_types_are_not_served(self) -> None:
        assert_refused(make(request("35=AF|584=ms-1|585=8")), UNSUPPORTED_COMBINATION, "(585)=8")
        assert_refused(make(request("35=AF|584=ms-1|585=1")), MISSING_FIELD, "Symbol(55) is missing")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dialect", ["penstock", "plain"])
def test_what_is_served_depends_on_version_and_dialect(version: str, dialect: str) -> None:
    served = translator(version, dialect).served
    assert served >= set("DFGH")
    assert ("q" in served) is ("AF" in served) is (version != "FIX.4.2")
    assert ("XLQ" in served) is (dialect == "penstock")
    assert served.isdisjoint(("i", "8", "A", "", "B", "j"))


@pytest.mark.parametrize(("version", "dialect"), [("FIX.4.3", "plain"), ("FIX.4.4", ""), ("", "penstock")])
def test_an_unknown_dialect_is_the_callers_mistake(version: str, dialect: str) -> None:
    with pytest.raises(ValueError, match="no dialect"):
        translator(version, dialect)


def assert_refused(answer, code: int, text: str) -> None:
    assert isinstance(answer, Refusal), answer
    assert answer.code == code, answer
    assert text in answer.text


def assert_fault(answer, reason: int, tag: int) -> None:
    assert isinstance(answer, Fault), answer
    assert (answer.kind, answer.reason, answer.tag) == ("reject", reason, tag), answer
