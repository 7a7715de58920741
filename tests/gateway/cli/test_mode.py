"""`penstock mode` against the real operators' door, as an operator and a script meet it."""

import asyncio
import socket

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from gateway.admin.modes_file import ModesFile
from gateway.cli.mode import mode
from tests.support.operators import OPERATOR, TOKENS, VIEWER, OperatedGateway, admin
from tests.support.server import venue_toml, write_venue


@pytest.fixture
def gateway():
    return OperatedGateway()


@pytest.fixture
def file(tmp_path):
    return ModesFile(tmp_path / "modes.json")


async def run(http, *arguments, text=None, env=None):
    """The command in a thread, so that the server can answer it; (exit code, standard output, standard error)."""
    url = ["--url", str(http.make_url("/"))] if http is not None else []
    words = [*map(str, arguments), *url]
    result = await asyncio.to_thread(CliRunner(env=env).invoke, mode, words, text)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


async def test_a_mode_is_set_shown_and_cleared(gateway, file):
    async with admin(gateway, file) as http:
        assert await run(http, "show") == (0, "everything is normal: nothing is barred\n", "")
        assert await run(http, "set", "halted", "instrument", "BTC-USDT", "--reason", "stale [red]index") == (
            0,
            "instrument BTC-USDT is halted (was normal)\n",
            "",
        )
        code, shown, _ = await run(http, "show", env={"COLUMNS": "160"})
        assert code == 0
        assert shown.splitlines()[3].split()[:3] == ["instrument", "BTC-USDT", "halted"]
        assert "stale [red]index" in shown
        assert await run(http, "clear", "instrument", "BTC-USDT") == (
            0,
            "instrument BTC-USDT takes orders (was halted)\n",
            "",
        )
        assert not gateway.modes.in_force


async def test_a_mode_for_a_time_says_until_when(gateway, file):
    async with admin(gateway, file) as http:
        code, told, _ = await run(http, "set", "cancel_only", "account", "A1", "--reason", "r", "--ttl", "60s")
        assert (code, told[:43]) == (0, "account A1 takes cancels only until 2026-11")


async def test_a_time_is_written_with_its_unit_as_for_limits(gateway, file):
    words = ("set", "halted", "instrument", "BTC-USDT", "--reason", "price feed is down", "--ttl")
    async with admin(gateway, file) as http:
        for wrong in ("60", "0m", "soon", "1.5h", "15 m"):
            code, _, told = await run(http, *words, wrong)
            assert code == 2
            assert "Invalid value for --ttl" in told
            assert not gateway.modes.in_force
        for text, ttl_s in (("90s", 90), ("15m", 900), ("2h", 7_200), ("31d", 2_678_400)):
            code, told, _ = await run(http, *words, text)
            assert (code, told[:37]) == (0, "instrument BTC-USDT is halted until 2")
            assert gateway.modes.in_force["instrument", 1].ttl_s == ttl_s
        code, _, told = await run(http, *words, "32d")
        assert (code, "31 days at most" in told) == (2, True)


async def test_a_kill_says_how_many_orders_it_took(gateway, file):
    session = gateway.world.session(1)
    gateway.world.place(session, "a")
    gateway.world.tick()
    async with admin(gateway, file) as http:
        assert await run(http, "kill", "account", "A1", "--reason", "runaway") == (
            0,
            "account A1 takes cancels only (was normal)\nopen orders cancelled: 1\n",
            "",
        )
    assert gateway.modes.refusal("A1", session.name, 1).code == 4011


async def test_a_kill_of_the_venue_is_confirmed_first_unless_switched_off(gateway, file):
    async with admin(gateway, file) as http:
        for answer in ("n\n", ""):
            code, _, told = await run(http, "kill", "venue", "--reason", "r", text=answer)
            assert code == 1
            assert "Cancel every open order of every account" in told
            assert not gateway.modes.in_force
        assert (await run(http, "kill", "venue", "--reason", "r", text="y\n"))[0] == 0
        assert (await run(http, "kill", "venue", "--reason", "r", "--yes"))[0] == 0
        assert gateway.modes.in_force


async def test_half_a_kill_is_a_failure(gateway, file, monkeypatch):
    monkeypatch.setattr("gateway.admin.mode_control._SWEEP_WAIT_S", 0.02)
    gateway.world.core.is_quick = False
    async with admin(gateway, file) as http:
        code, told, complaint = await run(http, "kill", "account", "A1", "--reason", "r")
    assert (code, told) == (1, "account A1 takes cancels only (was normal)\nopen orders cancelled: 0\n")
    assert complaint == "Error: the core has not yet answered 1 of 1 mass cancels\n"


