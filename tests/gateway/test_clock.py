"""The process's time never goes back, whatever happens to the system's."""

import pytest

from gateway import clock

MS = 1_000_000


@pytest.fixture
def times(monkeypatch):
    """The two clocks of the system, as the test sets them."""

    class Times:
        utc_ns = 1_000_000 * MS
        monotonic_ns = 500 * MS

        def pass_ms(self, ms):
            self.utc_ns += ms * MS
            self.monotonic_ns += ms * MS

    times = Times()
    monkeypatch.setattr(clock.time, "time_ns", lambda: times.utc_ns)
    monkeypatch.setattr(clock.time, "monotonic_ns", lambda: times.monotonic_ns)
    return times


@pytest.mark.parametrize("step_ms", [-3_600_000, -700, 700, 3_600_000])
def test_a_stepped_system_clock_is_followed_slowly_and_never_backwards(times, step_ms):
    ours, told = clock.Clock(), []
    times.utc_ns += step_ms * MS
    for _ in range(60):
        times.pass_ms(990)
        told.append(ours.now_ns())
        times.pass_ms(10)
        ours.lean()
        told.append(ours.now_ns())
    assert told == sorted(told)
    left_ms = max(abs(step_ms) - 60 * 50, 0)
    assert abs(ours.offset_ns) == left_ms * MS
    assert abs(ours.now_ns() - (times.utc_ns - (left_ms if step_ms > 0 else -left_ms) * MS)) <= 50 * MS
