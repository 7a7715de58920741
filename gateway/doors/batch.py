"""The unit of work: whatever one event-loop iteration read is parsed, decided and answered together.

A connection that has read, or has something to write, calls `mark_dirty`; one `call_soon` later the turn runs the path,
writes once per touched connection, reads on for those whose output lies in a store, and then gives those who sent much
at once their turns, for the next tick to answer: who sends and asks little waits for none of that, for what is read on
and parsed in a tick is bounded over all connections. There is no task, future or await per message.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.clock import Clock, Timed
from gateway.doors.stall import LATE_NS, ReadFirst
from gateway.journal.delay import RecordDelay
from protocols.units import NS_PER_MS

_SHORT_TURNS_NS = 400_000  # the same while the queue fills: more turns of the loop, and fewer orders in each
_READ_EVENTS = 64  # read on per tick, all connections together: replays, snapshots, lists; about a millisecond
_SHORT_READ_EVENTS = 16  # the same while the queue fills
_TURNS_NS = NS_PER_MS  # per tick: a crowd of floods delays a quiet session no more than one of them does
_STRANGERS = 4  # heard per tick: a logon is a signature to be checked, and thousands may speak at one moment


class TurnMember(Protocol):
    """A connection, as the tick sees it."""

    def take_turn(self, now_ns: int) -> None:
        """Parse the next slice of what was read but not yet parsed."""
        ...

    def wait_turn(self) -> None:
        """The tick is over, and what was read is not parsed yet."""
        ...

    def flush(self, now_ns: int) -> None:
        """Write what there is to write."""
        ...

    def read_on(self, now_ns: int) -> int:
        """Write a slice of what has to be read first, and queue for the next one; how many events it had."""
        ...

    def release(self, durable: int) -> bool:
        """Write what waited for the journal to be durable up to here; True when nothing waits any more."""
        ...

    def excuse(self, since_ns: int, now_ns: int) -> None:
        """What the peer was to answer had not left us until now: its silence since then is not its fault."""
        ...

    def abort(self) -> None:
        """Drop the link."""
        ...


class Stranger(Protocol):
    """Somebody who has said something and not proved who it is."""

    def take_turn(self, now_ns: int) -> None:
        """Hear it."""
        ...


class Parts(NamedTuple):
    """What time is for. judges: those of `timed` that act on somebody's silence; after we stood still they wait until
    what came meanwhile is read. work: what goes on all the same. is_queue_filling: turns are short then.
    """

    timed: tuple[Timed, ...]
    judges: tuple[Timed, ...]
    work: Callable[[int], None]
    is_queue_filling: Callable[[], bool]


class Records(Protocol):
    """The journal, as the tick sees it: one write a tick, and a position from which on bytes may leave."""

    @property
    def durable(self) -> int:
        """Everything up to here survives what the configured durability promises."""
        ...

    def commit(self, now_ns: int) -> int:
        """Write what was recorded since the last call; returns the position that must be durable before bytes leave.

        Raises:
            Exception: the journal failed; nothing more may be sent.
        """
        ...


class EventLoopTurn:
    """Runs at most once per loop iteration, however many connections were touched.

    report_bug is told of exceptions that are our own mistake; fail, of a journal that failed: it must end the process.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        parts: Parts,
        records: Records,
        delay: RecordDelay,
        report_bug: Callable[[Exception], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._parts = parts
        self._judge_due_ns = 0  # the first of the judges' deadlines, 0 = none
        self._records = records
        self._delay = delay
        self._fail = fail
        self._held: dict[TurnMember, None] = {}
        self._has_failed = False
        self.report_bug = report_bug
        self.position = 0
        self.is_durable = True
        self._dirty: dict[TurnMember, None] = {}
        self._reading: dict[TurnMember, None] = {}  # the one whose turn it is first
        self._turns: dict[TurnMember, None] = {}
        self._strangers: dict[Stranger, None] = {}
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self.now_ns = clock.now_ns
        self._read_first = ReadFirst(loop, clock.now_ns, lambda: bool(self._turns or self._strangers))
        self.must_read_first = self._read_first.must_wait

    def mark_dirty(self, connection: TurnMember) -> None:
        """Flush this connection at the end of the tick."""
        self._dirty[connection] = None
        self.wake()

    def wake(self) -> None:
        """Run soon, though no connection asks for it."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def queue_turn(self, connection: TurnMember) -> None:
        """Let this connection parse its next slice in the coming tick, after those that wait already."""
        self._turns[connection] = None
        self.mark_dirty(connection)

    def queue_stranger(self, stranger: Stranger) -> None:
        """Let this one be heard in the coming tick, after those that wait already and whatever others have sent."""
        self._strangers[stranger] = None
        self.wake()

    def queue_reading(self, connection: TurnMember) -> None:
        """Let this connection read on in the coming tick, after those that wait already."""
        self._reading[connection] = None
        self.wake()

    def _run(self) -> None:
        self._scheduled = False
        if self._has_failed:
            return
        now_ns = self._clock.now_ns()
        self._let_time_act(now_ns)
        if not self._commit(now_ns):
            return
        dirty, self._dirty = self._dirty, {}
        for connection in dirty:
            try:
                connection.flush(now_ns)
            except Exception as error:
                self.report_bug(error)
                connection.abort()
        if self._reading:
            self._read_on(now_ns)
        self._arm(now_ns)
        if self._turns:
            self._take_turns(self._clock.now_ns())
        if self._strangers:
            self._serve_strangers(self._clock.now_ns())

    def _let_time_act(self, now_ns: int) -> None:
        timed, judges, work, _ = self._parts
        if self._judge_due_ns and self.must_read_first(self._judge_due_ns, self.wake):
            self._try(work, now_ns)
            timed = tuple(part for part in timed if part not in judges)
        for part in timed:
            self._try(part.tick, now_ns)

    def _try(self, act: Callable[[int], None], now_ns: int) -> None:
        try:
            act(now_ns)
        except Exception as error:  # the connections must still be served
            self.report_bug(error)

    def _read_on(self, now_ns: int) -> None:
        """A slice of each whose output lies in a store, in turn, until it is enough for one tick."""
        left, reading = _SHORT_READ_EVENTS if self._parts.is_queue_filling() else _READ_EVENTS, self._reading
        while reading and left > 0:
            connection = next(iter(reading))
            del reading[connection]
            try:
                left -= max(connection.read_on(now_ns), 1)
            except Exception as error:
                self.report_bug(error)
                connection.abort()
        if reading:
            self.wake()

    def _take_turns(self, now_ns: int) -> None:
        """A slice of each who sent much at once, for a bounded time: then those who sent little are heard again."""
        turns, self._turns = self._turns, {}
        until_ns = now_ns + (_SHORT_TURNS_NS if self._parts.is_queue_filling() else _TURNS_NS)
        while turns:
            connection = next(iter(turns))
            del turns[connection]
            connection.take_turn(now_ns)
            if self._clock.now_ns() >= until_ns:
                break
        self._turns = turns | self._turns
        if self._turns:
            self.wake()
            for connection in self._turns:
                connection.wait_turn()

    def _serve_strangers(self, now_ns: int) -> None:
        """A few: however many come at one moment, those who have logged on go on in between."""
        strangers = self._strangers
        for stranger in [each for each, _ in zip(strangers, range(_STRANGERS), strict=False)]:
            del strangers[stranger]
            stranger.take_turn(now_ns)
        if strangers:
            self.wake()

    def stop(self) -> None:
        """No tick any more: the journal is about to be closed."""
        self._has_failed = True

    def _commit(self, now_ns: int) -> bool:
        """Journal first, wire second; False when the journal failed and nothing more may be sent."""
        try:
            self.position = self._records.commit(now_ns)
        except Exception as error:  # whatever it is, nothing was recorded
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
        """The journal's writer is done up to here; called in the event loop."""
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

    def _arm(self, now_ns: int) -> None:
        deadlines = [(part.next_deadline_ns or 0, part in self._parts.judges) for part in self._parts.timed]
        self._judge_due_ns = min((due_ns for due_ns, is_judge in deadlines if due_ns and is_judge), default=0)
        wanted = min((due_ns for due_ns, _ in deadlines if due_ns), default=0)
        if not wanted or (self._timer is not None and self._timer_ns <= wanted):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = wanted
        self._timer = self._loop.call_later(max(wanted - now_ns, 0) / 1e9, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if not self._scheduled:
            self._run()
