"""A shared bucket as Redis keeps it, in Python: the twin of `bucket.lua`, function by function.

Tests prove the two equal step by step, and then prove the invariants on this one, where time is an argument and every
state can be visited. Change both or neither. I1 to I5 are stated in docs/understand/limits.md. Pure.
"""

import msgspec

from limits.bucket import MAX_UNITS, MILLI, NEVER
from limits.store import Answer, Ask, Batch, BucketState, Grant, Taken, Terms

_SEQ_KEPT_US = 60_000_000  # a lease's number outlives the lease, so that a late duplicate still finds it


class Record(msgspec.Struct):
    """What one node holds: at most held_milli until expiry_us. seq: of its last ask; paid_milli: of its debts, ever."""

    held_milli: int
    expiry_us: int
    seq: int
    paid_milli: int = 0


class Ledger:
    """One bucket: level in units, as_of_us when that was true, spare_us, its terms, and the leases on record."""

    def __init__(self, terms: Terms, as_of_us: int) -> None:
        """A full bucket."""
        self.set_plan(terms)
        self.level = self.capacity
        self.as_of_us = self.spare_us = as_of_us
        self.nodes: dict[str, Record] = {}

    def set_plan(self, terms: Terms) -> None:
        """Take over the terms as they are; `retune` is for a bucket with something in it."""
        self.load, self.burst = terms.load, terms.burst
        self.amount, self.period_us = terms.amount, terms.period_us
        self.milli, self.capacity = terms.period_us // MILLI, terms.burst * terms.period_us
        self.fills_us = -(-self.capacity // terms.amount)

    @property
    def out_milli(self) -> int:
        """What is out on leases, as recorded."""
        return sum(record.held_milli for record in self.nodes.values())

    @property
    def room(self) -> int:
        """Units that may be in the bucket: tokens that a node may still spend are not refilled (I1)."""
        return max(0, self.capacity - self.out_milli * self.milli)

    def refill(self, at_us: int) -> None:
        """What time brings, up to the room; time that brings nothing because the bucket is full is spare."""
        elapsed_us = at_us - self.as_of_us
        if elapsed_us > 0:
            room = self.room
            lacks_us = -((self.level - room) // self.amount)
            if elapsed_us < lacks_us:
                self.level += elapsed_us * self.amount
            else:
                self.level = room
                self.spare_us += elapsed_us - lacks_us
            self.as_of_us = at_us

    def expire(self, now_us: int) -> None:
        """An expired lease counts as spent (I4): up to its expiry it takes room, after that time refills the room."""
        due = [each for each in self.nodes.values() if each.held_milli and each.expiry_us <= now_us]
        for record in sorted(due, key=lambda each: each.expiry_us):
            self.refill(record.expiry_us)
            record.held_milli = 0
        self.refill(now_us)

    def pull_back(self, clock_us: int) -> int:
        """Bring back times that lie further ahead than the bucket takes to fill; by how much. Nothing else changes.

        So a clock that was ahead and is put right freezes a bucket for so long at most, and within that time no stretch
        of time refills twice.
        """
        ahead_us = max(0, self.as_of_us - clock_us - self.fills_us)
        self.as_of_us -= ahead_us
        self.spare_us -= ahead_us
        self.shift(-ahead_us)
        return ahead_us

    def shift(self, by_us: int) -> None:
        """Leases keep their distance from the bucket's time when that jumps: a node counts its own from when it got
        them.
        """
        for record in self.nodes.values():
            record.expiry_us += by_us

    def retune(self, terms: Terms) -> None:
        """Tokens survive a change of plan, rounded down to a thousandth and clamped: no change ever makes one."""
        if terms.load < self.load:
            return  # another node has loaded its limits after this one
        if (terms.amount, terms.period_us, terms.burst) != (self.amount, self.period_us, self.burst):
            level_milli = self.level // self.milli
            self.set_plan(terms)
            self.level = min(level_milli * self.milli, self.room)
        self.load = terms.load

    def wait_us(self, cost_milli: int, clock_us: int) -> int:
        """Microseconds until the cost fits; 0 = now, NEVER = it cannot. A clock set back adds to it."""
        need = cost_milli * self.milli
        if need <= max(0, self.level):
            return 0
        if need > self.capacity:
            return NEVER
        return self.as_of_us - clock_us - (self.level - need) // self.amount

    def settle(self, debt_milli: int, terms: Terms) -> None:
        """Pay what a node has admitted by itself: out of the time that brought nothing since it last saw the bucket,
        and then out of the level, which may go below zero. A debt is never forgiven, and never paid twice.
        """
        debt, used_us = debt_milli * self.milli, 0
        if terms.seen_us:
            used_us = min(max(0, self.spare_us - terms.spare_us), -(-debt // self.amount))
        self.spare_us -= used_us
        self.level = max(self.level - max(0, debt - used_us * self.amount), self.capacity - MAX_UNITS)

    def lease(self, ask: Ask, terms: Terms, clock_us: int) -> Grant:
        """Settle what the node reports, then grant whole tokens: its wish within its share, its need, or nothing.

        What it has spent leaves the record; what it returns counts only out of the record (I5).
        """
        before = self.nodes.get(ask.node) or Record(0, 0, -1)
        if ask.seq <= before.seq:
            return Grant(-1, 0, 0)
        paid_milli = max(ask.paid_milli, before.paid_milli)
        if ask.owed_milli > paid_milli:
            self.settle(ask.owed_milli - paid_milli, terms)
            paid_milli = ask.owed_milli
        held = min(before.held_milli, ask.left_milli + ask.back_milli)
        returned = min(held, ask.back_milli)
        held -= returned
        now_us = max(clock_us, self.as_of_us)
        record = self.nodes[ask.node] = Record(held, now_us + ask.ttl_us, ask.seq, paid_milli)
        self.level = min(self.level + (returned + ask.refund_milli) * self.milli, self.room)
        holders = 1 + sum(each.held_milli > 0 for each in self.nodes.values() if each is not record)
        share = self.burst // (2 * holders) + -held // MILLI
        granted = min(max(ask.need, min(ask.want, share)), max(0, self.level // self.period_us))
        wait_us = 0
        if granted < ask.need:
            granted, wait_us = 0, self.wait_us(ask.need * MILLI, clock_us)
        self.level -= granted * self.period_us
        record.held_milli += granted * MILLI
        return Grant(granted, wait_us, record.held_milli)

    def state(self, clock_us: int, pulled_us: int = 0) -> BucketState:
        """What is told of the bucket after a call. Numbers of leases that ended long ago are dropped."""
        now_us = max(clock_us, self.as_of_us)
        for node, record in list(self.nodes.items()):
            if not record.held_milli and record.expiry_us + _SEQ_KEPT_US < now_us:
                del self.nodes[node]
        latest_us = max([now_us, *(each.expiry_us for each in self.nodes.values() if each.held_milli)])
        full_us = -((self.level - self.capacity) // self.amount)
        ttl_ms = -(-(latest_us - clock_us + full_us) // 1000) + 1
        level_milli, out_milli = self.level // self.milli, self.out_milli
        return BucketState(self.as_of_us, clock_us + ttl_ms * 1000, level_milli, out_milli, self.spare_us, pulled_us)


class Ledgers:
    """All buckets of a store in memory. `run` does what one call of `bucket.lua` does."""

    def __init__(self) -> None:
        self.by_key: dict[str, Ledger] = {}
        self.expires_us: dict[str, int] = {}

    def run(self, keys: list[str], batch: Batch, clock_us: int) -> Answer:
        """Answer one batch at `clock_us` of the store's clock."""
        opened = [self._open(key, terms, clock_us) for key, terms in zip(keys, batch.terms, strict=True)]
        granted = [opened[ask.bucket][0].lease(ask, batch.terms[ask.bucket], clock_us) for ask in batch.asks]
        taken = [_take([opened[i][0] for i in positions], cost, clock_us) for cost, *positions in batch.takes]
        states = [ledger.state(clock_us, pulled_us) for ledger, pulled_us in opened]
        for key, state in zip(keys, states, strict=True):
            # Not before it would be full under every plan that it has had: a wide one does not find it forgotten.
            lives_us = 0 if state.pulled_us else self.expires_us.get(key, 0)
            self.expires_us[key] = max(state.expires_us, lives_us)
        return Answer(clock_us, granted, taken, states)

    def _open(self, key: str, terms: Terms, clock_us: int) -> tuple[Ledger, int]:
        """The bucket as it is now, and how far its times were pulled back.

        What is forgotten is as the node saw it last, and what was forgotten before its time is empty since then. What
        is older may also be what was pulled back, so the debts in it count on. What a node remembers of a clock that
        was far ahead counts for nothing.
        """
        ledger, pulled_us = self.by_key.get(key), 0
        if ledger is None or clock_us >= self.expires_us[key]:
            self.expires_us.pop(key, None)
            ledger = self.by_key[key] = Ledger(terms, clock_us)
            if 0 < terms.seen_us <= clock_us + ledger.fills_us:
                most = 0 if clock_us < terms.expires_us else ledger.capacity
                ledger.level, ledger.as_of_us = min(terms.level_milli * ledger.milli, most), terms.seen_us
                ledger.spare_us = terms.spare_us
        else:
            pulled_us = ledger.pull_back(clock_us)
            if ledger.as_of_us < terms.seen_us <= clock_us + ledger.fills_us:
                ledger.shift(max(0, terms.seen_us - max(clock_us, ledger.as_of_us)))
                ledger.refill(terms.seen_us)
                ledger.level = min(ledger.level, terms.level_milli * ledger.milli, 0)
                ledger.spare_us = min(ledger.spare_us, terms.spare_us)
        ledger.expire(max(clock_us, ledger.as_of_us))
        ledger.retune(terms)
        return ledger, pulled_us


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
