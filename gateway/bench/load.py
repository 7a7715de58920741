"""One run of load on one door: connect, warm up, measure, and wait for what is still unanswered.

Closed loop: each session keeps so many orders unanswered. Open loop: orders are due at a fixed rate, whatever comes
back, and an order's latency begins when it was due. So a gateway (or a client) that stalls is charged for every order
of the stall: no coordinated omission.
"""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns

import msgspec

from gateway.bench import process
from gateway.bench.failed import BenchFailed
from gateway.bench.flow import Flow, Market
from gateway.bench.histogram import Latencies
from gateway.bench.session import LoadSession, Tally
from gateway.bench.wires import Wire

_CONNECT_S = 15.0
_CONNECT_EACH_S = 0.02
_CONNECTS_AT_ONCE = 32
_LAST_ANSWERS_S = 5.0
_NS_PER_S = 1_000_000_000
_SPIN_NS = 2_000_000  # a timer of the loop is good to a millisecond; closer than this, the sender looks every turn
_MAX_UNANSWERED = 500_000


class Load(msgspec.Struct, frozen=True):
    """What is sent. rate: orders a second of all sessions in an open loop; 0 = closed, with `in_flight` a session.

    crossing: pairs of orders that trade, of 100. prices: different prices of those that rest, on each side.
    """

    sessions: int = 1
    in_flight: int = 64
    rate: int = 0
    seconds: float = 5.0
    warm_up: float = 1.0
    crossing: int = 0
    prices: int = 20


class Door(msgspec.Struct, frozen=True):
    """Where it is sent. pid: the gateway's process, if that is known and on this machine."""

    wire: Wire
    host: str
    port: int
    pid: int | None = None
    market: Market = Market()


class Measured(msgspec.Struct, frozen=True):
    """What one run found in its `seconds`.

    accepted: orders; refusals: by code; messages: all that the gateway sent, reports and events too. unanswered: orders
    of the whole run without an answer at its end. cpu_s: of the gateway; None = not on this machine. late_p99_us: how
    late the client itself sent in an open loop. latencies: of the accepted orders that were due in these seconds.
    """

    seconds: float
    accepted: int
    refusals: dict[str, int]
    messages: int
    unanswered: int
    cpu_s: float | None
    late_p99_us: float
    latencies: Latencies


async def run_load(door: Door, load: Load) -> Measured:
    """Run it once, in new sessions.

    Raises:
        BenchFailed: a session could not log on or was ended, or the gateway fell too far behind.
    """
    tally = Tally()
    flow = Flow(door.market, load.crossing, load.prices)
    sessions = [LoadSession(door.wire, n, flow, tally, f"{door.host}:{door.port}") for n in range(1, load.sessions + 1)]
    try:
        with _quiet_collector():
            await connect(door, sessions)
            sender = _OpenLoop(sessions, load.rate, tally) if load.rate else _ClosedLoop(sessions, load.in_flight)
            sender.start()
            await _wait(tally, load.warm_up)
            began_cpu_s, began_ns = _cpu_s(door), perf_counter_ns()
            tally.begin_ns, tally.end_ns, tally.is_open = began_ns, began_ns + int(load.seconds * _NS_PER_S), True
            await _wait(tally, load.seconds)
            tally.is_open, ended_cpu_s, ended_ns = False, _cpu_s(door), perf_counter_ns()
            sender.stop()
            unanswered = await _last_answers(tally, sessions)
    finally:
        for session in sessions:
            session.close()
    if not tally.accepted and not tally.refusals:
        raise BenchFailed(f"{door.host}:{door.port}: no order was answered in {load.seconds:g} s. See its log.")
    return Measured(
        seconds=(ended_ns - began_ns) / _NS_PER_S,
        accepted=tally.accepted,
        refusals=dict(tally.refusals),
        messages=tally.messages,
        unanswered=unanswered,
        cpu_s=None if began_cpu_s is None or ended_cpu_s is None else ended_cpu_s - began_cpu_s,
        late_p99_us=sender.late.quantile_us(0.99),
        latencies=tally.latencies,
    )


