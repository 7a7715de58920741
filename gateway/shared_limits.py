"""The shared store of limits, as one gateway uses it: the limiter over it, operators' rows, and the audit log.

Nothing here is on the path of a decision: the limiter packs its calls by itself. A store that does not answer changes
nothing, is told once, and is looked for until it is back. Rows end by the store's clock, also while it is away.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from typing import Any

from gateway import config
from gateway.metrics import Metrics
from limits.overrides import Override
from limits.policy import Policy
from limits.redis_desk import Desk
from limits.redis_link import FAILURES
from limits.redis_store import RedisStore
from limits.shared import SharedLimiter

_DESK_TIMEOUT_S = 1.0
_PICK_UP_S = 0.5  # so that what an operator sets acts within a second on every node
_SECOND_NS = 1_000_000_000

Overridden = Callable[[list[Override], int], None]
"""Told what operators have set, and the time by the store's clock, in seconds."""


class SharedLimits:
    """One connection for decisions, another for everything else."""

    def __init__(
        self,
        url: str,
        settings: config.Limits,
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
        self._store.on_change = lambda is_away: self._log("limits.store_away" if is_away else "limits.store_back")
        self.limiter.on_ready(wake)
        for warning in await self._store.open():
            self._log("limits.store_odd", text=warning)
        await self._pick_up(overridden)
        self._begin(self._pick_up_always(overridden))

    async def close(self) -> None:
        """Give every lease back, and disconnect."""
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

    async def _pick_up_always(self, overridden: Overridden) -> None:
        while True:
            await asyncio.sleep(_PICK_UP_S)
            await self._pick_up(overridden)

    async def _pick_up(self, overridden: Overridden) -> None:
        if self._store.is_away:
            self._has_named = False  # it may come back empty
        else:
            with suppress(*FAILURES):
                if not self._has_named:
                    await self._desk.name_accounts(self._accounts)
                    self._has_named = True
                now_s, self._rows = await self._desk.now_s(), await self._desk.overrides()
                self._ahead_ns = now_s * _SECOND_NS - self._now_ns()
        if self._ahead_ns is not None:
            overridden(self._rows, (self._ahead_ns + self._now_ns()) // _SECOND_NS)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def register(self, metrics: Metrics) -> None:
        """Have the numbers of the store read on scrape."""
        store, limiter = self._store, self.limiter
        metrics.gauge("limit_store_away", lambda: int(store.is_away))
        metrics.counter("limit_store_outages", lambda: store.outages)
        metrics.counter("limit_store_timeouts", lambda: store.timeouts)
        metrics.counter("limit_store_calls", lambda: limiter.exchange.calls)
        metrics.counter("limit_store_failures", lambda: limiter.exchange.failures)
        metrics.counter("limiter_degraded", lambda: limiter.degraded)


def _at_end_of_tick(call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_soon(call)
