"""The peer of a connection: whom its bytes are for, and who says what to write. Pure."""


class Peer:
    """Receives bytes and the time, and is asked for output. This one ignores what it receives, and writes nothing."""

    @property
    def has_output(self) -> bool:
        """Whether something is to be written, now or soon."""
        return False

    @property
    def must_read(self) -> bool:
        """Whether `take_output` has nothing until `read_on` has read a slice from a stream or a store."""
        return False

    @property
    def behind(self) -> int:
        """How many events wait although the other end requested nothing that goes before them."""
        return 0

    @property
    def pending_bytes(self) -> int:
        """How many bytes are ready and unwritten."""
        return 0

    @property
    def next_deadline_ns(self) -> int | None:
        """When `tick` must be called next."""
        return None

    def receive(self, data: bytes, now_ns: int) -> None:
        """Bytes from the other end."""

    def tick(self, now_ns: int) -> None:
        """Act on time-outs and heartbeats that are due."""

    def take_output(self, limit_bytes: int) -> bytes:
        """Output that is ready, about `limit_bytes` at most; may be empty."""
        return b""

    def read_on(self, now_ns: int) -> int:
        """Make a slice ready, only when `must_read`; how many events it had, which is its cost."""
        return 0

    def lost(self, now_ns: int) -> None:
        """The connection is gone."""

    def too_slow(self, now_ns: int) -> None:
        """The other end reads too slowly: log it out."""

    def paused(self, now_ns: int) -> None:
        """Reading is paused by the gateway: silence is not the other end's fault."""

    def resumed(self, now_ns: int) -> None:
        """Reading continues."""


GONE = Peer()
"""The peer of a connection that has ended: the connection does not keep its former peer in memory."""
