"""An answer that came while we stood still is read before it is called late; one that did not come is late."""

import asyncio
import socket
import time

import pytest
import uvloop

from limits.answer_time import within

STOOD_STILL_S = 0.15


async def waits_for_an_answer(comes: bool) -> bytes:
    """The answer lies in the socket when the loop goes on after it stood still for longer than the time there is."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours)

        def stand_still() -> None:
            time.sleep(STOOD_STILL_S)
            if comes:
                theirs.send(b"answer\n")

        asyncio.get_running_loop().call_soon(stand_still)
        try:
            async with within(0.05):
                return await reader.readline()
        finally:
            writer.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_an_answer_that_came_meanwhile_is_read(run):
    assert run(waits_for_an_answer(True)) == b"answer\n"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_none_is_late(run):
    with pytest.raises(TimeoutError):
        run(waits_for_an_answer(False))


async def test_without_a_pause_it_is_on_time():
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with within(0.02):
            await asyncio.Event().wait()
    assert time.monotonic() - began >= 0.02


async def test_what_ends_in_time_and_what_raises_is_left_alone():
    async with within(5):
        await asyncio.sleep(0)
    with pytest.raises(ZeroDivisionError):
        async with within(5):
            raise ZeroDivisionError
    await asyncio.sleep(0)
