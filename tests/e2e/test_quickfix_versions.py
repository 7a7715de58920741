"""QuickFIX C++ over each of the three versions: with our published dictionaries, and with the ones it ships.

In both QuickFIX validates strictly, so anything of ours that its dictionary does not know comes back as a Reject(3) or
a BusinessMessageReject(j) of its own and fails the desk. Every MsgSeqNum(34) must arrive at the application or its
session layer: what validation drops would leave a hole.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from docs.fix.uses import ENVELOPE, sent_tags
from gateway.server import Server
from protocols.fix.session.machine import FixSession
from protocols.messages import NewOrder, OrdType, Origin, Side, Tif
from tests.support.desks import WsDesk, ws_desk
from tests.support.quickfix_desk import Engine, QuickfixDesk, quickfix_desk
from tests.support.relay import Relay, relay_to
from tests.support.server import running, until, venue_toml
from tests.support.venue_rows import seed_of

pytestmark = pytest.mark.quickfix

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
SPEC = Path(__file__).parents[2] / "docs" / "spec"
PUBLISHED = {
    "FIX.4.2": (str(SPEC / "penstock-FIX42.xml"),),
    "FIX.4.4": (str(SPEC / "penstock-FIX44.xml"),),
    "FIXT.1.1": (str(SPEC / "penstock-FIX50SP2.xml"), str(SPEC / "penstock-FIXT11.xml")),
}
_SESSION = """
[[fix.sessions]]
id = 1
comp_id = "{comp_id}"
account = "ALPHA"
version = "{version}"
auth = "{auth}"
{more}
"""
_BTC = (55, "BTC-USDT")


@asynccontextmanager
async def venue(comp_id: str, version: str, auth: str, more: str = "") -> AsyncIterator[tuple[Server, WsDesk]]:
    """A gateway with one FIX session of account ALPHA, and account BETA on WebSocket to trade with."""
    sessions = _SESSION.format(comp_id=comp_id, version=version, auth=auth, more=more)
    async with (
        running(venue_toml(sessions=sessions)) as server,
        ws_desk(server.ports["ws"], "BETA") as beta,
    ):
        yield server, beta


def order(cl_ord_id: str, side: str, qty: str, price: str) -> list[tuple[int, object]]:
    """The fields of a limit NewOrderSingle(D) in BTC-USDT."""
    return [(11, cl_ord_id), (21, "1"), _BTC, (54, side), (38, qty), (40, "2"), (44, price)]


def fill(version: str, status: str) -> dict[int, str]:
    """ExecType(150) and OrdStatus(39) of a fill."""
    return {150: status if version == "FIX.4.2" else "F", 39: status}


def state(version: str, status: str) -> dict[int, str]:
    """The same of the answer to a status request, which FIX.4.2 tells by ExecTransType(20)."""
    return {20: "3", 150: status, 39: status} if version == "FIX.4.2" else {150: "I", 39: status}


async def trade(alpha: QuickfixDesk, beta: WsDesk, version: str) -> None:
    """Place, be filled as taker and as maker, ask, replace, cancel."""
    await beta.place("b-1", "sell", "0.5", "64250.50")
    alpha.send("D", [*order("a-1", "1", "0.2", "64251"), (59, "3")])
    accepted = await alpha.expect("8", {11: "a-1", 39: "0"})
    filled = await alpha.expect("8", {11: "a-1", **fill(version, "2")})
    assert (filled[37], filled[31], filled[32], filled[14]) == (accepted[37], "64250.50", "0.20000000", "0.20000000")
    alpha.send("D", order("a-2", "1", "1", "64000"))
    await alpha.expect("8", {11: "a-2", 150: "0"})
    await beta.place("b-2", "sell", "0.25", "64000", tif="ioc")
    assert (await alpha.expect("8", {11: "a-2", **fill(version, "1")}))[151] == "0.75000000"
    alpha.send("H", [(11, "a-2"), _BTC, (54, "1")])
    assert (await alpha.expect("8", {11: "a-2", **state(version, "1")}))[14] == "0.25000000"
    alpha.send("G", [(11, "a-3"), (41, "a-2"), (21, "1"), *order("", "1", "2", "64001")[2:]])
    assert (await alpha.expect("8", {11: "a-3", 150: "5"}))[41] == "a-2"
    alpha.send("F", [(11, "a-4"), (41, "a-3"), _BTC, (54, "1"), (38, "2")])
    assert (await alpha.expect("8", {41: "a-3", 150: "4", 39: "4"}))[151] == "0.00000000"


async def trade_by_the_list(alpha: QuickfixDesk) -> None:
    """Ask for all open orders, and cancel them together."""
    for n in (1, 2):
        alpha.send("D", order(f"l-{n}", "1", "1", f"6300{n}"))
        await alpha.expect("8", {11: f"l-{n}", 150: "0"})
    alpha.send("AF", [(584, "ms-1"), (585, "7")])
    assert [(await alpha.expect("8", {584: "ms-1", 911: "2"}))[912] for _ in range(2)] == ["N", "Y"]
    alpha.send("q", [(11, "mc-1"), (530, "7")])
    done = await alpha.expect("r", {11: "mc-1"})
    assert (done[531], done[533]) == ("7", "2")


async def be_refused(alpha: QuickfixDesk) -> list[dict[int, str]]:
    """One refusal of each kind: by report, by cancel reject, by the session layer."""
    alpha.send("D", [(11, "r-1"), (21, "1"), (55, "DOGE"), (54, "1"), (38, "1"), (40, "2"), (44, "1")])
    alpha.send("D", order("r-2", "1", "1", "64000.005"))
    alpha.send("F", [(11, "r-3"), (41, "never"), _BTC, (54, "1"), (38, "1")])
    alpha.send("D", [*order("r-4", "1", "1", "64000"), (58, "x"), (9999, "tag of nobody")])
    alpha.send("R", [(131, "r-5"), (146, "1"), _BTC])
    return [
        await alpha.expect("8", {11: "r-1", 150: "8", 39: "8"}),
        await alpha.expect("8", {11: "r-2", 150: "8", 39: "8"}),
        await alpha.expect("9", {11: "r-3", 434: "1", 102: "1"}),
        await alpha.expect("3", {371: "9999", 372: "D", 373: "0"}),
        await alpha.expect("j", {372: "R", 380: "3"}),
    ]


def machine_of(server: Server) -> FixSession:
    """The gateway's side of the FIX session."""
    return server.sessions.by_id[1].endpoint.machine  # type: ignore[union-attr]


