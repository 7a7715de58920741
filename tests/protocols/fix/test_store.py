"""The in-memory store: what it keeps, how it reads, when it forgets."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.fix.store import MemoryStore


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


@given(st.sets(st.integers(1, 200)), st.integers(0, 250), st.integers(0, 250), st.integers(1, 50))
def test_it_agrees_with_a_plain_list(numbers: set[int], begin: int, end: int, bound: int) -> None:
    store = MemoryStore(bound)
    put(store, *sorted(numbers))
    kept = sorted(numbers)[-bound:]
    assert [n for n, _ in store.read(begin, end)] == [n for n in kept if begin <= n <= end]
