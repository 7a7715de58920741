"""A commit is there as a whole or not at all, wherever a crash cuts it, and however many segments it spans.

The crashes here are of the process: what was written up to some byte is there. A loss of power, which leaves any of the
unsynced sectors, is `journal/test_power.py`. Modules: journal.writer, journal.scan.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.journal import Journal, JournalSettings
from gateway.journal import scan as recovery
from gateway.journal.record import (
    COMMIT,
    HEAD_BYTES,
    OUT,
    OUT_RUN,
    OUT_RUN_PREFIX,
    SEGMENT_HEADER_BYTES,
    U64,
    SegmentHeader,
    scan,
)
from gateway.journal.store import JournalStore

END = 13 + 8  # bytes of a COMMIT
COMMANDS = 16
SNAPSHOT = 17
SMALL = JournalSettings(durability="process", segment_bytes=4_096)
GREEDY = JournalSettings(durability="process", segment_bytes=4_096, retain_messages=1, retain_bytes=1)


def send(store: JournalStore, size: int) -> None:
    store.put(store.next_out, b"%d." % store.next_out * size)
    store.next_out += 1


def send_run(store: JournalStore, size: int) -> None:
    """Up to 31 messages of different sizes. Some runs are longer than a segment."""
    count = size % 31 + 1
    store.put_run(store.next_out, [b"%d." % (store.next_out + at) * (size * at // 31) for at in range(count)])
    store.next_out += count


def crashed(journal: Journal, live: Path, copy: Path) -> Path:
    """What a kill -9 would leave here. `live` is the directory of `journal`, which continues."""
    journal._writer.flush()  # as if the turn were so large that its first part is already written
    shutil.copytree(live, copy)
    return copy


def owned(directory: Path, some: JournalSettings = SMALL) -> list[bytes]:
    """The owner's records that a start reads."""
    seen: list[bytes] = []
    Journal(directory, some, sink=lambda *record: seen.append(record[3])).close()
    return seen


def names(directory: Path) -> list[str]:
    return sorted(path.stem.lstrip("0") for path in directory.glob("*.seg"))


# -- one commit --------------------------------------------------------------------------------------------------------


def test_a_command_its_messages_and_its_numbers_come_back_together_or_not_at_all(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "live", SMALL)
    journal.append(COMMANDS, 0, b"first")
    send(journal.store(1), 3)
    journal.store(1).next_in = 2
    journal.commit(0)
    journal.append(COMMANDS, 0, b"second")
    send(journal.store(1), 3)  # the report to its sender
    send(journal.store(2), 3)  # and to the counterparty
    journal.store(1).next_in = 3
    before = crashed(journal, tmp_path / "live", tmp_path / "before")
    journal.commit(0)
    behind = crashed(journal, tmp_path / "live", tmp_path / "behind")
    journal.close()

    found = Journal(before, SMALL)
    assert (found.store(1).next_in, found.store(1).next_out, found.store(2).next_out) == (2, 2, 1)
    assert found.recovery.cut_bytes > 0
    found.close()
    assert owned(before) == [b"first"]
    found = Journal(behind, SMALL)
    assert (found.store(1).next_in, found.store(1).next_out, found.store(2).next_out) == (3, 3, 2)
    assert found.recovery.cut_bytes == 0
    found.close()
    assert owned(behind) == [b"first", b"second"]


def test_a_reset_without_its_commit_never_happened(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "live", SMALL)
    send(journal.store(1), 3)
    journal.commit(0)
    journal.store(1).reset()
    found = Journal(crashed(journal, tmp_path / "live", tmp_path / "crashed"), SMALL)
    assert (found.store(1).next_out, dict(found.store(1).read(1, 9))) == (2, {1: b"1.1.1."})
    found.close()
    journal.close()


# -- a commit that is larger than a segment ----------------------------------------------------------------------------


