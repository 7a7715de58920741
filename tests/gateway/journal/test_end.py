"""A start that finds less than was safe says so and changes nothing; what is accepted continues under new numbers."""

import errno
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from gateway.config import schema
from gateway.journal import Journal, JournalSettings
from gateway.journal.end import EndFile, end_path, read_end
from gateway.journal.record import FIRST_OWNER_KIND, JournalCorrupt
from gateway.server import Server
from protocols import errors
from protocols.fix.times import format_ns
from tests.support import ws_room
from tests.support.fix_room import BTC, Desk, session

SECOND = 1_000_000_000
DISK = JournalSettings(durability="disk", segment_bytes=4_096)
PROCESS = JournalSettings(durability="process", segment_bytes=4_096)


def record(journal: Journal, count: int = 1, now_ns: int = 0) -> None:
    for _ in range(count):
        journal.append(FIRST_OWNER_KIND, 0, b"x" * 100)
        journal.commit(now_ns)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.seg"))


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.name != "lock"}


# -- the file ----------------------------------------------------------------------------------------------------------


def test_what_was_written_last_is_read(tmp_path: Path) -> None:
    assert read_end(tmp_path) is None
    for _ in range(2):
        end = EndFile(tmp_path, is_synced=True)
        for position in (1, 1 << 60, 5):
            end.write(position)
            assert read_end(tmp_path) == position
        end.close()
    assert end_path(tmp_path).read_bytes() == b"00000000000000000005 %08x\n" % 0xB4EF_B6AC


@pytest.mark.parametrize("data", [b"", b"5\n", b"00000000000000000005 00000000\n", b"0000000000000000000x b4efb6ac\n"])
def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path, data: bytes) -> None:
    end_path(tmp_path).write_bytes(data)
    assert read_end(tmp_path) is None


def test_a_full_disk_keeps_what_was_said_and_any_other_trouble_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = EndFile(tmp_path, is_synced=False)
    end.write(5)
    for number in (errno.ENOSPC, errno.EIO):

        def refuse(*_: object, number: int = number) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "pwrite", refuse)
        if number == errno.ENOSPC:
            end.write(6)
        else:
            with pytest.raises(OSError, match="Input/output error"):
                end.write(6)
        monkeypatch.undo()
        assert read_end(tmp_path) == 5
    end.close()


# -- when it is written ------------------------------------------------------------------------------------------------


def test_without_syncs_it_is_written_once_a_second_and_at_the_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    assert read_end(tmp_path) is None
    said = []
    for now_ns in (0, SECOND // 2, SECOND, SECOND + 1, 3 * SECOND):
        record(journal, now_ns=now_ns)
        said.append((read_end(tmp_path), journal.durable))
    first = said[0][1]
    assert [end for end, _ in said] == [first, first, said[2][1], said[2][1], said[4][1]]
    record(journal)
    end = journal.durable
    journal.close()
    assert read_end(tmp_path) == end


def test_it_is_written_after_each_sync_and_never_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notified: list[int] = []
    journal = Journal(tmp_path, DISK, notified.append)
    may_go, found, real = threading.Event(), list[bool](), os.fdatasync

    def sync(fd: int) -> None:
        may_go.wait()
        found.append((read_end(tmp_path) or 0) <= journal.durable)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", sync)
    for at in range(5):
        may_go.clear()
        record(journal)
        may_go.set()
        end_s = time.monotonic() + 10
        while read_end(tmp_path) != journal._writer._committed and time.monotonic() < end_s:
            time.sleep(0.001)  # the sync thread's time
        assert read_end(tmp_path) == journal.durable == notified[-1], at
    assert all(found)
    journal.close()


def test_what_is_committed_during_a_sync_is_not_said_before_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, DISK)
    record(journal)
    end_s = time.monotonic() + 10
    while journal.durable != journal._writer._committed and time.monotonic() < end_s:
        time.sleep(0.001)  # the sync thread's time
    under_way, may_go, real = threading.Semaphore(0), threading.Semaphore(0), os.fdatasync

    def sync(fd: int) -> None:
        under_way.release()
        may_go.acquire()
        real(fd)

    monkeypatch.setattr(os, "fdatasync", sync)
    record(journal)
    first = journal._writer._committed
    assert under_way.acquire(timeout=10)
    record(journal)
    may_go.release()
    assert under_way.acquire(timeout=10)
    assert (read_end(tmp_path), journal.durable) == (first, first)
    may_go.release(100)
    journal.close()


