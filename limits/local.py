"""The limiter of one process: every bucket is in memory, and a decision is one synchronous call without allocation.

Buckets are found once, when a session's path is opened or after the policy has changed. From then on `take` is plain
arithmetic. A decision of two levels costs about 0.5 us (tests/bench/limits_take.py). Keep it free of lookups by text.
"""

from collections.abc import Sequence

import msgspec

from limits.bucket import Bucket
from limits.limiter import ALLOWED, UNPAID, Decision, Level, RoutedLimiter, RunCosts, ShadowDebit
from limits.paths import MAX_KEPT, Counts, Path
from limits.penalty import EXEMPT
from limits.policy import Limit, Policy


class Route(msgspec.Struct, frozen=True):
    """What one bucket name means on one path: its levels and their buckets, and which are enforced and which shadow."""

    counts: Counts
    levels: tuple[Level[Bucket], ...]
    buckets: tuple[Bucket, ...]
    binding: tuple[Bucket, ...]
    shadow: tuple[Bucket, ...]
    instrument_limit: Limit | None = None


class LocalLimiter(RoutedLimiter[Bucket]):
    """The limiter of one process: buckets in memory, under a policy that may be swapped at any time.

    An account's buckets are kept for good, a session's as long as `Paths` remembers it.
    """

    def __init__(self, policy: Policy, max_kept: int = MAX_KEPT) -> None:
        super().__init__(policy, max_kept)
        self._venue: dict[str, Bucket] = {}
        self._accounts: dict[str, dict[str, Bucket]] = {}

    def take(self, path: Path, name: str, cost_milli: int, now_ns: int, instrument: int = 0) -> Decision:
        if path.generation != self._generation:
            self._resolve(path)
        route = path.routes[name]
        if instrument and route.instrument_limit is not None:
            route = path.per_instrument.get(instrument) or self._instrument_route(path, route, instrument)
        now_us = now_ns // 1000
        if now_us < path.penalty_state.cooling_until_us and name not in EXEMPT:
            return self._refuse(path, route, name, cost_milli, now_us)
        for bucket in route.binding:
            if not bucket.fits(cost_milli, now_us):
                return self._refuse(path, route, name, cost_milli, now_us)
        for bucket in route.binding:
            bucket.level -= cost_milli * bucket.milli
        route.counts.admitted += 1
        return _take_shadow(route, cost_milli, now_us) if route.shadow else ALLOWED

    def take_run(self, path: Path, costs: RunCosts, count: int, now_ns: int) -> bool:
        if path.generation != self._generation:
            self._resolve(path)
        now_us = now_ns // 1000
        is_cooling = now_us < path.penalty_state.cooling_until_us
        routes = []
        for name, cost_milli, instrument in costs:
            if is_cooling and name not in EXEMPT:
                return False
            route = path.routes[name]
            if instrument and route.instrument_limit is not None:
                route = path.per_instrument.get(instrument) or self._instrument_route(path, route, instrument)
            total_milli = cost_milli * count
            for bucket in route.buckets:
                if not bucket.fits(total_milli, now_us):
                    return False
            routes.append((route, total_milli))
        for route, total_milli in routes:
            for bucket in route.buckets:  # those of shadow limits too: they have all of it
                bucket.level -= total_milli * bucket.milli
            route.counts.admitted += count
        return True

    def give_back(
        self,
        path: Path,
        name: str,
        cost_milli: int,
        now_ns: int,
        instrument: int = 0,
        shadow: ShadowDebit | None = None,
    ) -> None:
        route = self._route(path, name, instrument)
        for bucket in route.binding if shadow is not None else (*route.binding, *route.shadow):
            bucket.give_back(cost_milli)

    def is_low(self, path: Path, now_ns: int, names: tuple[str, ...]) -> bool:
        now_us = now_ns // 1000
        for name in names:
            for level in self._route(path, name).levels:
                bucket = level.bucket
                bucket.fits(0, now_us)
                if bucket.level // bucket.period_us * 4 < level.limit.burst:
                    return True
        return False

    def _refuse(self, path: Path, route: Route, name: str, cost_milli: int, now_us: int) -> Decision:
        waits = [
            (level.bucket.wait_us(cost_milli, now_us), level.scope, level.limit)
            for level in route.levels
            if level.limit.mode == "enforce"
        ]
        return self._refused(path, route, name, waits, now_us)

    def _bucket_at(self, path: Path, scope: str, name: str, limit: Limit) -> Bucket:
        if scope == "session":
            return self._bucket_in(path.own, name, limit)
        home = self._venue if scope == "venue" else self._accounts.setdefault(path.account, {})
        return self._bucket_in(home, name, limit)

    def _through(self, counts: Counts, levels: Sequence[Level[Bucket]]) -> Route:
        buckets = tuple(level.bucket for level in levels)
        binding = tuple(level.bucket for level in levels if level.limit.mode == "enforce")
        shadow = tuple(level.bucket for level in levels if level.limit.mode == "shadow")
        if binding == buckets:
            binding = buckets  # the usual case: each session has a route for each name, so one tuple is enough
        return Route(counts, tuple(levels), buckets, binding, shadow)


def _take_shadow(route: Route, cost_milli: int, now_us: int) -> Decision:
    """Debit the shadow levels if all would have allowed the cost. Counts at most one shadow refusal per action."""
    if all(bucket.fits(cost_milli, now_us) for bucket in route.shadow):
        for bucket in route.shadow:
            bucket.debit(cost_milli)
        return ALLOWED
    route.counts.shadow_refused += 1
    return UNPAID
