"""Writes `first.tar.xz` and `second.tar.xz`: the journal directory after each of two processes of one gateway.

`python -m tests.gateway.recovery.earlier_journal.make DIRECTORY`. Read this file to see what the archives contain. Do
not run it to make a failing test pass: customers have such directories today, and every later version must continue
from them. If a format changes on purpose and old files can still be read, add new archives and a new test.

The clock stands at 22 November 2026, 12:00:00 UTC, and at 12:01:00 for the second process. Durability "process",
segments of 4 KiB.

The first process stops in good order. FIX sessions A and C belong to ACME, B belongs to OTHER. C is configured only
here: it is sent four refusals, resets its numbers, and sells to B. An order of A stays open.

The second process is killed. The WebSocket session "bot" of ACME and one without a name log on; the latter ends. A asks
for all events of its account, and places and cancels orders until several segments are full. A snapshot is taken in
chunks. Behind it there are records of every kind: B sells to A, A cancels an order, orders of "bot" and of the new
session "owl" stay open, the session "fox" ends and is forgotten, and a scheduled reset is executed. B logs out over
a gap with a cancel after it, which is executed. A has cancel-on-disconnect, "bot" a dead-man's switch of one
minute. An operator has halted ETH-USDT.
"""

import asyncio
import sys
import tarfile
import tempfile
from pathlib import Path

from gateway.admin.modes_file import ModesFile
from gateway.config import schema
from gateway.journal import JournalSettings
from gateway.orders.trading_modes import ModeChange, Modes
from gateway.server import Server
from gateway.sessions.session import Session
from protocols.fix.times import parse_ns
from tests.support import ws_room
from tests.support.fix_room import BTC, ETH, MS, Desk
from tests.support.fix_room import session as fix_session
from tests.support.hand_clock import HandClock
from tests.support.server import let_go

START_NS = parse_ns("20261122-12:00:00")
FIRST = Path(__file__).with_name("first.tar.xz")
SECOND = Path(__file__).with_name("second.tar.xz")
A = fix_session(1, "A", cancel_on_disconnect="S", reset_schedule="daily 22:00")
B = fix_session(2, "B", account="OTHER")
C = fix_session(3, "C")


def settings(*rows: schema.FixSessionRow) -> schema.Config:
    """The configuration: two accounts with a key each, two instruments."""
    return schema.Config(
        fix=schema.Fix(sessions=rows),
        ws=schema.Ws(),
        keys=(ws_room.key("ACME"), ws_room.key("OTHER")),
        accounts=(schema.Account(id=1, name="ACME"), schema.Account(id=2, name="OTHER")),
        instruments=(BTC, ETH),
        limits=schema.Limits(file=""),
        journal=JournalSettings(durability="process", segment_bytes=4_096),
    )


def start(home: Path, what: schema.Config, now_ns: int) -> Server:
    """A gateway that starts from what is in `home`, at this time."""
    return Server(what, home, clock=HandClock(now_ns))  # type: ignore[arg-type]


def first_process(home: Path) -> None:
    """See above: ends with an orderly stop."""
    server = start(home, settings(A, B, C), START_NS)
    a, b, c = (Desk(server, row.comp_id) for row in (A, B, C))
    a.logon()
    b.logon()
    c.logon()
    for number in range(4):
        c.send("D", f"11=c-{number}|55=NO-SUCH|54=1|38=1|40=2|44=1.00|")
    c.send("5", "")
    c.drop()
    c.seq = 0
    c.logon("98=0|108=30|141=Y|")
    a.place("a-first", price="90.00")
    c.place("c-sold", side=2, price="101.00")
    b.place("b-bought", side=1, price="101.00")
    for desk in (a, b, c):
        desk.send("5", "")
    server.journal.commit(server.now_ns())
    asyncio.run(server.stop())


def second_process(home: Path) -> Server:
    """See above: the gateway still runs."""
    server = start(home, settings(A, B), START_NS + 60_000 * MS)
    now_ns = server.now_ns()
    server.orders.venue.reopen_at_ns = 0
    a, b = Desk(server, "A"), Desk(server, "B")
    a.seq, b.seq = 3, 3
    a.logon("98=0|108=30|25036=1|")
    b.logon()
    _pass_by(server, "p-gone")
    bot = ws_room.Desk(server)
    bot.logon(name="bot")
    b.send("D", "11=b-ether|55=ETH-USDT|54=2|38=2.5|40=2|44=1800.00|")
    b.send("D", "11=b-late|55=ETH-USDT|54=2|38=4|40=2|44=1900.00|")
    _look(server)
    _look(server)
    for number in range(30):
        a.place(f"a-{number}", price="95.00")
        a.send("F", f"11=a-{number}-x|41=a-{number}|55=BTC-USDT|54=1|38=1|")
        server.journal.commit(now_ns)
    fox = _pass_by(server, "f-gone", name="fox")
    server.recorder.record_ended(fox)  # as when a key has too many names
    _take_snapshot(server)
    _look(server)
    _look(server)  # "fox" is forgotten now, behind the snapshot; the session without a name was before it
    server.recorder.record_reset(1, now_ns)
    a.send("D", "11=a-part|55=BTC-USDT|54=1|38=3|40=2|44=100.00|")
    b.send("D", "11=b-sold|55=BTC-USDT|54=2|38=1.25|40=2|44=100.00|")
    a.place("a-gone", price="96.00")
    a.send("F", "11=a-gone-x|41=a-gone|55=BTC-USDT|54=1|38=1|")
    bot.place("w-rest", side="sell", price="110.00", qty="0.5")
    owl = ws_room.Desk(server)
    owl.logon(name="owl")
    owl.place("o-rest", side="sell", price="111.00", qty="0.75")
    b.seq += 1
    b.send("F", "11=b-late-x|41=b-late|55=ETH-USDT|54=2|38=4|")
    b.send("5", "")
    bot.call("order.cancel_after", {"timeout_ms": 60_000}, 9)
    server.journal.commit(now_ns)
    halt = ModeChange("instrument", "ETH-USDT", "halted", "a fork", "olga", START_NS, instrument=2)
    ModesFile(home / "journal" / "modes.json").save(Modes({halt.place: halt}))
    return server


def _pass_by(server: Server, cl_ord_id: str, **logon: str) -> Session:
    """A WebSocket session that places one order and is cut."""
    desk = ws_room.Desk(server)
    desk.logon(**logon)
    session = desk.endpoint.session
    assert session is not None
    desk.place(cl_ord_id, tif="ioc")
    desk.endpoint.lost(server.now_ns())
    return session


def _look(server: Server) -> None:
    """As once a second: a session that ended is forgotten with the second look."""
    server.recorder.look(server.now_ns())
    server.journal.commit(server.now_ns())


def _take_snapshot(server: Server) -> None:
    """As a running gateway takes one: chunk by chunk."""
    snapshotter = server.recorder.snapshotter
    snapshotter._long_bytes = -1
    snapshotter.look(server.now_ns())
    while (due_ns := snapshotter.next_deadline_ns) is not None:
        snapshotter.tick(due_ns)
    snapshotter._long_bytes = 1 << 30
    server.journal.commit(server.now_ns())


def _pack(home: Path, target: Path) -> None:
    with tarfile.open(target, "w:xz") as archive:
        archive.add(home / "journal", "journal")
    print(f"{target}: {target.stat().st_size} bytes")


def main() -> None:
    """Write both archives."""
    directory = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        first_process(home)
        _pack(home, directory / FIRST.name)
        server = second_process(home)
        _pack(home, directory / SECOND.name)
        let_go(server)


if __name__ == "__main__":
    main()
