"""A planted mistake and its judge: it is put into a copy of the checkout, where the tests that must notice it run."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
_COPIED = ("gateway", "protocols", "limits", "tests")
_LINKED = ("docs", "deploy", "README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")
_TIMEOUT_S = 180


class Mutant(msgspec.Struct, frozen=True):
    """One mistake: what it does, where, and the tests of which one must fail."""

    bug: str
    file: str
    text: str
    instead: str
    tests: tuple[str, ...]

    @property
    def places(self) -> int:
        """How often its text stands in its file: once, or a change of the code has lost it."""
        return (ROOT / self.file).read_text().count(self.text)


def mutants(file: str, tests: tuple[str, ...], *rows: tuple[str, str, str]) -> tuple[Mutant, ...]:
    """Those of one file: what each does, the text, and what stands there instead."""
    return tuple(Mutant(bug, file, text, instead, tests) for bug, text, instead in rows)


def survives(mutant: Mutant) -> bool:
    """Whether every test passes with the mistake planted. A run that hangs has noticed it too.

    Raises:
        SystemExit: its place is lost, or its tests could not be run.
    """
    if mutant.places != 1:
        raise SystemExit(f"{mutant.bug}: its place is in {mutant.file} {mutant.places} times")
    with tempfile.TemporaryDirectory(prefix="ps-mutant-") as name:
        tree = Path(name)
        for part in _COPIED:
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in _LINKED:
            (tree / part).symlink_to(ROOT / part)
        victim = tree / mutant.file
        victim.write_text(victim.read_text().replace(mutant.text, mutant.instead))
        options = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--hypothesis-profile=mutants")
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "pytest", *options, *mutant.tests],
                cwd=tree,
                env=environment,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
    if ended.returncode not in (0, 1):
        raise SystemExit(f"{mutant.bug}: the tests could not be run\n{ended.stdout.decode()[-2000:]}")
    return ended.returncode == 0
