"""The latest snapshot of a venue's core in Redis, from where a core on another machine starts."""

import msgspec

from gateway.remote.command_stream import trim
from gateway.remote.keys import Keys, id_text
from gateway.remote.pipe import RedisPipe, ask, pairs
from gateway.remote.snapshot import Snapshot, SnapshotUnusable, checked, decode_head, encode


async def save(pipe: RedisPipe, keys: Keys, snapshot: Snapshot) -> None:
    """Put it in the place of the one before, and let go of the commands that came before it.

    Raises:
        hiredis.ReplyError: Redis refuses it. PipeLost: the connection is lost.
    """
    fresh = f"{keys.snapshot}:{id_text(snapshot.head.position)}"
    await ask(pipe, "DEL", fresh)
    for number, chunk in enumerate(snapshot.chunks):
        await ask(pipe, "HSET", fresh, number, chunk)
    head = encode(snapshot.head)
    await ask(pipe, "HSET", fresh, "head", head, "chunks", len(snapshot.chunks), "check", snapshot.check)
    await ask(pipe, "RENAME", fresh, keys.snapshot)
    await trim(pipe, keys, snapshot.head.position)


async def load(pipe: RedisPipe, keys: Keys) -> Snapshot | None:
    """The snapshot, None = there is none.

    Raises:
        SnapshotUnusable: there is one, and it cannot be read.
        hiredis.ReplyError: Redis refuses to say. PipeLost: the connection is lost.
    """
    found = pairs(await ask(pipe, "HGETALL", keys.snapshot))
    if not found:
        return None
    try:
        chunks = [found[str(number).encode()] for number in range(int(found[b"chunks"]))]
        return checked(Snapshot(decode_head(found[b"head"]), chunks, int(found[b"check"])))
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise SnapshotUnusable(f"in Redis: {error}") from error
