"""How fast the core takes orders: measured over spells, and a silence counts while it lasts, not after it."""

from gateway.pace import Pace

MS = 1_000_000


def at_work(pace: Pace, begin_ms: int, end_ms: int, orders_per_ms: int) -> None:
    for ms in range(begin_ms, end_ms):
        pace.took(orders_per_ms, ms * MS)


def test_the_time_for_one_order_is_that_of_the_last_spell() -> None:
    pace = Pace()
    pace.rest(0)
    at_work(pace, 1, 301, 2)
    assert pace.interval_ns(300 * MS) == MS // 2
    at_work(pace, 301, 601, 4)
    assert pace.interval_ns(600 * MS) == MS // 4


def test_a_silence_counts_while_it_lasts_and_not_after_it() -> None:
    pace = Pace()
    pace.rest(0)
    at_work(pace, 1, 301, 2)
    assert pace.interval_ns(3_300 * MS) >= 3_000 * MS
    pace.took(2, 3_300 * MS)
    assert pace.interval_ns(3_300 * MS) == MS // 2


def test_the_time_in_which_nothing_waits_is_no_silence() -> None:
    pace = Pace()
    pace.rest(0)
    at_work(pace, 1, 301, 2)
    pace.rest(9_000 * MS)
    assert pace.interval_ns(9_000 * MS) == MS // 2
