"""The interface of a limiter: what the order path asks, and the decision. It knows names and costs, not orders.

A decision is one synchronous call: all levels of a path are checked, then all are debited, with nothing in between.
Costs are whole thousandths of a token, so 1 + 0.2 per quote side stays exact. The routes of a path are found once,
when it is opened or after the policy has changed. A decision only reads them. Pure.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from limits.bucket import NEVER, Bucket
from limits.paths import MAX_KEPT, Counts, Path, Paths
from limits.penalty import EXEMPT
from limits.policy import PER_INSTRUMENT, SCOPES, WIDTH, Limit, Policy

BucketT = TypeVar("BucketT")


class ShadowDebit(msgspec.Struct, eq=False):
    """What the shadow limits have taken for one action. It may become known only after the action has passed."""

    state: Literal["waiting", "paid", "refused", "withdrawn"]


class Decision(msgspec.Struct, frozen=True):
    """The answer to one `take`. When not allowed: which bucket binds, and how long.

    wait_us: exact time until the same cost fits; -1 = never (it exceeds the burst). name, scope: the binding bucket.
    pending: tokens are being fetched and nothing was debited; ask again when the limiter is ready. penalty: the refusal
    is, or leads to, "cooling_down" (for wait_us only EXEMPT buckets are open) or "disconnect". shadow: it is allowed,
    but the shadow limits have not, or not yet, taken their tokens; pass it to `give_back`.
    """

    allowed: bool
    wait_us: int = 0
    name: str = ""
    scope: str = ""
    burst: int = 0
    rate: float = 0.0  # tokens per second, for display; decisions never use it
    pending: bool = False
    penalty: str = ""
    shadow: ShadowDebit | None = None


ALLOWED = Decision(True)
PENDING = Decision(False, pending=True)
UNPAID = Decision(True, shadow=ShadowDebit("refused"))


class BucketView(msgspec.Struct, frozen=True):
    """One bucket for display. remaining is rounded down; full_in_ms is the time until it is full again."""

    name: str
    scope: str
    remaining: int
    capacity: int
    rate: float
    full_in_ms: int
    degraded: bool = False
    mode: str = "enforce"


class Level(msgspec.Struct, Generic[BucketT], frozen=True):
    """One bucket on a path, and its limit."""

    bucket: BucketT
    scope: str
    limit: Limit


RunCosts: TypeAlias = tuple[tuple[str, int, int], ...]
"""What each action of a run costs: (bucket, cost in thousandths, instrument or 0), each bucket at most once."""

Wait = tuple[int, str, Limit]
"""Microseconds until a level allows the cost (0 = now, NEVER = it cannot), its scope, and its limit."""


class RoutedLimiter(ABC, Generic[BucketT]):
    """Token buckets for `orders cancels queries msgs logons`, over the levels venue, account, instrument, session.

    Its subclasses, the limiter of one process and that of several nodes, define what a bucket and a route are.
    """

    def __init__(self, policy: Policy, max_kept: int = MAX_KEPT) -> None:
        self._policy = policy
        self._generation = 1
        self._since_us = 0
        self._paths = Paths(max_kept)
        self.counts = {name: Counts() for name in SCOPES}

    @property
    def policy(self) -> Policy:
        """The policy in force: one immutable snapshot, replaced as a whole."""
        return self._policy

    @property
    def remembered(self) -> int:
        """Sessions whose buckets are known: those in use, and those kept after they left."""
        return len(self._paths)

    def apply(self, policy: Policy, now_ns: int) -> None:
        """Put another policy in force from now on. Each bucket follows when it is next used."""
        self._policy = policy
        self._generation += 1
        self._since_us = now_ns // 1000

    def open(self, account: str, session: str) -> Path:
        """The path of one session: the same object while it is remembered, so that reconnecting refills nothing."""
        path = self._paths.open(account, session)
        if path.generation != self._generation:
            self._resolve(path)
        return path

    @abstractmethod
    def take(self, path: Path, name: str, cost_milli: int, now_ns: int, instrument: int = 0) -> Decision:
        """Debit `cost_milli` (0 or more) from `name` on every level of `path`, or nothing. `allowed` when it fits.

        instrument: of an order; 0 = none. A refusal names the level that binds longest; its wait_us covers all levels.
        After a `pending` answer, ask the same again when the limiter is ready.
        """

    @abstractmethod
    def take_run(self, path: Path, costs: RunCosts, count: int, now_ns: int) -> bool:
        """Debit `count` like actions at once, or nothing. costs: of each of them.

        True: `count` single takes of every bucket in `costs` would all be allowed, and the state is what they would
        leave. False: nothing was debited or counted, and at least one of them might be refused, have to wait, or be
        noted by a shadow limit; take them one by one.
        """

    @abstractmethod
    def give_back(
        self,
        path: Path,
        name: str,
        cost_milli: int,
        now_ns: int,
        instrument: int = 0,
        shadow: ShadowDebit | None = None,
    ) -> None:
        """Return, clamped at full, what a `take` debited for an action that the gateway did not carry out.

        shadow: that of the decision. Shadow levels get back what they have paid, or no longer pay.
        """

    @abstractmethod
    def is_low(self, path: Path, now_ns: int, names: tuple[str, ...]) -> bool:
        """Whether any of these buckets has less than a quarter of its tokens at any level, as last seen."""

    def view(self, path: Path, now_ns: int, names: tuple[str, ...] = ()) -> list[BucketView]:
        """The buckets of `path` (all, or those named), widest scope first. Limits that are off are left out."""
        levels = [(name, level) for name in names or SCOPES for level in self._route(path, name).levels]
        levels.sort(key=lambda pair: WIDTH.index(pair[1].scope))
        return [self._view(name, level, now_ns // 1000) for name, level in levels]

    def _view(self, name: str, level: Level[BucketT], now_us: int) -> BucketView:
        limit, (remaining, full_in_us, degraded) = level.limit, self._state_of(level.bucket, now_us)
        full_in_ms, rate = -(-full_in_us // 1000), limit.rate.per_second
        return BucketView(name, level.scope, remaining, limit.burst, rate, full_in_ms, degraded, limit.mode)

    def _state_of(self, bucket: Any, now_us: int) -> tuple[int, int, bool]:
        """Whole tokens left, time until full, and whether it is decided without the store; here, a local bucket."""
        full_in_us = bucket.full_in_us(now_us)  # refills it
        return bucket.level // bucket.period_us, full_in_us, False

    def _route(self, path: Path, name: str, instrument: int = 0) -> Any:
        """The route for a bucket name on the path, under the policy in force."""
        if path.generation != self._generation:
            self._resolve(path)
        route = path.routes[name]
        if instrument and route.instrument_limit is not None:
            return path.per_instrument.get(instrument) or self._instrument_route(path, route, instrument)
        return route

    def _resolve(self, path: Path) -> None:
        """Resolve the path under the policy in force. Buckets stay even while they are off, so that none refills."""
        levels: dict[str, list[Level[BucketT]]] = {name: [] for name in SCOPES}
        for name, scope, limit in self._policy.levels(path.account, path.session):
            bucket = self._bucket_at(path, scope, name, limit)
            if limit.mode != "off":
                levels[name].append(Level(bucket, scope, limit))
        path.routes = {name: self._through(self.counts[name], found) for name, found in levels.items()}
        path.per_instrument.clear()
        each = self._policy.instrument_limit(path.account)
        path.routes["orders"] = msgspec.structs.replace(path.routes["orders"], instrument_limit=each)
        path.generation = self._generation

    def _instrument_route(self, path: Path, route: Any, instrument: int) -> Any:
        """The route of orders in one instrument: that of all orders, and the instrument's own bucket."""
        limit = route.instrument_limit
        bucket = self._bucket_at(path, "instrument", f"{PER_INSTRUMENT}/{instrument}", limit)
        found = self._through(route.counts, [*route.levels, Level(bucket, "instrument", limit)])
        path.per_instrument[instrument] = found
        return found

    def _bucket_in(self, home: dict[str, Bucket], name: str, limit: Limit) -> Bucket:
        """A bucket of this process, under this limit since the policy was put in force."""
        bucket = home.get(name)
        if bucket is None:
            bucket = home[name] = Bucket(limit.rate, limit.burst)
        bucket.retune(limit.rate, limit.burst, self._since_us)
        return bucket

    def _refused(self, path: Path, route: Any, name: str, waits: Sequence[Wait], now_us: int) -> Decision:
        """The refusal by the level that binds longest, with its penalty. The wait includes a cool-down.

        A level that can never allow the cost binds for ever. If no level binds, the penalty alone refuses.
        """
        route.counts.refused += 1
        longest, binds = 0, waits[0] if waits else None
        for wait in waits:
            if wait[0] == NEVER or (longest != NEVER and wait[0] > longest):
                longest, binds = wait[0], wait
        state, penalty = path.penalty_state, self._policy.penalty
        step = "cooling_down" if now_us < state.cooling_until_us and name not in EXEMPT else ""
        if binds is None:
            decision = Decision(False, 0, name)
        else:
            _, scope, limit = binds
            decision = Decision(False, longest, name, scope, limit.burst, limit.rate.per_second)
            if penalty is not None:
                step = state.refused(name, limit, penalty, now_us)
        if not step:
            return decision
        wait_us = longest if longest == NEVER else max(longest, state.cooling_until_us - now_us)
        return msgspec.structs.replace(decision, wait_us=wait_us, penalty=step)

    @abstractmethod
    def _bucket_at(self, path: Path, scope: str, name: str, limit: Limit) -> BucketT:
        """The bucket of that name at one level of the path."""

    @abstractmethod
    def _through(self, counts: Counts, levels: Sequence[Level[BucketT]]) -> Any:
        """The route through these levels."""


Limiter: TypeAlias = RoutedLimiter[Any]
"""A limiter with any kind of bucket."""
