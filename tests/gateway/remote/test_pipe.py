"""A connection to Redis is lost when nothing comes any more though replies are due, and only then.

Module: remote.pipe.
"""

import asyncio

from gateway.remote.pipe import PipeLost, RedisPipe
from tests.support.virtual_loop import run_virtual


class Wire(asyncio.Transport):
    """Carries nothing."""

    def __init__(self):
        super().__init__()
        self.is_cut = False

    def write(self, data):
        pass

    def abort(self):
        self.is_cut = True


class World:
    def __init__(self):
        self.lost, self.told, self.wire = [], [], Wire()
        self.pipe = RedisPipe(self.lost.append)
        self.pipe.connection_made(self.wire)

    def ask(self):
        self.pipe.send(self.told.append, "PING")


def test_a_connection_that_does_not_answer_is_lost_and_who_waits_hears_it():
    async def story():
        world = World()
        world.ask()
        await asyncio.sleep(2)
        assert world.lost == []
        await asyncio.sleep(1)
        assert world.lost == ["no answer"]
        assert [type(each) for each in world.told] == [PipeLost]
        assert world.wire.is_cut

    run_virtual(story())


def test_one_that_is_asked_nothing_may_be_silent():
    async def story():
        world = World()
        await asyncio.sleep(60)
        world.ask()
        await asyncio.sleep(1)
        world.pipe.data_received(b"+PONG\r\n")
        await asyncio.sleep(60)
        assert world.lost == []

    run_virtual(story())


def test_one_on_which_something_is_always_due_is_not_lost_while_replies_come():
    """As on a slow network under load: the next command is sent before the last reply is there."""

    async def story():
        world = World()
        world.ask()
        for _ in range(20):
            world.ask()
            await asyncio.sleep(1)
            world.pipe.data_received(b"+PONG\r\n")
        assert world.lost == []
        assert world.pipe.unanswered == 1

    run_virtual(story())


def test_one_that_was_closed_is_no_longer_watched():
    async def story():
        world = World()
        world.ask()
        world.pipe.close()
        await asyncio.sleep(60)
        assert world.lost == []

    run_virtual(story())
