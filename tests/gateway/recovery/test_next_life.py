"""What the next process does for the last one's clients: who gets time to return, and whose orders are cancelled.

Modules: recovery.restore, recovery.recorder.
"""

import asyncio
import json
import re
import shutil
import socket
from itertools import count

import msgspec
import pytest

from gateway.admin.mode_control import ModeRequest
from gateway.clock import Clock
from gateway.config import schema
from gateway.core.engine import Engine
from gateway.doors.ws.stream_cursor import EncodedEvents
from gateway.journal import JournalSettings
from gateway.journal.record import JournalCorrupt
from gateway.recovery.known_ids import ConfigMismatch
from gateway.recovery.records import COMMANDS
from gateway.recovery.replay import JournalReplay
from gateway.server import Server
from gateway.serving import serve
from gateway.signals import Signals
from protocols.messages import MAX_SESSION, Lane, NewOrder, OrdType, Origin, Side, Tif, pack_cmd_id
from protocols.ws.codec import JSON
from tests.support import ws_room
from tests.support.fix_room import BTC, ETH, MS, Desk, session
from tests.support.server import let_go
from tests.support.ws_frames import request

A = session(1, "A", cancel_on_disconnect="S")
B = session(2, "B", account="OTHER")
ACME, OTHER = schema.Account(id=1, name="ACME"), schema.Account(id=2, name="OTHER")
GUARDED = ws_room.key("ACME", cancel_on_disconnect="session")
PLAIN, OTHERS = ws_room.key("ACME"), ws_room.key("OTHER")


def settings(*rows, keys=(GUARDED, OTHERS), accounts=(ACME, OTHER), **more):
    return schema.Config(
        fix=schema.Fix(sessions=rows, listeners=more.pop("listeners", ())),
        ws=more.pop("ws", schema.Ws()),
        keys=keys,
        accounts=accounts,
        instruments=more.pop("instruments", (BTC, ETH)),
        limits=schema.Limits(file=""),
        journal=JournalSettings(durability="process", segment_bytes=1_048_576, **more.pop("journal", {})),
        **more,
    )


@pytest.fixture
def lives(tmp_path):
    """`lives(settings)`: a process on the disk of the last one, as of the end of its turn."""
    homes, numbers = [], count()

    def start(what, commit=True):
        home = tmp_path / f"home{next(numbers)}"
        if homes:
            last_home, last = homes[-1]
            if commit:
                last.journal.commit(last.now_ns())
            shutil.copytree(last_home, home)
            let_go(last)
        else:
            home.mkdir()
        server = Server(what, home)
        homes.append((home, server))
        return server

    yield start
    for _, server in homes[-1:]:
        let_go(server)


def fix(server, comp_id, seq=0, body="98=0|108=30|"):
    desk = Desk(server, comp_id)
    desk.seq = seq
    desk.logon(body)
    return desk


def bot(server, **logon):
    desk = ws_room.Desk(server)
    desk.logon(name="bot", **logon)
    return desk


def pass_time(server, ms):
    later = server.now_ns() + ms * MS
    server.cancel_on_disconnect.tick(later)
    server.orders.tick(later)


def open_ids(server, account=1):
    return [order.cl_ord_id for order in server.replay.engine.open_orders(account)]


# -- time to reconnect ---------------------------------------------------------------------------------------------


def test_the_time_to_come_back_begins_when_the_book_is_read(lives, monkeypatch):
    """However long that takes: 17 s for a million commands."""
    fix(lives(settings(A)), "A").place("a1")
    restore_engine, now_ns, took_ns = JournalReplay.restore_engine, Clock.now_ns, [0]

    def slow(replay):
        restore_engine(replay)
        took_ns[0] = 17_000 * MS

    monkeypatch.setattr(JournalReplay, "restore_engine", slow)
    monkeypatch.setattr(Clock, "now_ns", lambda clock: now_ns(clock) + took_ns[0])
    again = lives(settings(A))
    pass_time(again, 4_900)
    assert open_ids(again) == ["a1"]
    pass_time(again, 5_001)
    assert open_ids(again) == []


