"""Finds a key that occurs twice in one object. Decoders resolve that silently, and not all in the same way.

msgspec keeps the last value without an error. So a cheap count proves that the usual message has no duplicate, and only
where it cannot is the whole document parsed again: `{"qty":"1","qty":"9"}` has two colons and one known field. The
input was decoded before: it is well-formed, and no deeper than msgspec allows.
"""

import json
from collections.abc import Sequence


class _Duplicate(Exception):
    pass


def duplicate_in_json(data: bytes, fields: int, values: Sequence[object] = ()) -> str | None:
    """The key that occurs twice in one object of `data`, or None.

    Args:
        fields: how many distinct members the decoded message has. Each member has one colon, so if there are no more
            colons than members, no key occurs twice.
        values: decoded values. If nothing is escaped, the colons inside them are subtracted from the count.
    """
    colons = data.count(b":")
    if colons == fields:
        return None
    if b"\\" not in data and colons - sum(v.count(":") for v in values if isinstance(v, str)) == fields:
        return None
    try:
        json.loads(data, object_pairs_hook=_check_pairs, parse_int=len, parse_float=len)
    except _Duplicate as found:
        return str(found)
    return None


def _check_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _Duplicate(key)
        seen.add(key)


# Total size in bytes of scalars with a fixed size, by first byte: nil, booleans, floats, ints, fixext.
_FIXED = {0xC0: 1, 0xC2: 1, 0xC3: 1, 0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}
_FIXED |= {0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9, 0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18}
# Bytes of the length field, and bytes between it and the content (the type of an ext).
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_SIZED |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}  # bytes of the count, items per entry


def duplicate_in_msgpack(data: bytes) -> str | None:
    """The text key that occurs twice in one map of `data`, or None. One pass, without recursion."""
    pos = 0
    left = [1]  # items still to come, per open container
    keys: list[set[bytes] | None] = [None]
    while left:
        if not left[-1]:
            left.pop()
            keys.pop()
            continue
        left[-1] -= 1
        seen = keys[-1]
        is_key = seen is not None and left[-1] % 2 == 1
        count, per_entry, text, pos = _item(data, pos)
        if is_key and seen is not None and text is not None:
            if text in seen:
                return text.decode("utf-8", "replace")
            seen.add(text)
        if per_entry:
            left.append(count * per_entry)
            keys.append(set() if per_entry == 2 else None)
    return None


def _item(data: bytes, pos: int) -> tuple[int, int, bytes | None, int]:
    """(entries, items per entry or 0 for a scalar, text of a string, position after it) of the item at `pos`."""
    first = data[pos]
    pos += 1
    if first < 0x80 or first >= 0xE0:
        return 0, 0, None, pos
    if first < 0x90:
        return first & 0x0F, 2, None, pos
    if first < 0xA0:
        return first & 0x0F, 1, None, pos
    if first < 0xC0:
        stop = pos + (first & 0x1F)
        return 0, 0, data[pos:stop], stop
    if first in _FIXED:
        return 0, 0, None, pos - 1 + _FIXED[first]
    if first in _CONTAINERS:
        size, per_entry = _CONTAINERS[first]
        return int.from_bytes(data[pos : pos + size], "big"), per_entry, None, pos + size
    size, gap = _SIZED[first]
    start = pos + size + gap
    stop = start + int.from_bytes(data[pos : pos + size], "big")
    return 0, 0, data[start:stop] if 0xD9 <= first <= 0xDB else None, stop
