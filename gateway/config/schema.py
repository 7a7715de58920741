"""Every knob of the gateway: its unit is in its name, its default and its reason beside it. Immutable; checked whole.

A file is TOML of this shape. Loading collects every mistake with its place, and a value is either sound or the start is
refused. `penstock config init` writes a file with these descriptions.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.config.schedule import PATTERN as SCHEDULE
from gateway.journal.settings import JournalSettings

Port = Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0 = any free one, printed at start")]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
Decimal = Annotated[str, Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?$")]
FixVersion = Literal["FIX.4.2", "FIX.4.4", "FIXT.1.1"]
Permission = Literal["trade", "read", "fix.order_entry", "fix.drop_copy"]
Role = Literal["viewer", "operator"]


class _Knobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Tls(_Knobs, frozen=True, kw_only=True):
    """TLS 1.2 or later for one listener."""

    cert_file: Annotated[str, Meta(description="PEM with the certificate chain")]
    key_file: Annotated[str, Meta(description="PEM with the private key")]
    client_ca_file: Annotated[str, Meta(description="when set, clients must show a certificate signed by it")] = ""


class FixListener(_Knobs, frozen=True, kw_only=True):
    """One FIX port. Several may run in one process, each with its own sessions."""

    name: Name = "fix"
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Port = 9878
    tls: Tls | None = None
    insecure: Annotated[bool, Meta(description="allow plain TCP: tests and private links only")] = False
    backlog: Annotated[int, Meta(ge=1, le=65_535, description="connections the kernel may hold for us")] = 512
    proxy_protocol_from: Annotated[
        tuple[str, ...],
        Meta(description="networks of balancers: their connections begin with a PROXY protocol header (v1 or v2)"),
    ] = ()


class FixSession(_Knobs, frozen=True, kw_only=True):
    """One FIX session: a client's CompID, whose account it trades, and how it behaves."""

    id: Annotated[
        int, Meta(ge=1, le=65_535, description="small, explicit, never reused: it is part of every command id")
    ]
    comp_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}$", description="the client's SenderCompID(49)")]
    account: Annotated[str, Meta(description="name of the account whose orders it sends")]
    target_comp_id: Annotated[str, Meta(description="our CompID towards it; empty = venue.comp_id")] = ""
    listener: Annotated[str, Meta(description="listener it may use; empty = any")] = ""
    kind: Literal["order_entry", "drop_copy"] = "order_entry"
    version: FixVersion = "FIX.4.4"
    dialect: Annotated[
        Literal["", "penstock", "plain"],
        Meta(description="penstock = our tags too; plain = standard tags only; empty: by auth, key = penstock"),
    ] = ""
    auth: Annotated[
        Literal["key", "none"],
        Meta(description="none = no credentials: only on an insecure listener bound to a loopback address"),
    ] = "key"
    reset_schedule: Annotated[
        str,
        Meta(
            pattern=SCHEDULE, description="numbers back to 1 at `daily HH:MM` or `sun HH:MM` UTC; empty = never by time"
        ),
    ] = ""
    refused_logon: Annotated[
        Literal["silent", "logout"],
        Meta(description="logout = say why, for engines that reset at each logon and need no number kept for it"),
    ] = "silent"
    on_duplicate: Annotated[
        Literal["", "takeover", "reject"],
        Meta(description="a second logon: takeover = the proven newcomer wins; empty: by auth, key = takeover"),
    ] = ""
    reset_on_logon: Annotated[bool, Meta(description="both numbers back to 1 at every logon")] = False
    cancel_on_disconnect: Annotated[
        Literal["N", "S", "Y"], Meta(description="default of 8013: N no, S this session's orders, Y all of the account")
    ] = "N"
    cod_grace_ms: Annotated[int, Meta(ge=0, le=60_000, description="wait this long after a drop before cancelling")] = 0
    cod_grace_max_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="the longest such wait that a Logon may ask for with 20107")
    ] = 60_000
    recv_window_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="default validity of D and G after SendingTime(52); 0 = no window")
    ] = 0
    pending_new: Annotated[bool, Meta(description="send 150=A on hand-over to the core")] = False
    response_mode: Annotated[
        Literal[1, 2], Meta(description="default of 25036: 1 = all of the account, 2 = own requests and own orders")
    ] = 2
    throttle_reject: Annotated[
        Literal["order", "business"], Meta(description="limit refusals as 8/9 (order) or as j 380=8 (business)")
    ] = "order"
    instruments: Annotated[tuple[str, ...], Meta(description="symbols it may trade; empty = all")] = ()
    notify_limits: Annotated[
        Literal["news", "standard"],
        Meta(description="a change of limits is told by News(B), or by the standard's UserNotification(CB)"),
    ] = "news"
    last_msg_seq_num_processed: Annotated[
        bool, Meta(description="put LastMsgSeqNumProcessed(369) on every message")
    ] = False


