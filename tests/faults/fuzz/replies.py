"""What a door says, judged by two small readers of our own that share no code with the gateway.

FIX: every message has its BodyLength and CheckSum, its numbers follow each other without a hole, and what is sent again
is what was sent before. WebSocket: a well-formed HTTP answer, then whole unmasked frames that decode, with nothing
behind a Close. A last reply may be cut short, for a connection may end anywhere.
"""

import re
from collections import OrderedDict

import msgspec
import orjson

from tests.faults.fuzz.wire import BadReply

_FIX_HEAD = re.compile(rb"8=(FIX\.4\.2|FIX\.4\.4|FIXT\.1\.1)\x019=([1-9][0-9]{0,5})\x0135=")
_FIX_HEAD_BYTES = 32
_REMEMBERED = 4_096
_NEW_WITH_EACH_SENDING = frozenset({b"8", b"9", b"10", b"43", b"52", b"122", b"369"})
_HTTP_HEAD = re.compile(rb"HTTP/([0-9]\.[0-9]) ([1-5][0-9]{2}) [^\r\n]*\r\n")  # a refusal repeats the version asked for
_HTTP_HEAD_BYTES = 8_192
_LONGEST_FRAME_BYTES = 1 << 22
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x1, 0x2, 0x8, 0x9, 0xA


class FixReplies:
    """Judges one connection of the FIX door."""

    is_done = False

    def __init__(self) -> None:
        self.count = 0
        self._buffer = bytearray()
        self._next = 0  # MsgSeqNum(34) that must come; 0 = any, nothing was heard yet
        self._sent: OrderedDict[int, list[bytes]] = OrderedDict()

    def feed(self, data: bytes) -> None:
        """More bytes. Raises BadReply."""
        buffer = self._buffer
        buffer += data
        start = 0
        while True:
            head = _FIX_HEAD.match(buffer, start)
            if head is None:
                if len(buffer) - start >= _FIX_HEAD_BYTES:
                    raise BadReply(f"no head of a message: {bytes(buffer[start : start + 200])!r}")
                break
            end = head.end() - len(b"35=") + int(head[2]) + len(b"10=000\x01")
            if len(buffer) < end:
                break
            self._judge(bytes(buffer[start:end]))
            self.count += 1
            start = end
        del buffer[:start]

    def _judge(self, message: bytes) -> None:
        if message[-7:] != b"10=%03d\x01" % (sum(message[:-7]) % 256) or message[-8:-7] != b"\x01":
            raise BadReply(f"BodyLength(9) or CheckSum(10): {message!r}")
        pairs = [field.partition(b"=") for field in message[:-1].split(b"\x01")]
        for tag, equals, value in pairs:
            if not (equals and value and tag.isdigit() and not tag.startswith(b"0")):
                raise BadReply(f"a field that is none: {message!r}")
        fields = {tag: value for tag, _, value in reversed(pairs)}
        try:
            number = int(fields[b"34"])
            is_gap_fill = fields[b"35"] == b"4" and fields[b"123"] == b"Y"
            after = int(fields[b"36"]) if is_gap_fill else number + 1
        except (KeyError, ValueError):
            raise BadReply(f"MsgSeqNum(34), or a SequenceReset(4): {message!r}") from None
        content = [b"=".join((tag, value)) for tag, _, value in pairs if tag not in _NEW_WITH_EACH_SENDING]
        if fields.get(b"43") == b"Y":
            self._compare(number, is_gap_fill, content, message)
            self._hear_again(number, after)
            return
        if self._next not in (0, number) and not (fields[b"35"] == b"A" and fields.get(b"141") == b"Y"):
            raise BadReply(f"MsgSeqNum(34) should be {self._next}: {message!r}")
        if fields[b"35"] == b"A":
            self._sent.clear()
        self._next = after
        self._sent[number] = content
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        self._hear(fields)

    def _hear(self, fields: dict[bytes, bytes]) -> None:
        """A message that is new, its fields by tag."""

    def _hear_again(self, begin: int, after: int) -> None:
        """What has the numbers from `begin` to before `after` was sent again, or filled."""

    def complaint(self, is_ended: bool) -> str:
        """Whoever asks for nothing in particular is owed nothing."""
        return ""

    def _compare(self, number: int, is_gap_fill: bool, content: list[bytes], message: bytes) -> None:
        """What is sent again has the content that was sent under its number."""
        before = self._sent.get(number)
        if before is not None and not is_gap_fill and content != before:
            raise BadReply(f"sent again with other content: {message!r}, before {before!r}")
        if self._next and number >= self._next:
            raise BadReply(f"sent again before it was sent: {message!r}")


