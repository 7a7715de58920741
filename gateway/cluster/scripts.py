"""The scripts that judge what gateways write. Each runs as a whole, alone, in Redis."""

import hashlib
from pathlib import Path

import msgspec


class Script(msgspec.Struct, frozen=True):
    """A script and the name by which Redis knows it once it is loaded."""

    text: bytes
    sha: str


def _read(name: str) -> Script:
    text = Path(__file__).with_name(name).read_bytes()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest())


COMMIT = _read("commit.lua")
CLAIM = _read("claim.lua")
LEASE = _read("lease.lua")
IDS = _read("ids.lua")
NAME = _read("name.lua")
END = _read("end.lua")
MODE = _read("mode.lua")
ALL = (COMMIT, CLAIM, LEASE, IDS, NAME, END, MODE)
