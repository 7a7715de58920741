"""A test file is named after its module, or after a scenario whose modules its docstring names.

So whoever changes a module finds its tests, and whoever reads a test finds what it is about.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = [
    path for room in ("gateway", "limits", "protocols") for path in sorted((ROOT / "tests" / room).rglob("test_*.py"))
]


def is_named_after_a_module(path: Path) -> bool:
    """Whether the package that its folder mirrors has a module, or a package, of its name."""
    mirrored = ROOT / path.parent.relative_to(ROOT / "tests") / path.stem.removeprefix("test_")
    return mirrored.with_suffix(".py").is_file() or (mirrored / "__init__.py").is_file()


def exists(room: str, name: str) -> bool:
    """Whether the room has this module or package, or it is one of another room with that before it."""
    paths = [ROOT.joinpath(*start, *name.split(".")) for start in ((room,), ())]
    return any(path.with_suffix(".py").is_file() or (path / "__init__.py").is_file() for path in paths)


def modules_named(room: str, docstring: str) -> list[str]:
    """Those of the line "Modules: orders.queue, orders.lanes.", and those in prose, `gateway.orders.queue`."""
    listed = re.search(r"\bModules?: ([\w., ]+)\.(?:\s|$)", docstring)
    in_prose = re.findall(rf"\b{room}\.([a-z_]+(?:\.[a-z_]+)*)", docstring)
    return [*(listed[1].split(", ") if listed else ()), *in_prose]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_a_test_file_is_named_after_its_module_or_names_it(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    room = path.relative_to(ROOT / "tests").parts[0]
    named = modules_named(room, docstring)
    assert [name for name in named if not exists(room, name)] == []
    assert named or is_named_after_a_module(path)


def test_what_is_named_must_be_there() -> None:
    assert modules_named("gateway", "Orders. Modules: orders.queue, core. As in `gateway.orders.lanes`.") == [
        "orders.queue",
        "core",
        "orders.lanes",
    ]
    assert modules_named("limits", "One bucket.\n\nModule: bucket.\n") == ["bucket"]
    assert exists("gateway", "orders")
    assert exists("gateway", "orders.queue")
    assert exists("gateway", "protocols.wall")
    assert not exists("gateway", "orders.road")


def test_no_test_imports_another_test() -> None:
    """What two tests need is a helper, and lives in `tests/support`."""
    borrowed = re.compile(r"^(?:from|import) tests\.\S*\btest_\w+", re.M)
    borrowers = [path for path in (ROOT / "tests").rglob("*.py") if borrowed.search(path.read_text("utf-8"))]
    assert borrowers == []
