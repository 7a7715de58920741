"""A configuration is sound, or refused with every mistake, its line and what to write instead."""

import base64
import datetime
import os
import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import schema
from gateway.config.load import ConfigErrors, build_instruments, load, read_secrets
from gateway.config.schema import Config
from gateway.config.template import init_text
from limits.reload import default_text
from protocols.errors import Refusal

PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
SOUND = f"""\
[[fix.listeners]]
name = "lan"
insecure = true
[[fix.sessions]]
id = 1
comp_id = "MM1"
account = "ACME"
instruments = ["BTC-USDT"]
[ws]
[[accounts]]
id = 1
name = "ACME"
[[keys]]
id = "k1"
account = "ACME"
public_key = "{PUBLIC}"
[[instruments]]
id = 1
symbol = "BTC-USDT"
base = "BTC"
quote = "USDT"
px_exp = 2
qty_exp = 8
tick = "0.01"
lot = "0.00000001"
[limits]
file = ""
"""


def problems(directory: Path, text: str) -> list[str]:
    """Every mistake in `text`, none when it is sound."""
    path = directory / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except ConfigErrors as errors:
        return [str(problem) for problem in errors.problems]
    return []


def read(directory: Path, text: str) -> Config:
    path = directory / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_a_sound_file_loads_and_what_it_leaves_out_is_at_its_default(tmp_path: Path) -> None:
    settings = read(tmp_path, SOUND)
    assert settings.fix.sessions == (
        schema.FixSessionRow(id=1, comp_id="MM1", account="ACME", instruments=("BTC-USDT",)),
    )
    assert settings.ws == schema.Ws()
    assert settings.ingress == schema.Ingress()


MISTAKES = tomllib.loads(Path(__file__).with_name("mistakes.toml").read_text(encoding="utf-8"))


def spoilt(text: str, mistake: str) -> str:
    """`text` with one more mistake in it."""
    old, new = (MISTAKES[mistake][part].replace("PUBLIC", PUBLIC) for part in ("replace", "by"))
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_line_and_its_mend(mistake: str, tmp_path: Path) -> None:
    found = problems(tmp_path, spoilt(SOUND, mistake))
    if mistake == "a table where rows belong":
        found = [line for line in found if "no account" not in line]  # what refers to accounts is left hanging
    assert found == [MISTAKES[mistake]["says"].replace("DIR", str(tmp_path))]


def test_all_mistakes_are_named_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = SOUND
    chosen = [
        "an unknown symbol", "an unknown setting", "a wrong type", "a network with host bits", "a key of zeros",
        "a decimal without quotes", "a lot of zero", "a limits file that is not there", "plain TCP that nobody allowed",
    ]  # fmt: skip
    for name in chosen:
        text = spoilt(text, name)
    said = problems(tmp_path, text)
    assert len(said) == len(chosen)
    lines = [int(line.split(":")[0].removeprefix("line ")) for line in said]
    assert lines == sorted(lines)


def test_a_row_with_a_wrong_setting_is_still_checked_and_nothing_is_reported_about_its_substitute(
    tmp_path: Path,
) -> None:
    text = SOUND.replace("px_exp = 2", 'px_exp = "2"').replace('account = "ACME"\npub', "account = 5\nips = ['x']\npub")
    assert problems(tmp_path, text) == [
        "line 15: keys[1].account: is 5, must be text in quotes",
        "line 16: keys[1].ips: x: 'x' does not appear to be an IPv4 or IPv6 network",
        "line 23: instruments[1].px_exp: is '2', must be a whole number from 0 to 12",
    ]


def test_a_session_that_cannot_name_its_key_may_have_only_so_many_to_try(tmp_path: Path) -> None:
    keys = [f'[[keys]]\nid = "n{n}"\naccount = "ACME"\npublic_key = "{PUBLIC}"\n' for n in range(4)]
    elsewhere, old = 'fix_sessions = ["MM2"]\n', SOUND.replace('"MM1"\n', '"MM1"\nversion = "FIX.4.2"\n')
    other = '[[fix.sessions]]\nid = 2\ncomp_id = "MM2"\naccount = "ACME"\n[ws]'
    assert problems(tmp_path, SOUND + "".join(keys)) == [], "others name their key with Username(553)"
    assert problems(tmp_path, old + "".join(keys[1:])) == []
    assert problems(tmp_path, old.replace("[ws]", other) + "".join(keys) + elsewhere) == []
    assert problems(tmp_path, old + "".join(keys)) == [
        "line 7: fix.sessions[1].version: FIX.4.2 cannot name its key, and 5 keys may log on to MM1; at most 4 are"
        " tried. Restrict keys to other sessions with their fix_sessions, or remove expired ones"
    ]