def check_all_was_taken(alpha: QuickfixDesk, server: Server) -> None:
    """QuickFIX refused nothing and lost nothing, and was told no tag that the reference leaves out."""
    assert alpha.faults == []
    machine = machine_of(server)
    assert sorted(alpha.numbers) == list(range(1, machine.store.next_out))
    dialect = "plain" if machine.settings.plain else "penstock"
    for msg_type, tags in alpha.spoken.items():
        unknown = tags - ENVELOPE - sent_tags(msg_type, machine.settings.begin_string, dialect)
        assert not unknown, (msg_type, unknown)


@pytest.mark.parametrize(
    ("version", "credentials"),
    [("FIX.4.2", "96"), ("FIX.4.4", "96"), ("FIX.4.4", "554"), ("FIXT.1.1", "96"), ("FIXT.1.1", "554")],
)
async def test_an_engine_with_our_published_dictionary_takes_all_we_say(version: str, credentials: str) -> None:
    comp_id = f"QFV-{version}-{credentials}"
    key_id = "" if version == "FIX.4.2" else "key-ALPHA"  # 4.2 has no Username(553): the key is found by the CompID
    engine = Engine(version, PUBLISHED[version])
    async with (
        venue(comp_id, version, "key") as (server, beta),
        quickfix_desk(server.ports["fix"], comp_id, seed_of("ALPHA"), key_id, credentials, engine) as alpha,
    ):
        logon = await alpha.expect("A")
        assert logon[1409] == "0"
        assert logon[20106] == server.core.epoch
        await trade(alpha, beta, version)
        if version != "FIX.4.2":
            await trade_by_the_list(alpha)
        alpha.send("XLQ", [(6136, "lq-1")])
        limits = await alpha.expect("XLR", {6136: "lq-1"})
        assert int(limits[25003]) >= 4
        codes = [answer[25016] for answer in await be_refused(alpha)]
        assert codes == ["2003", "2004", "4002", "1004", "1006"]
        check_all_was_taken(alpha, server)


