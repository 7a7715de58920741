"""`penstock limits check` and `penstock limits diff`, as an operator and a CI job meet them."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.limits import limits
from limits.overrides import Override
from limits.redis_desk import Desk
from limits.reload import default_text
from tests.support.redis_server import RedisServer, redis_server

GOOD = 'version = 3\n[plans.standard]\norders = { rate = "50/s", burst = 100 }\n[override.ACME]\nmsgs = { burst = 9 }\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "limits.toml"
    path.write_text(GOOD)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(limits, [str(argument) for argument in arguments])


def test_a_sound_file_is_shown_as_the_limits_it_comes_to(file):
    result = run("check", file)
    assert result.exit_code == 0
    assert result.stderr == ""
    rows = [line.split() for line in result.stdout.splitlines()]
    assert result.stdout.startswith(f"{file} is sound: version 3, 1 plan, standard unless assigned\n")
    assert ["orders", "50/s", "burst", "100", "store", "away:", "safe"] in rows
    assert ["queries", "10/s", "burst", "50", "store", "away:", "safe"] in rows
    assert rows[-2:] == [["override", "ACME"], ["msgs", "200/s", "burst", "9", "store", "away:", "safe"]]


def test_every_mistake_is_printed_with_file_and_line_and_the_command_fails(file):
    file.write_text('version = 3\nplanz = 1\n[plans.standard]\norders = { rate = "fast" }\n')
    result = run("check", file)
    assert result.exit_code == 1
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.startswith(f"{file}:2: error: planz: unknown (did you mean plans?)")
    assert second.startswith(f"{file}:4: error: plans.standard.orders.rate: is 'fast': a rate is")


def test_an_oddity_is_printed_and_the_command_does_not_fail(file):
    file.write_text(GOOD + '[venue]\norders = { rate = "1/s", burst = 1, mode = "off" }\n')
    result = run("check", file)
    assert result.exit_code == 0
    assert result.stderr.startswith(f"{file}:7: warning: venue.orders: ")


def test_a_file_that_is_not_there_is_an_error_of_the_file(tmp_path):
    result = run("check", tmp_path / "none.toml")
    assert result.exit_code == 1
    assert result.stderr == f"{tmp_path / 'none.toml'}:1: error: cannot be read: No such file or directory\n"


def test_the_difference_of_two_files_is_shown_value_by_value(file, tmp_path):
    old = tmp_path / "old.toml"
    old.write_text(default_text())
    result = run("diff", old, file)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "~ version: 1 -> 3",
        "~ plans.standard.orders.rate: 100/s -> 50/s",
        "~ plans.standard.orders.burst: 200 -> 100",
        "+ override.ACME.msgs.rate = 200/s",
        "+ override.ACME.msgs.burst = 9",
        "+ override.ACME.msgs.mode = enforce",
        "+ override.ACME.msgs.on_store_loss = safe",
    ]
    assert result.stderr == ""


def test_a_difference_that_a_running_gateway_would_refuse_is_reported(file, tmp_path):
    new = tmp_path / "new.toml"
    new.write_text(GOOD.replace("100", "101"))
    result = run("diff", file, new)
    assert result.stdout == "~ plans.standard.orders.burst: 100 -> 101\n"
    assert result.stderr == f"{new}: a gateway on version 3 would refuse it: version must rise\n"


def test_equal_files_differ_in_nothing(file):
    assert run("diff", file, file).stdout == "nothing would change\n"


def test_files_with_mistakes_are_not_compared(file, tmp_path):
    assert run("diff", file, tmp_path / "none.toml").exit_code == 1


# -- traffic and a running venue ---------------------------------------------------------------------------------------


def test_simulate_shows_what_a_file_would_have_done(file, tmp_path):
    traffic = tmp_path / "traffic.jsonl"
    line = '{"at_ns": 1795348800000000000, "account": "ACME", "session": "S", "message": "D"}\n'
    traffic.write_text(line * 20)
    result = run("simulate", file, traffic)
    assert result.exit_code == 0
    rows = [row.split() for row in result.stdout.splitlines()[1:]]
    assert rows == [["ACME", "msgs", "9", "11", "0", "5", "ms"], ["ACME", "orders", "9", "0", "0", "0", "ms"]]


def test_simulate_names_the_line_it_cannot_read(file, tmp_path):
    traffic = tmp_path / "traffic.jsonl"
    traffic.write_text("what?\n")
    result = run("simulate", file, traffic)
    assert result.exit_code == 1
    assert "line 1" in result.stderr


@pytest.fixture(scope="module")
def store() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def test_an_override_is_set_shown_ended_and_logged(file, store):
    redis = ("--redis", store.url)
    result = run("set", "ACME", "orders", "--rate", "20/s", "--ttl", "15m", "--reason", "incident 7", *redis)
    assert result.exit_code == 0, result.output
    shown = run("show", "ACME", "--file", file, *redis).stdout
    assert 'limit   orders     account          20/s burst 100  from override "ACME"' in shown
    assert "incident 7" in shown
    assert run("reset", "ACME", "orders", "--reason", "over", *redis).exit_code == 0
    assert "from plan standard" in run("show", "ACME", "--file", file, *redis).stdout
    assert run("reset", "ACME", "orders", "--reason", "over", *redis).exit_code == 1
    log = run("log", *redis).stdout
    assert "set ACME orders rate=20/s" in log
    assert "reset ACME orders" in log


@pytest.mark.parametrize("wrong_s", [-600, 600])
def test_an_override_lasts_as_long_as_it_was_asked_for_however_wrong_the_operators_clock_is(
    monkeypatch, store, wrong_s
):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + wrong_s)
    redis = ("--redis", store.url)
    for bucket, ttl in (("orders", "5m"), ("cancels", "5s")):
        set_ = ("set", "ACME", bucket, "--rate", "1/h", "--burst", "3", "--ttl", ttl, "--reason", "runaway", *redis)
        assert run(*set_).exit_code == 0
    shown = [line.split() for line in run("show", "ACME", *redis).stdout.splitlines()]
    lasts = {words[2]: int(words[4]) for words in shown if words[0] == "set"}
    assert 295 <= lasts["orders"] <= 300
    assert 0 <= lasts["cancels"] <= 5  # and the second command did not sweep the first one's row
    for bucket in ("orders", "cancels"):
        run("reset", "ACME", bucket, "--reason", "over", *redis)


@pytest.mark.parametrize(
    "arguments",
    [
        ("ACME", "orders", "--ttl", "15m"),
        ("ACME", "orders", "--rate", "20/s", "--ttl", "soon"),
        ("ACME", "ordres", "--rate", "20/s", "--ttl", "15m"),
        ("ACME", "orders", "--rate", "fast", "--ttl", "15m"),
    ],
)
def test_a_bad_override_changes_nothing(store, arguments):
    result = run("set", *arguments, "--reason", "x", "--redis", store.url)
    assert result.exit_code in (1, 2)
    assert run("show", "ACME", "--redis", store.url).stdout == "ACME: every bucket is full, and nothing is overridden\n"


def test_a_limit_for_an_account_that_no_gateway_has_is_refused_with_whom_was_meant(store):
    async def name(*accounts: str) -> list[Override]:
        desk = Desk(store.unix_url)
        await desk.name_accounts(accounts)
        rows = await desk.overrides()
        await desk.close()
        return rows

    asyncio.run(name("ACME", "ALPHA"))
    arguments = ("orders", "--rate", "5/s", "--burst", 5, "--ttl", "5m", "--reason", "slip", "--redis", store.unix_url)
    result = run("set", "ALPA", *arguments)
    assert result.exit_code == 1
    assert result.stderr == "Error: no account is called ALPA (did you mean ALPHA?), so nothing was changed\n"
    assert not [row for row in asyncio.run(name()) if row.target == "ALPA"]
    assert run("set", "ALPHA", *arguments).exit_code == 0
    assert run("set", "ALPHA/KEY7", *arguments).exit_code == 0


def test_a_mistaken_url_is_a_mistake_of_the_call_and_shows_no_password():
    result = run("show", "ACME", "--redis", "redis://:Tr0ub4dor#3@127.0.0.1/0")
    assert result.exit_code == 2
    assert "percent-encoded: # as %23" in result.stderr
    assert "Tr0ub" not in result.stderr


def test_a_store_that_is_away_is_reported_plainly():
    result = run("show", "ACME", "--redis", "redis://127.0.0.1:1/0")
    assert result.exit_code == 1
    assert "does not answer" in result.stderr
