"""What changed of the modes in force, told to each session that it concerns. Pure."""

from collections.abc import Callable
from typing import Protocol

from gateway.orders.trading_modes import Modes
from gateway.sessions.registry import Endpoint, Session, Sessions
from protocols.instruments import Instruments
from protocols.messages import EngineState
from protocols.wall import WallClock


class Tell(Protocol):
    """Calls an endpoint; what it raises costs that session's connection and nobody else's news."""

    def __call__(
        self, endpoint: Endpoint, call: Callable[[EngineState, int], None], state: EngineState, now_ns: int, /
    ) -> None: ...


class ModeNotices:
    """Tells sessions how the modes differ from those before."""

    def __init__(self, sessions: Sessions, instruments: Instruments, tell: Tell, wall: WallClock) -> None:
        self._sessions = sessions
        self._wall = wall
        self._instruments = instruments
        self._tell = tell

    def to_all(self, before: Modes, modes: Modes, now_ns: int) -> None:
        """Whoever is connected."""
        for session in self._sessions.by_id.values():
            if session.connected:
                self.to(session, before, modes, now_ns)

    def to(self, session: Session, before: Modes, modes: Modes, now_ns: int) -> None:
        """One session; before: `Modes()` for one that has just logged on."""
        client, endpoint = session.client, session.endpoint
        if endpoint is None:
            return
        at_ns = self._wall.utc_ns(now_ns)
        for state in modes.news(before, client.account, client.account_id, session.name, at_ns):
            self._tell(endpoint, endpoint.notice, state, now_ns)
        for state in modes.market_news(before, at_ns):
            if state.instrument in self._instruments.by_id:
                self._tell(endpoint, endpoint.notice, state, now_ns)
