"""Events become reports: the published samples byte for byte, then each event in each version and dialect.

Modules: fix.report, fix.translate.
"""

import pytest

from protocols.errors import (
    CANCEL_ONLY,
    CODES,
    DEAD_MAN,
    DISCONNECTED,
    DUPLICATE_ID,
    INTERNAL,
    NO_LIQUIDITY,
    OPERATOR,
    PENDING_CHANGE,
    SELF_MATCH,
    TOO_LATE,
    UNKNOWN_ORDER,
    WOULD_TAKE,
)
from protocols.fix.events import AppMessage
from protocols.messages import (
    ACCOUNT_GIVEN,
    DUPLICATE,
    POST_ONLY,
    CancelRejected,
    EngineState,
    ExecType,
    MassCancelDone,
    OrderEvent,
    OrderList,
    OrdStatus,
    OrdType,
    Side,
    Tif,
)
from tests.support.translation import (
    BTC,
    DIALECTS,
    ORDER_ID,
    RIAL,
    T_CORE,
    T_RECV,
    VERSIONS,
    fields_of,
    fill_event,
    limit_order,
    order_event,
    piped,
    request,
    translator,
)

REPLACE = request("35=G|11=b|41=mm-7f3a-000123|55=BTC-USDT|38=1|44=1|54=1")
CANCEL = request("35=F|11=c-1|41=mm-7f3a-000123|55=BTC-USDT")


def body_of(event, answered: AppMessage | None = None, version: str = "FIX.4.4", dialect: str = "penstock") -> str:
    """The one body that `event` becomes, in pipe notation, after its MsgType."""
    [(msg_type, body)] = translator(version, dialect).event(event, answered, T_RECV)
    return f"35={msg_type}|{piped(body)}"


class TestExecutionReport:
    def test_an_acceptance_is_the_published_sample(self) -> None:
        event = order_event(flags=POST_ONLY, tag="grid-1")
        assert body_of(event, limit_order("18=6|526=grid-1")) == (
            "35=8|37=812345678901|11=mm-7f3a-000123|17=990001|150=0|39=0|55=BTC-USDT|54=1|38=0.01250000|40=2|44=64250.50"
            "|59=1|18=6|14=0.00000000|151=0.01250000|6=0|60=20261122-12:00:00.000377|526=grid-1"
            "|20104=20261122-12:00:00.000151|20105=1042"
        )

    def test_what_comes_by_itself_names_no_receive_time(self) -> None:
        assert "20104=" not in body_of(order_event())

    def test_plain_clients_get_standard_tags_and_milliseconds(self) -> None:
        event = order_event(flags=POST_ONLY, tag="grid-1")
        assert body_of(event, limit_order(), dialect="plain") == (
            "35=8|37=812345678901|11=mm-7f3a-000123|17=990001|150=0|39=0|55=BTC-USDT|54=1|38=0.01250000|40=2|44=64250.50"
            "|59=1|18=6|14=0.00000000|151=0.01250000|6=0|60=20261122-12:00:00.000|526=grid-1"
        )

    def test_fix42_says_exec_trans_type(self) -> None:
        assert "|17=990001|20=0|150=0|39=0|" in body_of(order_event(), version="FIX.4.2")

    @pytest.mark.parametrize(("version", "dialect"), [(v, d) for v in VERSIONS for d in DIALECTS])
    @pytest.mark.parametrize("kind", ExecType)
    def test_an_order_that_came_with_its_account_says_so_in_every_report(
        self, kind: ExecType, version: str, dialect: str
    ) -> None:
        us = translator(version, dialect, account="ACME")
        for flags, account in ((ACCOUNT_GIVEN, "ACME"), (ACCOUNT_GIVEN | POST_ONLY, "ACME"), (0, None)):
            [(_, body)] = us.event(order_event(exec_type=kind, flags=flags), None)
            assert fields_of(piped(body)).get(1) == account
        asked = request("35=H|11=mm-7f3a-000123|1=ACME")
        [(_, body)] = us.event(states(state(flags=ACCOUNT_GIVEN)), asked, T_RECV)
        assert piped(body).count("|1=ACME") == 1

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            (
                {"ord_type": OrdType.MARKET, "tif": Tif.IOC, "price": 0, "side": Side.SELL},
                "54=2|38=0.01250000|40=1|59=3|",
            ),
            ({"ord_type": OrdType.STOP, "price": 0, "stop_px": 6_400_000, "tif": Tif.DAY}, "40=3|99=64000.00|59=0|"),
            (
                {"ord_type": OrdType.STOP_LIMIT, "stop_px": 6_400_000, "tif": Tif.GTD},
                "40=4|44=64250.50|99=64000.00|59=6|",
            ),
            ({"tif": Tif.FOK}, "59=4|"),
            ({"instrument": RIAL.id, "price": 5, "qty": 1_500_000}, "55=BTC/IRR|54=1|38=1.500000|40=2|44=5|"),
        ],
    )
    def test_the_terms_are_in_the_report(self, changes: dict[str, object], expected: str) -> None:
        assert f"|{expected}" in body_of(order_event(**changes))

    def test_an_instrument_we_no_longer_have_has_no_symbol(self) -> None:
        assert "|55=[N/A]|" in body_of(order_event(instrument=99))


