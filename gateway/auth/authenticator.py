"""Who may act for which account, and the one place where a client's proof is checked.

Every refusal looks the same to the peer. `Denied.cause` is only for the log and the metric, and each refusal costs one
Ed25519 verification, so timing does not distinguish an unknown key from a bad signature. A logon that names no key
costs one verification per candidate; the FIX door's fixed delay hides that. Every proof is checked: failures of others,
from the same address or with the same key id, never keep out a client that signs correctly. Pure except for the
cryptography: time, addresses and secrets are arguments.
"""

import base64
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.auth.backoff import LogonBackoff
from gateway.config import schema
from gateway.config.addresses import Network, is_in, network_of, networks
from gateway.config.key_material import MAX_TRIED, parse_expiry, parse_public_key, permission_for
from protocols.instruments import Instruments
from protocols.units import NS_PER_S
from protocols.wall import MAX_AHEAD_NS, WallClock

MAX_WINDOW_NS = 5_000_000_000  # no signature is valid for longer, whatever the client requests
HOLD_NS = NS_PER_S  # how long the refusal of a peer that fails repeatedly is delayed
MAX_SIGNATURES = 1_024  # remembered per key: one client must not be able to fill another's
_MAX_SIGNATURE_CHARS = 512
# If several keys were tried, the cause of the one that came furthest is logged.
_CAUSES = ("unknown_key", "address", "expired", "clock", "signature", "replay")
_TOO_MANY = "too_many_logons"

# Signatures for unknown keys are checked against this one (RFC 8032, 7.1, test 1); the result is ignored.
_NOBODY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


class Client(msgspec.Struct, frozen=True):
    """An authenticated client: its account, its key ("" = without credentials), and its permissions."""

    account_id: int
    account: str
    key_id: str = ""
    permissions: frozenset[str] = frozenset()
    fix_sessions: frozenset[str] = frozenset()  # CompIDs it may log on to; empty = all of its account
    cancel_on_disconnect: str = "off"  # WebSocket default: off | session | account

    def may(self, permission: str) -> bool:
        """Whether it has the permission; `trade_or_read` means either."""
        if permission == "trade_or_read":
            return not self.permissions.isdisjoint(("trade", "read"))
        return permission in self.permissions


class Proof(msgspec.Struct, frozen=True):
    """What a peer presents to log on.

    signed: the text that the client signed (`protocols.signing`), rebuilt from what it sent. peer_ip: the address that
    the bytes came from; "" if the transport has none. sent_at_ns: the time it claims to have signed, ns UTC; None if it
    signed our challenge, which is fresh by itself. window_ns: how old the signature may be; 5 s at most.
    """

    signed: bytes
    signature_b64: str
    peer_ip: str
    sent_at_ns: int | None
    window_ns: int


class Denied(msgspec.Struct, frozen=True):
    """A refusal. `cause` is a coded word for the log and the metric, never for the peer.

    hold_ns: extra delay before the answer, because the peer or its address fails repeatedly. detail: text for the log.
    retry_ns: the peer proved its identity, so it may be told to retry after this time; 0 = it proved nothing.
    """

    cause: str
    hold_ns: int = 0
    detail: str = ""
    retry_ns: int = 0


class _Identity(msgspec.Struct, frozen=True):
    """One key, ready to check: either `public` or `secret` is set."""

    client: Client
    networks: tuple[Network, ...]
    expires_ns: int  # 0 = never
    public: Ed25519PublicKey | None
    secret: bytes

    def is_expired(self, utc_ns: int) -> bool:
        return self.expires_ns != 0 and utc_ns >= self.expires_ns


