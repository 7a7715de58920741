"""QuickFIX C++ and aiohttp trade with each other through a running gateway: neither side has seen our code.

The FIX session is of the `plain` dialect, so QuickFIX checks everything we say against its own stock FIX44.xml, and a
Reject(3) of its own fails the test. Each test has CompIDs of its own: QuickFIX keeps sessions in a global registry.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.server import Server
from tests.support.desks import WsDesk, ws_desk
from tests.support.quickfix_desk import QuickfixDesk, quickfix_desk
from tests.support.server import running, venue_toml
from tests.support.venue_rows import seed_of

pytestmark = pytest.mark.quickfix

_SESSION = """
[[fix.sessions]]
id = 1
comp_id = "{comp_id}"
account = "ALPHA"
auth = "{auth}"
dialect = "plain"
"""
_BTC = ((55, "BTC-USDT"),)


@asynccontextmanager
async def desks(comp_id: str, credentials: str = "") -> AsyncIterator[tuple[Server, QuickfixDesk, WsDesk]]:
    """A gateway, account ALPHA on QuickFIX, account BETA on WebSocket."""
    sessions = _SESSION.format(comp_id=comp_id, auth="key" if credentials else "none")
    async with running(venue_toml(sessions=sessions)) as server:
        proof = {"seed": seed_of("ALPHA"), "key_id": "key-ALPHA", "credentials": credentials} if credentials else {}
        async with (
            ws_desk(server.ports["ws"], "BETA") as beta,
            quickfix_desk(server.ports["fix"], comp_id, **proof) as alpha,  # type: ignore[arg-type]
        ):
            yield server, alpha, beta


def order(cl_ord_id: str, side: str, qty: str, price: str = "") -> list[tuple[int, object]]:
    """The fields of a NewOrderSingle(D) in BTC-USDT, a market order without a price."""
    terms: list[tuple[int, object]] = [(40, "2"), (44, price)] if price else [(40, "1")]
    return [(11, cl_ord_id), *_BTC, (54, side), (38, qty), *terms]


async def test_an_order_resting_from_websocket_is_taken_over_fix() -> None:
    async with desks("QF-TAKES") as (_, alpha, beta):
        await beta.place("b-1", "sell", "0.5", "64250.50")
        alpha.send("D", [*order("a-1", "1", "0.2", "64251.00"), (59, "3")])
        accepted = await alpha.expect("8", {150: "0", 11: "a-1"})
        filled = await alpha.expect("8", {150: "F", 11: "a-1"})
        assert accepted[37] == filled[37]
        assert (filled[39], filled[32], filled[31], filled[14], filled[151]) == (
            "2", "0.20000000", "64250.50", "0.20000000", "0.00000000",
        )  # fmt: skip
        trade = await beta.expect(exec="trade", cl_ord_id="b-1")
        assert (trade["status"], trade["last_qty"], trade["last_px"], trade["liquidity"]) == (
            "partial", "0.20000000", "64250.50", "maker",
        )  # fmt: skip
        assert (trade["cum_qty"], trade["leaves_qty"]) == ("0.20000000", "0.30000000")


async def test_an_order_resting_from_fix_is_taken_over_websocket() -> None:
    async with desks("QF-RESTS") as (_, alpha, beta):
        alpha.send("D", order("a-1", "1", "1", "64000"))
        await alpha.expect("8", {150: "0", 11: "a-1", 39: "0"})
        await beta.place("b-1", "sell", "0.25")
        taken = await beta.expect(exec="trade", cl_ord_id="b-1")
        assert (taken["status"], taken["last_px"], taken["liquidity"]) == ("filled", "64000.00", "taker")
        partial = await alpha.expect("8", {150: "F", 11: "a-1"})
        assert (partial[39], partial[14], partial[151], partial[6]) == ("1", "0.25000000", "0.75000000", "64000")
        await beta.place("b-2", "sell", "2", "63999", tif="ioc")
        filled = await alpha.expect("8", {150: "F", 11: "a-1"})
        assert (filled[39], filled[32], filled[14], filled[151]) == ("2", "0.75000000", "1.00000000", "0.00000000")
        rest = await beta.expect(exec="canceled", cl_ord_id="b-2")
        assert (rest["cum_qty"], rest["leaves_qty"]) == ("0.75000000", "0.00000000")


async def test_cancel_and_replace_over_fix_with_priority_and_refusals() -> None:
    async with desks("QF-AMENDS") as (_, alpha, beta):
        alpha.send("D", order("a-1", "1", "1", "64000"))
        placed = await alpha.expect("8", {150: "0", 11: "a-1"})
        alpha.send("G", [(11, "a-2"), (41, "a-1"), *_BTC, (54, "1"), (38, "2"), (40, "2"), (44, "64001")])
        replaced = await alpha.expect("8", {150: "5", 11: "a-2"})
        assert (replaced[37], replaced[41], replaced[38], replaced[44]) == (placed[37], "a-1", "2.00000000", "64001.00")
        await beta.place("b-1", "sell", "0.5", "64001")
        assert (await alpha.expect("8", {150: "F"}))[11] == "a-2"
        alpha.send("F", [(11, "a-3"), (41, "a-2"), *_BTC, (54, "1"), (38, "2")])
        canceled = await alpha.expect("8", {150: "4", 11: "a-3"})
        assert (canceled[41], canceled[39], canceled[14], canceled[151]) == ("a-2", "4", "0.50000000", "0.00000000")
        alpha.send("F", [(11, "a-4"), (41, "a-2"), *_BTC, (54, "1"), (38, "2")])
        late = await alpha.expect("9", {11: "a-4"})
        assert (late[41], late[434], late[102], late[39]) == ("a-2", "1", "0", "4")
        alpha.send("G", [(11, "a-5"), (41, "never"), *_BTC, (54, "1"), (38, "2"), (40, "2"), (44, "64002")])
        unknown = await alpha.expect("9", {11: "a-5"})
        assert (unknown[434], unknown[102], unknown[39]) == ("2", "1", "8")


async def test_mass_cancel_over_fix_ends_every_order_of_the_account() -> None:
    async with desks("QF-MASS") as (_, alpha, beta):
        for n, price in enumerate(("64000", "63999", "63998"), 1):
            alpha.send("D", order(f"a-{n}", "1", "1", price))
            await alpha.expect("8", {150: "0", 11: f"a-{n}"})
        alpha.send("q", [(11, "m-1"), (530, "7")])
        for n in (1, 2, 3):
            assert (await alpha.expect("8", {150: "4", 39: "4", 44: f"{64001 - n}.00"}))[151] == "0.00000000"
        done = await alpha.expect("r")
        assert (done[530], done[531], done[533]) == ("7", "7", "3")
        result = await beta.place("b-1", "sell", "1")
        assert result["status"] in {"new", "canceled"}
        gone = await beta.expect(exec="canceled", cl_ord_id="b-1")
        assert gone["cum_qty"] == "0.00000000"


async def test_cancel_replace_and_mass_cancel_over_websocket_move_the_book_that_fix_sees() -> None:
    async with desks("QF-SEES") as (_, alpha, beta):
        first = await beta.place("b-1", "sell", "1", "65000")
        params = {"symbol": "BTC-USDT", "orig_cl_ord_id": "b-1", "cl_ord_id": "b-2", "qty": "2", "price": "64900"}
        second = await beta.client.call("order.replace", params)
        assert second["order_id"] == first["order_id"]
        alpha.send("D", [*order("a-1", "1", "0.5"), (59, "3")])
        assert (await alpha.expect("8", {150: "F", 11: "a-1"}))[31] == "64900.00"
        assert (await beta.expect(exec="trade"))["cl_ord_id"] == "b-2"
        await beta.client.call("order.cancel", {"symbol": "BTC-USDT", "orig_cl_ord_id": "b-2"})
        alpha.send("D", [*order("a-2", "1", "0.5"), (59, "3")])
        ended = await alpha.expect("8", {150: "4", 11: "a-2"})
        assert (ended[39], ended[14]) == ("4", "0.00000000")
        await beta.place("b-3", "sell", "1", "65000")
        await beta.place("b-4", "buy", "1", "60000")
        assert (await beta.client.call("order.cancel_all"))["canceled"] == 2


async def test_what_fix_is_refused_fits_the_stock_dictionary() -> None:
    async with desks("QF-ERRS") as (_, alpha, _beta):
        alpha.send("D", [(11, "a-1"), (55, "DOGE"), (54, "1"), (38, "1"), (40, "2"), (44, "1")])
        alpha.send("D", order("a-2", "1", "1", "64000.005"))
        alpha.send("D", order("a-3", "1", "0.00000001", "64000"))
        alpha.send("D", order("a-4", "1", "1", "2000000"))
        refused = [await alpha.expect("8", {150: "8", 11: f"a-{n}"}) for n in (1, 2, 3, 4)]
        assert [row[39] for row in refused] == ["8"] * 4
        assert [row[103] for row in refused] == ["1", "99", "3", "99"]  # 4.4 has no 16 and no 18
        assert not any(tag >= 5_000 for row in refused for tag in row)  # plain: no tag of ours


@pytest.mark.parametrize("credentials", ["554", "96"])
async def test_quickfix_logs_on_with_a_signature(credentials: str) -> None:
    async with desks(f"QF-SIGNS-{credentials}", credentials) as (_, alpha, _beta):
        alpha.send("H", [(11, "never"), *_BTC, (54, "1")])
        status = await alpha.expect("8", {150: "I", 11: "never"})
        assert (status[39], status[37]) == ("8", "NONE")


async def test_quickfix_is_told_nothing_when_its_signature_is_wrong() -> None:
    sessions = _SESSION.format(comp_id="QF-FORGES", auth="key")
    async with running(venue_toml(sessions=sessions)) as server:
        with pytest.raises(TimeoutError):
            async with (
                asyncio.timeout(1.0),
                quickfix_desk(server.ports["fix"], "QF-FORGES", bytes(32), "key-ALPHA", "554"),
            ):
                pass
        assert server.metrics.fix.failed_logons
