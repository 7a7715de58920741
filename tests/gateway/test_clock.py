"""Own time only passes; the time of day follows the system's clock, at once after a step."""

import pytest

from gateway import clock

MS = 1_000_000
HOUR = 3_600_000 * MS


@pytest.fixture
def times(monkeypatch):
    """The two clocks of the system, as the test sets them."""

    class Times:
        utc_ns = 1_000_000 * MS
        uptime_ns = 500 * MS
        held_up_ns = 0  # a pause whenever both are read, in between

        def pass_ms(self, ms):
            self.utc_ns += ms * MS
            self.uptime_ns += ms * MS

        def utc(self):
            self.pass_ms(self.held_up_ns // MS)
            return self.utc_ns

    times = Times()
    monkeypatch.setattr(clock.time, "time_ns", times.utc)
    monkeypatch.setattr(clock.time, "clock_gettime_ns", lambda _: times.uptime_ns)
    return times


@pytest.mark.parametrize("step_ns", [-HOUR, -300_000 * MS, -700 * MS, 100 * MS, 700 * MS, 300_000 * MS, HOUR])
def test_a_stepped_system_clock_is_followed_at_once_and_moves_no_deadline(times, step_ns):
    ours = clock.Clock()
    before = ours.now_ns()
    times.utc_ns += step_ns
    times.pass_ms(1_000)
    ours.look()
    assert ours.now_ns() == before + 1_000 * MS
    assert ours.utc_ns(ours.now_ns()) == times.utc_ns
    assert (ours.take_step_ns(), ours.take_step_ns(), ours.steps) == (step_ns, 0, 1)


def test_a_small_difference_is_followed_by_and_by_and_is_no_step(times):
    ours = clock.Clock()
    times.utc_ns -= 50 * MS
    told = []
    for _ in range(60):
        times.pass_ms(1_000)
        ours.look()
        told.append(ours.utc_ns(ours.now_ns()))
    assert told == sorted(told)
    assert abs(told[-1] - times.utc_ns) <= MS
    assert ours.steps == 0


def test_steps_between_two_questions_are_reported_together(times):
    ours = clock.Clock()
    for step_ms in (700, -200):
        times.utc_ns += step_ms * MS
        ours.look()
    assert (ours.take_step_ns(), ours.steps) == (500 * MS, 2)


def test_a_pause_while_the_clocks_are_read_is_not_taken_for_a_step(times):
    ours = clock.Clock()
    times.held_up_ns = 3_000 * MS
    ours.look()
    times.held_up_ns = 0
    ours.look()
    assert (ours.steps, ours.offset_ns) == (0, 0)


def test_a_machine_that_was_suspended_has_grown_older_and_nothing_was_corrected(times):
    ours = clock.Clock()
    before = ours.now_ns()
    times.pass_ms(3_600_000)
    ours.look()
    assert (ours.now_ns() - before, ours.steps) == (HOUR, 0)


@pytest.mark.parametrize(("told_ms", "looks"), [(0, False), (999, False), (-999, False), (1_001, True), (-1_001, True)])
def test_a_peer_with_another_time_makes_us_look_again_before_it_is_judged(times, told_ms, looks):
    ours = clock.Clock()
    times.utc_ns += 300_000 * MS
    ahead_ns = ours.ahead_ns(ours.now_ns() + told_ms * MS, ours.now_ns())
    assert ahead_ns == (told_ms - 300_000 * looks) * MS
    assert ours.steps == looks


def test_the_uptime_it_counts_on_runs_on_while_the_machine_sleeps():
    name = "CLOCK_BOOTTIME" if hasattr(clock.time, "CLOCK_BOOTTIME") else "CLOCK_MONOTONIC"
    assert getattr(clock.time, name) == clock._UPTIME
