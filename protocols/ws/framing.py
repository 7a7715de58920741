"""RFC 6455 frames, strict: bytes in, whole messages and control frames out; frames to bytes.

A length over the limit is refused when the header has come, before a byte of payload is kept. However the input is cut
into reads, the frames are the same. The first violation ends the reader: it yields one `Broken` with the close code to
send, and then looks only for the peer's Close, after which TCP may end. Unmasking is most of the cost of a small frame:
the owner may give the reader a compiled function for it. The one here is one XOR of two big ints, the fastest way in
pure Python: do not loop over bytes.
"""

import codecs
from collections.abc import Callable

import msgspec

from protocols.ws.close_codes import BAD_UTF8, PROTOCOL_ERROR, TOO_BIG, is_close_code
from protocols.ws.close_finder import CloseFinder

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

MAX_CONTROL_BYTES = 125
MAX_FRAGMENTS = 4_096

_FIN = 0x80
_RSV = 0x70
_MASK = 0x80
_NO_KEY = b"\0\0\0\0"


class DataMessage(msgspec.Struct, frozen=True, gc=False):
    """One whole message, its fragments joined. When not binary, data is verified UTF-8."""

    data: bytes | bytearray
    binary: bool


class Ping(msgspec.Struct, frozen=True, gc=False):
    """A Ping frame, to be answered by a Pong with the same payload."""

    payload: bytes


class Pong(msgspec.Struct, frozen=True, gc=False):
    """A Pong frame, requested or not."""

    payload: bytes


class Close(msgspec.Struct, frozen=True, gc=False):
    """The peer's Close frame. code 0 = it had none (1005 in RFC 6455). Nothing may follow it."""

    code: int
    reason: str


class Broken(msgspec.Struct, frozen=True, gc=False):
    """The peer broke the protocol: fail the connection with close_code (1002, 1007 or 1009)."""

    close_code: int
    text: str


Frame = DataMessage | Ping | Pong | Close | Broken

Mask = Callable[[bytes, bytearray], None]
"""Masks or unmasks (the same thing) bytes in place with a key of four bytes."""


class _Violation(Exception):
    def __init__(self, close_code: int, text: str) -> None:
        super().__init__(text)
        self.close_code = close_code


def mask_in_place(key: bytes, data: bytearray) -> None:
    """The `Mask` of pure Python."""
    data[:] = unmask(data, key)


