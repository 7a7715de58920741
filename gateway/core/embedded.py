"""The reference engine in this process as a matching core: events come before `submit` returns.

There is no window to wait for, so the whole window is always available, except while events are being reported: those
of a command handed over from inside the sink would overtake the rest. An error while commands are executed leaves the
core in an unknown state. It then takes no more, and the process must end before anything of that turn is recorded.
"""

from collections.abc import Callable, Sequence

from gateway.core.engine import Engine
from gateway.core.matching import EventSink
from protocols.errors import LocalProtocolError
from protocols.messages import AnyCommand, OrderEvent, OrdStatus
from protocols.wall import WallClock


class EmbeddedCore:
    """A `MatchingCore` in memory, durable by what it records of its input (`gateway.recovery.records`)."""

    def __init__(
        self,
        engine: Engine,
        window: int,
        record: Callable[[Sequence[AnyCommand], int], None],
        fail: Callable[[Exception], None],
        wall: WallClock | None = None,
    ) -> None:
        """record: gets each hand-over, with the core's time, before it is executed, so that a later process can execute
        it again. fail: gets an error at once, before other code can act on a broken core. wall: turns own time into the
        core's, which is UTC; None = they are the same.
        """
        self.engine = engine
        self._record = record
        self._fail = fail
        self._has_failed = False
        self._wall = wall or WallClock()
        self._window = window
        self._sink: EventSink | None = None
        self._is_reporting = False

    @property
    def epoch(self) -> str:
        return self.engine.epoch

    @property
    def credit(self) -> int:
        """The window, or 0 from inside the sink and after a failure."""
        return 0 if self._is_reporting or self._has_failed else self._window

    def submit(self, commands: Sequence[AnyCommand], now_ns: int) -> None:
        """Execute one turn's commands in order, then give the sink all their events in one call (none: no call).

        Raises:
            LocalProtocolError: more commands than `credit`, or no one subscribed; nothing was executed.
            Exception: a bug in the gateway, or out of memory; `fail` was called with it.
        """
        if len(commands) > self.credit:
            raise LocalProtocolError(f"{len(commands)} commands with a credit of {self.credit}")
        if self._sink is None:
            raise LocalProtocolError("no one subscribed to the events")
        at_ns = now_ns + self._wall.offset_ns
        try:
            self._record(commands, at_ns)
            events = self.engine.execute_all(commands, at_ns)
            if events:
                self._is_reporting = True
                self._sink(events, now_ns)
                self._is_reporting = False
        except Exception as error:
            self._has_failed = True
            self._fail(error)
            raise

    def subscribe(self, sink: EventSink) -> None:
        self._sink = sink

    def latest_seq(self, account: int) -> int:
        return self.engine.latest_seq(account)

    def order_state(self, account: int, order_id: int, cl_ord_id: str) -> OrderEvent | OrdStatus:
        return self.engine.order_state(account, order_id, cl_ord_id) or OrdStatus.REJECTED
