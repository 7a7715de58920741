"""The records that the gateway itself writes into the journal: commands, sessions, links, resets, snapshots.

The embedded core is durable by its input. The commands of a turn are recorded before anything that they caused may
leave; a start executes them again with their original times, which gives the same book, numbers and events. A snapshot
replaces everything before it, so the journal does not grow forever. This is a stored format: fields may only be added,
at the end and with a default.
"""

from collections.abc import Sequence

import msgspec

from gateway.recovery.known_ids import KnownIds
from gateway.safety.cancel_on_disconnect import LinkState
from gateway.sessions.former_names import WsSessionRecord
from protocols.messages import AnyCommand, QueryOrders
from protocols.runs import HandOver, NewOrders, encoded_rows

COMMANDS = 16  # one hand-over to the core
SNAPSHOT = 17  # the engine and everything below, as of this position
WS_SESSION = 18  # a WebSocket session got its id
LINK = 19  # the protection of a session's orders changed
CLEAN = 20  # the process ended in good order
CHUNK = 21  # a part of the engine's snapshot; the SNAPSHOT that completes it follows
WS_ENDED = 23  # a WebSocket session that cannot be resumed: it had no name, or the name was forgotten
HANDED = 24  # a hand-over to a core in another process
WAITS = 26  # a command that is in the queue beyond its turn
LEFT = 27  # it has left the queue; the session of the record is not used, its cmd_id is the body
DELIVERED = 25  # how far that core's answers are delivered
RESET = 22  # a FIX session's numbers went back to 1 by schedule, or its schedule was seen for the first time


class CommandBatch(msgspec.Struct, frozen=True, array_like=True):
    """Commands that the core executed together, at one core time."""

    now_ns: int
    commands: tuple[AnyCommand, ...]


class Reset(msgspec.Struct, frozen=True, array_like=True):
    """When a session was last reset by its schedule, ns UTC."""

    session: int
    at_ns: int


class SnapshotChunk(msgspec.Struct, frozen=True, array_like=True):
    """A part of a snapshot of the engine as it was when chunk 0 was recorded."""

    number: int
    engine: bytes


class HandOverRecord(msgspec.Struct, frozen=True, array_like=True):
    """Commands, as they are on the link; numbered one after the other."""

    number: int
    data: bytes


class DeliveredRecord(msgspec.Struct, frozen=True, array_like=True):
    """The latest entry that was delivered, hand-overs answered up to a number, and events reported, by account.

    epoch: from here on, "" = the same as before.
    """

    entry: tuple[int, int]
    answered: int
    reported: dict[int, int]
    epoch: str = ""


class LinkImage(msgspec.Struct, frozen=True, array_like=True):
    """Both, as of a snapshot. handed: what is not answered, in order. waiting: what is in the queue, in order."""

    delivered: DeliveredRecord
    handed: tuple[HandOverRecord, ...]
    waiting: tuple[AnyCommand, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The whole gateway except its FIX sessions, which the journal keeps itself.

    chunks: how many chunks of the engine's snapshot precede this record; 0 = `engine` is the whole of it.
    former: sessions that have ended, whose events may still be replayed. link: where a core in another process stands.
    """

    engine: bytes
    names: tuple[WsSessionRecord, ...]
    links: tuple[LinkState, ...]
    next_ws_session: int
    chunks: int = 0
    known_ids: KnownIds | None = None
    resets: dict[int, int] = {}
    former: tuple[WsSessionRecord, ...] = ()
    link: LinkImage | None = None


encode = msgspec.msgpack.Encoder().encode
decode_commands = msgspec.msgpack.Decoder(CommandBatch).decode
decode_session = msgspec.msgpack.Decoder(WsSessionRecord).decode
decode_link = msgspec.msgpack.Decoder(LinkState).decode
decode_snapshot = msgspec.msgpack.Decoder(Snapshot).decode
decode_reset = msgspec.msgpack.Decoder(Reset).decode
decode_handed = msgspec.msgpack.Decoder(HandOverRecord).decode
decode_waiting = msgspec.msgpack.Decoder(AnyCommand).decode
decode_delivered = msgspec.msgpack.Decoder(DeliveredRecord).decode
decode_chunk = msgspec.msgpack.Decoder(SnapshotChunk).decode


def commands_body(commands: Sequence[AnyCommand], now_ns: int) -> bytes:
    """The record of one hand-over, without queries, which change nothing. Empty if nothing is left."""
    kept: list[object] = []
    for part in commands.parts if isinstance(commands, HandOver) else (commands,):
        if isinstance(part, NewOrders):
            kept += encoded_rows(part)
        else:
            kept += [command for command in part if type(command) is not QueryOrders]
    return encode((now_ns, kept)) if kept else b""  # as a `CommandBatch`


def body(
    record: WsSessionRecord
    | LinkState
    | Reset
    | SnapshotChunk
    | Snapshot
    | HandOverRecord
    | DeliveredRecord
    | AnyCommand,
) -> bytes:
    """The bytes of any other record."""
    return encode(record)
