"""The WebSocket client against a scripted gateway (aiohttp's own server): what it sends, and how it handles answers.

Module: client.ws.
"""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.client.ws import ConnectionClosed, Json, RequestRefused, WsClient, WsIdentity, signature

SEED = bytes(range(32))
ME = WsIdentity("key-demo-1", SEED, "mm-bot-1")
HELLO: Json = {"ev": "hello", "ts": 1, "data": {"conn_id": "c-1", "challenge": "9f1c2ab07d5e4c33", "epoch": "e-1"}}

Script = Callable[[web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def gateway(script: Script) -> AsyncIterator[str]:
    """A URL whose connections are led by `script`; its failure fails the test."""
    failures: list[BaseException] = []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=("gate.json.v1",))
        await ws.prepare(request)
        try:
            await script(ws)
        except AssertionError as error:
            failures.append(error)
        if not ws.closed:
            await ws.close()
        return ws

    app = web.Application()
    app.router.add_get("/v1/ws", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1/ws"
    finally:
        await runner.cleanup()
    if failures:
        raise failures[0]


async def answer(ws: web.WebSocketResponse, method: str, result: Json) -> Json:
    """Read a request of `method` and answer it; its params."""
    request = await ws.receive_json()
    assert request["method"] == method
    await ws.send_json({"id": request["id"], "status": 200, "t": {"in": 1, "out": 2}, "result": result})
    params = request["params"]
    assert isinstance(params, dict)
    return params


async def greet(ws: web.WebSocketResponse, **result: object) -> Json:
    """Say hello and take a logon; its params."""
    await ws.send_json(HELLO)
    return await answer(ws, "session.logon", {"session": "mm-bot-1", "epoch": "e-1", **result})


def event(seq: int, **more: object) -> Json:
    """A numbered event of the account's stream."""
    return {"ev": "order", "seq": seq, "ts": 1, "data": {"exec": "new"}, **more}


def test_the_signature_is_that_of_the_published_test_vector() -> None:
    expected = "oX2b9P3jXTUd6shDIkOvJjaakjvpZJkwoXYF1Gau2Vyu1eWEPaNk5IQJisu2MoDoXc+U0juDvngIMQ11wA/DDA=="
    assert signature(ME, "9f1c2ab07d5e4c33", 1_795_348_800_005_000) == expected


async def test_a_logon_signs_the_challenge_it_was_given() -> None:
    seen: list[Json] = []

    async def script(ws: web.WebSocketResponse) -> None:
        seen.append(await greet(ws))
        await answer(ws, "session.logout", {})

    async with gateway(script) as url:
        client = WsClient(ME)
        result = await client.logon(url, cod={"scope": "session", "grace_ms": 0})
        await client.logout()
    params = seen[0]
    assert result["session"] == "mm-bot-1"
    assert (params["api_key"], params["name"], params["cod"]) == (
        "key-demo-1", "mm-bot-1", {"scope": "session", "grace_ms": 0},
    )  # fmt: skip
    text = f"session.logon\nkey-demo-1\n9f1c2ab07d5e4c33\n{params['ts']}".encode()
    sig = base64.b64decode(str(params["sig"]))
    Ed25519PrivateKey.from_private_bytes(SEED).public_key().verify(sig, text)
    assert "resume" not in params


async def test_a_refused_logon_raises_with_the_error_and_leaves_nothing_open() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        await ws.send_json(HELLO)
        request = await ws.receive_json()
        error = {"code": 1002, "name": "logon_refused", "msg": "logon refused", "outcome": "not_executed"}
        await ws.send_json({"id": request["id"], "status": 401, "t": {"in": 1, "out": 2}, "error": error})
        await ws.close(code=4003)

    async with gateway(script) as url:
        client = WsClient(ME)
        with pytest.raises(RequestRefused, match="1002 logon_refused") as caught:
            await client.logon(url)
        assert caught.value.status == 401
        with pytest.raises(ConnectionClosed):
            await client.post("ping", {}, lambda _: None)


async def test_an_upgrade_that_is_refused_shows_its_http_status() -> None:
    async with gateway(greet) as url:  # type: ignore[arg-type]
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await WsClient(ME).connect(url + "/nowhere")
    assert caught.value.status == 404


async def test_answers_find_their_requests_in_any_order() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        await greet(ws)
        first, second = await ws.receive_json(), await ws.receive_json()
        for request in (second, first):
            result = {"echo": request["params"]["n"]}
            await ws.send_json({"id": request["id"], "status": 200, "t": {"in": 1, "out": 2}, "result": result})
        await answer(ws, "session.logout", {})

    heard: list[object] = []
    async with gateway(script) as url:
        client = WsClient(ME)
        await client.logon(url)
        await client.post("ping", {"n": 1}, lambda message: heard.append(message["result"]))
        assert await client.call("ping", {"n": 2}) == {"echo": 2}
        await client.logout()
    assert heard == [{"echo": 1}]


async def test_a_connection_that_ends_fails_the_call_and_keeps_its_code_and_reason() -> None:
    async def script(ws: web.WebSocketResponse) -> None:
        await greet(ws)
        await ws.receive_json()
        await ws.close(code=4008, message=b"too slow")

    async with gateway(script) as url:
        client = WsClient(ME)
        await client.logon(url)
        with pytest.raises(ConnectionClosed) as caught:
            await client.call("ping")
        assert (caught.value.code, caught.value.reason) == (4008, "too slow")
        assert (await client.wait_closed()).code == 4008
        await client.abort()


async def test_numbered_events_come_once_and_a_hole_is_asked_for() -> None:
    asked: list[Json] = []

    async def script(ws: web.WebSocketResponse) -> None:
        await greet(ws)
        for seq in (7, 8, 11, 12):
            await ws.send_json(event(seq))
        asked.append(await answer(ws, "stream.replay", {}))
        for seq in (9, 10, 11, 12):
            await ws.send_json(event(seq, replay=True))
        await ws.send_json(event(13))
        await ws.close(code=1001)

    heard: list[object] = []
    async with gateway(script) as url:
        client = WsClient(ME, lambda message: heard.append(message["seq"]))
        await client.logon(url)
        await client.wait_closed()
        await client.abort()
    assert heard == [7, 8, 9, 10, 11, 12, 13]
    assert asked == [{"epoch": "e-1", "begin": 9}]
    assert client.counts.gaps == 1
    assert client.counts.replayed == 4


async def test_a_reconnect_resumes_after_the_last_event_and_a_snapshot_sets_the_number() -> None:
    logons: list[Json] = []

    async def script(ws: web.WebSocketResponse) -> None:
        logons.append(await greet(ws))
        if len(logons) == 1:
            await ws.send_json(event(41))
        else:
            await ws.send_json({"ev": "snapshot", "seq": 90, "ts": 1, "data": {"epoch": "e-1", "orders": []}})
            await ws.send_json(event(91))
        await ws.close(code=1012)

    heard: list[object] = []
    async with gateway(script) as url:
        client = WsClient(ME, lambda message: heard.append((message["ev"], message["seq"])))
        for resume in (False, True):
            await client.logon(url, resume=resume)
            await client.wait_closed()
            await client.abort()
    assert logons[1]["resume"] == {"epoch": "e-1", "seq": 41}
    assert heard == [("order", 41), ("snapshot", 90), ("order", 91)]
