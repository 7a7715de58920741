"""Refusals by the gateway: each message is refused with its own, and an unknown outcome is never a refusal.

Modules: fix.refusal, fix.translate.
"""

import pytest

from protocols.errors import (
    BAD_TICK,
    CODES,
    DRAINING,
    ENGINE_BUSY,
    ENGINE_DOWN,
    ENGINE_TIMEOUT,
    INTERNAL,
    LIMIT_ABUSE,
    MESSAGE_RATE_LIMITED,
    MISSING_FIELD,
    NOT_PERMITTED,
    QUERY_RATE_LIMITED,
    RATE_LIMITED,
    UNKNOWN_METHOD,
    UNKNOWN_ORDER,
    UNKNOWN_SYMBOL,
    Refusal,
)
from protocols.fix.events import AppMessage
from protocols.messages import ExecType, OrdStatus
from tests.support.translation import (
    DIALECTS,
    ORDER_ID,
    T_RECV,
    VERSIONS,
    at,
    fields_of,
    limit_order,
    order_event,
    piped,
    request,
    translator,
)

NOW = at("12:00:00.100390")
CANCEL = request("35=F|34=9|11=c-1|41=a|55=BTC-USDT")
REPLACE = request("35=G|34=9|11=b-1|41=a|55=BTC-USDT|38=1|44=1")
MASS_CANCEL = request("35=q|34=9|11=mc-1|530=7")
STATUS = request("35=H|34=9|11=a|55=BTC-USDT|54=1|790=r-1")
MASS_STATUS = request("35=AF|34=9|584=ms-1|585=7")
LIMIT_QUERY = request("35=XLQ|34=9|6136=lq-1")
EVERY_REQUEST = (limit_order(), CANCEL, REPLACE, MASS_CANCEL, STATUS, MASS_STATUS, LIMIT_QUERY)


def refused_by(message: AppMessage, code: int, version: str = "FIX.4.4", dialect: str = "penstock", **options) -> str:
    """The answer to `message` when it is refused with `code`, in pipe notation."""
    known, retry = options.pop("known", OrdStatus.REJECTED), options.pop("retry", 0)
    refusal = Refusal(code, "because", retry)
    msg_type, body = translator(version, dialect, **options).refusal(message, refusal, NOW, "R-6", known)
    return f"35={msg_type}|{piped(body)}"


class TestPublishedSamples:
    def test_rate_limited(self) -> None:
        refusal = Refusal(RATE_LIMITED, "rate limit: orders/account 200 burst 100/s", 7)
        msg_type, body = translator().refusal(limit_order("11=mm-7f3a-000124"), refusal, NOW, "R-6")
        assert msg_type == "8"
        assert piped(body) == (
            "37=NONE|11=mm-7f3a-000124|17=R-6|150=8|39=8|103=99|55=BTC-USDT|54=1|14=0|151=0|6=0"
            "|60=20261122-12:00:00.100390|25016=3001|20101=7|20102=0|20105=0"
            "|58=rate limit: orders/account 200 burst 100/s"
        )

    def test_engine_busy(self) -> None:
        refusal = Refusal(ENGINE_BUSY, "engine busy, not sent, tokens returned", 20)
        _, body = translator().refusal(limit_order("11=mm-7f3a-000125"), refusal, at("12:00:00.200390"), "R-7")
        assert piped(body) == (
            "37=NONE|11=mm-7f3a-000125|17=R-7|150=8|39=8|103=99|55=BTC-USDT|54=1|14=0|151=0|6=0"
            "|60=20261122-12:00:00.200390|25016=5001|20101=20|20102=0|20105=0|58=engine busy, not sent, tokens returned"
        )

    def test_no_answer_from_the_engine(self) -> None:
        refusal = Refusal(ENGINE_TIMEOUT, "no answer from engine in 2000 ms, outcome unknown")
        _, body = translator().refusal(limit_order("11=mm-7f3a-000126"), refusal, at("12:00:02.300390"), "P-8")
        assert piped(body) == (
            "37=NONE|11=mm-7f3a-000126|17=P-8|150=A|39=A|55=BTC-USDT|54=1|38=0.01250000|14=0|151=0.01250000|6=0"
            "|60=20261122-12:00:02.300390|25016=5004|20102=1|20105=0"
            "|58=no answer from engine in 2000 ms, outcome unknown"
        )


