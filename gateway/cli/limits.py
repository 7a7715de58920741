"""`penstock limits`: check a limits file before it is in force, see what it would change, and tune running limits.

`check`, `diff` and `simulate` only read files. `show`, `set`, `reset` and `log` use the shared store, which every
gateway reads once a second. Mistakes are printed as FILE:LINE, so that editors can jump there.
"""

import asyncio
import getpass
from collections.abc import Iterable
from typing import Any

import click

from gateway.cli.options import seconds_of
from limits.overrides import Override
from limits.policy import Limit, Policy
from limits.policy_diff import Change, differences
from limits.redis_url import REDIS_ENV, why_not
from limits.reload import load
from limits.toml_text import Problem

_FILE = click.Path(dir_okay=False)


@click.group("limits")
def limits() -> None:
    """Check limits files, compare them, replay traffic against them, and tune running limits."""


@limits.command()
@click.argument("file", type=_FILE)
def check(file: str) -> None:
    """Check FILE as a running gateway would, and show the resulting limits.

    Every mistake and warning is printed with its line. Exits with 1 if there is a mistake.
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
    """Show every limit that differs between the files OLD and NEW. Exits with 1 if either has a mistake."""
    before, after = _load(old), _load(new)
    changes = differences(before, after)
    if not changes:
        click.echo("nothing would change")
    for change in changes:
        click.echo(_line(change))
    if changes and after.version <= before.version:
        click.echo(f"{new}: a gateway on version {before.version} would refuse it: version must rise", err=True)


@limits.command()
@click.argument("file", type=_FILE)
@click.argument("traffic", type=click.File("rb"))
def simulate(file: str, traffic: Iterable[bytes]) -> None:
    """Show how FILE would have limited TRAFFIC.

    TRAFFIC has JSON lines {"at_ns", "account", "session", "message", "instrument"}, in order of time.
    """
    from limits.replay import replay

    try:
        outcomes = replay(_load(file), traffic)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{'account':20} {'bucket':10} {'admitted':>10} {'refused':>10} {'shadow':>10} {'longest wait':>14}")
    for (account, bucket), each in outcomes.items():
        wait = "never fits" if each.longest_wait_us < 0 else f"{each.longest_wait_us / 1000:,.0f} ms"
        click.echo(f"{account:20} {bucket:10} {each.admitted:10} {each.refused:10} {each.shadow_refused:10} {wait:>14}")


def _sound_url(_: click.Context, __: click.Parameter, url: str) -> str:
    if why := why_not(url):
        raise click.BadParameter(why)
    return url


_REDIS = click.option(
    "--redis",
    "url",
    envvar=REDIS_ENV,
    required=True,
    callback=_sound_url,
    help="URL of the store that the gateways share.",
)


@limits.command()
@click.argument("account")
@click.option("--file", type=_FILE, help="The limits file in force; shows plans and the source of each value.")
@_REDIS
def show(account: str, file: str | None, url: str) -> None:
    """Show ACCOUNT's buckets as they are now: level, leases, policy version, and overrides."""
    from gateway.cli import limits_live

    policy = _load(file) if file is not None else None
    for line in asyncio.run(limits_live.shown(url, account, policy)):
        click.echo(line)


@limits.command("set")
@click.argument("target")
@click.argument("bucket")
@click.option("--rate", help='A rate such as "50/s".')
@click.option("--burst", type=click.IntRange(1))
@click.option("--mode", type=click.Choice(["enforce", "shadow", "off"]))
@click.option("--ttl", required=True, help='How long the override lasts, such as "15m", "2h" or "1d".')
@click.option("--reason", required=True, help="For the audit log.")
@click.option("--file", type=_FILE, help="The limits file in force; the change is checked against it.")
@_REDIS
def set_(target: str, bucket: str, ttl: str, reason: str, file: str | None, url: str, **values: Any) -> None:
    """Override BUCKET of TARGET (ACCOUNT or ACCOUNT/SESSION) for a time. Every gateway follows within a second."""
    from gateway.cli import limits_live

    if not any(values.values()):  # rate, burst, mode
        raise click.UsageError("give at least one of --rate, --burst, --mode")
    row = Override(target, bucket, 0, reason, getpass.getuser(), **values)
    try:
        asyncio.run(limits_live.put(url, row, seconds_of(ttl), _load(file) if file is not None else None))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{target} {bucket} is overridden for {ttl}")


@limits.command()
@click.argument("target")
@click.argument("bucket")
@click.option("--reason", required=True, help="For the audit log.")
@_REDIS
def reset(target: str, bucket: str, reason: str, url: str) -> None:
    """End the override of BUCKET of TARGET now."""
    from gateway.cli import limits_live

    if not asyncio.run(limits_live.drop(url, target, bucket, getpass.getuser(), reason)):
        raise click.ClickException(f"{target} {bucket} has no override")
    click.echo(f"{target} {bucket} is as the limits file has it")


@limits.command("log")
@click.option("--count", type=click.IntRange(1, 10_000), default=20, show_default=True)
@_REDIS
def log(count: int, url: str) -> None:
    """Show the latest changes of limits: who, what, and why."""
    from gateway.cli import limits_live

    for line in asyncio.run(limits_live.audit(url, count)):
        click.echo(line)


def _load(file: str, show_warnings: bool = False) -> Policy:
    parsed = load(file)
    for problem in parsed.errors:
        _complain(file, "error", problem)
    for problem in parsed.warnings if show_warnings else ():
        _complain(file, "warning", problem)
    if parsed.policy is None:
        raise SystemExit(1)
    return parsed.policy


def _complain(file: str, kind: str, problem: Problem) -> None:
    place = f"{problem.place}: " if problem.place else ""
    click.echo(f"{file}:{problem.line or 1}: {kind}: {place}{problem.text}", err=True)


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
