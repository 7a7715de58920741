"""What asyncio leaves to who uses its transports: bounds, what lies in the kernel, an end that takes nothing back."""

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress

HIGH_WATER_BYTES = 65_536
"""Above it a transport asks us to stop writing."""
_LOW_WATER_BYTES = 16_384
_SEND_BUFFER_BYTES = 65_536  # else the kernel hides 3-4 MB of a slow reader from us (measured)


def bound_accepted(listening: socket.socket) -> None:
    """Bound what the kernel holds of our output, for each connection that this socket will accept."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)


def bound_output(transport: asyncio.WriteTransport) -> None:
    """Set the bounds that a transport has by default too wide."""
    transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=_LOW_WATER_BYTES)


def end_output(transport: asyncio.Transport, is_paused: bool) -> None:
    """Say that nothing more comes, and read on to the peer's own end: its owner closes then, or when it takes too long.

    To close over unread input would reset the connection, and take back what the peer has not read: a goodbye. TLS has
    its own way to say it, which close takes.
    """
    if not transport.can_write_eof():
        transport.close()
        return
    transport.write_eof()
    if is_paused:
        transport.resume_reading()


def untaken_bytes(transport: asyncio.WriteTransport) -> int:
    """What was written and the peer has not acknowledged: in the transport and, where it can tell, in the kernel."""
    untaken, sock = transport.get_write_buffer_size(), transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError, ValueError):  # closed meanwhile, or not TCP
            (queued,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
            untaken += queued
    return untaken
