"""Every listed mistake, room by room, and the few that stand for the rest in `make test`."""

from tests.mutants import limits
from tests.mutants.plant import Mutant

MUTANTS: tuple[Mutant, ...] = (*limits.MUTANTS,)

_IN_SHORT = frozenset({"old numbers are carried out again", "an expired lease takes no room before its expiry"})
SHORT = tuple(mutant for mutant in MUTANTS if mutant.bug in _IN_SHORT)
