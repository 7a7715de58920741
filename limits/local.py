"""The limiter of one process: every bucket lives here, and a decision is one synchronous call without allocation.

Buckets are found once, when a session's path is opened or the policy has changed; after that `take` is arithmetic.
A decision of two levels costs about half a microsecond (tests/bench/limits_take.py); keep it free of lookups by text.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from limits.bucket import NEVER, Bucket
from limits.limiter import ALLOWED, BucketView, Decision
from limits.policy import SCOPES, Limit, Policy

_MAX_KEPT = 16_384  # sessions remembered after they have left, about 2 KiB each
_LOOKED_AT = 8


class Counts:
    """Decisions on one bucket name since the start. shadow_refused: admitted, but not if shadow limits were real."""

    __slots__ = ("admitted", "refused", "shadow_refused")

    def __init__(self) -> None:
        self.admitted = 0
        self.refused = 0
        self.shadow_refused = 0


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


class Path(msgspec.Struct, weakref=True, eq=False):
    """The buckets of one session: its `own`, and the `shared` ones of its account. Both outlive changes of policy."""

    account: str
    session: str
    own: dict[str, Bucket]
    shared: dict[str, Bucket]
    routes: Mapping[str, Route]
    generation: int = 0


class LocalLimiter:
    """The `limits.limiter.Limiter` of one process: buckets in memory, under a policy that may be swapped at any time.

    Account and session names must be those of the configuration and of clients that proved who they are: an account's
    buckets stay for good, a session's stay while anybody holds its path, and after that while there is room.
    """

    def __init__(self, policy: Policy, max_kept: int = _MAX_KEPT) -> None:
        self._policy = policy
        self._generation = 1
        self._since_us = 0
        self._max_kept = max_kept
        self._accounts: dict[str, dict[str, Bucket]] = {}
        self._paths: WeakValueDictionary[tuple[str, str], Path] = WeakValueDictionary()
        self._kept: dict[tuple[str, str], Path] = {}
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
        key = (account, session)
        path = self._paths.get(key)
        if path is None:
            shared = self._accounts.setdefault(account, {})
            path = self._paths[key] = Path(account, session, {}, shared, {})
            self._retune(path)
        self._kept.pop(key, None)
        self._kept[key] = path  # last in line to be forgotten
        if len(self._kept) > self._max_kept:
            self._forget_one()
        return path

    def take(self, path: Any, name: str, cost_milli: int, now_ns: int) -> Decision:
        """Debit `cost_milli` (0 or more) from `name` on every level of `path`, or nothing. `ALLOWED` when it fits.

        A refusal names the level that binds longest; its wait_us is exact for all of them.
        """
        if path.generation != self._generation:
            self._retune(path)
        route = path.routes[name]
        now_us = now_ns // 1000
        for bucket in route.binding:
            if not bucket.fits(cost_milli, now_us):
                return _refusal(route, name, cost_milli, now_us)
        for bucket in route.binding:
            bucket.level -= cost_milli * bucket.milli
        if route.shadow:
            _take_shadow(route, cost_milli, now_us)
        route.counts.admitted += 1
        return ALLOWED

    def give_back(self, path: Any, name: str, cost_milli: int, now_ns: int) -> None:
        """Return what an earlier `take` debited; what does not fit in is lost.

        A shadow bucket that could not have paid gets it too: a would-be refusal may then go uncounted, nothing else.
        """
        if path.generation != self._generation:
            self._retune(path)
        for bucket in (*path.routes[name].binding, *path.routes[name].shadow):
            bucket.give_back(cost_milli)

    def view(self, path: Any, now_ns: int, names: tuple[str, ...] = ()) -> list[BucketView]:
        """The buckets of `path` (all, or those named), widest scope first. What is off is not there."""
        if path.generation != self._generation:
            self._retune(path)
        levels = [(name, level) for name in names or SCOPES for level in path.routes[name].levels]
        levels.sort(key=lambda pair: pair[1].scope)  # "account" before "session"
        return [_view(name, level, now_ns // 1000) for name, level in levels]

    def _retune(self, path: Path) -> None:
        """Resolve the path under the policy in force. Buckets stay, even while they are off: nothing refills."""
        levels: dict[str, list[Level]] = {name: [] for name in SCOPES}
        for name, scope, limit in self._policy.levels(path.account, path.session):
            buckets = path.own if scope == "session" else path.shared
            bucket = buckets.get(name)
            if bucket is None:
                bucket = buckets[name] = Bucket(limit.rate, limit.burst)
            bucket.retune(limit.rate, limit.burst, self._since_us)
            if limit.mode != "off":
                levels[name].append(Level(bucket, scope, limit))
        path.routes = {
            name: Route(
                self.counts[name],
                tuple(found),
                tuple(level.bucket for level in found if level.limit.mode == "enforce"),
                tuple(level.bucket for level in found if level.limit.mode == "shadow"),
            )
            for name, found in levels.items()
        }
        path.generation = self._generation

    def _forget_one(self) -> None:
        """Stop holding one path: of those opened longest ago, the one that is full first and so loses least.

        It stays findable while somebody still holds it. Looking at a few keeps every logon cheap.
        """
        del self._kept[min(islice(self._kept, _LOOKED_AT), key=lambda key: _full_at_us(self._kept[key]))]


def _full_at_us(path: Path) -> int:
    """When the path's own buckets are all full again, if nothing more is taken."""
    return max(bucket.as_of_us + bucket.full_in_us(bucket.as_of_us) for bucket in path.own.values())


def _refusal(route: Route, name: str, cost_milli: int, now_us: int) -> Decision:
    """The no of the level that binds longest; one that can never do binds for ever."""
    route.counts.refused += 1
    longest, binds = 0, route.levels[0]
    for level in route.levels:
        if level.limit.mode == "enforce":
            wait_us = level.bucket.wait_us(cost_milli, now_us)
            if wait_us == NEVER or (longest != NEVER and wait_us > longest):
                longest, binds = wait_us, level
    return Decision(False, longest, name, binds.scope, binds.limit.burst, binds.limit.rate.per_second)


def _take_shadow(route: Route, cost_milli: int, now_us: int) -> None:
    """Debit the levels that only count, where they could have allowed it; one would-be refusal at most per action."""
    if all(bucket.fits(cost_milli, now_us) for bucket in route.shadow):
        for bucket in route.shadow:
            bucket.debit(cost_milli)
    else:
        route.counts.shadow_refused += 1


def _view(name: str, level: Level, now_us: int) -> BucketView:
    bucket, limit = level.bucket, level.limit
    full_in_ms = -(-bucket.full_in_us(now_us) // 1000)
    remaining = bucket.level // bucket.period_us
    return BucketView(
        name, level.scope, remaining, limit.burst, limit.rate.per_second, full_in_ms, degraded=False, mode=limit.mode
    )
