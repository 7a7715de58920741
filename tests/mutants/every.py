"""Every listed mistake, room by room, and the few that stand for the rest in `make test`."""

from tests.mutants import (
    cluster,
    conform,
    core,
    doors,
    durable,
    formats,
    isolation,
    limits,
    limits_store,
    links,
    remote,
    road,
    runs,
    toml,
    waits,
    wires,
    ws_runs,
)
from tests.mutants.plant import Mutant

_LIMITS = (*limits.MUTANTS, *limits_store.MUTANTS, *toml.MUTANTS)
_CARRIED = (*wires.MUTANTS, *doors.MUTANTS, *links.MUTANTS)
MUTANTS: tuple[Mutant, ...] = (
    *_LIMITS,
    *road.MUTANTS,
    *runs.MUTANTS,
    *core.MUTANTS,
    *isolation.MUTANTS,
    *waits.MUTANTS,
    *durable.MUTANTS,
    *formats.MUTANTS,
    *ws_runs.MUTANTS,
    *cluster.MUTANTS,
    *remote.MUTANTS,
    *conform.MUTANTS,
    *_CARRIED,
)

_IN_SHORT = frozenset(
    {
        "old numbers are carried out again",
        "a debt is forgiven when another node came back first",
        "who may not trade learns what is wrong with the order",
        "a refused order keeps its place among the open orders",
        "an account that sends much gets all turns",
        "the dead-man's switch cancels for the whole account",
        "half of a commit becomes durable",
        "NextIn moves over a message that waits",
        "a session that guards orders is forgotten",
        "live messages overtake a replay",
        "fragments are counted over the connection, not the message",
        "the oldest stranger goes, whoever's address is full",
        "each replaying connection has the budget of all",
    }
)
SHORT = tuple(mutant for mutant in MUTANTS if mutant.bug in _IN_SHORT)
