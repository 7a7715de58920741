"""The limiter of many nodes: buckets in a shared store, decided in process wherever a lease allows it.

A decision is one synchronous call over all levels. Buckets too small to lease are decided by the store (strict): the
first `take` answers PENDING, and the same `take` asked again after `on_ready` has the result. A session's own buckets
live in this node, where the session lives. Pure: the store, the clock and the end of a tick are given.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from limits.bucket import MILLI, NEVER, Bucket
from limits.exchange import Exchange, Ticket
from limits.lease import Lease
from limits.limiter import ALLOWED, PENDING, BucketView, Decision
from limits.paths import Counts, Path, Paths
from limits.penalty import EXEMPT
from limits.policy import PER_INSTRUMENT, SCOPES, WIDTH, Limit, Policy
from limits.refusal import Wait, longest_of, punished
from limits.store import Store, key_of

_STORE_RETRY_US = 250_000  # what a refusal names while the store is away: it is probed so often
_TICKET_KEPT_US = 250_000  # a paid decision that nobody comes for is refunded


class Level(msgspec.Struct, frozen=True):
    """One bucket on a path: a Lease of a shared one or a session's own, its scope, and its limit."""

    bucket: Lease | Bucket
    scope: str
    limit: Limit


class Route(msgspec.Struct, frozen=True, eq=False):
    """What one bucket name means on one path, sorted by how each level is decided."""

    counts: Counts
    levels: tuple[Level, ...]
    binding: tuple[Level, ...]
    leases: tuple[Lease, ...]
    own: tuple[Bucket, ...]
    strict: tuple[Lease, ...]
    shadow: tuple[Lease | Bucket, ...]
    most_milli: int  # a cost above it never fits
    instrument_limit: Limit | None = None


