"""The endpoint of one WebSocket connection: joins its session machine, its logon and the order path. Pure.

It lives as long as its connection; the session may live longer (`gateway.sessions.registry`). Output has three sources:
answers are written at once; events and long answers come from the `StreamWriter`, as the socket drains; the answer to a
logout goes last.

More than 400 lines, because its three sides (the connection, the session machine, the order path) act on one state.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import msgspec

from gateway.auth.authenticator import Client
from gateway.config import schema as config
from gateway.doors.endpoint import FloodCount, Link
from gateway.doors.peer import Peer
from gateway.doors.services import Services
from gateway.doors.ws import snapshot
from gateway.doors.ws.answers import Answers, Source
from gateway.doors.ws.logon import ConnectionInfo, WsLogon, find_session, logon_result, profile, start_of_stream
from gateway.doors.ws.masking import mask_in_place
from gateway.doors.ws.requests import WsRequests
from gateway.doors.ws.run_answers import RunAnswers
from gateway.doors.ws.snapshot import SnapshotQuery
from gateway.doors.ws.stream_cursor import READY_BYTES, EncodedEvents, ListCursor, StreamCursor
from gateway.doors.ws.stream_writer import StreamWriter
from gateway.orders.rules import TOO_MANY_LISTS
from gateway.sessions.reply import Endpoint, Reply, RunReply
from gateway.sessions.session import AccountStream, Session
from limits.limiter import BucketView
from protocols import errors
from protocols.errors import Refusal
from protocols.messages import AnyEvent, EngineState, OrderEvent, OrderList
from protocols.units import NS_PER_MS
from protocols.ws import close_codes, events, results, schema
from protocols.ws.order_reader import request_in
from protocols.ws.order_run import PlaceRun
from protocols.ws.schema import LogonParams, StreamName
from protocols.ws.session import WsSession
from protocols.ws.settings import WsSettings

_SERVER = "penstock/1"


class WsEndpoint(Endpoint, Peer):
    """Speaks WebSocket to one connection's client, and commands and events to the order path."""

    def __init__(
        self, services: Services, ws: config.Ws, event_bytes: EncodedEvents, link: Link, info: ConnectionInfo
    ) -> None:
        """event_bytes: shared by all connections of the door."""
        settings = WsSettings(
            heartbeat_ms=ws.heartbeat_ms,
            logon_timeout_ms=ws.logon_timeout_s * 1_000,
            max_frame_bytes=ws.max_frame_bytes,
            server=_SERVER,
            epoch=services.orders.dispatch.epoch,
            codec="msgpack" if info.codec == "msgpack" else "json",
        )
        self.services = services
        self.machine = WsSession(settings, info.conn_id, info.challenge, info.accepted_ns, services.wall, mask_in_place)
        if settings.codec == "json":
            self.machine.order_reader = services.place_reader
        self.link = link
        self.session: Session | None = None
        self.writer: StreamWriter  # from the logon on
        self.streams: tuple[StreamName, ...] = ()
        self.heartbeat_ms = ws.heartbeat_ms
        self.keep_orders = False  # a logout keeps them; any other end of the link is a disconnect
        self.answers = Answers(services, self.machine)
        self._event_bytes = event_bytes
        self._is_end_counted = False  # whether the metric counts why the connection ended
        self._info = info
        self._logon = WsLogon(services, self.machine, info, ws.recv_window_ms, link.wake)
        self._requests: WsRequests  # from the logon on
        self._run_answers: RunAnswers
        self._flood = FloodCount()
        self._account: AccountStream
        self._snapshot = SnapshotQuery(services)
        self._logout: events.Requested | None = None  # answered last, when no other request is open
        self._leave_by_ns = 0

    # -- the connection's side (gateway.doors.peer.Peer) ---------------------------------------------------------------

    @property
    def has_output(self) -> bool:
        if self.machine.output.unwritten:
            return True
        if self.session is None:
            return False
        return self.writer.has_more or (self._logout is not None and not self.answers.open)

    @property
    def must_read(self) -> bool:
        """Whether the next output must be read from the stream, or is a list in progress."""
        return self.session is not None and self.writer.has_more and not self.machine.pending_bytes

    @property
    def behind(self) -> int:
        return self.writer.cursor.behind if self.session is not None else 0

    @property
    def pending_bytes(self) -> int:
        """What is ready and unwritten; events in the stream need no memory here."""
        return self.machine.pending_bytes

    @property
    def next_deadline_ns(self) -> int | None:
        deadline_ns = self.machine.next_deadline_ns
        for other_ns in (self._leave_by_ns, self._snapshot.ask_at_ns, self._logon.deny_at_ns):
            if other_ns and (deadline_ns is None or other_ns < deadline_ns):
                deadline_ns = other_ns
        return deadline_ns

    def take_output(self, limit_bytes: int) -> bytes:
        """The next bytes to write: what is ready, and the answer to a logout last."""
        if self._logout is not None and not (self.machine.pending_bytes or self.answers.open or self.writer.has_more):
            self._finish_logout(self.services.now_ns())
        return self.machine.take_output()

    @property
    def has_living_link(self) -> bool:
        return not self.link.has_ended

    def opened(self, client: Client | None, now_ns: int) -> None:
        """The upgrade is answered. `client`: proved in the headers, and may log on (`turned_away`)."""
        self.machine.connected(now_ns)
        if client is not None:
            found = find_session(self.services, client, "")
            assert isinstance(found, Session)  # only names are bounded
            self.machine.logged_on(now_ns)
            self._begin(found, client, None, now_ns)
            self.services.orders.venue.show(found, now_ns)

    def receive(self, data: bytes, now_ns: int) -> None:
        for event in self.machine.receive(data, now_ns):
            self._on_event(event, now_ns)

    def tick(self, now_ns: int) -> None:
        if self._leave_by_ns and now_ns >= self._leave_by_ns:
            self._leave_by_ns = 0
            self.answers.open.clear()
        if 0 < self._snapshot.ask_at_ns <= now_ns:
            self._snapshot.ask(self.session, self.writer.cursor, now_ns)
        self._logon.deny_when_due(now_ns)
        for event in self.machine.tick(now_ns):
            self._on_event(event, now_ns)

    def lost(self, now_ns: int) -> None:
        self.machine.lost()
        self.end_session("lost", now_ns)
        self.count_end("lost")

    def too_slow(self, now_ns: int) -> None:
        """The client reads too slowly: it loses what it has not read, and can resume."""
        self.machine.close(close_codes.TOO_SLOW, "too slow to read", now_ns, drops_unwritten=True)
        self.end_session("too_slow", now_ns)
        self.count_end("too_slow")

    def paused(self, now_ns: int) -> None:
        self.machine.pause(now_ns)

    def resumed(self, now_ns: int) -> None:
        self.machine.resume(now_ns)

    # -- events of the session machine ---------------------------------------------------------------------------

    def _on_event(self, event: events.Event, now_ns: int) -> None:
        if isinstance(event, events.Requested):
            if self.session is not None:
                self.services.metrics.ws.messages_in += 1
                self._requests.serve(event, self.session, now_ns)
        elif isinstance(event, PlaceRun):
            if self.session is not None and not self._requests.serve_run(event, self.session, now_ns):
                for index in range(len(event.orders)):
                    self._on_event(request_in(event, index, self.machine.codec), now_ns)
        elif isinstance(event, events.UnknownMethod):
            if self.session is not None:
                self.services.metrics.ws.messages_in += 1
                self._requests.refuse_unknown(event, self.session, now_ns)
        elif isinstance(event, events.LogonRequested):
            self._log_on(event, now_ns)
        elif isinstance(event, events.Answered):
            self.services.metrics.ws.messages_in += 1
            if self.session is not None:
                limited = self.services.orders.admission.charge_message(self.session, now_ns)
                if limited is not None:
                    self.count_refused_message(limited, now_ns)
        elif isinstance(event, events.Closed):
            if event.reason == "challenge":
                self._logon.count_refused("challenge")
            self.end_session(event.reason, now_ns)
            self.count_end(event.reason)
        else:
            self.link.close()

    def _log_on(self, asked: events.LogonRequested, now_ns: int) -> None:
        if not self.machine.is_deciding:
            return  # later input has ended the connection: it must take over no session
        self._logon.judge(asked, partial(self._accept, asked), now_ns)

    def _accept(self, asked: events.LogonRequested, found: Session, client: Client, now_ns: int) -> None:
        """The session is here."""
        self._begin(found, client, asked.params, now_ns)
        orders = self.services.orders
        wanted = asked.params.resume if "orders" in self.streams else None
        resume = start_of_stream(wanted, self._account, orders.dispatch.epoch, orders.dispatch.latest_seq(found))
        blocks = self.answers.all_limits(now_ns)
        held = self.machine.accept_logon(asked.request_id, self.describe(now_ns, resume), now_ns, blocks or None)
        if resume.status == "replayed":
            assert isinstance(resume.begin, int)
            assert isinstance(resume.end, int)
            self.writer.cursor.replay(resume.begin, resume.end)
        elif resume.status == "snapshot":
            self.writer.cursor.await_snapshot()
            self._snapshot.ask(found, self.writer.cursor, now_ns)
        self.services.orders.venue.show(found, now_ns)
        for event in held:
            self._on_event(event, now_ns)

    def _begin(self, found: Session, client: Client, params: LogonParams | None, now_ns: int) -> None:
        """Attach the session to this connection; the one that it had before is superseded."""
        self._info.proved()
        older = found.endpoint
        if isinstance(older, WsEndpoint) and older is not self:
            older.supersede(now_ns)
        found.endpoint, found.client = self, client
        found.attached(now_ns)
        found.may_trade = "trade" in client.permissions
        found.cancel_on_disconnect, found.cod_grace_ms = client.cancel_on_disconnect, 0
        self.session = self.answers.session = found
        self._account = self.services.sessions.account(client.account_id)
        self._account.reported_seq = self.services.orders.dispatch.latest_seq(
            found
        )  # after a restart the stream may not have it
        cursor = self.answers.cursor = StreamCursor(self._account)
        self._requests = WsRequests(self)
        self._run_answers = RunAnswers(self.services, self.machine, self.answers, cursor, self._event_bytes)
        self.writer = StreamWriter(self.services, self.machine, cursor, self._event_bytes)
        streams = schema.STREAMS
        if params is not None:
            streams = params.streams if params.streams is not None else schema.STREAMS
            self.answers.limits_mode = params.limits or "near"
            self.heartbeat_ms = params.heartbeat_ms or self.heartbeat_ms
            if params.cod is not None:
                found.cancel_on_disconnect, found.cod_grace_ms = params.cod.scope, params.cod.grace_ms
        self.choose_streams(found, streams)
        self.services.cancel_on_disconnect.connected(found)
        who = {"peer": self._info.peer_ip, "key": client.key_id}
        self.services.log("session.logged_on", session=found.name, door="ws", account=client.account, **who)

    def choose_streams(self, found: Session, streams: tuple[StreamName, ...]) -> None:
        """Set what is pushed. A new subscription to orders begins with the next event; see `stream.replay`."""
        self.streams = streams
        is_wanted = "orders" in streams
        found.hear_all(is_wanted)
        if is_wanted:
            self.writer.cursor.subscribe()
        else:
            self.writer.cursor.unsubscribe()

    # -- how it ends ---------------------------------------------------------------------------------------------

    def supersede(self, now_ns: int) -> None:
        """A newer logon took over the session: this end is no disconnect."""
        self.session = None
        self.machine.close(close_codes.SUPERSEDED, "superseded", now_ns)
        self.count_end("superseded")
        self.link.wake()

    def abandon(self, for_client: bool, now_ns: int) -> None:
        """Another gateway has the session: nothing of it that waits here is sent. for_client: its client is there; else
        it is to go there, as we were taken for dead.
        """
        self.session = None
        code, text = close_codes.SERVICE_RESTART, "the session is at another gateway, connect again"
        if for_client:
            code, text = close_codes.SUPERSEDED, "superseded"
        self.machine.close(code, text, now_ns, drops_unwritten=True)
        self.count_end("superseded" if for_client else "moved")
        self.link.forget_unrecorded()
        self.link.close_unrecorded()

    def cut_off(self, text: str, back_by_ns: int, now_ns: int) -> None:
        """Nothing can be recorded: say so, and end the connection. What waits for its records is not sent.

        Cancel-on-disconnect waits until `back_by_ns` at least.
        """
        self.machine.close(close_codes.SERVICE_RESTART, text, now_ns, drops_unwritten=True)
        self.end_session("no_records", now_ns, back_by_ns)
        self.link.forget_unrecorded()
        self.link.close_unrecorded()

    def end_session(self, reason: str, now_ns: int, back_by_ns: int = 0) -> None:
        """The session is disconnected: cancel-on-disconnect decides about its orders."""
        ended, self.session = self.session, None
        if ended is None:
            return
        ended.endpoint, ended.connected = None, False
        ended.hear_all(False)
        self.count_end(reason)
        self.services.log("session.ended", session=ended.name, door="ws", reason=reason)
        self.services.cancel_on_disconnect.disconnected(
            ended, now_ns, self.keep_orders, is_planned=reason == "going_away", back_by_ns=back_by_ns
        )

    def count_end(self, reason: str) -> None:
        """Count why the connection ended: the first reason counts."""
        if not (self._is_end_counted or self._logon.has_refused):
            self._is_end_counted = True
            self.services.metrics.count_disconnect("ws", reason)

    def failed(self, now_ns: int) -> None:
        """A bug in the gateway: close without details, and read nothing more from this connection."""
        with suppress(Exception):  # the machine may be what is broken; then the link ends without a word
            self.machine.close(close_codes.INTERNAL_ERROR, "internal error", now_ns)
        self.end_session("failed", now_ns)
        self.count_end("failed")
        self.link.close()

    def turn_away(self, now_ns: int) -> None:
        """The gateway drains and this connection has not logged on: it must reconnect elsewhere."""
        self.machine.close(close_codes.SERVICE_RESTART, "the gateway is draining, reconnect", now_ns)
        self.count_end("draining")
        self.link.wake()

    def count_refused_message(self, refusal: Refusal, now_ns: int) -> None:
        """A message was refused by a limit; a flood of them ends the connection, as a disconnect."""
        if self.session is None:
            return
        is_abuse = refusal.code == errors.LIMIT_ABUSE
        if refusal.code == errors.MESSAGE_RATE_LIMITED:
            bursts = [view.capacity for view in self.services.limiter.view(self.session.path, now_ns, ("msgs",))]
            is_abuse = bool(bursts) and self._flood.is_abuse(lambda: min(bursts), now_ns)
        if is_abuse:
            self.machine.close(close_codes.ABUSE, "limit_abuse: far too many messages over the limit", now_ns)
            self.end_session("limit_abuse", now_ns)
            self.link.wake()

    @property
    def is_leaving(self) -> bool:
        """Whether a logout waits for open requests."""
        return self._logout is not None

    def leave(self, logout: events.Requested, now_ns: int) -> None:
        """Log out when every earlier request is answered, or `core.answer_timeout_ms` has passed, and the events that
        wait in the stream are written.
        """
        self._logout = logout
        self.keep_orders = True
        if self.session is not None:
            self.services.cancel_on_disconnect.leaving(self.session)
        self._leave_by_ns = now_ns + self.services.settings.core.answer_timeout_ms * NS_PER_MS
        self.link.wake()

    def _finish_logout(self, now_ns: int) -> None:
        logout, self._logout = self._logout, None
        assert logout is not None
        self._leave_by_ns = 0
        blocks = self.answers.limits(("msgs",), None, now_ns)
        self.machine.output.respond(logout.request_id, {}, now_ns, logout.t_in_ns, blocks)
        self.machine.close(close_codes.NORMAL, "logged out", now_ns)
        self.end_session("logout", now_ns)

    # -- what is written when the socket asks for more -----------------------------------------------------------

    def read_on(self, now_ns: int) -> int:
        """Make the next slice of a list, or write one of the stream; how many orders or events it had."""
        writer = self.writer
        if not writer.is_listing:
            events = writer.write_slice(now_ns)
            if not events:
                self.too_slow(now_ns)
                self.link.close()
            return max(events, 1)
        rows, source, whole = writer.continue_list()
        assert isinstance(source, Source)
        if whole is not None and self.answers.open.close(source):
            self.answers.conclude(source, whole, now_ns, ("queries", "msgs"))
        return rows

    # -- the order path's side (gateway.sessions.reply.Endpoint) --------------------------------------------------

    def handed_over(self, reply: Reply, now_ns: int) -> None:
        source = reply.source
        assert isinstance(source, Source)
        if self.answers.handed_over(source, reply, now_ns):
            self.link.wake()

    def answer(self, reply: Reply, event: AnyEvent, now_ns: int) -> None:
        """The terminal answer to a request, written before the events that it caused."""
        source = reply.source
        assert isinstance(source, Source)
        if source.method == snapshot.METHOD:
            assert isinstance(event, OrderList)
            self._snapshot.answered(event, self.writer.cursor)
        elif isinstance(event, OrderList) and source.method == "order.list" and ListCursor.is_long(event):
            self._list(source, event, now_ns)
        else:
            self.answers.answer(source, reply, event, now_ns)
        self.link.wake()

    def _list(self, source: Source, event: OrderList, now_ns: int) -> None:
        """Begin a long list. The request stays open until the list is complete: a logout waits for it."""
        if not self.writer.begin_list(source, event, self.services.settings.out.max_bytes):
            self.answers.refuse(source, TOO_MANY_LISTS, now_ns)

    def refuse(self, source: object, refusal: Refusal, now_ns: int) -> None:
        assert isinstance(source, Source)
        if source.method == snapshot.METHOD:
            self._snapshot.refused(refusal.retry_after_ms, now_ns)
        elif self.answers.refuse(source, refusal, now_ns):
            self.count_refused_message(refusal, now_ns)
        self.link.wake()

    def report(self, event: AnyEvent, reply: Reply | None, now_ns: int) -> None:
        """Report an event of the account: written when live, otherwise it waits in the stream."""
        cursor = self.writer.cursor
        if not cursor.is_live:
            return
        if self.machine.pending_bytes < READY_BYTES:
            self.writer.push(event, now_ns)
        else:
            cursor.fall_behind(event.seq)
        self.link.wake()

    def report_run(self, run: RunReply, events: Sequence[OrderEvent], now_ns: int) -> None:
        """The answer to each order of a run, and after it the events that it caused."""
        self._run_answers.write(run, events, now_ns)
        self.link.wake()

    def notice(self, state: EngineState, now_ns: int) -> None:
        if "system" in self.streams:
            self.writer.push(state, now_ns)
            self.link.wake()

    def limits_changed(self, views: list[BucketView], version: int, now_ns: int) -> None:
        if "limits" not in self.streams or self.session is None:
            return
        self.writer.push_limits(profile(self.services, self.session), views, now_ns)
        self.link.wake()

    def draining(self, reconnect_by_ns: int, text: str, now_ns: int) -> None:
        """Announce a planned end; until then cancel-on-disconnect waits for clients that come back."""
        if "system" in self.streams and self.machine.is_logged_on:
            self.writer.push_draining(reconnect_by_ns, text, now_ns)
            self.link.wake()

    def log_out(self, text: str, now_ns: int) -> None:
        """The gateway ends the connection; during a drain, the client may reconnect to another gateway at once."""
        self.machine.close(
            close_codes.SERVICE_RESTART if self.services.orders.venue.draining else close_codes.GOING_AWAY, text, now_ns
        )
        self.keep_orders = True
        self.end_session("going_away", now_ns)
        self.link.wake()

    def pause_reading(self, now_ns: int) -> None:
        self.link.pause_reading(now_ns)

    def resume_reading(self, now_ns: int) -> None:
        self.link.resume_reading(now_ns)

    def describe(
        self, now_ns: int, resume: results.ResumeResult | msgspec.UnsetType = msgspec.UNSET
    ) -> results.LogonResult:
        """What is in force: the result of logon, status and configure."""
        assert self.session is not None
        return logon_result(self.services, self.session, self.streams, self.heartbeat_ms, resume, now_ns)