class TestTrades:
    def test_a_fill_has_price_size_id_role_and_the_exact_sums(self) -> None:
        event = fill_event(fee=-160_626_250, fee_asset="USDT")
        assert body_of(event) == (
            "35=8|37=812345678901|11=mm-7f3a-000123|17=990014|150=F|39=1|55=BTC-USDT|54=1|38=0.01250000|40=2|44=64250.50"
            "|59=1|31=64250.50|32=0.00500000|1003=44001|851=1|136=1|137=-0.0160626250|138=USDT|139=4"
            "|14=0.00500000|151=0.00750000|6=64250.5|25017=321.2525000000|60=20261122-12:00:00.000377|20105=1043"
        )

    def test_a_taker_is_851_2(self) -> None:
        assert "|851=2|" in body_of(fill_event(maker=False))

    @pytest.mark.parametrize(("version", "dialect"), [(v, d) for v in VERSIONS for d in DIALECTS])
    def test_the_trade_id_has_the_tag_of_its_version(self, version: str, dialect: str) -> None:
        fields = fields_of(body_of(fill_event(), version=version, dialect=dialect))
        ids = {tag: fields[tag] for tag in (880, 1003) if tag in fields}
        expected = {880: "44001"} if version == "FIXT.1.1" else {} if dialect == "plain" else {1003: "44001"}
        assert ids == expected

    @pytest.mark.parametrize(("status", "exec_type"), [(OrdStatus.PARTIALLY_FILLED, "1"), (OrdStatus.FILLED, "2")])
    def test_fix42_has_which_fill_it_is(self, status: OrdStatus, exec_type: str) -> None:
        report = body_of(fill_event(status=status, fee=1, fee_asset="USDT"), version="FIX.4.2", dialect="plain")
        assert f"|20=0|150={exec_type}|39={exec_type}|" in report
        assert not {851, 136, 137, 138, 139, 25017, 526} & fields_of(report).keys()

    def test_the_average_price_is_the_only_rounded_figure(self) -> None:
        event = fill_event(cum_qty=3, cum_quote=3 * 100 + 1, leaves_qty=0)
        fields = fields_of(body_of(event))
        assert fields[6] == "1.0033"
        assert fields[25017] == "0.0000000301"


