"""The endpoint of one FIX session: joins its session machine, its translator and the order path. Pure.

It lives as long as the session, across connections (`link`): reports made while the client is away are numbered and
stored, and sent on its ResendRequest(2). A Logon(A) is judged completely before any state changes: a refused one
changes nothing, neither for a living link nor for the options it requested (`logon_options.py`).

More than 400 lines, because its three sides (the connection, the session machine, the order path) act on one state.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import count

from gateway.auth.authenticator import Client
from gateway.config import schema
from gateway.doors.endpoint import FinalOutput, FloodCount, Link
from gateway.doors.fix.lists import MOST, ListReply, Lists, is_long
from gateway.doors.fix.logon_options import LogonTerms
from gateway.doors.fix.requests import FixRequests, limit_line
from gateway.doors.peer import GONE, Peer
from gateway.doors.services import Services
from gateway.orders.rules import TOO_MANY_LISTS
from gateway.sessions.reply import Endpoint, Reply, RunReply, answer_to
from gateway.sessions.request import Request
from gateway.sessions.session import Session
from limits.limiter import BucketView
from protocols import errors
from protocols.errors import Refusal
from protocols.fix import events, tags
from protocols.fix.decoder import DecodedMessage
from protocols.fix.message import NO_HEADERS, Headers
from protocols.fix.order_reader import OrderReader
from protocols.fix.order_run import OrderRun
from protocols.fix.session.logon import LogonRefusal
from protocols.fix.session.machine import FixSession
from protocols.fix.session.settings import SessionState
from protocols.fix.tags import MsgType, SessionStatus
from protocols.fix.translate import Translator, named_in
from protocols.messages import AnyEvent, EngineState, MassCancelDone, NewOrder, OrderEvent, OrderList, OrdStatus
from protocols.units import NS_PER_MS, NS_PER_S

_USUAL_BURST = 400  # of `msgs`, where a cool-down refuses what no limit of its own does
_ABUSE = "far too many messages: disconnecting"


class FixEndpoint(Endpoint, Peer):
    """Speaks FIX to one session's client, and commands and events to the order path."""

    def __init__(
        self,
        session: Session,
        machine: FixSession,
        translator: Translator,
        settings: schema.FixSessionRow,
        services: Services,
        lists: Lists,
    ) -> None:
        """lists: the long answers of all sessions."""
        self.session = session
        self.machine = machine
        self.link: Link | None = None
        self._translator = translator
        self._settings = settings
        self._services = services
        self._terms = machine.logon_policy = LogonTerms(session, settings, services, machine.settings.plain)
        self._proven = session.client  # the client that the link's Logon(A) proved to be
        self._has_begun = False  # that Logon was accepted
        self._is_end_counted = True  # whether the metric counts why the link ended; there is no link yet
        self._open: list[Request] | None = None  # while leaving: requests to answer before the Logout(5)
        self._is_over = False  # the session has ended, and its last output is being written
        self._lists = lists
        self._listings: list[ListReply] = []  # long answers in progress
        self._flood = FloodCount()
        self._requests = FixRequests(self, translator, settings, services)
        # ExecID(17) for reports without a number of the core: unique across resets and restarts.
        self._exec_stamp = f"{session.id}-{services.now_ns() // NS_PER_MS:x}"
        self._exec_numbers = count(1)
        session.may_trade = settings.kind == "order_entry"
        if not (settings.pending_new or settings.last_msg_seq_num_processed):  # these tell orders apart one by one
            tolerance_ns = machine.settings.sending_time_tolerance_s * NS_PER_S
            windows = (settings.recv_window_ms, services.settings.core.order_deadline_ms)
            machine.order_reader = OrderReader(
                settings.version, services.instruments, services.known_numbers, tolerance_ns, *windows
            )

    # -- the connection's side (gateway.doors.peer.Peer) ---------------------------------------------------------------

    @property
    def has_output(self) -> bool:
        return self.machine.has_output or self._open is not None

    @property
    def must_read(self) -> bool:
        return self.machine.must_read

    @property
    def behind(self) -> int:
        """How many reports wait in the store to be sent for the first time."""
        return self.machine.behind

    @property
    def pending_bytes(self) -> int:
        return self.machine.pending_bytes

    @property
    def next_deadline_ns(self) -> int | None:
        return self.machine.next_deadline_ns

    def take_output(self, limit_bytes: int) -> bytes:
        """The next bytes that are ready; may be empty while answers before a Logout(5) are awaited."""
        if self._open is not None and self.link is not None and self._is_all_answered:
            self._open = None
            self._services.orders.later(self._leave_now)  # its number must be recorded before it is sent
            self.link.wake()
        data = self.machine.take_ready(limit_bytes)
        if self._is_over:
            self._close_when_written()
        return data

    @property
    def _is_all_answered(self) -> bool:
        return not self._listings and all(request.is_settled for request in self._open or ())

    def read_on(self, now_ns: int) -> int:
        return self.machine.read_on(now_ns)

    def _leave_now(self, now_ns: int) -> None:
        self._services.orders.calls.call(self, self._leave, now_ns)

    def _leave(self, now_ns: int) -> None:
        if self.machine.state is SessionState.LEAVING:
            for event in self.machine.leave(now_ns):
                self._on_event(event, now_ns)

    @property
    def has_living_link(self) -> bool:
        """Whether a connection carries the session, and neither side has begun to end it.

        A connection whose Logon(A) was refused does not, though it waits for the answer to the Logout(5); nor does one
        whose session was logged out, though the rest of a resend is still being written to it.
        """
        return self.link is not None and self._has_begun and not self.link.has_ended and not self._is_over

    def attach(self, link: Link, logon: DecodedMessage, client: Client, now_ns: int) -> LogonRefusal | None:
        """Attach a new connection that has proved to be `client`. None: attached, `receive` gets its Logon(A) next.

        A Logon that will be accepted takes over from a living link. One that will be refused is answered by the
        machine with a Logout(5), which uses a number; but if there is a living link, the refusal is returned and
        nothing changes, because that number belongs to the living link.
        """
        refusal = self.machine.judge(logon, now_ns)
        if self.link is not None:
            if refusal is not None and self._has_begun and not self.link.is_closing:
                return refusal
            self._detach_link(now_ns, "superseded", "superseded", errors.SESSION_IN_USE)
        self.link, self._is_end_counted = link, False
        if self.machine.order_reader is not None:
            self.machine.order_reader.forget()
        self._proven, self._has_begun = client, False
        self.machine.connected(now_ns)
        return None

    def receive(self, data: bytes, now_ns: int) -> None:
        received = self.machine.receive(data, now_ns)
        if self._settings.last_msg_seq_num_processed:
            self._serve_counted(received, now_ns)
            return
        for event in received:
            if type(event) is OrderRun:
                self._requests.serve_run(event, now_ns)
            else:
                self._on_event(event, now_ns)

    def _serve_counted(self, received: list[events.Event], now_ns: int) -> None:
        """Serve one message after the other, so that LastMsgSeqNumProcessed(369) never counts one not yet served."""
        intake = self.machine.store.intake
        intake.unserved = next((event.seq_num for event in received if isinstance(event, events.AppMessage)), 0)
        for event in received:
            if isinstance(event, events.AppMessage):
                intake.unserved = event.seq_num + 1
            self._on_event(event, now_ns)
        intake.unserved = 0

    def tick(self, now_ns: int) -> None:
        for event in self.machine.tick(now_ns):
            self._on_event(event, now_ns)

    def lost(self, now_ns: int) -> None:
        """The connection is gone. Not called for a superseded one, which no longer belongs to the session."""
        self.link = None
        self._disconnect(now_ns)
        if self.session.connected:
            self._services.log("session.lost", session=self.session.name)
            self._guard_orders(now_ns)
        self._count_end("lost")

    def too_slow(self, now_ns: int) -> None:
        """The client reads too slowly: log it out. It can have its reports resent later."""
        self._count_end("too_slow")
        self.machine.terminate(now_ns, "too slow to read", SessionStatus.LOGOUT_COMPLETE, errors.DISCONNECTED)
        self._services.log("session.too_slow", session=self.session.name)
        self._guard_orders(now_ns)

    def _guard_orders(self, now_ns: int, back_by_ns: int = 0) -> None:
        """Start cancel-on-disconnect at once, without waiting for the last byte of the link."""
        if self.session.connected:
            self.session.connected = False
            self._services.cancel_on_disconnect.disconnected(
                self.session, now_ns, keep_orders=self.session.is_leaving, back_by_ns=back_by_ns
            )

    def failed(self, now_ns: int) -> None:
        """A bug in the gateway: a Logout(5) without details, and the end of the link; cancel-on-disconnect starts."""
        if self.link is None:
            return
        self._count_end("internal_error")
        with suppress(Exception):  # if the machine itself is broken, the link ends without a Logout
            self.machine.terminate(now_ns, "internal error", SessionStatus.LOGOUT_COMPLETE, errors.INTERNAL)
        self._guard_orders(now_ns)
        self.link.close()

    def paused(self, now_ns: int) -> None:
        self.machine.pause(now_ns)

    def resumed(self, now_ns: int) -> None:
        self.machine.resume(now_ns)

    # -- events of the session machine ---------------------------------------------------------------------------

    def _on_event(self, event: events.Event, now_ns: int) -> None:
        if isinstance(event, events.AppMessage):
            self._requests.serve(event, now_ns)
        elif isinstance(event, events.HeldBack):
            self._requests.put_off(event.message, now_ns)
        elif isinstance(event, events.LoggedOn):
            self._on_logged_on(event, now_ns)
        elif isinstance(event, events.Leaving):
            self._on_leaving(event, now_ns)
        elif isinstance(event, events.LoggedOut):
            self._on_logged_out(event, now_ns)
        elif isinstance(event, events.Disconnect):
            self._open = None
            self._count_end(event.reason)
            self._services.log("session.disconnect", session=self.session.name, reason=event.reason, text=event.text)
            self._guard_orders(now_ns)
            if self.link is not None:
                self.link.close()
        elif isinstance(event, events.Garbled):
            self._services.metrics.fix_garbled += 1
            self.charge_faulty(now_ns)
        elif isinstance(event, events.Rejected):
            self._services.metrics.fix_rejects += 1
            self.charge_faulty(now_ns)
        elif isinstance(event, events.SequenceGap | events.SequenceReset | events.PeerReject | events.Warned):
            self._services.log("session.notice", session=self.session.name, notice=repr(event))

    # -- floods --------------------------------------------------------------------------------------------------

    def charge_faulty(self, now_ns: int) -> None:
        """Charge a message that never reaches the order path and has had its answer, if any."""
        if self._services.orders.admission.charge_message(self.session, now_ns) is not None and self._is_abuse(now_ns):
            self._end_for_abuse(now_ns)

    def _is_abuse(self, now_ns: int) -> bool:
        return self._flood.is_abuse(lambda: self._message_burst(now_ns), now_ns)

    def _message_burst(self, now_ns: int) -> int:
        views = self._services.limiter.view(self.session.path, now_ns, ("msgs",))
        return min((view.capacity for view in views if view.mode == "enforce"), default=_USUAL_BURST)

    def _end_for_abuse(self, now_ns: int) -> None:
        """Log out and close the link; cancel-on-disconnect starts."""
        if self.link is None or not self.machine.is_logged_on:
            return
        self._count_end("limit_abuse")
        self._services.log("session.disconnect", session=self.session.name, reason="limit_abuse", text=_ABUSE)
        self.machine.terminate(now_ns, _ABUSE, SessionStatus.LOGOUT_COMPLETE, errors.LIMIT_ABUSE)
        self._guard_orders(now_ns)
        self.link.close()

    # -- logon and logout ----------------------------------------------------------------------------------------

    def _on_logged_on(self, event: events.LoggedOn, now_ns: int) -> None:
        """The session begins, or begins anew with a reset: the options of its Logon(A) are in force."""
        session = self.session
        session.client, self._has_begun = self._proven, True
        if event.reset:
            self._listings.clear()
        self._terms.put_in_force(event.fields)
        session.attached(now_ns)
        self._services.cancel_on_disconnect.connected(session)
        self._services.orders.limit_notices.show(session, now_ns)
        self._services.orders.venue.show(session, now_ns)
        who = {"peer": self.link.peer_ip if self.link is not None else "", "key": session.client.key_id}
        self._services.log("session.logged_on", session=session.name, door="fix", reset=event.reset, **who)

    def _on_leaving(self, event: events.Leaving, now_ns: int) -> None:
        """Nothing more is read. Earlier requests are answered first, within `core.answer_timeout_ms`."""
        self._open = self._services.orders.standing.unanswered_of(self.session)
        self.session.has_logged_out = event.by_peer
        if event.by_peer and event.fields.get(tags.DONT_CANCEL_ON_DISCONNECT) == "Y":
            self._services.cancel_on_disconnect.leaving(self.session)
        if self.link is not None:
            self.link.wake()
        if not (self._open or self._listings):
            self._open = None
            self._leave(now_ns)

    def _on_logged_out(self, event: events.LoggedOut, now_ns: int) -> None:
        self.session.connected, self._open = False, None
        self._count_end("logout")
        keep = not event.by_peer or self.session.is_leaving
        self._services.cancel_on_disconnect.disconnected(self.session, now_ns, keep, is_planned=not event.by_peer)
        self._services.log("session.logged_out", session=self.session.name, by_peer=event.by_peer, text=event.text)
        self._is_over = True
        self._close_when_written()

    def _close_when_written(self) -> None:
        """Close after the last byte, even of a long resend; a client that reads nothing is disconnected as usual."""
        if self.link is not None and not self.machine.has_output:
            self.link.close()

    def _count_end(self, reason: str) -> None:
        """Count why the connection ended: the first reason counts."""
        if not self._is_end_counted:
            self._is_end_counted = True
            self._services.metrics.count_disconnect("fix", reason)

    def _detach_link(self, now_ns: int, text: str, reason: str, code: int) -> None:
        """Detach the old connection, which writes what it has and a Logout(5), and closes by itself.

        A connection that the client has already ended counts as lost, though its socket is not closed yet.
        """
        link = self.link
        assert link is not None
        has_ended = link.has_ended
        if not has_ended:
            self.machine.terminate(now_ns, text, SessionStatus.LOGOUT_COMPLETE, code)
        link.peer = FinalOutput(self.machine.take_output(1 << 20, now_ns))
        link.close()
        if has_ended:
            self.lost(now_ns)
        else:
            self.link = None
            self._disconnect(now_ns)
            self._count_end(reason)

    def _disconnect(self, now_ns: int) -> None:
        self.machine.disconnected(now_ns)
        self._open, self._is_over = None, False

    def abandon(self) -> None:
        """Another gateway has the session: nothing of it is numbered or sent here any more."""
        self._count_end("moved")
        self._drop_link()

    def cut_off(self, text: str, back_by_ns: int, now_ns: int) -> None:
        """Nothing can be recorded: end the link without a word, for a Logout(5) needs a number, and that a record.

        Cancel-on-disconnect waits until `back_by_ns` at least.
        """
        self._count_end("no_records")
        self._services.log("session.disconnect", session=self.session.name, reason="no_records", text=text)
        self._guard_orders(now_ns, back_by_ns)
        if self.link is not None:
            self._drop_link()
            self._disconnect(now_ns)

    def _drop_link(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.forget_unrecorded()
            link.peer = GONE
            link.close()

    def log_out(self, text: str, now_ns: int) -> None:
        if not self.machine.is_logged_on:
            return
        status, code = SessionStatus.LOGOUT_COMPLETE, errors.OPERATOR
        if self._services.orders.venue.draining:
            status, code = SessionStatus.LOGON_NOT_ALLOWED_NOW, errors.DRAINING
        self.machine.logout(now_ns, text, status, code)
        if self.link is not None:
            self.link.wake()

    def reset(self, now_ns: int, back_by_ns: int) -> None:
        """Reset both sequence numbers to 1 on schedule. A client that is logged on is logged out first.

        Cancel-on-disconnect waits until `back_by_ns` for it to come back.
        """
        if self.link is not None:
            self._detach_link(now_ns, "scheduled reset of sequence numbers", "scheduled_reset", errors.OPERATOR)
        if self.session.connected:
            self.session.connected = False
            self._services.cancel_on_disconnect.disconnected(self.session, now_ns, back_by_ns=back_by_ns)
        self.machine.store.reset()
        self._listings.clear()
        self._terms.is_reset_unreported = True
        self._services.log("session.notice", session=self.session.name, notice="sequence numbers reset by schedule")

    # -- the order path side (gateway.sessions.reply.Endpoint) ------------------------------------------------------

    def handed_over(self, reply: Reply, now_ns: int) -> None:
        """Pending New, for sessions that ask for it."""
        if self._settings.pending_new and isinstance(reply.command, NewOrder):
            exec_id = self._exec_id("P")
            at_ns = self._services.wall.utc_ns(now_ns)
            message = self._translator.pending_new(reply.source, at_ns, exec_id, reply.command.t_recv)  # type: ignore[arg-type]
            self.send(*message, now_ns)

    def answer(self, reply: Reply, event: AnyEvent, now_ns: int) -> None:
        """Send answers that are no events: requested states, repeats of a mass cancel. Events go to `report`."""
        if isinstance(event, OrderEvent):
            if event.exec_type._value_ == "I":
                self._report(event, reply, now_ns)
                self._end_question(reply.source)
        elif isinstance(event, OrderList):
            pending = self._services.orders.standing.pending(reply.command, event)
            if pending is not None:
                self.refuse(reply.source, pending, now_ns)
            elif is_long(event):
                self._list(reply, event, now_ns)
            else:
                self._report(event, reply, now_ns)
            self._end_question(reply.source)
        elif isinstance(event, MassCancelDone) and not event.seq:
            self._report(event, reply, now_ns)

    def _list(self, reply: Reply, event: OrderList, now_ns: int) -> None:
        """Begin a long answer. NextIn stays until its end: after a crash, it is asked for again."""
        assert isinstance(reply.source, events.AppMessage)
        if len(self._listings) >= MOST:
            self.refuse(reply.source, TOO_MANY_LISTS, now_ns)
            return
        self.waits(reply.source, now_ns)
        self._listings.append(ListReply(event, reply.source, reply.command.t_recv))
        self._lists.begin(self)

    def continue_list(self, most: int, now_ns: int) -> int:
        """See `gateway.doors.fix.lists.ListSender`. While the client is away, states are stored like any report."""
        if not self._listings:
            return 0
        listing, orders = self._listings[0], self._services.orders
        reports = listing.advance(most, self._translator, orders.standing, orders.dispatch.latest_seq(self.session))
        if listing.is_done:
            del self._listings[0]
            self.goes_on(listing.source, now_ns)
        for msg_type, body in reports:
            self.send(msg_type, body, now_ns)
        return len(reports)

    def report(self, event: AnyEvent, reply: Reply | None, now_ns: int) -> None:
        """Report an event of the account: of this session, or any in response mode 1."""
        if reply is not None or self._concerns(event):
            if reply is not None and not isinstance(event, OrderEvent):
                event = answer_to(reply, event)
            self._report(event, reply, now_ns)

    def report_all(self, events: Sequence[OrderEvent], now_ns: int) -> None:
        concerned = [event for event in events if self._concerns(event)]
        if concerned:
            self._report_run(concerned, 0, now_ns)

    def report_run(self, run: RunReply, events: Sequence[OrderEvent], now_ns: int) -> None:
        self._report_run(events, run.commands.t_recv, now_ns)

    def _report_run(self, events: Sequence[OrderEvent], t_recv: int, now_ns: int) -> None:
        headers = self.machine.headers(MsgType.EXECUTION_REPORT, now_ns)
        texts = self._translator.reports(events, t_recv, headers or NO_HEADERS)
        self._send_reports(headers, texts, now_ns)

    def _send_reports(self, headers: Headers | None, texts: list[str], now_ns: int) -> None:
        """ExecutionReport(8)s with these headers, None = bodies alone."""
        if headers is not None:
            self.machine.send_run(texts, now_ns)
        else:
            for body in texts:
                self.machine.send(MsgType.EXECUTION_REPORT, body, now_ns)
        self._services.metrics.fix.messages_out += len(texts)
        if self.link is not None:
            self.link.wake()

    def _concerns(self, event: AnyEvent) -> bool:
        """Whether the session is sent an event that no open request of its own caused."""
        if self.session.response_mode == 1:
            return True
        is_ours = event.session == self.session.id  # type: ignore[union-attr]
        return is_ours and (isinstance(event, OrderEvent) or event.cmd_id != 0)

    def refuse(self, source: object, refusal: Refusal, now_ns: int) -> None:
        """Refuse a request, with the refusal of its own message type. Far too many refusals end the session."""
        assert isinstance(source, events.AppMessage)
        if refusal.code == errors.MESSAGE_RATE_LIMITED and self._is_abuse(now_ns):
            refusal = Refusal(errors.LIMIT_ABUSE, _ABUSE)
        exec_id = self._exec_id("P" if refusal.outcome == "unknown" else "R")
        named = named_in(source)
        standing, account_id = self._services.orders.standing, self.session.client.account_id
        known = standing.find(account_id, *named) if named is not None else OrdStatus.REJECTED
        at_ns = self._services.wall.utc_ns(now_ns)
        self.send(*self._translator.refusal(source, refusal, at_ns, exec_id, known), now_ns)
        self._end_question(source)
        if refusal.code == errors.LIMIT_ABUSE:
            self._end_for_abuse(now_ns)

    def refuse_orders(self, messages: Sequence[events.AppMessage], refusal: Refusal, now_ns: int) -> None:
        """Refuse orders alike that came in one read, for no limit of the session."""
        headers = self.machine.headers(MsgType.EXECUTION_REPORT, now_ns)
        before, numbers, behind = headers or NO_HEADERS
        at_ns, kind = self._services.wall.utc_ns(now_ns), "P" if refusal.outcome == "unknown" else "R"
        refused = [self._translator.refusal(each, refusal, at_ns, self._exec_id(kind)) for each in messages]
        texts = [f"{before}{number}{behind}{body}" for (_, body), number in zip(refused, numbers, strict=False)]
        self._send_reports(headers, texts, now_ns)

    def notice(self, state: EngineState, now_ns: int) -> None:
        for msg_type, body in self._translator.event(state, None):
            self.send(msg_type, body, now_ns)

    def limits_changed(self, views: list[BucketView], version: int, now_ns: int) -> None:
        lines, text = [limit_line(view) for view in views], f"limits version {version}"
        if self._settings.notify_limits == "standard":
            message = self._translator.user_notification(lines, text)
        else:
            message = self._translator.news("limits changed", f"{text}: {'; '.join(map(str, lines))}")
        self.send(*message, now_ns)

    def draining(self, reconnect_by_ns: int, text: str, now_ns: int) -> None:
        self.send(*self._translator.news("draining", text, flash=True), now_ns)

    def waits(self, source: object, now_ns: int) -> None:
        """Record no NextIn beyond this request: after a crash it is asked for again, like a cancel ahead of a gap."""
        assert isinstance(source, events.AppMessage)
        if source.seq_num < self.machine.store.next_in:
            self.machine.store.begin_wait(id(source), source.seq_num)

    def goes_on(self, source: object, now_ns: int) -> None:
        """Its outcome is recorded together with the NextIn after it."""
        self.machine.store.end_wait(id(source))

    def begin_question(self, message: events.AppMessage) -> None:
        """A question goes to the core. No event of its account will tell a later process the answer, so no NextIn
        beyond it is recorded until then: after a crash it is asked for again.
        """
        self.machine.store.begin_wait(~id(message), message.seq_num)

    def _end_question(self, source: object) -> None:
        """It has its answer; any other message never waited for one."""
        self.machine.store.end_wait(~id(source))

    def pause_reading(self, now_ns: int) -> None:
        if self.link is not None:
            self.link.pause_reading(now_ns)

    def resume_reading(self, now_ns: int) -> None:
        if self.link is not None:
            self.link.resume_reading(now_ns)

    def _exec_id(self, kind: str) -> str:
        return f"{kind}-{self._exec_stamp}-{next(self._exec_numbers)}"

    def _report(self, event: AnyEvent, reply: Reply | None, now_ns: int) -> None:
        source = None if reply is None else reply.source
        t_recv = 0 if reply is None else reply.command.t_recv
        every_number = self.session.response_mode == 1
        for msg_type, body in self._translator.event(event, source, t_recv, every_number):  # type: ignore[arg-type]
            self.send(msg_type, body, now_ns)

    def send(self, msg_type: str, body: str, now_ns: int) -> None:
        """Send an application message: numbered now, written when the link takes it."""
        self.machine.send(msg_type, body, now_ns)
        self._services.metrics.fix.messages_out += 1
        if self.link is not None:
            self.link.wake()