def test_mistakes_of_the_limits_file_are_reported_with_those_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "l.toml").write_text('version = 1\n[plans.p]\norders = { rate = "0/s", burst = 1 }\n')
    [said] = problems(tmp_path, SOUND.replace('file = ""', 'file = "l.toml"'))
    assert said.startswith("line 27: limits.file: l.toml: line 3: plans.p.orders")


def test_a_mistaken_url_of_the_store_is_reported_at_its_setting_and_the_environment_wins_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SOUND + 'redis = "redis://:Tr0ub4dor#3@127.0.0.1:6379/0"\n'
    (told,) = problems(tmp_path, text)
    assert told == "line 28: limits.redis: the user name or password must be percent-encoded: # as %23"
    monkeypatch.setenv("PENSTOCK_LIMITS_REDIS", "localhost:6379")
    (told,) = problems(tmp_path, text)
    assert told.startswith("line 28: limits.redis: PENSTOCK_LIMITS_REDIS in the environment is no URL: write it like")
    monkeypatch.setenv("PENSTOCK_LIMITS_REDIS", "redis://127.0.0.1:6379/0")
    assert problems(tmp_path, text) == []


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe"])
def test_what_an_editor_puts_before_the_text_is_named_in_every_file(mark: bytes, tmp_path: Path) -> None:
    """Neither of the marks can be seen in an editor."""
    (tmp_path / "gateway.toml").write_bytes(mark + SOUND.encode())
    with pytest.raises(ConfigErrors, match="save it as UTF-8 without a byte order mark"):
        load(tmp_path / "gateway.toml")
    (tmp_path / "ops.token").write_bytes(mark + b"0123456789abcdefghij")
    admin = '[admin]\n[[admin.tokens]]\nname = "ops"\nrole = "operator"\ntoken_file = "ops.token"\n'
    (told,) = problems(tmp_path, SOUND + admin)
    assert "save it as UTF-8 without a byte order mark" in told


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="No such file"):
        load(tmp_path / "none.toml")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigErrors, match="not a regular file"):
        load(tmp_path / "pipe")
    path = tmp_path / "latin.toml"
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigErrors, match="not UTF-8"):
        load(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ws]\nport = 0x" + "f" * 6_000, "line 2: ws.port: is a huge number, must be a whole number from 0 to 65535"),
        ("[ws]\nport = " + "[" * 5_000, "line 1: nested too deeply"),
        (
            '[ws]\nhost = """\n[[accounts]]\n""" + 1',
            "line 4: not TOML: Expected newline or end of document after a statement",
        ),
        ("[logs]\nlevl = 1", "line 2: logs.levl: unknown (did you mean level?); known here: level"),
    ],
)
def test_a_value_that_no_table_could_hold_is_a_mistake_like_any_other(text: str, said: str, tmp_path: Path) -> None:
    assert problems(tmp_path, text)[-1].startswith(said)


