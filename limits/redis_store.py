"""The store of shared buckets in Redis or Valkey: one script call per batch, and no wait for a store that is away.

The first call that fails or times out opens the breaker. Calls in flight and later ones are then answered "unknown" at
once, and one task probes until the store decides again. An error of a single bucket, or in a cluster of the node that
has it, is that bucket's trouble and does not open the breaker. A call is never repeated, because it may have been
carried out. Only NOSCRIPT, which says that nothing was done, leads to a second try.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha1
from importlib.resources import files
from typing import Any

import msgspec
from redis.exceptions import NoScriptError, RedisError

from limits.answer_time import within
from limits.redis_link import connect, is_cluster
from limits.redis_trouble import REASONS, is_everybodys, trouble_of
from limits.store import Answer, Batch, Outcome, StoreUnsuitable, Terms, Trouble

_PROBE_S = 0.25
_PROBE_KEY = "gw:{probe}:"  # a bucket like any other: a probe needs all that a decision needs
_PROBE = Batch([Terms(0, 1, 1_000, 1)], [], [])
_DEAF_AFTER = 16  # failed calls in a row to a cluster

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode


def script_text() -> str:
    """The script that decides inside the store."""
    return files("limits").joinpath("bucket.lua").read_text(encoding="utf-8")


class RedisStore:
    """The `limits.store.Store` in Redis >= 7.0 or Valkey >= 7.2, alone or as a cluster.

    is_away: the breaker is open. why: what opened it, or the error of the last probe. timeouts, outages (by reason):
    counted since the start.
    """

    def __init__(self, url: str, timeout_ms: int = 50, *, on_change: Callable[[bool], None]) -> None:
        """on_change: called with is_away when that changes, or its reason."""
        self._url = url
        self._timeout_s = timeout_ms / 1000
        self._script = script_text()
        self._sha = sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._client: Any = None
        self._under_way: dict[asyncio.Task[None], Callable[[Outcome], None]] = {}
        self._prober: asyncio.Task[None] | None = None
        self._is_examined = False
        self._failed_in_a_row = 0
        self.is_away = True
        self.is_cluster = False
        self.why: Trouble | None = None
        self.warnings: list[str] = []
        self.timeouts = 0
        self.outages = dict.fromkeys(REASONS, 0)
        self._on_change = on_change

    async def open(self) -> list[str]:
        """Connect, and return warnings. A store that cannot be reached is away, and is probed.

        Raises:
            StoreUnsuitable: it evicts keys, and so would lose what clients have spent.
        """
        self._client = connect(self._url, self._timeout_s)
        try:
            async with asyncio.timeout(max(self._timeout_s * 4, 1.0)):
                await self._revive()
        except StoreUnsuitable:
            await self.close()
            raise
        except Exception as error:
            self.why = trouble_of(error)
            self._prober = asyncio.create_task(self._probe())
            return [f"the store of limits cannot be reached yet: {self.why.reason}: {self.why.text}"]
        return self.warnings

    async def close(self) -> None:
        """Wait for the calls in flight, at most for the time-out of a call, and disconnect."""
        if self._under_way:
            await asyncio.wait(list(self._under_way))
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.wait([self._prober], timeout=1)  # otherwise it leaks a socket
        with suppress(Exception):
            await self._client.aclose()

    def call(self, keys: list[str], batch: Batch, done: Callable[[Outcome], None]) -> None:
        """Send one batch; see `Store.call`."""
        if self.is_away:
            asyncio.get_running_loop().call_soon(done, None)
            return
        self._under_way[asyncio.create_task(self._call(keys, batch))] = done

    async def _call(self, keys: list[str], batch: Batch) -> None:
        outcome: Outcome
        try:
            async with within(self._timeout_s):
                outcome = await self._evaluate(keys, batch)
            self._failed_in_a_row = 0
        except Exception as error:
            # Every error must be answered, because a request waits. redis-py also raises AttributeError when a
            # connection breaks during a write, and errors of a cluster that are not RedisErrors.
            outcome = self._failed(trouble_of(error))
        done = self._under_way.pop(asyncio.current_task(), None)  # type: ignore[arg-type]
        if done is not None:
            done(outcome)

    async def _evaluate(self, keys: list[str], batch: Batch) -> Answer:
        request = _encode(batch)
        try:
            reply: bytes = await self._client.evalsha(self._sha, len(keys), *keys, request)
        except NoScriptError:
            reply = await self._client.eval(self._script, len(keys), *keys, request)
        answer = _decode(reply)
        sizes = len(keys), len(batch.asks), len(batch.takes)
        if (len(answer.states), len(answer.granted), len(answer.taken)) != sizes:
            raise msgspec.ValidationError("the answer is not one to this call")
        return answer

    def _failed(self, trouble: Trouble) -> Outcome:
        """Open the breaker if every call would fail like this. Otherwise it is trouble of the call's own buckets."""
        self.timeouts += trouble.reason == "timeout"
        self._failed_in_a_row = self._failed_in_a_row + 1 if is_everybodys(trouble) else 0
        if self.is_away:
            return None
        if self._failed_in_a_row < (_DEAF_AFTER if self.is_cluster else 1):
            return trouble
        self._lose(trouble)
        return None

    def _lose(self, trouble: Trouble) -> None:
        """Open the breaker. Calls in flight end now, with an unknown outcome."""
        self.is_away, self.why = True, trouble
        self.outages[trouble.reason] += 1
        running = asyncio.current_task()
        for task, done in list(self._under_way.items()):
            if task is not running:
                del self._under_way[task]
                task.cancel()
                done(None)
        self._prober = asyncio.create_task(self._probe())
        self._on_change(True)

    async def _probe(self) -> None:
        """Try until the store can decide again. A read-only or full store cannot."""
        while self.is_away:
            await asyncio.sleep(_PROBE_S)
            try:
                async with asyncio.timeout(self._timeout_s * 4):
                    if not self.is_cluster:
                        await self._client.connection_pool.disconnect()
                    await self._revive()
            except StoreUnsuitable as error:
                self._still_away(Trouble("refused", str(error), is_undone=True))
            except Exception as error:
                self._still_away(trouble_of(error))

    def _still_away(self, trouble: Trouble) -> None:
        before, self.why = self.why, trouble
        if before is None or before.reason != trouble.reason:
            self._on_change(True)

    async def _revive(self) -> None:
        if not self._is_examined:
            self.warnings = await self._examine()
            self._is_examined = True
        await self._evaluate([_PROBE_KEY], _PROBE)
        self.is_away, self.why, self._failed_in_a_row = False, None, 0
        self._on_change(False)

    async def _examine(self) -> list[str]:
        if not self.is_cluster and await is_cluster(self._client):
            await self._client.aclose()
            self._client, self.is_cluster = connect(self._url, self._timeout_s, cluster=True), True
        try:
            policy = await self._client.config_get("maxmemory-policy")
        except RedisError:
            return ["maxmemory-policy cannot be asked here; it must be noeviction"]
        found = policy.get("maxmemory-policy", "noeviction")
        if found != "noeviction":
            self.warnings = [f"maxmemory-policy is {found}, so this store is not used"]
            raise StoreUnsuitable(f"maxmemory-policy is {found}: a store of limits must not evict keys (noeviction)")
        return []
