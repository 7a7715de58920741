"""The system's clock is corrected under a running gateway: no one is cut, no deadline moves, no stale order lives.

A world or a server on a clock of the test's own: `put_right` is what NTP does; own time is the test's to pass.
Modules: clock, protocols.wall.
"""

import pytest

from gateway.config import schema
from gateway.journal import JournalSettings
from gateway.server import Server
from protocols import errors
from protocols.fix.times import format_ns
from tests.support import ws_room
from tests.support.fix_room import BTC, ETH, Desk, session
from tests.support.hand_clock import HandClock
from tests.support.order_path import MS, World

NOON = 1_795_348_800_000_000_000
STEPS_MS = [-3_600_000, -300_000, 300_000, 3_600_000]
HOUR_MS = 3_600_000


def refusals(session):
    return [each[1:] for each in session.endpoint.take() if each[0] == "refused"]


def held_up(window_ms):
    """An order with a window that has to wait for the core."""
    world = World(window=0)
    mine = world.session()
    world.place(mine, "waits", deadline=world.wall.utc_ns(world.now_ns) + window_ms * MS)
    world.tick()
    return world, mine


# -- what waits in the queue ---------------------------------------------------------------------------------------


def test_a_clock_that_is_put_back_makes_no_waiting_order_younger():
    world, mine = held_up(window_ms=500)
    world.wall.offset_ns -= HOUR_MS * MS
    world.tick(ms=501)
    assert refusals(mine) == [("waits", errors.EXPIRED_IN_QUEUE)]


def test_a_clock_that_is_put_back_keeps_none_that_is_handed_over_late():
    world, mine = held_up(window_ms=500)
    world.wall.offset_ns -= HOUR_MS * MS
    world.now_ns += 501 * MS
    world.core.window = 256
    world.orders.core_link.pump(world.now_ns)
    assert refusals(mine) == [("waits", errors.EXPIRED_IN_QUEUE)]
    assert world.core.handed == []


def test_a_clock_that_is_put_forward_costs_those_who_wait_at_that_moment_and_no_one_after_them():
    """The process may have been paused, so that a waiting order is old: it is refused as not executed."""
    world, mine = held_up(window_ms=500)
    world.wall.offset_ns += 300_000 * MS
    world.core.window = 256
    world.tick()
    assert refusals(mine) == [("waits", errors.EXPIRED_IN_QUEUE)]
    world.place(mine, "next", deadline=world.wall.utc_ns(world.now_ns) + 500 * MS)
    world.tick(ms=1)
    assert ("answer", "next") in mine.endpoint.take()


@pytest.mark.parametrize("step_ms", STEPS_MS)
def test_the_wait_for_a_core_that_is_away_is_a_duration(step_ms):
    world, mine = held_up(window_ms=60_000)
    world.wall.offset_ns += step_ms * MS
    world.tick(ms=1_999)
    assert refusals(mine) == []
    world.tick(ms=11)
    assert refusals(mine) == [("waits", errors.ENGINE_DOWN)]


@pytest.mark.parametrize("step_ms", STEPS_MS)
def test_an_unanswered_order_is_unknown_after_its_time_and_not_before(step_ms):
    world = World()
    world.core.is_quick = False
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    world.wall.offset_ns += step_ms * MS
    world.tick(ms=1_999)
    assert refusals(mine) == []
    world.tick(ms=1)
    assert refusals(mine) == [("a", errors.ENGINE_TIMEOUT)]


def test_the_cores_time_follows_forward_and_never_goes_back():
    world = World()
    mine = world.session()
    told = []
    for number, step_ms in enumerate((0, 300_000, -HOUR_MS, 2 * HOUR_MS)):
        world.wall.offset_ns += step_ms * MS
        world.place(mine, f"o{number}")
        world.tick(ms=1_000)
        told.append(world.core.inner.engine.open_orders(1)[-1].created_at)
    assert told == sorted(told)
    assert told[1] - told[0] >= 300_000 * MS
    assert told[-1] == world.wall.utc_ns(world.now_ns)


# -- the protection of orders --------------------------------------------------------------------------------------


def guarded(grace_ms=0):
    world = World()
    mine = world.session()
    mine.cancel_on_disconnect, mine.cod_grace_ms = "session", grace_ms
    world.place(mine, "a")
    world.tick()
    return world, mine


def is_open(world):
    return bool(world.core.inner.engine.open_orders(1))


@pytest.mark.parametrize("step_ms", STEPS_MS)
def test_the_grace_after_a_disconnect_is_a_duration(step_ms):
    world, mine = guarded(grace_ms=3_000)
    mine.connected = False
    world.cancel_on_disconnect.disconnected(mine, world.now_ns)
    world.wall.offset_ns += step_ms * MS
    world.tick(ms=2_999)
    assert is_open(world)
    world.tick(ms=1)
    assert not is_open(world)


