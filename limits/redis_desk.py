"""The operator's access to the shared limits: overrides for all nodes, the audit log, and the state of buckets.

Overrides are one hash, which every node reads twice a second. A change is written to the audit stream before the hash,
so no change is without a record. Durations are measured by the store's clock, which all nodes share. No decision waits
for anything here.
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
_TIME = "return redis.call('TIME')"  # a script with a key is run by the node that holds the overrides
_NUMBER = """
local last = redis.call('HGETALL', KEYS[1])[2] or 0
local number = string.format('%.0f', math.max(last + 1, redis.call('TIME')[1]))
redis.call('HSET', KEYS[1], 'last', number)
return number
"""  # at least the time, so that it rises even after the store has lost the last one
_encode = msgspec.json.encode
_row = msgspec.json.Decoder(Override).decode


class AuditEntry(msgspec.Struct, frozen=True):
    """One line of the audit log. action: set, reset or load (a limits file). id: of the stream, with its time."""

    id: str
    action: str
    target: str
    by: str
    reason: str
    detail: str


class BucketState(msgspec.Struct, frozen=True):
    """One shared bucket as stored. load: the load that its terms come from. leases: node -> tokens it holds."""

    key: str
    level: float
    burst: int
    load: int
    leases: dict[str, float]


class Desk:
    """A connection to the store for operators. A call that fails raises one of `redis_link.FAILURES`."""

    def __init__(self, url: str, timeout_s: float = 2.0) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._known: Any = None
        self._finding_out = asyncio.Lock()

    async def _client(self) -> Any:
        """The connection; in a cluster, to all of it."""
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
        """UTC in seconds by the store's clock, which measures all durations, however wrong other clocks are."""
        seconds, _ = await (await self._client()).eval(_TIME, 1, OVERRIDES)
        return int(seconds)

    async def number_load(self) -> int:
        """A number for limits that were just put in force, higher than that of every earlier load on any node."""
        return int(await (await self._client()).eval(_NUMBER, 1, LOADS))

    async def overrides(self) -> list[Override]:
        """Every row, ended ones included. A row that cannot be read is left out."""
        rows = []
        for value in (await (await self._client()).hgetall(OVERRIDES)).values():
            with suppress(msgspec.MsgspecError):
                rows.append(_row(value))
        return rows

    async def name_accounts(self, names: Collection[str]) -> None:
        """Record the accounts of a gateway in the store."""
        if names:
            await (await self._client()).hset(ACCOUNTS, mapping=dict.fromkeys(sorted(names), ""))

    async def accounts(self) -> frozenset[str]:
        """The accounts of all gateways that use the store; empty before the first has recorded its own."""
        return frozenset(name.decode() for name in await (await self._client()).hgetall(ACCOUNTS))

    async def put(self, row: Override) -> None:
        """Put a row in force. It replaces an older one for the same bucket."""
        given = [(name, getattr(row, name)) for name in ("rate", "burst", "mode")]
        detail = " ".join(f"{name}={value}" for name, value in given if value is not None)
        await self.record("set", f"{row.target} {row.bucket}", row.by, row.reason, f"{detail} until={row.until_s}")
        await (await self._client()).hset(OVERRIDES, f"{row.target} {row.bucket}", _encode(row))

    async def drop(self, target: str, bucket: str, by: str, reason: str) -> bool:
        """Take a row out of force; whether there was one."""
        await self.record("reset", f"{target} {bucket}", by, reason, "")
        return bool(await (await self._client()).hdel(OVERRIDES, f"{target} {bucket}"))

    async def sweep(self, now_s: int) -> int:
        """Delete rows that have ended, and return their number. now_s: by the store's clock."""
        ended = [row for row in await self.overrides() if row.until_s <= now_s]
        for row in ended:
            await (await self._client()).hdel(OVERRIDES, f"{row.target} {row.bucket}")
        return len(ended)

    async def record(self, action: str, target: str, by: str, reason: str, detail: str) -> None:
        """Write one line of the audit log."""
        fields = {"action": action, "target": target, "by": by, "reason": reason, "detail": detail}
        await (await self._client()).xadd(AUDIT, fields, maxlen=_AUDIT_KEPT, approximate=True)

    async def audit(self, count: int) -> list[AuditEntry]:
        """The newest lines of the audit log, newest first."""
        names = [name.encode() for name in AuditEntry.__struct_fields__[1:]]
        return [
            AuditEntry(number.decode(), *(fields[name].decode() for name in names))
            for number, fields in await (await self._client()).xrevrange(AUDIT, count=count)
        ]

    async def buckets(self, account: str) -> list[BucketState]:
        """The shared buckets of one account that are not full. It scans the key space: do not call it in a loop."""
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
