"""The shared store of limits as one gateway uses it: its limiter, operators' overrides, and the audit log.

No decision waits for anything here: the limiter batches its own calls. If the store does not answer, the limits stay
as they are. This is logged once, and the store is tried until it is back. Overrides end by the store's clock, also
while it is away.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from typing import Any

from gateway.config import schema
from gateway.telemetry.metrics import Metrics
from limits.overrides import Override
from limits.policy import Policy
from limits.redis_desk import Desk
from limits.redis_link import FAILURES
from limits.redis_store import RedisStore
from limits.redis_trouble import trouble_of
from limits.shared import SharedLimiter
from limits.store import Trouble
from protocols.units import NS_PER_S

_DESK_TIMEOUT_S = 1.0
_PICK_UP_S = 0.5  # so that an override takes effect on every gateway within a second
_MAX_TROUBLES_LOGGED = 20  # keys logged until all buckets work again; there may be as many as accounts

Overridden = Callable[[list[Override], int], None]
"""Receives the operators' overrides, and the time by the store's clock in seconds."""


class SharedLimits:
    """The store: one connection for decisions, another for everything else."""

    def __init__(
        self,
        url: str,
        settings: schema.Limits,
        policy: Policy,
        accounts: Collection[str],
        now_ns: Callable[[], int],
        log: Callable[..., None],
    ) -> None:
        """accounts: the names in this gateway, so that a mistyped name is noticed when a limit is set."""
        self._accounts = accounts
        self._has_named = False  # the store has them
        self._log = log
        self._now_ns = now_ns
        self._rows: list[Override] = []
        self._ahead_ns: int | None = None  # the store's clock minus own time, as last read
        self._closing = asyncio.Event()
        self._desk_fault = ""
        self._logged_troubles: set[str] = set()
        self._pulled_logged_ns = 0
        self._store = RedisStore(url, settings.store_timeout_ms, on_change=self._store_changed)
        self._desk = Desk(url, _DESK_TIMEOUT_S)
        self._tasks: set[asyncio.Task[None]] = set()
        # Leases are recorded under the node's name: a new process must not look like the one before it.
        node = secrets.token_hex(4)
        self.limiter = SharedLimiter(
            policy, self._store, node, settings.nodes, now_ns, lambda call: asyncio.get_running_loop().call_soon(call)
        )

    async def open(self, wake: Callable[[], None], overridden: Overridden) -> None:
        """Connect to the store, and read the operators' overrides from now on. wake: see `Limiting.open`.

        Raises:
            limits.store.StoreUnsuitable: it evicts keys, so it must not hold limits.
        """
        self.limiter.connect(wake, self._troubled, self._pulled)
        for warning in await self._store.open():
            self._log("limits.store_odd", text=warning)
        if not await self._number():
            self.renumber()
        await self._pick_up(overridden)
        self._begin(self._pick_up_always(overridden))

    async def close(self) -> None:
        """Return every lease, and disconnect."""
        self._closing.set()
        if self._tasks:  # cancelled, redis-py would report an error or leak a socket
            await asyncio.wait(self._tasks, timeout=2 * _DESK_TIMEOUT_S)
        for task in self._tasks:
            task.cancel()
        self.limiter.close()
        await self._store.close()
        with suppress(*FAILURES):
            await self._desk.close()

    def record_load(self, file: str, version: int) -> None:
        """Record in the audit log that this gateway loaded a file."""
        self._begin(self._record_load(file, f"version {version}"))

    async def _record_load(self, file: str, detail: str) -> None:
        if not self._store.is_away:
            with suppress(*FAILURES):
                await self._desk.record("load", file, "gateway", "the limits file changed", detail)

    def renumber(self) -> None:
        """Give the limits in force here a new number, so that the store applies them instead of older ones."""
        self._begin(self._number_at_last())

    async def _number_at_last(self) -> None:
        while not (await self._number() or await self._is_closing_after(_PICK_UP_S)):
            pass

    async def _number(self) -> bool:
        if self._store.is_away:
            return False
        try:
            self.limiter.loaded(await self._desk.number_load())
        except FAILURES as error:
            self._desk_failed("limits cannot be numbered, so the store still applies older ones", error)
            return False
        return True

    async def _pick_up_always(self, overridden: Overridden) -> None:
        while not await self._is_closing_after(_PICK_UP_S):
            await self._pick_up(overridden)
            if self._logged_troubles and not self.limiter.batcher.troubled:
                self._logged_troubles.clear()
                self._log("limits.buckets_well")

    async def _is_closing_after(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        return self._closing.is_set()

    async def _pick_up(self, overridden: Overridden) -> None:
        if self._store.is_away:
            self._has_named = False  # it may come back empty
        else:
            try:
                if not self._has_named:
                    await self._desk.name_accounts(self._accounts)
                    self._has_named = True
                now_s, self._rows = await self._desk.now_s(), await self._desk.overrides()
                self._ahead_ns = now_s * NS_PER_S - self._now_ns()
                self._desk_fault = ""
            except FAILURES as error:
                self._desk_failed("overrides cannot be read, and those read before stay in force", error)
        if self._ahead_ns is not None:
            overridden(self._rows, (self._ahead_ns + self._now_ns()) // NS_PER_S)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _store_changed(self, is_away: bool) -> None:
        why = self._store.why
        if not is_away:
            self._log("limits.store_back")
        elif why is not None:
            self._log("limits.store_away", reason=why.reason, text=why.text)

    def _desk_failed(self, what: str, error: BaseException) -> None:
        trouble = trouble_of(error)
        if self._desk_fault != trouble.reason and not self._store.is_away:
            self._desk_fault = trouble.reason
            self._log("limits.store_odd", text=f"{what}: {trouble.reason}: {trouble.text}")

    def _troubled(self, key: str, trouble: Trouble) -> None:
        if key not in self._logged_troubles and len(self._logged_troubles) < _MAX_TROUBLES_LOGGED:
            self._logged_troubles.add(key)
            self._log("limits.bucket_trouble", key=key, reason=trouble.reason, text=trouble.text)

    def _pulled(self, key: str, pulled_us: int) -> None:
        """Log a corrected clock once per second at most: every bucket notices it."""
        now_ns = self._now_ns()
        if now_ns - self._pulled_logged_ns >= NS_PER_S:
            self._pulled_logged_ns = now_ns
            self._log("limits.store_clock_back", key=key, pulled_ms=pulled_us // 1000)

    @property
    def status(self) -> dict[str, object]:
        """The state of the store, for people: whether it is away and why, and how many buckets are in trouble."""
        why, troubled = self._store.why, self.limiter.batcher.troubled
        state: dict[str, object] = {"away": self._store.is_away, "buckets_in_trouble": troubled}
        return state if why is None else {**state, "reason": why.reason, "text": why.text}

    def register(self, metrics: Metrics) -> None:
        """Register the metrics of the store."""
        store, limiter = self._store, self.limiter
        metrics.gauge("limit_store_away", lambda: int(store.is_away))
        metrics.counter("limit_store_outages", lambda: store.outages)
        metrics.counter("limit_store_timeouts", lambda: store.timeouts)
        metrics.counter("limit_store_calls", lambda: limiter.batcher.calls)
        metrics.counter("limit_store_failures", lambda: limiter.batcher.failures)
        metrics.counter("limit_buckets_pulled_back", lambda: limiter.batcher.pulled)
        metrics.gauge("limit_buckets_in_trouble", lambda: limiter.batcher.troubled)
        metrics.counter("limiter_degraded", lambda: limiter.degraded)