class WsReplies:
    """Judges one connection of the WebSocket door, from its HTTP answer on."""

    is_done = False

    def __init__(self) -> None:
        self.count = 0
        self._buffer = bytearray()
        self._is_open = False  # 101 was seen
        self._is_closed = False
        self._is_http = False  # refused: whatever follows is a body, or more answers to more requests
        self._last_seq = 0

    def feed(self, data: bytes) -> None:
        """More bytes. Raises BadReply."""
        self._buffer += data
        if self._is_http:
            self._judge_body()
        elif self._is_open or self._upgraded():
            self._frames()

    def _upgraded(self) -> bool:
        """Read the HTTP answer; True when frames follow."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > _HTTP_HEAD_BYTES:
                raise BadReply(f"no end of the HTTP head: {bytes(buffer[:200])!r}")
            return False
        head = _HTTP_HEAD.match(buffer)
        if head is None:
            raise BadReply(f"no HTTP answer: {bytes(buffer[:200])!r}")
        self.count += 1
        status = int(head[2])
        self._is_open, self._is_http = status == 101, status != 101
        if (status == 101 and head[1] != b"1.1") or (status >= 500 and status != 503):
            raise BadReply(f"HTTP {status}: {bytes(buffer[:300])!r}")
        del buffer[: end + 4]
        if self._is_http:
            self._judge_body()
        return self._is_open

    def _judge_body(self) -> None:
        if b"Traceback" in self._buffer or b" 500 Internal" in self._buffer:
            raise BadReply(f"an error of ours: {bytes(self._buffer[:300])!r}")
        del self._buffer[:-32]

    def _frames(self) -> None:
        buffer, start = self._buffer, 0
        while len(buffer) - start >= 2:
            first, length = buffer[start], buffer[start + 1]
            if self._is_closed:
                raise BadReply(f"bytes behind a Close: {bytes(buffer[start : start + 100])!r}")
            if first & 0xF0 != 0x80 or first & 0x0F not in (_TEXT, _BINARY, _CLOSE, _PING, _PONG) or length > 127:
                raise BadReply(f"no frame of a server: {bytes(buffer[start : start + 100])!r}")
            at = start + 2
            if length >= 126:
                size, least = (2, 126) if length == 126 else (8, 65_536)
                if len(buffer) < at + size:
                    break
                length = int.from_bytes(buffer[at : at + size], "big")
                at += size
                if not least <= length <= _LONGEST_FRAME_BYTES or first & 0x08:
                    raise BadReply(f"a length that cannot be: {bytes(buffer[start : start + 100])!r}")
            if len(buffer) < at + length:
                break
            self._judge(first & 0x0F, bytes(buffer[at : at + length]))
            self.count += 1
            start = at + length
        del buffer[:start]

    def _judge(self, opcode: int, payload: bytes) -> None:
        if opcode == _CLOSE:
            self._is_closed = True
            self._judge_close(payload)
        elif opcode in (_TEXT, _BINARY):
            try:
                message = orjson.loads(payload) if opcode == _TEXT else msgspec.msgpack.decode(payload)
            except (ValueError, msgspec.DecodeError) as error:
                raise BadReply(f"does not decode: {error}: {payload[:300]!r}") from None
            self._judge_message(message)

    def _judge_message(self, message: object) -> None:
        """One answer with a result or an error, or one event; numbers of live events rise."""
        if not isinstance(message, dict):
            raise BadReply(f"neither an answer nor an event: {message!r}")
        if "ev" not in message:
            if "status" not in message or ("result" in message) == ("error" in message):
                raise BadReply(f"no answer: {message!r}")
            return
        seq = message.get("seq")
        if isinstance(seq, int) and message["ev"] == "order" and not message.get("replay"):
            if seq <= self._last_seq:
                raise BadReply(f"seq {seq} after {self._last_seq}: {message!r}")
            self._last_seq = seq

    def complaint(self, is_ended: bool) -> str:
        """Whoever asks for nothing in particular is owed nothing."""
        return ""

    def _judge_close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big")
        is_known = 1000 <= code <= 1014 or 3000 <= code <= 4999
        if payload and (len(payload) < 2 or not is_known):
            raise BadReply(f"close code {code}")
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            raise BadReply(f"close reason is not UTF-8: {payload!r}") from None
