"""Notifies sessions of changes to the modes in force that concern them. Pure."""

from gateway.orders.endpoint_calls import EndpointCalls
from gateway.orders.trading_modes import Modes
from gateway.sessions.registry import Sessions
from gateway.sessions.session import Session
from protocols.instruments import Instruments
from protocols.wall import WallClock


class ModeNotices:
    """Tells each session how the modes differ from those before."""

    def __init__(self, sessions: Sessions, instruments: Instruments, calls: EndpointCalls, wall: WallClock) -> None:
        self._sessions = sessions
        self._wall = wall
        self._instruments = instruments
        self._calls = calls

    def to_all(self, before: Modes, modes: Modes, now_ns: int) -> None:
        """Every connected session."""
        for session in list(self._sessions.by_id.values()):
            if session.connected:
                self.to(session, before, modes, now_ns)

    def to(self, session: Session, before: Modes, modes: Modes, now_ns: int) -> None:
        """One session; before: `Modes()` for one that has just logged on."""
        client, endpoint = session.client, session.endpoint
        if endpoint is None:
            return
        at_ns = self._wall.utc_ns(now_ns)
        for state in modes.news(before, client.account, client.account_id, session.name, at_ns):
            self._calls.call(endpoint, endpoint.notice, state, now_ns)
        for state in modes.market_news(before, at_ns):
            if state.instrument in self._instruments.by_id:
                self._calls.call(endpoint, endpoint.notice, state, now_ns)
