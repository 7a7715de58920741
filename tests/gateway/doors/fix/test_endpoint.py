"""One FIX session's business with the gateway, without a socket: bytes of the client in, messages to the client out."""

import msgspec
import pytest

from gateway.config import schema
from gateway.journal import JournalSettings
from gateway.server import Server
from gateway.sessions.request import Request
from protocols import errors
from protocols.fix.events import AppMessage
from protocols.fix.times import format_ns
from protocols.messages import OrderList, OrdStatus, Origin, QueryOrders
from tests.support.fix_room import BTC, MS, Desk, clients_of, session
from tests.support.fix_text import pipes

__all__ = ["clients_of"]

FEW = """
version = 3
[plans.slow]
msgs = { rate = "1/h", burst = 2 }
[assign]
default = "slow"
"""


def test_an_order_is_accepted_and_its_report_names_when_the_gateway_saw_it(clients_of):
    (desk,) = clients_of(session(1, "A"))
    assert desk.logon()[0]["35"] == "A"
    (report,) = desk.place("a")
    assert (report["35"], report["150"], report["39"], report["11"], report["20105"]) == ("8", "0", "0", "a", "1")
    assert "20104" in report


def test_reports_that_arise_while_the_client_is_away_are_numbered_kept_and_served_again(clients_of):
    maker, taker = clients_of(session(1, "M"), session(2, "T", account="OTHER"))
    maker.logon()
    taker.logon()
    maker.place("m", side=2)
    maker.drop()
    taker.place("t", side=1)
    logon, *_ = maker.logon()
    assert logon["34"] == "4"  # 1 Logon, 2 accepted, 3 the fill
    (fill,) = maker.send("2", "7=3|16=3|")
    assert (fill["34"], fill["43"], fill["150"]) == ("3", "Y", "F")


def test_a_fix_session_hears_of_its_own_orders_only_unless_it_asks_for_all_of_the_account(clients_of):
    mine, other, nosy = clients_of(session(1, "A"), session(2, "B"), session(3, "C"))
    mine.logon()
    other.logon()
    assert nosy.logon("98=0|108=30|25036=1|")[0]["25036"] == "1"
    mine.place("a")
    assert other.read() == []
    assert [report["11"] for report in nosy.read()] == ["a"]


def test_a_drop_copy_session_hears_all_and_may_trade_nothing(clients_of):
    mine, copy = clients_of(session(1, "A"), session(2, "COPY", kind="drop_copy"))
    mine.logon()
    copy.logon("98=0|108=30|9406=Y|")
    mine.place("a")
    assert [report["11"] for report in copy.read()] == ["a"]
    (refused,) = copy.place("x")
    assert (refused["150"], refused["103"], refused["25016"]) == ("8", "0", "1005")


def test_a_scheduled_reset_logs_out_and_both_sides_start_at_1_again(clients_of):
    (desk,) = clients_of(session(1, "A", reset_schedule="daily 22:00"))
    desk.logon()
    desk.place("a")
    door = desk.server.fix
    door.tick(desk.now)
    assert not desk.link.is_closing
    door.tick(door.next_deadline_ns)
    (farewell,) = pipes(desk.link.peer.take_output(1 << 20))
    assert farewell.startswith("35=5|34=3|")
    assert desk.link.is_closing
    assert desk.server.metrics.fix.disconnects == {"scheduled_reset": 1}
    assert door.next_deadline_ns > desk.now
    desk.seq = 0
    assert desk.logon()[0]["34"] == "1"


def test_a_reset_that_was_due_while_no_gateway_ran_is_done_at_start(clients_of):
    (desk,) = clients_of(session(1, "A", reset_schedule="daily 22:00"))
    store = desk.endpoint.machine.store
    store.next_out = 9
    door, day = desk.server.fix, 86_400_000 * MS
    door.catch_up({1: desk.now}, desk.now)
    assert store.next_out == 9
    door.catch_up({1: desk.now - day}, desk.now)
    assert store.next_out == 1


