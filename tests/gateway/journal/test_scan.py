"""What a start makes of what a crash, or a bad disk, has left."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.journal import Journal, JournalSettings
from gateway.journal.record import (
    COMMIT,
    HEAD,
    HEAD_BYTES,
    OUT,
    OUT_RUN,
    SEGMENT_HEADER_BYTES,
    STATE,
    JournalCorrupt,
    SegmentHeader,
    scan,
)
from gateway.journal.store import JournalStore

PROCESS = JournalSettings(durability="process", segment_bytes=16_384)
DISK = JournalSettings(durability="disk", segment_bytes=16_384)
FIRST = "0000000001.seg"


def send(store: JournalStore, message: bytes) -> None:
    store.put(store.next_out, message)
    store.next_out += 1


def written(directory: Path, messages: int, some: JournalSettings = PROCESS) -> bytes:
    """A journal with one message a commit, as a kill -9 leaves it: the bytes of its first segment."""
    journal = Journal(directory, some)
    for at in range(messages):
        send(journal.store(1), b"message-%d" % at)
        journal.store(1).next_in += 1
        journal.commit(at)
    data = (directory / FIRST).read_bytes() if some is PROCESS else _unfinished(directory)
    journal.close()
    (directory / FIRST).write_bytes(data)
    (directory / "end").unlink()  # what it says of the orderly end would not be said before a crash
    return data


def _unfinished(directory: Path) -> bytes:
    """The first segment, whether or not the sync thread has named it by now: it does so once."""
    unnamed = directory / "0000000001.tmp"
    try:
        return unnamed.read_bytes()
    except FileNotFoundError:
        return (directory / FIRST).read_bytes()


def records(data: bytes) -> list[tuple[int, int, int, int]]:
    return list(scan(data, SEGMENT_HEADER_BYTES, SegmentHeader.unpack(data).salt))


def recovered(directory: Path, some: JournalSettings = PROCESS) -> tuple[int, int, dict[int, bytes], int]:
    """next_in, next_out, messages, and the bytes cut."""
    journal = Journal(directory, some)
    store = journal.store(1)
    found = store.next_in, store.next_out, dict(store.read(1, 1 << 40)), journal.recovery.cut_bytes
    journal.close()
    return found


def last_commit(whole: bytes) -> tuple[int, int]:
    """Its first byte and its end, of what `written` wrote: a message, the numbers, and the COMMIT of both."""
    *_, (out, _, begin, _), (state, _, _, _), (commit, _, _, end) = records(whole)
    assert (out, state, commit) == (OUT, STATE, COMMIT)
    return begin, end


def _torn(whole: bytes, torn_at: int) -> int:
    """Bytes of the last commit before `torn_at`; zeros at their end look like the unused room after them."""
    return len(whole[last_commit(whole)[0] : torn_at].rstrip(b"\0"))


# -- torn tails --------------------------------------------------------------------------------------------------------


def test_the_last_commit_torn_at_any_byte_is_cut_as_a_whole_and_all_before_it_stands(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole", 3)
    begin, end = last_commit(whole)
    for torn_at in range(begin + 1, end):
        directory = tmp_path / f"{torn_at}"
        directory.mkdir()
        (directory / FIRST).write_bytes(whole[:torn_at] + bytes(len(whole) - torn_at))
        next_in, next_out, messages, cut = recovered(directory)
        if whole[torn_at:end].strip(b"\0"):
            assert (next_in, next_out, sorted(messages)) == (3, 3, [1, 2]), "neither its message nor its numbers"
            assert cut == _torn(whole, torn_at)
        else:
            assert (next_in, next_out, cut) == (4, 4, 0), "only zeros were torn off"
        assert recovered(directory)[:3] == (next_in, next_out, messages), "the cut is for good"


def test_a_run_torn_at_any_byte_is_there_to_its_last_message_or_not_at_all(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "whole", PROCESS)
    send(journal.store(1), b"before")
    journal.commit(0)
    run = [b"first", b"", b"third"]
    journal.store(1).put_run(2, run)
    journal.store(1).next_in = 4
    journal.commit(1)
    whole = (tmp_path / "whole" / FIRST).read_bytes()
    journal.close()
    *_, (out, _, begin, _), (_, _, _, _), (_, _, _, end) = records(whole)
    assert out == OUT_RUN
    for torn_at in range(begin + 1, end + 1):
        directory = tmp_path / f"{torn_at}"
        directory.mkdir()
        (directory / FIRST).write_bytes(whole[:torn_at] + bytes(len(whole) - torn_at))
        next_in, next_out, messages, _ = recovered(directory)
        if whole[torn_at:end].strip(b"\0"):
            assert (next_in, next_out, messages) == (1, 2, {1: b"before"})
        else:
            assert (next_in, next_out, messages) == (4, 5, {1: b"before", **dict(enumerate(run, 2))})


def test_a_journal_of_version_2_is_read_and_continued_with_runs(tmp_path: Path) -> None:
    whole = written(tmp_path, 3)
    packed = whole[:8] + (2).to_bytes(2, "little") + whole[10 : SEGMENT_HEADER_BYTES - 4]
    (tmp_path / FIRST).write_bytes(packed + crc32(packed).to_bytes(4, "little") + whole[SEGMENT_HEADER_BYTES:])
    journal = Journal(tmp_path, PROCESS)
    journal.store(1).put_run(4, [b"message-3", b"message-4"])
    journal.commit(0)
    journal.close()
    assert recovered(tmp_path)[:3] == (4, 6, {number: b"message-%d" % (number - 1) for number in range(1, 6)})


def test_a_file_that_ends_inside_a_record_is_a_torn_tail_too(tmp_path: Path) -> None:
    whole = written(tmp_path, 3)
    begin, _ = last_commit(whole)
    os.truncate(tmp_path / FIRST, begin + 30)
    assert recovered(tmp_path) == (3, 3, {1: b"message-0", 2: b"message-1"}, _torn(whole, begin + 30))


def test_a_cut_is_reported_with_its_file_and_size(tmp_path: Path) -> None:
    whole = written(tmp_path, 3)
    begin, _ = last_commit(whole)
    os.truncate(tmp_path / FIRST, begin + 39)  # behind the kind of the second record
    journal = Journal(tmp_path, PROCESS)
    assert (journal.recovery.cut_file, journal.recovery.cut_bytes) == (FIRST, 39)
    assert (tmp_path / FIRST).stat().st_size == begin
    journal.close()


def test_a_torn_message_that_contains_the_bytes_of_a_record_is_still_a_torn_tail(tmp_path: Path) -> None:
    """Otherwise a client that knows its text's offset could prevent the next start, if a crash comes at that moment."""
    journal = Journal(tmp_path / "source", PROCESS)  # the client's own record, made for this very offset
    send(journal.store(1), b"x" * 50)
    send(journal.store(2), b"forged")
    journal.commit(0)
    source = (tmp_path / "source" / FIRST).read_bytes()
    journal.close()
    _, (_, _, first, _), (_, _, begin, end), _ = records(source)
    body = first + HEAD_BYTES + 8
    journal = Journal(tmp_path / "victim", PROCESS)
    send(journal.store(1), b"x" * (begin - body) + source[begin:end] + b"y" * 50)
    journal.commit(0)
    data = (tmp_path / "victim" / FIRST).read_bytes()
    journal.close()
    assert data[begin:end] == source[begin:end]
    _, (_, _, _, end), _ = records(data)
    (tmp_path / "victim" / FIRST).write_bytes(data[: end - 10] + bytes(len(data) - end + 10))
    (tmp_path / "victim" / "end").unlink()
    assert recovered(tmp_path / "victim")[:3] == (1, 1, {})


