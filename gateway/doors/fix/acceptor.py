"""The FIX door: its listeners, the endpoint of every configured session, and scheduled resets of sequence numbers."""

import asyncio
from collections.abc import Callable, Container, Mapping
from functools import partial

from gateway.config import schema
from gateway.config.addresses import networks
from gateway.config.schedule import SAME_MOMENT_NS, ResetPlan
from gateway.doors import tls
from gateway.doors.batch import EventLoopTurn
from gateway.doors.connection import Connection, Traffic
from gateway.doors.crowd import Crowd
from gateway.doors.fix.endpoint import FixEndpoint
from gateway.doors.fix.lists import Lists
from gateway.doors.fix.logon import FixLogon
from gateway.doors.fix.pre_logon import PreLogonPeer
from gateway.doors.listening import Arrival, Door, Listener, ListenSettings
from gateway.doors.services import Services
from gateway.doors.slowness import UnreadOutput
from protocols.fix.session.machine import FixSession
from protocols.fix.session.settings import SessionSettings
from protocols.fix.session.store import MessageStore
from protocols.fix.translate import Translator
from protocols.messages import Origin
from protocols.units import NS_PER_MS


def is_plain(settings: schema.FixSessionRow) -> bool:
    """Whether the session speaks standard tags only: asked for, or by default when it has no credentials."""
    return settings.dialect == "plain" or (not settings.dialect and settings.auth == "none")


def machine_settings(settings: schema.Config, row: schema.FixSessionRow) -> SessionSettings:
    """The session machine's settings for one configured session."""
    fix = settings.fix
    return SessionSettings(
        begin_string=row.version,
        sender_comp_id=row.target_comp_id or settings.venue.comp_id,
        target_comp_id=row.comp_id,
        role="acceptor",
        heart_bt_int_min_s=fix.heart_bt_int_min_s,
        heart_bt_int_max_s=fix.heart_bt_int_max_s,
        reset_on_logon=row.reset_on_logon,
        sending_time_tolerance_s=fix.sending_time_tolerance_s,
        resend_max_messages=fix.resend_max_messages,
        held_max_messages=fix.held_max_messages,
        max_message_bytes=fix.max_message_bytes,
        logout_timeout_s=fix.logout_timeout_s,
        answer_timeout_ms=settings.core.answer_timeout_ms,
        last_msg_seq_num_processed=row.last_msg_seq_num_processed,
        time_digits=3 if is_plain(row) else 6,
        plain=is_plain(row),
    )