async def test_it_begins_anew_when_the_doors_are_open_and_ends_though_no_one_comes(lives):
    listener = schema.FixListener(name="fix", port=0, insecure=True)
    fix(lives(settings(A)), "A").place("a1")
    again = lives(settings(A, listeners=(listener,), ws=schema.Ws(port=0), core=schema.Core(reopen_after_ms=300)))
    again.orders.venue.reopen_at_ns -= 250 * MS
    again.cancel_on_disconnect.tick(again.now_ns())
    await again.start()
    try:
        assert again.orders.venue.reopen_at_ns > again.now_ns() + 200 * MS
        async with asyncio.timeout(5):
            while again.orders.venue.reopen_at_ns:
                await asyncio.sleep(0.01)
        assert open_ids(again) == []
    finally:
        await again.stop()


def test_a_process_that_could_not_start_after_a_crash_leaves_it_a_crash(lives, tmp_path):
    fix(lives(settings(A)), "A").place("a1")
    lives(settings(A))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listener = schema.FixListener(name="fix", port=taken.getsockname()[1], insecure=True)
        home = tmp_path / "unlucky"
        shutil.copytree(tmp_path / "home1", home)
        with pytest.raises(OSError, match="address"), Signals() as signals:
            asyncio.run(serve(settings(A, listeners=(listener,)), home, signals))
    assert Server(settings(A), home).orders.venue.reopen_at_ns


async def test_a_stop_before_the_venue_has_opened_leaves_it_to_the_next_start(lives):
    fix(lives(settings(A)), "A").place("a1")
    await lives(settings(A)).stop()
    assert lives(settings(A), commit=False).orders.venue.reopen_at_ns


# -- those that cannot reconnect -----------------------------------------------------------------------------------


def test_a_key_that_was_taken_out_is_cancelled_for(lives):
    desk = bot(lives(settings()))
    desk.place("w1")
    desk.call("order.cancel_after", {"timeout_ms": 1000}, 9)
    again = lives(settings(keys=(OTHERS,)))
    assert open_ids(again) == ["w1"]
    pass_time(again, 5_001)
    assert open_ids(again) == []
    third = lives(settings())
    assert third.replay.links == {}, "that is over"


def test_only_a_fix_session_that_was_taken_out_is_cancelled_for(lives):
    server = lives(settings(A, session(3, "A2"), B))
    fix(server, "A").place("a1")
    fix(server, "A2").place("a2")
    again = lives(settings(session(3, "A2"), B))
    pass_time(again, 5_001)
    assert open_ids(again) == ["a2"]


def test_a_session_that_became_a_drop_copy_is_cancelled_for(lives):
    fix(lives(settings(A)), "A").place("a1")
    again = lives(settings(msgspec.structs.replace(A, kind="drop_copy")))
    pass_time(again, 5_001)
    assert open_ids(again) == []


async def test_a_kill_of_the_venue_reaches_the_orders_of_an_account_that_was_taken_out(lives):
    fix(lives(settings(session(1, "A"), B)), "A").place("a1")
    again = lives(settings(B, keys=(OTHERS,), accounts=(OTHER,)))
    killing = asyncio.create_task(again.mode_control.change(ModeRequest("venue", reason="x", kill=True), "kim"))
    while not killing.done():
        again.orders.tick(again.now_ns())
        await asyncio.sleep(0.001)
    assert (await killing).sweep.canceled == 1
    assert open_ids(again) == []


def test_a_logout_is_recorded_before_it_is_answered(lives):
    """Otherwise, after a crash between the two, the client counts as disconnected, and orders that it left on purpose
    are cancelled.
    """
    server = lives(settings())
    desk = bot(server)
    desk.place("w1")
    desk.endpoint.receive(request("session.logout", {}, 8), desk.now)
    server.journal.commit(desk.now)
    assert ws_room.answers(desk.read(), 8)[0]["status"] == 200
    again = lives(settings(), commit=False)
    pass_time(again, 5_001)
    assert open_ids(again) == ["w1"]