def test_a_record_is_valid_only_where_it_was_written(tmp_path: Path) -> None:
    """A block that the disk wrote to the wrong place is not taken for the right one."""
    whole = written(tmp_path, 3)
    _, _, begin, end = records(whole)[1]
    *_, (_, _, _, last) = records(whole)
    (tmp_path / FIRST).write_bytes(whole[:last] + whole[begin:end] + bytes(100))
    assert recovered(tmp_path)[:2] == (4, 4)


def test_a_segment_begins_with_the_numbers_of_the_last_commit_not_of_the_tick_it_began_in(tmp_path: Path) -> None:
    """A crash before the end of that turn loses it, with the whole segment."""
    journal = Journal(tmp_path / "live", PROCESS)
    journal.store(1).next_in = 5
    journal.commit(0)
    journal.store(1).next_in = 6
    while len(list((tmp_path / "live").glob("*.seg"))) == 1:
        send(journal.store(2), b"x" * 500)
    shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    assert recovered(tmp_path / "crashed")[0] == 5
    assert recovered(tmp_path / "crashed")[0] == 5
    journal.close()


# -- damage ------------------------------------------------------------------------------------------------------------


def test_a_bit_flipped_in_any_record_but_the_last_stops_the_start(tmp_path: Path) -> None:
    whole = written(tmp_path, 4)
    rng = random.Random(7)
    for _, _, begin, end in records(whole)[:-1]:
        for at in {begin, begin + 4, begin + 8, end - 1, rng.randrange(begin, end)}:
            damaged = bytearray(whole)
            damaged[at] ^= 1 << rng.randrange(8)
            (tmp_path / FIRST).write_bytes(damaged)
            with pytest.raises(JournalCorrupt, match=rf"{FIRST}: offset {begin}: .*truncate -s {begin} ") as raised:
                Journal(tmp_path, PROCESS)
            assert "Nothing was changed" in str(raised.value)
            assert (tmp_path / FIRST).read_bytes() == bytes(damaged)


