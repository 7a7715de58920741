"""The state of one session, and what its parts share: send, refuse, request, replay, log out, disconnect.

`machine` drives it, `handshake` begins a session, `inbound` reads a running one. They send to the peer and report to
the owner only through this module. It has the four ways to end a connection:

| Method | Logout(5) | Then |
| --- | --- | --- |
| `logout_and_wait` | after all that is queued | waits for the peer's Logout, at most `logout_timeout_s` |
| `logout_and_disconnect` | at once, before a running replay | closes: no answer makes sense |
| `disconnect` | none | closes |
| `logged_out` | both were exchanged, or ours was the last word (`terminate`) | closes |
"""

import msgspec

from protocols.errors import MALFORMED
from protocols.fix.decoder import Fault
from protocols.fix.events import Disconnect, Event, Leaving, LoggedOut, Rejected, ResendServed, SequenceGap
from protocols.fix.session.gap import Gap
from protocols.fix.session.logon import AcceptAnyLogon, LogonPolicy, too_low
from protocols.fix.session.output import Output
from protocols.fix.session.refusals import business_body, logout_body, reject_body
from protocols.fix.session.settings import SessionSettings, SessionState
from protocols.fix.session.store import MessageStore
from protocols.fix.session.timers import Timers
from protocols.fix.tags import SOH, TEXT, MsgType, SessionStatus
from protocols.units import NS_PER_MS, NS_PER_S
from protocols.wall import WallClock

_LOGOUT_IS_SENT = frozenset({SessionState.LOGOUT_SENT, SessionState.AWAITING_LOGOUT})
SENDING = frozenset({SessionState.LOGGED_ON, SessionState.LEAVING})
"""The states in which messages leave at once. In others they are stored, for the peer to request."""
_GAP_TIMEOUT_INTERVALS = 2
"""Heartbeat intervals to wait for a missing number before it is requested again."""
_HEART_BT_NS = 30 * NS_PER_S
"""The interval of a session without heartbeats."""
_REFUSALS = {"reject": (MsgType.REJECT, reject_body), "business": (MsgType.BUSINESS_MESSAGE_REJECT, business_body)}


class PendingLogout(msgspec.Struct, frozen=True):
    """The Logout(5) that a LEAVING session still has to send, and why.

    by_peer: it answers the peer's. session_status, code: SessionStatus(1409), ErrorCode(25016); None and 0 = left out.
    """

    by_peer: bool
    reason: str
    text: str
    session_status: int | None
    code: int
    fields: dict[int, str]  # the peer's Logout(5)


