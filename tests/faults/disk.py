"""The whole gateway on a disk that fails, is slow, or is full: `python -m pytest tests/faults/disk.py`.

`penstock run` is a process of its own. strace makes its syncs fail or slow from a chosen moment on, and lets go of it
at another; a small tmpfs is really full. Not collected by default: it needs strace, and the right to mount.
"""

import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.disk_client import Client
from tests.faults.kill9.check import Message, Violations, judge_trades
from tests.faults.kill9.client import Desk, Style
from tests.support.long_replay import SLICE_BYTES, LongSession
from tests.support.server import GENEROUS, started
from tests.support.venue_rows import account_row, session_row

pytestmark = pytest.mark.timeout(180)
Gateway = subprocess.Popen[bytes]

SEGMENT_BYTES = 1 << 20
DELAY_S = 0.2
NAMES = ("K11", "K12")
VENUE = {
    "limits": GENEROUS,
    "sessions": "".join(
        session_row(int(name[1:]), name, auth="none", dialect="penstock", last_msg_seq_num_processed=True)
        for name in NAMES
    ),
    "more": "".join(account_row(int(name[1:]), name) for name in NAMES)
    + f"[journal]\nsegment_bytes = {SEGMENT_BYTES}\n[core]\nreopen_after_ms = 0\n",
}
CLOSED = ("8", "2", "4011")  # ExecType(150), OrdRejReason(103), ErrorCode(25016)
LATE = ("8", "99", "5001")


