"""What was admitted of each account's order tokens, and that it never was more than burst and rate allow.

The bound of what the store grants is checked where it is exact: what a gateway spends of its lease counts when it
spends it, what the store decides counts when the store takes it, and what is given back counts when it is back, at once
where a lease has room for it and else when it reaches the store. Time passes where the store looks at its clock.

What gateways admit by themselves, while they cannot ask, is each one's share; and all together is a burst more at most.
"""

from typing import Any

from limits.bucket import MILLI
from limits.lease import TTL_US, Lease
from limits.policy import Policy
from limits.store import Answer, Batch, Trouble
from tests.simulate.world import Broken, World
from tests.support.ledger import Ledgers

_NAME = "orders"
_SLACK_MILLI = 10  # what a microsecond more or less on some clock comes to


class Bound:
    """How much may yet be admitted of one account's orders, in thousandths of a token."""

    def __init__(self, world: World, policy: Policy, account: str) -> None:
        limit = policy.plan_of(account).limits[_NAME]
        self._world = world
        self._account = account
        self.most_milli = limit.burst * MILLI
        self.per_us = limit.rate.amount * MILLI / limit.rate.period_us
        self.fills_us = round(self.most_milli / self.per_us)
        self._granted_milli = float(self.most_milli)
        self._seen_us = 0
        self._beyond: list[tuple[int, int]] = []  # until when, how much: leases that a clock let expire too early
        self._all_milli = float(self.most_milli)
        self._all_us = 0
        self.allowed_milli = self.most_milli  # below nothing

    def refill(self, clock_us: int) -> None:
        """The store looks at the bucket. No stretch of its time refills twice, but one that lies far ahead."""
        if not self._seen_us:
            self._seen_us = clock_us
        self._seen_us = min(self._seen_us, clock_us + self.fills_us)
        if clock_us > self._seen_us:
            self._beyond = [each for each in self._beyond if each[0] > self._world.now_ns]
            most_milli = self.most_milli + sum(milli for _, milli in self._beyond)
            brought_milli = (clock_us - self._seen_us) * self.per_us
            self._granted_milli = min(self._granted_milli + brought_milli, most_milli)
            self._seen_us = clock_us

    def expired_early(self, milli: int) -> None:
        """The store's clock went forward while gateways held so much, and it does not last longer for them."""
        self._beyond.append((self._world.now_ns + TTL_US * 1_000, milli))

    def spend(self, cost_milli: int) -> None:
        """The store has granted it, and it is admitted; below zero it is given back."""
        self._granted_milli -= cost_milli
        if self._granted_milli < -_SLACK_MILLI:
            self._break(-self._granted_milli, "the store's")
        self.admit(cost_milli)

    def admit(self, cost_milli: int) -> None:
        """It is admitted, with the store's grant or without."""
        now_us = self._world.now_ns // 1_000
        brought_milli = (now_us - self._all_us) * self.per_us if self._all_us else 0.0
        self._all_milli = min(self._all_milli + brought_milli, self.most_milli) - cost_milli
        self._all_us = now_us
        if self._all_milli < -self.allowed_milli - _SLACK_MILLI:
            self._break(-self._all_milli, f"{self.allowed_milli / MILLI:g} more and all")

    def _break(self, milli: float, whose: str) -> None:
        burst, rate = self.most_milli // MILLI, self.per_us * 1_000
        raise Broken(
            f"limits: {self._account} got {milli / MILLI:.3f} tokens more than burst {burst} + rate {rate:g}/s, {whose}"
        )


