"""`penstock demo` as a person runs it: both doors trade, and the core's record agrees with every client's.

A check that cannot fail proves nothing, so a core that keeps a fill to itself is planted too.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.core.matching import EventSink
from gateway.demo import run as demo_run
from gateway.demo.venue import RecordingCore
from gateway.demo.view import View
from protocols.messages import AnyEvent, ExecType, OrderEvent

_DEMO = [sys.executable, "-c", "from gateway.cli import main; main()", "demo"]


def test_a_short_demo_trades_through_both_doors_and_loses_nothing() -> None:
    done = subprocess.run([*_DEMO, "--seconds", "3", "--json"], capture_output=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    result = json.loads(lines[0])
    assert (result["lost"], result["doubled"]) == (0, 0)
    for door in ("fix", "ws"):
        row = result[door]
        assert row["orders"] >= 300
        assert row["fills"] > 0
        assert 0 < row["p50_us"] <= row["p99_us"]
        assert row["refusals"] == sum(row["refusals_by_code"].values())
        assert row["refusals_by_code"].get("3001", 0) > 0  # the bursts


def test_sigterm_drains_and_the_summary_follows() -> None:
    demo = subprocess.Popen([*_DEMO, "--seed", "7"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    try:
        lines = []
        for line in demo.stdout:
            lines.append(line)
            if line.startswith("  ") and "orders/s" in line:
                break
        time.sleep(1.0)
        demo.send_signal(signal.SIGTERM)
        rest, errors = demo.communicate(timeout=40)
    finally:
        demo.kill()
    assert demo.returncode == 0, errors
    assert any("ws://127.0.0.1:" in line for line in lines)
    assert "draining\n" in rest
    assert rest.rstrip().endswith("lost 0, doubled 0")


class Forgetful(RecordingCore):
    """Records everything and keeps one fill of the institution to itself."""

    def subscribe(self, sink: EventSink) -> None:
        """Events go on, but for that one."""
        kept: list[AnyEvent] = []

        def is_kept(event: AnyEvent) -> bool:
            fill = isinstance(event, OrderEvent) and event.exec_type is ExecType.TRADE and event.account == 1
            if fill and not kept:
                kept.append(event)
                return True
            return False

        def forward(events: Sequence[AnyEvent], now_ns: int) -> None:
            sink([event for event in events if not is_kept(event)], now_ns)

        super().subscribe(forward)


async def test_a_fill_that_nobody_is_told_of_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gateway.demo.single.RecordingCore", Forgetful)
    outcome = await demo_run.DemoRun(tmp_path, View(), 1.0).trade(seed=1)
    assert outcome.verdict.unheard_fills == 1
    assert outcome.verdict.lost == 1
    assert not outcome.sound


def test_without_its_extra_the_demo_says_what_to_install() -> None:
    hide = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: None if n == 'simplefix' else f(n)"
    code = f"{hide}; from gateway.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "demo"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "needs the package simplefix: in a checkout, make setup" in done.stderr
