"""`penstock run` as an operator runs it: a process with a configuration file, signals, and an exit status."""

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.desks import FixDesk, WsDesk, fix_desk
from tests.support.server import GENEROUS, started, venue_toml, write_venue

ONE_ORDER = GENEROUS.replace("version = 1", "version = 2").replace(
    'orders = { rate = "10000/s", burst = 10000 }', 'orders = { rate = "1/day", burst = 1 }'
)


async def test_sigterm_says_goodbye_at_both_doors_and_exits_with_0(tmp_path: Path) -> None:
    with started(tmp_path) as (process, ports):
        fix, ws = FixDesk("ALPHA"), WsDesk("BETA")
        await fix.logon(ports["fix"])
        await ws.logon(ports["ws"])
        await ws.place("b-1", "sell", "1", "60000")
        fix.client.place("a-1", "BTC-USDT", "1", "1", "60000")
        assert (await fix.expect("8", {150: "F"}))[39] == "2"
        process.send_signal(signal.SIGTERM)
        await ws.expect("system", state="draining")
        assert (await ws.client.wait_closed(12)).code in {1001, 1012}
        await asyncio.wait_for(fix.client.closed.wait(), 12)
        assert fix.client.logout_text
        assert await asyncio.to_thread(process.wait, 12) == 0
        await ws.client.abort()


async def test_a_process_that_was_stopped_for_a_while_cuts_nobody_and_cancels_for_nobody(tmp_path: Path) -> None:
    """Its clients went on all the while: what they did waits in the sockets."""
    with started(tmp_path) as (process, ports):
        desk = WsDesk("ALPHA", "bot")
        await desk.logon(ports["ws"], heartbeat_ms=1_000, cod={"scope": "session", "grace_ms": 0})
        await desk.client.call("order.cancel_after", {"timeout_ms": 1_000})
        await desk.place("a-1", "buy", "1", "60000")
        process.send_signal(signal.SIGSTOP)
        beats = [asyncio.ensure_future(desk.client.call("order.cancel_after", {"timeout_ms": 5_000}))]
        await asyncio.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        await asyncio.gather(*beats)
        await asyncio.sleep(0.5)
        found = await desk.client.call("order.status", {"cl_ord_id": "a-1"})
        assert found["status"] == "new"
        await desk.client.logout()


async def test_sighup_takes_changed_limits_over_and_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    with started(tmp_path) as (process, ports):
        async with fix_desk(ports["fix"], "ALPHA") as desk:
            for n in range(3):
                desk.client.place(f"a-{n}", "BTC-USDT", "1", "1", "60000")
                await desk.expect("8", {150: "0", 11: f"a-{n}"})
            for version, limits in ((2, ONE_ORDER), (3, "version = 3\nnonsense = true\n")):
                (tmp_path / "limits.toml").write_text(limits, encoding="utf-8")
                process.send_signal(signal.SIGHUP)
                for n in range(60):  # one token at most is left after the change
                    desk.client.place(f"b-{version}-{n}", "BTC-USDT", "1", "1", "60000")
                    report = await desk.expect("8", {11: f"b-{version}-{n}"})
                    if report[150] == "8":
                        break
                    await asyncio.sleep(0.05)
                assert (report[150], report[25016]) == ("8", "3001")


def test_a_configuration_with_mistakes_is_refused_with_all_of_them(tmp_path: Path) -> None:
    text = venue_toml().replace('tick = "0.05"', 'tick = "0"').replace("refusal_delay_ms = 50", "refusal_delay = 50")
    path = write_venue(tmp_path, text)
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert re.search(r"line \d+.*refusal_delay", done.stderr)
    assert re.search(r"line \d+.*tick", done.stderr)
    assert "Traceback" not in done.stderr
