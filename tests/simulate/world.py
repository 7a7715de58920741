"""One seed's world: a clock that is a number, one source of chance, and a list of what happens when.

Nothing in it reads a real clock, draws real randomness or depends on the order of a set: the same seed gives the same
trace, under any PYTHONHASHSEED. What happens is noted in pipe notation; `digest` stands for the whole trace.
"""

import heapq
import random
import zlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from protocols.wall import WallClock

MS = 1_000_000
SECOND = 1_000_000_000
START_NS = 1_795_000_000 * SECOND
_KEPT_LINES = 60


class Broken(AssertionError):
    """A promise was broken; the text says which, and by what."""


class Timer:
    """Something that is to happen, as asyncio's handles: it may be called off."""

    __slots__ = ("args", "call", "cancelled")

    def __init__(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.call = call
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        """It does not happen."""
        self.cancelled = True


class World:
    """Time, chance, what is to come, and what has happened."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now_ns = START_NS
        self.steps = 0
        self.faults: Counter[str] = Counter()
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.digest = 0
        self._coming: list[tuple[int, int, Timer]] = []
        self._count = 0

    def at(self, delay_ns: int, call: Callable[..., object], *args: Any) -> Timer:
        """Have `call(*args)` happen in so many ns; what is asked for first happens first."""
        timer = Timer(call, args)
        self._count += 1
        heapq.heappush(self._coming, (self.now_ns + delay_ns, self._count, timer))
        return timer

    def run(self, duration_ns: int) -> None:
        """Let time pass."""
        until_ns = self.now_ns + duration_ns
        while self._coming and self._coming[0][0] <= until_ns:
            self.now_ns, _, timer = heapq.heappop(self._coming)
            if not timer.cancelled:
                self.steps += 1
                timer.call(*timer.args)
        self.now_ns = until_ns

    def between(self, low_ms: float, high_ms: float) -> int:
        """A time in ns, more often short than long."""
        return int((low_ms + (high_ms - low_ms) * self.random.random() ** 3) * MS)

    def happens(self, chance: float) -> bool:
        """Whether it happens this time."""
        return self.random.random() < chance

    def fault(self, kind: str) -> None:
        """Count one thing that went wrong on purpose."""
        self.faults[kind] += 1
        self.note(f"! {kind}")

    def note(self, text: str) -> None:
        """One line of the trace."""
        line = f"{(self.now_ns - START_NS) / SECOND:9.6f} {text}"
        self.lines.append(line)
        self.digest = zlib.crc32(line.encode(), self.digest)


class Clock(WallClock):
    """The gateway's clock (`gateway.clock.Clock`): the system's is never put right."""

    steps = 0

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def now_ns(self) -> int:
        """The world's time."""
        return self._world.now_ns

    def take_step_ns(self) -> int:
        """It is right already."""
        return 0


class Loop:
    """As much of an event loop as the gateway's parts use. When the process dies, nothing it waited for happens."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_dead = False

    def is_closed(self) -> bool:
        """Whether the process is gone."""
        return self.is_dead

    def call_soon(self, call: Callable[..., object], *args: Any) -> Timer:
        """In this loop's next turn."""
        return self._world.at(0, self._live, call, args)

    call_soon_threadsafe = call_soon

    def call_later(self, delay_s: float, call: Callable[..., object], *args: Any) -> Timer:
        """In so many seconds."""
        return self._world.at(max(int(delay_s * SECOND), 0), self._live, call, args)

    def _live(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        if not self.is_dead:
            call(*args)
