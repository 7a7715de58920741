"""Attacks on the WebSocket door: on its HTTP, its frames, its JSON and msgpack, and the business behind the logon.

`KINDS` maps the name of an attack to a function (caller) -> Plan, as in `fuzz.fix`. Logons are in the headers of the
upgrade or signed without a challenge, so that an attacker need not read a word to get in.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import repeat
from typing import Any, Literal

import msgspec

from gateway.client import ws
from tests.faults.fuzz.wire import Plan, cut_up, each_byte, spoil
from tests.support.venue_rows import seed_of
from tests.support.ws_frames import close, frame, text
from tests.support.ws_samples import OF

PATH = "/v1/ws"
_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
_FLOOD = 4_000
_REQUESTS: list[dict[str, Any]] = [json.loads(body) for body in OF["Request"]]
_QUICK_MASK = b"\0\0\0\0"  # masking by nothing is masking: floods are made at the speed of a join

NASTY_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, -0.0, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, "", " ", "0", "-1", "+1"),
    *("1e5", "NaN", "Infinity", "0x10", "1_0", ".5", "5.", "00.1", "9" * 19, "9" * 5_000, "0." + "0" * 400 + "1"),
    *("²", "٣", "𝟗", "\x00", "\x7f", "\ud800", "\u202e", "\x1b[2J", "a" * 4_000, "a" * 60_000, "BTC-USDT", "buy"),
    *([], {}, [[]], {"a": {}}, [None] * 3_000, {str(n): n for n in range(2_000)}, [1, "a", None]),
)

_END = b"\r\n\r\n"
_HTTP_SWAPS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b"GET", (b"POST", b"get", b"G\x00T", b"CONNECT", b"OPTIONS", b"X" * 3_000)),
    (b"HTTP/1.1", (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"HTTP/1.1\x00", b"")),
    (PATH.encode(), (b"*", b"http://x/v1/ws", b"/v1/ws?\xff", b"/../v1/ws", b"//", b"", b"/" * 9_000)),
    (_KEY.encode(), (b"", b"x", b"\xff\xfe", b"=" * 24, b"A" * 22, "é".encode(), b"A" * 4_000)),
    (b"Version: 13", (b"Version: 8", b"Version: 13, 13", b"Version: \xff", b"X: y")),
    (b"Upgrade: websocket", (b"Upgrade: \xffwebsocket\xfe", b"Upgrade: h2c", b"Upgrade: websocket, x")),
    (b"Protocol: gate.json.v1", (b"Protocol: \xff", b"Protocol: " + b"x," * 3_000, b"Protocol: gate.json.v1\x0b")),
    (_END, (b"\r\n" + b"X: y\r\n" * 10 + b"\r\n", b"\r\n" + b"X: y\r\n" * 5_000 + b"\r\n")),
    (_END, (b"\r\nX: " + b"y" * 8_000 + _END, b"\r\nX: " + b"y" * 9_000 + _END, b"\r\nX: " + b"y" * 200_000 + _END)),
    (_END, tuple(b"\r\nContent-Length: " + size + _END + b"abc" for size in (b"5", b"-1", b"9" * 30, b"x"))),
    (_END, (b"\r\nTransfer-Encoding: chunked" + _END + b"ffffffffffffffff\r\n" + b"A" * 5_000,)),
    (_END, (b"\r\nOrigin: http://evil" + _END, b"\r\nExpect: 100-continue" + _END, b"\r\nHost: y" + _END)),
)
_NO_HTTP = (
    b"\x00" * 9_000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 300,
    b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000,
)
_BOMBS: tuple[bytes, ...] = (
    *(b"[" * depth for depth in (10, 1_000, 60_000)),
    *(b'{"a":' * depth for depth in (10, 1_000, 10_000)),
    b'{"id":1,"method":"order.place","params":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    *(b'{"id":' + b"9" * digits + b',"method":"ping"}' for digits in (20, 400, 60_000)),
    b'{"id":1e999,"method":"ping"}',
    b'{"id":-0,"method":"ping","params":{"x":1e-9999}}',
    b'{"id":"\\ud800","method":"ping"}',
    b'{"id":"\\u0000","method":"pi\\u006eg"}',
    b'{"id":1,"id":2,"method":"ping","method":"time"}',
    b'{"id":1,"method":"' + b"m" * 60_000 + b'"}',
    b'{"id":{"a":[]},"method":"ping"}',
    b'{"id":1,"method":"order.place","params":{"qty":' + b"1" * 5_000 + b"}}",
    b'{"id":1,"method":"order.batch","params":{"legs":[' + b"{}," * 5_000 + b"{}]}}",
    b'{"id":1,"method":"order.batch","params":{"legs":[{"op":"x"}]}}',
    b"",
    b" " * 60_000,
    b"null",
    b"\xef\xbb\xbf{}",
    b'{"id":1,"method":"ping"} trailing',
    b'{"id":1,"method":"ping","traceparent":"00-' + b"f" * 32 + b"-" + b"f" * 16 + b'-ff"}',
    *(b"A" * size for size in (4_000, 5_000, 65_536, 70_000, 300_000)),
)
_PACKED_BOMBS: tuple[bytes, ...] = (
    *(b"\x91" * depth for depth in (10, 1_000, 60_000)),
    b"\x81\xa1a" * 10_000,
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff" + b"x" * 100,
    b"\xdb\x7f\xff\xff\xff",
    b"\xc1",
    b"\xd4\xff\x00\x00\x00\x00",
    b"\xc7\x0c\xff" + b"\xff" * 12,
    b"\x82\xa2id\xcf" + b"\xff" * 8 + b"\xa6method\xa4ping",
    b"\x82\xa2id\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xa6method\xa4ping",
    b"\x82\xa2id\xa1\xff\xa6method\xa4ping",
    msgspec.msgpack.encode({"id": 1, "method": "order.place", "params": [None] * 5_000}),
)


class Identity(msgspec.Struct, frozen=True):
    """A key that the attacker holds."""

    key_id: str
    seed: bytes

    @classmethod
    def of(cls, account: str) -> "Identity":
        """The key of one of the tests' accounts."""
        return cls(f"key-{account}", seed_of(account))