# -- the protection of orders --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "then", "left"), [("off", "session", []), ("session", "off", ["w1"])])
def test_cancel_on_disconnect_that_was_changed_while_connected_survives_a_crash(lives, first, then, left):
    desk = bot(lives(settings()), cod={"scope": first})
    desk.place("w1")
    desk.call("session.configure", {"cod": {"scope": then}}, 5)
    again = lives(settings())
    pass_time(again, 5_001)
    assert open_ids(again) == left


async def test_a_dead_mans_switch_fires_when_it_said_also_after_an_orderly_restart(lives):
    server = lives(settings(keys=(PLAIN,)))
    desk = bot(server)
    desk.place("w1")
    desk.call("order.cancel_after", {"timeout_ms": 3000}, 9)
    await server.stop()
    again = lives(settings(keys=(PLAIN,)), commit=False)
    pass_time(again, 2_000)
    assert open_ids(again) == ["w1"]
    pass_time(again, 3_001)
    assert open_ids(again) == []


def test_a_dead_mans_switch_is_not_late_by_as_much_as_the_clock_went_back(lives, monkeypatch):
    desk = bot(lives(settings(keys=(PLAIN,))))
    desk.place("w1")
    desk.call("order.cancel_after", {"timeout_ms": 3000}, 9)
    now_ns = Clock.now_ns
    monkeypatch.setattr(Clock, "now_ns", lambda clock: now_ns(clock) - 3_600_000 * MS)
    again = lives(settings(keys=(PLAIN,)))
    pass_time(again, 300_001)
    assert open_ids(again) == []


def test_open_orders_count_against_their_limit_though_none_of_their_accounts_sessions_is_known(lives):
    desk = ws_room.Desk(lives(settings(keys=(PLAIN,))))
    desk.logon()
    desk.place("w1")
    desk.endpoint.lost(desk.now)
    again = lives(settings(keys=(PLAIN,), stream=schema.Stream(retain_events=100)))
    assert open_ids(again) == ["w1"]
    assert again.orders.charging._open.count(1) == 1


# -- another configuration -----------------------------------------------------------------------------------------


def ether(desk, order, cancel=""):
    desk.send("D", f"11={order}|55=ETH-USDT|54=1|38=1|40=2|44=100.00|")
    if cancel:
        desk.send("F", f"11={cancel}|41={order}|55=ETH-USDT|54=1|")


NOW_BTC_IS_4 = msgspec.structs.replace(BTC, px_exp=4)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"instruments": (NOW_BTC_IS_4, ETH)}, r"instrument 1 was BTC-USDT, px_exp 2, .* px_exp 4"),
        ({"instruments": (msgspec.structs.replace(BTC, symbol="DOGE-USDT"), ETH)}, "instrument 1 was BTC-USDT"),
        ({"instruments": (msgspec.structs.replace(BTC, id=9), ETH)}, "the instrument called BTC-USDT was 1 and is 9"),
        ({"accounts": (schema.Account(id=1, name="ACME-LTD"), OTHER)}, "account 1 was ACME and is ACME-LTD"),
        ({"accounts": (schema.Account(id=7, name="ACME"), OTHER)}, "the account called ACME was 1 and is 7"),
        ({"sessions": (session(1, "EVE"),)}, "FIX session 1 was A, 1 and is EVE, 1"),
        ({"sessions": (session(1, "A", account="OTHER"),)}, "FIX session 1 was A, 1 and is A, 2"),
        ({"keys": (msgspec.structs.replace(PLAIN, account="OTHER"),)}, "key key-ACME was 1 and is 2"),
    ],
)
def test_no_id_is_given_to_another_and_the_start_says_which(lives, more, told):
    fix(lives(settings(session(1, "A"), keys=(PLAIN,))), "A").place("a1")
    accounts = more.get("accounts", (ACME, OTHER))
    rows = tuple(
        msgspec.structs.replace(row, account=accounts[0].name) if row.account == "ACME" else row
        for row in more.get("sessions", (session(1, "A"),))
    )
    keys = tuple(
        msgspec.structs.replace(row, account=accounts[0].name) if row.account == "ACME" else row
        for row in more.get("keys", (PLAIN,))
    )
    kept = {name: value for name, value in more.items() if name == "instruments"}
    with pytest.raises(ConfigMismatch, match=told):
        lives(settings(*rows, keys=keys, accounts=accounts, **kept))


