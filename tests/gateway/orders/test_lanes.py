"""Lanes: the count of what goes before a newcomer, and when each request has waited for too long."""

from types import SimpleNamespace

import msgspec

from gateway.orders.lanes import Lane, QueueDeadlines
from gateway.sessions.request import Request, RequestState
from tests.support.queue_requests import cancel, new, query

S = 1_000_000_000


def lane(**accounts: int) -> tuple[Lane, list[Request]]:
    """So many orders of each account, which has the number that its name ends with."""
    filled = Lane()
    rows = [new(f"o{n}", account=int(name[1:])) for name, count in accounts.items() for n in range(count)]
    for row in rows:
        filled.put(row)
    return filled, rows


def test_who_comes_now_waits_for_its_own_by_turns_and_never_for_more_than_there_is() -> None:
    filled, _ = lane(a1=10, a2=1, a3=1)
    assert [filled.ahead(account) for account in (1, 2, 3, 4)] == [12, 3, 3, 0]


def test_what_was_handed_over_is_ahead_of_nobody() -> None:
    filled, _ = lane(a1=10, a2=3)
    assert len(filled.take(4)) == 4  # two of each: a turn is of 200 bytes
    assert [filled.ahead(account) for account in (1, 2)] == [9, 2]
    assert len(filled.take(100)) == 9
    assert filled.ahead(1) == 0


def test_what_was_withdrawn_and_skipped_leaves_the_count_as_it_was() -> None:
    filled, rows = lane(a1=63)
    for row in rows:
        filled.drop(row)
    assert filled.take(100) == []
    later = [new(f"l{n}") for n in range(100)]
    for row in later:
        filled.put(row)
    filled.drop(later[0])
    assert filled.ahead(1) in (99, 100)
    assert filled.take(1_000) == later[1:]


def test_when_half_of_a_lane_was_withdrawn_only_what_is_left_lies_there() -> None:
    filled, rows = lane(a1=120, a2=10)
    for row in rows[:64]:
        filled.drop(row)
    assert filled.ahead(1) == 130, "nothing was looked at yet"
    filled.drop(rows[64])
    assert filled.ahead(1) == 65
    assert len(filled.take(100)) == 65
    filled, rows = lane(a1=64, a2=10)
    for row in rows[:64]:
        filled.drop(row)
    assert [filled.ahead(account) for account in (1, 2)] == [0, 10], "whose last one goes has no turn any more"
    assert filled.take(100) == rows[64:]


def test_an_account_whose_queue_ran_empty_keeps_nothing_of_its_turn() -> None:
    filled, _ = lane(a1=1)
    assert len(filled.take(1)) == 1  # it has used half of its turn
    for name in ("b1", "b2", "b3"):
        filled.put(new(name))
    filled.put(new("c", account=2))
    assert [row.command.cl_ord_id for row in filled.take(3)] == ["b1", "b2", "c"]


def test_turns_are_as_long_when_the_core_takes_one_order_at_a_time() -> None:
    filled, _ = lane(a1=4, a2=4)
    assert [row.command.account for _ in range(8) for row in filled.take(1)] == [1, 1, 2, 2, 1, 1, 2, 2]


def test_what_the_house_itself_asks_for_is_one_queue_whatever_the_account() -> None:
    filled, rows = Lane(), [new(f"o{n}", account=n % 2 + 1) for n in range(6)]
    for row in rows:
        row.session = SimpleNamespace(id=0)
        filled.put(row)
    assert filled.take(6) == rows


# -- how long each may wait --------------------------------------------------------------------------------------------


def within(row: Request, window_ns: int) -> Request:
    """The same, with a validity window."""
    row.command = msgspec.structs.replace(row.command, deadline=row.command.t_recv + window_ns)
    return row


def test_each_waits_as_long_as_all_or_as_its_window_is_if_it_is_a_new_order() -> None:
    waits = QueueDeadlines(10 * S)
    brief, long, plain = within(new("a"), 2 * S), within(new("b"), 20 * S), new("c")
    leaving, asking = within(cancel("d"), 2 * S), within(query(), 2 * S)
    for row in (long, plain, leaving, asking, brief):
        waits.add(row)
    assert waits.over(2 * S) == []
    assert waits.over(2 * S + 1) == [brief]
    assert waits.over(10 * S - 1) == [brief]
    assert waits.over(10 * S) == [brief, long, plain, leaving, asking]


def test_what_has_left_is_never_over_and_takes_no_memory() -> None:
    waits = QueueDeadlines(S)
    rows = [new("a"), new("b")]
    for row in rows:
        waits.add(row)
    waits.discard(rows[0])
    assert waits.over(2 * S) == [rows[1]]
    waits.discard(rows[1])
    assert (waits.over(2 * S), waits._slots) == ([], {})


def test_what_was_told_already_is_not_told_again_and_may_leave_all_the_same() -> None:
    waits, row = QueueDeadlines(S), new("a")
    row.move_to(RequestState.UNKNOWN)
    waits.add(row)
    assert waits.over(2 * S) == []
    waits.discard(row)
