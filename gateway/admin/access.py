"""Who may do what at the admin port: bearer tokens with a role, or only this machine.

Only digests are kept, and each is compared in constant time, so neither memory nor timing reveals a token. Without
tokens, changes are accepted only on a loopback listener, and not from a browser page of another host.
"""

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Literal

import msgspec

from gateway.config.addresses import is_loopback

Role = Literal["viewer", "operator"]
_RANK = {"viewer": 0, "operator": 1}
_NO_TOKENS = (
    "no token is configured, so changes are accepted on a loopback listener only: "
    'add [[admin.tokens]] with role = "operator", or set admin.host = "127.0.0.1"'
)


class Token(msgspec.Struct, frozen=True):
    """One operator: a name for the log, what it may do, and the digest of its secret."""

    name: str
    role: Role
    digest: bytes


class AccessDenied(Exception):
    """A refusal. `status`: the HTTP status; `who`: the token's name, if one was sent; the text says what to do."""

    def __init__(self, status: int, text: str, who: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.who = who


def digest_of(secret: str) -> bytes:
    """What a `Token` keeps of its secret. The secret is long and random, so it needs no salt and no stretching."""
    return sha256(secret.encode()).digest()


class Access:
    """Checks requests. `host`: the address that the admin listener is bound to."""

    def __init__(self, tokens: Sequence[Token], host: str) -> None:
        self._tokens = tuple(tokens)
        self._is_local = is_loopback(host)

    def admit(self, authorization: str, host: str, needs: Role) -> str:
        """The operator's name, for the log. authorization, host: the request's headers, "" if absent.

        Raises:
            AccessDenied: 401 without a valid token; 403 if its role does not suffice, or tokens are required.
        """
        if not self._tokens:
            return self._admit_anyone(host, needs)
        scheme, _, secret = authorization.partition(" ")
        shown = digest_of(secret.strip()) if scheme.lower() == "bearer" else b""
        matching = [token for token in self._tokens if compare_digest(token.digest, shown)]
        if not matching:
            raise AccessDenied(401, "send a token of [[admin.tokens]] as: Authorization: Bearer TOKEN")
        token = matching[0]
        if _RANK[token.role] < _RANK[needs]:
            raise AccessDenied(403, f"{token.name} has the role {token.role}, this needs {needs}", token.name)
        return token.name

    def _admit_anyone(self, host: str, needs: Role) -> str:
        if needs != "viewer":
            if not self._is_local:
                raise AccessDenied(403, _NO_TOKENS)
            if not is_loopback(_hostname(host)):
                # DNS rebinding: a page of another host, whose name now resolves to this address. Host has that name.
                raise AccessDenied(403, f"ask for a loopback address by its name; Host is {host[:100]!r}")
        return "local"


def _hostname(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
