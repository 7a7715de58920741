"""Several gateways whose Redis is away for long: what clients, orders and memory see of it, at both doors.

Modules: cluster.outage, cluster.clients, cluster.link.
"""

import asyncio
from contextlib import suppress

import pytest

from gateway.client.fix import LogonRefused
from gateway.remote.pipe import Address
from gateway.sessions.session import Pause
from tests.support.cluster_venue import BTC, cut, until, venue
from tests.support.desks import FixDesk, WsDesk
from tests.support.redis_server import redis_server

pytestmark = pytest.mark.timeout(120)
_NOWHERE = Address("nowhere.invalid")  # no machine has this name


@pytest.fixture
def store():
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(scope="module")
def limits():
    """Where limits are kept is another Redis, which stays."""
    with redis_server() as server:
        yield server.unix_url


async def all_is_well(found):
    await until(lambda: not any(server.health.reasons() for server in found.gateways.values()))


async def is_away(*servers):
    await until(lambda: all(server.cluster.why_away and server.link.why_away for server in servers))


def order(name, price="64000"):
    return {"symbol": BTC, "side": "buy", "type": "limit", "price": price, "qty": "1", "cl_ord_id": name}


@pytest.mark.parametrize("how", ["it stands still", "it is killed"])
async def test_what_is_asked_while_redis_is_away_is_answered_when_it_is_back(store, limits, tmp_path, how):
    """No order that came meanwhile was executed; a cancel is tried as long as there is a way."""
    async with venue(store, tmp_path, "a", limits_url=limits) as found:
        a = found.gateways["a"]
        fix, ws = FixDesk("ALPHA"), WsDesk("BETA", "mm")
        await fix.logon(a.ports["fix"])
        await ws.logon(a.ports["ws"])
        fix.client.place("f-1", BTC, "1", "1", "64000")
        await fix.expect("8", {150: "0", 11: "f-1"})
        answers = []
        store.freeze() if how == "it stands still" else store.kill()
        await is_away(a)
        fix.client.place("f-2", BTC, "1", "1", "64000")
        await ws.client.post("order.place", order("w-1"), answers.append)
        await asyncio.sleep(3)  # longer than an order may wait for the core
        fix.client.place("f-3", BTC, "1", "1", "64000")
        await ws.client.post("order.place", order("w-2"), answers.append)
        fix.client.cancel("f-4", "f-1", BTC, "1")
        await asyncio.sleep(0.5)
        assert (fix.ear.heard, answers) == ([], []), "nothing is told that is not recorded"
        assert a.cluster.journal.waiting_bytes > 0
        store.thaw() if how == "it stands still" else store.start()
        await all_is_well(found)
        refused = [await fix.expect("8", {150: "8", 11: name}) for name in ("f-2", "f-3")]
        assert [each[25016] for each in refused] == ["5002", "5001"], "one waited in vain, the other not at all"
        await fix.expect("8", {150: "4", 11: "f-4"})
        await until(lambda: len(answers) == 2)
        assert [each["error"]["code"] for each in answers] == [5002, 5001]
        await ws.place("w-3", "buy", "1", "63999")
        assert a.cluster.journal.waiting_bytes == 0
        await ws.client.logout()
        await fix.client.logout()


async def test_what_waits_for_redis_is_bounded_and_all_of_it_is_answered_in_the_end(store, limits, tmp_path):
    """Clients that go on as if nothing had happened are not read any more, at either door."""
    terms = "max_waiting_bytes = 1048576\n"
    async with venue(store, tmp_path, "a", limits_url=limits, terms=terms) as found:
        a, count = found.gateways["a"], 4_000
        desk = FixDesk("ALPHA")
        await desk.logon(a.ports["fix"])
        store.kill()
        await is_away(a)
        for number in range(count):
            desk.client.place(f"f-{number}", BTC, "1", "1", "64000")
            if number % 10 == 0:
                await asyncio.sleep(0)
        await until(lambda: not a.status()["cluster"]["clients_are_read"])
        await asyncio.sleep(1)
        assert a.cluster.journal.waiting_bytes < 2 * 1_048_576
        assert a.sessions.by_id[1]._paused == Pause.RECORDS
        store.start()
        await all_is_well(found)
        await until(lambda: len(desk.ear.heard) >= count)
        assert not desk.client.counts.gaps
        assert a.status()["cluster"]["clients_are_read"]
        await desk.client.logout()


