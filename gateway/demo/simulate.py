"""The traders in a process of their own: `python -m gateway.demo.simulate` reads a Spec and reports in JSON lines.

Standard input: one line with the Spec; another line, or the end, means stop. Standard output: one `Report` per line.
A trader whose gateway dies goes on at another one, if there are several.
After the stop every trader waits for its answers, cancels its orders and logs out. Then the ledgers are sent in slices,
so that a long run needs no long line. The traders share one event loop, so their latencies include it.
"""

import asyncio
import base64
import contextlib
import random
import sys
import traceback
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import msgspec
import uvloop

from gateway.client import fix, ws
from gateway.demo.institution import Institution
from gateway.demo.ledger import FinishedLedger, Kind, Ledger
from gateway.demo.maker import Maker
from gateway.demo.market import PAIRS, Market
from gateway.telemetry.metrics import Histogram

_TURN_S = 0.01
_CATCH_UP = 20.0  # steps that a trader may make up for after a stall; older ones are skipped
_STATS_S = 0.5
_BURST_S = 4.0
_ANSWERS_S = 5.0
_SLICE_BYTES = 32_768
_BACK_S = 20.0
_TRY_S = 5.0
_AGAIN_S = 0.05


class FixTrader(msgspec.Struct, frozen=True):
    """The institution's session. seed: base64 of its Ed25519 private key. others: ports of the other gateways."""

    host: str
    port: int
    comp_id: str
    key_id: str
    seed: str
    steps_per_s: int = 260
    others: tuple[int, ...] = ()


class WsTrader(msgspec.Struct, frozen=True):
    """One market maker. seed: base64 of its Ed25519 private key. others: the same door of the other gateways."""

    url: str
    name: str
    key_id: str
    seed: str
    steps_per_s: int = 180
    others: tuple[str, ...] = ()


class Spec(msgspec.Struct, frozen=True):
    """Who trades where. seed makes the traders' choices repeatable."""

    fix: FixTrader
    ws: tuple[WsTrader, ...]
    seed: int = 1


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """All traders have logged on; trading starts."""


class DoorStats(msgspec.Struct, frozen=True):
    """Figures of one door's clients so far. Latency: orders and replaces, from sending to the first answer. voided: did
    not get there when a gateway died; retried: orders sent again then.
    """

    orders: int = 0  # new orders sent
    accepted: int = 0
    replaces: int = 0
    cancels: int = 0
    fills: int = 0
    refusals: dict[int, int] = {}
    waiting: int = 0
    p50_us: float = 0.0
    p99_us: float = 0.0
    voided: int = 0
    retried: int = 0


class Stats(msgspec.Struct, frozen=True, tag="stats"):
    """The figures, every half second and once at the end."""

    doors: dict[str, DoorStats]


class LedgerSlice(msgspec.Struct, frozen=True, tag="ledger"):
    """A part of one finished ledger, in order; states is base64, one byte per request."""

    prefix: str
    door: str
    fills: int
    states: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """A trader failed; nothing follows."""

    text: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """All ledgers were sent."""


Report = Ready | Stats | LedgerSlice | Failed | Done
decode_report = msgspec.json.Decoder(Report).decode


class FinishedLedgers:
    """Finished ledgers, assembled from their slices."""

    def __init__(self) -> None:
        self.accounts: dict[str, FinishedLedger] = {}

    def take(self, part: LedgerSlice) -> None:
        """Add the next slice."""
        account = self.accounts.setdefault(part.prefix, FinishedLedger(part.prefix, part.door, part.fills, bytearray()))
        account.states += base64.b64decode(part.states)


def summarize(ledgers: Sequence[Ledger]) -> dict[str, DoorStats]:
    """The ledgers of each door added up."""
    doors = dict.fromkeys(ledger.door for ledger in ledgers)
    return {door: _add_up([ledger for ledger in ledgers if ledger.door == door]) for door in doors}


def _add_up(rows: Sequence[Ledger]) -> DoorStats:
    asked, refusals = sum((row.asked for row in rows), Counter()), sum((row.refusals for row in rows), Counter())
    latency = Histogram()
    for row in rows:
        latency.merge(row.latency)
    return DoorStats(
        orders=asked[Kind.PLACE],
        accepted=sum(row.accepted for row in rows),
        replaces=asked[Kind.REPLACE],
        cancels=asked[Kind.CANCEL],
        fills=sum(row.fills for row in rows),
        refusals=dict(sorted(refusals.items())),
        waiting=sum(len(row.waiting) for row in rows),
        p50_us=latency.quantile(0.5) / 1000,
        p99_us=latency.quantile(0.99) / 1000,
        voided=sum(row.voided for row in rows),
        retried=sum(row.retried for row in rows),
    )


Trader = Institution | Maker


class Road:
    """A trader, and the doors where it may log on: the first is where it was last."""

    def __init__(self, trader: Trader, doors: deque[Any], come_back: Callable[[Any], Awaitable[None]]) -> None:
        self.trader = trader
        self.has_several = len(doors) > 1
        self._doors = doors
        self._come_back = come_back

    async def come_back(self) -> None:
        """Log on at another gateway, in turn, until one lets the trader in.

        Raises:
            ConnectionError: none does.
        """
        if not self.has_several:
            raise ConnectionError("the gateway closed the connection")
        try:
            async with asyncio.timeout(_BACK_S):
                while not await self._tries():
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            raise ConnectionError(f"{self.trader.ledger.prefix} is not back after {_BACK_S:g} s") from None

    async def _tries(self) -> bool:
        self._doors.rotate(-1)
        try:
            async with asyncio.timeout(_TRY_S):
                await self._come_back(self._doors[0])
        except (aiohttp.ClientError, OSError, TimeoutError, ws.RequestRefused):
            return False
        return True


