"""What Linux tells about a gateway's process on this machine: its CPU seconds and memory, and which one it is."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LISTENS = "0A"


def cpu_s(pid: int) -> float:
    """CPU seconds that the threads of a process have used so far.

    In ns where the kernel counts them so (schedstat), else in ticks of 10 ms.

    Raises:
        OSError: there is no such process, or no /proc.
    """
    process = _PROC / str(pid)
    try:
        return sum(int(path.read_text().split()[0]) for path in process.glob("task/*/schedstat")) / 1e9 or _ticks_s(pid)
    except OSError:  # a thread has just ended
        return _ticks_s(pid)


def _ticks_s(pid: int) -> float:
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def resident_bytes(pid: int) -> int:
    """Bytes of memory that a process has now.

    Raises:
        OSError: there is no such process, or no /proc.
    """
    return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def listener(port: int) -> int | None:
    """The process that listens on this port of this machine; None if it cannot be told, such as one of another user."""
    try:
        sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
        if not sockets:
            return None
        for process in _PROC.glob("[0-9]*"):
            if not sockets.isdisjoint(_links(process / "fd")):
                return int(process.name)
    except OSError:
        return None
    return None


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("tcp", "tcp6"):
        path = _PROC / "net" / table
        for row in path.read_text().splitlines()[1:] if path.exists() else ():
            _, local, _, state, *rest = row.split()
            if state == _LISTENS and int(local.rpartition(":")[2], 16) == port:
                found.add(rest[5])
    return found


def _links(directory: Path) -> Iterator[str]:
    """What the open files of a process are. Other users' cannot be read, and any may be gone by now."""
    with suppress(OSError):
        for link in directory.iterdir():
            with suppress(OSError):
                yield os.readlink(link)
