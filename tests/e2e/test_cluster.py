"""Two gateways, a core and a Valkey: sessions that move between the gateways, by wish, by death, and against the will
of who had them.

Modules: cluster.node, cluster.link, cluster.house, cluster.moves, cluster.ownership, cluster.row.
"""

import asyncio
from contextlib import suppress

import pytest

from gateway.admin.mode_control import ModeRequest
from gateway.client.fix import LogonRefused
from gateway.client.ws import ConnectionClosed, RequestRefused
from gateway.remote.link import LinkRefused
from gateway.server import Server
from gateway.sessions.registry import MAX_NAMES_PER_KEY
from tests.support.cluster_venue import BTC, cut, until, venue
from tests.support.desks import FixDesk, WsDesk, fix_desk, ws_desk
from tests.support.redis_server import redis_server
from tests.support.server import GENEROUS
from tests.support.venue_rows import session_row

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def store():
    with redis_server("--appendonly", "yes") as server:
        yield server


async def test_a_session_goes_on_at_another_gateway_with_its_numbers_and_what_was_not_reported(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        alpha, beta = FixDesk("ALPHA"), FixDesk("BETA")
        await alpha.logon(found.gateways["a"].ports["fix"])
        alpha.client.place("a-1", BTC, "1", "1", "64000")
        placed = await alpha.expect("8", {150: "0", 11: "a-1"})
        await cut(alpha)
        await beta.logon(found.gateways["b"].ports["fix"])
        beta.client.place("b-1", BTC, "2", "0.25", "64000")
        await beta.expect("8", {150: "F", 11: "b-1"})
        before = alpha.client.next_in
        await alpha.logon(found.gateways["b"].ports["fix"], reset=False)
        filled = await alpha.expect("8", {150: "F", 11: "a-1"})
        assert (filled[37], filled[34]) == (placed[37], str(before)), "the number after the last one that it had seen"
        alpha.client.place("a-2", BTC, "1", "1", "63999")
        await alpha.expect("8", {150: "0", 11: "a-2"})
        assert alpha.client.counts.duplicates == 0
        await cut(alpha)
        await alpha.logon(found.gateways["a"].ports["fix"], reset=False)
        alpha.client.cancel("a-3", "a-1", BTC, "1")
        await alpha.expect("8", {150: "4", 11: "a-3"})


async def test_who_has_lost_a_session_to_another_gateway_has_no_say_in_it(store, tmp_path):
    """Both believe that they own it: the one that was stopped has its client sent away, and places nothing."""
    async with venue(store, tmp_path, "a", "b") as found:
        stale, fresh = FixDesk("ALPHA"), FixDesk("ALPHA")
        await stale.logon(found.gateways["a"].ports["fix"])
        stale.client.place("s-1", BTC, "1", "1", "64000")
        await stale.expect("8", {150: "0", 11: "s-1"})
        await found.freeze("a")  # it does not hear that the session has moved
        fresh.client.next_out, fresh.client.next_in = stale.client.next_out, stale.client.next_in
        await fresh.logon(found.gateways["b"].ports["fix"], reset=False)
        stale.client.place("s-0", BTC, "1", "1", "64000.001")  # refused by the gateway itself, under a number
        stale.client.place("s-2", BTC, "1", "1", "64000")
        await asyncio.wait_for(stale.client.closed.wait(), 10)
        fresh.client.place("f-1", BTC, "1", "1", "64000")
        await fresh.expect("8", {150: "0", 11: "f-1"})
        fresh.client.cancel("f-2", "s-2", BTC, "1")
        refused = await fresh.expect("9", {11: "f-2"})
        assert refused[102] == "1", "the order of the gateway that had lost the session is unknown"
        assert not [each for each in stale.ear.heard if each.get(11) in ("s-0", "s-2")], "it was told nothing"
        assert not fresh.client.counts.gaps
        a, b = (found.gateways[name].status()["cluster"] for name in "ab")
        assert (a["lost"], b["came"], a["commits_waiting"]) == (1, 1, 0)


async def test_a_client_of_a_dead_gateway_finds_its_session_at_another_and_its_orders_live(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        alpha, beta = FixDesk("ALPHA"), FixDesk("BETA")
        await alpha.logon(found.gateways["a"].ports["fix"], fields=[(8013, "S"), (20107, 60_000)])
        alpha.client.place("a-1", BTC, "1", "1", "64000")
        await alpha.expect("8", {150: "0", 11: "a-1"})
        await beta.logon(found.gateways["b"].ports["fix"])
        await found.freeze("a")
        await cut(alpha)
        await alpha.logon(found.gateways["b"].ports["fix"], reset=False)
        beta.client.place("b-1", BTC, "2", "1", "64000")
        await beta.expect("8", {150: "F", 11: "b-1"})
        await alpha.expect("8", {150: "F", 11: "a-1"})


async def test_the_orders_of_a_client_that_does_not_come_back_from_a_dead_gateway_are_cancelled(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        alpha, beta = FixDesk("ALPHA"), FixDesk("BETA")
        await alpha.logon(found.gateways["a"].ports["fix"], fields=[(8013, "S"), (20107, 0)])
        alpha.client.place("a-1", BTC, "1", "1", "64000")
        await alpha.expect("8", {150: "0", 11: "a-1"})
        await beta.logon(found.gateways["b"].ports["fix"])
        await found.freeze("a")
        b = found.gateways["b"]
        await until(lambda: b.cluster.journal.owns(1) and not b.core.open_orders(1))  # after its lease of a second
        await cut(alpha)
        await alpha.logon(found.gateways["b"].ports["fix"], reset=False)
        await alpha.expect("8", {150: "4", 11: "a-1"})


async def test_a_named_websocket_session_is_resumed_at_another_gateway(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        desk = WsDesk("ALPHA", "mm")
        await desk.logon(found.gateways["a"].ports["ws"])
        await desk.place("a-1", "buy", "1", "64000")
        first = await desk.expect(exec="new", cl_ord_id="a-1")
        await desk.client.abort()
        async with fix_desk(found.gateways["b"].ports["fix"], "BETA") as beta:
            beta.client.place("b-1", BTC, "2", "1", "64000")
            await beta.expect("8", {150: "F", 11: "b-1"})
            said = await desk.logon(found.gateways["b"].ports["ws"], resume=True)
            assert (said["session"], said["resume"]["status"]) == ("mm", "replayed")
            filled = await desk.expect(exec="trade", cl_ord_id="a-1")
            assert filled["seq"] == first["seq"] + 1
            await desk.place("a-2", "buy", "1", "64000")
            await desk.client.logout()


async def test_a_websocket_client_whose_session_has_moved_is_told_nothing_of_what_it_asks(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        stale, fresh = WsDesk("ALPHA", "mm"), WsDesk("ALPHA", "mm")
        await stale.logon(found.gateways["a"].ports["ws"])
        await found.freeze("a")
        await fresh.logon(found.gateways["b"].ports["ws"])
        answers = []
        await stale.client.post("order.place", {"symbol": BTC, "side": "buy"}, answers.append)  # refused at once
        params = {"symbol": BTC, "side": "buy", "type": "limit", "price": "64000", "qty": "1", "cl_ord_id": "s-1"}
        await stale.client.post("order.place", params, answers.append)
        closed = await stale.client.wait_closed()
        await stale.client.abort()
        assert (closed.code, answers) == (4001, [])
        assert (await fresh.refusal("order.cancel", {"symbol": BTC, "orig_cl_ord_id": "s-1"}))["code"] == 4002
        await fresh.client.logout()


async def test_an_unnamed_websocket_session_at_each_gateway_has_an_id_of_its_own(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        ports = [found.gateways[name].ports["ws"] for name in "ab"]
        async with ws_desk(ports[0], "ALPHA") as one, ws_desk(ports[1], "ALPHA") as two:
            await one.place("a-1", "buy", "1", "64000")
            await two.place("a-2", "buy", "1", "63999")
            for desk in (one, two):
                ids = {(await desk.expect(exec="new", cl_ord_id=name))["session"] for name in ("a-1", "a-2")}
                assert len(ids) == 2


async def test_an_operators_mode_at_one_gateway_bars_at_all_and_a_kill_cancels(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        alpha, b = FixDesk("ALPHA"), found.gateways["b"]
        await alpha.logon(b.ports["fix"])
        alpha.client.place("a-1", BTC, "1", "1", "64000")
        await alpha.expect("8", {150: "0", 11: "a-1"})
        kill = ModeRequest("account", "ALPHA", reason="test", kill=True)
        await found.gateways["a"].mode_control.change(kill, "ops")
        await alpha.expect("8", {150: "4", 11: "a-1"})
        await until(lambda: b.orders.venue.modes.in_force)
        alpha.client.place("a-2", BTC, "1", "1", "64000")
        await alpha.expect("8", {150: "8", 11: "a-2"})
        late = await found.begin("c")
        assert late.orders.venue.modes.in_force, "also at a gateway that begins later"
        await late.mode_control.change(ModeRequest("account", "ALPHA", "normal"), "ops")
        await until(lambda: not b.orders.venue.modes.in_force)


async def test_a_session_that_keeps_its_connection_is_not_taken_from_another_gateway(store, tmp_path):
    sessions = session_row(1, "ALPHA", on_duplicate="reject") + session_row(2, "BETA")
    async with venue(store, tmp_path, "a", "b", sessions=sessions) as found:
        first, second = FixDesk("ALPHA"), FixDesk("ALPHA")
        await first.logon(found.gateways["a"].ports["fix"])
        with pytest.raises(LogonRefused):
            await second.logon(found.gateways["b"].ports["fix"])
        await cut(first)
        async with asyncio.timeout(5):
            while True:
                with suppress(LogonRefused):
                    await second.logon(found.gateways["b"].ports["fix"])
                    break


async def test_two_gateways_of_one_name_the_second_does_not_start(store, tmp_path):
    async with venue(store, tmp_path, "a") as found:
        config, directory = found.config("a")
        second = Server(config, directory)
        with pytest.raises(LinkRefused, match=r'a living gateway has the name "a"'):
            await second.start()
        await second.stop()


async def test_a_gateway_that_ends_in_good_order_leaves_its_clients_the_time_to_go_elsewhere(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        alpha = FixDesk("ALPHA")
        await alpha.logon(found.gateways["a"].ports["fix"], fields=[(8013, "S"), (20107, 0)])
        alpha.client.place("a-1", BTC, "1", "1", "64000")
        await alpha.expect("8", {150: "0", 11: "a-1"})
        ending = found.gateways.pop("a")
        draining = asyncio.ensure_future(ending.drain())
        await asyncio.wait_for(alpha.client.closed.wait(), 10)
        await draining
        await ending.stop()
        b = found.gateways["b"]
        await until(lambda: b.cancel_on_disconnect.is_guarding(b.sessions.by_id[1]))
        await alpha.logon(found.gateways["b"].ports["fix"], reset=False)
        alpha.client.cancel("a-2", "a-1", BTC, "1")
        await alpha.expect("8", {150: "4", 11: "a-2"})


async def test_events_of_a_named_session_have_its_name_at_every_gateway(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        ports = {name: server.ports["ws"] for name, server in found.gateways.items()}
        async with ws_desk(ports["a"], "ALPHA", "mm") as named, ws_desk(ports["b"], "ALPHA") as other:
            await named.place("a-1", "buy", "1", "64000")
            assert (await other.expect(exec="new", cl_ord_id="a-1"))["session"] == "mm"
        late = await found.begin("c")
        async with ws_desk(late.ports["ws"], "ALPHA") as other, ws_desk(ports["a"], "ALPHA", "mm") as named:
            await named.place("a-2", "buy", "1", "64000")
            assert (await other.expect(exec="new", cl_ord_id="a-2"))["session"] == "mm"


async def test_after_redis_was_away_for_longer_than_a_lease_everybody_goes_on_where_he_is(store, tmp_path):
    async with venue(store, tmp_path, "a", "b") as found:
        alpha, beta = FixDesk("ALPHA"), FixDesk("BETA")
        await alpha.logon(found.gateways["a"].ports["fix"])
        await beta.logon(found.gateways["b"].ports["fix"])
        alpha.client.place("a-1", BTC, "1", "1", "64000")
        await alpha.expect("8", {150: "0", 11: "a-1"})
        store.kill()
        await asyncio.sleep(2)  # the lease is one second
        assert {"cluster", "core"} <= found.gateways["a"].health.reasons().keys()
        store.start()
        await until(lambda: not any(server.health.reasons() for server in found.gateways.values()))
        beta.client.place("b-1", BTC, "2", "1", "64000")
        await beta.expect("8", {150: "F", 11: "b-1"})
        await alpha.expect("8", {150: "F", 11: "a-1"})
        await asyncio.sleep(1.5)  # longer than a lease: nobody takes anything over
        assert not any(desk.client.closed.is_set() for desk in (alpha, beta))


async def test_a_gateway_that_means_another_account_by_an_id_does_not_start(store, tmp_path):
    async with venue(store, tmp_path, "a") as found:
        found.knobs["sessions"] = session_row(1, "ALPHA") + session_row(2, "BETA", account="ALPHA")
        with pytest.raises(
            LinkRefused, match=r"FIX session 2 is BETA of account 1 here, and BETA of account 2 at the o"
        ):
            await found.begin("b")


async def test_a_gateway_whose_clock_is_wrong_says_so(store, tmp_path):
    async with venue(store, tmp_path, "a") as found:
        a = found.gateways["a"]
        assert not a.status()["cluster"]["clock"]["is_beyond"], "both clocks are this machine's"
        a.clock.offset_ns += 80_000_000
        await until(lambda: a.status()["cluster"]["clock"]["is_beyond"])
        assert 0.05 < a.cluster.clock_skew_s < 0.1


async def moves_until_refused(found, door, desk, refused):
    """How often a session goes from one gateway to the other before it has to wait."""
    for moves, name in enumerate("ababababab"):
        try:
            await desk.logon(found.gateways[name].ports[door])
        except refused:
            return moves
        await (cut(desk) if door == "fix" else desk.client.abort())
    return 10


async def test_a_session_that_is_moved_without_end_waits_for_the_logon_limit(store, tmp_path):
    few = GENEROUS.replace('logons = { rate = "1000/s", burst = 1000 }', 'logons = { rate = "1/10s", burst = 4 }')
    async with venue(store, tmp_path, "a", "b", limits=few) as found:
        assert 3 <= await moves_until_refused(found, "fix", FixDesk("ALPHA"), LogonRefused) < 10
        desk = WsDesk("BETA", "mm")
        assert 3 <= await moves_until_refused(found, "ws", desk, RequestRefused) < 10
        await desk.client.abort()


async def test_a_name_that_owns_nothing_is_forgotten_for_a_new_one(store, tmp_path):
    async with venue(store, tmp_path, "a") as found:
        port = found.gateways["a"].ports["ws"]
        for number in range(MAX_NAMES_PER_KEY):
            async with ws_desk(port, "ALPHA", f"n{number}"):
                pass
        desk = WsDesk("ALPHA", "one-more")
        async with asyncio.timeout(10):
            while True:
                with suppress(RequestRefused, ConnectionClosed):
                    await desk.logon(port)
                    break
                await desk.client.abort()
                await asyncio.sleep(0.1)
        names = store.client().hkeys("{penstock}:names:key-ALPHA")
        assert len(names) <= MAX_NAMES_PER_KEY
        assert (b"one-more" in names, b"n0" in names) == (True, False)
        await desk.client.logout()


async def test_in_a_new_epoch_a_session_goes_on_above_all_numbers_that_may_be_lost(store, tmp_path):
    """Redis came back without its latest writes: what the client saw last may have had any number above the row's."""
    async with venue(store, tmp_path, "a", "b") as found:
        alpha = FixDesk("ALPHA")
        await alpha.logon(found.gateways["a"].ports["fix"])
        alpha.client.place("a-1", BTC, "1", "1", "64000")
        await alpha.expect("8", {150: "0", 11: "a-1"})
        await cut(alpha)
        await found.gateways.pop("a").stop()
        store.client().hset("{penstock}:session:1", "epoch", "e-0")  # it was written in the epoch before this one
        logon = await alpha.logon(found.gateways["b"].ports["fix"], reset=False)
        assert int(logon[34]) > 1_000_000
        await until(lambda: alpha.client.next_in > 1_000_000)  # its gap is filled with one message
        alpha.client.cancel("a-2", "a-1", BTC, "1")
        await alpha.expect("8", {150: "4", 11: "a-2"})