class TestEachMessageIsRefusedWithItsOwn:
    def test_a_new_order_by_an_execution_report(self) -> None:
        assert refused_by(limit_order("526=grid-1|1=desk"), BAD_TICK) == (
            "35=8|37=NONE|11=mm-7f3a-000123|17=R-6|150=8|39=8|103=18|55=BTC-USDT|54=1|14=0|151=0|6=0"
            "|60=20261122-12:00:00.100390|526=grid-1|1=desk|25016=2004|20102=0|20105=0|58=because"
        )

    def test_a_cancel_by_a_cancel_reject_that_calls_only_an_unknown_order_rejected(self) -> None:
        assert refused_by(CANCEL, NOT_PERMITTED) == (
            "35=9|37=NONE|11=c-1|41=a|39=8|434=1|102=1|60=20261122-12:00:00.100390|25016=1005|20102=0|20105=0|58=because"
        )
        assert "35=9|37=812345678901|11=c-1|41=a|39=0|434=1|102=99|" in refused_by(
            CANCEL, NOT_PERMITTED, known=order_event()
        )

    def test_an_order_on_its_way_is_pending_and_has_no_order_id_yet(self) -> None:
        on_its_way = OrdStatus.PENDING_NEW
        assert "35=9|37=NONE|11=c-1|41=a|39=A|434=1|102=99|" in refused_by(CANCEL, RATE_LIMITED, known=on_its_way)
        assert "35=8|37=NONE|11=a|790=r-1|17=R-6|150=I|39=A|55=" in refused_by(STATUS, NOT_PERMITTED, known=on_its_way)

    def test_a_replace_too_with_the_state_of_the_order_it_names(self) -> None:
        known = order_event(status=OrdStatus.PARTIALLY_FILLED)
        report = refused_by(REPLACE, RATE_LIMITED, known=known, retry=7)
        assert report == (
            f"35=9|37={ORDER_ID}|11=b-1|41=a|39=1|434=2|102=99|60=20261122-12:00:00.100390"
            "|25016=3001|20101=7|20102=0|20105=0|58=because"
        )

    @pytest.mark.parametrize(("code", "reason"), [(UNKNOWN_SYMBOL, "1"), (DRAINING, "0"), (MISSING_FIELD, "0")])
    @pytest.mark.parametrize("version", ["FIX.4.4", "FIXT.1.1"])
    def test_a_plain_mass_cancel_has_a_reason_of_one_character(self, version: str, code: int, reason: str) -> None:
        assert f"|531=0|532={reason}|533=0|" in refused_by(MASS_CANCEL, code, version, "plain")

    def test_a_mass_cancel_by_its_report(self) -> None:
        assert refused_by(MASS_CANCEL, DRAINING) == (
            "35=r|37=NONE|11=mc-1|530=7|531=0|532=99|533=0|60=20261122-12:00:00.100390|25016=5005|20102=0|20105=0|58=because"
        )
        assert "|1369=R-6|530=7|" in refused_by(MASS_CANCEL, DRAINING, "FIXT.1.1")

    def test_what_has_no_own_refusal_by_a_business_reject(self) -> None:
        assert refused_by(MASS_STATUS, QUERY_RATE_LIMITED, retry=3) == (
            "35=j|45=9|372=AF|379=ms-1|380=8|25016=3004|20101=3|20102=0|58=because"
        )
        assert refused_by(LIMIT_QUERY, DRAINING).startswith("35=j|45=9|372=XLQ|379=lq-1|380=4|25016=5005|")
        assert refused_by(request("35=i|34=9|117=q-1"), UNKNOWN_METHOD).startswith(
            "35=j|45=9|372=i|379=q-1|380=3|25016=1006|"
        )
        assert refused_by(request("35=zz|34=9"), UNKNOWN_METHOD).startswith("35=j|45=9|372=zz|380=3|")

    def test_a_conditional_field_is_a_business_reject_only_without_an_order(self) -> None:
        assert refused_by(limit_order(), MISSING_FIELD).startswith("35=8|")
        assert refused_by(CANCEL, MISSING_FIELD).startswith("35=9|")
        assert refused_by(MASS_STATUS, MISSING_FIELD).startswith("35=j|45=9|372=AF|379=ms-1|380=5|")