@pytest.mark.parametrize("version", ["FIX.4.4", "FIXT.1.1"])
async def test_thousands_of_reports_that_one_question_brings_come_in_sequence(version: str) -> None:
    """The client falls behind: more and more numbers are left for a Logout(5), and filled without being asked for."""
    comp_id, orders = f"QFV-{version}-burst", 1_500
    async with venue(comp_id, version, "none") as (server, _):
        for n in range(1, orders + 1):
            row = NewOrder(
                n, 1, 1, Origin.FIX, 1, 0, f"o{n}", 1, Side.BUY, OrdType.LIMIT, Tif.GTC, 100_000_000, 6_000_000
            )
            server.core.engine.execute(row, server.now_ns())  # type: ignore[attr-defined]
        async with (
            relay_to(server.ports["fix"]) as relay,
            quickfix_desk(relay.port, comp_id, engine=Engine(version)) as alpha,
        ):
            relay.hold_answers()
            alpha.send("AF", [(584, "all"), (585, "7")])
            await until(lambda: machine_of(server).store.next_out > orders)
            relay.mend()
            await alpha.expect("8", {11: f"o{orders}", 912: "Y"})
            alpha.send("D", order("later", "1", "1", "64000"))
            await alpha.expect("8", {11: "later", 150: "0"})
            assert alpha.numbers == sorted(set(alpha.numbers))
            assert "4" in alpha.spoken
            assert set(alpha.sent) == {"A"}, "nothing was missed, so nothing is asked for"


@pytest.mark.parametrize("version", VERSIONS)
async def test_news_and_goodbye_of_a_drain_fit_the_published_dictionary(version: str) -> None:
    comp_id = f"QFV-{version}-drained"
    sessions = _SESSION.format(comp_id=comp_id, version=version, auth="key", more="")
    proof = (seed_of("ALPHA"), "" if version == "FIX.4.2" else "key-ALPHA", "96")
    async with (
        running(venue_toml(sessions=sessions)) as server,
        quickfix_desk(server.ports["fix"], comp_id, *proof, Engine(version, PUBLISHED[version])) as alpha,
    ):
        await server.drain()
        assert (await alpha.expect("B", {61: "1"}))[148] == "draining"
        assert (await alpha.expect("5"))[58] == "the gateway is going down"
        check_all_was_taken(alpha, server)


@asynccontextmanager
async def plain_desk(
    comp_id: str, engine: Engine, more: str = ""
) -> AsyncIterator[tuple[Server, Relay, QuickfixDesk, WsDesk]]:
    """A session without credentials, so of the plain dialect, that can lose its link. more: of its configuration."""
    async with (
        venue(comp_id, engine.version, "none", more) as (server, beta),
        relay_to(server.ports["fix"]) as relay,
        quickfix_desk(relay.port, comp_id, engine=engine) as alpha,
    ):
        yield server, relay, alpha, beta