def test_the_advice_of_the_error_lets_the_start_continue(tmp_path: Path) -> None:
    whole = bytearray(written(tmp_path, 4))
    kind, _, begin, _ = records(bytes(whole))[-5]
    assert kind == STATE, "of the third commit: its message before it is whole"
    whole[begin] ^= 1
    (tmp_path / FIRST).write_bytes(whole)
    with pytest.raises(JournalCorrupt) as raised:
        Journal(tmp_path, PROCESS)
    command = str(raised.value).rpartition("run: ")[2]
    subprocess.run(command, shell=True, check=True)
    assert sorted(recovered(tmp_path)[2]) == [1, 2]


@pytest.mark.parametrize("some", [PROCESS, DISK], ids=["process", "disk"])
def test_damage_in_an_earlier_segment_stops_the_start(tmp_path: Path, some: JournalSettings) -> None:
    journal = Journal(tmp_path, some)
    for at in range(500):
        send(journal.store(1), b"%0100d" % at)
        journal.commit(at)
    journal.close()
    paths = sorted(tmp_path.glob("*.seg"))
    assert len(paths) > 3
    data = bytearray(paths[1].read_bytes())
    *_, (_, _, begin, end) = records(bytes(data))
    data[end - 1] ^= 1
    paths[1].write_bytes(data)
    with pytest.raises(JournalCorrupt, match=rf"{paths[1].name}: offset {begin}: a bad record"):
        Journal(tmp_path, some)