def test_nor_is_that_of_one_who_was_away_for_a_life(lives):
    lives(settings(session(1, "A")))
    lives(settings(session(2, "B", account="OTHER")))
    with pytest.raises(ConfigMismatch, match="FIX session 1 was A"):
        lives(settings(session(1, "EVE", account="OTHER")))


def test_fewer_ids_remembered_make_no_second_order_of_what_was_refused_as_known(lives):
    server = lives(settings(session(1, "A"), core=schema.Core(dedupe_ids=4_096)))
    now_ns, engine = server.now_ns(), server.replay.engine
    for n in range(1, 1_500):
        place(server, n, f"k{n}", tif=Tif.IOC)
    place(server, 1_500, "k1")
    assert engine.open_orders(1) == []
    again = lives(settings(session(1, "A"), core=schema.Core(dedupe_ids=1_024)))
    assert again.replay.engine.open_orders(1) == []
    assert again.now_ns() > now_ns


def place(server, n, cl_ord_id, tif=Tif.GTC):
    now_ns = server.now_ns()
    head = (pack_cmd_id(1, Lane.ORDER, n), 1, 1, Origin.FIX, now_ns, 0)
    order = NewOrder(*head, cl_ord_id, BTC.id, Side.BUY, OrdType.LIMIT, tif, 10_000, 10_000)
    server.core.submit([order], now_ns)


def test_an_instrument_with_open_orders_cannot_be_taken_out(lives):
    server = lives(settings(session(1, "A")))
    ether(fix(server, "A"), "e1")
    asyncio.run(server.stop())
    with pytest.raises(ConfigMismatch, match=f"open orders in instrument {ETH.id}, .* cancel its open orders"):
        lives(settings(session(1, "A"), instruments=(BTC,)), commit=False)
    assert open_ids(lives(settings(session(1, "A")), commit=False)) == ["e1"]


def test_an_instrument_without_orders_can_and_what_was_reported_of_it_is_reported_again(lives):
    server = lives(settings(session(1, "A")))
    desk, web = fix(server, "A"), bot(server)
    ether(desk, "e1", cancel="c1")
    told = server.sessions.account(1).replay(1, 99)
    assert len(told) == 2
    again = lives(settings(session(1, "A"), instruments=(BTC,)))
    assert again.sessions.account(1).replay(1, 99) == told
    web = ws_room.Desk(again)
    events = ws_room.events(web.logon(name="bot", resume={"epoch": again.orders.dispatch.epoch, "seq": 0}))
    assert [(each["seq"], each["data"]["symbol"]) for each in events] == [(1, "ETH-USDT"), (2, "ETH-USDT")]
    back = fix(again, "A", desk.seq)
    assert [row["55"] for row in back.send("H", "11=e1|")] == ["ETH-USDT"]
    (refused,) = back.send("D", "11=e2|55=ETH-USDT|54=1|38=1|40=2|44=100.00|")
    assert refused["39"] == "8"


# -- what clients have not seen ------------------------------------------------------------------------------------


def test_a_quiet_accounts_events_are_not_pushed_out_by_the_noise_of_others(lives):
    what = settings(session(1, "A"), B, stream=schema.Stream(retain_events=100))
    server = lives(what)
    fix(server, "A").place("a1")
    noisy = fix(server, "B")
    for n in range(90):
        noisy.place(f"b{n}", price="1.00")
        noisy.send("F", f"11=c{n}|41=b{n}|55=BTC-USDT|54=1|")
    again = lives(what)
    assert again.sessions.account(1).oldest_seq == 1


