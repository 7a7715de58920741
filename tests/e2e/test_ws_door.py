"""The WebSocket door before anybody is logged on: its HTTP is bounded, timed and counted, and names no software."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aiohttp import web

from gateway.auth.authenticator import Client
from gateway.doors.batch import EventLoopTurn
from gateway.doors.ws.acceptor import WsAcceptor
from gateway.doors.ws.http_upgrade import HttpPhase
from gateway.doors.ws.logon import MAX_CONNECTIONS_PER_KEY
from gateway.server import Server
from tests.support.desks import WsDesk, ws_desk, ws_url
from tests.support.server import GENEROUS, running, until, venue_toml
from tests.support.ws_frames import close, frame, text
from tests.support.ws_upgrade import UPGRADE, credentials


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as server:
        yield server


async def connect(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.ports["ws"])


async def ask(server: Server, request: str) -> str:
    """The whole answer to one request, read to the end of the connection."""
    reader, writer = await connect(server)
    writer.write(request.encode("latin-1"))
    answer = await asyncio.wait_for(reader.read(), 3)
    writer.close()
    return answer.decode("latin-1")


async def end_of(reader: asyncio.StreamReader) -> float:
    """Seconds until the connection ended."""
    began = time.perf_counter()
    with suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 5)
    return time.perf_counter() - began


async def test_a_request_that_never_ends_is_cut_however_busily_it_drips() -> None:
    async with running(venue_toml(ws="header_timeout_s = 1")) as server:
        silent, idle = await connect(server)
        reader, writer = await connect(server)
        writer.write(b"GET /v1/ws HTTP/1.1\r\nHost: x\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"X-A: b\r\n")
                await asyncio.sleep(0.1)

        dripping = asyncio.create_task(drip())
        ends = await asyncio.gather(end_of(silent), end_of(reader))
        dripping.cancel()
        assert all(0.9 < seconds < 2 for seconds in ends)
        assert server.metrics.ws.disconnects == {"header_timeout": 2}
        writer.close()
        idle.close()


async def test_a_door_full_of_those_who_have_logged_on_says_that_it_is() -> None:
    async with running(venue_toml(ws="max_connections = 2")) as server:
        async with ws_desk(server.ports["ws"], "ALPHA"), ws_desk(server.ports["ws"], "BETA"):
            answer = await ask(server, "")
            assert answer.startswith("HTTP/1.1 503 ")
            assert "Retry-After: 1\r\n" in answer
        assert server.metrics.ws.disconnects["full"] == 1


async def test_strangers_give_way_to_whoever_logs_on_in_each_of_their_phases() -> None:
    async with running(venue_toml(ws="max_connections = 3")) as server:
        silent, idle = await connect(server)
        upgraded, writer = await connect(server)
        writer.write(UPGRADE.format(more="").encode())
        await upgraded.readuntil(b"}}")  # hello
        desks = [WsDesk("ALPHA", f"bot-{n}") for n in range(3)]
        for desk in desks:
            await desk.logon(server.ports["ws"])
        assert await end_of(silent) < 1
        assert await end_of(upgraded) < 1
        assert server.metrics.ws.disconnects == {"crowded_out": 2}
        assert [(await desk.place(f"o{n}", "buy", "1", "60000"))["status"] for n, desk in enumerate(desks)] == [
            "new"
        ] * 3
        for desk in desks:
            await desk.client.abort()
        idle.close()
        writer.close()


async def test_who_failed_to_log_on_and_waits_to_hear_of_it_holds_nobodys_place() -> None:
    """Twenty bad logons from one address: their refusals are held back, and yet the address may come again."""
    async with running(venue_toml(ws="max_connections = 16")) as server:
        failing = []
        for _ in range(40):
            reader, writer = await connect(server)
            headers = "".join(
                f"{name}: {value}\r\n" for name, value in {**credentials(), "X-Signature": "AAAA"}.items()
            )
            writer.write(UPGRADE.format(more=headers).encode())
            failing.append((reader, writer))
        async with ws_desk(server.ports["ws"], "ALPHA") as desk:
            assert (await desk.place("a", "buy", "1", "60000"))["status"] == "new"
        assert server.metrics.ws.failed_logons["signature"] == 40
        for _, writer in failing:
            writer.close()


async def test_the_address_that_a_listed_proxy_tells_is_the_one_that_counts() -> None:
    """A key that may come from 198.51.100.0/24 only, behind a proxy on loopback."""
    toml = venue_toml(ws='forwarded_for_from = ["127.0.0.0/8"]').replace(
        'id = "key-ALPHA"', 'id = "key-ALPHA"\nips = ["198.51.100.0/24"]'
    )
    async with running(toml) as server:
        heads = []
        for client in (
            "198.51.100.7",
            "203.0.113.9",
            "198.51.100.7, 203.0.113.9",
            "203.0.113.9, 198.51.100.8",
            "unknown",
        ):
            headers = {**credentials(), "X-Forwarded-For": client}
            text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            reader, writer = await connect(server)
            writer.write(UPGRADE.format(more=text).encode())
            heads.append((await reader.readuntil(b"\r\n"))[9:12])
            writer.close()
        assert heads == [b"101", b"401", b"401", b"101", b"400"]
        assert server.metrics.ws.failed_logons == {"address": 2}
        assert server.metrics.ws.disconnects["bad_forwarded"] == 1


async def test_without_a_listed_proxy_nobody_is_believed_about_his_address() -> None:
    toml = venue_toml().replace('id = "key-ALPHA"', 'id = "key-ALPHA"\nips = ["198.51.100.0/24"]')
    async with running(toml) as server:
        headers = "".join(f"{name}: {value}\r\n" for name, value in credentials().items())
        answer = await ask(server, UPGRADE.format(more=f"{headers}X-Forwarded-For: 198.51.100.7\r\n"))
        assert answer.startswith("HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("request_text", "status", "reason"),
    [
        ("GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n", 426, "no_upgrade"),
        (UPGRADE.format(more="").replace(": 13", ": 12"), 426, "bad_version"),
        (UPGRADE.format(more="").replace("AAAAAAAAAAAAAAAAAAAAAA==", "short"), 400, "bad_key"),
        (UPGRADE.format(more="").replace("AAAAAAAAAAAAAAAAAAAAAA==", "é"), 400, "bad_key"),
        (UPGRADE.format(more="Sec-WebSocket-Key: BBBBBBBBBBBBBBBBBBBBBA==\r\n"), 400, "bad_key"),
        (UPGRADE.format(more="Sec-WebSocket-Version: 8\r\n"), 426, "bad_version"),
        (UPGRADE.format(more="Origin: https://evil.example\r\n"), 403, "bad_origin"),
        (UPGRADE.format(more="Origin: null\r\n"), 403, "bad_origin"),
        (UPGRADE.format(more="Origin: http://x:8080\r\n"), 403, "bad_origin"),
        (UPGRADE.format(more="Origin: http://x\r\nOrigin: http://evil.example\r\n"), 403, "bad_origin"),
        (UPGRADE.format(more="").replace("/v1/ws", "/v2/ws"), 404, "not_found"),
        (UPGRADE.format(more="").replace("GET", "HEAD"), 404, "not_found"),
        (UPGRADE.format(more="").replace("GET", "POST"), 404, "not_found"),
        ("\x16\x03\x01 this is no HTTP\r\n\r\n", 400, "bad_http"),
    ],
)
async def test_whoever_is_not_let_in_is_told_why_closed_and_counted(
    server: Server, request_text: str, status: int, reason: str
) -> None:
    answer = await ask(server, request_text)
    assert answer.split()[1] == str(status)
    assert server.metrics.ws.disconnects == {reason: 1}
    assert "aiohttp" not in answer
    assert "Python" not in answer


@pytest.mark.parametrize(
    "lines",
    [
        "Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n",
        "Upgrade: h2c\r\nUpgrade: WebSocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive,, Upgrade\r\nSec-WebSocket-Extensions: a; b=1\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://X\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nOrigin: https://listed.example\r\n",
    ],
)
async def test_header_lists_may_stand_on_several_lines_and_our_own_origin_passes(lines: str) -> None:
    plain = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    protocols = "Sec-WebSocket-Protocol: chat, gate.v0\r\nSec-WebSocket-Protocol: gate.msgpack.v1\r\n"
    async with running(venue_toml(ws='origins = ["https://listed.example"]')) as server:
        reader, writer = await connect(server)
        writer.write(UPGRADE.format(more=protocols).replace(plain, lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Protocol: gate.msgpack.v1\r\n" in head
        assert b"Extensions" not in head
        writer.close()


async def test_a_client_that_breaks_the_protocol_and_answers_our_close_has_its_clean_end_at_once(
    server: Server,
) -> None:
    reader, writer = await connect(server)
    writer.write(UPGRADE.format(more="").encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(frame(0x3, b"x"))
    await reader.readuntil(b"\x03\xeareserved opcode 3")  # 1002, and why
    writer.write(close(1002))
    assert await end_of(reader) < 0.5, "we go first, and the time-out for the peer's Close is a second"
    writer.close()


async def test_the_upgrade_names_no_software_either(server: Server) -> None:
    reader, writer = await connect(server)
    writer.write(UPGRADE.format(more="").encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"Server: penstock\r\n" in head
    writer.close()


async def test_too_many_connections_of_a_key_are_an_http_429_with_a_time() -> None:
    limits = GENEROUS.replace('logons = { rate = "1000/s", burst = 1000 }', 'logons = { rate = "1/s", burst = 1 }')
    async with running(limits=limits) as server:
        heads, writers = [], []
        for _ in range(MAX_CONNECTIONS_PER_KEY + 1):  # none of them takes anybody's place: they cost no token
            reader, writer = await connect(server)
            headers = "".join(f"{name}: {value}\r\n" for name, value in credentials().items())
            writer.write(UPGRADE.format(more=headers).encode())
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writers.append(writer)
        assert [head[9:12] for head in heads] == [b"101"] * MAX_CONNECTIONS_PER_KEY + [b"429"]
        assert b"Retry-After: 1\r\n" in heads[-1]
        assert b'"code": 1007' in await reader.read()
        assert server.metrics.ws.failed_logons == {"too_many_connections": 1}
        for writer in writers:
            writer.close()


async def test_a_key_that_logs_on_too_often_to_be_remembered_gets_an_http_429_with_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.auth.authenticator.MAX_SIGNATURES", 1)
    async with running() as server:
        heads = []
        for _ in range(2):
            reader, writer = await connect(server)
            headers = "".join(f"{name}: {value}\r\n" for name, value in credentials().items())
            writer.write(UPGRADE.format(more=headers).encode())
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.close()
        assert [head[9:12] for head in heads] == [b"101", b"429"]
        assert b"Retry-After: " in heads[-1]
        assert b'"code": 1007' in await reader.read()
        assert server.metrics.ws.failed_logons == {"too_many_logons": 1}


async def test_a_drain_sends_away_who_has_not_logged_on(server: Server) -> None:
    asking, writer = await connect(server)
    desk = WsDesk("ALPHA")
    await desk.client.connect(ws_url(server.ports["ws"]))
    await until(lambda: server.ws is not None and server.ws.connections == 2)
    drain = asyncio.create_task(server.drain())
    assert (await desk.client.wait_closed()).code == 1012
    assert await end_of(asking) < 1
    await asyncio.wait_for(drain, 5)
    assert server.metrics.ws.disconnects == {"draining": 2}
    await desk.client.abort()
    writer.close()


async def test_a_key_that_logs_on_again_and_again_under_one_name_is_one_connection(server: Server) -> None:
    for _ in range(3):
        desk = WsDesk("ALPHA", "bot")
        await desk.logon(server.ports["ws"])
        await desk.client.abort()
    await until(lambda: server.ws is not None and server.ws.connections == 0)
    async with ws_desk(server.ports["ws"], "ALPHA", "bot") as last:
        assert (await last.place("a", "buy", "1", "60000"))["status"] == "new"


async def test_a_long_list_keeps_nobody_waiting() -> None:
    """Of 4,000 orders: a sync of the disk that takes 100 ms would have some of them refused, so none is waited for."""
    async with (
        running(venue_toml(more='[journal]\ndurability = "process"\n')) as server,
        ws_desk(server.ports["ws"], "ALPHA", streams=[]) as desk,
        ws_desk(server.ports["ws"], "BETA") as other,
    ):
        for start in range(0, 4_000, 200):
            batch = (desk.place(f"o{n}", "buy", "0.01", "60000") for n in range(start, start + 200))
            await asyncio.gather(*batch)
        listing = asyncio.create_task(desk.client.call("order.list", {}))
        waits = []
        while not listing.done():
            began = time.perf_counter()
            await other.client.call("time", {})
            waits.append(time.perf_counter() - began)
        orders = (await listing)["orders"]
        assert isinstance(orders, list)
        assert len(orders) == 4_000
        assert len(waits) >= 5  # others were served while it was made


async def test_what_comes_behind_the_upgrade_and_has_not_had_its_turn_is_heard_by_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is not known yet is heard in turns: nothing that comes between two of them is lost."""
    take_over, hear, is_read = WsAcceptor._take_over, EventLoopTurn._serve_strangers, asyncio.Event()

    async def later(self: WsAcceptor, request: web.Request, client: Client | None) -> web.StreamResponse:
        assert request.transport is not None
        phase = request.transport.get_protocol()
        monkeypatch.setattr(EventLoopTurn, "_serve_strangers", lambda *_: None)
        is_read.set()
        await until(lambda: phase._unparsed)
        response = await take_over(self, request, client)
        monkeypatch.setattr(EventLoopTurn, "_serve_strangers", hear)
        return response

    monkeypatch.setattr(WsAcceptor, "_take_over", later)
    async with running() as server:
        reader, writer = await connect(server)
        writer.write(UPGRADE.format(more="").encode())
        await is_read.wait()
        writer.write(text(b'{"id":1,"method":"time","params":{}}'))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        async with asyncio.timeout(5):
            await reader.readuntil(b'"id":1,"status":200')
        writer.close()


async def test_of_a_crowd_that_asks_at_one_moment_four_are_read_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as server:
        ticks, read = [0], []
        hear, take_turn = EventLoopTurn._serve_strangers, HttpPhase.take_turn

        def counted_tick(self: EventLoopTurn, now_ns: int) -> None:
            ticks[0] += 1
            hear(self, now_ns)

        def counted_read(self: HttpPhase, now_ns: int) -> None:
            read.append(ticks[0])
            take_turn(self, now_ns)

        monkeypatch.setattr(EventLoopTurn, "_serve_strangers", counted_tick)
        monkeypatch.setattr(HttpPhase, "take_turn", counted_read)
        crowd = [await connect(server) for _ in range(11)]
        for _, writer in crowd:
            writer.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        for reader, writer in crowd:
            assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
            writer.close()
        assert max(Counter(read).values()) == 4
        assert len(read) == 11
