"""Kill -9 of a trading gateway, ten times: who comes back recovers everything, and nothing is told twice.

`make faults` does it more often. Two tests take durability away, and one plants a bug: a harness that does not notice
is none.
"""

from pathlib import Path

import pytest

from tests.faults.kill9.report import Durability, Settings
from tests.faults.kill9.run import kill9

_PASSES_WHAT_WAITS = """
import sys

if "gateway.cli" in " ".join(sys.orig_argv):
    from gateway.journal.store import JournalStore
    JournalStore.begin_wait = lambda self, key, seq_num: None
"""

pytestmark = pytest.mark.timeout(180)  # each start is a whole process; a loaded machine takes seconds for one


@pytest.mark.parametrize(("durability", "seed"), [("disk", 101), ("process", 102)])
def test_after_each_kill_the_clients_recover_what_they_had_not_seen(durability: Durability, seed: int) -> None:
    result = kill9(Settings(rounds=5, seed=seed, durability=durability))
    assert result.violations.texts == []
    assert len(result.starts) == 6
    assert result.facts["recovered by resend"] > 0
    assert result.facts["requests the gateway asked for again"] > 0
    assert result.facts["trades, each told to both sides"] > 100


def test_an_order_that_waits_for_its_tokens_when_the_gateway_is_killed_is_asked_for_again() -> None:
    result = kill9(Settings(rounds=3, seed=105, durability="process", has_ws=True, has_store=True))
    assert result.violations.texts == []
    assert result.facts["kills that caught orders waiting for tokens"] > 0
    assert result.facts["times a FIX order that waited was asked for again"] > 0
    assert result.facts["WebSocket orders sent again, their answer lost"] > 0


@pytest.mark.parametrize(("cores", "has_replica", "seed"), [(1, False, 107), (2, True, 116)])
def test_whoever_dies_of_gateway_cores_and_redis_and_whatever_a_network_does_everything_is_recovered(
    cores: int, has_replica: bool, seed: int
) -> None:
    result = kill9(
        Settings(rounds=3, seed=seed, durability="process", has_ws=True, cores=cores, has_replica=has_replica)
    )
    assert result.violations.texts == []
    assert any("core" in fact or "redis" in fact for fact in result.facts)
    assert any("network" in fact for fact in result.facts)
    assert result.facts["trades, each told to both sides"] > 100


def test_another_gateway_goes_on_with_what_a_dead_one_left_in_redis() -> None:
    result = kill9(Settings(rounds=3, seed=109, durability="process", has_ws=True, cores=1, is_cluster=True))
    assert result.violations.texts == []
    assert result.facts["recovered by resend"] > 0
    assert result.facts["events replayed over WebSocket"] > 0


def test_clients_of_a_gateway_that_dies_are_back_at_the_other_one_with_nothing_lost() -> None:
    settings = Settings(rounds=2, seed=110, durability="process", has_ws=True, cores=2, is_cluster=True, is_pair=True)
    result = kill9(settings)
    assert result.violations.texts == []
    assert result.facts["trades, each told to both sides"] > 100


def test_a_gateway_whose_next_in_passes_what_waits_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_PASSES_WHAT_WAITS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = kill9(Settings(rounds=2, seed=106, durability="process", has_store=True))
    assert "was read and never answered" in "\n".join(result.violations.texts)


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
