"""The text of a key in the configuration, when it expires, and the permission that a session needs. Pure."""

import base64
from datetime import datetime
from typing import Literal

from gateway.config import schema
from protocols.units import NS_PER_S

MAX_TRIED = 4  # keys tried for one Logon that names none: 65 us each, which any stranger can cause
# Points of small order, without the sign bit: anyone can make valid signatures for them. 0, 1, the two of order 8, p-1,
# p, p+1 (p = 2^255 - 19). A key of zeros, the likely placeholder, is one of them.
_WEAK_KEYS = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


def parse_public_key(text: str) -> bytes:
    """The 32 bytes of an Ed25519 public key in base64.

    Raises:
        ValueError: it is not base64, not 32 bytes, or a point of small order, for which anyone can sign.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("not base64") from error
    if len(raw) != 32:
        raise ValueError(f"{len(raw)} bytes instead of 32")
    if raw[:31] + bytes([raw[31] & 0x7F]) in _WEAK_KEYS:
        raise ValueError("not a usable key: anyone can sign for it")
    return raw


def parse_expiry(text: str) -> int:
    """RFC 3339 time as ns UTC; 0 for "" (never).

    Raises:
        ValueError: it is not a time, or has no offset.
    """
    if not text:
        return 0
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("no offset from UTC")
    return int(when.timestamp()) * NS_PER_S


def permission_for(row: schema.FixSessionRow) -> Literal["fix.drop_copy", "fix.order_entry"]:
    """The permission that a key needs to log on to the session."""
    return "fix.drop_copy" if row.kind == "drop_copy" else "fix.order_entry"