class _ClosedLoop:
    """As many new orders as answers."""

    def __init__(self, sessions: list[LoadSession], in_flight: int) -> None:
        self.late = Latencies()  # nothing is due before it is sent
        self._sessions, self._in_flight = sessions, in_flight

    def start(self) -> None:
        for session in self._sessions:
            session.on_answers = LoadSession.send_now
            session.send_now(self._in_flight)

    def stop(self) -> None:
        for session in self._sessions:
            session.on_answers = None


class _OpenLoop:
    """One order every 1/rate seconds, the sessions in turn."""

    def __init__(self, sessions: list[LoadSession], rate: int, tally: Tally) -> None:
        self.late = Latencies()
        self._sessions, self._rate, self._tally = sessions, rate, tally
        self._loop = asyncio.get_running_loop()
        self._start_ns = self._sent = self._answered = 0
        self._is_over = False

    def start(self) -> None:
        for session in self._sessions:
            session.on_answers = self._count
        self._start_ns = perf_counter_ns()
        self._send_due()

    def stop(self) -> None:
        self._is_over = True

    def _count(self, _: LoadSession, answers: int) -> None:
        self._answered += answers

    def _due_ns(self, number: int) -> int:
        return self._start_ns + number * _NS_PER_S // self._rate

    def _send_due(self) -> None:
        """Send what is due, and come back in time for the next."""
        if self._is_over:
            return
        now_ns, count = perf_counter_ns(), len(self._sessions)
        due: dict[int, list[int]] = {}
        while (due_ns := self._due_ns(self._sent)) <= now_ns:
            due.setdefault(self._sent % count, []).append(due_ns)
            self.late.record(now_ns - due_ns)
            self._sent += 1
        for place, times_ns in due.items():
            self._sessions[place].send(times_ns)
        if self._sent - self._answered > _MAX_UNANSWERED:
            text = f"{_MAX_UNANSWERED:,} orders are unanswered: the gateway cannot keep up. Lower --rate."
            self._tally.fail(text)
            return
        wait_ns = due_ns - now_ns
        if wait_ns > _SPIN_NS:
            self._loop.call_later((wait_ns - _SPIN_NS // 2) / _NS_PER_S, self._send_due)
        else:
            self._loop.call_soon(self._send_due)


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """No scan of the client's objects is taken for the gateway's latency. A run makes no cycles that would be left."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def connect(door: Door, sessions: list[LoadSession]) -> None:
    """Log all of them on.

    Raises:
        BenchFailed: nobody listens there, or one was not logged on.
    """
    loop = asyncio.get_running_loop()

    async def log_on(session: LoadSession) -> None:
        await loop.create_connection(lambda: session, door.host, door.port)
        await session.ready

    where, limit_s = f"{door.host}:{door.port}", _CONNECT_S + _CONNECT_EACH_S * len(sessions)
    try:
        async with asyncio.timeout(limit_s):
            for first in range(0, len(sessions), _CONNECTS_AT_ONCE):
                await asyncio.gather(*map(log_on, sessions[first : first + _CONNECTS_AT_ONCE]))
    except TimeoutError:
        raise BenchFailed(
            f"{where}: not logged on after {limit_s:g} s. Is a gateway's {door.wire.name} door there?"
        ) from None
    except OSError as error:
        raise BenchFailed(
            f"{where}: {error.strerror or error}. Start a gateway there, or correct the address."
        ) from None


async def _wait(tally: Tally, seconds: float) -> None:
    """Wait, unless the run fails before."""
    done, _ = await asyncio.wait((tally.failure,), timeout=seconds)
    for failure in done:
        failure.result()


async def _last_answers(tally: Tally, sessions: list[LoadSession]) -> int:
    """How many orders have no answer although it was waited for."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + _LAST_ANSWERS_S
    while any(session.unanswered for session in sessions) and loop.time() < end_s:
        await _wait(tally, 0.01)
    return sum(session.unanswered for session in sessions)


def _cpu_s(door: Door) -> float | None:
    try:
        return None if door.pid is None else process.cpu_s(door.pid)
    except OSError:
        return None
