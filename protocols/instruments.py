"""Instruments, and the only place where decimal text becomes whole numbers: exactly, or it is refused.

There is no float between the wire and the book. `parse` accepts `digits[.[digits]]` in ASCII and nothing else: no sign,
no exponent, no blanks, at most 18 significant digits. More decimals than the exponent has are refused, not rounded:
with px_exp 2, `64250.5` is 6425050 and `64250.505` is an error. Quoting repeats prices, so both directions have a
bounded cache.
"""

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from protocols.errors import BAD_FIELD, BAD_NOTIONAL, BAD_QUANTITY, BAD_TICK, PRICE_OUT_OF_BAND, Refusal

MAX_DIGITS = 18
_CACHE = 65_536
MAX_RENDERED = 32_768  # of each exponent: to forget them takes 0.5 ms


class Inexact(ValueError):
    """The text is a decimal number, but not a multiple of 10^-exp."""


@lru_cache(maxsize=_CACHE)
def parse(text: str, exp: int) -> int:
    """`text` as a whole number of 10^-exp.

    Raises:
        Inexact: more decimals than the exponent has.
        ValueError: not `digits[.[digits]]`, or over 18 significant digits.
    """
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (whole and digits.isascii() and digits.isdigit()):
        raise ValueError("not a plain decimal")
    if len(digits) > MAX_DIGITS or len(fraction) > exp:  # only with zeros around may it be that long
        if len(digits) > 64 or len(digits.strip("0")) > MAX_DIGITS:
            raise ValueError("over 18 significant digits")
        fraction = fraction.rstrip("0")
        if len(fraction) > exp:
            raise Inexact("too many decimals")
        digits = whole + fraction
    value = int(digits)
    if decimals := exp - len(fraction):
        value *= 10**decimals
    if value >= 1 << 63:
        raise ValueError("too large")
    return value


@lru_cache(maxsize=_CACHE)
def render(value: int, exp: int) -> str:
    """`value` x 10^-exp as text with exactly `exp` decimals."""
    digits = str(value)
    if not exp:
        return digits
    if value < 0:
        return f"-{render(-value, exp)}"
    if len(digits) <= exp:
        digits = digits.rjust(exp + 1, "0")
    return f"{digits[:-exp]}.{digits[-exp:]}"


class Rendered(dict[int, str]):
    """Values as `render` writes them with one exponent, known after the first look-up; bounded."""

    def __init__(self, exp: int) -> None:
        super().__init__()
        self._exp = exp
        self._unit = 10**exp
        self._form = f"%d.%0{exp}d"

    def __missing__(self, value: int) -> str:
        if len(self) >= MAX_RENDERED:
            self.clear()
        if value < 0 or not self._exp:
            text = self[value] = render(value, self._exp)
        else:
            text = self[value] = self._form % divmod(value, self._unit)
        return text


class Averages(Rendered):
    """Prices as `Instrument.avg_px_text` writes the average of an order that traded at this price alone."""

    def __missing__(self, value: int) -> str:
        if len(self) >= MAX_RENDERED:
            self.clear()
        text = render(value, self._exp)
        text = self[value] = text.rstrip("0").rstrip(".") if self._exp else text
        return text


@lru_cache(maxsize=64)
def rendered(exp: int) -> Rendered:
    """Shared by all instruments with this exponent."""
    return Rendered(exp)


@lru_cache(maxsize=64)
def averages(px_exp: int) -> Averages:
    """Shared by all instruments with this exponent of prices."""
    return Averages(px_exp)


