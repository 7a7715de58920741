"""What goes wrong on purpose: each kind, and how often it is chosen."""

from collections.abc import Callable

from tests.simulate.desk import Desk
from tests.simulate.fix_desk import FixDesk
from tests.simulate.newcomer import Newcomer, WsNewcomer
from tests.simulate.venue import Venue
from tests.simulate.world import MS, SECOND, World
from tests.simulate.ws_desk import WsDesk

_OFF_NS = 55 * SECOND
"""How far all clocks stray from what they showed when the gateway began: no two of its times differ by two minutes."""


def trouble(world: World, venue: Venue, desks: list[Desk]) -> None:
    """Something goes wrong, again and again, until the time of trouble is over."""
    if venue.is_calm:
        return
    desk = world.random.choice(desks)
    act = world.random.choices(list(_KINDS), list(_KINDS.values()))[0]
    act(world, venue, desk)
    world.at(world.between(100, 2_400), trouble, world, venue, desks)


def leave_gap(world: World, desks: list[Desk]) -> None:
    """The last thing that somebody asks for has a gap before it, and nothing but patience closes it.

    If nothing does, the cancel is carried out all the same, and comes again with the rest on the next connection.
    """
    desk = world.random.choice([each for each in desks if isinstance(each, FixDesk) and not each.hears_all])
    if desk.is_logged_on:
        world.fault("a gap stays open")
        desk.lose(world.random.choice((1, 2, 99)))
        desk.ask("cancel")
        desk.ask()


def _leave_over_gap(world: World, _: Venue, desk: Desk) -> None:
    """Somebody asks for much behind a gap, and logs out: its cancels are carried out, and come again with the rest."""
    if isinstance(desk, FixDesk) and desk.is_logged_on:
        world.fault("a logout over a gap")
        desk.lose(1)
        for kind in ("cancel", "sweep", "cancel", *[""] * 9):
            desk.ask(kind)
        desk.leave()


def stutter(world: World, venue: Venue) -> None:
    """The process stops, goes on for a moment, and stops again, while nobody has anything to say but to its pings."""
    world.fault("the process stutters")
    first_ns = world.between(3_030, 3_600)
    venue.loop.stand_still(first_ns)
    world.at(first_ns + 2 * MS, venue.loop.stand_still, world.between(3_030, 3_600))


def _kill(_: World, venue: Venue, __: Desk) -> None:
    venue.die("kill -9", is_power_loss=False)


def _power(world: World, venue: Venue, _: Desk) -> None:
    """Sometimes while the disk has much to do, so that much is lost."""
    if world.happens(0.5):
        venue.disk.is_slow = True
        world.at(world.between(5, 150), venue.die, "power loss", True)
    else:
        venue.die("power loss", is_power_loss=True)


def _term(_: World, venue: Venue, __: Desk) -> None:
    venue.end()


def _term_over_logon(world: World, venue: Venue, desk: Desk) -> None:
    """The end begins while somebody has a connection and has not said who it is yet."""
    world.fault("SIGTERM before a logon")
    desk.hang_up()
    desk.before_logon = venue.end


def _cut(world: World, _: Venue, desk: Desk) -> None:
    """Perhaps before a Reject could be read."""
    if desk.pipe is not None:
        world.fault("connection cut")
        if isinstance(desk, FixDesk) and desk.is_logged_on:
            desk.ask("fault")
        desk.hang_up()


def silence(world: World, _: object, desk: Desk) -> None:
    if desk.pipe is not None:
        world.fault("connection silent")
        desk.pipe.fall_silent()


def slow_reader(world: World, _: object, desk: Desk) -> None:
    if desk.pipe is not None:
        world.fault("slow reader")
        desk.pipe.stop_reading()
        world.at(world.between(100, 3_000), desk.pipe.read_on)


def _slow_disk(world: World, venue: Venue, _: Desk) -> None:
    world.fault("slow disk")
    venue.disk.is_slow = True
    world.at(world.between(100, 1_000), setattr, venue.disk, "is_slow", False)


