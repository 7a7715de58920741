"""Strangers at every port, the operators' too: they prove nothing, and try to be in the way of those who trade.

Whether they are is told by the healthy: two sessions trade on, two come back all the time and must be let in at once,
the operators' port answers, and descriptors are left. Kinds are functions (caller) -> Plan, as in `fuzz.fix`.
"""

import random
import ssl
from collections.abc import Callable
from typing import Literal

from tests.faults.fuzz import fix as fuzz_fix
from tests.faults.fuzz import ws as fuzz_ws
from tests.faults.fuzz.owed import GetsIn, TlsReplies, Unheard
from tests.faults.fuzz.wire import Plan, cut_up, each_byte, spoil

BALANCER = "127.0.0.9"
"""The only address that may speak for others, and has to."""

HOME = "127.0.0.1"
"""Where the healthy come from."""

CROWDS = {"crowd": (150, 400), "foreign_keys": (12, 20), "names": (12,)}
"""How many at a time where a handful would not be what it is about."""

_STAY_S = 10.0
_AGAIN_S = 1.0  # a crowd knocks; to come in a storm of SYNs needs no program of ours
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_TCP4 = bytes([127, 0, 0, 1, 127, 0, 0, 1, 4, 0, 4, 1])
_NO_HEADERS: tuple[bytes, ...] = (
    *(b"PROXY \r\n", b"PROXY TCP4\r\n", b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
    *(b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n", b"PROXY TCP6 ::g ::1 1 2\r\n"),
    *(b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2 3\r\n", b"PROXY " + b"A" * 5_000),
    *(_V2 + b"\x11\x11\x00\x0c" + _V2_TCP4, _V2 + b"\x21\x11\x00\x04abcd", _V2 + b"\x2f\x11\x00\x0c" + _V2_TCP4),
    *(_V2 + b"\x21\x11\xff\xff" + b"A" * 9_000, _V2[:-1] + b"X", _V2 * 2, b"\x00" * 100, b"\r\n" * 100),
)
_HEADERS = (
    b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 9878\r\n",
    b"PROXY UNKNOWN\r\n",
    _V2 + b"\x21\x11\x00\x0c" + _V2_TCP4,
    _V2 + b"\x20\x00\x00\x00",
)


def _client_hello() -> bytes:
    sent = ssl.MemoryBIO()
    context = ssl.create_default_context()
    try:
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()
    raise AssertionError("a handshake without an answer")


_HELLO = _client_hello()


# -- those who stay ----------------------------------------------------------------------------------------------------


def _stays(rng: random.Random, *said: bytes) -> Plan:
    """Says no more than this, and stays as long as it is let."""
    return Plan((rng.choice((b"", *said)),), stay_s=_STAY_S, rest_s=_AGAIN_S, ending=_ending(rng))


def _fix_crowd(caller: fuzz_fix.Caller) -> Plan:
    """Hundreds at the FIX door who never speak, or say half a Logon(A)."""
    logon = caller.logon()
    return _stays(caller.rng, logon[: caller.rng.randrange(len(logon))])


def _ws_crowd(caller: fuzz_ws.Caller) -> Plan:
    """Hundreds at the WebSocket door who never speak, or never log on."""
    upgrade = caller.upgrade(False)
    return _stays(caller.rng, upgrade[: caller.rng.randrange(len(upgrade))], upgrade)


def _tls_crowd(caller: fuzz_fix.Caller) -> Plan:
    """Hundreds at the TLS port who never finish a handshake."""
    plan = _stays(caller.rng, _HELLO[: caller.rng.randrange(len(_HELLO))], _HELLO)
    plan.judge = TlsReplies
    return plan


def _admin_crowd(caller: fuzz_fix.Caller) -> Plan:
    """Hundreds at the operators' port who never ask."""
    return _stays(caller.rng, b"GET /met", b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"POST /modes HTTP/1.1\r\n")


def _admin_garbage(caller: fuzz_fix.Caller) -> Plan:
    """What is no request, or one for what an operator alone may do."""
    rng = caller.rng
    request = b"%b %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n" % (
        rng.choice((b"GET", b"POST", b"DELETE", b"\xff", b"X" * 2_000)),
        rng.choice((b"/metrics", b"/modes", b"/../etc", b"/%00", b"*", b"/" * 9_000)),
        rng.choice((b"", b"x", b"\xff\xfe", b"A" * 4_000)),
        rng.choice((0, 5, 10**6, 10**30)),
    )
    data = rng.choice((request * 20, rng.randbytes(3_000), spoil(request, rng), _HELLO, b"\r\n" * 5_000))
    return Plan(cut_up(data, rng, 8), stay_s=rng.choice((0.0, 0.2)), ending=_ending(rng))


# -- those who claim to be somebody ------------------------------------------------------------------------------------


def _fix_foreign_keys(caller: fuzz_fix.Caller) -> Plan:
    """Logons for the sessions of the healthy, from their own address, that prove nothing."""
    rng = caller.rng
    caller.identity = fuzz_fix.Identity(rng.choice(("ALPHA", "BETA")))
    logon = caller.logon(seed=rng.randbytes(32), number=rng.choice((1, 1, 5, 10**9)), reset=rng.random() < 0.7)
    return _from_home(rng, logon)


def _ws_foreign_keys(caller: fuzz_ws.Caller) -> Plan:
    """Logons with the keys of the healthy, from their own address, that prove nothing; in headers or in a message."""
    rng = caller.rng
    caller.identity = fuzz_ws.Identity(f"key-{rng.choice(('ALPHA', 'BETA'))}", rng.randbytes(32))
    said = caller.upgrade() if rng.random() < 0.5 else caller.upgrade(False) + caller.logon(name="home")
    return _from_home(rng, said)


def _from_home(rng: random.Random, said: bytes) -> Plan:
    """From the address of the healthy, or from a balancer that says so."""
    is_balanced = rng.random() < 0.3
    if is_balanced:
        said = rng.choice((_HEADERS[0], _HEADERS[2])) + said
    source = BALANCER if is_balanced else HOME
    stay_s = rng.choice((0.0, 0.2, 0.5))
    return Plan((said,), stay_s=stay_s, rest_s=0.1, source=source, ending=_ending(rng))


def _names(caller: fuzz_ws.Caller) -> Plan:
    """A bot that has a new name each time it starts: it logs on, owns nothing, and logs out. It must be let in."""
    rng = caller.rng
    caller.identity = fuzz_ws.Identity.of("M2")
    said = caller.logon(name=f"pod-{rng.getrandbits(40):x}") + fuzz_ws.quick({"id": 2, "method": "session.logout"})
    return Plan((caller.upgrade(False) + said,), stay_s=2.0, judge=GetsIn)


# -- those who speak before the first word -----------------------------------------------------------------------------


def _proxy_broken(caller: fuzz_fix.Caller | fuzz_ws.Caller) -> Plan:
    """A listed balancer whose header is broken, missing or never whole: nothing behind it may be answered."""
    rng = caller.rng
    behind = _first_words(caller)
    header = rng.choice((*_NO_HEADERS, b"", rng.choice(_HEADERS)[:-1], b"Q" + rng.choice(_HEADERS)))
    whole = header if header[:-1] in {good[:-2] for good in _HEADERS} else header + behind
    chunks = each_byte(whole[:300]) if rng.random() < 0.2 else cut_up(whole, rng, 6)
    stay_s = rng.choice((0.0, 0.2, 1.0))
    return Plan(chunks, stay_s=stay_s, source=BALANCER, judge=Unheard, ending=_ending(rng))


def _proxy_unlisted(caller: fuzz_fix.Caller | fuzz_ws.Caller) -> Plan:
    """Who is no balancer, and says for whom he speaks."""
    rng = caller.rng
    said = rng.choice((*_HEADERS, *_NO_HEADERS)) + _first_words(caller)
    return Plan(cut_up(said, rng, 4), stay_s=rng.choice((0.0, 0.2)), ending=_ending(rng))


def _first_words(caller: fuzz_fix.Caller | fuzz_ws.Caller) -> bytes:
    return caller.logon() if isinstance(caller, fuzz_fix.Caller) else caller.upgrade()


def _tls_garbage(caller: fuzz_fix.Caller) -> Plan:
    """Records and handshakes that are none, cut, doubled, or plain text."""
    rng = caller.rng
    data = rng.choice(
        (
            spoil(_HELLO, rng),
            spoil(_HELLO, rng),
            _HELLO[: rng.randrange(len(_HELLO))],
            _HELLO + rng.randbytes(rng.randrange(1, 9_000)),
            _HELLO * 50,
            b"\x16\x03\x01\xff\xff" + b"\x01\xff\xff\xff" + b"A" * 70_000,
            b"\x15\x03\x01\x00\x02\x02\x28" * rng.choice((1, 500)),
            b"\x17\x03\x03\x40\x00" + rng.randbytes(16_384),
            b"\x80\x2e\x01\x00\x02" + rng.randbytes(60),  # as SSL 2 began
            rng.randbytes(rng.randrange(1, 20_000)),
            caller.logon(),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        )
    )
    return Plan(cut_up(data, rng, 16), stay_s=rng.choice((0.0, 0.1, 0.5)), ending=_ending(rng), judge=TlsReplies)


def _ending(rng: random.Random) -> Literal["close", "reset", "half"]:
    return rng.choice(("close", "reset", "half"))


FIX_KINDS: dict[str, Callable[[fuzz_fix.Caller], Plan]] = {
    "crowd": _fix_crowd,
    "foreign_keys": _fix_foreign_keys,
    "proxy_broken": _proxy_broken,
    "proxy_unlisted": _proxy_unlisted,
}
WS_KINDS: dict[str, Callable[[fuzz_ws.Caller], Plan]] = {
    "crowd": _ws_crowd,
    "foreign_keys": _ws_foreign_keys,
    "names": _names,
    "proxy_broken": _proxy_broken,
    "proxy_unlisted": _proxy_unlisted,
}
ADMIN_KINDS: dict[str, Callable[[fuzz_fix.Caller], Plan]] = {"crowd": _admin_crowd, "garbage": _admin_garbage}
TLS_KINDS: dict[str, Callable[[fuzz_fix.Caller], Plan]] = {"crowd": _tls_crowd, "garbage": _tls_garbage}
