"""What changes from one policy to another, value by value, in the words of the limits file.

Both sides are first flattened to `place -> text`, so an inherited value that changes is shown wherever it acts. Pure.
"""

import msgspec

from limits.bucket import MILLI
from limits.policy import Limit, Policy
from limits.toml_text import dotted


class Change(msgspec.Struct, frozen=True):
    """One value that differs. None = it is missing on that side."""

    place: str
    before: str | None
    after: str | None


def differences(old: Policy, new: Policy) -> list[Change]:
    """Every value that differs, in the order of the file; empty when the policies are equal."""
    before, after = _flat(old), _flat(new)
    return [
        Change(place, before.get(place), after.get(place))
        for place in dict.fromkeys((*before, *after))
        if before.get(place) != after.get(place)
    ]


def _flat(policy: Policy) -> dict[str, str]:
    flat = {"version": str(policy.version)}
    for message, (bucket, cost_milli) in policy.costs.items():
        flat[dotted(("classes", bucket, message))] = _milli_text(cost_milli)
    for bucket, limit in policy.venue.items():
        flat |= _flat_limit(("venue", bucket), limit)
    for name, plan in policy.plans.items():
        for bucket, limit in plan.limits.items():
            flat |= _flat_limit(("plans", name, bucket), limit)
        for scope, most in msgspec.structs.asdict(plan.open_orders).items():
            flat[dotted(("plans", name, "open_orders", scope))] = str(most)
    flat["assign.default"] = policy.default_plan
    for account, plan_name in policy.accounts.items():
        flat[dotted(("assign", "accounts", account))] = plan_name
    for owner, limits in policy.overrides.items():
        for bucket, limit in limits.items():
            flat |= _flat_limit(("override", owner, bucket), limit)
    if policy.penalty is not None:
        for field, value in msgspec.structs.asdict(policy.penalty).items():
            flat[f"penalty.{field}"] = f"{value}x" if field == "disconnect_over" else str(value)
    return flat


def _flat_limit(path: tuple[str, ...], limit: Limit) -> dict[str, str]:
    texts = {
        "rate": limit.rate.text,
        "burst": str(limit.burst),
        "mode": limit.mode,
        "on_store_loss": limit.on_store_loss,
    }
    return {f"{dotted(path)}.{field}": text for field, text in texts.items()}


def _milli_text(milli: int) -> str:
    """Thousandths of a token as people write them: 1, 0.2, 1.05."""
    whole, rest = divmod(milli, MILLI)
    return f"{whole}.{rest:03}".rstrip("0") if rest else str(whole)
