"""The operator's side of the shared limits: overrides that every node picks up, the audit log, and a look at buckets.

Overrides are one hash, read by every node once a second. A change is in the audit stream before it is in the hash, so
no change is without a record. How long something lasts is reckoned by the store's clock, which is everybody's. Nothing
here is on the path of a decision.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import msgspec

from limits.overrides import Override
from limits.redis_link import connect, is_cluster

OVERRIDES = "gw:{limits}:overrides"
AUDIT = "gw:{limits}:audit"
ACCOUNTS = "gw:{limits}:accounts"
LOADS = "gw:{limits}:loads"
_AUDIT_KEPT = 100_000
_TIME = "return redis.call('TIME')"  # a script with a key goes to the node that holds the overrides
_NUMBER = """
local last = redis.call('HGETALL', KEYS[1])[2] or 0
local number = string.format('%.0f', math.max(last + 1, redis.call('TIME')[1]))
redis.call('HSET', KEYS[1], 'last', number)
return number
"""  # not below the time, so that it rises although the store has forgotten the last one
_encode = msgspec.json.encode
_row = msgspec.json.Decoder(Override).decode


class Change(msgspec.Struct, frozen=True):
    """One line of the audit log. action: set, reset or load (a limits file). id: of the stream, with its time."""

    id: str
    action: str
    target: str
    by: str
    reason: str
    detail: str


class BucketState(msgspec.Struct, frozen=True):
    """One shared bucket as it lies in the store. load: whose terms it is under. leases: node -> tokens it holds."""

    key: str
    level: float
    burst: int
    load: int
    leases: dict[str, float]


class Desk:
    """A connection to the store for operators. Whatever does not answer raises one of `redis_link.FAILURES`."""

    def __init__(self, url: str, timeout_s: float = 2.0) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._known: Any = None
        self._finding_out = asyncio.Lock()

    async def _client(self) -> Any:
        """The connection, to the whole cluster where there is one."""
        async with self._finding_out:
            if self._known is None:
                client = connect(self._url, self._timeout_s, self._timeout_s)
                try:
                    clustered = await is_cluster(client)
                except BaseException:
                    await client.aclose()
                    raise
                if clustered:
                    await client.aclose()
                    client = connect(self._url, self._timeout_s, self._timeout_s, cluster=True)
                self._known = client
            return self._known

    async def close(self) -> None:
        """Disconnect."""
        if self._known is not None:
            await self._known.aclose()

    async def now_s(self) -> int:
        """UTC in seconds by the store's clock: it decides what lasts how long, however wrong anybody else's is."""
        seconds, _ = await (await self._client()).eval(_TIME, 1, OVERRIDES)
        return int(seconds)

    async def number_load(self) -> int:
        """A number for limits that were just put in force, higher than that of every load before, on any node."""
        return int(await (await self._client()).eval(_NUMBER, 1, LOADS))

    async def overrides(self) -> list[Override]:
        """Every row, those that have ended included. A row that cannot be read is not there."""
        rows = []
        for value in (await (await self._client()).hgetall(OVERRIDES)).values():
            with suppress(msgspec.MsgspecError):
                rows.append(_row(value))
        return rows

    async def name_accounts(self, names: Collection[str]) -> None:
        """A gateway tells which accounts it has."""
        if names:
            await (await self._client()).hset(ACCOUNTS, mapping=dict.fromkeys(sorted(names), ""))

    async def accounts(self) -> frozenset[str]:
        """The accounts of all gateways that use the store; empty when none has told yet."""
        return frozenset(name.decode() for name in await (await self._client()).hgetall(ACCOUNTS))

    async def put(self, row: Override) -> None:
        """Put a row in force, in place of an older one for the same bucket."""
        given = [(name, getattr(row, name)) for name in ("rate", "burst", "mode")]
        detail = " ".join(f"{name}={value}" for name, value in given if value is not None)
        await self.record("set", f"{row.target} {row.bucket}", row.by, row.reason, f"{detail} until={row.until_s}")
        await (await self._client()).hset(OVERRIDES, f"{row.target} {row.bucket}", _encode(row))

    async def drop(self, target: str, bucket: str, by: str, reason: str) -> bool:
        """Take a row out of force; whether there was one."""
        await self.record("reset", f"{target} {bucket}", by, reason, "")
        return bool(await (await self._client()).hdel(OVERRIDES, f"{target} {bucket}"))

    async def sweep(self, now_s: int) -> int:
        """Delete rows that have ended; how many there were. now_s: of the store's clock."""
        ended = [row for row in await self.overrides() if row.until_s <= now_s]
        for row in ended:
            await (await self._client()).hdel(OVERRIDES, f"{row.target} {row.bucket}")
        return len(ended)

    async def record(self, action: str, target: str, by: str, reason: str, detail: str) -> None:
        """Write one line of the audit log."""
        fields = {"action": action, "target": target, "by": by, "reason": reason, "detail": detail}
        await (await self._client()).xadd(AUDIT, fields, maxlen=_AUDIT_KEPT, approximate=True)

    async def audit(self, count: int) -> list[Change]:
        """The newest lines of the audit log, newest first."""
        names = [name.encode() for name in Change.__struct_fields__[1:]]
        return [
            Change(number.decode(), *(fields[name].decode() for name in names))
            for number, fields in await (await self._client()).xrevrange(AUDIT, count=count)
        ]

    async def buckets(self, account: str) -> list[BucketState]:
        """The shared buckets of one account that are not full. It walks the key space: for people, not for loops."""
        client, states = await self._client(), []
        async for key in client.scan_iter(match=f"gw:{{{account}}}:*", count=1_000):
            fields = {name.decode(): value.decode() for name, value in (await client.hgetall(key)).items()}
            if "plan" in fields:
                states.append(_state(key.decode(), fields))
        return sorted(states, key=lambda state: state.key)


def _state(key: str, fields: dict[str, str]) -> BucketState:
    load, _, period_us, burst = map(int, fields["plan"].split())
    leases = {name[2:]: int(value.split()[0]) / 1000 for name, value in fields.items() if name.startswith("n:")}
    held = {node: tokens for node, tokens in leases.items() if tokens}
    return BucketState(key, int(fields["level"]) / period_us, burst, load, held)
