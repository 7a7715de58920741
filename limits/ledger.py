"""A shared bucket as Redis keeps it, in Python: the twin of `bucket.lua`, function by function.

Tests prove the two equal step by step, and then prove the invariants on this one, where time is an argument and every
state can be visited. Change both or neither. I1 to I5 are stated in docs/understand/limits.md. Pure.
"""

import msgspec

from limits.bucket import MILLI, NEVER
from limits.store import Answer, Ask, Batch, Grant, State, Taken, Terms

_SEQ_KEPT_US = 60_000_000  # a lease's number outlives the lease, so that a late duplicate still finds it


class Record(msgspec.Struct):
    """What one node holds: at most held_milli until expiry_us; seq is the number of its last ask."""

    held_milli: int
    expiry_us: int
    seq: int


class Ledger:
    """One bucket: level in units, as_of_us when that was true, its terms, and the leases on record."""

    def __init__(self, terms: Terms, level: int, as_of_us: int) -> None:
        self.level = level
        self.as_of_us = as_of_us
        self.nodes: dict[str, Record] = {}
        self.set_plan(terms)

    def set_plan(self, terms: Terms) -> None:
        """Take over the terms as they are; `retune` is for a bucket with something in it."""
        self.version, self.burst = terms.version, terms.burst
        self.amount, self.period_us = terms.amount, terms.period_us
        self.milli, self.capacity = terms.period_us // MILLI, terms.burst * terms.period_us

    @property
    def out_milli(self) -> int:
        """What is out on leases, as recorded."""
        return sum(record.held_milli for record in self.nodes.values())

    @property
    def room(self) -> int:
        """Units that may be in the bucket: tokens that a node may still spend are not refilled (I1)."""
        return self.capacity - self.out_milli * self.milli

    def refill(self, at_us: int) -> None:
        """What time brings, up to what is not out on leases."""
        if at_us > self.as_of_us:
            self.level = max(0, min(self.level + (at_us - self.as_of_us) * self.amount, self.room))
            self.as_of_us = at_us

    def expire(self, now_us: int) -> None:
        """An expired lease counts as spent (I4): up to its expiry it takes room, after that time refills the room."""
        due = [each for each in self.nodes.values() if each.held_milli and each.expiry_us <= now_us]
        for record in sorted(due, key=lambda each: each.expiry_us):
            self.refill(record.expiry_us)
            record.held_milli = 0
        self.refill(now_us)

    def retune(self, terms: Terms) -> None:
        """Tokens survive a change of plan, rounded down to a thousandth and clamped: no change ever makes one."""
        if terms.version < self.version:
            return  # this node has not heard of the newer plan yet
        if (terms.amount, terms.period_us, terms.burst) != (self.amount, self.period_us, self.burst):
            level_milli = self.level // self.milli
            self.set_plan(terms)
            self.level = max(0, min(level_milli * self.milli, self.room))
        self.version = terms.version

    def wait_us(self, cost_milli: int, clock_us: int) -> int:
        """Microseconds until the cost fits; 0 = now, NEVER = it cannot. A clock set back adds to it."""
        need = cost_milli * self.milli
        if need <= self.level:
            return 0
        if need > self.capacity:
            return NEVER
        return self.as_of_us - clock_us - (self.level - need) // self.amount

    def lease(self, ask: Ask, clock_us: int) -> Grant:
        """Settle what the node reports, then grant whole tokens: its wish within its share, its need, or nothing.

        What it has spent leaves the record; what it returns counts only out of the record (I5).
        """
        record = self.nodes.get(ask.node)
        if record is not None and ask.seq <= record.seq:
            return Grant(-1, 0, 0)
        on_record = record.held_milli if record is not None else 0
        held = min(on_record, ask.left_milli + ask.back_milli)
        returned = min(held, ask.back_milli)
        held -= returned
        now_us = max(clock_us, self.as_of_us)
        record = self.nodes[ask.node] = Record(held, now_us + ask.ttl_us, ask.seq)
        self.level = min(self.level + (returned + ask.refund_milli) * self.milli, self.room)
        self.level = max(0, self.level - ask.debt_milli * self.milli)
        holders = 1 + sum(each.held_milli > 0 for each in self.nodes.values() if each is not record)
        share = self.burst // (2 * holders) + -held // MILLI
        granted = min(max(ask.need, min(ask.want, share)), self.level // self.period_us)
        wait_us = 0
        if granted < ask.need:
            granted, wait_us = 0, self.wait_us(ask.need * MILLI, clock_us)
        self.level -= granted * self.period_us
        record.held_milli += granted * MILLI
        return Grant(granted, wait_us, record.held_milli)

    def state(self, clock_us: int) -> State:
        """What is told of the bucket after a call. Numbers of leases that ended long ago are dropped."""
        now_us = max(clock_us, self.as_of_us)
        for node, record in list(self.nodes.items()):
            if not record.held_milli and record.expiry_us + _SEQ_KEPT_US < now_us:
                del self.nodes[node]
        latest_us = max([now_us, *(each.expiry_us for each in self.nodes.values() if each.held_milli)])
        full_us = -((self.level - self.capacity) // self.amount)
        ttl_ms = -(-(latest_us - clock_us + full_us) // 1000) + 1
        return State(self.as_of_us, clock_us + ttl_ms * 1000, self.level // self.milli, self.out_milli)


class Ledgers:
    """All buckets of a store in memory. `run` does what one call of `bucket.lua` does."""

    def __init__(self) -> None:
        self.by_key: dict[str, Ledger] = {}
        self.expires_us: dict[str, int] = {}

    def run(self, keys: list[str], batch: Batch, clock_us: int) -> Answer:
        """Answer one batch at `clock_us` of the store's clock."""
        opened = [self._open(key, terms, clock_us) for key, terms in zip(keys, batch.terms, strict=True)]
        granted = [opened[ask.bucket].lease(ask, clock_us) for ask in batch.asks]
        taken = [_take([opened[i] for i in positions], cost, clock_us) for cost, *positions in batch.takes]
        states = [ledger.state(clock_us) for ledger in opened]
        self.expires_us.update(zip(keys, (state.expires_us for state in states), strict=True))
        return Answer(clock_us, granted, taken, states)

    def _open(self, key: str, terms: Terms, clock_us: int) -> Ledger:
        """The bucket as it is now; what was lost although the node knows it better is empty since it was seen."""
        ledger = self.by_key.get(key)
        if ledger is None or clock_us >= self.expires_us[key]:
            ledger = Ledger(terms, terms.burst * terms.period_us, clock_us)
            if clock_us < terms.expires_us:
                ledger.level, ledger.as_of_us = 0, terms.seen_us
            self.by_key[key] = ledger
        elif ledger.as_of_us < terms.seen_us:
            ledger.level, ledger.as_of_us = 0, terms.seen_us
        ledger.expire(max(clock_us, ledger.as_of_us))
        ledger.retune(terms)
        return ledger


def _take(levels: list[Ledger], cost_milli: int, clock_us: int) -> Taken:
    """All levels are asked before any is debited: either every one pays, or none."""
    longest, binds = 0, 0
    for position, ledger in enumerate(levels):
        wait_us = ledger.wait_us(cost_milli, clock_us)
        if wait_us == NEVER or (longest != NEVER and wait_us > longest):
            longest, binds = wait_us, position
    if longest == 0:
        for ledger in levels:
            ledger.level -= cost_milli * ledger.milli
    return Taken(longest, binds)
