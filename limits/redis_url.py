"""Checks the URL of a store of limits before anything connects. An error text never contains a password.

The library would misread a mistake, or print the part of the URL that it could not read. Pure.
"""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

REDIS_ENV = "PENSTOCK_LIMITS_REDIS"
"""Overrides `limits.redis`, so that no password has to be in a file."""

_SCHEMES = ("redis", "rediss", "unix")
_LIKE = "write it like redis://HOST:6379/0, rediss:// for TLS, unix://PATH for a socket"
_OPTIONS = {"db", "client_name", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
_IS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*").fullmatch
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MUST_BE_CODED = {"/": "%2F", "?": "%3F", "#": "%23", "[": "%5B", "]": "%5D"}


def why_not(url: str) -> str:
    """What is wrong with the URL and how to correct it; "" when it is valid."""
    return next(_faults(url), "")


def _faults(url: str) -> Iterator[str]:
    scheme, sign, rest = url.partition("://")
    if not sign or not _IS_SCHEME(scheme):
        yield f"is no URL: {_LIKE}"
        return
    if scheme not in _SCHEMES:
        sentinel = "; a Sentinel is not asked: name the primary itself, or an address that follows it"
        yield f"{scheme}:// is not served: {_LIKE}{sentinel if 'sentinel' in scheme else ''}"
        return
    if not url.isascii() or not url.isprintable() or " " in url:
        yield "has a character that a URL cannot hold: write it percent-encoded, a space as %20"
        return
    yield from _of_credentials(rest)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        yield f"host and port cannot be read, the port must be 1 to 65535: {_LIKE}"
        return
    if port == 0:
        yield f"the port must be 1 to 65535: {_LIKE}"
    if parts.fragment or "#" in rest:
        yield "has a #, which means nothing here: remove it and what follows"
    if scheme == "unix" and not parts.path.strip("/"):
        yield "names no socket: write it like unix:///run/redis.sock"
    if scheme != "unix" and parts.path.strip("/") and not re.fullmatch(r"/[0-9]{1,5}/?", parts.path):
        yield "what follows the port must be the number of a database, such as /0"
    yield from _of_options(parts.query)


def _of_credentials(rest: str) -> Iterator[str]:
    """User name and password come before the last @. A character in them may end the address too early."""
    before, at, _ = rest.rpartition("@")
    if not at:
        return
    bare = [char for char in before if char in _MUST_BE_CODED]
    if bare:
        coded = ", ".join(f"{char} as {_MUST_BE_CODED[char]}" for char in dict.fromkeys(bare))
        yield f"the user name or password must be percent-encoded: {coded}"
    elif _LONE_PERCENT.search(before):
        yield "the user name or password must be percent-encoded: % as %25"


def _of_options(query: str) -> Iterator[str]:
    try:
        options = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        yield "what follows the ? cannot be read: write it like ?db=0"
        return
    for name, value in options:
        if name not in _OPTIONS:
            known = name if re.fullmatch(r"[a-z_]{1,40}", name) else "what follows the ?"
            yield f"{known} is no option here, as are {', '.join(sorted(_OPTIONS))}; for time-outs see store_timeout_ms"
        elif name == "db" and not re.fullmatch(r"[0-9]{1,5}", value):
            yield "the option db must be the number of a database"
