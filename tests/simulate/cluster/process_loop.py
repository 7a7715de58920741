"""The event loop of a process that has coroutines and connects to Redis: asyncio's own tasks, on the world's time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulate.world import SECOND, START_NS, Broken, Loop, Timer, World


class ProcessLoop(Loop):
    """See `Loop`. connect: makes the connection to Redis for this protocol, or raises OSError."""

    def __init__(self, world: World, connect: Callable[["ProcessLoop", Any], object]) -> None:
        super().__init__(world)
        self._connect = connect
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, timer: Timer) -> None:
        """What runs here finds this loop to be the running one. What it raises is a mistake of the process."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)  # type: ignore[arg-type]
        try:
            timer.call(*timer.args)
        except Broken:
            raise
        except Exception as error:
            raise Broken(f"a mistake of its own: {error!r}") from error
        finally:
            asyncio._set_running_loop(before)

    def time(self) -> float:
        """Seconds on the machine's uptime."""
        return (self._world.now_ns - START_NS) / SECOND

    def call_at(self, when_s: float, call: Callable[..., object], *args: Any, context: Any = None) -> Timer:
        """At this time of `time`."""
        return self._later(max(round(when_s * SECOND) + START_NS - self._world.now_ns, 0), Timer(call, args))

    def create_future(self) -> "asyncio.Future[Any]":
        """For something that is to come."""
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def create_task(
        self, work: Coroutine[Any, Any, Any], *, name: str = "", context: Any = None
    ) -> "asyncio.Task[Any]":
        """What it raises is a mistake of the process, unless somebody waits for it."""
        task = asyncio.Task(work, loop=self)  # type: ignore[arg-type]
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # its process may be killed
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine of the process' own."""
        self.call_soon(lambda: self.create_task(work()).add_done_callback(_ended))

    def run_in_executor(self, _: None, call: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        """In no time, and told in the next turn."""
        future = self.create_future()
        future.set_result(call(*args))
        return future

    async def create_connection(self, factory: Callable[[], Any], *_: Any, **__: Any) -> tuple[object, object]:
        """To Redis."""
        protocol = factory()
        return self._connect(self, protocol), protocol

    def get_debug(self) -> bool:
        """No."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nobody has waited for what failed."""
        error = context.get("exception")
        raise Broken(f"a mistake of its own: {context.get('message')}: {error!r}") from error


def _ended(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error if isinstance(error, Broken) else Broken(f"a mistake of its own: {error!r}") from error