def told(server):
    """The account's events as a WebSocket client gets them again."""
    shared = EncodedEvents(server.instruments, server.sessions)
    return [shared.encode(event, JSON, is_replay=True) for event in server.sessions.account(1).replay(1, 99)]


def test_an_event_has_the_same_content_whenever_it_is_reported(lives):
    """The event names the order's session, even if that has ended, was forgotten, or is not configured any more."""
    server = lives(settings(session(1, "A"), keys=(PLAIN,)))
    fix(server, "A").place("a1")
    nameless, named = ws_room.Desk(server), bot(server)
    nameless.logon()
    (live,) = ws_room.events(nameless.place("w1"))
    named.place("w2")
    first = told(server)
    assert [json.loads(each)["data"]["session"] for each in first] == ["A", live["data"]["session"], "bot"]
    for desk in (nameless, named):
        desk.call("session.logout")
    server.sessions.forget(server.sessions._named["key-ACME"].pop("bot"))
    assert told(server) == first
    for _ in range(3):
        server.look_after_journal()
    assert "bot" not in [row.name for row in server.replay.names.values()], "it is not remembered to come back"
    assert told(server) == first
    again = lives(settings(session(1, "A"), keys=(PLAIN,)))
    assert told(again) == first
    last = lives(settings(keys=()))
    assert told(last) == first


def test_an_event_outlives_many_starts(lives):
    fix(lives(settings(session(1, "A"))), "A").place("a1")
    for _ in range(20):
        server = lives(settings(session(1, "A")))
    assert server.sessions.account(1).oldest_seq == 1


@pytest.mark.parametrize("has_crashed", [False, True])
def test_a_fix_session_that_asked_for_everything_misses_nothing_while_it_is_away(lives, has_crashed):
    """ResponseMode(25036)=1 in its last Logon counts until its next one."""
    what = settings(session(1, "A"), session(2, "A2"))
    server = lives(what)
    away, other = fix(server, "A", body="98=0|108=30|25036=1|"), fix(server, "A2")
    next_out = away.endpoint.machine.store.next_out
    away.drop()
    if has_crashed:
        server = lives(what)
        server.orders.venue.reopen_at_ns = 0
        other = fix(server, "A2", other.seq)
    other.place("o1")
    back = fix(server, "A", away.seq, body="98=0|108=30|25036=1|")
    resent = back.send("2", f"7={next_out}|16=0|")
    assert [row["11"] for row in resent if row["35"] == "8"] == ["o1"]


# -- scheduled resets ----------------------------------------------------------------------------------------------


def test_a_reset_that_was_due_while_no_gateway_ran_is_made_up_for_once(lives, monkeypatch):
    what = settings(session(1, "A", reset_schedule="daily 22:00"))
    now_ns, ahead_ns = Clock.now_ns, [0]
    monkeypatch.setattr(Clock, "now_ns", lambda clock: now_ns(clock) + ahead_ns[0])
    desk = fix(lives(what), "A")
    again = lives(what)
    assert again.fix.endpoints["A", "GATE"].machine.store.next_in == desk.seq + 1, "nothing was due"
    ahead_ns[0] = 86_400_000 * MS
    again = lives(what)
    assert again.fix.endpoints["A", "GATE"].machine.store.next_in == 1
    desk = fix(again, "A")
    again = lives(what)
    assert again.fix.endpoints["A", "GATE"].machine.store.next_in == desk.seq + 1, "it was made up for already"


# -- the directory -------------------------------------------------------------------------------------------------


def test_a_journal_whose_oldest_segment_was_removed_by_hand_is_not_taken_for_an_empty_one(lives, tmp_path):
    server = lives(settings(session(1, "A")))
    desk = fix(server, "A")
    desk.place("a1")
    server.journal._writer._next_segment(1)
    desk.place("a2")
    server.journal.commit(server.now_ns())
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "home0", copy)
    oldest, _ = sorted((copy / "journal").glob("*.seg"))
    oldest.unlink()
    with pytest.raises(JournalCorrupt, match="a segment is missing"):
        Server(settings(session(1, "A")), copy)