def _bad_sync(world: World, venue: Venue, _: Desk) -> None:
    world.fault("failing sync")
    venue.disk.fails_next = True


def _store(world: World, venue: Venue, _: Desk) -> None:
    if venue.is_up and not venue.limits.store.is_away:
        venue.limits.store.go_away(world.between(100, 1_500))


def _other(world: World, venue: Venue, _: Desk) -> None:
    """The other gateway has trouble of its own."""
    if world.happens(0.3):
        venue.neighbour.die()
    elif not venue.neighbour.link.is_away:
        venue.neighbour.link.go_away(world.between(100, 1_500))


def _bucket(world: World, venue: Venue, _: Desk) -> None:
    """The store is well, but for one bucket, or for one slot."""
    account = world.random.choice(("{ALPHA}", "{BETA}"))
    venue.store.fail_for(account + world.random.choice(("", ":account::orders", ":account::cancels")))
    world.at(world.between(100, 2_000), venue.store.fail_for, "")


def _store_clock(world: World, venue: Venue, _: Desk) -> None:
    """The store's clock is ahead or behind, and put right by and by."""
    venue.store.step(world.random.choice((-1, 1, 1)) * world.between(100, 3_600_000))
    world.at(world.between(50, 3_000), _put_store_right, venue)


def _put_store_right(venue: Venue) -> None:
    venue.store.step(0)


def _waiting(world: World, venue: Venue, _: Desk) -> None:
    """The store of limits drags, and the process is gone while an order waits for it."""
    if venue.is_up:
        world.fault("slow store")
        venue.limits.store.is_slow = True
        world.at(world.between(500, 3_000), setattr, venue.limits.store, "is_slow", False)
        venue.die_while_orders_wait(is_power_loss=world.happens(0.5))


def _memory(world: World, venue: Venue, _: Desk) -> None:
    """Until a snapshot meets it, or the process is gone."""
    if venue.is_up:
        world.fault("memory is short")
        venue.memory.is_short = True


def _pause(world: World, venue: Venue, _: Desk) -> None:
    if venue.is_up:
        world.fault("the process stands still")
        venue.loop.stand_still(world.between(300, 5_000))


def _clock(world: World, venue: Venue, _: Desk) -> None:
    """By less than what a message on its way may be old, also when it is done again before that message comes."""
    by_ns = world.random.choice((-1, -1, 1)) * world.between(1_500, 100_000)
    off_ns = world.wall.offset_ns - venue.began_off_ns
    if abs(off_ns + by_ns) > _OFF_NS:
        by_ns = -off_ns or _OFF_NS
    world.put_right(by_ns)


def _newcomer(world: World, venue: Venue, desk: Desk) -> None:
    """Beside somebody who is there, or in the moment in which nobody is."""
    if isinstance(desk, FixDesk):
        if world.happens(0.5):
            desk.hang_up()
        world.at(20 * MS, Newcomer, world, venue, desk)
    elif isinstance(desk, WsDesk):
        WsNewcomer(world, venue, desk)


def _deaf(world: World, _: Venue, desk: Desk) -> None:
    """A message is lost on the client's side, and the first requests for it too, or all that this connection brings."""
    if isinstance(desk, FixDesk) and desk.is_logged_on:
        world.fault("a gap stays open")
        desk.lose(world.random.choice((1, 2, 99)))


_KINDS: dict[Callable[[World, Venue, Desk], None], int] = {
    _kill: 4,
    _power: 8,
    _term: 2,
    _term_over_logon: 2,
    _cut: 8,
    silence: 3,
    slow_reader: 3,
    _slow_disk: 3,
    _bad_sync: 1,
    _store: 2,
    _other: 4,
    _bucket: 4,
    _store_clock: 3,
    _waiting: 4,
    _memory: 4,
    _pause: 4,
    _clock: 6,
    _newcomer: 8,
    _leave_over_gap: 3,
    _deaf: 3,
}
