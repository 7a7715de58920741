"""What clients see when the journal's disk is full, slow or broken: a whole gateway in this process, over its sockets.

The disk is "full" by a limit on the size of a file, under which no further segment can be allocated; a sync is held
back, or fails, in place of the system call. `tests/faults/disk.py` does all of it to a process of its own, on a small
filesystem and with strace. Modules: journal.writer, failures.
"""

import asyncio
import errno
import os
import resource
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from gateway.client.fix import Fields
from gateway.server import Server
from tests.support.desks import FixDesk, fix_desk, ws_desk
from tests.support.server import running, until, venue_toml

SEGMENT_BYTES = 1 << 20
MORE = f"""
[journal]
segment_bytes = {SEGMENT_BYTES}
[core]
reopen_after_ms = 0
"""
WHILE_S = 0.05  # nothing may be received for this long


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running(venue_toml(more=MORE)) as server:
        yield server


def readiness(server: Server) -> tuple[int, str]:
    """Status and body of /readyz."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.ports['admin']}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def rest(desk: FixDesk, *cl_ord_ids: str) -> None:
    """Orders that rest in the book."""
    for cl_ord_id in cl_ord_ids:
        desk.client.place(cl_ord_id, "BTC-USDT", "1", "1", "50000")
        await desk.expect("8", {150: "0", 11: cl_ord_id})


async def place(desk: FixDesk, cl_ord_id: str) -> Fields:
    """The first answer to a new order."""
    desk.client.place(cl_ord_id, "BTC-USDT", "1", "1", "50000")
    return await desk.expect("8", {11: cl_ord_id})


# -- full --------------------------------------------------------------------------------------------------------------


@contextmanager
def no_room() -> Iterator[None]:
    """No segment can be allocated; those that are there can be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SEGMENT_BYTES - 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def fill(server: Server, desk: FixDesk) -> None:
    """Trade until the current segment is used up and there is no other."""
    for batch in range(100):
        for n in range(50):
            desk.client.place(f"fill-{batch}-{n}", "BTC-USDT", "1", "1", "50000", tif="3", fields=[(526, "x" * 36)])
        await desk.expect("8", {11: f"fill-{batch}-49"})
        if server.journal.state == "full":
            desk.ear.heard.clear()
            return
    raise AssertionError(f"{server.journal.size_bytes} bytes, and still room")


async def test_with_no_room_for_another_segment_cancels_and_logons_pass_and_each_refusal_says_why(
    server: Server,
) -> None:
    async with fix_desk(server.ports["fix"], "ALPHA") as desk, ws_desk(server.ports["ws"], "BETA") as maker:
        await rest(desk, "r-1", "r-2")
        await maker.place("w-1", "sell", "1", "60000")
        with no_room():
            await fill(server, desk)
            refused = await place(desk, "a-1")
            assert (refused[150], refused[39], refused[103], refused[25016]) == ("8", "8", "2", "4011")
            assert refused[20102] == "0"
            assert "journal" in refused[58]
            desk.client.replace("r-1b", "r-1", "BTC-USDT", "1", "2", "50000")
            refused = await desk.expect("9", {11: "r-1b"})
            assert (refused[434], refused[102], refused[25016]) == ("2", "99", "4011")
            error = await maker.refusal(
                "order.place",
                {
                    "symbol": "BTC-USDT",
                    "side": "buy",
                    "type": "limit",
                    "qty": "1",
                    "price": "50000",
                    "cl_ord_id": "w-2",
                },
            )
            assert error["code"] == 4011
            desk.client.cancel("r-1c", "r-1", "BTC-USDT", "1")
            await desk.expect("8", {150: "4", 11: "r-1c", 41: "r-1"})
            await maker.client.call("order.cancel", {"symbol": "BTC-USDT", "orig_cl_ord_id": "w-1"})
            desk.client.mass_cancel("m-1")
            assert (await desk.expect("r", {11: "m-1"}))[533] == "1"
            async with fix_desk(server.ports["fix"], "BETA") as newcomer:
                assert (await place(newcomer, "b-1"))[25016] == "4011"
            beats = desk.client.counts.heartbeats
            desk.client.send("1", [(112, "still there?")])
            await until(lambda: desk.client.counts.heartbeats > beats)


async def test_a_full_disk_shows_in_readiness_and_in_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "penstock")
    async with fix_desk(server.ports["fix"], "ALPHA") as desk:
        assert (await asyncio.to_thread(readiness, server))[0] == 200
        with no_room():
            await fill(server, desk)
            status, body = await asyncio.to_thread(readiness, server)
            assert status == 503
            assert "no room for another journal segment (File too large): cancel only" in body
        await until(lambda: server.journal.may_accept_orders, 2)
        await until(lambda: "journal.well" in [each.message for each in caplog.records], 2)
    (told,) = [each for each in caplog.records if each.message == "journal.trouble"]
    assert "File too large" in told.penstock_fields["text"]  # type: ignore[attr-defined]


