"""The life of the process: what its start prepares. Module: serving."""

import gc
from collections.abc import Iterator

import pytest

from gateway.serving import spare_collector


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("collector")
def test_the_collector_never_looks_at_many_objects_in_one_go_and_at_those_that_last_seldom() -> None:
    """Otherwise the garbage of a crowd of strangers would stop the loop for as long as a healthy session may wait."""
    spare_collector()
    young, middle, _ = gc.get_threshold()
    assert young <= 5_000
    assert young * middle >= 1_000_000
    assert gc.get_freeze_count() > 0


@pytest.mark.usefixtures("collector")
def test_what_the_start_has_made_is_not_looked_at_again() -> None:
    made_by_the_start = [[]]
    spare_collector()
    assert not any(each is made_by_the_start for each in gc.get_objects())
