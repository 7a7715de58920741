"""Every contender of `make bench` answers the orders of the load client. Counts only. Modules: contenders, cells."""

import pytest

from gateway.bench.load import Load, run_load
from tests.bench.cells import SHAPES, cells
from tests.bench.contenders import BEFORE, LINKED, OURS, PEERS, contender

LOAD = Load(sessions=2, in_flight=3, seconds=0.2, warm_up=0.0)


@pytest.mark.parametrize("name", [*(each for each in PEERS if each != "quickfix"), "process", *LINKED])
async def test_a_contender_answers_every_order(name: str) -> None:
    with contender(name, "fix", 2, 0, None) as door:
        found = await run_load(door, LOAD)
    assert found.accepted > 0
    assert (found.refusals, found.unanswered) == ({}, 0)


@pytest.mark.quickfix
async def test_quickfix_answers_every_order() -> None:
    pytest.importorskip("quickfix")
    await test_a_contender_answers_every_order("quickfix")


def test_every_contender_of_a_shape_can_be_started_and_no_shape_has_two_names() -> None:
    assert {name for shape in SHAPES for name in shape.contenders} <= {*OURS, *LINKED, BEFORE, *PEERS}
    assert len({(shape.door, shape.name) for shape in SHAPES}) == len(SHAPES)


def test_rounds_are_interleaved_and_what_is_not_there_is_left_out() -> None:
    both = cells(2, with_before=True)
    assert [cell.round for cell in both] == sorted(cell.round for cell in both)
    assert len({cell.key for cell in both}) == len(both)
    assert {cell.contender for cell in cells(1, with_before=False)} == {*OURS, *LINKED, *PEERS}
