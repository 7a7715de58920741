"""What the fuzzer (`tests.faults.fuzz`) found, each made small: input that met code which did not expect it."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.client.fix import LogonRefused
from gateway.server import Server
from tests.support.desks import FixDesk, fix_desk
from tests.support.server import running, until, venue_toml

UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.fixture
async def server(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Server]:
    """A gateway that must not log a bug of its own, whatever a test sends to it."""
    async with running() as server:
        yield server
    assert not [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]


async def ask(port: int, request: bytes) -> bytes:
    """What the gateway answers to these bytes, up to 4 KiB of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(4_096), 5)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("tag", [25_000, 20_107, 25_036, 789])
async def test_a_logon_with_a_superscript_for_a_number_does_not_lock_its_session(server: Server, tag: int) -> None:
    desk = FixDesk("ALPHA")
    client, port = desk.client, server.ports["fix"]
    with pytest.raises(LogonRefused):
        await client.logon("127.0.0.1", port, reset=True, fields=[(tag, b"\xb2")])
    async with fix_desk(port, "ALPHA") as again:
        again.client.place("a-1", "BTC-USDT", "1", "1", "60000")
        await again.expect("8", {150: "0", 11: "a-1"})


@pytest.mark.parametrize("key", [b"\xff\xfe", "é".encode(), b"AAAA\xc3\xa9AAAAAAAAAAAAAAAA=="])
async def test_an_upgrade_whose_key_is_no_ascii_is_a_bad_request(server: Server, key: bytes) -> None:
    request = UPGRADE.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", key)
    assert (await ask(server.ports["ws"], request + b"\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_an_api_key_that_is_no_text_is_an_unknown_key(server: Server) -> None:
    credentials = b"X-API-Key: \xff\xfe\r\nX-Timestamp: 1\r\nX-Signature: AAAA\r\n\r\n"
    assert (await ask(server.ports["ws"], UPGRADE + credentials)).startswith(b"HTTP/1.1 401 ")
    assert server.metrics.ws.failed_logons == {"unknown_key": 1}


async def test_what_is_no_http_is_counted_and_not_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    for noise in (b"X: y\r\n\r\n", UPGRADE + b"X-API-Key: a\x0bb\r\n\r\n", b"GET /v1/ws HTTP/9\r\n\r\n"):
        assert (await ask(server.ports["ws"], noise)).startswith(b"HTTP/1.0 400 ")
    await until(lambda: server.metrics.ws.disconnects == {"bad_http": 3})
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


async def test_an_upgrade_of_another_http_than_1_1_is_refused(server: Server) -> None:
    for version in (b"1.0", b"2.0", b"0.9"):
        answer = await ask(server.ports["ws"], UPGRADE.replace(b"HTTP/1.1", b"HTTP/" + version) + b"\r\n")
        assert b" 400 " in answer.split(b"\r\n")[0]


async def test_a_client_that_is_gone_before_its_upgrade_is_answered_is_no_error_of_ours(server: Server) -> None:
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", server.ports["ws"])
        writer.write(UPGRADE + b"\r\n")
        writer.transport.abort()
    await until(lambda: server.ws is not None and not server.ws.traffic.connections)
    await asyncio.sleep(0.05)


async def test_each_connection_to_the_websocket_door_is_counted_with_one_reason(server: Server) -> None:
    port, counted = server.ports["ws"], server.metrics.ws
    await ask(port, UPGRADE + b"X-API-Key: nobody\r\nX-Timestamp: 1\r\nX-Signature: AAAA\r\n\r\n")
    await ask(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await ask(port, UPGRADE + b"\r\n")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(UPGRADE)
    writer.close()
    await until(lambda: counted.disconnects == {"not_found": 1, "before_upgrade": 1, "lost": 1})
    assert counted.failed_logons == {"unknown_key": 1}


async def test_each_connection_to_the_fix_door_is_counted_with_one_reason(server: Server) -> None:
    port, counted = server.ports["fix"], server.metrics.fix
    async with fix_desk(port, "ALPHA") as desk:
        desk.client.send("0", (), seq_num=1)  # too low: the gateway ends it
        await asyncio.wait_for(desk.client.closed.wait(), 5)
    gone = FixDesk("BETA")
    await gone.logon(port)
    gone.client.abort()
    async with fix_desk(port, "BETA"):
        pass
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"8=FIX")
    writer.close()
    await until(lambda: not server.fix.traffic.connections)
    assert counted.disconnects == {"bad_sequence": 1, "lost": 1, "logout": 1, "before_logon": 1}
    assert not counted.failed_logons


async def test_what_is_no_http_at_the_operators_port_is_counted_and_not_logged(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    token = b"Authorization: Bearer a-token-with-a-typing-error"
    for noise in (b"GET " + b"/" * 9_000, b"GET /livez HTTP/9\r\n" + token + b"\r\n\r\n", b"X\x00\r\n" + token):
        assert b" 400 " in await ask(server.ports["admin"], noise + b"\r\n\r\n")
    await until(lambda: server.metrics.admin_disconnects.get("bad_http") == 3)
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


@pytest.mark.parametrize("door", ["fix", "ws"])
async def test_who_is_crowded_out_before_its_door_has_it_ends_for_that_reason_alone(door: str) -> None:
    async with running(venue_toml(fix="max_connections = 32", ws="max_connections = 32")) as server:
        crowd = server.ws.crowd if door == "ws" and server.ws is not None else server.fix.crowd
        sockets = [socket.create_connection(("127.0.0.1", server.ports[door])) for _ in range(60)]  # in one turn
        counted = server.metrics.doors[door].disconnects
        await until(lambda: sum(counted.values()) == 44)
        for sock in sockets:
            sock.close()
        await until(lambda: not len(crowd))
        assert sum(counted.values()) == 60
        assert counted["crowded_out"] == 44