class TestCancelsAndReplaces:
    def test_a_cancel_names_the_id_it_cancelled(self) -> None:
        event = order_event(
            exec_type=ExecType.CANCELED,
            status=OrdStatus.CANCELED,
            cl_ord_id="c-1",
            orig_cl_ord_id="mm-7f3a-000123",
            leaves_qty=0,
        )
        report = body_of(event, CANCEL)
        assert report.startswith("35=8|37=812345678901|11=c-1|41=mm-7f3a-000123|17=990001|150=4|39=4|55=BTC-USDT|")
        assert not {378, 25016, 20102} & fields_of(report).keys()

    def test_a_replace_keeps_the_order_id(self) -> None:
        event = order_event(exec_type=ExecType.REPLACED, cl_ord_id="b", orig_cl_ord_id="mm-7f3a-000123")
        report = body_of(event, REPLACE)
        assert report.startswith("35=8|37=812345678901|11=b|41=mm-7f3a-000123|17=990001|150=5|39=0|")

    @pytest.mark.parametrize(
        ("code", "cmd_id", "version", "dialect", "reason"),
        [
            (DISCONNECTED, 5, "FIXT.1.1", "penstock", "12"),
            (DISCONNECTED, 5, "FIXT.1.1", "plain", "99"),
            (DISCONNECTED, 5, "FIX.4.4", "penstock", "8"),
            (DISCONNECTED, 5, "FIX.4.2", "plain", "4"),
            (DEAD_MAN, 5, "FIXT.1.1", "penstock", "8"),
            (OPERATOR, 5, "FIX.4.4", "plain", "8"),
            (SELF_MATCH, 5, "FIXT.1.1", "penstock", "18"),
            (SELF_MATCH, 0, "FIXT.1.1", "penstock", "19"),
            (SELF_MATCH, 5, "FIXT.1.1", "plain", "99"),
            (DEAD_MAN, 5, "FIXT.1.1", "plain", "8"),
            (SELF_MATCH, 0, "FIX.4.4", "penstock", "8"),
        ],
    )
    def test_an_unrequested_cancel_has_its_reason(
        self, code: int, cmd_id: int, version: str, dialect: str, reason: str
    ) -> None:
        event = order_event(
            exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED, code=code, cmd_id=cmd_id, leaves_qty=0
        )
        fields = fields_of(body_of(event, version=version, dialect=dialect))
        assert fields[378] == reason
        assert fields[58]
        assert fields.get(25016) == (str(code) if dialect == "penstock" else None)
        assert 20102 not in fields, "a cancel is no refusal"

    def test_a_restatement_always_has_a_reason(self) -> None:
        event = order_event(exec_type=ExecType.RESTATED)
        assert fields_of(body_of(event, version="FIXT.1.1"))[378] == "99"
        assert fields_of(body_of(event))[378] == "8"

    def test_no_liquidity_is_no_restatement(self) -> None:
        event = order_event(exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED, code=NO_LIQUIDITY, leaves_qty=0)
        fields = fields_of(body_of(event))
        assert (fields[150], fields[39], fields[25016], fields[58]) == ("4", "4", "4008", "no liquidity")
        assert 378 not in fields


