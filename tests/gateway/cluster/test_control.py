"""What gateways tell each other, on a real Redis: what a gateway hears that was there, and one that stood still.

Modules: cluster.control.
"""

from contextlib import asynccontextmanager

import msgspec
import pytest

from gateway.cluster.control import Control, place_of
from gateway.cluster.journal import Gateway
from gateway.orders.trading_modes import ModeChange
from gateway.remote.pipe import address_of, open_pipe
from tests.support.cluster_bench import KEYS
from tests.support.redis_server import RedisServer
from tests.support.server import until

HALT = ModeChange("account", "ALPHA", "halted", "test", "ops", 1)
OTHER = ModeChange("account", "BETA", "cancel_only", "test", "ops", 1)


@pytest.fixture(scope="module")
def server():
    with RedisServer() as running:
        yield running


@pytest.fixture
def redis(server):
    client = server.client()
    client.flushall()
    yield client
    client.close()


class World:
    """Gateway a. deaf: its questions get no answer. modes, names, lost: what it knows."""

    def __init__(self, redis, pipe):
        self.redis, self.pipe, self.deaf = redis, pipe, False
        self.modes, self.names, self.lost, self.heard, self.logged = {}, {}, [], [], []
        self.owned = [7]
        log = lambda name, **_: self.logged.append(name)  # noqa: E731
        self.control = Control(Gateway(KEYS, "a", "b1"), ("key-1",), self, lambda: self.owned, log)
        self.control.connect(lambda *told: self.lost.append(told), self.hear, self.name)

    def ask(self, then, *command):
        if self.deaf:
            then(None, 0)
        else:
            self.pipe.send(lambda reply: then(reply, 0), *command)

    def token(self, session, then):
        def came(reply, now_ns):
            then(None if reply is None else int(reply[0] or 0), now_ns)

        self.ask(came, "HMGET", KEYS.session(session), "token")

    def hear(self, change, kill):
        self.heard.append((change.mode, kill))
        self.modes[place_of(change)] = change.mode

    def name(self, record):
        self.names[record.name] = record.session

    def set(self, change, kill=0, by="b"):
        told = msgspec.json.encode(change)
        if change.mode == "normal":
            self.redis.hdel(KEYS.modes, place_of(change))
        else:
            self.redis.hset(KEYS.modes, place_of(change), told)
        self.redis.xadd(KEYS.control, {"mode": told, "kill": kill, "by": by})

    def move(self, session, token):
        self.redis.hset(KEYS.session(session), "token", token)
        self.redis.xadd(KEYS.control, {"moved": session, "token": token, "from": "a"})

    def named(self, name, session):
        self.redis.hset(KEYS.names("key-1"), name, session)
        self.redis.xadd(KEYS.control, {"named": session, "key": "key-1", "name": name})

    def trim(self, left):
        """Only so many entries stay."""
        self.redis.xtrim(KEYS.control, maxlen=left, approximate=False)


@asynccontextmanager
async def gateway(server, redis):
    address = address_of(server.unix_url)
    pipes = [await open_pipe(address, 5, lambda _: None) for _ in range(2)]
    try:
        world = World(redis, pipes[0])
        await world.control.begin(pipes[0])
        world.reader = pipes[1]
        yield world
    finally:
        for pipe in pipes:
            pipe.close()


async def test_a_gateway_hears_what_the_others_tell_and_misses_nothing(server, redis):
    async with gateway(server, redis) as world:
        world.control.read(world.reader)
        world.set(HALT, kill=1)
        world.set(OTHER, by="a")  # its own, which it knows
        world.move(7, 3)
        world.named("mm", 2_000)
        await until(lambda: world.names)
        world.set(msgspec.structs.replace(HALT, mode="normal"))
        await until(lambda: len(world.heard) == 2)
        assert world.heard == [("halted", True), ("normal", False)]
        assert (world.lost, world.names) == ([(7, 3, True)], {"mm": 2_000})
        assert world.logged == []


@pytest.mark.parametrize("is_new", [True, False], ids=["nothing had been told", "something had been told"])
async def test_a_gateway_that_stood_still_looks_at_what_is_kept_of_what_is_gone(server, redis, is_new):
    if not is_new:
        redis.xadd(KEYS.control, {"moved": 1, "token": 2, "from": "c"})
    async with gateway(server, redis) as world:
        world.set(HALT)
        world.move(7, 3)
        world.named("mm", 2_000)
        world.named("last", 2_001)
        world.trim(1)
        world.control.read(world.reader)
        await until(lambda: not world.control._has_missed and world.logged)
        assert world.logged == ["cluster.control_missed"]
        assert world.heard == [("halted", False)]
        assert world.names == {"mm": 2_000, "last": 2_001}
        assert world.lost == [(7, 3, False)]


async def test_a_mode_that_was_ended_meanwhile_is_over_and_one_that_redis_never_had_stays(server, redis):
    async with gateway(server, redis) as world:
        world.set(HALT)
        await world.control.begin(world.pipe)
        world.hear(OTHER, False)  # its operator has just set it here: Redis is being told
        world.set(msgspec.structs.replace(HALT, mode="normal"))
        world.named("last", 2_001)
        world.trim(1)
        world.control.read(world.reader)
        await until(lambda: world.logged and not world.control._has_missed)
        assert world.modes == {place_of(HALT): "normal", place_of(OTHER): "cancel_only"}


async def test_what_was_missed_is_asked_for_until_it_is_answered(server, redis):
    async with gateway(server, redis) as world:
        world.deaf = True
        world.set(HALT)
        world.named("last", 2_001)
        world.trim(1)
        world.control.read(world.reader)
        await until(lambda: world.logged)
        assert world.heard == []
        world.deaf = False
        await until(lambda: world.heard)
        await until(lambda: not world.control._has_missed)
        assert world.logged == ["cluster.control_missed"]


async def test_what_is_in_force_at_the_start_is_heard_once(server, redis):
    redis.hset(KEYS.modes, place_of(HALT), msgspec.json.encode(HALT))
    redis.hset(KEYS.names("key-1"), "mm", 2_000)
    async with gateway(server, redis) as world:
        await world.control.begin(world.pipe)
        assert world.heard == [("halted", False)]
        assert world.names == {"mm": 2_000}
