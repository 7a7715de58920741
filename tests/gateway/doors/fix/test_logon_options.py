"""A Logon(A) is judged whole before anything is touched, and told whole when it is accepted; without a socket."""

import pytest

from gateway.auth.authenticator import Client
from tests.support.fix_room import MS, clients_of, session
from tests.support.fix_text import pipes

__all__ = ["clients_of"]

HEAD = "98=0|108=30|"


def state_of(desk):
    """All of a living session that a newcomer could touch."""
    found, store = desk.endpoint.session, desk.endpoint.machine.store
    return (
        desk.endpoint.link,
        desk.endpoint.machine.state,
        (store.next_in, store.next_out, list(store.read(1, 999))),
        (found.client, found.connected, found.cancel_on_disconnect, found.cod_grace_ms, found.response_mode),
        desk.server.cancel_on_disconnect.next_deadline_ns,
        desk.open_orders,
    )


# -- beside a living session -----------------------------------------------------------------------------------------

REFUSED = [
    pytest.param(1, HEAD, "bad_sequence", id="34 too low"),
    pytest.param(3, "98=0|108=999|8013=N|25036=1|", "bad_logon", id="108"),
    pytest.param(3, HEAD + "9999=1|", "bad_logon", id="a tag that nobody knows"),
    pytest.param(3, HEAD + "789=99|", "bad_sequence", id="789 too high"),
    pytest.param(3, HEAD + "141=Y|", "bad_logon", id="141=Y with another number than 1"),
    pytest.param(1, "98=0|108=0|141=Y|", "bad_logon", id="141=Y and a bad 108"),
    pytest.param(3, "98=1|108=30|", "bad_logon", id="98"),
]


@pytest.mark.parametrize(("seq_num", "body", "cause"), REFUSED)
def test_a_refused_newcomer_changes_nothing_for_the_living_session(clients_of, seq_num, body, cause):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    before, desk.seq = state_of(desk), seq_num - 1
    assert desk.knock(body).reason == cause
    assert state_of(desk) == before
    assert desk.read() == []
    desk.server.cancel_on_disconnect.tick(desk.now + 120_000 * MS)
    desk.server.orders.tick(desk.now)
    assert desk.open_orders == ["a"]
    desk.seq = 2
    (report,) = desk.place("b")
    assert (report["34"], report["150"]) == ("3", "0")


def test_a_drop_copy_that_does_not_say_so_changes_nothing_beside_one_that_did(clients_of):
    mine, copy = clients_of(session(1, "A"), session(2, "COPY", kind="drop_copy"))
    mine.logon()
    copy.logon(HEAD + "9406=Y|")
    mine.place("a")
    assert len(copy.read()) == 1
    before, copy.seq = state_of(copy), 0
    assert "DropCopyFlag(9406)=Y" in copy.knock(HEAD + "141=Y|").text
    assert state_of(copy) == before


