"""The mistakes that tests must notice: each still has its place in the code, and a few are planted here and now."""

import pytest

from tests.mutants.every import MUTANTS, SHORT
from tests.mutants.plant import Mutant, survives


def test_each_mistake_still_has_its_one_place() -> None:
    assert [f"{mutant.file}: {mutant.bug}" for mutant in MUTANTS if mutant.places != 1] == []


@pytest.mark.timeout(200)
@pytest.mark.parametrize("mutant", SHORT, ids=lambda mutant: mutant.bug)
def test_a_planted_mistake_is_noticed(mutant: Mutant) -> None:
    assert not survives(mutant)
