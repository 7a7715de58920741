"""Which limits a session has been shown, so that it is notified of changes to these and of nothing else. Pure."""

from gateway.orders.charging import Charging
from gateway.orders.endpoint_calls import EndpointCalls
from gateway.sessions.registry import Sessions
from gateway.sessions.session import Session, Shown
from limits.limiter import BucketView, Limiter


class LimitNotices:
    """Shows limits, and notifies sessions of what differs from what they were shown."""

    def __init__(self, limiter: Limiter, sessions: Sessions, charging: Charging, calls: EndpointCalls) -> None:
        self._limiter = limiter
        self._sessions = sessions
        self._charging = charging
        self._calls = calls
        self._latest: Shown = {}  # to any session: most have the same limits, and then share one record of them

    def look(self, session: Session, now_ns: int) -> list[BucketView]:
        """Every bucket of the session, and the ceiling of its account's open orders."""
        return [*self._limiter.view(session.path, now_ns), self._charging.open_orders(session)]

    def show(self, session: Session, now_ns: int) -> list[BucketView]:
        """The same; from now on the session is notified of changes to these."""
        views = self.look(session, now_ns)
        shown = {(view.name, view.scope): _shown(view) for view in views}
        if shown != self._latest:
            self._latest = shown
        session.shown_limits = self._latest
        return views

    def changed(self, now_ns: int) -> None:
        """A new policy is in force: notify each connected session of those of its buckets that differ now."""
        version = self._limiter.policy.version
        for session in list(self._sessions.by_id.values()):
            endpoint = session.endpoint
            if session.connected and endpoint is not None:
                before = session.shown_limits
                views = self.show(session, now_ns)
                changed = [view for view in views if before.get((view.name, view.scope)) != _shown(view)]
                if changed:
                    self._calls.call(endpoint, endpoint.limits_changed, changed, version, now_ns)


def _shown(view: BucketView) -> tuple[int, float, str]:
    """What of a bucket is its limit rather than its fill."""
    return view.capacity, view.rate, view.mode
