"""Mistakes in the matching core, where orders are executed many at a time."""

from tests.mutants.plant import mutants

_PLAIN = ("tests/gateway/core/test_plain_orders.py",)

MUTANTS = mutants(
    "gateway/core/plain_orders.py",
    _PLAIN,
    ("in a run a late order is placed", " or now_ns > deadline):\n", "):\n"),
    ("in a run a retry that may only ask is placed", "if deadline and (deadline < 0 or ", "if deadline > 0 and ("),
    ("in a run a used id is placed again", " or cl_ord_id in account.by_cl_ord_id:\n", ":\n"),
    ("a run that is handed over again is executed again", " or n <= highest.get(lane, 0)", ""),
    ("in a run the core's time goes back", "max(counters.now_ns, now_ns)", "now_ns"),
    ("a snapshot being made has the orders of a later run", "            before_change(account_id)\n", ""),
    ("in a run a post-only order trades", "~(COD_EXEMPT | ACCOUNT_GIVEN)", "0"),
    ("in a run an order that would trade rests", "if other.is_reached(reach):", "if other.is_reached(reach + 1):"),
)
