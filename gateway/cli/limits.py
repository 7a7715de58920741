"""`penstock limits`: judge a limits file before it is put in force, and see what it would change.

Both commands read files only and need no running gateway. Mistakes are printed as FILE:LINE, for editors to jump to.
"""

from collections.abc import Iterable

import click

from limits.policy import Limit, Policy
from limits.policy_diff import Change, differences
from limits.policy_parse import Fault
from limits.reload import load

_FILE = click.Path(dir_okay=False)


@click.group("limits")
def limits() -> None:
    """Check limits files and compare them."""


@limits.command()
@click.argument("file", type=_FILE)
def check(file: str) -> None:
    """Check FILE as a running gateway would, and show the limits it comes to.

    Every mistake and every oddity is named with its place. Ends with 1 when there is a mistake.
    """
    policy = _load(file, show_warnings=True)
    plans = "1 plan" if len(policy.plans) == 1 else f"{len(policy.plans)} plans"
    click.echo(f"{file} is sound: version {policy.version}, {plans}, {policy.default_plan} unless assigned")
    for name, plan in policy.plans.items():
        _show(name, plan.limits.items())
    for owner, overrides in policy.overrides.items():
        _show(f"override {owner}", overrides.items())


@limits.command()
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
def diff(old: str, new: str) -> None:
    """Show every limit that differs between the files OLD and NEW. Ends with 1 when either has a mistake."""
    before, after = _load(old), _load(new)
    changes = differences(before, after)
    if not changes:
        click.echo("nothing would change")
    for change in changes:
        click.echo(_line(change))
    if changes and after.version <= before.version:
        click.echo(f"{new}: a gateway on version {before.version} would refuse it: version must rise", err=True)


def _load(file: str, show_warnings: bool = False) -> Policy:
    parsed = load(file)
    for fault in parsed.errors:
        _complain(file, "error", fault)
    for fault in parsed.warnings if show_warnings else ():
        _complain(file, "warning", fault)
    if parsed.policy is None:
        raise SystemExit(1)
    return parsed.policy


def _complain(file: str, kind: str, fault: Fault) -> None:
    place = f"{fault.place}: " if fault.place else ""
    click.echo(f"{file}:{fault.line}: {kind}: {place}{fault.text}", err=True)


def _show(title: str, rows: Iterable[tuple[str, Limit]]) -> None:
    click.echo(f"\n{title}")
    for bucket, limit in rows:
        mode = "" if limit.mode == "enforce" else f"  {limit.mode}"
        click.echo(
            f"  {bucket:22} {limit.rate.text:>10}  burst {limit.burst:<8} store away: {limit.on_store_loss}{mode}"
        )


def _line(change: Change) -> str:
    if change.before is None:
        return f"+ {change.place} = {change.after}"
    if change.after is None:
        return f"- {change.place} = {change.before}"
    return f"~ {change.place}: {change.before} -> {change.after}"
