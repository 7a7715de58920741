"""The data types of FIX values, as they are on the wire.

Every type has an exact check, and a pattern that accepts nothing that the check refuses: learned shapes are built from
the patterns. They differ only for times: no pattern knows leap years, so only the check accepts 29 February, leap
seconds, and years outside 2000-2099.
"""

import re
from collections.abc import Callable
from datetime import date

from protocols.fix.times import parse_ns

Check = Callable[[str], object]
"""Truthy if the text is well formed. Never raises."""

_DAY = "20[0-9]{2}(?:(?:0[1-9]|1[0-2])(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])(?:29|30)|(?:0[13578]|1[02])31)"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_DECIMALS = r"(?:\.[0-9]{6}|\.[0-9]{3}|\.[0-9]{9})?"  # the usual one first: 0.1 us each (measured)
_ZONE = r"(?:Z|[+-][0-9]{2}(?::[0-9]{2})?)"
_ASCII = "[ -~]+"
_ANY = "[^\x01]+"  # Latin-1; the reader of the text decides on what is not ASCII
_WHOLE = "[0-9]{1,18}"  # bounded: int() of thousands of digits takes quadratic time, then raises
_DECIMAL = r"[0-9]+(?:\.[0-9]*)?"  # "23." is a float of the standard
_SIGNED = "-?" + _DECIMAL

PATTERNS: dict[str, str] = {
    "INT": "-?" + _WHOLE,
    "SEQNUM": _WHOLE,
    "LENGTH": _WHOLE,
    "NUMINGROUP": _WHOLE,
    "DAYOFMONTH": "0?[1-9]|[12][0-9]|3[01]",
    "PRICE": _DECIMAL,
    "QTY": _DECIMAL,
    "AMT": _SIGNED,
    "PRICEOFFSET": _SIGNED,
    "FLOAT": _SIGNED,
    "PERCENTAGE": _SIGNED,
    "BOOLEAN": "[YN]",
    "CHAR": "[ -~]",
    "MULTIPLEVALUESTRING": "[!-~]+(?: [!-~]+)*",
    "STRING": _ASCII,
    "CURRENCY": "[0-9A-Za-z._-]+",
    "COUNTRY": "[A-Za-z]{2}",
    "EXCHANGE": _ASCII,
    "LANGUAGE": "[A-Za-z]{2}",
    "UTCTIMESTAMP": f"{_DAY}-{_TIME}{_DECIMALS}",
    "UTCTIMEONLY": _TIME + _DECIMALS,
    "UTCDATEONLY": _DAY,
    "LOCALMKTDATE": _DAY,
    "LOCALMKTTIME": _TIME,
    "MONTHYEAR": "[0-9]{4}(?:0[1-9]|1[0-2])(?:w[1-5]|0[1-9]|[12][0-9]|3[01])?",
    "TZTIMEONLY": rf"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?{_ZONE}?",
    "DATA": "[\x00-\xff]+",
    # Not types of the standard, but needed for three of its fields.
    "TEXT": _ANY,
    "UNSIGNED": _DECIMAL,
    "SERVEDVERSION": "9",
}
"""Data type -> a regular expression of what is certainly well formed."""


def _is_timestamp(text: str) -> bool:
    try:
        parse_ns(text)
    except ValueError:
        return False
    return True


_EIGHT_DIGITS = re.compile("[0-9]{8}")
_LEAP_SECOND = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)" + _DECIMALS)


def _is_date(text: str) -> bool:
    if not _EIGHT_DIGITS.fullmatch(text):
        return False
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


CHECKS: dict[str, Check] = {
    **{name: re.compile(pattern).fullmatch for name, pattern in PATTERNS.items()},
    "UTCTIMESTAMP": _is_timestamp,
    "UTCTIMEONLY": _LEAP_SECOND.fullmatch,
    "UTCDATEONLY": _is_date,
    "LOCALMKTDATE": _is_date,
}
"""Data type -> its exact check."""
