"""Mistakes in the matching core, where the orders of a run are executed."""

from tests.mutants.plant import mutants

_PLAIN = ("tests/gateway/core/test_plain_orders.py",)

_RUNS = mutants(
    "gateway/core/plain_orders.py",
    _PLAIN,
    ("the terms that the core knows are never forgotten", "            self._known.clear()\n", "            pass\n"),
    ("in a run a late order is placed", " or now_ns > deadline))\n", "))\n"),
    ("in a run a retry that may only ask is placed", "(deadline < 0 or now_ns > deadline)", "0 < deadline < now_ns"),
    ("in a run a used id is placed again", "                or cl_ord_id in by_cl_ord_id\n", ""),
    ("in a run an order without a quantity is placed", "qty > 0 and 0 <", "0 <"),
    ("a run that is handed over again is executed again", "n > self._highest", "0 <= self._highest"),
    ("what was executed in a run is executed again alone", " + len(run.rows) - 1\n", "\n"),
    ("in a run the core's time goes back", "max(counters.now_ns, now_ns)", "now_ns"),
    ("a snapshot being made has the orders of a later run", "        ledger.before_change(account_id)\n", ""),
    ("in a run a post-only order trades", " and not terms.flags & _SPECIAL_FLAGS\n", "\n"),
    ("in a run an order that would trade rests", "keys[-1] >= -key:", "keys[-1] > -key:"),
    ("the quantity of a level lacks the orders of runs", "                level.qty += qty\n", ""),
    (
        "a run is given the terms of the one before",
        "            if terms is not latest:\n",
        "            if latest is None:\n",
    ),
    (
        "a run in which orders trade is told as one in which all rest",
        "                report.all_rest = False\n                self._events.open(",
        "                self._events.open(",
    ),
)

_TRADES = mutants(
    "gateway/core/matcher.py",
    (*_PLAIN, "tests/gateway/core/test_engine_properties.py"),
    ("what a taker has left grows with each trade", "            left -= qty\n", "            left += 0\n"),
    ("an order that was filled in part is told as new", "left, _PARTIALLY_FILLED\n", "left, taker.status\n"),
    (
        "a maker that was filled stays in the book",
        "                side.remove(maker)\n                ledger",
        "                ledger",
    ),
    (
        "a taker's amount is the price of its limit",
        "            amount = qty * price\n",
        "            amount = qty * taker.price\n",
    ),
)

MUTANTS = (*_RUNS, *_TRADES)
