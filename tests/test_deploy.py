"""What is in deploy/ works: the files that compose.yaml mounts exist and are sound, and its commands and options are
ours. Docker itself is not needed, and not asked.
"""

import asyncio
import os
import re
from itertools import takewhile
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.cli.core import core
from gateway.config.load import CORE_REDIS_ENV, NODE_ENV, build_instruments, load
from gateway.memory_bounds import memory_bounds
from gateway.remote.core_process import CoreProcess, CoreTerms
from gateway.remote.keys import Keys
from gateway.remote.pipe import address_of
from gateway.server import Server
from tests.support.redis_server import redis_server

DEPLOY = Path(__file__).parent.parent / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text("utf-8")
CLUSTER = DEPLOY / "cluster" / "gateway.toml"
MADE_BY_THE_OPERATOR = {"./config"}


def service(name: str) -> str:
    """The lines of one service, or of one `x-` part that services take over."""
    head = f"{name}:" if name.startswith("x-") else f"  {name}:"
    lines = iter(COMPOSE.partition("\nvolumes:")[0].splitlines())
    assert any(line == head or line.startswith(f"{head} &") for line in lines), name
    inner = head[: -len(head.lstrip())] + "  "
    return "\n".join(takewhile(lambda line: line.startswith(inner), lines))


def words(line: str) -> list[str]:
    """The list of a `command`."""
    found = re.search(r"command: \[(.*)\]", line)
    assert found
    return re.findall(r'"([^"]*)"', found[1])


def test_what_is_mounted_exists_or_is_made_by_the_operator() -> None:
    mounted = set(re.findall(r"- (\./[\w/-]+):/etc/penstock:ro", COMPOSE))
    assert mounted == {"./config", "./cluster"}
    assert all((DEPLOY / path).is_dir() for path in mounted - MADE_BY_THE_OPERATOR)
    assert mounted >= MADE_BY_THE_OPERATOR


def test_the_clusters_configuration_is_sound_and_fits_its_memory() -> None:
    result = CliRunner().invoke(main, ["config", "check", str(CLUSTER)])
    assert result.exit_code == 0, result.output
    assert CliRunner().invoke(main, ["limits", "check", str(CLUSTER.with_name("limits.toml"))]).exit_code == 0
    config = load(CLUSTER)
    assert config.cluster is not None
    limit = re.search(r"mem_limit: (\d+)m", service("x-node"))
    assert limit
    assert sum(memory_bounds(config).values()) * 1.25 < int(limit[1]) << 20
    for url in (config.core.redis, config.limits.redis):
        assert url == "redis://valkey:6379/0", "by the name of its service"


def test_gateways_have_names_of_their_own_and_the_ports_of_the_configuration() -> None:
    config, names = load(CLUSTER), set()
    assert config.ws is not None
    for name in ("gateway-1", "gateway-2"):
        names |= set(re.findall(rf"{NODE_ENV}: (\S+)", service(name)))
        inside = {int(port) for port in re.findall(r'"127\.0\.0\.1:\d+:(\d+)"', service(name))}
        assert inside == {config.fix.listeners[0].port, config.ws.port}
    assert names == {"gateway-1", "gateway-2"}


def test_both_cores_run_our_command_with_a_directory_of_their_own() -> None:
    command = words(service("x-core"))
    assert command[0] == "core"
    known = {option for each in core.params for option in each.opts}
    assert set(command[1::2]) <= known
    directory = command[command.index("--directory") + 1]
    assert [f"- {name}:{directory}" in service(name) for name in ("core-1", "core-2")] == [True, True]


@pytest.mark.timeout(60)
async def test_a_gateway_and_a_core_start_with_it_at_a_valkey_with_the_options_of_compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *options = words(service("valkey"))
    assert program == "valkey-server"
    text = CLUSTER.read_text("utf-8").replace('host = "0.0.0.0"', "port = 0").replace("[admin]", "[admin]\nport = 0")
    (tmp_path / "gateway.toml").write_text(text, encoding="utf-8")
    (tmp_path / "limits.toml").write_bytes(CLUSTER.with_name("limits.toml").read_bytes())
    with redis_server(*options) as store:
        monkeypatch.setenv(CORE_REDIS_ENV, store.url)
        monkeypatch.setenv("PENSTOCK_LIMITS_REDIS", store.url)
        monkeypatch.setenv(NODE_ENV, "gateway-1")
        config = load(tmp_path / "gateway.toml")
        instruments = tuple(build_instruments(config).by_id.values())
        terms = CoreTerms(Keys("penstock"), address_of(store.url), instruments, 1_024, 1_000, tmp_path / "core")
        (tmp_path / "core").mkdir()
        running = asyncio.ensure_future(CoreProcess(terms, lambda name, **fields: None).run())
        server = Server(config, tmp_path)
        try:
            await server.start()
            assert server.health.reasons() == {}
            assert server.cluster is not None
            assert server.cluster.status()["node"] == "gateway-1"
        finally:
            await server.stop()
            running.cancel()
        written = set(os.listdir(tmp_path)) - {"gateway.toml", "limits.toml", "core"}
        assert written == set(), "a gateway writes nothing: its root is read-only"
