"""A gateway whose core works at a rate of its own: `python -m tests.faults.slow_core GATEWAY.TOML COMMANDS_PER_S`.

The embedded core is behind a link with a window, as a remote one would be. SIGUSR1: the core pauses for five seconds.
SIGUSR2: it works at a tenth of its rate from now on, and at the whole of it again with the next one.
"""

import asyncio
import signal
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import uvloop

from gateway.config.load import load
from gateway.core.matching import EventSink, MatchingCore
from gateway.orders.queue import CANCEL_CREDIT, CONTROL_CREDIT
from gateway.server import Server
from gateway.serving import spare_collector
from gateway.telemetry import logs
from protocols.messages import AnyCommand, OrderEvent, OrdStatus

_STEP_S = 0.001
_PAUSE_S = 5.0
_WINDOW_S = 0.003
"""Orders that may lie at the core: what it carries out in this time, or a cancel behind them would wait for longer."""


class SlowLink:
    """Hands over at most `rate` commands a second, in order; credit comes back with the answers."""

    def __init__(self, inner: MatchingCore, rate: float) -> None:
        self._inner = inner
        self._full_rate = self.rate = rate
        self._waiting: deque[AnyCommand] = deque()
        self._owed = 0.0
        self._last_s = 0.0
        self._paused_until_s = 0.0
        self.server: Server

    @property
    def epoch(self) -> str:
        """That of the core."""
        return self._inner.epoch

    @property
    def credit(self) -> int:
        """What the window has room for; the road keeps a part of it for cancels and control."""
        window = max(int(self._full_rate * _WINDOW_S), 4) + CANCEL_CREDIT + CONTROL_CREDIT
        return max(window - len(self._waiting), 0)

    def subscribe(self, sink: EventSink) -> None:
        """Events go straight on."""
        self._inner.subscribe(sink)

    def latest_seq(self, account: int) -> int:
        """That of the core."""
        return self._inner.latest_seq(account)

    def order_state(self, account: int, order_id: int, cl_ord_id: str) -> OrderEvent | OrdStatus:
        """That of the core."""
        return self._inner.order_state(account, order_id, cl_ord_id)

    def submit(self, commands: Sequence[AnyCommand], now_ns: int) -> None:
        """They wait for their turn at the core."""
        self._waiting.extend(commands)

    def pause(self) -> None:
        """Nothing for five seconds."""
        self._paused_until_s = asyncio.get_running_loop().time() + _PAUSE_S

    def crawl(self) -> None:
        """A tenth of the rate, or the whole again."""
        self.rate = self._full_rate / 10 if self.rate == self._full_rate else self._full_rate

    async def work(self) -> None:
        """Carry out what is due."""
        loop = asyncio.get_running_loop()
        self._last_s = loop.time()
        while True:
            await asyncio.sleep(_STEP_S)
            now_s = loop.time()
            passed_s, self._last_s = now_s - self._last_s, now_s
            if now_s < self._paused_until_s:
                continue
            self._owed = min(self._owed + passed_s * self.rate, self.rate * 0.02 + 1)
            batch = [self._waiting.popleft() for _ in range(min(int(self._owed), len(self._waiting)))]
            self._owed = self._owed - len(batch) if self._waiting else min(self._owed - len(batch), 1.0)
            if batch:
                now_ns = self.server.now_ns()
                self._inner.submit(batch, now_ns)
                self.server.orders.core_link.pump(now_ns)  # credit is back: the window needs no tick to be filled again
                self.server.wake()


async def main(path: Path, rate: float) -> None:
    """Serve until SIGTERM."""
    links: list[SlowLink] = []

    def slow(core: MatchingCore) -> MatchingCore:
        links.append(SlowLink(core, rate))
        return links[0]

    server = Server(load(path), path.parent, wrap_core=slow)
    links[0].server = server
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    loop.add_signal_handler(signal.SIGUSR1, links[0].pause)
    loop.add_signal_handler(signal.SIGUSR2, links[0].crawl)
    await server.start()
    spare_collector()
    work = loop.create_task(links[0].work())
    await asked.wait()
    work.cancel()
    await server.stop()


if __name__ == "__main__":
    writer = logs.setup("info")
    try:
        uvloop.run(main(Path(sys.argv[1]), float(sys.argv[2])))
    finally:
        writer.close()