class Spending:
    """Over all gateways there are and were."""

    def __init__(self, world: World, policy: Policy) -> None:
        self._world = world
        self._policy = policy
        self._bounds: dict[str, Bound] = {}
        self._paid_milli: dict[str, int] = {}  # by account: what the store has taken, and nobody has gone on with
        self._heard_ns: dict[tuple[str, str], int] = {}  # when the store has carried out what a node asked of one
        self._debts_milli: dict[tuple[str, str], int] = {}
        self._limiters: dict[Any, str] = {}
        self.failed: set[str] = set()  # keys for which the store failed, though it was well

    # -- gateways ------------------------------------------------------------------------------------------------

    def watch(self, limiter: Any, node: str) -> None:
        """See what this gateway takes and gives back."""
        self._limiters[limiter] = node
        take, give_back, refund = limiter.take, limiter.give_back, limiter._refund

        def noted_take(path: Any, name: str, cost_milli: int, now_ns: int, instrument: int = 0) -> Any:
            if name != _NAME:
                return take(path, name, cost_milli, now_ns, instrument)
            [lease] = limiter._route(path, name, instrument).buckets
            left_milli, owed_milli = lease.left_milli, lease.owed_milli
            decision = take(path, name, cost_milli, now_ns, instrument)
            if decision.allowed and lease.owed_milli > owed_milli:
                self._admitted_alone(node, path.account, cost_milli)
            elif decision.allowed and lease.left_milli < left_milli:
                self._of(path.account).spend(cost_milli)
            elif decision.allowed:
                self._go_on(path.account, cost_milli)
            return decision

        def noted_give_back(path: Any, name: str, cost_milli: int, now_ns: int, *rest: Any) -> None:
            if name != _NAME:
                give_back(path, name, cost_milli, now_ns, *rest)
                return
            [lease] = limiter._route(path, name, rest[0] if rest else 0).buckets
            before_milli = lease.refund_milli
            give_back(path, name, cost_milli, now_ns, *rest)
            self._of(path.account).spend(lease.refund_milli - before_milli - cost_milli)

        def noted_refund(decision: Any, now_us: int) -> None:
            lease, taken = decision.buckets[0], decision.taken
            before_milli = lease.refund_milli
            refund(decision, now_us)
            if taken is not None and not taken.wait_us and (account := account_of(lease.key)):
                self._go_on(account, decision.cost_milli)
                self._of(account).spend(lease.refund_milli - before_milli - decision.cost_milli)

        limiter.take, limiter.give_back, limiter._refund = noted_take, noted_give_back, noted_refund

    def gone(self, limiter: Any) -> None:
        """The gateway is no more, and what it owes is owed by nobody."""
        node = self._limiters.pop(limiter)
        for lease in _leases(limiter):
            account = account_of(lease.key)
            paid_milli = self._debts_milli.get((node, account), 0)
            self._of(account).allowed_milli += lease.owed_milli - paid_milli

    def in_trouble(self, key: str, trouble: Trouble) -> None:
        """What is wrong with one bucket is no other's trouble."""
        if key not in self.failed:
            raise Broken(f"12: {key} is decided without the store, which is well: {trouble.reason}")

    def _admitted_alone(self, node: str, account: str, cost_milli: int) -> None:
        """Without the store: counted unless this gateway alone cannot ask, for longer than the bucket takes to fill."""
        bound = self._of(account)
        heard_ns = self._heard_ns.get((node, account), 0)
        if self._world.now_ns - heard_ns <= bound.fills_us * 1_000:
            bound.admit(cost_milli)

    # -- the store -----------------------------------------------------------------------------------------------

    def carried_out(self, node: str, keys: list[str], batch: Batch, answer: Answer) -> None:
        """The store has done this."""
        for account in filter(None, map(account_of, keys)):
            self._of(account).refill(answer.clock_us)
            self._heard_ns[node, account] = self._world.now_ns
        for ask, grant in zip(batch.asks, answer.granted, strict=True):
            if grant.granted >= 0 and (account := account_of(keys[ask.bucket])):
                self._of(account).spend(-ask.refund_milli)
                self._debts_milli[node, account] = ask.owed_milli
        for (cost_milli, *positions), taken in zip(batch.takes, answer.taken, strict=True):
            if not taken.wait_us and (account := account_of(keys[positions[0]])):
                self._of(account).spend(cost_milli)
                self._paid_milli[account] = self._paid_milli.get(account, 0) + cost_milli

    def clock_steps(self, by_ns: int) -> None:
        """What the store's clock brings at once is worth what its time is, a full bucket at most."""
        for limiter in self._limiters if by_ns > 0 else ():
            for lease in _leases(limiter):
                bound = self._of(account_of(lease.key))
                bound.expired_early(max(lease.left_milli, lease.bound_milli))
                bound.allowed_milli += round(min(by_ns // 1_000 * bound.per_us, bound.most_milli)) + lease.left_milli

    def check_full(self, ledgers: Ledgers, clock_us: int) -> None:
        """After some quiet, everybody finds a full bucket, whatever went wrong before."""
        for limiter, node in self._limiters.items():
            for lease in _leases(limiter):
                owed_milli = lease.owed_milli - self._debts_milli.get((node, account_of(lease.key)), 0)
                if owed_milli:
                    raise Broken(f"limits: {node} owes {lease.key} {owed_milli / MILLI:g} tokens after some quiet")
            troubled = [lease.key for lease in limiter._leases.values() if lease.is_troubled]
            if limiter.batcher.is_away or troubled:
                raise Broken(f"12: the store of limits is well, and a gateway does without it: {troubled}")
        for key, ledger in ledgers.by_key.items():
            if account_of(key) and clock_us < ledgers.expires_us[key]:
                # One that nobody has asked since the clock was put right is frozen from now on, as long as it may be.
                frozen_us = 2 * ledger.fills_us if ledger.pull_back(clock_us) else 0
                ledger.expire(max(clock_us + frozen_us, ledger.as_of_us))
                if ledger.level < ledger.capacity:
                    raise Broken(f"12: {key} is not full after some quiet: {ledger.level} of {ledger.capacity}")

    def _of(self, account: str) -> Bound:
        bound = self._bounds.get(account)
        if bound is None:
            bound = self._bounds[account] = Bound(self._world, self._policy, account)
        return bound

    def _go_on(self, account: str, cost_milli: int) -> None:
        left_milli = self._paid_milli[account] = self._paid_milli.get(account, 0) - cost_milli
        if left_milli < 0:
            raise Broken(f"limits: {account} went on with what the store had not taken")


def account_of(key: str) -> str:
    """Whose bucket of orders it is, of all that he trades; "" = another bucket."""
    head, _, name = key.rpartition(":")
    return head[head.index("{") + 1 : head.index("}")] if name == _NAME and ":account:" in head else ""


def _leases(limiter: Any) -> list[Lease]:
    return [lease for lease in limiter._leases.values() if account_of(lease.key)]
