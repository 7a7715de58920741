"""After a violation of the protocol: whether the peer has sent its Close, so that TCP may end."""

_CLOSE = 0x8
_MASK = 0x80


class CloseFinder:
    """Looks for a Close by frame headers alone, and keeps no more than one header."""

    __slots__ = ("_head", "_is_close", "_left", "found")

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0  # bytes of the current frame, after its header
        self._is_close = False
        self.found = False

    def feed(self, data: bytes | bytearray) -> None:
        """The bytes from the violating frame on, which may itself be the Close."""
        pos = 0
        while pos < len(data) and not self.found:
            if self._left:
                step = min(self._left, len(data) - pos)
                self._left -= step
                pos += step
            else:
                self._head.append(data[pos])
                pos += 1
                size = _claimed_bytes(self._head)
                if size is None:
                    continue
                self._is_close = self._head[0] & 0x0F == _CLOSE
                self._left = size - len(self._head)
                self._head.clear()
            self.found = self._is_close and not self._left


def _claimed_bytes(head: bytearray) -> int | None:
    """Size that the header claims for its frame; None = the length field is incomplete."""
    if len(head) < 2:
        return None
    length, start = head[1] & 0x7F, 2
    if length >= 126:
        start += 2 if length == 126 else 8
        if len(head) < start:
            return None
        length = int.from_bytes(head[2:start], "big")
    return start + length + (4 if head[1] & _MASK else 0)
