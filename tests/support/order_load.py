"""A venue of any number of sessions for load, and its orders as ready bytes: nothing is encoded while it is measured.

Each session has an account of its own. In `rest` every order rests at a price where nothing trades, and is answered by
one report; in `trade` each pair of sessions buys and sells the same quantity, so every order is accepted and filled.
"""

import base64
import json
import subprocess
from typing import Literal

from gateway.bench.venue import KEY
from protocols.fix.times import format_ns
from protocols.signing import ws_header_text
from tests.support.venue_rows import BTC, account_row, key_row, session_row
from tests.support.ws_frames import request

Flow = Literal["rest", "trade", "vary"]
Door = Literal["fix", "ws"]

_HEAD = """
[fix]
[[fix.listeners]]
port = 0
insecure = true
[ws]
port = 0
[limits]
file = "limits.toml"
[stream]
retain_events = 1000
[journal]
durability = "{durability}"
"""
_PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


def load_toml(sessions: int, durability: str = "memory") -> str:
    """gateway.toml with so many sessions on each door, on free ports; all of them sign with one well-known key."""
    rows = [_HEAD.format(durability=durability), BTC]
    for n in range(1, sessions + 1):
        rows.append(account_row(n, f"A{n}") + session_row(n, f"S{n}", f"A{n}", auth="none", dialect="penstock"))
        rows.append(key_row(f"A{n}", f"K{n}", _PUBLIC))
    return "".join(rows)


def wait_started(process: subprocess.Popen[bytes]) -> dict[str, int]:
    """The ports of a `penstock run` whose standard error is piped to us, when all its doors are open."""
    assert process.stderr is not None
    told = b""
    for line in process.stderr:
        told += line
        if b'"gateway.started"' in line:
            ports: dict[str, int] = json.loads(line)["ports"]
            return ports
    raise AssertionError(f"exit status {process.wait()}: {told.decode()}")


def _terms(n: int, number: int, flow: Flow) -> tuple[int, str, str]:
    """Side, quantity and price of one order of session n.

    Buyers are the odd sessions. Resting sellers stay far above resting buyers; trading ones meet at one price.
    """
    if flow == "trade":
        return 2 - n % 2, "0.01250000", "64250.50"
    side = 2 - n % 2
    if flow == "rest":
        return side, "0.01250000", ("64250.50", "64260.50")[side - 1]
    cents = 1_000_000 + 50 * number if side == 1 else 9_000_000 - 50 * number
    return side, f"0.{1_250_000 + number:08d}", f"{cents // 100}.{cents % 100:02d}"


# -- FIX -------------------------------------------------------------------------------------------------------------


def fix_message(text: str) -> bytes:
    """The message with this body (from `35=` on, `|` for SOH), with BodyLength and CheckSum."""
    body = text.replace("|", "\x01")
    head = f"8=FIX.4.4\x019={len(body)}\x01{body}"
    return f"{head}10={sum(head.encode()) % 256:03d}\x01".encode()


def fix_logon(n: int, now_ns: int) -> bytes:
    """The first message of session n."""
    return fix_message(f"35=A|34=1|49=S{n}|52={format_ns(now_ns, 6)}|56=GATE|98=0|108=60|141=Y|25036=2|")


def fix_orders(n: int, count: int, flow: Flow, now_ns: int) -> list[bytes]:
    """`count` NewOrderSingle(D) of 17 fields each, numbered from 2."""
    stamp = format_ns(now_ns, 6)
    return [
        fix_message(
            f"35=D|34={number}|49=S{n}|52={stamp}|56=GATE|11=mm-7f3a-{number:06d}|38={qty}|40=2|44={price}"
            f"|54={side}|55=BTC-USDT|59=1|60={stamp}|526=grid-1|"
        )
        for number in range(2, count + 2)
        for side, qty, price in (_terms(n, number, flow),)
    ]


# -- WebSocket -------------------------------------------------------------------------------------------------------


def ws_upgrade(n: int, now_ns: int) -> bytes:
    """The HTTP request of session n, with its logon in the headers."""
    ts = now_ns // 1_000
    signature = base64.b64encode(KEY.sign(ws_header_text(f"K{n}", ts))).decode()
    return (
        "GET /v1/ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
        f"\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-API-Key: K{n}\r\nX-Timestamp: {ts}"
        f"\r\nX-Signature: {signature}\r\n\r\n"
    ).encode()


def ws_orders(n: int, count: int, flow: Flow) -> list[bytes]:
    """`count` `order.place` in masked text frames."""
    orders = []
    for number in range(1, count + 1):
        side, qty, price = _terms(n, number, flow)
        order = {"symbol": "BTC-USDT", "side": ("buy", "sell")[side - 1], "type": "limit", "price": price}
        order |= {"qty": qty, "tif": "gtc", "tag": "grid-1", "cl_ord_id": f"mm-7f3a-{number:06d}"}
        orders.append(request("order.place", order, id=number))
    return orders
