"""The FIX session: bytes and the time in, events and bytes out. Acceptor and initiator are the same machine.

It numbers, checks and answers messages, holds early ones and requests missing ones; it hands out each message once, in
sequence. NextIn and NextOut are in the store and outlive connections. NextIn moves before the answer to a message is
built, so that LastMsgSeqNumProcessed(369) counts that message; it does not move for what is ignored.

Source: the FIX session layer and its test cases v1.0 (ISO 3531), by whose scenario numbers the tests are named.
"""

from collections.abc import Sequence

from protocols.errors import DISCONNECTED, LocalProtocolError, RemoteProtocolError
from protocols.fix.decoder import DecodedMessage, Decoder, Fault
from protocols.fix.events import AppMessage, Event, Garbled
from protocols.fix.framing import Framer
from protocols.fix.message import Headers
from protocols.fix.order_reader import OrderReader
from protocols.fix.order_run import OrderRun
from protocols.fix.session.core import SENDING, SessionCore
from protocols.fix.session.handshake import Handshake
from protocols.fix.session.inbound import READING, Inbound
from protocols.fix.session.logon import LogonPolicy, LogonRefusal
from protocols.fix.session.settings import CLIENT_MSG_TYPES, TRANSITIONS, Call, SessionSettings, SessionState
from protocols.fix.session.store import MessageStore
from protocols.fix.tags import SENDING_TIME, SESSION_MSG_TYPES, SOH, MsgType
from protocols.fix.times import parse_ns
from protocols.units import NS_PER_S
from protocols.wall import WallClock

GARBLED_MAX = 3
"""After this many garbled messages in a row the connection is closed: the peer does not speak FIX."""
_LOGGED_ON = SessionState.LOGGED_ON  # a member of an Enum is looked up dearly
_NOT_READING = frozenset({SessionState.LEAVING, SessionState.ENDED})
_TEST_REQ_ID = "TEST"  # any message answers a TestRequest(1), so the id need not be unique


