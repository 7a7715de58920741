"""Scheduled resets: the moment itself belongs to the new period."""

from datetime import UTC, datetime

import pytest

from gateway.schedule import last_reset_ns, next_reset_ns


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
    with pytest.raises(ValueError, match="no schedule"):
        last_reset_ns(schedule, ns("2026-11-22T12:00:00"))
