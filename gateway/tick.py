"""The unit of work: whatever one event-loop iteration read is parsed, decided and answered together.

A connection that has read, or has something to write, calls `touch`; one `call_soon` later the tick takes waiting
turns, pumps the road, and writes once per touched connection. There is no task, future or await per message.
"""

import asyncio
from typing import Protocol

from gateway.clock import Clock


class Touched(Protocol):
    """A connection, as the tick sees it."""

    def take_turn(self, now_ns: int) -> None:
        """Parse the next slice of what was read but not yet parsed."""
        ...

    def flush(self, now_ns: int) -> None:
        """Write what there is to write."""
        ...


class Timed(Protocol):
    """Something with deadlines of its own: the road, the guards."""

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` is next wanted."""
        ...

    def tick(self, now_ns: int) -> None:
        """Do what time asks for."""
        ...


class Tick:
    """Runs at most once per loop iteration, however many connections were touched."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, timed: tuple[Timed, ...]) -> None:
        self._loop = loop
        self._clock = clock
        self._timed = timed
        self._dirty: dict[Touched, None] = {}
        self._turns: dict[Touched, None] = {}
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self.count = 0
        self.now_ns = clock.now_ns

    def touch(self, connection: Touched) -> None:
        """Flush this connection at the end of the tick."""
        self._dirty[connection] = None
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def queue_turn(self, connection: Touched) -> None:
        """Let this connection parse its next slice in the coming tick, after the others had theirs."""
        self._turns[connection] = None
        self.touch(connection)

    def _run(self) -> None:
        self._scheduled = False
        self.count += 1
        now_ns = self._clock.now_ns()
        turns, self._turns = self._turns, {}
        for connection in turns:
            connection.take_turn(now_ns)
        for part in self._timed:
            part.tick(now_ns)
        dirty, self._dirty = self._dirty, {}
        for connection in dirty:
            connection.flush(now_ns)
        self._arm(now_ns)

    def _arm(self, now_ns: int) -> None:
        deadlines = [part.next_deadline_ns for part in self._timed]
        wanted = min((deadline for deadline in deadlines if deadline is not None), default=0)
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
