"""How a FIX session ends: our Logout(5) is written after the answers to what came before, and is the last byte.

Module: doors.fix.endpoint.
"""

import pytest

from tests.support.fix_room import MS, Desk, clients_of, session

__all__ = ["clients_of"]

KEEPS = "9003=Y|"


def order(desk: Desk, cl_ord_id: str) -> bytes:
    return desk.frame("D", f"11={cl_ord_id}|55=BTC-USDT|54=1|38=1|40=2|44=100.00|")


def told(messages: list[dict[str, str]]) -> list[str]:
    """MsgType(35), and the id of each report."""
    return [row["35"] + row.get("11", "") for row in messages]


@pytest.mark.parametrize("dialect", ["penstock", "plain"])
def test_orders_and_a_logout_in_one_write_are_answered_in_order(clients_of, dialect):
    (desk,) = clients_of(session(1, "A", dialect=dialect))
    desk.logon()
    sent = order(desk, "a") + order(desk, "b") + desk.frame("F", "11=c|41=a|55=BTC-USDT|54=1|") + desk.frame("5", "")
    desk.endpoint.receive(sent, desk.now)
    assert desk.read() == []
    assert not desk.link.is_closing
    desk.server.orders.tick(desk.now)
    assert told(desk.read()) == ["8a", "8b", "8c", "5"]
    assert desk.link.is_closing
    assert not desk.endpoint.has_output


def test_a_message_that_only_the_translation_refuses_is_rejected_before_the_logout(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    bad = desk.frame("D", f"11={'x' * 40}|55=BTC-USDT|54=1|38=1|40=2|44=100.00|")
    desk.endpoint.receive(bad + desk.frame("5", ""), desk.now)
    assert told(desk.read()) == ["3", "5"]


def test_a_logout_alone_is_answered_at_once(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    desk.endpoint.receive(desk.frame("5", ""), desk.now)
    assert told(desk.read()) == ["5"]
    assert desk.link.is_closing


def test_answers_that_do_not_come_are_waited_for_as_long_as_the_core_has(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    desk.endpoint.receive(order(desk, "a") + desk.frame("5", ""), desk.now)
    wait_ms = desk.server.settings.core.answer_timeout_ms
    desk.later_ns += (wait_ms - 5) * MS
    desk.endpoint.tick(desk.now)
    assert desk.read() == []
    desk.later_ns += 100 * MS
    desk.endpoint.tick(desk.now)
    assert told(desk.read()) == ["5"]
    assert desk.link.is_closing
    desk.server.orders.tick(desk.now)
    desk.drop()
    desk.logon()
    assert told(desk.send("2", "7=1|16=0|"))[1:2] == ["8a"], "the answer is kept for the next connection"


def test_a_session_that_resets_at_each_logon_has_its_answers_too(clients_of):
    (desk,) = clients_of(session(1, "A", reset_on_logon=True))
    desk.logon()
    desk.endpoint.receive(order(desk, "a") + desk.frame("5", ""), desk.now)
    desk.server.orders.tick(desk.now)
    assert told(desk.read()) == ["8a", "5"]


def test_what_another_session_of_the_account_waits_for_is_not_waited_for(clients_of):
    mine, other = clients_of(session(1, "A"), session(2, "B"))
    mine.logon()
    other.logon()
    other.endpoint.receive(order(other, "b"), other.now)
    mine.endpoint.receive(mine.frame("5", ""), mine.now)
    assert told(mine.read()) == ["5"]


@pytest.mark.parametrize(("logout", "left"), [("", []), (KEEPS, ["a"])])
def test_a_link_lost_behind_a_logout_does_with_the_orders_what_the_logout_said(clients_of, logout, left):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S", version="FIXT.1.1"))
    desk.logon("98=0|108=30|1137=9|")
    desk.endpoint.receive(order(desk, "a") + desk.frame("5", logout), desk.now)
    desk.drop()
    desk.server.orders.tick(desk.now)
    assert desk.open_orders == left
    desk.logon("98=0|108=30|1137=9|")
    cancelled = [row["378"] for row in desk.send("2", "7=1|16=0|") if row.get("150") == "4"]
    assert cancelled == ([] if left else ["13"]), "a logout, though the link was lost behind it"


@pytest.mark.parametrize(("logout", "left"), [("", []), (KEEPS, ["a"])])
def test_a_logout_does_with_the_orders_what_it_says_and_those_before_it_are_orders(clients_of, logout, left):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S"))
    desk.logon()
    desk.endpoint.receive(order(desk, "a") + desk.frame("5", logout), desk.now)
    desk.server.orders.tick(desk.now)
    assert told(desk.read()) == ["8a", "5"]
    desk.drop()
    desk.server.orders.tick(desk.now)
    assert desk.open_orders == left


def test_the_link_stays_until_a_running_resend_and_the_logout_behind_it_are_taken(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    for n in range(50):
        desk.place(f"o-{n}")
    desk.endpoint.receive(desk.frame("2", "7=2|16=0|") + desk.frame("5", ""), desk.now)
    desk.endpoint.take_output(300)
    assert not desk.link.is_closing
    assert told(desk.read())[-1] == "5"
    assert desk.link.is_closing


def test_who_comes_back_while_the_rest_of_his_resend_is_written_is_no_duplicate(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    for n in range(50):
        desk.place(f"o-{n}")
    desk.endpoint.receive(desk.frame("2", "7=2|16=0|") + desk.frame("5", ""), desk.now)
    desk.endpoint.take_output(300)
    assert not desk.endpoint.has_living_link
    old = desk.link
    assert told(desk.logon()) == ["A"]
    rest = old.peer.take_output(1 << 20)
    assert rest.count(b"\x0135=8\x01") > 40
    assert b"\x0135=5\x01" in rest
    assert old.is_closing
    assert not desk.link.is_closing


def test_what_comes_behind_a_logout_is_not_carried_out(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    desk.endpoint.receive(desk.frame("5", "") + order(desk, "late"), desk.now)
    desk.server.orders.tick(desk.now)
    assert told(desk.read()) == ["5"]
    assert desk.open_orders == []


def test_a_mass_cancel_that_joined_another_is_waited_for(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    sweeps = b"".join(desk.frame("q", f"11=m-{n}|530=7|") for n in range(3))
    desk.endpoint.receive(sweeps + desk.frame("5", ""), desk.now)
    desk.server.orders.tick(desk.now)
    said = told(desk.read())
    assert sorted(said[:-1]) == ["rm-0", "rm-1", "rm-2"]
    assert said[-1] == "5"
