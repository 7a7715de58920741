"""How a limiter says no: the level that binds longest, and what going on like this leads to. Pure."""

from collections.abc import Sequence

import msgspec

from limits.bucket import NEVER
from limits.limiter import Decision
from limits.penalty import EXEMPT, PenaltyState
from limits.policy import Limit, Penalty

Wait = tuple[int, str, Limit]
"""Microseconds until a level allows it (0 = now, NEVER = it cannot), its scope, and its limit."""


def longest_of(name: str, waits: Sequence[Wait]) -> tuple[Decision, Limit | None]:
    """The refusal of the level that binds longest, and its limit; one that can never do binds for ever.

    Without any level that binds, the refusal is the penalty's alone.
    """
    longest, binds = 0, waits[0] if waits else None
    for wait in waits:
        if wait[0] == NEVER or (longest != NEVER and wait[0] > longest):
            longest, binds = wait[0], wait
    if binds is None:
        return Decision(False, 0, name), None
    _, scope, limit = binds
    return Decision(False, longest, name, scope, limit.burst, limit.rate.per_second), limit


def punished(
    refusal: tuple[Decision, Limit | None], penalty_state: PenaltyState, penalty: Penalty | None, now_us: int
) -> Decision:
    """The refusal with its place on the penalty ladder; a cool-down is waited for as well."""
    decision, limit = refusal
    if decision.name in EXEMPT:
        return decision
    step = "cooling_down" if now_us < penalty_state.cooling_until_us else ""
    if penalty is not None and limit is not None:
        step = penalty_state.refused(decision.name, limit, penalty, now_us)
    if not step:
        return decision
    wait_us = decision.wait_us
    if wait_us != NEVER:
        wait_us = max(wait_us, penalty_state.cooling_until_us - now_us)
    return msgspec.structs.replace(decision, wait_us=wait_us, penalty=step)
