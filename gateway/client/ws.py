"""A WebSocket client based on aiohttp, for simulators, tests and users. It shares no code with the gateway.

One `WsClient` is one identity (key and name): it signs the challenge, matches answers to requests by id, checks that
the account's stream has no gap, and resumes where it stopped after a reconnect. Answers and events are plain dicts, as
in the published reference. An answer comes as a callback (`post`) or is awaited (`call`).
"""

import asyncio
import base64
import contextlib
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Json = dict[str, object]
OnAnswer = Callable[[Json], None]
OnEvent = Callable[[Json], None]


class ConnectionClosed(ConnectionError):
    """The connection ended. code, reason: of the close frame; 1006 if there was none."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class RequestRefused(Exception):
    """The gateway answered a request with an error. error: its body; status: that of the answer."""

    def __init__(self, answer: Json) -> None:
        self.status = answer["status"]
        error = answer["error"]
        assert isinstance(error, dict)
        self.error: Json = error
        super().__init__(f"{error['code']} {error['name']}: {error['msg']}")


class WsIdentity(msgspec.Struct, frozen=True):
    """Who logs on. seed: the 32 bytes of the Ed25519 key. name: makes reconnects the same session; "" = none."""

    key_id: str
    seed: bytes
    name: str = ""


class WsCounts(msgspec.Struct):
    """Messages of all connections since the client was made."""

    sent: int = 0
    answers: int = 0
    events: int = 0
    replayed: int = 0
    gaps: int = 0  # gaps seen in the numbered stream; each was requested with stream.replay


def signature(identity: WsIdentity, challenge: str, ts: int) -> str:
    """Base64 of the Ed25519 signature over `session.logon`, key, challenge and ts joined by newlines (RULES B.1)."""
    text = f"session.logon\n{identity.key_id}\n{challenge}\n{ts}"
    return base64.b64encode(Ed25519PrivateKey.from_private_bytes(identity.seed).sign(text.encode())).decode()


class WsClient:
    """One identity over any number of connections, one at a time.

    on_event is called with every event but `hello`; numbered ones arrive in order and once each, also across a resume.
    `epoch` and `last_seq` are the position in the stream. `closed` says how the last connection ended.
    """

    def __init__(self, identity: WsIdentity, on_event: OnEvent | None = None) -> None:
        self.identity = identity
        self.on_event = on_event
        self.epoch = ""
        self.last_seq: int | None = None
        self.hello: Json = {}
        self.closed: ConnectionClosed | None = None
        self.counts = WsCounts()
        self._http: aiohttp.ClientSession | None = None
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._hello: asyncio.Future[Json] | None = None
        self._waiting: dict[int, OnAnswer] = {}
        self._next_id = 0
        self._filling = False

    async def connect(self, url: str, *, timeout_s: float = 5.0) -> Json:
        """Open the connection without logging on; the data of the gateway's `hello`.

        Raises:
            aiohttp.WSServerHandshakeError: the upgrade was refused; `status` says why.
            ConnectionClosed: the gateway closed before it said hello.
        """
        if self._ws is not None:
            raise RuntimeError("already connected")
        self._hello = asyncio.get_running_loop().create_future()
        self.closed, self._filling = None, False
        self._http = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(timeout_s):
                self._ws = await self._http.ws_connect(url, protocols=("gate.json.v1",), max_msg_size=1 << 22)
                self._reader = asyncio.create_task(self._read(self._ws))
                self.hello = await self._hello
        except BaseException:
            await self.abort()
            raise
        return self.hello

    async def logon(self, url: str, *, resume: bool = False, timeout_s: float = 5.0, **params: object) -> Json:
        """Connect and log on with a signed challenge; the logon's result.

        resume: continue in the stream after `last_seq`; replayed events come through on_event. params: more parameters
        of `session.logon`, such as `cod={"scope": "session", "grace_ms": 0}`.

        Raises:
            RequestRefused: bad credentials or parameters; the connection is closed.
            ConnectionClosed: the gateway closed instead of answering.
        """
        hello = await self.connect(url, timeout_s=timeout_s)
        challenge, ts = str(hello["challenge"]), time.time_ns() // 1000
        asked: Json = {"api_key": self.identity.key_id, "challenge": challenge, "ts": ts}
        asked["sig"] = signature(self.identity, challenge, ts)
        if self.identity.name:
            asked["name"] = self.identity.name
        if resume and self.last_seq is not None:
            asked["resume"] = {"epoch": self.epoch, "seq": self.last_seq}
        else:
            self.last_seq = None
        self.epoch = str(hello["epoch"])  # set now, because events may come in one read with the answer
        try:
            return await self.call("session.logon", {**asked, **params}, timeout_s=timeout_s)
        except BaseException:
            await self.abort()
            raise

    async def logout(self, *, cancel_orders: bool = False, timeout_s: float = 5.0) -> None:
        """Log out and close; cut the connection if the gateway does not follow in time."""
        if self._ws is None or self._reader is None:
            return
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(timeout_s):
                await self.call("session.logout", {"cancel_orders": True} if cancel_orders else {})
                await self._ws.close()
                await self._reader
        await self.abort()

    async def abort(self) -> None:
        """End the connection without logging out, as a crash would, and free its resources."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._ws is not None:
            transport = self._ws.get_extra_info("transport")
            if transport is not None:
                transport.abort()
        if self._http is not None:
            await self._http.close()
        self._http = self._ws = self._reader = None

    async def wait_closed(self, timeout_s: float = 5.0) -> ConnectionClosed:
        """How the connection ended, once the gateway has ended it."""
        if self._reader is not None:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._reader)
        return self.closed or ConnectionClosed(1006, "never connected")

    async def post(self, method: str, params: Json, on_answer: OnAnswer) -> int:
        """Send a request; its id. on_answer is called with the whole answer, or never if the connection ends first.

        Raises:
            ConnectionError: there is no connection, or it broke while writing.
        """
        if self._ws is None:
            raise self.closed or ConnectionClosed(1006, "not connected")
        self._next_id += 1
        request_id = self._next_id
        self._waiting[request_id] = on_answer
        self.counts.sent += 1
        await self._ws.send_str(orjson.dumps({"id": request_id, "method": method, "params": params}).decode())
        return request_id

    async def call(self, method: str, params: Json | None = None, *, timeout_s: float = 5.0) -> Json:
        """Send a request and wait for its result.

        Raises:
            RequestRefused: the answer was an error.
            ConnectionClosed: the connection ended first; whether the request was executed is unknown.
        """
        answered: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        request_id = await self.post(method, params or {}, lambda answer: _settle(answered, answer))
        reader = self._reader
        assert reader is not None
        try:
            async with asyncio.timeout(timeout_s):
                waits: set[asyncio.Future[Any]] = {answered, reader}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.pop(request_id, None)
        if not answered.done():
            raise self.closed or ConnectionClosed(1006, "")
        answer = answered.result()
        if "error" in answer:
            raise RequestRefused(answer)
        result = answer["result"]
        assert isinstance(result, dict)
        return result

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        closed = ConnectionClosed(1006, "")
        try:
            while True:
                message = await ws.receive()
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    self._receive(orjson.loads(message.data))
                    continue
                if message.type is aiohttp.WSMsgType.CLOSE:
                    closed = ConnectionClosed(message.data, message.extra or "")
                elif message.type is aiohttp.WSMsgType.CLOSING:
                    closed = ConnectionClosed(1000, "")  # this client began the close
                return
        finally:
            self.closed = closed
            if self._hello is not None and not self._hello.done():
                self._hello.set_exception(closed)

    def _receive(self, message: Json) -> None:
        if "ev" in message:
            self._take_event(message)
            return
        self.counts.answers += 1
        request_id = message.get("id")
        on_answer = self._waiting.pop(request_id, None) if isinstance(request_id, int) else None
        if on_answer is not None:
            on_answer(message)

    def _take_event(self, event: Json) -> None:
        self.counts.events += 1
        if event["ev"] == "hello":
            data = event["data"]
            assert isinstance(data, dict)
            if self._hello is not None and not self._hello.done():
                self._hello.set_result(data)
            return
        seq = event.get("seq")
        if isinstance(seq, int) and not self._is_next(event, seq):
            return
        if self.on_event is not None:
            self.on_event(event)

    def _is_next(self, event: Json, seq: int) -> bool:
        """Whether a numbered event follows the last one. A gap is requested; its replay brings later events, too."""
        if event["ev"] == "snapshot" or self.last_seq is None:
            self.last_seq = seq
            return True
        if seq <= self.last_seq:
            return False
        if seq > self.last_seq + 1:
            if not self._filling:
                self.counts.gaps += 1
                self._filling = True
                params: Json = {"epoch": self.epoch, "begin": self.last_seq + 1}
                task = asyncio.ensure_future(self.post("stream.replay", params, lambda _: None))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())
            return False
        self._filling = False
        self.counts.replayed += bool(event.get("replay"))
        self.last_seq = seq
        return True


def _settle(answered: asyncio.Future[Json], answer: Json) -> None:
    if not answered.done():
        answered.set_result(answer)
