"""`penstock bench` as users call it. Modules: cli.bench, bench.run, bench.venue, bench.view."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.bench.failed import BenchFailed
from gateway.bench.result import read_result
from gateway.bench.venue import KEY, own_gateway
from gateway.cli import main

SHORT = ("--seconds", "0.3", "--warm-up", "0", "--runs", "1")


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def write_key(path: Path, key: object = KEY) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))  # type: ignore[attr-defined]
    return path


def test_both_doors_are_loaded_and_the_result_is_kept_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    done = bench(*SHORT, "--sessions", 2, "--in-flight", 4, "--json", path)
    assert done.exit_code == 0, done.output
    assert "2 sessions, 4 in flight each, 0.3 s after 0 s of warm-up, journal: memory" in done.output
    found = read_result(path)
    assert (set(found.doors), found.load.sessions, found.journal) == ({"fix", "ws"}, 2, "memory")
    for (each,) in found.doors.values():
        assert each.orders_per_s > 0
        assert (each.refusals, each.unanswered) == ({}, 0)
        assert (each.cpu_us is not None) == sys.platform.startswith("linux")
        assert sum(count for _, count in each.histogram_us) > 0
    compared = bench("compare", path, path)
    assert compared.exit_code == 0, compared.output
    assert compared.output.count("unknown: needs 3 runs") == 12


def test_a_gateway_that_runs_is_loaded_at_a_rate_through_both_doors(tmp_path: Path) -> None:
    key = write_key(tmp_path / "k.pem")
    with own_gateway(1, accounts=1) as gateway:
        where = ("--fix", f"127.0.0.1:{gateway.ports['fix']}", "--ws", f"localhost:{gateway.ports['ws']}", "--key", key)
        # A name without a number in it, and a symbol that it does not list: each order is refused, and counted.
        done = bench(*SHORT, *where, "--rate", 200, "--comp-id", "S1", "--symbol", "NO-PAIR")
    assert done.exit_code == 0, done.output
    assert "FIX: " in done.output
    assert done.output.count("refused with 2003 unknown_symbol") == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--rate", "5", "--in-flight", "3"), "--rate is an open loop and --in-flight a closed one"),
        (("--fix", "127.0.0.1"), "--fix: write it like 127.0.0.1:9878"),
        (("--fix", "127.0.0.1:70000"), "--fix: write it like 127.0.0.1:9878"),
        (("--fix", "127.0.0.1:1", "--door", "ws"), "--door is for a gateway that is started"),
        (("--comp-id", "INST"), "--comp-id is for a running gateway: add --fix HOST:PORT or --ws HOST:PORT"),
        (("--ws", "127.0.0.1:1"), "--ws needs --key FILE: the private key of --key-id"),
        (("--fix", "127.0.0.1:1", "--tick", "1e-2"), "--tick: write a plain decimal such as 0.01"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_the_way_out(arguments: tuple[str, ...], expected: str) -> None:
    done = bench(*arguments)
    assert (done.exit_code, expected in done.output) == (2, True), done.output


def test_a_key_that_cannot_sign_is_refused_with_its_file(tmp_path: Path) -> None:
    where = ("--ws", "127.0.0.1:1", "--key")
    assert "gone: No such file or directory. `penstock keys ed25519" in bench(*where, tmp_path / "gone").output
    (tmp_path / "text").write_text("text")
    assert "text: not a private key in PEM" in bench(*where, tmp_path / "text").output
    other = write_key(tmp_path / "ec", generate_private_key(SECP256R1()))
    assert "ec: not an Ed25519 key" in bench(*where, other).output


def test_a_file_that_is_no_result_cannot_be_compared(tmp_path: Path) -> None:
    done = bench("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert (done.exit_code, "a.json: No such file" in done.output) == (1, True)


def test_a_gateway_that_does_not_start_is_quoted() -> None:
    with pytest.raises(BenchFailed, match=r"(?s)did not start \(exit status 2\): .*durability"), own_gateway(1, "no"):  # type: ignore[arg-type]
        pass
