"""WebSocket frames built and read byte by byte, without the code under test."""

import json
from typing import Any

KEY = b"\x37\xfa\x21\x3d"  # the masking key of the examples in RFC 6455


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = KEY,
    length_form: int | None = None,
    claim: int | None = None,
) -> bytes:
    """One frame, right or wrong. key None = unmasked; length_form 7, 16 or 64 bits; claim: a length that is a lie."""
    length = len(payload) if claim is None else claim
    form = length_form or (7 if length < 126 else 16 if length < 65536 else 64)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0 if key is None else 0x80
    if form == 7:
        head += bytes([bit | length])
    elif form == 16:
        head += bytes([bit | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + length.to_bytes(8, "big")
    if key is None:
        return head + payload
    return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


def text(value: str | bytes, **options: Any) -> bytes:
    """A client's text frame."""
    return frame(0x1, value.encode() if isinstance(value, str) else value, **options)


def request(method: str, params: object = None, id: object = 1, **more: object) -> bytes:
    """A client's request in JSON, framed."""
    envelope: dict[str, object] = {"id": id, "method": method, **more}
    if params is not None:
        envelope["params"] = params
    return text(json.dumps(envelope))


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A client's Close frame."""
    return frame(0x8, b"" if code is None else code.to_bytes(2, "big") + reason)


def read(wire: bytes) -> list[tuple[int, bytes]]:
    """(opcode, payload) of a server's frames, which must be whole, unmasked and in the shortest form."""
    frames = []
    while wire:
        assert wire[0] & 0xF0 == 0x80, "not a whole frame without reserved bits"
        length, start = wire[1], 2
        assert length < 128, "a server does not mask"
        if length == 126:
            length, start = int.from_bytes(wire[2:4], "big"), 4
            assert length >= 126
        elif length == 127:
            length, start = int.from_bytes(wire[2:10], "big"), 10
            assert length >= 65536
        assert len(wire) >= start + length, "a frame is cut"
        frames.append((wire[0] & 0x0F, wire[start : start + length]))
        wire = wire[start + length :]
    return frames


def messages(wire: bytes) -> list[Any]:
    """What a client of `gate.json.v1` reads: decoded text messages; `close 4003 reason`, `ping` and `pong` as text."""
    seen: list[Any] = []
    for opcode, payload in read(wire):
        if opcode == 0x1:
            seen.append(json.loads(payload))
        elif opcode == 0x8:
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            seen.append(f"close {code} {payload[2:].decode()}".rstrip())
        else:
            seen.append({0x9: "ping", 0xA: "pong", 0x2: "binary"}[opcode] + (f" {payload!r}" if payload else ""))
    return seen
