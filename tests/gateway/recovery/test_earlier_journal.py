"""A journal directory of an earlier version can be continued: `earlier_journal/make.py` says what it has.

The values below were written down when the archives were made. Never adjust them to the code.
Modules: recovery.records, recovery.replay, journal.scan.
"""

import tarfile
from collections import Counter

import pytest

from gateway.core.engine import Engine
from gateway.journal.record import SEGMENT_HEADER_BYTES, SegmentHeader, scan
from gateway.recovery.known_ids import ConfigMismatch
from protocols.messages import Lane
from tests.gateway.recovery.earlier_journal.make import FIRST, SECOND, START_NS, A, B, C, settings, start
from tests.support import ws_room
from tests.support.fix_room import MS, Desk, session
from tests.support.fix_text import fix
from tests.support.server import let_go

NOW_NS = START_NS + 90_000 * MS  # half a minute after the second process ended
EPOCH = "e-1795348800000"
KINDS = {
    1: "COMMIT",
    2: "STATE",
    3: "OUT",
    4: "RESET by a Logon",
    16: "COMMANDS",
    17: "SNAPSHOT",
    18: "WS_SESSION",
    19: "LINK",
    20: "CLEAN",
    21: "CHUNK",
    22: "RESET by schedule",
    23: "WS_ENDED",
}


def unpacked(archive, directory):
    (directory / "journal").mkdir()
    with tarfile.open(archive) as packed:
        for member in packed:
            if (file := packed.extractfile(member)) is not None:
                (directory / member.name).write_bytes(file.read())
    return directory


@pytest.fixture
def home(tmp_path):
    return unpacked(SECOND, tmp_path)


@pytest.fixture
def server(home):
    made = start(home, settings(A, B), NOW_NS)
    yield made
    let_go(made)


def pass_time(server, ms):
    server.clock.own_now_ns += ms * MS
    server.cancel_on_disconnect.tick(server.now_ns())
    server.orders.tick(server.now_ns())


def back(server, comp_id, seq, body="98=0|108=30|"):
    desk = Desk(server, comp_id)
    desk.seq = seq
    return desk, desk.logon(body)


def open_orders(server, account):
    return [
        (row.order_id, row.cl_ord_id, row.session, int(row.side), row.price, row.qty, row.leaves_qty, row.cum_quote)
        for row in server.replay.engine.open_orders(account)
    ]


def open_ids(server):
    return [row[1] for account in (1, 2) for row in open_orders(server, account)]


def test_the_archive_has_several_segments_and_a_record_of_every_kind(home):
    kinds = Counter()
    segments = sorted((home / "journal").glob("*.seg"))
    for path in segments:
        data = path.read_bytes()
        kinds.update(kind for kind, *_ in scan(data, SEGMENT_HEADER_BYTES, SegmentHeader.unpack(data).salt))
    assert len(segments) == 10
    assert set(kinds) == set(KINDS)
    assert (kinds[17], kinds[21]) == (3, 3), "one snapshot at each start, and one in chunks"


def test_after_an_orderly_stop_the_venue_opens_at_once(tmp_path):
    server = start(unpacked(FIRST, tmp_path), settings(A, B, C), NOW_NS)
    assert server.orders.venue.reopen_at_ns == 0
    assert open_orders(server, 1) == [(1, "a-first", 1, 1, 9_000, 10_000, 10_000, 0)]
    stores = [server.fix.endpoints[comp_id, "GATE"].machine.store for comp_id in ("A", "B", "C")]
    assert [(store.next_in, store.next_out) for store in stores] == [(4, 4), (4, 5), (4, 5)]
    assert [number for number, _ in stores[2].read(1, 99)] == [2, 3], "what was sent before its reset is no more"
    let_go(server)


def test_the_book_is_as_it_was(server):
    """Prices in 0.01, quantities in 0.0001, value in both."""
    assert open_orders(server, 1) == [
        (1, "a-first", 1, 1, 9_000, 10_000, 10_000, 0),
        (38, "a-part", 1, 1, 10_000, 30_000, 17_500, 125_000_000),
        (41, "w-rest", 65_537, 2, 11_000, 5_000, 5_000, 0),
        (42, "o-rest", 65_539, 2, 11_100, 7_500, 7_500, 0),
    ]
    assert open_orders(server, 2) == [(5, "b-ether", 2, 2, 180_000, 25_000, 25_000, 0)]
    assert server.replay.engine.epoch == EPOCH


