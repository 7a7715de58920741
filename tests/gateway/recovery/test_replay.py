"""What a start reads back: the state of the latest snapshot and what came after it, and as many events as are kept."""

import msgspec
import pytest

from gateway.core.engine import Engine
from gateway.journal.record import JournalCorrupt
from gateway.recovery import replay as replaying
from gateway.recovery.records import CHUNK, COMMANDS, SNAPSHOT, WS_SESSION, Snapshot, SnapshotChunk, body, commands_body
from gateway.recovery.replay import JournalReplay, NoSoundSnapshot
from gateway.sessions.former_names import WsSessionRecord
from protocols.messages import NewOrder, OrdType, Origin, Side, Tif
from tests.support.order_path import BTC


def engine():
    return Engine((BTC,), 65_536, "e-1")


def order(number):
    return NewOrder(
        number, 1, 1, Origin.FIX, number, 0, f"o{number}", BTC.id, Side.BUY, OrdType.LIMIT, Tif.GTC, 10, 100_00
    )


def snapshot(of):
    return SNAPSHOT, body(Snapshot(of.snapshot(), (), (), 7))


def journal(plan):
    """The records of a process that did this, and its engine.

    A number = so many orders, `S` = a snapshot; `B` = one is begun, `P` = its next chunk, `E` = its end.
    """
    live, rows, number, chunks, made = engine(), [], 0, iter(()), 0
    for step in plan:
        if step == "S":
            rows.append(snapshot(live))
        elif step == "E":
            rows.append((SNAPSHOT, body(Snapshot(b"", (), (), 7, made))))
        elif isinstance(step, str):
            if step == "B":
                chunks, made = live.begin_snapshot(), 0
            rows.append((CHUNK, body(SnapshotChunk(made, next(chunks)))))
            made += 1
        if isinstance(step, str):
            continue
        for _ in range(step):
            number += 1
            rows.append((COMMANDS, commands_body([order(number)], number)))
            live.execute(order(number), number)
    return rows, live


def poisoned(row, engine_of):
    """The same record, with the engine's part as a bug in the gateway could have made it."""
    kind, data = row
    shape = msgspec.msgpack.Decoder(SnapshotChunk if kind == CHUNK else Snapshot)
    return kind, body(msgspec.structs.replace(shape.decode(data), engine=engine_of))


def read_back(rows, max_events=1_000):
    replay = JournalReplay(engine(), max_events)
    for position, (kind, data) in enumerate(rows):
        replay.take(kind, 0, position, data)
    replay.restore_engine()
    return replay


CHUNKS = [
    ["S", 3, "B", "P", "E"],
    ["S", 3, "B", 2, "P", 1, "E", 2],
    ["S", 3, "B", 2, "P"],  # the process ended before its end
    ["S", 3, "B", 2, "P", "S", 1],
    ["S", 3, "B", 2, "B", 2, "P", 1, "E", 1, "B", 1, "P", "E"],
    [3, "B", 2, "P", 2, "E", 1],  # the records before it are gone
]


@pytest.mark.parametrize(
    "plan", [["S"], ["S", 3], ["S", 3, "S"], ["S", 2, "S", 3], [5, "S", 1], ["S", 1, "S", 1, "S"], *CHUNKS]
)
def test_the_engine_is_as_the_last_process_had_it(plan):
    rows, live = journal(plan)
    assert read_back(rows).engine.digest() == live.digest()


def test_events_from_before_the_latest_snapshot_are_there_for_clients_that_resume():
    rows, _ = journal(["S", 5, "S", 5, "S", 2])
    replay = read_back(rows)
    assert [event.cl_ord_id for event in replay.events[1]] == [f"o{number}" for number in range(1, 13)]


@pytest.mark.parametrize("plan", CHUNKS[:-1])
def test_each_command_is_executed_once_whatever_snapshots_were_on_their_way(plan):
    rows, _ = journal(plan)
    replay = read_back(rows)
    orders = sum(step for step in plan if isinstance(step, int))
    assert [event.cl_ord_id for event in replay.events[1]] == [f"o{number}" for number in range(1, orders + 1)]
    assert replay.count == orders


def test_names_of_sessions_that_ended_are_known_and_a_snapshot_without_them_is_read():
    _, live = journal([])
    former = (WsSessionRecord(65_536, "key", "bot"),)
    whole = body(Snapshot(live.snapshot(), (), (), 7, former=former))
    older = msgspec.msgpack.encode(msgspec.msgpack.decode(whole)[:-2])  # nor where a link stands
    assert read_back([(SNAPSHOT, whole)]).name_of(65_536) == "bot"
    assert read_back([(SNAPSHOT, older)]).name_of(65_536) == "ws-65536"


