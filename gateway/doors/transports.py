"""What asyncio leaves to users of its transports: bounds, bytes still in the kernel, and a close that loses nothing."""

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress

HIGH_WATER_BYTES = 65_536
"""Above this much unwritten output, a transport asks to pause writing."""
_LOW_WATER_BYTES = 16_384
_SEND_BUFFER_BYTES = 65_536  # without it, the kernel hides 3 to 4 MB of a slow reader (measured)


def bound_accepted(listening: socket.socket) -> None:
    """Bound the output that the kernel holds for each connection that this socket will accept."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)


def bound_output(transport: asyncio.WriteTransport) -> None:
    """Tighten the bounds of a transport, which are too wide by default."""
    transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=_LOW_WATER_BYTES)


def end_output(transport: asyncio.Transport, is_paused: bool) -> None:
    """End the output and read to the peer's own end; the owner closes then, or after a time-out.

    A close with unread input would reset the connection, and the peer would lose what it has not read: a Logout(5). TLS
    has its own end of output, which close() sends.
    """
    if not transport.can_write_eof():
        transport.close()
        return
    transport.write_eof()
    if is_paused:
        transport.resume_reading()


def untaken_bytes(transport: asyncio.WriteTransport) -> int:
    """Bytes written and not acknowledged by the peer: in the transport and, where known, in the kernel."""
    untaken, sock = transport.get_write_buffer_size(), transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError, ValueError):  # closed meanwhile, or not TCP
            (queued,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
            untaken += queued
    return untaken
