"""Kill -9 of a trading gateway, ten times: who comes back recovers everything, and nothing is told twice.

`make faults` does it two hundred times. Two tests take durability away: a harness that does not notice is none.
"""

import pytest

from tests.faults.kill9 import kill9
from tests.faults.kill9_report import Durability, Settings

pytestmark = pytest.mark.timeout(180)  # each start is a whole process; a loaded machine takes seconds for one


@pytest.mark.parametrize(("durability", "seed"), [("disk", 101), ("process", 102)])
def test_after_each_kill_the_clients_recover_what_they_had_not_seen(durability: Durability, seed: int) -> None:
    result = kill9(Settings(rounds=5, seed=seed, durability=durability))
    assert result.violations.texts == []
    assert len(result.starts) == 6
    assert result.facts["recovered by resend"] > 0
    assert result.facts["requests the gateway asked for again"] > 0
    assert result.facts["trades, each told to both sides"] > 100


def test_a_gateway_that_keeps_its_numbers_in_memory_is_found_out() -> None:
    result = kill9(Settings(rounds=1, seed=103, durability="memory"))
    found = "\n".join(result.violations.texts)
    assert "NextIn went back" in found or "MsgSeqNum too low" in found
    assert "was sent a second time without PossDupFlag(43)=Y" in found


def test_a_journal_that_lost_its_last_200_bytes_is_found_out() -> None:
    result = kill9(Settings(rounds=1, seed=104, cut_bytes=200))
    found = "\n".join(result.violations.texts)
    assert "the gateway did not start" in found
    assert "bytes more were safe" in found
