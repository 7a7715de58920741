"""Gateway, core and Redis as processes of their own: what starts, what is refused, and what two cores do.

Modules: cli.core, remote.core_process, remote.link, remote.pipe, remote.store_check.
"""

import asyncio
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from gateway.remote.core_process import CoreFailed, CoresDiffer
from gateway.remote.keys import Keys
from gateway.remote.link import CoreConnection, LinkTerms
from gateway.remote.pipe import PipeLost, address_of, ask, open_pipe
from tests.support.redis_server import redis_server
from tests.support.remote_core import LINK, core_of, hand_over
from tests.support.server import started, venue_toml, write_venue
from tests.support.venue import Venue

pytestmark = pytest.mark.timeout(120)
_KEPT = ("--appendonly", "yes")


@pytest.fixture
def store():
    with redis_server(*_KEPT) as server:
        yield server


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_core_goes_on_where_another_was_killed_and_writes_nothing_twice(store, tmp_path):
    venue = Venue()
    first, _ = core_of(store, tmp_path)
    running = asyncio.ensure_future(first.run())
    await until(lambda: first.host.engine.epoch)
    hand_over(store, "alice new a1 buy 10 @ 90", "alice new a2 buy 10 @ 91", venue=venue)
    await until(lambda: first.host.engine.latest_seq(1) == 2)
    running.cancel()
    hand_over(store, "alice new a3 buy 10 @ 92", venue=venue)
    second, _ = core_of(store, tmp_path)
    running = asyncio.ensure_future(second.run())
    await until(lambda: second.host.engine.latest_seq(1) == 3)
    second.stop()
    await running
    assert [entry for entry, _ in store.client().xrange(Keys("penstock").events(1))] == [b"2-0", b"3-0"]
    assert second.host.engine.epoch == first.host.engine.epoch


async def test_a_core_that_begins_writes_each_entry_once_also_when_redis_is_slow_to_confirm(store, tmp_path):
    """A second reply would stand for a later entry, which would not be written again if the connection were lost."""
    core, _ = core_of(store, tmp_path)
    hand_over(store, "alice new a1 buy 10 @ 90", "alice new a2 buy 10 @ 90", venue=Venue())
    put, put_again, replies = core._put, [], []
    core._written = lambda rows, reply: replies.append((rows, reply))
    core._put = lambda rows: (put_again.append(rows), put(rows))
    running = asyncio.ensure_future(core.run())
    await until(lambda: store.client().exists(Keys("penstock").core))
    assert [[row.id for row in rows] for rows in put_again] == [["2-0"]]
    assert len(replies) == 1
    running.cancel()


async def test_a_core_goes_on_when_redis_comes_back_as_it_was_and_executes_nothing_again(store, tmp_path):
    venue = Venue()
    core, _ = core_of(store, tmp_path)
    running = asyncio.ensure_future(core.run())
    await until(lambda: core.host.engine.epoch)
    hand_over(store, "alice new a1 buy 10 @ 90", venue=venue)
    await until(lambda: store.client().exists(Keys("penstock").events(1)) and not core._unwritten)
    host = core.host
    await asyncio.to_thread(store.kill)
    store.start()
    hand_over(store, "alice new a2 buy 10 @ 90", venue=venue)
    await until(lambda: core.host.engine.latest_seq(1) == 2)
    assert core.host is host
    running.cancel()


async def test_a_core_writes_again_what_redis_lost_of_it_though_the_command_is_there(store, tmp_path):
    venue, events = Venue(), Keys("penstock").events(1)
    core, _ = core_of(store, tmp_path)
    running = asyncio.ensure_future(core.run())
    await until(lambda: core.host.engine.epoch)
    hand_over(store, "alice new a1 buy 10 @ 90", venue=venue)
    await until(lambda: store.client().exists(events) and not core._unwritten)
    host = core.host
    store.client().delete(events)
    await asyncio.to_thread(store.kill)
    store.start()
    await until(lambda: core.host is not host and store.client().exists(events))
    running.cancel()


