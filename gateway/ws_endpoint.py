"""The WebSocket door: aiohttp answers the HTTP upgrade, then the connection belongs to our own machine.

After our 101 the transport is taken away from aiohttp, which forgets the connection; from then on it is an `asyncio`
protocol that carries bytes to `protocols.ws`, like any FIX connection. The order of the steps in `_take_over` was found
by running it and is held by a contract test: keep both.
"""

import asyncio
import base64
import hashlib
import logging
import secrets
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway import config, tls
from gateway.clients import Client, Clients, Denied
from gateway.connection import Connection, Traffic
from gateway.tick import Tick
from gateway.ws_speaker import WsHouse, WsSpeaker
from protocols.signing import ws_header_text

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_CODECS = {"gate.json.v1": "json", "gate.msgpack.v1": "msgpack"}
_HEADER_LINES = 8_190
_READ_BYTES = 4_096  # what a connection may hold before it is ours; aiohttp's default is sixteen times it


class _HttpLog(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp logs, but for requests that are no HTTP: those are counted, and an attacker cannot fill the log."""

    def __init__(self, count_bad: Callable[[], None]) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))
        self._count_bad = count_bad

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """One line of aiohttp."""
        if isinstance(kwargs.get("exc_info"), HttpProcessingError):
            self._count_bad()
        else:
            super().log(level, msg, *args, **kwargs)


class _EarlyBytes:
    """Collects what a client sent right behind its upgrade."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass


class WsDoor:
    """The listener and every WebSocket connection that it let in."""

    def __init__(self, settings: config.Config, ws: config.Ws, clients: Clients, house: WsHouse) -> None:
        self._settings = settings
        self._ws = ws
        self._clients = clients
        self._house = house
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._tick: Tick
        self._loop: asyncio.AbstractEventLoop
        self.traffic = Traffic()
        self.accepting: Callable[[], bool] = lambda: True

    async def start(self, loop: asyncio.AbstractEventLoop, tick: Tick) -> int:
        """Listen; returns the port."""
        self._loop, self._tick = loop, tick
        app = web.Application(client_max_size=_READ_BYTES)
        app.router.add_get(self._ws.path, self._upgrade)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_HttpLog(lambda: self._house.metrics.count_disconnect("ws", "bad_http")),
            keepalive_timeout=self._ws.header_timeout_s,
            read_bufsize=_READ_BYTES,
            max_line_size=_HEADER_LINES,
            max_field_size=_HEADER_LINES,
        )
        await self._runner.setup()
        assert self._runner.server is not None
        self._server = await loop.create_server(
            self._runner.server,
            self._ws.host,
            self._ws.port,
            ssl=tls.server_context(self._ws.tls),
            backlog=512,
            **tls.listen_options(self._ws.tls),
        )
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def stop_listening(self) -> None:
        """Take no new connections."""
        if self._server is not None:
            self._server.close()

    async def stop(self) -> None:
        """Let go of what aiohttp still holds; our own connections are closed by the server."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refuse_upgrade(request)
        if refusal is not None:
            return refusal
        client: Client | None = None
        if "X-API-Key" in request.headers:
            proof = self._prove(request)
            if isinstance(proof, Denied):
                self._house.metrics.count_failed_logon("ws", proof.cause)
                self._house.log("logon.refused", door="ws", cause=proof.cause, peer=request.remote)
                return web.json_response({"code": 1002, "name": "logon_refused", "msg": "logon refused"}, status=401)
            client = proof
        return await self._take_over(request, client)

    def _refuse_upgrade(self, request: web.Request) -> web.Response | None:
        headers = request.headers
        connection = [word.strip().lower() for word in headers.get("Connection", "").split(",")]
        if headers.get("Upgrade", "").lower() != "websocket" or "upgrade" not in connection:
            return web.Response(status=426, headers={"Upgrade": "websocket"}, text="this is a WebSocket endpoint\n")
        if headers.get("Sec-WebSocket-Version") != "13":
            return web.Response(status=426, headers={"Sec-WebSocket-Version": "13"}, text="WebSocket version 13 only\n")
        try:
            key = base64.b64decode(headers.get("Sec-WebSocket-Key", ""), validate=True)
        except ValueError:  # no base64, or not even ASCII
            key = b""
        if len(key) != 16:
            return web.Response(status=400, text="Sec-WebSocket-Key must be 16 bytes in base64\n")
        origin = headers.get("Origin")
        if origin is not None and origin not in self._ws.origins:
            return web.Response(status=403, text="Origin not allowed\n")
        if not self.accepting() or len(self.traffic.connections) >= self._ws.max_connections:
            return web.Response(status=503, headers={"Retry-After": "1"}, text="too many connections, try later\n")
        return None

    def _prove(self, request: web.Request) -> Client | Denied:
        """Credentials at the upgrade: X-API-Key, X-Timestamp (microseconds), X-Signature."""
        key_id, stamp = request.headers["X-API-Key"], request.headers.get("X-Timestamp", "")
        if not key_id.isascii():  # bytes that are no text come as surrogates, which cannot be encoded again
            return Denied("unknown_key")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 17):
            return Denied("bad_time")
        return self._clients.authenticate(
            key_id,
            ws_header_text(key_id, int(stamp)),
            request.headers.get("X-Signature", ""),
            request.remote or "",
            self._tick.now_ns(),
            "trade_or_read",
            int(stamp) * 1_000,
            self._ws.recv_window_ms * 1_000_000,
        )

    async def _take_over(self, request: web.Request, client: Client | None) -> web.StreamResponse:
        if request.transport is None:
            return web.Response()  # gone during authentication
        offered = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        chosen = next((word for word in offered if word in _CODECS), "")
        digest = hashlib.sha1(request.headers["Sec-WebSocket-Key"].encode() + _GUID, usedforsecurity=False).digest()
        response = web.StreamResponse(
            status=101,
            headers={
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Accept": base64.b64encode(digest).decode(),
            },
        )
        if chosen:
            response.headers["Sec-WebSocket-Protocol"] = chosen
        try:
            await response.prepare(request)
        except ConnectionError:
            return response  # gone before our 101
        # No await from here on: the connection must not be seen by aiohttp between two owners.
        http, early = request.protocol, _EarlyBytes()
        http.set_parser(early)  # type: ignore[arg-type]
        transport, http.transport = http.transport, None
        if transport is None:
            return response  # gone while our 101 was written
        now_ns = self._tick.now_ns()
        connection = Connection(self._tick, self._loop, self._settings, self.traffic)
        speaker = WsSpeaker(
            self._house, self._ws, _CODECS.get(chosen, "json"), connection, _new_ids(), request.remote or "", now_ns
        )
        connection.peer = speaker
        transport.set_protocol(connection)
        http.connection_lost(None)
        connection.connection_made(transport)
        speaker.opened(client, now_ns)
        if early.data:
            connection.data_received(early.data)
        return response


def _new_ids() -> tuple[str, str]:
    """A connection id for people, and a challenge that nobody can guess."""
    return f"c-{secrets.token_hex(3)}", secrets.token_hex(16)
