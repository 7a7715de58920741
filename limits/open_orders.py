"""How many orders an account has open, in all and in each instrument: a gauge with a ceiling, not a bucket.

The road counts an order when it is accepted and again when it is done; asking is arithmetic. The ceilings are a plan's
`open_orders`. Pure.
"""

from limits.policy import OpenOrderLimit

_ALL = 0  # instruments are numbered from 1


class OpenOrders:
    """Open orders by account, and by account and instrument, both numbered from 1.

    An end that is told twice takes nobody below zero.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], int] = {}

    def binds(self, account: int, instrument: int, limit: OpenOrderLimit) -> str:
        """Empty when one more fits, else the scope that is full: "account" or "instrument"."""
        if self.count(account) >= limit.account:
            return "account"
        return "instrument" if self.count(account, instrument) >= limit.instrument else ""

    def opened(self, account: int, instrument: int) -> None:
        """One more is open."""
        for key in ((account, _ALL), (account, instrument)):
            self._counts[key] = self._counts.get(key, 0) + 1

    def closed(self, account: int, instrument: int) -> None:
        """One is done. What is at zero is forgotten."""
        if self.count(account, instrument) == 0:
            return
        for key in ((account, _ALL), (account, instrument)):
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    def count(self, account: int, instrument: int = _ALL) -> int:
        """Open orders of the account, or of it in one instrument."""
        return self._counts.get((account, instrument), 0)
