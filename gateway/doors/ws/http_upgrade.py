"""A connection while it speaks HTTP: aiohttp parses its requests; here it is counted, timed and bounded.

aiohttp has no time-out for a request that never ends, and no bound on the number of connections. `HttpPhase` is between
the transport and aiohttp's protocol, and passes everything on: at the WebSocket door until the upgrade is answered, at
the operators' door until the end.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import msgspec
from aiohttp.http_exceptions import HttpProcessingError

from gateway.doors.batch import EventLoopTurn
from gateway.doors.listening import Arrival
from gateway.doors.stall import LATE_NS


class _HttpLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log without the lines that an attacker could fill it with: bad HTTP, and disconnects."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if not isinstance(kwargs.get("exc_info"), HttpProcessingError | ConnectionError):
            super().log(level, msg, *args, **kwargs)


def http_log() -> logging.LoggerAdapter[logging.Logger]:
    """The logger for an aiohttp server that strangers can reach: their input never fills the log."""
    return _HttpLog(logging.getLogger("aiohttp.server"))


class PendingUpgrades(msgspec.Struct, frozen=True, eq=False):
    """The connections of one door that speak HTTP. Called with an arrival, it makes the protocol.

    timeout_s: for a whole request, from the accept. count_end: counts by reason. left: the reason of a connection that
    disconnects before a whole request.
    """

    make_http: Callable[[], asyncio.Protocol]
    timeout_s: float
    count_end: Callable[[str], None]
    left: str
    turn: EventLoopTurn
    waiting: "set[HttpPhase]" = set()

    def __call__(self, arrival: Arrival) -> asyncio.Protocol:
        return HttpPhase(self, arrival)

    def clear(self, reason: str) -> None:
        for phase in list(self.waiting):
            phase.cut(reason)


class HttpPhase(asyncio.Protocol):
    """One connection from its accept to its upgrade, or to its end."""

    def __init__(self, pending: PendingUpgrades, arrival: Arrival) -> None:
        self.arrival = arrival
        self._pending = pending
        self._http: asyncio.Protocol | None = None
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0, ""  # when it is disconnected, and the reason
        self._is_counted = self._has_request = False
        self._unparsed = b""  # input not yet passed on
        self._is_paused = False
        self._has_left = False  # the client closed; if aiohttp closed, the input was not HTTP
        arrival.cut = self.cut

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._pending.waiting.add(self)
        self._wait_until(self.arrival.accepted_ns + int(self._pending.timeout_s * 1e9), "header_timeout")
        self._http = self._pending.make_http()
        self._http.connection_made(transport)
        self.arrival.opened()

    def request_received(self, seconds: float, reason: str) -> None:
        """A request is complete: a disconnect is no longer counted. After `seconds` it is disconnected for `reason`."""
        self._has_request = True
        self._wait_until(self._pending.turn.now_ns() + int(seconds * 1e9), reason)

    def _wait_until(self, due_ns: int, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max(due_ns - self._pending.turn.now_ns(), 0) / 1e9
        self._due = due_ns, reason
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        due_ns, reason = self._due
        is_waiting = self in self._pending.waiting  # else it was upgraded or ended while input was read
        if is_waiting and self._unparsed:
            self._timer = asyncio.get_running_loop().call_later(LATE_NS / 1e9, self._on_timer)
        elif is_waiting and not self._pending.turn.must_read_first(due_ns, self._on_timer):
            self.cut(reason)

    def data_received(self, data: bytes) -> None:
        """Bytes of the request, which wait their turn among the input of all strangers."""
        if self._unparsed and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._unparsed += data
        self._pending.turn.queue_stranger(self)

    def take_turn(self, _now_ns: int) -> None:
        """Pass the input so far to aiohttp."""
        data = self.take_unparsed()
        if self._http is not None and data and not self._transport.is_closing():
            self._http.data_received(data)

    def take_unparsed(self) -> bytes:
        """Take the input that was not passed on."""
        data, self._unparsed = self._unparsed, b""
        if self._is_paused and not self._transport.is_closing():
            self._transport.resume_reading()
        self._is_paused = False
        return data

    def eof_received(self) -> bool | None:
        self._has_left = True
        return self._http.eof_received() if self._http is not None else None

    def pause_writing(self) -> None:
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        if self._http is not None:
            self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        self.arrival.left()
        if not self._has_request:
            self.end(self._pending.left if self._has_left or exc is not None else "bad_http")
        http, self._http, self._timer = self._http, None, None
        if http is not None:
            http.connection_lost(exc)

    def leave(self) -> None:
        """It was upgraded or has ended: forget it."""
        self._pending.waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def end(self, reason: str) -> None:
        """Count why it ends, once."""
        if not self._is_counted:
            self._is_counted = True
            self._pending.count_end(reason)

    def settle(self) -> None:
        """Its end was counted elsewhere, as a failed logon."""
        self._is_counted = True

    def cut(self, reason: str) -> None:
        self.end(reason)
        self._transport.abort()
