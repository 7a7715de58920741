"""A run is recorded as one: after a crash at any byte of the journal all of it is there, or nothing of it.

Modules: recovery.recorder, journal.store, journal.scan.
"""

import shutil
from collections import Counter

import pytest

from gateway.config import schema
from gateway.journal import JournalSettings
from gateway.journal.record import COMMIT, HEAD_BYTES, OUT_RUN, STATE, scan
from gateway.recovery.records import COMMANDS
from gateway.server import Server
from tests.support.fix_room import BTC, Desk, session
from tests.support.hand_clock import HandClock
from tests.support.server import let_go

COMMIT_BYTES = HEAD_BYTES + 8
START_NS = 1_795_348_800 * 10**9
LEARNED = [f"l{n}" for n in range(4)]  # after these the order reader knows the shape
FIRST, SECOND = ([f"{run}{n}" for n in range(6)] for run in "ab")


class Venue:
    """One process of a gateway with one FIX session, on the journal in this directory."""

    def __init__(self, home, durability="process"):
        self.home = home
        settings = schema.Config(
            fix=schema.Fix(sessions=(session(1, "A"),)),
            accounts=(schema.Account(id=1, name="ACME"),),
            instruments=(BTC,),
            limits=schema.Limits(file=""),
            journal=JournalSettings(durability=durability, segment_bytes=1_048_576),
        )
        self.server = Server(settings, home, clock=HandClock(START_NS))
        self.store = self.server.fix.endpoints["A", "GATE"].machine.store

    def send_run(self, desk, ids):
        """These orders in one read, and the turn after it; the ids that were accepted on the wire."""
        frames = [desk.frame("D", f"11={name}|55=BTC-USDT|54=1|38=1|40=2|44=100.00|") for name in ids]
        desk.endpoint.receive(b"".join(frames), desk.now)
        self.turn(desk)
        return [report["11"] for report in desk.read() if report["150"] == "0"]

    def turn(self, desk):
        self.server.orders.tick(desk.now)
        self.server.journal.commit(desk.now)

    @property
    def open_ids(self):
        return [order.cl_ord_id for order in self.server.replay.engine.open_orders(1)]

    @property
    def written(self):
        """The current segment and how much of it is written."""
        writer = self.server.journal._writer
        return writer.segment, writer._written


@pytest.fixture
def venue(tmp_path):
    (tmp_path / "home").mkdir()
    made = Venue(tmp_path / "home")
    made.desk = Desk(made.server, "A")
    made.desk.logon()
    for name in LEARNED:
        made.desk.place(name)
    made.turn(made.desk)
    yield made
    let_go(made.server)


def restarted(venue, tmp_path, cut, end):
    """Another process, which finds the journal as it was when so many bytes of the segment were written."""
    home = tmp_path / f"cut{cut}"
    shutil.copytree(venue.home, home)
    path = home / venue.written[0].path.relative_to(venue.home)
    with path.open("r+b") as file:
        file.seek(cut)
        file.write(bytes(end - cut))
    return Venue(home)


def test_after_a_crash_at_any_byte_a_run_is_there_as_a_whole_or_not_at_all(venue, tmp_path):
    assert venue.send_run(venue.desk, FIRST) == FIRST
    _, safe = venue.written
    before = venue.store.next_in, venue.store.next_out
    assert venue.send_run(venue.desk, SECOND) == SECOND
    _, end = venue.written
    after = venue.store.next_in, venue.store.next_out
    assert after == (before[0] + len(SECOND), before[1] + len(SECOND))
    for cut in sorted({*range(safe, end, 211), safe + 1, end - COMMIT_BYTES, end - COMMIT_BYTES + 1, end}):
        again = restarted(venue, tmp_path, cut, end)
        is_whole = cut == end
        try:
            assert again.open_ids == [*LEARNED, *FIRST, *(SECOND if is_whole else ())], f"cut at {cut} of {safe}-{end}"
            assert (again.store.next_in, again.store.next_out) == (after if is_whole else before)
            told = list(venue.store.read(before[1] - len(FIRST), after[1]))
            assert list(again.store.read(before[1] - len(FIRST), after[1])) == told[: None if is_whole else len(FIRST)]
        finally:
            let_go(again.server)


def test_a_run_is_one_record_of_commands_and_one_of_reports(venue):
    segment, begin = venue.written
    venue.send_run(venue.desk, FIRST)
    data = segment.path.read_bytes()
    found = Counter(kind for kind, _, _, _ in scan(data, begin, venue.server.journal._writer._salt))
    assert found == {COMMANDS: 1, OUT_RUN: 1, STATE: 1, COMMIT: 1}
