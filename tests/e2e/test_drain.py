"""`penstock drain`: an operator takes a gateway out of service, and knows when it is out.

Modules: cli.drain, cli.admin_port, admin.operations, serving.
"""

import asyncio
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.desks import FixDesk, WsDesk
from tests.support.redis_server import redis_server
from tests.support.server import started, venue_toml, write_venue

pytestmark = pytest.mark.timeout(120)
BTC = "BTC-USDT"
_CLUSTER = '\n[core]\nlink = "redis"\nredis = "{url}"\nnode = "{node}"\n[cluster]\n'
_SECRET = "o" * 20
_TOKENS = (
    '\n[[admin.tokens]]\nname = "kim"\nrole = "operator"\ntoken_file = "kim.token"\n'
    '[[admin.tokens]]\nname = "sam"\nrole = "viewer"\ntoken_file = "sam.token"\n'
)


async def penstock(*arguments):
    """(exit status, standard output, standard error) of a command."""
    command = [sys.executable, "-c", "from gateway.cli import main; main()", *map(str, arguments)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def admin_url(ports):
    return f"http://127.0.0.1:{ports['admin']}"


@contextmanager
def cluster(directory):
    """A core, and two gateways as processes, each with its ports; the core may be killed."""
    with redis_server("--appendonly", "yes") as store, ExitStack() as stack:
        gateways = []
        for node in ("a", "b"):
            (directory / node).mkdir()
            knobs = {
                "store": f'redis = "{store.unix_url}"',
                "more": _CLUSTER.format(url=store.unix_url, node=node),
            }
            if not gateways:
                path = write_venue(directory, venue_toml(**knobs))
                core = subprocess.Popen(
                    [sys.executable, "-c", "from gateway.cli import main; main()", "core", "-c", str(path)],
                    stderr=subprocess.DEVNULL,
                )
                stack.callback(core.wait)
                stack.callback(core.kill)
            gateways.append(stack.enter_context(started(directory / node, **knobs)))
        yield core, gateways


async def test_a_drained_gateway_of_two_is_gone_and_its_session_goes_on_at_the_other(tmp_path):
    with cluster(tmp_path) as (_, ((a, at_a), (b, at_b))):
        alpha = FixDesk("ALPHA")
        await alpha.logon(at_a["fix"], fields=[(8013, "S"), (20107, 0)])
        alpha.client.place("a-1", BTC, "1", "1", "60000")
        await alpha.expect("8", {150: "0", 11: "a-1"})
        code, said, errors = await penstock("drain", "--wait", "--url", admin_url(at_a))
        assert (code, errors) == (0, "")
        lines = said.splitlines()
        assert lines[0].startswith(f"{admin_url(at_a)} drains, for 10 s at most: 1 FIX session")
        assert lines[1:] == ["drained, and closed"]
        assert await asyncio.to_thread(a.wait, 5) == 0, "as after SIGTERM"
        assert alpha.client.closed.is_set()
        assert alpha.client.logout_text == "the gateway is going down"
        await alpha.logon(at_b["fix"], reset=False)
        alpha.client.cancel("a-2", "a-1", BTC, "1")
        await alpha.expect("8", {150: "4", 11: "a-2"})
        assert b.poll() is None


async def test_what_is_still_open_is_said_when_the_time_is_over(tmp_path):
    """No core runs any more, so an order has no answer: the drain goes on for as long as venue.drain_ms allows."""
    with cluster(tmp_path) as (core, ((a, at_a), _)):
        alpha = FixDesk("ALPHA")
        await alpha.logon(at_a["fix"])
        core.kill()
        alpha.client.place("a-1", BTC, "1", "1", "60000")
        await asyncio.sleep(0)  # it is written
        url = admin_url(at_a)
        code, said, errors = await penstock("drain", "--wait", "--timeout", "1s", "--url", url)
        assert (code, "drained" in said) == (1, False)
        assert "Error: not drained after 1 s, still open: 1 FIX session" in errors
        assert a.poll() is None
        code, said, errors = await penstock("drain", "--wait", "--url", url)
        assert (code, said.splitlines()[-1], errors) == (0, "drained, and closed", ""), "to ask again does no harm"


async def test_only_an_operator_may_drain_a_gateway_that_has_tokens(tmp_path):
    (tmp_path / "kim.token").write_text(_SECRET + "\n")
    (tmp_path / "sam.token").write_text("v" * 20 + "\n")
    with started(tmp_path, more=_TOKENS) as (process, ports):
        maker = WsDesk("ALPHA")
        await maker.logon(ports["ws"])
        url = admin_url(ports)
        assert await penstock("drain", "--url", url) == (
            1,
            "",
            "Error: send a token of [[admin.tokens]] as: Authorization: Bearer TOKEN\n",
        )
        code, _, errors = await penstock("drain", "--url", url, "--token-file", tmp_path / "sam.token")
        assert (code, errors) == (1, "Error: sam has the role viewer, this needs operator\n")
        await maker.client.call("ping")
        config = tmp_path / "gateway.toml"
        code, said, errors = await penstock("drain", "-c", config, "--token-file", tmp_path / "kim.token")
        assert (code, errors) == (0, "")
        assert said == f"{url} drains, for 10 s at most: 1 WebSocket session\n"
        await maker.expect("system", state="draining")
        assert (await maker.client.wait_closed(12)).code == 1012
        await maker.client.abort()
        assert await asyncio.to_thread(process.wait, 12) == 0


async def test_a_gateway_that_is_not_there_is_an_error_and_no_success():
    code, said, errors = await penstock("drain", "--wait", "--url", "http://127.0.0.1:1")
    assert (code, said) == (1, "")
    assert "does not answer" in errors
