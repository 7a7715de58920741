"""Whether the venue takes new orders: the operators' modes, the time after a crash, the drain. Pure.

Each session is notified of what changes for it.
"""

from collections.abc import Iterable

from gateway.orders.endpoint_calls import EndpointCalls
from gateway.orders.trading_modes import Modes
from gateway.sessions.registry import Sessions
from gateway.sessions.request import Class, Request
from gateway.sessions.session import Session
from protocols.errors import Refusal
from protocols.instruments import Instruments
from protocols.wall import WallClock


class VenueState:
    """modes: replaced whole by `change`. reopen_at_ns: after an unclean start cancel only until then, 0 = it is open.

    draining: clients were asked to leave, and no new order is taken.
    """

    def __init__(self, sessions: Sessions, instruments: Instruments, calls: EndpointCalls, wall: WallClock) -> None:
        self._sessions = sessions
        self._instruments = instruments
        self._calls = calls
        self._wall = wall
        self.modes = Modes()
        self.reopen_at_ns = 0
        self.draining = False

    def bar(self, request: Request) -> Refusal | None:
        """What the modes in force say to a New or Replace; None = nothing."""
        if request.queue_class is not Class.ORDER:
            return None
        session = request.session
        return self.modes.refusal(session.client.account, session.name, request.command.instrument)

    def bars_any(self, session: Session, instruments: Iterable[int]) -> bool:
        """Whether the modes in force bar a New of this session in any of these instruments."""
        account, name = session.client.account, session.name
        return any(self.modes.refusal(account, name, instrument) is not None for instrument in instruments)

    def change(self, modes: Modes, now_ns: int) -> None:
        """Put these modes in force, for what waits in the queue too, and notify each session of what changed for it."""
        before, self.modes = self._shown, modes
        self._notify_all(before, now_ns)

    def show(self, session: Session, now_ns: int) -> None:
        """Notify a session that has just logged on of what bars its orders."""
        self._notify(session, Modes(), now_ns)

    def open_when_due(self, now_ns: int) -> None:
        """After a crash, clients had their time to come back."""
        if self.reopen_at_ns and now_ns >= self.reopen_at_ns:
            before, self.reopen_at_ns = self._shown, 0
            if not self.draining:  # they were asked to leave, and no order is taken
                self._notify_all(before, now_ns)

    def _notify_all(self, before: Modes, now_ns: int) -> None:
        for session in list(self._sessions.by_id.values()):
            if session.connected:
                self._notify(session, before, now_ns)

    def _notify(self, session: Session, before: Modes, now_ns: int) -> None:
        client, endpoint = session.client, session.endpoint
        if endpoint is None:
            return
        shown, at_ns = self._shown, self._wall.utc_ns(now_ns)
        market = (each for each in shown.market_news(before, at_ns) if each.instrument in self._instruments.by_id)
        for state in (*shown.news(before, client.account, client.account_id, session.name, at_ns), *market):
            self._calls.call(endpoint, endpoint.notice, state, now_ns)

    @property
    def _shown(self) -> Modes:
        """What clients know of: the modes in force, and that the venue has not opened yet after a crash."""
        return self.modes.while_reopening() if self.reopen_at_ns else self.modes
