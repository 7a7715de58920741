"""A loss of power at any moment: of what was not synced each sector may be there or not, in any combination.

Whatever the journal called durable must come back, a commit as a whole or not at all, and the start must never take the
loss for damage. Modules: journal.scan, journal.sync.
"""

import errno
import os
import random
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.journal import Journal, JournalSettings
from gateway.journal.record import FIRST_OWNER_KIND

_SECTOR_BYTES = 512
_SEGMENT_BYTES = 8_192
_SETTINGS = JournalSettings(durability="disk", segment_bytes=_SEGMENT_BYTES)


class Power:
    """Knows which bytes and names a disk has for certain: those of the last sync."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, str] = {}
        self._is_gone = False
        self._moment = threading.Lock()  # the power does not go in the middle of a change of names
        for name in ("fdatasync", "fsync"):
            patch.setattr(os, name, self._sync)
        for name in ("rename", "unlink"):
            patch.setattr(os, name, self._in_a_moment(getattr(os, name)))

    def go(self, rng: random.Random, left: Path) -> None:
        """Fail from now on, and make `left` what the disk has when the power comes back."""
        with self._moment:
            self._is_gone = True
        left.mkdir()
        for path in self._directory.iterdir():
            inode, now = path.stat().st_ino, path.read_bytes()
            synced = self._bytes.get(inode, b"").ljust(len(now), b"\0")
            sectors = range(0, len(now), _SECTOR_BYTES)
            mixed = b"".join(rng.choice((synced, now))[at : at + _SECTOR_BYTES] for at in sectors)
            (left / rng.choice((self._names.get(inode, path.name), path.name))).write_bytes(mixed)

    def _sync(self, fd: int) -> None:
        status = os.fstat(fd)
        now = b"" if stat.S_ISDIR(status.st_mode) else os.pread(fd, status.st_size, 0)
        with self._moment:
            self._check()
            if stat.S_ISDIR(status.st_mode):
                self._names = {path.stat().st_ino: path.name for path in self._directory.iterdir()}
            else:
                self._bytes[status.st_ino] = now

    def _in_a_moment(self, real: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            with self._moment:
                self._check()
                real(*args)

        return call

    def _check(self) -> None:
        if self._is_gone:
            raise OSError(errno.EIO, "no power")


def _trade(journal: Journal, rng: random.Random, messages: int) -> None:
    """One command, and what it brings about."""
    store = journal.store(1)
    journal.append(FIRST_OWNER_KIND, 0, b"command %d" % store.next_in)
    for _ in range(messages):
        store.put(store.next_out, b"%05d" % store.next_out * rng.randrange(1, 100))
        store.next_out += 1
    store.next_in += 1


@pytest.mark.parametrize("seed", range(60))
def test_what_was_durable_survives_a_loss_of_power(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    directory, left = tmp_path / "before", tmp_path / "after"
    told: list[tuple[int, int, int]] = [(0, 1, 1)]  # position, next_in, next_out
    with pytest.MonkeyPatch.context() as patch:
        power = Power(directory, patch)
        journal = Journal(directory, _SETTINGS)
        store = journal.store(1)
        for turn in range(rng.randrange(1, 120)):
            _trade(journal, rng, rng.randrange(0, 5) if turn % 20 else 60)  # 60: more than a segment
            told.append((journal.commit(turn), store.next_in, store.next_out))
        if seed % 2:
            _trade(journal, rng, 30)  # the power goes in the middle of a tick
        durable = journal.durable
        power.go(rng, left)
        journal._writer.release()
        journal._lock.release()

    commands: list[bytes] = []
    journal = Journal(left, _SETTINGS, sink=lambda *record: commands.append(record[3]))
    store = journal.store(1)
    survivors = [numbers[1:] for numbers in told if numbers[0] >= max(it[0] for it in told if it[0] <= durable)]
    assert (store.next_in, store.next_out) in survivors
    assert commands == [b"command %d" % at for at in range(1, store.next_in)]
    messages = dict(store.read(1, 1 << 40))
    assert sorted(messages) == list(range(1, store.next_out))
    assert all(set(message.split(b"%05d" % seq_num)) == {b""} for seq_num, message in messages.items())
    journal.close()
