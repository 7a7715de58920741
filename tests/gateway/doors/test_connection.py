"""A connection and the turn of the loop, on a test transport: slices, pauses, journal first, wire second."""

import pytest

from gateway.config import schema
from gateway.doors.connection import Connection
from gateway.doors.peer import GONE
from gateway.doors.slowness import UnreadOutput
from gateway.doors.stall import LATE_NS
from tests.support.connection_bench import MS, Bench, Echo, Transport


@pytest.fixture
def bench():
    return Bench()


def test_what_one_read_brought_is_answered_with_one_write_at_the_end_of_the_turn(bench):
    connection, transport = bench.connect()
    connection.data_received(b"a")
    connection.data_received(b"b")
    assert transport.written == []
    bench.loop.turn()
    assert transport.written == [b"ab"]
    assert bench.loop.soon == []


def test_a_large_read_is_parsed_in_turns_of_16_kib_and_others_come_in_between(bench):
    greedy, transport = bench.connect()
    polite, _ = bench.connect()
    greedy.data_received(b"x" * 40_000)
    polite.data_received(b"p")
    assert (greedy.peer.heard, polite.peer.heard) == ([], [b"p"])  # a quiet client waits for no one
    bench.loop.turn()
    assert list(map(len, greedy.peer.heard)) == [16_384]
    assert transport.is_paused
    bench.loop.turn()
    bench.loop.turn()
    assert list(map(len, greedy.peer.heard)) == [16_384, 16_384, 7_232]
    assert not transport.is_paused


def test_a_read_that_takes_one_turn_never_stops_the_reading(bench):
    connection, transport = bench.connect()
    connection.data_received(b"x" * 8_000)
    connection.data_received(b"y" * 100)
    assert transport.is_paused  # two reads wait
    bench.loop.turn()
    assert (list(map(len, connection.peer.heard)), transport.is_paused) == ([8_100], False)
    bench.loop.turn()
    assert list(map(len, transport.written)) == [8_100]  # though nothing else happens


class Arrival:
    """Where a connection came by; it says when it has proved who it is."""

    peer_ip, is_gone = "198.51.100.7", False

    def opened(self):
        """It is in."""

    def left(self):
        self.is_gone = True


def strangers(bench, count):
    """That many connections that have not logged on."""
    made = []
    for _ in range(count):
        connection = Connection(bench.turn, bench.loop, schema.Config(), bench.traffic)
        connection.peer = Echo()
        connection.came_by(Arrival())
        connection.connection_made(Transport())
        made.append(connection)
    bench.loop.turn()
    return made


def test_of_a_crowd_of_strangers_that_speaks_at_one_moment_four_are_heard_in_a_turn(bench):
    known, transport = bench.connect()
    crowd = strangers(bench, 10)
    for connection in crowd:
        connection.data_received(b"logon")
    heard = []
    for number in range(3):
        known.data_received(b"%d" % number)
        bench.loop.turn()
        heard.append(sum(len(connection.peer.heard) for connection in crowd))
        assert transport.written[-1] == b"%d" % number, "who is known waits for none of them"
    assert heard == [4, 8, 10]
    bench.loop.turn()
    assert bench.loop.soon == []
    assert [connection._transport.written for connection in crowd] == [[b"logon"]] * 10


class Caller:
    """Somebody who is heard, and has no answer ready."""

    heard = 0

    def take_turn(self, now_ns):
        self.heard += 1


def test_a_crowd_is_heard_to_its_end_though_nothing_else_happens(bench):
    crowd = [Caller() for _ in range(9)]
    for caller in crowd:
        bench.turn.queue_stranger(caller)
    for _ in range(3):
        bench.loop.turn()
    assert [caller.heard for caller in crowd] == [1] * 9
    assert bench.loop.soon == []