class Fix(_Knobs, frozen=True, kw_only=True):
    """The FIX door, for all listeners and sessions."""

    listeners: tuple[FixListener, ...] = ()
    sessions: tuple[FixSession, ...] = ()
    max_connections: Annotated[
        int,
        Meta(
            ge=1, le=1_000_000, description="open connections of all listeners; when all have logged on, more are cut"
        ),
    ] = 10_000
    logon_timeout_s: Annotated[int, Meta(ge=1, le=60, description="first message must be a Logon within this time")] = 5
    refusal_delay_ms: Annotated[
        int, Meta(ge=0, le=5_000, description="refused logons are closed after this delay, the same for every cause")
    ] = 200
    heart_bt_int_min_s: Annotated[int, Meta(ge=1, le=60, description="smallest HeartBtInt(108) accepted")] = 1
    heart_bt_int_max_s: Annotated[int, Meta(ge=1, le=3_600, description="largest HeartBtInt(108) accepted")] = 60
    sending_time_tolerance_s: Annotated[
        int, Meta(ge=1, le=86_400, description="SendingTime(52) may be off our clock by this much, either way")
    ] = 120
    max_message_bytes: Annotated[int, Meta(ge=1_024, le=1_048_576, description="a longer message is garbled")] = 65_536
    resend_max_messages: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="a ResendRequest we send asks for at most this many at a time; 0 = all"),
    ] = 10_000
    held_max_messages: Annotated[
        int,
        Meta(
            ge=1, le=100_000, description="early messages kept while a gap is open; above it the gap is asked for again"
        ),
    ] = 1_000
    logout_timeout_s: Annotated[int, Meta(ge=1, le=60, description="wait for the answer to our Logout")] = 2


class Ws(_Knobs, frozen=True, kw_only=True):
    """The WebSocket door, and the HTTP that leads to it."""

    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Port = 8080
    path: Annotated[str, Meta(pattern=r"^/[A-Za-z0-9._/-]{0,127}$", description="of the upgrade request")] = "/v1/ws"
    tls: Tls | None = None
    insecure: Annotated[
        bool, Meta(description="allow plain TCP on an address that is not loopback: behind a TLS proxy only")
    ] = False
    origins: Annotated[
        tuple[str, ...],
        Meta(
            description="pages allowed to connect beside those of our own host; without Origin it is no page and passes"
        ),
    ] = ()
    proxy_protocol_from: Annotated[
        tuple[str, ...],
        Meta(description="networks of balancers: their connections begin with a PROXY protocol header (v1 or v2)"),
    ] = ()
    forwarded_for_from: Annotated[
        tuple[str, ...],
        Meta(description="networks of HTTP proxies: what they say in X-Forwarded-For is the client's address"),
    ] = ()
    logon_timeout_s: Annotated[
        int, Meta(ge=1, le=60, description="a connection must log on within this time (4002)")
    ] = 5
    header_timeout_s: Annotated[
        int, Meta(ge=1, le=60, description="the HTTP request must be whole in this time (slowloris)")
    ] = 5
    heartbeat_ms: Annotated[
        int, Meta(ge=1_000, le=60_000, description="ping after this long without input; twice it closes with 4010")
    ] = 15_000
    recv_window_ms: Annotated[
        int, Meta(ge=100, le=5_000, description="clock difference allowed where no challenge is signed")
    ] = 5_000
    max_frame_bytes: Annotated[
        int, Meta(ge=4_096, le=262_144, description="largest message; batches and quotes may take four times it")
    ] = 65_536
    max_connections: Annotated[
        int, Meta(ge=1, le=1_000_000, description="open connections; when all have logged on, HTTP 503")
    ] = 10_000