class Authenticator:
    """All keys and accounts of one configuration, recent signatures, and recent failures."""

    def __init__(
        self,
        settings: schema.Config,
        instruments: Instruments,
        secrets: Mapping[str, bytes] | None = None,
        wall: WallClock | None = None,
    ) -> None:
        """`settings` was checked at load. secrets: key id -> HMAC secret, see `config.load.read_secrets`. wall:
        converts own time to UTC; None = they are the same.

        Raises:
            ValueError: a key of type hmac-sha256 has no secret, which is a bug of the caller.
        """
        self._instruments = instruments
        self._accounts = {row.name: row.id for row in settings.accounts}
        self._identities = {row.id: self._identity(row, (secrets or {}).get(row.id, b"")) for row in settings.keys}
        self._by_account: dict[str, list[_Identity]] = {}
        for identity in self._identities.values():
            self._by_account.setdefault(identity.client.account, []).append(identity)
        self._wall = wall or WallClock()
        self._nobody = Ed25519PublicKey.from_public_bytes(_NOBODY)
        self._seen: dict[str, OrderedDict[bytes, int]] = {}  # key id -> signature -> until when
        self._by_address = LogonBackoff(free=20)
        self._by_pair = LogonBackoff(free=5)

    def _identity(self, row: schema.Key, secret: bytes) -> _Identity:
        public = None
        if row.type == "ed25519":
            public = Ed25519PublicKey.from_public_bytes(parse_public_key(row.public_key))
        elif not secret:
            raise ValueError(f"no secret for key {row.id}")
        rights = (frozenset(row.permissions), frozenset(row.fix_sessions), row.cancel_on_disconnect)
        client = Client(self._accounts[row.account], row.account, row.id, *rights)
        return _Identity(client, networks(row.ips), parse_expiry(row.expires), public, secret)

    # -- proof ---------------------------------------------------------------------------------------------------

    def authenticate(
        self, keys: tuple[str, ...], proof: Proof, permission: schema.Permission | Literal["trade_or_read"], now_ns: int
    ) -> Client | Denied:
        """The client that made this signature, or why there is none.

        keys: ids of the candidates: the key that was named, or the result of `keys_for`. If there are more than
        `MAX_TRIED`, none is tried. permission: what the logon needs. Source: RULES A.2: address, key, clock, signature,
        not seen before, permission, in this order.
        """
        if proof.sent_at_ns is not None:
            self._wall.ahead_ns(proof.sent_at_ns, now_ns)  # if the time looks wrong, the system's clock is read again
        utc_ns = self._wall.utc_ns(now_ns)
        found = self._judge(keys, proof, utc_ns)
        pair = network_of(proof.peer_ip), keys
        if isinstance(found, Denied):
            return found
        if isinstance(found, str):
            # Both are counted, whatever the cause: a delay must not distinguish a known key from an unknown one.
            is_many = self._by_pair.add(pair, now_ns) | self._by_address.add(pair[0], now_ns)
            return Denied(found, HOLD_NS if is_many else 0)
        self._by_pair.forgive(pair)
        return found if found.may(permission) else Denied("permission")

    def _judge(self, keys: tuple[str, ...], proof: Proof, utc_ns: int) -> Client | Denied | str:
        """The proven client, or the cause why there is none, after at least one Ed25519 verification.

        Denied: the proof is sound, but there is no room to remember another signature of this key.
        """
        causes, has_paid = ["too_many_keys" if len(keys) > MAX_TRIED else "unknown_key"], False
        signature = _decode(proof.signature_b64)
        for key_id in keys if len(keys) <= MAX_TRIED else ():
            identity = self._identities.get(key_id)
            cause = _before_signature(identity, proof, utc_ns)
            if identity is not None and not cause:
                has_paid = has_paid or identity.public is not None
                cause = self._check(identity, signature, proof, utc_ns)
                if not cause:
                    return identity.client
                if cause == _TOO_MANY:
                    oldest_until_ns = min(self._seen[key_id].values())
                    return Denied(_TOO_MANY, retry_ns=max(oldest_until_ns - utc_ns, 1))
            causes.append(cause)
        if not has_paid:
            _is_signed_by(self._nobody, signature, proof.signed)
        return max(causes, key=lambda cause: _CAUSES.index(cause) if cause in _CAUSES else 0)

    def _check(self, identity: _Identity, signature: bytes, proof: Proof, utc_ns: int) -> str:
        """Why the signature is not of this key, or not fresh; "" if it is both."""
        if identity.public is not None:
            if not _is_signed_by(identity.public, signature, proof.signed):
                return "signature"
        elif not hmac.compare_digest(hmac.digest(identity.secret, proof.signed, "sha256"), signature):
            return "signature"
        if proof.sent_at_ns is None:
            return ""
        return self._note_signature(identity.client.key_id, signature, proof.sent_at_ns + MAX_WINDOW_NS, utc_ns)

    def _note_signature(self, key_id: str, signature: bytes, until_ns: int, utc_ns: int) -> str:
        """Remember a good signature for as long as a copy of it could pass.

        RecvWindow(25000) is not signed, so a copy may request the longest window: that is how long it is remembered.
        """
        seen = self._seen.setdefault(key_id, OrderedDict())
        while seen and next(iter(seen.values())) < utc_ns:
            seen.popitem(last=False)
        if signature in seen:
            return "replay"
        if len(seen) >= MAX_SIGNATURES:
            # After the clock went back, some expire far in the future: they cannot pass now, and must not use up room.
            latest_ns = utc_ns + MAX_AHEAD_NS + MAX_WINDOW_NS
            for each in [old for old, old_until_ns in seen.items() if not utc_ns <= old_until_ns < latest_ns]:
                del seen[each]
        if len(seen) >= MAX_SIGNATURES:
            return _TOO_MANY
        seen[signature] = until_ns
        return ""

    # -- FIX sessions --------------------------------------------------------------------------------------------

    def for_fix_session(self, row: schema.FixSessionRow) -> Client:
        """The client of a configured session before any proof; without credentials this is the only one."""
        permissions = frozenset({permission_for(row), "trade", "read"}) if row.auth == "none" else frozenset[str]()
        return Client(self._accounts[row.account], row.account, permissions=permissions)

    def by_key(self, key_id: str) -> Client | None:
        """The client of this key; None if the key is not configured any more."""
        identity = self._identities.get(key_id)
        return None if identity is None else identity.client

    def keys_for(self, row: schema.FixSessionRow, username: str, now_ns: int) -> tuple[str, ...]:
        """Ids of the keys that a Logon(A) may use: Username(553), or without it all that may log on to the session.

        A key id is no secret: the signature decides. So a new key can be used beside the one that it replaces.
        """
        if username:
            return (username,)
        utc_ns = self._wall.utc_ns(now_ns)
        return tuple(
            identity.client.key_id
            for identity in self._by_account.get(row.account, ())
            if not identity.is_expired(utc_ns)
            and identity.client.may(permission_for(row))
            and self.may_use(identity.client, row)
        )

    def may_use(self, client: Client, row: schema.FixSessionRow) -> bool:
        """Whether the session belongs to the client's account, and the key is not restricted to other sessions."""
        return client.account == row.account and (not client.fix_sessions or row.comp_id in client.fix_sessions)

    def tradable(self, row: schema.FixSessionRow) -> frozenset[int]:
        """Ids of the instruments that the session may trade; empty = all."""
        return frozenset(self._instruments.by_symbol[symbol].id for symbol in row.instruments)


def _before_signature(identity: _Identity | None, proof: Proof, utc_ns: int) -> str:
    if identity is None:
        return "unknown_key"
    if identity.networks and not is_in(proof.peer_ip, identity.networks):
        return "address"
    if identity.is_expired(utc_ns):
        return "expired"
    window_ns = min(proof.window_ns, MAX_WINDOW_NS)
    if proof.sent_at_ns is not None and not utc_ns - window_ns < proof.sent_at_ns < utc_ns + MAX_AHEAD_NS:
        return "clock"
    return ""


def _decode(signature_b64: str) -> bytes:
    """The bytes of a signature; b"" if it is not base64, which is refused like any bad signature."""
    if len(signature_b64) > _MAX_SIGNATURE_CHARS:
        return b""
    try:
        return base64.b64decode(signature_b64, validate=True)
    except ValueError:
        return b""


def _is_signed_by(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True
