"""The limiter of several nodes: buckets in a shared store, decided in process wherever a lease allows it.

A decision is one synchronous call over all levels. Buckets too small to lease are decided by the store (strict): the
first `take` answers PENDING, and the same `take` after `wake` returns the result. A session's own buckets are in the
node of the session. Shadow limits are judged the same way, after the action. Pure: the store, the clock and the end of
a turn are arguments.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from limits.bucket import MILLI, NEVER, Bucket
from limits.lease import Lease
from limits.lease_batcher import LeaseBatcher, StrictDecision
from limits.limiter import ALLOWED, PENDING, Decision, RoutedLimiter, RunCosts, ShadowDebit, Wait
from limits.paths import Counts, Path
from limits.penalty import EXEMPT
from limits.policy import Limit, Policy
from limits.shadow import Shadows, Verdict
from limits.shared_route import SharedLevel, SharedRoute, route_of
from limits.store import Store, Trouble, key_of

_STORE_RETRY_US = 250_000  # the wait in a refusal while the store is away: the period of its probes
_DECISION_KEPT_US = 250_000  # a paid decision that is not collected is refunded


class Question(NamedTuple):
    """What a session asks: at most one decision of the store is open for each, and it outlives a change of policy."""

    name: str
    instrument: int
    is_shadow: bool = False


class SharedLimiter(RoutedLimiter[Lease | Bucket]):
    """The limiter of one node among `nodes`. It sends nothing to the store before `connect`."""

    _wake: Callable[[], None]

    def __init__(
        self,
        policy: Policy,
        store: Store,
        node: str,
        nodes: int,
        now_ns: Callable[[], int],
        at_end_of_turn: Callable[[Callable[[], None]], object],
    ) -> None:
        """node: a name that no other process has or had recently. nodes: their number, which sets each one's share."""
        super().__init__(policy)
        self._load = 0
        self._nodes = nodes
        self._now_ns = now_ns
        self._leases: dict[str, Lease] = {}
        self._open_decisions: dict[StrictDecision, None] = {}
        self._shadows = Shadows(self._judge_shadow, self._count_shadow)
        self.batcher = LeaseBatcher(store, node, now_ns, at_end_of_turn, self._on_ready)
        self.degraded = 0  # decisions taken without the store

    def connect(
        self,
        wake: Callable[[], None],
        on_trouble: Callable[[str, Trouble], None],
        on_pulled: Callable[[str, int], None],
    ) -> None:
        """wake: called after answers; a PENDING `take` may be asked again. on_trouble: the key of a bucket that the
        store cannot decide, and why. on_pulled: a key, and how many microseconds its bucket was too far ahead.
        """
        self._wake = wake
        self.batcher.on_trouble, self.batcher.on_pulled = on_trouble, on_pulled

    def _on_ready(self) -> None:
        self._shadows.retry(self._now_ns() // 1000)
        self._wake()

    def loaded(self, number: int) -> None:
        """Set the number of the load in force. The store applies the terms of the load with the highest number."""
        self._load = max(self._load, number)
        self._generation += 1

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` is due next; None when nothing is outstanding."""
        due_us = self.batcher.next_due_us
        if self._open_decisions:
            oldest = next(iter(self._open_decisions))
            due_us = min(due_us or oldest.made_us + _DECISION_KEPT_US, oldest.made_us + _DECISION_KEPT_US)
        return None if due_us is None else due_us * 1000

    def tick(self, now_ns: int) -> None:
        """Settle due leases, and refund decisions that were not collected."""
        now_us = now_ns // 1000
        self.batcher.tick(now_us)
        for decision in list(self._open_decisions):
            if decision.made_us + _DECISION_KEPT_US > now_us:
                break
            del self._open_decisions[decision]
            self._refund(decision, now_us)

    def close(self) -> None:
        """Return every lease, so that a graceful stop loses no token."""
        self.batcher.hand_back(self._leases.values())

    def open(self, account: str, session: str) -> Path:
        path = super().open(account, session)
        route = path.routes["orders"]
        for lease in route.leases if route.shadow is None else (*route.leases, *route.shadow.leases):
            if not lease.left_milli:
                self.batcher.fetch(lease)  # so that the first order does not wait
        return path

    # -- decisions -----------------------------------------------------------------------------------------------

    def take(self, path: Path, name: str, cost_milli: int, now_ns: int, instrument: int = 0) -> Decision:
        if path.generation != self._generation:
            self._resolve(path)
        route = path.routes[name]
        if instrument and route.instrument_limit is not None:
            route = path.per_instrument.get(instrument) or self._instrument_route(path, route, instrument)
        now_us = now_ns // 1000
        if now_us < path.penalty_state.cooling_until_us and name not in EXEMPT:
            return self._refuse(path, route, name, [], now_us)
        if route.strict:
            return self._take_slowly(path, route, name, cost_milli, now_us, instrument)
        for lease in route.leases:
            if lease.left_milli < cost_milli or now_us >= lease.deadline_us:
                return self._take_slowly(path, route, name, cost_milli, now_us, instrument)
        for bucket in route.own:
            if not bucket.fits(cost_milli, now_us):
                return self._take_slowly(path, route, name, cost_milli, now_us, instrument)
        for lease in route.leases:
            left_milli = lease.left_milli = lease.left_milli - cost_milli
            if left_milli < lease.low_milli:
                self.batcher.fetch(lease)
        for bucket in route.own:
            bucket.level -= cost_milli * bucket.milli
        route.counts.admitted += 1
        if route.shadow is not None:
            return self._shadows.take(path, name, cost_milli, now_us, instrument)
        return ALLOWED

    def take_run(self, path: Path, costs: RunCosts, count: int, now_ns: int) -> bool:
        now_us = now_ns // 1000
        routes = self._routes_of(path, costs, now_us)
        for route, cost_milli in routes:
            if not _has(route, cost_milli, count, now_us):
                return False
            if route.shadow is not None and (
                self._shadows.is_waiting(path) or not _has(route.shadow, cost_milli, count, now_us)
            ):
                return False
        for route, cost_milli in routes:
            for level in route.binding:
                self._debit(level.bucket, cost_milli * count, now_us)
            if route.shadow is not None:
                for level in route.shadow.binding:
                    self._debit(level.bucket, cost_milli * count, now_us)
            route.counts.admitted += count
        return bool(routes)  # none in a cool-down

    def _routes_of(self, path: Path, costs: RunCosts, now_us: int) -> list[tuple[SharedRoute, int]]:
        """The routes of a run, each with the cost of one action; none if a cool-down is in its way."""
        is_cooling = now_us < path.penalty_state.cooling_until_us
        if is_cooling and any(name not in EXEMPT for name, _, _ in costs):
            return []
        return [(self._route(path, name, instrument), cost_milli) for name, cost_milli, instrument in costs]

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
        buckets = route.buckets
        if shadow is not None and shadow.state == "waiting":
            shadow.state = "withdrawn"
        elif route.shadow is not None and (shadow is None or shadow.state == "paid"):
            buckets += route.shadow.buckets
        for bucket in buckets:
            self._give_back(bucket, cost_milli, now_ns // 1000)

    def is_low(self, path: Path, now_ns: int, names: tuple[str, ...]) -> bool:
        return any(view.remaining * 4 < view.capacity for view in self.view(path, now_ns, names))

    # -- when arithmetic is not enough ---------------------------------------------------------------------------

    def _take_slowly(
        self, path: Path, route: SharedRoute, name: str, cost_milli: int, now_us: int, instrument: int
    ) -> Decision:
        verdict = self._judge(path, route, Question(name, instrument), cost_milli, now_us)
        if verdict is PENDING:
            return PENDING
        if not isinstance(verdict, Decision):
            return self._refuse(path, route, name, verdict, now_us)
        route.counts.admitted += 1
        if route.shadow is not None:
            return self._shadows.take(path, name, cost_milli, now_us, instrument)
        return ALLOWED

    def _judge_shadow(self, path: Path, name: str, cost_milli: int, now_us: int, instrument: int) -> Verdict:
        """The verdict of the shadow levels."""
        route = self._route(path, name, instrument).shadow
        question = Question(name, instrument, is_shadow=True)
        return ALLOWED if route is None else self._judge(path, route, question, cost_milli, now_us)

    def _count_shadow(self, name: str) -> None:
        self.counts[name].shadow_refused += 1

    def _judge(self, path: Path, route: SharedRoute, question: Question, cost_milli: int, now_us: int) -> Verdict:
        """Decide over all levels of the route, and debit them. Levels that only the store can decide come first."""
        if not route.strict:
            return self._weigh(route, path, question, cost_milli, now_us)
        decision = path.decisions.get(question)
        if decision is None:
            if len(route.strict) == len(route.binding) and cost_milli <= route.most_milli and not self.batcher.is_away:
                for lease in route.strict:
                    if now_us < lease.deny_until_us or lease.left_milli or lease.is_troubled:
                        break
                else:
                    return self._ask_store(path, question, route.strict, cost_milli, now_us)
            return self._weigh(route, path, question, cost_milli, now_us)
        if decision.cost_milli == cost_milli and not decision.is_done:
            return PENDING
        del path.decisions[question]
        if decision.cost_milli != cost_milli:
            return self._weigh(route, path, question, cost_milli, now_us)  # `tick` refunds what it took
        self._open_decisions.pop(decision, None)
        if not set(route.buckets).issuperset(decision.buckets):  # another policy decides by other buckets
            self._refund(decision, now_us)
            return self._weigh(route, path, question, cost_milli, now_us)
        taken = decision.taken
        if taken is None or taken.wait_us:
            if taken is not None:
                decision.buckets[taken.binds].denied(cost_milli, taken.wait_us, now_us)
            return self._weigh(route, path, question, cost_milli, now_us)
        if len(decision.buckets) == len(route.binding):
            return ALLOWED
        verdict = self._weigh(route, path, question, cost_milli, now_us, decision.buckets)
        if verdict is not ALLOWED:
            self._refund(decision, now_us)
        return verdict

    def _is_unheard(self, lease: Lease) -> bool:
        """Whether this bucket must be decided without the store."""
        return self.batcher.is_away or lease.is_troubled

    def _weigh(
        self,
        route: SharedRoute,
        path: Path,
        question: Question,
        cost_milli: int,
        now_us: int,
        paid: tuple[Lease, ...] = (),
    ) -> Verdict:
        """Refuse if a level refuses, else wait for tokens that are short, else debit. paid: debited by the store."""
        waits: list[Wait] = []
        short: list[Lease] = []
        rest = [level for level in route.binding if level.bucket not in paid] if paid else route.binding
        for level in rest:
            bucket = level.bucket
            wait_us = bucket.wait_us(cost_milli, now_us)
            if isinstance(bucket, Lease) and not bucket.fits(cost_milli, now_us):
                if cost_milli > level.limit.burst * MILLI:
                    wait_us = NEVER
                elif self._is_unheard(bucket) or (wait_us and bucket.is_astray and question.name == "cancels"):
                    wait_us = self._wait_away(bucket, question.name, cost_milli, now_us)
                elif not wait_us:
                    short.append(bucket)
            if wait_us:
                waits.append((wait_us, level.scope, level.limit))
        if waits:
            return waits
        if short:
            return self._wait_for(path, question, [*paid, *short], cost_milli, now_us)
        for level in rest:
            self._debit(level.bucket, cost_milli, now_us)
        return ALLOWED

    def _debit(self, bucket: Lease | Bucket, cost_milli: int, now_us: int) -> None:
        """Debit a checked cost: from the tokens in this node if it fits, else from the share without the store."""
        if isinstance(bucket, Bucket):
            bucket.debit(cost_milli)
        elif bucket.fits(cost_milli, now_us):
            bucket.debit(cost_milli)
            if bucket.left_milli < bucket.low_milli:
                self.batcher.fetch(bucket)
        else:
            bucket.away_debit(cost_milli)

    def _wait_for(self, path: Path, question: Question, short: list[Lease], cost_milli: int, now_us: int) -> Decision:
        """Have tokens fetched. The store decides only when nothing else is short, because its decision is final."""
        leases = [lease for lease in short if not lease.is_strict]
        for lease in leases:
            lease.need_milli = max(lease.need_milli, cost_milli)
            self.batcher.fetch(lease)
        return PENDING if leases else self._ask_store(path, question, tuple(short), cost_milli, now_us)

    def _ask_store(
        self, path: Path, question: Question, buckets: tuple[Lease, ...], cost_milli: int, now_us: int
    ) -> Decision:
        decision = path.decisions[question] = StrictDecision(cost_milli, buckets, now_us)
        self._open_decisions[decision] = None
        self.batcher.decide(decision)
        return PENDING

    def _refund(self, decision: StrictDecision, now_us: int) -> None:
        """Return what the store took for a decision that is not used. The decision is void from now on."""
        taken, decision.taken = decision.taken, None
        if taken is not None and not taken.wait_us:
            for bucket in decision.buckets:
                self._give_back(bucket, decision.cost_milli, now_us)

    def _give_back(self, bucket: Lease | Bucket, cost_milli: int, now_us: int) -> None:
        if isinstance(bucket, Bucket):
            bucket.give_back(cost_milli)
            return
        bucket.give_back(cost_milli, now_us)
        if bucket.refund_milli:
            self.batcher.refund(bucket)

    def _wait_away(self, lease: Lease, name: str, cost_milli: int, now_us: int) -> int:
        """The wait at a level that the store cannot decide, by its `on_store_loss`. Cancels always pass."""
        self.degraded += 1
        mode = "allow" if name == "cancels" else lease.limit.on_store_loss
        if mode == "safe":
            self.batcher.owes(lease, now_us)
            return lease.away_wait_us(cost_milli, now_us)
        lease.fallback = None
        return _STORE_RETRY_US if mode == "deny" else 0

    def _refuse(self, path: Path, route: SharedRoute, name: str, verdict: Sequence[Wait], now_us: int) -> Decision:
        waits = verdict or [(0, level.scope, level.limit) for level in route.binding]
        return self._refused(path, route, name, waits, now_us)

    # -- the buckets of a path -----------------------------------------------------------------------------------

    def _bucket_at(self, path: Path, scope: str, name: str, limit: Limit) -> Lease | Bucket:
        if scope == "session":
            return self._bucket_in(path.own, name, limit)
        name, _, owner = name.partition("/")
        key = key_of("*" if scope == "venue" else path.account, scope, owner, name)
        lease = self._leases.get(key)
        if lease is None:
            lease = self._leases[key] = Lease(key, limit, self._load, self._nodes)
        lease.retune(limit, self._load, may_be_strict=scope != "venue")
        return lease

    def _through(self, counts: Counts, levels: Sequence[SharedLevel]) -> SharedRoute:
        return route_of(counts, levels)

    def _state_of(self, bucket: Lease | Bucket, now_us: int) -> tuple[int, int, bool]:
        """For a shared bucket: the last state from the store, and what is left of this node's lease."""
        if isinstance(bucket, Lease):
            return (*bucket.remaining(now_us), self._is_unheard(bucket))
        return super()._state_of(bucket, now_us)


def _has(route: SharedRoute, cost_milli: int, count: int, now_us: int) -> bool:
    """Whether this node has the tokens for `count` actions on every level, with no word from the store."""
    total_milli = cost_milli * count
    return not route.strict and all(level.bucket.fits(total_milli, now_us) for level in route.binding)
