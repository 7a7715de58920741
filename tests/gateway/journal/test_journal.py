"""The journal as its owner sees it: stores, commits, retention, and what a reopening gives back.

Modules: journal, journal.store.
"""

import os
import tracemalloc
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.journal import Journal, JournalSettings, MemoryJournal, open_journal
from gateway.journal.record import (
    FIRST_OWNER_KIND,
    OUT,
    OUT_RUN,
    SEGMENT_HEADER_BYTES,
    JournalCorrupt,
    JournalInUse,
    SegmentHeader,
    scan,
)
from gateway.journal.store import JournalStore
from protocols.errors import LocalProtocolError
from protocols.fix.session.store import MessageStore

PROCESS = JournalSettings(durability="process", segment_bytes=1 << 20)
SMALL = JournalSettings(durability="process", segment_bytes=4_096)
END = 13 + 8  # bytes that a commit costs besides its records


def send(store: MessageStore, text: str) -> int:
    """What the session machine does with a report."""
    seq_num = store.next_out
    store.put(seq_num, text.encode())
    store.next_out = seq_num + 1
    return seq_num


def kept(store: MessageStore, begin: int = 1, end: int = 1 << 40) -> dict[int, str]:
    return {seq_num: message.decode() for seq_num, message in store.read(begin, end)}


def send_and_commit(journal: Journal, session: int, texts: int, size: int = 100) -> None:
    for at in range(texts):
        send(journal.store(session), f"{session}:{at}:".ljust(size, "x"))
        journal.commit(0)


# -- one session -----------------------------------------------------------------------------------------------------


