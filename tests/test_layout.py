"""The code map is true of the tree, and the tree keeps its rules: no import circle, a word for each package, no long
module without a reason.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import layout

ROOT = layout.ROOT
PAGE = layout.PAGE.read_text("utf-8")
MODULES = [path for paths in layout.modules().values() for path in paths]
HOW_TO_ADD = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## How to add")[2].partition("\n## ")[0]
MAX_LINES = 400
REASON = "More than 400 lines"


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path): path for path in MODULES}


def imported(path: Path) -> Iterator[str]:
    """The modules of ours that it imports, wherever in the file: under TYPE_CHECKING and inside functions too."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in NAMES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in NAMES else node.module


def circles() -> list[str]:
    """Each import circle, as the modules on the way round."""
    graph = {name: {each for each in imported(path) if each in NAMES and each != name} for name, path in NAMES.items()}
    done: set[str] = set()
    found: list[str] = []

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            found.append(" -> ".join((*way[way.index(name) :], name)))
        elif name not in done:
            for each in sorted(graph[name]):
                visit(each, (*way, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    return found


def test_the_code_map_has_a_line_for_every_module() -> None:
    listed = PAGE.partition(layout.MARK)[2]
    assert [str(path) for path in MODULES if path.name != "__init__.py" and f"(../../{path})" not in listed] == []


def test_every_path_and_name_in_the_code_map_exists() -> None:
    text = PAGE.partition(layout.MARK)[0] + HOW_TO_ADD
    paths = set(re.findall(r"\(\.\./\.\./([\w./-]+?)(?:#[\w-]+)?\)", text)) | set(
        re.findall(r"`((?:gateway|protocols|limits|tests|docs)/[\w./]+)`", text)
    )
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    code = "\n".join((ROOT / path).read_text("utf-8") for path in (*MODULES, Path("docs/generate.py")))
    words = set(re.findall(r"`(?:\w+\.)?(\w+)(?:\([^`]*\))?`", text)) - {
        "gateway",
        "protocols",
        "limits",
        "so",
        "disk",
        "docs",
        "make",
        "config",
        "init",
        "check",
    }
    assert [word for word in sorted(words) if not re.search(rf"\b{word}\b", code)] == []


def test_no_module_imports_itself_by_any_way() -> None:
    assert circles() == []


def test_a_circle_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = imported
    monkeypatch.setattr(
        f"{__name__}.imported",
        lambda path: [*real(path), *(["gateway.server"] if path.name == "version.py" else [])],
    )
    assert any("gateway.version -> gateway.server" in circle for circle in circles())


@pytest.mark.parametrize("package", layout.modules(), ids=str)
def test_every_package_says_what_lives_in_it_and_which_file_to_open(package: Path) -> None:
    text = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text("utf-8"))) or ""
    assert text, "a package's __init__ says what lives there"
    assert re.search(r"\bOpen\b|\bStart at\b|Sub-commands", text), "and which file to open first"


def test_a_module_has_400_lines_at_most_or_says_why_not() -> None:
    long = [path for path in MODULES if (ROOT / path).read_text("utf-8").count("\n") > MAX_LINES]
    assert [str(path) for path in long if REASON not in (ROOT / path).read_text("utf-8")] == []
