"""The pure half of the FIX door: one session's machine, its translator, and its business with the road.

It lives as long as the session, across connections: reports that arise while the client is away are numbered and kept,
and served on its ResendRequest. The connection (`link`) comes and goes.
"""

from typing import Any, Protocol

from gateway import config
from gateway.guards import Guards
from gateway.metrics import Metrics
from gateway.pipeline import Road
from gateway.request import Request
from gateway.sessions import Session
from gateway.tracing import Tracing
from limits.limiter import BucketView, Limiter
from protocols import errors
from protocols.errors import Refusal
from protocols.fix import events, tags
from protocols.fix.decoder import Fault
from protocols.fix.session import FixSession
from protocols.fix.session_logon import whole_number
from protocols.fix.translate import LimitLine, Translator
from protocols.messages import AnyEvent, CancelRejected, EngineState, MassCancelDone, NewOrder, OrderEvent, OrderList

RESENT_MAX_AGE_NS = 60_000_000_000  # a PossDup D or G without a window that is older than this is not acted on
_COD = {"N": "off", "S": "session", "Y": "account"}
_COD_TEXT = {word: char for char, word in _COD.items()}


class Link(Protocol):
    """The connection, as a speaker needs it. `peer` is whom it carries bytes for."""

    peer: Any

    def wake(self) -> None: ...
    def close(self) -> None: ...
    def failed(self, now_ns: int) -> None:
        """Our own bug: a Logout without details, and the link is closed."""
        self.machine.terminate(now_ns, "internal error")
        if self.link is not None:
            self.link.close()

    def pause_reading(self, now_ns: int) -> None: ...
    def resume_reading(self, now_ns: int) -> None: ...


class House(Protocol):
    """The parts that every speaker shares; now_ns is the clock for output asked for between ticks."""

    road: Road
    guards: Guards
    metrics: Metrics
    tracing: Tracing

    @property
    def limiter(self) -> Limiter: ...

    def now_ns(self) -> int: ...
    def log(self, name: str, **fields: Any) -> None: ...


