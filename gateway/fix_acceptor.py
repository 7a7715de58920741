"""The FIX door: listeners, and the greeter that finds out who is calling before a session hears a byte.

A connection that has not proved who it is lives 5 s and 4 KiB at most. Whatever is wrong with its Logon(A), the answer
is the same: silence, and a close after a fixed delay; the cause is only in our log and metric. A Logout would burn a
number that the real session has to account for.
"""

import asyncio
import ipaddress
from collections.abc import Callable
from functools import partial

from gateway import config, tls
from gateway.clients import Client, Clients, Denied
from gateway.connection import Connection, Traffic
from gateway.fix_speaker import FixSpeaker, House
from gateway.schedule import last_reset_ns, next_reset_ns
from gateway.sessions import Sessions
from gateway.tick import Tick
from limits.limiter import ALLOWED
from protocols.fix import tags
from protocols.fix.greeting import Drop, Greeting, Hello
from protocols.fix.session import FixSession, SessionSettings
from protocols.fix.session_logon import whole_number
from protocols.fix.store import MessageStore
from protocols.fix.times import parse_ns
from protocols.fix.translate import Translator
from protocols.instruments import Instruments
from protocols.messages import Origin
from protocols.signing import fix_logon_text

LOGON_WINDOW_NS = 5_000_000_000  # 25000 on Logon: at most, and by default
_GREETING_BYTES = 4_096


def is_plain(settings: config.FixSession) -> bool:
    """Whether the session speaks standard tags only: asked for, or by default when it has no credentials."""
    return settings.dialect == "plain" or (not settings.dialect and settings.auth == "none")


def machine_settings(fix: config.Fix, settings: config.FixSession, our_comp_id: str) -> SessionSettings:
    """The session machine's settings for one configured session."""
    return SessionSettings(
        begin_string=settings.version,
        sender_comp_id=settings.target_comp_id or our_comp_id,
        target_comp_id=settings.comp_id,
        role="acceptor",
        heart_bt_int_min_s=fix.heart_bt_int_min_s,
        heart_bt_int_max_s=fix.heart_bt_int_max_s,
        reset_on_logon=settings.reset_on_logon,
        sending_time_tolerance_s=fix.sending_time_tolerance_s,
        resend_max_messages=fix.resend_max_messages,
        held_max_messages=fix.held_max_messages,
        max_message_bytes=fix.max_message_bytes,
        logout_timeout_s=fix.logout_timeout_s,
        last_msg_seq_num_processed=settings.last_msg_seq_num_processed,
        time_digits=3 if is_plain(settings) else 6,
        plain=is_plain(settings),
    )


