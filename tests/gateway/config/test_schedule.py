"""Scheduled resets: the moment itself belongs to the new period."""

from datetime import UTC, datetime

import pytest

from gateway.config.schedule import ResetPlan, last_reset_ns, next_reset_ns
from tests.support.hand_clock import HandClock


def ns(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("schedule", "now", "last", "following"),
    [
        ("daily 22:00", "2026-11-22T21:59:59", "2026-11-21T22:00", "2026-11-22T22:00"),
        ("daily 22:00", "2026-11-22T22:00:00", "2026-11-22T22:00", "2026-11-23T22:00"),
        ("daily 00:00", "2026-02-28T23:59:59", "2026-02-28T00:00", "2026-03-01T00:00"),
        ("sun 22:00", "2026-11-22T22:00:00", "2026-11-22T22:00", "2026-11-29T22:00"),  # a Sunday
        ("sun 22:00", "2026-11-22T21:00:00", "2026-11-15T22:00", "2026-11-22T22:00"),
        ("mon 06:30", "2026-11-22T12:00:00", "2026-11-16T06:30", "2026-11-23T06:30"),
        ("sat 00:00", "2027-01-01T00:00:00", "2026-12-26T00:00", "2027-01-02T00:00"),
    ],
)
def test_the_last_and_the_next_moment_of_a_schedule(schedule, now, last, following):
    assert last_reset_ns(schedule, ns(now)) == ns(last)
    assert next_reset_ns(schedule, ns(now)) == ns(following)


def test_no_schedule_never_resets():
    assert (last_reset_ns("", 5), next_reset_ns("", 5)) == (0, None)


@pytest.mark.parametrize("schedule", ["daily", "daily 24:00", "everyday 10:00", "sun 9:00", "sun 09:60"])
def test_what_is_no_schedule_is_refused(schedule):
    with pytest.raises(ValueError, match="is not a schedule"):
        last_reset_ns(schedule, ns("2026-11-22T12:00:00"))


# -- a clock that is corrected -------------------------------------------------------------------------------------

S = 1_000_000_000
MINUTE, HOUR, DAY = 60 * S, 3_600 * S, 86_400 * S


class Plan:
    """One session that resets at 22:00, on a clock that began at `begin`. `own` is own time, which only passes."""

    def __init__(self, begin):
        self.clock = HandClock()
        self.own = ns(begin)
        self.plan = ResetPlan(self.clock)
        self.plan.add("A", "daily 22:00", self.own)

    def resets(self, duration_ns):
        """The times at which it was reset, by the clock of that time."""
        end, told = self.own + duration_ns, []
        while (due := self.plan.next_deadline_ns) is not None and due <= end:
            self.own = max(due, self.own)
            assert self.plan.take_due(self.own) == ["A"]
            told.append(clock_text(self.clock.utc_ns(self.own)))
        self.own = end
        return told

    def put_right(self, by_ns):
        self.clock.offset_ns += by_ns
        told = [clock_text(self.clock.utc_ns(self.own)) for _ in self.plan.take_due(self.own)]
        return told, self.plan.take_misdated(self.own)


def clock_text(utc_ns):
    return datetime.fromtimestamp(utc_ns // S, UTC).strftime("%d %H:%M:%S")


def test_a_moment_that_a_clock_skipped_is_done_once():
    plan = Plan("2026-11-22T21:30:00")
    assert plan.put_right(HOUR) == (["22 22:30:00"], {})
    assert plan.resets(DAY) == ["23 22:00:00"]


@pytest.mark.parametrize("back_ns", [S, 10 * S, 2 * MINUTE - S])
def test_a_moment_that_comes_again_since_the_clock_was_a_little_ahead_is_not_executed_twice(back_ns):
    plan = Plan("2026-11-22T21:59:00")
    assert plan.resets(MINUTE) == ["22 22:00:00"]
    assert plan.put_right(-back_ns) == ([], {"A": ns("2026-11-22T22:00:00") - back_ns})
    assert plan.resets(DAY + HOUR) == ["23 22:00:00"]


def test_what_a_clock_that_was_hours_ahead_did_does_not_count_for_the_moment_at_which_clients_do_it():
    plan = Plan("2026-11-22T21:59:00")
    assert plan.resets(MINUTE) == ["22 22:00:00"]
    plan.put_right(-HOUR)
    assert plan.resets(DAY) == ["22 22:00:00"]
    assert plan.resets(DAY) == ["23 22:00:00"]


def test_a_clock_that_is_put_back_before_the_moment_waits_for_it():
    plan = Plan("2026-11-22T21:30:00")
    assert plan.put_right(-HOUR) == ([], {})
    assert plan.resets(HOUR) == []
    assert plan.resets(HOUR) == ["22 22:00:00"]
