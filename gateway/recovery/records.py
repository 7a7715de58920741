"""What the house itself records in the journal, and how a start reads it back: commands, sessions, links, snapshots.

The embedded core is durable by its input: the commands of a tick are recorded before anything they caused may leave,
and a start carries them out again with the times they had, which gives the same book, the same numbers and the same
events. A snapshot stands for all that came before it, so the journal need not be kept for ever. A stored format: a
field may only be added at the end, with a default.
"""

from collections.abc import Sequence

import msgspec

from gateway.recovery.known_ids import KnownIds
from gateway.safety.cancel_on_disconnect import LinkState
from gateway.sessions.former_names import WsSessionRecord
from protocols.messages import AnyCommand, QueryOrders

COMMANDS = 16  # one hand-over to the core
SNAPSHOT = 17  # the engine and everything else below, as of here
WS_SESSION = 18  # a WebSocket session got its id
LINK = 19  # what guards a session's orders changed
CLEAN = 20  # the process ended in good order
CHUNK = 21  # of the engine's snapshot that is on its way
WS_ENDED = 23  # a WebSocket session that nobody can come back for: without a name, or its name was forgotten
RESET = 22  # a FIX session's numbers went back to 1 by schedule, or its schedule was seen for the first time


class CommandBatch(msgspec.Struct, frozen=True, array_like=True):
    """CommandBatch that the core carried out together, at one core time."""

    now_ns: int
    commands: tuple[AnyCommand, ...]


class Reset(msgspec.Struct, frozen=True, array_like=True):
    """When a session's schedule was last carried out, ns UTC."""

    session: int
    at_ns: int


class SnapshotChunk(msgspec.Struct, frozen=True, array_like=True):
    """Of a snapshot of the engine as it was when piece number 0 was recorded."""

    number: int
    engine: bytes


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The whole house but for its FIX sessions, which the journal keeps itself.

    chunks: how many the engine's snapshot has, which were recorded before this; 0 = it is here as a whole.
    """

    engine: bytes
    names: tuple[WsSessionRecord, ...]
    links: tuple[LinkState, ...]
    next_ws_session: int
    chunks: int = 0
    known_ids: KnownIds | None = None
    resets: dict[int, int] = {}
    former: tuple[WsSessionRecord, ...] = ()  # of sessions that ended, whose events may still be told


_encode = msgspec.msgpack.Encoder().encode
decode_commands = msgspec.msgpack.Decoder(CommandBatch).decode
decode_session = msgspec.msgpack.Decoder(WsSessionRecord).decode
decode_link = msgspec.msgpack.Decoder(LinkState).decode
decode_snapshot = msgspec.msgpack.Decoder(Snapshot).decode
decode_reset = msgspec.msgpack.Decoder(Reset).decode
decode_chunk = msgspec.msgpack.Decoder(SnapshotChunk).decode


def commands_body(commands: Sequence[AnyCommand], now_ns: int) -> bytes:
    """The record of one hand-over; questions change nothing and are left out. Empty when nothing is left."""
    kept = tuple(command for command in commands if not isinstance(command, QueryOrders))
    return _encode(CommandBatch(now_ns, kept)) if kept else b""


def body(record: WsSessionRecord | LinkState | Reset | SnapshotChunk | Snapshot) -> bytes:
    """The record of anything else."""
    return _encode(record)
