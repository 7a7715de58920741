"""Connections between clients and a gateway: bytes are late, come in pieces of any size, and connections break.

A connection may be cut (both sides learn of it, in their time), or fall silent (nobody learns anything). The gateway's
side is a transport as asyncio's, so the real `gateway.doors.connection.Connection` runs on it.
"""

from collections.abc import Callable
from typing import Any, Protocol

from tests.simulate.world import Loop, World

_HIGH_BYTES = 65_536
_LOW_BYTES = 16_384


class End(Protocol):
    """The client's side."""

    def received(self, data: bytes) -> None: ...
    def disconnected(self) -> None: ...


class Pipe:
    """One connection. `transport` is the gateway's side of it."""

    def __init__(self, world: World, loop: Loop, client: End) -> None:
        self._world = world
        self._loop = loop
        self._client: End | None = client
        self.transport = Transport(self, loop)
        self.is_silent = False  # half open: nothing arrives any more, and nobody is told
        self.is_slow = False  # the client does not read
        self.is_sound = True  # it was neither at any time
        self._up: list[bytes] = []
        self._is_going_up = False
        self._down = bytearray()
        self._is_going_down = False

    # -- the client's calls --------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """From the client."""
        if data and self._client is not None:
            self._up.append(data)
            self._rise()

    def close(self) -> None:
        """The client hangs up; the gateway hears of it, unless the connection is half open."""
        self._client = None
        if not self.is_silent:
            self._world.at(self._world.between(0.1, 20), self._loop.hear, self.transport.lost)

    # -- bytes on their way --------------------------------------------------------------------------------------

    def _rise(self) -> None:
        if not self._is_going_up and self._up and not self.transport.is_read_paused:
            self._is_going_up = True
            self._world.at(self._world.between(0.05, 10), self._arrive)

    def _arrive(self) -> None:
        self._loop.hear(self._take_in, self._loop.is_still)

    def _take_in(self, has_waited: bool) -> None:
        """has_waited: in the socket, until the process went on; then all of it is there."""
        self._is_going_up = False
        if self.is_silent or self.transport.is_gone or not self._up:
            return
        if self.transport.is_read_paused:
            return
        data, self._up = b"".join(self._up), []
        if not has_waited and self._world.happens(0.3):
            cut = self._world.random.randrange(len(data)) + 1
            data, rest = data[:cut], data[cut:]
            self._up = [rest] if rest else []
        self.transport.protocol.data_received(data)
        self._rise()

    def push(self, data: bytes) -> None:
        """From the gateway."""
        self._down += data
        self._fall()

    @property
    def waiting_bytes(self) -> int:
        """What the client has not taken."""
        return len(self._down)

    def _fall(self) -> None:
        if not self._is_going_down and self._down and not self.is_slow:
            self._is_going_down = True
            self._world.at(self._world.between(0.05, 10), self._land)

    def _land(self) -> None:
        self._is_going_down = False
        if self.is_silent or self.is_slow:
            return
        size = len(self._down)
        if size > 1 and self._world.happens(0.3):
            size = self._world.random.randrange(size) + 1
        data = bytes(self._down[:size])
        del self._down[:size]
        if self._client is not None and data:
            self._client.received(data)
        self._loop.hear(self.transport.drained)
        self._fall()

    def fall_silent(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self.is_silent, self.is_sound = True, False

    def stop_reading(self) -> None:
        """The client reads nothing until `read_on`."""
        self.is_slow, self.is_sound = True, False

    def read_on(self) -> None:
        """The client reads again."""
        self.is_slow = False
        self._fall()

    def hung_up(self, at_once: bool) -> None:
        """The gateway is gone: the client gets what was on its way, unless it was cut, and learns of it later."""
        if at_once:
            self._down.clear()
        if not self.is_silent:
            self._world.at(self._world.between(10, 30), self._tell_client)

    def _tell_client(self) -> None:
        if self._down and not self.is_slow:
            self._world.at(self._world.between(1, 5), self._tell_client)
            return
        client, self._client = self._client, None
        if client is not None:
            client.disconnected()


class Transport:
    """The gateway's side, as `asyncio.Transport`."""

    def __init__(self, pipe: Pipe, loop: Loop) -> None:
        self._pipe = pipe
        self._loop = loop
        self.protocol: Any = None
        self.is_read_paused = False
        self.is_gone = False
        self._is_closing = False
        self._is_blocked = False

    def connect(self, protocol: Any) -> None:
        """Begin to carry bytes for this connection."""
        self.protocol = protocol
        protocol.connection_made(self)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        """They are as the gateway sets them."""

    def get_extra_info(self, name: str) -> object:
        """An address on loopback, and no socket."""
        return ("127.0.0.1", 1) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        """What the client has not taken."""
        return self._pipe.waiting_bytes

    def is_closing(self) -> bool:
        """Whether it is going."""
        return self._is_closing

    def write(self, data: bytes) -> None:
        """To the client."""
        if self._is_closing:
            return
        self._pipe.push(data)
        if not self._is_blocked and self._pipe.waiting_bytes > _HIGH_BYTES:
            self._is_blocked = True
            self.protocol.pause_writing()

    def drained(self) -> None:
        """The client took some."""
        if self._is_blocked and not self.is_gone and self._pipe.waiting_bytes < _LOW_BYTES:
            self._is_blocked = False
            self.protocol.resume_writing()

    def pause_reading(self) -> None:
        """The gateway reads no more for now."""
        self.is_read_paused = True

    def resume_reading(self) -> None:
        """It reads on."""
        self.is_read_paused = False
        self._pipe._rise()

    def can_write_eof(self) -> bool:
        """As TLS: close does it all."""
        return False

    def close(self) -> None:
        """Gone when what was written is taken."""
        self._end(at_once=False)

    def abort(self) -> None:
        """Gone now."""
        self._end(at_once=True)

    def _end(self, at_once: bool) -> None:
        if not (self._is_closing or self._loop.is_dead):
            self._is_closing = True
            self._pipe.hung_up(at_once)
            self._loop.call_soon(self.lost)

    def lost(self) -> None:
        """The connection is over on this side."""
        self._is_closing = True
        if not self.is_gone:
            self.is_gone = True
            if not self._loop.is_dead:
                self.protocol.connection_lost(None)


Connect = Callable[[End], Pipe | None]
"""What a client calls to connect: None when nobody listens."""