def test_what_a_text_of_several_lines_holds_is_no_row(tmp_path: Path) -> None:
    text = SOUND.replace('base = "BTC"', 'base = """\n[[instruments]]\n"""').replace('tick = "0.01"', "tick = 1")
    assert problems(tmp_path, text) == [
        'line 26: instruments[1].tick: is 1, must be a plain decimal in quotes, such as "0.01"'
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_session_without_credentials_may_use_a_plain_listener_on_loopback(host: str, tmp_path: Path) -> None:
    text = SOUND.replace("insecure = true", f'insecure = true\nhost = "{host}"').replace(
        'comp_id = "MM1"', 'comp_id = "MM1"\nauth = "none"'
    )
    assert problems(tmp_path, text) == []


def test_files_that_are_named_are_relative_to_the_configuration(tmp_path: Path) -> None:
    secret = bytes(range(16))
    (tmp_path / "secret").write_bytes(base64.b64encode(secret) + b"\n")
    text = SOUND.replace(f'public_key = "{PUBLIC}"', 'type = "hmac-sha256"\nsecret_file = "secret"')
    settings = read(tmp_path, text)
    assert settings.keys[0].secret_file == str(tmp_path / "secret")
    assert read_secrets(settings) == {"k1": secret}


def test_a_secret_that_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    text = SOUND.replace(f'public_key = "{PUBLIC}"', 'type = "hmac-sha256"\nsecret_file = "pipe"')
    assert problems(tmp_path, text) == [f"line 13: keys[1]: {tmp_path / 'pipe'}: cannot be read: not a regular file"]


@pytest.mark.parametrize("content", ["", "not base64!", base64.b64encode(b"short").decode(), "é"])
def test_a_secret_that_is_none_is_refused_and_never_repeated(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_TEST_SECRET", content)
    text = SOUND.replace(f'public_key = "{PUBLIC}"', 'type = "hmac-sha256"\nsecret_env = "PENSTOCK_TEST_SECRET"')
    [said] = problems(tmp_path, text)
    assert "PENSTOCK_TEST_SECRET" in said
    assert not content or content not in said


def test_instruments_become_whole_numbers(tmp_path: Path) -> None:
    text = SOUND.replace('tick = "0.01"', 'tick = "0.05"\nmax_qty = "3"\nmin_notional = "5"\nband_high = "1000.00"')
    made = build_instruments(read(tmp_path, text)).by_symbol["BTC-USDT"]
    assert (made.tick, made.lot, made.max_qty, made.min_notional, made.band_high) == (
        5,
        1,
        300_000_000,
        50_000_000_000,
        100_000,
    )


def test_price_times_quantity_has_a_bound_of_64_bits_where_none_is_set(tmp_path: Path) -> None:
    made = build_instruments(read(tmp_path, SOUND)).by_id[1]
    assert made.check_notional((1 << 63) - 1) is None
    assert isinstance(made.check_notional(1 << 63), Refusal)


# -- the file that `config init` writes ------------------------------------------------------------------------------


def test_what_init_writes_is_sound(tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text(default_text())
    settings = read(tmp_path, init_text(PUBLIC))
    assert [row.symbol for row in settings.instruments] == ["BTC-USDT", "ETH-USDT"]
    assert settings.keys[0].public_key == PUBLIC


def test_each_setting_that_init_comments_out_is_at_its_default(tmp_path: Path) -> None:
    """Removing every comment sign changes nothing: the defaults in the file are those of the Structs."""
    (tmp_path / "limits.toml").write_text(default_text())
    text = init_text(PUBLIC)
    lines, off = [], False
    for line in text.split("\n"):
        if line.lstrip("#").startswith("["):
            off = line.startswith("#[")
        is_knob = line.startswith("#") and not line.startswith("# ") and not off
        lines.append(line[1:] if is_knob else line)
    assert read(tmp_path, "\n".join(lines)) == read(tmp_path, text)
    assert sum(line.startswith("#") and not line.startswith("# ") for line in text.split("\n")) > 60


def _knobs(kind: type[msgspec.Struct]) -> set[str]:
    names: set[str] = set()
    for field in msgspec.structs.fields(kind):
        names.add(field.name)
        for part in (field.type, *get_args(field.type)):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                names |= _knobs(part)
    return names


def test_init_shows_every_setting() -> None:
    text = init_text(PUBLIC)
    missing = {name for name in _knobs(Config) if f"{name} = " not in text and f"{name}]" not in text}
    assert not missing


# -- anything at all -------------------------------------------------------------------------------------------------

plain = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(datetime.date(2026, 1, 1)) | st.floats()
)
shapes = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        escaped = "".join(f"\\U{ord(char):08x}" for char in value if not 0xD800 <= ord(char) < 0xE000)
        return f'"{escaped}"'
    return '""' if value is None else str(value)


@given(data=st.data())
def test_any_value_in_any_place_is_taken_or_named(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = SOUND.split("\n")
    at = data.draw(st.sampled_from([n for n, line in enumerate(lines) if " = " in line]))
    lines[at] = f"{lines[at].split(' = ')[0]} = {_toml(data.draw(shapes))}"
    for said in problems(tmp_path_factory.getbasetemp(), "\n".join(lines)):
        assert said.startswith("line ")


@given(text=st.text(max_size=200))
def test_any_text_is_a_configuration_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert problems(tmp_path_factory.getbasetemp(), text.encode("utf-8", "replace").decode())
