"""How a peer says where it listens: one line with the port on standard output, then it serves until it is killed."""

import asyncio
from collections.abc import Callable

import uvloop


def serve(protocol: Callable[[], asyncio.Protocol]) -> None:
    """Serve a protocol on a free port of loopback, on uvloop."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, backlog=1_024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    uvloop.run(forever())
