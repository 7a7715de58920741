"""The mistakes that tests must notice: each still has its place in the code, and a few are planted here and now."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.mutants.every import MUTANTS, SHORT
from tests.mutants.plant import Mutant, Tree


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    with closing(Tree()) as tree:
        yield tree


def test_each_mistake_still_has_its_one_place() -> None:
    assert [f"{mutant.file}: {mutant.bug}" for mutant in MUTANTS if mutant.places != 1] == []


def test_each_mistake_is_code() -> None:
    for mutant in MUTANTS:
        if mutant.file.endswith(".py"):
            compile(mutant.code, f"{mutant.file} where {mutant.bug}", "exec")


@pytest.mark.timeout(200)
@pytest.mark.parametrize("mutant", SHORT, ids=lambda mutant: mutant.bug)
def test_a_planted_mistake_is_noticed(tree: Tree, mutant: Mutant) -> None:
    assert tree.killer(mutant)
