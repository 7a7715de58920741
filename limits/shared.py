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
from limits.lease import Lease, is_strict
from limits.limiter import ALLOWED, PENDING, BucketView, Decision
from limits.paths import Counts, Path, Paths
from limits.penalty import EXEMPT
from limits.policy import PER_INSTRUMENT, SCOPES, WIDTH, Limit, Policy
from limits.refusal import Wait, longest_of, punished
from limits.store import Store, key_of

_STORE_RETRY_US = 250_000  # what a refusal names while the store is away: it is probed so often
_TICKET_KEPT_US = 1_000_000  # a paid decision that nobody comes for is refunded


class Level(msgspec.Struct, frozen=True):
    """One bucket on a path: a Lease of a shared one or a session's own, its scope, and its limit."""

    bucket: Lease | Bucket
    scope: str
    limit: Limit


class Route(msgspec.Struct, frozen=True, eq=False):
    """What one bucket name means on one path, sorted by how each level is decided."""

    counts: Counts
    levels: tuple[Level, ...]
    leases: tuple[Lease, ...]
    own: tuple[Bucket, ...]
    strict: tuple[Lease, ...]
    shadow: tuple[Lease | Bucket, ...]
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
        """node: a name no other process has or had lately. nodes: how many there are; sizes and degraded rates use it."""
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

    def tick(self, now_ns: int) -> None:
        """Settle leases and forgotten decisions. Call it every 50 ms or more often."""
        now_us = now_ns // 1000
        self.exchange.tick(now_us)
        for ticket in list(self._open_tickets):
            if ticket.made_us + _TICKET_KEPT_US > now_us:
                break
            self._drop(ticket, now_us)

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
                return self._lacking(path, route, name, cost_milli, now_us)
        for bucket in route.own:
            if not bucket.fits(cost_milli, now_us):
                return self._lacking(path, route, name, cost_milli, now_us)
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

    def _give_back(self, bucket: Lease | Bucket, cost_milli: int, now_us: int) -> None:
        if isinstance(bucket, Bucket):
            bucket.give_back(cost_milli)
            return
        bucket.give_back(cost_milli, now_us)
        if bucket.refund_milli:
            self.exchange.refund(bucket)

    def _lacking(self, path: Path, route: Route, name: str, cost_milli: int, now_us: int) -> Decision:
        """A level has not enough at hand: refuse where one says no, else wait for tokens, else decide without a store."""
        waits: list[Wait] = []
        short: list[Lease] = []
        away: list[Lease] = []
        for level in route.levels:
            lease = level.bucket
            if level.limit.mode != "enforce" or (isinstance(lease, Lease) and lease.is_strict):
                continue
            if isinstance(lease, Bucket):
                wait_us = lease.wait_us(cost_milli, now_us)
            elif lease.fits(cost_milli, now_us):
                continue
            elif cost_milli > level.limit.burst * MILLI:
                wait_us = NEVER
            elif self.exchange.is_away:
                wait_us = self._wait_away(lease, name, cost_milli, now_us)
                away.append(lease)
            else:
                wait_us = lease.wait_us(cost_milli, now_us)
                short.append(lease)
            if wait_us:
                waits.append((wait_us, level.scope, level.limit))
        if waits:
            return self._refuse(path, route, name, waits, now_us)
        for lease in short:
            lease.need_milli = max(lease.need_milli, cost_milli)
            self.exchange.fetch(lease)
        if short:
            return PENDING
        self._debit(route, cost_milli, now_us, away)
        return ALLOWED

    def _wait_away(self, lease: Lease, name: str, cost_milli: int, now_us: int) -> int:
        """How long a level makes wait while the store is away, by what its limit says. Cancels always pass."""
        self.degraded += 1
        mode = "allow" if name == "cancels" else lease.limit.on_store_loss
        if mode == "allow":
            lease.fallback = None
            return 0
        if mode == "deny":
            return _STORE_RETRY_US
        return lease.away_wait_us(cost_milli, self._nodes, now_us)

    def _debit(self, route: Route, cost_milli: int, now_us: int, away: list[Lease]) -> None:
        """Debit every level that is decided here; all of them have been checked."""
        for lease in route.leases:
            if lease in away:
                lease.away_debit(cost_milli)
            else:
                lease.left_milli -= cost_milli
        for lease in away:
            if lease.is_strict:
                lease.away_debit(cost_milli)
        for bucket in route.own:
            bucket.debit(cost_milli)
        if route.shadow:
            self._take_shadow(route, cost_milli, now_us)
        route.counts.admitted += 1

    def _take_shadow(self, route: Route, cost_milli: int, now_us: int) -> None:
        """Debit the levels that only count. One that nothing is known of yet is not counted as a would-be refusal."""
        if all(bucket.fits(cost_milli, now_us) for bucket in route.shadow):
            for bucket in route.shadow:
                bucket.debit(cost_milli)
                if isinstance(bucket, Lease) and bucket.left_milli < bucket.low_milli:
                    self.exchange.fetch(bucket)
            return
        denied = False
        for bucket in route.shadow:
            denied = denied or bucket.wait_us(cost_milli, now_us) != 0
            if isinstance(bucket, Lease) and not bucket.fits(cost_milli, now_us):
                bucket.need_milli = max(bucket.need_milli, cost_milli)
                if not bucket.wait_us(cost_milli, now_us):
                    self.exchange.fetch(bucket)
        route.counts.shadow_refused += denied

    def _refuse(self, path: Path, route: Route, name: str, waits: list[Wait], now_us: int) -> Decision:
        route.counts.refused += 1
        if not waits:
            waits = [(0, level.scope, level.limit) for level in route.levels if level.limit.mode == "enforce"]
        return punished(longest_of(name, waits), path.standing, self._policy.penalty, now_us)

    # -- strict decisions ----------------------------------------------------------------------------------------

    def _take_strict(self, path: Path, route: Route, name: str, cost_milli: int, now_us: int) -> Decision:
        """A decision with levels that only the store can decide: theirs first, and ours when it has said yes."""
        ticket: Ticket | None = path.tickets.get(route)
        if ticket is not None and ticket.cost_milli != cost_milli:
            del path.tickets[route]
            self._drop(ticket, now_us)
            ticket = None
        if ticket is None:
            return self._ask_store(path, route, name, cost_milli, now_us)
        if not ticket.is_done:
            return PENDING
        del path.tickets[route]
        self._open_tickets.pop(ticket, None)
        if ticket.taken is None:
            return self._ask_store(path, route, name, cost_milli, now_us)
        if ticket.taken.wait_us:
            return self._refuse(path, route, name, [_denied(route, ticket)], now_us)
        decision = self._lacking(path, route, name, cost_milli, now_us)
        if decision is not ALLOWED:
            self._refund(ticket, now_us)
        return decision

    def _ask_store(self, path: Path, route: Route, name: str, cost_milli: int, now_us: int) -> Decision:
        """Ask for a strict decision, unless a level says no already; without a store, decide by what the limits say."""
        waits: list[Wait] = []
        for level in route.levels:
            bucket = level.bucket
            if level.limit.mode != "enforce":
                continue
            if cost_milli > level.limit.burst * MILLI:
                waits.append((NEVER, level.scope, level.limit))
            elif isinstance(bucket, Bucket):
                waits.append((bucket.wait_us(cost_milli, now_us), level.scope, level.limit))
            elif self.exchange.is_away and bucket.is_strict:
                waits.append((self._wait_away(bucket, name, cost_milli, now_us), level.scope, level.limit))
            else:
                waits.append((bucket.wait_us(cost_milli, now_us), level.scope, level.limit))
        waits = [wait for wait in waits if wait[0]]
        if waits:
            return self._refuse(path, route, name, waits, now_us)
        if self.exchange.is_away:
            decision = self._lacking(path, route, name, cost_milli, now_us)
            if decision is ALLOWED:
                for lease in route.strict:
                    lease.away_debit(cost_milli)
            return decision
        ticket = path.tickets[route] = Ticket(cost_milli, route.strict, now_us)
        self._open_tickets[ticket] = None
        self.exchange.decide(ticket)
        return PENDING

    def _drop(self, ticket: Ticket, now_us: int) -> None:
        """Nobody waits for this decision any more."""
        self._open_tickets.pop(ticket, None)
        self._refund(ticket, now_us)

    def _refund(self, ticket: Ticket, now_us: int) -> None:
        if ticket.taken is not None and not ticket.taken.wait_us:
            for bucket in ticket.buckets:
                self._give_back(bucket, ticket.cost_milli, now_us)
