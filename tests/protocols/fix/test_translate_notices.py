"""Limits, changes of limits and news, as the contract samples have them. Modules: fix.notice, fix.translate."""

import pytest

from protocols.fix.translate import LimitLine
from tests.support.translation import fields_of, piped, translator

ORDERS = LimitLine("orders", "account", capacity=200, remaining=187, rate_milli=100_000)
CANCELS = LimitLine("cancels", "account", capacity=500, remaining=500, rate_milli=250_000)
OPEN = LimitLine("open_orders", "account", capacity=1000, remaining=990)


def test_the_published_limit_response() -> None:
    msg_type, body = translator().limits("lq-1", [ORDERS, CANCELS])
    assert msg_type == "XLR"
    assert piped(body) == (
        "6136=lq-1|25003=2|25004=1|25005=13|25006=200|25007=2|25008=s|20108=orders|20109=account|20110=100|20111=187"
        "|25004=3|25005=0|25006=500|25007=2|25008=s|20108=cancels|20109=account|20110=250|20111=500"
    )


def test_a_gauge_never_refills() -> None:
    _, body = translator().limits("x", [OPEN])
    assert piped(body) == "6136=x|25003=1|25004=5|25005=10|25006=1000|20108=open_orders|20109=account|20111=990"


def test_limits_that_have_no_type_are_left_out_of_the_count_too() -> None:
    _, body = translator().limits("x", [LimitLine("logons", "ip", 10, 10, 500), ORDERS])
    assert "|25003=1|25004=1|" in piped(body)


@pytest.mark.parametrize(
    ("rate_milli", "capacity", "text", "fill"), [(500, 10, "0.5", "20"), (1, 1, "0.001", "1000"), (3000, 10, "3", "4")]
)
def test_slow_rates_are_exact_and_the_time_to_fill_rounded_up(
    rate_milli: int, capacity: int, text: str, fill: str
) -> None:
    _, body = translator().limits("x", [LimitLine("queries", "account", capacity, 0, rate_milli)])
    fields = fields_of(piped(body))
    assert (fields[20110], fields[25007]) == (text, fill)


def test_a_change_of_limits_is_a_user_notification_with_the_throttle_group() -> None:
    slow = LimitLine("msgs", "session", 10, 10, rate_milli=1_500)
    msg_type, body = translator().user_notification([ORDERS, slow, OPEN], "profile mm-tier-2")
    assert msg_type == "CB"
    assert piped(body) == (
        "926=9|1610=3|1611=2|1612=0|1613=100|1614=1|1615=0|1618=2|1619=D|1619=G"
        "|1611=2|1612=0|1613=3|1614=2|1615=0|1611=2|1612=1|1613=1000|58=profile mm-tier-2"
    )


@pytest.mark.parametrize(("version", "dialect"), [("FIX.4.2", "penstock"), ("FIX.4.4", "plain"), ("FIXT.1.1", "plain")])
def test_where_there_is_no_user_notification_it_is_news(version: str, dialect: str) -> None:
    msg_type, body = translator(version, dialect).user_notification([ORDERS, OPEN], "tier 2")
    assert msg_type == "B"
    assert piped(body) == (
        "148=limits changed|61=0|33=1|58=tier 2: orders/account 200 burst 100/s; open_orders/account 1000"
    )


def test_news_that_a_trader_must_act_on_is_a_flash() -> None:
    assert translator().news("draining", "reconnect in 30 s", flash=True) == (
        "B",
        "148=draining\x0161=1\x0133=1\x0158=reconnect in 30 s\x01",
    )


def test_a_field_is_never_empty() -> None:
    assert piped(translator().news("", "")[1]) == "148=notice|61=0|33=1|58=notice"
