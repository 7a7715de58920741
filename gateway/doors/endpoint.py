"""What the endpoints of both doors share: the link, peers that only write their last bytes, the flood count.

Behaviour of one door belongs in its own endpoint. Pure: a link is a protocol, never a socket.
"""

from collections.abc import Callable
from typing import Any, Protocol

from gateway.doors.peer import Peer

_LOGOUT = b"\x0135=5\x01"
_FLOOD_FACTOR = 10
_FLOOD_WINDOW_NS = 10_000_000_000


class Link(Protocol):
    """The connection, as an endpoint needs it. It carries bytes for `peer`, from the address peer_ip.

    has_ended: the client sends no more, or the gateway has begun to close. is_closing: nothing more is read from it.
    """

    peer: Any
    peer_ip: str

    @property
    def has_ended(self) -> bool: ...
    @property
    def is_closing(self) -> bool: ...
    def wake(self) -> None: ...
    def close(self) -> None: ...
    def forget_unrecorded(self) -> None: ...
    def close_unrecorded(self) -> None: ...
    def pause_reading(self, now_ns: int) -> None: ...
    def resume_reading(self, now_ns: int) -> None: ...


class FinalOutput(Peer):
    """The last bytes of a connection that no longer belongs to a session: superseded, reset, or refused."""

    def __init__(self, output: bytes) -> None:
        self._output = output

    @property
    def has_output(self) -> bool:
        return bool(self._output)

    @property
    def pending_bytes(self) -> int:
        return len(self._output)

    def take_output(self, limit_bytes: int) -> bytes:
        output, self._output = self._output, b""
        return output


class RefusedPeer(FinalOutput):
    """A refused connection that was sent the reason: it gets time to read that, and to answer."""

    next_deadline_ns: int | None = None

    def __init__(self, output: bytes, link: Link, until_ns: int) -> None:
        super().__init__(output)
        self._link = link
        self.next_deadline_ns = until_ns

    def receive(self, data: bytes, now_ns: int) -> None:
        """Its own Logout(5) ends it; everything else is ignored."""
        if _LOGOUT in data:
            self._link.close()

    def tick(self, now_ns: int) -> None:
        self._link.close()


class FloodCount:
    """Tells a client that is too fast from one that ignores refusals: ten bursts refused in ten seconds are abuse."""

    __slots__ = ("_begin_ns", "_left")

    def __init__(self) -> None:
        self._begin_ns = 0
        self._left = 0

    def is_abuse(self, burst: Callable[[], int], now_ns: int) -> bool:
        """Count one message refused for its rate; whether it was one too many. burst: capacity of the empty bucket."""
        if now_ns - self._begin_ns >= _FLOOD_WINDOW_NS:
            self._begin_ns, self._left = now_ns, _FLOOD_FACTOR * burst()
        self._left -= 1
        return self._left < 0
