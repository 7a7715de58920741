"""What goes wrong on purpose with several gateways: each kind, and how often it is chosen."""

from collections.abc import Callable

from tests.simulate.cluster.node import Life
from tests.simulate.cluster.venue import ClusterVenue
from tests.simulate.desk import Desk
from tests.simulate.fix_desk import FixDesk
from tests.simulate.trouble import silence, slow_reader
from tests.simulate.world import World


def trouble(world: World, venue: ClusterVenue, desks: list[Desk]) -> None:
    """Something goes wrong, again and again, until the time of trouble is over."""
    if venue.is_calm:
        return
    desk = world.random.choice(desks)
    act = world.random.choices(list(_KINDS), list(_KINDS.values()))[0]
    act(world, venue, desk)
    world.at(world.between(100, 2_400), trouble, world, venue, desks)


def _kill_node(world: World, venue: ClusterVenue, _: Desk) -> None:
    _up(world, venue, venue.nodes, lambda each: each.die("kill -9"))


def _end_node(world: World, venue: ClusterVenue, _: Desk) -> None:
    node = world.random.choice(venue.nodes)
    node.end()


def _kill_core(world: World, venue: ClusterVenue, _: Desk) -> None:
    _up(world, venue, venue.cores, lambda each: each.die("kill -9"))


def _end_core(world: World, venue: ClusterVenue, _: Desk) -> None:
    core = world.random.choice(venue.cores)
    if core.is_up:
        core.end()


def _kill_redis(world: World, venue: ClusterVenue, _: Desk) -> None:
    venue.redis.go_away(world.between(50, 6_000))


def _still(world: World, venue: ClusterVenue, _: Desk) -> None:
    """A process is stopped, perhaps for longer than its lease: it still believes that it has its sessions."""
    each = world.random.choice(venue.processes)
    if each.is_up:
        world.fault(f"a {type(each).__name__.lower()} stands still")
        each.loop.stand_still(world.between(300, 10_000))


def _reset(world: World, venue: ClusterVenue, _: Desk) -> None:
    """A connection to Redis is reset."""
    if venue.redis.connections:
        world.fault("a connection to Redis is reset")
        world.random.choice(venue.redis.connections).cut()


def _hold(world: World, venue: ClusterVenue, _: Desk) -> None:
    """A connection to Redis goes silent: nobody is told."""
    if venue.redis.connections:
        world.fault("a connection to Redis is silent")
        world.random.choice(venue.redis.connections).pipe.fall_silent()


def _cut(world: World, _: ClusterVenue, desk: Desk) -> None:
    if desk.pipe is not None:
        world.fault("connection cut")
        desk.hang_up()


def _leave(world: World, _: ClusterVenue, desk: Desk) -> None:
    """A logout behind what has no answer yet."""
    if isinstance(desk, FixDesk) and desk.is_logged_on:
        world.fault("a logout behind requests")
        for kind in ("cancel", "", "", ""):
            desk.ask(kind)
        desk.leave()


def _up(world: World, venue: ClusterVenue, some: list[Life] | list[object], act: Callable[[Life], None]) -> None:
    each = world.random.choice(some)
    if isinstance(each, Life) and each.is_up:
        act(each)


_KINDS: dict[Callable[[World, ClusterVenue, Desk], None], int] = {
    _kill_node: 6,
    _end_node: 3,
    _kill_core: 5,
    _end_core: 2,
    _kill_redis: 3,
    _still: 4,
    _reset: 5,
    _hold: 3,
    _cut: 8,
    silence: 3,
    slow_reader: 2,
    _leave: 3,
}
