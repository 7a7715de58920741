"""A WebSocket connection before it is one: aiohttp parses its HTTP, and here it is counted, timed and bounded.

aiohttp has no time-out for a request that never ends and no bound on how many there are. `HttpPhase` stands between the
transport and aiohttp's protocol, passes everything on, and is gone once the upgrade is answered.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from gateway.tick import Tick

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: penstock\r\nRetry-After: 1\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class Lobby:
    """Everybody who has connected and is not upgraded yet. Given to `create_server`, it makes the protocols."""

    def __init__(
        self,
        make_http: Callable[[], asyncio.Protocol],
        timeout_s: float,
        has_room: Callable[[], bool],
        tick: Tick,
        count_end: Callable[[str], None],
    ) -> None:
        """timeout_s: for the whole request. has_room: whether one more connection may stay. count_end: by reason."""
        self.make_http = make_http
        self.timeout_s = timeout_s
        self.has_room = has_room
        self.tick = tick
        self.count_end = count_end
        self.waiting: set[HttpPhase] = set()

    def __call__(self) -> asyncio.Protocol:
        """The protocol of one new connection."""
        return HttpPhase(self)

    def clear(self, reason: str) -> None:
        """Cut everybody who waits."""
        for phase in list(self.waiting):
            phase.cut(reason)


class HttpPhase(asyncio.Protocol):
    """One connection from its accept to its upgrade, or to its end."""

    def __init__(self, lobby: Lobby) -> None:
        self._lobby = lobby
        self._http: asyncio.Protocol | None = None
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._is_counted = False
        self._has_left = False  # the client closed; else it was aiohttp, and its only reason is that this is no HTTP
        self.accepted_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock; or say at once that the house is full."""
        lobby = self._lobby
        self.accepted_ns = lobby.tick.now_ns()
        self._transport = cast(asyncio.Transport, transport)
        if not lobby.has_room():
            self._transport.write(_FULL)
            self.end("full")
            self._transport.close()
            return
        lobby.waiting.add(self)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(lobby.timeout_s, self._on_timer)
        self._http = lobby.make_http()
        self._http.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the request."""
        if self._http is not None:
            self._http.data_received(data)

    def eof_received(self) -> bool | None:
        """The client is done sending."""
        self._has_left = True
        return self._http.eof_received() if self._http is not None else None

    def pause_writing(self) -> None:
        """The transport is full."""
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """The transport drained."""
        if self._http is not None:
            self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended before it became a WebSocket."""
        self.leave()
        self.end("before_upgrade" if self._has_left or exc is not None else "bad_http")
        if self._http is not None:
            self._http.connection_lost(exc)

    def leave(self) -> None:
        """It is upgraded, or gone: the lobby forgets it."""
        self._lobby.waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _on_timer(self) -> None:
        due_ns = self.accepted_ns + int(self._lobby.timeout_s * 1e9)
        is_waiting = self in self._lobby.waiting  # else it was upgraded, or ended, while what had come was read
        if is_waiting and not self._lobby.tick.must_read_first(due_ns, self._on_timer):
            self.cut("header_timeout")

    def end(self, reason: str) -> None:
        """Count why it ends, once."""
        if not self._is_counted:
            self._is_counted = True
            self._lobby.count_end(reason)

    def settle(self) -> None:
        """Its end was counted elsewhere: as a failed logon."""
        self._is_counted = True

    def cut(self, reason: str) -> None:
        """Drop it now."""
        self.end(reason)
        self._transport.abort()
