"""Judges a WebSocket logon, and finds its session: the same rules for credentials in the headers and in a message.

A client that proved its key is sent the reason and the wait when it may not log on; any other learns no cause.
"""

from collections.abc import Callable
from functools import partial

import msgspec

from gateway.auth.authenticator import Client, Denied, Proof
from gateway.doors.services import Services
from gateway.sessions.registry import MAX_NAMES_PER_KEY
from gateway.sessions.session import AccountStream, Session
from limits.limiter import ALLOWED
from protocols import errors
from protocols.errors import Refusal
from protocols.messages import Origin
from protocols.units import NS_PER_MS, NS_PER_US
from protocols.ws import close_codes, events, results, schema
from protocols.ws.session import WsSession

MAX_RESUME_EVENTS = 100_000  # for more than that, a snapshot is faster
MAX_CONNECTIONS_PER_KEY = 64


class ConnectionInfo(msgspec.Struct, frozen=True):
    """A new connection, before its logon. challenge: random, for this connection only.

    accepted_ns: when TCP accepted it; the time to log on counts from there. proved, failed: called after a successful
    and after a refused logon.
    """

    conn_id: str
    challenge: str
    peer_ip: str
    accepted_ns: int
    proved: Callable[[], None]
    failed: Callable[[], None]
    codec: str = "json"


class TurnedAway(msgspec.Struct, frozen=True):
    """The client must try later. `cause` is a coded word for the log and the metric; `refusal` is for the client."""

    cause: str
    refusal: Refusal


class WsLogon:
    """The logon of one connection, from its request to a session or a refusal."""

    __slots__ = ("_denied", "_info", "_machine", "_recv_window_ns", "_services", "_wake", "deny_at_ns", "has_refused")

    def __init__(
        self,
        services: Services,
        machine: WsSession,
        info: ConnectionInfo,
        recv_window_ms: int,
        wake: Callable[[], None],
    ) -> None:
        """wake: has the connection write what a logon was answered that had to wait."""
        self._wake = wake
        self._services = services
        self._machine = machine
        self._info = info
        self._recv_window_ns = recv_window_ms * NS_PER_MS
        self._denied: events.LogonRequested | None = None  # refused, and not yet answered
        self.deny_at_ns = 0
        self.has_refused = False  # ends the connection, and is counted as the reason

    def judge(self, asked: events.LogonRequested, begin: Callable[[Session, Client, int], None], now_ns: int) -> None:
        """Call `begin` with the session, its client and the time, now or once the session is here; or refuse the logon,
        now or after a delay.
        """
        params = asked.params
        if self._services.orders.venue.draining:
            self.count_refused("draining", params.api_key)
            refusal = Refusal(errors.DRAINING, "the gateway is draining, reconnect")
            self._machine.refuse_logon(asked.request_id, now_ns, refusal, close_codes.SERVICE_RESTART, refusal.text)
            return
        sent_at_ns = None if asked.challenged else params.ts * NS_PER_US
        shown = Proof(asked.signed, params.sig, self._info.peer_ip, sent_at_ns, self._recv_window_ns)
        proof = self._services.authenticator.authenticate((params.api_key,), shown, "trade_or_read", now_ns)
        if isinstance(proof, Denied):
            away = wait_of(proof)
            if away is not None:
                self._turn_away(asked, away, now_ns)
                return
            self.count_refused(proof.cause, params.api_key)
            self._denied, self.deny_at_ns = asked, now_ns + proof.hold_ns
            self.deny_when_due(now_ns)
            return
        name = params.name or ""
        if (refused := turned_away(self._services, proof, name, now_ns)) is not None:
            self._turn_away(asked, refused, now_ns)
        elif (moves := self._services.moves) is not None:
            if (limited := _charge_move(self._services, proof, name, now_ns)) is not None:
                self._turn_away(asked, limited, now_ns)
                return
            moves.prepare(proof, name, partial(self._come, asked, proof, begin), now_ns)
        else:
            self._find(asked, proof, begin, now_ns)

    def _come(
        self,
        asked: events.LogonRequested,
        client: Client,
        begin: Callable[[Session, Client, int], None],
        why: str,
        now_ns: int,
    ) -> None:
        """What the logon needs is here, or cannot be."""
        if not self._machine.is_deciding:
            return  # it has ended meanwhile
        if why:
            self._turn_away(asked, TurnedAway("elsewhere", Refusal(errors.TOO_MANY_CONNECTIONS, why, 1_000)), now_ns)
        else:
            self._find(asked, client, begin, now_ns)
        self._wake()

    def _find(
        self,
        asked: events.LogonRequested,
        client: Client,
        begin: Callable[[Session, Client, int], None],
        now_ns: int,
    ) -> None:
        found = find_session(self._services, client, asked.params.name or "")
        if isinstance(found, TurnedAway):
            self._turn_away(asked, found, now_ns)
        else:
            begin(found, client, now_ns)

    def _turn_away(self, asked: events.LogonRequested, away: TurnedAway, now_ns: int) -> None:
        """Refuse a client that proved its key, with the reason and the wait."""
        self.count_refused(away.cause, asked.params.api_key)
        reason = f"retry_after_ms={away.refusal.retry_after_ms}"
        self._machine.refuse_logon(asked.request_id, now_ns, away.refusal, close_codes.TRY_LATER, reason)

    def deny_when_due(self, now_ns: int) -> None:
        """Answer a logon without a valid proof, once its delay is over."""
        if self._denied is not None and now_ns >= self.deny_at_ns:
            denied, self._denied, self.deny_at_ns = self._denied, None, 0
            self._machine.refuse_logon(denied.request_id, now_ns)

    def count_refused(self, cause: str, key: str = "") -> None:
        """Count and log a refused logon, which ends the connection; the peer does not learn the cause."""
        self.has_refused = True
        self._info.failed()
        self._services.metrics.count_failed_logon("ws", cause)
        self._services.log("logon.refused", door="ws", cause=cause, key=key, peer=self._info.peer_ip)