def test_the_book_is_put_together_from_the_chunks_of_a_snapshot(home, monkeypatch):
    restore, chunks = Engine.restore, []

    def noting(engine, *given):
        chunks.append(len(given))
        restore(engine, *given)

    monkeypatch.setattr(Engine, "restore", noting)
    let_go(start(home, settings(A, B), NOW_NS))
    assert chunks == [1, 1, 3]


def test_both_numbers_of_the_fix_sessions_are_as_they_were(server):
    a, b = (server.fix.endpoints[comp_id, "GATE"].machine.store for comp_id in ("A", "B"))
    assert [(store.next_in, store.next_out, len(list(store.read(1, 999)))) for store in (a, b)] == [
        (68, 75, 71),
        (8, 13, 7),
    ]
    assert b.intake.done == ((9, 10),), "the cancel behind a gap was carried out, and is not taken again"


def test_what_a_fix_session_was_sent_is_there_to_the_byte(server):
    sent = dict(server.fix.endpoints["B", "GATE"].machine.store.read(1, 99))
    assert list(sent) == [2, 3, 6, 7, 8, 9, 11]
    assert sent[9] == fix(
        "35=8|34=9|49=GATE|52=20261122-12:01:00.000000|56=B|37=39|11=b-sold|17=74|150=F|39=2|55=BTC-USDT|54=2|38=1.2500"
        "|40=2|44=100.00|59=1|31=100.00|32=1.2500|1003=2|851=2|14=1.2500|151=0.0000|6=100|25017=125.000000"
        "|60=20261122-12:01:00.000000|20104=20261122-12:01:00.000000|20105=6|"
    )


def test_a_fix_session_logs_on_with_its_next_number_and_has_sent_again_what_it_missed(server):
    desk, (logon, *_) = back(server, "A", 67, "98=0|108=30|25036=1|")
    assert (logon["35"], logon["34"], logon["20106"], logon["8013"]) == ("A", "75", EPOCH, "S")
    resent = desk.send("2", "7=72|16=74|")
    assert [(row["34"], row["43"], row["122"], row["37"], row["11"], row["17"], row["150"]) for row in resent] == [
        ("72", "Y", "20261122-12:01:00.000000", "40", "a-gone-x", "77", "4"),
        ("73", "Y", "20261122-12:01:00.000000", "41", "w-rest", "78", "0"),
        ("74", "Y", "20261122-12:01:00.000000", "42", "o-rest", "79", "0"),
    ]


def test_a_fix_session_that_left_over_a_gap_is_asked_for_it_again(server):
    _, (logon, asked, *_) = back(server, "B", 10)
    assert (logon["34"], logon["25036"]) == ("13", "2")
    assert (asked["35"], asked["34"], asked["7"], asked["16"]) == ("2", "14", "8", "0")


def test_every_event_of_both_accounts_is_reported_with_its_number(server):
    ours, others = (server.sessions.account(account).replay(1, 999) for account in (1, 2))
    assert [event.seq for event in ours] == list(range(1, 74))
    assert [event.seq for event in others] == list(range(1, 8))
    trades = [
        (row.seq, row.exec_id, row.trade_id, row.cl_ord_id, row.last_px, row.last_qty, row.leaves_qty, row.t_core)
        for row in (*ours, *others)
        if row.last_qty
    ]
    first_ns, second_ns = 1_795_348_800_000_000_000, 1_795_348_860_000_000_000
    assert trades == [
        (3, 5, 1, "c-sold", 10_100, 10_000, 0, first_ns),
        (69, 75, 2, "a-part", 10_000, 12_500, 17_500, second_ns),
        (2, 4, 1, "b-bought", 10_100, 10_000, 0, first_ns),
        (6, 74, 2, "b-sold", 10_000, 12_500, 0, second_ns),
    ]
    cancelled = [
        (row.seq, row.cl_ord_id, row.orig_cl_ord_id) for row in (*ours[-4:], *others[-1:]) if row.orig_cl_ord_id
    ]
    assert cancelled == [(71, "a-gone-x", "a-gone"), (7, "b-late-x", "b-late")]


