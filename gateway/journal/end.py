"""Up to where the journal was safe: a position in a small file beside the segments, so that a lost end is seen.

The segments cannot tell that what came behind them is gone. The file is written behind each sync (durability "process":
once a second), and last when the journal is closed; what it says was safe when it was said, so a start that finds less
has lost something. Without the file nothing is known: taking it away is how an operator accepts what is there.
"""

import os
from pathlib import Path
from zlib import crc32

from gateway.journal.segment import NO_SPACE, sync_directory

_LINE_BYTES = 30  # less than a sector, so no loss of power leaves half of it


def end_path(directory: Path) -> Path:
    """Where it is kept."""
    return directory / "end"


def read_end(directory: Path) -> int | None:
    """The position; None: there is no file, or it cannot be read."""
    try:
        data = end_path(directory).read_bytes()
    except FileNotFoundError:
        return None
    digits = data[:20]
    return int(digits) if digits.isdigit() and data == _line(digits) else None


class EndFile:
    """The file, held open from its first line on."""

    def __init__(self, directory: Path, is_synced: bool) -> None:
        """is_synced: it is to be there after a loss of power; of what it says, only the last need."""
        self._directory = directory
        self._is_synced = is_synced
        self._fd = -1

    def write(self, position: int, is_last: bool = False) -> None:
        """Say that all below `position` is safe; a disk without room keeps what was said before.

        Raises:
            OSError: any other trouble than a lack of room.
        """
        try:
            if self._fd < 0:
                self._open(position)
            else:
                os.pwrite(self._fd, _line(b"%020d" % position), 0)
            if is_last:
                os.fsync(self._fd)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, position: int) -> None:
        path = end_path(self._directory)
        is_new = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        os.pwrite(self._fd, _line(b"%020d" % position), 0)
        if is_new and self._is_synced:
            os.fsync(self._fd)
            sync_directory(self._directory)


def _line(digits: bytes) -> bytes:
    return b"%b %08x\n" % (digits, crc32(digits))