class AdminToken(_Knobs, frozen=True, kw_only=True):
    """One operator who may use the admin port: the token is sent as `Authorization: Bearer TOKEN`."""

    name: Annotated[Name, Meta(description="what the log calls who asked")]
    role: Annotated[Role, Meta(description="viewer = look at modes; operator = change them too")]
    token_env: Annotated[str, Meta(description="name of the environment variable with the token")] = ""
    token_file: Annotated[str, Meta(description="file with the token, at least 20 printable characters")] = ""


class Admin(_Knobs, frozen=True, kw_only=True):
    """Health, metrics and operations, on a port of its own. Without tokens, changes are taken on loopback only."""

    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Port = 9090
    tokens: tuple[AdminToken, ...] = ()


class Account(_Knobs, frozen=True, kw_only=True):
    """Whose money it is."""

    id: Annotated[int, Meta(ge=1, le=1 << 31, description="small, explicit, never reused")]
    name: Name


class Key(_Knobs, frozen=True, kw_only=True):
    """An API key: who may act for an account, and how it proves it."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="what the client sends as 553 / api_key")]
    account: Annotated[str, Meta(description="name of the account it acts for")]
    type: Literal["ed25519", "hmac-sha256"] = "ed25519"
    public_key: Annotated[str, Meta(description="ed25519: 32 bytes, base64")] = ""
    secret_env: Annotated[
        str, Meta(description="hmac-sha256: name of the environment variable with the secret, base64")
    ] = ""
    secret_file: Annotated[str, Meta(description="hmac-sha256: file with the secret, base64")] = ""
    permissions: tuple[Permission, ...] = ("trade", "read", "fix.order_entry")
    ips: Annotated[tuple[str, ...], Meta(description="networks it may come from, such as 10.0.0.0/8; empty = any")] = ()
    expires: Annotated[str, Meta(description="RFC 3339 time after which it is refused; empty = never")] = ""
    fix_sessions: Annotated[
        tuple[str, ...], Meta(description="CompIDs it may log on to; empty = all of its account")
    ] = ()
    cancel_on_disconnect: Annotated[
        Literal["off", "session", "account"], Meta(description="WebSocket default when the logon names none")
    ] = "off"


class InstrumentRow(_Knobs, frozen=True, kw_only=True):
    """One tradable thing. Decimals are text and must be exact in the exponents."""

    id: Annotated[int, Meta(ge=1, le=1 << 31, description="small, explicit, never reused")]
    symbol: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._/-]{1,32}$")]
    base: str
    quote: str
    px_exp: Annotated[int, Meta(ge=0, le=12, description="prices are whole numbers of 10^-px_exp")]
    qty_exp: Annotated[int, Meta(ge=0, le=12, description="quantities are whole numbers of 10^-qty_exp")]
    tick: Decimal
    lot: Decimal
    min_qty: Decimal = "0"
    max_qty: Decimal = "0"
    min_notional: Decimal = "0"
    max_notional: Decimal = "0"
    band_low: Decimal = "0"
    band_high: Decimal = "0"
    session_bound: Annotated[bool, Meta(description="absent TimeInForce(59) means DAY instead of GTC")] = False


class Limits(_Knobs, frozen=True, kw_only=True):
    """Where the limits are; they are tuned while the gateway runs."""

    file: Annotated[str, Meta(description="limits file, relative to this one; empty = the built-in plan")] = (
        "limits.toml"
    )
    redis: Annotated[
        str,
        Meta(
            description="URL of the Redis (7.0 or later) or Valkey that gateways share buckets in; empty = buckets live"
            " in this process. The environment variable PENSTOCK_LIMITS_REDIS goes before it"
        ),
    ] = ""
    nodes: Annotated[
        int, Meta(ge=1, le=1_000, description="gateways that share the store; each one's share while it is away")
    ] = 1
    store_timeout_ms: Annotated[
        int, Meta(ge=5, le=1_000, description="the store answers within this, or counts as away")
    ] = 50


class Ingress(_Knobs, frozen=True, kw_only=True):
    """The bounded queue between road and core. Fill = the fuller of commands and bytes."""

    max_commands: Annotated[int, Meta(ge=64, le=1_000_000, description="commands waiting, all sessions")] = 8_192
    max_bytes: Annotated[int, Meta(ge=65_536, le=1 << 30, description="their wire bytes, all sessions")] = 4_194_304
    turn_bytes: Annotated[
        int, Meta(ge=1_024, le=262_144, description="bytes of one session parsed per wake-up; then the next one's turn")
    ] = 8_192
    max_wait_ms: Annotated[
        int, Meta(ge=1, le=10_000, description="a session's reading is paused for at most this long at the first stage")
    ] = 50


class Core(_Knobs, frozen=True, kw_only=True):
    """The matching core and the link to it."""

    kind: Literal["embedded"] = "embedded"
    window: Annotated[
        int,
        Meta(
            ge=48, le=65_536, description="commands handed over and unanswered; 32 are kept for cancels, 8 for control"
        ),
    ] = 256
    answer_timeout_ms: Annotated[
        int, Meta(ge=100, le=60_000, description="unanswered for so long: outcome unknown (5004)")
    ] = 2_000
    cancel_hold_ms: Annotated[
        int,
        Meta(ge=100, le=60_000, description="a cancel or question waits at most so long for the core (5002)"),
    ] = 2_000
    order_deadline_ms: Annotated[
        int,
        Meta(
            ge=1_000,
            le=600_000,
            description="an order without a window is refused when the core first sees it later than this",
        ),
    ] = 60_000
    reopen_after_ms: Annotated[
        int, Meta(ge=0, le=60_000, description="after a crash: cancel only for so long, so that clients can come back")
    ] = 5_000
    dedupe_ids: Annotated[
        int, Meta(ge=1_024, le=4_000_000, description="finished order ids remembered per account")
    ] = 65_536


class Out(_Knobs, frozen=True, kw_only=True):
    """What a slow reader may cost us."""

    max_bytes: Annotated[
        int,
        Meta(
            ge=65_536,
            le=1 << 28,
            description="answers that wait for one connection before it is cut; what lies in stream or journal is none",
        ),
    ] = 1_048_576
    max_age_ms: Annotated[
        int,
        Meta(
            ge=100, le=60_000, description="time in which a reader takes nothing, or comes no nearer, before it is cut"
        ),
    ] = 10_000
    total_bytes: Annotated[
        int,
        Meta(
            ge=1_048_576,
            le=1 << 40,
            description="unread output of all slow readers together; above it the longest backlog is cut",
        ),
    ] = 268_435_456


class Stream(_Knobs, frozen=True, kw_only=True):
    """The replayable event stream of each account."""

    retain_events: Annotated[int, Meta(ge=100, le=10_000_000, description="events kept per account")] = 100_000


class Logs(_Knobs, frozen=True, kw_only=True):
    """JSON lines on standard error; secrets are masked."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Tracing(_Knobs, frozen=True, kw_only=True):
    """One trace per sampled order; the choice is made before the tracing library is touched."""

    sample_one_in: Annotated[int, Meta(ge=0, le=1_000_000_000, description="one order in so many; 0 = none")] = 1_000
    otlp_endpoint: Annotated[
        str, Meta(description="OTLP/HTTP traces URL; needs the otlp extra; empty = spans are made and dropped")
    ] = ""


class Venue(_Knobs, frozen=True, kw_only=True):
    """The venue itself."""

    comp_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}$", description="our CompID")] = "GATE"
    drain_ms: Annotated[
        int, Meta(ge=0, le=600_000, description="time to drain at SIGTERM before connections are cut")
    ] = 10_000


class Config(_Knobs, frozen=True, kw_only=True):
    """The whole file."""

    venue: Venue = Venue()
    fix: Fix = Fix()
    ws: Ws | None = None
    admin: Admin | None = None
    accounts: tuple[Account, ...] = ()
    keys: tuple[Key, ...] = ()
    instruments: tuple[InstrumentRow, ...] = ()
    limits: Limits = Limits()
    ingress: Ingress = Ingress()
    journal: JournalSettings = JournalSettings()
    core: Core = Core()
    out: Out = Out()
    stream: Stream = Stream()
    logs: Logs = Logs()
    tracing: Tracing = Tracing()
