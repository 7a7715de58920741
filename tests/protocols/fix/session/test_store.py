"""The in-memory store: what it stores, how it reads, what it drops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.fix.session.store import Intake, MemoryStore


def put(store: MemoryStore, *numbers: int) -> None:
    for n in numbers:
        store.put(n, b"%d" % n)
        store.next_out = n + 1


def test_it_begins_with_both_numbers_at_1() -> None:
    store = MemoryStore()
    assert (store.next_in, store.next_out) == (1, 1)
    assert list(store.read(1, 10)) == []


def test_it_reads_a_range_rising_and_leaves_out_what_was_not_kept() -> None:
    store = MemoryStore()
    put(store, 2, 3, 7, 9)
    assert list(store.read(3, 8)) == [(3, b"3"), (7, b"7")]
    assert list(store.read(1, 10**18)) == [(2, b"2"), (3, b"3"), (7, b"7"), (9, b"9")]
    assert list(store.read(8, 3)) == []


def test_the_oldest_go_first() -> None:
    store = MemoryStore(max_messages=3)
    put(store, *range(1, 10))
    assert [n for n, _ in store.read(1, 99)] == [7, 8, 9]


def test_reset_forgets_everything() -> None:
    store = MemoryStore()
    put(store, 1, 2)
    store.next_in = 5
    store.reset()
    assert (store.next_in, store.next_out) == (1, 1)
    assert list(store.read(1, 99)) == []


def test_what_is_stored_together_is_dropped_together_when_enough_is_left() -> None:
    store = MemoryStore(max_messages=3)
    store.put_run(1, [b"1", b"2"])
    store.put_run(5, [b"5", b"6"])
    assert [n for n, _ in store.read(1, 99)] == [1, 2, 5, 6], "three are left only with the older run"
    put(store, 7)
    assert [n for n, _ in store.read(1, 99)] == [5, 6, 7]
    assert list(store.read(6, 6)) == [(6, b"6")]


def test_a_full_store_keeps_few_places_that_were_emptied() -> None:
    store = MemoryStore(max_messages=1_000)
    for number in range(1, 10_000):
        store.put(number, b"")
        assert len(store._runs) <= 1_000 * 8 // 7 + 2


def test_a_number_is_stored_once() -> None:
    store = MemoryStore()
    put(store, 1, 2)
    with pytest.raises(LocalProtocolError, match="message 2 after 2: a number keeps its content forever"):
        store.put(2, b"another")
    assert list(store.read(1, 9)) == [(1, b"1"), (2, b"2")]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=30),
    st.integers(0, 250),
    st.integers(0, 250),
    st.integers(1, 50),
)
def test_runs_agree_with_single_messages(runs: list[tuple[int, int]], begin: int, end: int, bound: int) -> None:
    """Each run is a gap and so many messages. The last `bound` are there, and those stored with the first of them."""
    store, made, kept = MemoryStore(bound), list[range](), list[int]()
    for gap, count in runs:
        first = store.next_out + gap
        store.put_run(first, [b"%d" % n for n in range(first, first + count)])
        store.next_out = first + count
        made.append(range(first, first + count))
    for run in reversed(made):
        if len(kept) < bound:
            kept[:0] = run
    assert list(store.read(begin, end)) == [(n, b"%d" % n) for n in kept if begin <= n <= end]


@given(st.sets(st.integers(1, 200)), st.integers(0, 250), st.integers(0, 250), st.integers(1, 50))
def test_it_agrees_with_a_plain_list(numbers: set[int], begin: int, end: int, bound: int) -> None:
    store = MemoryStore(bound)
    put(store, *sorted(numbers))
    kept = sorted(numbers)[-bound:]
    assert [n for n, _ in store.read(begin, end)] == [n for n in kept if begin <= n <= end]


# -- inbound numbers ---------------------------------------------------------------------------------------------------


def test_a_number_that_was_handled_early_is_skipped_however_its_turn_comes() -> None:
    for numbers in ([3], [3, 3], [2, 3, 3], [4], [4, 4]):
        intake = Intake()
        for number in (1, 3, 4, 7):
            intake.record_done(number)
        for number in numbers:
            intake.expect(number)
        assert intake.next_in == 5
        intake.expect(6)
        assert (intake.next_in, intake.without_memory()) == (6, (6, ((7, 8),)))


def test_what_waits_is_expected_without_memory_and_what_was_done_around_it_is_not() -> None:
    intake = Intake()
    intake.expect(10)
    intake.record_done(12)
    intake.record_done(13)
    for key, number in enumerate((5, 7, 8, 13)):
        intake.begin_wait(key, number)
    assert intake.without_memory() == (5, ((6, 7), (9, 10), (12, 13)))
    assert intake.processed == 4
    intake.end_wait(0)
    assert intake.without_memory() == (7, ((9, 10), (12, 13)))


def test_a_peer_that_never_closes_its_gap_is_not_remembered_without_end() -> None:
    intake = Intake()
    for number in range(3, 100_000, 2):
        intake.record_done(number)
    assert len(intake.done) == 1_024


def test_a_reset_forgets_what_waits_and_what_was_done() -> None:
    store = MemoryStore()
    store.begin_wait(1, 1)
    store.record_done(4)
    store.reset()
    store.next_in = 4
    assert (store.next_in, store.intake.processed, store.intake.without_memory()) == (4, 3, (4, ()))


@given(st.lists(st.tuples(st.sampled_from(["take", "ahead", "wait", "go", "crash"]), st.integers(0, 5)), max_size=40))
def test_each_number_is_dealt_with_once_over_any_number_of_lives(steps: list[tuple[str, int]]) -> None:
    """Compared with a set of handled numbers: what waited at a crash comes again, and nothing else."""
    intake, done, waiting = Intake(), set[int](), list[int]()
    for name, amount in steps:
        if name in ("take", "wait"):
            number = intake.next_in
            assert number not in done
            if name == "wait":
                waiting.append(number)
                intake.begin_wait(number, number)
            else:
                done.add(number)
            intake.expect(number + 1)
        elif name == "ahead" and not intake.is_done(ahead := intake.next_in + 1 + amount):
            intake.record_done(ahead)
            done.add(ahead)
        elif name == "go" and waiting:
            done.add(number := waiting.pop(amount % len(waiting)))
            intake.end_wait(number)
        elif name == "crash":
            intake, waiting = Intake(*intake.without_memory()), []
        assert all(number in done or number in waiting for number in range(1, intake.next_in))
        assert intake.processed == min([number for number in range(1, intake.next_in + 1) if number not in done]) - 1
