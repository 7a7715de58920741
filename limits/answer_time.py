"""How long an answer may take; one that came while this process stood still is read before it is called late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_LATE_S = 0.01  # a timer that runs so late: the loop did something else meanwhile, and has not looked at its sockets
_TURNS = 5  # of the loop: the bytes are read, then parsed, then whoever waits for them goes on


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """`asyncio.timeout`, but for that.

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