async def test_room_is_noticed_within_two_seconds_though_no_one_sends_anything(server: Server) -> None:
    async with fix_desk(server.ports["fix"], "ALPHA") as desk:
        with no_room():
            await fill(server, desk)
        await until(lambda: server.journal.may_accept_orders, 2)
        assert (await place(desk, "a-1"))[150] == "0"


# -- slow and broken ---------------------------------------------------------------------------------------------------


class Disk:
    """Its syncs wait while it is held, and fail once it is broken."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.is_broken = False
        self.syncs = 0
        self._may_go = threading.Event()
        self._may_go.set()
        self._real = os.fdatasync
        patch.setattr(os, "fdatasync", self._sync)

    def _sync(self, fd: int) -> None:
        self.syncs += 1
        self._may_go.wait()
        if self.is_broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._real(fd)

    @contextmanager
    def held(self) -> Iterator[None]:
        """No sync ends meanwhile."""
        self._may_go.clear()
        try:
            yield
        finally:
            self._may_go.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def test_no_answer_is_seen_before_its_sync_and_then_all_come_in_order(disk: Disk, server: Server) -> None:
    async with fix_desk(server.ports["fix"], "ALPHA") as desk, ws_desk(server.ports["ws"], "BETA") as maker:
        received = desk.client.counts.received
        with disk.held():
            placed = asyncio.create_task(maker.place("w-1", "sell", "1", "60000"))
            for n in range(5):
                desk.client.place(f"a-{n}", "BTC-USDT", "1", "1", "50000")
            await until(lambda: server.replay.engine.latest_seq(1) == 5)
            await asyncio.sleep(WHILE_S)
            assert desk.client.counts.received == received
            assert not placed.done()
        await desk.expect("8", {11: "a-4"})
        assert [heard[11] for heard in desk.ear.heard] == ["a-0", "a-1", "a-2", "a-3"]
        await placed


async def test_while_answers_wait_longer_than_100_ms_orders_are_refused_and_cancels_pass(
    disk: Disk, server: Server
) -> None:
    async with fix_desk(server.ports["fix"], "ALPHA") as desk, fix_desk(server.ports["fix"], "BETA") as other:
        await rest(desk, "r-1")
        with disk.held():
            desk.client.place("a-1", "BTC-USDT", "1", "1", "50000")
            await until(lambda: server.replay.engine.latest_seq(1) == 2)
            await asyncio.sleep(0.15)
            other.client.place("b-1", "BTC-USDT", "1", "1", "50000")
            desk.client.cancel("c-1", "r-1", "BTC-USDT", "1")
            await until(lambda: server.replay.engine.latest_seq(1) == 3)
        assert (await desk.expect("8", {11: "a-1"}))[150] == "0"
        assert (await desk.expect("8", {11: "c-1"}))[150] == "4"
        refused = await other.expect("8", {11: "b-1"})
        assert (refused[150], refused[103], refused[25016]) == ("8", "99", "5001")
        assert int(refused[20101]) > 0


async def test_once_the_slow_sync_is_done_the_very_next_order_is_accepted(disk: Disk, server: Server) -> None:
    async with fix_desk(server.ports["fix"], "ALPHA") as desk:
        with disk.held():
            desk.client.place("a-1", "BTC-USDT", "1", "1", "50000")
            await until(lambda: server.replay.engine.latest_seq(1) == 1)
            await asyncio.sleep(0.15)
            desk.client.place("a-2", "BTC-USDT", "1", "1", "50000")
            desk.client.place("a-3", "BTC-USDT", "1", "1", "50000")
            await asyncio.sleep(WHILE_S)
        await desk.expect("8", {11: "a-3"})
        assert (await place(desk, "a-4"))[150] == "0"


async def test_a_sync_that_fails_ends_every_connection_without_another_byte(disk: Disk, server: Server) -> None:
    desk, other = FixDesk("ALPHA"), FixDesk("BETA")
    await desk.logon(server.ports["fix"])
    await other.logon(server.ports["fix"])
    await rest(desk, "r-1")
    received = desk.client.counts.received, other.client.counts.received
    with disk.held():
        desk.client.place("a-1", "BTC-USDT", "1", "1", "50000")
        await until(lambda: server.replay.engine.latest_seq(1) == 2)
        disk.is_broken = True
    async with asyncio.timeout(2):
        await desk.client.closed.wait()
        await other.client.closed.wait()
        assert server.failures.failure is not None
        failure = await server.failures.failure
    assert "Input/output error" in str(failure)
    assert (desk.client.counts.received, other.client.counts.received) == received
    with pytest.raises((ConnectionError, TimeoutError)):
        await FixDesk("BETA").client.logon("127.0.0.1", server.ports["fix"], timeout_s=0.2)
