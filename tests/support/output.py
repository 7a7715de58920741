"""What a connection writes for a peer that takes everything."""

from typing import Any


def all_output(peer: Any, now_ns: int = 0) -> bytes:
    """All that an endpoint has to write now, what lies in a stream or store included."""
    wire = b""
    while peer.has_output:
        data = peer.take_output(1 << 20)
        if data:
            wire += data
        elif peer.must_read:
            assert peer.read_on(now_ns) > 0, "whoever says that it must read, reads something"
        else:
            break
    return wire
