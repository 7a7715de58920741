"""A start continues where the last process was cut off: book, streams, numbers, counters, protection of orders."""

import shutil

import msgspec
import pytest

from gateway.config import schema
from gateway.journal import JournalSettings
from gateway.orders.trading_modes import ModeChange
from gateway.server import Server
from gateway.sessions.registry import MAX_NAMES_PER_KEY
from protocols import errors
from protocols.messages import Origin
from tests.support import ws_room
from tests.support.fix_room import BTC, MS, Desk, session
from tests.support.server import let_go


def settings(*rows, durability="process"):
    return schema.Config(
        fix=schema.Fix(sessions=rows),
        ws=schema.Ws(),
        keys=(ws_room.key("ACME", cancel_on_disconnect="session"),),
        accounts=(schema.Account(id=1, name="ACME"), schema.Account(id=2, name="OTHER")),
        instruments=(BTC,),
        limits=schema.Limits(file=""),
        journal=JournalSettings(durability=durability, segment_bytes=1_048_576),
    )


ROWS = (
    session(1, "A", cancel_on_disconnect="S"),
    session(2, "B", account="OTHER"),
)


@pytest.fixture
def crash(tmp_path):
    """Starts another process on a copy of the disk; nothing of the old one's memory goes with it."""
    homes, made = [], []

    def start(home):
        homes.append(home)
        made.append(Server(settings(*ROWS), home))
        return made[-1]

    def move(server):
        server.journal.commit(server.now_ns())
        home = tmp_path / f"home{len(homes) + 1}"
        shutil.copytree(homes[-1], home)
        return start(home)

    (tmp_path / "home0").mkdir()
    move.first = lambda: start(tmp_path / "home0")
    yield move
    for server in made:
        let_go(server)


def take_snapshot(server):
    """As a running gateway takes one: chunk by chunk."""
    snapshotter = server.recorder.snapshotter
    server.journal.commit(server.now_ns())
    snapshotter.look(server.now_ns())  # the one of its start is durable
    snapshotter._long_bytes = -1
    snapshotter.look(server.now_ns())
    while (due_ns := snapshotter.next_deadline_ns) is not None:
        snapshotter.tick(due_ns)


def desks(server):
    pair = [Desk(server, row.comp_id) for row in ROWS]
    for desk in pair:
        desk.logon()
    return pair


def test_after_a_crash_the_book_the_streams_and_both_numbers_are_as_before(crash):
    server = crash.first()
    maker, taker = desks(server)
    maker.place("m1", side=2)
    maker.place("m2", side=2, price="101.00")
    taker.place("t1")
    again = crash(server)
    engine, before = again.replay.engine, server.replay.engine
    assert engine.digest() == before.digest()
    assert engine.epoch == before.epoch
    assert [order.cl_ord_id for order in engine.open_orders(1)] == ["m2"]
    for row in ROWS:
        old, new = (each.fix.endpoints[row.comp_id, "GATE"].machine.store for each in (server, again))
        assert (new.next_in, new.next_out) == (old.next_in, old.next_out)
        assert list(new.read(1, 99)) == list(old.read(1, 99))
    for account in (1, 2):
        old, new = (each.sessions.account(account) for each in (server, again))
        assert new.replay(1, 99) == old.replay(1, 99)


def test_an_order_id_used_before_the_crash_is_still_used_and_new_commands_are_not_taken_for_old_ones(crash):
    server = crash.first()
    maker, _ = desks(server)
    maker.place("m1")
    again = crash(server)
    again.orders.venue.reopen_at_ns = 0
    desk = Desk(again, "A")
    desk.seq = maker.seq
    desk.logon()
    (refused,) = desk.place("m1")
    assert refused["25016"] == str(errors.DUPLICATE_ID)
    (accepted,) = desk.place("m2")
    assert accepted["150"] == "0"


def test_the_orders_of_before_the_crash_count_among_the_open_ones_that_a_plan_allows(crash):
    server = crash.first()
    maker, _ = desks(server)
    for number in range(200):
        maker.place(f"m{number}")
    again = crash(server)
    again.orders.venue.reopen_at_ns = 0
    desk = Desk(again, "A")
    desk.seq = maker.seq
    desk.logon()
    (refused,) = desk.place("m200")
    assert refused["25016"] == str(errors.TOO_MANY_OPEN_ORDERS)


def test_a_second_crash_right_after_the_start_loses_nothing_either(crash):
    server = crash.first()
    maker, _ = desks(server)
    maker.place("m1")
    thrice = crash(crash(crash(server)))
    assert thrice.replay.engine.digest() == server.replay.engine.digest()


