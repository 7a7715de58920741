"""Bytes in, whole verified frames out: BeginString(8), BodyLength(9) and CheckSum(10) agree, or the piece is garbled.

BodyLength is trusted up to the maximum. So one that is too long swallows the next message, and one that is too short
spoils only its own, as in the acceptance tests of other engines. The result depends on the bytes alone, not on how they
are cut into reads, and no byte is scanned more than a few times even if the input comes byte by byte.
"""

import re
import zlib

from protocols.fix.events import Garbled
from protocols.fix.message import TRAILERS, byte_sum

_HEAD = re.compile(rb"8=[^\x01=]{1,16}\x019=([0-9]{1,9})\x01")
_HEAD_BEGUN = re.compile(rb"8(?:=(?:[^\x01=]{1,16}(?:\x01(?:9(?:=(?:[0-9]{1,9})?)?)?)?)?)?")
"""An incomplete head."""
_HEADS = {
    head: len(head) + length
    for begin_string in (b"FIX.4.2", b"FIX.4.4", b"FIXT.1.1")
    for length in range(1_024)
    if (head := b"8=%b\x019=%d\x01" % (begin_string, length))
}
"""The head of most messages -> bytes from `8=` to CheckSum(10): a look-up costs half as much as a match (measured)."""
_HEAD_FIND, _HEAD_END = len(b"8=FIX.4.4\x019="), len(b"8=FIXT.1.1\x019=1023\x01")
_MARK = b"8=FIX"
_TRAILER = b"\x0110="
_TRAILER_BYTES = 7
_CHECK_SUM_BYTES = 16
"""A CheckSum(10) without an end after this many bytes is cut off: to scan on would cost quadratic time."""
_LIFTED_BYTES = 1_024
"""More is not lifted: to copy a long message for each byte of slow input would be quadratic."""
_CLOSINGS = tuple(b"\x01" + trailer for trailer in TRAILERS)

_adler32 = zlib.adler32


