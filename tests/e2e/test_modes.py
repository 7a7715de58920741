"""Modes and kill switch of a running gateway: within a second, over both doors, and across a restart."""

import time
from pathlib import Path

import aiohttp
import pytest

from gateway.admin.modes_file import ModesBroken
from gateway.config.load import load
from gateway.server import Server
from tests.support.desks import FixDesk, fix_desk, ws_desk
from tests.support.server import running, venue_toml, write_venue

BTC = ((55, "BTC-USDT"), (54, "1"), (38, "1"), (40, "2"), (44, "64000"))


async def change(
    server: Server, scope: str, name: str = "", mode: str = "cancel_only", **more: object
) -> dict[str, object]:
    """Ask the admin port; the answer's JSON."""
    asked = {"scope": scope, "name": name, "mode": mode, "reason": "a drill", **more}
    url = f"http://127.0.0.1:{server.ports['admin']}/modes"
    async with aiohttp.ClientSession() as http, http.post(url, json=asked) as answer:
        body: dict[str, object] = await answer.json()
        assert answer.status == 200, body
        return body


async def test_a_kill_cancels_the_accounts_orders_on_both_doors_and_bars_new_ones_within_a_second() -> None:
    async with (
        running() as server,
        fix_desk(server.ports["fix"], "ALPHA") as fix,
        ws_desk(server.ports["ws"], "ALPHA") as ws,
        ws_desk(server.ports["ws"], "BETA") as beta,
    ):
        fix.client.send("D", [(11, "f-1"), *BTC])
        await fix.expect("8", {150: "0", 11: "f-1"})
        await ws.place("w-1", "buy", "1", "63000")
        await beta.place("b-1", "buy", "1", "63000")
        began = time.monotonic()
        body = await change(server, "account", "ALPHA", kill=True)
        assert body["sweep"] == {"accounts": 1, "canceled": 2, "unanswered": 0, "failure": ""}
        news = await fix.expect("B")
        assert (news[61], news[58]) == ("1", "account ALPHA takes cancels only: a drill")
        told = await ws.expect("system")
        assert (told["state"], told["text"]) == ("cancel_only", "account ALPHA takes cancels only: a drill")
        gone = await fix.expect("8", {150: "4", 11: "f-1"})
        assert (gone[39], gone[58]) == ("4", "cancelled by the operator")
        assert (await ws.expect(exec="canceled", cl_ord_id="w-1"))["code"] == 6003
        fix.client.send("D", [(11, "f-2"), *BTC])
        refused = await fix.expect("8", {150: "8", 11: "f-2"})
        assert (refused[103], refused[25016], refused[20102]) == ("2", "4011", "0")
        assert refused[58] == "account ALPHA takes cancels only: a drill"
        order: dict[str, object] = {
            "symbol": "BTC-USDT",
            "side": "buy",
            "type": "limit",
            "price": "1000",
            "qty": "1",
            "cl_ord_id": "w",
        }
        error = await ws.refusal("order.place", order)
        assert (error["code"], error["name"], error["outcome"]) == (4011, "cancel_only", "not_executed")
        assert time.monotonic() - began < 1
        fix.client.cancel("f-3", "f-1", "BTC-USDT", "1")
        assert (await fix.expect("9", {11: "f-3"}))[102] == "0"  # a cancel passes: the core answers it
        await beta.place("b-2", "buy", "1", "63000")
        await change(server, "account", "ALPHA", "normal")
        assert (await fix.expect("B"))[58] == "account ALPHA takes orders again"
        await ws.place("w-2", "buy", "1", "63000")


async def test_a_halt_of_one_instrument_bars_new_and_replace_in_it_and_lets_cancels_out() -> None:
    async with running() as server, fix_desk(server.ports["fix"], "ALPHA") as fix:
        fix.client.send("D", [(11, "f-1"), *BTC])
        await fix.expect("8", {150: "0", 11: "f-1"})
        await change(server, "instrument", "BTC-USDT", "halted")
        assert (await fix.expect("B"))[148] == "BTC-USDT halted"
        fix.client.send("G", [(11, "f-2"), (41, "f-1"), *BTC])
        refused = await fix.expect("9", {11: "f-2"})
        assert (refused[434], refused[102], refused[25016]) == ("2", "99", "4010")
        fix.client.send("D", [(11, "f-3"), (55, "ETH-USDT"), (54, "1"), (38, "1"), (40, "2"), (44, "2000")])
        await fix.expect("8", {150: "0", 11: "f-3"})
        fix.client.cancel("f-4", "f-1", "BTC-USDT", "1")
        await fix.expect("8", {150: "4", 11: "f-4"})


async def test_who_logs_on_while_a_mode_is_in_force_is_told() -> None:
    async with running() as server:
        await change(server, "venue", mode="halted")
        async with fix_desk(server.ports["fix"], "ALPHA") as fix, ws_desk(server.ports["ws"], "BETA") as beta:
            assert (await fix.expect("B"))[58] == "the venue is halted: a drill"
            assert (await beta.expect("system"))["state"] == "halted"


async def test_a_mode_set_for_a_second_ends_by_itself_and_sessions_hear_of_it() -> None:
    async with running() as server, ws_desk(server.ports["ws"], "BETA") as beta:
        await change(server, "venue", ttl_s=1)
        assert (await beta.expect("system"))["state"] == "cancel_only"
        assert (await beta.expect("system"))["state"] == "normal"
        await beta.place("b-1", "buy", "1", "63000")


async def test_a_restart_keeps_the_modes_and_a_second_kill_is_not_taken_for_the_first(tmp_path: Path) -> None:
    settings = load(write_venue(tmp_path, venue_toml()))
    desk = FixDesk("ALPHA")
    for round_number in range(3):
        server = Server(settings, tmp_path)
        await server.start()
        try:
            assert (not server.orders.venue.modes.in_force) == (round_number == 0)
            await change(server, "account", "ALPHA", "normal")
            desk = FixDesk("ALPHA")
            await desk.logon(server.ports["fix"])
            desk.client.send("D", [(11, f"f-{round_number}"), *BTC])
            await desk.expect("8", {150: "0", 11: f"f-{round_number}"})
            body = await change(server, "account", "ALPHA", kill=True)
            assert body["sweep"] == {"accounts": 1, "canceled": 1, "unanswered": 0, "failure": ""}
            await desk.client.logout()
        finally:
            await server.stop()


async def test_a_broken_file_of_modes_stops_the_start(tmp_path: Path) -> None:
    settings = load(write_venue(tmp_path, venue_toml()))
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "modes.json").write_text("{")
    with pytest.raises(ModesBroken, match="move it away"):
        Server(settings, tmp_path)


async def test_with_a_token_configured_nobody_changes_anything_without_it(tmp_path: Path) -> None:
    (tmp_path / "kim.token").write_text("k" * 32)
    token = '[[admin.tokens]]\nname = "kim"\nrole = "operator"\ntoken_file = "kim.token"\n'
    settings = load(write_venue(tmp_path, venue_toml(more=token)))
    server = Server(settings, tmp_path)
    await server.start()
    url = f"http://127.0.0.1:{server.ports['admin']}/modes"
    asked = {"scope": "venue", "mode": "halted", "reason": "r"}
    try:
        async with aiohttp.ClientSession() as http:
            for headers, status in (({}, 401), ({"Authorization": f"Bearer {'k' * 32}"}, 200)):
                async with http.post(url, json=asked, headers=headers) as answer:
                    assert answer.status == status
            assert server.orders.venue.modes.in_force["venue", ""].by == "kim"
    finally:
        await server.stop()
