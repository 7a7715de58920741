"""Warnings about a valid policy: worth reporting to the operator, but no reason to refuse the file.

Works on the finished policy, so inherited and merged values are checked as they will act. Pure.
"""

from collections.abc import Collection, Iterator, Mapping

from limits.bucket import MILLI
from limits.policy import PER_INSTRUMENT, SCOPES, Limit, Policy
from limits.toml_fields import none_called
from limits.toml_text import Finding, Place


def warnings_of(policy: Policy) -> Iterator[Finding]:
    """(place, warning) for each oddity. A place that is not in the file is that of an inherited value."""
    dearest = _dearest(policy)
    for name, plan in policy.plans.items():
        for bucket, limit in plan.limits.items():
            path = ("plans", name, bucket)
            yield from _of_limit(path, bucket, limit, dearest)
            if bucket == PER_INSTRUMENT:
                yield from _above(path, limit, plan.limits["orders"])
    for owner, limits in policy.overrides.items():
        account, _, session = owner.partition("/")
        for bucket, limit in limits.items():
            path = ("override", owner, bucket)
            yield from _of_limit(path, bucket, limit, dearest)
            parent = policy.account_limit(account, "orders" if bucket == PER_INSTRUMENT else bucket)
            is_child = bucket == PER_INSTRUMENT or (session and SCOPES[bucket] == "account")
            if is_child and parent is not None:
                yield from _above(path, limit, parent)
    for bucket, limit in policy.venue.items():
        yield from _of_limit(("venue", bucket), bucket, limit, dearest)


def unknown_accounts(policy: Policy, accounts: Collection[str]) -> Iterator[Finding]:
    """Each account that is not configured: a limit for a mistyped account would silently have no effect."""
    owners = [("assign", "accounts", account) for account in policy.accounts]
    for place in (*owners, *(("override", owner) for owner in policy.overrides)):
        account = place[-1].partition("/")[0]
        if account not in accounts:
            yield place, f"limits nobody: {none_called('account', account, accounts)}"


def _dearest(policy: Policy) -> Mapping[str, tuple[int, str]]:
    """Bucket -> (cost, name) of its most expensive message."""
    dearest: dict[str, tuple[int, str]] = {}
    for message, (bucket, cost_milli) in policy.costs.items():
        dearest[bucket] = max(dearest.get(bucket, (0, "")), (cost_milli, message))
    if "orders" in dearest:
        dearest[PER_INSTRUMENT] = dearest["orders"]
    return dearest


def _of_limit(path: Place, bucket: str, limit: Limit, dearest: Mapping[str, tuple[int, str]]) -> Iterator[Finding]:
    cost_milli, message = dearest.get(bucket, (0, ""))
    if cost_milli > limit.burst * MILLI:
        yield path, f"{message} costs more than the burst of {limit.burst}: it is always refused (3007)"
    if limit.mode == "off":
        yield path, "is off: nothing is limited or counted here"


def _above(path: Place, child: Limit, parent: Limit) -> Iterator[Finding]:
    """Warns of a level that never binds, because it allows more than the level above it."""
    if child.rate.amount * parent.rate.period_us > parent.rate.amount * child.rate.period_us:
        yield path, f"the rate {child.rate.text} is above its parent's {parent.rate.text}, which binds first"
    if child.burst > parent.burst:
        yield path, f"the burst {child.burst} is above its parent's {parent.burst}, which binds first"
