"""The pure half of the WebSocket door: one connection's machine, its logon, and its business with the road.

It lives as long as its connection; the session behind it may live longer (`gateway.sessions`). Events are written from
a cursor in the account's one stream: live they are pushed as they come, behind a replay they wait in the stream, so a
client never sees a number twice or out of order, and a long replay costs no memory.
"""

from typing import Protocol

import msgspec

from gateway import config
from gateway.clients import Client, Clients, Denied
from gateway.fix_speaker import House, Link
from gateway.request import Request
from gateway.sessions import Account, Session, Sessions
from gateway.ws_requests import Source, WsRequests, limit_blocks, start_of_stream
from limits.limiter import ALLOWED, BucketView
from protocols import errors
from protocols.errors import Refusal
from protocols.instruments import Instruments
from protocols.messages import AnyEvent, EngineState, OrderList, QueryOrders
from protocols.ws import events as told
from protocols.ws import report, results, schema, session
from protocols.ws.schema import LogonParams, StreamName

_NS_PER_US, _NS_PER_MS = 1_000, 1_000_000
_SLICE = 64  # events of a replay per write
_SNAPSHOT_ROWS = 100
_DEFAULT_STREAMS: tuple[StreamName, ...] = ("orders", "limits", "system")
_SERVER = "penstock/1"


class WsHouse(House, Protocol):
    """The parts that WebSocket speakers share beside the common ones."""

    clients: Clients
    instruments: Instruments
    sessions: Sessions
    settings: config.Config