class FixSession:
    """One session, across connections. Every `now_ns` is own time and never goes back; times on the wire are UTC.

    The owner bounds the output: it writes, and watches `pending_bytes`. Everything else held here has its bound in
    `SessionSettings`. A call that the state does not allow (`TRANSITIONS`) raises LocalProtocolError, changing nothing.
    """

    def __init__(self, settings: SessionSettings, store: MessageStore, wall: WallClock | None = None) -> None:
        """wall: UTC beside own time; None = they are the same."""
        self.settings = settings
        self.store = store
        self._core = SessionCore(settings, store, wall or WallClock())
        self._handshake = Handshake(self._core)
        self._inbound = Inbound(self._core, self._handshake)
        self._output = self._core.output
        self._framer = Framer(settings.max_message_bytes)
        self._decoder = Decoder(settings.begin_string, CLIENT_MSG_TYPES if settings.role == "acceptor" else None)
        self._garbled_in_row = 0
        self.order_reader: OrderReader | None = None
        """Reads plain orders by the run; None = every message is an event of its own."""

    # -- what the owner reads ------------------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """The state of the session."""
        return self._core.state

    @property
    def is_logged_on(self) -> bool:
        """Whether a message that is sent now leaves at once."""
        return self._core.state is _LOGGED_ON

    @property
    def logon_policy(self) -> LogonPolicy:
        """The owner's part in a logon: whether a Logon(A) may begin the session, and more fields for our answer."""
        return self._core.logon_policy

    @logon_policy.setter
    def logon_policy(self, policy: LogonPolicy) -> None:
        self._core.logon_policy = policy

    @property
    def has_output(self) -> bool:
        """Whether `take_output` has something to give."""
        return bool(self._output.queue)

    @property
    def pending_bytes(self) -> int:
        """Bytes ready to be written, without what is still in the store."""
        return self._output.pending_bytes

    @property
    def must_read(self) -> bool:
        """Whether `take_ready` is empty until `read_on` has read from the store."""
        return self._output.must_read

    @property
    def behind(self) -> int:
        """Messages in the store that wait for their first sending, while the peer has not requested a resend."""
        return self._output.behind

    @property
    def next_deadline_ns(self) -> int | None:
        """When to call `tick` next; None = never, in this state."""
        core = self._core
        if core.state is _LOGGED_ON:
            next_ns, gap_ns = core.timers.next_ns(self._output.last_sent_ns), core.gap.deadline_ns
            if gap_ns and not core.timers.is_paused:
                return gap_ns if next_ns is None else min(next_ns, gap_ns)
            return next_ns
        return None if core.state in (SessionState.DISCONNECTED, SessionState.ENDED) else core.timers.deadline_ns

    def judge(self, logon: DecodedMessage, now_ns: int) -> LogonRefusal | None:
        """Why this Logon(A) would not begin the session if it came on a new connection now; None = it would.

        Changes nothing, so a Logon that is refused does not disturb the connection that the session has.
        """
        return self._handshake.judge(logon, now_ns)

    # -- the connection ------------------------------------------------------------------------------------------

    def connected(self, now_ns: int) -> None:
        """A new connection. Only the numbers and the stored messages are left of the last one."""
        core = self._require(Call.CONNECTED, now_ns)
        self._forget_link()
        core.timers.connected(now_ns + self.settings.logon_timeout_s * NS_PER_S)
        core.state = SessionState.CONNECTED

    def disconnected(self, now_ns: int) -> None:
        """The connection is gone. Messages sent from now on are numbered and stored."""
        core = self._require(Call.DISCONNECTED, now_ns)
        self._forget_link()
        core.state = SessionState.DISCONNECTED

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        """The events of these bytes, in order. Any input is accepted; while the session is leaving it is ignored."""
        core, reader = self._core, self.order_reader
        if core.state is not _LOGGED_ON:
            self._require(Call.RECEIVE, now_ns)
            if core.state in _NOT_READING:
                return self._take_events()
        core.now_ns = now_ns
        if reader is not None and reader.is_ready and (lifted := self._framer.lift(data)) is not None:
            self._read_runs(reader, lifted)
        else:
            self._read_all(self._framer.feed(data))
        return self._take_events()

    def tick(self, now_ns: int) -> list[Event]:
        """Do what is due: heartbeats, tests, requests, time-outs. Harmless when called early."""
        core = self._require(Call.TICK, now_ns)
        if core.state is _LOGGED_ON:
            self._keep_alive()
            is_gap_due = 0 < core.gap.deadline_ns <= now_ns and not core.timers.is_paused
            if is_gap_due and core.state is _LOGGED_ON:
                self._inbound.retry_gap()
        elif core.state not in (SessionState.DISCONNECTED, SessionState.ENDED) and now_ns >= core.timers.deadline_ns:
            self._give_up_waiting()
        return self._take_events()

    def pause(self, now_ns: int) -> None:
        """The gateway stops reading: silence is not the peer's fault. Our heartbeats continue."""
        self._require(Call.PAUSE, now_ns).timers.pause(now_ns)

    def resume(self, now_ns: int) -> None:
        """The gateway reads again."""
        core = self._require(Call.RESUME, now_ns)
        unread_ns = core.timers.resume(now_ns)
        if core.gap.deadline_ns:
            core.gap.deadline_ns += unread_ns

    def take_output(self, limit_bytes: int = 65_536, now_ns: int = 0) -> bytes:
        """The next bytes to write, in order, in whole messages; empty only if there are no more.

        Args:
            limit_bytes: about how much to return; a longer message is returned whole. A replay reads no more than this
                from the store, so it bounds the memory and the time of a call.
            now_ns: for SendingTime(52) of what is sent again; 0 = that of the last call.
        """
        return self._output.take(limit_bytes, now_ns or self._core.now_ns)

    def take_ready(self, limit_bytes: int) -> bytes:
        """The same, without reading from the store; also empty when `must_read`."""
        return self._output.take(limit_bytes, 0, may_read=False)

    def read_on(self, now_ns: int) -> int:
        """When `must_read`: make the next slice ready. Returns the number of its messages, for the budget of a turn."""
        return self._output.read_on(now_ns)

    # -- what the owner does -------------------------------------------------------------------------------------

    def send(self, msg_type: str, body: str, now_ns: int) -> int:
        """Number, store and, when logged on, queue an application message. Returns its MsgSeqNum(34).

        body: the fields after the header, SOH-terminated. While the peer is away or logging out, the message is only
        stored, for the peer to request at its next logon. While a replay runs, it is queued after it.

        Raises:
            LocalProtocolError: a session message type, or a body that is not SOH-terminated.
        """
        if msg_type in SESSION_MSG_TYPES or body[-1:] not in ("", SOH):
            raise LocalProtocolError(f"not an application message: {msg_type}")
        core = self._core
        core.now_ns = now_ns
        return self._output.send_stored(msg_type, body, now_ns, core.state in SENDING)

    def headers(self, msg_type: str, now_ns: int) -> Headers | None:
        """Of a run of messages of this type, for `send_run`; None: `send` them one by one."""
        is_sent = self._core.state is _LOGGED_ON or self._core.state in SENDING
        return self._output.headers(msg_type, now_ns) if is_sent else None

    def send_run(self, texts: Sequence[str], now_ns: int) -> None:
        """The same as `send` for messages that follow each other, as one write and one record: `headers` and bodies."""
        self._core.now_ns = now_ns
        self._output.send_run(texts, now_ns)

    def reject(self, seq_num: int, msg_type: str, fault: Fault, now_ns: int) -> None:
        """Reject an `AppMessage` that was handed out, for a fault found in its translation. Stored like by `send`."""
        core = self._core
        core.now_ns = now_ns
        core.refuse(fault, seq_num, msg_type, {})
        core.events.pop()  # the owner knows that it rejected the message

    def logon(self, now_ns: int, body: str = "", reset: bool = False) -> None:
        """Send our Logon(A), as initiator.

        Args:
            body: fields besides 98, 108, 141, 789 and 1137, SOH-terminated. A signature covers MsgSeqNum(34), which
                is `store.next_out` (1 on a reset), and SendingTime(52): `format_ns(now_ns, settings.time_digits)`.
            reset: both numbers back to 1, with ResetSeqNumFlag(141)=Y.
        """
        if self.settings.role != "initiator":
            raise LocalProtocolError("an acceptor does not send the first Logon(A)")
        self._require(Call.LOGON, now_ns)
        self._handshake.send_logon(body, reset)

    def logout(self, now_ns: int, text: str, session_status: int | None = None, code: int = 0) -> None:
        """Request the end: Logout(5), then LoggedOut with the answer, or Disconnect after `logout_timeout_s`.

        session_status, code: SessionStatus(1409), ErrorCode(25016), if the dialect has them; None and 0 = left out.
        """
        core = self._require(Call.LOGOUT, now_ns)
        core.send_logout(text, session_status, code)
        core.await_logout(SessionState.LOGOUT_SENT, "logout_timeout", text)

    def leave(self, now_ns: int) -> list[Event]:
        """The owner has answered what the peer sent before `Leaving`: send our Logout(5).

        It follows all that is queued, including a running replay. LoggedOut is reported at once if the peer's Logout
        has come; otherwise Disconnect, when it comes or after `logout_timeout_s`.
        """
        self._require(Call.LEAVE, now_ns).send_pending_logout()
        return self._take_events()

    def terminate(self, now_ns: int, text: str, session_status: int | None = None, code: int = 0) -> list[Event]:
        """End at once: a Logout(5) as by `logout`, unless one was sent, and LoggedOut. No effect after the end."""
        core = self._require(Call.TERMINATE, now_ns)
        if core.state is not SessionState.ENDED:
            core.send_urgent_logout(text, session_status, code)
            core.logged_out(False, text, {})
        return self._take_events()

    # -- inside --------------------------------------------------------------------------------------------------

    def _require(self, call: Call, now_ns: int) -> SessionCore:
        core = self._core
        if call not in TRANSITIONS[core.state]:
            raise LocalProtocolError(f"{call.value} is not possible: the session is {core.state.value}")
        core.now_ns = now_ns
        return core

    def _take_events(self) -> list[Event]:
        core = self._core
        events, core.events = core.events, []
        core.output.handed_out = 0
        return events

    def _forget_link(self) -> None:
        self._framer.clear()
        self._garbled_in_row = 0
        self._output.clear()
        self._core.gap.clear()
        self._core.pending_logout = None
        self._core.events.clear()

    def _read_runs(self, reader: OrderReader, data: bytes) -> None:
        """Runs of plain orders, and what stands between them on the general road."""
        core, framer, store = self._core, self._framer, self.store
        text = data.decode("latin-1") if data.isascii() else ""
        begin = 0
        while begin < len(data):
            is_plain = core.state is _LOGGED_ON and framer.is_in_step and not core.gap.highest
            if is_plain and text and not store.intake.done:
                run = reader.read(data, text, begin, store.intake.next_in, core.now_ns + core.wall.offset_ns)
                if run is not None:
                    self._take_run(run)
                    begin = run.ends[-1]
                    continue
            found, begin = framer.cut_first(data, begin)
            self._read_all(found)
            if core.state in _NOT_READING:
                framer.feed(data[begin:])  # not read; of an incomplete message the rest may come later
                return

    def _take_run(self, run: OrderRun) -> None:
        core = self._core
        self._garbled_in_row = 0
        core.timers.received(core.now_ns)
        self.store.next_in = run.seq_num + len(run.orders)
        core.events.append(run)

    def message_in(self, run: OrderRun, index: int) -> AppMessage:
        """One message of a run, as the general road would have handed it out."""
        frame = run.frame(index)
        message = self._decoder.decode(frame)
        sent_ns = parse_ns(message.fields[SENDING_TIME])
        seq_num = run.seq_num + index
        return AppMessage(message.msg_type, seq_num, message.fields, message.groups, False, False, sent_ns, len(frame))

    def _read_all(self, found: list[bytes | Garbled]) -> None:
        core = self._core
        for each in found:
            if isinstance(each, Garbled):
                self._skip(each)
            else:
                self._read(each)
            if core.state in _NOT_READING:
                return

    def _skip(self, garbled: Garbled) -> None:
        """Row 2.d: no number was used, so nothing changes; the next good message shows the gap.

        Three in a row end the connection, and so does one longer than the maximum.
        """
        core = self._core
        core.events.append(garbled)
        self._garbled_in_row += 1
        is_hopeless = garbled.is_too_long or self._garbled_in_row >= GARBLED_MAX
        if is_hopeless or core.state in (SessionState.CONNECTED, SessionState.LOGON_SENT):
            core.disconnect("garbled", garbled.reason)

    def _read(self, frame: bytes) -> None:
        core = self._core
        try:
            message = self._decoder.decode(frame)
        except RemoteProtocolError as error:
            self._skip(Garbled(str(error), len(frame)))
            return
        self._garbled_in_row = 0
        core.timers.received(core.now_ns)
        if core.state in READING:
            self._inbound.read(message, len(frame))
        elif core.state is SessionState.AWAITING_LOGOUT:
            self._inbound.read_awaited_logout(message)
        else:
            self._handshake.read(message)

    def _keep_alive(self) -> None:
        """Rows 4.a and 6."""
        core = self._core
        timers, now_ns = core.timers, core.now_ns
        if timers.is_lost(now_ns):
            core.logout_and_disconnect("silence", "no message and no answer to TestRequest(1)", code=DISCONNECTED)
            return
        if timers.is_test_due(now_ns):
            core.send(MsgType.TEST_REQUEST, f"112={_TEST_REQ_ID}{SOH}")
            timers.test_sent(now_ns)
        if timers.is_heartbeat_due(self._output.last_sent_ns, now_ns):
            core.send(MsgType.HEARTBEAT, "")

    def _give_up_waiting(self) -> None:
        core = self._core
        if core.state is SessionState.LEAVING:
            core.send_pending_logout()
        elif core.state in (SessionState.LOGOUT_SENT, SessionState.AWAITING_LOGOUT):
            if self._output.queue:  # our Logout is not written yet, so no answer is due; the owner cuts a slow reader
                core.timers.deadline_ns = core.now_ns + self.settings.logout_timeout_s * NS_PER_S
            else:
                core.disconnect(core.end_reason, core.end_text)
        else:
            core.disconnect("logon_timeout", f"no Logon(A) in {self.settings.logon_timeout_s} s")