class Caller:
    """One attacker of this door."""

    def __init__(self, rng: random.Random, identity: Identity, epoch: str = "") -> None:
        self.rng = rng
        self.identity = identity
        self.epoch = epoch  # of the stream: an attacker may well know it

    def upgrade(self, logged_on: bool = True, *more: str, codec: str = "json") -> bytes:
        """The HTTP request of a WebSocket; `logged_on` with the credentials in its headers."""
        lines = [f"GET {PATH} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {_KEY}"]
        lines.append(f"Sec-WebSocket-Protocol: gate.{codec}.v1")
        if logged_on:
            ts = time.time_ns() // 1_000
            signed = ws.signature(ws.WsIdentity(self.identity.key_id, self.identity.seed), "", ts)
            lines += [f"X-API-Key: {self.identity.key_id}", f"X-Timestamp: {ts}", f"X-Signature: {signed}"]
        return "\r\n".join((*lines, *more, "", "")).encode("latin-1", "replace")

    def logon(self, **params: object) -> bytes:
        """A session.logon without a challenge."""
        ts = time.time_ns() // 1_000
        signed = ws.signature(ws.WsIdentity(self.identity.key_id, self.identity.seed), "", ts)
        asked = {"api_key": self.identity.key_id, "ts": ts, "challenge": "", "sig": signed, **params}
        return quick({"id": 1, "method": "session.logon", "params": asked})

    def order(self) -> dict[str, Any]:
        """An order.place that is right."""
        rng = self.rng
        price = f"{rng.choice((50_000, 60_000))}.{rng.randrange(100):02d}"
        place = {"symbol": "BTC-USDT", "side": rng.choice(("buy", "sell")), "type": "limit", "price": price}
        place |= {"qty": "0.0125", "tif": rng.choice(("gtc", "ioc")), "cl_ord_id": f"w{rng.getrandbits(48):x}"}
        return {"id": rng.randrange(1 << 30), "method": "order.place", "params": place}


