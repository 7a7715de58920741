"""Mistakes in the limits that the simulation must find (`tests.simulate.planted`)."""

from collections.abc import Callable
from typing import Any

from limits.lease import Lease
from limits.lease_batcher import LeaseBatcher
from limits.store import Trouble
from tests.support.ledger import Ledger

Change = tuple[Any, str, Callable[..., Any]]


def _forgives_debts() -> Change:
    """A debt takes the level down to nothing at most."""
    real = Ledger.settle

    def settle(self: Ledger, debt_milli: int, terms: Any) -> None:
        level = self.level
        real(self, debt_milli, terms)
        self.level = max(self.level, min(level, 0))

    return Ledger, "settle", settle


def _stays_ahead() -> Change:
    """A bucket waits until the store's clock has come up with where it once was."""
    return Ledger, "pull_back", lambda _self, _clock_us: 0


def _everybodys_trouble() -> Change:
    """A call that is refused for one bucket is every bucket's trouble that was in it."""

    def send_one_by_one(self: LeaseBatcher, buckets: Any, asks: Any, decisions: Any) -> None:
        for ask in asks:
            buckets[ask.bucket].failed(ask)
        for bucket in buckets:
            self._trouble(bucket, Trouble("unknown", "", is_undone=True))
        for decision in decisions:
            decision.is_done = True
        self.on_ready()

    return LeaseBatcher, "_send_one_by_one", send_one_by_one


def _lasting_trouble() -> Change:
    """A bucket that the store could not decide once is never tried again."""
    real = LeaseBatcher._beat

    def beat(self: LeaseBatcher, now_us: int) -> None:
        for lease in [lease for lease in self._unsettled if lease.is_troubled]:
            del self._unsettled[lease]
        real(self, now_us)

    return LeaseBatcher, "_beat", beat


def _given_back_twice() -> Change:
    """What is given back goes to the lease and to the store."""

    def give_back(self: Lease, cost_milli: int, now_us: int) -> None:
        self.lapse(now_us)
        kept = min(cost_milli, self.bound_milli - self.left_milli)
        self.left_milli += kept
        self.refund_milli += cost_milli
        self.deny_until_us = 0

    return Lease, "give_back", give_back


PLANTED_IN_LIMITS: dict[str, Callable[[], Change]] = {
    "debts are forgiven": _forgives_debts,
    "a bucket stays ahead": _stays_ahead,
    "one bucket's trouble is all's": _everybodys_trouble,
    "trouble lasts": _lasting_trouble,
    "given back twice": _given_back_twice,
}