def test_a_chunk_whose_beginning_is_no_longer_there_is_passed_over():
    rows, live = journal(["S", 3, "B", 2, "P", "E", 1, "B", 1, "P", "E", 1])
    assert read_back(rows[5:]).engine.digest() == live.digest()


def test_commands_without_any_state_to_start_from_are_not_taken_for_nothing():
    rows, _ = journal([3])
    with pytest.raises(JournalCorrupt, match="no snapshot to start from"):
        read_back(rows)


def test_no_more_is_executed_than_gives_the_events_that_are_kept():
    """The time of a start does not grow with the journal."""
    rows, live = journal(["S", *[10, "S"] * 50, 3])
    replay = read_back(rows, max_events=25)
    assert replay.count == 33  # the span that reaches back far enough, and all later ones
    assert len(replay.events[1]) == 25
    assert replay.engine.digest() == live.digest()


def test_many_starts_without_trade_hold_a_bounded_number_of_snapshots():
    rows, live = journal([5, *["S"] * 100, 2])
    replay = JournalReplay(engine(), 1_000)
    for position, (kind, data) in enumerate(rows):
        replay.take(kind, 0, position, data)
        assert len(replay._spans) <= replaying._MAX_SPANS
    replay.restore_engine()
    assert replay.engine.digest() == live.digest()


def test_names_and_numbers_are_those_of_the_latest_snapshot_and_what_came_after_it():
    rows, _ = journal(["S"])
    replay = read_back([*rows, (WS_SESSION, body(WsSessionRecord(9, "key", "mm")))])
    assert (list(replay.names), replay.next_ws_session) == ([9], 10)


# -- a snapshot that contradicts itself --------------------------------------------------------------------------------


def without_orders(live):
    """A snapshot from which every account was lost."""
    image = msgspec.msgpack.decode(live.snapshot())
    image[5] = []
    return msgspec.msgpack.encode(image)


@pytest.mark.parametrize("max_events", [1_000, 2])  # 2: the older one is not wanted for events
def test_an_older_snapshot_and_the_commands_since_stand_in_for_one_that_is_unsound(max_events):
    rows, live = journal(["S", 3, "S", 2, "S", 4])
    at = [at for at, row in enumerate(rows) if row[0] == SNAPSHOT][-1]
    rows[at] = poisoned(rows[at], without_orders(live))
    replay = read_back(rows, max_events)
    assert replay.engine.digest() == live.digest()
    assert [position for position, _ in replay.unsound] == [at]
    assert "rest" in replay.unsound[0][1]
    assert replay.first < at, "and the journal keeps what the start has rested on"
    assert replay.count == (9 if max_events == 1_000 else 6)


def test_one_more_than_the_events_need_is_held_in_reserve():
    rows, live = journal(["S", 3, "S", 2, "S", 4])
    second = [at for at, row in enumerate(rows) if row[0] == SNAPSHOT][1]
    assert read_back(rows, max_events=2).count == 6, "the first is not needed"
    rows[second] = poisoned(rows[second], b"")
    replay = read_back(rows, max_events=2)
    assert replay.engine.digest() == live.digest()
    assert (replay.count, replay.first) == (9, 0)


def test_a_later_one_does_when_the_oldest_is_unsound_and_what_was_before_it_is_gone():
    rows, live = journal(["S", 3, "S", 2])
    rows[0] = poisoned(rows[0], b"")
    replay = read_back(rows)
    assert replay.engine.digest() == live.digest()
    assert [event.cl_ord_id for event in replay.events[1]] == ["o4", "o5"]


@pytest.mark.parametrize("lost", ["its first", "its second"])
def test_a_snapshot_in_chunks_counts_only_with_all_of_them(lost):
    rows, live = journal(["S", 3, "B", 2, "P", "E", 1])
    chunks = [at for at, row in enumerate(rows) if row[0] == CHUNK]
    del rows[chunks[0 if lost == "its first" else 1]]
    replay = read_back(rows)
    assert replay.engine.digest() == live.digest()
    assert [text for _, text in replay.unsound] == ([] if lost == "its first" else ["1 of 2 chunks"])


def test_with_no_sound_one_at_all_each_place_is_named():
    rows, _ = journal(["S", 3, "S", 2])
    for at in (0, 4):
        rows[at] = poisoned(rows[at], b"")
    with pytest.raises(NoSoundSnapshot) as unsound:
        read_back(rows)
    assert [position for position, _ in unsound.value.places] == [0, 4]
