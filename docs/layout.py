"""The list of modules at the end of docs/understand/layout.md: the first line of each docstring, by package."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "understand" / "layout.md"
MARK = "<!-- modules -->\n"
_PACKAGES = ("protocols", "limits", "gateway")


def modules() -> dict[Path, list[Path]]:
    """The modules of each package, both as paths below the project's root; `__init__` first."""
    found: dict[Path, list[Path]] = {}
    for top in _PACKAGES:
        for path in sorted(
            (ROOT / top).rglob("*.py"), key=lambda each: (each.parent, each.name != "__init__.py", each)
        ):
            found.setdefault(path.parent.relative_to(ROOT), []).append(path.relative_to(ROOT))
    return found


def purpose(module: Path) -> str:
    """The first line of its docstring.

    Raises:
        ValueError: it has none.
    """
    text = ast.get_docstring(ast.parse((ROOT / module).read_text("utf-8")))
    if not text:
        raise ValueError(f"{module} has no docstring: say in a line what it is for")
    return text.partition("\n")[0]


def page() -> str:
    """The whole page, its list of modules as the code is now."""
    head, _, _ = PAGE.read_text("utf-8").partition(MARK)
    lines = [head + MARK]
    for package, paths in modules().items():
        lines += [f"### {package}/", "", purpose(paths[0]), "", "| Module | Purpose |", "| --- | --- |"]
        for path in paths[1:]:
            lines.append(f"| [{path.name}](../../{path}) | {purpose(path).replace('|', '&#124;')} |")
        lines.append("")
    return "\n".join(lines)