class SessionCore:
    """The state that all parts of a session machine share."""

    __slots__ = (
        "end_reason", "end_text", "events", "gap", "logon_policy", "now_ns", "output", "pending_logout", "settings",
        "state", "store", "timers", "wall",
    )  # fmt: skip

    def __init__(self, settings: SessionSettings, store: MessageStore, wall: WallClock) -> None:
        self.settings = settings
        self.store = store
        self.wall = wall
        self.state = SessionState.DISCONNECTED
        self.now_ns = 0
        self.events: list[Event] = []
        self.output = Output(settings, store, wall)
        self.gap = Gap(settings.held_max_messages, settings.held_max_bytes)
        self.timers = Timers(settings.test_request_at_permille, settings.give_up_at_permille)
        self.logon_policy: LogonPolicy = AcceptAnyLogon()
        self.end_reason = ""
        self.end_text = ""
        self.pending_logout: PendingLogout | None = None  # while LEAVING

    def send(self, msg_type: str, body: str) -> int:
        """Number and queue a session message."""
        return self.output.send_session(msg_type, body, self.now_ns)

    def refuse(self, fault: Fault, seq_num: int, msg_type: str, fields: dict[int, str]) -> None:
        """Reject(3) or BusinessMessageReject(j). Stored, because it may be the only answer to an order."""
        kind, make = _REFUSALS[fault.kind]
        body = make(self.settings, seq_num, msg_type, fault, fields)
        self.output.send_stored(kind, body, self.now_ns, self.state in SENDING)
        self.events.append(Rejected(msg_type, seq_num, fault.reason, fault.tag, fault.text))

    def refuse_logon(self, fault: Fault, seq_num: int, fields: dict[int, str]) -> None:
        """Reject(3) of a Logon(A) that does not begin the session. Not stored: the peer will use the number of this
        Logon again, and a resend must not say that the message which then has the number was rejected.
        """
        self.send(MsgType.REJECT, reject_body(self.settings, seq_num, MsgType.LOGON, fault, fields))
        self.events.append(Rejected(MsgType.LOGON, seq_num, fault.reason, fault.tag, fault.text))

    def send_logout(self, text: str, session_status: int | None, code: int = 0) -> None:
        """Logout(5), unless one was sent on this connection."""
        if self.state not in _LOGOUT_IS_SENT:
            self.send(MsgType.LOGOUT, logout_body(self.settings, text, session_status, code))

    def await_logout(self, state: SessionState, reason: str, text: str) -> None:
        """Wait for the peer's Logout in `state`, for a bounded time."""
        if self.state not in _LOGOUT_IS_SENT:
            self.timers.deadline_ns = self.now_ns + self.settings.logout_timeout_s * NS_PER_S
        self.state, self.end_reason, self.end_text = state, reason, text

    def logout_and_wait(
        self, reason: str, text: str, session_status: int = SessionStatus.LOGOUT_COMPLETE, code: int = MALFORMED
    ) -> None:
        """End the session, usually because the peer broke a rule: Logout, a short wait for its Logout, the end."""
        self.begin_logout(PendingLogout(False, reason, text, session_status, code, {}))

    def begin_logout(self, farewell: PendingLogout) -> None:
        """Read nothing more, and send the Logout after the answers to what the peer sent before."""
        self.pending_logout = farewell
        if self.state is SessionState.LOGGED_ON and self.settings.answer_timeout_ms:
            self.state = SessionState.LEAVING
            self.timers.deadline_ns = self.now_ns + self.settings.answer_timeout_ms * NS_PER_MS
            self.events.append(Leaving(farewell.by_peer, farewell.text, farewell.fields))
        else:
            self.send_pending_logout()

    def send_pending_logout(self) -> None:
        """Send the Logout(5) that waited for those answers."""
        farewell, self.pending_logout = self.pending_logout, None
        assert farewell is not None
        self.send_logout(farewell.text, farewell.session_status, farewell.code)
        if farewell.by_peer:
            self.logged_out(True, farewell.fields.get(TEXT, ""), farewell.fields)
        else:
            self.await_logout(SessionState.AWAITING_LOGOUT, farewell.reason, farewell.text)

    def logout_and_disconnect(
        self, reason: str, text: str, session_status: int = SessionStatus.LOGOUT_COMPLETE, code: int = MALFORMED
    ) -> None:
        """Logout and the end, without waiting: the number of an answer could not be read."""
        self.send_urgent_logout(text, session_status, code)
        self.disconnect(reason, text)

    def send_urgent_logout(self, text: str, session_status: int | None, code: int = 0) -> None:
        """Logout before what waits in the store or is being replayed; that can be requested later.

        If a Logout was queued after all of that, it is dropped with it, and this one takes its place.
        """
        if self.output.truncate() or self.state not in _LOGOUT_IS_SENT:
            self.send(MsgType.LOGOUT, logout_body(self.settings, text, session_status, code))

    def disconnect(self, reason: str, text: str) -> None:
        """The end without a Logout."""
        self.state = SessionState.ENDED
        self.events.append(Disconnect(reason, text))

    def logged_out(self, by_peer: bool, text: str, fields: dict[int, str]) -> None:
        """The end after the exchange of Logouts."""
        self.state = SessionState.ENDED
        self.events.append(LoggedOut(by_peer, text, fields))

    def reset_numbers(self) -> None:
        """Both sequence numbers to 1; all stored and held messages are dropped."""
        self.store.reset()
        self.output.forget_ranges()
        self.gap.clear()

    def replay(self, begin: int, end: int) -> None:
        """Send begin..end again, after all that is queued."""
        self.output.replay(begin, end)
        self.events.append(ResendServed(begin, end))

    def request_gap(self) -> None:
        """ResendRequest(2) for the numbers missing from NextIn on, or for the first chunk of them."""
        begin = self.store.next_in
        end = self.gap.request(begin, self.settings.resend_max_messages, self.gap_due_ns())
        self.send(MsgType.RESEND_REQUEST, f"7={begin}{SOH}16={end}{SOH}")
        self.events.append(SequenceGap(begin, end, self.gap.highest))

    def gap_due_ns(self) -> int:
        """The deadline for a number that is requested now."""
        return self.now_ns + _GAP_TIMEOUT_INTERVALS * (self.timers.heart_bt_ns or _HEART_BT_NS)

    def disconnect_too_low(self, seq_num: int) -> None:
        """Row 2.c: the peer's number is lower than expected."""
        why = too_low(self.store.next_in, seq_num)
        self.logout_and_disconnect(why.reason, why.text, why.session_status, why.code)