def test_a_snapshot_that_contradicts_itself_is_passed_over_and_reported(lives, monkeypatch):
    """What it stands for is executed from the one before it."""
    server = lives(settings(A))
    desk = fix(server, "A")
    desk.place("a1")
    with monkeypatch.context() as mistaken:
        mistaken.setattr(Engine, "snapshot", lambda _: b"")
        lives(settings(A))
    told = []
    monkeypatch.setattr(Server, "log", lambda _, name, **fields: told.append((name, fields)))
    again = lives(settings(A))
    assert again.replay.engine.digest() == server.replay.engine.digest()
    ((_, fields),) = [each for each in told if each[0] == "journal.unsound_snapshot"]
    assert re.search(r"0000000002\.seg: offset \d+$", fields["place"])
    assert fields["error"].startswith("snapshot: ")


def test_a_journal_without_a_single_sound_snapshot_is_refused_and_names_the_place(lives, monkeypatch):
    with monkeypatch.context() as mistaken:
        mistaken.setattr(Engine, "snapshot", lambda _: b"")
        lives(settings(A))
    with pytest.raises(JournalCorrupt, match=r"0000000001\.seg: offset \d+: snapshot: .*\n.*Restore the directory"):
        lives(settings(A))


def test_a_record_that_this_program_cannot_read_is_named(lives):
    server = lives(settings(A))
    server.journal.append(COMMANDS, 0, b"of a newer program")
    with pytest.raises(JournalCorrupt, match=r"0000000001\.seg: offset \d+: not a record that this program can read"):
        lives(settings(A))


def test_many_short_lives_do_not_fill_the_disk(lives):
    max_bytes = 3 << 20
    what = settings(session(1, "A"), journal={"max_bytes": max_bytes})
    server = lives(what)
    for n in range(1, 1_000):
        place(server, n, f"o{n}")
    for _ in range(40):
        server = lives(what)
        server.journal.commit(server.now_ns())
        server.look_after_journal()
    assert server.journal.size_bytes <= max_bytes
    assert len(open_ids(server)) == 999


# -- the ids of WebSocket sessions ---------------------------------------------------------------------------------


def passer_by(server, order):
    """A client without a name: it trades, and leaves for good."""
    desk = ws_room.Desk(server)
    desk.logon()
    told = desk.place(order)
    session_id = desk.endpoint.session.id
    desk.endpoint.lost(desk.now)
    server.cancel_on_disconnect.tick(desk.now)
    server.orders.tick(desk.now)
    return session_id, ws_room.answers(told)[0]["status"]


def test_ids_of_sessions_come_round_again_and_no_command_is_taken_for_an_old_one(lives):
    server = lives(settings())
    first, _ = passer_by(server, "w0")
    server.sessions.next_ws_id = MAX_SESSION
    named = bot(server)
    assert named.endpoint.session.id == MAX_SESSION
    assert [passer_by(server, f"w{n}") for n in (1, 2)] == [(first, 200), (first + 1, 200)]
    again = lives(settings())
    again.orders.venue.reopen_at_ns = 0
    assert passer_by(again, "w3") == (first + 2, 200)
    assert passer_by(again, "w0")[1] == 409, "the order ids are remembered all the same"
    again.sessions.next_ws_id = MAX_SESSION
    assert passer_by(again, "w4") == (first, 200), "the named session keeps its id"


def test_the_core_does_not_remember_every_connection_that_ever_was(lives):
    server = lives(settings())
    before = len(server.replay.engine._highest)
    for n in range(6):
        passer_by(server, f"w{n}")
    assert len(server.replay.engine._highest) > before, "their last commands may still be on their way"
    for _ in range(2):
        server.look_after_journal()
    assert len(server.replay.engine._highest) == before
    again = lives(settings())
    assert again.replay.engine.digest() == server.replay.engine.digest()