@contextmanager
def traced(process: Gateway, *options: str) -> Iterator[None]:
    """strace holds every thread of the process meanwhile; skips where that cannot be done."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    command = [program, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", *options, "-p", str(process.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        try:
            while not _is_traced(process.pid):
                if tracer.poll() is not None:
                    assert tracer.stderr is not None
                    pytest.skip(f"strace may not trace here: {tracer.stderr.read().decode().strip()}")
                time.sleep(0.01)
            yield
        finally:
            tracer.terminate()


def _is_traced(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task").glob("*/status")
    return all(not re.search(r"TracerPid:\s*0\n", status.read_text(encoding="utf-8")) for status in tasks)


def clients() -> tuple[Client, Client, Violations]:
    """Both sessions, and what is found about them."""
    violations = Violations()
    first, second = (Client(name, violations) for name in NAMES)
    return first, second, violations


async def death(process: Gateway, within_s: float = 2.0) -> list[dict[str, object]]:
    """The process ends by itself, and not well; the lines of its log."""
    assert await asyncio.to_thread(process.wait, within_s) not in (0, None)
    assert process.stderr is not None
    lines = process.stderr.read().decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def told(message: Message) -> tuple[str, str, str]:
    """What a refusal of a new order says, in the words of CLOSED and LATE."""
    fields = message.fields
    return fields[150], fields.get(103, ""), fields.get(25016, "")


# -- a sync that fails -------------------------------------------------------------------------------------------------


def lose_from(journal: Path, client: Client) -> None:
    """A disk that kept nothing from the first record on that the client has not heard of."""
    last = max(journal.glob("*.seg"))
    data = last.read_bytes()
    untold = rb"\x0134=%d\x0149=GATE\x0152=[^\x01]+\x0156=%b\x01" % (client.heard.highest + 1, client.comp_id.encode())
    found = re.search(untold, data)
    assert found, "what was not told was not recorded either"
    last.write_bytes(data[: found.start()].ljust(len(data), b"\0"))


@pytest.mark.parametrize("is_lost", [False, True], ids=["the pages survived", "the pages are lost"])
async def test_after_a_sync_that_fails_not_a_byte_is_sent_and_all_that_was_told_is_there_again(
    tmp_path: Path, is_lost: bool
) -> None:
    maker, taker, violations = clients()
    with started(tmp_path, **VENUE) as (process, ports):
        await maker.log_on(ports["fix"])
        await taker.log_on(ports["fix"])
        for n in range(20):
            maker.place(f"m-{n}")
            await maker.answer(f"m-{n}")
        for n in range(5):
            taker.place(f"t-{n}", side="2")
            await taker.hear({150: "F", 11: f"t-{n}"})
            await maker.hear({150: "F", 11: f"m-{n}"})
        with traced(process, "-e", "inject=fdatasync:error=EIO:when=1+"):
            before = maker.received_bytes, taker.received_bytes
            taker.place("untold", side="2")
            log = await death(process)
        await maker.closed.wait()
        await taker.closed.wait()
    assert (maker.received_bytes, taker.received_bytes) == before
    failed = [line for line in log if line["event"] == "gateway.failed"]
    assert failed
    assert "Input/output error" in str(failed[0])
    if is_lost:
        lose_from(tmp_path / "journal", min((maker, taker), key=lambda each: len(each.messages)))
    known = [{m.number: m.content for m in each.messages if m.msg_type == "8"} for each in (maker, taker)]
    with started(tmp_path, **VENUE) as (_, ports):
        for each, numbers in zip((maker, taker), known, strict=True):
            await each.log_on(ports["fix"])
            again = await each.recover()
            assert {number: again.get(number) for number in numbers} == numbers
        still_open = {f"m-{n}" for n in range(5 if is_lost else 6, 20)}
        assert await maker.open_orders("ask-1") == still_open
        assert await taker.open_orders("ask-2") == set()
        assert ("untold" in taker.reports()) != is_lost, "it is told if, and only if, it was carried out"
        taker.place("goes-on", side="2")
        await taker.hear({150: "F", 11: "goes-on"})
    assert violations.texts == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_sync_that_fails_in_the_middle_of_a_flood_loses_nothing_that_was_told(
    tmp_path: Path, seed: int
) -> None:
    violations = Violations()
    desks = [
        Desk(name, Style(expects=n == 1), random.Random(f"{seed} {name}"), violations) for n, name in enumerate(NAMES)
    ]
    with started(tmp_path, **VENUE) as (process, ports):
        await asyncio.gather(*(desk.connect(ports["fix"]) for desk in desks))
        await asyncio.sleep(0.3)
        for desk in desks:
            desk.may_lose_link = True
        with traced(process, "-e", f"inject=fdatasync:error=EIO:when={20 * seed}+"):
            log = await death(process, within_s=10)
        await asyncio.gather(*(desk.closed.wait() for desk in desks))
    assert [line["event"] for line in log if line["level"] == "error"] == ["gateway.failed"]
    for desk in desks:
        desk.may_lose_link = False
    with started(tmp_path, **VENUE) as (process, ports):
        await asyncio.gather(*(desk.connect(ports["fix"]) for desk in desks))
        await asyncio.sleep(0.3)
        for desk in desks:
            desk.is_quiet = True
        await asyncio.gather(*(desk.settled(20) for desk in desks))
        for desk in desks:
            await desk.list_open(20)
            desk.dealings.judge_core(desk.progress.read)
            desk.may_lose_link = True
            desk.leave()
    trades = judge_trades([desk.dealings for desk in desks], violations)
    assert violations.texts == []
    assert trades > 20


# -- slow syncs --------------------------------------------------------------------------------------------------------


async def test_with_syncs_of_200_ms_every_answer_waits_orders_are_shed_and_it_recovers_by_itself(
    tmp_path: Path,
) -> None:
    idle, busy, violations = clients()
    with started(tmp_path, **VENUE) as (process, ports):
        await idle.log_on(ports["fix"], heart_bt_int_s=1)
        await busy.log_on(ports["fix"])
        for n in range(5):
            busy.place(f"rest-{n}")
        await busy.answer("rest-4")
        with traced(process, "-e", f"inject=fdatasync:delay_enter={int(DELAY_S * 1e6)}"):
            began, quiet_since = time.monotonic(), len(idle.at) - 1
            await _each_answer_waits(busy)
            await _orders_are_shed_and_cancels_pass(busy)
            await asyncio.sleep(max(began + 4.5 - time.monotonic(), 0))
            silences = [later - earlier for earlier, later in pairwise(idle.at[quiet_since:])]
            assert len(silences) >= 3, "Heartbeat(0), or TestRequest(1)"
            assert max(silences) < 1 + 3 * DELAY_S
        began = time.monotonic()
        attempt = 0
        while told(await _placed(busy, f"after-{attempt}")) == LATE:
            attempt += 1
            assert time.monotonic() - began < 1
        began = time.monotonic()
        assert (await _placed(busy, "quick")).fields[150] == "0"
        assert time.monotonic() - began < DELAY_S / 2
        assert not idle.closed.is_set()
        assert process.poll() is None
        for each in (idle, busy):
            each.leave()
    numbers = [message.number for message in busy.messages]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(len(kinds) == 1 for name, kinds in busy.reports().items() if name.startswith("shed-"))
    assert violations.texts == []


async def _placed(client: Client, cl_ord_id: str) -> Message:
    client.place(cl_ord_id)
    return await client.answer(cl_ord_id)


async def _each_answer_waits(client: Client) -> None:
    """Nothing is seen before a whole sync has gone by, and then all of one piece, in the order of the requests."""
    for n in range(3):
        names = [f"slow-{n}-{k}" for k in range(10)]
        since, sent = len(client.messages), time.monotonic()
        client.place(*names)
        await client.answer(names[-1])
        assert client.at[since] - sent >= DELAY_S
        assert [message.fields[11] for message in client.messages[since:]] == names
        await asyncio.sleep(DELAY_S)  # no sync under way when the next piece comes


async def _orders_are_shed_and_cancels_pass(client: Client) -> None:
    """While the oldest answer waits longer than 100 ms, as it does most of the time when orders come all the time."""
    answers = []
    for n in range(60):
        client.place(f"shed-{n}")
        if n % 12 == 0:
            client.cancel(f"gone-{n}", f"rest-{n // 12}")
        answers.append(f"shed-{n}")
        await asyncio.sleep(0.02)
    seen = [told(await client.answer(name)) for name in answers]
    shed = sum(answer == LATE for answer in seen)
    assert shed >= 15
    assert {answer[0] for answer in seen} <= {"0", "8"}
    assert all(answer == LATE for answer in seen if answer[0] == "8")
    for n in range(0, 60, 12):
        assert (await client.answer(f"gone-{n}")).fields[150] == "4"


# -- a full disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 4 MiB, where a file `ballast` takes the room of a third segment; an operator may `enlarge` it."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    where = tmp_path / "small"
    where.mkdir()
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", where], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    (where / "ballast").write_bytes(bytes(3 * SEGMENT_BYTES // 2))
    yield where
    subprocess.run(["umount", where], check=True)


def enlarge(where: Path) -> None:
    """Room for all there is to come."""
    subprocess.run(["mount", "-o", "remount,size=16m", where], check=True)


async def fill(client: Client) -> None:
    """Trade until the first order is refused because the disk is full."""
    for batch in range(200):
        names = [f"fill-{batch}-{k}" for k in range(50)]
        client.say(*(f"35=D|11={name}|55=BTC-USDT|54=1|38=1|40=2|44=50000|59=3" for name in names))
        answers = [told(await client.answer(name)) for name in names]
        if answers[-1] == CLOSED:
            return
        assert {answer[0] for answer in answers} <= {"0", "8"}
    raise AssertionError("the disk does not fill")


def asked(port: int, path: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_a_full_disk_leaves_cancels_and_is_used_again_when_there_is_room(small_disk: Path) -> None:
    first, second, violations = clients()
    with started(small_disk, **VENUE) as (process, ports):
        await first.log_on(ports["fix"])
        await second.log_on(ports["fix"])
        first.place("rest-1", "rest-2")
        await first.answer("rest-2")
        await fill(first)
        refused = await _placed(first, "refused")
        assert told(refused) == CLOSED
        assert "journal" in refused.fields[58]
        first.cancel("gone-1", "rest-1")
        assert (await first.answer("gone-1")).fields[150] == "4"
        assert told(await _placed(second, "also-refused")) == CLOSED
        status, body = await asyncio.to_thread(asked, ports["admin"], "/readyz")
        assert (status, "journal" in body) == (503, True)
        assert not first.closed.is_set()
        assert not second.closed.is_set()
        (small_disk / "ballast").unlink()
        await asyncio.sleep(2)
        assert (await _placed(second, "welcome")).fields[150] == "0"
        assert (await asyncio.to_thread(asked, ports["admin"], "/readyz"))[0] == 200
        assert process.poll() is None
        for each in (first, second):
            each.leave()
    assert violations.texts == []


async def test_nothing_is_lost_by_kill_9_while_the_disk_is_full(small_disk: Path) -> None:
    first, second, violations = clients()
    with started(small_disk, **VENUE) as (process, ports):
        await first.log_on(ports["fix"])
        await second.log_on(ports["fix"])
        first.place("rest-1", "rest-2")
        second.place("rest-3")
        await second.answer("rest-3")
        await fill(first)
        first.cancel("gone-1", "rest-1")
        await first.answer("gone-1")
        process.kill()
        await asyncio.to_thread(process.wait)
        for each in (first, second):
            await each.closed.wait()
    known = [{m.number: m.content for m in each.messages if m.msg_type == "8"} for each in (first, second)]
    enlarge(small_disk)
    with started(small_disk, **VENUE) as (_, ports):
        for each, numbers in zip((first, second), known, strict=True):
            await each.log_on(ports["fix"])
            again = await each.recover()
            assert {number: again.get(number) for number in numbers} == numbers
        assert await first.open_orders("ask-1") == {"rest-2"}
        assert await second.open_orders("ask-2") == {"rest-3"}
        for each in (first, second):
            each.leave()
    assert violations.texts == []


async def test_when_the_reserve_is_used_up_too_it_stops_and_says_what_to_do(small_disk: Path) -> None:
    first, second, violations = clients()
    with started(small_disk, **VENUE) as (process, ports):
        await first.log_on(ports["fix"])
        await fill(first)
        count = 0
        while process.poll() is None and not first.closed.is_set():
            names = [f"more-{count + k}" for k in range(50)]
            count += len(names)
            first.place(*names)
            while not first.closed.is_set() and first.messages[-1].fields.get(11) != names[-1]:
                await asyncio.sleep(0.005)
        log = await death(process)
    assert count * 200 > SEGMENT_BYTES // 2, "a segment's worth of refusals was recorded"
    failed = [line for line in log if line["event"] == "gateway.failed"]
    assert "reserve" in str(failed[0])
    assert "free disk space" in str(failed[0])
    known = {m.number: m.content for m in first.messages if m.msg_type == "8"}
    enlarge(small_disk)
    with started(small_disk, **VENUE) as (_, ports):
        await first.log_on(ports["fix"])
        again = await first.recover()
        assert {number: again.get(number) for number in known} == known
        assert (await _placed(first, "welcome")).fields[150] == "0"
        first.leave()
    assert violations.texts == []
    assert not second.messages


# -- a long replay -----------------------------------------------------------------------------------------------------


def test_a_million_messages_are_sent_again_with_the_memory_of_a_slice(tmp_path: Path) -> None:
    long = LongSession(tmp_path, 1_000_000)
    replayed = long.replay()
    assert replayed.again == 1_000_000
    assert replayed.live >= 200
    assert replayed.largest_slice_bytes < SLICE_BYTES + 1_024
    assert replayed.peak_bytes < 16 << 20
    long.journal.close()
