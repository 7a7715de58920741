"""What waits for replicas is told in its order, once they have it, and never because of an earlier write."""

import hiredis
import pytest

from gateway.remote.pipe import PipeLost
from gateway.remote.replicas import ReplicaWait, question

_NEW, _OLD = {"redis_version": "7.2.4"}, {"redis_version": "7.0.15"}


class Pipe:
    """A connection whose replies are up to the test. sent: what has no reply yet, in order."""

    def __init__(self):
        self.sent = []

    @property
    def unanswered(self):
        return len(self.sent)

    def send(self, then, *command):
        self.sent.append((then, command))

    def reply(self, *replies):
        for reply in replies:
            self.sent.pop(0)[0](reply)

    @property
    def commands(self):
        return [command[0] for _, command in self.sent]


class World:
    def __init__(self, info=None):
        self.told, self.away, self.logged = [], [], []
        self.wait = ReplicaWait(
            2, "mark", self.told.append, self.away.append, lambda name, **_: self.logged.append(name)
        )
        self.pipe = Pipe()
        self.wait.begin(self.pipe, info or _NEW)


def rows(*numbers):
    return [((number, 0), {}) for number in numbers]


async def test_what_comes_while_replicas_are_asked_is_asked_for_together():
    world = World()
    world.wait.take(rows(1))
    world.wait.take(rows(2, 3))
    world.wait.take(rows(4))
    assert world.pipe.commands == ["SET", "WAITAOF"]
    world.pipe.reply(b"OK", [1, 2])
    assert world.told == [rows(1)]
    assert world.pipe.commands == ["SET", "WAITAOF"]
    world.pipe.reply(b"OK", [1, 2])
    assert world.told == [rows(1), rows(2, 3, 4)]
    assert world.pipe.commands == []


@pytest.mark.parametrize("reply", [[1, 1], [0, 2]], ids=["one replica of two", "not on its own disk"])
async def test_too_few_are_asked_again_without_another_write(reply):
    world = World()
    world.wait.take(rows(1))
    world.pipe.reply(b"OK", reply)
    assert world.told == []
    assert world.pipe.commands == ["WAITAOF"]
    world.pipe.reply([1, 2])
    assert world.told == [rows(1)]


async def test_a_write_that_is_refused_is_covered_by_nothing():
    world = World()
    world.wait.take(rows(1))
    world.pipe.reply(b"OK", [1, 2])
    world.wait.take(rows(2))
    world.pipe.reply(hiredis.ReplyError("READONLY You can't write against a read only replica."), [1, 2])
    assert world.told == [rows(1)]
    assert world.away == ["READONLY You can't write against a read only replica."]


async def test_what_waited_on_a_lost_connection_is_not_told_by_the_next():
    world = World()
    world.wait.take(rows(1))
    world.pipe.reply(PipeLost(""), PipeLost(""))
    world.pipe = Pipe()
    world.wait.begin(world.pipe, _NEW)
    assert (world.wait.held, world.wait.latest) == (0, None)
    world.wait.take(rows(1, 2))
    world.pipe.reply(b"OK", [1, 2])
    assert world.told == [rows(1, 2)]


async def test_replicas_that_are_missing_are_named_also_when_nothing_waits():
    world = World()
    world.wait.look()
    world.wait.look()
    world.pipe.reply(b"OK")
    for _ in range(10):
        assert world.wait.why == ""
        world.pipe.reply([1, 0])
    assert "0 of 2 replicas" in world.wait.why
    world.pipe.reply([1, 2])
    assert world.wait.why == ""
    assert world.logged == ["core.replicas_missing", "core.replicas_back"]
    assert world.told == []


async def test_before_version_7_2_replicas_have_it_in_memory():
    assert question(2, _OLD)[:2] == ("WAIT", 2)
    world = World(_OLD)
    world.wait.take(rows(1))
    world.pipe.reply(b"OK", 1)
    assert world.told == []
    world.pipe.reply(2)
    assert world.told == [rows(1)]
