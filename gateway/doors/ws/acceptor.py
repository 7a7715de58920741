"""The WebSocket door: aiohttp answers the HTTP upgrade, then a `Connection` takes over the transport.

After the 101 response aiohttp forgets the connection, which then carries bytes to `protocols.ws` like any FIX
connection. The order of the steps in `_take_over` was found by experiment and is held by a contract test: keep both.
"""

import asyncio
import base64
import hashlib
import secrets
from functools import partial
from typing import cast

from aiohttp import HttpVersion11, web, web_response

from gateway.auth.authenticator import Client, Denied, Proof
from gateway.config import schema
from gateway.config.addresses import forwarded_for, networks
from gateway.doors import tls
from gateway.doors.batch import EventLoopTurn
from gateway.doors.connection import Connection, Traffic
from gateway.doors.crowd import Crowd
from gateway.doors.listening import Door, Listener, ListenSettings
from gateway.doors.services import Moves, Services
from gateway.doors.slowness import UnreadOutput
from gateway.doors.ws.endpoint import WsEndpoint
from gateway.doors.ws.http_upgrade import HttpPhase, PendingUpgrades, http_log
from gateway.doors.ws.logon import ConnectionInfo, turned_away, wait_of
from gateway.doors.ws.stream_cursor import EncodedEvents
from protocols import errors
from protocols.errors import Refusal
from protocols.signing import ws_header_text
from protocols.units import NS_PER_MS, NS_PER_US
from protocols.ws.opening import listed, names_host

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_CODECS = {"gate.json.v1": "json", "gate.msgpack.v1": "msgpack"}
_HEADER_LINES = 8_190
_SHOWN = 100  # characters of a client's input that an answer repeats
_SERVER = "penstock"  # names no library and no version
_BACKLOG = 512
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: penstock\r\nRetry-After: 1\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)
_READ_BYTES = 4_096  # input that HTTP may hold; aiohttp's default is 16 times as much