async def test_no_grace_runs_out_while_redis_is_away(store, limits, tmp_path):
    """A client whose link broke could not come back: it has its second from when Redis is there again."""
    async with venue(store, tmp_path, "a", "b", limits_url=limits) as found:
        alpha, beta = FixDesk("ALPHA"), FixDesk("BETA")
        await alpha.logon(found.gateways["a"].ports["fix"], fields=[(8013, "S"), (20107, 3_000)])
        alpha.client.place("a-1", BTC, "1", "1", "64000")
        await alpha.expect("8", {150: "0", 11: "a-1"})
        store.kill()
        await is_away(*found.gateways.values())
        await cut(alpha)
        with pytest.raises(LogonRefused), suppress(TimeoutError):
            await alpha.logon(found.gateways["b"].ports["fix"], reset=False)
        await asyncio.sleep(3.5)  # longer than its grace
        store.start()
        await all_is_well(found)
        await alpha.logon(found.gateways["a"].ports["fix"], reset=False)
        await beta.logon(found.gateways["b"].ports["fix"])
        beta.client.place("b-1", BTC, "2", "1", "64000")
        await beta.expect("8", {150: "F", 11: "b-1"})
        await alpha.expect("8", {150: "F", 11: "a-1"})


async def test_the_clients_of_a_gateway_that_is_cut_off_are_sent_away_and_go_on_at_another(store, limits, tmp_path):
    async with venue(store, tmp_path, "a", "b", limits_url=limits) as found:
        a, b = found.gateways["a"], found.gateways["b"]
        fix, ws = FixDesk("ALPHA"), WsDesk("BETA", "mm")
        await fix.logon(a.ports["fix"])
        await ws.logon(a.ports["ws"])
        fix.client.place("f-1", BTC, "1", "1", "64000")
        await fix.expect("8", {150: "0", 11: "f-1"})
        link = a.cluster._link
        there, link._address = link._address, _NOWHERE
        link._writer.close()
        link._on_lost("the network is gone")
        fix.client.place("f-2", BTC, "1", "1", "64000")  # a has it, and cannot record it
        closed = await asyncio.wait_for(ws.client.wait_closed(), 20)
        assert (closed.code, closed.reason) == (1012, "this gateway cannot reach Redis, reconnect to another")
        await ws.client.abort()
        await asyncio.wait_for(fix.client.closed.wait(), 5)
        await fix.logon(b.ports["fix"], reset=False)
        await ws.logon(b.ports["ws"])
        await ws.place("w-1", "buy", "1", "63999")
        fix.client.cancel("f-3", "f-1", BTC, "1")
        await fix.expect("8", {150: "4", 11: "f-3"})
        assert fix.client.counts.duplicates == 0
        link._address = there
        await until(lambda: not a.cluster.why_away or a.failures.failure.done())
        fix.client.cancel("f-4", "f-2", BTC, "1")
        refused = await fix.expect("9", {11: "f-4"})
        assert refused[102] == "1", "what a could not record was never placed"
        assert a.cluster.cut == 2
        await ws.client.logout()


async def test_clients_stay_where_redis_is_away_for_all_until_that_is_too_long(store, limits, tmp_path):
    async with venue(store, tmp_path, "a", limits_url=limits, terms="hold_ms = 4000\n") as found:
        a = found.gateways["a"]
        fix, ws = FixDesk("ALPHA"), WsDesk("BETA")
        await fix.logon(a.ports["fix"], fields=[(8013, "S"), (20107, 0)])
        await ws.logon(a.ports["ws"])
        fix.client.place("f-1", BTC, "1", "1", "64000")
        await fix.expect("8", {150: "0", 11: "f-1"})
        store.kill()
        await is_away(a)
        await asyncio.sleep(2)  # twice the lease
        assert a.cluster.cut == 0
        assert (await asyncio.wait_for(ws.client.wait_closed(), 10)).code == 1012
        await asyncio.wait_for(fix.client.closed.wait(), 5)
        store.start()
        await all_is_well(found)
        await fix.logon(a.ports["fix"], reset=False)
        fix.client.cancel("f-2", "f-1", BTC, "1")
        await fix.expect("8", {150: "4", 11: "f-2"})  # it was not the client who left
        await ws.client.abort()
