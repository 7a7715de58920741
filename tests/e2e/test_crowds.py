"""Strangers by the hundred at each port of a real process with few descriptors: it lives, and who trades goes on."""

import asyncio
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.desks import FixDesk, ws_desk
from tests.support.server import started, venue_toml, write_venue

FEW = 256
JOURNAL = '[journal]\nsegment_bytes = 1048576\ndurability = "process"\n'


@contextmanager
def strangers(port: int, count: int, word: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections, as fast as they can be made, that say this and no more."""
    sockets = []
    try:
        for _ in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            sockets.append(sock)
        for sock in sockets:
            with suppress(OSError):
                sock.send(word)
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def open_files(process: subprocess.Popen[bytes]) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def alive(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as answer:
        return int(answer.status)


async def test_strangers_at_every_port_take_no_descriptor_from_the_journal_nor_from_the_operators(
    tmp_path: Path,
) -> None:
    with started(tmp_path, more=JOURNAL, open_files=FEW) as (process, ports):
        desk = FixDesk("ALPHA")
        await desk.logon(ports["fix"])
        with (
            strangers(ports["fix"], 300),
            strangers(ports["ws"], 300, b"GET /v1/ws HTTP/1.1\r\n"),
            strangers(ports["admin"], 300),
        ):
            await asyncio.sleep(0.5)
            most = open_files(process)
            assert most < FEW - 60, "what is kept for the journal is not touched"
            for n in range(5_000):  # more than a segment of the journal
                desk.client.send("D", [(11, f"o{n}"), (55, "BTC-USDT"), (54, 1), (40, 2), (38, "0.01"), (44, "60000")])
                if n % 200 == 199:
                    await desk.expect("8", {11: f"o{n}", 150: "0"})
                    desk.ear.heard.clear()
            assert await asyncio.to_thread(alive, ports["admin"]) == 200
            async with ws_desk(ports["ws"], "BETA") as other:
                assert (await other.place("b", "sell", "0.01", "60000"))["status"] == "filled"
        assert len(list((tmp_path / "journal").glob("*.seg"))) > 1
        desk.client.abort()
        assert process.poll() is None


async def test_the_admin_port_closes_who_asks_nothing_or_nothing_whole_and_answers_who_does(tmp_path: Path) -> None:
    with started(tmp_path) as (process, ports):
        before = open_files(process)
        with (
            strangers(ports["admin"], 100) as silent,
            strangers(ports["admin"], 20, b"GET /metrics HTTP/1.1\r\nHost: x\r\n") as slow,
        ):
            for sock in (silent[-1], slow[-1]):
                sock.setblocking(True)
                sock.settimeout(8)
                with suppress(ConnectionError):
                    assert sock.recv(1) == b""
            assert await asyncio.to_thread(alive, ports["admin"]) == 200
            assert open_files(process) <= before + 1
        text = await asyncio.to_thread(
            lambda: urllib.request.urlopen(f"http://127.0.0.1:{ports['admin']}/metrics", timeout=5).read().decode()
        )
        counted = [row for row in text.splitlines() if row.startswith('penstock_disconnects_total{door="admin"')]
        assert {row.split('reason="')[1].split('"')[0] for row in counted} >= {"crowded_out", "header_timeout"}


def test_a_limit_that_is_too_low_for_the_bounds_is_named_with_its_mend(tmp_path: Path) -> None:
    path = write_venue(tmp_path, venue_toml(more=JOURNAL))
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", "-c", str(path)]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 128; exec "$@"', "sh", *command],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "the limit of open files is 128" in done.stderr
    assert "`ulimit -n " in done.stderr


def test_a_limit_that_allows_fewer_connections_than_the_configuration_is_warned_of(tmp_path: Path) -> None:
    with started(tmp_path, open_files=FEW) as (process, _):
        process.terminate()
        _, said = process.communicate(timeout=15)
    (line,) = (row for row in said.decode().splitlines() if '"gateway.few_descriptors"' in row)
    assert f'"limit":{FEW}' in line
    assert "LimitNOFILE=" in line


def test_a_soft_limit_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    with started(tmp_path, open_files=-64) as (process, _):
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        (row,) = (row for row in limits.splitlines() if row.startswith("Max open files"))
        soft, hard = row.split()[3:5]
        assert soft == hard