def test_a_missing_segment_stops_the_start(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    for at in range(500):
        send(journal.store(1), b"%0100d" % at)
        journal.commit(at)
    journal.close()
    paths = sorted(tmp_path.glob("*.seg"))
    paths[2].rename(tmp_path / "aside")
    with pytest.raises(JournalCorrupt, match=f"a segment is missing between {paths[1].name} and {paths[3].name}"):
        Journal(tmp_path, PROCESS)
    (tmp_path / "aside").rename(paths[2])
    assert recovered(tmp_path)[1] == 501


def test_a_segment_under_the_name_of_another_stops_the_start(tmp_path: Path) -> None:
    written(tmp_path, 3)
    (tmp_path / FIRST).rename(tmp_path / "0000000002.seg")
    with pytest.raises(JournalCorrupt, match="this is segment 1"):
        Journal(tmp_path, PROCESS)


def test_a_damaged_header_or_a_foreign_file_stops_the_start(tmp_path: Path) -> None:
    whole = written(tmp_path, 3)
    for data, reason in [
        (whole[:20] + b"\xff" + whole[21:], "damaged segment header"),
        (b"not ours at all" * 10, "not a journal segment"),
    ]:
        (tmp_path / FIRST).write_bytes(data)
        with pytest.raises(JournalCorrupt, match=reason):
            Journal(tmp_path, PROCESS)


def test_the_journal_of_another_version_is_left_alone(tmp_path: Path) -> None:
    whole = written(tmp_path, 3)
    packed = whole[:8] + (1).to_bytes(2, "little") + whole[10 : SEGMENT_HEADER_BYTES - 4]
    old = packed + crc32(packed).to_bytes(4, "little") + whole[SEGMENT_HEADER_BYTES:]
    (tmp_path / FIRST).write_bytes(old)
    with pytest.raises(JournalCorrupt, match=rf"{FIRST}: journal version 1, and this .* reads 2 and 3\.") as raised:
        Journal(tmp_path, PROCESS)
    assert "truncate" not in str(raised.value), "nothing is wrong with it"
    assert (tmp_path / FIRST).read_bytes() == old


def test_a_segment_that_was_named_and_never_written_is_dropped(tmp_path: Path) -> None:
    written(tmp_path, 3)
    (tmp_path / "0000000002.seg").write_bytes(bytes(16_384))
    assert recovered(tmp_path)[1] == 4


# -- a loss of power ---------------------------------------------------------------------------------------------------


def _with_hole(data: bytes, record: int) -> bytes:
    _, _, begin, end = records(data)[record]
    return data[:begin] + bytes(end - begin) + data[end:]


@pytest.mark.parametrize("kind", [OUT, COMMIT])
def test_a_hole_in_what_was_never_synced_is_cut(tmp_path: Path, kind: int) -> None:
    """Pages reach the disk in any order: after a loss of power a later one may be there and an earlier one not."""
    journal = Journal(tmp_path, DISK)
    journal._writer._syncer.advance = lambda *_: None  # type: ignore[union-attr,method-assign]  # a sync that hangs
    for at in range(4):
        send(journal.store(1), b"message-%d" % at)
        journal.commit(at)
    data = _unfinished(tmp_path)
    journal._writer.release()
    journal._lock.release()
    for path in tmp_path.iterdir():
        path.unlink()
    third = next(at for at, record in enumerate(records(data)) if record[0] == kind and at >= 5)
    (tmp_path / FIRST).write_bytes(_with_hole(data, third))
    next_in, next_out, messages, cut = recovered(tmp_path, DISK)
    assert (next_in, next_out, sorted(messages)) == (1, 3, [1, 2])
    assert cut > 0


def test_a_hole_in_what_had_been_synced_stops_the_start(tmp_path: Path) -> None:
    moved = threading.Event()
    journal = Journal(tmp_path, DISK, lambda _: moved.set())
    for at in range(4):
        send(journal.store(1), b"message-%d" % at)
        position = journal.commit(at)
        while journal.durable < position:
            moved.wait(1)
            moved.clear()
    journal.close()
    whole = (tmp_path / FIRST).read_bytes()
    for record in range(len(records(whole)) - 1):
        (tmp_path / FIRST).write_bytes(_with_hole(whole, record))
        with pytest.raises(JournalCorrupt, match="a bad record"):
            Journal(tmp_path, DISK)


# -- any bytes ---------------------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_bytes_are_overwritten_the_start_succeeds_or_says_corrupt(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    whole = bytearray(written(directory, 5)[:1_000])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=40))
        whole[at : at + len(piece)] = piece
    (directory / FIRST).write_bytes(whole)
    try:
        next_in, next_out, messages, _ = recovered(directory)
    except JournalCorrupt:
        return
    assert next_in <= 6
    assert next_out <= 6
    assert all(message == b"message-%d" % (seq_num - 1) for seq_num, message in messages.items())


def test_a_length_that_claims_more_than_the_file_holds_allocates_nothing(tmp_path: Path) -> None:
    whole = bytearray(written(tmp_path, 1))
    *_, (_, _, _, end) = records(bytes(whole))
    whole[end : end + HEAD_BYTES] = HEAD.pack(1, 0xFFFFFFFF, 3, 1)
    (tmp_path / FIRST).write_bytes(whole)
    assert recovered(tmp_path)[3] > 0


# -- kill -9 -----------------------------------------------------------------------------------------------------------

_WRITER = """
import os, sys, threading
from pathlib import Path
from gateway.journal import Journal, JournalSettings
moved = threading.Event()
settings = JournalSettings(durability=sys.argv[2], segment_bytes=65_536)
journal = Journal(Path(sys.argv[1]), settings, lambda _: moved.set())
store = journal.store(1)
turn = store.next_in
while True:
    for _ in range(turn % 7):
        store.put(store.next_out, b"%d" % store.next_out * 50)
        store.next_out += 1
    turn += 1
    store.next_in = turn
    position = journal.commit(turn)
    while journal.durable < position:
        moved.wait()
        moved.clear()
    os.write(1, b"%d %d\\n" % (store.next_in, store.next_out))
"""


@pytest.mark.parametrize("durability", ["process", "disk"])
def test_kill_9_loses_nothing_that_a_durable_commit_returned(tmp_path: Path, durability: str) -> None:
    for round_ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), durability], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert child.stdout is not None
        seen = [child.stdout.readline() for _ in range(150 * (round_ + 1))]
        child.send_signal(signal.SIGKILL)
        seen += child.stdout.readlines()
        child.wait()
        child.stdout.close()
        next_in, next_out = map(int, next(line for line in reversed(seen) if line.endswith(b"\n")).split())
        journal = Journal(tmp_path, JournalSettings(durability="process", segment_bytes=65_536))
        store = journal.store(1)
        assert next_in <= store.next_in <= next_in + 1
        assert store.next_out == 1 + sum(turn % 7 for turn in range(1, store.next_in)), "both numbers of one commit"
        assert store.next_out >= next_out
        messages = dict(store.read(1, 1 << 40))
        assert messages == {seq_num: b"%d" % seq_num * 50 for seq_num in range(1, store.next_out)}
        journal.close()
