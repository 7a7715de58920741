"""Prices and quantities as clients wrote them, with the whole numbers that they mean: what both doors read runs with.

Quoting repeats prices. A text that is known here was parsed once, and its instrument allows the value. Bounded.
"""

from collections.abc import Callable

from protocols.errors import Refusal
from protocols.instruments import Instrument, parse

MAX_NUMBERS = 131_072  # prices and quantities that are known, all instruments together
MAX_EACH = 16_384  # prices, or quantities, of one instrument: to forget them takes 0.3 ms
_MAX_NUMBER_BYTES = 24

_parse = parse.__wrapped__  # what may be remembered is remembered here


class Numbers(dict[str, int]):
    """The known prices, or quantities, of one instrument. To look one up is to learn it; 0 = it is not allowed."""

    __slots__ = ("_all", "_check", "_exp")

    def __init__(self, known: "KnownNumbers", exp: int, check: Callable[[int], Refusal | None]) -> None:
        """check: the instrument's rules."""
        super().__init__()
        self._all = known
        self._exp = exp
        self._check = check

    def __missing__(self, text: str) -> int:
        try:
            value = _parse(text, self._exp)
        except ValueError:
            return 0
        if self._check(value) is not None:
            return 0
        if len(text) <= _MAX_NUMBER_BYTES:  # bounded in number and in bytes
            known = self._all
            if len(self) >= MAX_EACH or known.count >= MAX_NUMBERS:
                known.make_room(self)
            self[text] = value
            known.count += 1
        return value


class KnownNumbers:
    """Shared by all sessions of both doors.

    Whoever never repeats a value takes little from others: what is forgotten then are numbers of that instrument, or of
    the one with the most, and the next order that has one of them learns it again.
    """

    def __init__(self) -> None:
        self.count = 0  # of all that are known
        self._of: dict[int, tuple[Numbers, Numbers]] = {}

    def of(self, instrument: Instrument) -> tuple[Numbers, Numbers]:
        """The known prices and quantities of this instrument."""
        found = self._of.get(instrument.id)
        if found is None:
            prices = Numbers(self, instrument.px_exp, instrument.check_price)
            found = self._of[instrument.id] = (prices, Numbers(self, instrument.qty_exp, instrument.check_qty))
        return found

    def make_room(self, numbers: Numbers) -> None:
        """For one more of these: they are forgotten if they are too many, else the most of one kind."""
        if len(numbers) < MAX_EACH:
            numbers = max((each for pair in self._of.values() for each in pair), key=len)
        self.count -= len(numbers)
        numbers.clear()
