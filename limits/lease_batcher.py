"""A node's traffic with the store: packs the asks of one event loop turn into one call, and delivers the answers.

`fetch` and `decide` only record what is wanted. The call is sent at the end of the turn, so a hundred sessions cost
one round trip. At 0.8 of its life, `tick` renews a lease in use and returns an idle one. What was decided without the
store is settled when it answers again. A bucket in trouble is tried by itself. Pure: the store, the clock and the call
at the end of a turn are arguments.
"""

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from limits.lease import SETTLE_US, Lease
from limits.store import Answer, Ask, Batch, Outcome, Store, Taken, Trouble

MAX_BUCKETS = 128  # in one call: it blocks Redis for about a millisecond
_BEAT_US = 250_000  # how often the store is asked about what is not settled
_TRIED_AT_ONCE = 8  # buckets in trouble: these must not cost more calls than buckets that work
_OLD_NUMBER = Trouble("old_number", "the store has a later number on record for this gateway", is_undone=True)


class StrictDecision(msgspec.Struct, eq=False):
    """One strict decision: the store takes cost_milli from every bucket, or from none.

    taken: the store's answer. is_done without one: the outcome is unknown, and any tokens taken are lost.
    """

    cost_milli: int
    buckets: tuple[Lease, ...]
    made_us: int
    taken: Taken | None = None
    is_done: bool = False


