"""What one WebSocket connection still has to write: hello, answers, events and control frames, in order, as bytes.

Each answer and each event is one whole frame, so the owner may drop what is unwritten without breaking the stream.
After a Close frame nothing more is written: later answers and events are dropped without an error.
"""

from collections.abc import Sequence

from msgspec import UNSET

from protocols.errors import CODES, LocalProtocolError, Refusal
from protocols.units import NS_PER_US
from protocols.wall import WallClock
from protocols.ws.codec import Codec
from protocols.ws.events import RequestKey
from protocols.ws.framing import BINARY, TEXT, encode_frame, frame_header
from protocols.ws.results import EventWire, LimitBlock, Response, Times, error_body


class WsOutput:
    """The outbound half of one connection. The session sets `is_over` and `takes_events` with its state."""

    __slots__ = ("_codec", "_opcode", "_wall", "is_over", "last_sent_ns", "takes_events", "unwritten")

    def __init__(self, codec: Codec, wall: WallClock, now_ns: int) -> None:
        self._codec = codec
        self._wall = wall
        self._opcode = BINARY if codec.binary else TEXT
        self.unwritten = bytearray()
        self.last_sent_ns = now_ns
        self.is_over = False  # closing or closed
        self.takes_events = False  # logged on

    def respond(
        self,
        request_id: RequestKey,
        result: object,
        now_ns: int,
        t_in_ns: int,
        limits: tuple[LimitBlock, ...] | None = None,
        status: int = 200,
    ) -> None:
        """Answer with a result, a Struct of `protocols.ws.results`. A request without an id gets no answer."""
        if request_id is None or self.is_over:
            return
        times = Times(t_in_ns // NS_PER_US, (now_ns + self._wall.offset_ns) // NS_PER_US)
        self.write(self._codec.encode(Response(request_id, status, times, result, UNSET, limits or UNSET)), now_ns)

    def fail(
        self,
        request_id: RequestKey,
        refusal: Refusal,
        now_ns: int,
        t_in_ns: int,
        limits: tuple[LimitBlock, ...] | None = None,
    ) -> None:
        """Answer with an error. Without an id the answer has id null: a failure is never silent."""
        if self.is_over:
            return
        times = Times(t_in_ns // NS_PER_US, (now_ns + self._wall.offset_ns) // NS_PER_US)
        status = CODES[refusal.code].ws
        body = error_body(refusal)
        self.write(self._codec.encode(Response(request_id, status, times, UNSET, body, limits or UNSET)), now_ns)

    def push(self, event: EventWire | bytes, now_ns: int) -> None:
        """Send one event: a Struct, or its bytes, encoded once for several connections.

        Raises:
            LocalProtocolError: no one has logged on yet.
        """
        if not self.takes_events:
            if self.is_over:
                return
            raise LocalProtocolError("event for a connection that is not logged on")
        self.write(event if isinstance(event, bytes) else self._codec.encode(event), now_ns)

    def write_frames(self, frames: Sequence[bytes], now_ns: int) -> None:
        """Send whole data frames of one run."""
        if frames and not self.is_over:
            self.unwritten += b"".join(frames)
            self.last_sent_ns = now_ns

    def write(self, payload: bytes, now_ns: int) -> None:
        """Queue one data frame."""
        self.unwritten += frame_header(self._opcode, len(payload))
        self.unwritten += payload
        self.last_sent_ns = now_ns

    def control(self, opcode: int, payload: bytes, now_ns: int) -> None:
        """Queue one control frame."""
        self.unwritten += encode_frame(opcode, payload)
        self.last_sent_ns = now_ns

    def take(self) -> bytes:
        """The bytes to write, in order; the output is empty afterwards."""
        out = bytes(self.unwritten)
        self.unwritten.clear()
        return out
