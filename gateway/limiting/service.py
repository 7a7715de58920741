"""The limits in force: the limits file plus operators' overrides, for buckets in this process or a shared store.

One policy is in force, and it is replaced as a whole. The file and the overrides are read twice a second. A mistake
in either is logged and changes nothing. Overrides end by the store's clock. Without a store, buckets are in process.
"""

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config import schema
from gateway.telemetry.metrics import Metrics
from limits.local import LocalLimiter
from limits.overrides import Override, merge
from limits.policy import Policy
from limits.redis_url import REDIS_ENV
from limits.reload import STABLE_NS, Refused, Reloaded, Watcher, built_in, load
from limits.toml_fields import none_called

if TYPE_CHECKING:
    from gateway.clock import Timed
    from gateway.limiting.redis_service import SharedLimits
    from limits.shared import SharedLimiter


_LOOK_S = 0.5


class LimitsUnsound(Exception):
    """The limits file cannot be used at the start. The text lists every mistake."""


class Limiting:
    """The limiter of this process, and the source of its policy."""

    def __init__(
        self,
        settings: schema.Limits,
        directory: Path,
        accounts: Collection[str],
        now_ns: Callable[[], int],
        log: Callable[..., None],
    ) -> None:
        """Read the file, and connect to nothing yet. accounts: the names of all configured accounts.

        Raises:
            LimitsUnsound: the limits file cannot be used.
        """
        self._now_ns = now_ns
        self._log = log
        self._accounts = frozenset(accounts)
        self._file = directory / settings.file if settings.file else None
        self._warnings: list[str] = []  # of the file at start
        self._by_file = self._first_policy()
        self._watcher = Watcher(self._file, self._by_file, now_ns(), self._accounts) if self._file is not None else None
        self._rows: list[Override] = []
        self._store_now_s = 0
        self._faults: tuple[str, ...] = ()
        self._reload_failures = 0
        self._on_change: Callable[[], None] | None = None  # from `open` on
        self._shared: SharedLimits | None = None
        self.limiter: LocalLimiter | SharedLimiter
        if url := os.environ.get(REDIS_ENV) or settings.redis:
            # Importing redis is slow, and most gateways need none.
            from gateway.limiting import redis_service  # noqa: PLC0415

            self._shared = redis_service.SharedLimits(url, settings, self._by_file, self._accounts, now_ns, log)
            self.limiter = self._shared.limiter
        else:
            self.limiter = LocalLimiter(self._by_file)

    def _first_policy(self) -> Policy:
        if self._file is None:
            return built_in()
        parsed = load(self._file, self._accounts)
        if parsed.policy is None:
            raise LimitsUnsound("\n".join(f"{self._file}:{each}" for each in parsed.errors))
        self._warnings = [str(each) for each in parsed.warnings]
        return parsed.policy

    @property
    def timed(self) -> "tuple[Timed, ...]":
        """The parts that have deadlines of their own."""
        return () if self._shared is None else (self._shared.limiter,)

    async def open(self, wake: Callable[[], None], on_change: Callable[[], None]) -> None:
        """Connect to the store, if there is one. wake: called when a pending decision may be asked for again.
        on_change: called when another policy is in force.

        Raises:
            limits.store.StoreUnsuitable: it evicts keys, so it must not hold limits.
        """
        self._on_change = on_change
        if self._warnings:
            self._log("limits.odd", file=str(self._file), warnings=self._warnings)
        if self._shared is not None:
            await self._shared.open(wake, self._overridden)

    async def close(self) -> None:
        """Return every lease, and disconnect."""
        if self._shared is not None:
            await self._shared.close()

    @property
    def next_look_s(self) -> float:
        """Seconds until `look_at_file` is due: a completely written file takes effect within a second."""
        is_changing = self._watcher is not None and self._watcher.is_waiting
        return STABLE_NS / 1e9 + 0.05 if is_changing else _LOOK_S

    def look_at_file(self) -> None:
        """Load a newer file. A bad one is logged and changes nothing."""
        outcome = self._watcher.poll(self._now_ns()) if self._watcher is not None else None
        if isinstance(outcome, Reloaded):
            self._by_file = outcome.policy
            self._put_in_force(is_by_file=True)
            version, warnings = outcome.policy.version, [str(each) for each in outcome.warnings]
            self._log("limits.reloaded", version=version, warnings=warnings)
            if self._shared is not None:
                self._shared.record_load(str(self._file), version)
        elif isinstance(outcome, Refused):
            self._reload_failures += 1
            self._log("limits.refused", errors=[str(each) for each in outcome.errors])

    def _overridden(self, rows: list[Override], now_s: int) -> None:
        """Receive the operators' overrides. now_s: the time by the store's clock."""
        self._rows, self._store_now_s = rows, now_s
        self._put_in_force()

    def _put_in_force(self, is_by_file: bool = False) -> None:
        merged = merge(self._by_file, self._rows, self._store_now_s)
        faults = (*merged.faults, *self._unknown_accounts())
        if faults and faults != self._faults:
            self._log("limits.override_refused", errors=list(faults))
        self._faults = faults
        before = self.limiter.policy
        if merged.policy == before:
            return
        if not is_by_file:
            rows = [f"{row.target} {row.bucket} by {row.by}: {row.reason}" for row in self._rows]
            self._log("limits.overridden", rows=rows)
        self.limiter.apply(merged.policy, self._now_ns())
        if self._shared is not None:
            self._shared.renumber()
        if self._on_change is not None:
            self._on_change()

    def _unknown_accounts(self) -> list[str]:
        """Faults of overrides in force whose account does not exist here."""
        return [
            f"{row.target} {row.bucket}: {none_called('account', account, self._accounts)}"
            for row in self._rows
            if row.until_s > self._store_now_s and (account := row.target.partition("/")[0]) not in self._accounts
        ]

    @property
    def status(self) -> dict[str, object]:
        """The limits in force, for people: their version, and the state of the shared store, if there is one."""
        version = self.limiter.policy.version
        return {"version": version} if self._shared is None else {"version": version, "store": self._shared.status}

    def register(self, metrics: Metrics) -> None:
        """Register the metrics of the limits."""
        limiter = self.limiter
        metrics.gauge("policy_version", lambda: limiter.policy.version)
        metrics.counter("policy_reload_failures", lambda: self._reload_failures)
        metrics.gauge("limit_overrides", lambda: len(self._rows))
        counts = limiter.counts
        metrics.counter("limiter_admitted", lambda: {name: each.admitted for name, each in counts.items()})
        metrics.counter("limiter_refused", lambda: {name: each.refused for name, each in counts.items()})
        metrics.counter("limiter_shadow_refused", lambda: {name: each.shadow_refused for name, each in counts.items()})
        if self._shared is not None:
            self._shared.register(metrics)
