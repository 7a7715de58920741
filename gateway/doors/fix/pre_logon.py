"""A FIX connection before its Logon(A): collects the first message, and passes the connection to its session.

A connection that has not logged on lives for 5 s and 4 KiB at most. Whatever is wrong with its Logon(A), the answer is
the same: silence, and a close after a fixed delay; only the log and the metric give the cause. A Logout would use up a
sequence number of the real session.
"""

from functools import partial

from gateway.auth.authenticator import Denied
from gateway.config import schema
from gateway.doors.connection import Connection
from gateway.doors.endpoint import FinalOutput, RefusedPeer
from gateway.doors.fix.endpoint import FixEndpoint
from gateway.doors.fix.logon import Elsewhere, FixLogon
from gateway.doors.listening import Arrival
from gateway.doors.peer import Peer
from gateway.doors.services import Services
from protocols.fix import tags
from protocols.fix.session.first_message import CloseSilently, FirstMessage, LogonClaim, refused_logout
from protocols.fix.session.logon import LogonRefusal
from protocols.fix.session.settings import SessionSettings
from protocols.units import NS_PER_MS, NS_PER_S

_FIRST_MESSAGE_BYTES = 4_096


class PreLogonPeer(Peer):
    """A connection's first peer: collects the first message, finds the session, gives it the connection."""

    next_deadline_ns: int | None = None

    def __init__(
        self,
        services: Services,
        logon: FixLogon,
        listener: schema.FixListener,
        connection: Connection,
        arrival: Arrival,
    ) -> None:
        self._services = services
        self._logon = logon
        self._listener = listener
        self._connection = connection
        self._arrival = arrival
        self._first_message = FirstMessage(_FIRST_MESSAGE_BYTES)
        self._refused = False
        self._is_gone = False
        self._coming: bytes | None = None  # what came while the session was on its way here
        self._explanation: tuple[SessionSettings, LogonRefusal | None] | None = None
        self.next_deadline_ns = arrival.accepted_ns + services.settings.fix.logon_timeout_s * NS_PER_S

    def receive(self, data: bytes, now_ns: int) -> None:
        if self._refused:
            return
        if self._coming is not None:
            self._coming += data
            if len(self._coming) > _FIRST_MESSAGE_BYTES:
                self._refuse(Denied("too_long"), "more than a Logon(A) while its session was on its way", now_ns)
            return
        outcome = self._first_message.receive(data)
        if isinstance(outcome, CloseSilently):
            self._refuse(Denied(outcome.reason), outcome.text, now_ns)
        elif outcome is not None:
            self._admit(outcome, now_ns)

    def _admit(self, claim: LogonClaim, now_ns: int) -> None:
        found = self._logon.admit(claim, self._listener, self._connection, now_ns)
        if isinstance(found, Elsewhere):
            self._coming = b""
            come = partial(self._come, claim, found)
            self._logon.bring(found, lambda why, at_ns: self._connection.call(come, why, at_ns), now_ns)
        else:
            self._judged(claim, found, now_ns)

    def _come(self, claim: LogonClaim, elsewhere: Elsewhere, why: str, now_ns: int) -> None:
        """The session is here, or cannot be."""
        if self._refused or self._is_gone:
            return
        if why:
            self._judged(claim, Denied("elsewhere", detail=why), now_ns)
        else:
            self._judged(claim, self._logon.attach(claim, elsewhere, self._connection, now_ns), now_ns)

    def _judged(self, claim: LogonClaim, found: FixEndpoint | Denied | LogonRefusal, now_ns: int) -> None:
        if isinstance(found, Denied | LogonRefusal):
            proven = found if isinstance(found, LogonRefusal) else None
            self._explanation = self._logon.explanation_for(claim, self._listener, proven)
            denied = found if isinstance(found, Denied) else Denied(found.reason, detail=found.text)
            comp_id, key = (claim.message.fields.get(tag, "") for tag in (tags.SENDER_COMP_ID, tags.USERNAME))
            self._refuse(denied, f"{comp_id}: {denied.detail}" if denied.detail else comp_id, now_ns, key)
            return
        self._arrival.proved()
        self._connection.peer = found
        found.receive(claim.raw + (self._coming or b""), now_ns)

    def _refuse(self, denied: Denied, detail: str, now_ns: int, key: str = "") -> None:
        self._refused = True
        self.next_deadline_ns = now_ns + self._services.settings.fix.refusal_delay_ms * NS_PER_MS + denied.hold_ns
        self._arrival.failed()
        self._logon.refuse(denied.cause, detail, self._arrival.peer_ip, key)
        self._connection.wake()

    def tick(self, now_ns: int) -> None:
        """The time for the first message, or the delay after a refusal, is over."""
        if not self._refused:
            self._refused = True
            self._logon.refuse("logon_timeout", "", self._arrival.peer_ip)
        if self._explanation is None:
            self._connection.abort()
            return
        settings, refusal = self._explanation
        output = refused_logout(settings, refusal, self._services.wall.utc_ns(now_ns))
        if refusal is not None:
            until_ns = now_ns + settings.logout_timeout_s * NS_PER_S
            self._connection.peer = RefusedPeer(output, self._connection, until_ns)
            self._connection.wake()
        else:
            self._connection.peer = FinalOutput(output)
            self._connection.close()

    def lost(self, now_ns: int) -> None:
        self._is_gone = True
        if not self._refused:
            self._services.metrics.count_disconnect("fix", "before_logon")

    def cut(self, reason: str) -> None:
        """End it, because others need its place."""
        if not self._refused:
            self._refused = True
            self._services.metrics.count_disconnect("fix", reason)
        self._connection.abort()