def test_what_a_stranger_sends_comes_in_order_and_at_once_when_it_is_known(bench):
    (connection,) = strangers(bench, 1)
    connection.data_received(b"a")
    connection.data_received(b"b")
    assert connection._transport.is_paused
    assert connection.peer.heard == []
    bench.loop.turn()
    assert (connection.peer.heard, connection._transport.is_paused) == ([b"ab"], False)
    connection.arrival.known()
    connection.data_received(b"c")
    assert connection.peer.heard == [b"ab", b"c"]


def test_a_stranger_whose_words_wait_for_their_turn_is_not_judged_for_its_silence(bench):
    crowd = strangers(bench, 5)
    for connection in crowd:
        connection.data_received(b"logon")
    last = crowd[-1]
    bench.loop.turn()
    last.peer.deadline = bench.clock.now
    last._on_timer()
    assert last.peer.told == []
    bench.loop.turn()
    assert last.peer.heard == [b"logon"]
    last._on_timer()
    assert last.peer.told == ["tick"]


def test_a_stranger_that_speaks_and_ends_is_heard_and_then_let_go(bench):
    (connection,) = strangers(bench, 1)
    connection.data_received(b"logon")
    connection.eof_received()
    assert not connection.is_closing
    bench.loop.turn()
    assert connection.peer.heard == [b"logon"]
    bench.loop.turn()
    assert (connection._transport.written, connection._transport.is_closed) == ([b"logon"], True)


def test_who_ends_without_a_word_is_closed_at_once_and_leaves_no_timer_behind(bench):
    (quiet, talking) = strangers(bench, 2)
    quiet.eof_received()
    assert quiet._transport.is_closed
    assert bench.loop.later == []
    talking.data_received(b"x")
    bench.loop.turn()
    talking.peer.out = b"unwritten"
    talking.eof_received()
    (timer,) = bench.loop.later
    assert not talking._transport.is_closed
    bench.loop.turn()
    assert talking._transport.is_closed
    talking.connection_lost(None)
    assert timer.is_cancelled


def test_a_connection_that_ends_before_it_was_made_lets_its_peer_go(bench):
    """A failed handshake is reported to neither, and the two would keep each other in memory."""
    connection = Connection(bench.turn, bench.loop, schema.Config(), bench.traffic)
    connection.peer = Echo()
    arrival = Arrival()
    connection.came_by(arrival)
    arrival.unmade()
    assert connection.peer is GONE


def test_what_the_disk_is_done_with_by_now_is_not_late_though_we_have_not_heard_of_it(bench):
    connection, _ = bench.connect()
    bench.journal.lags = True
    connection.data_received(b"a")
    bench.loop.turn()
    bench.clock.now += 3_000 * MS  # we stood still
    assert bench.delay.held_ns(bench.clock.now) == 3_000 * MS
    bench.journal.durable = bench.journal.position
    assert bench.delay.held_ns(bench.clock.now) == 0


def test_bytes_wait_for_the_journal_and_leave_in_order_when_it_is_durable(bench):
    connection, transport = bench.connect()
    bench.journal.lags = True
    for data in (b"1", b"2"):
        connection.data_received(data)
        bench.loop.turn()
    assert transport.written == []
    first = bench.journal.position - 1
    bench.turn.on_durable(first)
    assert transport.written == [b"1"]
    bench.journal.lags = False
    connection.data_received(b"3")
    bench.loop.turn()
    assert transport.written == [b"1"]  # never overtakes what still waits
    bench.turn.on_durable(bench.journal.position)
    assert b"".join(transport.written) == b"123"


def test_nobody_is_judged_while_what_he_was_to_answer_waits_for_the_journal_and_then_he_has_his_time_again(bench):
    connection, _ = bench.connect()
    bench.journal.lags = True
    connection.data_received(b"ping")
    bench.loop.turn()
    connection.peer.deadline = bench.clock.now = bench.clock.now + 10 * LATE_NS
    connection._on_timer()
    bench.loop.turn()
    assert connection.peer.told == []
    bench.turn.on_durable(bench.journal.position)
    assert connection.peer.told == ["paused", "resumed"]  # its silence counts from now on
    connection._on_timer()
    for _ in range(9):  # it is read first
        bench.loop.turn()
    assert connection.peer.told[2:] == ["tick"]


