"""`python -m tests.faults.kill9 --rounds 200 --seed 7`: kill -9 a trading gateway again and again; what survives?

Each round starts `penstock run` on the journal that the last one left, lets the clients come back and trade, and kills
it 50 to 500 ms after it was ready. After the last one it lives long enough for everybody to recover and be judged.
With `--store` the limits are in a store that answers late: most kills catch orders that wait for their tokens.
A run that fails names the command that repeats it; `--durability memory` and `--cut-bytes 200` must fail.
"""

import asyncio
import random
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop

from tests.faults.kill9.check import Violations, judge_trades
from tests.faults.kill9.client import Desk, Style
from tests.faults.kill9.killer import Killer
from tests.faults.kill9.link import Fault, RemoteCores, Victim, remote_cores
from tests.faults.kill9.pair import Pair
from tests.faults.kill9.report import Result, Settings, Start, cpu_ms, journal_bytes
from tests.faults.kill9.store import LIMITS, SlowStore, judge_spending, slow_store
from tests.faults.kill9.ws import WsDesk
from tests.support.server import GENEROUS, started
from tests.support.venue_rows import account_row, session_row

STYLES = (
    Style(),
    Style(expects=True),
    Style(open_end=False, eager=True),
    Style(expects=True, eager=True),
)
WS_ACCOUNTS = ("ALPHA", "BETA")
_KILL_MS = (50, 500)
_LOSES_LINK = 0.3  # share of the clients, each round
_PATIENCE_S = 20.0
_READY_S = 60.0  # the table tells how long it took; this is for machines that have other work, and disturbed networks
_WHEN_REDIS_DIES = tuple(
    b'"%s"' % word for word in (b"core.away", b"core.replicas_missing", b"cluster.away", b"limits.store_away")
)
_RECOVERS_S = 3.0
_NETWORK_FAULTS = 0.5  # share of the rounds
_NETWORK_FAULTS_OF_PAIR = 0.85
_LOOK_S = 0.05
_SEGMENT_BYTES = 1 << 20  # the smallest: a run of any length sees segments begin and end
# Orders are taken at once after a crash, or nothing would trade between two kills. Little is retained, so that in a run
# of any length segments are dropped as in a long life; it is far more than a client can miss in a few rounds.
_MORE = """
[journal]
durability = "{durability}"
segment_bytes = {segment_bytes}
retain_messages = 5000
"""
_EMBEDDED = """
[core]
reopen_after_ms = 0
dedupe_ids = 4096
"""


