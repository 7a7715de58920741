"""Plants each listed mistake and runs the tests that must notice it: `python -m tests.mutants`.

An argument chooses mistakes by a word of their description or of their file. Ends with 1 when one survives. Two run at
a time.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.mutants.every import MUTANTS
from tests.mutants.plant import survives

_AT_ONCE = 2


def main(word: str = "") -> int:
    """Judge the mutants; how many survive."""
    chosen = [mutant for mutant in MUTANTS if word in mutant.bug or word in mutant.file]
    began = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        alive = 0
        for mutant, lives in zip(chosen, pool.map(survives, chosen), strict=True):
            print(f"{'SURVIVES' if lives else 'killed':9} {mutant.file:32} {mutant.bug}", flush=True)
            alive += lives
    print(f"{len(chosen) - alive} of {len(chosen)} killed, {alive} survivors, in {time.monotonic() - began:.0f} s")
    return alive


if __name__ == "__main__":
    raise SystemExit(1 if main(*sys.argv[1:2]) else 0)
