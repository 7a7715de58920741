"""One seed of the venue of several gateways, from its first step to its last check."""

import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

from gateway import clock
from gateway.config import schema
from gateway.config.load import load
from gateway.remote import core_process
from tests.simulate import promises
from tests.simulate.cluster.trouble import trouble
from tests.simulate.cluster.venue import ClusterVenue
from tests.simulate.desk import Desk
from tests.simulate.run import (
    MORE_KEYS,
    ROOMY_SAFE,
    SAFE,
    SESSIONS,
    STRICT,
    TIGHT,
    Outcome,
    clients,
    memory_directory,
    outcome_of,
    policy_of,
)
from tests.simulate.world import SECOND, Broken, World
from tests.support.server import venue_toml, write_venue

_SNAPSHOT_ENTRIES = 150  # between two snapshots of a core: they are made every few seconds
_TROUBLE_NS = 14 * SECOND
_CALM_NS = 26 * SECOND
_MORE = """
[core]
link = "redis"
redis = "redis://127.0.0.1:1/0"
answer_timeout_ms = 1500
window = 48
[cluster]
lease_ms = 1000
[ingress]
max_commands = 64
"""


def simulate(seed: int) -> Outcome:
    """Run one seed. Whatever is not a broken promise is raised as it is: a mistake of the simulation."""
    world = World(seed)
    directory = Path(tempfile.mkdtemp(prefix="simulate-", dir=memory_directory()))
    broken, desks, venue = "", [], None
    try:
        with patch.object(clock, "time", world), patch.object(core_process, "_SNAPSHOT_ENTRIES", _SNAPSHOT_ENTRIES):
            venue = ClusterVenue(
                world, _settings(directory), policy_of(world, (TIGHT, STRICT, SAFE, ROOMY_SAFE)), directory
            )
            desks = clients(world, venue)
            try:
                _live(world, venue, desks)
            except Broken as error:
                broken = str(error)
            venue.close()
    finally:
        shutil.rmtree(directory)
    return outcome_of(world, desks, venue.lives if venue is not None else 0, broken)


def _live(world: World, venue: ClusterVenue, desks: list[Desk]) -> None:
    ledgers = [desk.ledger for desk in desks]
    world.at(world.between(2_000, 4_000), trouble, world, venue, desks)
    world.run(_TROUBLE_NS)
    venue.is_calm = True
    for desk in desks:
        desk.is_quiet = True
        if desk.pipe is not None and desk.pipe.is_slow:
            desk.pipe.read_on()
    world.run(_CALM_NS)
    for each in venue.processes:
        if not each.is_up:
            raise Broken(f"14: {each.name} does not come back")
    for desk in desks:
        if not desk.is_logged_on:
            raise Broken(f"12: {desk.ledger.name} could not come back")
    for node in venue.nodes:
        promises.check_idle(node.server)
    promises.check_recovered(ledgers, venue.engine)
    promises.check_quiet(ledgers, venue.engine)
    guarded = next(desk for desk in desks if desk.ledger.name == "S2")
    guarded.stays_away = True
    guarded.hang_up()
    world.run(SECOND)
    left = [order for order in venue.engine.open_orders(2) if order.session == 2]
    if left:
        raise Broken(f"9: cancel-on-disconnect left {len(left)} orders of S2")


def _settings(directory: Path) -> schema.Config:
    home = directory / "config"
    home.mkdir()
    store = 'redis = "redis://127.0.0.1:1/0"'
    return load(
        write_venue(home, venue_toml(sessions=SESSIONS, ws="heartbeat_ms = 3000", store=store, more=_MORE + MORE_KEYS))
    )
