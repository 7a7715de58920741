"""What an examination refuses to begin with, and what it says of a core that dies or is not killed.

Modules: remote.conform.examine, remote.conform.dialogue, remote.conform.restart_command.
"""

import asyncio

import pytest

from gateway.remote.conform.examine import ExamTerms, Unfit, examine
from gateway.remote.conform.promises import ACCOUNTS, PROMISES
from gateway.remote.conform.restart_command import restart_by
from gateway.remote.conform.verdict import WITHOUT_RESTART, NotRestarted
from gateway.remote.pipe import address_of
from protocols.messages import NewOrder, OrdType, Origin, Side, Tif
from tests.support.redis_server import RedisServer
from tests.support.wrong_cores import INSTRUMENTS, KEYS, LosesTheTail, PlainCore

_FIRST = 900_000_001


@pytest.fixture(scope="module")
def server():
    with RedisServer() as server:
        yield server


@pytest.fixture
def store(server):
    server.client().flushall()
    return server


@pytest.fixture
async def core(store):
    core = PlainCore(address_of(store.unix_url))
    await core.start()
    yield core
    await core.kill()


def terms_of(store, **more):
    usual = {"first_account": _FIRST, "instrument": 0, "timeout_s": 10.0, "restart_s": 10.0, "restart": None}
    return ExamTerms(KEYS, address_of(store.unix_url), **usual | {"may_join": False} | more)


async def verdicts_of(store, **more):
    verdicts = []
    await examine(terms_of(store, **more), lambda said: None, verdicts.append)
    return verdicts


async def test_what_needs_a_restart_is_not_tested_without_one_and_that_is_no_failure(store, core):
    verdicts = await verdicts_of(store)
    assert [each.promise for each in verdicts if each.why == WITHOUT_RESTART] == ["tail", "durable", "second-life"]
    assert not any(verdict.is_failure for verdict in verdicts)


async def test_a_restart_that_kills_nothing_proves_nothing(store, core):
    async def restart():
        pass

    verdicts = await verdicts_of(store, restart=restart, names=("durable",))
    assert [(each.state, each.is_failure) for each in verdicts] == [("not tested", True)]
    assert "ended no connection" in verdicts[0].why


async def test_a_restart_that_fails_is_said_to_have_failed(store, core):
    verdicts = await verdicts_of(store, restart=restart_by("exit 3", 10), names=("tail", "durable"))
    assert [(each.state, each.why) for each in verdicts] == [
        ("not tested", "the command of --restart ended with 3")
    ] * 2


async def test_a_core_that_starts_late_and_skips_what_came_before_breaks_the_promise_about_that_alone(store):
    core = LosesTheTail(address_of(store.unix_url))
    await core.start()
    starting = []

    async def restart():
        await core.kill()
        written = store.client().xinfo_stream(KEYS.commands)["entries-added"]

        async def start_late():
            while store.client().xinfo_stream(KEYS.commands)["entries-added"] < written + 1:
                await asyncio.sleep(0.001)
            await core.start()

        starting.append(asyncio.ensure_future(start_late()))

    verdicts = await verdicts_of(store, restart=restart, names=("tail", "durable"), timeout_s=2.0)
    await core.kill()
    assert [(each.promise, each.state) for each in verdicts] == [("tail", "broken"), ("durable", "kept")]


async def test_a_restart_that_does_not_end_is_given_up():
    with pytest.raises(NotRestarted, match="start the core in the background"):
        await restart_by("exec sleep 60", 0.05)()


async def test_after_the_death_of_the_core_the_rest_is_not_tested(store):
    class Dies(PlainCore):
        """At its third hello: after that of the tool, and that of the first dialogue."""

        hellos = 0

        def take(self, entry, fields):
            self.hellos += b"hello" in fields
            return [] if self.hellos > 2 else super().take(entry, fields)

    core = Dies(address_of(store.unix_url))
    await core.start()
    verdicts = await verdicts_of(store, timeout_s=0.2)
    await core.kill()
    assert (verdicts[0].state, verdicts[0].expected) == ("broken", "an answer to `hello`")
    assert {each.state for each in verdicts[1:]} == {"not tested"}
    assert "the core does not answer `hello`" in verdicts[1].why
    assert all(verdict.is_failure for verdict in verdicts)


