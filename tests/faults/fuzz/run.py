"""`python -m tests.faults.fuzz --seconds 60 --seed 7 --door all`: attack a running gateway, and see who notices.

Three processes: the gateway (`penstock run`, as an operator starts it), the attackers (`fuzz.attack`), and this one,
with the healthy sessions and the watch. First nobody attacks; then waves of attackers come, of one kind or mixed, with
a quiet spell behind each to judge them by; then they leave. Everything they do derives from the seed: a run that fails
prints the command that repeats it.
"""

import argparse
import asyncio
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console

from tests.faults.fuzz.attack import DOORS, READY, Door, Wave
from tests.faults.fuzz.healthy import FixTrader, WsTrader, returners
from tests.faults.fuzz.report import Report, WaveResult, judge_latency, memory_bound_bytes, row, show
from tests.faults.fuzz.venue import EVENTS_KEPT, LEAVE_S, OPEN_FILES, Settings, knobs, waves
from tests.faults.fuzz.watch import LogReader, Violations, Watch
from tests.faults.fuzz.wire import Tally
from tests.support.server import started

_ROOT = Path(__file__).parents[3]
_QUIET_SHARE, _QUIET_MIN_S, _QUIET_MAX_S = 0.1, 1.0, 5.0
_SPELL_S = (
    0.3  # of quiet behind each wave: what is judged is the attack, not what else the machine had to do that minute
)
_STOP_S = 15.0
_LOGON_S = 10.0
_WIDTH = 150  # of the summary where there is no terminal
_MIB = 1 << 20
_UNCOUNTED = 5  # connections that were gone before they were accepted


