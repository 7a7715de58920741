"""Both doors of a running gateway, end to end: who gets in, who is thrown out, what is refused with which code.

The clients share no protocol code with the gateway. Times that are waited for here are the gateway's own real ones, set
as short as the configuration allows.
"""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.client import ws
from gateway.client.fix import LogonRefused, sending_time, signature
from gateway.doors.connection import Connection
from gateway.doors.fix.pre_logon import PreLogonPeer
from gateway.doors.listening import Arrival
from gateway.doors.ws.endpoint import WsEndpoint
from gateway.doors.ws.http_upgrade import HttpPhase
from gateway.server import Server
from tests.support.desks import FixDesk, WsDesk, fix_desk, ws_desk, ws_url
from tests.support.server import running, until, venue_toml
from tests.support.venue_rows import seed_of

UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
TIGHT = """
version = 1
[plans.tight]
orders = { rate = "1/s", burst = 3 }
[assign]
default = "tight"
"""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A gateway with the accounts ALPHA and BETA."""
    async with running() as server:
        yield server


# -- FIX: who gets in ------------------------------------------------------------------------------------------


async def test_a_fix_logon_with_a_bad_signature_is_closed_in_silence_and_the_next_good_one_passes(
    server: Server,
) -> None:
    with pytest.raises(LogonRefused, match="closed without an answer"):
        await FixDesk("ALPHA", seed=seed_of("somebody else")).logon(server.ports["fix"])
    async with fix_desk(server.ports["fix"], "ALPHA") as desk:
        assert desk.client.next_in == 2


async def test_an_unknown_session_and_a_bad_signature_look_the_same(server: Server) -> None:
    times = []
    for desk in (FixDesk("NOBODY"), FixDesk("ALPHA", seed=bytes(32)), FixDesk("ALPHA", key_id="key-unknown")):
        began = time.perf_counter()
        with pytest.raises(LogonRefused, match="closed without an answer"):
            await desk.logon(server.ports["fix"])
        times.append(time.perf_counter() - began)
    assert min(times) >= 0.05  # the fixed delay


async def test_a_key_of_another_account_does_not_open_a_session(server: Server) -> None:
    with pytest.raises(LogonRefused, match="closed without an answer"):
        await FixDesk("ALPHA", "BETA").logon(server.ports["fix"])


async def test_a_recorded_logon_does_not_work_twice(server: Server) -> None:
    desk = FixDesk("ALPHA")
    at = sending_time(time.time_ns())
    signed = signature(seed_of("ALPHA"), ("A", "ALPHA", "GATE", "1", at))
    logon = [(49, "ALPHA"), (56, "GATE"), (34, 1), (52, at), (98, 0), (108, 30), (141, "Y"), (553, "key-ALPHA")]
    raw = _raw("A", [*logon, (95, len(signed)), (96, signed)])
    answers = []
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["fix"])
        writer.write(raw)
        answers.append(await asyncio.wait_for(reader.read(4_096), 5))
        writer.transport.abort()
        await until(lambda: not server.fix.traffic.connections)
    assert b"35=A\x01" in answers[0]
    assert answers[1] == b""
    assert desk.client.next_out == 1


def _raw(msg_type: str, pairs: list[tuple[int, object]]) -> bytes:
    body = f"35={msg_type}\x01" + "".join(f"{tag}={value}\x01" for tag, value in pairs)
    head = f"8=FIX.4.4\x019={len(body)}\x01{body}".encode()
    return head + b"10=%03d\x01" % (sum(head) % 256)


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with running(venue_toml(fix="logon_timeout_s = 1")) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["fix"])
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_the_logon_answer_shows_the_values_in_force(server: Server) -> None:
    desk = FixDesk("ALPHA")
    answer = await desk.logon(server.ports["fix"], fields=[(8013, "S"), (20107, 1500), (25036, 2)])
    assert (answer[8013], answer[20107], answer[25036], answer[1409]) == ("S", "1500", "2", "0")
    assert answer[20106]
    await desk.client.logout()


# -- FIX: sessions and their numbers -------------------------------------------------------------------------------


async def test_a_second_proven_logon_takes_the_session_over_and_the_numbers_go_on(server: Server) -> None:
    first, second = FixDesk("ALPHA"), FixDesk("ALPHA")
    await first.logon(server.ports["fix"])
    second.client.next_out, second.client.next_in = first.client.next_out, first.client.next_in + 1  # 1 = its Logout
    answer = await second.logon(server.ports["fix"], reset=False)
    await asyncio.wait_for(first.client.closed.wait(), 5)
    assert first.client.logout_text == "superseded"
    assert answer[34] == "3"
    second.client.place("a-1", "BTC-USDT", "1", "1", "60000")
    await second.expect("8", {150: "0", 11: "a-1"})
    await second.client.logout()


async def test_a_second_logon_that_proves_nothing_leaves_the_first_alone(server: Server) -> None:
    async with fix_desk(server.ports["fix"], "ALPHA") as first:
        with pytest.raises(LogonRefused):
            await FixDesk("ALPHA", seed=bytes(32)).logon(server.ports["fix"])
        first.client.place("a-1", "BTC-USDT", "1", "1", "60000")
        await first.expect("8", {150: "0", 11: "a-1"})


async def test_what_happened_while_away_is_resent_on_request_exactly_once(server: Server) -> None:
    desk = FixDesk("ALPHA")
    await desk.logon(server.ports["fix"])
    desk.client.place("a-1", "BTC-USDT", "1", "1", "60000")
    await desk.expect("8", {150: "0"})
    desk.client.abort()
    async with ws_desk(server.ports["ws"], "BETA") as other:
        await other.place("b-1", "sell", "0.4", "60000")
        await other.place("b-2", "sell", "0.6", "60000")
    await desk.logon(server.ports["fix"], reset=False)
    first, second = await desk.expect("8", {150: "F"}), await desk.expect("8", {150: "F"})
    assert (first[43], first[32], first[39]) == ("Y", "0.40000000", "1")
    assert (second[43], second[32], second[39]) == ("Y", "0.60000000", "2")
    assert desk.client.counts.gaps == 1
    await desk.client.logout()
    assert desk.ear.heard == []


async def test_heartbeats_flow_at_the_agreed_interval_and_keep_an_idle_session_up(server: Server) -> None:
    async with fix_desk(server.ports["fix"], "ALPHA", heart_bt_int_s=1) as desk:
        await until(lambda: desk.client.counts.heartbeats >= 3)
        assert not desk.client.closed.is_set()


async def test_a_silent_client_is_asked_and_then_cut() -> None:
    async with running() as server:
        at = sending_time(time.time_ns())
        signed = signature(seed_of("ALPHA"), ("A", "ALPHA", "GATE", "1", at))
        header = [(49, "ALPHA"), (56, "GATE"), (34, 1), (52, at)]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["fix"])
        logon = [(98, 0), (108, 1), (141, "Y"), (553, "key-ALPHA"), (95, len(signed)), (96, signed)]
        writer.write(_raw("A", [*header, *logon]))
        heard = await asyncio.wait_for(reader.read(), 10)
        kinds = [part.split(b"\x01")[0] for part in heard.split(b"\x0135=")[1:]]
        assert kinds[0] == b"A"
        assert b"1" in kinds
        assert kinds[-1] == b"5"
        writer.close()


# -- FIX: what is refused ---------------------------------------------------------------------------------------------


async def test_fix_refusals_name_their_codes(server: Server) -> None:
    async with fix_desk(server.ports["fix"], "ALPHA") as desk:
        place = desk.client.place
        place("a-1", "BTC-USDT", "2", "1", "60000")
        await desk.expect("8", {150: "0", 11: "a-1"})
        place("b-1", "DOGE-USDT", "1", "1", "60000")
        place("b-2", "BTC-USDT", "1", "1", "60000.005")
        place("b-3", "BTC-USDT", "1", "0.000000001", "60000")
        place("b-4", "BTC-USDT", "1", "0.00000001", "60000")
        place("b-5", "BTC-USDT", "1", "1", "2000000")
        place("b-6", "BTC-USDT", "1", "1", "60000", fields=[(18, "6")])
        place("a-1", "BTC-USDT", "1", "1", "59000")
        for cl_ord_id, code, reason in (
            ("b-1", "2003", "1"),
            ("b-2", "2004", "18"),
            ("b-3", "2005", "13"),
            ("b-4", "2006", "3"),
            ("b-5", "2007", "16"),
            ("b-6", "4005", "99"),
            ("a-1", "4003", "6"),
        ):
            report = await desk.expect("8", {150: "8", 11: cl_ord_id})
            assert (report[39], report[25016], report[103]) == ("8", code, reason)
            assert report.get(20102, "0") == "0"


async def test_cancels_and_replaces_are_refused_in_their_own_words(server: Server) -> None:
    async with fix_desk(server.ports["fix"], "ALPHA") as desk:
        desk.client.cancel("c-1", "never-was", "BTC-USDT", "1")
        desk.client.replace("c-2", "never-was", "BTC-USDT", "1", "1", "60000")
        cancel, replace = await desk.expect("9", {11: "c-1"}), await desk.expect("9", {11: "c-2"})
        assert (cancel[434], cancel[102], cancel[25016], cancel[39]) == ("1", "1", "4002", "8")
        assert (replace[434], replace[102], replace[25016]) == ("2", "1", "4002")


async def test_an_order_beyond_the_limit_is_told_when_to_come_back_and_cancels_still_pass() -> None:
    async with running(limits=TIGHT) as server, fix_desk(server.ports["fix"], "ALPHA") as desk:
        for n in range(1, 5):
            desk.client.place(f"a-{n}", "BTC-USDT", "1", "1", "60000")
        refused = await desk.expect("8", {11: "a-4"})
        assert (refused[150], refused[25016], refused[20102]) == ("8", "3001", "0")
        assert 0 < int(refused[20101]) <= 1_000
        desk.client.cancel("c-1", "a-1", "BTC-USDT", "1")
        await desk.expect("8", {150: "4", 41: "a-1"})


async def test_a_message_the_session_layer_cannot_take_is_a_reject_that_names_the_tag(server: Server) -> None:
    async with fix_desk(server.ports["fix"], "ALPHA") as desk:
        number = desk.client.send("D", [(11, "a-1"), (55, "BTC-USDT"), (54, "Z"), (38, "1"), (40, "2"), (44, "1")])
        reject = await desk.expect("3")
        assert (reject[45], reject[371], reject[372], reject[373]) == (str(number), "54", "D", "5")


# -- WebSocket: who gets in ------------------------------------------------------------------------------------------


async def test_another_path_is_not_found(server: Server) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await WsDesk("ALPHA").client.connect(f"ws://127.0.0.1:{server.ports['ws']}/v2/ws")
    assert caught.value.status == 404


async def test_a_plain_request_is_told_to_upgrade(server: Server) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{server.ports['ws']}/v1/ws") as answer:
        assert answer.status == 426


async def test_a_websocket_logon_with_a_bad_signature_is_refused_and_closed_with_4003(server: Server) -> None:
    desk = WsDesk("ALPHA", seed=bytes(32))
    hello = await desk.client.connect(ws_url(server.ports["ws"]))
    ts = time.time_ns() // 1_000
    sig = ws.signature(desk.client.identity, str(hello["challenge"]), ts)
    params: ws.Json = {"api_key": "key-ALPHA", "challenge": hello["challenge"], "ts": ts, "sig": sig}
    error = await desk.refusal("session.logon", params)
    assert (error["code"], error["name"]) == (1002, "logon_refused")
    assert (await desk.client.wait_closed()).code == 4003
    await desk.client.abort()


async def test_an_order_before_the_logon_is_refused(server: Server) -> None:
    desk = WsDesk("ALPHA")
    await desk.client.connect(ws_url(server.ports["ws"]))
    error = await desk.refusal("order.cancel_all", {})
    assert error["code"] == 1001
    await desk.client.abort()


async def test_a_connection_that_does_not_log_on_is_closed_with_4002() -> None:
    async with running(venue_toml(ws="logon_timeout_s = 1")) as server:
        desk = WsDesk("ALPHA")
        await desk.client.connect(ws_url(server.ports["ws"]))
        assert (await desk.client.wait_closed()).code == 4002
        await desk.client.abort()


async def test_credentials_at_the_upgrade_start_logged_on_and_bad_ones_are_an_http_401(server: Server) -> None:
    for seed, status in ((seed_of("ALPHA"), 101), (bytes(32), 401)):
        ts = time.time_ns() // 1_000
        sig = ws.signature(ws.WsIdentity("key-ALPHA", seed), "", ts)
        headers = {"X-API-Key": "key-ALPHA", "X-Timestamp": str(ts), "X-Signature": sig}
        async with aiohttp.ClientSession() as http:
            if status == 401:
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await http.ws_connect(ws_url(server.ports["ws"]), headers=headers)
                assert caught.value.status == 401
                continue
            async with http.ws_connect(ws_url(server.ports["ws"]), headers=headers) as socket:
                assert (await socket.receive_json())["ev"] == "hello"
                await socket.send_json({"id": 1, "method": "order.list", "params": {}})
                assert (await socket.receive_json())["status"] == 200


# -- WebSocket: sessions and their stream ----------------------------------------------------------------------------


async def test_a_newer_logon_of_the_same_name_closes_the_older_with_4001(server: Server) -> None:
    old = WsDesk("ALPHA", "bot")
    await old.logon(server.ports["ws"])
    async with ws_desk(server.ports["ws"], "ALPHA", "bot") as new:
        assert (await old.client.wait_closed()).code == 4001
        await new.place("a-1", "buy", "1", "60000")
    await old.client.abort()


async def test_a_resumed_session_hears_what_it_missed_and_nothing_twice(server: Server) -> None:
    desk = WsDesk("ALPHA", "bot")
    await desk.logon(server.ports["ws"])
    await desk.place("a-1", "buy", "1", "60000")
    await desk.expect(exec="new", cl_ord_id="a-1")
    seen = desk.client.last_seq
    assert seen is not None
    await desk.client.abort()
    async with fix_desk(server.ports["fix"], "BETA") as other:
        other.client.place("b-1", "BTC-USDT", "2", "0.25", "60000")
        await other.expect("8", {150: "F"})
    result = await desk.logon(server.ports["ws"], resume=True)
    assert result["resume"] == {"status": "replayed", "begin": seen + 1, "end": seen + 1}
    missed = await desk.expect(exec="trade")
    assert (missed["seq"], missed["replay"], missed["last_qty"]) == (seen + 1, True, "0.25000000")
    await desk.place("a-2", "buy", "1", "59000")
    assert (await desk.expect(exec="new", cl_ord_id="a-2"))["seq"] == seen + 2
    assert desk.client.counts.gaps == 0
    await desk.client.logout()


async def test_a_resume_that_missed_nothing_says_so_and_an_old_epoch_gets_a_snapshot(server: Server) -> None:
    desk = WsDesk("ALPHA", "bot")
    await desk.logon(server.ports["ws"])
    await desk.place("a-1", "buy", "1", "60000")
    await desk.expect(exec="new")
    await desk.client.abort()
    result = await desk.logon(server.ports["ws"], resume=True)
    assert result["resume"] == {"status": "none"}
    await desk.client.abort()
    desk.client.epoch = "e-of-another-life"
    result = await desk.logon(server.ports["ws"], resume=True)
    assert (result["resume"]["status"], result["resume"]["reason"]) == ("snapshot", "epoch_changed")  # type: ignore[index]
    snapshot = await desk.expect("snapshot")
    assert [order["cl_ord_id"] for order in snapshot["orders"]] == ["a-1"]  # type: ignore[attr-defined]
    await desk.client.logout()


async def test_a_lost_connection_cancels_the_orders_of_a_session_that_asked_for_it(server: Server) -> None:
    desk = WsDesk("ALPHA", "bot")
    await desk.logon(server.ports["ws"], cod={"scope": "session", "grace_ms": 0})
    await desk.place("a-1", "buy", "1", "60000")
    await desk.expect(exec="new")
    await desk.client.abort()
    await until(lambda: server.ws is not None and not server.ws.traffic.connections)
    await desk.logon(server.ports["ws"], resume=True)
    ended = await desk.expect(exec="canceled", cl_ord_id="a-1")
    assert ended["origin"] == "cod"
    await desk.client.logout()


async def test_a_logout_leaves_the_orders_although_cancel_on_disconnect_is_on(server: Server) -> None:
    desk = WsDesk("ALPHA", "bot")
    await desk.logon(server.ports["ws"], cod={"scope": "session", "grace_ms": 0})
    await desk.place("a-1", "buy", "1", "60000")
    await desk.client.logout()
    async with ws_desk(server.ports["ws"], "ALPHA", "bot") as again:
        orders = (await again.client.call("order.list"))["orders"]
        assert [order["cl_ord_id"] for order in orders] == ["a-1"]  # type: ignore[attr-defined]


async def test_a_silent_websocket_is_closed_with_4010() -> None:
    async with running(venue_toml(ws="heartbeat_ms = 1000")) as server, aiohttp.ClientSession() as http:
        ts = time.time_ns() // 1_000
        sig = ws.signature(ws.WsIdentity("key-ALPHA", seed_of("ALPHA")), "", ts)
        headers = {"X-API-Key": "key-ALPHA", "X-Timestamp": str(ts), "X-Signature": sig}
        async with http.ws_connect(ws_url(server.ports["ws"]), headers=headers, autoping=False) as socket:
            kinds = [message.type async for message in socket]
            assert aiohttp.WSMsgType.PING in kinds
            assert socket.close_code == 4010


# -- WebSocket: what is refused --------------------------------------------------------------------------------------


async def test_websocket_refusals_name_their_codes_and_fields(server: Server) -> None:
    async with ws_desk(server.ports["ws"], "ALPHA") as desk:
        await desk.place("a-1", "sell", "1", "60000")
        order: ws.Json = {
            "symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "60000", "qty": "1", "cl_ord_id": "b-1",
        }  # fmt: skip
        for change, code in (
            ({"symbol": "DOGE-USDT"}, 2003),
            ({"price": "60000.005"}, 2004),
            ({"qty": "0.000000001"}, 2005),
            ({"qty": "0.00000001"}, 2006),
            ({"price": "2000000"}, 2007),
            ({"post_only": True}, 4005),
            ({"cl_ord_id": "a-1"}, 4003),
            ({"colour": "blue"}, 2001),
            ({"price": 60_000.0}, 2001),
            ({"side": "long"}, 2001),
        ):
            error = await desk.refusal("order.place", {**order, **change})
            assert error["code"] == code, change
            assert error["outcome"] == "not_executed"
        error = await desk.refusal("order.cancel", {"symbol": "BTC-USDT", "orig_cl_ord_id": "never-was"})
        assert error["code"] == 4002
        assert (await desk.refusal("order.levitate", {}))["code"] == 1006


async def test_the_limit_block_shows_the_empty_bucket() -> None:
    async with running(limits=TIGHT) as server, ws_desk(server.ports["ws"], "ALPHA") as desk:
        for n in range(3):
            await desk.place(f"a-{n}", "buy", "1", "60000")
        with pytest.raises(ws.RequestRefused) as caught:
            await desk.place("a-3", "buy", "1", "60000")
        assert caught.value.status == 429
        error = caught.value.error
        assert (error["code"], error["retry"]) == (3001, True)
        assert 0 < int(error["retry_after_ms"]) <= 1_000  # type: ignore[call-overload]


async def test_three_messages_that_do_not_decode_close_with_4000(server: Server) -> None:
    desk = WsDesk("ALPHA")
    async with aiohttp.ClientSession() as http, http.ws_connect(ws_url(server.ports["ws"])) as socket:
        for _ in range(3):
            await socket.send_str("{not json")
        codes = [message.json().get("error", {}).get("code") async for message in socket]
        assert codes == [None, 1004, 1004, 1004]
        assert socket.close_code == 4000
    assert desk.client.closed is None


# -- operations ------------------------------------------------------------------------------------------------------


async def test_the_admin_port_tells_health_and_numbers(server: Server) -> None:
    admin = f"http://127.0.0.1:{server.ports['admin']}"
    async with ws_desk(server.ports["ws"], "ALPHA") as desk, aiohttp.ClientSession() as http:
        await desk.place("a-1", "buy", "1", "60000")
        for path, wanted in (
            ("/livez", ""),
            ("/readyz", ""),
            ("/metrics", 'penstock_orders_accepted_total{door="ws"} 1'),
        ):
            async with http.get(admin + path) as answer:
                assert answer.status == 200
                assert wanted in await answer.text()


async def test_a_drain_announces_itself_and_both_doors_close_in_good_order() -> None:
    async with running() as server:
        fix, ws_side = FixDesk("ALPHA"), WsDesk("BETA")
        await fix.logon(server.ports["fix"])
        await ws_side.logon(server.ports["ws"])
        drain = asyncio.create_task(server.drain())
        assert (await ws_side.expect("system", state="draining"))["state"] == "draining"
        await asyncio.wait_for(fix.client.closed.wait(), 12)
        assert (await ws_side.client.wait_closed(12)).code in {1001, 1012}
        await drain
        assert fix.client.logout_text
        await ws_side.client.abort()


@pytest.mark.parametrize(
    ("door", "said"),
    [
        ("fix", b""),
        ("fix", b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01"),
        ("ws", b""),
        ("ws", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("ws", UPGRADE),
        ("admin", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ],
)
async def test_a_connection_of_a_stranger_that_has_ended_is_gone_without_the_garbage_collector(
    door: str, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of them a second would make the collector stop the loop again and again, for as long as they come."""
    alive: weakref.WeakSet[object] = weakref.WeakSet()
    for kind in (Arrival, Connection, HttpPhase, PreLogonPeer, WsEndpoint):

        def kept(self: object, *args: object, _made: Any = kind.__init__, **more: object) -> None:
            alive.add(self)
            _made(self, *args, **more)

        monkeypatch.setattr(kind, "__init__", kept)
    gc.disable()
    try:
        async with running(venue_toml(fix="refusal_delay_ms = 0").replace("refusal_delay_ms = 50\n", "")) as server:
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", server.ports[door])
                writer.write(said)
                await until(lambda: alive)
                writer.close()
                await until(lambda: not alive)
    finally:
        gc.enable()
