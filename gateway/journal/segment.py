"""The files of the journal: `<number>.seg` in one directory, allocated before they are written; and the lock on it.

A segment is allocated under another name, and renamed when everything before it is safe. So a full disk shows while
there is still a spare segment to write to, and a file with its final name is part of the journal.
"""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from zlib import crc32

from gateway.journal.record import HEAD, HEAD_BYTES, JournalCorrupt, JournalInUse, SegmentHeader

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
"""No room for more, on the disk or in the table of open files. Room may come back, so nothing has failed."""
_WINDOW_BYTES = 32_768
"""Read at a time: records of one session are between those of others, yet near each other."""


class Segment:
    """One file of the journal. It stays open as long as it is kept, so that it can be read under any name."""

    def __init__(self, fd: int, path: Path, header: SegmentHeader, size_bytes: int) -> None:
        self.fd = fd
        self.path = path
        self.number = header.number
        self.first_position = header.first_position
        self.salt = header.salt
        self.size_bytes = size_bytes  # as allocated
        self.is_dropped = False  # by retention; it is closed soon

    def read(self, offsets: Iterable[int]) -> Iterator[tuple[int, int, bytes]]:
        """Kind, session and body of the record at each offset, checked. Ends early if the segment is dropped.

        Raises:
            JournalCorrupt: a record is not as it was written.
        """
        window, start = b"", 0
        for offset in offsets:
            at = offset - start
            if at < 0 or not _holds_record(window, at):
                if self.is_dropped:
                    return
                window, start, at = os.pread(self.fd, _WINDOW_BYTES, offset), offset, 0
                if len(window) >= HEAD_BYTES and not _holds_record(window, 0):
                    window = os.pread(self.fd, HEAD_BYTES + HEAD.unpack_from(window)[1], offset)
            if not _holds_record(window, at):
                raise damaged(self.path, offset, "the file ends inside a record")
            crc, length, kind, session = HEAD.unpack_from(window, at)
            end = at + HEAD_BYTES + length
            if crc32(window[at + 4 : end], self.salt + offset) != crc:
                raise damaged(self.path, offset, "the record was changed since it was written")
            yield kind, session, window[at + HEAD_BYTES : end]

    def close(self) -> None:
        os.close(self.fd)


def _holds_record(window: bytes, at: int) -> bool:
    """Whether the record that begins at `at` is completely inside `window`."""
    have = len(window) - at - HEAD_BYTES
    return have >= 0 and have >= HEAD.unpack_from(window, at)[1]


def damaged(path: Path, offset: int, what: str) -> JournalCorrupt:
    """The error to raise: where, what, and what the operator can do."""
    return JournalCorrupt(
        f"{path}: offset {offset}: {what}. Nothing was changed. Restore the whole directory from a copy. Or, to"
        " continue without what follows (under a new epoch, and no number is used twice), move the later segments away"
        f" and run: rm -f {path.parent / 'end'} && truncate -s {offset} {path}"
    )


def allocate(path: Path, size_bytes: int) -> int:
    """Create a file of `size_bytes` with its blocks allocated; the descriptor.

    Raises:
        OSError: with an errno of `NO_SPACE` if the disk or a quota has no room; no file is left over.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        os.posix_fallocate(fd, 0, size_bytes)
    except OSError:
        os.close(fd)
        path.unlink()
        raise
    return fd


def write_at(fd: int, data: bytes, offset: int) -> int:
    """Write `data`; the number of bytes written, which is smaller if the disk has no room for the rest.

    Raises:
        OSError: any error other than a lack of room.
    """
    done = 0
    try:
        done = os.pwrite(fd, data, offset)
        while done < len(data):
            done += os.pwrite(fd, memoryview(data)[done:], offset + done)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
    return done


def sync_directory(directory: Path) -> None:
    """Make the names in it durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def segment_path(directory: Path, number: int) -> Path:
    """Its final name; sorted names are sorted numbers."""
    return directory / f"{number:010d}.seg"


def spare_path(directory: Path, number: int) -> Path:
    """Its name before it is part of the journal."""
    return directory / f"{number:010d}.tmp"


def segment_paths(directory: Path) -> list[Path]:
    """All segments, in order.

    Raises:
        JournalCorrupt: a number is missing, or a name is not a number.
    """
    paths = sorted(directory.glob("*.seg"))
    for before, path in zip([None, *paths], paths, strict=False):
        if not path.stem.isdecimal() or (before is not None and int(path.stem) != int(before.stem) + 1):
            gap = f"between {before.name} and {path.name}" if before is not None else f"before {path.name}"
            raise JournalCorrupt(
                f"{directory}: a segment is missing {gap}. Nothing was changed. Put it back. Or, to continue with the"
                f" segments before it (under a new epoch, and no number is used twice), move {path.name}, all later"
                " ones and the file `end` away."
            )
    return paths


class DirectoryLock:
    """Keeps a second process out of the directory while this one lives."""

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            JournalInUse: another process has it.
        """
        path = directory / "lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise JournalInUse(
                f"{directory} is in use by process {owner}. Stop it, or give this process its own journal.directory."
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock. The file stays: if it were removed, two processes could lock two files of one name."""
        os.close(self._fd)