class TestStatusRequests:
    def test_an_unknown_order_is_a_fact_about_it(self) -> None:
        assert refused_by(STATUS, UNKNOWN_ORDER) == (
            "35=8|37=NONE|11=a|790=r-1|17=R-6|150=I|39=8|103=5|55=BTC-USDT|54=1|14=0|151=0|6=0"
            "|60=20261122-12:00:00.100390|25016=4002|20102=0|20105=0|58=because"
        )
        assert "|39=8|103=1|" in refused_by(STATUS, UNKNOWN_SYMBOL)

    def test_an_order_that_is_not_yet_answered_is_pending_never_unknown(self) -> None:
        report = refused_by(STATUS, ENGINE_TIMEOUT)
        assert "|150=I|39=A|55=" in report
        assert "|25016=5004|20102=1|" in report
        assert "|20=3|150=A|39=A|55=" in refused_by(STATUS, ENGINE_TIMEOUT, "FIX.4.2")

    def test_one_that_is_not_permitted_is_refused_with_its_own_message(self) -> None:
        assert "35=8|37=NONE|11=a|790=r-1|17=R-6|150=I|39=8|103=0|55=BTC-USDT|" in refused_by(STATUS, NOT_PERMITTED)

    @pytest.mark.parametrize("code", [NOT_PERMITTED, UNKNOWN_SYMBOL, UNKNOWN_ORDER, ENGINE_TIMEOUT])
    @pytest.mark.parametrize(("version", "kind"), [("FIX.4.2", "20=3|150=1"), ("FIX.4.4", "150=I")])
    def test_a_known_order_is_reported_with_its_state_whatever_is_wrong_with_the_request(
        self, code: int, version: str, kind: str
    ) -> None:
        known = order_event(exec_type=ExecType.ORDER_STATUS, status=OrdStatus.PARTIALLY_FILLED, cum_qty=1)
        report = refused_by(STATUS, code, version, known=known)
        assert f"|17=R-6|{kind}|39=1|55=BTC-USDT|" in report
        assert report.startswith(f"35=8|37={ORDER_ID}|11=mm-7f3a-000123|")
        fields = fields_of(report)
        assert (fields[14], fields[25016], fields[58]) == ("0.00000001", str(code), "because")
        assert 103 not in fields

    @pytest.mark.parametrize(("code", "reason"), [(ENGINE_BUSY, "99"), (ENGINE_DOWN, "99"), (DRAINING, "99")])
    def test_one_that_we_are_too_slow_for_gets_what_is_known_of_the_order(self, code: int, reason: str) -> None:
        known = order_event(exec_type=ExecType.ORDER_STATUS, status=OrdStatus.PARTIALLY_FILLED)
        report = refused_by(STATUS, code, known=known, retry=20)
        assert report.startswith(f"35=8|37={ORDER_ID}|")
        assert "|150=I|39=1|" in report
        assert f"|25016={code}|20101=20|20102=0|" in report
        assert "|150=I|39=A|" in refused_by(STATUS, code, known=OrdStatus.PENDING_NEW)
        assert f"|150=I|39=8|103={reason}|" in refused_by(STATUS, code)

    @pytest.mark.parametrize("code", [QUERY_RATE_LIMITED, MESSAGE_RATE_LIMITED, INTERNAL])
    def test_being_limited_says_nothing_about_the_order(self, code: int) -> None:
        report = refused_by(STATUS, code)
        assert report.startswith("35=j|45=9|372=H|379=a|380=")
        assert "|39=" not in report


class TestUnknownOutcomes:
    @pytest.mark.parametrize("code", [ENGINE_TIMEOUT, INTERNAL])
    def test_a_new_order_is_pending(self, code: int) -> None:
        report = refused_by(limit_order(), code)
        assert "|150=A|39=A|" in report
        assert f"|25016={code}|20102=1|" in report

    @pytest.mark.parametrize("message", [CANCEL, REPLACE, MASS_CANCEL, MASS_STATUS], ids=lambda m: m.msg_type)
    def test_anything_else_is_a_business_reject_that_says_other(self, message: AppMessage) -> None:
        report = refused_by(message, ENGINE_TIMEOUT)
        assert report.startswith(f"35=j|45=9|372={message.msg_type}|")
        assert report.endswith("|380=0|25016=5004|20102=1|58=because")

    def test_no_code_with_an_unknown_outcome_is_ever_a_refusal(self) -> None:
        for code in (row.code for row in CODES.values() if row.unknown_outcome):
            for message in EVERY_REQUEST:
                fields = fields_of(refused_by(message, code))
                assert fields.get(150) != "8"
                assert fields[35] in ("8", "j")