class Instrument(msgspec.Struct, frozen=True):
    """One tradable instrument. Prices are whole numbers of 10^-px_exp, quantities of 10^-qty_exp; a bound of 0 = none.

    Prices must be multiples of tick, quantities of lot. band_low and band_high are the lowest and highest price;
    min_notional and max_notional bound price x quantity, in 10^-(px_exp+qty_exp).
    """

    id: int
    symbol: str
    base: str
    quote: str
    px_exp: int
    qty_exp: int
    tick: int = 1
    lot: int = 1
    min_qty: int = 0
    max_qty: int = 0
    min_notional: int = 0
    max_notional: int = 0
    band_low: int = 0
    band_high: int = 0
    session_bound: bool = False  # trades in sessions (absent TIF = DAY) rather than 24/7 (absent TIF = GTC)

    def parse_price(self, text: str) -> int | Refusal:
        """The price in 10^-px_exp, or a Refusal: 2001 not a decimal number, 2004 not a multiple of the tick."""
        try:
            return parse(text, self.px_exp)
        except Inexact:
            return Refusal(BAD_TICK, f"price {text} is not a multiple of {self.price_text(self.tick)}", field="price")
        except ValueError as error:
            return Refusal(BAD_FIELD, f"price: {error}", field="price")

    def parse_qty(self, text: str) -> int | Refusal:
        """The quantity in 10^-qty_exp, or a Refusal: 2001 not a decimal number, 2005 not a multiple of the lot."""
        try:
            return parse(text, self.qty_exp)
        except Inexact:
            return Refusal(BAD_QUANTITY, f"quantity {text} is not a multiple of {self.qty_text(self.lot)}", field="qty")
        except ValueError as error:
            return Refusal(BAD_FIELD, f"quantity: {error}", field="qty")

    def price_text(self, value: int) -> str:
        """The price as both doors write it."""
        return render(value, self.px_exp)

    def qty_text(self, value: int) -> str:
        """The quantity as both doors write it."""
        return render(value, self.qty_exp)

    def quote_text(self, value: int) -> str:
        """A price x quantity as both doors write it."""
        return render(value, self.px_exp + self.qty_exp)

    def avg_px_text(self, cum_quote: int, cum_qty: int) -> str:
        """AvgPx(6): the average traded price, rounded half up to px_exp + 2 decimals; "0" when nothing traded.

        The only rounded figure in the gateway. It is for people; CumQty(14) with 25017 gives the exact pair.
        """
        if not cum_qty:
            return "0"
        scaled = (cum_quote * 100 * 2 + cum_qty) // (cum_qty * 2)
        return render(scaled, self.px_exp + 2).rstrip("0").rstrip(".")

    def check_price(self, value: int) -> Refusal | None:
        """Static rules of a limit or stop price: above zero, a multiple of the tick, inside the band."""
        if value <= 0:
            return Refusal(BAD_TICK, "price must be above zero", field="price")
        if value % self.tick:
            text = f"price {self.price_text(value)} is not a multiple of {self.price_text(self.tick)}"
            return Refusal(BAD_TICK, text, field="price")
        if (self.band_low and value < self.band_low) or (self.band_high and value > self.band_high):
            high = self.price_text(self.band_high) if self.band_high else "any"
            text = f"price {self.price_text(value)} is outside {self.price_text(self.band_low)} to {high}"
            return Refusal(PRICE_OUT_OF_BAND, text, field="price")
        return None

    def check_qty(self, value: int) -> Refusal | None:
        """Static rules of a quantity: above zero, whole lots, between min and max."""
        if value <= 0:
            return Refusal(BAD_QUANTITY, "quantity must be above zero", field="qty")
        if value % self.lot:
            text = f"quantity {self.qty_text(value)} is not a multiple of {self.qty_text(self.lot)}"
            return Refusal(BAD_QUANTITY, text, field="qty")
        if value < self.min_qty or (self.max_qty and value > self.max_qty):
            upper = self.qty_text(self.max_qty) if self.max_qty else "any"
            text = f"quantity {self.qty_text(value)} is outside {self.qty_text(self.min_qty)} to {upper}"
            return Refusal(BAD_QUANTITY, text, field="qty")
        return None

    def check_notional(self, notional: int) -> Refusal | None:
        """Static rules of price x qty."""
        if notional < self.min_notional or (self.max_notional and notional > self.max_notional):
            upper = self.quote_text(self.max_notional) if self.max_notional else "any"
            text = f"notional {self.quote_text(notional)} is outside {self.quote_text(self.min_notional)} to {upper}"
            return Refusal(BAD_NOTIONAL, text, field="notional")
        return None


class Instruments:
    """The instruments of one configuration, found by symbol (at the edge) or id (inside)."""

    def __init__(self, rows: tuple[Instrument, ...]) -> None:
        self.by_symbol = {row.symbol: row for row in rows}
        self.by_id = {row.id: row for row in rows}

    def add_removed(self, removed: Iterable[Instrument]) -> None:
        """Instruments that no longer trade: old reports still name them by id, and no symbol finds one."""
        for row in removed:
            self.by_id.setdefault(row.id, row)
