"""Prices and quantities as clients wrote them, with the whole numbers that they mean: what both doors read runs with.

Quoting repeats prices. A text that is known here was parsed once, and its instrument allows the value. Bounded.
"""

from protocols.instruments import Instrument

MAX_NUMBERS = 131_072  # prices and quantities that are known, all instruments together; then all are learned anew
_MAX_NUMBER_BYTES = 24

Numbers = dict[str, int]


class KnownNumbers:
    """Shared by all sessions of both doors."""

    def __init__(self) -> None:
        self._count = 0
        self._prices: dict[int, Numbers] = {}
        self._quantities: dict[int, Numbers] = {}

    def of(self, instrument: Instrument) -> tuple[Numbers, Numbers]:
        """The known prices and quantities of this instrument."""
        return self._prices.setdefault(instrument.id, {}), self._quantities.setdefault(instrument.id, {})

    def learn_price(self, instrument: Instrument, text: str) -> int:
        """The price, 0 when the instrument does not allow it."""
        price = instrument.parse_price(text)
        if not isinstance(price, int) or instrument.check_price(price) is not None:
            return 0
        self._keep(self._prices[instrument.id], text, price)
        return price

    def learn_quantity(self, instrument: Instrument, text: str) -> int:
        """The quantity, 0 when the instrument does not allow it."""
        quantity = instrument.parse_qty(text)
        if not isinstance(quantity, int) or instrument.check_qty(quantity) is not None:
            return 0
        self._keep(self._quantities[instrument.id], text, quantity)
        return quantity

    def _keep(self, numbers: Numbers, text: str, value: int) -> None:
        """Bounded in number and in bytes."""
        if len(text) > _MAX_NUMBER_BYTES:
            return
        self._count += 1
        if self._count > MAX_NUMBERS:
            self._count = 1
            for known in (*self._prices.values(), *self._quantities.values()):
                known.clear()
        numbers[text] = value
