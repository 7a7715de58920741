"""Events that a stranger can cause at will write few lines, and each line says how many were left out."""

from gateway.telemetry.log_pace import LogPace

S = 1_000_000_000


def test_so_many_at_once_then_one_a_second_and_those_kept_back_are_counted() -> None:
    pace = LogPace(burst=3)
    assert [pace.take("a", 0) for _ in range(8)] == [0, 0, 0, None, None, None, None, None]
    assert [pace.take("a", S) for _ in range(3)] == [5, None, None]
    assert [pace.take("a", 100 * S) for _ in range(4)] == [2, 0, 0, None]


def test_a_flood_of_one_kind_hides_no_other() -> None:
    pace = LogPace(burst=1)
    assert [pace.take(kind, 0) for kind in "aaaba"] == [0, None, None, 0, None]
    assert pace.take("a", S) == 3


def test_a_clock_that_was_put_back_holds_nothing_back_for_longer() -> None:
    pace = LogPace(burst=1)
    assert pace.take("a", 100 * S) == 0
    assert pace.take("a", 50 * S) is None
    assert pace.take("a", 51 * S) == 1


def test_the_kinds_are_bounded() -> None:
    pace = LogPace(burst=1)
    assert [pace.take(kind, 0) for kind in range(1_000)] == [0] * 1_000
    assert len(pace._kinds) <= 256
