"""Plants each seeded bug in a copy of the checkout and runs the tests that must notice: `python -m tests.mutants`.

An argument chooses bugs by a word of their description. Ends with 1 when one survives. Two run at a time.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.limits import MUTANTS, Mutant

_ROOT = Path(__file__).parents[2]
_COPIED = ("limits", "tests/limits", "tests/support")
_LINKED = ("gateway", "protocols", "pyproject.toml")
_AT_ONCE = 2
_TIMEOUT_S = 120
_CONFTEST = """
from hypothesis import Phase, settings
settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], database=None, derandomize=False)
settings.load_profile("mutants")
"""


def survives(mutant: Mutant) -> bool:
    """Whether every test passes with the bug planted. A run that hangs has noticed it too."""
    with tempfile.TemporaryDirectory(prefix="ps-mutant-") as name:
        tree = Path(name)
        for part in _COPIED:
            shutil.copytree(_ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in _LINKED:
            (tree / part).symlink_to(_ROOT / part)
        (tree / "tests" / "conftest.py").write_text(_CONFTEST)
        victim = tree / mutant.file
        text = victim.read_text()
        if text.count(mutant.text) != 1:
            raise SystemExit(f"{mutant.bug}: its place is in {mutant.file} {text.count(mutant.text)} times")
        victim.write_text(text.replace(mutant.text, mutant.instead))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *mutant.tests]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
        try:
            ended = subprocess.run(
                command, cwd=tree, env=environment, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        if ended.returncode not in (0, 1):
            raise SystemExit(f"{mutant.bug}: the tests could not be run\n{ended.stdout.decode()[-2000:]}")
        return ended.returncode == 0


def main(word: str = "") -> int:
    """Judge the mutants; how many survive."""
    chosen = [mutant for mutant in MUTANTS if word in mutant.bug]
    began = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outcomes = pool.map(survives, chosen)
        alive = []
        for mutant, lives in zip(chosen, outcomes, strict=True):
            print(f"{'SURVIVES' if lives else 'killed':9} {mutant.file:22} {mutant.bug}", flush=True)
            alive += [mutant] * lives
    print(f"{len(chosen) - len(alive)} of {len(chosen)} killed in {time.monotonic() - began:.0f} s")
    return len(alive)


if __name__ == "__main__":
    raise SystemExit(1 if main(*sys.argv[1:2]) else 0)
