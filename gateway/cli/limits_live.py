"""What `penstock limits show|set|reset|log` do with the shared store. Imported when called, because redis is slow.

Each command uses one short connection. A change is checked before it is written, and first recorded in the audit log.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator

import click
import msgspec

from limits.overrides import Override, limit_of, merge, origin_of
from limits.policy import Policy
from limits.redis_desk import BucketState, Desk
from limits.redis_link import FAILURES
from limits.reload import built_in
from limits.toml_fields import none_called


async def put(url: str, asked: Override, lasts_s: int, policy: Policy | None) -> None:
    """Write an override that ends `lasts_s` seconds from now, by the store's clock.

    Raises:
        ValueError: it cannot be used; nothing was written. click.ClickException: the store does not answer.
    """
    limit_of(policy or built_in(), msgspec.structs.replace(asked, until_s=lasts_s), 0)
    async with _desk(url) as desk:
        account, known = asked.target.partition("/")[0], await desk.accounts()
        if known and account not in known:
            raise ValueError(f"{none_called('account', account, known)}, so nothing was changed")
        now_s = await desk.now_s()
        await desk.put(msgspec.structs.replace(asked, until_s=now_s + lasts_s))
        await desk.sweep(now_s)


async def drop(url: str, target: str, bucket: str, by: str, reason: str) -> bool:
    """End one override; whether there was one."""
    async with _desk(url) as desk:
        return await desk.drop(target, bucket, by, reason)


async def audit(url: str, count: int) -> list[str]:
    """The latest changes, one per line."""
    async with _desk(url) as desk:
        changes = await desk.audit(count)
    return [f"{each.id} {each.by} {each.action} {each.target} {each.detail}: {each.reason}" for each in changes]


async def shown(url: str, account: str, policy: Policy | None) -> list[str]:
    """One account's limits and buckets, as lines."""
    async with _desk(url) as desk:
        rows, buckets, now_s = await desk.overrides(), await desk.buckets(account), await desk.now_s()
    lines = [*_terms(account, merge(policy, rows, now_s).policy)] if policy is not None else []
    lines += [
        f"set     {each.target} {each.bucket} for {each.until_s - now_s} s more, by {each.by}: {each.reason}"
        for each in rows
        if each.target.partition("/")[0] == account and each.until_s > now_s
    ]
    lines += [_line(bucket) for bucket in buckets]
    return lines or [f"{account}: every bucket is full, and nothing is overridden"]


def _terms(account: str, policy: Policy) -> Iterator[str]:
    for bucket, scope, limit in policy.levels(account, ""):
        origin = "venue" if scope == "venue" else origin_of(policy, account, "", bucket)
        mode = "" if limit.mode == "enforce" else f" {limit.mode}"
        yield f"limit   {bucket:10} {scope:10} {limit.rate.text:>10} burst {limit.burst}{mode}  from {origin}"


def _line(bucket: BucketState) -> str:
    leases = ", ".join(f"{node} holds {tokens:g}" for node, tokens in sorted(bucket.leases.items())) or "no lease"
    return f"bucket  {bucket.key}  {bucket.level:.1f} of {bucket.burst}, load {bucket.load}, {leases}"


@contextlib.asynccontextmanager
async def _desk(url: str) -> AsyncIterator[Desk]:
    desk = Desk(url)
    try:
        yield desk
    except FAILURES as error:
        raise click.ClickException(f"the store of limits does not answer: {error}") from None
    finally:
        await desk.close()
