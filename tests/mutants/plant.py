"""A planted mistake and its judge: it is put into a copy of the checkout, where the tests that must notice it run."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
_ROOMS = ("gateway", "protocols", "limits", "tests", "docs", "deploy")
_PAGES = ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")
_TIMEOUT_S = 180
_ALL_TIMEOUT_S = 1_800


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

    @property
    def code(self) -> str:
        """Its file with it."""
        return (ROOT / self.file).read_text().replace(self.text, self.instead)


def mutants(file: str, tests: tuple[str, ...], *rows: tuple[str, str, str]) -> tuple[Mutant, ...]:
    """Those of one file: what each does, the text, and what stands there instead."""
    return tuple(Mutant(bug, file, text, instead, tests) for bug, text, instead in rows)


class Tree:
    """A copy of the checkout, in which one mistake after another is planted; whatever is compiled there stays."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="ps-mutant-")
        self._path = Path(self._directory.name)
        for part in _ROOMS:
            shutil.copytree(ROOT / part, self._path / part)
        for part in _PAGES:
            shutil.copy2(ROOT / part, self._path / part)

    def close(self) -> None:
        """Remove it."""
        self._directory.cleanup()

    def killer(self, mutant: Mutant) -> str:
        """The test that notices the mistake, empty when it survives. A run that hangs has noticed it too.

        Raises:
            SystemExit: its place is lost, or its tests could not be run.
        """
        victim = self._path / mutant.file
        sound = victim.read_text()
        if sound.count(mutant.text) != 1:
            raise SystemExit(f"{mutant.bug}: its place is in {mutant.file} {sound.count(mutant.text)} times")
        self._write(victim, sound.replace(mutant.text, mutant.instead))
        try:
            return self._run(mutant.tests, _TIMEOUT_S)
        finally:
            self._write(victim, sound)

    def see_sound(self, mutants: Iterable[Mutant]) -> None:
        """A test that fails without a mistake too notices none.

        Raises:
            SystemExit: one of theirs does.
        """
        tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests)
        if failed := self._run(tuple(tests), _ALL_TIMEOUT_S):
            raise SystemExit(f"{failed}: fails without a mistake")

    def _write(self, victim: Path, text: str) -> None:
        # By time and size alone, what was compiled of one mistake may pass for the next: both may be of one second.
        for compiled in (victim.parent / "__pycache__").glob(f"{victim.stem}.*"):
            compiled.unlink()
        victim.write_text(text)

    def _run(self, chosen: tuple[str, ...], timeout_s: float) -> str:
        options = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--hypothesis-profile=mutants")
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *chosen],
            cwd=self._path,
            env={**os.environ, "PYTHONPATH": str(self._path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        ) as tests:
            try:
                said, _ = tests.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(tests.pid, signal.SIGKILL)  # with the servers that its tests have started
                return f"no end in {timeout_s} s"
        failed = [line.split()[1] for line in said.splitlines() if line.startswith(("FAILED tests/", "ERROR tests/"))]
        if tests.returncode not in (0, 1) or (failed and "::" not in failed[0]):  # a file that cannot be imported
            raise SystemExit(f"{chosen} could not be run\n{said[-2000:]}")
        return "" if tests.returncode == 0 else (failed or ["a run that broke off"])[0]
