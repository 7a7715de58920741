"""A connection and the event loop's turn on a transport, a loop and a journal of the test's own."""

from gateway.config import schema
from gateway.doors.batch import EventLoopTurn, Parts
from gateway.doors.connection import Connection, Traffic
from gateway.doors.slowness import UnreadOutput
from gateway.journal.delay import RecordDelay

MS = 1_000_000


class Loop:
    """Runs what was asked for when the test says so."""

    def __init__(self):
        self.soon = []
        self.later = []

    def call_soon(self, call, *args):
        self.soon.append((call, args))

    def call_later(self, delay_s, call, *args):
        timer = Timer(delay_s, call, args)
        self.later.append(timer)
        return timer

    def turn(self):
        """One iteration."""
        ready, self.soon = self.soon, []
        for call, args in ready:
            call(*args)


class Timer:
    def __init__(self, delay_s, call, args):
        self.delay_s, self.call, self.args, self.is_cancelled = delay_s, call, args, False

    def cancel(self):
        self.is_cancelled = True


class Transport:
    """waiting_bytes: of what was written, what the peer has not taken."""

    def __init__(self):
        self.written, self.calls, self.is_paused, self.is_closed, self.waiting_bytes = [], [], False, False, 0

    def get_write_buffer_size(self):
        return self.waiting_bytes

    def can_write_eof(self):
        return True

    def write_eof(self):
        assert not self.is_closed
        self.calls.append("eof")

    def get_extra_info(self, name):
        return ("127.0.0.1", 5) if name == "peername" else None

    def set_write_buffer_limits(self, high, low):
        self.calls.append(("limits", high, low))

    def write(self, data):
        self.written.append(data)

    def pause_reading(self):
        assert not self.is_paused
        self.is_paused = True

    def resume_reading(self):
        assert self.is_paused
        self.is_paused = False

    def is_closing(self):
        return self.is_closed

    def close(self):
        self.is_closed = True

    def abort(self):
        self.is_closed = True
        self.calls.append("abort")


class Echo:
    """A peer that answers every byte with itself, and can be told to behave badly."""

    def __init__(self):
        self.heard, self.out, self.deadline, self.told, self.is_broken = [], b"", None, [], False

    must_read, behind = False, 0
    next_deadline_ns = property(lambda self: self.deadline)
    has_output = property(lambda self: bool(self.out))
    pending_bytes = property(lambda self: len(self.out))

    def receive(self, data, now_ns):
        if self.is_broken:
            raise ZeroDivisionError
        self.heard.append(data)
        self.out += data

    def take_output(self, limit_bytes):
        data, self.out = self.out[:limit_bytes], self.out[limit_bytes:]
        return data

    def tick(self, now_ns):
        self.told.append("tick")
        self.deadline = None

    def lost(self, now_ns):
        self.told.append("lost")

    def too_slow(self, now_ns):
        self.told.append("too_slow")

    def paused(self, now_ns):
        self.told.append("paused")

    def resumed(self, now_ns):
        self.told.append("resumed")


class Journal:
    """Durable only when the test says so."""

    def __init__(self):
        self.position, self.durable, self.lags, self.error = 0, 0, False, None

    def commit(self, now_ns):
        if self.error is not None:
            raise self.error
        self.position += 1
        if not self.lags:
            self.durable = self.position
        return self.position


class Clock:
    now = 1_000

    def now_ns(self):
        return self.now


class Bench:
    def __init__(self):
        self.loop, self.clock, self.journal = Loop(), Clock(), Journal()
        self.bugs, self.failures, self.traffic = [], [], Traffic(UnreadOutput(1 << 62))
        self.delay, self.is_core_behind = RecordDelay(self.journal), False
        parts = Parts((), (), (), lambda _: None, lambda: self.is_core_behind)
        self.turn = EventLoopTurn(
            self.loop, self.clock, parts, self.journal, self.delay, self.bugs.append, self.failures.append
        )

    def connect(self):
        connection = Connection(self.turn, self.loop, schema.Config(), self.traffic)
        connection.peer = Echo()
        transport = Transport()
        connection.connection_made(transport)
        self.loop.turn()
        return connection, transport