class FixAcceptor:
    """Every configured FIX session, and the listeners that clients connect to."""

    def __init__(
        self,
        services: Services,
        unread: UnreadOutput,
        open_store: Callable[[int], MessageStore],
        record_reset: Callable[[int, int], None],
        are_here: bool = True,
    ) -> None:
        """are_here: no other gateway can have one of the sessions; else each is opened when it is here."""
        settings, clients, sessions = services.settings, services.authenticator, services.sessions
        self._settings = settings
        self._record_reset = record_reset  # (session id, time in ns UTC)
        self._services = services
        self._listeners: list[Listener] = []
        self.crowd = Crowd(settings.fix.max_connections)
        self._resets = ResetPlan[tuple[str, str]](services.wall)
        self.traffic = Traffic(unread)
        self.endpoints: dict[tuple[str, str], FixEndpoint] = {}
        self.configured: dict[tuple[str, str], schema.FixSessionRow] = {}
        self._logon = FixLogon(services, self.endpoints, self.configured)
        self._open_store = open_store
        self._lists = Lists(services.orders)
        self._keys: dict[int, tuple[str, str]] = {}
        for row in settings.fix.sessions:
            session = sessions.add(row.id, row.comp_id, clients.for_fix_session(row), Origin.FIX)
            session.instruments = clients.tradable(row)
            key = self._keys[row.id] = (row.comp_id, row.target_comp_id or settings.venue.comp_id)
            self.configured[key] = row
            if are_here:
                self.open_session(row.id)
            self._resets.add(key, row.reset_schedule, services.now_ns())

    def has_session(self, session_id: int) -> bool:
        """Whether it is one of the configured sessions."""
        return session_id in self._keys

    def open_session(self, session_id: int) -> FixEndpoint:
        """Build the endpoint of a session, on what its store has."""
        key = self._keys[session_id]
        row, services, settings = self.configured[key], self._services, self._settings
        session, chosen = services.sessions.by_id[session_id], machine_settings(settings, row)
        machine = FixSession(chosen, self._open_store(session_id), services.wall)
        dialect, deadline_ms = "plain" if chosen.plain else "penstock", settings.core.order_deadline_ms
        account = session.client.account
        translator = Translator(row.version, dialect, services.instruments, row.throttle_reject, deadline_ms, account)
        endpoint = FixEndpoint(session, machine, translator, row, services, self._lists)
        self.endpoints[key] = session.endpoint = endpoint
        return endpoint

    def close_session(self, session_id: int) -> None:
        """Another gateway has the session."""
        endpoint = self.endpoints.pop(self._keys[session_id], None)
        if endpoint is not None:
            endpoint.abandon()
        session = self._services.sessions.by_id[session_id]
        session.endpoint, session.connected = None, False
        session.set_response_mode(0)

    async def start(self, loop: asyncio.AbstractEventLoop, turn: EventLoopTurn) -> dict[str, int]:
        """Listen; returns the port of each listener by name."""
        ports: dict[str, int] = {}
        cluster = self._settings.cluster
        is_shared = cluster is not None and cluster.shares_ports
        for listener in self._settings.fix.listeners:
            context, balancers = tls.server_context(listener.tls), networks(listener.proxy_protocol_from)
            address = ListenSettings(
                listener.name, listener.host, listener.port, listener.backlog, context, balancers, is_shared
            )
            self._listeners.append(Listener(address, self.door_of(listener, loop, turn)))
            ports[listener.name] = await self._listeners[-1].open()
        return ports

    def door_of(self, listener: schema.FixListener, loop: asyncio.AbstractEventLoop, turn: EventLoopTurn) -> Door:
        """What one listener needs to accept connections."""
        return Door(
            crowd=self.crowd,
            make=partial(self._meet, listener, loop, turn),
            turn_away=self._turn_away,
            count_end=partial(self._services.metrics.count_disconnect, "fix"),
            log=partial(self._services.log, door="fix"),
            now_ns=turn.now_ns,
            shared=networks(listener.proxy_protocol_from),
            accepting=lambda: self._services.orders.queue.accepts_connections,
        )

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next scheduled reset is due."""
        return self._resets.next_deadline_ns

    def tick(self, now_ns: int) -> None:
        """Reset the sequence numbers of sessions whose scheduled time has come."""
        for key in self._resets.take_due(now_ns):
            if key not in self.endpoints:  # whoever has it does it, or will find that it was missed
                continue
            self._services.orders.calls.call(self.endpoints[key], self._reset, key, now_ns)
        for key, at_utc in self._resets.take_misdated(now_ns).items():
            if key in self.endpoints:
                self._record_reset(self.configured[key].id, at_utc)

    def catch_up(self, done_utc: Mapping[int, int], now_ns: int, sessions: Container[int] | None = None) -> None:
        """Do the resets that came due while no gateway had the session. done_utc: the last reset of each. sessions:
        only of these, None = of all.
        """
        utc_ns = self._services.wall.utc_ns(now_ns)
        for key in self.endpoints:
            row = self.configured[key]
            last_ns = done_utc.get(row.id)
            if not row.reset_schedule or row.id not in (sessions if sessions is not None else (row.id,)):
                continue
            if last_ns is None or last_ns > utc_ns + SAME_MOMENT_NS:  # first seen, or dated by a clock that was ahead
                self._record_reset(row.id, utc_ns)
            elif self._resets.is_missed(key, last_ns, now_ns):
                self._resets.done(key, utc_ns, now_ns)
                self._reset(key, now_ns)
            else:
                self._resets.done(key, last_ns, now_ns)

    def _reset(self, key: tuple[str, str], now_ns: int) -> None:
        back_by_ns = now_ns + self._settings.venue.drain_ms * NS_PER_MS  # as after any planned end
        self.endpoints[key].reset(now_ns, back_by_ns)
        self._record_reset(self.configured[key].id, self._services.wall.utc_ns(now_ns))

    @property
    def connections(self) -> int:
        """Open connections, logged on or not."""
        return len(self.crowd)

    def stop_listening(self) -> None:
        """Take no new connections."""
        for listener in self._listeners:
            listener.close()

    def _turn_away(self) -> bytes:
        self._services.metrics.count_failed_logon("fix", "too_many_connections")  # not logged: it could fill the log
        return b""

    def _meet(
        self, listener: schema.FixListener, loop: asyncio.AbstractEventLoop, turn: EventLoopTurn, arrival: Arrival
    ) -> asyncio.Protocol:
        connection = Connection(turn, loop, self._settings, self.traffic)
        connection.came_by(arrival)
        peer = connection.peer = self.first_peer(listener, connection, arrival)
        arrival.cut = peer.cut
        return connection

    def first_peer(self, listener: schema.FixListener, connection: Connection, arrival: Arrival) -> PreLogonPeer:
        """The peer of a new connection until its Logon(A)."""
        return PreLogonPeer(self._services, self._logon, listener, connection, arrival)
