"""What was admitted of each account's order tokens, and that it never was more than burst and rate allow.

The bound is checked where it is exact: what a gateway spends of its lease counts when it spends it, what the store
decides counts when the store takes it, and what is given back counts when it is back, at once where a lease has room
for it and else when it reaches the store. Time passes where the store looks at its clock.
"""

from typing import Any

from limits.bucket import MILLI
from limits.policy import Policy
from limits.store import Answer, Batch
from tests.simulate.world import Broken, World

_NAME = "orders"
_SLACK_MILLI = 10  # what a microsecond more or less on some clock comes to


class Potential:
    """An upper bound of what may yet be spent of one account's bucket, in thousandths of a token."""

    def __init__(self, policy: Policy, account: str) -> None:
        limit = policy.plan_of(account).limits[_NAME]
        self._account = account
        self._most_milli = limit.burst * MILLI
        self._per_us = limit.rate.amount * MILLI / limit.rate.period_us
        self._milli = float(self._most_milli)
        self._seen_us = 0

    def refill(self, clock_us: int) -> None:
        """The store looks at the bucket."""
        if self._seen_us:
            brought = (clock_us - self._seen_us) * self._per_us
            self._milli = min(self._milli + brought, self._most_milli)
        self._seen_us = clock_us

    def spend(self, cost_milli: int) -> None:
        """So much is admitted; below zero it is given back."""
        self._milli -= cost_milli
        if self._milli < -_SLACK_MILLI:
            raise Broken(
                f"limits: {self._account} got {-self._milli / MILLI:.3f} tokens more than burst"
                f" {self._most_milli // MILLI} + rate {self._per_us * 1_000:g}/s"
            )


class Spending:
    """Over all gateways there are and were."""

    def __init__(self, world: World, policy: Policy) -> None:
        self._world = world
        self._policy = policy
        self._potentials: dict[str, Potential] = {}
        self._paid_milli: dict[str, int] = {}  # by account: what the store has taken, and nobody has gone on with

    def watch(self, limiter: Any) -> None:
        """See what this gateway takes and gives back."""
        take, give_back, refund = limiter.take, limiter.give_back, limiter._refund

        def noted_take(path: Any, name: str, cost_milli: int, now_ns: int, instrument: int = 0) -> Any:
            if name != _NAME:
                return take(path, name, cost_milli, now_ns, instrument)
            [lease] = limiter._route(path, name, instrument).buckets
            left_milli = lease.left_milli
            decision = take(path, name, cost_milli, now_ns, instrument)
            if decision.allowed and lease.left_milli < left_milli:
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

        def noted_refund(ticket: Any, now_us: int) -> None:
            lease, taken = ticket.buckets[0], ticket.taken
            before_milli = lease.refund_milli
            refund(ticket, now_us)
            if taken is not None and not taken.wait_us and (account := account_of(lease.key)):
                self._go_on(account, ticket.cost_milli)
                self._of(account).spend(lease.refund_milli - before_milli - ticket.cost_milli)

        limiter.take, limiter.give_back, limiter._refund = noted_take, noted_give_back, noted_refund

    def carried_out(self, keys: list[str], batch: Batch, answer: Answer) -> None:
        """The store has done this."""
        for key in keys:
            if account := account_of(key):
                self._of(account).refill(answer.clock_us)
        for ask, grant in zip(batch.asks, answer.granted, strict=True):
            if grant.granted >= 0 and (account := account_of(keys[ask.bucket])):
                self._of(account).spend(-ask.refund_milli)
        for (cost_milli, *positions), taken in zip(batch.takes, answer.taken, strict=True):
            if not taken.wait_us and (account := account_of(keys[positions[0]])):
                self._of(account).spend(cost_milli)
                self._paid_milli[account] = self._paid_milli.get(account, 0) + cost_milli

    def _of(self, account: str) -> Potential:
        return self._potentials.setdefault(account, Potential(self._policy, account))

    def _go_on(self, account: str, cost_milli: int) -> None:
        left_milli = self._paid_milli[account] = self._paid_milli.get(account, 0) - cost_milli
        if left_milli < 0:
            raise Broken(f"limits: {account} went on with what the store had not taken")


def account_of(key: str) -> str:
    """Whose bucket of orders it is, of all that he trades; "" = another bucket."""
    head, _, name = key.rpartition(":")
    return head[head.index("{") + 1 : head.index("}")] if name == _NAME and ":account:" in head else ""
