"""What differs between the doors for a load client: logon, orders, and how answers look in the bytes.

An order is made when it is sent, from a template: 1 us. Answers are counted and never decoded. Every wire has the
methods and attributes of `Wire`.
"""

import base64
import re
import zlib
from collections.abc import Sequence
from time import time_ns
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.bench.flow import Flow
from protocols.fix.times import format_ns
from protocols.signing import fix_logon_text, ws_header_text

_SOH = "\x01"
_MASK = b"\x37\xfa\x21\x3d"


class Refusal(NamedTuple):
    """number: of the refused order, from 1; 0 = the answer names none. code: of the refusal, for people."""

    number: int
    code: str


class Orders(Protocol):
    """Makes the orders of one session, numbered from 1."""

    def take(self, count: int) -> bytes:
        """The next `count` orders, ready to be written."""


class Wire(Protocol):
    """One door. accepted: the bytes that the acceptance of an order contains, and no other message.

    message: bytes that each message of the gateway contains once; refused: of which a refusal contains at least one;
    welcome: what ends the logon; has_http_head: whether an HTTP answer comes first.
    """

    name: str
    accepted: bytes
    message: bytes
    refused: tuple[bytes, ...]
    welcome: bytes
    has_http_head: bool

    def greeting(self, session: int) -> bytes:
        """What session n sends first."""

    def orders(self, session: int, flow: Flow) -> Orders:
        """The orders of session n."""

    def whole(self, data: bytes) -> int:
        """How many bytes at the start of `data` are whole messages; a last one may be left for the next read."""

    def reply(self, messages: bytes) -> bytes:
        """What must be sent because of these messages, such as a Pong."""

    def refusals(self, messages: bytes) -> tuple[int, Sequence[Refusal]]:
        """How many orders these messages accept, and what they refuse."""

    def farewell(self, messages: bytes) -> str:
        """Why the gateway ended the connection, if its last messages say so."""


class Identity(NamedTuple):
    """Who session n is: `{n}` in a name is its number. key: signs the logons; None on FIX = no credentials."""

    comp_id: str = "S{n}"
    target_comp_id: str = "GATE"
    key_id: str = "K{n}"
    key: Ed25519PrivateKey | None = None

    def named(self, pattern: str, session: int) -> str:
        """A name of session n."""
        return pattern.replace("{n}", str(session))


def new_prefix() -> str:
    """What the client order ids of this moment begin with: an id is used once, and gateways remember ids."""
    return f"b{time_ns() // 1_000_000:x}"


# -- FIX -------------------------------------------------------------------------------------------------------------


class FixWire:
    """FIX.4.4. `accepted` may be changed for other acceptors."""

    name = "fix"
    message = b"\x0110="
    refused: tuple[bytes, ...] = (
        b"\x0125016=",
        b"\x01150=8\x01",
        b"\x0135=3\x01",
        b"\x0135=j\x01",
    )  # plain dialects have no 25016
    welcome = b"\x0135=A\x01"
    has_http_head = False

    def __init__(self, identity: Identity, accepted: bytes = b"\x01150=0\x01") -> None:
        self.accepted = accepted
        self._identity = identity

    def greeting(self, session: int) -> bytes:
        identity = self._identity
        comp_id, target = identity.named(identity.comp_id, session), identity.target_comp_id
        stamp = format_ns(time_ns())
        proof = ""
        if identity.key is not None:
            signed = identity.key.sign(fix_logon_text({49: comp_id, 56: target, 34: "1", 52: stamp}))
            signature = base64.b64encode(signed).decode()
            proof = f"553={identity.named(identity.key_id, session)}|95={len(signature)}|96={signature}|"
        text = f"35=A|34=1|49={comp_id}|52={stamp}|56={target}|98=0|108=60|141=Y|{proof}"
        return fix_message(text.replace("|", _SOH).encode())

    def orders(self, session: int, flow: Flow) -> "FixOrders":
        identity = self._identity
        return FixOrders(identity.named(identity.comp_id, session), identity.target_comp_id, session, flow)

    def whole(self, data: bytes) -> int:
        if data[-8:-4] == b"\x0110=" and data[-1] == 1:
            return len(data)
        return data.rfind(b"\x018=FIX") + 1

    def reply(self, messages: bytes) -> bytes:
        """Nothing: who sends orders needs no Heartbeat(0)."""
        return b""

    def refusals(self, messages: bytes) -> tuple[int, Sequence[Refusal]]:
        accepted, refusals = 0, []
        for message in messages.split(b"\x0110="):
            if self.accepted in message:
                accepted += 1
            elif any(mark in message for mark in self.refused):
                refusals.append(_fix_refusal(message))
        return accepted, refusals

    def farewell(self, messages: bytes) -> str:
        found = re.search(rb"\x0135=5\x01.*?\x0158=([^\x01]*)", messages)
        return found[1].decode("latin-1") if found is not None else ""