def test_a_commit_over_many_segments_is_whole_or_cut_out_of_all_of_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "live", SMALL)
    send(journal.store(1), 10)
    end = journal.commit(0)
    for at in range(100):
        journal.append(COMMANDS, 0, b"%03d" % at * 40)
        send(journal.store(1), 40)
    assert len(names(tmp_path / "live")) > 4
    before = crashed(journal, tmp_path / "live", tmp_path / "before")
    journal.commit(0)
    behind = crashed(journal, tmp_path / "live", tmp_path / "behind")
    journal.close()

    found = Journal(before, SMALL)
    assert (found.store(1).next_out, found.recovery.cut_file) == (2, "0000000001.seg")
    assert found.recovery.cut_bytes > 4 * 4_096
    assert names(before) == ["1", "2"], "the first, cut, and the new one"
    assert end <= found.durable < end + 100, "positions go on behind what is left"
    send(found.store(1), 10)
    found.commit(0)
    found.close()
    found = Journal(before, SMALL)
    assert dict(found.store(1).read(1, 9)) == {1: b"1." * 10, 2: b"2." * 10}
    found.close()
    assert owned(before) == []
    assert owned(behind) == [b"%03d" % at * 40 for at in range(100)]


def test_a_start_that_is_killed_before_its_first_commit_leaves_what_was_there(tmp_path: Path) -> None:
    """Each start begins a segment, and none replaces the one before."""
    journal = Journal(tmp_path, SMALL)
    send(journal.store(1), 10)
    journal.commit(0)
    journal.close()
    for at in range(3):
        journal = Journal(tmp_path, SMALL)
        shutil.copytree(tmp_path, tmp_path / f"{at}")
        journal.close()
        path = max((tmp_path / f"{at}").glob("*.seg"))
        data = path.read_bytes()
        path.write_bytes(data[:SEGMENT_HEADER_BYTES] + bytes(len(data) - SEGMENT_HEADER_BYTES))  # header, and no more
        found = Journal(tmp_path / f"{at}", SMALL)
        assert dict(found.store(1).read(1, 9)) == {1: b"1." * 10}
        found.close()


def test_a_crash_in_the_middle_of_cutting_leaves_what_can_be_cut_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "live", SMALL)
    send(journal.store(1), 10)
    journal.commit(0)
    for _ in range(100):
        send(journal.store(2), 60)
    before = crashed(journal, tmp_path / "live", tmp_path / "before")
    journal.close()
    real, left = Path.unlink, names(before)
    while len(left) > 1:

        def unlink_one(path: Path, *args: bool) -> None:
            real(path, *args)
            if path.suffix == ".seg":
                raise OSError("killed")

        monkeypatch.setattr(Path, "unlink", unlink_one)
        with pytest.raises(OSError, match="killed"):
            Journal(before, SMALL)
        monkeypatch.undo()
        assert names(before) == left[:-1]
        left = names(before)
    found = Journal(before, SMALL)
    assert (found.store(1).next_out, found.store(2).next_out) == (2, 1)
    found.close()


def test_the_names_that_are_gone_are_synced_before_the_segment_below_them_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a loss of power during the start could leave a segment that does not follow the one before."""
    journal = Journal(tmp_path / "live", SMALL)
    for _ in range(30):
        send(journal.store(1), 60)
    before = crashed(journal, tmp_path / "live", tmp_path / "before")
    journal.close()
    calls: list[str] = []

    def noted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        return lambda *args: (calls.append(name), real(*args))[1]  # type: ignore[func-returns-value]

    for name in ("unlink", "fsync", "ftruncate"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    recovery.SegmentScan(before, None)
    gone = calls.count("unlink")
    assert gone > 0
    assert calls[-2 - 2 * gone :] == ["unlink", "fsync"] * gone + ["ftruncate", "fsync"]


def test_the_end_of_a_commit_has_room_in_what_was_allocated(tmp_path: Path) -> None:
    """On a full disk there is no next segment: this one is filled to its last bytes, and never grows."""
    for free in range(64):
        journal = Journal(tmp_path / f"{free}", SMALL)
        used = SEGMENT_HEADER_BYTES + END + 2 * (HEAD_BYTES + 8) + 2_000
        journal.store(1).put(1, bytes(2_000))
        journal.store(1).put(2, bytes(4_096 - used - free))
        journal.commit(0)
        assert {path.stat().st_size for path in (tmp_path / f"{free}").glob("*.seg")} == {4_096}
        journal.close()
        assert max(path.stat().st_size for path in (tmp_path / f"{free}").glob("*.seg")) <= 4_096


# -- retention ---------------------------------------------------------------------------------------------------------


def test_no_segment_is_dropped_on_the_word_of_a_checkpoint_that_is_not_committed(tmp_path: Path) -> None:
    """The numbers of a quiet session are in the first segment only, until a complete commit repeats them."""
    journal = Journal(tmp_path / "live", GREEDY)
    journal.store(2).next_in = 77
    journal.commit(0)
    for _ in range(100):
        send(journal.store(1), 60)
    found = Journal(crashed(journal, tmp_path / "live", tmp_path / "crashed"), GREEDY)
    assert found.store(2).next_in == 77
    found.close()
    journal.commit(0)
    for _ in range(100):
        send(journal.store(1), 60)
        journal.commit(0)
    assert len(names(tmp_path / "live")) <= 3, "then it goes"
    journal.close()
    found = Journal(tmp_path / "live", GREEDY)
    assert found.store(2).next_in == 77
    found.close()


def test_a_snapshot_stands_for_what_came_before_only_when_it_is_committed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "live", GREEDY)
    journal.append(COMMANDS, 0, b"order")
    for _ in range(100):
        send(journal.store(1), 30)
        journal.commit(0)
    journal.keep_from = journal.append(SNAPSHOT, 0, b"the order")
    for _ in range(200):
        send(journal.store(1), 30)  # segments are turned in this tick
    assert owned(crashed(journal, tmp_path / "live", tmp_path / "before"), GREEDY) == [b"order"]
    journal.commit(0)
    for _ in range(100):
        send(journal.store(1), 30)
        journal.commit(0)
    assert owned(crashed(journal, tmp_path / "live", tmp_path / "behind"), GREEDY) == [b"the order"]
    journal.close()


# -- a cut at any byte -------------------------------------------------------------------------------------------------


class Contents(msgspec.Struct):
    """What a start must give back: the numbers and messages of each session, and the owner's records."""

    numbers: dict[int, tuple[int, int]]
    messages: dict[int, dict[int, bytes]]
    owned: list[bytes]