def turned_away(services: Services, client: Client, name: str, now_ns: int) -> TurnedAway | None:
    """Why a client that proved itself must wait; None when it may log on.

    A logon that takes over the session of `name` adds no connection; it is charged to the key. A reconnect to a session
    without a connection is free.
    """
    connected = [
        other.name
        for other in services.sessions.account(client.account_id).sessions
        if other.is_taken and other.sender.origin is Origin.WS and other.client.key_id == client.key_id
    ]
    if name in connected:
        limited = services.sessions.charge_logon(client, now_ns)
        if limited is not ALLOWED:
            return TurnedAway("rate", _too_many_logons(limited.wait_us))
    elif len(connected) >= MAX_CONNECTIONS_PER_KEY:
        text = f"{len(connected)} connections of this key are open"
        return TurnedAway("too_many_connections", Refusal(errors.TOO_MANY_CONNECTIONS, text, 1_000))
    return None


def _charge_move(services: Services, client: Client, name: str, now_ns: int) -> TurnedAway | None:
    """A session that may have to come from another gateway costs a logon: one move after the other is limited."""
    assert services.moves is not None
    known = services.sessions.named(client.key_id, name) if name else None
    if not name or (known is not None and services.moves.owns(known.id)):
        return None
    limited = services.sessions.charge_logon(client, now_ns)
    return TurnedAway("rate", _too_many_logons(limited.wait_us)) if limited is not ALLOWED else None


def wait_of(denied: Denied) -> TurnedAway | None:
    """The refusal for a client that proved itself and may not log on yet; None without a valid proof."""
    return TurnedAway(denied.cause, _too_many_logons(denied.retry_ns // NS_PER_US)) if denied.retry_ns else None


def _too_many_logons(wait_us: int) -> Refusal:
    return Refusal(errors.TOO_MANY_CONNECTIONS, "too many logons, try later", max(-(-wait_us // 1_000), 1))


def find_session(services: Services, client: Client, name: str) -> Session | TurnedAway:
    """The session that a logon names. When a key has too many names, one that owns nothing is dropped."""
    found = services.sessions.for_ws(client, name, lambda other: owns_nothing(services, other))
    if found is None:
        text = (
            f"each of the {MAX_NAMES_PER_KEY} names of this key is connected, or has orders, cancel-on-disconnect or a"
            " dead-man's switch to come: use one of them"
        )
        return TurnedAway("too_many_sessions", Refusal(errors.TOO_MANY_CONNECTIONS, text, 60_000))
    return found


def owns_nothing(services: Services, session: Session) -> bool:
    """Whether dropping the session's name loses nothing."""
    is_busy = (
        session.connected
        or services.cancel_on_disconnect.is_guarding(session)
        or services.orders.charging.owns(session.id)
    )
    return not is_busy


def start_of_stream(
    asked: schema.Resume | None, account: AccountStream, epoch: str, latest_seq: int
) -> results.ResumeResult:
    """The result of a logon's `resume`: nothing missed, a replay, or a snapshot with the reason."""
    missed = latest_seq - asked.seq if asked is not None else 0
    if asked is not None and (asked.epoch != epoch or missed < 0):
        return results.ResumeResult("snapshot", reason="epoch_changed")
    if asked is None or not missed:
        return results.ResumeResult("none")
    if not 0 < account.oldest_seq <= asked.seq + 1:
        return results.ResumeResult("snapshot", reason="too_old")
    if missed > MAX_RESUME_EVENTS:
        return results.ResumeResult("snapshot", reason="too_many")
    return results.ResumeResult("replayed", asked.seq + 1, latest_seq)


def profile(services: Services, found: Session) -> str:
    """The plan whose limits are in force, and their version."""
    policy = services.limiter.policy
    return f"{policy.plan_of(found.client.account).name} v{policy.version}"


def logon_result(
    services: Services,
    found: Session,
    streams: tuple[schema.StreamName, ...],
    heartbeat_ms: int,
    resume: results.ResumeResult | msgspec.UnsetType,
    now_ns: int,
) -> results.LogonResult:
    """What is in force: the result of logon, status and configure."""
    views = services.orders.limit_notices.show(found, now_ns)
    return results.LogonResult(
        session=found.name,
        account=found.client.account,
        permissions=tuple(sorted(found.client.permissions)),
        epoch=services.orders.dispatch.epoch,
        resume=resume,
        cod=schema.Cod(scope=found.cancel_on_disconnect, grace_ms=found.cod_grace_ms),  # type: ignore[arg-type]
        heartbeat_ms=heartbeat_ms,
        streams=streams,
        limits=tuple(
            results.LimitBlock(name=view.name, scope=view.scope, capacity=view.capacity, rate=view.rate)
            for view in views
        ),
    )
