"""Two cores on one stream: what one lets go of, the other does not pass over.

Modules: remote.command_stream, remote.snapshot_store.
"""

import pytest

from gateway.remote import snapshot_store
from gateway.remote.command_stream import Behind, CommandStream
from gateway.remote.keys import BEFORE_ALL, Keys
from gateway.remote.pipe import address_of, open_pipe
from gateway.remote.snapshot import Head, SnapshotInProgress
from tests.support.redis_server import redis_server

KEYS = Keys("t")


@pytest.fixture(scope="module")
def store():
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(store):
    client = store.client()
    client.flushall()
    for number in range(1, 6):
        client.xadd(KEYS.commands, {"n": number}, f"{number}-0")
    yield client
    client.close()


async def opened(store):
    return await open_pipe(address_of(store.unix_url), 5.0, lambda _: None)


def snapshot(number):
    return SnapshotInProgress(Head((number, 0), {}, 0), iter([b"%d" % number])).whole()


async def ids(stream, pipe, position):
    return [entry.decode() for entry, _ in await stream.after(pipe, position)]


async def test_commands_are_read_from_where_a_core_is(store, redis):
    pipe, stream = await opened(store), CommandStream(KEYS)
    await stream.begin(pipe)
    assert await ids(stream, pipe, BEFORE_ALL) == ["1-0", "2-0", "3-0", "4-0", "5-0"]
    assert await ids(stream, pipe, (4, 0)) == ["5-0"]
    assert await ids(stream, pipe, (5, 0)) == []
    pipe.close()


async def test_a_core_that_is_behind_what_another_has_let_go_of_is_told(store, redis):
    pipe, ahead, behind = await opened(store), CommandStream(KEYS), CommandStream(KEYS)
    for stream in (ahead, behind):
        await stream.begin(pipe)
    await snapshot_store.save(pipe, KEYS, snapshot(4))
    late = CommandStream(KEYS)
    await late.begin(pipe)
    assert await ids(late, pipe, (3, 0)) == ["4-0", "5-0"], "Redis has kept a little more, and the note is of before"
    redis.xtrim(KEYS.commands, minid="4-0", approximate=False)
    assert await ids(ahead, pipe, (4, 0)) == ["5-0"]
    with pytest.raises(Behind):
        await behind.after(pipe, (2, 0))
    await behind.begin(pipe)  # it goes on from the snapshot
    assert await ids(behind, pipe, (4, 0)) == ["5-0"]
    pipe.close()


async def test_of_two_snapshots_the_later_one_stays_whoever_is_done_last(store, redis):
    pipe = await opened(store)
    await snapshot_store.save(pipe, KEYS, snapshot(4))
    await snapshot_store.save(pipe, KEYS, snapshot(3))
    assert redis.hget(KEYS.snapshot, "position") == b"4-0"
    assert [entry for entry, _ in redis.xrange(KEYS.trims)] == [redis.xinfo_stream(KEYS.trims)["last-generated-id"]]
    await snapshot_store.save(pipe, KEYS, snapshot(5))
    assert await snapshot_store.load(pipe, KEYS) == snapshot(5)
    assert redis.ttl(KEYS.snapshot) == -1
    assert sorted(redis.keys("*snapshot*")) == [KEYS.snapshot.encode()]
    pipe.close()
