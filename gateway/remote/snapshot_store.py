"""The latest snapshot of a venue's core in Redis, from where a core on another machine starts."""

from importlib.resources import files
from uuid import uuid4

import msgspec

from gateway.remote.keys import Keys, id_text
from gateway.remote.pipe import RedisPipe, ask, pairs
from gateway.remote.snapshot import Snapshot, SnapshotUnusable, checked, decode_head, encode

_KEEP = files("gateway.remote").joinpath("keep.lua").read_text(encoding="utf-8")
_HALF_DONE_S = 3_600  # how long one stays that its core did not finish


async def save(pipe: RedisPipe, keys: Keys, snapshot: Snapshot) -> None:
    """Put it in the place of an older one, and let go of the commands that came before it.

    Raises:
        hiredis.ReplyError: Redis refuses it. PipeLost: the connection is lost.
    """
    position = id_text(snapshot.head.position)
    fresh = f"{keys.snapshot}:{uuid4().hex}"  # another core may be saving one of the same position
    head = encode(snapshot.head)
    await ask(pipe, "HSET", fresh, "head", head, "chunks", len(snapshot.chunks), "check", snapshot.check)
    await ask(pipe, "EXPIRE", fresh, _HALF_DONE_S)
    for number, chunk in enumerate(snapshot.chunks):
        await ask(pipe, "HSET", fresh, number, chunk)
    await ask(pipe, "HSET", fresh, "position", position)
    await ask(pipe, "EVAL", _KEEP, 4, fresh, keys.snapshot, keys.commands, keys.trims, position)


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
