"""A disk that is full, slow or broken: what the journal still takes, what it says, and when it gives up.

Here a file layer that refuses stands in for the disk, because it fails where the test wants it to; the same with a
real full filesystem and real failing system calls is `tests/faults/journal_faults.py`.
Modules: journal.writer, journal.segment.
"""

import errno
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.journal import Journal, JournalSettings
from gateway.journal.record import JournalFailed

SEGMENT = 16_384
PROCESS = JournalSettings(durability="process", segment_bytes=SEGMENT)
DISK = JournalSettings(durability="disk", segment_bytes=SEGMENT)
SECOND_NS = 1_000_000_000


class Disk:
    """Refuses system calls of the journal with the errno set for them; counts the others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self.takes_bytes: int | None = None  # a write takes so many before it is refused
        for name in ("posix_fallocate", "pwrite", "fdatasync"):
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Any) -> Any:
        def call(*args: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            if name == "pwrite" and self.takes_bytes is not None:
                fd, data, offset = args
                taken, self.takes_bytes = data[: self.takes_bytes], max(0, self.takes_bytes - len(data))
                if taken:
                    return real(fd, taken, offset)
            if name in self.refused:
                raise OSError(self.refused[name], os.strerror(self.refused[name]))
            return real(*args)

        return call


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def put(journal: Journal, size: int = 1_000) -> None:
    store = journal.store(1)
    store.put(store.next_out, b"x" * size)
    store.next_out += 1


def fill_until(journal: Journal, state: str) -> int:
    """Commits until the state is reached; how many."""
    for commits in range(1, 1_000):
        put(journal)
        journal.commit(0)
        if journal.state == state:
            return commits
    raise AssertionError(f"never {state}")


def test_without_a_descriptor_for_the_next_segment_it_is_full_and_not_failed(tmp_path: Path) -> None:
    """For real: the process may open no more files, and then it may."""
    journal = Journal(tmp_path, PROCESS)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    holders = [os.dup(0) for _ in range(highest)]  # the gaps below it
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(holders) + 1, before[1]))
        while True:
            try:
                holders.append(os.dup(0))
            except OSError:
                break
        fill_until(journal, "full")
        assert not journal.may_accept_orders
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in holders:
            os.close(fd)
    journal.commit(SECOND_NS)
    assert journal.state == "ok"
    journal.close()


def test_full_then_ok_again_by_itself_within_a_second_of_room(tmp_path: Path, disk: Disk) -> None:
    journal = Journal(tmp_path, PROCESS)
    disk.refused["posix_fallocate"] = errno.ENOSPC
    fill_until(journal, "full")
    assert not journal.may_accept_orders
    durable = journal.durable
    put(journal)
    assert journal.commit(0) == journal.durable > durable, "cancels and their answers are still recorded"

    disk.refused.clear()
    journal.commit(SECOND_NS - 1)
    assert journal.state == "full", "asked at most once a second"
    journal.commit(SECOND_NS)
    assert journal.state == "ok"
    journal.close()
    journal = Journal(tmp_path, PROCESS)
    assert len(list(journal.store(1).read(1, 1 << 40))) == journal.store(1).next_out - 1
    journal.close()


def test_when_the_reserve_is_full_too_it_stops_and_what_was_committed_stands(tmp_path: Path, disk: Disk) -> None:
    journal = Journal(tmp_path, PROCESS)
    disk.refused["posix_fallocate"] = errno.ENOSPC
    fill_until(journal, "full")
    durable = 0

    def go_on() -> None:
        nonlocal durable
        for _ in range(1_000):
            durable = journal.store(1).next_out
            put(journal)
            journal.commit(0)

    with pytest.raises(JournalFailed, match="the disk is full, and so is the reserve of 16384 bytes"):
        go_on()
    assert journal.state == "failed"
    put(journal)  # who is in the middle of something is not interrupted
    with pytest.raises(JournalFailed):
        journal.commit(10 * SECOND_NS)
    journal.close()
    disk.refused.clear()
    journal = Journal(tmp_path, PROCESS)
    assert journal.store(1).next_out == durable
    journal.close()


def test_a_start_without_room_says_so_and_changes_nothing(tmp_path: Path, disk: Disk) -> None:
    journal = Journal(tmp_path, PROCESS)
    put(journal)
    journal.close()
    disk.refused["posix_fallocate"] = errno.ENOSPC
    with pytest.raises(JournalFailed, match="the disk is full"):
        Journal(tmp_path, PROCESS)
    disk.refused.clear()
    journal = Journal(tmp_path, PROCESS)
    assert journal.store(1).next_out == 2
    journal.close()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO, errno.ENODEV])
@pytest.mark.parametrize("some", [PROCESS, DISK], ids=["process", "disk"])
def test_only_a_lack_of_room_is_waited_for(tmp_path: Path, disk: Disk, some: JournalSettings, number: int) -> None:
    """Anything else that stops the next segment from being made ends the process, and says what it is."""
    journal = Journal(tmp_path, some)
    disk.refused["posix_fallocate"] = number
    with pytest.raises(JournalFailed, match=f"a segment could not be created: .*{os.strerror(number)}"):
        fill_until(journal, "full")
    assert journal.state == "failed"
    with pytest.raises(JournalFailed):
        journal.commit(0)
    journal.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE])
def test_a_lack_of_room_says_of_which_and_ends_with_it(tmp_path: Path, disk: Disk, number: int) -> None:
    journal = Journal(tmp_path, PROCESS)
    assert journal.trouble == ""
    disk.refused["posix_fallocate"] = number
    fill_until(journal, "full")
    assert journal.trouble == f"no room for another journal segment ({os.strerror(number)}): cancel only"
    disk.refused.clear()
    journal.commit(SECOND_NS)
    assert (journal.state, journal.trouble) == ("ok", "")
    journal.close()


@pytest.mark.parametrize("some", [PROCESS, DISK], ids=["process", "disk"])
def test_where_allocated_room_is_missing_nothing_counts_as_durable_until_it_is_there(
    tmp_path: Path, disk: Disk, some: JournalSettings
) -> None:
    """Copy-on-write and compressing filesystems do not keep what posix_fallocate promises."""
    journal = Journal(tmp_path, some)
    put(journal)
    _wait(journal, journal.commit(0))
    disk.refused["pwrite"], disk.takes_bytes = errno.ENOSPC, 500
    durable = journal.durable
    put(journal)
    position = journal.commit(0)
    assert journal.state == "full"
    assert journal.durable < position
    put(journal)
    position = journal.commit(1)
    writes = disk.calls["pwrite"]
    journal.commit(2)
    assert disk.calls["pwrite"] == writes, "asked at most once a second"
    with pytest.raises(JournalFailed, match="cannot be read"):
        list(journal.store(1).read(1, 9))

    disk.refused.clear()
    disk.takes_bytes = None
    assert journal.commit(SECOND_NS + 2) == position
    _wait(journal, position)
    assert journal.durable == position > durable
    assert journal.state == "ok"
    assert [seq_num for seq_num, _ in journal.store(1).read(1, 9)] == [1, 2, 3]
    journal.close()


def test_a_write_that_fails_is_never_tried_again(tmp_path: Path, disk: Disk) -> None:
    journal = Journal(tmp_path, PROCESS)
    put(journal)
    before = journal.commit(0)
    disk.refused["pwrite"] = errno.EIO
    put(journal)
    with pytest.raises(JournalFailed, match=r"a write failed: .*Input/output error"):
        journal.commit(0)
    disk.refused.clear()
    with pytest.raises(JournalFailed):
        journal.commit(9 * SECOND_NS)
    assert (journal.state, journal.durable, journal.may_accept_orders) == ("failed", before, False)
    journal.close()


def test_short_writes_are_continued(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, PROCESS)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, bytes(data)[:7], offset))
    put(journal)
    assert journal.commit(0) == journal.durable
    assert dict(journal.store(1).read(1, 1)) == {1: b"x" * 1_000}
    journal.close()


# -- syncs -------------------------------------------------------------------------------------------------------------


class Syncs:
    """Each fdatasync of the journal waits until it is let go, to succeed or to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self._refused = 0
        self._are_free = False
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def end_one(self, refused: int = 0) -> None:
        """The sync that runs, or the next, ends."""
        self._refused = refused
        self._go.release()

    def free(self) -> None:
        """No sync waits any more."""
        self._are_free = True
        self._go.release(100)

    def _sync(self, _fd: int) -> None:
        self.began.release()
        if not self._are_free:
            assert self._go.acquire(timeout=20)
        if self._refused:
            raise OSError(self._refused, os.strerror(self._refused))


