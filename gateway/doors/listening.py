"""From a port to a connection: accepts, reads a balancer's PROXY header, performs the TLS handshake.

Sockets are accepted here and not by the event loop's own server, for three reasons: there must never be more sockets
than places; a PROXY header precedes the TLS handshake, and not a byte after it may be read; and a failed handshake is
counted with its reason.
"""

import asyncio
import errno
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from gateway.config.addresses import Network, is_in, network_of
from gateway.doors import tls
from gateway.doors.crowd import Crowd
from gateway.doors.transports import bound_accepted
from protocols.errors import RemoteProtocolError
from protocols.proxy import ProxyHeader

OPEN_TIMEOUT_S = 5.0  # for header and handshake; asyncio's default of 60 s is too long for a stranger
SHUTDOWN_TIMEOUT_S = 2.0
_BATCH = 4  # connections accepted in one turn of the loop: each costs about as much as five orders
_HANDSHAKES = 2  # begun in one turn: each costs a signature, and thousands may come at once
_RETRY_S = 0.1
_USED_UP = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_FAMILY = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_PEEK_BYTES = 4_096


class Door(msgspec.Struct, frozen=True, eq=False):
    """What a listener needs of its door.

    make: makes the protocol of one arrival. turn_away: called for a connection for which there is no place; without
    TLS, the bytes it returns are written before the close. count_end: counts why a connection ended before its protocol
    was made. log: logs declared events, with the door's name. shared: networks of balancers and proxies, which speak
    for many clients. accepting: whether new connections are accepted now.
    """

    crowd: Crowd
    make: "Callable[[Arrival], asyncio.Protocol]"
    turn_away: Callable[[], bytes]
    count_end: Callable[[str], None]
    log: Callable[..., None]
    now_ns: Callable[[], int]
    accepting: Callable[[], bool]
    shared: tuple[Network, ...] = ()


class ListenSettings(msgspec.Struct, frozen=True):
    """Where and how to listen. balancers: networks whose connections must begin with a PROXY header. is_shared: other
    processes listen there, too.
    """

    name: str
    host: str
    port: int
    backlog: int
    context: ssl.SSLContext | None = None
    balancers: tuple[Network, ...] = ()
    is_shared: bool = False


class Arrival:
    """One connection from its accept to its end. peer_ip: the client's address; from the PROXY header if there is one.

    cut: set by the door; ends the connection for the reason given, and counts it. known: called after the logon.
    unmade: called when the connection ended before the door's protocol took it over.
    """

    __slots__ = (
        "__weakref__", "_door", "_ending", "accepted_ns", "cut", "is_counted", "is_open", "known", "peer_ip", "sock",
        "unmade",
    )  # fmt: skip

    def __init__(self, door: Door, sock: socket.socket, peer_ip: str, accepted_ns: int) -> None:
        self.peer_ip = peer_ip
        self.accepted_ns = accepted_ns
        self.sock = sock
        self.is_open = False
        self.is_counted = False  # why it ended, when its protocol was never made
        self._ending = ""  # why it was ended before its protocol was made
        self.cut: Callable[[str], None] = _no_link
        self.known: Callable[[], None] = _no_callback
        self.unmade: Callable[[], None] = _no_callback
        self._door = door

    def is_for(self, peer_ip: str) -> None:
        """Set the client's address, as given by a balancer or proxy."""
        self.peer_ip = peer_ip
        self._door.crowd.move(self, network_of(peer_ip))

    def opened(self) -> None:
        """The door's protocol has it and can end it; at once, if that was requested before."""
        self.is_open = True
        if self._ending:
            self.cut(self._ending)

    def failed(self) -> None:
        """Its logon was refused, and it waits for the answer."""
        self._door.crowd.fail(self)

    def proved(self) -> None:
        """It has logged on, and will never have to go for others."""
        self._door.crowd.prove(self)
        self.known()
        self._release()

    def left(self) -> None:
        """It has ended."""
        self._door.crowd.leave(self)
        self._release()

    def _release(self) -> None:
        """Let go of what would have ended it: a connection's former peer, or the connection itself."""
        self.cut, self.known, self.unmade = _no_link, _no_callback, _no_callback

    def crowd_out(self) -> None:
        """End it, because others need its place."""
        self._door.log("connection.crowded_out", peer=self.peer_ip)
        self.end("crowded_out")

    def end(self, reason: str) -> None:
        """End it, at whatever stage it is."""
        if self.is_open:
            self.cut(reason)
        elif not self._ending:
            self._ending = reason
            with suppress(OSError):  # a pending read finds the end of input
                self.sock.shutdown(socket.SHUT_RDWR)

    def never_made(self) -> None:
        """It has ended before the door's protocol took it over."""
        self.unmade()
        self.left()
        if self._ending:
            self.count(self._ending)

    def count(self, reason: str) -> bool:
        """Count why it ended before its protocol was made, once; whether this reason was the first."""
        if self.is_counted:
            return False
        self.is_counted = True
        self._door.count_end(self._ending or reason)
        return not self._ending