class WsSpeaker:
    """Speaks WebSocket on one connection, to the client on one side and the road on the other."""

    def __init__(
        self, house: WsHouse, ws: config.Ws, codec: str, link: Link, ids: tuple[str, str], peer_ip: str, now_ns: int
    ) -> None:
        settings = session.WsSettings(
            heartbeat_ms=ws.heartbeat_ms,
            logon_timeout_ms=ws.logon_timeout_s * 1_000,
            max_frame_bytes=ws.max_frame_bytes,
            server=_SERVER,
            epoch=house.road.epoch,
            codec="msgpack" if codec == "msgpack" else "json",
        )
        self.house = house
        self.machine = session.WsSession(settings, ids[0], ids[1], now_ns)
        self.link = link
        self.session: Session | None = None
        self.streams: tuple[StreamName, ...] = ()
        self.limits_mode = "near"
        self.heartbeat_ms = ws.heartbeat_ms
        self.keep_orders = False  # a logout that leaves them; else the end of the link is a disconnect
        self._is_end_counted = False  # why the connection ended, in the metric
        self._recv_window_ns = ws.recv_window_ms * _NS_PER_MS
        self._peer_ip = peer_ip
        self._requests = WsRequests(self)
        self._account: Account
        self._replay: tuple[int, int] | None = None  # next and last number to send again
        self._behind = 0  # first number not pushed because a replay goes first; 0 = live
        self._snapshot_due = False  # nothing is pushed before it

    # -- the connection's side (gateway.connection.Peer) ---------------------------------------------------------

    @property
    def has_output(self) -> bool:
        """Whether there is something to write."""
        return bool(self.machine.pending_bytes) or self._has_backlog

    @property
    def pending_bytes(self) -> int:
        """What is ready and unwritten; what still lies in the stream costs nothing."""
        return self.machine.pending_bytes

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` is next wanted."""
        return self.machine.next_deadline_ns

    def take_output(self, limit_bytes: int) -> bytes:
        """The next bytes to write: what is ready, else the next slice of the replay."""
        if not self.machine.pending_bytes and self._has_backlog:
            self._push_slice()
        return self.machine.take_output()

    def opened(self, client: Client | None, now_ns: int) -> None:
        """The upgrade is answered; `client` when it proved itself in the headers."""
        self.machine.connected(now_ns)
        if client is not None:
            found = self._find_session(client, "", now_ns)
            if isinstance(found, Refusal):
                self.machine.close(session.TRY_LATER, _retry_reason(found), now_ns)
                return
            self.machine.logged_on(now_ns)
            self._begin(found, client, None, now_ns)
            self.stream_from(self._account.latest_seq + 1)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Bytes of the client."""
        for event in self.machine.receive(data, now_ns):
            self._on_event(event, now_ns)

    def tick(self, now_ns: int) -> None:
        """Heartbeats and time-outs."""
        for event in self.machine.tick(now_ns):
            self._on_event(event, now_ns)

    def lost(self, now_ns: int) -> None:
        """The connection is gone."""
        self.machine.lost()
        self.end_session("lost", now_ns)
        self._count_end("lost")

    def too_slow(self, now_ns: int) -> None:
        """The reader is too far behind: it loses nothing, it resumes."""
        self.machine.close(session.TOO_SLOW, "too slow to read", now_ns)
        self.end_session("too_slow", now_ns)
        self._count_end("too_slow")

    def paused(self, now_ns: int) -> None:
        """We stopped reading: silence is not the peer's fault."""
        self.machine.pause(now_ns)

    def resumed(self, now_ns: int) -> None:
        """We read on."""
        self.machine.resume(now_ns)

    # -- what the machine tells ----------------------------------------------------------------------------------

    def _on_event(self, event: told.Event, now_ns: int) -> None:
        if isinstance(event, told.Requested):
            if self.session is not None:
                self.house.metrics.ws.messages_in += 1
                self._requests.serve(event, self.session, now_ns)
        elif isinstance(event, told.LogonRequested):
            self._log_on(event, now_ns)
        elif isinstance(event, told.Answered):
            self.house.metrics.ws.messages_in += 1
            if self.session is not None:
                self.house.road.charge_message(self.session, now_ns)
        elif isinstance(event, told.Closed):
            self._on_closed(event, now_ns)
        else:
            self.link.close()

    def _on_closed(self, event: told.Closed, now_ns: int) -> None:
        if event.reason == "challenge":
            self._count_refused("challenge")
        self.end_session(event.reason, now_ns)
        self._count_end(event.reason)

    def _log_on(self, asked: told.LogonRequested, now_ns: int) -> None:
        params = asked.params
        sent_at_ns = None if asked.challenged else params.ts * _NS_PER_US
        proof = self.house.clients.authenticate(
            params.api_key,
            asked.signed,
            params.sig,
            self._peer_ip,
            now_ns,
            "trade_or_read",
            sent_at_ns,
            self._recv_window_ns,
        )
        if isinstance(proof, Denied):
            self._count_refused(proof.cause)
            self.machine.refuse_logon(asked.request_id, now_ns)
            return
        found = self._find_session(proof, params.name or "", now_ns)
        if isinstance(found, Refusal):
            self.machine.refuse_logon(asked.request_id, now_ns, found, session.TRY_LATER, _retry_reason(found))
            return
        self._begin(found, proof, params, now_ns)
        resume = start_of_stream(params, self._account, self.house.road.epoch, "orders" in self.streams)
        blocks = self.all_limits(now_ns)
        result = self.describe(now_ns, resume)
        held = self.machine.accept_logon(asked.request_id, result, now_ns, blocks or None)
        self._resume(resume, now_ns)
        for event in held:
            self._on_event(event, now_ns)

    def _find_session(self, client: Client, name: str, now_ns: int) -> Session | Refusal:
        """The session that this logon means; a limit on logons, or too many names, says try later."""
        limited = self.house.sessions.charge_logon(client, now_ns)
        if limited is not ALLOWED:
            self._count_refused("rate")
            wait_ms = -(-limited.wait_us // 1_000)
            return Refusal(errors.TOO_MANY_CONNECTIONS, "too many logons, try later", max(wait_ms, 1))
        found = self.house.sessions.for_ws(client, name)
        if found is None:
            self._count_refused("too_many_sessions")
            return Refusal(errors.TOO_MANY_CONNECTIONS, "too many session names for this key", 60_000)
        return found

    def _begin(self, found: Session, client: Client, params: LogonParams | None, now_ns: int) -> None:
        """The session is this connection's from now on; the connection it had before is superseded."""
        older = found.speaker
        if isinstance(older, WsSpeaker) and older is not self:
            older.supersede(now_ns)
        found.speaker, found.connected, found.client = self, True, client
        found.may_trade = "trade" in client.permissions
        found.cancel_on_disconnect, found.cod_grace_ms = client.cancel_on_disconnect, 0
        self.session = found
        self._account = self.house.sessions.account(client.account_id)
        self.streams = _DEFAULT_STREAMS
        if params is not None:
            self.streams = params.streams if params.streams is not None else _DEFAULT_STREAMS
            self.limits_mode = params.limits or "near"
            self.heartbeat_ms = params.heartbeat_ms or self.heartbeat_ms
            if params.cod is not None:
                found.cancel_on_disconnect, found.cod_grace_ms = params.cod.scope, params.cod.grace_ms
        self.house.guards.connected(found)
        self.house.log("session.logged_on", session=found.name, door="ws", account=client.account)

    def supersede(self, now_ns: int) -> None:
        """A newer logon took the session over; nothing of this is a disconnect."""
        self.session = None
        self.machine.close(session.SUPERSEDED, "superseded", now_ns)
        self._count_end("superseded")
        self.link.wake()

    def end_session(self, reason: str, now_ns: int) -> None:
        """The conversation is over: what guards the client's orders takes over."""
        ended, self.session = self.session, None
        if ended is None:
            return
        ended.speaker, ended.connected = None, False
        self._count_end(reason)
        self.house.log("session.ended", session=ended.name, door="ws", reason=reason)
        self.house.guards.disconnected(ended, now_ns, keep_orders=self.keep_orders)

    def _count_end(self, reason: str) -> None:
        """Each connection ends for one reason: the first that was found."""
        if not self._is_end_counted:
            self._is_end_counted = True
            self.house.metrics.count_disconnect("ws", reason)

    def _count_refused(self, cause: str) -> None:
        """A logon was refused, which ends the connection; the peer does not learn the cause."""
        self._is_end_counted = True
        self.house.metrics.count_failed_logon("ws", cause)
        self.house.log("logon.refused", door="ws", cause=cause, peer=self._peer_ip)

    # -- the stream ----------------------------------------------------------------------------------------------

    @property
    def _has_backlog(self) -> bool:
        if self.session is None or self._snapshot_due or not self.machine.is_logged_on:
            return False
        return self._replay is not None or 0 < self._behind <= self._account.latest_seq

    def _resume(self, resume: results.ResumeResult, now_ns: int) -> None:
        if resume.status == "replayed":
            assert isinstance(resume.begin, int)
            assert isinstance(resume.end, int)
            self.replay(resume.begin, resume.end)
        elif resume.status == "snapshot":
            self._ask_snapshot(now_ns)
        else:
            self.stream_from(self._account.latest_seq + 1)

    def stream_from(self, seq: int) -> None:
        """Write the stream from this number on; when that is the next to come, it is live."""
        self._behind = seq if seq <= self._account.latest_seq else 0

    def stream_live(self) -> None:
        """Only what is still to come."""
        self._behind = 0

    def replay(self, begin: int, end: int) -> None:
        """Send begin..end again, then `resumed`, then go on where live output stopped. One replay at a time."""
        self._replay = (begin, end)
        self._behind = self._behind or self._account.latest_seq + 1
        self.link.wake()

    @property
    def is_replaying(self) -> bool:
        """Whether a replay is under way."""
        return self._replay is not None

    def _push_slice(self) -> None:
        """The next events of the replay or behind it. What retention has dropped meanwhile cannot be sent: too slow."""
        now_ns, account = self.house.now_ns(), self._account
        first, last = self._replay or (self._behind, account.latest_seq)
        if first < account.oldest_seq:
            self.too_slow(now_ns)
            return
        upto = min(first + _SLICE - 1, last)
        for event in account.replay(first, upto):
            self._push(event, now_ns, is_replay=self._replay is not None)
        if self._replay is None:
            self.stream_from(upto + 1)
        elif upto < last:
            self._replay = (upto + 1, last)
        else:
            done = results.ResumedData(self.house.road.epoch, 0, last)
            self._replay = None
            self.machine.push(results.EventWire(ev="resumed", ts=now_ns // _NS_PER_US, data=done), now_ns)
            self.stream_from(self._behind)

    def _push(self, event: AnyEvent, now_ns: int, is_replay: bool) -> None:
        owner = self.house.sessions.by_id.get(event.session) if not isinstance(event, EngineState) else None
        name = owner.name if owner is not None else ""
        self.machine.push(report.event_wire(event, self.house.instruments, name, is_replay), now_ns)
        self.house.metrics.ws.messages_out += 1

    def _ask_snapshot(self, now_ns: int) -> None:
        """All open orders come through the road like any query; events wait until it is told what they follow."""
        assert self.session is not None
        self._snapshot_due = True
        sender = self.session.sender
        query = QueryOrders(
            sender.next_query_id(), sender.account, sender.session, sender.origin, now_ns, 0, req_id="snapshot"
        )
        self.house.road.submit(self.session, query, "snapshot", Source(None, "snapshot", now_ns), 0, now_ns)

    def _tell_snapshot(self, event: OrderList, now_ns: int) -> None:
        rows = report.order_list(event, self.house.instruments).orders
        for start in range(0, max(len(rows), 1), _SNAPSHOT_ROWS):
            piece, is_last = rows[start : start + _SNAPSHOT_ROWS], start + _SNAPSHOT_ROWS >= len(rows)
            data = results.SnapshotData(self.house.road.epoch, piece, is_last)
            wire = results.EventWire(ev="snapshot", seq=event.seq, ts=event.t_core // _NS_PER_US, data=data)
            self.machine.push(wire, now_ns)
        self._snapshot_due = False
        self.stream_from(event.seq + 1)

    # -- the road's side (gateway.sessions.Speaker) --------------------------------------------------------------

    def handed_over(self, request: Request, now_ns: int) -> None:
        """`resp:"queued"` is answered on hand-over."""
        source = request.source
        assert isinstance(source, Source)
        if source.resp == "queued" and source.batch is None:
            result = results.QueuedResult(getattr(request.command, "cl_ord_id", ""))
            self.machine.respond(source.request_id, result, now_ns, source.t_in_ns, status=202)

    def answer(self, request: Request, event: AnyEvent, now_ns: int) -> None:
        """The terminal answer to a request, written before the events that it caused."""
        source = request.source
        assert isinstance(source, Source)
        if source.method == "snapshot":
            assert isinstance(event, OrderList)
            self._tell_snapshot(event, now_ns)
        elif source.resp != "queued" or source.batch is not None:
            outcome = report.answer(source.method, event, self.house.instruments)
            self._conclude(source, outcome, now_ns, request.bucket)
        self.link.wake()

    def refuse(self, source: object, refusal: Refusal, now_ns: int) -> None:
        """The gateway's own no."""
        assert isinstance(source, Source)
        if source.method == "snapshot":
            self.machine.close(session.TRY_LATER, "no snapshot now, retry_after_ms=1000", now_ns)
        else:
            self._conclude(source, refusal, now_ns, "")
        self.link.wake()

    def report(self, event: AnyEvent, request: Request | None, now_ns: int) -> None:
        """An event of the account: pushed when live, else it waits its turn in the stream."""
        if "orders" in self.streams and not (self._behind or self._snapshot_due):
            self._push(event, now_ns, is_replay=False)
        self.link.wake()

    def notice(self, state: EngineState, now_ns: int) -> None:
        """The market's state."""
        if "system" in self.streams:
            self._push(state, now_ns, is_replay=False)
            self.link.wake()

    def limits_changed(self, views: list[BucketView], version: int, now_ns: int) -> None:
        """Operators changed these buckets."""
        if "limits" not in self.streams:
            return
        ts = now_ns // _NS_PER_US
        rows = tuple(results.LimitBlock(name=v.name, scope=v.scope, capacity=v.capacity, rate=v.rate) for v in views)
        data = results.LimitsData(f"v{version}", rows, ts)
        self.machine.push(results.EventWire(ev="limits", ts=ts, data=data), now_ns)
        self.link.wake()

    def draining(self, reconnect_by_ns: int, text: str, now_ns: int) -> None:
        """A planned end is announced."""
        if "system" in self.streams and self.machine.is_logged_on:
            data = results.SystemData(state="draining", reconnect_by=reconnect_by_ns // _NS_PER_US, text=text)
            self.machine.push(results.EventWire(ev="system", ts=now_ns // _NS_PER_US, data=data), now_ns)
            self.link.wake()

    def log_out(self, now_ns: int, text: str) -> None:
        """We end the connection in order: come back."""
        self.machine.close(session.GOING_AWAY, text, now_ns)
        self.keep_orders = True
        self.end_session("going_away", now_ns)
        self.link.wake()

    def failed(self, now_ns: int) -> None:
        """Our own bug: close without details."""
        self.machine.close(1011, "internal error", now_ns)
        self.end_session("internal", now_ns)
        self.link.close()

    def pause_reading(self, now_ns: int) -> None:
        """The queue fills."""
        self.link.pause_reading(now_ns)

    def resume_reading(self, now_ns: int) -> None:
        """The queue has room."""
        self.link.resume_reading(now_ns)

    def _conclude(self, source: Source, outcome: object, now_ns: int, bucket: str) -> None:
        """Write one answer, or keep it until its batch is complete."""
        if source.batch is not None:
            whole = source.batch.complete(source.leg, outcome)
            if whole is None:
                return
            outcome = whole
        self.house.metrics.ws.messages_out += 1
        machine = self.machine
        if isinstance(outcome, Refusal):
            limited = 3000 <= outcome.code < 4000
            blocks = self._blocks(("orders", "cancels") if limited else (bucket,), limited, now_ns)
            machine.fail(source.request_id, outcome, now_ns, source.t_in_ns, blocks)
        elif source.resp != "none":
            machine.respond(source.request_id, outcome, now_ns, source.t_in_ns, self._blocks((bucket,), False, now_ns))

    # -- what it can tell about itself ---------------------------------------------------------------------------

    def _blocks(self, names: tuple[str, ...], limited: bool, now_ns: int) -> tuple[results.LimitBlock, ...] | None:
        if self.limits_mode == "never" or self.session is None or not names[0]:
            return None
        views = self.house.limiter.view(self.session.path, now_ns, names)
        return report.limits_due(self.limits_mode, limit_blocks(views), limited)

    def all_limits(self, now_ns: int) -> tuple[results.LimitBlock, ...]:
        """Every bucket of this session."""
        assert self.session is not None
        return limit_blocks(self.house.limiter.view(self.session.path, now_ns))

    def describe(
        self, now_ns: int, resume: results.ResumeResult | msgspec.UnsetType = msgspec.UNSET
    ) -> results.LogonResult:
        """What is in force: the result of logon, status and configure."""
        found = self.session
        assert found is not None
        views = self.house.road.show_limits(found, now_ns)
        return results.LogonResult(
            session=found.name,
            account=found.client.account,
            permissions=tuple(sorted(found.client.permissions)),
            epoch=self.house.road.epoch,
            resume=resume,
            cod=schema.Cod(scope=found.cancel_on_disconnect, grace_ms=found.cod_grace_ms),  # type: ignore[arg-type]
            heartbeat_ms=self.heartbeat_ms,
            streams=self.streams,
            limits=tuple(
                results.LimitBlock(name=view.name, scope=view.scope, capacity=view.capacity, rate=view.rate)
                for view in views
            ),
        )


def _retry_reason(refusal: Refusal) -> str:
    return f"retry_after_ms={refusal.retry_after_ms}"
