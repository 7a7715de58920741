"""What is still read of a peer that broke the protocol: whether it has sent its Close, so that TCP may end."""

_CLOSE = 0x8
_MASK = 0x80


class CloseFinder:
    """Looks for a Close by the headers of the frames alone, and keeps no more than one of them."""

    __slots__ = ("_head", "_is_close", "_left", "found")

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0  # bytes of the frame under way, behind its header
        self._is_close = False
        self.found = False

    def feed(self, data: bytes | bytearray) -> None:
        """What was sent from the frame on that broke the protocol, which may be the Close itself."""
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
    """Size of the frame that begins so, as it says itself; None = its length is not here yet."""
    if len(head) < 2:
        return None
    length, start = head[1] & 0x7F, 2
    if length >= 126:
        start += 2 if length == 126 else 8
        if len(head) < start:
            return None
        length = int.from_bytes(head[2:start], "big")
    return start + length + (4 if head[1] & _MASK else 0)
