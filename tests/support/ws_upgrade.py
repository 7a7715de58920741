"""The upgrade of a WebSocket client as text, and a logon in its headers."""

import time

from gateway.client import ws
from tests.support.venue_rows import seed_of

UPGRADE = (
    "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
)


def credentials() -> dict[str, str]:
    """Headers that log on."""
    ts = time.time_ns() // 1_000
    sig = ws.signature(ws.WsIdentity("key-ALPHA", seed_of("ALPHA")), "", ts)
    return {"X-API-Key": "key-ALPHA", "X-Timestamp": str(ts), "X-Signature": sig}