def test_what_a_start_found_is_proven_once_the_owners_first_commit_is_safe(tmp_path: Path) -> None:
    """Else a crash in between would leave what was found without what the owner makes of it."""
    record(Journal(tmp_path / "first", PROCESS), 10)
    end_path(tmp_path / "first").unlink()
    for life in range(3):
        home = shutil.copytree(tmp_path / "first", tmp_path / f"{life}")
        journal = Journal(home, PROCESS)
        assert not journal.recovery.is_proven
        journal.commit(0)
        assert read_end(home) is None
        if life:
            record(journal)
        again = Journal(shutil.copytree(home, tmp_path / f"{life} again"), PROCESS)
        assert again.recovery.is_proven is bool(life)
        for each in (journal, again):
            each.close()


# -- what a start finds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("some", [PROCESS, DISK], ids=["process", "disk"])
@pytest.mark.parametrize("how", ["the last segment is gone", "it is half there", "all of them are gone"])
def test_a_journal_that_lost_its_end_is_refused_and_names_the_place(
    tmp_path: Path, some: JournalSettings, how: str
) -> None:
    journal = Journal(tmp_path, some)
    record(journal, 100)
    journal.close()
    *_, last = sorted(tmp_path.glob("*.seg"))
    if how == "it is half there":
        os.truncate(last, last.stat().st_size // 2)
    else:
        for path in tmp_path.glob("*.seg") if how == "all of them are gone" else [last]:
            path.unlink()
    before = contents(tmp_path)
    place = "no segment is there" if how == "all of them are gone" else r"\.seg: offset \d+"
    with pytest.raises(JournalCorrupt, match=rf"{place}: the journal ends here, and \d+ bytes more were safe"):
        Journal(tmp_path, some)
    assert contents(tmp_path) == before, "nothing was changed"


def test_the_advice_of_the_error_lets_the_start_continue(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    record(journal, 100)
    journal.close()
    max(tmp_path.glob("*.seg")).unlink()
    with pytest.raises(JournalCorrupt) as raised:
        Journal(tmp_path, PROCESS)
    Path(str(raised.value).rpartition("remove ")[2]).unlink()
    journal = Journal(tmp_path, PROCESS)
    assert not journal.recovery.is_proven
    journal.close()


def test_a_crash_leaves_no_less_than_was_said(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "live", PROCESS)
    for at in range(100):
        record(journal, now_ns=at * SECOND)
        if not at % 10:
            crashed = Journal(shutil.copytree(tmp_path / "live", tmp_path / f"{at}"), PROCESS)
            assert crashed.recovery.is_proven
            crashed.close()
    journal.close()


def test_a_new_journal_has_no_end_to_miss(tmp_path: Path) -> None:
    journal = Journal(tmp_path, PROCESS)
    assert journal.recovery.is_proven
    journal.close()


# -- what is made of it ------------------------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path):
    def server():
        settings = schema.Config(
            fix=schema.Fix(sessions=(session(1, "A"),)),
            ws=schema.Ws(),
            keys=(ws_room.key("ACME"),),
            accounts=(schema.Account(id=1, name="ACME"),),
            instruments=(BTC,),
            limits=schema.Limits(file=""),
            journal=JournalSettings(durability="process", segment_bytes=1_048_576),
            core=schema.Core(reopen_after_ms=0),
        )
        server = Server(settings, tmp_path)
        server.orders.tick(server.now_ns())
        return server

    return server


@pytest.fixture
def said(monkeypatch):
    """What was logged, by name."""
    events = {}
    monkeypatch.setattr(Server, "log", lambda _, name, **fields: events.update({name: fields}))
    return events


@pytest.fixture
async def lost(start, tmp_path, said):
    """An operator has accepted that a1 is gone: by the client that saw it, and by the gateway that did not."""
    server = start()
    desk = Desk(server, "A")
    desk.logon()
    desk.place("a0")
    home, copy = tmp_path / "journal", tmp_path / "copy"
    server.journal.commit(server.now_ns())
    shutil.copytree(home, copy)
    desk.told = desk.place("a1")
    desk.order = f"11=a1|55=BTC-USDT|54=1|38=1|40=2|44=100.00|60={format_ns(desk.now)}|"
    desk.order_sent = format_ns(desk.now)
    desk.epoch = server.core.epoch
    await server.stop()
    shutil.rmtree(home)
    shutil.copytree(copy, home)
    end_path(home).unlink(missing_ok=True)
    return desk, start()


async def test_no_number_and_no_id_is_given_twice(lost, said):
    desk, again = lost
    assert again.core.epoch != desk.epoch
    assert said["journal.end_unknown"] == {"epoch": again.core.epoch, "numbers": 1_000_000}
    back = Desk(again, "A")
    back.seq = desk.seq
    logon, *_ = back.logon()
    assert logon["20106"] == again.core.epoch
    assert int(logon["34"]) > 1_000_000 > int(desk.told[-1]["34"])
    filled = back.send("2", f"7={desk.told[-1]['34']}|16=0|")
    assert {each["35"] for each in filled} == {"4"}, "what is gone is filled over"
    assert max(int(each["36"]) for each in filled) > 1_000_000


async def test_an_order_from_before_that_comes_again_is_not_executed_a_second_time(lost):
    """It may have been, and have traded, in what is lost."""
    desk, again = lost
    back = Desk(again, "A")
    back.seq = desk.seq
    assert [each["35"] for each in back.logon()] == ["A", "2"]
    back.seq = 2
    (resent,) = back.send("D", desk.order, header=f"43=Y|122={desk.order_sent}|")
    assert (resent["11"], resent["25016"]) == ("a1", str(errors.EXPIRED_ON_ARRIVAL))
    back.seq = 4
    (retried,) = back.send("D", desk.order, header="97=Y|")
    assert retried["25016"] == str(errors.EXPIRED_ON_ARRIVAL)
    (accepted,) = back.place("a2")
    assert accepted["20105"] == "2", "the stream began anew; the core has refused one"
    assert (accepted["150"], int(accepted["37"]) > 1_000_000_000, int(accepted["17"]) > 1_000_000_000) == (
        "0", True, True,
    )  # fmt: skip


async def test_who_resumes_the_stream_of_before_learns_that_it_is_another(lost):
    desk, again = lost
    bot = ws_room.Desk(again)
    answer = bot.logon(name="bot", resume={"epoch": desk.epoch, "seq": 1})
    (result,) = [each["result"] for each in answer if "result" in each]
    assert result["resume"] == {"status": "snapshot", "reason": "epoch_changed"}
    assert again.sessions.account(1).latest_seq == 0, "the stream begins anew"


async def test_the_start_after_it_is_one_like_any_other(lost, start, said):
    _, again = lost
    again.journal.commit(again.now_ns())
    epoch, next_out = again.core.epoch, again.journal.store(1).next_out
    await again.stop()
    said.clear()
    third = start()
    assert (third.core.epoch, third.journal.store(1).next_out) == (epoch, next_out)
    assert "journal.end_unknown" not in said


async def test_what_a_crash_left_of_a_commit_is_reported(start, said, tmp_path):
    server = start()
    server.journal.commit(server.now_ns())
    server.journal.append(FIRST_OWNER_KIND, 0, b"half of a tick")
    server.journal._writer.flush()
    home = shutil.copytree(tmp_path, tmp_path.with_name("crashed"))
    Server(server.settings, home)
    assert said["journal.cut"] == {"file": "0000000001.seg", "cut_bytes": 13 + 14}