class _EarlyBytes:
    """Collects bytes that a client sent directly after its upgrade request."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        pass


class WsAcceptor:
    """The listener and every WebSocket connection that it accepted."""

    def __init__(self, ws: schema.Ws, services: Services, unread: UnreadOutput) -> None:
        self._settings = services.settings
        self._ws = ws
        self._services = services
        self._event_bytes = EncodedEvents(services.instruments, services.sessions)
        self._runner: web.AppRunner | None = None
        self._pending: PendingUpgrades | None = None
        self._listener: Listener | None = None
        self._proxies = networks(ws.forwarded_for_from)
        self.crowd = Crowd(ws.max_connections)
        self._turn: EventLoopTurn
        self._loop: asyncio.AbstractEventLoop
        self.traffic = Traffic(unread)

    async def start(self, loop: asyncio.AbstractEventLoop, turn: EventLoopTurn) -> int:
        """Listen; returns the port."""
        self._loop, self._turn = loop, turn
        app = web.Application(client_max_size=_READ_BYTES)
        app.router.add_get(self._ws.path, self._upgrade, allow_head=False)
        app.router.add_route("*", "/{path:.*}", self._not_found)
        web_response.SERVER_SOFTWARE = _SERVER  # type: ignore[attr-defined]  # aiohttp's error pages have no other setting
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=http_log(),
            read_bufsize=_READ_BYTES,
            max_line_size=_HEADER_LINES,
            max_field_size=_HEADER_LINES,
        )
        await self._runner.setup()
        assert self._runner.server is not None
        self._pending = PendingUpgrades(
            self._runner.server, self._ws.header_timeout_s, self._count_end, "before_upgrade", turn
        )
        balancers = networks(self._ws.proxy_protocol_from)
        door = Door(
            crowd=self.crowd,
            make=self._pending,
            turn_away=self._turn_away,
            count_end=self._count_end,
            log=partial(self._services.log, door="ws"),
            now_ns=turn.now_ns,
            accepting=lambda: True,  # while the queue is full, it is the upgrade that is refused, with a 503
            shared=balancers + self._proxies,
        )
        context, cluster = tls.server_context(self._ws.tls), self._services.settings.cluster
        is_shared = cluster is not None and cluster.shares_ports
        self._listener = Listener(
            ListenSettings("ws", self._ws.host, self._ws.port, _BACKLOG, context, balancers, is_shared), door
        )
        return await self._listener.open()

    @property
    def connections(self) -> int:
        """Open connections, including those that still speak HTTP: the number that `max_connections` bounds."""
        return len(self.crowd)

    def _turn_away(self) -> bytes:
        self._count_end("full")
        return _FULL

    def _count_end(self, reason: str) -> None:
        self._services.metrics.count_disconnect("ws", reason)

    def stop_listening(self) -> None:
        """Take no new connections, and disconnect those that have not logged on."""
        if self._listener is None or self._pending is None:
            return
        self._listener.close()
        self._pending.clear("draining")
        for connection in list(self.traffic.connections):
            endpoint = connection.peer
            if isinstance(endpoint, WsEndpoint) and endpoint.session is None:
                endpoint.turn_away(self._turn.now_ns())

    async def stop(self) -> None:
        """Close what aiohttp still holds; the server closes upgraded connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refuse_upgrade(request)
        if refusal is not None:
            return refusal
        if request.transport is None:
            return web.Response()  # gone already
        phase = _phase_of(request.transport)
        client: Client | None = None
        if "X-API-Key" in request.headers:
            proof = self._prove(request, phase.arrival.peer_ip)
            if isinstance(proof, Denied):
                away = wait_of(proof)
            else:
                away = turned_away(self._services, proof, "", self._turn.now_ns())
            if away is not None:
                self._count_refused(phase, away.cause, request.headers["X-API-Key"])
                return _no(429, away.refusal)
            if isinstance(proof, Denied):
                self._count_refused(phase, proof.cause, request.headers["X-API-Key"])
                if proof.hold_ns:
                    await asyncio.sleep(proof.hold_ns / 1e9)
                return _no(401, Refusal(errors.LOGON_REFUSED, "logon refused"))
            client = proof
            if (moves := self._services.moves) is not None and (why := await _prepared(moves, client, self._turn)):
                return _no(503, Refusal(errors.TOO_MANY_CONNECTIONS, why, 1_000))
        return await self._take_over(request, client)

    async def _not_found(self, request: web.Request) -> web.StreamResponse:
        return self._refuse(request, 404, "not_found", "nothing is here\n")

    def _refuse_upgrade(self, request: web.Request) -> web.Response | None:
        headers = request.headers
        if not (_lists(request, "Upgrade", "websocket") and _lists(request, "Connection", "upgrade")):
            text = "this is a WebSocket endpoint\n"
            return self._refuse(request, 426, "no_upgrade", text, Upgrade="websocket")
        if request.version != HttpVersion11:  # RFC 6455, 4.1; an answer would repeat the client's version
            return self._refuse(request, 400, "bad_version", "HTTP/1.1 only\n")
        if headers.getall("Sec-WebSocket-Version", []) != ["13"]:  # only a server may send a list
            text = "WebSocket version 13 only\n"
            return self._refuse(request, 426, "bad_version", text, **{"Sec-WebSocket-Version": "13"})
        keys = headers.getall("Sec-WebSocket-Key", [])
        try:
            key = base64.b64decode(keys[0], validate=True) if len(keys) == 1 else b""
        except ValueError:  # no base64, or not even ASCII
            key = b""
        if len(key) != 16:
            return self._refuse(request, 400, "bad_key", "one Sec-WebSocket-Key is needed, 16 bytes in base64\n")
        hosts = headers.getall("Host", [])
        for origin in headers.getall("Origin", []):
            if origin not in self._ws.origins and not names_host(origin, hosts):
                text = f"Origin {origin[:_SHOWN]!r} is neither this host nor listed in ws.origins\n"
                return self._refuse(request, 403, "bad_origin", text)
        if not self._learn_address(request):
            return self._refuse(request, 400, "bad_forwarded", "X-Forwarded-For is no list of addresses\n")
        if self._services.orders.venue.draining or not self._services.orders.queue.accepts_connections:
            reason = "draining" if self._services.orders.venue.draining else "full"
            return self._refuse(request, 503, reason, "try later\n", **{"Retry-After": "1"})
        return None

    def _learn_address(self, request: web.Request) -> bool:
        """Take the client's address from a trusted proxy. False when its header cannot be read."""
        if not self._proxies or request.transport is None:
            return True
        arrival = _phase_of(request.transport).arrival
        client = forwarded_for(request.headers.getall("X-Forwarded-For", []), arrival.peer_ip, self._proxies)
        if client is not None and client != arrival.peer_ip:
            arrival.is_for(client)
        return client is not None

    def _refuse(self, request: web.Request, status: int, reason: str, text: str, **headers: str) -> web.Response:
        """Refuse and close: a retry needs a new connection, so each connection ends for one reason."""
        if request.transport is not None:
            _phase_of(request.transport).end(reason)
        response = web.Response(status=status, headers=headers, text=text)
        response.force_close()
        return response

    def _count_refused(self, phase: HttpPhase, cause: str, key: str) -> None:
        phase.settle()
        phase.arrival.failed()
        self._services.metrics.count_failed_logon("ws", cause)
        self._services.log("logon.refused", door="ws", cause=cause, key=key, peer=phase.arrival.peer_ip)

    def _prove(self, request: web.Request, peer_ip: str) -> Client | Denied:
        """Credentials at the upgrade: X-API-Key, X-Timestamp (microseconds), X-Signature."""
        key_id, stamp = request.headers["X-API-Key"], request.headers.get("X-Timestamp", "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 17):
            return Denied("bad_time")
        proof = Proof(
            signed=ws_header_text(key_id, int(stamp)),
            signature_b64=request.headers.get("X-Signature", ""),
            peer_ip=peer_ip,
            sent_at_ns=int(stamp) * NS_PER_US,
            window_ns=self._ws.recv_window_ms * NS_PER_MS,
        )
        return self._services.authenticator.authenticate((key_id,), proof, "trade_or_read", self._turn.now_ns())

    async def _take_over(self, request: web.Request, client: Client | None) -> web.StreamResponse:
        if request.transport is None:
            return web.Response()  # gone during authentication
        offered = listed(request.headers.getall("Sec-WebSocket-Protocol", []))
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
            return response  # gone before the 101
        # No await from here on: between two owners, aiohttp must not run.
        http, early = request.protocol, _EarlyBytes()
        http.set_parser(early)  # type: ignore[arg-type]
        transport, http.transport = http.transport, None
        if transport is None:
            return response  # gone while the 101 was written
        phase = _phase_of(transport)
        phase.leave()
        connection = Connection(self._turn, self._loop, self._settings, self.traffic)
        arrival = phase.arrival
        connection.came_by(arrival, is_proved=client is not None)
        info = ConnectionInfo(
            conn_id=f"c-{secrets.token_hex(3)}",  # for people
            challenge=secrets.token_hex(16),
            peer_ip=arrival.peer_ip,
            accepted_ns=arrival.accepted_ns,
            codec=_CODECS.get(chosen, "json"),
            proved=arrival.proved,
            failed=arrival.failed,
        )
        endpoint = WsEndpoint(self._services, self._ws, self._event_bytes, connection, info)
        connection.peer = endpoint
        arrival.cut = partial(_cut, endpoint, connection)
        transport.set_protocol(connection)
        http.connection_lost(None)
        connection.connection_made(transport)
        endpoint.opened(client, self._turn.now_ns())
        if data := early.data + phase.take_unparsed():
            connection.data_received(data)
        return response


def _lists(request: web.Request, name: str, word: str) -> bool:
    """Whether a list header, on any number of lines, contains the word."""
    return word in (each.lower() for each in listed(request.headers.getall(name, [])))


def _no(status: int, refusal: Refusal) -> web.Response:
    """The answer to a refused logon in the headers; the connection ends."""
    wait_s = -(-refusal.retry_after_ms // 1_000)
    headers = {"Retry-After": str(wait_s)} if wait_s else {}
    body = {"code": refusal.code, "name": errors.CODES[refusal.code].name, "msg": refusal.text}
    response = web.json_response(body, status=status, headers=headers)
    response.force_close()
    return response


def _phase_of(transport: asyncio.BaseTransport) -> HttpPhase:
    phase = cast(asyncio.Transport, transport).get_protocol()
    assert isinstance(phase, HttpPhase)
    return phase


def _cut(endpoint: WsEndpoint, connection: Connection, reason: str) -> None:
    endpoint.count_end(reason)
    connection.abort()


async def _prepared(moves: Moves, client: Client, turn: EventLoopTurn) -> str:
    """Have the client's account here; why that is not possible, "" if it is."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    moves.prepare(client, "", lambda why, _: None if told.done() else told.set_result(why), turn.now_ns())
    return await told
