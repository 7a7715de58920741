"""How fast the core takes orders: measured over spells, and a silence counts while it lasts, not after it."""

from gateway.orders.pace import Pace

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


def test_hand_overs_within_a_spell_are_taken_together_however_they_lie_in_it() -> None:
    pace = Pace()
    pace.rest(0)
    pace.took(10, MS)  # at once, which is no pace
    pace.took(10, 100 * MS)
    assert pace.interval_ns(100 * MS) == 5 * MS


def test_a_spell_in_which_nothing_was_taken_goes_on_until_something_is() -> None:
    pace = Pace()
    pace.rest(0)
    pace.took(0, 150 * MS)
    assert pace.interval_ns(150 * MS) == 150 * MS, "as it looks so far"
    pace.took(10, 200 * MS)
    assert pace.interval_ns(200 * MS) == 20 * MS
