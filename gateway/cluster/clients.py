"""All clients of a gateway at once, for when Redis takes nothing from it: see `Outage`."""

from gateway.doors.fix.endpoint import FixEndpoint
from gateway.doors.services import Services
from gateway.doors.ws.endpoint import WsEndpoint
from gateway.sessions.session import Pause, Session
from protocols.units import NS_PER_MS


class ClientsHere:
    """The clients that are connected to this gateway."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._paused: dict[int, Session] = {}

    def stop_counting(self, since_ns: int) -> None:
        self._services.cancel_on_disconnect.stop_counting(since_ns)

    def count_on(self, now_ns: int) -> None:
        self._services.cancel_on_disconnect.count_on(now_ns)

    def stop_reading(self, now_ns: int) -> None:
        services = self._services
        for session in list(services.sessions.by_id.values()):
            if session.connected and session.id not in self._paused:
                self._paused[session.id] = session
                services.orders.calls.pause(session, Pause.RECORDS, now_ns)

    def read_on(self, now_ns: int) -> None:
        paused, self._paused = self._paused, {}
        for session in paused.values():
            self._services.orders.calls.resume(session, Pause.RECORDS, now_ns)

    def cut_off(self, text: str, now_ns: int) -> int:
        """As after a drain, cancel-on-disconnect waits for `venue.drain_ms`: it is not they who left."""
        services, count = self._services, 0
        back_by_ns = now_ns + services.settings.venue.drain_ms * NS_PER_MS
        for session in list(services.sessions.by_id.values()):
            endpoint = session.endpoint
            if session.connected and isinstance(endpoint, FixEndpoint | WsEndpoint):
                services.orders.calls.call(endpoint, endpoint.cut_off, text, back_by_ns, now_ns)
                count += 1
        return count
