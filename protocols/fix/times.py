"""UTCTimestamp text <-> nanoseconds UTC, exactly: whole numbers only, no time zone tables, no clock.

Messages of one read share their second and mostly their millisecond, so both directions cache recent prefixes, a
bounded number of them. Years 1970 to 2261: later ones do not fit 63 bits of nanoseconds.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

from protocols.units import NS_PER_S

_MAX_NS = (1 << 63) - 1
_SECONDS_CACHED = 4_096
_MILLISECONDS_CACHED = 4_096
_EPOCH_DAY = datetime(1970, 1, 1, tzinfo=UTC).toordinal()
_SECOND_TEXT = re.compile(r"[0-9]{8}-[0-9]{2}:[0-9]{2}:[0-9]{2}\.")
_SECOND_CHARS = len("YYYYMMDD-HH:MM:SS.")
_SCALE = {3: 1_000_000, 6: 1_000, 9: 1}  # decimals -> ns of the last one
_THREE = tuple(f"{n:03d}" for n in range(1_000))


@lru_cache(maxsize=_SECONDS_CACHED)
def _second_text(second: int) -> str:
    day, rest = divmod(second, 86_400)
    date = datetime.fromordinal(day + _EPOCH_DAY)
    return f"{date.year:04d}{date.month:02d}{date.day:02d}-{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}."


@lru_cache(maxsize=_MILLISECONDS_CACHED)
def _millisecond_text(ms: int) -> str:
    return f"{_second_text(ms // 1_000)}{_THREE[ms % 1_000]}"


def format_ns(now_ns: int, digits: int = 6) -> str:
    """`now_ns` (ns UTC, from 1970 on) as `YYYYMMDD-HH:MM:SS.` and 3, 6 or 9 decimals; cut, not rounded."""
    us = now_ns // 1_000
    ms = us // 1_000
    text = _millisecond_text(ms)
    if digits == 3:
        return text
    text += _THREE[us - ms * 1_000]
    return text if digits == 6 else text + _THREE[now_ns - us * 1_000]


@lru_cache(maxsize=_SECONDS_CACHED)
def _second_start_ns(text: str) -> int:
    if not _SECOND_TEXT.fullmatch(text):
        raise ValueError("not YYYYMMDD-HH:MM:SS.")
    year, month, day = int(text[:4]), int(text[4:6]), int(text[6:8])
    hour, minute, second = int(text[9:11]), int(text[12:14]), int(text[15:17])
    if year < 1970 or hour > 23 or minute > 59 or second > 60:
        raise ValueError("time out of range")
    days = datetime(year, month, day, tzinfo=UTC).toordinal() - _EPOCH_DAY
    # A leap second counts as the first second of the next minute, as POSIX time does.
    return ((days * 24 + hour) * 60 + minute) * 60 * NS_PER_S + second * NS_PER_S


def parse_ns(text: str) -> int:
    """A UTCTimestamp with no, 3, 6 or 9 decimals as ns UTC; second 60 is accepted, for leap seconds.

    Raises:
        ValueError: anything else, a day that is not in the calendar, or a year outside 1970-2261.
    """
    digits = text[_SECOND_CHARS:]
    scale = _SCALE.get(len(digits))
    if scale is not None and digits.isascii() and digits.isdigit():
        result = _second_start_ns(text[:_SECOND_CHARS]) + int(digits) * scale
    elif len(text) == _SECOND_CHARS - 1:
        result = _second_start_ns(f"{text}.")
    else:
        raise ValueError("not YYYYMMDD-HH:MM:SS with no decimals, .sss, .ssssss or .sssssssss")
    if result > _MAX_NS:
        raise ValueError("year after 2261")
    return result