async def test_of_two_cores_that_differ_both_stop_and_the_entry_is_named(store, tmp_path):
    venue = Venue()
    cores = [core_of(store, tmp_path / name)[0] for name in ("a", "b")]
    running = [asyncio.ensure_future(core.run()) for core in cores]
    await until(lambda: all(core.host.engine.epoch for core in cores))
    cores[1].host.engine._counters.order_id += 1
    hand_over(store, "alice new a1 buy 10 @ 90", venue=venue)
    ends = await asyncio.wait_for(asyncio.gather(*running, return_exceptions=True), 30)
    assert all(isinstance(end, CoreFailed) for end in ends)
    assert sum(isinstance(end, CoresDiffer) for end in ends) >= 1
    assert all("{penstock}:events:1" in str(end) and "entry 1-0" in str(end) for end in ends)


async def test_a_core_on_another_machine_starts_from_the_snapshot_in_redis_alone(store, tmp_path):
    venue = Venue()
    first, _ = core_of(store, tmp_path / "a")
    running = asyncio.ensure_future(first.run())
    await until(lambda: first.host.engine.epoch)
    hand_over(store, "alice new a1 buy 10 @ 90", venue=venue)
    await until(lambda: first.host.engine.latest_seq(1) == 1)
    await first._make_snapshot()
    hand_over(store, "alice new a2 buy 10 @ 90", venue=venue)
    await until(lambda: first.host.engine.latest_seq(1) == 2)
    running.cancel()
    store.client().xtrim(Keys("penstock").commands, maxlen=2, approximate=False)  # the snapshot's own command stays
    second, logged = core_of(store, tmp_path / "b")
    running = asyncio.ensure_future(second.run())
    await until(lambda: any(name == "core.started" for name, _ in logged))
    assert second.host.engine.digest() == first.host.engine.digest()
    running.cancel()


async def test_a_snapshot_is_kept_when_what_came_before_it_is_written(store, tmp_path):
    """Whoever starts from it writes nothing of that again."""
    core, logged = core_of(store, tmp_path)
    put, core._put = core._put, lambda rows: None
    running = asyncio.ensure_future(core.run())
    await until(lambda: core.host.engine.epoch)
    hand_over(store, "alice new a1 buy 10 @ 90", venue=Venue())
    await until(lambda: core._unwritten)
    keeping = asyncio.ensure_future(core._make_snapshot())
    await until(lambda: not keeping.done() and core._unwritten)
    await asyncio.sleep(0.05)  # it would be made by now
    assert not (tmp_path / "core.snapshot").exists()
    core._put = put
    for rows in core._unwritten:
        put(rows)
    await keeping
    assert (tmp_path / "core.snapshot").exists()
    assert [name for name, _ in logged] == ["core.started", "core.snapshot"]
    running.cancel()


async def test_a_core_that_was_away_while_another_let_go_of_commands_goes_on_from_its_snapshot(store, tmp_path):
    venue = Venue()
    (first, _), (second, logged) = (core_of(store, tmp_path / name) for name in ("a", "b"))
    running = [asyncio.ensure_future(core.run()) for core in (first, second)]
    await until(lambda: first.host.engine.epoch and second.host.engine.epoch)
    running[1].cancel()
    hand_over(store, "alice new a1 buy 10 @ 90", venue=venue)
    hand_over(store, "alice new a2 buy 10 @ 90", venue=venue)
    await until(lambda: first.host.engine.latest_seq(1) == 2)
    await first._make_snapshot()
    store.client().xtrim(Keys("penstock").commands, maxlen=1, approximate=False)
    running[1] = asyncio.ensure_future(second.run())
    await until(lambda: second.host.engine.latest_seq(1) == 2)
    assert second.host.engine.digest() == first.host.engine.digest()
    assert [name for name, _ in logged].count("core.started") == 2
    for each in running:
        each.cancel()


