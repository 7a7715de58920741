"""What one decision of the in-process limiter costs: `python tests/bench/limits_take.py`. CPU time, best of nine runs.

The figures quoted in `limits/local.py` come from here. The loop itself is measured and taken off.
"""

from collections.abc import Callable
from time import process_time_ns

from limits.bucket import MILLI
from limits.local import LocalLimiter
from limits.policy_parse import parse
from limits.reload import built_in

_CALLS = 200_000
_START_NS = 1_795_348_800_000_000_000
_TWO_LEVELS = """
version = 2
[plans.standard]
orders = { rate = "5000/s", burst = 10000000 }
[override."ACME/MM1"]
orders = { rate = "4000/s", burst = 8000000 }
[override."ACME/MM2"]
orders = { rate = "2/s", burst = 2 }
"""


def _per_call(call: Callable[[int], object], step_ns: int) -> float:
    """Nanoseconds of CPU per call, each `step_ns` of limiter time after the last."""
    best = float("inf")
    for run in range(9):
        began_ns = _START_NS + run * _CALLS * step_ns  # the limiter's clock must not go back: buckets would freeze
        times = range(began_ns, began_ns + _CALLS * step_ns, step_ns)
        began = process_time_ns()
        for now_ns in times:
            call(now_ns)
        best = min(best, (process_time_ns() - began) / _CALLS)
    return best


def main() -> None:
    """Print one line per case."""
    policy = parse(_TWO_LEVELS, built_in()).policy
    assert policy is not None
    limiter = LocalLimiter(policy)
    take, paths = limiter.take, {name: limiter.open("ACME", name) for name in ("MM1", "MM2", "plain")}

    def action(name: str, bucket: str) -> Callable[[int], object]:
        path = paths[name]
        return lambda now_ns: take(path, bucket, MILLI, now_ns)

    loop = _per_call(lambda now_ns: (None, "orders", MILLI, now_ns), 1)
    cases = {
        "allowed, one level": (action("plain", "orders"), 400_000),
        "allowed, two levels": (action("MM1", "orders"), 400_000),
        "allowed, two levels, same instant": (action("MM1", "orders"), 1),
        "refused, two levels": (action("MM2", "orders"), 1_000),
    }
    for title, (call, step_ns) in cases.items():
        print(f"{title:36} {_per_call(call, step_ns) - loop:6.0f} ns")


if __name__ == "__main__":
    main()
