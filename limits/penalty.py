"""The penalty ladder for a client that continues after a refusal: refused, then cooling down, then disconnected.

`strikes` refusals in `window_s` start a cool-down in which only cancels pass. Refusals at more than `disconnect_over`
times the rate of the limit end the connection. Both are counted with buckets, so memory is bounded and time is exact.
Cancels and logons never add a strike. Each node keeps its own count for an account. Pure.
"""

from limits.bucket import MILLI, US_PER_S, Bucket, Rate
from limits.policy import Limit, Penalty

EXEMPT = frozenset(("cancels", "logons"))
"""Buckets that a cool-down leaves open, and whose refusals are never penalised."""


class PenaltyState:
    """One account's place on the ladder. cooling_until_us: before it, only EXEMPT buckets are open."""

    __slots__ = ("_hard", "_penalty", "_strikes", "cooling_until_us")

    def __init__(self) -> None:
        self.cooling_until_us = 0
        self._penalty: Penalty | None = None
        self._strikes: Bucket | None = None
        self._hard: dict[str, Bucket] = {}

    def refused(self, name: str, limit: Limit, penalty: Penalty, now_us: int) -> str:
        """Count one refusal of `name` under `limit`. Returns its penalty: "", "cooling_down" or "disconnect"."""
        if name in EXEMPT:
            return ""
        if self._penalty != penalty or self._strikes is None:
            self._penalty, self._hard = penalty, {}
            self._strikes = Bucket(Rate(penalty.strikes, penalty.window_s * US_PER_S, ""), penalty.strikes)
        if self._is_abuse(name, limit, penalty, now_us):
            return "disconnect"
        if now_us < self.cooling_until_us:
            return "cooling_down"
        if self._strikes.fits(MILLI, now_us):
            self._strikes.debit(MILLI)
            return ""
        self.cooling_until_us = now_us + penalty.cooldown_s * US_PER_S
        return "cooling_down"

    def _is_abuse(self, name: str, limit: Limit, penalty: Penalty, now_us: int) -> bool:
        rate = Rate(limit.rate.amount * penalty.disconnect_over, limit.rate.period_us, "")
        bucket = self._hard.get(name)
        if bucket is None:
            bucket = self._hard[name] = Bucket(rate, limit.burst * penalty.disconnect_over)
        bucket.retune(rate, limit.burst * penalty.disconnect_over, now_us)
        if bucket.fits(MILLI, now_us):
            bucket.debit(MILLI)
            return False
        return True