class Run:
    """The clients of one run, over all lives of the gateway."""

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        store: SlowStore | None = None,
        cores: RemoteCores | None = None,
    ) -> None:
        self.result = Result(settings, Violations())
        self._settings = settings
        self._directory = directory
        self._store = store
        self._cores = cores
        self._rng = random.Random(settings.seed)
        violations = self.result.violations
        self.desks = [
            Desk(f"K{n}", style, random.Random(f"{settings.seed} K{n}"), violations, settings.may_wait)
            for n, style in enumerate(STYLES, 11)
        ]
        self.makers = [
            WsDesk(name, random.Random(f"{settings.seed} {name}"), violations)
            for name in (WS_ACCOUNTS if settings.has_ws else ())
        ]
        self.clients: tuple[Desk | WsDesk, ...] = (*self.desks, *self.makers)
        self._lives: list[asyncio.Task[None]] = []  # of the makers, one each
        self._losses: list[asyncio.TimerHandle] = []
        self._waited = 0, 0  # on either door: orders that waited for tokens when the gateway was killed
        self._catches = 0
        self._life = 0

    async def run(self) -> Result:
        """All rounds, or as many as there are until something is wrong; then the last life, and the verdict."""
        violations, result = self.result.violations, self.result
        if self._settings.is_pair:
            await self._run_pair()
            return result
        while result.rounds < self._settings.rounds and not violations.count:
            result.rounds += 1
            violations.where = f"round {result.rounds}"
            await self._live(is_last=False)
            self._cut_journal()
        if not violations.count:
            violations.where = "the end"
            await self._live(is_last=True)
        self._count()
        return result

    async def _run_pair(self) -> None:
        """Rounds in which one of two gateways dies."""
        violations, result = self.result.violations, self.result
        pair = Pair(self._start_beside, self.desks, self.makers, self._rng, violations)
        node = await pair.begin()
        for client in self.clients:
            await pair.come(client, node)
        while result.rounds < self._settings.rounds and not violations.count:
            result.rounds += 1
            violations.where = f"round {result.rounds}"
            older, delay_s = node, self._rng.uniform(*_KILL_MS) / 1e3
            delay_s += self._sabotage(delay_s)
            fault = self._network_fault()
            if fault is not None:
                delay_s += self._rng.uniform(0, _RECOVERS_S)
            node = await pair.round(older, delay_s, fault)
            self._read_log(older.process)
            older.stack.close()
        if not violations.count:
            violations.where = "the end"
            await self._settle()
            await self._judge()
        result.facts |= {
            "clients that moved by their own wish": pair.moved,
            "ms until back, at most": pair.slowest_ms,
            "clients that left a gateway without Redis": pair.fled,
            "links lost with a network": pair.strayed,
        }
        for client in self.clients:
            await pair.go(client, node)
        node.process.kill()
        self._read_log(node.process)
        node.stack.close()
        self._count()

    def _network_fault(self) -> Fault | None:
        """A network that will be disturbed in this round, or none."""
        if self._cores is None or self._rng.random() >= _NETWORK_FAULTS_OF_PAIR:
            return None
        fault = self._cores.networks.fault_of_pair(self._rng)
        self._add_fact(f"times {fault.name}")
        return fault

    def _start_beside(self, life: int, stack: ExitStack) -> tuple[subprocess.Popen[bytes], dict[str, int]]:
        self._life = life - 1
        home = self._directory / f"gateway-{life}"
        home.mkdir()
        limits, knobs = self._knobs()
        began = time.perf_counter()
        process, ports = stack.enter_context(started(home, limits=limits, ready_s=_READY_S, **knobs))
        self.result.starts.append(Start(0, 1e3 * (time.perf_counter() - began), cpu_ms(process.pid)))
        return process, ports

    def _knobs(self) -> tuple[str, dict[str, str]]:
        """The limits and the configuration of the next gateway."""
        sessions = "".join(
            session_row(n, f"K{n}", auth="none", dialect="penstock", last_msg_seq_num_processed=n % 2 == 1)
            for n, _ in enumerate(self.desks, 11)
        )
        more = "".join(account_row(n, f"K{n}") for n, _ in enumerate(self.desks, 11))
        more += _MORE.format(durability=self._settings.durability, segment_bytes=_SEGMENT_BYTES)
        knobs, limits = {"sessions": sessions, "more": more}, GENEROUS
        if self._cores is None:
            knobs["more"] += _EMBEDDED
        elif self._settings.is_cluster:
            self._life += 1
            own = self._cores.cluster_knobs(self._life)
            knobs |= {"more": more + own["more"], "store": own["store"]}
        else:
            knobs["more"] += self._cores.knobs
        if self._store is not None:
            knobs["store"], limits = self._store.knobs, LIMITS
            self._store.change_pace(self._rng)
        return limits, knobs

    async def _live(self, is_last: bool) -> None:
        """One life of the gateway, from its start on what is there to its death."""
        size, began = journal_bytes(self._journal), time.perf_counter()
        limits, knobs = self._knobs()
        if self._cores is not None:
            self._cores.networks.mend()
        try:
            with started(self._directory, limits=limits, ready_s=_READY_S, **knobs) as (process, ports):
                self.result.starts.append(Start(size, 1e3 * (time.perf_counter() - began), cpu_ms(process.pid)))
                if is_last:
                    await self._come_back(ports)
                    await self._settle()
                    await self._judge()
                    await self._leave()
                elif self._settings.cut_bytes:
                    await self._die_quietly(process, ports)
                else:
                    delay_s = self._rng.uniform(*_KILL_MS) / 1e3
                    delay_s += self._sabotage(delay_s)
                    Killer(process, delay_s, self.clients).start()
                    await self._come_back(ports)
                    self._lose_links(delay_s)
                    await self._die(process)
                process.kill()
                self._read_log(process)
            self._count_waiting()
        except AssertionError as error:
            cores = "" if self._cores is None else self._cores.said
            self.result.violations.add(f"the gateway did not start: {error}{cores}")

    @property
    def _journal(self) -> Path:
        return self._directory / "journal"

    async def _come_back(self, ports: dict[str, int]) -> None:
        self._lives = [asyncio.create_task(maker.run(ports["ws"])) for maker in self.makers]
        await asyncio.gather(*(desk.connect(ports["fix"]) for desk in self.desks))

    def _sabotage(self, delay_s: float) -> float:
        """Disturb a network, or kill a core or Redis, before the gateway; how much longer that then lives, so that
        trading goes on.
        """
        if self._cores is None:
            return 0.0
        loop, rng, cores = asyncio.get_running_loop(), self._rng, self._cores
        more_s = 0.0
        if rng.random() < _NETWORK_FAULTS and not self._settings.is_cluster:
            fault = cores.networks.fault(rng)
            self._add_fact(f"times {fault.name}")
            more_s = fault.lasts_s
            self._losses += (loop.call_later(delay_s, fault.begin), loop.call_later(delay_s + more_s, fault.end))
        victim: Victim = rng.choice(("gateway", "core", "redis"))
        if victim != "gateway":
            # In this thread: Redis dies with the thread that has started it.
            self._losses.append(loop.call_later(delay_s, self._kill, victim))
        return more_s + rng.uniform(0, _RECOVERS_S) if more_s or victim != "gateway" else 0.0

    def _kill(self, victim: Victim) -> None:
        assert self._cores is not None
        self._add_fact(self._cores.kill(victim, self._rng))

    def _add_fact(self, name: str) -> None:
        self.result.facts[name] = self.result.facts.get(name, 0) + 1

    def _lose_links(self, within_s: float) -> None:
        """Some clients die before the gateway does: what comes for them meanwhile they never saw."""
        loop = asyncio.get_running_loop()
        for desk in self.desks:
            if self._rng.random() < _LOSES_LINK:
                self._losses.append(loop.call_later(self._rng.random() * within_s, desk.leave))

    async def _die(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the kill, and for all that the gateway had written to be read."""
        await asyncio.to_thread(process.wait)
        for loss in self._losses:
            loss.cancel()  # the kill came first
        self._losses.clear()
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*self._lives, *(desk.closed.wait() for desk in self.desks))
        for each in self.clients:
            each.may_lose_link = False

    async def _die_quietly(self, process: subprocess.Popen[bytes], ports: dict[str, int]) -> None:
        """Killed when the clients have heard all there is: so what is cut off the journal is what they have seen."""
        await self._come_back(ports)
        await asyncio.sleep(_KILL_MS[1] / 1e3)
        await self._settle()
        Killer(process, 0, self.clients).start()
        await self._die(process)
        for each in self.clients:
            each.is_quiet = False

    def _cut_journal(self) -> None:
        cut = self._settings.cut_bytes
        if cut:
            last = max(self._journal.glob("*.seg"))
            data = last.read_bytes().rstrip(b"\0")
            last.write_bytes(data[:-cut])

    async def _settle(self) -> None:
        for each in self.clients:
            each.is_quiet = True
        waiting = {asyncio.create_task(each.settled(_PATIENCE_S)): each for each in self.clients}
        unfinished = set(waiting)
        while unfinished and not self.result.violations.count:
            finished, unfinished = await asyncio.wait(unfinished, timeout=_LOOK_S)
            for task in finished:
                if task.exception() is not None:
                    self.result.violations.add(
                        f"{waiting[task].name}: {waiting[task].standing} after {_PATIENCE_S:g} s"
                    )
        for task in unfinished:
            task.cancel()

    async def _judge(self) -> None:
        violations = self.result.violations
        for desk in self.desks:
            if desk.heard.has_gap:
                violations.add(f"{desk.name}: MsgSeqNum(34)={desk.heard.next_in} is missing after recovery")
        if violations.count:
            return  # what is open would only say the same again
        for each in self.clients:
            try:
                await each.list_open(_PATIENCE_S)
            except TimeoutError:
                violations.add(f"{each.name}: what is open was asked, and not answered")
        for each in self.clients:
            each.dealings.judge_core(each.read)
        for maker in self.makers:
            maker.judge_answers()
        if self._store is not None:
            judge_spending({each.account: each.dealings for each in self.clients}, self._store, violations)
        for text in self._cores.errors() if self._cores is not None else ():
            violations.add(text)
        trades = judge_trades([each.dealings for each in self.clients], violations)
        self.result.facts["trades, each told to both sides"] = trades

    async def _leave(self) -> None:
        for desk in self.desks:
            desk.leave()
        for maker in self.makers:
            await maker.leave()
        await asyncio.gather(*self._lives)

    def _read_log(self, process: subprocess.Popen[bytes]) -> None:
        """What the gateway logged as an error is our own bug, whatever the clients noticed."""
        assert process.stderr is not None
        for line in process.stderr.read().splitlines():
            if self._cores is not None and any(event in line for event in _WHEN_REDIS_DIES):
                continue
            if self._store is not None and b'"limits.store_away"' in line:
                self._store.outages += 1
            elif not line.startswith(b"{") or b'"level":"error"' in line:
                self.result.violations.add(f"the gateway's log: {line.decode(errors='replace')[:500]}")

    def _count_waiting(self) -> None:
        """Clients have come back: what they were asked for again shows what the kill before had caught."""
        waited = sum(desk.progress.waited for desk in self.desks), sum(maker.waited for maker in self.makers)
        self._catches += waited != self._waited
        self._waited = waited

    def _count(self) -> None:
        desks = self.desks
        self.result.facts |= {
            "orders and other requests": sum(len(each.dealings.requests) for each in self.clients),
            "messages of the gateway": sum(desk.heard.highest for desk in desks),
            "recovered by resend": sum(desk.heard.recovered for desk in desks),
            "events replayed over WebSocket": sum(maker.resumed for maker in self.makers),
            "requests the gateway asked for again": sum(desk.resent for desk in desks),
            "recoveries completed": sum(desk.recoveries for desk in desks),
            "kills that caught orders waiting for tokens": self._catches,
            "times a FIX order that waited was asked for again": self._waited[0],
            "WebSocket orders sent again, their answer lost": sum(maker.retried for maker in self.makers),
            "of them read before the kill, placed by the retry": self._waited[1],
            "lives in which the store was away": 0 if self._store is None else self._store.outages,
            "read and not answered": sum(len(desk.dealings.unanswered(desk.progress.read)) for desk in desks),
        }


def kill9(settings: Settings) -> Result:
    """One whole run in a temporary directory."""

    async def run() -> Result:
        return await Run(settings, Path(name), store, cores).run()

    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-kill9-"))
        store = stack.enter_context(slow_store()) if settings.has_store else None
        cores = stack.enter_context(remote_cores(settings.cores, settings.has_replica)) if settings.cores else None
        return uvloop.run(run())