def test_a_journal_that_takes_its_usual_time_excuses_nobody(bench):
    connection, _ = bench.connect()
    bench.journal.lags = True
    connection.data_received(b"ping")
    bench.loop.turn()
    bench.clock.now += LATE_NS - 1
    bench.turn.on_durable(bench.journal.position)
    assert connection.peer.told == []


def test_a_failed_journal_sends_not_another_byte(bench):
    connection, transport = bench.connect()
    connection.data_received(b"1")
    bench.journal.error = OSError(5, "EIO")
    bench.loop.turn()
    bench.turn.on_durable(99)
    connection.data_received(b"2")
    bench.loop.turn()
    assert transport.written == []
    assert len(bench.failures) == 1


def test_our_own_bug_costs_its_connection_and_no_other(bench):
    broken, transport = bench.connect()
    healthy, other = bench.connect()
    broken.peer.is_broken = True
    broken.data_received(b"x")
    healthy.data_received(b"y")
    bench.loop.turn()
    assert transport.calls[-1] == "abort"
    assert [type(bug) for bug in bench.bugs] == [ZeroDivisionError]
    assert other.written == [b"y"]


@pytest.mark.parametrize(("sent", "is_closing"), [(b"", True), (b"x" * 20_000, False)])
def test_a_connection_has_ended_as_soon_as_its_end_is_read_and_closes_when_all_before_it_is(bench, sent, is_closing):
    connection, _ = bench.connect()
    assert not connection.has_ended
    if sent:
        connection.data_received(sent)
    connection.eof_received()
    assert (connection.has_ended, connection.is_closing) == (True, is_closing)
    for _ in range(4):
        bench.loop.turn()
    assert (sum(map(len, connection.peer.heard)), connection.is_closing) == (len(sent), True)


def test_a_connection_that_we_close_has_ended_and_closes_at_once(bench):
    connection, _ = bench.connect()
    connection.close()
    assert (connection.has_ended, connection.is_closing) == (True, True)


def test_a_peer_that_does_not_take_its_answers_is_read_no_more_and_cut_after_ten_seconds(bench):
    connection, transport = bench.connect()
    connection.pause_writing()
    assert transport.is_paused
    timer = bench.loop.later[-1]
    assert round(timer.delay_s) == 10
    bench.clock.now += 10_000 * MS
    timer.call(*timer.args)
    assert connection.peer.told == ["paused", "too_slow"]
    bench.loop.turn()
    assert transport.calls[-1] == "eof"


def test_a_peer_that_takes_its_answers_in_time_goes_on(bench):
    connection, transport = bench.connect()
    connection.pause_writing()
    connection.peer.out = b"waiting"
    bench.turn.mark_dirty(connection)
    bench.loop.turn()
    assert transport.written == []
    connection.resume_writing()
    bench.loop.turn()
    assert transport.written == [b"waiting"]
    assert not transport.is_paused
    assert connection.peer.told == ["paused", "resumed"]  # its silence meanwhile was our doing


def test_a_peer_that_is_not_read_for_two_reasons_is_told_once_and_resumes_with_the_last(bench):
    connection, _ = bench.connect()
    connection.pause_writing()
    connection.pause_reading(bench.clock.now)
    connection.resume_writing()
    assert connection.peer.told == ["paused"]
    connection.resume_reading(bench.clock.now)
    assert connection.peer.told == ["paused", "resumed"]


def test_more_than_the_bound_behind_a_full_transport_is_cut_at_once(bench):
    connection, _ = bench.connect()
    connection.pause_writing()
    connection.peer.out = b"x" * 1_048_577
    bench.turn.mark_dirty(connection)
    bench.loop.turn()
    assert connection.peer.told == ["paused", "too_slow"]


