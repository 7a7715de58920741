"""A whole core as of one entry of the command stream: the engine's snapshot, and what the host knows beside it.

It is made in chunks of about a millisecond while commands go on. It is kept in Redis, from where a core on another
machine starts, and on this machine's disk (`snapshot_file.py`). Pure.
"""

import zlib
from collections.abc import Iterator

import msgspec

from gateway.remote.keys import EntryId
from gateway.remote.sweeps import Sweep


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What comes before the engine's chunks. nodes: the accounts of each, and the last entry written for it.

    epochs: how many the venue had before this one.
    """

    position: EntryId
    nodes: dict[str, tuple[tuple[int, ...], EntryId]]
    last_session: int
    version: int = 1
    sweeps: tuple[Sweep, ...] = ()
    epoch: str = ""
    epochs: int = 0


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The whole of it. check: CRC-32 of all chunks."""

    head: Head
    chunks: list[bytes]
    check: int


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Snapshot).decode
decode_head = msgspec.msgpack.Decoder(Head).decode


class SnapshotUnusable(Exception):
    """It cannot be read; the text says why."""


class SnapshotInProgress:
    """Collects the chunks of one snapshot, one at a call."""

    def __init__(self, head: Head, chunks: Iterator[bytes]) -> None:
        self.head = head
        self._coming = chunks
        self.chunks: list[bytes] = []

    def advance(self) -> bool:
        """Make one more chunk; False: it is whole."""
        chunk = next(self._coming, None)
        if chunk is None:
            return False
        self.chunks.append(chunk)
        return True

    def whole(self) -> Snapshot:
        """All of it."""
        return Snapshot(self.head, self.chunks, check_of(self.chunks))


def check_of(chunks: list[bytes]) -> int:
    """CRC-32 of all chunks."""
    check = 0
    for chunk in chunks:
        check = zlib.crc32(chunk, check)
    return check


def checked(snapshot: Snapshot) -> Snapshot:
    """The same.

    Raises:
        SnapshotUnusable: a chunk is not what it was.
    """
    if check_of(snapshot.chunks) != snapshot.check:
        raise SnapshotUnusable("the check sum of the snapshot is wrong")
    return snapshot
