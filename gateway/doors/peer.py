"""Who the bytes of a connection are for, as the connection sees them. Pure."""

from typing import Protocol


class Peer(Protocol):
    """Told the time, asked for output."""

    @property
    def has_output(self) -> bool:
        """Something is to be written, now or soon."""
        ...

    @property
    def must_read(self) -> bool:
        """`take_output` has nothing until `read_on` has read a slice from a stream or a store."""
        ...

    @property
    def behind(self) -> int:
        """Events that wait in there although the peer asked for nothing before them."""
        ...

    @property
    def pending_bytes(self) -> int:
        """What is ready and unwritten."""
        ...

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` is next wanted."""
        ...

    def receive(self, data: bytes, now_ns: int) -> None:
        """Bytes from the other end."""
        ...

    def tick(self, now_ns: int) -> None:
        """Do what time asks for."""
        ...

    def take_output(self, limit_bytes: int) -> bytes:
        """What is ready, about so much at most; empty when there is nothing for now."""
        ...

    def read_on(self, now_ns: int) -> int:
        """Make a slice ready, only when `must_read`; how many events it had: what it costs."""
        ...

    def lost(self, now_ns: int) -> None:
        """The connection is gone."""
        ...

    def too_slow(self, now_ns: int) -> None:
        """It takes too little: say goodbye."""
        ...

    def paused(self, now_ns: int) -> None:
        """Nothing is read from the connection for now, which is not the other end's fault."""
        ...

    def resumed(self, now_ns: int) -> None:
        """It is read on."""
        ...


class NullPeer:
    """A connection's peer (`gateway.doors.connection.Peer`) that hears nothing and says nothing."""

    next_deadline_ns: int | None = None

    @property
    def has_output(self) -> bool:
        """Whether there is something to write."""
        return False

    @property
    def must_read(self) -> bool:
        """Whether something must be read before there is more to write."""
        return False

    @property
    def behind(self) -> int:
        """Events that wait to be read."""
        return 0

    @property
    def pending_bytes(self) -> int:
        """What is ready and unwritten."""
        return 0

    def take_output(self, limit_bytes: int) -> bytes:
        """The next bytes to write."""
        return b""

    def read_on(self, now_ns: int) -> int:
        """Nothing is to be read."""
        return 0

    def receive(self, data: bytes, now_ns: int) -> None:
        """Bytes of the client."""

    def tick(self, now_ns: int) -> None:
        """Time-outs."""

    def lost(self, now_ns: int) -> None:
        """The connection is gone."""

    def too_slow(self, now_ns: int) -> None:
        """The reader is too far behind."""

    def paused(self, now_ns: int) -> None:
        """We stopped reading."""

    def resumed(self, now_ns: int) -> None:
        """We read on."""


GONE = NullPeer()
"""The peer of a connection that has ended, for good: what it was before is not kept in memory by it."""