def test_numbers_and_messages_come_back_after_a_reopening(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    store = journal.store(7)
    assert (store.next_in, store.next_out) == (1, 1)
    send(store, "one")
    store.next_out += 1  # a heartbeat: numbered, not kept
    send(store, "three")
    store.next_in = 12
    journal.commit(0)
    journal.close()

    journal = Journal(tmp_path, PROCESS)
    store = journal.store(7)
    assert (store.next_in, store.next_out) == (12, 4)
    assert kept(store) == {1: "one", 3: "three"}
    assert {number: (it.next_in, it.next_out) for number, it in journal.recovery.sessions.items()} == {7: (12, 4)}
    assert journal.recovery.cut_bytes == 0
    journal.close()


def test_what_was_not_committed_can_be_read_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    send(journal.store(1), "now")
    assert kept(journal.store(1)) == {1: "now"}
    journal.close()


def test_a_range_is_read_from_its_first_to_its_last_number_inclusive(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    store = journal.store(1)
    for at in range(1, 1_001):
        send(store, f"m{at}")
    assert list(kept(store, 300, 900)) == list(range(300, 901))
    assert list(kept(store, 999, 5_000)) == [999, 1_000]
    assert kept(store, 1_001, 5_000) == {}
    assert kept(store, 5, 4) == {}
    journal.close()


@given(st.lists(st.sampled_from(["take", "wait", "go", "commit", "crash"]), max_size=40))
@settings(max_examples=60, deadline=None)
def test_after_a_crash_exactly_those_are_expected_that_had_not_been_dealt_with(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """take: a message is read and dealt with; wait: it is read and waits; go: the one that waits longest continues."""
    directory = tmp_path_factory.mktemp("journal")
    journal = Journal(directory, PROCESS)
    store, waiting, expected, done = journal.store(1), list[int](), list[int](), set[int]()
    for step in [*steps, "commit", "crash"]:
        if step in ("take", "wait"):
            number = store.next_in
            assert number not in done
            assert not expected or number == expected.pop(0)
            if step == "wait":
                waiting.append(number)
                store.begin_wait(number, number)
            else:
                done.add(number)
            store.next_in = number + 1
        elif step == "go" and waiting:
            done.add(waiting[0])
            store.end_wait(waiting.pop(0))
        elif step == "commit":
            journal.commit(0)
        elif step == "crash":
            journal.commit(0)
            journal._writer.release()
            journal._lock.release()
            expected, waiting = [*waiting, *(each for each in expected if each not in waiting)], []
            journal = Journal(directory, PROCESS)
            store = journal.store(1)
        assert store.intake.processed == (waiting[0] if waiting else store.next_in) - 1
    journal.close()


def test_a_reset_starts_both_numbers_at_one_and_forgets_the_messages(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    store = journal.store(1)
    send(store, "before")
    store.next_in = 5
    journal.commit(0)
    store.reset()
    assert (store.next_in, store.next_out, kept(store)) == (1, 1, {})
    store.next_in = 2
    send(store, "after")
    journal.commit(0)
    journal.close()

    journal = Journal(tmp_path, PROCESS)
    store = journal.store(1)
    assert (store.next_in, store.next_out, kept(store)) == (2, 2, {1: "after"})
    journal.close()


def test_a_number_cannot_get_a_second_content(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    store = journal.store(1)
    send(store, "first")
    with pytest.raises(LocalProtocolError, match="keeps its content"):
        store.put(1, b"second")
    journal.close()
    assert kept(Journal(tmp_path, PROCESS).store(1)) == {1: "first"}


def test_a_jump_of_a_billion_numbers_costs_no_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    store = journal.store(1)
    send(store, "low")
    store.next_out = 1_000_000_000
    tracemalloc.start()
    send(store, "high")
    journal.commit(0)
    assert kept(store) == {1: "low", 1_000_000_000: "high"}
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    journal.close()


def test_sessions_share_segments_and_do_not_see_each_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SMALL)
    for at in range(200):
        send(journal.store(at % 3), f"{at % 3}-{at}")
        journal.commit(0)
    assert kept(journal.store(1)) == {at // 3 + 1: f"1-{at}" for at in range(1, 200, 3)}
    journal.close()


# -- commits ---------------------------------------------------------------------------------------------------------


def test_one_state_record_a_commit_however_often_the_numbers_moved(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    store = journal.store(1)
    before = journal.commit(0)
    for _ in range(100):
        store.next_in += 1
    assert journal.commit(0) - before == 13 + 16 + END
    assert journal.commit(0) - before == 13 + 16 + END, "nothing new, nothing written"
    journal.close()


def test_a_message_gives_next_out_by_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    before = journal.commit(0)
    send(journal.store(1), "x" * 50)
    assert journal.commit(0) - before == 13 + 8 + 50 + END, "no STATE beside it"
    journal.close()


def test_under_process_durability_a_commit_is_durable_when_it_returns(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    send(journal.store(1), "x")
    assert journal.durable < journal.commit(0) == journal.durable
    journal.close()


def test_positions_rise_over_segments_and_reopenings(tmp_path: Path) -> None:
    positions = []
    for _ in range(3):
        journal = Journal(tmp_path, SMALL)
        for _ in range(50):
            positions.append(journal.append(FIRST_OWNER_KIND, 1, b"x" * 200))
            positions.append(journal.commit(0) - 1)
        journal.close()
    assert positions == sorted(set(positions))


# -- the owner's records -----------------------------------------------------------------------------------------------


def test_the_owners_records_come_back_in_order_with_their_positions(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SMALL)
    sent = [(16 + at % 3, at, journal.append(16 + at % 3, at, b"%d" % at * 40), b"%d" % at * 40) for at in range(200)]
    journal.commit(0)
    journal.close()
    seen: list[tuple[int, int, int, bytes]] = []
    Journal(tmp_path, SMALL, sink=lambda *record: seen.append(record)).close()
    assert seen == sent


def test_a_record_longer_than_a_segment_gets_one_that_holds_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SMALL)
    body = os.urandom(100_000)
    journal.append(FIRST_OWNER_KIND, 0, body)
    send(journal.store(1), "after")
    journal.commit(0)
    journal.close()
    seen: list[bytes] = []
    journal = Journal(tmp_path, SMALL, sink=lambda *record: seen.append(record[3]))
    assert seen == [body]
    assert kept(journal.store(1)) == {1: "after"}
    journal.close()


@pytest.mark.parametrize(("kind", "session", "body"), [(3, 1, b""), (256, 1, b""), (16, -1, b""), (16, 1 << 32, b"")])
def test_an_owner_cannot_write_what_could_not_be_read(tmp_path: Path, kind: int, session: int, body: bytes) -> None:
    journal = Journal(tmp_path, PROCESS)
    with pytest.raises(LocalProtocolError):
        journal.append(kind, session, body)
    journal.close()


# -- retention ---------------------------------------------------------------------------------------------------------


def test_segments_that_are_not_needed_are_dropped_and_the_numbers_survive(tmp_path: Path) -> None:
    some = JournalSettings(durability="process", segment_bytes=4_096, retain_messages=50)
    journal = Journal(tmp_path, some)
    journal.store(2).next_in = 77  # a quiet session: its STATE lies in the first segment
    send_and_commit(journal, 1, 1_000)
    held = list(kept(journal.store(1)))
    assert held == list(range(held[0], 1_001))
    assert 50 <= len(held) < 50 + 2 * 4_096 // 100
    assert len(list(tmp_path.glob("*.seg"))) <= 4
    journal.close()

    journal = Journal(tmp_path, some)
    assert (journal.store(2).next_in, journal.store(1).next_out) == (77, 1_001)
    assert list(kept(journal.store(1)))[-50:] == list(range(951, 1_001))
    journal.close()


def test_retention_counts_bytes_too(tmp_path: Path) -> None:
    some = JournalSettings(durability="process", segment_bytes=4_096, retain_bytes=5_000)
    journal = Journal(tmp_path, some)
    send_and_commit(journal, 1, 1_000)
    assert 5_000 <= sum(map(len, kept(journal.store(1)).values())) < 5_000 + 2 * 4_096
    journal.close()


def test_a_quiet_sessions_messages_are_kept_until_the_whole_is_too_big(tmp_path: Path) -> None:
    some = JournalSettings(durability="process", segment_bytes=4_096, retain_messages=10, max_bytes=64_000)
    journal = Journal(tmp_path, some)
    send(journal.store(2), "a fill for a client who is away")
    send_and_commit(journal, 1, 300)
    assert kept(journal.store(2)) == {1: "a fill for a client who is away"}
    assert journal.dropped_early == 0
    send_and_commit(journal, 1, 1_000)
    assert kept(journal.store(2)) == {}
    assert journal.store(2).next_out == 2, "its number is never given away again"
    assert journal.dropped_early > 0
    assert journal.size_bytes <= 64_000 + 4_096
    journal.close()


def test_what_the_owner_still_needs_is_kept(tmp_path: Path) -> None:
    some = JournalSettings(durability="process", segment_bytes=4_096, retain_messages=1, max_bytes=16_384)
    journal = Journal(tmp_path, some)
    journal.append(FIRST_OWNER_KIND, 0, b"command")
    send_and_commit(journal, 1, 1_000)
    snapshot = journal.append(FIRST_OWNER_KIND + 1, 0, b"snapshot")
    send_and_commit(journal, 1, 1_000)
    journal.close()
    for needed in ([b"command", b"snapshot"], [b"snapshot"]):
        seen: list[bytes] = []
        journal = Journal(tmp_path, some, sink=lambda *record: seen.append(record[3]))  # noqa: B023
        assert seen == needed
        journal.keep_from = snapshot
        send_and_commit(journal, 1, 100)
        journal.close()


def test_a_reader_that_is_overtaken_by_retention_ends_quietly(tmp_path: Path) -> None:
    some = JournalSettings(durability="process", segment_bytes=4_096, retain_messages=10)
    journal = Journal(tmp_path, some)
    send_and_commit(journal, 1, 100)
    reader = journal.store(1).read(1, 1 << 40)
    first, _ = next(reader)
    send_and_commit(journal, 1, 1_000)
    rest = [seq_num for seq_num, _ in reader]
    assert rest == sorted(rest)
    assert first < rest[0]
    assert rest[-1] == 1_100
    journal.close()


# -- memory ------------------------------------------------------------------------------------------------------------


def test_reading_a_hundred_thousand_messages_costs_a_slice_of_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path, JournalSettings(durability="process", segment_bytes=8 << 20))
    store = journal.store(1)
    for at in range(100_000):
        seq_num = store.next_out
        store.put(seq_num, b"%-200d" % at)
        store.next_out = seq_num + 1
        if not at % 64:
            journal.commit(0)
    journal.commit(0)
    tracemalloc.start()
    count = sum(1 for _ in store.read(1, 100_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    journal.close()
    assert count == 100_000
    assert peak < 1 << 20


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_is_one_record_and_each_of_its_messages_can_be_read_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    store = journal.store(1)
    send(store, "one")
    store.put_run(2, [b"two", b"", b"four"])
    store.next_out = 6  # a heartbeat is between
    store.put_run(6, [b"six", b"seven"])
    store.next_out = 8
    journal.commit(0)
    every = {1: "one", 2: "two", 3: "", 4: "four", 6: "six", 7: "seven"}
    for _ in range(2):
        store = journal.store(1)
        assert kept(store) == every
        assert [kept(store, number, number) for number in range(1, 9)] == [
            {number: every[number]} if number in every else {} for number in range(1, 9)
        ]
        assert (kept(store, 3, 6), store.next_out) == ({3: "", 4: "four", 6: "six"}, 8)
        journal.close()
        journal = Journal(tmp_path, PROCESS)
    journal.close()


@pytest.mark.parametrize("durability", ["process", "memory"])
def test_a_number_is_not_kept_twice_by_runs_either(tmp_path: Path, durability: Literal["process", "memory"]) -> None:
    journal = open_journal(tmp_path, JournalSettings(durability=durability), lambda _: None)
    store = journal.store(1)
    store.put_run(5, [b"five", b"six"])
    for first in (4, 5, 6):
        with pytest.raises(LocalProtocolError, match="after 6: a number keeps its content forever"):
            store.put_run(first, [b"a", b"b", b"c"])
    store.put_run(7, [])
    store.put_run(7, [b"seven"])
    store.next_out = 8
    assert kept(store) == {5: "five", 6: "six", 7: "seven"}
    journal.close()


def test_a_long_run_is_several_records_of_64_kib_at_most(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    run = [bytes([65 + at % 26]) * 1_000 for at in range(300)]
    run[70] = b"x" * 100_000  # too long by itself: it gets a record of its own
    journal.store(1).put_run(1, run)
    journal.commit(0)
    data = (tmp_path / "0000000001.seg").read_bytes()
    salt = SegmentHeader.unpack(data).salt
    sizes = [end - offset for kind, _, offset, end in scan(data, SEGMENT_HEADER_BYTES, salt) if kind in (OUT, OUT_RUN)]
    assert len(sizes) < 20
    assert sorted(sizes)[-2] < 65_600 < sorted(sizes)[-1]
    assert [message for _, message in journal.store(1).read(1, 999)] == run
    journal.close()


def test_a_run_costs_some_four_bytes_of_memory_a_message(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    store, run = journal.store(1), [b"x" * 100] * 64
    store.put_run(1, run)
    journal.commit(0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for at in range(1, 1_000):
        store.put_run(1 + 64 * at, run)
        journal.commit(0)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    journal.close()
    assert held < 6 * 64 * 1_000, "an array has some room to grow"


def test_retention_drops_segments_with_runs_by_number(tmp_path: Path) -> None:
    few = JournalSettings(durability="process", segment_bytes=4_096, retain_messages=100)
    journal = Journal(tmp_path, few)
    store = journal.store(1)
    for _ in range(60):
        store.put_run(store.next_out, [b"%d" % (store.next_out + at) * 20 for at in range(20)])
        store.next_out += 20
        journal.commit(0)
    for _ in range(2):
        read = dict(journal.store(1).read(1, 1 << 40))
        assert 100 <= len(read) < 300
        assert list(read) == list(range(1_201 - len(read), 1_201))
        assert all(message == b"%d" % number * 20 for number, message in read.items())
        journal.close()
        journal = Journal(tmp_path, few)
    journal.close()


# -- the directory -----------------------------------------------------------------------------------------------------


def test_two_journals_cannot_have_one_directory(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    with pytest.raises(JournalInUse, match=f"in use by process {os.getpid()}"):
        Journal(tmp_path, PROCESS)
    journal.close()
    Journal(tmp_path, PROCESS).close()


def test_closing_leaves_nothing_allocated_that_is_not_used(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    send(journal.store(1), "x")
    journal.close()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["0000000001.seg", "end", "lock"]
    assert (tmp_path / "0000000001.seg").stat().st_size < 200


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        journal = Journal(tmp_path, SMALL)
        send_and_commit(journal, 1, 200)
        journal.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_memory_durability_is_the_same_without_a_disk(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "none", JournalSettings(durability="memory"), lambda _: None)
    assert isinstance(journal, MemoryJournal)
    send(journal.store(1), "x")
    assert journal.commit(0) <= journal.durable
    assert kept(journal.store(1)) == {1: "x"}
    assert not (tmp_path / "none").exists()


def test_a_message_changed_on_the_disk_is_not_resent(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    send(journal.store(1), "side=buy")
    journal.commit(0)
    path = tmp_path / "0000000001.seg"
    path.write_bytes(path.read_bytes().replace(b"side=buy", b"side=sel"))
    with pytest.raises(JournalCorrupt, match=r"0000000001\.seg: offset \d+: the record was changed"):
        kept(journal.store(1))
    journal.close()


# -- against a model ---------------------------------------------------------------------------------------------------

_SESSIONS = st.integers(0, 2)
_STEPS = st.one_of(
    st.tuples(st.just("send"), _SESSIONS, st.integers(0, 3_000)),
    st.tuples(st.just("run"), _SESSIONS, st.integers(0, 400)),
    st.tuples(st.just("number"), _SESSIONS, st.integers(1, 3_000)),
    st.tuples(st.just("take"), _SESSIONS, st.integers(1, 50)),
    st.tuples(st.just("reset"), _SESSIONS, st.just(0)),
    st.tuples(st.just("commit"), st.just(0), st.just(0)),
    st.tuples(st.just("reopen"), st.just(0), st.just(0)),
)


class Model:
    """One session as a dict."""

    def __init__(self) -> None:
        self.next_in = self.next_out = 1
        self.messages: dict[int, bytes] = {}


def _step(store: JournalStore, model: Model, name: str, amount: int) -> None:
    if name == "send":
        message = bytes([amount % 251]) * amount
        store.put(model.next_out, message)
        model.messages[model.next_out] = message
        model.next_out = store.next_out = model.next_out + 1
    elif name == "run":
        run = [bytes([at % 251]) * (at * amount % 499) for at in range(amount)]  # the longer ones are split
        store.put_run(model.next_out, run)
        model.messages.update(enumerate(run, model.next_out))
        model.next_out = store.next_out = model.next_out + amount
    elif name == "number":
        model.next_out = store.next_out = model.next_out + amount
    elif name == "take":
        model.next_in = store.next_in = model.next_in + amount
    elif name == "reset":
        store.reset()
        model.__init__()  # type: ignore[misc]


@given(st.lists(_STEPS, max_size=60), st.sampled_from(["process", "disk"]))
@settings(max_examples=60, deadline=None)
def test_any_history_is_what_a_dict_would_say(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]], durability: str
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    some = JournalSettings(durability=durability, segment_bytes=4_096)  # type: ignore[arg-type]
    journal = Journal(directory, some)
    models = {session: Model() for session in range(3)}
    for name, session, amount in [*steps, ("reopen", 0, 0)]:
        if name == "commit":
            journal.commit(0)
        elif name == "reopen":
            journal.close()
            journal = Journal(directory, some)
        else:
            _step(journal.store(session), models[session], name, amount)
    for session, model in models.items():
        store = journal.store(session)
        assert (store.next_in, store.next_out) == (model.next_in, model.next_out)
        assert dict(store.read(1, 1 << 40)) == model.messages
        middle = model.next_out // 2
        assert list(store.read(middle, middle + 5)) == [
            (seq_num, model.messages[seq_num]) for seq_num in range(middle, middle + 6) if seq_num in model.messages
        ]
    journal.close()
