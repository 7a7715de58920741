"""`penstock demo` as a person runs it: both doors trade, and the core's record agrees with every client's."""

import json
import signal
import subprocess
import sys
import time

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
