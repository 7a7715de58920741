"""A TCP proxy that can be slow, silent, cut, or deliver byte by byte: the network between a gateway and its store."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_SLICE_S = 0.0


class FaultProxy:
    """Carries bytes to one port of loopback. delay_s: each way. silent: swallow all. sliced: a byte at a time.

    target_port: may be moved; connections that are there stay where they are. What is held comes late, and whole, or is
    lost with its connection.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.delay_s = 0.0
        self.silent = False
        self.sliced = False
        self.refusing = False
        self.accepted = 0
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def hold(self) -> None:
        """Let nothing through until `release`; nobody is told."""
        self._flowing.clear()

    def release(self) -> None:
        """Let through what was held."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        late: deque[bytes] = deque()  # in its order, also when the delay changes
        with suppress(OSError):
            while data := await source.read(65_536):
                await self._flowing.wait()
                if self.silent:
                    continue
                if self.delay_s or late:
                    late.append(data)
                    loop.call_later(self.delay_s, lambda: self._write(sink, late.popleft()))
                elif self.sliced:
                    for byte in data:
                        self._write(sink, bytes((byte,)))
                        await asyncio.sleep(_SLICE_S)
                else:
                    self._write(sink, data)
        self._writers.discard(sink)
        sink.close()

    def _write(self, sink: asyncio.StreamWriter, data: bytes) -> None:
        if not sink.is_closing() and not self.silent:
            sink.write(data)


@asynccontextmanager
async def fault_proxy(target_port: int) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(target_port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