@pytest.mark.parametrize(
    ("name", "session_id", "cl_ord_id", "order_id"),
    [("bot", 65_537, "w-rest", "41"), ("owl", 65_539, "o-rest", "42")],
    ids=["known to the snapshot", "new behind it"],
)
def test_a_websocket_session_with_a_name_continues_where_it_was(server, name, session_id, cl_ord_id, order_id):
    server.orders.venue.reopen_at_ns = 0
    desk = ws_room.Desk(server)
    logon, *told = desk.logon(name=name, resume={"epoch": EPOCH, "seq": 71})
    assert logon["result"]["resume"] == {"status": "replayed", "begin": 72, "end": 73}
    orders = [message["data"] for message in told if message["ev"] == "order"]
    assert [(row["cl_ord_id"], row["order_id"], row["exec_id"], row["session"]) for row in orders] == [
        ("w-rest", "41", "78", "bot"),
        ("o-rest", "42", "79", "owl"),
    ]
    assert (desk.endpoint.session.id, server.sessions.next_ws_id) == (session_id, 65_540)
    assert desk.place(cl_ord_id)[0]["error"]["data"]["order"]["order_id"] == order_id
    answer, event = desk.place("w-new")
    assert (answer["result"]["order_id"], event["seq"]) == ("43", 75)


def test_counters_of_commands_continue_but_for_sessions_that_are_over(server):
    """By session: A, B, a passer-by, bot, fox, owl."""
    highest = server.replay.engine.highest
    sessions = (1, 2, 65_536, 65_537, 65_538, 65_539)
    assert [(highest(each, Lane.ORDER), highest(each, Lane.CANCEL)) for each in sessions] == [
        (33, 31),
        (4, 1),
        (0, 0),
        (1, 0),
        (0, 0),
        (1, 0),
    ]


def test_an_id_is_remembered_whether_it_is_in_the_snapshot_or_after_it(server):
    server.orders.venue.reopen_at_ns = 0
    desk, _ = back(server, "A", 67)
    told = [desk.place(cl_ord_id)[0] for cl_ord_id in ("a-first", "a-0", "a-gone", "a-new")]
    assert [(row["150"], row.get("25016")) for row in told] == [
        ("8", "4003"),
        ("8", "4003"),
        ("8", "4003"),
        ("0", None),
    ]
    assert told[-1]["37"] == "43"


def test_only_clients_that_are_not_back_are_cancelled_for(server):
    """A has cancel-on-disconnect, bot a dead-man's switch that fires at 12:02:00, owl and B nothing."""
    assert server.orders.venue.reopen_at_ns == NOW_NS + 5_000 * MS, "the process before this one was killed"
    pass_time(server, 4_999)
    assert open_ids(server) == ["a-first", "a-part", "w-rest", "o-rest", "b-ether"]
    pass_time(server, 2)
    assert open_ids(server) == ["w-rest", "o-rest", "b-ether"]
    pass_time(server, 24_998)
    assert open_ids(server) == ["w-rest", "o-rest", "b-ether"]
    pass_time(server, 2)
    assert open_ids(server) == ["o-rest", "b-ether"]


def test_what_an_operator_halted_is_halted(server):
    server.orders.venue.reopen_at_ns = 0
    desk, _ = back(server, "A", 67)
    (refused,) = desk.send("D", "11=e|55=ETH-USDT|54=1|38=1|40=2|44=1.00|")
    assert (refused["150"], refused["25016"], refused["58"]) == ("8", "4010", "ETH-USDT is halted: a fork")


def test_when_a_session_was_last_reset_is_known(server):
    assert server.replay.resets == {1: START_NS + 60_000 * MS}


def test_names_of_those_who_are_gone_are_known(server):
    assert [server.recorder.former_name(session_id) for session_id in (3, 65_536, 65_538)] == [
        "C",
        "ws-65536",
        "fox",
    ]
    assert list(server.sessions.by_id) == [1, 2, 65_537, 65_539]


def test_an_id_of_before_is_not_given_to_another(home):
    with pytest.raises(ConfigMismatch, match="FIX session 3 was C, 1 and is D, 1 now"):
        start(home, settings(A, B, session(3, "D")), NOW_NS)