def test_a_pause_by_the_order_path_keeps_unparsed_input_and_suspends_the_peers_time_outs(bench):
    connection, transport = bench.connect()
    connection.pause_reading(bench.clock.now)
    connection.data_received(b"late")
    bench.loop.turn()
    assert connection.peer.heard == []
    connection.resume_reading(bench.clock.now)
    bench.loop.turn()
    assert connection.peer.heard == [b"late"]
    assert connection.peer.told == ["paused", "resumed"]
    assert not transport.is_paused


def test_a_peer_that_only_stops_sending_still_gets_its_answers(bench):
    connection, transport = bench.connect()
    connection.data_received(b"x" * 10_000)
    assert connection.eof_received()
    for _ in range(3):
        bench.loop.turn()
    assert sum(map(len, transport.written)) == 10_000
    assert transport.is_closed


def test_close_waits_for_the_output_then_for_the_peers_end_and_forces_it_after_two_seconds(bench):
    """To close over what the peer has sent would reset the connection, and take our goodbye back."""
    connection, transport = bench.connect()
    connection.pause_reading(bench.clock.now)
    connection.peer.out = b"bye"
    connection.close()
    timer = bench.loop.later[-1]
    assert timer.delay_s == 2.0
    bench.loop.turn()
    assert (transport.written, transport.calls[-1], transport.is_closed) == ([b"bye"], "eof", False)
    assert not transport.is_paused, "what it has sent is read, and dropped"
    connection.data_received(b"too late")
    bench.loop.turn()
    assert connection.peer.heard == []
    timer.call(*timer.args)
    assert transport.calls[-1] == "abort"


def test_the_peers_end_behind_our_goodbye_closes_at_once(bench):
    connection, transport = bench.connect()
    connection.close()
    bench.loop.turn()
    assert transport.calls[-1] == "eof"
    connection.eof_received()
    assert transport.is_closed


def test_tls_says_goodbye_in_its_own_way(bench):
    connection, transport = bench.connect()
    transport.can_write_eof = lambda: False
    connection.close()
    bench.loop.turn()
    assert (transport.is_closed, "eof" in transport.calls) == (True, False)


# -- readers that are slow -------------------------------------------------------------------------------------------


class Store(Echo):
    """A peer whose output lies in a store, so many events of 500 bytes; live: else it asked for them."""

    def __init__(self, events, live=True):
        super().__init__()
        self.events, self.live, self.reads = events, live, 0

    has_output = property(lambda self: bool(self.out or self.events))
    must_read = property(lambda self: bool(self.events and not self.out))
    behind = property(lambda self: self.events if self.live else 0)

    def read_on(self, now_ns):
        count = min(self.events, 32)
        assert count
        self.reads += 1
        self.events -= count
        self.out += b"x" * 500 * count
        return count

    def too_slow(self, now_ns):
        super().too_slow(now_ns)
        self.events, self.out = 0, b"too slow"


def reader(bench, events, **more):
    connection, transport = bench.connect()
    connection.peer = Store(events, **more)
    connection.wake()
    return connection, transport


def readers(bench, count):
    """So many who begin at once."""
    crowd = [bench.connect() for _ in range(count)]
    for connection, _ in crowd:
        connection.peer = Store(320)
        connection.wake()
    return crowd