def test_after_a_crash_the_venue_is_cancel_only_and_then_cancels_for_those_who_are_not_back(crash):
    server = crash.first()
    gone, _ = desks(server)
    gone.place("g1")
    again = crash(server)
    other = Desk(again, "B")
    other.seq = 1
    told = [message["58"] for message in other.logon() if message["35"] == "B"]
    assert told == ["the venue takes cancels only: after a restart others get the time to come back"]
    (refused,) = other.place("x")
    assert (refused["103"], refused["25016"]) == ("2", str(errors.CANCEL_ONLY))
    assert len(again.replay.engine.open_orders(1)) == 1
    later = again.now_ns() + 5_000 * MS
    again.cancel_on_disconnect.tick(later)
    again.orders.tick(later)
    assert again.replay.engine.open_orders(1) == []
    assert [(message["35"], message["58"]) for message in other.read()] == [("B", "the venue takes orders again")]
    (accepted,) = other.place("y")
    assert accepted["150"] == "0"


def test_a_websocket_session_learns_that_the_venue_has_not_opened_and_then_that_it_has(crash):
    again = crash(crash.first())
    bot = ws_room.Desk(again)
    states = [each["data"]["state"] for each in ws_room.events(bot.logon(), "system")]
    assert states == ["cancel_only"]
    assert bot.tick(ms=4_000) == []
    states = [each["data"]["state"] for each in ws_room.events(bot.tick(ms=5_001), "system")]
    assert states == ["normal"]
    assert bot.tick(ms=6_000) == []
    late = ws_room.Desk(again)
    assert ws_room.events(late.logon(), "system") == []


def test_no_one_is_informed_that_the_venue_opens_while_an_operator_bars_it_or_it_drains(crash):
    """
    halted when B logs on, cleared before the time is over: cancel_only still
    halted again, and the time is over -> nothing; cleared -> normal
    """
    again = crash(crash.first())
    halt = ModeChange("venue", "", "halted", "stale prices", "kim", again.now_ns())
    opened = msgspec.structs.replace(halt, mode="normal")
    orders, desk = again.orders, Desk(again, "B")
    orders.venue.change(orders.venue.modes.apply(halt), desk.now)

    def heard():
        return [message["58"].partition(":")[0] for message in desk.read() if message["35"] == "B"]

    told = [message["58"] for message in desk.logon() if message["35"] == "B"]
    assert told == ["the venue is halted: stale prices"]
    orders.venue.change(orders.venue.modes.apply(opened), desk.now)
    assert heard() == ["the venue takes cancels only"]
    orders.venue.change(orders.venue.modes.apply(halt), desk.now)
    assert heard() == ["the venue is halted"]
    orders.tick(desk.now + 5_000 * MS)
    assert (orders.venue.reopen_at_ns, heard()) == (0, [])
    orders.venue.change(orders.venue.modes.apply(opened), desk.now)
    assert heard() == ["the venue takes orders again"]
    orders.venue.reopen_at_ns = desk.now + 5_000 * MS
    orders.venue.draining = True
    orders.tick(desk.now + 6_000 * MS)
    assert (orders.venue.reopen_at_ns, heard()) == (0, [])


def test_who_is_back_in_time_keeps_its_orders(crash):
    server = crash.first()
    first, _ = desks(server)
    first.place("g1")
    again = crash(server)
    back = Desk(again, "A")
    back.seq = first.seq
    back.logon()
    later = again.now_ns() + 5_000 * MS
    again.cancel_on_disconnect.tick(later)
    again.orders.tick(later)
    assert len(again.replay.engine.open_orders(1)) == 1


async def test_after_an_orderly_stop_the_venue_is_open_at_once(tmp_path):
    server = Server(settings(*ROWS), tmp_path)
    maker, _ = desks(server)
    maker.place("m1")
    digest = server.replay.engine.digest()
    await server.stop()
    again = Server(settings(*ROWS), tmp_path)
    assert again.orders.venue.reopen_at_ns == 0
    assert again.replay.engine.digest() == digest
    await again.stop()


