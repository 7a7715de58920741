"""A time-out for an answer that does not count time in which this process was stalled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_LATE_S = 0.01  # a timer that is later than this: the loop was busy meanwhile and has not read its sockets
_TURNS = 5  # of the loop: the bytes are read, then parsed, then the task that waits for them continues


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Like `asyncio.timeout`, but after a stall it first lets the loop read an answer that has arrived.

    Raises:
        TimeoutError: no answer in time.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds
    is_over = False

    def expire(turns: int) -> None:
        if is_over:
            return
        if turns and loop.time() - due > _LATE_S:
            loop.call_soon(expire, turns - 1)
        else:
            scope.reschedule(due)

    async with asyncio.timeout(None) as scope:
        timer = loop.call_at(due, expire, _TURNS)
        try:
            yield
        finally:
            is_over = True
            timer.cancel()
