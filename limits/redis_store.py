"""The store of shared buckets in Redis or Valkey: one script call for each batch, and nobody ever waits for a dead one.

The first call that fails or takes too long opens the breaker: everything under way is answered "unknown" at once, later
calls without a wait, and one task probes until the store takes writes again. A call is never repeated, for it may have
been carried out; only NOSCRIPT, which says that nothing was, leads to a second try.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from typing import Any

import msgspec
import redis.asyncio as redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from limits.answer_time import within
from limits.store import Answer, Batch, StoreUnsuitable

_PROBE_S = 0.25
_PROBE_KEY = "gw:probe"
_FAILURES = (RedisError, OSError, TimeoutError, msgspec.MsgspecError, AttributeError)
"""What a call may end with. AttributeError is redis-py's own, when a connection breaks while it is being written."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode


def script_text() -> str:
    """The script that decides inside the store."""
    return files("limits").joinpath("bucket.lua").read_text(encoding="utf-8")


class RedisStore:
    """The `limits.store.Store` in Redis >= 7.0 or Valkey >= 7.2, alone or as a cluster.

    is_away: the breaker is open. timeouts, outages: counted since the start. on_change: told when is_away changes.
    """

    def __init__(self, url: str, timeout_ms: int = 50) -> None:
        self._url = url
        self._timeout_s = timeout_ms / 1000
        self._script = script_text()
        self._sha = ""
        self._client: Any = None
        self._under_way: dict[asyncio.Task[None], Callable[[Answer | None], None]] = {}
        self._prober: asyncio.Task[None] | None = None
        self._is_examined = False
        self.is_away = True
        self.is_cluster = False
        self.warnings: list[str] = []
        self.timeouts = 0
        self.outages = 0
        self.on_change: Callable[[bool], None] = lambda is_away: None

    async def open(self) -> list[str]:
        """Connect, and return what is worth a warning. A store that cannot be reached is away, and is probed for.

        Raises:
            StoreUnsuitable: it evicts keys, and so would forget who has spent what.
        """
        self._client = self._connect(redis.Redis)
        try:
            async with asyncio.timeout(max(self._timeout_s * 4, 1.0)):
                await self._revive()
        except _FAILURES as error:
            self._prober = asyncio.create_task(self._probe())
            return [f"the store of limits cannot be reached yet: {error!r}"]
        return self.warnings

    async def close(self) -> None:
        """Wait for what is under way, for no longer than one call may take, and disconnect."""
        if self._under_way:
            await asyncio.wait(list(self._under_way))
        if self._prober is not None:
            self._prober.cancel()
        with suppress(*_FAILURES):
            await self._client.aclose()

    def call(self, keys: list[str], batch: Batch, done: Callable[[Answer | None], None]) -> None:
        """Send one batch; see `Store.call`."""
        if self.is_away:
            asyncio.get_running_loop().call_soon(done, None)
            return
        task = asyncio.create_task(self._call(keys, _encode(batch)))
        self._under_way[task] = done

    async def _call(self, keys: list[str], request: bytes) -> None:
        answer: Answer | None = None
        try:
            async with within(self._timeout_s):
                answer = _decode(await self._evaluate(keys, request))
        except _FAILURES as error:
            self.timeouts += isinstance(error, TimeoutError)
            self._lose()
        done = self._under_way.pop(asyncio.current_task(), None)  # type: ignore[arg-type]
        if done is not None:
            done(answer)

    async def _evaluate(self, keys: list[str], request: bytes) -> bytes:
        try:
            reply: bytes = await self._client.evalsha(self._sha, len(keys), *keys, request)
        except NoScriptError:
            reply = await self._client.eval(self._script, len(keys), *keys, request)
        return reply

    # -- the breaker ---------------------------------------------------------------------------------------------

    def _lose(self) -> None:
        """Open the breaker: whatever is under way has an unknown outcome from now on, and waits no longer."""
        if self.is_away:
            return
        self.is_away = True
        self.outages += 1
        running = asyncio.current_task()
        for task, done in list(self._under_way.items()):
            if task is not running:
                del self._under_way[task]
                task.cancel()
                done(None)
        self._prober = asyncio.create_task(self._probe())
        self.on_change(True)

    async def _probe(self) -> None:
        """Try until the store answers and takes a write: a read-only or full one is as good as none."""
        while self.is_away:
            await asyncio.sleep(_PROBE_S)
            with suppress(StoreUnsuitable, *_FAILURES):
                async with asyncio.timeout(self._timeout_s * 4):
                    if not self.is_cluster:
                        await self._client.connection_pool.disconnect()
                    await self._revive()

    async def _revive(self) -> None:
        if not self._is_examined:
            self.warnings = await self._examine()
            self._is_examined = True
        await self._client.set(_PROBE_KEY, b"1", px=1000)
        self._sha = await self._client.script_load(self._script)
        self.is_away = False
        self.on_change(False)

    # -- what kind of store it is --------------------------------------------------------------------------------

    def _connect(self, kind: Any) -> Any:
        """A client that never retries by itself: redis-py's own retries block one call for 4.67 s (measured)."""
        return kind.from_url(
            self._url,
            socket_timeout=None,  # a whole call has one time-out, around everything
            socket_connect_timeout=self._timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    async def _examine(self) -> list[str]:
        info = await self._client.info("cluster")
        if info.get("cluster_enabled"):
            await self._client.aclose()
            self._client, self.is_cluster = self._connect(RedisCluster), True
        try:
            policy = await self._client.config_get("maxmemory-policy")
        except RedisError:
            return ["maxmemory-policy cannot be asked here; it must be noeviction"]
        found = policy.get("maxmemory-policy", "noeviction")
        if found != "noeviction":
            self.warnings = [f"maxmemory-policy is {found}, so this store is not used"]
            raise StoreUnsuitable(f"maxmemory-policy is {found}: a store of limits must not evict keys (noeviction)")
        return []
