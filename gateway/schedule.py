"""When a FIX session's numbers go back to 1: daily or weekly, at a time of day in UTC. Pure: time is an argument.

A schedule is text: `daily 22:00` or `sun 22:00`. The moment itself belongs to the new period.
"""

import re
from datetime import UTC, datetime, timedelta

_NS = 1_000_000_000
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = re.compile(rf"(daily|{'|'.join(_DAYS)}) ([01][0-9]|2[0-3]):([0-5][0-9])")

PATTERN = rf"^({_FORM.pattern})?$"


def last_reset_ns(schedule: str, now_ns: int) -> int:
    """The latest scheduled moment at or before now_ns, ns UTC; 0 for "" (never).

    Raises:
        ValueError: no schedule; config checks it by PATTERN.
    """
    if not schedule:
        return 0
    found = _FORM.fullmatch(schedule)
    if found is None:
        raise ValueError(f"{schedule!r} is no schedule such as 'daily 22:00' or 'sun 22:00'")
    now = datetime.fromtimestamp(now_ns // _NS, UTC)
    moment = now.replace(hour=int(found[2]), minute=int(found[3]), second=0, microsecond=0)
    if found[1] != "daily":
        moment -= timedelta(days=(moment.weekday() - _DAYS.index(found[1])) % 7)
    if moment > now:
        moment -= timedelta(days=1 if found[1] == "daily" else 7)
    return int(moment.timestamp()) * _NS


def next_reset_ns(schedule: str, now_ns: int) -> int | None:
    """The first scheduled moment after now_ns, ns UTC; None for "" (never)."""
    if not schedule:
        return None
    step = timedelta(days=1 if schedule.startswith("daily") else 7)
    return last_reset_ns(schedule, now_ns) + int(step.total_seconds()) * _NS