def test_with_durability_memory_nothing_is_kept_and_no_file_is_made(tmp_path):
    server = Server(settings(*ROWS, durability="memory"), tmp_path)
    maker, _ = desks(server)
    maker.place("m1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("leaves", ["answers our Logout", "closes on it", "closes on the News"])
async def test_after_an_orderly_restart_those_who_do_not_come_back_are_cancelled_for(tmp_path, leaves):
    """
    SIGTERM: A and B are sent away, however they go; someone else makes the drain last, and their orders stay
    the next process: B logs on again, A does not -> after the time of a drain A's orders are cancelled
    """
    rows = [session(1, "A", cancel_on_disconnect="S"), session(2, "B", account="OTHER", cancel_on_disconnect="S")]
    server = Server(settings(*rows), tmp_path)
    pair = desks(server)
    for desk, id in zip(pair, ("a1", "b1"), strict=True):
        desk.place(id, price="90.00")
    limit_ns = server.begin_drain()
    for desk in pair:
        if leaves != "closes on the News":
            desk.endpoint.log_out("the gateway is going down", server.now_ns())
        if leaves == "answers our Logout":
            desk.send("5", "")
        else:
            desk.endpoint.lost(server.now_ns())
    server.cancel_on_disconnect.tick(limit_ns)
    server.orders.tick(limit_ns)
    assert len(server.replay.engine.open_orders(1)) == len(server.replay.engine.open_orders(2)) == 1
    await server.stop()
    again = Server(settings(*rows), tmp_path)
    back = Desk(again, "B")
    back.seq = pair[1].seq
    back.logon()
    engine, drain_ns = again.replay.engine, again.settings.venue.drain_ms * MS
    for after_ns, left in ((drain_ns // 2, ["a1"]), (drain_ns + MS, [])):
        later = again.now_ns() + after_ns
        again.cancel_on_disconnect.tick(later)
        again.orders.tick(later)
        assert [order.cl_ord_id for order in engine.open_orders(1)] == left
    assert [order.cl_ord_id for order in engine.open_orders(2)] == ["b1"]
    await again.stop()


def test_questions_after_a_restart_are_answered(crash):
    """The snapshot has the number of a session's queries: the next one must not be taken for a repeat."""
    server = crash.first()
    maker, _ = desks(server)
    maker.place("m1")
    maker.send("AF", "584=q1|585=7|")
    take_snapshot(server)
    again = crash(server)
    desk = Desk(again, "A")
    desk.seq = maker.seq
    desk.logon()
    (told,) = desk.send("AF", "584=q2|585=7|")
    assert (told["150"], told["584"], told["11"]) == ("I", "q2", "m1")


@pytest.mark.parametrize("name", ["bot", None])
def test_a_websocket_session_that_a_running_snapshot_has_seen_is_cancelled_for_after_a_crash(crash, name):
    """Twice, because the second crash comes before the first start has done it."""
    server = crash.first()
    bot = ws_room.Desk(server)
    bot.logon(name=name)
    bot.place("w1")
    take_snapshot(server)
    again = crash(crash(server))
    engine = again.replay.engine
    assert [order.cl_ord_id for order in engine.open_orders(1)] == ["w1"]
    later = again.now_ns() + 5_000 * MS
    again.cancel_on_disconnect.tick(later)
    again.orders.tick(later)
    assert engine.open_orders(1) == []
    client = again.services.authenticator.by_key("key-ACME")
    # Ids are part of every command's: a session that is gone leaves its id to no one.
    assert (again.sessions.for_ws(client, name or "").id == bot.endpoint.session.id) is (name is not None)


def test_websocket_sessions_without_a_name_do_not_pile_up_from_life_to_life(crash):
    """Each has an order and is cancelled for when its connection is lost; a session with a name is remembered."""
    server, counts, ids = crash.first(), [], []
    for life in range(3):
        if life:
            server = crash(server)
        counts.append(len([each for each in server.sessions.by_id.values() if each.sender.origin is Origin.WS]))
        for n in range(5):
            bot = ws_room.Desk(server)
            bot.logon(name=None if n else "bot")
            ids.append(bot.endpoint.session.id)
            bot.place(f"{life}-{n}")
            bot.endpoint.lost(bot.now)
            server.cancel_on_disconnect.tick(bot.now)
            server.orders.tick(bot.now)
        if life == 1:
            take_snapshot(server)
    for _ in range(2):
        server.look_after_journal()
    assert counts == [0, 1, 1]
    assert len(set(ids)) == 1 + 3 * 4
    assert len(server.replay.names) == 1
    assert len(server.replay.links) == 1


@pytest.mark.parametrize("has_snapshot", [False, True])
def test_a_name_that_was_forgotten_stays_so_and_its_id_is_not_given_to_another(crash, has_snapshot):
    server, ids = crash.first(), {}

    def use(name, order):
        bot = ws_room.Desk(server)
        bot.logon(name=name)
        ids.setdefault(bot.endpoint.session.id, name)
        assert ids[bot.endpoint.session.id] == name
        assert next(told for told in bot.place(order) if told.get("id") == 1)["status"] == 200
        bot.call("order.cancel_all", {})
        ws_room.log_out(bot)

    for n in range(MAX_NAMES_PER_KEY + 3):
        use(f"pod-{n}", f"a-{n}")
    for _ in range(2):
        server.look_after_journal()
    if has_snapshot:
        take_snapshot(server)
    server = crash(server)
    server.orders.venue.reopen_at_ns = 0
    named = {each.name for each in server.sessions.by_id.values() if each.sender.origin is Origin.WS}
    assert named == {f"pod-{n}" for n in range(3, MAX_NAMES_PER_KEY + 3)}
    assert len(server.replay.names) == MAX_NAMES_PER_KEY
    for n in range(4):
        use(f"pod-{n}", f"b-{n}")
