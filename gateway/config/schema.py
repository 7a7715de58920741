"""Every setting of the gateway: the unit is in its name, its default and purpose beside it. Immutable.

A file is TOML of this shape. Loading lists every mistake with its line, and the gateway starts only without one.
`penstock config init` writes a file with these descriptions.

More than 400 lines, because the whole file is read in one piece.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.config.schedule import PATTERN
from gateway.journal.settings import JournalSettings


def _about(text: str) -> Meta:
    return Meta(description=text)


def _within(low: int, high: int, text: str) -> Meta:
    return Meta(ge=low, le=high, description=text)


Port = Annotated[int, _within(0, 65_535, "TCP port; 0 = any free one, printed at start")]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
Decimal = Annotated[str, Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?$")]
Balancers = Annotated[
    tuple[str, ...], _about("networks of balancers: their connections begin with a PROXY protocol header (v1 or v2)")
]
Schedule = Annotated[str, Meta(pattern=PATTERN)]
FixVersion = Literal["FIX.4.2", "FIX.4.4", "FIXT.1.1"]
Permission = Literal["trade", "read", "fix.order_entry", "fix.drop_copy"]
Role = Literal["viewer", "operator"]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Tls(_Table, frozen=True, kw_only=True):
    """TLS 1.2 or later for one listener."""

    cert_file: Annotated[str, _about("PEM with the certificate chain")]
    key_file: Annotated[str, _about("PEM with the private key")]
    client_ca_file: Annotated[str, _about("if set, clients must present a certificate signed by it")] = ""


class FixListener(_Table, frozen=True, kw_only=True):
    """One FIX port. Several may run in one process, each with its own sessions."""

    name: Name = "fix"
    host: Annotated[str, _about("address to listen on")] = "127.0.0.1"
    port: Port = 9878
    tls: Tls | None = None
    insecure: Annotated[bool, _about("allow plain TCP: tests and private links only")] = False
    backlog: Annotated[int, _within(1, 65_535, "connections that the kernel may queue")] = 512
    proxy_protocol_from: Balancers = ()


class FixSessionRow(_Table, frozen=True, kw_only=True):
    """One FIX session: a client's CompID, whose account it trades, and how it behaves."""

    id: Annotated[int, _within(1, 65_535, "small, explicit, never reused: part of every command id")]
    comp_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}$", description="the client's SenderCompID(49)")]
    account: Annotated[str, _about("name of the account whose orders it sends")]
    target_comp_id: Annotated[str, _about("our CompID for this session; empty = venue.comp_id")] = ""
    listener: Annotated[str, _about("listener it may use; empty = any")] = ""
    kind: Literal["order_entry", "drop_copy"] = "order_entry"
    version: FixVersion = "FIX.4.4"
    dialect: Annotated[
        Literal["", "penstock", "plain"],
        _about("penstock = our tags, too; plain = standard tags only; empty = penstock if auth = key"),
    ] = ""
    auth: Annotated[
        Literal["key", "none"], _about("none = no credentials: only on an insecure listener on a loopback address")
    ] = "key"
    reset_schedule: Annotated[
        Schedule, _about("numbers go back to 1 at `daily HH:MM` or `sun HH:MM` UTC; empty = never by time")
    ] = ""
    refused_logon: Annotated[
        Literal["silent", "logout"],
        _about("logout = give the reason, for engines that reset at each logon and so need no number kept"),
    ] = "silent"
    on_duplicate: Annotated[
        Literal["", "takeover", "reject"],
        _about("a second logon: takeover = the authenticated newcomer wins; empty = takeover if auth = key"),
    ] = ""
    reset_on_logon: Annotated[bool, _about("both numbers go back to 1 at every logon")] = False
    cancel_on_disconnect: Annotated[
        Literal["N", "S", "Y"], _about("default of 8013: N = no, S = this session's orders, Y = all of the account")
    ] = "N"
    cod_grace_ms: Annotated[int, _within(0, 60_000, "wait this long after a disconnect before cancelling")] = 0
    cod_grace_max_ms: Annotated[int, _within(0, 60_000, "the longest wait that a Logon may request with 20107")] = (
        60_000
    )
    recv_window_ms: Annotated[
        int, _within(0, 60_000, "default validity of D and G after SendingTime(52); 0 = no window")
    ] = 0
    pending_new: Annotated[bool, _about("send 150=A when the order is handed to the core")] = False
    response_mode: Annotated[
        Literal[1, 2], _about("default of 25036: 1 = all of the account, 2 = own requests and own orders")
    ] = 2
    throttle_reject: Annotated[
        Literal["order", "business"], _about("limit refusals as 8/9 (order) or as j 380=8 (business)")
    ] = "order"
    instruments: Annotated[tuple[str, ...], _about("symbols it may trade; empty = all")] = ()
    notify_limits: Annotated[
        Literal["news", "standard"],
        _about("how a change of limits is reported: by News(B), or by the standard's UserNotification(CB)"),
    ] = "news"
    last_msg_seq_num_processed: Annotated[bool, _about("put LastMsgSeqNumProcessed(369) on every message")] = False


