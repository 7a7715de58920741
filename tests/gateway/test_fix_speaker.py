"""One FIX session's business with the house, without a socket: bytes of the client in, messages to the client out."""

import msgspec
import pytest

from gateway import config
from gateway.server import Server
from protocols.fix.message import encode
from protocols.fix.times import format_ns
from tests.support.fix_text import pipes

MS = 1_000_000
BTC = config.InstrumentRow(
    id=1, symbol="BTC-USDT", base="BTC", quote="USDT", px_exp=2, qty_exp=4, tick="0.01", lot="0.0001"
)


class Link:
    def __init__(self):
        self.peer, self.is_closed = None, False

    def wake(self):
        pass

    def close(self):
        self.is_closed = True


class Desk:
    """A client of one configured session."""

    def __init__(self, server, comp_id):
        self.server, self.comp_id, self.seq = server, comp_id, 0
        self.speaker = server.fix.speakers[comp_id, "GATE"]
        self.link = None

    @property
    def now(self):
        return self.server.now_ns()

    def frame(self, msg_type, body, header=""):
        self.seq += 1
        head = f"35={msg_type}\x0134={self.seq}\x0149={self.comp_id}\x0152={format_ns(self.now)}\x0156=GATE\x01"
        head += header.replace("|", "\x01")
        return encode(self.speaker.machine.settings.begin_string, head + body.replace("|", "\x01"))

    def logon(self, body="98=0|108=30|"):
        """A new link and a Logon; what came back."""
        raw = self.frame("A", body)
        logon = {int(f.split("=")[0]): f.split("=")[1] for f in raw.decode().split("\x01") if f}
        self.link = Link()
        self.speaker.attach(self.link, logon, self.now)
        self.link.peer = self.speaker
        self.speaker.receive(raw, self.now)
        return self.read()

    def send(self, msg_type, body, header=""):
        """One message through the road; what came back."""
        self.speaker.receive(self.frame(msg_type, body, header), self.now)
        self.server.road.tick(self.now)
        return self.read()

    def place(self, cl_ord_id, side=1, price="100.00", header=""):
        return self.send("D", f"11={cl_ord_id}|55=BTC-USDT|54={side}|38=1|40=2|44={price}|", header)

    def read(self):
        """The messages written since the last look, as {tag: value}."""
        texts = pipes(self.speaker.take_output(1 << 20)) if self.speaker.has_output else []
        return [dict(field.split("=", 1) for field in text.strip("|").split("|")) for text in texts]

    def drop(self):
        """The link is cut."""
        self.speaker.lost(self.now)


def session(number, comp_id, **more):
    more.setdefault("account", "ACME")
    return config.FixSession(id=number, comp_id=comp_id, auth="none", dialect="penstock", **more)


@pytest.fixture
def house(tmp_path):
    def build(*rows, **knobs):
        settings = config.Config(
            fix=config.Fix(sessions=rows, **knobs),
            accounts=(config.Account(id=1, name="ACME"), config.Account(id=2, name="OTHER")),
            instruments=(BTC,),
            limits=config.Limits(file=""),
            journal=config.Journal(durability="memory"),
        )
        server = Server(settings, tmp_path)
        return [Desk(server, row.comp_id) for row in rows]

    return build


def test_an_order_is_accepted_and_its_report_names_when_the_gateway_saw_it(house):
    (desk,) = house(session(1, "A"))
    assert desk.logon()[0]["35"] == "A"
    (report,) = desk.place("a")
    assert (report["35"], report["150"], report["39"], report["11"], report["20105"]) == ("8", "0", "0", "a", "1")
    assert "20104" in report


def test_reports_that_arise_while_the_client_is_away_are_numbered_kept_and_served_again(house):
    maker, taker = house(session(1, "M"), session(2, "T", account="OTHER"))
    maker.logon()
    taker.logon()
    maker.place("m", side=2)
    maker.drop()
    taker.place("t", side=1)
    logon, *_ = maker.logon()
    assert logon["34"] == "4"  # 1 Logon, 2 accepted, 3 the fill
    (fill,) = maker.send("2", "7=3|16=3|")
    assert (fill["34"], fill["43"], fill["150"]) == ("3", "Y", "F")


def test_a_fix_session_hears_of_its_own_orders_only_unless_it_asks_for_all_of_the_account(house):
    mine, other, nosy = house(session(1, "A"), session(2, "B"), session(3, "C"))
    mine.logon()
    other.logon()
    assert nosy.logon("98=0|108=30|25036=1|")[0]["25036"] == "1"
    mine.place("a")
    assert other.read() == []
    assert [report["11"] for report in nosy.read()] == ["a"]


