"""The least that any server on this loop costs: every read is written back."""

import asyncio

from tests.bench.peers.listening import serve


class Echo(asyncio.Protocol):
    """Reads and writes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]


if __name__ == "__main__":
    serve(Echo)
