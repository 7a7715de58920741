"""Requests the snapshot of open orders that a connection needs before it can continue its stream.

The gateway requests it through the order path like any query, for the connection's own session. Events after the
snapshot wait in the stream until it is written. Pure.
"""

from gateway.doors.services import Services
from gateway.doors.ws.answers import Source
from gateway.doors.ws.stream_cursor import StreamCursor
from gateway.sessions.session import Session
from protocols.messages import OrderList, QueryOrders
from protocols.units import NS_PER_MS

METHOD = "snapshot"
"""The method name by which it is charged, and its answer is recognised."""
_RETRY_MS = 1_000


class SnapshotQuery:
    """Requests a snapshot until it is answered, or no longer needed."""

    __slots__ = ("_services", "ask_at_ns")

    def __init__(self, services: Services) -> None:
        self._services = services
        self.ask_at_ns = 0  # when to ask again after a refusal; 0 = not refused

    def ask(self, session: Session | None, cursor: StreamCursor, now_ns: int) -> None:
        """Ask now, if the session still needs one."""
        self.ask_at_ns = 0
        if session is None or not cursor.awaits_snapshot:
            return
        sender = session.sender
        query = QueryOrders(
            sender.next_query_id(), sender.account, sender.session, sender.origin, now_ns, 0, req_id=METHOD
        )
        self._services.orders.admission.submit(session, query, METHOD, Source(None, METHOD, now_ns), 0, now_ns)

    def refused(self, retry_after_ms: int, now_ns: int) -> None:
        """The order path had no room for it."""
        self.ask_at_ns = now_ns + max(retry_after_ms, _RETRY_MS) * NS_PER_MS

    @staticmethod
    def answered(event: OrderList, cursor: StreamCursor) -> None:
        """Give it to the cursor. One that is not awaited is late: an earlier answer was used."""
        if cursor.awaits_snapshot:
            cursor.give_snapshot(event)