class Fix(_Table, frozen=True, kw_only=True):
    """The FIX door, for all listeners and sessions."""

    listeners: tuple[FixListener, ...] = ()
    sessions: tuple[FixSessionRow, ...] = ()
    max_connections: Annotated[
        int, _within(1, 1_000_000, "open connections of all listeners; if all have logged on, further ones are closed")
    ] = 10_000
    logon_timeout_s: Annotated[int, _within(1, 60, "the first message must be a Logon within this time")] = 5
    refusal_delay_ms: Annotated[
        int, _within(0, 5_000, "refused logons are closed after this delay, the same for every cause")
    ] = 200
    heart_bt_int_min_s: Annotated[int, _within(1, 60, "smallest HeartBtInt(108) accepted")] = 1
    heart_bt_int_max_s: Annotated[int, _within(1, 3_600, "largest HeartBtInt(108) accepted")] = 60
    sending_time_tolerance_s: Annotated[
        int, _within(1, 86_400, "SendingTime(52) may differ from our clock by this much, either way")
    ] = 120
    max_message_bytes: Annotated[int, _within(1_024, 1_048_576, "a longer message counts as garbled")] = 65_536
    resend_max_messages: Annotated[
        int, _within(0, 1_000_000, "our ResendRequest asks for at most this many at a time; 0 = all")
    ] = 10_000
    held_max_messages: Annotated[
        int, _within(1, 100_000, "early messages kept while a gap is open; above it the gap is requested again")
    ] = 1_000
    logout_timeout_s: Annotated[int, _within(1, 60, "wait for the answer to our Logout")] = 2


class Ws(_Table, frozen=True, kw_only=True):
    """The WebSocket door, and the HTTP upgrade before it."""

    host: Annotated[str, _about("address to listen on")] = "127.0.0.1"
    port: Port = 8080
    path: Annotated[str, Meta(pattern=r"^/[A-Za-z0-9._/-]{0,127}$", description="path of the upgrade request")] = (
        "/v1/ws"
    )
    tls: Tls | None = None
    insecure: Annotated[bool, _about("allow plain TCP on an address that is not loopback: behind a TLS proxy only")] = (
        False
    )
    origins: Annotated[
        tuple[str, ...],
        _about("pages that may connect, besides those of our own host; without Origin it is not a page"),
    ] = ()
    proxy_protocol_from: Balancers = ()
    forwarded_for_from: Annotated[
        tuple[str, ...], _about("networks of HTTP proxies: their X-Forwarded-For gives the client's address")
    ] = ()
    logon_timeout_s: Annotated[int, _within(1, 60, "a connection must log on within this time (4002)")] = 5
    header_timeout_s: Annotated[
        int, _within(1, 60, "the HTTP request must be complete within this time (slowloris)")
    ] = 5
    heartbeat_ms: Annotated[
        int, _within(1_000, 60_000, "ping after this long without input; after twice this long, close with 4010")
    ] = 15_000
    recv_window_ms: Annotated[int, _within(100, 5_000, "clock difference allowed if no challenge is signed")] = 5_000
    max_frame_bytes: Annotated[
        int, _within(4_096, 262_144, "largest message; batches and quotes may have four times this size")
    ] = 65_536
    max_connections: Annotated[
        int, _within(1, 1_000_000, "open connections; if all have logged on, further ones get HTTP 503")
    ] = 10_000


class AdminToken(_Table, frozen=True, kw_only=True):
    """One operator who may use the admin port: the token is sent as `Authorization: Bearer TOKEN`."""

    name: Annotated[Name, _about("name of the operator in the log")]
    role: Annotated[Role, _about("viewer = see modes; operator = change them and drain, too")]
    token_env: Annotated[str, _about("name of the environment variable with the token")] = ""
    token_file: Annotated[str, _about("file with the token, at least 20 printable characters")] = ""


class Admin(_Table, frozen=True, kw_only=True):
    """Health, metrics and operations, on a port of its own. Without tokens, changes are accepted on loopback only."""

    host: Annotated[str, _about("address to listen on")] = "127.0.0.1"
    port: Port = 9090
    tokens: tuple[AdminToken, ...] = ()


