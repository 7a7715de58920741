"""When a FIX session's numbers go back to 1: daily or weekly, at a time of day in UTC. Pure: time is an argument.

A schedule is text: `daily 22:00` or `sun 22:00`. The moment itself belongs to the new period. `ResetPlan` stays correct
when the clock is corrected: it resets once per moment, and never counts a moment as done before it has come.
"""

import re
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from protocols.units import NS_PER_S
from protocols.wall import STEP_NS, WallClock

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = re.compile(rf"(daily|{'|'.join(_DAYS)}) ([01][0-9]|2[0-3]):([0-5][0-9])")

PATTERN = rf"^({_FORM.pattern})?$"

SAME_MOMENT_NS = 120 * NS_PER_S
"""If the clock was wrong by less, clients with the right time were logged on, and reset when we did. If it was wrong by
more, none could log on (SendingTime(52) is checked), so a reset at our wrong 22:00 does not replace one at theirs."""


def last_reset_ns(schedule: str, now_ns: int) -> int:
    """The latest scheduled moment at or before now_ns, ns UTC; 0 for "" (never).

    Raises:
        ValueError: it is not a schedule; the configuration is checked against PATTERN.
    """
    if not schedule:
        return 0
    found = _FORM.fullmatch(schedule)
    if found is None:
        raise ValueError(f"{schedule!r} is not a schedule: write 'daily 22:00' or 'sun 22:00'")
    now = datetime.fromtimestamp(now_ns // NS_PER_S, UTC)
    moment = now.replace(hour=int(found[2]), minute=int(found[3]), second=0, microsecond=0)
    if found[1] != "daily":
        moment -= timedelta(days=(moment.weekday() - _DAYS.index(found[1])) % 7)
    if moment > now:
        moment -= timedelta(days=1 if found[1] == "daily" else 7)
    return int(moment.timestamp()) * NS_PER_S


def next_reset_ns(schedule: str, now_ns: int) -> int | None:
    """The first scheduled moment after now_ns, ns UTC; None for "" (never)."""
    if not schedule:
        return None
    step = timedelta(days=1 if schedule.startswith("daily") else 7)
    return last_reset_ns(schedule, now_ns) + int(step.total_seconds()) * NS_PER_S


K = TypeVar("K", bound=Hashable)


class ResetPlan(Generic[K]):
    """When each key is reset next. It stores times of day, and takes and returns own time."""

    def __init__(self, wall: WallClock) -> None:
        self._wall = wall
        self._schedules: dict[K, str] = {}
        self._due_utc: dict[K, int] = {}
        self._done_ns: dict[K, int] = {}  # own time of the last reset
        self._offset_ns = wall.offset_ns  # the clock's offset when all this was planned

    def add(self, key: K, schedule: str, now_ns: int) -> None:
        """Add a key; the schedule "" means never."""
        if schedule:
            self._schedules[key] = schedule
            self._plan(key, now_ns)

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next reset is due, in own time; None = never."""
        return self._wall.own_ns(min(self._due_utc.values())) if self._due_utc else None

    def take_due(self, now_ns: int) -> list[K]:
        """The keys that are due: reset them now; they count as done."""
        utc_ns = self._wall.utc_ns(now_ns)
        due = [key for key, due_utc in self._due_utc.items() if due_utc <= utc_ns]
        for key in due:
            self.done(key, utc_ns, now_ns)
        return due

    def take_misdated(self, now_ns: int) -> dict[K, int]:
        """After the clock went back: the time of each last reset by the present clock. Everything is planned again."""
        back_ns, self._offset_ns = self._offset_ns - self._wall.offset_ns, self._wall.offset_ns
        if back_ns < STEP_NS:
            return {}
        for key in self._schedules:
            self._plan(key, now_ns)
        return {key: self._wall.utc_ns(done_ns) for key, done_ns in self._done_ns.items()}

    def done(self, key: K, at_utc: int, now_ns: int) -> None:
        """The key was reset at this time of day."""
        self._done_ns[key] = self._wall.own_ns(at_utc)
        self._plan(key, now_ns)

    def is_missed(self, key: K, at_utc: int, now_ns: int) -> bool:
        """Whether a scheduled moment has passed since the key was last reset, at this time of day."""
        return last_reset_ns(self._schedules.get(key, ""), self._wall.utc_ns(now_ns)) > at_utc

    def _plan(self, key: K, now_ns: int) -> None:
        after_ns = self._wall.utc_ns(now_ns)
        if key in self._done_ns:
            after_ns = max(after_ns, self._wall.utc_ns(self._done_ns[key]) + SAME_MOMENT_NS)
        due_utc = next_reset_ns(self._schedules[key], after_ns)
        assert due_utc is not None
        self._due_utc[key] = due_utc