class SharedLimiter:
    """The `limits.limiter.Limiter` of one node among `nodes`. `on_ready` is called when it is worth asking again."""

    def __init__(
        self,
        policy: Policy,
        store: Store,
        node: str,
        nodes: int,
        now_ns: Callable[[], int],
        at_end_of_tick: Callable[[Callable[[], None]], object],
    ) -> None:
        """node: a name no other process has or had lately. nodes: how many there are, by which shares are cut."""
        self._policy = policy
        self._nodes = nodes
        self._generation = 1
        self._since_us = 0
        self._paths = Paths()
        self._leases: dict[str, Lease] = {}
        self._open_tickets: dict[Ticket, None] = {}
        self.exchange = Exchange(store, node, now_ns, at_end_of_tick)
        self.counts = {name: Counts() for name in SCOPES}
        self.degraded = 0  # decisions taken without the store

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    @property
    def remembered(self) -> int:
        """Sessions whose buckets are known: those that are held, and those kept after they left."""
        return len(self._paths)

    def on_ready(self, call: Callable[[], None]) -> None:
        """Have `call` called whenever answers came: what was PENDING may be asked again."""
        self.exchange.on_ready = call

    def apply(self, policy: Policy, now_ns: int) -> None:
        """Put another policy in force from now on; the store rescales each bucket when it is next asked."""
        self._policy = policy
        self._generation += 1
        self._since_us = now_ns // 1000

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` is next wanted, None when nothing is out."""
        due_us = self.exchange.next_due_us
        if self._open_tickets:
            oldest = next(iter(self._open_tickets))
            due_us = min(due_us or oldest.made_us + _TICKET_KEPT_US, oldest.made_us + _TICKET_KEPT_US)
        return None if due_us is None else due_us * 1000

    def tick(self, now_ns: int) -> None:
        """Settle leases and forgotten decisions that are due."""
        now_us = now_ns // 1000
        self.exchange.tick(now_us)
        for ticket in list(self._open_tickets):
            if ticket.made_us + _TICKET_KEPT_US > now_us:
                break
            del self._open_tickets[ticket]
            self._refund(ticket, now_us)

    def close(self) -> None:
        """Return every lease: a graceful stop costs nobody a token."""
        self.exchange.hand_back(self._leases.values())

    def open(self, account: str, session: str) -> Path:
        """The path of one session: the very same one while it is remembered, so that reconnecting refills nothing."""
        path = self._paths.open(account, session)
        if path.generation != self._generation:
            self._resolve(path)
        for lease in path.routes["orders"].leases:
            if not lease.left_milli:
                self.exchange.fetch(lease)  # so that the first order need not wait
        return path

    # -- decisions -----------------------------------------------------------------------------------------------

    def take(self, path: Any, name: str, cost_milli: int, now_ns: int, instrument: int = 0) -> Decision:
        """Debit `cost_milli` (0 or more) from `name` on every level of `path`, or nothing. `ALLOWED` when it fits."""
        if path.generation != self._generation:
            self._resolve(path)
        route = path.routes[name]
        if instrument and route.instrument_limit is not None:
            route = path.per_instrument.get(instrument) or self._instrument_route(path, route, instrument)
        now_us = now_ns // 1000
        if now_us < path.standing.cooling_until_us and name not in EXEMPT:
            return self._refuse(path, route, name, [], now_us)
        if route.strict:
            return self._take_strict(path, route, name, cost_milli, now_us)
        for lease in route.leases:
            if lease.left_milli < cost_milli or now_us >= lease.deadline_us:
                return self._decide(path, route, name, cost_milli, now_us)
        for bucket in route.own:
            if not bucket.fits(cost_milli, now_us):
                return self._decide(path, route, name, cost_milli, now_us)
        for lease in route.leases:
            left_milli = lease.left_milli = lease.left_milli - cost_milli
            if left_milli < lease.low_milli:
                self.exchange.fetch(lease)
        for bucket in route.own:
            bucket.level -= cost_milli * bucket.milli
        if route.shadow:
            self._take_shadow(route, cost_milli, now_us)
        route.counts.admitted += 1
        return ALLOWED

    def give_back(self, path: Any, name: str, cost_milli: int, now_ns: int, instrument: int = 0) -> None:
        """Return what an earlier `take` debited, on every level."""
        if path.generation != self._generation:
            self._resolve(path)
        route = path.routes[name]
        if instrument and route.instrument_limit is not None:
            route = path.per_instrument.get(instrument) or self._instrument_route(path, route, instrument)
        for bucket in (*route.leases, *route.own, *route.strict, *route.shadow):
            self._give_back(bucket, cost_milli, now_ns // 1000)

    def view(self, path: Any, now_ns: int, names: tuple[str, ...] = ()) -> list[BucketView]:
        """The buckets of `path` (all, or those named), widest scope first, as this node last saw them."""
        if path.generation != self._generation:
            self._resolve(path)
        levels = [(name, level) for name in names or SCOPES for level in path.routes[name].levels]
        levels.sort(key=lambda pair: WIDTH.index(pair[1].scope))
        return [_view(name, level, now_ns // 1000, self.exchange.is_away) for name, level in levels]

    # -- when it is not plain arithmetic -------------------------------------------------------------------------

    def _decide(
        self, path: Path, route: Route, name: str, cost_milli: int, now_us: int, paid: bool = False
    ) -> Decision:
        """Refuse where a level says no, else wait for what is short, else debit. paid: the strict levels have."""
        waits: list[Wait] = []
        short: list[Lease] = []
        for level in route.binding:
            bucket = level.bucket
            if paid and bucket in route.strict:
                continue
            wait_us = bucket.wait_us(cost_milli, now_us)
            if isinstance(bucket, Lease) and not bucket.fits(cost_milli, now_us):
                if cost_milli > level.limit.burst * MILLI:
                    wait_us = NEVER
                elif self.exchange.is_away:
                    wait_us = self._wait_away(bucket, name, cost_milli, now_us)
                elif not wait_us:
                    short.append(bucket)
            if wait_us:
                waits.append((wait_us, level.scope, level.limit))
        if waits:
            return self._refuse(path, route, name, waits, now_us)
        if short:
            return self._wait_for(path, route, short, cost_milli, now_us)
        for level in route.binding:
            if not (paid and level.bucket in route.strict):
                _debit(level.bucket, cost_milli, now_us)
        if route.shadow:
            self._take_shadow(route, cost_milli, now_us)
        route.counts.admitted += 1
        return ALLOWED

    def _wait_for(self, path: Path, route: Route, short: list[Lease], cost_milli: int, now_us: int) -> Decision:
        """Have tokens fetched; the store is asked to decide only when nothing else is short, for that is final."""
        leases = [lease for lease in short if not lease.is_strict]
        for lease in leases:
            lease.need_milli = max(lease.need_milli, cost_milli)
            self.exchange.fetch(lease)
        return PENDING if leases else self._ask_store(path, route, tuple(short), cost_milli, now_us)

    def _ask_store(
        self, path: Path, route: Route, buckets: tuple[Lease, ...], cost_milli: int, now_us: int
    ) -> Decision:
        ticket = path.tickets[route] = Ticket(cost_milli, buckets, now_us)
        self._open_tickets[ticket] = None
        self.exchange.decide(ticket)
        return PENDING

    def _take_strict(self, path: Path, route: Route, name: str, cost_milli: int, now_us: int) -> Decision:
        """A decision with levels that only the store can decide: theirs first, and ours when it has said yes."""
        ticket: Ticket | None = path.tickets.get(route)
        is_plain = len(route.strict) == len(route.binding) and not route.shadow
        if ticket is None:
            if is_plain and cost_milli <= route.most_milli and not self.exchange.is_away:
                for lease in route.strict:
                    if now_us < lease.deny_until_us or lease.left_milli:
                        break
                else:
                    return self._ask_store(path, route, route.strict, cost_milli, now_us)
            return self._decide(path, route, name, cost_milli, now_us)
        if ticket.cost_milli == cost_milli and not ticket.is_done:
            return PENDING
        del path.tickets[route]
        if ticket.cost_milli != cost_milli:
            return self._decide(path, route, name, cost_milli, now_us)  # `tick` refunds what it came to
        self._open_tickets.pop(ticket, None)
        taken = ticket.taken
        if taken is None or taken.wait_us:
            if taken is not None:
                ticket.buckets[taken.binds].denied(cost_milli, taken.wait_us, now_us)
            return self._decide(path, route, name, cost_milli, now_us)
        if is_plain:
            route.counts.admitted += 1
            return ALLOWED
        decision = self._decide(path, route, name, cost_milli, now_us, paid=True)
        if decision is not ALLOWED:
            self._refund(ticket, now_us)
        return decision

    def _refund(self, ticket: Ticket, now_us: int) -> None:
        """Nobody goes on with what the store has taken for this ticket: from now on it is worth nothing."""
        taken, ticket.taken = ticket.taken, None
        if taken is not None and not taken.wait_us:
            for bucket in ticket.buckets:
                self._give_back(bucket, ticket.cost_milli, now_us)

    def _give_back(self, bucket: Lease | Bucket, cost_milli: int, now_us: int) -> None:
        if isinstance(bucket, Bucket):
            bucket.give_back(cost_milli)
            return
        bucket.give_back(cost_milli, now_us)
        if bucket.refund_milli:
            self.exchange.refund(bucket)

    def _wait_away(self, lease: Lease, name: str, cost_milli: int, now_us: int) -> int:
        """How long a level makes wait while the store is away, by what its limit says. Cancels always pass."""
        self.degraded += 1
        mode = "allow" if name == "cancels" else lease.limit.on_store_loss
        if mode == "safe":
            return lease.away_wait_us(cost_milli, now_us)
        lease.fallback = None
        return _STORE_RETRY_US if mode == "deny" else 0

    def _take_shadow(self, route: Route, cost_milli: int, now_us: int) -> None:
        """Debit the levels that only count. What is not known yet is not counted as a would-be refusal."""
        if all(bucket.fits(cost_milli, now_us) for bucket in route.shadow):
            for bucket in route.shadow:
                bucket.debit(cost_milli)
        elif any(bucket.wait_us(cost_milli, now_us) for bucket in route.shadow):
            route.counts.shadow_refused += 1
            return
        for bucket in route.shadow:
            if isinstance(bucket, Lease) and bucket.left_milli <= bucket.low_milli:
                bucket.need_milli = max(bucket.need_milli, cost_milli)
                self.exchange.fetch(bucket)

    def _refuse(self, path: Path, route: Route, name: str, waits: list[Wait], now_us: int) -> Decision:
        route.counts.refused += 1
        waits = waits or [(0, level.scope, level.limit) for level in route.binding]
        return punished(longest_of(name, waits), path.standing, self._policy.penalty, now_us)

    # -- what a path walks through -------------------------------------------------------------------------------

    def _resolve(self, path: Path) -> None:
        """Resolve the path under the policy in force. Buckets stay, even while they are off: nothing refills."""
        levels: dict[str, list[Level]] = {name: [] for name in SCOPES}
        for name, scope, limit in self._policy.levels(path.account, path.session):
            bucket = self._own(path, name, limit) if scope == "session" else self._lease(path, scope, name, limit)
            if limit.mode != "off":
                levels[name].append(Level(bucket, scope, limit))
        path.routes = {name: _route(self.counts[name], found) for name, found in levels.items()}
        path.per_instrument.clear()
        path.tickets.clear()  # `tick` refunds them
        each = self._policy.instrument_limit(path.account)
        path.routes["orders"] = msgspec.structs.replace(path.routes["orders"], instrument_limit=each)
        path.generation = self._generation

    def _instrument_route(self, path: Path, route: Route, instrument: int) -> Route:
        """The way of orders in one instrument: that of all orders, and the instrument's own bucket."""
        limit = route.instrument_limit
        assert limit is not None
        lease = self._lease(path, "instrument", f"{PER_INSTRUMENT}/{instrument}", limit)
        found = _route(route.counts, [*route.levels, Level(lease, "instrument", limit)])
        path.per_instrument[instrument] = found
        return found

    def _own(self, path: Path, name: str, limit: Limit) -> Bucket:
        bucket = path.own.get(name)
        if bucket is None:
            bucket = path.own[name] = Bucket(limit.rate, limit.burst)
        bucket.retune(limit.rate, limit.burst, self._since_us)
        return bucket

    def _lease(self, path: Path, scope: str, name: str, limit: Limit) -> Lease:
        name, _, owner = name.partition("/")
        key = key_of("*" if scope == "venue" else path.account, scope, owner, name)
        lease = self._leases.get(key)
        if lease is None:
            lease = self._leases[key] = Lease(key, limit, self._policy.version, self._nodes)
        lease.retune(limit, self._policy.version, may_be_strict=scope != "venue")
        return lease


def _debit(bucket: Lease | Bucket, cost_milli: int, now_us: int) -> None:
    """Debit what is checked: in this node where it fits, else on the share it has while the store is away."""
    if isinstance(bucket, Lease) and not bucket.fits(cost_milli, now_us):
        bucket.away_debit(cost_milli)
    else:
        bucket.debit(cost_milli)


def _route(counts: Counts, levels: list[Level]) -> Route:
    binding = tuple(level for level in levels if level.limit.mode == "enforce")
    leases = [level.bucket for level in binding if isinstance(level.bucket, Lease)]
    return Route(
        counts,
        tuple(levels),
        binding,
        tuple(lease for lease in leases if not lease.is_strict),
        tuple(level.bucket for level in binding if isinstance(level.bucket, Bucket)),
        tuple(lease for lease in leases if lease.is_strict),
        tuple(level.bucket for level in levels if level.limit.mode == "shadow"),
        min((level.limit.burst for level in binding), default=0) * MILLI,
    )


def _view(name: str, level: Level, now_us: int, is_away: bool) -> BucketView:
    """One bucket as people see it. A shared one: what the store last told, and what this node has left of its lease."""
    bucket, limit = level.bucket, level.limit
    if isinstance(bucket, Bucket):
        full_in_us = bucket.full_in_us(now_us)
        remaining = bucket.level // bucket.period_us
    else:
        remaining, full_in_us = bucket.remaining(now_us)
    degraded = is_away and isinstance(bucket, Lease)
    return BucketView(
        name, level.scope, remaining, limit.burst, limit.rate.per_second, -(-full_in_us // 1000), degraded, limit.mode
    )
