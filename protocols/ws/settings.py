"""The settings that WebSocket connections share, the states of a connection, and every legal change of state."""

from enum import Enum
from typing import Literal

import msgspec


class WsSettings(msgspec.Struct, frozen=True):
    """Shared by all connections of one door and encoding."""

    heartbeat_ms: int
    logon_timeout_ms: int
    max_frame_bytes: int
    server: str
    epoch: str
    codec: Literal["json", "msgpack"] = "json"
    pre_logon_max_bytes: int = 4_096


class ConnectionState(Enum):
    """The states of a connection."""

    NEW = "new"
    OPEN = "open"  # hello sent, not logged on
    DECIDING = "deciding"  # the owner checks a logon
    LOGGED_ON = "logged_on"
    CLOSING = "closing"  # our Close is sent
    CLOSED = "closed"


S = ConnectionState  # the table below is read by row

TRANSITIONS: dict[ConnectionState, frozenset[ConnectionState]] = {
    S.NEW: frozenset({S.OPEN, S.CLOSED}),
    S.OPEN: frozenset({S.DECIDING, S.LOGGED_ON, S.CLOSING, S.CLOSED}),
    S.DECIDING: frozenset({S.LOGGED_ON, S.CLOSING, S.CLOSED}),
    S.LOGGED_ON: frozenset({S.CLOSING, S.CLOSED}),
    S.CLOSING: frozenset({S.CLOSED}),
    S.CLOSED: frozenset(),
}
"""Every legal change of state."""
