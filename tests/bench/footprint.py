"""What a gateway takes when nothing happens, and what it keeps of an order: start-up, idle sessions, remembered orders.

Memory is what the process has resident, before and after; a figure is the difference for one session or order.
"""

import asyncio
from pathlib import Path
from statistics import median
from time import perf_counter

import msgspec
import uvloop

from gateway.bench.flow import Flow, Market
from gateway.bench.load import Door, Load, connect, run_load
from gateway.bench.process import resident_bytes
from gateway.bench.session import LoadSession, Tally
from tests.bench.contenders import contender

_KIB = 1_024
_STARTS = 3  # the first one may find cold files
_SETTLE_S = 0.5


class Footprint(msgspec.Struct, frozen=True):
    """start_s: from the command to open doors. KiB for an idle session, configured (FIX) or logged on.

    resting_bytes, finished_bytes: of an order that rests in the book, and of one that is filled; ids and all.
    """

    start_s: float
    fix_configured_kib: float
    fix_idle_kib: float
    ws_idle_kib: float
    resting_bytes: float
    finished_bytes: float


def footprint(name: str, before: Path | None, sessions: int = 1_000, seconds: float = 1.5) -> Footprint:
    """Measured on `memory` or the checkout before."""
    starts = [_started(name, before, 1) for _ in range(_STARTS)]
    start_s, bare = median(seconds for seconds, _ in starts), median(size for _, size in starts)
    _, configured = _started(name, before, sessions + 1)
    return Footprint(
        start_s=start_s,
        fix_configured_kib=(configured - bare) / sessions / _KIB,
        fix_idle_kib=_idle(name, before, "fix", sessions),
        ws_idle_kib=_idle(name, before, "ws", sessions),
        resting_bytes=_kept(name, before, 0, seconds),
        finished_bytes=_kept(name, before, 100, seconds),
    )


def _started(name: str, before: Path | None, sessions: int) -> tuple[float, int]:
    """Seconds until the doors are open, and the bytes then."""
    began = perf_counter()
    with contender(name, "fix", sessions, 0, before) as door:
        return perf_counter() - began, _bytes(door)


def _idle(name: str, before: Path | None, kind: str, sessions: int) -> float:
    with contender(name, kind, sessions, 0, before) as door:
        return uvloop.run(_log_on(door, sessions)) / sessions / _KIB


async def _log_on(door: Door, sessions: int) -> int:
    """By how many bytes the process grows when so many sessions log on."""
    tally, before = Tally(), _bytes(door)
    idle = [LoadSession(door.wire, n, Flow(Market()), tally, "") for n in range(1, sessions + 1)]
    try:
        await connect(door, idle)
        await asyncio.sleep(_SETTLE_S)
        return _bytes(door) - before
    finally:
        for session in idle:
            session.close()


def _kept(name: str, before: Path | None, crossing: int, seconds: float) -> float:
    with contender(name, "fix", 1, 0, before) as door:
        start = _bytes(door)
        measured = uvloop.run(run_load(door, Load(1, 64, 0, seconds, 0.0, crossing)))
        return (_bytes(door) - start) / measured.accepted


def _bytes(door: Door) -> int:
    assert door.pid is not None
    return resident_bytes(door.pid)