class Attackers:
    """The process of the attackers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def carry_out(self, wave: Wave) -> Tally:
        """Let one wave run to its end; a process that hangs is our own bug."""
        self._stdin.write(msgspec.json.encode(wave) + b"\n")
        async with asyncio.timeout(wave.seconds + 30):
            return msgspec.json.decode(await self._stdout.readline(), type=Tally)


@asynccontextmanager
async def attackers() -> AsyncIterator[Attackers]:
    """Start the attackers' process, and end it."""
    command = (sys.executable, "-m", "tests.faults.fuzz.attack")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=_ROOT, limit=1 << 20)
    try:
        assert process.stdout is not None
        if await process.stdout.readline() != READY:
            raise AssertionError("the attackers did not start")
        yield Attackers(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def fuzz(settings: Settings, directory: Path) -> Report:
    """One whole run, from the start of the gateway to its end."""
    violations = Violations()
    tls_port, text = knobs(settings, directory)
    with started(directory, open_files=OPEN_FILES, **text) as (process, ports):
        assert process.stderr is not None
        log = LogReader(process.stderr, violations)
        report = await _attacked(settings, process.pid, {**ports, "tls": tls_port}, violations)
        await _stop(process, violations)
        log.join()
    await _start_again(settings, directory, report)
    report.facts["log"] = f"{log.lines:,} lines: " + ", ".join(f"{name} {n:,}" for name, n in log.events.most_common())
    return report


async def _attacked(settings: Settings, pid: int, ports: dict[str, int], violations: Violations) -> Report:
    """Run the healthy sessions and the watch beside all phases."""
    watch = Watch(pid, ports["admin"], violations, settings.patience_s)
    traders = (FixTrader(violations, settings.patience_s), WsTrader(violations, settings.patience_s))
    report = Report(settings, {}, [], {}, violations, watch.lateness)
    async with attackers() as them:
        await traders[0].log_on(ports["fix"])
        await traders[1].log_on(ports["ws"])
        coming = returners(ports, violations, settings.patience_s)
        tasks = [asyncio.create_task(runner.run()) for runner in (*traders, *coming.values(), watch)]
        try:
            await _phases(report, them, watch, traders, ports)
            _judge_ends(report, watch, {door: each.logons for door, each in coming.items()})
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    violations.add(f"a healthy session or the watch failed: {outcome!r}")
    for each in coming.values():
        report.facts[each.name] = row(each.latencies)
    report.facts["/livez and /metrics"] = f"p99 {watch.admin.quantile_ms(0.99):.1f} ms of {len(watch.admin.seconds)}"
    report.facts["this process was late by"] = row(watch.lateness)
    return report


async def _phases(
    report: Report, them: Attackers, watch: Watch, traders: tuple[FixTrader, WsTrader], ports: dict[str, int]
) -> None:
    """Quiet, attacked, and quiet again."""
    await asyncio.sleep(min(max(report.settings.seconds * _QUIET_SHARE, _QUIET_MIN_S), _QUIET_MAX_S))
    report.quiet = {trader.name: trader.take_latencies() for trader in traders}
    quiet_bytes, quiet_fds = watch.process.rss_bytes(), watch.process.fds()
    await _waves(report, them, watch, traders, ports)
    report.violations.where = "after"
    await _leave(report, watch, quiet_fds)
    _judge_memory(report, watch, quiet_bytes)


async def _waves(
    report: Report, them: Attackers, watch: Watch, traders: tuple[FixTrader, WsTrader], ports: dict[str, int]
) -> None:
    clock = asyncio.get_running_loop().time
    until = clock() + report.settings.seconds
    epoch = str(traders[1].client.hello["epoch"])
    for wave in waves(report.settings, ports):
        if clock() >= until:
            break
        report.violations.where = f"wave {wave.number}: {wave.door} {wave.kind} x {wave.width}"
        began, cpu_s = clock(), watch.process.cpu_s()
        tally = await them.carry_out(msgspec.structs.replace(wave, epoch=epoch))
        cpu = (watch.process.cpu_s() - cpu_s) / (clock() - began)
        latencies = {trader.name: trader.take_latencies() for trader in traders}
        report.waves.append(WaveResult(wave, tally, latencies, 100 * cpu))
        await asyncio.sleep(_SPELL_S)
        for trader in traders:
            report.quiet[trader.name].seconds += trader.take_latencies().seconds
        for fault in tally.faults:
            report.violations.add(f"a reply that is not well-formed: {fault}")


async def _leave(report: Report, watch: Watch, quiet_fds: int) -> None:
    """The attackers are gone: what they held must be given back."""
    clock = asyncio.get_running_loop().time
    began = clock()
    fds = watch.process.fds()
    while (fds := watch.process.fds()) > quiet_fds and clock() - began < LEAVE_S:
        await asyncio.sleep(0.05)
    waited_s = clock() - began
    again = f"{fds} again {waited_s:.1f} s after the attackers left"
    report.facts["file descriptors"] = f"{quiet_fds} quiet, {watch.peak_fds} at most (with files), {again}"
    if fds > quiet_fds:
        report.violations.add(f"file descriptors: {report.facts['file descriptors']}")
    await watch.look()


def _judge_memory(report: Report, watch: Watch, quiet_bytes: int) -> None:
    orders, messages = (int(watch.total(f"penstock_{name}")) for name in ("orders_accepted", "messages_out"))
    bound = memory_bound_bytes(quiet_bytes, watch.peak_connections, EVENTS_KEPT, orders, messages)
    quiet, peak, most = (size // _MIB for size in (quiet_bytes, watch.peak_rss_bytes, bound))
    came = f"{watch.peak_connections} connections at once, {orders:,} orders taken, {messages:,} messages out"
    report.facts["resident memory"] = f"{quiet} MiB quiet, {peak} MiB at most, bound {most} MiB ({came})"
    if watch.peak_rss_bytes > bound:
        report.violations.add(f"resident memory: {report.facts['resident memory']}")


def _judge_ends(report: Report, watch: Watch, returned: dict[str, int]) -> None:
    """Each connection ended for one counted reason. returned: how often a healthy session came, by door."""
    disconnects, logons = watch.by_label("penstock_disconnects"), watch.by_label("penstock_failed_logons")
    report.facts["disconnects"] = ", ".join(f"{reason} {count:,}" for reason, count in disconnects.items())
    report.facts["failed logons"] = ", ".join(f"{cause} {count:,}" for cause, count in logons.items())
    for door, ports in {"fix": ("fix", "tls"), "ws": ("ws",)}.items():
        counted = sum(n for rows in (disconnects, logons) for reason, n in rows.items() if reason.startswith(door))
        came = returned[door] + sum(result.tally.attackers for result in report.waves if result.wave.door in ports)
        if abs(counted - came) > _UNCOUNTED + came // 50:
            report.violations.add(f"{came} connections to the {door} door, {counted} ends counted with a reason")


async def _stop(process: subprocess.Popen[bytes], violations: Violations) -> None:
    """SIGTERM must end it with 0, whatever it has been through."""
    if process.poll() is not None:
        violations.add(f"the gateway ended by itself: exit status {process.returncode}")
        return
    process.send_signal(signal.SIGTERM)
    try:
        status = await asyncio.to_thread(process.wait, _STOP_S)
    except subprocess.TimeoutExpired:
        violations.add(f"SIGTERM did not end the gateway in {_STOP_S:g} s")
        process.kill()
    else:
        if status:
            violations.add(f"SIGTERM ended the gateway with exit status {status}")


async def _start_again(settings: Settings, directory: Path, report: Report) -> None:
    """What the attackers left in the journal must be readable, and a session must go on where it was."""
    report.violations.where = "started again"
    began = time.perf_counter()
    with started(directory, open_files=OPEN_FILES, **knobs(settings, directory)[1]) as (process, ports):
        assert process.stderr is not None
        log = LogReader(process.stderr, report.violations)
        ready_s = time.perf_counter() - began
        try:
            await asyncio.wait_for(FixTrader(report.violations, settings.patience_s).log_on(ports["fix"]), _LOGON_S)
        except (ConnectionError, TimeoutError) as error:
            report.violations.add(f"no logon after a restart: {error!r}")
        await _stop(process, report.violations)
        log.join()
    report.facts["started again"] = f"ready after {ready_s:.1f} s"


def main() -> int:
    """Parse, run, show. 0 = no violation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the attackers come")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31), help="default: any")
    parser.add_argument("--door", choices=(*DOORS, "all"), default="all")
    parser.add_argument("--kinds", nargs="*", default=(), help="only these attacks, by name")
    parser.add_argument("--wave", type=int, default=None, help="only this wave of the run, again and again")
    parser.add_argument(
        "--durability",
        choices=("disk", "process", "memory"),
        default="process",
        help="of the journal: with disk, the default of the gateway, its answers are as late as the disk",
    )
    asked = parser.parse_args()
    doors: tuple[Door, ...] = DOORS if asked.door == "all" else (asked.door,)
    settings = Settings(
        *(asked.seconds, asked.seed, doors),
        only_wave=asked.wave,
        kinds=tuple(asked.kinds),
        durability=asked.durability,
    )
    with tempfile.TemporaryDirectory(prefix="penstock-fuzz-") as name:
        report = uvloop.run(fuzz(settings, Path(name)))
    judge_latency(report)
    show(report, Console(width=None if sys.stdout.isatty() else _WIDTH))
    return 1 if report.violations.count else 0