def test_a_drop_copy_session_hears_all_and_may_trade_nothing(house):
    mine, copy = house(session(1, "A"), session(2, "COPY", kind="drop_copy"))
    mine.logon()
    copy.logon("98=0|108=30|9406=Y|")
    mine.place("a")
    assert [report["11"] for report in copy.read()] == ["a"]
    (refused,) = copy.place("x")
    assert (refused["150"], refused["103"], refused["25016"]) == ("8", "0", "1005")


def test_a_scheduled_reset_logs_out_and_both_sides_start_at_1_again(house):
    (desk,) = house(session(1, "A", reset_schedule="daily 22:00"))
    desk.logon()
    desk.place("a")
    door = desk.server.fix
    door.tick(desk.now)
    assert not desk.link.is_closed
    door.tick(door.next_deadline_ns)
    (farewell,) = pipes(desk.link.peer.take_output(1 << 20))
    assert farewell.startswith("35=5|34=3|")
    assert desk.link.is_closed
    assert door.next_deadline_ns > desk.now
    desk.seq = 0
    assert desk.logon()[0]["34"] == "1"


def test_a_reset_that_was_due_while_no_gateway_ran_is_done_at_start(house):
    (desk,) = house(session(1, "A", reset_schedule="daily 22:00"))
    store = desk.speaker.machine.store
    store.next_out = 9
    door, day = desk.server.fix, 86_400_000 * MS
    door.reset_missed(desk.now, desk.now)
    assert store.next_out == 9
    door.reset_missed(desk.now - day, desk.now)
    assert store.next_out == 1


def test_a_logon_that_resets_is_told_how_far_the_accounts_stream_is(house):
    (desk,) = house(session(1, "A"))
    desk.logon()
    desk.place("a")
    desk.drop()
    desk.seq = 0
    (logon,) = desk.logon("98=0|108=30|141=Y|")
    assert (logon["34"], logon["141"], logon["20105"]) == ("1", "Y", "1")


def test_a_limit_query_shows_every_bucket_and_a_plain_session_is_told_it_is_not_served(house):
    rich, plain = house(session(1, "A"), msgspec.structs.replace(session(2, "P"), dialect="plain"))
    rich.logon()
    plain.logon()
    rich.place("a")
    (answer,) = rich.send("XLQ", "6136=q1|")
    assert (answer["35"], answer["6136"]) == ("XLR", "q1")
    (refused,) = plain.send("XLQ", "6136=q1|")
    assert refused["35"] in {"3", "j"}


def test_a_newer_logon_supersedes_a_living_link_and_cancels_nothing(house):
    (desk,) = house(session(1, "A", cancel_on_disconnect="S"))
    desk.logon()
    desk.place("a")
    first = desk.link
    desk.logon()
    (farewell,) = pipes(first.peer.take_output(1 << 20))
    assert "58=superseded" in farewell
    assert first.is_closed
    desk.server.guards.tick(desk.now + 120_000 * MS)
    desk.server.road.tick(desk.now)
    assert len(desk.server.core.engine.open_orders(1)) == 1


def test_a_logout_cancels_unless_it_asks_to_keep(house):
    keeper, leaver = house(session(1, "A", cancel_on_disconnect="S"), session(2, "B", cancel_on_disconnect="S"))
    for desk in (keeper, leaver):
        desk.logon()
        desk.place(f"{desk.comp_id}-1")
    keeper.send("5", "9003=Y|")
    leaver.send("5", "")
    desk.server.guards.tick(desk.now)
    desk.server.road.tick(desk.now)
    assert [order.cl_ord_id for order in desk.server.core.engine.open_orders(1)] == ["A-1"]


def test_a_resent_order_that_is_too_old_is_not_acted_on_and_a_younger_one_is(house):
    (desk,) = house(session(1, "A"))
    desk.logon()
    (refused,) = desk.place("a", header=f"43=Y|122={format_ns(desk.now - 61_000 * MS)}|")
    assert (refused["150"], refused["103"], refused["25016"]) == ("8", "8", "2010")
    (accepted,) = desk.place("b", header=f"43=Y|122={format_ns(desk.now - 59_000 * MS)}|")
    assert accepted["150"] == "0"


def test_pending_new_is_told_on_hand_over_to_sessions_that_ask_for_it(house):
    (desk,) = house(session(1, "A", pending_new=True))
    desk.logon()
    pending, accepted = desk.place("a")
    assert (pending["150"], accepted["150"]) == ("A", "0")