class FixSpeaker:
    """Speaks FIX for one session, to the client on one side and the road on the other."""

    def __init__(
        self,
        session: Session,
        machine: FixSession,
        translator: Translator,
        settings: config.FixSession,
        house: House,
    ) -> None:
        self.session = session
        self.machine = machine
        self.link: Link | None = None
        self._translator = translator
        self._settings = settings
        self._house = house
        self._response_mode: int = 1 if settings.kind == "drop_copy" else settings.response_mode
        self._recv_window_ms = settings.recv_window_ms
        self._is_end_counted = True  # why the link ended, in the metric; there is none yet
        session.may_trade = settings.kind == "order_entry"

    # -- the connection's side (gateway.connection.Peer) ---------------------------------------------------------

    @property
    def has_output(self) -> bool:
        """Whether there is something to write."""
        return self.machine.has_output

    @property
    def pending_bytes(self) -> int:
        """What is ready and unwritten."""
        return self.machine.pending_bytes

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` is next wanted."""
        return self.machine.next_deadline_ns

    def take_output(self, limit_bytes: int) -> bytes:
        """The next bytes to write."""
        return self.machine.take_output(limit_bytes, self._house.now_ns())

    def attach(self, link: Link, logon: dict[int, str], now_ns: int) -> None:
        """A new connection that has proved who it is; its Logon(A) is fed next. A living link is superseded."""
        self._choose_options(logon)
        if self.link is not None:
            self.machine.terminate(now_ns, "superseded")
            self._end_link()
        self.link, self._is_end_counted = link, False
        self.machine.connected(now_ns)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Bytes of the client."""
        for event in self.machine.receive(data, now_ns):
            self._on_event(event, len(data), now_ns)

    def tick(self, now_ns: int) -> None:
        """Heartbeats and time-outs."""
        for event in self.machine.tick(now_ns):
            self._on_event(event, 0, now_ns)

    def lost(self, now_ns: int) -> None:
        """The connection is gone. A superseded one says nothing here: it no longer belongs to us."""
        self.link = None
        self.machine.disconnected(now_ns)
        if self.session.connected:
            self.session.connected = False
            self._house.log("session.lost", session=self.session.name)
            self._house.guards.disconnected(self.session, now_ns)
        self._count_end("lost")

    def too_slow(self, now_ns: int) -> None:
        """The reader is too far behind: its reports stay resendable."""
        self._count_end("too_slow")
        self.machine.terminate(now_ns, "too slow to read")
        self._house.log("session.too_slow", session=self.session.name)

    def paused(self, now_ns: int) -> None:
        """We stopped reading: silence is not the peer's fault."""
        self.machine.pause(now_ns)

    def resumed(self, now_ns: int) -> None:
        """We read on."""
        self.machine.resume(now_ns)

    # -- what the machine tells ----------------------------------------------------------------------------------

    def _on_event(self, event: events.Event, size_bytes: int, now_ns: int) -> None:
        if isinstance(event, events.AppMessage):
            self._on_message(event, now_ns)
        elif isinstance(event, events.LoggedOn):
            self._on_logged_on(event, now_ns)
        elif isinstance(event, events.LoggedOut):
            self._on_logged_out(event, now_ns)
        elif isinstance(event, events.Disconnect):
            self._count_end(event.reason)
            self._house.log("session.disconnect", session=self.session.name, reason=event.reason, text=event.text)
            if self.link is not None:
                self.link.close()
        elif isinstance(event, events.Garbled):
            self._house.metrics.fix_garbled += 1
        elif isinstance(event, events.Rejected):
            self._house.metrics.fix_rejects += 1
        elif isinstance(event, events.SequenceGap | events.SequenceReset | events.PeerReject | events.Warned):
            self._house.log("session.notice", session=self.session.name, notice=repr(event))

    def _on_message(self, message: events.AppMessage, now_ns: int) -> None:
        house, session, kind = self._house, self.session, message.msg_type
        house.metrics.fix.messages_in += 1
        if not self._translator.serves(kind):
            if kind == tags.MsgType.LIMIT_QUERY:
                unserved = Fault("business", tags.BusinessRejectReason.UNSUPPORTED_MESSAGE_TYPE, 0, "not served here")
                self.machine.reject(message.seq_num, kind, unserved, now_ns)
            return  # News(B) and the like: read, and nothing to do
        if kind == tags.MsgType.LIMIT_QUERY:
            self._tell_limits(message, now_ns)
            return
        trace = None
        if kind == "D" and house.tracing.sample():
            trace = house.tracing.begin(now_ns, "fix", session.name)
        command = self._translator.command(message, session.sender, now_ns, self._recv_window_ms)
        if isinstance(command, Refusal):
            house.road.decline(session, kind, message, command, now_ns)
        elif isinstance(command, Fault):
            self.machine.reject(message.seq_num, kind, command, now_ns)
        elif message.poss_dup and kind in ("D", "G") and self._is_stale(message, now_ns):
            stale = Refusal(errors.EXPIRED_ON_ARRIVAL, "resent, and too old to act on")
            house.road.decline(session, kind, message, stale, now_ns)
        else:
            house.road.submit(session, command, kind, message, message.size_bytes, now_ns, trace)

    def _is_stale(self, message: events.AppMessage, now_ns: int) -> bool:
        """Whether a resent order without a window of its own is too old to act on."""
        has_window = tags.RECV_WINDOW in message.fields or self._recv_window_ms
        return not has_window and now_ns - message.sending_time_ns > RESENT_MAX_AGE_NS

    def _on_logged_on(self, event: events.LoggedOn, now_ns: int) -> None:
        self.session.connected = True
        self._house.guards.connected(self.session)
        self._house.road.show_limits(self.session, now_ns)
        self._house.log("session.logged_on", session=self.session.name, door="fix", reset=event.reset)

    def _on_logged_out(self, event: events.LoggedOut, now_ns: int) -> None:
        self.session.connected = False
        self._count_end("logout")
        keep = not event.by_peer or event.fields.get(tags.DONT_CANCEL_ON_DISCONNECT) == "Y"
        self._house.guards.disconnected(self.session, now_ns, keep_orders=keep)
        self._house.log("session.logged_out", session=self.session.name, by_peer=event.by_peer, text=event.text)
        if self.link is not None:
            self.link.close()

    def _choose_options(self, logon: dict[int, str]) -> None:
        """Read the Logon's options and put the values in force into our answer."""
        session, settings = self.session, self._settings
        session.cancel_on_disconnect = _COD.get(
            logon.get(tags.CANCEL_ORDERS_ON_DISCONNECT, ""), _COD[settings.cancel_on_disconnect]
        )
        asked_ms = whole_number(logon.get(tags.COD_GRACE_MS))
        session.cod_grace_ms = settings.cod_grace_ms if asked_ms is None else min(asked_ms, 60_000)
        if settings.kind == "order_entry" and logon.get(tags.RESPONSE_MODE, "") in ("1", "2"):
            self._response_mode = int(logon[tags.RESPONSE_MODE])
        if self.machine.settings.plain:
            self.machine.logon_body = ""
            return
        latest = ""
        if logon.get(tags.RESET_SEQ_NUM_FLAG) == "Y" or settings.reset_on_logon:
            # Reports it had not read are gone with its numbers: this tells how far the account's stream is.
            latest = f"20105={self._house.road.latest_seq(session)}\x01"
        self.machine.logon_body = (
            f"{latest}20106={self._house.road.epoch}\x01"
            f"8013={_COD_TEXT[session.cancel_on_disconnect]}\x0120107={session.cod_grace_ms}\x01"
            f"25036={self._response_mode}\x01"
        )

    def _count_end(self, reason: str) -> None:
        """Each connection ends for one reason: the first that was found."""
        if not self._is_end_counted:
            self._is_end_counted = True
            self._house.metrics.count_disconnect("fix", reason)

    def _end_link(self) -> None:
        """Let the old connection write its Logout and go, without its end being taken for ours."""
        link, self.link = self.link, None
        assert link is not None
        link.peer = Farewell(self.machine.take_output(1 << 20))
        link.close()
        self.machine.disconnected(0)
        self._count_end("superseded")

    def _tell_limits(self, message: events.AppMessage, now_ns: int) -> None:
        refusal = self._house.road.charge_message(self.session, now_ns)
        if refusal is not None:
            self.refuse(message, refusal, now_ns)
            return
        lines = [_limit_line(view) for view in self._house.road.show_limits(self.session, now_ns)]
        msg_type, body = self._translator.limits(message.fields[tags.REQ_ID], lines)
        self._send(msg_type, body, now_ns)

    # -- the road's side (gateway.sessions.Speaker) --------------------------------------------------------------

    def handed_over(self, request: Request, now_ns: int) -> None:
        """Pending New, for sessions that ask for it."""
        if self._settings.pending_new and isinstance(request.command, NewOrder):
            exec_id = f"P-{self.machine.store.next_out}"
            told = self._translator.pending_new(request.source, now_ns, exec_id, request.command.t_recv)  # type: ignore[arg-type]
            self._send(*told, now_ns)

    def answer(self, request: Request, event: AnyEvent, now_ns: int) -> None:
        """States that were asked for; everything else is told by its report."""
        if isinstance(event, OrderList) or (isinstance(event, OrderEvent) and event.exec_type._value_ == "I"):
            self._tell(event, request, now_ns)

    def report(self, event: AnyEvent, request: Request | None, now_ns: int) -> None:
        """An event of the account: ours, or all of them in response mode 1."""
        if request is None and event.session != self.session.id:  # type: ignore[union-attr]
            if self._response_mode == 2 or not isinstance(event, OrderEvent):
                return
        elif request is None and isinstance(event, CancelRejected | MassCancelDone) and event.cmd_id == 0:
            return
        self._tell(event, request, now_ns)

    def refuse(self, source: object, refusal: Refusal, now_ns: int) -> None:
        """The gateway's own no, in the message's own words."""
        assert isinstance(source, events.AppMessage)
        exec_id = f"{'P' if refusal.outcome == 'unknown' else 'R'}-{self.machine.store.next_out}"
        self._send(*self._translator.refusal(source, refusal, now_ns, exec_id), now_ns)

    def notice(self, state: EngineState, now_ns: int) -> None:
        """News(B) about the market."""
        for msg_type, body in self._translator.event(state, None):
            self._send(msg_type, body, now_ns)

    def limits_changed(self, views: list[BucketView], version: int, now_ns: int) -> None:
        """News(B): which limits are different now."""
        lines = "; ".join(str(_limit_line(view)) for view in views)
        self._send(*self._translator.news("limits changed", f"limits version {version}: {lines}"), now_ns)

    def draining(self, reconnect_by_ns: int, text: str, now_ns: int) -> None:
        """News(B), urgent: a planned end is near."""
        self._send(*self._translator.news("draining", text, flash=True), now_ns)

    def pause_reading(self, now_ns: int) -> None:
        """The queue fills."""
        if self.link is not None:
            self.link.pause_reading(now_ns)

    def resume_reading(self, now_ns: int) -> None:
        """The queue has room."""
        if self.link is not None:
            self.link.resume_reading(now_ns)

    def log_out(self, now_ns: int, text: str) -> None:
        """We end the session: a drain, an operator."""
        if self.machine.is_logged_on:
            self.machine.logout(now_ns, text)
            if self.link is not None:
                self.link.wake()

    def reset(self, now_ns: int) -> None:
        """The scheduled moment: both numbers go back to 1. Who is logged on is logged out first, and comes back."""
        if self.link is not None:
            self.machine.terminate(now_ns, "scheduled reset of sequence numbers")
            self._end_link()
            self.session.connected = False
            self._house.guards.disconnected(self.session, now_ns, keep_orders=True)
        self.machine.store.reset()
        self._house.log("session.notice", session=self.session.name, notice="sequence numbers reset by schedule")

    def _tell(self, event: AnyEvent, request: Request | None, now_ns: int) -> None:
        source = None if request is None else request.source
        t_recv = 0 if request is None else request.command.t_recv
        for msg_type, body in self._translator.event(event, source, t_recv):  # type: ignore[arg-type]
            self._send(msg_type, body, now_ns)

    def _send(self, msg_type: str, body: str, now_ns: int) -> None:
        self.machine.send(msg_type, body, now_ns)
        self._house.metrics.fix.messages_out += 1
        if self.link is not None:
            self.link.wake()


class Farewell:
    """The last bytes of a connection that lost its session to a newer one."""

    next_deadline_ns = None

    def __init__(self, output: bytes) -> None:
        self._output = output

    @property
    def has_output(self) -> bool:
        """Whether the bytes are still to be written."""
        return bool(self._output)

    @property
    def pending_bytes(self) -> int:
        """How many they are."""
        return len(self._output)

    def take_output(self, limit_bytes: int) -> bytes:
        """All of it."""
        output, self._output = self._output, b""
        return output

    def receive(self, data: bytes, now_ns: int) -> None:
        """Nothing is heard any more."""

    def tick(self, now_ns: int) -> None:
        """Nothing is due."""

    def lost(self, now_ns: int) -> None:
        """The session lives on elsewhere."""

    def too_slow(self, now_ns: int) -> None:
        """It is closing anyway."""

    def paused(self, now_ns: int) -> None:
        """Nothing is read."""

    def resumed(self, now_ns: int) -> None:
        """Nothing is read."""


def _limit_line(view: BucketView) -> LimitLine:
    return LimitLine(view.name, view.scope, view.capacity, view.remaining, round(view.rate * 1_000))
