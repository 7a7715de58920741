"""How many orders an account has open, in all and in each instrument: a count with a ceiling, not a bucket.

The order path counts an order when it is accepted and again when it is done. The ceilings are a plan's `open_orders`.
Accounts and instruments are those of the configuration, so memory is bounded. Pure.
"""

from collections import defaultdict
from collections.abc import Mapping

from limits.policy import OpenOrderLimit

_ALL = 0  # instruments are numbered from 1


class OpenOrders:
    """Open orders by account, and by account and instrument, both numbered from 1.

    An end that is reported twice takes no count below zero.
    """

    def __init__(self) -> None:
        self._counts: defaultdict[int, dict[int, int]] = defaultdict(lambda: {_ALL: 0})

    def binds(self, account: int, instrument: int, limit: OpenOrderLimit) -> str:
        """The scope that is full, "account" or "instrument"; "" when one more fits."""
        counts = self._counts.get(account)
        if counts is None:
            return ""
        if counts[_ALL] >= limit.account:
            return "account"
        return "instrument" if counts.get(instrument, 0) >= limit.instrument else ""

    def has_room(self, account: int, wanted: Mapping[int, int], total: int, limit: OpenOrderLimit) -> bool:
        """Whether `total` more fit, so many of them in each instrument."""
        counts = self._counts.get(account) or {_ALL: 0}
        for instrument, more in wanted.items():
            if counts.get(instrument, 0) + more > limit.instrument:
                return False
        return counts[_ALL] + total <= limit.account

    def opened(self, account: int, instrument: int) -> None:
        """Count one more open order."""
        self.opened_run(account, {instrument: 1}, 1)

    def opened_run(self, account: int, opened: Mapping[int, int], total: int) -> None:
        """Count `total` more, so many of them in each instrument."""
        counts = self._counts[account]
        counts[_ALL] += total
        for instrument, more in opened.items():
            counts[instrument] = counts.get(instrument, 0) + more

    def closed(self, account: int, instrument: int) -> None:
        """Count one open order less."""
        counts = self._counts.get(account)
        if counts is not None and counts.get(instrument):
            counts[_ALL] -= 1
            counts[instrument] -= 1

    def forget(self, account: int) -> None:
        """The account is counted elsewhere from now on."""
        self._counts.pop(account, None)

    def count(self, account: int, instrument: int = _ALL) -> int:
        """Open orders of the account, in all or in one instrument."""
        return self._counts.get(account, {}).get(instrument, 0)