def quick(request: object) -> bytes:
    """A request in a text frame."""
    return _quick_frame(0x1, json.dumps(request).encode())


def _quick_frame(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    size = len(payload)
    first = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        return first + bytes([0x80 | size]) + _QUICK_MASK + payload
    if size < 65_536:
        return first + b"\xfe" + size.to_bytes(2, "big") + _QUICK_MASK + payload
    return first + b"\xff" + size.to_bytes(8, "big") + _QUICK_MASK + payload


# -- HTTP --------------------------------------------------------------------------------------------------------------


def http_garbage(caller: Caller) -> Plan:
    """Requests that are no HTTP, or no upgrade, or one with something odd in it."""
    rng = caller.rng
    good = caller.upgrade(False)
    old, new = rng.choice(_HTTP_SWAPS)
    odd = good.replace(old, rng.choice(new), 1)
    noise = rng.choice((rng.randbytes(rng.randrange(1, 9_000)), *_NO_HTTP))
    data = rng.choice((odd, odd, odd, noise, good * 5, good.replace(b"\r\n", b"\n"), spoil(good, rng)))
    return Plan(cut_up(data, rng, 8), stay_s=rng.choice((0.0, 0.05, 0.3)), ending=_ending(rng))


def http_logon(caller: Caller) -> Plan:
    """Credentials in the headers that prove nothing, or cannot even be read."""
    rng = caller.rng
    ts = str(time.time_ns() // 1_000)
    lines = [
        "X-API-Key: " + rng.choice((caller.identity.key_id, "nobody", "", "\xff\xfe", "é", "x" * 4_000, "a\x0bb")),
        "X-Timestamp: " + rng.choice((ts, "", "0", "-1", "\xb2", "9" * 17, "9" * 4_000, "1.5")),
        "X-Signature: " + rng.choice(("", "A" * 88, "A" * 4_000, "\xff", "====", "A" * 86 + "==")),
    ]
    return Plan((caller.upgrade(False, *lines),), stay_s=0.1, ending=_ending(rng))


def slow_headers(caller: Caller) -> Plan:
    """A request that never becomes whole, a byte or a header at a time; or an open socket and nothing else."""
    rng = caller.rng
    good = caller.upgrade(False)
    drip = (b"X-%d: y\r\n" % n for n in range(1_000))
    chunks = rng.choice((iter(()), each_byte(good), iter((good[:-2],)), _after(good[:-2], drip)))
    return Plan(chunks, gap_s=0.05, stay_s=10.0, ending=_ending(rng))


def silent(caller: Caller) -> Plan:
    """Upgrades and says nothing more, or too little."""
    rng = caller.rng
    said = rng.choice((b"", b"\x81", text(b"{")[:-1], frame(0x9), text('{"id":1,"method":"ping"}')))
    return Plan((caller.upgrade(False), said), gap_s=0.05, stay_s=10.0, ending=_ending(rng))


# -- frames ------------------------------------------------------------------------------------------------------------


def bad_frames(caller: Caller) -> Plan:
    """Frames that RFC 6455 forbids, before and behind a logon."""
    rng = caller.rng
    good = text('{"id":1,"method":"ping"}')

    def chunks() -> Iterator[bytes]:
        yield caller.upgrade(rng.random() < 0.5)
        for _ in range(rng.randrange(4)):
            yield good
        yield from cut_up(_bad_frame(rng, good), rng, 6)
        yield good * 10

    return Plan(chunks(), stay_s=rng.choice((0.05, 1.5)), ending=_ending(rng))


def fragments(caller: Caller) -> Plan:
    """A message in countless pieces, with pings between them, or one that never ends."""
    rng = caller.rng
    body = b" " * 3_000 + json.dumps(caller.order()).encode()
    between = frame(0x9, b"p") if rng.random() < 0.5 else b""

    def chunks() -> Iterator[bytes]:
        yield caller.upgrade()
        kind = rng.randrange(3)
        if kind == 0:
            yield frame(0x1, b"", fin=False) + (frame(0x0, b"", fin=False) + between) * 6_000
        elif kind == 1:
            yield frame(0x2, b"", fin=False)
            for _ in range(400):
                yield (_quick_frame(0x0, b"A" * 100, fin=False) + between) * 20
        else:
            pieces = list(cut_up(body, rng, 500))
            for n, piece in enumerate(pieces):
                yield _quick_frame(0x1 if n == 0 else 0x0, piece, n == len(pieces) - 1) + between

    return Plan(chunks(), stay_s=0.2, ending=_ending(rng))


def every_byte(caller: Caller) -> Plan:
    """A good conversation, a byte at a time."""
    talk = caller.upgrade(True) + text(json.dumps(caller.order())) + frame(0x9, b"hello") + close(1000, b"bye")
    return Plan(each_byte(talk), stay_s=0.5)


def ping_flood(caller: Caller) -> Plan:
    """Control frames by the thousand, the pongs read or not."""
    rng = caller.rng
    burst = frame(rng.choice((0x9, 0x9, 0xA)), rng.choice((b"", b"p" * 125))) * (_FLOOD // 4)

    def chunks() -> Iterator[bytes]:
        yield caller.upgrade()
        yield from repeat(burst, 12)

    return Plan(chunks(), reads=rng.choice(("all", "nothing", "sips")), stay_s=0.3, ending=_ending(rng))


# -- messages ----------------------------------------------------------------------------------------------------------


def json_bombs(caller: Caller) -> Plan:
    """JSON and msgpack that are deep, long, wrong, or claim to be."""
    rng = caller.rng
    codec = rng.choice(("json", "json", "msgpack"))

    def chunks() -> Iterator[bytes]:
        yield caller.upgrade(rng.random() < 0.7, codec=codec)
        for _ in range(30):
            yield _quick_frame(0x1, rng.choice(_BOMBS)) if codec == "json" else _quick_frame(0x2, _packed_bomb(rng))
            if rng.random() < 0.7:
                good = {"id": 1, "method": "ping"}
                yield quick(good) if codec == "json" else _quick_frame(0x2, msgspec.msgpack.encode(good))

    return Plan(chunks(), stay_s=0.1, ending=_ending(rng))


def mutations(caller: Caller) -> Plan:
    """The contract's samples with members dropped, added, renamed, and made nasty."""
    rng = caller.rng
    codec = rng.choice(("json", "msgpack"))

    def chunks() -> Iterator[bytes]:
        yield caller.upgrade(codec=codec)
        for _ in range(80):
            request = caller.order() if rng.random() < 0.3 else json.loads(json.dumps(rng.choice(_REQUESTS)))
            if request["method"] not in {"session.logout", "session.logon"} or rng.random() < 0.1:
                yield from cut_up(_mutated(request, rng, codec), rng, 4)

    return Plan(chunks(), stay_s=0.1, ending=_ending(rng))


def logon_flood(caller: Caller) -> Plan:
    """session.logon that proves nothing, is replayed, or comes twice with much behind it."""
    rng = caller.rng
    asked = rng.choice(
        (
            caller.logon(sig="A" * 86 + "=="),
            caller.logon(sig=_nasty(rng)),
            caller.logon(api_key=rng.choice(("nobody", "é", "\x00", "x" * 3_000))),
            caller.logon(challenge="of another connection"),
            caller.logon(ts=rng.choice((0, 2**63 - 1, -1, 10**30))),
            caller.logon(name=rng.choice(("a", "b", "x" * 64, "\x00", "é"))),
            caller.logon(resume={"epoch": caller.epoch, "seq": rng.choice((0, 1, 2**62, 2**63))}),
        )
    )
    behind = quick(caller.order()) * rng.choice((0, 3, 2_000))
    return Plan((caller.upgrade(False) + asked, asked + behind), stay_s=rng.choice((0.0, 0.1)), ending=_ending(rng))


def takeover(caller: Caller) -> Plan:
    """Logs on to the one named session that everybody of this kind wants."""
    rng = caller.rng
    caller.identity = Identity.of("M1")
    cod = {"scope": rng.choice(("off", "session", "account")), "grace_ms": rng.choice((0, 50))}
    said = caller.logon(name="one", cod=cod) + quick(caller.order())
    return Plan(
        (caller.upgrade(False) + said, quick(caller.order())), stay_s=rng.choice((0.0, 0.1)), ending=_ending(rng)
    )


def order_flood(caller: Caller) -> Plan:
    """Thousands of orders in one write, alone or in batches, and a cancel of everything at the end."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.upgrade()
        for _ in range(4):
            if rng.random() < 0.5:
                yield b"".join(quick(caller.order()) for _ in range(_FLOOD // 8))
            else:
                legs = [{"op": "place", "params": caller.order()["params"]} for _ in range(20)]
                batch = {"id": 7, "method": "order.batch", "params": {"legs": legs}}
                yield quick(batch) * 25
        yield quick({"id": 8, "method": "order.cancel_all", "params": {}})

    return Plan(chunks(), stay_s=0.3, ending=_ending(rng))


def broken_runs(caller: Caller) -> Plan:
    """Runs of orders in one write, with one request in their midst that is spoilt or of another method."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.upgrade()
        for _ in range(40):
            odd = caller.order() if rng.random() < 0.5 else json.loads(json.dumps(rng.choice(_REQUESTS)))
            run = [quick(caller.order()) for _ in range(rng.randrange(1, 20))]
            run += [_mutated(odd, rng, "json"), *(quick(caller.order()) for _ in range(rng.randrange(1, 20)))]
            yield from cut_up(b"".join(run), rng, rng.choice((1, 1, 4)))

    return Plan(chunks(), stay_s=0.1, ending=_ending(rng))


def replay_storm(caller: Caller) -> Plan:
    """Makes events, and asks for them, for lists and for snapshots again and again."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.upgrade()
        yield b"".join(quick(caller.order()) for _ in range(1_000))
        for _ in range(200):
            method, params = rng.choice(
                (
                    ("stream.replay", {"epoch": caller.epoch, "begin": rng.randrange(1, 2_000)}),
                    ("stream.replay", {"epoch": caller.epoch, "begin": rng.choice((0, -1, 2**63)), "end": 1}),
                    ("stream.replay", {"epoch": "e-0", "begin": 1}),
                    ("order.list", {}),
                    ("order.list", {"symbol": "BTC-USDT"}),
                    ("limits.get", {}),
                    ("instruments.list", {}),
                    ("subscribe", {"streams": ["orders", "limits", "system"]}),
                    ("unsubscribe", {"streams": ["orders"]}),
                    ("session.status", {}),
                    ("session.configure", {"heartbeat_ms": 1_000, "limits": "always"}),
                )
            )
            yield quick({"id": 1, "method": method, "params": params}) * 10

    return Plan(chunks(), reads=rng.choice(("all", "all", "sips")), stay_s=0.5, ending=_ending(rng))


def never_reads(caller: Caller) -> Plan:
    """Asks for as much as it can and reads nothing."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.upgrade()
        for _ in range(300):
            yield b"".join(quick(caller.order()) for _ in range(20))
            yield quick({"id": 1, "method": "order.list", "params": {}}) * 5
            yield frame(0x9, b"p" * 125) * 50

    return Plan(chunks(), reads="nothing", stay_s=3.0, ending=_ending(rng))


def cut(caller: Caller) -> Plan:
    """Leaves in the middle of the upgrade, of a frame, or of the logon's answer."""
    rng = caller.rng
    data = caller.upgrade(rng.random() < 0.7) + quick(caller.order()) * 3
    return Plan((data[: rng.randrange(len(data))],), stay_s=rng.choice((0.0, 0.01)), ending=_ending(rng))


# -- what they are made of ---------------------------------------------------------------------------------------------


def _packed_bomb(rng: random.Random) -> bytes:
    return rng.choice((*_PACKED_BOMBS, rng.randbytes(rng.randrange(1, 500))))


def _bad_frame(rng: random.Random, good: bytes) -> bytes:
    return rng.choice(
        (
            frame(0x1, b"x", key=None),
            frame(0x1, b"x", rsv=rng.randrange(1, 8)),
            frame(rng.choice((0x3, 0x7, 0xB, 0xF)), b"x"),
            frame(0x9, b"x", fin=False),
            frame(0x9, b"p" * 126),
            frame(0x0, b"x"),
            frame(0x1, b"x", fin=False) + good,
            frame(0x1, b"x" * 10, length_form=16),
            frame(0x1, b"x" * 10, length_form=64),
            frame(0x1, b"", length_form=64, claim=rng.choice((2**63, 2**64 - 1, 2**40, 2**31, 2**20))),
            frame(0x2, b"x" * 100),
            frame(0x1, rng.choice((b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"))),
            frame(0x1, b'"\xe2', fin=False) + frame(0x0, b"\x28"),
            close(rng.choice((0, 999, 1004, 1005, 1006, 1015, 2000, 5000, 65_535))),
            frame(0x8, b"\x03"),
            close(1000, b"\xff\xfe"),
            close(1000, b"x" * 123) + good,
            close(),
            rng.randbytes(rng.randrange(1, 3_000)),
            spoil(good * 3, rng),
        )
    )


def _nasty(rng: random.Random) -> object:
    """A value of one's own: one that were shared could be made a part of itself, which no encoder takes."""
    return deepcopy(rng.choice(NASTY_VALUES))


def _mutated(request: dict[str, Any], rng: random.Random, codec: str) -> bytes:
    for _ in range(rng.randrange(1, 4)):
        params = request.get("params")
        target = params if isinstance(params, dict) and params and rng.random() < 0.8 else request
        if not target:
            break
        name = rng.choice(list(target))
        kind = rng.randrange(6)
        if kind == 0:
            del target[name]
        elif kind == 1:
            target["x" * rng.choice((1, 3_000))] = _nasty(rng)
        elif kind == 2:
            target[name.upper()] = target.pop(name)
        else:
            target[name] = _nasty(rng)
    if codec == "msgpack":
        try:
            return _quick_frame(0x2, msgspec.msgpack.encode(request))
        except (OverflowError, UnicodeEncodeError):
            return _quick_frame(0x2, b"\xc1")
    body = json.dumps(request, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        body = spoil(body, rng)
    return text(body) if rng.random() < 0.5 else _quick_frame(0x1, body)


def _after(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _ending(rng: random.Random) -> Literal["close", "reset", "half"]:
    return rng.choice(("close", "reset", "half"))


KINDS: dict[str, Callable[[Caller], Plan]] = {
    kind.__name__: kind
    for kind in (
        http_garbage,
        http_logon,
        slow_headers,
        silent,
        bad_frames,
        fragments,
        every_byte,
        ping_flood,
        json_bombs,
        mutations,
        logon_flood,
        takeover,
        order_flood,
        broken_runs,
        replay_storm,
        never_reads,
        cut,
    )
}