def test_nobody_takes_a_living_session_over_while_the_gateway_drains(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    before = state_of(desk)
    desk.server.orders.venue.draining = True
    assert desk.knock().reason == "draining"
    assert state_of(desk) == before


@pytest.mark.parametrize(("seq_num", "more"), [(3, ""), (9, ""), (3, "789=2|"), (1, "141=Y|")])
def test_an_accepted_newcomer_supersedes_the_living_link_and_nothing_is_cancelled(clients_of, seq_num, more):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    first, desk.seq = desk.link, seq_num - 1
    logon, *_ = desk.logon(f"{HEAD}{more}25036=1|")
    assert (logon["35"], logon["34"], logon["25036"]) == ("A", "1" if "141" in more else "4", "1")
    (farewell,) = pipes(first.peer.take_output(1 << 20))
    assert farewell.startswith("35=5|34=3|")
    assert "58=superseded" in farewell
    assert first.is_closing
    assert desk.endpoint.link is desk.link is not first
    assert desk.server.metrics.fix.disconnects == {"superseded": 1}
    desk.server.cancel_on_disconnect.tick(desk.now + 120_000 * MS)
    desk.server.orders.tick(desk.now)
    assert desk.open_orders == ["a"]


# -- where the session is away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("knobs", [{}, {"reset_on_logon": True}])
@pytest.mark.parametrize("body", ["98=0|108=999|141=Y|", HEAD + "9999=1|141=Y|", HEAD + "8013=S|"])
def test_a_refused_logon_takes_no_unread_report_with_it(clients_of, knobs, body):
    maker, taker = clients_of(session(1, "M", kind="drop_copy", **knobs), session(2, "T"))
    taker.logon()
    maker.logon(HEAD + "9406=Y|")
    maker.drop()
    for n in range(3):
        taker.place(f"t{n}")
    kept = list(maker.endpoint.machine.store.read(1, 99))
    maker.seq = 0
    *_, logout = maker.logon(body)
    assert (logout["35"], logout["34"]) == ("5", "5")
    maker.drop()
    assert list(maker.endpoint.machine.store.read(1, 99)) == kept
    assert len(kept) == 3


def test_after_a_refused_reset_the_reports_are_served_as_if_it_had_not_come(clients_of):
    mine, copy = clients_of(session(1, "A"), session(2, "COPY", kind="drop_copy"))
    mine.logon()
    copy.logon(HEAD + "9406=Y|")
    copy.drop()
    for n in range(3):
        mine.place(f"x{n}")
    copy.seq = 0
    (logout,) = copy.logon(HEAD + "141=Y|")
    assert (logout["35"], logout["34"], logout["25016"]) == ("5", "5", "2002")
    copy.drop()
    copy.seq = 1
    (logon,) = copy.logon(HEAD + "9406=Y|")
    assert logon["34"] == "6"
    again = copy.send("2", "7=1|16=0|")
    assert [message["11"] for message in again if message["35"] == "8"] == ["x0", "x1", "x2"]


def test_who_the_session_acts_for_changes_with_an_accepted_logon_only(clients_of):
    (desk,) = clients_of(session(1, "A"))
    first, other = desk.endpoint.session.client, Client(1, "ACME", "other-key")
    for body, client in (("98=0|108=999|", first), (HEAD, other)):
        desk.seq = 0
        desk.knock(body, other)
        assert desk.endpoint.session.client is client
        desk.drop()


def test_a_refused_logon_that_waits_for_our_goodbyes_answer_is_taken_over_like_a_link_that_has_ended(clients_of):
    (desk,) = clients_of(session(1, "A"))
    for _ in range(2):
        (logout,) = desk.logon("98=0|108=999|")
        assert logout["35"] == "5"
        assert not desk.endpoint.has_living_link
    refused, desk.seq = desk.link, 0
    (logon,) = desk.logon()
    assert (logon["35"], logon["34"]) == ("A", "3")
    assert refused.is_closing
    assert not refused.peer.has_output
    assert desk.endpoint.has_living_link
    refused.peer.lost(desk.now)
    assert desk.endpoint.session.connected


# -- a link that has ended, and is not closed yet --------------------------------------------------------------------


def test_a_logon_after_the_end_of_the_last_link_takes_nothing_over_and_the_orders_stay(clients_of):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    first, first.has_ended = desk.link, True
    assert not desk.endpoint.has_living_link
    (logon,) = desk.logon()
    assert (logon["35"], logon["34"]) == ("A", "3")
    assert pipes(first.peer.take_output(1 << 20)) == []
    assert first.is_closing
    assert desk.endpoint.has_living_link
    assert desk.endpoint.session.connected
    assert desk.server.metrics.fix.disconnects == {"lost": 1}
    desk.server.cancel_on_disconnect.tick(desk.now + 120_000 * MS)
    desk.server.orders.tick(desk.now)
    assert desk.open_orders == ["a"]
    first.peer.lost(desk.now)  # its socket closes at last
    assert desk.endpoint.session.connected


def test_what_an_ended_link_was_still_to_write_is_written(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    desk.endpoint.receive(desk.frame("D", "11=a|55=BTC-USDT|54=1|38=1|40=2|44=100|"), desk.now)
    desk.server.orders.tick(desk.now)
    first, first.has_ended = desk.link, True
    desk.logon()
    (report,) = pipes(first.peer.take_output(1 << 20))
    assert report.startswith("35=8|34=2|")


def test_a_refused_logon_while_the_ended_link_is_still_read_changes_nothing(clients_of):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    desk.link.has_ended = True  # the client has closed, and its last messages wait for their turn
    before = state_of(desk)
    assert desk.knock("98=0|108=999|").reason == "bad_logon"
    assert state_of(desk) == before


def test_a_refused_logon_after_a_link_that_is_closing_is_told_why_and_what_guards_the_orders_goes_on(clients_of):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    desk.link.close()
    (logout,) = desk.logon("98=0|108=999|")
    assert (logout["35"], logout["34"]) == ("5", "3")
    assert not desk.endpoint.session.connected
    desk.server.cancel_on_disconnect.tick(desk.now)
    desk.server.orders.tick(desk.now)
    assert desk.open_orders == []


# -- all of it is told -----------------------------------------------------------------------------------------------


def test_a_reset_in_mid_session_is_told_whole_and_what_it_asks_for_is_in_force(clients_of):
    desk, other = clients_of(
        session(1, "A", auth="key", cancel_on_disconnect="S", cod_grace_max_ms=9_000), session(2, "B")
    )
    other.logon()
    desk.logon()
    desk.place("a")
    other.place("b")
    desk.seq = 0
    desk.endpoint.receive(desk.frame("A", "98=0|108=20|141=Y|8013=N|20107=7000|25036=1|25000=4000|"), desk.now)
    (logon,) = desk.read()
    told = {tag: logon.get(tag) for tag in ("34", "108", "141", "20105", "8013", "20107", "25036", "25000")}
    assert told == {
        "34": "1",
        "108": "20",
        "141": "Y",
        "20105": "2",
        "8013": "N",
        "20107": "7000",
        "25036": "1",
        "25000": "4000",
    }
    assert logon["20106"] == desk.server.core.epoch
    other.place("c")
    (report,) = desk.read()
    assert (report["34"], report["11"], report["20105"]) == ("2", "c", "3")
    desk.drop(waiting_ms=60_000)
    assert desk.open_orders == ["a", "b", "c"]


def test_a_reset_in_mid_session_that_is_refused_leaves_in_force_what_was(clients_of):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    desk.seq = 0
    desk.endpoint.receive(desk.frame("A", "98=0|108=999|141=Y|8013=N|"), desk.now)
    (logout,) = desk.read()
    assert (logout["35"], logout["34"]) == ("5", "3")
    assert len(list(desk.endpoint.machine.store.read(1, 9))) == 1
    desk.drop(waiting_ms=1)
    assert desk.open_orders == []


@pytest.mark.parametrize("seq_num", [1, 3])
def test_a_session_that_resets_at_each_logon_is_told_so_with_the_latest_number(clients_of, seq_num):
    (desk,) = clients_of(session(1, "A", reset_on_logon=True))
    desk.logon()
    desk.place("a")
    desk.drop()
    desk.seq = seq_num - 1
    (logon,) = desk.logon()
    assert (logon["34"], logon["141"], logon["20105"]) == ("1", "Y", "1")
    desk.seq = 1
    (report,) = desk.place("b")
    assert (report["34"], report["150"]) == ("2", "0")


def test_a_plain_session_that_resets_at_each_logon_is_told_so_in_the_standards_words(clients_of):
    (desk,) = clients_of(session(1, "A", reset_on_logon=True, dialect="plain"))
    desk.logon()
    desk.drop()
    (logon,) = desk.logon()
    assert (logon["34"], logon["141"]) == ("1", "Y")
    assert "20105" not in logon


def test_only_a_logon_that_begins_the_numbers_is_told_the_latest_of_the_account(clients_of):
    (desk,) = clients_of(session(1, "A"))
    assert desk.logon()[0]["20105"] == "0"
    desk.place("a")
    desk.drop()
    assert "20105" not in desk.logon()[0]


# -- the scheduled reset ---------------------------------------------------------------------------------------------


@pytest.fixture
def reset_desk(clients_of):
    """A desk with an order, whose session is due for its reset; `until_back` is how long it is waited for."""
    (desk,) = clients_of(session(1, "A", reset_schedule="daily 22:00", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    door = desk.server.fix
    desk.later_ns = door.next_deadline_ns - desk.server.now_ns() + MS
    desk.first = desk.link
    desk.until_back_ms = desk.server.settings.venue.drain_ms
    door.tick(desk.now)
    desk.seq = 0
    return desk


def pass_ms(desk, ms):
    desk.later_ns += ms * MS
    desk.server.cancel_on_disconnect.tick(desk.now)
    desk.server.orders.tick(desk.now)


def test_a_scheduled_reset_ends_the_link_of_a_connected_session(reset_desk):
    desk = reset_desk
    (logout,) = pipes(desk.first.peer.take_output(1 << 20))
    assert logout.startswith("35=5|34=3|")
    assert desk.first.is_closing
    assert desk.endpoint.link is None
    assert not desk.endpoint.session.connected
    assert desk.server.metrics.fix.disconnects == {"scheduled_reset": 1}


def test_after_a_scheduled_reset_cancel_on_disconnect_waits_for_those_who_come_back(reset_desk):
    desk = reset_desk
    pass_ms(desk, desk.until_back_ms - 1_000)
    assert desk.open_orders == ["a"]
    assert desk.logon()[0]["34"] == "1"
    pass_ms(desk, desk.until_back_ms + 60_000)
    assert desk.open_orders == ["a"]


def test_after_a_scheduled_reset_cancel_on_disconnect_fires_for_those_who_do_not_come_back(reset_desk):
    desk = reset_desk
    pass_ms(desk, desk.until_back_ms + 1_000)
    assert desk.open_orders == []
    (logon,) = desk.logon()
    assert (logon["34"], logon["20105"]) == ("2", "3")  # accepted, cancelled, the mass cancel's end: 1 was reported


def test_a_logon_that_is_refused_after_a_scheduled_reset_cancels_nothing_before_its_time(reset_desk):
    desk = reset_desk
    (logout,) = desk.logon("98=0|108=999|")
    assert logout["35"] == "5"
    desk.drop()
    pass_ms(desk, desk.until_back_ms - 1_000)
    assert desk.open_orders == ["a"]


def test_after_a_scheduled_reset_the_session_can_be_taken_over_like_any(reset_desk):
    desk = reset_desk
    desk.logon()
    second = desk.link
    desk.logon()
    assert "58=superseded" in pipes(second.peer.take_output(1 << 20))[0]
    pass_ms(desk, 600_000)
    assert desk.open_orders == ["a"]


def test_the_first_logon_after_a_scheduled_reset_is_told_how_far_the_stream_is(reset_desk):
    desk = reset_desk
    (logout,) = desk.logon("98=0|108=999|")  # refused: it was told nothing, and used our number 1
    assert (logout["35"], logout["34"]) == ("5", "1")
    desk.drop()
    desk.server.orders.venue.draining = True
    desk.seq = 0
    (logout,) = desk.logon()  # refused too, and this one is counted
    assert logout["25016"] == "5005"
    desk.drop()
    desk.server.orders.venue.draining = False
    (logon,) = desk.logon()
    assert (logon["34"], logon["20105"]) == ("3", "1")
    desk.drop()
    assert "20105" not in desk.logon()[0]


def test_a_scheduled_reset_after_the_end_of_the_link_leaves_the_disconnect_a_disconnect(clients_of):
    (desk,) = clients_of(session(1, "A", reset_schedule="daily 22:00", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    desk.link.has_ended = True
    desk.later_ns = desk.server.fix.next_deadline_ns - desk.server.now_ns()
    desk.server.fix.tick(desk.now)
    assert desk.server.metrics.fix.disconnects == {"lost": 1}
    pass_ms(desk, 1)
    assert desk.open_orders == []


def test_a_scheduled_reset_of_a_session_that_is_away_ends_nothing(clients_of):
    (desk,) = clients_of(session(1, "A", reset_schedule="daily 22:00", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    desk.send("5", "9003=Y|")
    desk.drop()
    desk.server.fix.tick(desk.server.fix.next_deadline_ns)
    pass_ms(desk, 600_000)
    assert desk.open_orders == ["a"]
    desk.seq = 0
    assert desk.logon()[0]["34"] == "1"
