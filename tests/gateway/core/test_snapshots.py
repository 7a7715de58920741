"""A snapshot is restored completely, or not at all."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.engine import Engine
from tests.support.venue import INSTRUMENTS, Venue, depth, new_engine


@pytest.fixture(scope="module")
def data() -> bytes:
    """A small venue with open, finished, replaced and traded orders."""
    venue = Venue(new_engine(dedupe_ids=2))
    for line in (
        "alice new a1 buy 5 @ 100 tag=grid",
        "alice new a2 buy 5 @ 100 post",
        "bob new b1 sell 7 @ 100",
        "alice replace a2 a3 9 @ 99",
        "bob new b2 sell 1 @ 110 instrument=2",
        "bob cancel x1 b2 instrument=2",
        "carol new c1 sell 3 @ 120",
    ):
        venue.do(line)
    return venue.engine.snapshot()


def changed(data: bytes, edit: object) -> bytes:
    image = msgspec.msgpack.decode(data)
    edit(image)  # type: ignore[operator]
    return msgspec.msgpack.encode(image)


def test_a_restored_engine_has_the_state_and_the_epoch_of_the_first(data: bytes) -> None:
    engine = Engine(INSTRUMENTS, 2, "e-9")
    engine.restore(data)
    assert engine.snapshot() == data
    assert engine.epoch == "e-1"
    assert [order.cl_ord_id for order in engine.open_orders(1)] == ["a3"]
    assert depth(engine, 1) == ([(99, 7, 1)], [(120, 3, 1)])


def test_a_restored_engine_drops_what_the_first_one_has_executed(data: bytes) -> None:
    engine = new_engine()
    engine.restore(data)
    venue = Venue(engine)
    assert [venue.do(f"alice new fresh{n} buy 1 @ 90") for n in range(3)] == [[], [], []]
    assert engine.snapshot() == data
    (event,) = venue.do("alice new fresh3 buy 1 @ 90")
    assert event.code == 0


def test_a_smaller_memory_forgets_at_the_next_chance(data: bytes) -> None:
    venue = Venue(new_engine())
    venue.engine.restore(data)
    venue.engine.configure((1, 2), 0)
    venue.do("alice new n1 buy 1 @ 1 ioc via=9")
    (event,) = venue.do("alice cancel x9 a1 via=9")
    assert event.code == 4002


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda image: image.__setitem__(0, 2), "version 2"),
        (lambda image: image[5].append(image[5][0]), "account 1 occurs twice"),
        (lambda image: image[5][0].__setitem__(0, 9), "wrong account"),
        (lambda image: image[6][1][0].clear(), "rests nowhere"),
        (lambda image: image[6][1][0].append(99), "order 99 cannot rest"),
        (lambda image: image[6][1][0].extend(image[6][1][0]), "cannot rest"),
        (lambda image: image[6].__setitem__(2, image[6].pop(1)), "cannot rest"),
        (lambda image: image[5][0][4].append(image[5][0][4][0]), "contradicts the orders"),
        (lambda image: image[5][0][3].append([*image[5][0][3][-1]]), "two open orders"),
        (lambda image: image.clear(), "snapshot:"),
    ],
)
def test_a_snapshot_that_contradicts_itself_is_refused_and_nothing_is_changed(
    data: bytes, edit: object, fault: str
) -> None:
    engine = new_engine()
    before = engine.digest()
    with pytest.raises(ValueError, match=fault):
        engine.restore(changed(data, edit))
    assert engine.digest() == before


def test_open_orders_need_their_instrument(data: bytes) -> None:
    engine = new_engine()
    engine.restore(data)
    with pytest.raises(ValueError, match="instrument 1, which is not configured"):
        engine.configure((2,), 2)
    assert engine.snapshot() == data
    engine.configure((1, 3), 2)  # nothing is open in the other one
    assert engine.configuration == ((1, 3), 2)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2_000), st.binary(min_size=1, max_size=3))
def test_damaged_bytes_are_refused_or_read_but_never_raise_anything_else(data: bytes, at: int, junk: bytes) -> None:
    at %= len(data)
    engine = new_engine()
    before = engine.digest()
    try:
        engine.restore(data[:at] + junk + data[at + len(junk) :])
    except ValueError:
        assert engine.digest() == before


@pytest.mark.parametrize("keep", [0, 1, 20, 100])
def test_a_torn_snapshot_is_refused(data: bytes, keep: int) -> None:
    with pytest.raises(ValueError, match="snapshot:"):
        new_engine().restore(data[:keep])


@pytest.mark.parametrize(
    "meanwhile",
    [
        "bob new b1 sell 2 @ 100",  # alice's order trades in part, and she said nothing
        "bob new b1 sell 9 @ 100",
        "alice new a2 sell 1 @ 100 stp=maker",
        "alice cancel x1 a1",
        "alice replace a1 a2 7 @ 101",
        "carol new c1 buy 1 @ 90",
    ],
)
def test_a_snapshot_in_pieces_has_nothing_of_what_happens_after_its_beginning(meanwhile: str) -> None:
    venue = Venue(new_engine())
    venue.do("bob new b0 buy 1 @ 90")
    venue.do("alice new a1 buy 5 @ 100")
    digest, pieces = venue.engine.digest(), venue.engine.begin_snapshot()
    venue.do(meanwhile)
    restored = new_engine()
    restored.restore(*pieces)
    assert restored.digest() == digest


def test_what_the_largest_account_sheds_for_the_others_is_still_in_a_snapshot_begun_before() -> None:
    engine = new_engine()
    venue, ledger = Venue(engine), engine._ledger
    for n in range(30):
        venue.do(f"alice new a{n} buy 5 @ 100 ioc")
    digest, pieces = engine.digest(), engine.begin_snapshot()
    ledger._max_retired = 30
    venue.do("bob new b1 buy 5 @ 100 ioc")
    assert len(ledger.accounts[1].retired) == 0
    restored = new_engine()
    restored.restore(*pieces)
    assert restored.digest() == digest