_FIX_CODE = re.compile(rb"\x0125016=(\d+)")
_FIX_REASON = re.compile(rb"\x01((?:103|380|373)=\d+)")  # OrdRejReason, BusinessRejectReason, SessionRejectReason
_FIX_ORDER = re.compile(rb"\x01(?:11|379)=[^\x01]*?(\d+)\x01")
_FIX_NUMBER = re.compile(rb"\x0145=(\d+)\x01")


def _fix_refusal(message: bytes) -> Refusal:
    found = _FIX_CODE.search(message) or _FIX_REASON.search(message)
    code = found[1].decode() if found is not None else "no reason"
    if (found := _FIX_ORDER.search(message)) is not None:
        return Refusal(int(found[1]), code)
    found = _FIX_NUMBER.search(message)  # Reject(3) names MsgSeqNum(34), and the Logon(A) was the first
    return Refusal(int(found[1]) - 1 if found is not None else 0, code)


def fix_message(body: bytes) -> bytes:
    """The message of this body (from `35=` on), with BeginString, BodyLength and CheckSum.

    adler32 is one more than the sum of all bytes, as long as that is below 65,521: up to 515 bytes of ASCII.
    """
    whole = b"8=FIX.4.4\x019=%d\x01%b" % (len(body), body)
    total = zlib.adler32(whole) - 1 if len(whole) <= 515 else sum(whole)
    return b"%b10=%03d\x01" % (whole, total & 0xFF)


class FixOrders:
    """NewOrderSingle(D) of 17 fields each, with MsgSeqNum(34) from 2."""

    def __init__(self, comp_id: str, target_comp_id: str, session: int, flow: Flow) -> None:
        self._next = 1
        market = flow.market
        self._quotes = [b"44=%b\x0154=%d" % (each.price, 1 if each.is_buy else 2) for each in flow.quotes]
        head = f"35=D|34=%d|49={comp_id}|52=%b|56={target_comp_id}|11={new_prefix()}-{session}-%d|38={market.qty}|40=2"
        text = f"{head}|%b|55={market.symbol}|59=1|60=%b|526=grid-1|"
        self._template = text.replace("|", _SOH).encode()

    def take(self, count: int) -> bytes:
        """See `Orders`."""
        template, quotes, period = self._template, self._quotes, len(self._quotes)
        stamp = format_ns(time_ns()).encode()
        first = self._next
        self._next = first + count
        return b"".join(
            [
                fix_message(template % (n + 1, stamp, n, quotes[(n - 1) % period], stamp))
                for n in range(first, first + count)
            ]
        )


# -- WebSocket -------------------------------------------------------------------------------------------------------