def test_an_order_whose_id_is_taken_lends_its_order_id_to_no_refusal() -> None:
    assert refused_by(limit_order(), BAD_TICK, known=order_event()).startswith("35=8|37=NONE|")


class TestThrottleAsBusiness:
    @pytest.mark.parametrize("message", EVERY_REQUEST, ids=lambda m: m.msg_type)
    def test_limits_are_reported_by_380_8_when_the_session_prefers_it(self, message: AppMessage) -> None:
        for code in (3001, 3002, 3003, 3004, 3005, 3006, 3007):
            report = refused_by(message, code, throttle_reject="business")
            assert report.startswith("35=j|")
            assert "|380=8|" in report

    def test_versions_without_380_8_say_other(self) -> None:
        assert "|380=0|" in refused_by(limit_order(), RATE_LIMITED, "FIX.4.4", "plain", throttle_reject="business")
        assert "|380=0|" in refused_by(limit_order(), RATE_LIMITED, "FIXT.1.1", "plain", throttle_reject="business")

    def test_our_slowness_stays_the_orders_own_refusal(self) -> None:
        assert refused_by(limit_order(), ENGINE_BUSY, throttle_reject="business").startswith("35=8|")

    @pytest.mark.parametrize("option", ["order", "business"])
    def test_abuse_is_always_380_9_for_the_connection_goes(self, option: str) -> None:
        report = refused_by(limit_order(), LIMIT_ABUSE, throttle_reject=option)
        assert report.startswith("35=j|")
        assert "|380=9|" in report


class TestPendingNew:
    def test_reports_that_the_order_was_handed_over(self) -> None:
        msg_type, body = translator().pending_new(limit_order("526=t|1=desk"), NOW, "P-9", T_RECV)
        assert msg_type == "8"
        assert piped(body) == (
            "37=NONE|11=mm-7f3a-000123|17=P-9|150=A|39=A|55=BTC-USDT|54=1|38=0.01250000|14=0|151=0.01250000|6=0"
            "|60=20261122-12:00:00.100390|526=t|1=desk|20104=20261122-12:00:00.000151|20105=0"
        )

    def test_an_amount_order_has_no_quantity_to_tell(self) -> None:
        amount = request("35=D|11=a|40=1|54=1|55=BTC-USDT|152=100")
        _, body = translator(dialect="plain").pending_new(amount, NOW, "P-9", T_RECV)
        assert "|54=1|14=0|151=0|6=0|" in piped(body)

    def test_fix42_says_exec_trans_type(self) -> None:
        _, body = translator("FIX.4.2").pending_new(limit_order(), NOW, "P-9", T_RECV)
        assert "|17=P-9|20=0|150=A|39=A|" in piped(body)


@pytest.mark.parametrize(("version", "dialect"), [(v, d) for v in VERSIONS for d in DIALECTS])
def test_every_code_has_an_answer_to_every_request(version: str, dialect: str) -> None:
    for code in CODES:
        for message in EVERY_REQUEST:
            fields = fields_of(refused_by(message, code, version, dialect))
            assert fields[58] == "because"
            assert fields.get(25016) == (str(code) if dialect == "penstock" else None)
            custom = [tag for tag in fields if tag >= 5000]
            assert not custom or dialect == "penstock"


def test_text_is_made_safe_and_short() -> None:
    refusal = Refusal(BAD_TICK, "evil\x0135=8\x0110=000\x01 na\xefve \u20ac\r\n" + "x" * 999)
    _, body = translator().refusal(limit_order(), refusal, NOW, "R-6")
    text = body.split("58=")[1]
    assert text == ("evil?35=8?10=000? na?ve ???" + "x" * 999)[:256] + "\x01"


def test_echoed_fields_cannot_forge_others() -> None:
    message = limit_order()
    message.fields[11] = "a\x01150=0"
    message.fields[55] = "X\x0139=0"
    _, body = translator().refusal(message, Refusal(UNKNOWN_SYMBOL, "no"), NOW, "R-6")
    assert "|11=a?150=0|" in "|" + piped(body)
    assert "|55=X?39=0|" in piped(body)