class Listener:
    """One port of a door."""

    def __init__(self, settings: ListenSettings, door: Door) -> None:
        self._settings = settings
        self._door = door
        self._sockets: list[socket.socket] = []
        self._opening: dict[Arrival, asyncio.Task[None]] = {}
        self._line: deque[asyncio.Future[None]] = deque()  # arrivals that wait for their handshake
        self._loop: asyncio.AbstractEventLoop

    async def open(self) -> int:
        """Listen; the port.

        Raises:
            OSError: the address is not of this machine, or is in use; the text names it.
        """
        self._loop, settings, port = asyncio.get_running_loop(), self._settings, self._settings.port
        failure: OSError | None = None
        try:
            found = await self._loop.getaddrinfo(
                settings.host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            found, failure = [], error
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                sock = _bound(family, (address[0], port, *address[2:]), settings.backlog, settings.is_shared)
            except OSError as error:
                failure = error
                if error.errno in _NO_FAMILY:
                    continue  # the name has IPv4 and IPv6 addresses, and the machine has only one of them
                break
            self._sockets.append(sock)
            port = sock.getsockname()[1]
        if failure is not None and (not self._sockets or failure.errno not in _NO_FAMILY):
            self.close()
            why = (failure.strerror or str(failure)).lower()
            raise OSError(failure.errno, f"cannot listen on {settings.host} port {settings.port}: {why}")
        self._listen()
        return port

    def close(self) -> None:
        """Stop listening, and end arrivals that are still opening."""
        self._stop_listening()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        for arrival in list(self._opening):
            arrival.end("draining")

    def _listen(self) -> None:
        for sock in self._sockets:
            self._loop.add_reader(sock, self._accept_some, sock)

    def _stop_listening(self) -> None:
        for sock in self._sockets:
            self._loop.remove_reader(sock)

    def _pause(self) -> None:
        """Leave new connections with the kernel for a moment."""
        self._stop_listening()
        self._loop.call_later(_RETRY_S, self._listen)

    # -- accepting -----------------------------------------------------------------------------------------------

    def _accept_some(self, listening: socket.socket) -> None:
        for _ in range(_BATCH):
            if self._door.crowd.is_stuffed:
                return  # they go within a turn of the loop, and the socket stays readable
            try:
                sock, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _USED_UP:
                    continue  # that connection is already gone
                self._log("descriptors.used_up", error=error.strerror)
                self._pause()
                return
            self._admit(sock, address[0])

    def _admit(self, sock: socket.socket, host: str) -> None:
        door, network = self._door, network_of(host)
        if not (door.accepting() and door.crowd.admit(network, is_in(host, door.shared))):
            word = door.turn_away()
            _send_away(sock, word if self._settings.context is None else b"")
            return
        sock.setblocking(False)
        arrival = Arrival(door, sock, host, door.now_ns())
        door.crowd.enter(arrival, network)
        self._opening[arrival] = self._loop.create_task(self._open(arrival))

    async def _open(self, arrival: Arrival) -> None:
        """Read the PROXY header, perform the TLS handshake, and pass the connection to the door's protocol."""
        has_header = is_handed_over = False
        until = self._loop.time() + OPEN_TIMEOUT_S
        try:
            if self._settings.balancers and is_in(arrival.peer_ip, self._settings.balancers):
                async with asyncio.timeout_at(until):
                    await self._read_header(arrival)
            has_header = True
            if self._settings.context is not None:
                async with asyncio.timeout_at(until):
                    await self._readable(arrival.sock)
                await self._turn()
            is_handed_over = True
            await self._loop.connect_accepted_socket(
                lambda: self._door.make(arrival), arrival.sock, ssl=self._settings.context, **self._timeouts(until)
            )
        except RemoteProtocolError as error:
            self._report("proxy.refused", "proxy_header", str(error), arrival)
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            self._report_failed(error, arrival, has_header)
        finally:
            del self._opening[arrival]
            if not is_handed_over:  # after that the transport owns the descriptor
                arrival.sock.close()
            if not arrival.is_open:
                arrival.never_made()

    def _timeouts(self, until: float) -> dict[str, float]:
        if self._settings.context is None:
            return {}
        left_s = max(until - self._loop.time(), 0.001)
        return {"ssl_handshake_timeout": left_s, "ssl_shutdown_timeout": SHUTDOWN_TIMEOUT_S}

    async def _read_header(self, arrival: Arrival) -> None:
        """Read the balancer's header and not a byte more: bytes are peeked at before they are taken."""
        header, sock = ProxyHeader(), arrival.sock
        while header.source is None:
            await self._readable(sock)
            with suppress(BlockingIOError):
                data = sock.recv(_PEEK_BYTES, socket.MSG_PEEK)
                if not data:
                    raise ConnectionResetError("closed before its PROXY header was whole")
                sock.recv(header.receive(data))
        if header.source.host:
            arrival.is_for(header.source.host)

    async def _turn(self) -> None:
        """Wait in line for a handshake; a few begin in each turn of the loop."""
        turn = self._loop.create_future()
        self._line.append(turn)
        if len(self._line) == 1:
            self._loop.call_soon(self._let_begin)
        await turn

    def _let_begin(self) -> None:
        for _ in range(min(_HANDSHAKES, len(self._line))):
            _wake(self._line.popleft())
        if self._line:
            self._loop.call_soon(self._let_begin)

    async def _readable(self, sock: socket.socket) -> None:
        is_readable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(sock, _wake, is_readable)
        try:
            await is_readable
        finally:
            self._loop.remove_reader(sock)

    # -- reporting -----------------------------------------------------------------------------------------------

    def _report_failed(self, error: OSError, arrival: Arrival, has_header: bool) -> None:
        if not has_header:
            is_late = isinstance(error, TimeoutError)
            self._report(
                "proxy.refused", "proxy_timeout" if is_late else "proxy_left", "no PROXY header", arrival, is_late
            )
        elif self._settings.context is not None and not arrival.is_open:
            reason = tls.why_failed(error)
            self._report("tls.failed", reason, str(error), arrival, reason != tls.LEFT)

    def _report(self, event: str, reason: str, detail: str, arrival: Arrival, is_odd: bool = True) -> None:
        """Count, and log what is odd; a health check that connects and disconnects is only counted."""
        if arrival.count(reason) and is_odd:
            self._log(event, reason=reason, detail=detail, peer=arrival.peer_ip)

    def _log(self, event: str, **fields: Any) -> None:
        self._door.log(event, listener=self._settings.name, **fields)


def _no_link(_reason: str) -> None:
    """There is nothing to end: not yet, or no longer."""


def _no_callback() -> None:
    """No one waits for this."""


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _bound(family: int, address: Any, backlog: int, is_shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        bound_accepted(sock)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _send_away(sock: socket.socket, word: bytes) -> None:
    """Close it, after `word` if any. Its input is read first, because a close with unread input is a reset."""
    with suppress(OSError):
        if word:
            sock.setblocking(False)
            sock.send(word)
            sock.recv(_PEEK_BYTES)
    sock.close()
