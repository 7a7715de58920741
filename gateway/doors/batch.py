"""One turn of the event loop is the unit of work: what was read in it is parsed, decided and answered together.

A connection that has read, or has something to write, calls `mark_dirty`, which schedules one turn with `call_soon`.
There is no task, future or await per message. A connection that reads alone, as long as no other does, has its turn in
the read itself, without a way through the loop. A turn runs in this order:

1. Parts whose time has come act; the order path hands commands to the core. What becomes ready here is flushed in this
   very turn, so it asks for no other.
2. The journal writes the records of the turn with one call: journal first, wire second.
3. Each dirty connection is flushed: one write, however many answers it has.
4. Replays, snapshots and lists continue: 64 events in all.
5. Connections that sent much at once parse a slice each, for 1 ms in all; then up to 4 strangers are served.

Parsing comes last so that its commands join those that quiet clients send meanwhile, in the next turn. A client that
sends one order while 1,000 others flood waits for at most the bounds of steps 4 and 5, not for the floods.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.clock import Clock, Timed
from gateway.doors.stall import LATE_NS, ReadFirst
from gateway.journal import AnyJournal
from gateway.journal.delay import RecordDelay
from protocols.units import NS_PER_MS

_SHORT_TURNS_NS = 400_000  # _TURNS_NS while orders wait for the core: more turns of the loop, fewer orders in each
_READ_EVENTS = 64  # per turn, all connections: replays, snapshots, lists; about a millisecond
_SHORT_READ_EVENTS = 16  # _READ_EVENTS while orders wait for the core
_TURNS_NS = NS_PER_MS  # per turn, all connections: many floods delay a quiet session no more than one flood
_ALONE = 8  # reads that are taken to be alone, until one shows again whether they are
_SHORT_SLICE_BYTES = 1_024  # of one connection, while orders wait for the core: what _SHORT_TURNS_NS has time for
_STRANGERS = 4  # served per turn: a logon costs a signature check, and thousands may come at once


class Stranger(Protocol):
    """A connection that has sent something and has not logged on."""

    def take_turn(self, now_ns: int) -> None:
        """Parse the next slice of what it sent."""


class TurnMember(Stranger, Protocol):
    """A connection, as the turn sees it."""

    def wait_turn(self) -> None:
        """The turn is over, and input is still unparsed."""

    def flush(self, now_ns: int) -> None:
        """Write the output that is ready."""

    def read_on(self, now_ns: int) -> int:
        """Read a slice of output from a stream or a store, write it, queue for the next; how many events it had."""

    def release(self, durable: int) -> bool:
        """Write what waited for the journal to be durable up to here; True when nothing waits any longer."""

    def excuse(self, since_ns: int, now_ns: int) -> None:
        """Output was held back for the journal since then: the peer is not to blame for its silence."""

    def abort(self) -> None:
        """Drop the link."""


class Parts(NamedTuple):
    """The parts that a turn runs.

    timed: those whose deadline is seldom moved. They are asked when the first deadline has come, or someone called
    `wake`; so a part that moves its own nearer, outside of `tick`, has `wake` called. every_turn: those that orders
    touch, which run after the others in each turn. judges: those that act on a client's silence; after the process
    stood still they wait until the input that arrived meanwhile is read. work: runs even then. is_core_behind: orders
    wait for the core; turns are short then, for nothing is won by reading more of them, and cancels wait for less.
    """

    timed: tuple[Timed, ...]
    every_turn: tuple[Timed, ...]
    judges: tuple[Timed, ...]
    work: Callable[[int], None]
    is_core_behind: Callable[[], bool]


class EventLoopTurn:
    """Runs at most once per pass of the event loop, however many connections are dirty.

    report_bug: receives exceptions that are bugs in the gateway. fail: receives the journal's failure, and must end the
    process.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        parts: Parts,
        records: AnyJournal,
        delay: RecordDelay,
        report_bug: Callable[[Exception], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._parts = parts
        self._timed_due_ns = (0, 0)  # the first deadline of `timed`, and of those of them that judge; 0 = none
        self._judge_due_ns = 0  # the first of all the judges' deadlines, 0 = none
        self._is_look_asked = True  # ask all of `timed` in the coming turn
        self._records = records
        self._delay = delay
        self._fail = fail
        self._held: dict[TurnMember, None] = {}
        self._has_failed = False
        self.report_bug = report_bug
        self.position = 0
        self.is_durable = True
        self._dirty: dict[TurnMember, None] = {}
        self._reading: dict[TurnMember, None] = {}  # the next one first
        self._turns: dict[TurnMember, None] = {}
        self._strangers: dict[Stranger, None] = {}
        self._scheduled = False  # a turn will come that flushes what is marked now
        self._readers = 0  # connections whose input was parsed, or waits to be, since the last turn
        self._reader: TurnMember | None = None  # the last one
        self._alone_left = 0  # how many reads are still taken to be alone
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self.now_ns = clock.now_ns
        self._read_first = ReadFirst(loop, clock.now_ns, lambda: bool(self._turns or self._strangers))
        self.must_read_first = self._read_first.must_wait

    def mark_dirty(self, connection: TurnMember) -> None:
        """Flush this connection in the coming turn."""
        self._dirty[connection] = None
        if not self._scheduled:
            self._schedule()

    def begin_read(self, connection: TurnMember, is_long: bool) -> bool:
        """Bytes have come. True: they are taken to be alone; parse them now, however long they are, then `end_read`.

        Where several connections read, a turn for all costs less than one for each, and long input waits for short.
        Whether others read too is known only after the sockets were looked at. So a turn that came through the loop
        tells what the next few reads may expect; a long one must come from the very connection that read alone.
        """
        was_same, self._reader = self._reader is connection, connection
        self._readers += 1
        self._dirty[connection] = None
        if self._scheduled:
            return False
        self._scheduled = True
        if self._alone_left and (not is_long or (was_same and not self._parts.is_core_behind())):
            self._alone_left -= 1
            return True
        self._loop.call_soon(self._run_soon)
        return False

    def end_read(self) -> None:
        """What was read alone is parsed: run its turn."""
        self._run()

    def wake(self) -> None:
        """Run a turn soon, even when no connection is dirty, in which all parts are asked whether they are due."""
        self._is_look_asked = True
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run_soon)

    def slice_bytes(self, most: int) -> int:
        """How much of its input a connection may parse in one go, of `most`."""
        return min(most, _SHORT_SLICE_BYTES) if self._parts.is_core_behind() else most

    def queue_turn(self, connection: TurnMember) -> None:
        """Let this connection parse its next slice in the coming turn, after those that wait already."""
        self._turns[connection] = None
        self.mark_dirty(connection)

    def queue_stranger(self, stranger: Stranger) -> None:
        """Serve this one in the coming turn, after the strangers that wait already and all other input."""
        self._strangers[stranger] = None
        self._schedule()

    def queue_reading(self, connection: TurnMember) -> None:
        """Let this connection read on in the coming turn, after those that wait already."""
        self._reading[connection] = None
        self._schedule()

    def _run_soon(self) -> None:
        """Run the turn that came through the loop: all that read until now have a part in it."""
        if self._readers:
            self._alone_left = _ALONE if self._readers == 1 else 0
        self._run()

    def _run(self) -> None:
        if self._has_failed:
            return
        self._readers = 0
        self._scheduled = True  # what is marked from here to the flush needs no other turn
        now_ns = self._clock.now_ns()
        has_looked = self._let_time_act(now_ns)
        if not self._commit(now_ns):
            return
        self._scheduled = False
        if self._is_look_asked:
            self._schedule()
        dirty, self._dirty = self._dirty, {}
        for connection in dirty:
            try:
                connection.flush(now_ns)
            except Exception as error:
                self.report_bug(error)
                connection.abort()
        if self._reading:
            self._read_on(now_ns)
        self._arm(now_ns, has_looked)
        if self._turns:
            self._take_turns(self._clock.now_ns())
        if self._strangers:
            self._serve_strangers(self._clock.now_ns())

    def _let_time_act(self, now_ns: int) -> bool:
        """Let the parts act whose time has come; whether all were asked."""
        parts, due_ns, judge_ns = self._parts, self._timed_due_ns[0], self._judge_due_ns
        is_due = self._is_look_asked or 0 < due_ns <= now_ns
        self._is_look_asked = False
        timed, every_turn = parts.timed if is_due else (), parts.every_turn
        if judge_ns and now_ns - judge_ns >= LATE_NS and self.must_read_first(judge_ns, self.wake):
            self._try(parts.work, now_ns)
            timed, every_turn = (
                tuple(part for part in each if part not in parts.judges) for each in (timed, every_turn)
            )
        for part in timed:
            self._try(part.tick, now_ns)
        for part in every_turn:
            self._try(part.tick, now_ns)
        return is_due

    def _try(self, act: Callable[[int], None], now_ns: int) -> None:
        try:
            act(now_ns)
        except Exception as error:  # connections must still be served
            self.report_bug(error)

    def _read_on(self, now_ns: int) -> None:
        """One slice for each connection whose output is in a stream or a store, up to the bound of one turn."""
        left, reading = _SHORT_READ_EVENTS if self._parts.is_core_behind() else _READ_EVENTS, self._reading
        while reading and left > 0:
            connection = next(iter(reading))
            del reading[connection]
            try:
                left -= max(connection.read_on(now_ns), 1)
            except Exception as error:
                self.report_bug(error)
                connection.abort()
        if reading:
            self._schedule()

    def _take_turns(self, now_ns: int) -> None:
        """One slice for each connection that sent much at once, for a bounded time: quiet ones wait no longer."""
        turns, self._turns = self._turns, {}
        until_ns = now_ns + (_SHORT_TURNS_NS if self._parts.is_core_behind() else _TURNS_NS)
        while turns:
            connection = next(iter(turns))
            del turns[connection]
            connection.take_turn(now_ns)
            if self._clock.now_ns() >= until_ns:
                break
        self._turns = turns | self._turns
        if self._turns:
            self._schedule()
            for connection in self._turns:
                connection.wait_turn()

    def _serve_strangers(self, now_ns: int) -> None:
        """Serve a few strangers: logged-on clients are served in between, however many strangers come at once."""
        strangers = self._strangers
        for stranger in [each for each, _ in zip(strangers, range(_STRANGERS), strict=False)]:
            del strangers[stranger]
            stranger.take_turn(now_ns)
        if strangers:
            self._schedule()

    def stop(self) -> None:
        """Run no further turn: the journal is about to be closed."""
        self._has_failed = True

    def _commit(self, now_ns: int) -> bool:
        """Journal first, wire second; False when the journal failed and nothing more may be sent."""
        try:
            self.position = self._records.commit(now_ns)
        except Exception as error:  # of whatever kind, nothing was recorded
            self._has_failed = True
            self._fail(error)
            return False
        self.is_durable = self._records.durable >= self.position
        if not self.is_durable:
            self._delay.add(self.position, now_ns)
        return True

    def hold(self, connection: TurnMember) -> None:
        """This connection has bytes that wait for the journal."""
        self._held[connection] = None

    def on_durable(self, durable: int) -> None:
        """The journal is durable up to here; called in the event loop."""
        if self._has_failed:
            return
        now_ns = self._clock.now_ns()
        since_ns = self._delay.settle(durable, now_ns)
        is_late = now_ns - since_ns >= LATE_NS
        held, self._held = self._held, {}
        for connection in held:
            if not connection.release(durable):
                self._held[connection] = None
            if is_late:
                connection.excuse(since_ns, now_ns)

    def _arm(self, now_ns: int, has_looked: bool) -> None:
        """One timer, moved only to an earlier deadline: when it is early, the turn that it runs arms it again."""
        if has_looked:
            self._timed_due_ns = self._first_due(self._parts.timed, 0, 0)
        wanted, self._judge_due_ns = self._first_due(self._parts.every_turn, *self._timed_due_ns)
        if not wanted or (self._timer is not None and self._timer_ns <= wanted):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = wanted
        self._timer = self._loop.call_later(max(wanted - now_ns, 0) / 1e9, self._on_timer)

    def _first_due(self, parts: tuple[Timed, ...], first_ns: int, judge_ns: int) -> tuple[int, int]:
        """The first of these parts' deadlines and first_ns, and of the judges' among them and judge_ns; 0 = none."""
        for part in parts:
            due_ns = part.next_deadline_ns
            if due_ns:
                first_ns = min(first_ns, due_ns) if first_ns else due_ns
                if part in self._parts.judges:
                    judge_ns = min(judge_ns, due_ns) if judge_ns else due_ns
        return first_ns, judge_ns

    def _on_timer(self) -> None:
        self._timer = None
        self._is_look_asked = True
        if not self._scheduled:
            self._run()
