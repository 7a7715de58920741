"""After we stood still peers are read before they are judged: the rule (gateway.doors.stall), and who keeps to it."""

import pytest

from gateway.doors.batch import EventLoopTurn, Parts
from gateway.doors.stall import LATE_NS, ReadFirst
from gateway.orders.path import OrderPath
from gateway.sessions.session import Pause
from tests.support.connection_bench import MS, Bench
from tests.support.order_path import World


class Stage:
    """A loop and a clock of the test's own, and a part that judges."""

    def __init__(self):
        bench = Bench()
        self.loop, self.clock = bench.loop, bench.clock
        self.is_behind, self.judged = False, []
        self.rule = ReadFirst(self.loop, self.clock.now_ns, lambda: self.is_behind)

    def judges(self, due_ns, who="x"):
        def act():
            if not self.rule.must_wait(due_ns, act):
                self.judged.append(who)

        act()

    def turns(self, count):
        for _ in range(count):
            self.loop.turn()


def test_a_deadline_that_is_judged_in_time_waits_for_nothing():
    stage = Stage()
    stage.clock.now = 10 * LATE_NS
    stage.judges(9 * LATE_NS + 1)
    assert (stage.judged, stage.loop.soon) == (["x"], [])


def test_one_that_is_judged_late_waits_until_the_sockets_were_looked_at_again_and_again():
    stage = Stage()
    stage.clock.now = 10 * LATE_NS
    stage.judges(9 * LATE_NS, "a")
    stage.judges(8 * LATE_NS, "b")
    stage.turns(4)
    assert stage.judged == []
    stage.turns(1)
    assert (stage.judged, stage.loop.soon) == (["a", "b"], [])


def test_and_until_what_was_read_is_parsed_but_a_crowd_cannot_hold_it_up_for_ever():
    stage = Stage()
    stage.clock.now, stage.is_behind = 10 * LATE_NS, True
    stage.judges(LATE_NS)
    stage.turns(50)
    assert stage.judged == []
    stage.clock.now += 1_000 * MS
    stage.turns(1)
    assert stage.judged == ["x"]


def test_what_ran_out_before_the_reading_is_judged_behind_it_and_a_second_pause_is_one_more():
    stage = Stage()
    stage.clock.now = 10 * LATE_NS
    stage.judges(LATE_NS)
    stage.turns(5)
    stage.judges(2 * LATE_NS, "not late any more")
    assert stage.judged == ["x", "not late any more"]
    stage.clock.now = 20 * LATE_NS
    stage.judges(15 * LATE_NS, "after another pause")
    assert len(stage.judged) == 2
    stage.turns(5)
    assert stage.judged[2:] == ["after another pause"]


# -- a connection --------------------------------------------------------------------------------------------------


@pytest.fixture
def bench():
    return Bench()


def fire(bench):
    """The timers that are due by now run."""
    later, bench.loop.later = bench.loop.later, []
    for timer in later:
        if not timer.is_cancelled:
            timer.call(*timer.args)


def test_a_peer_whose_word_waits_in_the_socket_is_not_taken_for_silent(bench):
    connection, _ = bench.connect()
    connection.peer.deadline = bench.clock.now + 1_000 * MS
    connection.wake()
    bench.loop.turn()
    bench.clock.now += 3_000 * MS  # we stood still
    fire(bench)
    assert connection.peer.told == []
    bench.loop.turn()
    connection.data_received(b"a")  # it had come meanwhile
    connection.peer.deadline = bench.clock.now + 1_000 * MS
    for _ in range(6):
        bench.loop.turn()
    assert "tick" not in connection.peer.told
    assert [timer for timer in bench.loop.later if not timer.is_cancelled]  # for its next deadline


def test_a_peer_from_whom_nothing_came_is_judged_a_moment_later(bench):
    connection, _ = bench.connect()
    connection.peer.deadline = bench.clock.now + 1_000 * MS
    connection.wake()
    bench.loop.turn()
    bench.clock.now += 3_000 * MS
    fire(bench)
    for _ in range(6):
        bench.loop.turn()
    assert connection.peer.told == ["tick"]


def test_a_reader_that_took_its_bytes_while_we_stood_still_is_not_too_slow(bench):
    slow, quick = bench.connect()[0], bench.connect()[0]
    for connection in (slow, quick):
        connection.pause_writing()
    bench.clock.now += 11_000 * MS  # over out.max_age_ms
    fire(bench)
    bench.loop.turn()
    quick.resume_writing()  # its socket had room
    for _ in range(6):
        bench.loop.turn()
    assert "too_slow" in slow.peer.told
    assert "too_slow" not in quick.peer.told


