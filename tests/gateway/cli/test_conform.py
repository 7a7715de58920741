"""`penstock core conform` as its user calls it: what it prints, and how it ends."""

import asyncio
import json
import sys

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.remote.conform.promises import ACCOUNTS, PROMISES
from gateway.remote.pipe import address_of
from tests.support.redis_server import RedisServer
from tests.support.wrong_cores import KEYS, ForgetsIds, PlainCore


@pytest.fixture(scope="module")
def store():
    with RedisServer() as server:
        yield server


async def conform(store, kind, *arguments):
    """What the command prints about a core of this kind, and its exit code."""
    store.client().flushall()
    core = kind(address_of(store.unix_url))
    await core.start()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from gateway.cli import main; main()", "core", "conform", "--redis", store.unix_url,
        "--prefix", KEYS.prefix, *arguments, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    await core.kill()
    return out.decode(), process.returncode


async def test_a_table_has_a_row_for_each_promise_and_their_sum(store):
    out, status = await conform(store, PlainCore)
    lines = out.splitlines()
    assert lines[0] == "The core of {test}:core: msgpack, epoch e-test, trades BTC-USDT"
    assert [line.split()[0] for line in lines[2:-2]] == [promise.name for promise in PROMISES]
    assert (lines[-1], status) == ("16 kept, 0 broken, 3 not tested", 0)


async def test_a_broken_promise_is_printed_with_what_was_expected_and_seen_and_ends_with_1(store):
    out, status = await conform(store, ForgetsIds, "--only", "once")
    lines = [line.split(maxsplit=1)[0] for line in out.splitlines() if line]
    assert lines == ["The", "once", "expected", "seen", "0"]
    assert "broken      A cmd_id that was executed before causes nothing." in out
    assert status == 1


async def test_json_has_the_same(store):
    out, status = await conform(store, ForgetsIds, "--json", "--only", "once", "--only", "order")
    told = json.loads(out)
    assert [(each["promise"], each["state"]) for each in told["promises"]] == [("order", "kept"), ("once", "broken")]
    assert told["promises"][1].keys() == {"promise", "sentence", "state", "expected", "seen"}
    assert (told["epoch"], told["encoding"], status) == ("e-test", "msgpack", 1)


def penstock(*arguments):
    return CliRunner().invoke(main, ["core", "conform", *arguments])


def test_what_cannot_begin_ends_with_2_and_says_why(store):
    store.client().flushall()
    result = penstock("--redis", store.unix_url, "--prefix", "none")
    assert (result.exit_code, "no core has run on the prefix none" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--redis", "http://127.0.0.1"), "http:// is not served"),
        (("--redis", "unix:///x", "--only", "never"), "there is no promise 'never'. Use hello, acknowledged"),
        ((), "Missing option '--redis'"),
    ],
)
def test_a_mistake_of_the_caller_is_named(arguments, why, monkeypatch):
    monkeypatch.delenv("PENSTOCK_CORE_REDIS", raising=False)
    result = penstock(*arguments)
    assert (result.exit_code, why in result.output) == (2, True), result.output


def test_a_configuration_file_is_not_ignored_in_silence(tmp_path):
    result = CliRunner().invoke(main, ["core", "-c", str(tmp_path / "x.toml"), "conform", "--redis", "unix:///x"])
    assert (result.exit_code, "conform reads no configuration: give it --redis" in result.output) == (2, True)


def test_the_help_says_how_many_accounts_are_used():
    assert f"the first of the {ACCOUNTS} accounts" in " ".join(penstock("--help").output.split())


def test_the_core_itself_is_still_run_without_a_word_behind(tmp_path):
    result = CliRunner().invoke(main, ["core", "-c", str(tmp_path / "none.toml")])
    assert (result.exit_code, "cannot be read" in result.output) == (2, True)
