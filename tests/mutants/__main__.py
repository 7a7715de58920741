"""Plants each listed mistake and runs the tests that must notice it: `python -m tests.mutants`.

A word chooses mistakes by their description or their file. Each line says which test has noticed it; ends with 1 when
a mistake survives.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from queue import SimpleQueue

from tests.mutants.every import MUTANTS
from tests.mutants.plant import Mutant, Tree


def main() -> int:
    """Judge the mutants; how many survive."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("word", nargs="?", default="", help="only mistakes with this word in them or in their file")
    options.add_argument("--at-once", type=int, default=2, help="how many run at a time")
    given = options.parse_args()
    chosen = [mutant for mutant in MUTANTS if given.word in mutant.bug or given.word in mutant.file]
    began = time.monotonic()
    alive = 0
    with ExitStack() as stack:
        trees = SimpleQueue[Tree]()
        for _ in range(given.at_once):
            trees.put(stack.enter_context(closing(Tree())))
        tree = trees.get()
        tree.see_sound(chosen)
        trees.put(tree)

        def judge(mutant: Mutant) -> tuple[str, float]:
            tree, at = trees.get(), time.monotonic()
            try:
                return tree.killer(mutant), time.monotonic() - at
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(given.at_once) as pool:
            for mutant, (killer, seconds) in zip(chosen, pool.map(judge, chosen), strict=True):
                found = f"killed by {killer}" if killer else "SURVIVES"
                print(f"{mutant.file}: {mutant.bug}: {found}, {seconds:.1f} s", flush=True)
                alive += not killer
    print(f"{len(chosen) - alive} of {len(chosen)} killed, {alive} survivors, in {time.monotonic() - began:.0f} s")
    return alive


if __name__ == "__main__":
    raise SystemExit(1 if main() else 0)
