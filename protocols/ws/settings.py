"""What all WebSocket connections of one door share, the states of a connection, and every legal change of state."""

from enum import Enum
from typing import Literal

import msgspec


class WsSettings(msgspec.Struct, frozen=True):
    """What all connections of one door and encoding share."""

    heartbeat_ms: int
    logon_timeout_ms: int
    max_frame_bytes: int
    server: str
    epoch: str
    codec: Literal["json", "msgpack"] = "json"
    pre_logon_max_bytes: int = 4_096


class State(Enum):
    """Where a connection stands."""

    NEW = "new"
    OPEN = "open"  # hello sent, nobody logged on
    DECIDING = "deciding"  # the owner judges a logon
    LOGGED_ON = "logged_on"
    CLOSING = "closing"  # our Close is sent
    CLOSED = "closed"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.NEW: frozenset({State.OPEN, State.CLOSED}),
    State.OPEN: frozenset({State.DECIDING, State.LOGGED_ON, State.CLOSING, State.CLOSED}),
    State.DECIDING: frozenset({State.LOGGED_ON, State.CLOSING, State.CLOSED}),
    State.LOGGED_ON: frozenset({State.CLOSING, State.CLOSED}),
    State.CLOSING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}
"""Every legal change of state."""
