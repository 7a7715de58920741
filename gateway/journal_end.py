"""Up to where the journal was safe: a position in a small file beside the segments, so that a lost end is seen.

The segments cannot tell that what came behind them is gone. The file is written once a second while records become
safe, and last when the journal is closed; what it says was safe when it was said, so a start that finds less has lost
something. Without the file nothing is known of the end: taking it away is how an operator accepts what is there.
"""

import os
from pathlib import Path
from zlib import crc32

from gateway.journal_segment import NO_SPACE, sync_directory

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


def write_end(directory: Path, position: int, is_synced: bool, is_last: bool = False) -> None:
    """Say that all below `position` is safe; a disk without room keeps what was said before.

    is_synced: the file itself is to survive a loss of power; of what it says, only the last need.
    """
    path = end_path(directory)
    is_new = not path.exists()
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            os.pwrite(fd, _line(b"%020d" % position), 0)
            if is_last or (is_new and is_synced):
                os.fsync(fd)
        finally:
            os.close(fd)
        if is_new and is_synced:
            sync_directory(directory)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise


def _line(digits: bytes) -> bytes:
    return b"%b %08x\n" % (digits, crc32(digits))
