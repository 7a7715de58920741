"""How far a gateway's clock is from Redis': what a question tells, what several tell, and when an alarm is given.

Modules: cluster.clock_watch.
"""

import pytest

from gateway.cluster.clock_watch import ClockWatch

MS = 1_000_000
BOUND_MS = 25


class World:
    """A gateway whose clock is `ahead_ms` ahead of Redis'; own time is the time of Redis."""

    def __init__(self, ahead_ms):
        self.ahead_ms, self.own_ms, self.logged = ahead_ms, 1_000_000, []
        self.watch = ClockWatch(
            BOUND_MS, lambda own_ns: own_ns + self.ahead_ms * MS, lambda name, **fields: self.logged.append(name)
        )

    def ask(self, there_ms=1, back_ms=1):
        """One question, and how long its ways take."""
        asked_ms = self.own_ms
        self.own_ms += there_ms + back_ms
        self.watch.heard(asked_ms * MS, self.own_ms * MS, (asked_ms + there_ms) * 1_000)
        self.own_ms += 1_000

    @property
    def ahead(self):
        """In ms, and how far the truth may be from it."""
        return round(self.watch.ahead_ns / MS), round(self.watch.error_ns / MS)


@pytest.mark.parametrize("ahead_ms", [0, 40, -40, 3_600_000])
def test_the_truth_is_within_the_way_to_redis_and_back(ahead_ms):
    world = World(ahead_ms)
    for there_ms, back_ms in ((10, 0), (0, 10), (3, 9)):
        world.ask(there_ms, back_ms)
        ahead_ns, error_ns = world.watch.ahead_ns, world.watch.error_ns
        assert ahead_ns - error_ns <= ahead_ms * MS <= ahead_ns + error_ns


def test_several_questions_tell_more_than_one():
    world = World(40)
    world.ask(10, 0)
    assert world.ahead == (35, 5)
    world.ask(0, 10)
    assert world.ahead == (40, 0)


def test_a_clock_that_is_set_is_believed_at_once():
    world = World(0)
    for _ in range(20):
        world.ask()
    world.ahead_ms = -80
    world.ask(2, 2)
    assert world.ahead == (-80, 2)


def test_a_clock_that_drifts_is_followed():
    world = World(0)
    for ahead_ms in range(60):
        world.ahead_ms = ahead_ms
        world.ask(1, 1)
    assert abs(world.ahead[0] - 59) <= 3


def test_another_redis_has_another_clock():
    world = World(0)
    world.ask()
    world.watch.forget()
    world.ahead_ms = 1
    world.ask()
    assert world.ahead == (1, 1)


@pytest.mark.parametrize("ahead_ms", [-30, 30])
def test_a_clock_beyond_the_bound_is_told_and_told_again_each_minute(ahead_ms):
    world = World(ahead_ms)
    for _ in range(50):
        world.ask()
    assert world.watch.is_beyond
    assert world.logged == ["cluster.clock_skewed"]
    for _ in range(20):
        world.ask()
    assert world.logged == ["cluster.clock_skewed"] * 2
    world.ahead_ms = 0
    world.ask()
    world.ask()
    assert not world.watch.is_beyond
    assert world.logged[2:] == ["cluster.clock_well"]


@pytest.mark.parametrize("ways_ms", [(40, 0), (0, 40)])
def test_a_slow_answer_is_no_alarm_and_does_not_end_one(ways_ms):
    world = World(0)
    world.ask(*ways_ms)
    assert (world.watch.is_beyond, world.logged) == (False, [])
    world = World(30)
    world.ask()
    world.watch.forget()
    world.ask(20, 20)
    assert (world.watch.is_beyond, world.logged) == (True, ["cluster.clock_skewed"])


def test_what_operators_read_is_in_milliseconds():
    world = World(40)
    world.ask(2, 2)
    assert world.watch.status() == {"ahead_ms": 40.0, "error_ms": 2.0, "bound_ms": BOUND_MS}
