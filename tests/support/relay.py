"""A TCP relay on loopback between a client and the gateway, so that a test can lose the link and hold it away."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_RECEIVE_BUFFER_BYTES = 8_192  # small, so that an answer that is not read is not hidden in the kernel


class Relay:
    """Carries bytes both ways until it is cut or half of it is lost. port: where clients connect."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._is_cut = self._is_deaf = False
        self._is_reading = asyncio.Event()
        self._is_reading.set()
        self._writers: list[asyncio.StreamWriter] = []

    def lose_answers(self) -> None:
        """Lose what the gateway says from now on until `mend`; it does not notice."""
        self._is_deaf = True

    def hold_answers(self) -> None:
        """Read nothing that the gateway sends until `mend`, as a client that has fallen behind."""
        self._is_reading.clear()

    def cut(self) -> None:
        """Drop every link at once; new ones are dropped too until `mend`."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def mend(self) -> None:
        """Let new links through again, both ways."""
        self._is_cut = self._is_deaf = False
        self._is_reading.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's link, from its begin to its end."""
        if self._is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await self._connect()
        self._writers += [writer, far_writer]
        await asyncio.gather(self._carry(reader, far_writer, False), self._carry(far_reader, writer, True))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        far = socket.socket()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        far.setblocking(False)
        await asyncio.get_running_loop().sock_connect(far, ("127.0.0.1", self._target_port))
        return await asyncio.open_connection(sock=far, limit=_RECEIVE_BUFFER_BYTES)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_answer: bool) -> None:
        try:
            while data := await reader.read(65_536):
                if is_answer:
                    await self._is_reading.wait()
                if not (is_answer and self._is_deaf):
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def relay_to(target_port: int) -> AsyncIterator[Relay]:
    """A relay to a port of loopback, gone at the end."""
    relay = Relay(target_port)
    listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = listener.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        relay.cut()
        listener.close()