class LeaseBatcher:
    """Packs asks and decisions into calls, and settles leases in time. One for each node."""

    on_trouble: Callable[[str, Trouble], None]
    on_pulled: Callable[[str, int], None]

    def __init__(
        self,
        store: Store,
        node: str,
        now_ns: Callable[[], int],
        at_end_of_turn: Callable[[Callable[[], None]], object],
        on_ready: Callable[[], None],
    ) -> None:
        """at_end_of_turn: calls its argument once, at the end of the current turn (`loop.call_soon`). on_ready: called
        after answers. on_trouble and on_pulled have no value before `SharedLimiter.connect`.
        """
        self._store = store
        self._node = node
        self._now_ns = now_ns
        self._at_end_of_turn = at_end_of_turn
        self._wanted: dict[Lease, None] = {}
        self._returning: dict[Lease, None] = {}
        self._decisions: list[StrictDecision] = []
        self._settle: deque[tuple[int, Lease, int]] = deque()  # (due, lease, its ask); due rises: one ttl for all
        self._unsettled: dict[Lease, None] = {}
        self._beat_us = 0  # when unsettled buckets are looked at next; 0 = there are none
        self._is_scheduled = False
        self.on_ready = on_ready
        self.calls = 0
        self.failures = 0
        self.pulled = 0  # buckets whose times were too far ahead

    @property
    def is_away(self) -> bool:
        """Whether the store is known not to answer. Then it is sent nothing, and no request waits for it."""
        return self._store.is_away

    @property
    def troubled(self) -> int:
        """Buckets that the store cannot decide although it works."""
        return sum(lease.is_troubled for lease in self._unsettled)

    @property
    def next_due_us(self) -> int | None:
        """When `tick` has something to settle."""
        dues = [due_us for due_us in (self._settle[0][0] if self._settle else 0, self._beat_us) if due_us]
        return min(dues) if dues else None

    def fetch(self, lease: Lease) -> None:
        """Ask for more of one bucket at the end of the turn, unless an ask is in flight or of no use."""
        lease.low_milli = 0
        if not lease.in_flight and not lease.is_troubled and not self._store.is_away:
            self._wanted[lease] = None
            self._schedule()

    def decide(self, decision: StrictDecision) -> None:
        """Have one strict decision made at the end of the turn."""
        self._decisions.append(decision)
        self._schedule()

    def refund(self, lease: Lease) -> None:
        """Report returned tokens to the store at the end of the turn."""
        if lease.is_strict:
            self._returning[lease] = None
            self._schedule()
        else:
            self.fetch(lease)

    def owes(self, lease: Lease, now_us: int) -> None:
        """Record that a bucket is decided without the store, to settle it when the store answers."""
        self._unsettled[lease] = None
        if not self._beat_us:
            self._beat_us = now_us + _BEAT_US

    def tick(self, now_us: int) -> None:
        """Settle due leases: renew one in use, return an idle one. A lease stays usable for another 50 ms."""
        settle = self._settle
        while settle and settle[0][0] <= now_us:
            _, lease, seq = settle.popleft()
            if lease.seq == seq and lease.fits(1, now_us):
                if lease.is_idle:
                    self._returning[lease] = None
                    self._schedule()
                else:
                    self.fetch(lease)
        if self._beat_us and now_us >= self._beat_us:
            self._beat(now_us)

    def hand_back(self, leases: Iterable[Lease]) -> None:
        """Return all unspent tokens of these buckets to the store at once, and settle debts."""
        now_us = self._now_ns() // 1000
        chosen = [
            lease
            for lease in leases
            if not lease.in_flight and (lease.left_milli or lease.refund_milli or not lease.is_settled)
        ]
        for group in self._groups(chosen):
            self._send(group, [lease.hand_back(i, self._node, now_us) for i, lease in enumerate(group)], [])

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._at_end_of_turn(self._flush)

    def _beat(self, now_us: int) -> None:
        """Settle the unsettled buckets. Of those in trouble, try a few in rotation."""
        for lease in [lease for lease in self._unsettled if lease.is_settled]:
            del self._unsettled[lease]
        self._beat_us = now_us + _BEAT_US if self._unsettled else 0
        if self._store.is_away or not self._unsettled:
            return
        troubled = [lease for lease in self._unsettled if lease.is_troubled]
        for lease in troubled[:_TRIED_AT_ONCE]:
            del self._unsettled[lease]
            self._unsettled[lease] = None
        self._returning |= dict.fromkeys(lease for lease in self._unsettled if not lease.is_troubled)
        self._returning |= dict.fromkeys(troubled[:_TRIED_AT_ONCE])
        self._schedule()

    def _flush(self) -> None:
        """Send what this turn wanted. Nothing waits for a store that is away."""
        self._is_scheduled = False
        wanted, self._wanted = self._wanted, {}
        returning, self._returning = self._returning, {}
        decisions, self._decisions = self._decisions, []
        if self._store.is_away:
            for decision in decisions:
                decision.is_done = True
            self.on_ready()
            return
        self.hand_back(returning)
        now_us = self._now_ns() // 1000
        leases = [lease for lease in wanted if not lease.in_flight]
        for group in self._groups(leases):
            asks = [lease.ask(i, self._node, now_us) for i, lease in enumerate(group)]
            self._settle.extend((now_us + SETTLE_US, lease, lease.seq) for lease in group)
            self._send(group, asks, [])
        for batch in self._decision_groups(decisions):
            buckets = list(dict.fromkeys(bucket for decision in batch for bucket in decision.buckets))
            owing = [i for i, lease in enumerate(buckets) if lease in self._unsettled and not lease.in_flight]
            self._send(buckets, [buckets[i].hand_back(i, self._node, now_us) for i in owing], batch)

    def _groups(self, leases: list[Lease]) -> Iterable[list[Lease]]:
        """Split into calls of up to MAX_BUCKETS buckets.

        In a cluster, one bucket per call: while a slot moves, its keys are spread over two nodes.
        """
        most = 1 if self._store.is_cluster else MAX_BUCKETS
        return [leases[i : i + most] for i in range(0, len(leases), most)]

    def _decision_groups(self, decisions: list[StrictDecision]) -> Iterable[list[StrictDecision]]:
        if not self._store.is_cluster:
            return [decisions[i : i + MAX_BUCKETS] for i in range(0, len(decisions), MAX_BUCKETS)]
        by_tag: dict[str, list[StrictDecision]] = {}
        for decision in decisions:
            tag = decision.buckets[0].key.partition("}")[0]  # chooses the slot
            by_tag.setdefault(tag, []).append(decision)
        return by_tag.values()

    def _send(self, buckets: list[Lease], asks: list[Ask], decisions: list[StrictDecision]) -> None:
        place = {bucket: i for i, bucket in enumerate(buckets)}
        takes = [[decision.cost_milli, *(place[each] for each in decision.buckets)] for decision in decisions]
        batch = Batch([bucket.terms for bucket in buckets], asks, takes)
        self.calls += 1
        keys = [bucket.key for bucket in buckets]
        self._store.call(keys, batch, lambda outcome: self._answered(buckets, batch, decisions, outcome))

    def _answered(self, buckets: list[Lease], batch: Batch, decisions: list[StrictDecision], outcome: Outcome) -> None:
        if isinstance(outcome, Answer):
            self._take_over(buckets, batch, decisions, outcome)
        else:
            self.failures += 1
            is_many = len(batch.asks) + len(decisions) > 1
            if isinstance(outcome, Trouble) and outcome.is_undone and is_many:
                self._send_one_by_one(buckets, batch.asks, decisions)
                return
            for ask in batch.asks:
                buckets[ask.bucket].failed(ask)
            if isinstance(outcome, Trouble):
                for bucket in buckets:
                    self._trouble(bucket, outcome)
        for decision in decisions:
            decision.is_done = True
        for ask in batch.asks:
            if buckets[ask.bucket].refund_milli:
                self.refund(buckets[ask.bucket])  # returned during this call
        self.on_ready()

    def _take_over(self, buckets: list[Lease], batch: Batch, decisions: list[StrictDecision], answer: Answer) -> None:
        now_us = self._now_ns() // 1000
        for bucket, terms, state in zip(buckets, batch.terms, answer.states, strict=True):
            bucket.saw(state, terms.seen_us, answer.clock_us, now_us)
            if state.pulled_us:
                self.pulled += 1
                self.on_pulled(bucket.key, state.pulled_us)
        for ask, grant in zip(batch.asks, answer.granted, strict=True):
            bucket = buckets[ask.bucket]
            was_troubled = bucket.is_troubled
            if not bucket.answered(ask, grant, now_us):
                self._trouble(bucket, _OLD_NUMBER)
            elif was_troubled:
                self._beat_us = now_us  # others may work again too
        for decision, taken in zip(decisions, answer.taken, strict=True):
            decision.taken = taken

    def _send_one_by_one(self, buckets: list[Lease], asks: list[Ask], decisions: list[StrictDecision]) -> None:
        """Resend each part of a call that was refused as a whole and changed nothing, to find the bucket in trouble."""
        for ask in asks:
            bucket, ask.bucket = buckets[ask.bucket], 0
            self._send([bucket], [ask], [])
        for decision in decisions:
            self._send(list(decision.buckets), [], [decision])

    def _trouble(self, bucket: Lease, trouble: Trouble) -> None:
        """Decide this bucket as if the store were away, and try it again later."""
        if not bucket.is_troubled:
            bucket.is_troubled = True
            self.on_trouble(bucket.key, trouble)
        self.owes(bucket, self._now_ns() // 1000)