async def test_a_core_whose_first_commands_are_gone_and_that_has_no_snapshot_does_not_start(store, tmp_path):
    first, _ = core_of(store, tmp_path / "a")
    running = asyncio.ensure_future(first.run())
    await until(lambda: first.host.engine.epoch)
    running.cancel()
    hand_over(store, "alice new a1 buy 10 @ 90", venue=Venue())
    store.client().xtrim(Keys("penstock").commands, maxlen=1, approximate=False)
    second, _ = core_of(store, tmp_path / "b")
    with pytest.raises(CoreFailed, match="no longer has its first commands"):
        await second.run()


async def test_a_core_notices_that_redis_has_lost_its_latest_writes(store, tmp_path):
    first, _ = core_of(store, tmp_path)
    running = asyncio.ensure_future(first.run())
    await until(lambda: first.host.engine.epoch)
    await first._make_snapshot()
    running.cancel()
    store.client().flushall()
    second, _ = core_of(store, tmp_path)
    with pytest.raises(CoreFailed, match=r"Redis has lost what it had.*Restore its file"):
        await second.run()


def test_a_gateway_notices_that_redis_has_lost_its_latest_writes(store, tmp_path):
    more = LINK.format(url=store.unix_url) + '[journal]\ndurability = "process"\n'
    path = write_venue(tmp_path, venue_toml(more=more))
    with command("core", "-c", path):
        wait_core(store)
        with started(tmp_path, more=more) as (gateway, _):
            gateway.terminate()
            assert gateway.wait(30) == 0
    store.client().flushall()
    with command("run", "-c", path) as gateway:
        said = gateway.communicate(timeout=30)[1].decode()
    assert gateway.returncode == 2
    assert "Redis has lost what it had" in said


async def test_a_core_with_fewer_instruments_than_the_venue_trades_is_refused(store, tmp_path):
    first, _ = core_of(store, tmp_path / "a")
    running = asyncio.ensure_future(first.run())
    await until(lambda: first.host.engine.epoch)
    second, _ = core_of(store, tmp_path / "b")
    second._terms = second._terms._replace(instruments=second._terms.instruments[:1])
    with pytest.raises(CoreFailed, match="the venue trades instruments 2, which"):
        await second.run()
    running.cancel()


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ((), "set appendonly yes"),
        ((*_KEPT, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "set it to noeviction"),
    ],
)
async def test_a_redis_that_forgets_is_refused_with_what_to_change(tmp_path, options, mend):
    with redis_server(*options) as forgetful:
        core, _ = core_of(forgetful, tmp_path)
        with pytest.raises(CoreFailed, match=mend):
            await core.run()


async def test_who_waits_for_a_reply_hears_that_the_connection_is_lost(store):
    lost = []
    pipe = await open_pipe(address_of(store.unix_url), 5, lost.append)
    assert await ask(pipe, "PING") == b"PONG"
    asking = asyncio.ensure_future(ask(pipe, "XREAD", "BLOCK", 60_000, "STREAMS", "nothing", "0"))
    await asyncio.sleep(0)
    store.kill()
    with pytest.raises(PipeLost):
        await asking
    with pytest.raises(PipeLost):
        await ask(pipe, "PING")
    assert len(lost) == 1


class NoRecord:
    """Of a gateway that is not killed."""

    def record_handed(self, number, data):
        pass

    def record_delivered(self, delivered, answered, reported, epoch=""):
        pass


def gateway_of(store, core):
    """A gateway's end of the link, and the events that it reports."""
    told = []
    terms = LinkTerms(Keys("penstock"), "gateway", address_of(store.unix_url), (1, 2), (1, 2), core._terms.instruments)
    link = CoreConnection(terms, 256, NoRecord(), time.time_ns, lambda *_, **__: None, pytest.fail)
    link.core.subscribe(lambda events, now_ns: told.extend(events))
    return link.core, link, told


