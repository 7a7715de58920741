"""Token-bucket arithmetic on whole numbers: exact for 10/min, for 5000/s, and for costs in thousandths of a token.

One token is `period_us` units and every microsecond adds `amount` units, so a refill needs no division or rounding.
`period_us` is a multiple of 1000, so a thousandth of a token is a whole number of units too. A bucket holds less than
2^53 units, because the same arithmetic must be exact in the doubles of Lua. Time is an argument. Pure.
"""

import re
from math import gcd

import msgspec

US_PER_S = 1_000_000
MILLI = 1000  # thousandths in one token
MAX_UNITS = 1 << 53  # the first whole number that a double, and so Lua, cannot tell from the next one
NEVER = -1  # the wait for a cost above the capacity of the bucket

_PERIODS_US = {"s": US_PER_S, "min": 60 * US_PER_S, "h": 3_600 * US_PER_S, "day": 86_400 * US_PER_S}
_RATE = re.compile(r"([0-9]{1,9})/([0-9]{1,5})?(s|min|h|day)", re.ASCII)


class Rate(msgspec.Struct, frozen=True, gc=False):
    """How fast a bucket fills: `amount` tokens in `period_us` microseconds, in lowest terms. text: as it was written.

    Lowest terms, but period_us stays a multiple of 1000.
    """

    amount: int
    period_us: int
    text: str

    @property
    def per_second(self) -> float:
        """Tokens per second, for display. No decision uses it."""
        return self.amount * US_PER_S / self.period_us


def parse_rate(text: str) -> Rate:
    """The rate written as `50/s`, `10/min`, `1/day` or `1/2s`: whole tokens in a whole number of `s min h day`.

    A fraction is written with a longer period: `1/2s` is 0.5 per second.

    Raises:
        ValueError: it is not of this form, or not above zero.
    """
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError('a rate is whole tokens per period, such as "50/s", "10/min", "1/2s" or "1/day"')
    amount, periods = int(found[1]), int(found[2] or 1)
    if not amount or not periods:
        raise ValueError("a rate must be above zero")
    period_us = periods * _PERIODS_US[found[3]]
    shared = gcd(amount, period_us // MILLI)
    return Rate(amount // shared, period_us // shared, text)


class Bucket:
    """The state of one bucket. level, capacity: in units, `period_us` of them per token. as_of_us: the time of level.

    as_of_us never moves back. While the clock is before it, the bucket is frozen, so a period that the clock repeats
    refills once. A plain class, because assigning to a field of a Struct costs three times as much.
    """

    __slots__ = ("amount", "as_of_us", "capacity", "level", "milli", "period_us")

    def __init__(self, rate: Rate, burst: int) -> None:
        """A full bucket of `burst` tokens."""
        self.amount = rate.amount
        self.period_us = rate.period_us
        self.milli = rate.period_us // MILLI  # units in a thousandth of a token
        self.capacity = self.level = burst * rate.period_us
        self.as_of_us = 0

    def fits(self, cost_milli: int, now_us: int) -> bool:
        """Refill to `now_us`, and return whether `cost_milli` thousandths of a token are available. Debits nothing."""
        elapsed = now_us - self.as_of_us
        if elapsed > 0:
            level = self.level + elapsed * self.amount
            self.level = level if level < self.capacity else self.capacity
            self.as_of_us = now_us
        return cost_milli * self.milli <= self.level

    def debit(self, cost_milli: int) -> None:
        """Take out tokens that `fits` has just confirmed."""
        self.level -= cost_milli * self.milli

    def give_back(self, cost_milli: int) -> None:
        """Return tokens, clamped at full. No refill is needed first: the result is the same in either order."""
        self.level = min(self.capacity, self.level + cost_milli * self.milli)

    def wait_us(self, cost_milli: int, now_us: int) -> int:
        """Microseconds from `now_us` until `cost_milli` fits, exactly. 0 = now; NEVER = it cannot. Refills first.

        While the clock is before as_of_us, the time until then is part of the wait.
        """
        need = cost_milli * self.milli
        if self.fits(cost_milli, now_us):
            return 0
        if need > self.capacity:
            return NEVER
        return self.as_of_us - now_us - (self.level - need) // self.amount

    def full_in_us(self, now_us: int) -> int:
        """Microseconds from `now_us` until the bucket is full. Refills first."""
        self.fits(0, now_us)
        if self.level == self.capacity:
            return 0
        return self.as_of_us - now_us - (self.level - self.capacity) // self.amount

    def retune(self, rate: Rate, burst: int, at_us: int) -> None:
        """Continue under another rate and burst from `at_us`. The time before it refills at the old rate.

        The tokens stay, rounded down to the new unit and clamped to the new capacity. No change creates a token.
        """
        capacity = burst * rate.period_us
        if (self.amount, self.period_us, self.capacity) == (rate.amount, rate.period_us, capacity):
            return
        self.fits(0, at_us)
        self.level = min(capacity, self.level * rate.period_us // self.period_us)
        self.amount, self.period_us, self.capacity = rate.amount, rate.period_us, capacity
        self.milli = rate.period_us // MILLI