async def test_a_mode_that_could_not_be_kept_is_a_failure_and_a_gateway_that_keeps_none_says_so(gateway, file):
    file.path.mkdir()  # a directory of that name: nothing can be renamed over it
    async with admin(gateway, file) as http:
        code, told, complaint = await run(http, "set", "halted", "venue", "--reason", "r")
        assert (code, told) == (1, "venue is halted (was normal)\n")
        assert complaint.startswith("Error: in force, but it will not survive a restart: ")
    async with admin(gateway) as http:
        assert await run(http, "show") == (
            0,
            (await run(http, "show"))[1],
            "modes are not kept: a restart forgets them\n",
        )
        code, _, told = await run(http, "clear", "venue")
        assert (code, told) == (0, "not kept: a restart forgets it\n")


async def test_a_refusal_is_printed_with_its_field_and_what_to_do(gateway):
    async with admin(gateway) as http:
        assert await run(http, "kill", "account", "A11", "--reason", "r") == (
            1,
            "",
            "Error: name: no account is called A11 (did you mean A1?)\n",
        )


async def test_a_token_is_read_from_a_file_and_never_printed(gateway, tmp_path):
    viewer, operator, wrong = (tmp_path / name for name in ("viewer", "operator", "wrong"))
    viewer.write_text(VIEWER)
    operator.write_text(OPERATOR + "\n")
    wrong.write_text("two\nlines")
    bar = ("set", "halted", "account", "A1", "--reason", "r")
    async with admin(gateway, tokens=TOKENS) as http:
        assert (await run(http, "show"))[2].startswith("Error: send a token of [[admin.tokens]]")
        assert (await run(http, "show", "--token-file", viewer))[0] == 0
        code, _, told = await run(http, *bar, "--token-file", viewer)
        assert (code, told) == (1, "Error: sam has the role viewer, this needs operator\n")
        assert (await run(http, *bar, env={"PENSTOCK_TOKEN_FILE": str(operator)}))[0] == 0
        assert "does not hold one token on one line" in (await run(http, "show", "--token-file", wrong))[2]
        assert "No such file" in (await run(http, "show", "--token-file", tmp_path / "none"))[2]
    assert gateway.modes.in_force["account", "A1"].by == "kim"


async def test_silence_is_a_failure_and_leaves_the_outcome_open(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    code, _, told = await run(None, "show", "--url", url)
    assert (code, told) == (1, f"Error: {url} does not answer: [Errno 111] Connection refused\n")
    _, _, told = await run(None, "clear", "venue", "--url", url)
    assert "whether it is in force is unknown" in told


async def test_something_else_on_that_port_is_recognised():
    async def page(_):
        return web.Response(text="<html>")

    app = web.Application()
    app.add_routes([web.get("/modes", page)])
    async with TestServer(app) as server:
        code, _, told = await run(server, "show")
        assert code == 1
        assert "is not an admin port of Penstock" in told


async def test_the_configuration_says_where_the_admin_port_is(gateway, tmp_path):
    async with admin(gateway) as http:
        path = write_venue(tmp_path, venue_toml(ports={"admin": http.port}))
        assert (await run(None, "show", "-c", path))[0] == 0
        path.write_text(venue_toml())
        assert "leaves the admin port open (0)" in (await run(None, "show", "-c", path))[2]
        path.write_text(venue_toml().replace("[admin]\nport = 0", ""))
        assert "has no [admin]" in (await run(None, "show", "-c", path))[2]
        path.write_text("x")
        assert "say where the admin port is: --url" in (await run(None, "show", "-c", path))[2]


@pytest.mark.parametrize("url", ["gateway:9090", "ftp://a", "http://", "http://a:99999", "http://[::1"])
async def test_an_address_that_is_none_is_a_mistake_of_the_command_line(url):
    code, _, told = await run(None, "show", "--url", url)
    assert code == 2
    assert "write it like http://127.0.0.1:9090" in told


@pytest.mark.parametrize(
    "words", [["set", "normal", "venue", "--reason", "r"], ["set", "halted", "venue"], ["kill", "planet"], ["clear"]]
)
async def test_a_mistake_of_the_command_line_reaches_no_gateway(words):
    assert (await run(None, *words))[0] == 2
