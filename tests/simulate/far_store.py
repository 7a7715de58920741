"""The store of limits that all gateways share, and each one's link to it.

A link is late, loses calls and answers, and is gone now and then. The store's clock is its own and may be stepped, and
it may be well and yet fail for one bucket, or for all that lie in one slot.
"""

from collections.abc import Callable

from limits.bucket import MILLI
from limits.store import Answer, Batch, Outcome, Trouble
from tests.simulate.spending import Spending
from tests.simulate.world import MS, SECOND, Broken, Loop, World
from tests.support.ledger import Ledger, Ledgers

_TIMEOUT_NS = 50 * MS
_FAILED = Trouble("wrong_type", "WRONGTYPE Operation against a key holding the wrong kind of value", is_undone=True)


def weight_of(ledger: Ledger | None) -> tuple[int, Ledger | None]:
    """The bucket's level, as if no time had ever brought anything: only tokens that come or go change it."""
    if ledger is None:
        return 0, None
    return ledger.level - (ledger.as_of_us - ledger.spare_us) * ledger.amount, ledger


class SharedStore:
    """What there is one of."""

    def __init__(self, world: World, spending: Spending) -> None:
        self.ledgers = Ledgers()
        self.is_cluster = world.happens(0.3)
        self._world = world
        self._spending = spending
        self._off_ns = 0
        self._bad = ""  # a part of the keys for which it fails
        self._paid_milli: dict[tuple[str, str], int] = {}  # by node and key: its debts that were told

    @property
    def clock_us(self) -> int:
        """Its own time."""
        return (self._world.now_ns + self._off_ns) // 1_000

    def step(self, off_ns: int) -> None:
        """Its clock is set to be so much ahead."""
        self._world.fault("the store's clock is stepped")
        self._spending.clock_steps(off_ns - self._off_ns)
        self._off_ns = off_ns

    def fail_for(self, part: str) -> None:
        """It fails for the keys that have this in them; "" = for none any more."""
        if part:
            self._world.fault("the store fails for a bucket")
        self._bad = part

    def run(self, node: str, keys: list[str], batch: Batch) -> Outcome:
        """Do what one call asks for, or nothing of it."""
        bad = [key for key in keys if self._bad and self._bad in key]
        if bad:
            self._spending.failed.update(bad)
            return _FAILED
        before = [weight_of(self.ledgers.by_key.get(key)) for key in keys]
        answer = self.ledgers.run(keys, batch, self.clock_us)
        self._check_kept(before, node, keys, batch, answer)
        self._spending.carried_out(node, keys, batch, answer)
        return answer

    def _check_kept(
        self, before: list[tuple[int, Ledger | None]], node: str, keys: list[str], batch: Batch, answer: Answer
    ) -> None:
        """A bucket has no more than it had and what time and gateways brought, less what was granted and owed."""
        most = [weight for weight, _ in before]
        for ask, grant in zip(batch.asks, answer.granted, strict=True):
            key = keys[ask.bucket]
            if grant.granted >= 0:
                owed_milli = max(ask.owed_milli - self._paid_milli.get((node, key), 0), 0)
                self._paid_milli[node, key] = max(ask.owed_milli, self._paid_milli.get((node, key), 0))
                come_milli = ask.back_milli + ask.refund_milli - owed_milli - grant.granted * MILLI
                most[ask.bucket] += come_milli * self.ledgers.by_key[key].milli
        for (cost_milli, *positions), taken in zip(batch.takes, answer.taken, strict=True):
            for position in positions if not taken.wait_us else ():
                most[position] -= cost_milli * self.ledgers.by_key[keys[position]].milli
        for key, (_, ledger), weight in zip(keys, before, most, strict=True):
            now = self.ledgers.by_key[key]
            if now is ledger and weight_of(now)[0] > weight:
                raise Broken(f"limits: {key} came to {weight_of(now)[0] - weight} units out of nothing")


class FarStore:
    """One gateway's link (`limits.store.Store`)."""

    def __init__(self, world: World, loop: Loop, store: SharedStore, node: str) -> None:
        self._world, self._loop, self._store, self._node = world, loop, store, node
        self._waiting: dict[int, Callable[[Outcome], None]] = {}
        self._count = 0
        self.is_cluster = store.is_cluster
        self.is_away = False
        self.is_slow = False

    def call(self, keys: list[str], batch: Batch, done: Callable[[Outcome], None]) -> None:
        """One batch; its answer comes, or nothing does until the time is over."""
        self._count += 1
        number = self._count
        if self.is_away:
            self._loop.call_soon(done, None)
            return
        self._waiting[number] = done
        self._loop.call_later(_TIMEOUT_NS / SECOND, self._answer, number, None)
        if self._world.happens(0.01):
            self._world.fault("a call to the store is lost")
            return
        self._world.at(self._delay_ns(), self._carry_out, number, keys, batch)

    def _delay_ns(self) -> int:
        return self._world.between(5, 24) if self.is_slow else self._world.between(0.05, 5)

    def _carry_out(self, number: int, keys: list[str], batch: Batch) -> None:
        answer = self._store.run(self._node, keys, batch)
        if self._world.happens(0.01):
            self._world.fault("an answer of the store is lost")
        elif not self._loop.is_dead:
            self._loop.call_later(self._delay_ns() / SECOND, self._answer, number, answer)

    def _answer(self, number: int, answer: Outcome) -> None:
        done = self._waiting.pop(number, None)
        if done is None:
            return
        done(answer)
        if answer is None and not self.is_away:
            self.go_away(self._world.between(250, 1_500))

    def go_away(self, duration_ns: int) -> None:
        """Whatever is under way has an unknown outcome; nothing is asked until it is back."""
        self._world.fault("the store is away")
        self.is_away = True
        waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done(None)
        self._loop.call_later(duration_ns / SECOND, self._come_back)

    def _come_back(self) -> None:
        self.is_away = False
