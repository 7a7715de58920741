"""A disk under the real journal: what was written and not synced may be lost, wholly, partly, or sector by sector.

The journal writes real files on a memory file system. Its sync thread is replaced by one that the world drives: a sync
takes its time, may be slow, and may fail. `crash` makes the directory that the next process finds.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gateway.journal.writer
from tests.simulate.world import Timer, World

_SECTOR_BYTES = 512


class Disk:
    """One process's view of its disk, and what is certain of it."""

    def __init__(self, world: World, directory: Path) -> None:
        self.directory = directory
        self.is_slow = False
        self.fails_next = False
        self._world = world
        self._synced: dict[int, bytes] = {}
        self._names: dict[int, str] = {path.stat().st_ino: path.name for path in sorted(directory.rglob("*"))}
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                self._synced[path.stat().st_ino] = path.read_bytes()

    def sync(self, fd: int) -> None:
        """What this descriptor has now is certain."""
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            self._names.update({path.stat().st_ino: path.name for path in self.directory.rglob("*")})
        else:
            self._synced[status.st_ino] = os.pread(fd, status.st_size, 0)

    def delay_ns(self) -> int:
        """How long a sync takes this time."""
        return self._world.between(50, 200) if self.is_slow else self._world.between(0.05, 3)

    def crash(self, left: Path, is_power_loss: bool) -> None:
        """Make `left` what is there after the process was killed, or the power went."""
        shutil.copytree(self.directory, left)
        if not is_power_loss:
            return
        for path in sorted(self.directory.rglob("*")):
            if path.is_dir():
                continue
            inode, now = path.stat().st_ino, path.read_bytes()
            before = self._synced.get(inode, b"").ljust(len(now), b"\0")[: len(now)]
            copy = left / path.relative_to(self.directory)
            if now != before:
                sectors = range(0, len(now), _SECTOR_BYTES)
                pieces = ((before, now)[self._world.random.random() < 0.5][at : at + _SECTOR_BYTES] for at in sectors)
                copy.write_bytes(b"".join(pieces))
            name = self._names.get(inode, path.name)
            if name != path.name and self._world.happens(0.5):
                copy.rename(copy.with_name(name))


class Syncer:
    """Takes the place of `gateway.journal.sync.Syncer`: the same order of things, in the world's time."""

    disk: Disk  # of the process that is being built
    world: World
    is_dead: Callable[[], bool]

    def __init__(self, durable: int, notify: Callable[[int], None]) -> None:
        self.durable = durable
        self.failure: Exception | None = None
        self._notify = notify
        self._disk, self._world, self._gone = type(self).disk, type(self).world, type(self).is_dead
        self._steps: list[Callable[[], None]] = []
        self._fd, self._wanted = -1, durable
        self._running: Timer | None = None

    def advance(self, fd: int, position: int) -> None:
        """All below `position` is written, the end of it to `fd`: make it durable."""
        self._fd, self._wanted = fd, position
        self._begin()

    def add_step(self, step: Callable[[], None]) -> None:
        """Do this after what was asked for before."""
        self._steps.append(step)
        self._begin()

    def close(self) -> None:
        """Do what was asked for, then end; a process that is gone does nothing more."""
        while self._running is not None:
            running, self._running = self._running, None
            running.cancel()
            if not self._gone() and self.failure is None:
                self._finish(*running.args)  # which begins the next

    def _begin(self) -> None:
        if self._running is None and self.failure is None:
            self._running = self._world.at(self._disk.delay_ns(), self._finish, *self._take())

    def _take(self) -> tuple[list[Callable[[], None]], int, int]:
        steps, self._steps = self._steps, []
        return steps, self._fd, self._wanted

    def _finish(self, steps: list[Callable[[], None]], fd: int, wanted: int) -> None:
        self._running = None
        if self._gone():
            return
        if self._disk.fails_next:
            self._disk.fails_next = False
            self.failure = OSError(errno.EIO, "sync failed")
            self._notify(self.durable)
            return
        for step in steps:
            step()
        if wanted != self.durable:
            os.fdatasync(fd)
            self.durable = wanted
            self._notify(wanted)
        if self._steps or self._wanted != self.durable:
            self._begin()


@contextmanager
def simulated(world: World) -> Iterator[None]:
    """Real files, this world's syncs."""
    real_data, real_all, real_syncer = os.fdatasync, os.fsync, gateway.journal.writer.Syncer
    Syncer.world = world

    def sync(fd: int) -> None:
        Syncer.disk.sync(fd)  # of the process that runs now

    os.fdatasync = os.fsync = sync  # type: ignore[assignment]
    gateway.journal.writer.Syncer = Syncer  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        os.fdatasync, os.fsync, gateway.journal.writer.Syncer = real_data, real_all, real_syncer  # type: ignore[misc]
