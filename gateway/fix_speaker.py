"""The pure half of the FIX door: one session's machine, its translator, and its business with the road.

It lives as long as the session, across connections: reports that arise while the client is away are numbered and kept,
and served on its ResendRequest. The connection (`link`) comes and goes. What a Logon(A) asks for is in force from the
moment it is accepted, not before: a refused one changes nothing.
"""

from contextlib import suppress
from itertools import count

from gateway import config
from gateway.fix_logon import in_force, options_of
from gateway.house import Farewell, Flood, House, Link
from gateway.request import Request, answer_to
from gateway.sessions import Session
from limits.limiter import BucketView
from protocols import errors
from protocols.errors import Refusal
from protocols.fix import events, tags
from protocols.fix.decoder import Fault
from protocols.fix.dialect import safe_text
from protocols.fix.session import FixSession, LogonRefusal
from protocols.fix.tags import MsgType, SessionStatus
from protocols.fix.translate import LimitLine, Translator, named_in
from protocols.messages import AnyEvent, EngineState, MassCancelDone, NewOrder, OrderEvent, OrderList, OrdStatus

__all__ = ["FixSpeaker", "House", "Link"]

RESENT_MAX_AGE_NS = 60_000_000_000  # a PossDup D or G without a window that is older than this is not acted on
_FREE_LIMIT_QUERY_NS = 1_000_000_000  # one so often costs nothing
_USUAL_BURST = 400  # of `msgs`, where a cool-down refuses what no limit of its own does
_ORDERS = ("D", "G")
_ABUSE = "far too many messages: disconnecting"


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
        self._asked = options_of(settings, {})
        session.response_mode = self._asked.response_mode
        self._is_end_counted = True  # why the link ended, in the metric; there is none yet
        self._flood = Flood()
        self._limits_told_ns = 0
        # ExecID(17) of what the core has no number for: none comes twice, whatever is reset and however often we start.
        self._exec_stamp = f"{session.id}-{house.now_ns() // 1_000_000:x}"
        self._exec_numbers = count(1)
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
        if self.link is not None:
            self._end_link(now_ns, "superseded", "superseded")
        self.link, self._is_end_counted = link, False
        self._asked = options_of(self._settings, logon)
        self.machine.logon_body = self._logon_body(logon)
        self.machine.logon_refusal = self._why_not_now(logon)
        self.machine.connected(now_ns)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Bytes of the client."""
        for event in self.machine.receive(data, now_ns):
            self._on_event(event, now_ns)

    def tick(self, now_ns: int) -> None:
        """Heartbeats and time-outs."""
        for event in self.machine.tick(now_ns):
            self._on_event(event, now_ns)

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
        self.machine.terminate(now_ns, "too slow to read", SessionStatus.LOGOUT_COMPLETE)
        self._house.log("session.too_slow", session=self.session.name)

    def failed(self, now_ns: int) -> None:
        """Our own bug: a Logout without details, and the end of the link, which starts cancel-on-disconnect."""
        if self.link is None:
            return
        self._count_end("internal_error")
        with suppress(Exception):  # the machine may be what is broken; then the link ends without a word
            self.machine.terminate(now_ns, "internal error", SessionStatus.LOGOUT_COMPLETE)
        self.link.close()

    def paused(self, now_ns: int) -> None:
        """We stopped reading: silence is not the peer's fault."""
        self.machine.pause(now_ns)

    def resumed(self, now_ns: int) -> None:
        """We read on."""
        self.machine.resume(now_ns)

    # -- what the machine tells ----------------------------------------------------------------------------------

    def _on_event(self, event: events.Event, now_ns: int) -> None:
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
            self._charge_faulty(now_ns)
        elif isinstance(event, events.Rejected):
            self._house.metrics.fix_rejects += 1
            self._charge_faulty(now_ns)
        elif isinstance(event, events.SequenceGap | events.SequenceReset | events.PeerReject | events.Warned):
            self._house.log("session.notice", session=self.session.name, notice=repr(event))

    def _on_message(self, message: events.AppMessage, now_ns: int) -> None:
        house, session, kind = self._house, self.session, message.msg_type
        house.metrics.fix.messages_in += 1
        if kind == MsgType.LIMIT_QUERY or not self._translator.serves(kind):
            self._on_aside(message, now_ns)
            return
        if tags.ACCOUNT in message.fields or kind == MsgType.ORDER_MASS_CANCEL_REQUEST:
            barred = self._bar(message)
            if barred is not None:
                house.road.decline(session, kind, message, barred, now_ns)
                return
        if kind in _ORDERS and not message.poss_resend and (shed := house.road.why_shed(session, now_ns)) is not None:
            house.road.decline(session, kind, message, shed, now_ns)
            return
        trace = None
        if kind == "D" and house.tracing.sample():
            trace = house.tracing.begin(now_ns, "fix", session.name)
        command = self._translator.command(message, session.sender, now_ns, self._settings.recv_window_ms)
        if isinstance(command, Refusal):
            house.road.decline(session, kind, message, command, now_ns)
        elif isinstance(command, Fault):
            self.machine.reject(message.seq_num, kind, command, now_ns)
            self._charge_faulty(now_ns)
        elif message.poss_dup and kind in _ORDERS and self._is_stale(message, now_ns):
            stale = Refusal(errors.EXPIRED_ON_ARRIVAL, "resent, and too old to act on")
            house.road.decline(session, kind, message, stale, now_ns)
        else:
            house.road.submit(session, command, kind, message, message.size_bytes, now_ns, trace)

    def _bar(self, message: events.AppMessage) -> Refusal | None:
        """What is not permitted and its command would no longer show."""
        fields, session = message.fields, self.session
        if fields.get(tags.ACCOUNT, session.client.account) != session.client.account:
            # Cancels too: whoever means another account's orders must not touch those of the same name in this one.
            return Refusal(errors.NOT_PERMITTED, "Account(1) is not the account of this session", field="Account(1)")
        is_everywhere = fields.get(tags.MASS_CANCEL_REQUEST_TYPE) == "7" and fields.get(tags.CANCEL_SCOPE) != "S"
        if is_everywhere and session.instruments:
            text = "this session may not trade every symbol: name one, or CancelScope(20112)=S"
            return Refusal(errors.NOT_PERMITTED, text, field="Symbol(55)")
        return None

    def _is_stale(self, message: events.AppMessage, now_ns: int) -> bool:
        """Whether a resent order without a window of its own is too old to act on."""
        has_window = tags.RECV_WINDOW in message.fields or self._settings.recv_window_ms
        return not has_window and now_ns - message.sending_time_ns > RESENT_MAX_AGE_NS

    def _on_aside(self, message: events.AppMessage, now_ns: int) -> None:
        """A message that the road has no part in: LimitQuery(XLQ), and what is read and needs no answer."""
        kind = message.msg_type
        if kind == MsgType.LIMIT_QUERY and self._translator.serves(kind):
            self._tell_limits(message, now_ns)
        elif kind == MsgType.LIMIT_QUERY:
            unserved = Fault("business", tags.BusinessRejectReason.UNSUPPORTED_MESSAGE_TYPE, 0, "not served here")
            self.machine.reject(message.seq_num, kind, unserved, now_ns)
            self._charge_faulty(now_ns)
        elif kind == MsgType.BUSINESS_MESSAGE_REJECT:
            self._charge_faulty(now_ns)  # one of ours in answer would be answered with one of theirs, for ever
        else:
            refusal = self._house.road.charge_message(self.session, now_ns)
            if refusal is not None:
                self.refuse(message, refusal, now_ns)

    def _tell_limits(self, message: events.AppMessage, now_ns: int) -> None:
        """LimitResponse(XLR): free once a second, charged as a message beyond that."""
        if now_ns - self._limits_told_ns < _FREE_LIMIT_QUERY_NS:
            refusal = self._house.road.charge_message(self.session, now_ns)
            if refusal is not None:
                self.refuse(message, refusal, now_ns)
                return
        else:
            self._limits_told_ns = now_ns
        lines = [_limit_line(view) for view in self._house.road.limit_news.show(self.session, now_ns)]
        self._send(*self._translator.limits(message.fields[tags.REQ_ID], lines), now_ns)

    # -- too much of it ------------------------------------------------------------------------------------------

    def _charge_faulty(self, now_ns: int) -> None:
        """Charge a message that the road never sees and that has had its answer, if any."""
        if self._house.road.charge_message(self.session, now_ns) is not None and self._is_abuse(now_ns):
            self._end_for_abuse(now_ns)

    def _is_abuse(self, now_ns: int) -> bool:
        return self._flood.is_abuse(lambda: self._message_burst(now_ns), now_ns)

    def _message_burst(self, now_ns: int) -> int:
        views = self._house.limiter.view(self.session.path, now_ns, ("msgs",))
        return min((view.capacity for view in views if view.mode == "enforce"), default=_USUAL_BURST)

    def _end_for_abuse(self, now_ns: int) -> None:
        """Logout and the end of the link, which starts cancel-on-disconnect."""
        if self.link is None or not self.machine.is_logged_on:
            return
        self._count_end("limit_abuse")
        self._house.log("session.disconnect", session=self.session.name, reason="limit_abuse", text=_ABUSE)
        self.machine.terminate(now_ns, _ABUSE, SessionStatus.LOGOUT_COMPLETE, errors.LIMIT_ABUSE)
        self.link.close()

    # -- logon and logout ----------------------------------------------------------------------------------------

    def _on_logged_on(self, event: events.LoggedOn, now_ns: int) -> None:
        session, options = self.session, self._asked
        session.cancel_on_disconnect, session.cod_grace_ms = options.cancel_on_disconnect, options.cod_grace_ms
        session.response_mode = options.response_mode
        session.attached(now_ns)
        self._house.guards.connected(session)
        self._house.road.limit_news.show(session, now_ns)
        self._house.road.show_modes(session, now_ns)
        self._house.log("session.logged_on", session=session.name, door="fix", reset=event.reset)

    def _on_logged_out(self, event: events.LoggedOut, now_ns: int) -> None:
        self.session.connected = False
        self._count_end("logout")
        keep = not event.by_peer or event.fields.get(tags.DONT_CANCEL_ON_DISCONNECT) == "Y"
        self._house.guards.disconnected(self.session, now_ns, keep, is_planned=not event.by_peer)
        self._house.log("session.logged_out", session=self.session.name, by_peer=event.by_peer, text=event.text)
        if self.link is not None:
            self.link.close()

    def _why_not_now(self, logon: dict[int, str]) -> LogonRefusal | None:
        """Why a Logon that has proved who it is may not begin the session, None when it may."""
        if self._house.road.draining:
            return LogonRefusal(
                "draining",
                "the gateway is draining, try again later",
                session_status=SessionStatus.LOGON_NOT_ALLOWED_NOW,
                code=errors.DRAINING,
            )
        is_unaware = self._settings.kind == "drop_copy" and logon.get(tags.DROP_COPY_FLAG) != "Y"
        if is_unaware and not self.machine.settings.plain:
            text = "DropCopyFlag(9406)=Y is required: this session only listens"
            return LogonRefusal("bad_logon", text, code=errors.MISSING_FIELD)
        return None

    def _logon_body(self, logon: dict[int, str]) -> str:
        """Our answer's own fields: the values in force once the Logon is accepted."""
        if self.machine.settings.plain:
            return ""
        road = self._house.road
        latest = ""
        if logon.get(tags.RESET_SEQ_NUM_FLAG) == "Y" or self._settings.reset_on_logon:
            # Reports it had not read are gone with its numbers: this tells how far the account's stream is.
            latest = f"20105={road.latest_seq(self.session)}\x01"
        plan = road.policy.plan_of(self.session.client.account).name
        notice = f"58=limits: {safe_text(plan)}, version {road.policy.version}\x01"
        return f"{latest}20106={road.epoch}\x01{in_force(self._settings, self._asked, logon)}{notice}"

    def _count_end(self, reason: str) -> None:
        """Each connection ends for one reason: the first that was found."""
        if not self._is_end_counted:
            self._is_end_counted = True
            self._house.metrics.count_disconnect("fix", reason)

    def _end_link(self, now_ns: int, text: str, reason: str) -> None:
        """Let the old connection write its Logout and go, without its end being taken for ours."""
        link, self.link = self.link, None
        assert link is not None
        self.machine.terminate(now_ns, text, SessionStatus.LOGOUT_COMPLETE)
        link.peer = Farewell(self.machine.take_output(1 << 20, now_ns))
        link.close()
        self.machine.disconnected(now_ns)
        self._count_end(reason)

    def log_out(self, now_ns: int, text: str) -> None:
        """We end the session: a drain, an operator."""
        if not self.machine.is_logged_on:
            return
        status, code = SessionStatus.LOGOUT_COMPLETE, 0
        if self._house.road.draining:
            status, code = SessionStatus.LOGON_NOT_ALLOWED_NOW, errors.DRAINING
        self.machine.logout(now_ns, text, status, code)
        if self.link is not None:
            self.link.wake()

    def reset(self, now_ns: int) -> None:
        """The scheduled moment: both numbers go back to 1. Who is logged on is logged out first, and comes back."""
        if self.link is not None:
            self._end_link(now_ns, "scheduled reset of sequence numbers", "scheduled_reset")
        if self.session.connected:
            self.session.connected = False
            self._house.guards.disconnected(self.session, now_ns, keep_orders=True)
        self.machine.store.reset()
        self._house.log("session.notice", session=self.session.name, notice="sequence numbers reset by schedule")

    # -- the road's side (gateway.sessions.Speaker) --------------------------------------------------------------

    def handed_over(self, request: Request, now_ns: int) -> None:
        """Pending New, for sessions that ask for it."""
        if self._settings.pending_new and isinstance(request.command, NewOrder):
            exec_id = self._exec_id("P")
            told = self._translator.pending_new(request.source, now_ns, exec_id, request.command.t_recv)  # type: ignore[arg-type]
            self._send(*told, now_ns)

    def answer(self, request: Request, event: AnyEvent, now_ns: int) -> None:
        """What is no event: states that were asked for, repeats of a mass cancel. All else is told by its report."""
        is_state = isinstance(event, OrderEvent) and event.exec_type._value_ == "I"
        if is_state or isinstance(event, OrderList) or (isinstance(event, MassCancelDone) and not event.seq):
            self._tell(event, request, now_ns)

    def report(self, event: AnyEvent, request: Request | None, now_ns: int) -> None:
        """An event of the account: ours, or all of them in response mode 1."""
        if request is not None or self._concerns(event):
            self._tell(event if request is None else answer_to(request, event), request, now_ns)

    def _concerns(self, event: AnyEvent) -> bool:
        """Whether the session hears of an event that no request of its own caused."""
        if self.session.response_mode == 1:
            return True
        is_ours = event.session == self.session.id  # type: ignore[union-attr]
        return is_ours and (isinstance(event, OrderEvent) or event.cmd_id != 0)

    def refuse(self, source: object, refusal: Refusal, now_ns: int) -> None:
        """The gateway's own no, in the message's own words. Far too many of them end the session."""
        assert isinstance(source, events.AppMessage)
        if refusal.code == errors.MESSAGE_RATE_LIMITED and self._is_abuse(now_ns):
            refusal = Refusal(errors.LIMIT_ABUSE, _ABUSE)
        exec_id = self._exec_id("P" if refusal.outcome == "unknown" else "R")
        named = named_in(source)
        standing, account_id = self._house.road.standing, self.session.client.account_id
        known = standing.find(account_id, *named) if named is not None else OrdStatus.REJECTED
        self._send(*self._translator.refusal(source, refusal, now_ns, exec_id, known), now_ns)
        if refusal.code == errors.LIMIT_ABUSE:
            self._end_for_abuse(now_ns)

    def notice(self, state: EngineState, now_ns: int) -> None:
        """News(B) about the market."""
        for msg_type, body in self._translator.event(state, None):
            self._send(msg_type, body, now_ns)

    def limits_changed(self, views: list[BucketView], version: int, now_ns: int) -> None:
        """Which limits are different now, in the words that the session's configuration chose."""
        lines, text = [_limit_line(view) for view in views], f"limits version {version}"
        if self._settings.notify_limits == "standard":
            told = self._translator.user_notification(lines, text)
        else:
            told = self._translator.news("limits changed", f"{text}: {'; '.join(map(str, lines))}")
        self._send(*told, now_ns)

    def draining(self, reconnect_by_ns: int, text: str, now_ns: int) -> None:
        """News(B), urgent: a planned end is near."""
        self._send(*self._translator.news("draining", text, flash=True), now_ns)

    def waits(self, source: object) -> None:
        """No record of ours moves NextIn over it: after a crash it is asked for again.

        A cancel that is carried out although a gap before it stays open is ahead of NextIn, and asked for in any case.
        """
        assert isinstance(source, events.AppMessage)
        if source.seq_num < self.machine.store.next_in:
            self.machine.store.begin_wait(id(source), source.seq_num)

    def goes_on(self, source: object) -> None:
        """What becomes of it is recorded together with the NextIn behind it."""
        self.machine.store.end_wait(id(source))

    def pause_reading(self, now_ns: int) -> None:
        """The queue fills."""
        if self.link is not None:
            self.link.pause_reading(now_ns)

    def resume_reading(self, now_ns: int) -> None:
        """The queue has room."""
        if self.link is not None:
            self.link.resume_reading(now_ns)

    def _exec_id(self, kind: str) -> str:
        return f"{kind}-{self._exec_stamp}-{next(self._exec_numbers)}"

    def _tell(self, event: AnyEvent, request: Request | None, now_ns: int) -> None:
        source = None if request is None else request.source
        t_recv = 0 if request is None else request.command.t_recv
        every_number = self.session.response_mode == 1
        for msg_type, body in self._translator.event(event, source, t_recv, every_number):  # type: ignore[arg-type]
            self._send(msg_type, body, now_ns)

    def _send(self, msg_type: str, body: str, now_ns: int) -> None:
        self.machine.send(msg_type, body, now_ns)
        self._house.metrics.fix.messages_out += 1
        if self.link is not None:
            self.link.wake()


def _limit_line(view: BucketView) -> LimitLine:
    return LimitLine(view.name, view.scope, view.capacity, view.remaining, round(view.rate * 1_000))
