"""The FIX door: its listeners, every configured session, and who may log on to which."""

import asyncio
import ipaddress
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from gateway.auth.authenticator import Client, Denied, Proof
from gateway.config import schema
from gateway.config.addresses import networks
from gateway.config.key_material import permission_for
from gateway.config.schedule import SAME_MOMENT_NS, ResetPlan
from gateway.doors import tls
from gateway.doors.batch import Tick
from gateway.doors.connection import Connection, Traffic
from gateway.doors.crowd import Crowd
from gateway.doors.fix.endpoint import FixEndpoint
from gateway.doors.fix.lists import Lists
from gateway.doors.fix.logon_options import window_ms
from gateway.doors.fix.pre_logon import PreLogonPeer
from gateway.doors.listening import Arrival, Door, Listener, Place
from gateway.doors.services import Services
from gateway.doors.slowness import Backlog
from limits.limiter import ALLOWED
from protocols.fix import tags
from protocols.fix.session.first_message import LogonClaim
from protocols.fix.session.logon import LogonRefusal, whole_number
from protocols.fix.session.machine import FixSession
from protocols.fix.session.settings import SessionSettings
from protocols.fix.session.store import MessageStore
from protocols.fix.times import parse_ns
from protocols.fix.translate import Translator
from protocols.messages import Origin
from protocols.signing import fix_logon_text
from protocols.units import NS_PER_MS, NS_PER_S

_UNSAID = {tags.SENDER_COMP_ID: "", tags.TARGET_COMP_ID: "", tags.MSG_SEQ_NUM: "", tags.SENDING_TIME: ""}


def is_plain(settings: schema.FixSession) -> bool:
    """Whether the session speaks standard tags only: asked for, or by default when it has no credentials."""
    return settings.dialect == "plain" or (not settings.dialect and settings.auth == "none")


