"""The shared store of limits, as one gateway uses it: the limiter over it, operators' rows, and the audit log.

Nothing here is on the path of a decision: the limiter packs its calls by itself. A store that does not answer changes
nothing, is told once, and is looked for until it is back. Rows end by the store's clock, also while it is away.
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
_PICK_UP_S = 0.5  # so that what an operator sets acts within a second on every node
_TROUBLES_TOLD = 20  # keys that are named in the log until all are well; there may be as many as there are accounts

Overridden = Callable[[list[Override], int], None]
"""Told what operators have set, and the time by the store's clock, in seconds."""


class SharedLimits:
    """One connection for decisions, another for everything else."""

    def __init__(
        self,
        url: str,
        settings: schema.Limits,
        policy: Policy,
        accounts: Collection[str],
        now_ns: Callable[[], int],
        log: Callable[..., None],
    ) -> None:
        """accounts: of this gateway, for those who set a limit and mistype its name."""
        self._accounts = accounts
        self._has_named = False  # the store knows them
        self._log = log
        self._now_ns = now_ns
        self._rows: list[Override] = []
        self._ahead_ns: int | None = None  # the store's clock less ours, as of the last look
        self._closing = asyncio.Event()
        self._desk_fault = ""
        self._told_troubles: set[str] = set()
        self._told_pulled_ns = 0
        self._store = RedisStore(url, settings.store_timeout_ms)
        self._desk = Desk(url, _DESK_TIMEOUT_S)
        self._tasks: set[asyncio.Task[None]] = set()
        # Leases are recorded under the node's name: a new process must not be taken for the one before it.
        node = secrets.token_hex(4)
        self.limiter = SharedLimiter(policy, self._store, node, settings.nodes, now_ns, _at_end_of_tick)

    async def open(self, wake: Callable[[], None], overridden: Overridden) -> None:
        """Reach the store, and from now on read the operators' rows. wake: see `Limiting.open`.

        Raises:
            limits.store.StoreUnsuitable: it evicts keys, and so must not hold limits.
        """
        self._store.on_change = self._store_changed
        self.limiter.batcher.on_trouble = self._troubled
        self.limiter.batcher.on_pulled = self._pulled
        self.limiter.on_ready(wake)
        for warning in await self._store.open():
            self._log("limits.store_odd", text=warning)
        if not await self._number():
            self.renumber()
        await self._pick_up(overridden)
        self._begin(self._pick_up_always(overridden))

    async def close(self) -> None:
        """Give every lease back, and disconnect."""
        self._closing.set()
        if self._tasks:  # redis-py takes a cancellation for an error of its own, or leaves a socket behind
            await asyncio.wait(self._tasks, timeout=2 * _DESK_TIMEOUT_S)
        for task in self._tasks:
            task.cancel()
        self.limiter.close()
        await self._store.close()
        with suppress(*FAILURES):
            await self._desk.close()

    def note_load(self, file: str, version: int) -> None:
        """Each gateway notes the file it took over, for those who ask who changed what."""
        self._begin(self._note_load(file, f"version {version}"))

    async def _note_load(self, file: str, detail: str) -> None:
        if not self._store.is_away:
            with suppress(*FAILURES):
                await self._desk.record("load", file, "gateway", "the limits file changed", detail)

    # -- what the store keeps to -----------------------------------------------------------------------------------

    def renumber(self) -> None:
        """Other limits are in force here: the store keeps to them, whatever any gateway has sent before."""
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
            self._desk_failed("limits cannot be numbered, so the store keeps to older ones", error)
            return False
        return True

    async def _pick_up_always(self, overridden: Overridden) -> None:
        while not await self._is_closing_after(_PICK_UP_S):
            await self._pick_up(overridden)
            if self._told_troubles and not self.limiter.batcher.troubled:
                self._told_troubles.clear()
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
                self._desk_failed("what operators set cannot be read, and what was read stays in force", error)
        if self._ahead_ns is not None:
            overridden(self._rows, (self._ahead_ns + self._now_ns()) // NS_PER_S)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- what it tells ---------------------------------------------------------------------------------------------

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
        if key not in self._told_troubles and len(self._told_troubles) < _TROUBLES_TOLD:
            self._told_troubles.add(key)
            self._log("limits.bucket_trouble", key=key, reason=trouble.reason, text=trouble.text)

    def _pulled(self, key: str, pulled_us: int) -> None:
        """Every bucket meets the clock that was put right; one line a second is enough."""
        now_ns = self._now_ns()
        if now_ns - self._told_pulled_ns >= NS_PER_S:
            self._told_pulled_ns = now_ns
            self._log("limits.store_clock_back", key=key, pulled_ms=pulled_us // 1000)

    @property
    def status(self) -> dict[str, object]:
        """The store as it is now, for people: away with the reason, and how many buckets are in trouble."""
        why, troubled = self._store.why, self.limiter.batcher.troubled
        told: dict[str, object] = {"away": self._store.is_away, "buckets_in_trouble": troubled}
        return told if why is None else {**told, "reason": why.reason, "text": why.text}

    def register(self, metrics: Metrics) -> None:
        """Have the numbers of the store read on scrape."""
        store, limiter = self._store, self.limiter
        metrics.gauge("limit_store_away", lambda: int(store.is_away))
        metrics.counter("limit_store_outages", lambda: store.outages)
        metrics.counter("limit_store_timeouts", lambda: store.timeouts)
        metrics.counter("limit_store_calls", lambda: limiter.batcher.calls)
        metrics.counter("limit_store_failures", lambda: limiter.batcher.failures)
        metrics.counter("limit_buckets_pulled_back", lambda: limiter.batcher.pulled)
        metrics.gauge("limit_buckets_in_trouble", lambda: limiter.batcher.troubled)
        metrics.counter("limiter_degraded", lambda: limiter.degraded)


def _at_end_of_tick(call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_soon(call)