class TestRefusalsByTheCore:
    def test_are_events_with_a_number_a_code_and_an_outcome(self) -> None:
        event = order_event(
            exec_type=ExecType.REJECTED, status=OrdStatus.REJECTED, order_id=0, code=WOULD_TAKE, leaves_qty=0, text="no"
        )
        report = body_of(event, limit_order())
        assert report.startswith("35=8|37=NONE|11=mm-7f3a-000123|17=990001|150=8|39=8|103=99|55=BTC-USDT|54=1|")
        assert report.endswith("|20104=20261122-12:00:00.000151|25016=4005|20102=0|20105=1042|58=no")

    @pytest.mark.parametrize(("version", "dialect"), [(v, d) for v in VERSIONS for d in DIALECTS])
    def test_a_duplicate_has_its_own_terms_and_names_the_first_order_in_words_only(
        self, version: str, dialect: str
    ) -> None:
        event = order_event(exec_type=ExecType.REJECTED, status=OrdStatus.REJECTED, code=DUPLICATE_ID, leaves_qty=0)
        fields = fields_of(body_of(event, version=version, dialect=dialect))
        assert [fields[tag] for tag in (37, 39, 103, 38, 151)] == ["NONE", "8", "6", "0.01250000", "0.00000000"]
        assert fields[58] == f"duplicate id: OrderID {ORDER_ID} has it"

    @pytest.mark.parametrize(
        ("version", "dialect", "reason"),
        [
            ("FIX.4.4", "penstock", "18"),
            ("FIX.4.4", "plain", "99"),
            ("FIX.4.2", "plain", "0"),
            ("FIXT.1.1", "plain", "18"),
        ],
    )
    def test_a_reason_the_version_lacks_becomes_its_other(self, version: str, dialect: str, reason: str) -> None:
        event = order_event(exec_type=ExecType.REJECTED, status=OrdStatus.REJECTED, code=2004)
        assert fields_of(body_of(event, version=version, dialect=dialect))[103] == reason

    def test_a_code_that_only_a_newer_core_knows_is_still_sent(self) -> None:
        event = order_event(exec_type=ExecType.REJECTED, status=OrdStatus.REJECTED, code=4999)
        fields = fields_of(body_of(event))
        assert (fields[103], fields[25016], fields[20102], fields[58]) == ("99", "4999", "0", "refused")

    def test_a_cancel_reject_has_the_orders_state_and_what_was_refused(self) -> None:
        event = CancelRejected(1001, 1050, 9, T_CORE, "c-1", "a", ORDER_ID, OrdStatus.FILLED, "1", TOO_LATE)
        assert body_of(event, CANCEL) == (
            "35=9|37=812345678901|11=c-1|41=a|39=2|434=1|102=0|60=20261122-12:00:00.000377"
            "|20104=20261122-12:00:00.000151|25016=4004|20102=0|20105=1050|58=too late"
        )

    def test_a_cancel_reject_of_an_unknown_order_by_order_id(self) -> None:
        event = CancelRejected(1001, 1050, 9, T_CORE, "c-1", "", 0, OrdStatus.REJECTED, "2", UNKNOWN_ORDER, "who?")
        by_id = request("35=G|11=c-1|37=5|55=BTC-USDT")
        assert body_of(event, by_id, dialect="plain") == (
            "35=9|37=NONE|11=c-1|41=NONE|39=8|434=2|102=1|60=20261122-12:00:00.000|58=who?"
        )

    def test_the_request_lends_a_name_that_the_core_did_not_tell(self) -> None:
        event = CancelRejected(1001, 1050, 9, T_CORE, "c-1", "", 0, OrdStatus.REJECTED, "1", PENDING_CHANGE)
        assert "|41=mm-7f3a-000123|39=8|434=1|102=1|" in body_of(event, CANCEL)

    @pytest.mark.parametrize(("version", "dialect"), [(v, d) for v in VERSIONS for d in DIALECTS])
    def test_rejected_is_said_of_an_order_only_where_it_is_unknown(self, version: str, dialect: str) -> None:
        for code in CODES:
            event = CancelRejected(1001, 1050, 9, T_CORE, "c-1", "a", 0, OrdStatus.REJECTED, "2", code)
            fields = fields_of(body_of(event, CANCEL, version, dialect))
            assert (fields[37], fields[39], fields[102]) == ("NONE", "8", "0" if code == TOO_LATE else "1")
            known = CancelRejected(1001, 1050, 9, T_CORE, "c-1", "a", 5, OrdStatus.PARTIALLY_FILLED, "2", code)
            fields = fields_of(body_of(known, CANCEL, version, dialect))
            assert (fields[37], fields[39]) == ("5", "1")

    @pytest.mark.parametrize(
        ("dialect", "code", "reason"), [("penstock", 5009, "99"), ("plain", 5009, "0"), ("plain", 2003, "1")]
    )
    def test_a_mass_cancel_that_failed_has_a_reason_that_stock_engines_read(
        self, dialect: str, code: int, reason: str
    ) -> None:
        report = body_of(MassCancelDone(1001, 1051, 255, T_CORE, "mc-1", 0, code), dialect=dialect)
        assert f"|531=0|532={reason}|533=0|" in report


class TestMassCancel:
    def test_the_report_echoes_the_request_and_counts(self) -> None:
        event = MassCancelDone(1001, 1051, 255, T_CORE, "mc-1", 17)
        answered = request("35=q|11=mc-1|530=1|55=BTC-USDT|54=2")
        assert body_of(event, answered) == (
            "35=r|37=M-ff|11=mc-1|530=1|531=1|533=17|55=BTC-USDT|54=2|60=20261122-12:00:00.000377"
            "|20104=20261122-12:00:00.000151|20105=1051"
        )

    def test_fixt_names_a_mass_action_report_id(self) -> None:
        event = MassCancelDone(1001, 1051, 255, T_CORE, "mc-1", 0)
        assert body_of(event, request("35=q|11=mc-1|530=7"), "FIXT.1.1", "plain") == (
            "35=r|37=M-ff|11=mc-1|1369=M-ff|530=7|531=7|533=0|60=20261122-12:00:00.000"
        )

    def test_a_failed_one_is_531_0(self) -> None:
        event = MassCancelDone(1001, 1051, 255, T_CORE, "mc-1", 0, INTERNAL)
        fields = fields_of(body_of(event, request("35=q|11=mc-1|530=7")))
        assert (fields[531], fields[532], fields[25016], fields[20102]) == ("0", "99", "5009", "1")

    def test_one_that_no_client_requested_is_reported_by_its_cancels_alone(self) -> None:
        assert translator().event(MassCancelDone(1001, 1051, 255, T_CORE, "", 17), None) == []

    def test_but_a_client_that_must_see_every_number_gets_it_too(self) -> None:
        done = MassCancelDone(1001, 1051, 255, T_CORE, "", 17)
        ((msg_type, body),) = translator().event(done, None, every_number=True)
        assert msg_type == "r"
        assert "11=NONE\x01" in body
        assert body.endswith("20105=1051\x01")

    @pytest.mark.parametrize("every_number", [False, True])
    def test_fix42_has_no_such_report(self, every_number: bool) -> None:
        done = MassCancelDone(1001, 1051, 255, T_CORE, "mc-1", 17)
        assert translator("FIX.4.2").event(done, None, every_number=every_number) == []


