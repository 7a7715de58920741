"""Limits that an operator sets at run time: one bucket of one account or session, until a time, for a reason.

They are merged over the policy from the file into a new snapshot, so a decision still reads one reference. A row with a
mistake is reported and left out, so that the mistake of one operator does not affect other rows. Pure.
"""

from collections.abc import Iterable, Mapping

import msgspec

from limits.bucket import MAX_UNITS, parse_rate
from limits.policy import PER_INSTRUMENT, SCOPES, Limit, Mode, Policy

_NEVER_OFF_OVER = 86_400 * 31  # seconds; a row without an end would be a second, hidden limits file


class Override(msgspec.Struct, frozen=True):
    """One row. target: "ACCOUNT" or "ACCOUNT/SESSION". None = as in the policy. until_s: UTC, in seconds."""

    target: str
    bucket: str
    until_s: int
    reason: str
    by: str
    rate: str | None = None
    burst: int | None = None
    mode: Mode | None = None


class Merged(msgspec.Struct, frozen=True):
    """A policy with the rows in force, and the mistakes in the others."""

    policy: Policy
    faults: tuple[str, ...] = ()


def merge(policy: Policy, rows: Iterable[Override], now_s: int) -> Merged:
    """The policy with every row that is in force at `now_s`. Accounts come before their sessions."""
    overrides = {owner: dict(limits) for owner, limits in policy.overrides.items()}
    faults: list[str] = []
    for row in sorted(rows, key=lambda each: ("/" in each.target, each.target, each.bucket)):
        if row.until_s <= now_s:
            continue
        so_far = msgspec.structs.replace(policy, overrides=overrides)
        try:
            limit = limit_of(so_far, row, now_s)
        except ValueError as error:
            faults.append(f"{row.target} {row.bucket}: {error}")
            continue
        overrides.setdefault(row.target, {})[row.bucket] = limit
    if overrides != policy.overrides:
        policy = msgspec.structs.replace(policy, overrides=overrides)
    return Merged(policy, tuple(faults))


def limit_of(policy: Policy, row: Override, now_s: int) -> Limit:
    """The limit that results from a row.

    Raises:
        ValueError: the row cannot be used.
    """
    account, _, session = row.target.partition("/")
    if row.bucket not in SCOPES and (session or row.bucket != PER_INSTRUMENT):
        raise ValueError(f"there is no such bucket; known: {', '.join((*SCOPES, PER_INSTRUMENT))}")
    if row.until_s - now_s > _NEVER_OFF_OVER:
        raise ValueError("lasts longer than 31 days: that belongs in the limits file")
    own: Mapping[str, Limit] = policy.overrides.get(row.target, {})
    base = own.get(row.bucket) or policy.account_limit(account, row.bucket)
    if base is None and (row.rate is None or row.burst is None):
        raise ValueError("there is no limit to change: name rate and burst")
    rate = parse_rate(row.rate) if row.rate is not None else base.rate if base is not None else parse_rate("")
    burst = row.burst if row.burst is not None else base.burst if base is not None else 0
    if burst < 1 or burst * rate.period_us >= MAX_UNITS:
        raise ValueError(f"a burst of {burst} at {rate.text} cannot be counted")
    on_store_loss = base.on_store_loss if base is not None else "safe"
    return Limit(rate, burst, row.mode or (base.mode if base is not None else "enforce"), on_store_loss)


def origin_of(policy: Policy, account: str, session: str, bucket: str) -> str:
    """Where a limit comes from, in the words of the limits file."""
    for owner in (f"{account}/{session}", account):
        if bucket in policy.overrides.get(owner, {}):
            return f'override "{owner}"'
    return f"plan {policy.plan_of(account).name}"
