"""The end file: up to which position the journal was safe, kept beside the segments so that a lost end is noticed.

Segments cannot show that later ones are missing. The file is written after each sync (durability "process": once a
second) and when the journal is closed. Its position was safe when it was written, so a start that finds less has lost
records. Without the file nothing is known; an operator removes it to accept the journal as it is.
"""

import os
from pathlib import Path
from zlib import crc32

from gateway.journal.segment import NO_SPACE, sync_directory


def end_path(directory: Path) -> Path:
    return directory / "end"


def read_end(directory: Path) -> int | None:
    """The position; None if there is no file or it is damaged."""
    try:
        data = end_path(directory).read_bytes()
    except FileNotFoundError:
        return None
    digits = data[:20]
    return int(digits) if digits.isdigit() and data == _line(digits) else None


class EndFile:
    """The file, open from the first write on."""

    def __init__(self, directory: Path, is_synced: bool) -> None:
        """is_synced: the file must survive a loss of power. Its contents need not, except the last."""
        self._path = end_path(directory)
        self._is_synced = is_synced
        self._fd = -1

    def write(self, position: int, is_last: bool = False) -> None:
        """Record that everything below `position` is safe. If the disk is full, the earlier position stays.

        Raises:
            OSError: any error other than a lack of room.
        """
        try:
            is_new = self._fd < 0 and not self._path.exists()
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o640)
            os.pwrite(self._fd, _line(b"%020d" % position), 0)
            if is_last or (is_new and self._is_synced):
                os.fsync(self._fd)
            if is_new and self._is_synced:
                sync_directory(self._path.parent)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _line(digits: bytes) -> bytes:
    """30 bytes: less than a sector, so a loss of power cannot leave half of it."""
    return b"%b %08x\n" % (digits, crc32(digits))
