"""One run of the demo: the venue, the traders in a child process, and a comparison of both records.

The venue is a `SingleHouse` in this process, or a `NodesHouse` of several.

A run ends after its time, with Ctrl-C or with SIGTERM, always in the same way: the traders finish and leave, the venue
drains, the records are compared. Figures of the traders are only shown; the verdict is made here.
"""

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import orjson
import uvloop
from msgspec import structs

from gateway.demo import simulate
from gateway.demo.house import House
from gateway.demo.ledger import Verdict, compare
from gateway.demo.nodes import NodesHouse
from gateway.demo.single import SingleHouse
from gateway.demo.view import Lines, Moment, NodeState, Screen, View

_START_S = 15.0  # a cold interpreter on a busy machine takes a few seconds
_SILENCE_S = 30.0  # for a child that hangs: traders report twice a second, and each step of their leaving is bounded
_EXIT_S = 2.0
_NOBODY = {"fix": simulate.DoorStats(), "ws": simulate.DoorStats()}


class TradersFailed(Exception):
    """The traders' process failed; the text is for people."""


class Traders:
    """The child process with all clients in it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.ledgers = simulate.FinishedLedgers()

    @classmethod
    async def start(cls, spec: simulate.Spec) -> "Traders":
        """Start the child and send it the spec. In a session of its own it does not get a terminal's Ctrl-C."""
        command, pipe = (sys.executable, "-m", "gateway.demo.simulate"), asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, start_new_session=True, limit=1 << 20
        )
        traders = cls(process)
        traders._send(msgspec.json.encode(spec) + b"\n")
        return traders

    def stop(self) -> None:
        """Let the traders finish; their last reports follow."""
        self._send(b"stop\n")

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.is_closing():
            self._process.stdin.write(line)

    async def reports(self) -> AsyncIterator[simulate.Report]:
        """Every report, including the last.

        Raises:
            TradersFailed: the child reported a failure, or ended without its last report.
        """
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            report = simulate.decode_report(line)
            if isinstance(report, simulate.Failed):
                raise TradersFailed(report.text)
            if isinstance(report, simulate.LedgerSlice):
                self.ledgers.take(report)
            yield report
            if isinstance(report, simulate.Done):
                return
        raise TradersFailed("the traders' process ended early")

    async def end(self) -> None:
        """End the child: it exits at the end of its input, or is killed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_EXIT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class RunResult(msgspec.Struct, frozen=True):
    """A finished run."""

    moment: Moment
    verdict: Verdict

    @property
    def sound(self) -> bool:
        """Both doors traded, every process is back that was killed, and every record agrees."""
        traded = all(door.accepted and door.fills for door in self.moment.doors.values())
        whole = all(node.state == "ready" for node in self.moment.nodes)
        return traded and whole and not self.verdict.lost and not self.verdict.doubled

    def json(self) -> bytes:
        """The result as one JSON object."""
        doors = {name: _door_json(door) for name, door in self.moment.doors.items()}
        result: dict[str, object] = {**doors}
        result["seconds"] = round(self.moment.elapsed_s, 1)
        if not self.moment.nodes:  # no gateway died
            for door in doors.values():
                del door["voided"], door["retried"]
        else:
            result["nodes"] = [_node_json(node) for node in self.moment.nodes]
        result["lost"], result["doubled"] = self.verdict.lost, self.verdict.doubled
        return orjson.dumps(result)


def _door_json(door: simulate.DoorStats) -> dict[str, object]:
    figures = msgspec.structs.asdict(door)
    del figures["waiting"]  # for the live table only
    by_code = {str(code): count for code, count in door.refusals.items()}
    times = {"p50_us": round(door.p50_us, 1), "p99_us": round(door.p99_us, 1)}
    return {**figures, "refusals": sum(door.refusals.values()), "refusals_by_code": by_code, **times}


def _node_json(node: NodeState) -> dict[str, object]:
    return {"name": node.name, "state": node.state, "kills": node.kills, "back_s": round(node.back_s, 1)}


class DemoRun:
    """One run of the demo, from opening the ports to the verdict. Create it inside the running loop."""

    def __init__(self, directory: Path, view: View, seconds: float | None, nodes: int = 1) -> None:
        """Raises:
        NoValkey: several nodes need one, and there is none.
        """
        self._view = view
        self._seconds = seconds
        self._house: House = SingleHouse(directory) if nodes == 1 else NodesHouse(directory, nodes)
        self._stop = asyncio.Event()
        self._moment = Moment(0.0, _NOBODY, dict.fromkeys(_NOBODY, 0.0), self._house.queue(), self._house.nodes())
        self._started_s = 0.0
        self._disturbing: asyncio.Task[None] | None = None

    async def trade(self, seed: int) -> RunResult:
        """Run everything; how it went.

        Raises:
            TradersFailed: the clients could not trade; ChildFailed, StreamBroken: a process of the venue failed. All
                has been stopped.
        """
        house, loop = self._house, asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):  # before the start, which takes seconds with several nodes
            loop.add_signal_handler(number, self._stop.set)
        try:
            await house.start()
            ledgers = await self._let_them_trade(seed)
            self._moment = structs.replace(self._moment, nodes=house.nodes())
            await house.close()
        finally:
            await house.stop()
        verdict = compare(ledgers.accounts.values(), house.record)
        self._view.ended(self._moment, verdict)
        return RunResult(self._moment, verdict)

    async def _let_them_trade(self, seed: int) -> simulate.FinishedLedgers:
        loop = asyncio.get_running_loop()
        traders = await Traders.start(self._house.spec(seed))
        stopper = asyncio.create_task(self._stop_in_time(traders))
        try:
            async with asyncio.timeout(_START_S) as limit:
                async for report in traders.reports():
                    limit.reschedule(loop.time() + _SILENCE_S)
                    if isinstance(report, simulate.Ready):
                        self._begin()
                    elif isinstance(report, simulate.Stats):
                        self._note(report)
                        self._house.check()
        except TimeoutError:
            raise TradersFailed("the traders' process does not answer") from None
        finally:
            for task in (stopper, self._disturbing):
                if task is not None:
                    task.cancel()
            await traders.end()
        return traders.ledgers

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._started_s = loop.time()
        if self._seconds is not None:
            loop.call_later(self._seconds, self._stop.set)
        self._disturbing = loop.create_task(self._house.disturb(self._seconds))
        self._moment = structs.replace(self._moment, nodes=self._house.nodes())
        self._view.started(self._house.urls(), self._seconds)
        self._view.show(self._moment)

    async def _stop_in_time(self, traders: Traders) -> None:
        await self._stop.wait()
        if self._disturbing is not None:
            self._disturbing.cancel()
        await self._house.calm()
        self._view.draining()
        traders.stop()

    def _note(self, stats: simulate.Stats) -> None:
        before, elapsed_s = self._moment, asyncio.get_running_loop().time() - self._started_s
        passed_s = max(elapsed_s - before.elapsed_s, 1e-3)
        rates = {name: (door.orders - before.doors[name].orders) / passed_s for name, door in stats.doors.items()}
        if self._stop.is_set():  # the last figures are of the whole run
            rates = {name: door.orders / max(elapsed_s, 1e-3) for name, door in stats.doors.items()}
        self._moment = Moment(elapsed_s, stats.doors, rates, self._house.queue(), self._house.nodes())
        self._view.show(self._moment)


def run(*, seconds: float | None, as_json: bool, seed: int, nodes: int = 1) -> int:
    """Run the demo and print its result; the exit status.

    Raises:
        TradersFailed, ChildFailed, StreamBroken: there is no result. NoValkey: several nodes need one.
    """
    view = View() if as_json else Screen() if sys.stdout.isatty() else Lines()

    async def trade() -> RunResult:
        with tempfile.TemporaryDirectory(prefix="penstock-demo-") as directory:
            return await DemoRun(Path(directory), view, seconds, nodes).trade(seed)

    outcome = uvloop.run(trade())
    if as_json:
        sys.stdout.buffer.write(outcome.json() + b"\n")
        sys.stdout.buffer.flush()
    return 0 if outcome.sound else 1