def _contents(journal: Journal, records: list[bytes]) -> Contents:
    stores = [journal.store(session) for session in range(3)]
    return Contents(
        {store.session: (store.next_in, store.next_out) for store in stores},
        {store.session: dict(store.read(1, 1 << 40)) for store in stores},
        records.copy(),
    )


def _reopened(directory: Path) -> Contents:
    records: list[bytes] = []
    journal = Journal(directory, SMALL, sink=lambda *record: records.append(record[3]))
    contents = _contents(journal, records)
    journal.close()
    return contents


_STEPS: dict[str, Callable[[JournalStore, int], None]] = {
    "send": send,
    "run": send_run,
    "take": lambda store, amount: setattr(store, "next_in", store.next_in + amount),
    "number": lambda store, amount: setattr(store, "next_out", store.next_out + amount),
    "reset": lambda store, _: store.reset(),
}
_HISTORY = st.lists(
    st.tuples(
        st.sampled_from(["send", "run", "send", "own", "take", "number", "reset", "commit"]), st.integers(0, 900)
    ),
    min_size=1,
    max_size=50,
)


def _play(journal: Journal, history: list[tuple[str, int]]) -> list[tuple[int, Contents]]:
    """The gateway, and its position, after each commit; that of the start is the first."""
    records: list[bytes] = []
    states = [(journal.durable, _contents(journal, records))]
    for at, (name, amount) in enumerate(history):
        if name == "commit":
            position = journal.commit(at)
            assert journal.durable == position
            states.append((position, _contents(journal, records)))
        elif name == "own":
            records.append(b"%d." % at * amount)
            journal.append(COMMANDS, 0, records[-1])
        else:
            _STEPS[name](journal.store(amount % 3), amount)
    return states


def _without_dropped(contents: Contents, directory: Path) -> Contents:
    """The same without the messages whose segment retention has dropped since."""
    left, coming = set[tuple[int, int]](), set[tuple[int, int]]()
    for path in sorted(directory.glob("*.seg")):
        data = path.read_bytes()
        for kind, session, offset, _ in scan(data, SEGMENT_HEADER_BYTES, SegmentHeader.unpack(data).salt):
            if kind == OUT:
                coming.add((session, U64.unpack_from(data, offset + HEAD_BYTES)[0]))
            elif kind == OUT_RUN:
                first, count = OUT_RUN_PREFIX.unpack_from(data, offset + HEAD_BYTES)
                coming |= {(session, number) for number in range(first, first + count)}
            elif kind == COMMIT:
                left |= coming
                coming.clear()
    messages = {
        session: {number: message for number, message in row.items() if (session, number) in left}
        for session, row in contents.messages.items()
    }
    return msgspec.structs.replace(contents, messages=messages)


