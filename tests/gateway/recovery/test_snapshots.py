"""A running gateway is not held up by its snapshots, and keeps what the next start needs: neither less nor forever."""

import pytest

from gateway.config import schema
from gateway.core import snapshots
from gateway.core.engine import Engine
from gateway.journal import JournalSettings
from gateway.recovery.known_ids import KnownIds
from gateway.recovery.records import CHUNK, COMMANDS, SNAPSHOT, commands_body
from gateway.recovery.replay import JournalReplay
from gateway.recovery.snapshots import Snapshotter
from protocols.messages import NewOrder, OrdType, Origin, Side, Tif
from tests.support.order_path import BTC, MS

SEGMENT = 500
NOBODY = KnownIds({}, {}, {}, {})


class Tape:
    """A journal in memory, durable as far as the test says."""

    def __init__(self):
        self.rows = []
        self.position = 0
        self.durable = 0
        self.size_bytes = 0
        self.keep_from = None
        self.may_accept_orders = True

    def append(self, kind, session, data):
        at, self.position = self.position, self.position + len(data)
        self.rows.append((kind, session, at, data))
        return at

    def drop_old_segments(self):
        """Nothing is dropped here."""

    def kinds(self):
        return [row[0] for row in self.rows]


class RecordedEngine:
    """An engine that records what it does, and the snapshotter."""

    def __init__(self, retain_events=10, kept=()):
        self.tape, self.now_ns, self.number = Tape(), 0, 0
        self.replay = JournalReplay(Engine((BTC,), 65_536, "e-1"), retain_events)
        for row in kept:
            kind, session, _, data = row
            self.replay.take(kind, session, self.tape.append(kind, session, data), data)
        self.replay.restore_engine()
        self.number = self.replay.engine.latest_seq(1)
        settings = schema.Config(
            journal=JournalSettings(segment_bytes=SEGMENT), stream=schema.Stream(retain_events=retain_events)
        )
        self.snapshotter = Snapshotter(self.replay, self.tape, settings, NOBODY)
        self.snapshotter.start()

    def trade(self, count):
        for _ in range(count):
            self.number += 1
            n = self.number
            head = (n, 1, 1, Origin.FIX, n, 0)
            order = NewOrder(*head, f"o{n}", BTC.id, Side.BUY, OrdType.LIMIT, Tif.GTC, 10, 100_00)
            self.snapshotter.recorded(1)
            self.tape.append(COMMANDS, 0, commands_body([order], n))
            self.replay.engine.execute(order, n)

    def second(self, synced=True):
        """One second with its ticks."""
        if synced:
            self.tape.durable = self.tape.position
        self.snapshotter.look(self.now_ns)
        end_ns = self.now_ns + 1_000 * MS
        while (due_ns := self.snapshotter.next_deadline_ns) is not None and due_ns < end_ns:
            self.now_ns = due_ns
            self.snapshotter.tick(due_ns)
        self.now_ns = end_ns


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(snapshots, "_ROWS", 5)


def test_one_is_taken_when_what_a_start_has_to_execute_has_become_long():
    recorded = RecordedEngine()
    recorded.second()
    recorded.trade(5)
    recorded.second()
    assert CHUNK not in recorded.tape.kinds()
    recorded.trade(60)
    recorded.second()
    assert recorded.tape.kinds().count(CHUNK) == 1 + 65 // 5
    assert recorded.tape.kinds()[-1] == SNAPSHOT
    again = RecordedEngine(kept=recorded.tape.rows)
    assert again.replay.engine.digest() == recorded.replay.engine.digest()
    assert again.replay.count == 65, "the ten events that clients may ask for are from before it"


def test_its_chunks_come_one_by_one_and_the_gateway_trades_meanwhile():
    recorded = RecordedEngine()
    recorded.trade(60)
    recorded.second()
    recorded.trade(60)
    recorded.tape.durable = recorded.tape.position
    recorded.snapshotter.look(recorded.now_ns)
    times = []
    while (due_ns := recorded.snapshotter.next_deadline_ns) is not None:
        times.append(due_ns - recorded.now_ns)
        recorded.snapshotter.tick(due_ns - 1)
        recorded.snapshotter.tick(due_ns)
        recorded.trade(3)
    assert times == [10 * MS * number for number in range(1, len(times) + 1)]
    assert len(times) > 20
    assert RecordedEngine(kept=recorded.tape.rows).replay.engine.digest() == recorded.replay.engine.digest()


def test_what_was_kept_for_the_last_one_goes_when_the_next_one_is_durable_and_no_sooner():
    recorded = RecordedEngine(retain_events=10)
    recorded.second()
    first = recorded.tape.keep_from
    recorded.trade(60)
    recorded.second()
    assert recorded.tape.kinds()[-1] == SNAPSHOT
    recorded.trade(60)
    recorded.second(synced=False)
    assert recorded.tape.keep_from == first, "recorded, but a power loss may take it"
    recorded.second()
    begun = next(row[2] for row in recorded.tape.rows if row[0] == CHUNK)
    assert recorded.tape.keep_from == begun


def test_events_that_clients_may_ask_for_are_kept_though_a_snapshot_came_after_them():
    recorded = RecordedEngine(retain_events=100)
    recorded.second()
    for _ in range(4):
        recorded.trade(60)
        recorded.second()
        recorded.second()
    kept = [row for row in recorded.tape.rows if row[2] >= recorded.tape.keep_from]
    again = RecordedEngine(retain_events=100, kept=kept)
    assert len(again.replay.events[1]) == 100
    assert again.replay.count < 240, "nor for ever"
    again.second()
    assert again.tape.keep_from == next(row[2] for row in again.tape.rows if row[0] in (CHUNK, SNAPSHOT))


def test_the_last_room_on_a_full_disk_is_for_cancels_not_for_snapshots():
    recorded = RecordedEngine()
    recorded.second()
    recorded.trade(60)
    recorded.tape.may_accept_orders = False
    recorded.second()
    assert CHUNK not in recorded.tape.kinds()
    recorded.tape.may_accept_orders = True
    recorded.snapshotter.look(recorded.now_ns)
    recorded.tape.may_accept_orders = False
    recorded.second()
    assert recorded.tape.kinds().count(CHUNK) == 1
    recorded.tape.may_accept_orders = True
    recorded.second()
    recorded.second()
    assert recorded.tape.kinds()[-1] == SNAPSHOT
    assert RecordedEngine(kept=recorded.tape.rows).replay.engine.digest() == recorded.replay.engine.digest()
