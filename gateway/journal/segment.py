"""The files of the journal: one directory, `<number>.seg`, allocated before they are written; and the lock on it.

A segment is allocated whole under another name and renamed when what came before it is safe: so a full disk shows
while there is a spare one to go on with, and a file that bears its number is part of the run.
"""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from zlib import crc32

from gateway.journal.record import HEAD, HEAD_BYTES, JournalCorrupt, JournalInUse, SegmentHeader

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
"""No room for more, on the disk or in the table of open files: it may come back, so nothing has failed."""
_WINDOW_BYTES = 32_768
"""Read at a time: records of one session lie between those of others, yet near each other."""


class Segment:
    """One file of the run. Open for as long as it is kept, so that it can be read after its name has changed."""

    def __init__(self, fd: int, path: Path, header: SegmentHeader, size_bytes: int) -> None:
        self.fd = fd
        self.path = path
        self.number = header.number
        self.first_position = header.first_position
        self.salt = header.salt
        self.size_bytes = size_bytes  # as allocated
        self.is_dropped = False  # by retention; it is closed soon

    def read(self, offsets: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """The session and the body of the record at each of the offsets, checked. Ends early when it is dropped.

        Raises:
            JournalCorrupt: what lies there is not what was written.
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
            crc, length, _, session = HEAD.unpack_from(window, at)
            end = at + HEAD_BYTES + length
            if crc32(window[at + 4 : end], self.salt + offset) != crc:
                raise damaged(self.path, offset, "the record was changed since it was written")
            yield session, window[at + HEAD_BYTES : end]

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.fd)


def _holds_record(window: bytes, at: int) -> bool:
    """Whether the record that begins at `at` lies whole inside `window`."""
    have = len(window) - at - HEAD_BYTES
    return have >= 0 and have >= HEAD.unpack_from(window, at)[1]


def damaged(path: Path, offset: int, what: str) -> JournalCorrupt:
    """The error to raise: where, what, and what an operator can do."""
    return JournalCorrupt(
        f"{path}: offset {offset}: {what}. Nothing was changed. Restore the whole directory from a copy; or, to go on"
        " without what follows (under a new epoch, and no number is given twice), move the later segments away and"
        f" run: rm -f {path.parent / 'end'} && truncate -s {offset} {path}"
    )


def allocate(path: Path, size_bytes: int) -> int:
    """A new file of `size_bytes` whose blocks are ours already; the descriptor.

    Raises:
        OSError: with an errno of `NO_SPACE` when the disk or a quota has no room; no file is left behind.
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
    """Write all of `data`; the bytes written when the disk had no room for the rest.

    Raises:
        OSError: any other trouble than a lack of room.
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
    """Its name in the run; sorted names are sorted numbers."""
    return directory / f"{number:010d}.seg"


def spare_path(directory: Path, number: int) -> Path:
    """Its name before it is part of the run."""
    return directory / f"{number:010d}.tmp"


def segment_paths(directory: Path) -> list[Path]:
    """The run, in order.

    Raises:
        JournalCorrupt: a number is missing in it, or a name is none.
    """
    paths = sorted(directory.glob("*.seg"))
    for before, path in zip([None, *paths], paths, strict=False):
        if not path.stem.isdecimal() or (before is not None and int(path.stem) != int(before.stem) + 1):
            gap = f"between {before.name} and {path.name}" if before is not None else f"before {path.name}"
            raise JournalCorrupt(
                f"{directory}: a segment is missing {gap}. Nothing was changed. Put it back; or, to go on with what is"
                f" whole (under a new epoch, and no number is given twice), move {path.name}, all later ones and the"
                " file `end` away"
            )
    return paths


class DirectoryLock:
    """Keeps a second process out of the directory, for as long as this one lives."""

    def __init__(self, directory: Path) -> None:
        """Take it.

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
            raise JournalInUse(f"{directory} is in use by process {owner}: one journal, one process") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others in. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._fd)