def test_a_goodbye_is_written_before_the_link_is_dropped_by_force(bench):
    connection, transport = bench.connect()
    bench.journal.lags = True
    connection.peer.out = b"goodbye"
    connection.close()
    bench.loop.turn()
    bench.clock.now += 5_000 * MS
    fire(bench)
    assert "abort" not in transport.calls
    bench.turn.on_durable(bench.journal.position)
    for _ in range(6):
        bench.loop.turn()
    assert transport.written == [b"goodbye"]


# -- the turn ------------------------------------------------------------------------------------------------------


class Part:
    def __init__(self, due_ns):
        self.next_deadline_ns, self.ticks = due_ns, 0

    def tick(self, now_ns):
        self.ticks += 1
        if self.next_deadline_ns <= now_ns:
            self.next_deadline_ns = now_ns + 60_000 * MS


def test_the_turn_lets_work_go_on_while_judges_wait(bench):
    clockwork, judge, worked = Part(2_000 * MS), Part(1_000 * MS), []
    parts = Parts((clockwork, judge), (), (judge,), worked.append, lambda: False)
    tick = EventLoopTurn(
        bench.loop, bench.clock, parts, bench.journal, bench.delay, bench.bugs.append, bench.failures.append
    )
    tick.wake()
    bench.loop.turn()
    assert (clockwork.ticks, judge.ticks, worked) == (1, 1, [])
    bench.clock.now = 5_000 * MS
    tick.wake()
    bench.loop.turn()
    assert (clockwork.ticks, judge.ticks, len(worked)) == (2, 1, 1)
    for _ in range(6):
        bench.loop.turn()
    assert judge.ticks == 2
    assert bench.bugs == []


def test_an_answer_of_the_core_that_waits_in_its_socket_is_no_unknown_outcome():
    world = World()
    world.core.is_quick = False
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    world.now_ns += 3_000 * MS
    world.orders.work(world.now_ns)
    assert [each for each in mine.endpoint.take() if each[0] == "refused"] == []
    world.core.answer(world.now_ns)
    world.orders.tick(world.now_ns)
    assert mine.endpoint.take() == [("answer", "a"), ("report", 1)]
    assert OrderPath.tick is not OrderPath.work


def test_a_core_whose_credit_waits_in_its_socket_is_not_away():
    world = World(window=0)
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    world.now_ns += 3_000 * MS
    world.orders.work(world.now_ns)
    assert mine.endpoint.take() == []
    world.core.window = 256
    world.orders.work(world.now_ns)
    assert mine.endpoint.take() == [("handed", "a"), ("answer", "a"), ("report", 1)]


# -- the protection of orders --------------------------------------------------------------------------------------


def open_orders(world):
    return [order.cl_ord_id for order in world.core.inner.engine.open_orders(1)]


@pytest.mark.parametrize(("grace_ms", "more_ms"), [(600, 600), (30_000, 1_000)])
def test_who_could_not_come_back_while_we_stood_still_gets_a_moment_more(grace_ms, more_ms):
    """A logon over TLS or WebSocket takes round trips: reading what waits is not enough."""
    world = World()
    mine = world.session()
    mine.cancel_on_disconnect, mine.cod_grace_ms = "session", grace_ms
    world.place(mine, "a")
    world.tick()
    mine.connected = False
    world.cancel_on_disconnect.disconnected(mine, world.now_ns)
    world.tick(ms=grace_ms + 1_000)
    world.tick(ms=more_ms - 1)
    assert open_orders(world) == ["a"]
    world.tick(ms=1)
    assert open_orders(world) == []


def test_a_dead_mans_switch_that_may_be_put_off_in_what_we_do_not_read_waits_for_that():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    world.cancel_on_disconnect.arm_dead_man(mine, world.now_ns + 1_000 * MS)
    world.orders.calls.pause(mine, Pause.QUEUE, world.now_ns)
    world.tick(ms=5_000)
    assert open_orders(world) == ["a"]
    assert world.cancel_on_disconnect.next_deadline_ns > world.now_ns
    world.orders.calls.resume(mine, Pause.QUEUE, world.now_ns)
    world.tick(ms=999)
    assert open_orders(world) == ["a"]
    world.tick(ms=1)
    assert open_orders(world) == []


def test_nothing_waits_in_the_socket_of_a_session_that_is_away():
    world = World()
    mine = world.session()
    world.place(mine, "a")
    world.tick()
    world.cancel_on_disconnect.arm_dead_man(mine, world.now_ns + 1_000 * MS)
    world.orders.calls.pause(mine, Pause.QUEUE, world.now_ns)
    mine.connected = False
    world.tick(ms=1_000)
    assert open_orders(world) == []
