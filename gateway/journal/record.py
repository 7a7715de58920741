"""The bytes of the journal: the header of a segment and the records behind it. Pure, and a stored format.

A record is CRC, length, kind, session, body; the CRC is CRC-32 (`zlib`: in C in the standard library, which has no
CRC-32C) over all that follows it, and starts from the segment's random salt plus the record's offset. So a record is
valid only where it was written: neither a block that landed elsewhere nor a client's text that looks like a record
passes for one. Records count from the COMMIT behind them on: without it they never happened. Before editing: an older
journal must stay readable, or `VERSION` must rise.
"""

from collections.abc import Iterator
from struct import Struct
from zlib import crc32

import msgspec

VERSION = 2

# Kinds. 0 is never written: a zeroed header is where the written part of a preallocated file ends.
COMMIT = 1  # ends all that was recorded since the last one; body: the position known durable when this was written
STATE = 2  # body: next_in, next_out, then the (first, end) of inbound numbers that were dealt with before next_in
OUT = 3  # body: seq_num, message
RESET = 4  # no body
FIRST_OWNER_KIND = 16  # from here to 255 the owner's: commands, events, snapshots; opaque here

U64 = Struct("<Q")
TWO_U64 = Struct("<QQ")
CRC = Struct("<I")
HEAD_TAIL = Struct("<IBI")  # what the CRC covers besides the body: length, kind, session
OUT_HEAD_TAIL = Struct("<IBIQ")  # the same with the seq_num an OUT body begins with
HEAD = Struct("<IIBI")
HEAD_BYTES = HEAD.size
MAX_BODY_BYTES = 1 << 30
MAX_SESSION = (1 << 32) - 1

_SEGMENT = Struct("<8sHHQQI")  # magic, version, flags, number, first position, salt; then their CRC
_MAGIC = b"PENSTOCK"
_FLAG_SYNCED = 1
SEGMENT_HEADER_BYTES = _SEGMENT.size + CRC.size
_STRAY_MAX_BYTES = 1 << 20
"""Longest record looked for behind a bad one: bounds the work at each offset to one CRC of this size."""


class JournalFailed(Exception):
    """The disk refused a write or a sync, or is full to the last reserve. Send nothing more, exit, replay at start."""


class JournalCorrupt(Exception):
    """What was recorded cannot be read back; the text names the file, the offset and what to do."""


class JournalInUse(Exception):
    """Another process has the directory; the text names it."""


class SegmentHeader(msgspec.Struct, frozen=True):
    """The first bytes of a segment. Position = `first_position` + offset in the file, rising over all segments.

    synced: written under durability "disk", so that a hole behind the last durable position is a loss of power, not of
    what was promised.
    """

    number: int
    first_position: int
    salt: int
    synced: bool

    def pack(self) -> bytes:
        """As written."""
        flags = _FLAG_SYNCED if self.synced else 0
        packed = _SEGMENT.pack(_MAGIC, VERSION, flags, self.number, self.first_position, self.salt)
        return packed + CRC.pack(crc32(packed))

    @classmethod
    def unpack(cls, data: bytes) -> "SegmentHeader":
        """The header at the start of `data`.

        Raises:
            ValueError: it is none, or damaged; the text says which.
            JournalCorrupt: it is whole, and of another version.
        """
        if len(data) < SEGMENT_HEADER_BYTES or data[:8] != _MAGIC:
            raise ValueError("not a journal segment")
        packed = data[: _SEGMENT.size]
        _, version, flags, number, first_position, salt = _SEGMENT.unpack(packed)
        if CRC.unpack_from(data, _SEGMENT.size)[0] != crc32(packed):
            raise ValueError("damaged segment header")
        if version != VERSION:
            raise JournalCorrupt(f"journal version {version}, and this program reads {VERSION}. Nothing was changed")
        return cls(number, first_position, salt, bool(flags & _FLAG_SYNCED))


def scan(data: bytes, offset: int, salt: int) -> Iterator[tuple[int, int, int, int]]:
    """The whole records from `offset` on, as (kind, session, offset of the record, offset of its end).

    Ends at the first place that holds none: the end of the last one yielded (or `offset`).
    """
    view = memoryview(data)
    size = len(data)
    unpack = HEAD.unpack_from
    while offset + HEAD_BYTES <= size:
        crc, length, kind, session = unpack(data, offset)
        end = offset + HEAD_BYTES + length
        if not kind or end > size or crc32(view[offset + 4 : end], salt + offset) != crc:
            return
        yield kind, session, offset, end
        offset = end


def scan_strays(data: bytes, offset: int, salt: int) -> Iterator[tuple[int, int, int, int]]:
    """The whole records that lie somewhere behind `offset`, where a bad one lies; as `scan` gives them."""
    last = min(written_bytes(data), len(data) - HEAD_BYTES)
    offset += 1
    while offset <= last:
        _, length, kind, _ = HEAD.unpack_from(data, offset)
        if kind and length <= _STRAY_MAX_BYTES:
            for record in scan(data, offset, salt):
                yield record
                offset = record[3] - 1
        offset += 1


def written_bytes(data: bytes) -> int:
    """Length of `data` without the zeros at its end."""
    return len(data.rstrip(b"\0"))