class Account(_Table, frozen=True, kw_only=True):
    """The owner of orders and money."""

    id: Annotated[int, _within(1, 1 << 31, "small, explicit, never reused")]
    name: Name


class Key(_Table, frozen=True, kw_only=True):
    """An API key: which account it acts for, and how its client proves to hold it."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="what the client sends as 553 / api_key")]
    account: Annotated[str, _about("name of the account it acts for")]
    type: Literal["ed25519", "hmac-sha256"] = "ed25519"
    public_key: Annotated[str, _about("ed25519: 32 bytes, base64")] = ""
    secret_env: Annotated[str, _about("hmac-sha256: name of the environment variable with the secret, base64")] = ""
    secret_file: Annotated[str, _about("hmac-sha256: file with the secret, base64")] = ""
    permissions: tuple[Permission, ...] = ("trade", "read", "fix.order_entry")
    ips: Annotated[tuple[str, ...], _about("networks it may be used from, such as 10.0.0.0/8; empty = any")] = ()
    expires: Annotated[str, _about("RFC 3339 time after which it is refused; empty = never")] = ""
    fix_sessions: Annotated[tuple[str, ...], _about("CompIDs it may log on to; empty = all of its account")] = ()
    cancel_on_disconnect: Annotated[
        Literal["off", "session", "account"], _about("WebSocket default if the logon gives none")
    ] = "off"


class InstrumentRow(_Table, frozen=True, kw_only=True):
    """One tradable instrument. Decimals are text, and must be exact with these exponents."""

    id: Annotated[int, _within(1, 1 << 31, "small, explicit, never reused")]
    symbol: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._/-]{1,32}$")]
    base: str
    quote: str
    px_exp: Annotated[int, _within(0, 12, "prices are whole numbers of 10^-px_exp")]
    qty_exp: Annotated[int, _within(0, 12, "quantities are whole numbers of 10^-qty_exp")]
    tick: Decimal
    lot: Decimal
    min_qty: Decimal = "0"
    max_qty: Decimal = "0"
    min_notional: Decimal = "0"
    max_notional: Decimal = "0"
    band_low: Decimal = "0"
    band_high: Decimal = "0"
    session_bound: Annotated[bool, _about("without TimeInForce(59) an order is DAY instead of GTC")] = False


class Limits(_Table, frozen=True, kw_only=True):
    """Where the rate limits are; they can be changed while the gateway runs."""

    file: Annotated[str, _about("limits file, relative to this one; empty = the built-in plan")] = "limits.toml"
    redis: Annotated[
        str,
        _about(
            "URL of the Redis (7.0 or later) or Valkey where gateways share buckets; empty = buckets are in"
            " this process. The environment variable PENSTOCK_LIMITS_REDIS wins over it"
        ),
    ] = ""
    nodes: Annotated[
        int, _within(1, 1_000, "gateways that share the store; while it is away, each has one share of the limits")
    ] = 1
    store_timeout_ms: Annotated[
        int, _within(5, 1_000, "the store must answer within this time, or it counts as away")
    ] = 50


class Ingress(_Table, frozen=True, kw_only=True):
    """The bounded queue before the core. Its fill is that of commands or of bytes, whichever is higher."""

    max_commands: Annotated[int, _within(64, 1_000_000, "waiting commands of all sessions")] = 8_192
    max_bytes: Annotated[int, _within(65_536, 1 << 30, "their bytes on the wire, of all sessions")] = 4_194_304
    turn_bytes: Annotated[
        int, _within(1_024, 262_144, "bytes of one session parsed per wake-up, before the next session's")
    ] = 16_384
    max_wait_ms: Annotated[
        int, _within(1, 10_000, "at the first stage, a session's reading is paused for at most this long")
    ] = 50


NODE_NAME = r"^[A-Za-z0-9._-]{1,64}$"


class Core(_Table, frozen=True, kw_only=True):
    """The matching core and the link to it."""

    link: Annotated[
        Literal["embedded", "redis"],
        _about("the core is in this process, or another process behind Redis Streams (`penstock core`, or your own)"),
    ] = "embedded"
    redis: Annotated[
        str,
        _about(
            "URL of the Redis (7.0 or later) or Valkey that carries the link; it must keep an append-only file. The"
            " environment variable PENSTOCK_CORE_REDIS wins over it"
        ),
    ] = ""
    prefix: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="of the venue's keys there: one venue, one prefix")
    ] = "penstock"
    node: Annotated[
        str,
        Meta(
            pattern=NODE_NAME,
            description="this gateway's name on the link, no other's; the environment variable PENSTOCK_NODE wins",
        ),
    ] = "gateway"
    acked_by_replicas: Annotated[
        int,
        _within(
            0,
            16,
            "nothing that the core answers is told to a client before this many replicas of its Redis have it (on disk"
            " from Redis or Valkey 7.2 on); 0 = the one Redis is enough",
        ),
    ] = 0
    window: Annotated[
        int, _within(48, 65_536, "unanswered commands at once; 32 are reserved for cancels, 8 for control")
    ] = 256
    answer_timeout_ms: Annotated[
        int, _within(100, 60_000, "without an answer for this long, the outcome is unknown (5004)")
    ] = 2_000
    cancel_hold_ms: Annotated[
        int, _within(100, 60_000, "a cancel or query waits at most this long for the core (5002)")
    ] = 2_000
    order_deadline_ms: Annotated[
        int, _within(1_000, 600_000, "an order without a window is refused if it reaches the core later than this")
    ] = 60_000
    reopen_after_ms: Annotated[
        int, _within(0, 60_000, "after a crash, only cancels are accepted for this long, so that clients can reconnect")
    ] = 5_000
    dedupe_ids: Annotated[int, _within(1_024, 4_000_000, "finished order ids remembered per account")] = 65_536


class Out(_Table, frozen=True, kw_only=True):
    """What a slow reader may cost the gateway."""

    max_bytes: Annotated[
        int,
        _within(
            65_536, 1 << 28, "unread answers of one connection before it is cut; streams and the journal do not count"
        ),
    ] = 1_048_576
    max_age_ms: Annotated[
        int, _within(100, 60_000, "a reader that takes nothing, or does not catch up, is cut after this time")
    ] = 10_000
    total_bytes: Annotated[
        int,
        _within(1_048_576, 1 << 40, "unread output of all slow readers together; above it the one with most is cut"),
    ] = 268_435_456


class Stream(_Table, frozen=True, kw_only=True):
    """The replayable event stream of each account."""

    retain_events: Annotated[int, _within(100, 10_000_000, "events kept per account")] = 100_000


class Logs(_Table, frozen=True, kw_only=True):
    """JSON lines on standard error; secrets are masked."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Tracing(_Table, frozen=True, kw_only=True):
    """One trace per sampled order; the choice costs no call of the tracing library."""

    sample_one_in: Annotated[int, _within(0, 1_000_000_000, "one order in this many is traced; 0 = none")] = 1_000
    otlp_endpoint: Annotated[
        str, _about("URL for OTLP/HTTP traces; needs the extra `otlp`; empty = spans are made and dropped")
    ] = ""


