"""Back-pressure: pauses the reading of sessions while the queue is full, for a moment or until there is room. Pure.

| Stage of the queue | What it does |
| --- | --- |
| PAUSING, 60 % | the sessions with most requests in the queue pause once, for max_wait_ms at most |
| SHEDDING, 80 % | all are read, so that cancels get through; new orders are refused (`Admission`) |
| BRIM, 100 % | no session is read until the queue drains |

A flood of cancels pauses its own session for a second, whatever the stage. Other pauses: `TokenWait`, and those of a
connection (`gateway.doors.connection`); a session is read when no reason is left (`EndpointCalls.resume`).
"""

from gateway.orders.endpoint_calls import EndpointCalls
from gateway.orders.queue import OrderQueue, Stage
from gateway.sessions.registry import Sessions
from gateway.sessions.session import Pause, Session
from protocols.units import NS_PER_S

_OPEN = Stage.OPEN  # a member of an Enum is looked up dearly
_FLOOD = 1_000  # in a second: four times what the built-in limits allow of single cancels


class Backpressure:
    """Which sessions are paused, until when, and which have had their pause."""

    def __init__(self, queue: OrderQueue, sessions: Sessions, calls: EndpointCalls, max_wait_ns: int) -> None:
        self._queue = queue
        self._sessions = sessions
        self._calls = calls
        self._max_wait_ns = max_wait_ns
        self._paused: dict[int, Session] = {}
        self._slowed: list[Session] = []  # for a flood of cancels
        self._until_ns = 0  # when the pauses of the first stage end
        self._had_pause: set[int] = set()
        self.is_brim = False

    @property
    def next_deadline_ns(self) -> int | None:
        """When pauses end by time; at the brim only room ends them."""
        if not (self._slowed or self._paused):
            return None
        ends = [session.flood_since_ns + NS_PER_S for session in self._slowed]
        if self._paused and not self.is_brim:
            ends.append(self._until_ns)
        return min(ends, default=None)

    def tick(self, now_ns: int) -> None:
        """Look at the stage and do what it asks for."""
        if self._slowed:
            self._resume_slowed(now_ns)
        stage = self._queue.stage
        if stage is _OPEN:
            if self._paused or self._had_pause:
                self._resume_all(now_ns)
                self._had_pause.clear()
        elif stage == Stage.BRIM:
            self.brim(now_ns)
        elif self.is_brim or (self._paused and now_ns >= self._until_ns):
            self._resume_all(now_ns)
        elif stage == Stage.PAUSING and now_ns >= self._until_ns:
            # Once in that time only: to find them, everything that waits is counted.
            self._until_ns = now_ns + self._max_wait_ns
            for session_id in self._queue.heavy_sessions() - self._had_pause:
                self._pause(self._sessions.by_id.get(session_id), now_ns)

    def count_flood(self, session: Session, now_ns: int) -> None:
        """One more cancel beyond its limit, or a mass cancel. A flood of them slows the session, and never ends it."""
        if now_ns - session.flood_since_ns >= NS_PER_S:
            session.flood_since_ns, session.flood_count = now_ns, 0
        session.flood_count += 1
        if session.flood_count == _FLOOD:
            self._slowed.append(session)
            self._calls.pause(session, Pause.FLOOD, now_ns)

    def _resume_slowed(self, now_ns: int) -> None:
        slowed, self._slowed = self._slowed, []
        for session in slowed:
            if now_ns < session.flood_since_ns + NS_PER_S:
                self._slowed.append(session)
            else:
                self._calls.resume(session, Pause.FLOOD, now_ns)

    def brim(self, now_ns: int) -> None:
        """The queue is full: no session is read until it drains, and none that logs on meanwhile."""
        self.is_brim = True
        for session in list(self._sessions.by_id.values()):
            if session.connected:
                self._pause(session, now_ns)

    def is_past_patience(self, session: Session) -> bool:
        """Whether this session's pause of the first stage is over, and the stage is not."""
        return session.id in self._had_pause and session.id not in self._paused

    def _pause(self, session: Session | None, now_ns: int) -> None:
        if session is not None and session.endpoint is not None and session.id not in self._paused:
            self._paused[session.id] = session
            self._had_pause.add(session.id)
            self._calls.pause(session, Pause.QUEUE, now_ns)

    def _resume_all(self, now_ns: int) -> None:
        self.is_brim = False
        paused, self._paused = self._paused, {}
        for session in paused.values():
            self._calls.resume(session, Pause.QUEUE, now_ns)