async def test_what_was_trimmed_while_a_gateway_was_away_comes_from_the_accounts_streams(store, tmp_path):
    venue = Venue()
    core, _ = core_of(store, tmp_path)
    running = asyncio.ensure_future(core.run())
    first, link, _ = gateway_of(store, core)
    await link.open()
    await link.close()
    for number in range(3):
        hand_over(store, f"alice new a{number} buy 10 @ 90", venue=venue)
    await until(lambda: core.host.engine.latest_seq(1) == 3)
    store.client().xtrim(Keys("penstock").node("gateway"), maxlen=1, approximate=False)
    second, link, told = gateway_of(store, core)
    second.restore(first.delivered, {}, ())
    found = await link.open()
    link.deliver(found.rows)
    assert [event.seq for event in told] == [1, 2, 3]
    assert [order.cl_ord_id for order in second.open_orders(1)] == ["a0", "a1", "a2"]
    await link.close()
    running.cancel()


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
async def test_a_core_is_spoken_to_in_the_form_that_it_wants(store, tmp_path, encoding):
    core, _ = core_of(store, tmp_path)
    running = asyncio.ensure_future(core.run())
    await until(lambda: store.client().exists(Keys("penstock").core))
    store.client().hset(Keys("penstock").core, "encoding", encoding)
    remote, link, _ = gateway_of(store, core)
    await link.open()
    remote.is_open = True
    remote.submit([Venue().command("alice new a1 buy 10 @ 90")], 0)
    link._send()
    [(_, fields)] = await asyncio.to_thread(store.client().xrevrange, Keys("penstock").commands, count=1)
    assert set(fields) == {b"node", b"j" if encoding == "json" else b"m"}
    await until(lambda: core.host.engine.latest_seq(1) == 1)
    await link.close()
    running.cancel()


@contextmanager
def command(*arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", "from gateway.cli import main; main()", *map(str, arguments)], stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_core(store):
    """Until a core has said what it is."""
    until_s = time.monotonic() + 30
    while not store.client().exists(Keys("penstock").core):
        assert time.monotonic() < until_s, "the core did not start"
        time.sleep(0.02)


def test_the_command_runs_a_core_and_a_gateway_waits_for_it(store, tmp_path):
    more = LINK.format(url=store.unix_url)
    path = write_venue(tmp_path, venue_toml(more=more))
    with command("core", "-c", path) as core:
        wait_core(store)
        (tmp_path / "gateway").mkdir()
        with started(tmp_path / "gateway", more=more):
            core.terminate()
            assert core.wait(10) == 0


def test_a_gateway_with_an_instrument_that_the_core_has_otherwise_is_refused(store, tmp_path):
    text = venue_toml(more=LINK.format(url=store.unix_url))
    path = write_venue(tmp_path, text)
    (tmp_path / "other").mkdir()
    other = write_venue(tmp_path / "other", text.replace('symbol = "ETH-USDT"', 'symbol = "ETH-USDC"'))
    with command("core", "-c", path):
        wait_core(store)
        with command("run", "-c", other) as gateway:
            said = gateway.communicate(timeout=30)[1].decode()
    assert gateway.returncode == 2
    assert "instrument 2 is ETH-USDC" in said
    assert "make both configurations the same" in said


def test_a_link_without_a_url_is_refused_at_its_line(tmp_path):
    path = write_venue(tmp_path, venue_toml(more='\n[core]\nlink = "redis"\n'))
    with command("run", "-c", path) as gateway:
        said = gateway.communicate(timeout=30)[1].decode()
    assert gateway.returncode == 2
    assert 'link = "redis" needs its URL here, or in PENSTOCK_CORE_REDIS' in said


def test_an_embedded_core_is_no_command(tmp_path):
    path = write_venue(tmp_path, venue_toml())
    with command("core", "-c", path) as core:
        said = core.communicate(timeout=30)[1].decode()
    assert core.returncode == 2
    assert 'link is "embedded"' in said
