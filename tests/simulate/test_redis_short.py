"""The Redis of the simulation answers as a real one does to the commands that gateways and cores use."""

import random
import socket

import hiredis
import pytest

from gateway.remote.pipe import address_of
from tests.simulate.cluster.redis import Redis, Refusal
from tests.support.redis_server import redis_server

_KEYS = "{t}:a", "{t}:b"
_SCRIPT = """
local told = redis.call('HMGET', KEYS[1], 'one', 'two')
redis.call('HSET', KEYS[1], 'one', #ARGV)
local id = redis.pcall('XADD', KEYS[2], ARGV[1], 'f', 3)
if type(id) == 'table' and id.err then
  return {told[1] or '', 'refused', redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)}
end
return {told[1] or '', id, 2.7, true, redis.call('EXISTS', KEYS[1])}
"""


@pytest.fixture(scope="module")
def real():
    with redis_server() as server:
        yield server


def _command(chance):
    """Any of them, on few keys, so that they meet."""
    rows, streams, sets = "{t}:row", chance.choice(_KEYS), "{t}:set"
    entry = f"{chance.randint(0, 9)}-{chance.randint(0, 3)}"
    later = f"{chance.randint(0, 9)}-{chance.randint(0, 3)}"
    field, value = chance.choice(("one", "two", "three")), str(chance.randint(0, 5))
    return chance.choice(
        (
            ("HSET", rows, field, value, "more", value), ("HSETNX", rows, field, value), ("HGET", rows, field),
            ("HMGET", rows, "one", "none", "two"), ("HLEN", rows), ("HDEL", rows, field), ("DEL", rows),
            ("SADD", sets, value, "x"), ("SREM", sets, value), ("EXISTS", rows, streams, sets), ("INCR", "{t}:count"),
            *[("XADD", streams, entry, field, value)] * 6,
            ("XADD", streams, "MINID", "=", entry, later, field, value), ("XTRIM", streams, "MINID", "=", entry),
            ("XTRIM", streams, "MAXLEN", "=", value), ("XRANGE", streams, "-", "+", "COUNT", "2"),
            ("XRANGE", streams, entry, later), ("XRANGE", streams, f"({entry}", "+"), ("XRANGE", streams, entry, entry),
            ("XRANGE", streams, "-", entry, "COUNT", "1"), ("XREVRANGE", streams, "+", "-", "COUNT", "3"),
            ("XREAD", "COUNT", "3", "STREAMS", *_KEYS, entry, later), ("RENAME", rows, "{t}:other"),
            ("EVAL", _SCRIPT, "2", rows, streams, entry), ("HGET", streams, field),
        )
    )  # fmt: skip


def _plain(reply):
    """What of an error is its kind."""
    return reply.split(b" ")[0] if reply[:1] == b"-" else reply


@pytest.mark.parametrize("seed", range(40))
def test_it_answers_as_a_real_one_does(real, seed):
    chance, told = random.Random(seed), []
    ours, theirs = Redis(lambda: 0), Wire(real)
    theirs.ask("FLUSHALL")
    for _ in range(120):
        command = _command(chance)
        told.append((command, _answer(ours, command), theirs.ask(*command)))
        assert told[-1][1] == told[-1][2], told[-6:]
    theirs.close()


def _answer(redis, command):
    try:
        return _plain(redis.run([word.encode() for word in command]))
    except Refusal as refusal:
        return _plain(refusal)


def _plain(reply):
    """What of an error is its kind."""
    return str(reply).split(" ")[0] if isinstance(reply, Exception) else reply


class Wire:
    """A connection to a real one."""

    def __init__(self, server):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address_of(server.unix_url).path)
        self._reader = hiredis.Reader()

    def ask(self, *command):
        self._socket.sendall(hiredis.pack_command(command))
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65_536))
        return _plain(reply)

    def close(self):
        self._socket.close()