async def lose_the_link(server: Server, relay: Relay, alpha: QuickfixDesk) -> None:
    """Cut it and wait until both sides know."""
    alpha.logged_out.clear()
    relay.cut()
    async with asyncio.timeout(5):
        await alpha.logged_out.wait()
    await until(lambda: not server.sessions.by_id[1].connected)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stock_engine_that_keeps_its_numbers_gets_what_it_missed(version: str) -> None:
    comp_id = f"QFV-{version}-keeps"
    engine = Engine(version, reset_on_logon=False, reconnect_s=1)
    async with plain_desk(comp_id, engine) as (server, relay, alpha, beta):
        await alpha.expect("A", {34: "1"})
        await trade(alpha, beta, version)
        if version != "FIX.4.2":
            await trade_by_the_list(alpha)
        refusals = await be_refused(alpha)
        assert not any(tag >= 5_000 for answer in refusals for tag in answer)
        alpha.send("D", order("a-5", "1", "1", "64000"))
        resting = await alpha.expect("8", {11: "a-5", 150: "0"})

        relay.lose_answers()
        alpha.send("1", [(112, "lost")])
        await until(lambda: machine_of(server).store.next_out == int(resting[34]) + 2)  # a Heartbeat(0) that is lost
        await beta.place("b-3", "sell", "0.25", "64000", tif="ioc")  # so is this report
        await lose_the_link(server, relay, alpha)
        await beta.place("b-4", "sell", "0.5", "64000", tif="ioc")  # and here nobody is there to be told
        relay.mend()
        await alpha.logs_on()
        filled_over = await alpha.expect("4", {123: "Y", 43: "Y"})
        assert (int(filled_over[34]), int(filled_over[36])) == (int(resting[34]) + 1, int(resting[34]) + 2)
        missed = [await alpha.expect("8", {11: "a-5", **fill(version, "1"), 43: "Y"}) for _ in range(2)]
        assert [report[14] for report in missed] == ["0.25000000", "0.75000000"]
        assert [int(report[34]) for report in missed] == [int(resting[34]) + 2, int(resting[34]) + 3]
        assert all(resting[52] <= report[122] < report[52] for report in missed)

        alpha.send("F", [(11, "a-6"), (41, "a-5"), _BTC, (54, "1"), (38, "1")])
        live = await alpha.expect("8", {41: "a-5", 150: "4"})
        assert 43 not in live
        check_all_was_taken(alpha, server)

        await lose_the_link(server, relay, alpha)
        alpha.resets_next_logon = True
        relay.mend()
        await alpha.logs_on()
        assert (await alpha.expect("A", {141: "Y"}))[34] == "1"
        alpha.send("D", order("a-7", "1", "1", "64000"))
        assert (await alpha.expect("8", {11: "a-7", 150: "0"}))[34] == "2"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stock_engine_that_resets_at_each_logon_starts_anew(version: str) -> None:
    comp_id = f"QFV-{version}-resets"
    engine = Engine(version, reset_on_logon=True, reconnect_s=1)
    async with plain_desk(comp_id, engine) as (server, relay, alpha, beta):
        assert (await alpha.expect("A", {34: "1"}))[141] == "Y"
        await trade(alpha, beta, version)
        alpha.send("D", order("a-5", "1", "1", "64000"))
        await alpha.expect("8", {11: "a-5", 150: "0"})
        check_all_was_taken(alpha, server)

        await lose_the_link(server, relay, alpha)
        await beta.place("b-3", "sell", "0.25", "64000", tif="ioc")
        alpha.numbers.clear()
        relay.mend()
        await alpha.logs_on()
        assert (await alpha.expect("A", {34: "1"}))[141] == "Y"
        alpha.send("H", [(11, "a-5"), _BTC, (54, "1")])
        now = await alpha.expect("8", {11: "a-5", **state(version, "1")})
        assert (now[34], now[14]) == ("2", "0.25000000")  # what it missed went with the old numbers; asking tells
        alpha.send("F", [(11, "a-6"), (41, "a-5"), _BTC, (54, "1"), (38, "1")])
        await alpha.expect("8", {41: "a-5", 150: "4"})
        check_all_was_taken(alpha, server)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stock_engine_that_keeps_its_numbers_is_told_where_we_reset_them(version: str) -> None:
    """It resets with us, and confirms with a Logon(A) of its own, numbered 1."""
    comp_id = f"QFV-{version}-told"
    engine = Engine(version, reset_on_logon=False, reconnect_s=1)
    async with plain_desk(comp_id, engine, "reset_on_logon = true") as (server, relay, alpha, beta):
        assert 141 not in await alpha.expect("A", {34: "1"})  # there was nothing to reset
        await trade(alpha, beta, version)
        alpha.send("D", order("a-5", "1", "1", "64000"))
        await alpha.expect("8", {11: "a-5", 150: "0"})
        check_all_was_taken(alpha, server)

        await lose_the_link(server, relay, alpha)
        alpha.numbers.clear()
        relay.mend()
        await alpha.logs_on()
        assert (await alpha.expect("A", {34: "1"}))[141] == "Y"
        for n in range(6, 9):
            alpha.send("F", [(11, f"a-{n}"), (41, "a-5" if n == 6 else "none"), _BTC, (54, "1"), (38, "1")])
        assert (await alpha.expect("8", {41: "a-5", 150: "4"}))[34] == "2"
        assert (await alpha.expect("9", {11: "a-8"}))[34] == "4"
        assert machine_of(server).store.next_in == 5  # its Logon, and three cancels
        assert alpha.sent.count("A") == 3
        check_all_was_taken(alpha, server)


async def test_a_stock_engine_that_says_what_it_expects_gets_it_without_asking() -> None:
    engine = Engine("FIX.4.4", reset_on_logon=False, reconnect_s=1, sends_789=True)
    async with plain_desk("QFV-789", engine) as (server, relay, alpha, beta):
        assert (await alpha.expect("A"))[789] == "2"
        alpha.send("D", order("a-1", "1", "1", "64000"))
        resting = await alpha.expect("8", {11: "a-1", 150: "0"})
        await lose_the_link(server, relay, alpha)
        await beta.place("b-1", "sell", "0.25", "64000", tif="ioc")
        relay.mend()
        await alpha.logs_on()
        missed = await alpha.expect("8", {11: "a-1", 150: "F", 43: "Y"})
        assert (int(missed[34]), missed[14]) == (int(resting[34]) + 1, "0.25000000")
        alpha.send("F", [(11, "a-2"), (41, "a-1"), _BTC, (54, "1"), (38, "1")])
        await alpha.expect("8", {41: "a-1", 150: "4"})
        assert "2" not in alpha.sent
        check_all_was_taken(alpha, server)