def _safe(directory: Path) -> int:
    """The position below which a crash can take nothing, as far as the files tell.

    A segment is dropped when a commit that ends behind it is durable: then the first commit of those left is.
    """
    for path in sorted(directory.glob("*.seg")):
        data = path.read_bytes()
        header = SegmentHeader.unpack(data)
        if header.number == 1:
            return 0
        for kind, _, _, end in scan(data, SEGMENT_HEADER_BYTES, header.salt):
            if kind == COMMIT:
                return header.first_position + end
    raise AssertionError("segments were dropped, and no commit is left")


def _cut(directory: Path, at: int) -> int:
    """Keep what was written before the position `at`; the position up to which nothing is missing."""
    assert at >= _safe(directory), "no crash takes that"
    (directory / "end").unlink(missing_ok=True)  # at that moment it said less, or was not there
    reached = at
    for path in sorted(directory.glob("*.seg")):
        data = path.read_bytes()
        header = SegmentHeader.unpack(data)
        offset = at - header.first_position
        end = max(record[3] for record in scan(data, SEGMENT_HEADER_BYTES, header.salt))
        if offset < SEGMENT_HEADER_BYTES:  # a segment has its name only when its header is written
            path.unlink()
        elif offset < end:
            path.write_bytes(data[:offset] + bytes(len(data) - offset))
            lost = data[offset:end]
            reached += len(lost) - len(lost.lstrip(b"\0"))  # zeros are there either way
    return reached


@given(_HISTORY, st.data())
@settings(max_examples=120, deadline=None)
def test_after_a_cut_at_any_byte_the_gateway_is_that_of_the_last_commit_that_is_whole(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, int]], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    journal = Journal(directory / "live", SMALL)
    states = _play(journal, history)
    journal._writer.flush()
    end = journal._writer.position
    copy = crashed(journal, directory / "live", directory / "copy")
    journal.close()
    reached = _cut(copy, data.draw(st.integers(_safe(copy), end), label="cut at"))
    last = ([contents for position, contents in states if position <= reached] or [states[0][1]])[-1]
    expected = _without_dropped(last, copy)
    assert _reopened(copy) == expected
    assert _reopened(copy) == expected, "for good"


def test_a_cut_right_after_the_first_commit_that_is_left_gives_what_it_says(tmp_path: Path) -> None:
    """The segments before it are gone: its checkpoint has their numbers."""
    history = [("number", 385), ("number", 700), ("commit", 0)]
    history += [("send", 900), ("send", 900), ("reset", 900), ("commit", 0)] * 4
    journal = Journal(tmp_path / "live", SMALL)
    states = _play(journal, history)
    copy = crashed(journal, tmp_path / "live", tmp_path / "copy")
    journal.close()
    assert names(copy)[0] != "1"
    reached = _cut(copy, _safe(copy))
    last = [contents for position, contents in states if position <= reached][-1]
    assert _reopened(copy) == _without_dropped(last, copy)


def test_a_cut_at_each_byte_of_two_commits_gives_the_state_before_between_or_after_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "live", SMALL)
    states = _play(
        journal, [("own", 5), ("send", 6), ("take", 3), ("commit", 0), ("send", 9), ("own", 2), ("commit", 0)]
    )
    live = crashed(journal, tmp_path / "live", tmp_path / "copy")
    end = journal._writer.position
    journal.close()
    found = []
    for at in range(states[0][0], end + 1):
        copy = shutil.copytree(live, tmp_path / f"{at}")
        reached = _cut(copy, at)
        contents = _reopened(copy)
        assert contents == [contents for position, contents in states if position <= reached][-1]
        found.append([contents for _, contents in states].index(contents))
    assert found == sorted(found)
    assert set(found) == {0, 1, 2}


def test_each_commit_ends_with_the_one_record_that_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SMALL)
    positions = [SEGMENT_HEADER_BYTES + END]  # the start's own, which makes the checkpoint count
    for _ in range(3):
        send(journal.store(1), 3)
        journal.store(1).next_in += 1
        positions.append(journal.commit(0))
    data = (tmp_path / "0000000001.seg").read_bytes()
    ends = [
        end for kind, *_, end in scan(data, SEGMENT_HEADER_BYTES, SegmentHeader.unpack(data).salt) if kind == COMMIT
    ]
    assert ends == positions
    journal.close()