def machine_settings(settings: schema.Config, row: schema.FixSession) -> SessionSettings:
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
    """Every configured FIX session, and the listeners they call on."""

    def __init__(
        self,
        services: Services,
        backlog: Backlog,
        open_store: Callable[[int], MessageStore],
        record_reset: Callable[[int, int], None],
    ) -> None:
        settings, clients, sessions = services.settings, services.authenticator, services.sessions
        self._settings = settings
        self._clients = clients
        self._sessions = sessions
        self._record_reset = record_reset  # of a session, by its id, at a time in ns UTC
        self._services = services
        self._listeners: list[Listener] = []
        self.crowd = Crowd(settings.fix.max_connections)
        self._resets = ResetPlan[tuple[str, str]](services.wall)
        self.traffic = Traffic(backlog)
        self.endpoints: dict[tuple[str, str], FixEndpoint] = {}
        self.configured: dict[tuple[str, str], schema.FixSession] = {}
        self._guarded = _guarded(settings.fix)
        lists = Lists(services.orders.later)
        for row in settings.fix.sessions:
            client = clients.for_fix_session(row)
            session = sessions.add(row.id, row.comp_id, client, Origin.FIX)
            session.instruments = clients.tradable(row)
            chosen = machine_settings(settings, row)
            machine = FixSession(chosen, open_store(row.id), services.wall)
            dialect = "plain" if is_plain(row) else "penstock"
            translator = Translator(
                row.version,
                dialect,
                services.instruments,
                row.throttle_reject,
                settings.core.order_deadline_ms,
                client.account,
            )
            endpoint = FixEndpoint(session, machine, translator, row, services, lists)
            session.endpoint = endpoint
            key = (row.comp_id, row.target_comp_id or settings.venue.comp_id)
            self.endpoints[key] = endpoint
            self.configured[key] = row
            self._resets.add(key, row.reset_schedule, services.now_ns())

    async def start(self, loop: asyncio.AbstractEventLoop, tick: Tick) -> dict[str, int]:
        """Listen; returns the port of each listener by name."""
        ports: dict[str, int] = {}
        for listener in self._settings.fix.listeners:
            place = Place(
                listener.name,
                listener.host,
                listener.port,
                listener.backlog,
                tls.server_context(listener.tls),
                networks(listener.proxy_protocol_from),
            )
            self._listeners.append(Listener(place, self.door_of(listener, loop, tick)))
            ports[listener.name] = await self._listeners[-1].open()
        return ports

    def door_of(self, listener: schema.FixListener, loop: asyncio.AbstractEventLoop, tick: Tick) -> Door:
        """What one of the listeners lets people in by."""
        return Door(
            crowd=self.crowd,
            make=partial(self._meet, listener, loop, tick),
            turn_away=self._turn_away,
            count_end=partial(self._services.metrics.count_disconnect, "fix"),
            log=partial(self._services.log, door="fix"),
            now_ns=tick.now_ns,
            shared=networks(listener.proxy_protocol_from),
            accepting=lambda: self._services.orders.queue.takes_newcomers,
        )

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next scheduled reset is due."""
        return self._resets.next_deadline_ns

    def tick(self, now_ns: int) -> None:
        """Put the numbers of sessions whose scheduled moment has come back to 1."""
        for key in self._resets.take_due(now_ns):
            self._reset(key, now_ns)
        for key, at_utc in self._resets.take_misdated(now_ns).items():
            self._record_reset(self.configured[key].id, at_utc)

    def catch_up(self, done_utc: Mapping[int, int], now_ns: int) -> None:
        """Do at start what a schedule asked for while no gateway ran. done_utc: when each session's was carried out."""
        utc_ns = self._services.wall.utc_ns(now_ns)
        for key, row in self.configured.items():
            last_ns = done_utc.get(row.id)
            if not row.reset_schedule:
                continue
            if last_ns is None or last_ns > utc_ns + SAME_MOMENT_NS:  # first seen, or dated by a clock that was ahead
                self._record_reset(row.id, utc_ns)
            elif self._resets.is_missed(key, last_ns, now_ns):
                self._resets.done(key, utc_ns, now_ns)
                self._reset(key, now_ns)
            else:
                self._resets.done(key, last_ns, now_ns)

    def _reset(self, key: tuple[str, str], now_ns: int) -> None:
        back_by_ns = now_ns + self._settings.venue.drain_ms * NS_PER_MS  # as after any end that we planned
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
        self._services.metrics.count_failed_logon("fix", "too_many_connections")  # no log line: a crowd writes none
        return b""

    def _meet(
        self, listener: schema.FixListener, loop: asyncio.AbstractEventLoop, tick: Tick, arrival: Arrival
    ) -> asyncio.Protocol:
        connection = Connection(tick, loop, self._settings, self.traffic)
        connection.came_by(arrival)
        peer = connection.peer = PreLogonPeer(self, listener, connection, arrival)
        arrival.cut = peer.cut
        return connection

    def admit(
        self, hello: LogonClaim, listener: schema.FixListener, connection: Connection, now_ns: int
    ) -> FixEndpoint | Denied | LogonRefusal:
        """The session that this Logon(A) proves to be, whose the connection is from now on; or why not, for the log.

        LogonRefusal: it proves to be a session that has a living link, and what it asks for cannot be.
        """
        fields = hello.message.fields
        row = self._row(hello, listener)
        if isinstance(row, str):
            if listener.name not in self._guarded:
                return Denied(row)
            # As dear as a known session's refusal, and counted like it.
            nobody = self._clients.authenticate(("",), _proof(fields, connection.peer_ip), "fix.order_entry", now_ns)
            return msgspec.structs.replace(nobody, cause=row) if isinstance(nobody, Denied) else Denied(row)
        endpoint = self.endpoints[_key_of(hello)]
        client: Client | Denied = endpoint.session.client
        if row.auth == "key":
            client = self._prove(
                row, endpoint, _proof(fields, connection.peer_ip), fields.get(tags.USERNAME, ""), now_ns
            )
        if isinstance(client, Denied):
            return client
        if endpoint.has_living_link:
            if self._services.orders.venue.draining:
                return Denied("draining")  # the living link needs its numbers for its own goodbye
            if row.auth == "none" or row.on_duplicate == "reject":
                return Denied("duplicate")
        return endpoint.meet(connection, hello.message, client, now_ns) or endpoint

    def _row(self, hello: LogonClaim, listener: schema.FixListener) -> schema.FixSession | str:
        """The configured session that the Logon names, or why it may not be called here."""
        row = self.configured.get(_key_of(hello))
        if row is None or (row.listener and row.listener != listener.name):
            return "unknown_session"
        if row.version != hello.begin_string:
            return "wrong_version"
        if row.auth == "none" and not (listener.insecure and _is_loopback(listener.host)):
            return "credentials_required"
        return row

    def _prove(
        self, row: schema.FixSession, endpoint: FixEndpoint, proof: Proof, username: str, now_ns: int
    ) -> Client | Denied:
        """Who the Logon's signature proves to be, or why it may not log on."""
        keys = self._clients.keys_for(row, username, now_ns)
        client = self._clients.authenticate(keys, proof, permission_for(row), now_ns)
        if isinstance(client, Denied):
            return client
        if not self._clients.may_use(client, row):
            return Denied("session_of_another_account")
        # Whoever comes back takes nobody's place: it costs nothing. A takeover does, and so does one after the other.
        if endpoint.session.is_taken and self._sessions.charge_logon(client, now_ns) is not ALLOWED:
            return Denied("rate")
        return client

    def explains_to(
        self, hello: LogonClaim, listener: schema.FixListener, proven: LogonRefusal | None
    ) -> tuple[SessionSettings, LogonRefusal | None] | None:
        """Whose Logout(5) a refused Logon(A) gets, and what it says; None = it gets silence, as it is for nearly all.

        Only where the peer's numbers begin at 1 with this logon, so that no real number is burnt; and strangers only
        where the operator chose it. proven: why it is refused although it has proved who it is.
        """
        row, fields = self._row(hello, listener), hello.message.fields
        if isinstance(row, str) or (proven is None and row.refused_logon != "logout"):
            return None
        is_reset = fields.get(tags.RESET_SEQ_NUM_FLAG) == "Y" and whole_number(fields.get(tags.MSG_SEQ_NUM)) == 1
        if not (row.reset_on_logon or (proven is not None and is_reset)):
            return None
        return self.endpoints[_key_of(hello)].machine.settings, proven

    def refuse(self, cause: str, detail: str, peer_ip: str, key: str = "") -> None:
        """Count and log a refused logon; the peer learns nothing."""
        self._services.metrics.count_failed_logon("fix", cause)
        self._services.log("logon.refused", door="fix", cause=cause, detail=detail, key=key, peer=peer_ip)

    def count_left(self, reason: str) -> None:
        """A connection ended before it had said who it was."""
        self._services.metrics.count_disconnect("fix", reason)

    def utc_ns(self, now_ns: int) -> int:
        """The time of day, for what is told to a stranger."""
        return self._services.wall.utc_ns(now_ns)

    @property
    def refusal_delay_ns(self) -> int:
        """The fixed delay before a refused connection is closed."""
        return self._settings.fix.refusal_delay_ms * NS_PER_MS

    @property
    def logon_timeout_ns(self) -> int:
        """How long a connection may take to say who it is."""
        return self._settings.fix.logon_timeout_s * NS_PER_S


def _proof(fields: dict[int, str], peer_ip: str) -> Proof:
    """What a Logon(A) shows."""
    try:
        sent_at_ns = parse_ns(fields.get(tags.SENDING_TIME, ""))
    except ValueError:
        sent_at_ns = 0  # far too old: refused like any other, at the same cost
    return Proof(
        signed=fix_logon_text({**_UNSAID, **fields}),
        signature_b64=fields.get(tags.PASSWORD) or fields.get(tags.RAW_DATA, ""),
        peer_ip=peer_ip,
        sent_at_ns=sent_at_ns,
        window_ns=window_ms(fields) * NS_PER_MS,
    )


def _guarded(fix: schema.Fix) -> frozenset[str]:
    """Names of the listeners on which some session must prove itself."""
    wanted = {row.listener for row in fix.sessions if row.auth == "key"}
    return frozenset(row.name for row in fix.listeners if "" in wanted or row.name in wanted)


def _key_of(hello: LogonClaim) -> tuple[str, str]:
    """Whose session the Logon says it is: the peer's CompID, and ours."""
    fields = hello.message.fields
    return fields.get(tags.SENDER_COMP_ID, ""), fields.get(tags.TARGET_COMP_ID, "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
