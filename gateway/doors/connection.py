"""One link, from either door: an asyncio protocol that carries bytes between a transport and a pure peer.

Both doors use it: a FIX connection from its first byte, a WebSocket connection from the moment aiohttp releases it. It
holds the bounds that only a socket knows: the slice of input that one turn parses, the slow reader
(`gateway.doors.slowness`), the time that a close may take. Long output (a replay, a list) stays in a stream or a store
until the client takes it, and costs no memory.

Reading has three reasons to pause, and any of them stops it:

| Reason | Set when | Parsing | The peer's time-outs |
| --- | --- | --- | --- |
| `_BY_TURN` | input is unparsed at the end of a turn; lasts a few ms | continues, a slice a turn | run |
| `_BY_QUEUE` | the order path asks for it | stops | are suspended |
| `_BY_WRITE` | the transport is full | stops | are suspended |

More than 400 lines, because reading, writing and pausing of one transport share its state.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, cast

from gateway.config import schema
from gateway.doors.batch import EventLoopTurn
from gateway.doors.listening import Arrival
from gateway.doors.peer import GONE, Peer
from gateway.doors.slowness import Slowness, UnreadOutput
from gateway.doors.stall import LATE_NS
from gateway.doors.transports import HIGH_WATER_BYTES, bound_output, end_output, untaken_bytes
from protocols.units import NS_PER_MS

_CLOSE_TIMEOUT_S = 2.0  # on plain TCP, close() with unsent data never ends when the peer stays silent
_WRITE_BYTES = 65_536
_SMALL_READ_BYTES = 512  # about two messages, parsed at once; a larger read takes its turn after those

# Why reading is paused: see above.
_BY_TURN = 1
_BY_QUEUE = 2
_BY_WRITE = 4
_PARSING_PAUSED = _BY_QUEUE | _BY_WRITE

P = ParamSpec("P")


class Traffic:
    """The connections of one door and the bytes they carried: counted per read and write, collected on scrape."""

    def __init__(self, unread: UnreadOutput) -> None:
        """unread: the unread output of both doors, under one bound."""
        self.unread = unread
        self.connections: dict[Connection, None] = {}  # in the order in which they came
        self.bytes_in = 0
        self.bytes_out = 0

    @property
    def pending_bytes(self) -> int:
        """Output that clients have not taken yet, all connections."""
        return sum(connection.pending_bytes for connection in self.connections)


class Connection(asyncio.Protocol):
    """Carries bytes for `peer`, which may be replaced: a `PreLogonPeer` becomes a session's endpoint."""

    __slots__ = (
        "__weakref__", "_at_once_bytes", "_closing", "_end_timer", "_has_ended", "_is_finished", "_is_tls", "_loop",
        "_out", "_paused", "_slowness", "_staged", "_staged_bytes", "_timer", "_timer_ns", "_traffic", "_transport",
        "_turn", "_turn_bytes", "_unparsed", "arrival", "peer", "peer_ip",
    )  # fmt: skip

    def __init__(
        self, turn: EventLoopTurn, loop: asyncio.AbstractEventLoop, settings: schema.Config, traffic: Traffic
    ) -> None:
        self.peer: Peer
        self.peer_ip = ""
        self.arrival: Arrival | None = None  # its place in the door's crowd
        self._turn = turn
        self._loop = loop
        self._turn_bytes = settings.ingress.turn_bytes
        self._out = settings.out
        self._traffic = traffic
        self._transport: asyncio.Transport | None = None
        self._at_once_bytes = _SMALL_READ_BYTES
        self._unparsed = b""
        self._staged: list[tuple[int, bytes]] = []  # ready, and waits for its records to be durable
        self._staged_bytes = 0
        self._is_tls = False
        self._has_ended = False  # the peer sends no more
        self._paused = 0
        self._slowness = Slowness(settings.out.max_age_ms * NS_PER_MS)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._end_timer: asyncio.TimerHandle | None = None  # of a connection that is closing
        self._closing = False
        self._is_finished = False  # all output is written and ended

    def came_by(self, arrival: Arrival, is_proved: bool = False) -> None:
        """Set its place in the door's crowd. Until it has logged on, all of its input waits among that of strangers."""
        self.arrival, arrival.unmade = arrival, self._let_go
        if not is_proved:
            self._at_once_bytes = 0
            arrival.known = self._is_known

    def _is_known(self) -> None:
        self._at_once_bytes = _SMALL_READ_BYTES

    def _let_go(self) -> None:
        """Break the cycle of connection and peer: thousands of cycles would stop the loop for the garbage collector."""
        self.peer = GONE

    # -- called by asyncio ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's transport does not inherit from it
        self._transport = transport
        self._traffic.connections[self] = None
        bound_output(transport)
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        peername = transport.get_extra_info("peername")
        self.peer_ip = peername[0] if isinstance(peername, tuple) else ""
        if self.arrival is not None:
            self.peer_ip = self.arrival.peer_ip
        self._turn.mark_dirty(self)
        if self.arrival is not None:
            self.arrival.opened()

    def data_received(self, data: bytes) -> None:
        """Parse a small read at once, and what is read alone; other input waits for its turn, so that a quiet client
        never waits for floods.
        """
        size = len(data)
        self._traffic.bytes_in += size
        if self._closing:
            return
        if self._unparsed or self._paused & _PARSING_PAUSED:
            self._unparsed += data
            self._pause(_BY_TURN)
            return
        turn, is_long = self._turn, size > self._at_once_bytes
        may_parse = self._at_once_bytes and size <= self._turn_bytes
        is_alone = may_parse and turn.begin_read(self, is_long)
        if is_long and not is_alone:
            self._unparsed = data
            self._queue_turn()
            return
        self._guard(self.peer.receive, data, turn.now_ns())
        if is_alone:
            turn.end_read()

    def _queue_turn(self) -> None:
        if self._at_once_bytes:
            self._turn.queue_turn(self)
        else:
            self._turn.queue_stranger(self)

    def eof_received(self) -> bool:
        """The peer sends no more: close once its input is answered. TLS cannot be half closed."""
        self._has_ended = True
        if self._is_finished and self._transport is not None:
            self._transport.close()
        elif not self._unparsed:
            self.close()
        return not self._is_tls

    def connection_lost(self, exc: Exception | None) -> None:
        """The link is gone; the session it carried may live on."""
        self._traffic.connections.pop(self, None)
        if self.arrival is not None:
            self.arrival.left()
        self._traffic.unread.note(self, 0, self._turn.now_ns())
        self._transport = None
        self._closing = True
        self._staged.clear()
        for timer in (self._timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._end_timer = None
        self._guard(self.peer.lost, self._turn.now_ns())
        self._let_go()
        self._turn.wake()  # cancel-on-disconnect may be due at once, and no other connection may be active

    def pause_writing(self) -> None:
        """The transport is full: the peer reads too slowly, so its input is not read either."""
        now_ns = self._turn.now_ns()
        self._slowness.blocked(self._untaken_bytes(), now_ns)
        if not self._closing:
            self._stop_reading(_BY_WRITE, now_ns)
            self._arm()

    def resume_writing(self) -> None:
        now_ns = self._turn.now_ns()
        self._slowness.until_ns = 0
        self._traffic.unread.note(self, 0, now_ns)
        if not self._closing:
            self._read_again(_BY_WRITE, now_ns)
            self._parse_on()
        self._turn.mark_dirty(self)

    # -- called by the turn and the endpoints --------------------------------------------------------------------

    @property
    def has_ended(self) -> bool:
        return self._has_ended or self._closing

    @property
    def is_closing(self) -> bool:
        return self._closing

    @property
    def pending_bytes(self) -> int:
        """Output that the peer has not taken: in the machine, waiting for the journal, in the transport."""
        in_transport = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return self.peer.pending_bytes + self._staged_bytes + in_transport

    def wake(self) -> None:
        self._turn.mark_dirty(self)

    def take_turn(self, now_ns: int) -> None:
        """Parse the next slice of input, unless the order path or the peer's slow reading pauses it."""
        if self._paused & _PARSING_PAUSED or not self._unparsed or self._closing:
            return
        size = self._turn.slice_bytes(self._turn_bytes)
        data, self._unparsed = self._unparsed[:size], self._unparsed[size:]
        if not self._unparsed:
            self._resume(_BY_TURN)
            self._turn.mark_dirty(self)
        self._guard(self.peer.receive, data, now_ns)
        if self._unparsed:
            self._queue_turn()
        if self._has_ended and not self._unparsed:
            self.close()

    def wait_turn(self) -> None:
        """Pause reading when much input is unparsed; for little, a pause costs more: two system calls."""
        if len(self._unparsed) > self._turn_bytes:
            self._pause(_BY_TURN)

    def flush(self, now_ns: int) -> None:
        """Write what is ready, as much as the transport takes, once its records are durable: journal first.

        Output that the peer gives now was recorded by this turn's commit at the latest: it waits for that position.
        """
        if self._transport is None:
            return
        peer, slowness = self.peer, self._slowness
        must_read = (self._closing or not slowness.until_ns) and self._write_ready(peer)
        is_blocked = slowness.until_ns != 0
        if not is_blocked:
            if must_read:
                self._turn.queue_reading(self)
            else:
                slowness.nearest = 0
        if self._closing:
            if not self._staged and not peer.has_output:
                self._finish()
        elif is_blocked and peer.pending_bytes > self._out.max_bytes:
            self.cut(now_ns)
        else:
            if is_blocked:
                self._traffic.unread.note(self, self.pending_bytes, now_ns)
            self._arm()

    def _write_ready(self, peer: Peer) -> bool:
        """Write what is ready; whether more output must first be read from a stream or a store.

        A closing connection is written to even when its transport is full: a logout is short, and so is the rest.
        """
        room = HIGH_WATER_BYTES - self._staged_bytes
        while peer.has_output and (self._closing or not self._slowness.until_ns):
            if room <= 0:
                if not self._staged:
                    self._turn.mark_dirty(self)  # other connections are served in between
                return False
            data = peer.take_output(_WRITE_BYTES)
            if not data:
                return peer.must_read
            room -= len(data)
            if self._staged or not self._turn.is_durable:
                self._staged.append((self._turn.position, data))
                self._staged_bytes += len(data)
                self._turn.hold(self)
            else:
                self._write(data)
        return False

    def read_on(self, now_ns: int) -> int:
        if self._transport is None or self._slowness.until_ns or self._staged_bytes >= HIGH_WATER_BYTES:
            return 0
        events = self.peer.read_on(now_ns) if self.peer.must_read else 0
        self.flush(now_ns)
        if not self._closing:
            left_ns = self._slowness.left_behind_ns(self.peer.behind, now_ns)
            if left_ns and not self._turn.must_read_first(left_ns, self.wake):
                self.cut(now_ns)
        return events

    def release(self, durable: int) -> bool:
        staged = self._staged
        while staged and staged[0][0] <= durable:
            data = staged.pop(0)[1]
            self._staged_bytes -= len(data)
            self._write(data)
        if not staged and (self._closing or self.peer.has_output):
            self._turn.mark_dirty(self)
        return not staged

    def excuse(self, since_ns: int, now_ns: int) -> None:
        if not self._closing and not self._paused & _PARSING_PAUSED:
            self._guard(self.peer.paused, since_ns)
            self._guard(self.peer.resumed, now_ns)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._traffic.bytes_out += len(data)
            self._transport.write(data)

    def call(self, act: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a peer's code outside of a read or a turn; see `_guard`."""
        self._guard(act, *args, **kwargs)
        self._turn.mark_dirty(self)

    def _guard(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a peer's code. An exception is a bug in the gateway, and costs this connection and no other."""
        try:
            call(*args, **kwargs)
        except Exception as error:
            self._turn.report_bug(error)
            self._closing = True  # nothing more is read: the state is unknown
            self.abort()

    def close(self) -> None:
        """Close once the output is written; abort when that takes too long."""
        if not self._closing:
            self._closing = True
            self._unparsed = b""
            if self._has_no_output():
                self._finish()
            else:
                self._await_end(self._out.max_age_ms / 1_000)
                self._turn.mark_dirty(self)

    def _has_no_output(self) -> bool:
        """Whether both sides have no more to send: then closing the transport is enough."""
        transport = self._transport
        if not self._has_ended or self._staged or transport is None:
            return False
        return not (self.peer.has_output or transport.get_write_buffer_size())

    def _finish(self) -> None:
        """All output is written: end it, and read to the peer's own end."""
        transport = self._transport
        if transport is None or self._is_finished or transport.is_closing():
            return
        self._is_finished = True
        if self._has_ended:
            transport.close()
        else:
            end_output(transport, is_paused=self._paused != 0)
            self._paused = 0

    def _await_end(self, left_s: float) -> None:
        """Abort after the time-out. A peer that still takes output gets more time-outs, `left_s` in all."""
        due_ns = self._turn.now_ns() + int(_CLOSE_TIMEOUT_S * 1e9)
        give_up = partial(self._give_up, due_ns, self._untaken_bytes(), left_s - _CLOSE_TIMEOUT_S)
        self._end_timer = self._loop.call_later(_CLOSE_TIMEOUT_S, give_up)

    def _give_up(self, due_ns: int, before_bytes: int, left_s: float) -> None:
        if self._turn.must_read_first(due_ns, self.abort):
            return
        if left_s > 0 and 0 < self._untaken_bytes() < before_bytes:
            self._await_end(left_s)
        else:
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def forget_unrecorded(self) -> None:
        """What waits for its records will never be recorded: it must not be sent."""
        self._staged.clear()
        self._staged_bytes = 0

    def close_unrecorded(self) -> None:
        """Close with the peer's last words, which depend on no record, though others wait for theirs."""
        if self.peer.has_output and not self._staged:
            self._write(self.peer.take_output(_WRITE_BYTES))
        self.close()

    def pause_reading(self, now_ns: int) -> None:
        self._stop_reading(_BY_QUEUE, now_ns)

    def resume_reading(self, now_ns: int) -> None:
        self._read_again(_BY_QUEUE, now_ns)
        self._parse_on()

    def _parse_on(self) -> None:
        if self._unparsed:
            self._queue_turn()

    def _stop_reading(self, reason: int, now_ns: int) -> None:
        """Stop reading for longer than a turn, and suspend the peer's time-outs: its silence is not its fault."""
        if not self._paused & _PARSING_PAUSED:
            self.peer.paused(now_ns)
        self._pause(reason)

    def _read_again(self, reason: int, now_ns: int) -> None:
        was_paused = self._paused & _PARSING_PAUSED
        self._resume(reason)
        if was_paused and not self._paused & _PARSING_PAUSED:
            self.peer.resumed(now_ns)

    # -- pauses and deadlines ------------------------------------------------------------------------------------

    def _pause(self, reason: int) -> None:
        if self._closing:
            return
        if not self._paused and self._transport is not None:
            self._transport.pause_reading()
        self._paused |= reason

    def _resume(self, reason: int) -> None:
        before, self._paused = self._paused, self._paused & ~reason
        if before and not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _untaken_bytes(self) -> int:
        return untaken_bytes(self._transport) if self._transport is not None else 0

    def cut(self, now_ns: int) -> None:
        """Disconnect a slow reader. It loses no numbered message: it resumes later, and costs no memory until then."""
        self.peer.too_slow(now_ns)
        self.close()

    def _arm(self) -> None:
        """One timer per connection, moved only to an earlier deadline: a busy session never moves it."""
        wanted, until_ns = self.peer.next_deadline_ns, self._slowness.until_ns
        if until_ns and (wanted is None or until_ns < wanted):
            wanted = until_ns
        if wanted is None or (self._timer is not None and self._timer_ns <= wanted):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = wanted
        self._timer = self._loop.call_later(max(wanted - self._turn.now_ns(), 0) / 1e9 + 0.0005, self._on_timer)

    def _on_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()  # called back by `must_read_first`, and armed again meanwhile
        self._timer = None
        if self._closing or self._turn.must_read_first(self._timer_ns, self._on_timer):
            return
        now_ns = self._turn.now_ns()
        if 0 < self._slowness.until_ns <= now_ns and self._slowness.is_over(
            self._untaken_bytes(), self.peer.behind, now_ns
        ):
            self.cut(now_ns)
            return
        deadline = self.peer.next_deadline_ns
        if self._staged or (self._unparsed and not self._at_once_bytes):  # the awaited answer may be in it
            self._timer_ns = now_ns + LATE_NS
            self._timer = self._loop.call_later(LATE_NS / 1e9, self._on_timer)
        elif deadline is not None and now_ns >= deadline:
            self._guard(self.peer.tick, now_ns)
            self._turn.mark_dirty(self)
        else:
            self._arm()