class FrameReader:
    """Turns one direction of a connection into frames.

    Args:
        max_message_bytes: bound on one message, all its fragments together; may be changed between calls.
        require_mask: True reads a client (every frame masked), False reads a server (no frame masked).
        mask: unmasks a payload.
    """

    __slots__ = (
        "_behind", "_buffer", "_ended", "_fragments", "_mask", "_mask_bit", "_opcode", "_parts", "_utf8",
        "max_message_bytes",
    )  # fmt: skip

    def __init__(self, max_message_bytes: int, require_mask: bool = True, mask: Mask = mask_in_place) -> None:
        self.max_message_bytes = max_message_bytes
        self._mask = mask
        self._mask_bit = _MASK if require_mask else 0
        self._buffer = bytearray()
        self._ended = False  # by a Close or a Broken: no more frames will come
        self._behind: CloseFinder | None = None  # after a violation
        self._opcode = 0  # of the fragmented message under way, 0 = none
        self._parts = bytearray()
        self._fragments = 0
        self._utf8 = codecs.getincrementaldecoder("utf-8")()

    @property
    def has_closed(self) -> bool:
        """Whether the peer's Close has come, as a frame or somewhere after a violation: the peer sends no more."""
        return self._ended if self._behind is None else self._behind.found

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes, in order; a `Close` or a `Broken` is always the last one."""
        if self._ended:
            if self._behind is not None:
                self._behind.feed(data)
            return []
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            source = self._buffer
        frames: list[Frame] = []
        pos = self._whole_texts(source, frames)
        end = len(source)
        try:
            while end - pos >= 2:
                start, length = self._header(source, pos, end)
                stop = start + length
                if not start or stop > end:
                    break
                payload = bytearray(source[start:stop])
                if self._mask_bit:
                    self._mask(bytes(source[start - 4 : start]), payload)
                frame = self._frame(source[pos], bytes(payload))
                pos = stop
                if frame is not None:
                    frames.append(frame)
                    if isinstance(frame, Close):
                        break
        except _Violation as violation:
            frames.append(Broken(violation.close_code, str(violation)))
            self._ended = True
            self._behind = CloseFinder()
            self._behind.feed(source[pos:])
        self._keep(source, pos)
        return frames

    def _whole_texts(self, source: bytes | bytearray, frames: list[Frame]) -> int:
        """Read the leading run of plain frames: masked, whole, unfragmented ASCII text under 64 KiB, as orders are.

        It refuses nothing: wherever it stops, the general path continues and decides. It saves a third of the cost of a
        small message (tests/bench/ws_wire.py).
        """
        pos = 0
        if self._opcode or not self._mask_bit:
            return pos
        end, limit, mask = len(source), self.max_message_bytes, self._mask
        keys, texts = b"", bytearray()
        while end - pos > 8 and source[pos] == _FIN | TEXT:
            length = source[pos + 1] - _MASK
            start = pos + 6
            if length == 126:
                length = source[pos + 2] << 8 | source[pos + 3]
                start = pos + 8
                if length < 126:
                    break
            elif not 0 < length < 126:
                break
            stop = start + length
            if stop > end or length > limit:
                break
            if not keys:  # a slice of bytes is a key, a slice of a bytearray can be unmasked: no frame is copied twice
                keys, texts = bytes(source), bytearray(source)
            payload = texts[start:stop]
            mask(keys[start - 4 : start], payload)
            if not payload.isascii():
                break
            frames.append(DataMessage(payload, False))
            pos = stop
        return pos

    def _keep(self, source: bytes | bytearray, pos: int) -> None:
        if self._ended:
            self._buffer = bytearray()
            self._parts = bytearray()
        elif source is self._buffer:
            del self._buffer[:pos]
        elif pos < len(source):
            self._buffer += source[pos:]

    def _header(self, source: bytes | bytearray, pos: int, end: int) -> tuple[int, int]:
        """(start of the payload, its length); start 0 = header incomplete. Checks all that a header can violate."""
        first = source[pos]
        second = source[pos + 1]
        if first & _RSV:
            raise _Violation(PROTOCOL_ERROR, "reserved bit set")
        if second & _MASK != self._mask_bit:
            raise _Violation(PROTOCOL_ERROR, "frame is not masked" if self._mask_bit else "frame is masked")
        opcode = first & 0x0F
        length = second & 0x7F
        start = pos + 2
        if opcode >= CLOSE:
            _check_control(first, opcode, length)
        else:
            self._check_data(opcode)
            if length >= 126:
                size = 2 if length == 126 else 8
                if end - start < size:
                    return 0, 0
                length = _long_length(int.from_bytes(source[start : start + size], "big"), size)
                start += size
            if length > self.max_message_bytes - len(self._parts):
                raise _Violation(TOO_BIG, f"message over {self.max_message_bytes} bytes")
        if self._mask_bit:
            start += 4
        return start, length

    def _check_data(self, opcode: int) -> None:
        if opcode > BINARY:
            raise _Violation(PROTOCOL_ERROR, f"reserved opcode {opcode}")
        if opcode == CONTINUATION and not self._opcode:
            raise _Violation(PROTOCOL_ERROR, "continuation of nothing")
        if opcode != CONTINUATION and self._opcode:
            raise _Violation(PROTOCOL_ERROR, "new message inside a fragmented one")

    def _frame(self, first: int, payload: bytes) -> Frame | None:
        if first == _FIN | TEXT:
            if not payload.isascii():
                self._verify(payload, final=True)
            return DataMessage(payload, False)
        opcode = first & 0x0F
        if opcode >= CLOSE:
            return self._control(opcode, payload)
        if first == _FIN | BINARY:
            return DataMessage(payload, True)
        return self._fragment(opcode, payload, bool(first & _FIN))

    def _fragment(self, opcode: int, payload: bytes, final: bool) -> DataMessage | None:
        if opcode:
            self._opcode = opcode
        self._fragments += 1
        if self._fragments > MAX_FRAGMENTS:  # empty fragments cost no memory, but they cost time
            raise _Violation(TOO_BIG, f"over {MAX_FRAGMENTS} fragments in one message")
        if self._opcode == TEXT:
            self._verify(payload, final)
        self._parts += payload
        if not final:
            return None
        message = DataMessage(bytes(self._parts), self._opcode == BINARY)
        self._opcode = self._fragments = 0
        self._parts.clear()
        return message

    def _verify(self, payload: bytes, final: bool) -> None:
        """Refuse invalid UTF-8 at the first fragment that can no longer become valid."""
        try:
            self._utf8.decode(payload, final)
        except UnicodeDecodeError:
            raise _Violation(BAD_UTF8, "text is not UTF-8") from None

    def _control(self, opcode: int, payload: bytes) -> Frame:
        if opcode == PING:
            return Ping(payload)
        if opcode == PONG:
            return Pong(payload)
        close = _close(payload)
        self._ended = True
        return close


def _check_control(first: int, opcode: int, length: int) -> None:
    if opcode > PONG:
        raise _Violation(PROTOCOL_ERROR, f"reserved opcode {opcode}")
    if not first & _FIN:
        raise _Violation(PROTOCOL_ERROR, "fragmented control frame")
    if length > MAX_CONTROL_BYTES:
        raise _Violation(PROTOCOL_ERROR, "control frame over 125 bytes")


def _long_length(length: int, size: int) -> int:
    if length >> 63:
        raise _Violation(PROTOCOL_ERROR, "top bit of a 64-bit length is set")
    if length < (126 if size == 2 else 65_536):
        raise _Violation(PROTOCOL_ERROR, "length is not in its shortest form")
    return length


def _close(payload: bytes) -> Close:
    if not payload:
        return Close(0, "")
    if len(payload) == 1:
        raise _Violation(PROTOCOL_ERROR, "close frame with half a code")
    code = payload[0] << 8 | payload[1]
    if not is_close_code(code):
        raise _Violation(PROTOCOL_ERROR, f"close code {code} may not be sent")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise _Violation(BAD_UTF8, "close reason is not UTF-8") from None


def unmask(payload: bytes | bytearray, key: bytes | bytearray) -> bytes | bytearray:
    """`payload` masked or unmasked (the same thing) with the four bytes of `key`."""
    length = len(payload)
    if key == _NO_KEY or not length:
        return payload
    whole = (key * ((length + 3) >> 2))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(whole, "little")).to_bytes(length, "little")


def frame_header(opcode: int, length: int) -> bytes:
    """The header of a whole, unmasked frame with `length` bytes of payload."""
    if length < 126:
        return bytes((_FIN | opcode, length))
    if length < 65_536:
        return bytes((_FIN | opcode, 126, length >> 8, length & 0xFF))
    return bytes((_FIN | opcode, 127)) + length.to_bytes(8, "big")


class _Headers(dict[int, bytes]):
    """Those of short frames are known."""

    def __missing__(self, length: int) -> bytes:
        return frame_header(TEXT, length)


TEXT_HEADERS = _Headers({length: frame_header(TEXT, length) for length in range(1_024)})
"""Length of the payload -> header of a server's frame of one text message."""


def encode_frame(opcode: int, payload: bytes, mask: bytes | None = None) -> bytes:
    """One whole frame on the wire.

    Args:
        mask: the four key bytes of a client's frame, chosen by the caller; None for a server's frame.
    """
    header = frame_header(opcode, len(payload))
    if mask is None:
        return header + payload
    return header[:1] + bytes((header[1] | _MASK,)) + header[2:] + mask + unmask(payload, mask)


def encode_close(code: int, reason: str = "") -> bytes:
    """The payload of a Close frame; code 0 = none. A long reason is cut, between characters, to fit the frame."""
    if not code:
        return b""
    text = reason.encode("utf-8", "replace")[: MAX_CONTROL_BYTES - 2]
    return code.to_bytes(2, "big") + text.decode("utf-8", "ignore").encode()
