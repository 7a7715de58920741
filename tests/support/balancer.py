"""A TCP balancer on loopback: passes bytes on, behind a PROXY header that says for whom."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")


def line(host: str) -> bytes:
    """Version 1."""
    return f"PROXY TCP4 {host} 203.0.113.1 4711 443\r\n".encode()


def binary(host: str) -> bytes:
    """Version 2."""
    block = IPv4Address(host).packed + bytes([203, 0, 113, 1]) + b"\x12\x67\x01\xbb"
    return SIGNATURE + b"\x21\x11" + len(block).to_bytes(2) + block


@asynccontextmanager
async def balancer(port: int, header: bytes) -> AsyncIterator[int]:
    """Its port; whoever connects there is passed on to `port`."""

    links: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        links.add(task)
        inside, outside = await asyncio.open_connection("127.0.0.1", port)
        outside.write(header)
        await asyncio.gather(pump(reader, outside), pump(inside, writer))
        with suppress(ConnectionError):
            await asyncio.gather(outside.wait_closed(), writer.wait_closed())

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*links)
