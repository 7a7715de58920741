"""Prices and quantities as clients wrote them, with the whole numbers that they mean: what both doors read runs with.

Quoting repeats prices. A text that is known here was parsed once, and its instrument allows the value. Bounded.
"""

from protocols.instruments import Instrument

MAX_NUMBERS = 131_072  # prices and quantities that are known, all instruments together
MAX_EACH = 16_384  # prices, or quantities, of one instrument: to forget them takes 0.3 ms
_MAX_NUMBER_BYTES = 24

Numbers = dict[str, int]


class KnownNumbers:
    """Shared by all sessions of both doors.

    Whoever never repeats a value takes little from others: what is forgotten then are numbers of that instrument, or of
    the one with the most, and the next order that has one of them learns it again.
    """

    def __init__(self) -> None:
        self.count = 0  # of all that are known
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
        if len(numbers) >= MAX_EACH:
            self._forget(numbers)
        elif self.count >= MAX_NUMBERS:
            self._forget(max((*self._prices.values(), *self._quantities.values()), key=len))
        numbers[text] = value
        self.count += 1

    def _forget(self, numbers: Numbers) -> None:
        self.count -= len(numbers)
        numbers.clear()