class FixDoor:
    """Every configured FIX session, and the listeners they call on."""

    def __init__(
        self,
        settings: config.Config,
        clients: Clients,
        instruments: Instruments,
        sessions: Sessions,
        house: House,
        open_store: Callable[[int], MessageStore],
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._sessions = sessions
        self._house = house
        self._servers: list[asyncio.Server] = []
        self._resets: dict[tuple[str, str], int] = {}  # next scheduled reset, ns UTC
        self.traffic = Traffic()
        self.speakers: dict[tuple[str, str], FixSpeaker] = {}
        self.configured: dict[tuple[str, str], config.FixSession] = {}
        for row in settings.fix.sessions:
            client = clients.for_fix_session(row)
            session = sessions.add(row.id, row.comp_id, client, Origin.FIX)
            session.instruments = clients.tradable(row)
            machine = FixSession(machine_settings(settings.fix, row, settings.venue.comp_id), open_store(row.id))
            dialect = "plain" if is_plain(row) else "penstock"
            translator = Translator(
                row.version, dialect, instruments, row.throttle_reject, settings.core.order_deadline_ms
            )
            speaker = FixSpeaker(session, machine, translator, row, house)
            session.speaker = speaker
            key = (row.comp_id, row.target_comp_id or settings.venue.comp_id)
            self.speakers[key] = speaker
            self.configured[key] = row
            self._plan_reset(key, house.now_ns())

    async def start(self, loop: asyncio.AbstractEventLoop, tick: Tick) -> dict[str, int]:
        """Listen; returns the port of each listener by name."""
        ports: dict[str, int] = {}
        for listener in self._settings.fix.listeners:
            server = await loop.create_server(
                partial(self._connect, listener, loop, tick),
                listener.host,
                listener.port,
                backlog=listener.backlog,
                ssl=tls.server_context(listener.tls),
                **tls.listen_options(listener.tls),
            )
            self._servers.append(server)
            ports[listener.name] = server.sockets[0].getsockname()[1]
        return ports

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next scheduled reset is due."""
        return min(self._resets.values(), default=None)

    def tick(self, now_ns: int) -> None:
        """Put the numbers of sessions whose scheduled moment has come back to 1."""
        for key in [key for key, due_ns in self._resets.items() if due_ns <= now_ns]:
            self.speakers[key].reset(now_ns)
            self._plan_reset(key, now_ns)

    def reset_missed(self, last_ns: int, now_ns: int) -> None:
        """Do at start what a schedule asked for while no gateway ran; last_ns: when the last one recorded something."""
        for key, row in self.configured.items():
            if last_ns and last_reset_ns(row.reset_schedule, now_ns) > last_ns:
                self.speakers[key].reset(now_ns)

    def _plan_reset(self, key: tuple[str, str], now_ns: int) -> None:
        due_ns = next_reset_ns(self.configured[key].reset_schedule, now_ns)
        if due_ns is not None:
            self._resets[key] = due_ns

    def stop_listening(self) -> None:
        """Take no new connections."""
        for server in self._servers:
            server.close()

    def log_out_all(self, now_ns: int, text: str) -> None:
        """Logout(5) for every session that is logged on."""
        for speaker in self.speakers.values():
            speaker.log_out(now_ns, text)

    def _connect(self, listener: config.FixListener, loop: asyncio.AbstractEventLoop, tick: Tick) -> Connection:
        connection = Connection(tick, loop, self._settings, self.traffic)
        connection.peer = Greeter(self, listener, connection, tick.now_ns())
        return connection

    def identify(self, hello: Hello, listener: config.FixListener, peer_ip: str, now_ns: int) -> FixSpeaker | str:
        """The session that this Logon(A) proves to be, or the cause why not, for the log."""
        fields = hello.message.fields
        key = (fields.get(tags.SENDER_COMP_ID, ""), fields.get(tags.TARGET_COMP_ID, ""))
        row = self.configured.get(key)
        if row is None or (row.listener and row.listener != listener.name):
            return "unknown_session"
        if row.version != hello.begin_string:
            return "wrong_version"
        if row.auth == "none":
            if not (listener.insecure and _is_loopback(listener.host)):
                return "credentials_required"
        else:
            client = self._prove(row, fields, peer_ip, now_ns)
            if isinstance(client, str):
                return client
            if self._sessions.charge_logon(client, now_ns) is not ALLOWED:
                return "rate"
            self.speakers[key].session.client = client
        speaker = self.speakers[key]
        takeover = row.on_duplicate == "takeover" or (not row.on_duplicate and row.auth == "key")
        if speaker.link is not None and not (takeover and row.auth == "key"):
            return "duplicate"
        return speaker

    def _prove(self, row: config.FixSession, fields: dict[int, str], peer_ip: str, now_ns: int) -> Client | str:
        try:
            sent_at_ns = parse_ns(fields.get(tags.SENDING_TIME, ""))
        except ValueError:
            return "bad_time"
        window_ms = whole_number(fields.get(tags.RECV_WINDOW, "").partition(".")[0])
        window_ns = LOGON_WINDOW_NS if window_ms is None else min(window_ms * 1_000_000, LOGON_WINDOW_NS)
        signature = fields.get(tags.PASSWORD) or fields.get(tags.RAW_DATA, "")
        proof = self._clients.authenticate(
            self._clients.key_for(row, fields.get(tags.USERNAME, "")),
            fix_logon_text(fields),
            signature,
            peer_ip,
            now_ns,
            "fix.drop_copy" if row.kind == "drop_copy" else "fix.order_entry",
            sent_at_ns,
            window_ns,
        )
        if isinstance(proof, Denied):
            return proof.cause
        if not self._clients.may_use(proof, row):
            return "session_of_another_account"
        return proof

    def refuse(self, cause: str, detail: str, peer_ip: str) -> None:
        """Count and log a refused logon; the peer learns nothing."""
        self._house.metrics.count_failed_logon("fix", cause)
        self._house.log("logon.refused", door="fix", cause=cause, detail=detail, peer=peer_ip)

    def count_left(self) -> None:
        """A connection ended by itself before it had said who it was."""
        self._house.metrics.count_disconnect("fix", "before_logon")

    @property
    def refusal_delay_ns(self) -> int:
        """The fixed delay before a refused connection is closed."""
        return self._settings.fix.refusal_delay_ms * 1_000_000

    @property
    def logon_timeout_ns(self) -> int:
        """How long a connection may take to say who it is."""
        return self._settings.fix.logon_timeout_s * 1_000_000_000


class Greeter:
    """A connection's first peer: collects the first message, finds the session, hands the connection over to it."""

    has_output = False
    pending_bytes = 0

    def __init__(self, door: FixDoor, listener: config.FixListener, connection: Connection, now_ns: int) -> None:
        self._door = door
        self._listener = listener
        self._connection = connection
        self._greeting = Greeting(_GREETING_BYTES)
        self._refused = False
        self.next_deadline_ns: int | None = now_ns + door.logon_timeout_ns

    def receive(self, data: bytes, now_ns: int) -> None:
        """Bytes of somebody unknown."""
        if self._refused:
            return
        outcome = self._greeting.receive(data)
        if isinstance(outcome, Drop):
            self._refuse(outcome.reason, outcome.text, now_ns)
        elif outcome is not None:
            self._introduce(outcome, now_ns)

    def _introduce(self, hello: Hello, now_ns: int) -> None:
        found = self._door.identify(hello, self._listener, self._connection.peer_ip, now_ns)
        if isinstance(found, str):
            self._refuse(found, hello.message.fields.get(tags.SENDER_COMP_ID, ""), now_ns)
            return
        found.attach(self._connection, hello.message.fields, now_ns)
        self._connection.peer = found
        found.receive(hello.raw, now_ns)

    def _refuse(self, cause: str, detail: str, now_ns: int) -> None:
        self._refused = True
        self.next_deadline_ns = now_ns + self._door.refusal_delay_ns
        self._door.refuse(cause, detail, self._connection.peer_ip)
        self._connection.wake()

    def tick(self, now_ns: int) -> None:
        """Time is up: for the first message, or for the delay after a refusal."""
        if not self._refused:
            self._refused = True
            self._door.refuse("logon_timeout", "", self._connection.peer_ip)
        self._connection.abort()

    def take_output(self, limit_bytes: int) -> bytes:
        """Nothing is ever said to somebody unknown."""
        return b""

    def lost(self, now_ns: int) -> None:
        """Gone before it said who it was."""
        if not self._refused:
            self._door.count_left()

    def too_slow(self, now_ns: int) -> None:
        """It has nothing to read."""

    def paused(self, now_ns: int) -> None:
        """Its timeout goes on."""

    def resumed(self, now_ns: int) -> None:
        """Its timeout went on."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
