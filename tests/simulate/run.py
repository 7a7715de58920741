"""One seed from its first step to its last check."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import msgspec

from gateway import clock
from gateway.config import schema
from gateway.config.load import load
from gateway.core import snapshots
from limits.policy import Policy
from limits.policy_parse import parse
from limits.reload import built_in
from tests.simulate import promises
from tests.simulate.desk import Desk, Entrance
from tests.simulate.disk import simulated
from tests.simulate.drop_desk import DropDesk
from tests.simulate.fix_desk import FixDesk
from tests.simulate.memory import Memory, bounded
from tests.simulate.trouble import leave_gap, stutter, trouble
from tests.simulate.venue import Venue
from tests.simulate.world import SECOND, Broken, World
from tests.simulate.ws_desk import WsDesk
from tests.support.server import more_keys, venue_toml, write_venue

_PIECE_ROWS = 10  # of a snapshot: so few that it is on its way for long, and cut off now and then
_TROUBLE_NS = 12 * SECOND
_CALM_NS = 22 * SECOND
SESSIONS = """
[[fix.sessions]]
id = 1
comp_id = "S1"
account = "ALPHA"
auth = "none"
dialect = "penstock"

[[fix.sessions]]
id = 2
comp_id = "S2"
account = "BETA"
auth = "key"
dialect = "penstock"

[[fix.sessions]]
id = 3
comp_id = "D1"
account = "ALPHA"
kind = "drop_copy"
auth = "key"
dialect = "penstock"
"""
_MORE = """
[core]
reopen_after_ms = 400
answer_timeout_ms = 1500
[ingress]
max_commands = 64
[journal]
durability = "disk"
"""
MORE_KEYS = more_keys("BETA", "BETA-2") + more_keys("ALPHA", "DROP") + 'permissions = ["fix.drop_copy"]\n'
_ROOMY = 'orders = { rate = "2000/s", burst = 4000, on_store_loss = "deny" }'
TIGHT = 'orders = { rate = "20/s", burst = 12, on_store_loss = "deny" }'
STRICT = 'orders = { rate = "40/s", burst = 3, on_store_loss = "deny" }'
SAFE = 'orders = { rate = "20/s", burst = 12, on_store_loss = "safe" }'
ROOMY_SAFE = 'orders = { rate = "100/s", burst = 60, on_store_loss = "safe" }'
_PLAN = """
version = 2
[plans.open]
{orders}
cancels = {{ rate = "10000/s", burst = 10000 }}
queries = {{ rate = "1000/s", burst = 1000 }}
msgs = {{ rate = "10000/s", burst = 10000 }}
logons = {{ rate = "1000/s", burst = 1000 }}
open_orders = {{ account = 100000, instrument = 100000 }}
[assign]
default = "open"
"""


class Outcome(msgspec.Struct):
    """What one seed came to. broken: the promise that was, else empty."""

    seed: int
    steps: int
    lives: int
    digest: int
    faults: Counter[str]
    counts: Counter[str]
    broken: str = ""
    lines: list[str] = []


def simulate(seed: int) -> Outcome:
    """Run one seed. Whatever is not a broken promise is raised as it is: a mistake of the simulation."""
    world = World(seed)
    directory = Path(tempfile.mkdtemp(prefix="simulate-", dir=memory_directory()))
    broken, desks, venue = "", [], None
    try:
        memory = Memory()
        with (
            simulated(world),
            bounded(memory),
            patch.object(snapshots, "_ROWS", _PIECE_ROWS),
            patch.object(clock, "time", world),
        ):
            venue = Venue(world, _settings(directory), policy_of(world), directory, memory)
            desks = clients(world, venue)
            try:
                _live(world, venue, desks)
                venue.disk.crash(directory / "cut", is_power_loss=False)
                promises.check_end(directory / "cut" / "journal", world)
            except Broken as error:
                broken = str(error)
            venue.close()
    finally:
        shutil.rmtree(directory)
    return outcome_of(world, desks, venue.lives if venue is not None else 0, broken)


def clients(world: World, venue: Entrance) -> list[Desk]:
    """Who trades, of either kind, and who only listens."""
    return [
        FixDesk(world, venue, "S1", 1, 1),
        FixDesk(world, venue, "S2", 2, 2, ("BETA", "BETA-2")),
        DropDesk(world, venue, "D1", 1, 3, ("DROP",)),
        WsDesk(world, venue, "W1", "ALPHA", 1),
        WsDesk(world, venue, "W2", "BETA", 2),
    ]


def outcome_of(world: World, desks: list[Desk], lives: int, broken: str) -> Outcome:
    """What the world came to."""
    counts: Counter[str] = Counter()
    for desk in desks:
        counts += desk.ledger.counts
        counts["accepted"] += len(desk.ledger.accepted)
    return Outcome(world.seed, world.steps, lives, world.digest, world.faults, counts, broken, list(world.lines))


def _live(world: World, venue: Venue, desks: list[Desk]) -> None:
    ledgers = [desk.ledger for desk in desks]
    venue.on_recovered = lambda server: promises.check_recovered(ledgers, server.replay.engine)
    world.at(world.between(300, 2_000), trouble, world, venue, desks)
    world.run(_TROUBLE_NS)
    venue.is_calm = venue.neighbour.is_quiet = True
    venue.store.fail_for("")
    venue.store.step(0)
    venue.disk.is_slow = False
    for desk in desks:
        desk.is_quiet = True
        if desk.pipe is not None:
            desk.pipe.is_slow and desk.pipe.read_on()
    leave_gap(world, desks)
    world.at(world.between(8_000, 12_000), stutter, world, venue)
    world.run(_CALM_NS)
    if not venue.is_up:
        raise Broken("14: the gateway does not come back")
    for desk in desks:
        if not desk.is_logged_on:
            raise Broken(f"12: {desk.ledger.name} could not come back")
    promises.check_idle(venue.server)
    promises.check_quiet(ledgers, venue.server.replay.engine)
    venue.spending.check_full(venue.store.ledgers, venue.store.clock_us)
    guarded = next(desk for desk in desks if desk.ledger.name == "S2")
    guarded.stays_away = True
    guarded.hang_up()
    world.run(SECOND // 10)
    world.put_right(-60 * SECOND)
    world.run(SECOND * 9 // 10)
    left = [order for order in venue.server.replay.engine.open_orders(2) if order.session == 2]
    if left:
        raise Broken(f"9: cancel-on-disconnect left {len(left)} orders of S2")


def _settings(directory: Path) -> schema.Config:
    home = directory / "config"
    home.mkdir()
    text = venue_toml(sessions=SESSIONS, ws="heartbeat_ms = 3000", more=_MORE + MORE_KEYS)
    settings = load(write_venue(home, text))
    # Far below what an operator may set: segments turn and snapshots are stood every second.
    return msgspec.structs.replace(settings, journal=msgspec.structs.replace(settings.journal, segment_bytes=32_768))


def policy_of(world: World, orders: tuple[str, ...] = (_ROOMY, _ROOMY, TIGHT, STRICT, SAFE, ROOMY_SAFE)) -> Policy:
    """Limits of this world. orders: what those of orders may be."""
    policy = parse(_PLAN.format(orders=world.random.choice(orders)), built_in()).policy
    assert policy is not None
    return policy


def memory_directory() -> str | None:
    """Where files cost nothing."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() else None
