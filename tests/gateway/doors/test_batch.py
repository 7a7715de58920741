"""When a turn of the event loop runs, and which parts it asks: no lone order pays for two turns, or for idle parts.

Who reads alone has its turn in the read itself, `A!`; where others may read too, a turn comes through the loop, `A`.
"""

import pytest

from gateway.doors.batch import EventLoopTurn, Parts
from tests.support.connection_bench import MS, Bench


class Part:
    """due_ns: its deadline; when it has come, the next one is none. does: what else a tick of it does."""

    def __init__(self, due_ns=None, does=lambda: None):
        self.next_deadline_ns, self.ticks, self.does = due_ns, 0, does

    def tick(self, now_ns):
        self.ticks += 1
        self.does()
        if self.next_deadline_ns is not None and self.next_deadline_ns <= now_ns:
            self.next_deadline_ns = None


class PartsBench(Bench):
    """A turn with a part of each kind."""

    def __init__(self):
        super().__init__()
        self.quiet, self.busy = Part(), Part()
        self.turn = EventLoopTurn(
            self.loop,
            self.clock,
            Parts((self.quiet,), (self.busy,), (), lambda _: None, lambda: self.is_core_behind),
            self.journal,
            self.delay,
            self.bugs.append,
            self.failures.append,
        )


@pytest.fixture
def bench():
    return PartsBench()


def answered(bench, connection):
    """One message is read and answered, in as many turns as it takes; how many callbacks of the loop that were."""
    connection.data_received(b"x")
    callbacks = 0
    while bench.loop.soon:
        callbacks += len(bench.loop.soon)
        bench.loop.turn()
    return callbacks


def test_what_becomes_ready_while_parts_act_is_flushed_in_the_same_turn_and_asks_for_no_other(bench):
    connection, transport = bench.connect()

    def report():
        connection.peer.out += b" report"
        connection.wake()

    bench.busy.does = report
    assert answered(bench, connection) <= 1
    assert transport.written == [b"x report"]


def test_what_becomes_ready_in_a_flush_has_a_turn_of_its_own(bench):
    first, _ = bench.connect()
    second, transport = bench.connect()
    real = first.peer.take_output

    def take(limit_bytes):
        second.peer.out += b"by the way"
        second.wake()
        return real(limit_bytes)

    second.data_received(b"s")
    first.data_received(b"f")
    first.peer.take_output = take
    bench.loop.turn()
    bench.loop.turn()
    assert transport.written == [b"s", b"by the way"]


def test_a_part_with_a_seldom_deadline_is_asked_when_it_has_come_and_not_for_each_message(bench):
    connection, _ = bench.connect()
    bench.quiet.next_deadline_ns = bench.clock.now + 5 * MS
    bench.turn.wake()
    bench.loop.turn()
    quiet, busy = bench.quiet.ticks, bench.busy.ticks
    answered(bench, connection)
    assert (bench.quiet.ticks, bench.busy.ticks) == (quiet, busy + 1)
    bench.clock.now += 5 * MS
    answered(bench, connection)
    assert bench.quiet.ticks == quiet + 1


def test_a_part_that_moves_its_deadline_nearer_and_wakes_the_turn_gets_a_timer_for_it(bench):
    bench.connect()
    assert [timer for timer in bench.loop.later if not timer.is_cancelled] == []
    bench.quiet.next_deadline_ns = bench.clock.now + 5 * MS
    bench.turn.wake()
    bench.loop.turn()
    (timer,) = bench.loop.later
    assert timer.delay_s == pytest.approx(0.005)
    ticks = bench.quiet.ticks
    bench.clock.now += 5 * MS
    timer.call()
    assert bench.quiet.ticks == ticks + 1


def test_who_wakes_the_turn_while_parts_act_gets_another_turn_that_asks_all_of_them(bench):
    connection, _ = bench.connect()
    bench.busy.does = bench.turn.wake
    quiet = bench.quiet.ticks
    connection.data_received(b"x")
    if bench.loop.soon:
        bench.loop.turn()
    bench.busy.does = lambda: None
    bench.loop.turn()
    assert bench.quiet.ticks == quiet + 1
    assert bench.loop.soon == []


def test_a_bug_in_a_part_keeps_no_one_from_being_answered(bench):
    connection, transport = bench.connect()

    def fail():
        raise ZeroDivisionError

    bench.busy.does = fail
    answered(bench, connection)
    assert transport.written == [b"x"]
    assert [type(bug) for bug in bench.bugs] == [ZeroDivisionError]


def reads(bench, script, size=1):
    """Reads of the connections A, B, ... of a script: those of a word come in one pass of the loop. What each read
    became: `A!` = answered before `data_received` returned. `a` is a long read, of `size` bytes.
    """
    connections = {name: bench.connect() for name in sorted(set(script.upper()) - {" "})}
    words = []
    for word in script.split():
        told = ""
        for letter in word:
            connection, transport = connections[letter.upper()]
            before = len(transport.written)
            connection.data_received(b"x" * (size if letter.islower() else 1))
            told += letter + "!" * (len(transport.written) - before)
        while bench.loop.soon:
            bench.loop.turn()
        words.append(told)
    return " ".join(words)


@pytest.mark.parametrize(
    ("size", "told"),
    [
        # The first read shows that no other reads; then a few are taken to be alone, until one shows it again.
        (1, "A A! A! A! A! A! A! A! A! A A! A!"),
        # Short reads, one in each pass, are alone whoever reads.
        (1, "A B! A! C! B!"),
        # Several in one pass share a turn; the next shows whether that was chance.
        (1, "AB AB A B! A! B!"),
        # Long input of the only reader is parsed at once; that of others takes its turn behind short reads.
        (600, "a a! a! a!"),
        (600, "a b a b"),
        (600, "a A! a! B! a a!"),
        # More than a turn parses of one connection takes its turn always.
        (20_000, "a a a"),
    ],
)
def test_who_reads_alone_is_answered_in_the_read_itself(bench, size, told):
    assert reads(bench, told.replace("!", ""), size) == told


def test_while_orders_wait_for_the_core_long_input_is_never_parsed_in_the_read(bench):
    bench.is_core_behind = True
    assert reads(bench, "A a A a", 600) == "A a A! a"


def test_a_read_that_was_taken_to_be_alone_delays_others_by_no_more_than_a_few_turns(bench):
    """All of a pass read alone, as they think, until the first that has to show it: the rest share one turn."""
    told = reads(bench, "A " + "BCDEFGHIJKLMN " * 2)
    assert told.split()[1:] == ["B!C!D!E!F!G!H!I!JKLMN", "BCDEFGHIJKLMN"]


def test_who_reads_while_a_turn_is_coming_has_its_part_in_that_one(bench):
    connection, transport = bench.connect()
    connection.data_received(b"a")
    bench.loop.turn()
    bench.turn.wake()
    connection.data_received(b"b")
    assert transport.written == [b"a"]
    bench.loop.turn()
    assert (transport.written, bench.loop.soon) == ([b"a", b"b"], [])