class Simulation:
    """All traders of one Spec: they log on, trade until `stop`, and leave in order."""

    def __init__(self, spec: Spec, report: Callable[[Report], None]) -> None:
        self._spec = spec
        self._report = report
        chance = random.Random(spec.seed)  # noqa: S311 - it must be repeatable
        self._market = Market(PAIRS, chance)
        me = fix.FixIdentity(spec.fix.comp_id, spec.fix.key_id, base64.b64decode(spec.fix.seed))
        self._institution = Institution(fix.FixClient(me), self._market, "fx")
        self._makers = [
            Maker(ws.WsClient(ws.WsIdentity(row.key_id, base64.b64decode(row.seed), row.name)), self._market, f"mm{n}")
            for n, row in enumerate(spec.ws, 1)
        ]
        self._traders: list[Trader] = [self._institution, *self._makers]
        self._ledgers = [trader.ledger for trader in self._traders]
        self._roads = [
            Road(self._institution, deque((spec.fix.port, *spec.fix.others)), self._come_back_over_fix),
            *(
                Road(maker, deque((row.url, *row.others)), maker.come_back)
                for maker, row in zip(self._makers, spec.ws, strict=True)
            ),
        ]
        self._stop = asyncio.Event()

    async def _come_back_over_fix(self, port: int) -> None:
        await self._institution.come_back(self._spec.fix.host, port)

    def stop(self) -> None:
        """Let all traders finish."""
        self._stop.set()

    async def run(self) -> None:
        """Trade until `stop`, then report the ledgers.

        Raises:
            ConnectionError: a door closed on a trader.
        """
        await self._institution.client.logon(self._spec.fix.host, self._spec.fix.port, reset=True)
        for maker, row in zip(self._makers, self._spec.ws, strict=True):
            await maker.client.logon(row.url)
        self._report(Ready())
        rates = [self._spec.fix.steps_per_s, *(row.steps_per_s for row in self._spec.ws)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            for n, (road, rate) in enumerate(zip(self._roads, rates, strict=True)):
                tasks.create_task(self._trade(road, rate, first_burst_s=0.7 + 0.6 * n))
        await self._leave()
        self._report(Stats(summarize(self._ledgers)))
        for ledger in self._ledgers:
            for start in range(0, len(ledger.states), _SLICE_BYTES):
                states = base64.b64encode(ledger.states[start : start + _SLICE_BYTES]).decode()
                self._report(LedgerSlice(ledger.prefix, ledger.door, ledger.fills, states))
        self._report(Done())

    async def _trade(self, road: Road, steps_per_s: int, first_burst_s: float) -> None:
        trader = road.trader
        clock = asyncio.get_running_loop().time
        due, last = 0.0, clock()
        next_burst = last + first_burst_s
        while not self._stop.is_set():
            await asyncio.sleep(_TURN_S)
            now = clock()
            due, last = min(due + (now - last) * steps_per_s, _CATCH_UP), now
            try:
                while due >= 1.0:
                    due -= 1.0
                    await trader.step()
                if now >= next_burst:
                    next_burst = now + _BURST_S
                    await trader.burst()
            except ConnectionError:
                if not road.has_several:
                    raise
            if road.has_several and trader.is_cut:
                await road.come_back()

    async def _watch(self) -> None:
        """Move the market, and report the figures."""
        ticks = 0
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _STATS_S / 10)
            ticks += 1
            self._market.walk()
            if ticks % 10 == 0:
                self._report(Stats(summarize(self._ledgers)))

    async def _leave(self) -> None:
        for road in self._roads:
            if road.has_several and road.trader.is_cut:
                await road.come_back()
        await self._settle(lambda trader: not trader.ledger.waiting)
        for trader in self._traders:
            await trader.withdraw()
        await self._settle(lambda trader: not trader.ledger.waiting)
        await self._settle(lambda trader: not trader.resting)
        await self._institution.client.logout()
        for maker in self._makers:
            await maker.client.logout()

    async def _settle(self, is_done: Callable[[Trader], bool]) -> None:
        """Wait until it is true of every trader, for 5 s at most; the ledgers show what is missing then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWERS_S):
                while not all(is_done(trader) for trader in self._traders):
                    for trader in self._traders:
                        await trader.mend()
                    await asyncio.sleep(_TURN_S)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    spec = msgspec.json.decode(await stdin.readline(), type=Spec)
    encode, out = msgspec.json.Encoder().encode, sys.stdout.buffer

    def report(line: Report) -> None:
        out.write(encode(line) + b"\n")
        out.flush()

    simulation = Simulation(spec, report)

    async def stop_on_input() -> None:
        await stdin.readline()
        simulation.stop()

    stopper = asyncio.create_task(stop_on_input())
    try:
        await simulation.run()
    except Exception as error:  # the top of this process: report any error to the parent
        traceback.print_exc()
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        report(Failed(f"{type(error).__name__}: {error}"))
    finally:
        stopper.cancel()


if __name__ == "__main__":
    uvloop.run(_main())
