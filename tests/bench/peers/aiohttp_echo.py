"""A bare WebSocket server with aiohttp on uvloop that decodes each JSON message and encodes it again.

`python -m tests.bench.peers.aiohttp_echo SESSIONS json|orjson`: with the standard library, as aiohttp does unless told
otherwise, or with orjson.
"""

import asyncio
import json
import sys

import aiohttp
import orjson
import uvloop
from aiohttp import web


def _orjson_text(value: object) -> str:
    return orjson.dumps(value).decode()


_LOADS, _DUMPS = (orjson.loads, _orjson_text) if sys.argv[2:] == ["orjson"] else (json.loads, json.dumps)


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_json(message.json(loads=_LOADS), dumps=_DUMPS)
    return socket


async def _serve() -> None:
    app = web.Application()
    app.router.add_get("/v1/ws", _echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
