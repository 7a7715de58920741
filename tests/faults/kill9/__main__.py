"""`python -m tests.faults.kill9`: see `tests.faults.kill9.run`."""

import argparse
import random
import sys

from rich.console import Console

from tests.faults.kill9 import run
from tests.faults.kill9.report import Settings, show


def main() -> int:
    """Parse, run, show. 0 = no violation."""
    parser = argparse.ArgumentParser(description=run.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31), help="default: any")
    parser.add_argument("--durability", choices=("disk", "process", "memory"), default="disk")
    parser.add_argument("--door", choices=("fix", "both"), default="both")
    parser.add_argument("--cut-bytes", type=int, default=0, help="cut so much off the journal in each round")
    parser.add_argument("--store", action="store_true", help="limits in a store that answers late")
    parser.add_argument(
        "--cores", type=int, default=0, help="processes of a core behind Redis; these die, too, and so do networks"
    )
    parser.add_argument(
        "--replica", action="store_true", help="of the Redis of the cores: it takes over from time to time"
    )
    parser.add_argument("--cluster", action="store_true", help="each life is another gateway, with nothing on its disk")
    parser.add_argument("--pair", action="store_true", help="the same, and another one lives: clients go there at once")
    asked = parser.parse_args()
    has_ws = asked.door == "both"
    settings = Settings(
        asked.rounds,
        asked.seed,
        asked.durability,
        has_ws,
        asked.cut_bytes,
        asked.store,
        asked.cores,
        asked.replica,
        asked.cluster or asked.pair,
        asked.pair,
    )
    result = run.kill9(settings)
    show(result, Console(width=None if sys.stdout.isatty() else 120))
    return 1 if result.violations.count else 0


if __name__ == "__main__":
    sys.exit(main())
