"""One seed's world: a clock that is a number, one source of chance, and a list of what happens when.

Nothing in it reads a real clock, draws real randomness or depends on the order of a set: the same seed gives the same
trace, under any PYTHONHASHSEED. What happens is noted in pipe notation; `digest` stands for the whole trace.

Time only passes; the time of day, which all machines show, is put right now and then (`World.put_right`).
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
        self.wall = WallClock()  # what all clients' clocks show, and the gateway's once it has noticed
        self._coming: list[tuple[int, int, Timer]] = []
        self._count = 0

    # -- the system's clocks, as `time` gives them ---------------------------------------------------------------

    def time_ns(self) -> int:
        """The time of day."""
        return self.wall.utc_ns(self.now_ns)

    def clock_gettime_ns(self, _: int) -> int:
        """The machine's uptime."""
        return self.now_ns - START_NS

    def put_right(self, by_ns: int) -> None:
        """All clocks that show the time of day are stepped."""
        self.fault(f"clocks are put {'back' if by_ns < 0 else 'forward'}")
        self.wall.offset_ns += by_ns

    # -- what is to come -----------------------------------------------------------------------------------------

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


class Loop:
    """As much of an event loop as the gateway's parts use. When the process dies, nothing it waited for happens.

    It may stand still for a while: then what was due comes at once when it goes on, timers first, and behind them what
    its sockets have for it (`hear`), as libuv has it.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_dead = False
        self.is_still = False
        self._due: list[Timer] = []
        self._heard: list[Timer] = []

    def is_closed(self) -> bool:
        """Whether the process is gone."""
        return self.is_dead

    def call_soon(self, call: Callable[..., object], *args: Any, context: Any = None) -> Timer:
        """In this loop's next turn."""
        return self._later(0, Timer(call, args))

    call_soon_threadsafe = call_soon

    def call_later(self, delay_s: float, call: Callable[..., object], *args: Any, context: Any = None) -> Timer:
        """In so many seconds."""
        return self._later(max(int(delay_s * SECOND), 0), Timer(call, args))

    def hear(self, call: Callable[..., object], *args: Any) -> None:
        """Something comes from outside: it is heard now, or when the process goes on; never by a process that is gone,
        which could answer in the same moment.
        """
        if self.is_dead:
            return
        if self.is_still:
            self._heard.append(Timer(call, args))
        else:
            self.run(Timer(call, args))

    def stand_still(self, duration_ns: int) -> None:
        """The process is stopped, and goes on after so long."""
        if not self.is_still:
            self.is_still = True
            self._world.at(duration_ns, self._go_on)

    def _go_on(self) -> None:
        self.is_still = False
        missed, self._due, self._heard = [*self._due, *self._heard], [], []
        for timer in missed:
            self._live(timer)

    def _later(self, delay_ns: int, timer: Timer) -> Timer:
        if not self.is_dead:  # what is left of a process is swept away at some time, and asks for more
            self._world.at(delay_ns, self._live, timer)
        return timer

    def _live(self, timer: Timer) -> None:
        if self.is_dead or timer.cancelled:
            return
        if self.is_still:
            self._due.append(timer)
        else:
            self.run(timer)

    def run(self, timer: Timer) -> None:
        """It happens now, in this process."""
        timer.call(*timer.args)
