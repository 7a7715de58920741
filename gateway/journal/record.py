"""The bytes of the journal: the header of a segment and the records after it. Pure, and a stored format.

    segment = header (36 bytes), records ...        record = crc u32, length u32, kind u8, session u32, body

The CRC is CRC-32 (`zlib` is C code in the standard library, which has no CRC-32C) over everything after it. It starts
from the segment's random salt plus the record's offset, so a record is valid only where it was written: neither a block
that landed elsewhere nor a client's text that looks like a record passes for one. Records count once a COMMIT follows;
without it they never happened. Before editing: what an older program has written must stay readable (`_READABLE`), and
`VERSION` must rise when an older program could not read what this one writes.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from struct import Struct, pack, unpack_from
from zlib import crc32

import msgspec

VERSION = 3
_READABLE = frozenset({2, 3})
"""2: without OUT_RUN. An older program would skip it, and use numbers twice; so it must refuse the whole segment."""

# Kinds. 0 is never written: a zeroed header is where the written part of a preallocated file ends.
COMMIT = 1  # ends all records since the last one; body: the position known to be durable when it was written
STATE = 2  # body: next_in, next_out, then the (first, end) of inbound numbers above next_in that were processed early
OUT = 3  # body: seq_num, message
RESET = 4  # no body
OUT_RUN = 5  # body: the first seq_num, how many messages, the size of each, then the messages of consecutive numbers
FIRST_OWNER_KIND = 16  # from here to 255: the owner's records, opaque here

U64 = Struct("<Q")
TWO_U64 = Struct("<QQ")
CRC = Struct("<I")
HEAD_TAIL = Struct("<IBI")  # what the CRC covers besides the body: length, kind, session
U64_HEAD_TAIL = Struct("<IBIQ")  # the same, and the number that begins the body: of COMMIT, or of OUT
STATE_HEAD_TAIL = Struct("<IBIQQ")  # the same, and both numbers
OUT_RUN_HEAD_TAIL = Struct("<IBIQI")  # the same, and how many messages there are
OUT_RUN_PREFIX = Struct("<QI")  # how the body of OUT_RUN begins
_SIZE_BYTES = 4
HEAD = Struct("<IIBI")
HEAD_BYTES = HEAD.size
MAX_BODY_BYTES = 1 << 30
MAX_SESSION = (1 << 32) - 1

_SEGMENT = Struct("<8sHHQQI")  # magic, version, flags, number, first position, salt; then their CRC
_MAGIC = b"PENSTOCK"
_FLAG_SYNCED = 1
SEGMENT_HEADER_BYTES = _SEGMENT.size + CRC.size
_STRAY_MAX_BYTES = 1 << 20
"""Longest record searched for after a bad one: it bounds the work at each offset to one CRC of this size."""


class JournalFailed(Exception):
    """The disk refused a write or a sync, or the reserve is full, too. Send nothing more, exit, and start again."""


class JournalCorrupt(Exception):
    """The records cannot be read back; the text gives the file, the offset and what to do."""


class JournalInUse(Exception):
    """Another process uses the directory; the text names it."""


class SegmentHeader(msgspec.Struct, frozen=True):
    """The first bytes of a segment. Position = `first_position` + offset in the file, rising over all segments.

    synced: written under durability "disk", so a hole after the last durable position comes from a loss of power, and
    nothing that was promised is missing.
    """

    number: int
    first_position: int
    salt: int
    synced: bool

    def pack(self) -> bytes:
        flags = _FLAG_SYNCED if self.synced else 0
        packed = _SEGMENT.pack(_MAGIC, VERSION, flags, self.number, self.first_position, self.salt)
        return packed + CRC.pack(crc32(packed))

    @classmethod
    def unpack(cls, data: bytes) -> "SegmentHeader":
        """The header at the start of `data`.

        Raises:
            ValueError: there is none, or it is damaged; the text says which.
            JournalCorrupt: it is sound, and of another version.
        """
        if len(data) < SEGMENT_HEADER_BYTES or data[:8] != _MAGIC:
            raise ValueError("not a journal segment")
        packed = data[: _SEGMENT.size]
        _, version, flags, number, first_position, salt = _SEGMENT.unpack(packed)
        if CRC.unpack_from(data, _SEGMENT.size)[0] != crc32(packed):
            raise ValueError("damaged segment header")
        if version not in _READABLE:
            readable = " and ".join(map(str, sorted(_READABLE)))
            raise JournalCorrupt(f"journal version {version}, and this program reads {readable}. Nothing was changed.")
        return cls(number, first_position, salt, bool(flags & _FLAG_SYNCED))


def pack_sizes(messages: Sequence[bytes]) -> bytes:
    """What precedes the messages in the body of OUT_RUN."""
    return pack(f"<{len(messages)}I", *map(len, messages))


def run_bytes(count: int, size_bytes: int) -> int:
    """Length of the body of OUT_RUN with so many messages, which have `size_bytes` together."""
    return OUT_RUN_PREFIX.size + _SIZE_BYTES * count + size_bytes


def unpack_run(body: bytes) -> tuple[int, list[bytes]]:
    """The first number and the messages of an OUT_RUN, whose CRC was checked."""
    first, count = OUT_RUN_PREFIX.unpack_from(body)
    sizes = unpack_from(f"<{count}I", body, OUT_RUN_PREFIX.size)
    return first, [body[at:end] for at, end in pairwise(accumulate(sizes, initial=run_bytes(count, 0)))]


def scan(data: bytes, offset: int, salt: int) -> Iterator[tuple[int, int, int, int]]:
    """The valid records from `offset` on, as (kind, session, offset of the record, offset of its end).

    Stops where there is no valid record: at the end of the last one yielded, or at `offset`.
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
    """The valid records anywhere after `offset`, where a bad one is; as `scan` gives them."""
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