class Framer:
    """Cuts one connection's byte stream into messages; holds less than `max_message_bytes` between two calls."""

    def __init__(self, max_message_bytes: int = 65_536) -> None:
        self._max_bytes = max_message_bytes
        self._rest = bytearray()  # undecided bytes; they begin where a message or `8=FIX` may begin
        self._needed = 0  # while `_rest` is shorter than this, nothing more can be decided
        self._scanned = 0  # how far `_rest` was searched for the trailer of its first message, 0 = not at all
        self._hunting = False  # out of step with the stream: search for the next `8=FIX`
        self._skipped_bytes = 0  # junk skipped since then
        self._reported = False  # that junk belongs to a message reported before

    @property
    def buffered_bytes(self) -> int:
        """Bytes of an incomplete message."""
        return len(self._rest)

    def clear(self) -> None:
        """Drop all held bytes: a new connection begins."""
        self._rest.clear()
        self._needed = self._scanned = self._skipped_bytes = 0
        self._hunting = self._reported = False

    def feed(self, data: bytes) -> list[bytes | Garbled]:
        """The messages that `data` completes, in order, and a `Garbled` for each piece that is not a message.

        A frame is the bytes of one message from `8=` to the SOH after CheckSum(10), verified. Any input is accepted.
        Junk is reported when a message begins after it, or when it has grown to the maximum message size.
        """
        found: list[bytes | Garbled] = []
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._needed or self._is_open():
                return found
            data = bytes(rest)
            rest.clear()
        end = self._cut(data, 0, found, len(data))
        if end < len(data):
            rest += data[end:]
        return found

    @property
    def is_in_step(self) -> bool:
        """Whether a message is expected to begin where the next one is cut."""
        return not self._hunting

    def lift(self, data: bytes) -> bytes | None:
        """All bytes that are not decided yet, `data` at their end, for a caller that cuts them itself with `cut_first`.

        None: use `feed`, because much is held, or `data` can decide nothing.
        """
        rest = self._rest
        if not rest:
            return data
        if len(rest) > _LIFTED_BYTES or len(rest) + len(data) < self._needed:
            return None
        data = bytes(rest) + data
        rest.clear()
        return data

    def cut_first(self, data: bytes, begin: int) -> tuple[list[bytes | Garbled], int]:
        """The first piece of data[begin:] as by `feed`, and where it ends. None is whole: the rest is held, for `feed`
        or `lift`, and the end is that of `data`.
        """
        found: list[bytes | Garbled] = []
        end = self._cut(data, begin, found, 1)
        if not found:
            self._rest += data[end:]
            end = len(data)
        return found, end

    def _is_open(self) -> bool:
        """Whether the first message of `_rest` is longer than its BodyLength(9) and has no CheckSum(10) yet.

        Checked before `_rest` is copied and cut again: to do that for each byte of slow input would be quadratic.
        """
        rest = self._rest
        if not self._scanned or len(rest) >= self._max_bytes or rest.find(_TRAILER, self._scanned) >= 0:
            return False
        self._scanned = max(self._scanned, len(rest) - len(_TRAILER) + 1)
        return True

    def _cut(self, buf: bytes, start: int, found: list[bytes | Garbled], most: int) -> int:
        """Cut decided pieces off buf[start:], `most` or a few more; returns the offset of the rest."""
        closings, heads, max_bytes, size = _CLOSINGS, _HEADS, self._max_bytes, len(buf)
        self._needed = self._scanned = 0
        while start < size and len(found) < most:
            length = 0
            if not self._hunting:
                soh = buf.find(b"\x01", start + _HEAD_FIND, start + _HEAD_END)
                length = heads.get(buf[start : soh + 1], 0)
            if not length:
                start, length = self._read_head(buf, start, found)
                if not length:
                    break
            end = start + length
            stop = end + _TRAILER_BYTES
            if stop - start > max_bytes:
                start = self._refuse_length(buf, start, found)
                continue
            total = _adler32(buf[start:end], 0) if length <= 256 else byte_sum(buf[start:end])
            if buf[end - 1 : stop] == closings[total & 255]:
                found.append(buf[start:stop])
                start = stop
                continue
            start, decided = self._close(buf, start, end, found)
            if not decided:
                break
        return start

    def _close(self, buf: bytes, start: int, end: int, found: list[bytes | Garbled]) -> tuple[int, bool]:
        """The message at `start`, whose body should end at `end`, is wrong: cut it where it ends, or wait for more."""
        size, limit = len(buf), start + self._max_bytes
        trailer = buf.find(_TRAILER, end - 1, limit)
        if trailer < 0 and size < limit:
            self._scanned = max(end - 1, size - len(_TRAILER) + 1) - start
            self._needed = max(end - 1 + len(_TRAILER), size + 1) - start
            return start, False
        if trailer < 0:
            self._hunt(reported=True)
            found.append(Garbled("no CheckSum(10) within the maximum size", limit - start, is_too_long=True))
            return limit, True
        closing = min(limit, trailer + len(_TRAILER) + _CHECK_SUM_BYTES)
        stop = buf.find(b"\x01", trailer + len(_TRAILER), closing) + 1
        if not stop and size < closing:
            return start, False
        if not stop:
            stop = closing
            self._hunt(reported=True)
        in_place = trailer == end - 1
        reason = "CheckSum(10) does not agree" if in_place else "BodyLength(9) does not agree"
        found.append(Garbled(reason, stop - start))
        return stop, True

    def _refuse_length(self, buf: bytes, start: int, found: list[bytes | Garbled]) -> int:
        """The head at `start` claims more than the maximum: continue at the next head after it."""
        head = _HEAD.match(buf, start)
        size_bytes = head.end() - start if head else 0
        found.append(Garbled("BodyLength(9) is over the maximum", size_bytes, is_too_long=True))
        self._hunt(reported=True)
        return start + size_bytes

    def _hunt(self, reported: bool) -> None:
        self._hunting, self._reported, self._skipped_bytes = True, reported, 0

    def _read_head(self, buf: bytes, start: int, found: list[bytes | Garbled]) -> tuple[int, int]:
        """Offset of the next head, and bytes up to its CheckSum(10); or where to keep from, and 0: none is complete."""
        if not self._hunting:
            head = _HEAD.match(buf, start)
            if head:
                return start, head.end() - start + int(head[1])
            if _HEAD_BEGUN.fullmatch(buf, start):
                return start, 0
            self._hunt(reported=False)
            self._skip(1, found)
            start += 1
        while (mark := buf.find(_MARK, start)) >= 0:
            self._skip(mark - start, found)
            head = _HEAD.match(buf, mark)
            if head:
                self._report_skipped(found)
                return mark, head.end() - mark + int(head[1])
            if _HEAD_BEGUN.fullmatch(buf, mark):
                return mark, 0
            self._skip(1, found)
            start = mark + 1
        keep = max(start, len(buf) - len(_MARK) + 1)
        self._skip(keep - start, found)
        return keep, 0

    def _skip(self, count: int, found: list[bytes | Garbled]) -> None:
        """Count junk, and report it each time it reaches the maximum message size."""
        self._skipped_bytes += count
        while self._skipped_bytes >= self._max_bytes:
            found.append(Garbled("bytes that are no message", self._max_bytes, is_too_long=True))
            self._skipped_bytes -= self._max_bytes
            self._reported = True

    def _report_skipped(self, found: list[bytes | Garbled]) -> None:
        """A head was found: report the junk before it."""
        if self._skipped_bytes and not self._reported:
            found.append(Garbled("bytes before BeginString(8)", self._skipped_bytes))
        self._hunting = False
