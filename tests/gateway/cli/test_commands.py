"""The commands as operators call them. Modules: cli.run, cli.config, cli.keys."""

import base64
import json
import re
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.cli import _COMMANDS, main
from gateway.config.load import load, read_secrets


def penstock(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def row_of(output: str) -> dict[str, str]:
    """The [[keys]] row in the output."""
    rows: list[dict[str, str]] = tomllib.loads(output[output.index("[[keys]]") :])["keys"]
    return rows[0]


@pytest.fixture
def venue(tmp_path: Path) -> Path:
    """A directory with what `config init` writes."""
    assert penstock("config", "init", tmp_path / "gateway.toml").exit_code == 0
    return tmp_path


def test_help_names_every_command_and_imports_none_of_them() -> None:
    code = (
        "import sys; from gateway.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'aiohttp', 'redis', 'rich', 'cryptography', 'msgspec', 'opentelemetry', 'uvloop'}\n"
        "print('heavy:', sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("heavy: []\n")
    for name, (_, line) in _COMMANDS.items():
        assert re.search(rf"  {name} +{re.escape(line)}", done.stdout)


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_that_is_listed_can_be_called(name: str) -> None:
    result = penstock(name, "--help")
    assert (result.exit_code, result.output.startswith("Usage: ")) == (0, True), result.output


def test_an_unknown_command_is_a_mistake_of_the_caller() -> None:
    assert penstock("serve").exit_code == 2


def test_what_init_writes_passes_check(venue: Path) -> None:
    result = penstock("config", "check", venue / "gateway.toml")
    assert result.exit_code == 0
    assert "BTC-USDT, ETH-USDT" in result.output
    assert result.output.endswith(f"OK: {venue / 'gateway.toml'}\n")


def test_init_makes_a_key_that_only_its_owner_reads_and_that_fits_the_file(venue: Path) -> None:
    path = venue / "maker.key"
    assert path.stat().st_mode & 0o777 == 0o600
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    assert [row.public_key for row in load(venue / "gateway.toml").keys] == [public]


@pytest.mark.parametrize("existing", ["gateway.toml", "limits.toml", "maker.key"])
def test_init_overwrites_nothing(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    result = penstock("config", "init", tmp_path / "gateway.toml")
    assert result.exit_code == 1
    assert f"{existing} exists; nothing was written" in result.output
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"


def test_check_prints_every_mistake_as_file_and_line_and_ends_with_1(venue: Path) -> None:
    path = venue / "gateway.toml"
    path.write_text(path.read_text().replace('account = "INST"', 'account = "INTS"').replace("[ws]", "[ws]\nprot = 1"))
    result = penstock("config", "check", path)
    assert result.exit_code == 1
    assert re.search(
        rf"^{re.escape(str(path))}: line \d+: fix.sessions\[1\].account: no account .* \(did you mean INST\?\)$",
        result.output,
        re.M,
    )
    assert "ws.prot: unknown (did you mean port?)" in result.output
    assert result.output.endswith("2 mistakes\n")


def test_run_refuses_a_bad_configuration_with_2_and_without_a_traceback(tmp_path: Path) -> None:
    result = penstock("run", "-c", tmp_path / "gone.toml")
    assert (result.exit_code, result.output) == (
        2,
        f"{tmp_path / 'gone.toml'}: cannot be read: No such file or directory\n",
    )


def _run(path: Path) -> "subprocess.Popen[str]":
    code = "from gateway.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "run", "-c", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_run_says_in_one_line_that_a_port_is_taken_and_ends_with_1(venue: Path) -> None:
    path = venue / "gateway.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path.write_text(
            path.read_text().replace("#port = 9878", f"port = {port}").replace('#level = "info"', 'level = "error"')
        )
        with _run(path) as process:
            out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(rf"penstock: .*{port}.*address already in use\n", err), err


def test_run_drains_at_sigterm_and_ends_with_0(venue: Path) -> None:
    path = venue / "gateway.toml"
    text = re.sub(r"#port = \d+", "port = 0", path.read_text())
    path.write_text(re.sub(r"#max_connections = \d+", "max_connections = 100", text))  # so that any machine has room
    with _run(path) as process:
        assert process.stderr is not None
        bounds, started = json.loads(process.stderr.readline()), json.loads(process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=20)
    assert (process.returncode, started["event"]) == (0, "gateway.started")
    assert bounds["memory_bytes"] == sum(bounds["parts"].values())
    assert started["ports"].keys() == {"fix", "ws", "admin"}
    assert [json.loads(line)["event"] for line in rest.splitlines()] == ["gateway.draining", "gateway.stopped"]


def test_run_refuses_a_configuration_that_gives_an_id_to_another_with_2_and_names_the_pair(venue: Path) -> None:
    path = venue / "gateway.toml"
    path.write_text(re.sub(r"#port = \d+", "port = 0", path.read_text()))
    with _run(path) as process:
        assert process.stderr is not None
        process.stderr.readline(), process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    path.write_text(path.read_text().replace("px_exp = 2", "px_exp = 3", 1))
    with _run(path) as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert re.fullmatch(r"instrument 1 was BTC-USDT, px_exp 2, .* is BTC-USDT, px_exp 3, .*\n", err), err


def test_an_ed25519_pair_is_printed_in_each_form_and_the_forms_agree() -> None:
    result = penstock("keys", "ed25519", "--id", "mm-1", "--account", "ACME")
    pem, seed = re.match(r"(-----BEGIN.*?END PRIVATE KEY-----\n)# [^\n]*\n(\S+)\n", result.output, re.S).groups()  # type: ignore[union-attr]
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    assert base64.b64decode(seed) == key.private_bytes_raw()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    assert row_of(result.output) == {"id": "mm-1", "account": "ACME", "public_key": public}
    assert penstock("keys", "ed25519").output != result.output


@pytest.mark.parametrize("kind", ["ed25519", "hmac"])
def test_a_secret_written_to_a_file_is_not_printed_and_never_overwrites(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "secret"
    result = penstock("keys", kind, "--out", out)
    written = out.read_text()
    assert result.exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert not any(line in result.output for line in written.split("\n") if line)
    again = penstock("keys", kind, "--out", out)
    assert again.exit_code == 1
    assert "exists and is never overwritten" in again.output
    assert out.read_text() == written


def test_the_lines_printed_for_an_hmac_key_work_in_the_configuration(venue: Path) -> None:
    result = penstock("keys", "hmac", "--id", "h-1", "--account", "MAKER", "--out", venue / "h.key")
    path = venue / "gateway.toml"
    path.write_text(path.read_text() + result.output[result.output.index("[[keys]]") :])
    assert len(read_secrets(load(path))["h-1"]) == 32


@pytest.mark.parametrize("name", ['x"\nevil = "', "", "a b", "x" * 65])
def test_a_key_id_cannot_carry_more_than_an_id_into_the_file(name: str) -> None:
    assert penstock("keys", "ed25519", "--id", name).exit_code == 2
