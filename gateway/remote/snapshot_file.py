"""The latest snapshot of a core on its own disk: whole or not at all."""

import os
from pathlib import Path

import msgspec

from gateway.remote.snapshot import Snapshot, SnapshotUnusable, checked, decode, encode

_FILE = "core.snapshot"


def save(directory: Path, snapshot: Snapshot) -> None:
    """Write it to disk, whole or not at all.

    Raises:
        OSError: it is not written; an older one is as it was.
    """
    path, coming = directory / _FILE, directory / f"{_FILE}.new"
    with coming.open("wb") as file:
        file.write(encode(snapshot))
        file.flush()
        os.fsync(file.fileno())
    coming.replace(path)


def load(directory: Path) -> Snapshot | None:
    """The snapshot on disk, None = there is none.

    Raises:
        SnapshotUnusable: there is one, and it cannot be read.
        OSError: it cannot be opened.
    """
    try:
        data = (directory / _FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return checked(decode(data))
    except msgspec.DecodeError as error:
        raise SnapshotUnusable(f"{directory / _FILE}: {error}") from error