def test_what_lies_in_a_store_is_read_on_in_turn_a_bounded_number_of_events_a_turn_over_all_connections(bench):
    crowd = [connection for connection, _ in readers(bench, 10)]
    taken = []
    while any(each.peer.events for each in crowd):
        before = [each.peer.reads for each in crowd]
        bench.loop.turn()
        taken.append([each.peer.reads - had for each, had in zip(crowd, before, strict=True)])
    assert [sum(tick) for tick in taken] == [2] * 50, "64 events a turn, in slices of 32"
    assert [[n for n, reads in enumerate(tick) if reads] for tick in taken[:6]] == [
        [0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [0, 1]
    ]  # fmt: skip
    bench.loop.turn()
    assert bench.loop.soon == []


def test_while_orders_wait_for_the_core_less_is_read_on(bench):
    crowd = [connection for connection, _ in readers(bench, 2)]
    bench.is_core_behind = True
    bench.loop.turn()
    assert [each.peer.reads for each in crowd] == [1, 0]


def test_orders_of_others_are_answered_before_anything_is_read_on(bench):
    order = []
    quiet, transport = bench.connect()
    transport.write = lambda data: order.append("answer")
    for _, transport in readers(bench, 3):
        transport.write = lambda data: order.append("read on")
    quiet.data_received(b"an order")
    bench.loop.turn()
    assert order == ["answer", "read on", "read on"]


def test_what_is_read_on_waits_for_the_journal_like_anything(bench):
    connection, transport = reader(bench, 1_000)
    bench.journal.lags = True
    for _ in range(20):
        bench.loop.turn()
    assert (transport.written, connection.peer.reads) == ([], 5), "no more than the transport would take"
    bench.turn.on_durable(bench.journal.position)
    assert sum(map(len, transport.written)) == 5 * 16_000
    bench.journal.lags = False
    bench.loop.turn()
    assert connection.peer.reads == 7


def fill(bench, connection, transport):
    """The transport takes slices until it is full."""
    for _ in range(3):
        bench.loop.turn()
    transport.waiting_bytes = 90_000
    connection.pause_writing()
    bench.loop.turn()


def drain(bench, connection, transport):
    transport.waiting_bytes = 10_000
    connection.resume_writing()


def test_a_burst_however_large_cuts_nobody_who_comes_nearer_to_its_end(bench):
    connection, transport = reader(bench, 5_000)
    for _ in range(20):
        fill(bench, connection, transport)
        bench.clock.now += 9_000 * MS
        drain(bench, connection, transport)
    assert connection.peer.events < 2_000
    assert "too_slow" not in connection.peer.told


def test_a_reader_that_takes_bytes_and_falls_behind_ever_further_is_cut_in_ten_seconds(bench):
    connection, transport = reader(bench, 5_000)
    seconds = 0
    while "too_slow" not in connection.peer.told:
        connection.peer.events += 1_000
        fill(bench, connection, transport)
        bench.clock.now += 1_000 * MS
        seconds += 1
        drain(bench, connection, transport)
    assert 10 <= seconds <= 12
    assert transport.written[-1] == b"too slow"


def test_what_a_reader_asked_for_itself_may_take_as_long_as_it_likes_while_others_make_events(bench):
    connection, transport = reader(bench, 5_000, live=False)
    for _ in range(60):
        fill(bench, connection, transport)
        connection.peer.events += 1_000
        bench.clock.now += 1_000 * MS
        drain(bench, connection, transport)
    assert "too_slow" not in connection.peer.told


def test_who_wants_events_no_more_and_then_again_is_not_judged_by_how_it_was_before(bench):
    connection, transport = reader(bench, 3_000)
    fill(bench, connection, transport)
    connection.peer.events = 0
    drain(bench, connection, transport)
    bench.loop.turn()
    bench.clock.now += 60_000 * MS
    connection.peer.events = 5_000
    connection.wake()
    for _ in range(20):
        bench.loop.turn()
    assert "too_slow" not in connection.peer.told


def test_a_reader_is_not_left_behind_by_our_own_pause(bench):
    connection, _ = reader(bench, 5_000)
    bench.loop.turn()
    connection.peer.events += 100
    bench.clock.now += 60_000 * MS
    for _ in range(20):
        bench.loop.turn()
    assert "too_slow" not in connection.peer.told


def late(bench, connection):
    """The timer of a connection fires."""
    timer = connection._timer
    timer.call(*timer.args)


def test_a_reader_that_takes_a_little_in_each_time_out_is_not_cut_though_the_transport_stays_full(bench):
    connection, transport = bench.connect()
    transport.waiting_bytes = 90_000
    connection.pause_writing()
    for taken in (80_000, 79_999, 70_000):
        transport.waiting_bytes = taken
        bench.clock.now += 10_000 * MS
        late(bench, connection)
    assert connection.peer.told == ["paused"]
    bench.clock.now += 10_000 * MS
    late(bench, connection)
    assert connection.peer.told == ["paused", "too_slow"]


def test_a_reader_that_drips_while_events_pile_up_is_cut_all_the_same(bench):
    connection, transport = reader(bench, 5_000)
    fill(bench, connection, transport)
    transport.waiting_bytes -= 1
    connection.peer.events += 100
    bench.clock.now += 10_000 * MS
    late(bench, connection)
    assert connection.peer.told == ["paused", "too_slow"]


def test_the_goodbye_is_written_to_a_transport_that_is_full(bench):
    connection, transport = bench.connect()
    transport.waiting_bytes = 90_000
    connection.pause_writing()
    connection.peer.out = b"4008"
    connection.cut(bench.clock.now)
    bench.loop.turn()
    assert transport.written == [b"4008"]
    assert transport.calls[-1] == "eof"


def test_who_goes_on_reading_has_up_to_ten_seconds_to_come_to_the_goodbye(bench):
    for reads, ends_after in ((True, 5), (False, 1)):
        connection, transport = bench.connect()
        transport.waiting_bytes = 90_000
        connection.pause_writing()
        connection.close()
        timers = 0
        while transport.calls[-1] != "abort":
            timer = bench.loop.later[-1]
            assert timer.delay_s == 2.0
            transport.waiting_bytes -= 1_000 if reads else 0
            timer.call(*timer.args)
            timers += 1
        assert timers == ends_after


def test_a_goodbye_behind_what_lies_in_a_store_is_read_on_to(bench):
    connection, transport = reader(bench, 320)
    connection.close()
    for _ in range(10):
        bench.loop.turn()
    assert sum(map(len, transport.written)) == 160_000
    assert transport.calls[-1] == "eof"


def test_who_does_not_take_its_answers_is_not_parsed_either_until_it_does(bench):
    connection, transport = bench.connect()
    connection.data_received(b"x" * 40_000)
    bench.loop.turn()
    connection.pause_writing()
    bench.loop.turn()
    bench.loop.turn()
    assert list(map(len, connection.peer.heard)) == [16_384]
    connection.resume_writing()
    for _ in range(3):
        bench.loop.turn()
    assert list(map(len, connection.peer.heard)) == [16_384, 16_384, 7_232]
    assert not transport.is_paused


def test_one_timer_serves_a_connection_and_moves_only_when_the_deadline_comes_nearer(bench):
    connection, _ = bench.connect()
    connection.peer.deadline = bench.clock.now + 1_000 * MS
    bench.turn.mark_dirty(connection)
    bench.loop.turn()
    timers = len(bench.loop.later)
    connection.peer.deadline += 500 * MS  # traffic came: later
    connection.data_received(b"x")
    bench.loop.turn()
    assert len(bench.loop.later) == timers
    bench.clock.now += 1_000 * MS
    bench.loop.later[-1].call()
    assert connection.peer.told == []  # too early: armed anew
    bench.clock.now += 500 * MS
    bench.loop.later[-1].call()
    assert connection.peer.told == ["tick"]


# -- one flood, and a crowd of them ------------------------------------------------------------------------------------


class Costly(Echo):
    """A peer whose every slice takes 3 ms to parse."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def receive(self, data, now_ns):
        self.clock.now += 3 * MS
        super().receive(data, now_ns)


def floods(bench, count):
    """So many connections, each with five turns' worth read at once; what each of their peers heard."""
    connections = [bench.connect()[0] for _ in range(count)]
    for connection in connections:
        connection.peer = Costly(bench.clock)
        connection.data_received(b"x" * 40_000)
    return [connection.peer.heard for connection in connections]


def test_a_crowd_of_floods_parses_for_a_bounded_time_per_turn_and_goes_on_where_it_stopped(bench):
    crowd = floods(bench, 4)
    assert [len(heard) for heard in crowd] == [0, 0, 0, 0]
    taken = []
    for _ in range(8):
        before = [len(heard) for heard in crowd]
        bench.loop.turn()
        taken.append([len(heard) - had for heard, had in zip(crowd, before, strict=True)])
    assert all(sum(tick) == 1 for tick in taken)
    assert [tick.index(1) for tick in taken] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_small_read_does_not_wait_for_the_turns_of_floods(bench):
    quiet, transport = bench.connect()
    floods(bench, 2)
    quiet.data_received(b"an order")
    assert quiet.peer.heard == [b"an order"]
    bench.loop.turn()
    assert transport.written == [b"an order"]


def test_a_long_output_leaves_in_pieces_with_the_others_between_them(bench):
    connection, transport = bench.connect()
    connection.peer.out = b"x" * 300_000
    connection.wake()
    sizes = []
    for _ in range(6):
        before = sum(map(len, transport.written))
        bench.loop.turn()
        sizes.append(sum(map(len, transport.written)) - before)
    assert sizes == [65_536, 65_536, 65_536, 65_536, 37_856, 0]


def test_what_is_read_behind_a_bug_of_ours_is_not_parsed(bench):
    connection, transport = bench.connect()
    connection.peer.is_broken = True
    connection.data_received(b"x" * 20_000)
    bench.loop.turn()
    connection.peer.is_broken = False
    bench.loop.turn()
    assert (transport.calls.count("abort"), connection.peer.heard) == (1, [])


def test_the_end_of_a_connection_wakes_the_turn_for_what_guards_its_orders(bench):
    """Nobody else may have anything to do: cancel-on-disconnect must not wait for them."""
    connection, _ = bench.connect()
    bench.loop.turn()
    bench.loop.soon.clear()
    connection.connection_lost(None)
    assert bench.loop.soon


class Reader:
    """A slow reader, as `UnreadOutput` sees it."""

    def __init__(self):
        self.was_cut = False

    def cut(self, now_ns):
        self.was_cut = True


def test_above_the_bound_of_all_slow_readers_the_one_furthest_behind_is_cut():
    unread = UnreadOutput(1_000)
    near, far, late = Reader(), Reader(), Reader()
    unread.note(near, 300, 0)
    unread.note(far, 600, 0)
    unread.note(near, 350, 0)
    assert (unread.total_bytes, near.was_cut, far.was_cut) == (950, False, False)
    unread.note(late, 100, 0)
    assert (unread.total_bytes, near.was_cut, far.was_cut, late.was_cut) == (450, False, True, False)
    unread.note(near, 0, 0)
    assert unread.total_bytes == 100


def test_a_slow_reader_that_is_gone_gives_its_share_of_the_bound_back(bench):
    for _ in range(3):
        connection, _ = bench.connect()
        connection.pause_writing()
        connection.peer.out = b"x" * 1_000
        connection.wake()
        bench.loop.turn()
        assert bench.traffic.unread.total_bytes == 1_000
        connection.connection_lost(None)
        assert bench.traffic.unread.total_bytes == 0


def test_while_orders_wait_for_the_core_floods_get_shorter_turns_so_that_the_loop_turns_more_often(bench):
    crowd = floods(bench, 2)
    for heard in crowd:
        assert heard == []
    for connection in list(bench.traffic.connections):
        connection.peer.receive = lambda data, now_ns, peer=connection.peer: _take_half_a_ms(bench, peer, data)
    bench.is_core_behind = True
    bench.loop.turn()
    assert sum(map(len, crowd)) == 1
    bench.is_core_behind = False
    bench.loop.turn()
    assert sum(map(len, crowd)) == 3


def test_while_orders_wait_for_the_core_a_slice_is_short_too(bench):
    # A slice of 16 KiB is some 80 orders, 5 ms: the core would have nothing to do meanwhile, and no one an answer.
    (heard,) = floods(bench, 1)
    bench.is_core_behind = True
    bench.loop.turn()
    bench.is_core_behind = False
    bench.loop.turn()
    assert [len(data) for data in heard] == [1_024, 16_384]


def _take_half_a_ms(bench, peer, data):
    bench.clock.now += MS // 2
    peer.heard.append(data)