def test_a_logon_that_resets_is_told_how_far_the_accounts_stream_is(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    desk.place("a")
    desk.drop()
    desk.seq = 0
    (logon,) = desk.logon("98=0|108=30|141=Y|")
    assert (logon["34"], logon["141"], logon["20105"]) == ("1", "Y", "1")


def test_a_limit_query_shows_every_bucket_and_a_plain_session_is_told_it_is_not_served(clients_of):
    rich, plain = clients_of(session(1, "A"), msgspec.structs.replace(session(2, "P"), dialect="plain"))
    rich.logon()
    plain.logon()
    rich.place("a")
    (answer,) = rich.send("XLQ", "6136=q1|")
    assert (answer["35"], answer["6136"]) == ("XLR", "q1")
    (refused,) = plain.send("XLQ", "6136=q1|")
    assert refused["35"] in {"3", "j"}


def test_a_newer_logon_supersedes_a_living_link_and_cancels_nothing(clients_of):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    first = desk.link
    desk.logon()
    (farewell,) = pipes(first.peer.take_output(1 << 20))
    assert "58=superseded" in farewell
    assert first.is_closing
    desk.server.cancel_on_disconnect.tick(desk.now + 120_000 * MS)
    desk.server.orders.tick(desk.now)
    assert len(desk.server.core.engine.open_orders(1)) == 1


def cut_as_too_slow(desk):
    desk.endpoint.too_slow(desk.now)


def cut_for_our_own_mistake(desk):
    desk.endpoint.failed(desk.now)


def cut_for_silence(desk):
    desk.later_ns += 40_000 * MS
    desk.endpoint.tick(desk.now)
    desk.later_ns += 40_000 * MS
    desk.endpoint.tick(desk.now)


def cut_for_what_is_no_fix(desk):
    for _ in range(3):
        desk.endpoint.receive(b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01", desk.now)


@pytest.mark.parametrize("cut", [cut_as_too_slow, cut_for_our_own_mistake, cut_for_silence, cut_for_what_is_no_fix])
def test_when_we_cut_a_session_its_orders_are_cancelled_though_its_link_has_not_ended_yet(clients_of, cut):
    """The peer may take its time to read our goodbye, or to close."""
    (mine,) = clients_of(session(1, "A", cancel_on_disconnect="S"))
    mine.logon()
    mine.place("a")
    assert mine.open_orders == ["a"]
    cut(mine)
    mine.server.cancel_on_disconnect.tick(mine.now)
    mine.server.orders.tick(mine.now)
    assert mine.open_orders == []
    mine.endpoint.lost(mine.now)
    mine.server.cancel_on_disconnect.tick(mine.now)
    mine.logon()
    assert sum(mine.server.metrics.fix.disconnects.values()) == 1


def test_a_logout_cancels_unless_it_asks_to_keep(clients_of):
    keeper, leaver = clients_of(session(1, "A", cancel_on_disconnect="S"), session(2, "B", cancel_on_disconnect="S"))
    for desk in (keeper, leaver):
        desk.logon()
        desk.place(f"{desk.comp_id}-1")
    keeper.send("5", "9003=Y|")
    leaver.send("5", "")
    desk.server.cancel_on_disconnect.tick(desk.now)
    desk.server.orders.tick(desk.now)
    assert [order.cl_ord_id for order in desk.server.core.engine.open_orders(1)] == ["A-1"]


def test_a_resent_order_that_is_too_old_is_not_acted_on_and_a_younger_one_is(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    (refused,) = desk.place("a", header=f"43=Y|122={format_ns(desk.now - 61_000 * MS)}|")
    assert (refused["150"], refused["103"], refused["25016"]) == ("8", "8", "2010")
    (accepted,) = desk.place("b", header=f"43=Y|122={format_ns(desk.now - 59_000 * MS)}|")
    assert accepted["150"] == "0"


def test_pending_new_is_told_on_hand_over_to_sessions_that_ask_for_it(clients_of):
    (desk,) = clients_of(session(1, "A", pending_new=True))
    desk.logon()
    pending, accepted = desk.place("a")
    assert (pending["150"], accepted["150"]) == ("A", "0")


# -- what a Logon asks for -------------------------------------------------------------------------------------------


def test_the_answer_to_a_logon_tells_the_values_in_force_and_the_limits(clients_of):
    (desk,) = clients_of(session(1, "A", auth="key", cod_grace_ms=700, cod_grace_max_ms=9_000))
    (logon,) = desk.logon("98=0|108=30|8013=Y|20107=99000|25000=3000.5|9406=Y|")
    assert (logon["8013"], logon["20107"], logon["25036"], logon["25000"]) == ("Y", "9000", "2", "3000")
    assert logon["9406"] == "N"
    assert logon["58"].startswith("limits: ")
    desk.drop()
    (logon,) = desk.logon()
    assert (logon["8013"], logon["20107"], logon["25000"]) == ("N", "700", "5000")
    assert "9406" not in logon


def test_a_refused_logon_leaves_what_the_last_one_asked_for_in_force(clients_of):
    mine, other = clients_of(session(1, "A"), session(2, "B"))
    mine.logon("98=0|108=30|8013=S|20107=5000|")
    other.logon()
    mine.place("mine")
    other.place("others")
    mine.drop()
    (logout,) = mine.logon("98=0|108=9999|8013=Y|20107=0|25036=1|")
    assert logout["35"] == "5"
    mine.drop(waiting_ms=5_100)
    assert mine.open_orders == ["others"]  # as the Logon asked that was accepted: S, after 5 s


def test_response_mode_starts_from_the_configuration_at_each_logon(clients_of):
    nosy, other = clients_of(session(1, "A"), session(2, "B"))
    other.logon()
    assert nosy.logon("98=0|108=30|25036=1|")[0]["25036"] == "1"
    nosy.drop()
    assert nosy.logon()[0]["25036"] == "2"
    other.place("b")
    assert nosy.read() == []


def test_a_session_listens_to_its_account_as_its_response_mode_says_away_or_not(clients_of):
    rows = [session(2, "DC", kind="drop_copy"), session(3, "ALL", response_mode=1), session(4, "CHOOSES")]
    _, _, _, chooses = clients_of(session(1, "IDLE"), *rows)

    def listeners():
        return sorted(each.name for each in chooses.server.sessions.account(1).listeners)

    assert listeners() == ["ALL", "DC"]
    chooses.logon("98=0|108=30|25036=1|")
    assert listeners() == ["ALL", "CHOOSES", "DC"]
    chooses.drop()
    assert listeners() == ["ALL", "CHOOSES", "DC"]
    chooses.logon()
    assert listeners() == ["ALL", "DC"]


def test_response_mode_1_sees_every_number_of_the_stream_and_mode_2_only_its_own(clients_of):
    busy, copy, modest = clients_of(
        session(1, "A", cancel_on_disconnect="S"), session(2, "COPY", kind="drop_copy"), session(3, "M")
    )
    busy.logon()
    copy.logon("98=0|108=30|9406=Y|")
    modest.logon()
    busy.place("a")
    busy.send("F", "11=c|41=nothing|55=BTC-USDT|54=1|")
    busy.send("q", "11=m|530=7|")
    busy.place("b")
    busy.drop(waiting_ms=1)  # its mass cancel has no ClOrdID(11)
    heard = copy.read()
    assert [int(report["20105"]) for report in heard] == list(range(1, copy.server.core.latest_seq(1) + 1))
    assert [report["35"] for report in heard] == ["8", "9", "8", "r", "8", "8", "r"]
    assert modest.read() == []


def test_a_drop_copy_session_must_know_that_it_is_one(clients_of):
    (copy,) = clients_of(session(1, "COPY", kind="drop_copy"))
    (logout,) = copy.logon()
    assert (logout["35"], logout["34"], logout["25016"]) == ("5", "1", "2002")
    assert "DropCopyFlag(9406)=Y" in logout["58"]
    copy.drop()
    (logon, _) = copy.logon("98=0|108=30|9406=Y|"), copy.drop()
    assert (logon[0]["35"], logon[0]["9406"], logon[0]["25036"]) == ("A", "Y", "1")


def test_a_plain_drop_copy_session_cannot_say_so_and_need_not(clients_of):
    (copy,) = clients_of(session(1, "COPY", kind="drop_copy", dialect="plain"))
    (logon,) = copy.logon()
    assert logon["35"] == "A"
    assert "9406" not in logon


def test_nobody_logs_on_while_the_gateway_drains(clients_of):
    rich, plain = clients_of(session(1, "A"), session(2, "P", dialect="plain"))
    rich.logon()
    rich.place("a")
    rich.drop()
    rich.server.orders.venue.draining = True
    (logout,) = rich.logon()
    assert (logout["35"], logout["34"], logout["1409"], logout["25016"]) == ("5", "3", "7", "5005")
    assert not rich.endpoint.session.connected
    (logout,) = plain.logon()
    assert (logout["35"], logout["34"]) == ("5", "1")
    assert "1409" not in logout
    rich.drop()
    rich.server.orders.venue.draining = False
    (logon,) = rich.logon()
    assert (logon["35"], logon["34"]) == ("A", "4")


@pytest.mark.parametrize(("draining", "status"), [(True, "7"), (False, "4")])
def test_our_logout_carries_the_status_of_the_session(clients_of, draining, status):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    desk.server.orders.venue.draining = draining
    desk.endpoint.log_out("the gateway is going down", desk.now)
    (logout,) = desk.read()
    assert (logout["35"], logout["58"], logout["1409"]) == ("5", "the gateway is going down", status)
    assert logout["25016"] == ("5005" if draining else "6003")


# -- what a session may not do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("msg_type", "body", "answer"),
    [
        ("D", "11=x|55=BTC-USDT|54=1|38=1|40=2|44=9|", {"35": "8", "150": "8", "103": "0"}),
        ("F", "11=x|41=a|55=BTC-USDT|54=1|", {"35": "9", "102": "99"}),
        ("G", "11=x|41=a|55=BTC-USDT|54=1|38=1|40=2|44=9|", {"35": "9", "102": "99"}),
        ("AF", "584=x|585=7|", {"35": "j", "380": "6"}),
    ],
)
def test_a_request_for_another_account_is_not_permitted(clients_of, msg_type, body, answer):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    desk.place("a")
    (refused,) = desk.send(msg_type, f"1=OTHER|{body}")
    assert {tag: refused.get(tag) for tag in answer} == answer
    assert refused["25016"] == "1005"
    assert desk.open_orders == ["a"]
    assert desk.send(msg_type, f"1=ACME|{body}")[0].get("25016") != "1005"


def test_a_session_kept_to_some_symbols_cannot_cancel_those_of_others(clients_of):
    kept, other = clients_of(session(1, "A", instruments=("BTC-USDT",)), session(2, "B"))
    kept.logon()
    other.logon()
    other.send("D", "11=eth|55=ETH-USDT|54=1|38=1|40=2|44=9|")
    for body in ("530=7|", "530=1|55=ETH-USDT|"):
        (refused,) = kept.send("q", f"11=m|{body}")
        assert (refused["35"], refused["531"], refused["25016"]) == ("r", "0", "1005")
    assert kept.open_orders == ["eth"]
    for body in ("530=7|20112=S|", "530=1|55=BTC-USDT|"):
        assert kept.send("q", f"11=m|{body}")[-1].get("25016") is None


def test_exec_ids_of_refusals_are_unique_over_resets_of_the_numbers(clients_of):
    (desk,) = clients_of(session(1, "A"))
    exec_ids = set()
    for _ in range(2):
        desk.seq = 0
        desk.logon("98=0|108=30|141=Y|")
        exec_ids |= {desk.send("D", "11=x|55=XXX|54=1|38=1|40=2|44=9|")[0]["17"] for _ in range(2)}
        desk.drop()
    assert len(exec_ids) == 4


# -- too much of it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["11=x|54=1|38=1|40=2|44=9|", "11=x|7777=1|"])
def test_what_the_session_layer_rejects_is_charged_as_a_message(clients_of, bad):
    (desk,) = clients_of(session(1, "A"), limits=FEW)
    desk.logon()
    assert [desk.send("D", bad)[0]["35"] for _ in range(2)] == ["3", "3"]
    (limited,) = desk.place("a")
    assert (limited["35"], limited["25016"]) == ("8", "3003")


def test_a_fault_that_only_the_translation_finds_is_charged_too(clients_of):
    (desk,) = clients_of(session(1, "A"), limits=FEW)
    desk.logon()
    too_long = f"11={'x' * 40}|55=BTC-USDT|54=1|38=1|40=2|44=9|"
    assert [desk.send("D", too_long)[0]["35"] for _ in range(2)] == ["3", "3"]
    assert desk.place("a")[0]["25016"] == "3003"


def test_news_of_the_peer_is_read_charged_and_refused_when_there_is_too_much_of_it(clients_of):
    (desk,) = clients_of(session(1, "A"), limits=FEW)
    desk.logon()
    news = "148=hello|33=1|58=x|"
    assert [desk.send("B", news) for _ in range(2)] == [[], []]
    (refused,) = desk.send("B", news)
    assert (refused["35"], refused["372"], refused["380"], refused["25016"]) == ("j", "B", "8", "3003")


def test_a_business_reject_of_the_peer_is_never_answered_with_one(clients_of):
    (desk,) = clients_of(session(1, "A"), limits=FEW)
    desk.logon()
    assert [desk.send("j", "45=1|372=8|380=0|58=x|") for _ in range(9)] == [[]] * 9
    assert desk.place("a")[0]["25016"] == "3003"


def test_one_limit_query_a_second_is_free(clients_of):
    (desk,) = clients_of(session(1, "A"), limits=FEW)
    desk.logon()
    assert [desk.send("XLQ", "6136=q|")[0]["35"] for _ in range(4)] == ["XLR", "XLR", "XLR", "j"]
    desk.later_ns = 1_100 * MS
    assert desk.send("XLQ", "6136=q|")[0]["35"] == "XLR"


def test_ten_bursts_refused_in_ten_seconds_end_the_session_and_cancel_its_orders(clients_of):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S"), limits=FEW)
    desk.logon()
    desk.place("a")
    desk.place("b")
    refused = [desk.place(f"x{n}") for n in range(20)]
    assert {answer["25016"] for (answer,) in refused} == {"3003"}
    assert not desk.link.is_closing
    last, logout = desk.place("last-straw")
    assert (last["35"], last["380"], last["25016"]) == ("j", "9", "3009")
    assert (logout["35"], logout["25016"]) == ("5", "3009")
    assert desk.link.is_closing
    assert desk.server.metrics.fix.disconnects == {"limit_abuse": 1}
    desk.drop(waiting_ms=1)
    assert desk.open_orders == []
    assert desk.server.metrics.fix.disconnects == {"limit_abuse": 1}


def test_a_flood_of_faults_ends_the_session_too(clients_of):
    (desk,) = clients_of(session(1, "A"), limits=FEW)
    desk.logon()
    answers = [desk.send("D", "11=x|") for _ in range(23)]
    assert [[message["35"] for message in answer] for answer in answers] == [["3"]] * 22 + [["3", "5"]]
    assert answers[-1][-1]["25016"] == "3009"


def test_the_same_number_of_refusals_over_a_longer_time_is_no_abuse(clients_of):
    (desk,) = clients_of(session(1, "A"), limits=FEW)
    desk.logon()
    for n in range(60):
        desk.later_ns = n * 1_000 * MS
        desk.place(f"x{n}")
    assert not desk.link.is_closing


# -- our own doings --------------------------------------------------------------------------------------------------


def test_our_own_bug_is_a_logout_without_details_and_guards_the_orders(clients_of):
    (desk,) = clients_of(session(1, "A", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    desk.endpoint.failed(desk.now)
    (logout,) = desk.read()
    assert (logout["35"], logout["58"]) == ("5", "internal error")
    assert desk.link.is_closing
    desk.drop(waiting_ms=1)
    assert desk.open_orders == []
    assert desk.server.metrics.fix.disconnects == {"internal_error": 1}
    desk.endpoint.failed(desk.now)  # there is no link any more, and nothing to do


def test_a_bug_of_the_machine_itself_still_ends_the_link(clients_of, monkeypatch):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    monkeypatch.setattr(desk.endpoint.machine, "terminate", None)
    desk.endpoint.failed(desk.now)
    assert desk.link.is_closing


def test_a_change_of_limits_is_told_in_news_or_in_the_standards_own_message(clients_of):
    news, standard = clients_of(session(1, "A"), session(2, "B", notify_limits="standard"))
    views = news.server.limiter.view(news.endpoint.session.path, news.now, ("orders",))
    told = []
    for desk in (news, standard):
        desk.logon()
        desk.endpoint.limits_changed(views, 8, desk.now)
        told += desk.read()
    assert told[0]["35"] == "B"
    assert told[0]["58"].startswith("limits version 8: orders/account ")
    assert (told[1]["35"], told[1]["926"], told[1]["58"]) == ("CB", "9", "limits version 8")


def alone(directory, **core):
    """A session that is logged on at a server with another core."""
    settings = schema.Config(
        fix=schema.Fix(sessions=(session(1, "A"),)),
        accounts=(schema.Account(id=1, name="ACME"),),
        instruments=(BTC,),
        limits=schema.Limits(file=""),
        journal=JournalSettings(durability="memory"),
    )
    desk = Desk(Server(settings, directory, **core), "A")
    desk.logon()
    return desk


class Away:
    """A matching core that takes nothing."""

    epoch, credit = "e-away", 0

    def subscribe(self, sink):
        pass

    def latest_seq(self, account):
        return 0

    def order_state(self, account, order_id, cl_ord_id):
        return OrdStatus.PENDING_NEW


def test_14_l_while_the_core_is_away_each_request_is_refused_in_its_own_words(tmp_path):
    desk = alone(tmp_path, core=Away())
    assert desk.place("a") == []
    assert desk.send("F", "11=c|41=x|55=BTC-USDT|54=1|") == []
    assert desk.send("AF", "584=q|585=7|") == []
    desk.server.orders.tick(desk.now + 2_001 * MS)
    told = {answer["35"]: answer for answer in desk.read()}
    assert (told["8"]["150"], told["8"]["103"], told["8"]["25016"], told["8"]["20102"]) == ("8", "99", "5002", "0")
    assert (told["9"]["102"], told["9"]["25016"]) == ("99", "5002")
    assert (told["9"]["37"], told["9"]["39"]) == ("NONE", "A"), "nobody can say whether it lives"
    assert (told["j"]["380"], told["j"]["25016"]) == ("4", "5002")


class Held:
    """The core behind a link that hands nothing over until it is told to."""

    def __init__(self, inner):
        self.inner, self.window = inner, 0

    epoch = property(lambda self: self.inner.epoch)
    credit = property(lambda self: self.window)

    def submit(self, commands, now_ns):
        self.inner.submit(commands, now_ns)

    def subscribe(self, sink):
        self.inner.subscribe(sink)

    def latest_seq(self, account):
        return self.inner.latest_seq(account)

    def order_state(self, account, order_id, cl_ord_id):
        return self.inner.order_state(account, order_id, cl_ord_id)


@pytest.fixture
def held(tmp_path):
    """A desk whose requests wait in the queue until `let_go`."""
    desk = alone(tmp_path, wrap_core=Held)

    def let_go():
        desk.server.core.window = 64
        desk.server.orders.tick(desk.now)
        return desk.read()

    desk.let_go = let_go
    return desk


def test_each_of_several_mass_cancels_that_were_carried_out_as_one_has_its_own_report(held):
    """
    q 11=c1, q 11=c2 while the core takes nothing: c2 joins c1
    r 11=c1 20105=1; r 11=c2 20105=0
    """
    for each in ("c1", "c2"):
        assert held.send("q", f"11={each}|530=7|60=20261122-12:00:00|") == []
    told = held.let_go()
    assert sorted((each["35"], each["11"], each["20105"]) for each in told) == [("r", "c1", "1"), ("r", "c2", "0")]


def test_a_cancel_that_withdrew_its_order_is_told_too_late_and_not_unknown(held):
    assert held.place("a") == []
    assert held.send("F", "11=c|41=a|55=BTC-USDT|54=1|60=20261122-12:00:00|") == []
    told = {each["11"]: each for each in held.let_go()}
    assert told["a"]["25016"] == str(errors.WITHDRAWN)
    assert (told["c"]["35"], told["c"]["102"], told["c"]["25016"]) == ("9", "0", str(errors.TOO_LATE))


def test_a_cancel_that_waits_ahead_of_its_turn_does_not_move_what_is_expected_after_a_crash(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    store = desk.endpoint.machine.store
    early = AppMessage("F", store.next_in + 2, {}, None, False, False, 0)
    desk.endpoint.waits(early, desk.now)
    assert store.intake.processed == store.next_in - 1
    desk.endpoint.goes_on(early, desk.now)
    assert store.intake.processed == store.next_in - 1


# -- what is told of an order is true ------------------------------------------------------------------------------

STINGY = """
version = 1
[plans.standard]
orders = { rate = "1/h", burst = 3 }
cancels = { rate = "1/h", burst = 1 }
queries = { rate = "1/h", burst = 1 }
[assign]
default = "standard"
"""
FIRST = "41=a|55=BTC-USDT|54=1|"


@pytest.mark.parametrize("dialect", ["penstock", "plain"])
@pytest.mark.parametrize("version", ["FIX.4.2", "FIX.4.4", "FIXT.1.1"])
def test_every_refusal_of_a_cancel_or_replace_has_the_orders_own_37_and_39(clients_of, version, dialect):
    """
    D 11=a 38=1, half of it filled; the market halts for G, the buckets are empty
    9 37=1 39=1 for each of: bad tick, no price, unknown symbol, foreign account, another's 37, too fast
    """
    rows = session(1, "A", version=version, dialect=dialect), session(2, "B", account="OTHER")
    desk, other = clients_of(*rows, limits=STINGY)
    desk.logon("98=0|108=30|1137=9|" if version == "FIXT.1.1" else "98=0|108=30|")
    other.logon()
    order_id = desk.place("a")[0]["37"]
    other.send("D", "11=x|55=BTC-USDT|54=2|38=0.4|40=2|44=100|")
    desk.read()
    refused = [
        ("G", FIRST + "38=2|40=2|44=100.001|"),
        ("G", FIRST + "38=2|40=2|"),
        ("G", FIRST + "38=2|40=1|"),
        ("G", FIRST + "38=2|44=100|59=3|"),
        ("F", "41=a|55=NOPE|54=1|"),
        ("F", "41=a|55=ETH-USDT|54=1|"),
        ("F", f"41=a|37={order_id}9|55=BTC-USDT|"),
        ("F", "41=a|37=gibberish|55=BTC-USDT|"),
        ("F", f"37={order_id}|55=NOPE|"),
        ("F", FIRST + "1=OTHER|"),
        ("F", FIRST),
        ("G", FIRST + "38=2|40=2|44=100|"),
    ]
    for number, (kind, body) in enumerate(refused):
        (answer,) = desk.send(kind, f"11=r{number}|{body}")
        assert (answer["35"], answer["37"], answer["39"], answer["11"]) == ("9", order_id, "1", f"r{number}"), body
    (answer,) = desk.send("F", "11=u|55=BTC-USDT|")
    assert (answer["37"], answer["41"], answer["39"]) == ("NONE", "NONE", "A"), "it names no order"
    for kind, body in (("F", "41=nope|55=BTC-USDT|"), ("G", "41=nope|55=BTC-USDT|38=1|44=1|")):
        (answer,) = desk.send(kind, f"11=u|{body}")
        assert (answer["37"], answer["39"], answer["102"]) == ("NONE", "8", "1")


def test_a_cancel_refused_while_its_order_waits_is_told_that_it_is_pending(held):
    order = "11=a|55=BTC-USDT|54=1|38=1|40=2|44=100|"
    for kind, body in (("D", order), ("G", "11=b|41=a|55=BTC-USDT|38=2|44=100|")):
        held.endpoint.receive(held.frame(kind, body), held.now)
    (answer,) = held.send("F", "11=c|41=a|55=NOPE|")
    assert (answer["35"], answer["37"], answer["39"], answer["102"]) == ("9", "NONE", "A", "99")
    (answer,) = held.send("F", "11=d|41=b|55=NOPE|")
    assert (answer["37"], answer["39"]) == ("NONE", "A"), "b is what a will be called"
    (answer,) = held.send("H", "11=a|55=NOPE|")
    assert (answer["150"], answer["39"]) == ("I", "A")


def test_a_question_ahead_of_its_turn_is_told_that_its_order_may_be_in_the_gap_and_then_how_it_stands(clients_of):
    """
    D a does not arrive; H a -> asked for again, and 150=I 39=A: nobody knows; D a -> 150=0, and now the answer to H
    """
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    lost = desk.frame("D", "11=a|55=BTC-USDT|54=1|38=1|40=2|44=100.00|")
    told = desk.send("H", "790=h|11=a|55=BTC-USDT|54=1|")
    assert [(each["35"], each.get("150"), each.get("39"), each.get("25016")) for each in told] == [
        ("2", None, None, None),
        ("8", "I", "A", "5004"),
    ]
    again = desk.send("H", "790=i|11=a|55=BTC-USDT|54=1|")
    assert [(each["35"], each["39"]) for each in again] == [("8", "A")]
    desk.endpoint.receive(lost, desk.now)
    desk.server.orders.tick(desk.now)
    assert [(each["150"], each["39"], each.get("790")) for each in desk.read()] == [
        ("0", "0", None),
        ("I", "0", "h"),
        ("I", "0", "i"),
    ]


def test_a_question_ahead_of_its_turn_about_an_order_that_is_known_waits_for_its_turn(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    desk.place("a")
    desk.seq += 1  # lost
    assert [each["35"] for each in desk.send("H", "790=h|11=a|55=BTC-USDT|54=1|")] == ["2"]


def test_a_question_about_an_order_on_its_way_is_answered_as_pending_and_never_as_unknown(held):
    held.endpoint.receive(held.frame("D", "11=a|55=BTC-USDT|54=1|38=1|40=2|44=100|"), held.now)
    none = OrderList(1, 0, 1, 0, "", ())
    asked = AppMessage("H", 9, {11: "a"}, None, False, False, 0)
    for name, told in (("a", ("I", "A", "5004", "1")), ("z", ("I", "8", "4002", "0"))):
        asked.fields[11] = name
        query = QueryOrders(1, 1, 1, Origin.FIX, held.now, 0, "", cl_ord_id=name, open_only=False)
        held.endpoint.answer(Request(query, held.endpoint.session, asked, 0), none, held.now)
        (answer,) = held.read()
        assert tuple(answer[tag] for tag in ("150", "39", "25016", "20102")) == told


def test_an_order_keeps_its_account_in_every_report_and_over_a_replace(clients_of):
    mine, other = clients_of(session(1, "A"), session(2, "B", account="OTHER"))
    for desk in (mine, other):
        desk.logon()
    told = mine.send("D", "11=a|1=ACME|55=BTC-USDT|54=1|38=3|40=2|44=100|")
    other.send("D", "11=x|55=BTC-USDT|54=2|38=1|40=2|44=100|")
    told += mine.read()
    told += mine.send("H", "11=a|")
    told += mine.send("AF", "584=s|585=7|")
    told += mine.send("G", "11=b|41=a|55=BTC-USDT|38=4|44=100|")
    told += mine.send("F", "11=c|41=b|55=BTC-USDT|")
    assert [(each["150"], each.get("1")) for each in told] == [(kind, "ACME") for kind in "0FII54"]
    assert "1" not in mine.place("d")[0], "it was not given with it"
    (replaced,) = mine.send("G", "11=e|41=d|1=ACME|55=BTC-USDT|38=2|44=100|")
    (cancelled,) = mine.send("F", "11=f|41=e|55=BTC-USDT|")
    assert (replaced["1"], cancelled["1"]) == ("ACME", "ACME")


def test_a_resent_order_is_answered_with_its_own_state_and_never_as_not_executed(clients_of):
    """
    D 11=a; G 11=b; then the buckets of orders and queries are empty: D 11=a 97=Y
    8 150=I 11=b 41=a 39=0, which says what became of it; 39=8 with 20102=0 would be false
    """
    (desk,) = clients_of(session(1, "A"), limits=STINGY)
    desk.logon()
    order_id = desk.place("a")[0]["37"]
    desk.send("G", "11=b|" + FIRST + "38=2|40=2|44=100|")
    desk.send("H", "11=a|")
    assert desk.place("z")[0]["39"] == "0"
    assert desk.place("y")[0]["25016"] == str(errors.RATE_LIMITED)
    for _ in range(2):
        (answer,) = desk.place("a", header="97=Y|")
        assert [answer[tag] for tag in ("150", "37", "39", "11", "41")] == ["I", order_id, "0", "b", "a"]
    (answer,) = desk.place("y", header="97=Y|")
    assert (answer["150"], answer["25016"]) == ("8", str(errors.RATE_LIMITED)), "there is no first of it"


def test_a_used_id_is_refused_beside_no_live_orders_number(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    first = desk.place("a")[0]["37"]
    (refused,) = desk.place("a", side=2, price="120.00")
    assert [refused[tag] for tag in ("37", "39", "103", "54", "44")] == ["NONE", "8", "6", "2", "120.00"]
    assert refused["58"].endswith(f"OrderID {first} has it")
    assert desk.send("H", "11=a|")[0]["39"] == "0"


def test_asking_for_what_is_not_permitted_is_refused_in_the_requests_own_words(clients_of):
    (desk,) = clients_of(session(1, "A", instruments=("BTC-USDT",)))
    desk.logon()
    order_id = desk.place("a")[0]["37"]
    (answer,) = desk.send("H", "11=zz|55=ETH-USDT|")
    assert [answer[tag] for tag in ("35", "150", "37", "39", "25016")] == ["8", "I", "NONE", "8", "1005"]
    (answer,) = desk.send("H", "11=a|55=ETH-USDT|")
    assert [answer[tag] for tag in ("35", "150", "37", "39", "55")] == ["8", "I", order_id, "0", "BTC-USDT"]


@pytest.mark.parametrize(("dialect", "lost", "left"), [("penstock", "12", "13"), ("plain", "99", "99")])
def test_what_is_cancelled_for_a_lost_connection_and_for_a_logout_is_told_apart(clients_of, dialect, lost, left):
    logon = "98=0|108=30|1137=9|"
    row = session(1, "A", version="FIXT.1.1", dialect=dialect, cancel_on_disconnect="S")
    desk, other = clients_of(row, session(2, "B", version="FIXT.1.1", dialect=dialect, response_mode=1))
    other.logon(logon)
    for number, (end, reason) in enumerate(((desk.drop, lost), (lambda: desk.send("5", ""), left), (desk.drop, lost))):
        desk.logon(logon)
        desk.place(f"a{number}")
        end()
        desk.server.cancel_on_disconnect.tick(desk.now)
        desk.server.orders.tick(desk.now)
        (cancelled,) = (message for message in other.read() if "378" in message)
        assert (cancelled["11"], cancelled["150"], cancelled["378"]) == (f"a{number}", "4", reason)


def test_the_limits_list_how_many_orders_may_be_open(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    desk.place("a")
    (answer,) = desk.send("XLQ", "6136=x|")
    assert [answer[tag] for tag in ("25004", "20108", "20109", "25005")] == ["5", "open_orders", "account", "1"]
    desk.send("F", "11=c|41=a|55=BTC-USDT|")
    (answer,) = desk.send("XLQ", "6136=x|")
    assert (answer["25005"], answer["20111"]) == ("0", answer["25006"])


def test_a_gap_that_stays_ends_the_session_when_the_cancels_behind_it_are_answered(clients_of):
    (desk,) = clients_of(session(1, "A"))
    desk.logon()
    desk.place("a")
    desk.seq += 1
    next_in = desk.seq
    asked = desk.send("D", "11=b|55=BTC-USDT|54=1|38=1|40=2|44=100.00|")
    asked += desk.send("F", "11=c|41=a|55=BTC-USDT|54=1|")
    said = []
    for _ in range(6):
        desk.later_ns += 30_000 * MS
        desk.endpoint.tick(desk.now)
        desk.server.orders.tick(desk.now)
        said += desk.read() + desk.send("0", "")
    assert [row["7"] for row in asked + said if row["35"] == "2"] == [str(next_in)] * 3
    cancelled, goodbye = said[-2:]
    assert (cancelled["35"], cancelled["150"], cancelled["11"]) == ("8", "4", "c")
    assert (goodbye["35"], goodbye["1409"], goodbye["25016"]) == ("5", "4", "1008")
    assert desk.open_orders == [], "the order behind the gap was not placed"