@pytest.mark.parametrize("step_ms", STEPS_MS)
def test_the_dead_mans_time_is_a_duration_and_what_is_kept_of_it_is_dated_anew(step_ms):
    world, mine = guarded()
    kept = []
    world.cancel_on_disconnect._record = lambda _, dead_man_ns: kept.append(dead_man_ns)
    world.cancel_on_disconnect.arm_dead_man(mine, world.now_ns + 5_000 * MS)
    world.wall.offset_ns += step_ms * MS
    world.tick()
    assert kept[1] - kept[0] == step_ms * MS
    world.tick(ms=4_999)
    assert is_open(world)
    world.tick(ms=1)
    assert not is_open(world)
    assert kept[-1] == 0
    assert len(kept) == 3


# -- a whole server ------------------------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path):
    """`start()`: a server on a clock at noon; another one continues from the disk of the one before."""

    def start(system_ms=0, **more):
        clock = HandClock(NOON + system_ms * MS)
        settings = schema.Config(
            fix=schema.Fix(sessions=(session(1, "A"), session(2, "TIMED", reset_schedule="daily 22:00"))),
            ws=schema.Ws(),
            accounts=(schema.Account(id=1, name="ACME"), schema.Account(id=2, name="OTHER")),
            keys=(ws_room.key("ACME"),),
            instruments=(BTC, ETH),
            limits=schema.Limits(file=""),
            journal=JournalSettings(durability="process", segment_bytes=1_048_576),
            **more,
        )
        return Server(settings, tmp_path, clock=clock), clock

    return start


class Fix(Desk):
    """Its clock is right: it shows the system's time."""

    @property
    def now(self):
        return self.server.clock.own_now_ns

    def frame(self, msg_type, body, header=""):
        clock = self.server.clock
        before, clock.own_now_ns = clock.own_now_ns, clock.own_now_ns + clock.system_ns
        try:
            return super().frame(msg_type, body, header)
        finally:
            clock.own_now_ns = before


class Ws(ws_room.Desk):
    @property
    def utc_us(self):
        """What its own clock says."""
        return (self.now + self.server.clock.system_ns) // 1_000


@pytest.mark.parametrize("step_ms", [*STEPS_MS, -10_000, 10_000])
def test_a_fix_client_whose_orders_have_a_window_trades_on_however_small_the_step(start, step_ms):
    server, clock = start()
    desk = Fix(server, "A")
    desk.logon()
    clock.system_ns = step_ms * MS
    (report,) = desk.send("D", "11=w|55=BTC-USDT|54=1|38=1|40=2|44=100.00|25000=500|")
    assert (report["150"], report["52"]) == ("0", format_ns(NOON + step_ms * MS))
    server.journal.close()


@pytest.mark.parametrize("step_ms", STEPS_MS)
def test_a_fix_client_with_the_right_time_trades_on_and_reads_right_times(start, step_ms):
    server, clock = start()
    desk = Fix(server, "A")
    desk.logon()
    desk.place("before")
    clock.system_ns = step_ms * MS
    (report,) = desk.place("after", header="")
    assert (report["150"], report["39"]) == ("0", "0")
    right = format_ns(NOON + step_ms * MS)
    assert (report["52"], report["20104"]) == (right, right)
    assert report["60"] == (right if step_ms > 0 else format_ns(NOON))  # the core's never goes back
    (late,) = desk.send("D", "11=w|55=BTC-USDT|54=1|38=1|40=2|44=100.00|25000=500|")
    assert late["150"] == "0"
    server.journal.close()


@pytest.mark.parametrize("step_ms", STEPS_MS)
def test_a_ws_client_with_the_right_time_trades_on_and_reads_right_times(start, step_ms):
    server, clock = start()
    desk = Ws(server)
    desk.logon()
    clock.system_ns = step_ms * MS
    told = desk.place("a", ts=desk.utc_us, valid_for_ms=250)
    answer = next(each for each in told if each.get("id") == 1)
    assert answer["status"] == 200
    assert answer["t"]["out"] == desk.utc_us
    (told,) = desk.call("time")
    assert (told["result"]["ts"], told["t"]["in"]) == (desk.utc_us, desk.utc_us)
    (armed,) = desk.call("order.cancel_after", {"timeout_ms": 5_000})
    assert armed["result"]["fires_at"] == desk.utc_us + 5_000_000
    assert server.cancel_on_disconnect.next_deadline_ns == clock.own_now_ns + 5_000 * MS
    server.journal.close()


