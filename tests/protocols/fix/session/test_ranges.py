"""What a peer requests again, compared with a simple model: a list of numbers."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.fix.session.ranges import MAX_RANGES, Replay

RANGE = st.tuples(st.integers(1, 400), st.integers(0, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def written(replay: Replay, count: int) -> list[int]:
    """The next `count` numbers, or as many as there are."""
    numbers = []
    while replay.next <= replay.end and len(numbers) < count:
        replay.is_begun = True
        numbers.append(replay.next)
        replay.next += 1
        if replay.next > replay.end:
            replay.next_range()
    return numbers


def kept_apart(replay: Replay) -> int:
    return max(len(replay._ahead) + 1, len(replay._behind))


@given(RANGE, st.lists(st.tuples(RANGE, st.integers(0, 40)), max_size=200))
def test_what_is_requested_is_written_after_the_request(
    first: tuple[int, int], rest: list[tuple[tuple[int, int], int]]
) -> None:
    replay = Replay(*first)
    owed = set(range(first[0], first[1] + 1))
    for (begin, end), count in rest:
        numbers = written(replay, count)
        owed.difference_update(numbers)
        if replay.next > replay.end:
            assert not owed
            return
        replay.add(begin, end)
        owed.update(range(begin, end + 1))
        assert kept_apart(replay) <= MAX_RANGES
    owed.difference_update(written(replay, 100_000))
    assert not owed


@given(RANGE, st.lists(RANGE, max_size=60))
def test_nothing_is_written_twice_that_was_requested_before_the_first_was_written(
    first: tuple[int, int], rest: list[tuple[int, int]]
) -> None:
    replay = Replay(*first)
    for begin, end in rest:
        replay.add(begin, end)
    asked = {n for begin, end in [first, *rest] for n in range(begin, end + 1)}
    numbers = written(replay, 100_000)
    assert numbers == sorted(set(numbers))
    assert asked <= set(numbers)
    if len(rest) < MAX_RANGES:
        assert asked == set(numbers)


def test_every_other_number_of_a_million_is_a_bounded_set() -> None:
    replay = Replay(1, 1)
    for n in range(3, 100_000, 2):
        replay.add(n, n)
    assert kept_apart(replay) <= MAX_RANGES


def test_what_waits_after_a_replay_is_left_to_its_first_sending() -> None:
    replay = Replay(1, 10)
    replay.below = 20
    replay.add(5, 30)
    replay.add(20, 40)
    assert written(replay, 100) == list(range(1, 20))
