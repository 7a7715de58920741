"""The journal on disks that really fail: `python -m pytest tests/faults/journal_faults.py`.

A process of its own trades with itself and prints what became durable; strace makes its system calls fail or slow, or a
small tmpfs is full. Then the directory is opened again and must hold all that was printed. Not collected by default:
it needs strace, and for the full filesystem the right to mount.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.journal import Journal, JournalSettings

SEGMENT = 32_768
WRITER = """
import sys, threading, time
from pathlib import Path
from gateway.journal import Journal, JournalSettings
from gateway.journal.record import JournalFailed
directory, durability, commits = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
moved = threading.Event()
journal = Journal(directory, JournalSettings(durability=durability, segment_bytes=32_768), lambda _: moved.set())
store = journal.store(1)
slowest_ns = 0
try:
    for _ in range(commits):
        store.put(store.next_out, b"%-200d" % store.next_out)
        store.next_out += 1
        store.next_in += 1
        began = time.monotonic_ns()
        position = journal.commit(began)
        slowest_ns = max(slowest_ns, time.monotonic_ns() - began)
        while journal.durable < position:
            if journal.state == "failed":
                journal.commit(0)
            if not moved.wait(0.01):
                journal.commit(time.monotonic_ns())
            moved.clear()
        print("durable", store.next_in, store.next_out, journal.state, flush=True)
        if journal.state == "full":
            time.sleep(0.005)  # cancels, at a slower pace
    journal.close()
except JournalFailed as error:
    print("failed", error, flush=True)
    sys.exit(3)
finally:
    print("slowest_ms", slowest_ns // 1_000_000, flush=True)
"""


def strace(*options: str) -> list[str]:
    """Run the writer under strace with these options; skip where that cannot be done."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run([program, "-qq", "-e", "trace=none", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"strace may not trace here: {probe.stderr.decode().strip()}")
    return [program, "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", *options]


def write(
    directory: Path, durability: str, commits: int, prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the writer to its end."""
    command = [*prefix, sys.executable, "-c", WRITER, str(directory), durability, str(commits)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=Path.cwd())


def states(output: str) -> list[str]:
    return [line.split()[3] for line in output.splitlines() if line.startswith("durable")]


def check_nothing_durable_is_lost(directory: Path, output: str) -> None:
    """And every message is the one that its number was given to."""
    last = [line.split() for line in output.splitlines() if line.startswith("durable")][-1]
    journal = Journal(directory, JournalSettings(durability="process", segment_bytes=SEGMENT))
    store = journal.store(1)
    assert int(last[1]) <= store.next_in <= int(last[1]) + 1
    assert store.next_out == store.next_in, "a commit moves both: it is there as a whole, or not at all"
    assert dict(store.read(1, 1 << 40)) == {n: b"%-200d" % n for n in range(1, store.next_out)}
    journal.close()


def test_an_fdatasync_that_fails_ends_it_and_no_acceptance_is_without_a_record(tmp_path: Path) -> None:
    prefix = strace("-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=40+")
    done = write(tmp_path / "journal", "disk", 1_000, prefix)
    assert done.returncode == 3, done.stderr
    assert "failed" in done.stdout
    assert "a sync failed" in done.stdout
    assert "Input/output error" in done.stdout
    assert 30 <= len(states(done.stdout)) < 40
    check_nothing_durable_is_lost(tmp_path / "journal", done.stdout)


def test_one_fdatasync_that_fails_is_enough(tmp_path: Path) -> None:
    prefix = strace("-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=40")
    done = write(tmp_path / "journal", "disk", 1_000, prefix)
    assert done.returncode == 3, done.stderr
    check_nothing_durable_is_lost(tmp_path / "journal", done.stdout)


def test_a_slow_fdatasync_delays_what_is_durable_and_not_the_loop(tmp_path: Path) -> None:
    prefix = strace("-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=200000")
    done = write(tmp_path / "journal", "disk", 20, prefix)
    assert done.returncode == 0, done.stderr
    slowest_ms = int(done.stdout.split("slowest_ms")[1])
    assert slowest_ms < 50
    check_nothing_durable_is_lost(tmp_path / "journal", done.stdout)


@pytest.mark.parametrize("durability", ["process", "disk"])
def test_a_write_that_fails_ends_it(tmp_path: Path, durability: str) -> None:
    prefix = strace("-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EIO:when=40+")
    done = write(tmp_path / "journal", durability, 1_000, prefix)
    assert done.returncode == 3, done.stderr
    assert "a write failed" in done.stdout
    check_nothing_durable_is_lost(tmp_path / "journal", done.stdout)


@pytest.mark.parametrize("durability", ["process", "disk"])
def test_room_that_is_missing_for_some_writes_is_waited_for(tmp_path: Path, durability: str) -> None:
    prefix = strace("-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC:when=40..41")
    done = write(tmp_path / "journal", durability, 60, prefix)
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(states(done.stdout)) == 60
    check_nothing_durable_is_lost(tmp_path / "journal", done.stdout)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 256 KiB."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    where = tmp_path / "small"
    where.mkdir()
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", where], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    yield where
    subprocess.run(["umount", where], check=True)


@pytest.mark.parametrize("durability", ["process", "disk"])
def test_a_disk_that_fills_up_leaves_a_segment_for_cancels_and_then_stops(small_disk: Path, durability: str) -> None:
    done = write(small_disk / "journal", durability, 10_000)
    assert done.returncode == 3, done.stderr + done.stdout
    assert "the disk is full, and so is the reserve" in done.stdout
    seen = states(done.stdout)
    assert seen.count("full") >= SEGMENT // 300, "a whole segment after the first sign"
    assert seen == sorted(seen, reverse=True), "ok, then full"
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)  # an operator makes it larger
    check_nothing_durable_is_lost(small_disk / "journal", done.stdout)


def test_a_disk_that_gets_room_again_is_used_again(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(150_000))
    journal = Journal(small_disk / "journal", JournalSettings(durability="process", segment_bytes=SEGMENT))
    store = journal.store(1)
    now_ns = 0
    while journal.state == "ok":
        store.put(store.next_out, b"%-200d" % store.next_out)
        store.next_out += 1
        journal.commit(now_ns)
    (small_disk / "ballast").unlink()
    journal.commit(now_ns + 2_000_000_000)
    assert journal.state == "ok"
    assert journal.may_accept_orders
    journal.close()