class WsWire:
    """The WebSocket door in JSON, logged on with headers. `accepted` and `welcome` may be changed for other servers."""

    name = "ws"
    message = b"\x81~"  # how a text frame of 126 bytes or more begins; JSON text in ASCII has no such byte
    refused: tuple[bytes, ...] = (b'"error":{',)
    has_http_head = True

    def __init__(
        self, identity: Identity, accepted: bytes = b',"status":200,', welcome: bytes = b'"ev":"hello"'
    ) -> None:
        assert identity.key is not None, "there is no WebSocket logon without a key"
        self.accepted = accepted
        self.welcome = welcome
        self._identity, self._key = identity, identity.key

    def greeting(self, session: int) -> bytes:
        key_id, ts = self._identity.named(self._identity.key_id, session), time_ns() // 1_000
        signature = base64.b64encode(self._key.sign(ws_header_text(key_id, ts))).decode()
        return (
            "GET /v1/ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-API-Key: {key_id}\r\n"
            f"X-Timestamp: {ts}\r\nX-Signature: {signature}\r\n\r\n"
        ).encode()

    def orders(self, session: int, flow: Flow) -> "WsOrders":
        return WsOrders(session, flow)

    def whole(self, data: bytes) -> int:
        at, size = 0, len(data)
        while size - at >= 2:
            length, start = data[at + 1], at + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > size:
                    break
                length = int.from_bytes(data[at + 2 : start], "big")
            if start + length > size:
                break
            at = start + length
        return at

    def reply(self, messages: bytes) -> bytes:
        """A Pong, if there is an empty Ping among them."""
        return b"\x8a\x80" + _MASK if b"\x89\x00" in messages else b""

    def refusals(self, messages: bytes) -> tuple[int, Sequence[Refusal]]:
        found = [Refusal(int(number), code.decode()) for number, code in _WS_REFUSED.findall(messages)]
        return messages.count(self.accepted), found

    def farewell(self, messages: bytes) -> str:
        at = messages.rfind(b"\x88")
        if at < 0 or len(messages) < at + 4:
            return ""
        code, reason = int.from_bytes(messages[at + 2 : at + 4], "big"), messages[at + 4 :]
        return f"{code} {reason.decode('utf-8', 'replace')}".rstrip()


_WS_REFUSED = re.compile(rb'\{"id":(\d+),"status":\d+,"t":\{[^}]*\},"error":\{"code":(\d+)')


class WsOrders:
    """`order.place` in masked text frames, with ids from 1."""

    def __init__(self, session: int, flow: Flow) -> None:
        self._next = 1
        market = flow.market
        self._quotes = [
            b'"side":"%b","type":"limit","price":"%b"' % (b"buy" if each.is_buy else b"sell", each.price)
            for each in flow.quotes
        ]
        text = '{"id":%d,"method":"order.place","params":{"symbol":"SYMBOL",%b,"qty":"QTY","tif":"gtc","tag":"grid-1",'
        text += '"cl_ord_id":"PREFIX-SESSION-%d"}}'
        for word, value in (("SYMBOL", market.symbol), ("QTY", market.qty), ("PREFIX", new_prefix())):
            text = text.replace(word, value)
        self._template = text.replace("SESSION", str(session)).encode()
        self._mask_of: dict[int, int] = {}  # by length of the payload: few lengths occur

    def take(self, count: int) -> bytes:
        """See `Orders`."""
        template, quotes, period = self._template, self._quotes, len(self._quotes)
        first = self._next
        self._next = first + count
        return b"".join([self._frame(template % (n, quotes[(n - 1) % period], n)) for n in range(first, first + count)])

    def _frame(self, payload: bytes) -> bytes:
        size = len(payload)
        mask = self._mask_of.get(size)
        if mask is None:
            mask = self._mask_of[size] = int.from_bytes((_MASK * (size // 4 + 1))[:size], "little")
        masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
        head = b"\x81%c" % (0x80 | size) if size < 126 else b"\x81\xfe%b" % size.to_bytes(2, "big")
        return b"%b%b%b" % (head, _MASK, masked)