def test_a_trace_is_dated_by_the_time_of_day(start):
    server, clock = start()
    clock.system_ns = HOUR_MS * MS
    clock.look()
    assert server._spans._utc_ns(clock.own_now_ns) == NOON + HOUR_MS * MS
    server.journal.close()


def test_a_dead_mans_switch_kept_before_a_step_fires_when_it_said_in_the_next_life(start):
    """The clock was an hour behind when it was armed; then it was corrected, and the process was killed."""
    server, clock = start(core=schema.Core(reopen_after_ms=0))
    desk = Ws(server)
    desk.logon(name="bot")
    desk.place("a")
    desk.call("order.cancel_after", {"timeout_ms": 60_000})
    clock.system_ns = HOUR_MS * MS
    clock.look()
    server.cancel_on_disconnect.tick(clock.own_now_ns)
    server.journal.commit(clock.own_now_ns)
    server.journal.close()
    server, clock = start(system_ms=HOUR_MS + 1_000, core=schema.Core(reopen_after_ms=0))
    assert server.cancel_on_disconnect.next_deadline_ns == clock.own_now_ns + 59_000 * MS
    server.journal.close()


@pytest.mark.parametrize("reopens_ms", [5_000])
def test_a_dead_mans_switch_that_ran_out_meanwhile_fires_when_the_venue_opens_and_not_before(start, reopens_ms):
    """Its client could not postpone it while the gateway was away."""
    server, clock = start()
    desk = Ws(server)
    desk.logon(name="bot")
    desk.place("a")
    desk.call("order.cancel_after", {"timeout_ms": 2_000})
    server.journal.commit(clock.own_now_ns)
    server.journal.close()
    server, clock = start(system_ms=4_000, core=schema.Core(reopen_after_ms=reopens_ms))
    opens_ns = server.orders.venue.reopen_at_ns
    assert opens_ns == clock.own_now_ns + reopens_ms * MS
    for now_ns, left in ((clock.own_now_ns, ["a"]), (opens_ns - 1, ["a"]), (opens_ns, [])):
        server.cancel_on_disconnect.tick(now_ns)
        server.orders.tick(now_ns)
        assert [order.cl_ord_id for order in server.replay.engine.open_orders(1)] == left
    server.journal.close()


def ended(server, clock):
    server.journal.commit(clock.own_now_ns)
    server.journal.close()


@pytest.mark.parametrize(
    ("ahead_ms", "next_in"),
    [(HOUR_MS, 1), (5_000, 3)],
    ids=["by an hour: clients reset an hour later", "by a moment: they reset with us"],
)
def test_a_reset_dated_by_a_clock_that_was_ahead_counts_if_it_was_the_moment_of_clients_too(start, ahead_ms, next_in):
    """One life resets at its 22:00; the next one, its clock corrected, has the client; a third comes after 22:00."""
    ten = 10 * HOUR_MS
    server, clock = start(ten - 1_000)
    clock.own_now_ns += 2_000 * MS
    server.fix.tick(clock.own_now_ns)
    ended(server, clock)
    server, clock = start(ten - ahead_ms + 2_000)
    Fix(server, "TIMED").logon()
    clock.own_now_ns += 10_000 * MS  # over 22:00, where the clock was ahead by a moment only
    server.fix.tick(clock.own_now_ns)
    store = server.fix.endpoints["TIMED", "GATE"].machine.store
    store.next_in += 1
    ended(server, clock)
    server, clock = start(ten + 600_000)
    assert server.fix.endpoints["TIMED", "GATE"].machine.store.next_in == next_in
    ended(server, clock)


def test_what_a_snapshot_says_of_deadlines_is_a_time_of_day(start):
    """The format that is kept: LinkState.dead_man_ns is UTC."""
    server, clock = start()
    clock.system_ns = clock.offset_ns = HOUR_MS * MS
    desk = Ws(server)
    desk.logon(name="bot")
    desk.call("order.cancel_after", {"timeout_ms": 5_000})
    (link,) = [row for row in server.replay.links.values() if row.dead_man_ns]
    assert link.dead_man_ns == NOON + (HOUR_MS + 5_000) * MS
    server.journal.close()


async def test_a_step_is_logged_once_and_shown(start):
    server, clock = start()
    logged = []
    server.log = lambda name, **fields: logged.append((name, fields))
    server.look_at_clock()
    clock.system_ns = -300_000 * MS
    for _ in range(3):
        server.look_at_clock()
    assert logged == [("clock.stepped", {"by_ms": -300_000, "since_start_ms": -300_000})]
    assert server.status()["clock"]["since_start_ms"] == -300_000
    server.journal.close()
