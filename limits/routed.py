"""What the limiter of one process and that of many nodes have in common: a policy in force, and each session's routes.

A path's routes are found once, when it is opened or the policy has changed; a decision reads them. Pure.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from limits.bucket import Bucket
from limits.limiter import BucketView, Decision
from limits.paths import MAX_KEPT, Counts, Path, Paths
from limits.policy import PER_INSTRUMENT, SCOPES, WIDTH, Limit, Policy
from limits.refusal import Wait, longest_of, punished

BucketT = TypeVar("BucketT")


class Level(msgspec.Struct, Generic[BucketT], frozen=True):
    """One bucket on a path, and the terms it is under."""

    bucket: BucketT
    scope: str
    limit: Limit


class RoutedLimiter(ABC, Generic[BucketT]):
    """Knows the policy in force and resolves paths under it. Its heirs say what a bucket and a route are."""

    def __init__(self, policy: Policy, max_kept: int = MAX_KEPT) -> None:
        self._policy = policy
        self._generation = 1
        self._since_us = 0
        self._paths = Paths(max_kept)
        self.counts = {name: Counts() for name in SCOPES}

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    @property
    def remembered(self) -> int:
        """Sessions whose buckets are known: those that are held, and those kept after they left."""
        return len(self._paths)

    def apply(self, policy: Policy, now_ns: int) -> None:
        """Put another policy in force from now on; each bucket follows when it is next used."""
        self._policy = policy
        self._generation += 1
        self._since_us = now_ns // 1000

    def open(self, account: str, session: str) -> Path:
        """The path of one session: the very same one while it is remembered, so that reconnecting refills nothing."""
        path = self._paths.open(account, session)
        if path.generation != self._generation:
            self._resolve(path)
        return path

    def view(self, path: Any, now_ns: int, names: tuple[str, ...] = ()) -> list[BucketView]:
        """The buckets of `path` (all, or those named), widest scope first. What is off is not there."""
        levels = [(name, level) for name in names or SCOPES for level in self._route(path, name).levels]
        levels.sort(key=lambda pair: WIDTH.index(pair[1].scope))
        return [self._view(name, level, now_ns // 1000) for name, level in levels]

    def _view(self, name: str, level: Level[BucketT], now_us: int) -> BucketView:
        """One bucket as people see it: that of this process, unless an heir has others."""
        bucket: Any = level.bucket
        full_in_us = bucket.full_in_us(now_us)
        return view_of(name, level, bucket.level // bucket.period_us, full_in_us)

    def _route(self, path: Path, name: str, instrument: int = 0) -> Any:
        """What a bucket's name means on the path, under the policy in force."""
        if path.generation != self._generation:
            self._resolve(path)
        route = path.routes[name]
        if instrument and route.instrument_limit is not None:
            return path.per_instrument.get(instrument) or self._instrument_route(path, route, instrument)
        return route

    def _resolve(self, path: Path) -> None:
        """Resolve the path under the policy in force. Buckets stay, even while they are off: nothing refills."""
        levels: dict[str, list[Level[BucketT]]] = {name: [] for name in SCOPES}
        for name, scope, limit in self._policy.levels(path.account, path.session):
            bucket = self._bucket_at(path, scope, name, limit)
            if limit.mode != "off":
                levels[name].append(Level(bucket, scope, limit))
        path.routes = {name: self._through(self.counts[name], found) for name, found in levels.items()}
        path.per_instrument.clear()
        path.decisions.clear()
        each = self._policy.instrument_limit(path.account)
        path.routes["orders"] = msgspec.structs.replace(path.routes["orders"], instrument_limit=each)
        path.generation = self._generation

    def _instrument_route(self, path: Path, route: Any, instrument: int) -> Any:
        """The way of orders in one instrument: that of all orders, and the instrument's own bucket."""
        limit = route.instrument_limit
        bucket = self._bucket_at(path, "instrument", f"{PER_INSTRUMENT}/{instrument}", limit)
        found = self._through(route.counts, [*route.levels, Level(bucket, "instrument", limit)])
        path.per_instrument[instrument] = found
        return found

    def _bucket_in(self, home: dict[str, Bucket], name: str, limit: Limit) -> Bucket:
        """A bucket of this process, under this limit from when the policy was put in force."""
        bucket = home.get(name)
        if bucket is None:
            bucket = home[name] = Bucket(limit.rate, limit.burst)
        bucket.retune(limit.rate, limit.burst, self._since_us)
        return bucket

    def _refused(self, path: Path, route: Any, name: str, waits: Sequence[Wait], now_us: int) -> Decision:
        """The no of the level that binds longest, and what going on like this leads to."""
        route.counts.refused += 1
        return punished(longest_of(name, waits), path.penalty_state, self._policy.penalty, now_us)

    @abstractmethod
    def _bucket_at(self, path: Path, scope: str, name: str, limit: Limit) -> BucketT:
        """The bucket of that name at one level of the path."""

    @abstractmethod
    def _through(self, counts: Counts, levels: Sequence[Level[BucketT]]) -> Any:
        """The route through these levels."""


def view_of(name: str, level: Level[Any], remaining: int, full_in_us: int, degraded: bool = False) -> BucketView:
    """A bucket under the terms of its level. remaining: whole tokens."""
    limit, full_in_ms = level.limit, -(-full_in_us // 1000)
    rate = limit.rate.per_second
    return BucketView(name, level.scope, remaining, limit.burst, rate, full_in_ms, degraded, limit.mode)
