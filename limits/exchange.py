"""A node's traffic with the store: what one tick wants is packed into one call, and answers go back to who waits.

`fetch` and `decide` only note what is wanted; the call leaves when the tick is over, so a hundred sessions cost one
round trip. A lease in use is renewed and an idle one handed back at 0.8 of its time, which `tick` sees to. Pure: the
store, the clock and the way to be called at the end of a tick are given.
"""

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from limits.lease import SETTLE_US, Lease
from limits.store import Answer, Ask, Batch, Store, Taken

MAX_BUCKETS = 128  # in one call: Redis does nothing else for about a millisecond


class Ticket(msgspec.Struct, eq=False):
    """One strict decision: the store takes cost_milli from every bucket, or from none.

    taken: the store's answer. is_done without one: the outcome is unknown, and whatever was paid is lost.
    """

    cost_milli: int
    buckets: tuple[Lease, ...]
    made_us: int
    taken: Taken | None = None
    is_done: bool = False


class Exchange:
    """Packs asks and tickets into calls, and settles leases in time. One for each node."""

    def __init__(
        self, store: Store, node: str, now_ns: Callable[[], int], at_end_of_tick: Callable[[Callable[[], None]], object]
    ) -> None:
        """at_end_of_tick: calls what it is given once, when the running tick is over (`loop.call_soon`)."""
        self._store = store
        self._node = node
        self._now_ns = now_ns
        self._at_end_of_tick = at_end_of_tick
        self._wanted: dict[Lease, None] = {}
        self._returning: dict[Lease, None] = {}
        self._tickets: list[Ticket] = []
        self._settle: deque[tuple[int, Lease, int]] = deque()  # (due, lease, its ask): due rises, for the ttl is one
        self._is_scheduled = False
        self.on_ready: Callable[[], None] = lambda: None
        self.calls = 0
        self.failures = 0

    @property
    def is_away(self) -> bool:
        """Whether the store is known not to answer: nothing is asked of it, so nobody waits."""
        return self._store.is_away

    @property
    def next_due_us(self) -> int | None:
        """When `tick` has something to settle."""
        return self._settle[0][0] if self._settle else None

    def fetch(self, lease: Lease) -> None:
        """Ask for more of one bucket when the tick is over, unless that is under way."""
        lease.low_milli = 0
        if not lease.in_flight and not self._store.is_away:
            self._wanted[lease] = None
            self._schedule()

    def decide(self, ticket: Ticket) -> None:
        """Have one strict decision made when the tick is over."""
        self._tickets.append(ticket)
        self._schedule()

    def refund(self, lease: Lease) -> None:
        """Tell the store of tokens that were given back, when the tick is over."""
        if lease.is_strict:
            self._returning[lease] = None
            self._schedule()
        else:
            self.fetch(lease)

    def tick(self, now_us: int) -> None:
        """Settle what is due: a lease in use is renewed, an idle one goes back. A lease lives 50 ms beyond that."""
        settle = self._settle
        while settle and settle[0][0] <= now_us:
            _, lease, seq = settle.popleft()
            if lease.seq == seq and lease.fits(1, now_us):
                if lease.is_idle:
                    self._returning[lease] = None
                    self._schedule()
                else:
                    self.fetch(lease)

    def hand_back(self, leases: Iterable[Lease]) -> None:
        """Return everything unspent of these buckets to the store, at once."""
        now_us = self._now_ns() // 1000
        chosen = [lease for lease in leases if not lease.in_flight and (lease.left_milli or lease.refund_milli)]
        for group in self._groups(chosen):
            asks = [lease.hand_back(i, self._node, now_us) for i, lease in enumerate(group)]
            self._send(group, asks, [])

    # -- inside --------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._at_end_of_tick(self._flush)

    def _flush(self) -> None:
        """Send what this tick wanted. Nothing waits for a store that is away."""
        self._is_scheduled = False
        wanted, self._wanted = self._wanted, {}
        returning, self._returning = self._returning, {}
        tickets, self._tickets = self._tickets, []
        if self._store.is_away:
            for ticket in tickets:
                ticket.is_done = True
            self.on_ready()
            return
        self.hand_back(returning)
        now_us = self._now_ns() // 1000
        leases = [lease for lease in wanted if not lease.in_flight]
        for group in self._groups(leases):
            asks = [lease.ask(i, self._node, now_us) for i, lease in enumerate(group)]
            self._settle.extend((now_us + SETTLE_US, lease, lease.seq) for lease in group)
            self._send(group, asks, [])
        for batch in self._ticket_groups(tickets):
            buckets = list(dict.fromkeys(bucket for ticket in batch for bucket in ticket.buckets))
            self._send(buckets, [], batch)

    def _groups(self, leases: list[Lease]) -> Iterable[list[Lease]]:
        """Cut into calls: no more than MAX_BUCKETS in one, and in a cluster only what lies in one slot."""
        if not self._store.is_cluster:
            return [leases[i : i + MAX_BUCKETS] for i in range(0, len(leases), MAX_BUCKETS)]
        by_tag: dict[str, list[Lease]] = {}
        for lease in leases:
            by_tag.setdefault(_tag(lease), []).append(lease)
        return by_tag.values()

    def _ticket_groups(self, tickets: list[Ticket]) -> Iterable[list[Ticket]]:
        if not self._store.is_cluster:
            return [tickets[i : i + MAX_BUCKETS] for i in range(0, len(tickets), MAX_BUCKETS)]
        by_tag: dict[str, list[Ticket]] = {}
        for ticket in tickets:
            by_tag.setdefault(_tag(ticket.buckets[0]), []).append(ticket)
        return by_tag.values()

    def _send(self, buckets: list[Lease], asks: list[Ask], tickets: list[Ticket]) -> None:
        place = {bucket: i for i, bucket in enumerate(buckets)}
        takes = [[ticket.cost_milli, *(place[each] for each in ticket.buckets)] for ticket in tickets]
        batch = Batch([bucket.terms for bucket in buckets], asks, takes)
        self.calls += 1
        self._store.call(
            [bucket.key for bucket in buckets],
            batch,
            lambda answer: self._answered(buckets, asks, tickets, answer),
        )

    def _answered(self, buckets: list[Lease], asks: list[Ask], tickets: list[Ticket], answer: Answer | None) -> None:
        now_us = self._now_ns() // 1000
        if answer is None:
            self.failures += 1
            for ask in asks:
                buckets[ask.bucket].failed(ask)
        else:
            for ask, grant in zip(asks, answer.granted, strict=True):
                buckets[ask.bucket].answered(ask, grant, answer.states[ask.bucket], now_us)
            for bucket, state in zip(buckets, answer.states, strict=True):
                bucket.saw(state, now_us)
            for ticket, taken in zip(tickets, answer.taken, strict=True):
                ticket.taken = taken
        for ticket in tickets:
            ticket.is_done = True
        for ask in asks:
            if buckets[ask.bucket].refund_milli:
                self.refund(buckets[ask.bucket])  # given back while this call was under way
        self.on_ready()


def _tag(lease: Lease) -> str:
    """The part of the key that chooses its slot."""
    return lease.key[lease.key.index("{") : lease.key.index("}")]
