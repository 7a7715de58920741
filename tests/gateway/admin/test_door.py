"""The admin port keeps no connection for long: not before a request, not in one, not after one."""

import asyncio
import time

import pytest

from gateway.admin import door
from tests.support.server import running, until

WHOLE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


async def until_cut(port: int, *words: bytes) -> tuple[bytes, float]:
    """What a client that sends this reads, and the seconds until the connection ends."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for word in words:
        writer.write(word)
        await asyncio.sleep(0.02)
    try:
        heard = await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        heard = b""
    writer.close()
    return heard, time.perf_counter() - began


@pytest.mark.parametrize(
    ("words", "answers", "reason"),
    [
        pytest.param((b"",), 0, "header_timeout", id="says nothing"),
        pytest.param((b"GET /livez HTTP/1.1\r\n",), 0, "header_timeout", id="never ends its head"),
        pytest.param(
            (b"POST /modes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{",),
            0,
            "request_timeout",
            id="nor its body",
        ),
        pytest.param((WHOLE,), 1, None, id="stays when it has its answer"),
        pytest.param((WHOLE, WHOLE[:9]), 1, None, id="never ends its second head"),
    ],
)
async def test_a_slow_client_is_cut(
    monkeypatch: pytest.MonkeyPatch, words: tuple[bytes, ...], answers: int, reason: str | None
) -> None:
    monkeypatch.setattr(door, "_HEADER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(door, "_REQUEST_TIMEOUT_S", 0.6)
    monkeypatch.setattr(door, "_IDLE_S", 0.3)
    async with running() as server:
        heard, seconds = await until_cut(server.ports["admin"], *words)
        assert heard.count(b"HTTP/1.1 200 OK") == answers
        assert 0.2 < seconds < 3
        assert server.metrics.admin_disconnects == ({reason: 1} if reason else {})
        assert server._admin is not None
        await until(lambda: not len(server._admin.crowd))  # type: ignore[union-attr]


async def test_a_scraper_keeps_its_connection() -> None:
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["admin"])
        for _ in range(3):
            writer.write(WHOLE)
            assert b"200 OK" in await reader.readuntil(b'{"alive":true}')
        writer.close()


async def test_of_more_than_its_places_the_oldest_goes() -> None:
    async with running() as server:
        held = [await asyncio.open_connection("127.0.0.1", server.ports["admin"]) for _ in range(door.PLACES + 8)]
        await until(lambda: server.metrics.admin_disconnects.get("crowded_out", 0) >= 8)
        assert (await until_cut(server.ports["admin"], b"GET /livez HTTP/1.0\r\n\r\n"))[0].startswith(
            b"HTTP/1.0 200 OK"
        )
        for _, writer in held:
            writer.close()