class Venue(_Table, frozen=True, kw_only=True):
    """The venue itself."""

    comp_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}$", description="our CompID")] = "GATE"
    drain_ms: Annotated[int, _within(0, 600_000, "time to drain after SIGTERM before connections are cut")] = 10_000


class Cluster(_Table, frozen=True, kw_only=True):
    """Several gateways in front of one core: sessions are kept in the Redis of `core`, and any gateway serves any."""

    lease_ms: Annotated[
        int, _within(1_000, 60_000, "a gateway that is not heard of for this long is dead: others take its sessions")
    ] = 3_000
    shares_ports: Annotated[
        bool,
        _about(
            "other processes of this machine listen at the same ports, and the kernel deals out connections; each"
            " needs an admin port of its own. `penstock run --workers` sets both"
        ),
    ] = False
    retain_messages: Annotated[
        int, _within(100, 1_000_000, "messages of a FIX session that are kept, in Redis and in memory, for its resends")
    ] = 10_000
    max_waiting_bytes: Annotated[
        int,
        _within(
            1_048_576, 1 << 34, "of changes may wait for Redis; above it no client is read until Redis has taken half"
        ),
    ] = 67_108_864
    hold_ms: Annotated[
        int,
        _within(
            1_000,
            600_000,
            "clients are sent away when Redis has not answered for this long; at the end of the lease, if not even its"
            " machine can be reached",
        ),
    ] = 60_000
    max_clock_skew_ms: Annotated[
        int,
        _within(
            1,
            60_000,
            "an alarm is given when this gateway's clock is further from Redis'; two may differ by twice that",
        ),
    ] = 25


class Config(_Table, frozen=True, kw_only=True):
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
    cluster: Cluster | None = None
    out: Out = Out()
    stream: Stream = Stream()
    logs: Logs = Logs()
    tracing: Tracing = Tracing()