async def test_each_promise_has_accounts_of_its_own(store, core):
    seen = {}
    execute = core.host.engine.execute_all

    def noting(commands, now_ns):
        for command in commands:
            if isinstance(command, NewOrder):
                seen.setdefault(command.account, set()).add(command.cl_ord_id.split("-")[2])
        return execute(commands, now_ns)

    core.host.engine.execute_all = noting
    await verdicts_of(store, first_account=7_000)
    assert set(seen) <= set(range(7_000, 7_000 + ACCOUNTS))
    assert all(len(names) == 1 for names in seen.values())


async def test_nothing_is_left_open_and_a_second_run_is_like_the_first(store, core):
    for _ in range(2):
        verdicts = await verdicts_of(store)
        assert {each.state for each in verdicts} == {"kept", "not tested"}
    async with asyncio.timeout(10):
        while core.host.nodes:  # until the last `bye` is read
            await asyncio.sleep(0.001)
    assert not any(core.host.engine.open_orders(account) for account in range(_FIRST, _FIRST + ACCOUNTS))


async def test_what_an_earlier_run_has_left_is_cancelled_first(store, core):
    account = _FIRST + 2 * [promise.name for promise in PROMISES].index("hello")
    order = NewOrder(1 << 60, account, 1 << 19, Origin.FIX, 1, 0, "left", 1, Side.BUY, OrdType.LIMIT, Tif.GTC, 5, 5)
    core.host.engine.execute(order, 1)
    verdicts = await verdicts_of(store, names=("hello",))
    assert [each.state for each in verdicts] == ["kept"]
    assert not core.host.engine.open_orders(account)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "no core has run on the prefix test"),
        ({"version": "2"}, "version is 2, and this contract is 1"),
        ({"version": "1", "encoding": "xml"}, 'encoding is "xml"'),
        ({"version": "1", "encoding": "json"}, "epoch is missing"),
        ({"version": "1", "encoding": "json", "epoch": "e"}, "instruments is no object"),
        ({"version": "1", "encoding": "json", "epoch": "e", "instruments": "{}"}, "there is no instrument at all"),
        ({"version": "1", "encoding": "json", "epoch": "e", "instruments": INSTRUMENTS}, "Is it running"),
    ],
)
async def test_a_core_that_does_not_say_what_it_is_is_not_examined(store, said, why):
    if said:
        store.client().hset(KEYS.core, mapping=said)
    with pytest.raises(Unfit, match=why):
        await verdicts_of(store, timeout_s=0.1)


async def test_an_instrument_that_the_core_does_not_have_is_refused(store, core):
    with pytest.raises(Unfit, match=r"there is no instrument 7\. It has 1"):
        await verdicts_of(store, instrument=7)


async def test_a_venue_that_a_gateway_uses_is_refused_but_for_those_who_insist(store, core):
    store.client().xadd(KEYS.commands, {"node": "gateway", "hello": '{"accounts":[],"sessions":[]}'})
    with pytest.raises(Unfit, match=r'gateway "gateway" wrote to \{test\}:commands \d+ s ago, and this tool trades'):
        await verdicts_of(store)
    verdicts = await verdicts_of(store, may_join=True, names=("hello",))
    assert [each.state for each in verdicts] == ["kept"]


async def test_a_gateway_that_was_there_long_ago_is_no_hindrance(store):
    store.client().xadd(KEYS.commands, {"node": "gateway", "hello": '{"accounts":[],"sessions":[]}'}, id="1-1")
    core = PlainCore(address_of(store.unix_url))
    await core.start()
    verdicts = await verdicts_of(store, names=("hello",))
    await core.kill()
    assert [each.state for each in verdicts] == ["kept"]


async def test_a_redis_that_is_away_is_named(store):
    terms = terms_of(store)._replace(address=address_of("redis://127.0.0.1:1/0"))
    with pytest.raises(Unfit, match="Redis cannot be reached"):
        await examine(terms, lambda said: None, lambda verdict: None)
