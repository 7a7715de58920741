"""Readers of every pace on real sockets: a quick one has what it asked for, a slow one is told why it is cut."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.client import ws
from gateway.server import Server
from protocols.messages import NewOrder, OrdType, Origin, Side, Tif
from tests.support.dialogue import expand
from tests.support.fix_room import Desk
from tests.support.fix_text import fix, pipes
from tests.support.server import running, until, venue_toml
from tests.support.venue_rows import seed_of
from tests.support.ws_frames import request

SESSIONS = """
[[fix.sessions]]
id = 1
comp_id = "MAKER"
account = "ALPHA"
auth = "none"
dialect = "penstock"
[[fix.sessions]]
id = 2
comp_id = "LISTENS"
account = "ALPHA"
auth = "none"
dialect = "penstock"
response_mode = 1
"""
ORDERS = 3_000
UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@asynccontextmanager
async def venue(max_age_ms: int) -> AsyncIterator[Server]:
    """A gateway with many open orders of ALPHA."""
    more = f'\n[out]\nmax_age_ms = {max_age_ms}\n[journal]\ndurability = "process"\n'
    async with running(venue_toml(sessions=SESSIONS, more=more)) as server:
        for n in range(1, ORDERS + 1):
            row = NewOrder(
                n, 1, 1, Origin.FIX, 1, 0, f"o{n}", 1, Side.BUY, OrdType.LIMIT, Tif.GTC, 100_000_000, 6_000_000
            )
            server.core.engine.execute(row, server.now_ns())  # type: ignore[attr-defined]
        yield server


class Slow:
    """A socket with a small window, read as fast as the test says."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.got = b""
        self.has_ended = False

    async def read(self, size: int = 65_536) -> None:
        """At most so much; waits for something."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            data = await loop.sock_recv(self.socket, size)
        self.got += data
        self.has_ended = not data

    def say(self, data: bytes) -> None:
        """Send; it fits."""
        self.socket.sendall(data)


@pytest.fixture
async def clients() -> AsyncIterator[list[Slow]]:
    made: list[Slow] = []
    yield made
    for client in made:
        client.socket.close()


def fix_line(server: Server, comp_id: str, text: str) -> bytes:
    return fix(expand(text, server.now_ns(), comp_id, "GATE"))


async def fix_client(server: Server, comp_id: str, clients: list[Slow]) -> Slow:
    client = Slow(server.ports["fix"])
    clients.append(client)
    client.say(fix_line(server, comp_id, "35=A|34=1|98=0|108=30"))
    while b"\x0135=A\x01" not in client.got:
        await client.read()
    return client


def numbers_without_a_gap(lines: list[str]) -> None:
    expected = 1
    for line in lines:
        fields = dict(field.split("=", 1) for field in line.split("|"))
        assert int(fields["34"]) == expected, line
        expected = int(fields.get("36", expected + 1))


@pytest.mark.parametrize("question", ["35=AF|34=2|584=all|585=7", "35=q|34=2|11=mc|530=7|60=20261122-12:00:00.000"])
async def test_a_reader_that_goes_on_reading_has_all_that_it_asked_for_on_the_living_connection(
    clients: list[Slow], question: str
) -> None:
    """Five times as much as `out.max_bytes` allows of what is not read from a store, and no byte for a while."""
    async with venue(2_000) as server:
        client = await fix_client(server, "MAKER", clients)
        client.say(fix_line(server, "MAKER", question))
        await asyncio.sleep(0.3)
        while client.got.count(b"\x0135=8\x01") < ORDERS:
            await client.read(20_000)
            await asyncio.sleep(0.001)
        lines = pipes(client.got[: client.got.rindex(b"\x018=FIX") + 1])
        numbers_without_a_gap(lines)
        assert not any(line.startswith("35=5|") for line in lines)
        client.say(fix_line(server, "MAKER", "35=1|34=3|112=alive"))
        while b"\x01112=alive\x01" not in client.got:
            await client.read()


class Pouring:
    """Makes reports and events of ALPHA, faster than a slow reader takes them."""

    def __init__(self, server: Server) -> None:
        self.maker, self.made = Desk(server, "MAKER"), 0
        self.maker.logon()

    async def until(self, is_enough: Callable[[], bool]) -> None:
        """No more than needed."""
        async with asyncio.timeout(40):
            while not is_enough():
                for _ in range(20):
                    self.made += 1
                    order = f"11=p{self.made}|55=BTC-USDT|54=1|38=1|40=2|44=59000|526={'y' * 30}|"
                    self.maker.send("D", order)
                self.maker.server.wake()
                await asyncio.sleep(0.002)


async def read_slowly(client: Slow, says: bytes = b"") -> None:
    """says: with each read, though nobody may be reading it."""
    while not client.has_ended:
        await client.read(8_000)
        with suppress(OSError):
            client.say(says)
        await asyncio.sleep(0.01)


async def test_a_fix_session_that_reads_slowly_and_steadily_is_told_why_it_is_cut_with_no_gap_before_it(
    clients: list[Slow],
) -> None:
    async with venue(1_500) as server:
        client = await fix_client(server, "LISTENS", clients)
        reading = asyncio.create_task(read_slowly(client))
        await Pouring(server).until(reading.done)
        await reading
        lines = pipes(client.got)
        numbers_without_a_gap(lines)
        assert lines[-1].startswith("35=5|")
        assert "|58=too slow to read" in lines[-1]


def frames_of(wire: bytes) -> list[tuple[int, bytes]]:
    """Opcode and payload of each frame, which must all be whole."""
    frames = []
    while wire:
        size, start = wire[1], 2
        if size == 126:
            size, start = int.from_bytes(wire[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(wire[2:10], "big"), 10
        assert len(wire) >= start + size, "a frame is cut"
        frames.append((wire[0] & 15, wire[start : start + size]))
        wire = wire[start + size :]
    return frames


async def ws_client(server: Server, clients: list[Slow]) -> Slow:
    client = Slow(server.ports["ws"])
    clients.append(client)
    ts = time.time_ns() // 1_000
    proof = ws.signature(ws.WsIdentity("key-ALPHA", seed_of("ALPHA")), "", ts)
    client.say(UPGRADE + f"X-API-Key: key-ALPHA\r\nX-Timestamp: {ts}\r\nX-Signature: {proof}\r\n\r\n".encode())
    while b'"ev":"hello"' not in client.got:
        await client.read()
    client.got = client.got.partition(b"\r\n\r\n")[2]
    return client


@pytest.mark.parametrize("says", [b"", request("ping")])
async def test_a_websocket_that_reads_slowly_and_steadily_reads_4008_behind_whole_frames(
    clients: list[Slow], says: bytes
) -> None:
    """Also when it has said something that nobody has read: to close over that would take the Close frame back."""
    async with venue(1_500) as server:
        client = await ws_client(server, clients)
        reading = asyncio.create_task(read_slowly(client, says))
        await Pouring(server).until(reading.done)
        await reading
        frames = frames_of(client.got)
        assert frames[-1][0] == 8
        assert frames[-1][1] == (4008).to_bytes(2, "big") + b"too slow to read"
        assert server.metrics.ws.disconnects["too_slow"] == 1
        await until(lambda: server.ws is not None and not server.ws.traffic.connections)
