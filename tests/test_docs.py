"""What the manual says is held to the code: pages, links, commands, samples, and the examples of the README."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import msgspec
import pytest

from docs import generate, guarantees
from gateway.cli import main
from gateway.config.template import init_text
from limits.policy_parse import parse
from limits.reload import built_in, default_text
from protocols.fix.framing import Framer
from protocols.ws.codec import JSON
from protocols.ws.results import EVENTS, METHODS, EventWire, Response
from protocols.ws.schema import BatchParams, Params
from tests.support.order_load import wait_started

ROOT = Path(__file__).parent.parent
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MAKE = re.compile(r"(?:`|\$ )make ([a-z-]+)")
_PENSTOCK = re.compile(r"(?:`|\$ |bin/)penstock ([a-z][a-z0-9 ]*)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fences(language: str) -> list[tuple[str, str]]:
    """(page, text) of every fenced block in this language."""
    found = [(path, *block) for path in PAGES for block in _FENCE.findall(path.read_text("utf-8"))]
    return [(name_of(path), text) for path, kind, text in found if kind == language]


def each(language: str) -> pytest.MarkDecorator:
    """Parametrize by every line, for languages with one sample a line."""
    lines = [(page, line) for page, text in fences(language) for line in text.splitlines() if line]
    return pytest.mark.parametrize(("page", "line"), lines, ids=[f"{page}-{n}" for n, (page, _) in enumerate(lines)])


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings make."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", head).lower() for head in heads]
    return {re.sub(r"[^\w\- ]", "", head).strip().replace(" ", "-") for head in plain}


# -- pages -----------------------------------------------------------------------------------------------------------


def test_generated_pages_are_fresh() -> None:
    assert [path.name for path in generate.stale()] == [], "run `make docs`"


def test_a_code_without_a_meaning_stops_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(generate.MEANINGS, "bad_tick")
    with pytest.raises(SystemExit, match="bad_tick"):
        generate.render()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(page.read_text("utf-8")):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text("utf-8"))):
            broken.append(link)
    assert broken == []


def test_every_page_of_the_manual_is_in_its_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in _LINK.findall(index.read_text("utf-8"))}
    assert {path for path in (ROOT / "docs").rglob("*.md") if path != index} <= linked


# -- commands --------------------------------------------------------------------------------------------------------


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {target for page in PAGES for target in _MAKE.findall(page.read_text("utf-8"))}
    assert named <= targets


def command_exists(words: list[str]) -> bool:
    """Whether the words begin with a command that can be called."""
    command: click.Command | None = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0)) if words else None
    return command is not None


def test_every_penstock_command_that_is_named_exists() -> None:
    named = {words for page in PAGES for words in _PENSTOCK.findall(page.read_text("utf-8"))}
    bare = {"bench", "config", "core", "keys", "limits", "mode"}  # `penstock keys`: the group itself
    assert {words for words in named if words.strip() not in bare and not command_exists(words.split())} == set()
    assert {"config init", "limits check", "run"} <= {words.strip() for words in named}, "the pattern finds nothing"


def test_every_cause_that_the_fix_page_names_for_silence_is_one_that_the_log_has() -> None:
    page = (ROOT / "docs" / "connect" / "fix.md").read_text("utf-8")
    table = page.partition("| In the log |")[2].partition("\n\n")[0]
    causes = set(re.findall(r"`([a-z_]+)`", "\n".join(line.rpartition(" | ")[2] for line in table.splitlines())))
    files = [*(ROOT / "gateway").glob("**/*.py"), *(ROOT / "protocols" / "fix" / "session").glob("*.py")]
    code = "".join(path.read_text("utf-8") for path in files)
    told = {cause for cause in causes if f'"{cause}"' in code}
    garbled = {"garbled"}  # the greeting's word
    assert "clock" in causes
    assert causes - told - garbled == set()


def test_how_to_add_names_files_that_there_are_and_few_for_a_tag_and_a_method() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = page.partition("## How to add\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_0-9]+)+\.py)`", section))
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
    recipes = {recipe.partition(".**")[0]: re.findall(r"^\d\. ", recipe, re.M) for recipe in section.split("**A ")}
    assert (len(recipes["FIX field"]), len(recipes["WebSocket method"])) == (5, 3)


# -- samples ---------------------------------------------------------------------------------------------------------


@each("fix")
def test_a_fix_sample_has_the_right_body_length_and_check_sum(page: str, line: str) -> None:
    raw = line.replace("|", "\x01").encode()
    assert Framer().feed(raw) == [raw]


@each("json")
def test_a_json_sample_is_what_the_wire_carries(page: str, line: str) -> None:
    plain = json.loads(line)
    if "method" in plain:
        params = JSON.params(JSON.request(line.encode()), line.encode())
        assert isinstance(params, Params | BatchParams), params
        assert not isinstance(params, BatchParams) or all(isinstance(leg, Params) for leg in params.legs)
    elif "ev" in plain:
        assert json.loads(JSON.encode(msgspec.convert(plain, EventWire))) == plain
        data = msgspec.convert(plain["data"], EVENTS[plain["ev"]])
        assert json.loads(JSON.encode(data)) == plain["data"], "a field that is not in the Struct"
    else:
        answer = msgspec.convert(plain, Response)
        assert json.loads(JSON.encode(answer)) == plain, "a field that is not in the Struct"
        assert answer.result is msgspec.UNSET or any(
            fits(answer.result, row.result) for row in METHODS.values() if row.result
        )


def fits(result: object, shape: type) -> bool:
    """Whether a result is one of this shape, with nothing over."""
    try:
        return json.loads(JSON.encode(msgspec.convert(result, shape))) == result
    except msgspec.ValidationError:
        return False


@pytest.mark.parametrize(("page", "text"), fences("toml"), ids=lambda value: value[:24])
def test_a_toml_sample_is_a_sound_limits_file(page: str, text: str) -> None:
    parsed = parse(text, built_in())
    assert (parsed.errors, parsed.warnings) == ((), ())


# -- the README's examples -------------------------------------------------------------------------------------------


def example(name: str) -> str:
    """The Python block of the README that begins with this comment."""
    (text,) = (text for _, text in fences("python") if text.startswith(f"# example: {name}\n"))
    return text


def printed_by(script: str, directory: Path) -> str:
    """Standard output of a script run in this directory; fails when the script does."""
    run = [sys.executable, "-c", script]
    return subprocess.run(run, check=True, capture_output=True, cwd=directory, timeout=20, text=True).stdout


def test_the_examples_of_the_readme_trade_with_a_gateway_from_config_init(tmp_path: Path) -> None:
    venue = tmp_path / "venue"
    cli = [sys.executable, "-c", "from gateway.cli import main; main()"]
    subprocess.run([*cli, "config", "init", str(venue / "gateway.toml")], check=True, capture_output=True, cwd=ROOT)
    usual = {"fix": "9878", "ws": "8080", "admin": "9090"}
    config = (venue / "gateway.toml").read_text("utf-8")
    for port in usual.values():
        assert f"#port = {port}\n" in config
        config = config.replace(f"#port = {port}\n", "port = 0\n")
    assert '#durability = "disk"\n' in config
    config = config.replace('#durability = "disk"\n', 'durability = "memory"\n')  # on a slow disk: "engine busy"
    (venue / "gateway.toml").write_text(config, "utf-8")
    run = [*cli, "run", "-c", str(venue / "gateway.toml")]
    told: dict[str, str] = {}
    with subprocess.Popen(run, stderr=subprocess.PIPE, cwd=ROOT) as gateway:
        try:
            ports = wait_started(gateway)
            for name in ("fix", "websocket"):
                script = example(name)
                for door, port in usual.items():
                    script = script.replace(port, str(ports[door]))
                told[name] = printed_by(script, tmp_path)
        finally:
            gateway.kill()
    assert "|35=A|" in told["fix"]
    assert "|150=0|39=0|" in told["fix"]
    logon, answer, event = map(json.loads, told["websocket"].splitlines())
    assert (logon["status"], answer["status"]) == (200, 200)
    assert answer["result"]["status"] == "filled", "the two examples trade with each other"
    assert event["data"]["exec"] == "new"


def test_the_ports_that_the_manual_names_are_the_defaults() -> None:
    text = init_text("")
    assert all(f"#port = {port}\n" in text for port in (9878, 8080, 9090))
    assert default_text().count("100/s") == 1
    assert "100/s, burst 200" in (ROOT / "docs" / "operate" / "limits.md").read_text("utf-8")


def test_the_table_of_faults_is_what_the_last_run_found() -> None:
    assert not guarantees.is_stale(), "run `make faults`, or restore docs/understand/guarantees.json"
