"""The limiter of one process: every bucket lives here, and a decision is one synchronous call without allocation.

Buckets are found once, when a session's path is opened or the policy has changed; after that `take` is arithmetic.
A decision of two levels costs about half a microsecond (tests/bench/limits_take.py); keep it free of lookups by text.
"""

from typing import Any

import msgspec

from limits.bucket import Bucket
from limits.limiter import ALLOWED, UNPAID, BucketView, Decision, ShadowDebit
from limits.paths import MAX_KEPT, Counts, Path, Paths
from limits.penalty import EXEMPT
from limits.policy import PER_INSTRUMENT, SCOPES, WIDTH, Limit, Policy
from limits.refusal import longest_of, punished


class Level(msgspec.Struct, frozen=True):
    """One bucket on a path, and the terms it is under."""

    bucket: Bucket
    scope: str
    limit: Limit


class Route(msgspec.Struct, frozen=True):
    """What one bucket name means on one path: all its levels, the buckets that bind, and those that only count."""

    counts: Counts
    levels: tuple[Level, ...]
    binding: tuple[Bucket, ...]
    shadow: tuple[Bucket, ...]
    instrument_limit: Limit | None = None


class LocalLimiter:
    """The `limits.limiter.Limiter` of one process: buckets in memory, under a policy that may be swapped at any time.

    An account's buckets stay for good, a session's as long as `Paths` remembers it.
    """

    def __init__(self, policy: Policy, max_kept: int = MAX_KEPT) -> None:
        self._policy = policy
        self._generation = 1
        self._since_us = 0
        self._venue: dict[str, Bucket] = {}
        self._accounts: dict[str, dict[str, Bucket]] = {}
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
        """Put another policy in force from now on; each bucket is retuned when it is next touched."""
        self._policy = policy
        self._generation += 1
        self._since_us = now_ns // 1000

    def open(self, account: str, session: str) -> Path:
        """The path of one session: the very same one while it is remembered, so that reconnecting refills nothing."""
        path = self._paths.open(account, session)
        if path.generation != self._generation:
            self._resolve(path)
        return path

    def take(self, path: Any, name: str, cost_milli: int, now_ns: int, instrument: int = 0) -> Decision:
        """Debit `cost_milli` (0 or more) from `name` on every level of `path`, or nothing. `allowed` when it fits.

        A refusal names the level that binds longest; its wait_us is exact for all of them.
        """
        if path.generation != self._generation:
            self._resolve(path)
        route = path.routes[name]
        if instrument and route.instrument_limit is not None:
            route = path.per_instrument.get(instrument) or self._instrument_route(path, route, instrument)
        now_us = now_ns // 1000
        if now_us < path.standing.cooling_until_us and name not in EXEMPT:
            return self._refuse(path, route, name, cost_milli, now_us)
        for bucket in route.binding:
            if not bucket.fits(cost_milli, now_us):
                return self._refuse(path, route, name, cost_milli, now_us)
        for bucket in route.binding:
            bucket.level -= cost_milli * bucket.milli
        route.counts.admitted += 1
        return _take_shadow(route, cost_milli, now_us) if route.shadow else ALLOWED

    def give_back(
        self,
        path: Any,
        name: str,
        cost_milli: int,
        now_ns: int,
        instrument: int = 0,
        shadow: ShadowDebit | None = None,
    ) -> None:
        """Return what an earlier `take` debited; what does not fit in is lost."""
        if path.generation != self._generation:
            self._resolve(path)
        route = path.routes[name]
        if instrument and route.instrument_limit is not None:
            route = path.per_instrument.get(instrument) or self._instrument_route(path, route, instrument)
        for bucket in route.binding if shadow is not None else (*route.binding, *route.shadow):
            bucket.give_back(cost_milli)

    def view(self, path: Any, now_ns: int, names: tuple[str, ...] = ()) -> list[BucketView]:
        """The buckets of `path` (all, or those named), widest scope first. What is off is not there."""
        if path.generation != self._generation:
            self._resolve(path)
        levels = [(name, level) for name in names or SCOPES for level in path.routes[name].levels]
        levels.sort(key=lambda pair: WIDTH.index(pair[1].scope))
        return [_view(name, level, now_ns // 1000) for name, level in levels]

    def is_low(self, path: Any, now_ns: int, names: tuple[str, ...]) -> bool:
        """Whether one of these buckets has less than a quarter of its tokens at some level."""
        if path.generation != self._generation:
            self._resolve(path)
        now_us = now_ns // 1000
        for name in names:
            for level in path.routes[name].levels:
                bucket = level.bucket
                bucket.fits(0, now_us)
                if bucket.level // bucket.period_us * 4 < level.limit.burst:
                    return True
        return False

    def _refuse(self, path: Path, route: Route, name: str, cost_milli: int, now_us: int) -> Decision:
        """The no of the level that binds longest, and what going on like this leads to."""
        route.counts.refused += 1
        waits = [
            (level.bucket.wait_us(cost_milli, now_us), level.scope, level.limit)
            for level in route.levels
            if level.limit.mode == "enforce"
        ]
        return punished(longest_of(name, waits), path.standing, self._policy.penalty, now_us)

    def _resolve(self, path: Path) -> None:
        """Resolve the path under the policy in force. Buckets stay, even while they are off: nothing refills."""
        levels: dict[str, list[Level]] = {name: [] for name in SCOPES}
        shared = self._accounts.setdefault(path.account, {})
        homes = {"venue": self._venue, "account": shared, "session": path.own}
        for name, scope, limit in self._policy.levels(path.account, path.session):
            bucket = self._bucket(homes[scope], name, limit)
            if limit.mode != "off":
                levels[name].append(Level(bucket, scope, limit))
        path.routes = {name: _route(self.counts[name], found) for name, found in levels.items()}
        path.per_instrument.clear()
        each = self._policy.instrument_limit(path.account)
        path.routes["orders"] = msgspec.structs.replace(path.routes["orders"], instrument_limit=each)
        path.generation = self._generation

    def _instrument_route(self, path: Path, route: Route, instrument: int) -> Route:
        """The way of orders in one instrument: that of all orders, and the instrument's own bucket."""
        limit = route.instrument_limit
        assert limit is not None
        bucket = self._bucket(self._accounts[path.account], f"{PER_INSTRUMENT}/{instrument}", limit)
        found = _route(route.counts, [*route.levels, Level(bucket, "instrument", limit)])
        path.per_instrument[instrument] = found
        return found

    def _bucket(self, home: dict[str, Bucket], name: str, limit: Limit) -> Bucket:
        bucket = home.get(name)
        if bucket is None:
            bucket = home[name] = Bucket(limit.rate, limit.burst)
        bucket.retune(limit.rate, limit.burst, self._since_us)
        return bucket


def _route(counts: Counts, levels: list[Level]) -> Route:
    return Route(
        counts,
        tuple(levels),
        tuple(level.bucket for level in levels if level.limit.mode == "enforce"),
        tuple(level.bucket for level in levels if level.limit.mode == "shadow"),
    )


def _take_shadow(route: Route, cost_milli: int, now_us: int) -> Decision:
    """Debit the levels that only count, where they could have allowed it; one would-be refusal at most per action."""
    if all(bucket.fits(cost_milli, now_us) for bucket in route.shadow):
        for bucket in route.shadow:
            bucket.debit(cost_milli)
        return ALLOWED
    route.counts.shadow_refused += 1
    return UNPAID


def _view(name: str, level: Level, now_us: int) -> BucketView:
    bucket, limit = level.bucket, level.limit
    full_in_ms = -(-bucket.full_in_us(now_us) // 1000)
    remaining = bucket.level // bucket.period_us
    return BucketView(
        name, level.scope, remaining, limit.burst, limit.rate.per_second, full_in_ms, degraded=False, mode=limit.mode
    )