def states(*orders: OrderEvent, req_id: str = "ms-1") -> OrderList:
    return OrderList(1001, 2210, 0xABC, T_CORE, req_id, orders)


def state(**changes: object) -> OrderEvent:
    return order_event(exec_type=ExecType.ORDER_STATUS, seq=0, exec_id=0, cmd_id=0, **changes)


class TestStatus:
    def test_every_open_order_is_reported_and_the_last_one_says_so(self) -> None:
        answers = translator().event(states(state(), state(order_id=2)), request("35=AF|584=ms-1|585=7"), T_RECV)
        assert [msg_type for msg_type, _ in answers] == ["8", "8"]
        first, second = [fields_of(piped(body)) for _, body in answers]
        assert [first[tag] for tag in (584, 911, 912, 17, 150, 39)] == ["ms-1", "2", "N", "I-abc-1", "I", "0"]
        assert [second[tag] for tag in (584, 911, 912, 17, 37)] == ["ms-1", "2", "Y", "I-abc-2", "2"]
        assert first[20105] == second[20105] == "2210", "the state is valid at this number of the stream"

    def test_none_open_is_one_report_that_says_so(self) -> None:
        assert body_of(states(), request("35=AF|584=ms-1|585=7")) == (
            "35=8|37=NONE|11=NONE|584=ms-1|911=0|912=Y|17=I-abc-0|150=I|39=8|55=[N/A]|54=7|14=0|151=0|6=0"
            "|60=20261122-12:00:00.000377|20104=20261122-12:00:00.000151|20105=2210"
        )

    def test_one_order(self) -> None:
        report = body_of(states(state()), request("35=H|11=mm-7f3a-000123|790=r-1"))
        assert report.startswith("35=8|37=812345678901|11=mm-7f3a-000123|790=r-1|17=I-abc-1|150=I|39=0|")
        assert not {584, 911, 912} & fields_of(report).keys()

    def test_an_unknown_order(self) -> None:
        assert body_of(states(), request("35=H|11=nope|55=BTC-USDT")) == (
            "35=8|37=NONE|11=nope|17=I-abc-0|150=I|39=8|103=5|55=BTC-USDT|54=7|14=0|151=0|6=0"
            "|60=20261122-12:00:00.000377|20104=20261122-12:00:00.000151|25016=4002|20102=0|20105=2210|58=unknown order"
        )

    def test_fix42_says_it_with_exec_trans_type_3(self) -> None:
        asked = request("35=H|11=nope|55=BTC-USDT|54=2")
        assert "|20=3|150=8|39=8|103=5|55=BTC-USDT|54=2|" in body_of(states(), asked, "FIX.4.2")
        assert "|20=3|150=1|39=1|" in body_of(states(state(status=OrdStatus.PARTIALLY_FILLED)), asked, "FIX.4.2")

    def test_a_repeated_order_that_the_core_knew_is_answered_by_its_state(self) -> None:
        event = order_event(exec_type=ExecType.ORDER_STATUS, flags=DUPLICATE, exec_id=0, cmd_id=0xABC)
        assert "|17=I-abc-1042|150=I|39=0|" in body_of(event, limit_order("97=Y"))


@pytest.mark.parametrize(
    ("state", "instrument", "expected"),
    [
        ("halted", BTC.id, "35=B|148=BTC-USDT halted|61=1|33=1|58=BTC-USDT halted"),
        ("cancel_only", 0, "35=B|148=market cancel only|61=1|33=1|58=market cancel only"),
        ("normal", 0, "35=B|148=market normal|61=0|33=1|58=market normal"),
    ],
)
def test_the_state_of_the_market_is_news(state: str, instrument: int, expected: str) -> None:
    assert body_of(EngineState(0, 0, 0, T_CORE, state, instrument)) == expected


def test_cancel_only_text_is_the_operators() -> None:
    assert body_of(EngineState(0, 0, 0, T_CORE, "halted", 0, "circuit\x01breaker\n")).endswith("|58=circuit?breaker?")
    assert CANCEL_ONLY == 4011