class News:
    """What the sync thread told."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self._moved = threading.Semaphore(0)

    def __call__(self, durable: int) -> None:
        self.told.append(durable)
        self._moved.release()

    def wait(self) -> None:
        """Until there is one more."""
        assert self._moved.acquire(timeout=20)


def test_commits_during_one_sync_are_made_durable_by_one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs, news = Syncs(monkeypatch), News()
    journal = Journal(tmp_path, JournalSettings(durability="disk"), news)
    syncs.end_one()  # that of the new segment, before it gets its name
    put(journal)
    first = journal.commit(0)
    assert syncs.began.acquire(timeout=20)
    assert syncs.began.acquire(timeout=20)
    later = []
    for _ in range(50):
        put(journal)
        later.append(journal.commit(0))
    assert journal.durable < first, "the loop goes on meanwhile, and nothing may leave"
    syncs.end_one()
    news.wait()
    assert journal.durable == first
    syncs.end_one()
    news.wait()
    assert journal.durable == later[-1]
    assert news.told == [first, later[-1]]
    syncs.free()
    journal.close()


def test_a_sync_that_fails_is_final_and_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs, news = Syncs(monkeypatch), News()
    journal = Journal(tmp_path, DISK, news)
    syncs.end_one()
    put(journal)
    position = journal.commit(0)
    syncs.end_one(refused=errno.EIO)
    news.wait()
    assert journal.state == "failed"
    assert journal.durable < position, "what was not synced never leaves"
    syncs.free()
    with pytest.raises(JournalFailed, match=r"a sync failed: .*Input/output error"):
        journal.commit(0)
    journal.close()
    assert journal.durable < position


def test_a_segment_gets_its_name_only_when_all_before_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So after a loss of power a named segment vouches for those before it, and a hole in them is damage."""
    syncs, news = Syncs(monkeypatch), News()
    journal = Journal(tmp_path, DISK, news)
    syncs.end_one()
    journal.commit(0)
    while journal.size_bytes == SEGMENT:
        put(journal)
    put(journal)
    position = journal.commit(0)
    assert len(list(journal.store(1).read(1, 99))) == journal.store(1).next_out - 1, "it can be read all the same"
    syncs.end_one()  # of the header
    assert [path.name for path in tmp_path.glob("*.seg")] in ([], ["0000000001.seg"])
    syncs.free()
    while journal.durable < position:
        news.wait()
    assert sorted(path.name for path in tmp_path.glob("*.seg")) == ["0000000001.seg", "0000000002.seg"]
    journal.close()


def test_a_closed_loop_does_not_hang_the_end(tmp_path: Path) -> None:
    def closed(_durable: int) -> None:
        raise RuntimeError("Event loop is closed")

    journal = Journal(tmp_path, DISK, closed)
    put(journal)
    journal.commit(0)
    with pytest.raises(JournalFailed, match="Event loop is closed"):
        journal.close()


def _wait(journal: Journal, position: int) -> None:
    deadline = time.monotonic() + 20
    while journal.durable < position:
        assert time.monotonic() < deadline
        time.sleep(0.001)
